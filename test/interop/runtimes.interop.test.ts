import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireProgram } from './peers.ts';
import { codeBlocks, readmeProgram } from './readme.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const TIMEOUT_MS = 30_000;

/** A runtime: how to start it, with what in front of the script, and what it must say to `--version`. */
interface Runtime {
  readonly name: string;
  readonly program: () => string;
  readonly options: readonly string[];
  readonly version: RegExp;
}

const THIS_NODE: Runtime = {
  name: 'the Node that runs the tests',
  program: () => process.execPath,
  options: [],
  version: /^v\d+\./,
};

/** From the npm packages of the same names; scripts/install-interop-peers.sh puts them where `requireProgram` looks. */
const RUNTIMES: readonly Runtime[] = [
  { name: 'Node 22', program: () => requireProgram('node22'), options: [], version: /^v22\./ },
  { name: 'Node 24', program: () => requireProgram('node24'), options: [], version: /^v24\./ },
  { name: 'Bun', program: () => requireProgram('bun'), options: [], version: /^1\./ },
  // Deno resolves `#platform` only for a package that is installed, and looks into node_modules only when it is told so.
  {
    name: 'Deno',
    program: () => requireProgram('deno'),
    options: ['run', '--quiet', '--allow-all', '--node-modules-dir=manual'],
    version: /^deno 2\./,
  },
];

/** The package as npm publishes it (packed, not linked), with its dependencies, installed once for all runtimes. */
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-runtimes-'));
  const npm = (cwd: string, ...args: string[]) =>
    run('npm', [...args, '--ignore-scripts', '--loglevel=error'], { cwd, timeout: TIMEOUT_MS });
  const { stdout } = await npm(root, 'pack', '--pack-destination', folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  await npm(folder, 'install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, stdout.trim()));
  cpSync(fileURLToPath(new URL('runtimes', import.meta.url)), folder, { recursive: true });
  writeFileSync(join(folder, 'readme.mjs'), readmeProgram(readFileSync(join(root, 'README.md'), 'utf8')));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script to its end; one that does not end by itself is killed, which is a failure. */
async function output({ program, options }: Runtime, script: string): Promise<string[]> {
  const { stdout, stderr } = await run(program(), [...options, script], { cwd: folder, timeout: TIMEOUT_MS });
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n');
}

describe.each([THIS_NODE, ...RUNTIMES])('the installed package in $name', (runtime) => {
  it('is that runtime', async () => {
    const { stdout } = await run(runtime.program(), ['--version']);
    expect(stdout).toMatch(runtime.version);
  });

  it("the README's program prints its line, and ends by itself", async () => {
    expect(await output(runtime, 'readme.mjs')).toEqual(['echo: hello']);
  });

  it('may be required by CommonJS: no module of it waits for anything while it loads', async () => {
    const program = "console.log(Object.keys(require('purertc')).length, typeof require('purertc/server').TurnServer);";
    writeFileSync(join(folder, 'require.cjs'), program);
    expect(await output(runtime, 'require.cjs')).toEqual([expect.stringMatching(/^[1-9]\d+ function$/)]);
  });

  it('ciphers, DTLS, STUN, TURN and signaling by themselves, and they end too', async () => {
    expect(await output(runtime, 'layers.mjs')).toEqual([
      'aes-128-gcm: right',
      'aes-256-gcm: right',
      'chacha20-poly1305: right',
      'aes-128-ccm: right',
      'aes-128-ccm-8: right',
      'dtls: 12000 bytes, the same',
      'stun: mapped 127.0.0.1',
      'turn over udp: hello',
      'turns over udp: hello',
      'turn over tcp: hello',
      'turns over tcp: hello',
      'turn by workers over udp: hello',
      'turn by workers over tcp: hello',
      'signaling: null',
    ]);
  });
});

/** The READMEs' programs that need more than this machine has by itself: a server, an address, another package. */
const NEED_MORE: readonly string[] = ['dtls-1', 'turn-1', 'turn-server-1', 'turn-server-2', 'polyfill-1'];

describe('a strict TypeScript program with the types of Node alone', () => {
  /** Compiles files of the folder. @throws with what the compiler says. */
  async function compile(files: readonly string[], options: object): Promise<void> {
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2022', lib: ['es2022'], noEmitOnError: true },
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, verbatimModuleSyntax: true },
      ...{ skipLibCheck: false, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
      ...options,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const compiled = run(process.execPath, [tsc, '-p', folder], { timeout: TIMEOUT_MS });
    await expect(compiled).resolves.toEqual({ stdout: '', stderr: '' });
  }

  it.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('may import every entry (%s, %s)', async (module, moduleResolution) => {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object };
    const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'));
    expect(entries.length).toBeGreaterThan(10);
    const lines = entries.map((entry, i) => `import * as m${i} from 'purertc${entry.slice(1)}'; void m${i};\n`);
    writeFileSync(join(folder, 'types.ts'), lines.join(''));
    await compile(['types.ts'], { module, moduleResolution, noEmit: true });
  });

  it('compiles from what the READMEs show, and runs to its end', async () => {
    const pages = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter(
      (name) => basename(name) === 'README.md',
    );
    const programs: string[] = [];
    const toCompile: string[] = [];
    for (const page of ['../README.md', ...pages]) {
      const blocks = codeBlocks(readFileSync(join(root, 'src', page), 'utf8'), ['ts', 'js']);
      for (const [index, { language, code }] of blocks.entries()) {
        const name = `${dirname(page).replaceAll(sep, '-')}-${index + 1}`;
        writeFileSync(join(folder, `${name}.${language}`), code);
        programs.push(name);
        if (language === 'ts' && !code.includes("'simple-peer'")) toCompile.push(`${name}.ts`);
      }
    }
    expect(programs).toEqual(expect.arrayContaining([...NEED_MORE, '..-1', 'signaling-1']));
    await compile(toCompile, {});
    // Each ends by itself, and complains of nothing.
    await Promise.all(
      programs.filter((name) => !NEED_MORE.includes(name)).map((name) => output(THIS_NODE, `${name}.js`)),
    );
  });
});

/** One end of a channel in a process of its own. */
class Peer {
  readonly #process;
  readonly #lines: string[] = [];
  readonly #ended: Promise<number | null>;
  readonly #described: Promise<string>;
  #errors = '';

  constructor({ program, options }: Runtime, role: 'offer' | 'answer') {
    this.#process = spawn(program(), [...options, 'channel.mjs', role], { cwd: folder, timeout: TIMEOUT_MS });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    let text = '';
    this.#described = new Promise((resolve) => {
      this.#process.stdout.setEncoding('utf8').on('data', (more: string) => {
        text += more;
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        this.#lines.push(...lines);
        if (this.#lines[0] !== undefined) resolve(this.#lines[0]);
      });
    });
    this.#ended = new Promise((resolve) => this.#process.once('close', resolve));
  }

  /** Its description: the first line that it prints. @throws when it ends before that. */
  async description(): Promise<string> {
    const described = await Promise.race([this.#described, this.#ended]);
    if (typeof described !== 'string') throw new Error(`no description: ${this.#errors}`);
    return described;
  }

  take(description: string): void {
    this.#process.stdin.end(description);
  }

  /** How it ended (null: it was killed, because it did not end by itself), and what it saw. */
  async end(): Promise<{ readonly exitCode: number | null; readonly saw: string[]; readonly errors: string }> {
    const exitCode = await this.#ended;
    return { exitCode, saw: this.#lines.slice(1), errors: this.#errors };
  }
}

describe.each(RUNTIMES)('$name and the Node that runs the tests', (runtime) => {
  it.each([
    { who: 'it offers', offering: runtime, answering: THIS_NODE },
    { who: 'it answers', offering: THIS_NODE, answering: runtime },
  ])('$who: text and 1 MiB both ways, the end is seen by both, and both end', async ({ offering, answering }) => {
    const offerer = new Peer(offering, 'offer');
    const answerer = new Peer(answering, 'answer');
    answerer.take(await offerer.description());
    offerer.take(await answerer.description());
    const bulk = 'got 1048576 bytes, the same';
    // Both are ours, so the record cipher is our own, and it must have found WebAssembly: JavaScript is three times as slow.
    const last = ['record cipher: webassembly', 'channel closed'];
    expect(await answerer.end()).toEqual({ exitCode: 0, saw: ['got hello', bulk, ...last], errors: '' });
    expect(await offerer.end()).toEqual({ exitCode: 0, saw: ['got hello back', bulk, ...last], errors: '' });
  });
});
