import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import { requireProgram } from './peers.ts';

/* `purertc turn-server` as a coturn user starts it: a configuration file, signals, metrics. Needs `npm run build`. */

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
let folder = '';
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-turn-'));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** The command, and promises for what it logs. */
class Server {
  readonly #child: ChildProcess;
  #text = '';
  #waiters: (() => void)[] = [];
  readonly exited: Promise<number | null>;

  constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [main, 'turn-server', ...args]);
    children.push(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Uint8Array) => {
        this.#text += new TextDecoder().decode(chunk);
        for (const wake of this.#waiters.splice(0)) wake();
      });
    }
    this.exited = new Promise((resolve) => this.#child.once('exit', resolve));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get text(): string {
    return this.#text;
  }

  async find(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match !== null) return match;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  signal(name: 'SIGTERM' | 'SIGHUP'): void {
    this.#child.kill(name);
  }
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 40_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

it("serves coturn's client from coturn's configuration, reloads certificates, reports, drains", async () => {
  const pem = join(folder, 'turn.pem');
  const config = join(folder, 'turnserver.conf');
  writeFileSync(pem, certificateToPem(generateCertificate(platform.env)));
  writeFileSync(
    config,
    `# as in /etc/turnserver.conf
listening-ip=127.0.0.1
listening-port=0
no-dtls
use-auth-secret
static-auth-secret=s3cret
realm=example.org
allow-loopback-peers
cert=${pem}
prometheus
`,
  );
  const server = new Server(['-c', config, '--prometheus-port', '0', '--tls-listening-port', '0', '--log', 'json']);
  const port = (await server.find(/"transport":"udp","ip":"127.0.0.1","port":(\d+)/))[1]!;
  const metricsPort = (await server.find(/"service":"metrics","ip":"127.0.0.1","port":(\d+)/))[1]!;

  const client = ['-u', 'grace', '-W', 's3cret', '-p', port, '-y', '-c', '-n', '5', '127.0.0.1'];
  expect(await run(requireProgram('turnutils_uclient'), client)).toMatch(/Total lost packets 0 /);
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  expect(metrics).toMatch(/^turn_allocations_total [1-9]/m);
  expect((await fetch(`http://127.0.0.1:${metricsPort}/`)).status).toBe(404);

  server.signal('SIGHUP');
  await server.find(/"event":"certificate-reloaded"/);
  writeFileSync(pem, 'nonsense');
  server.signal('SIGHUP');
  await server.find(/"event":"certificate-not-reloaded"/);
  expect(server.text).not.toContain('s3cret');

  server.signal('SIGTERM');
  await server.find(/"event":"draining"/);
  server.signal('SIGTERM'); // do not wait for reservations and forgotten allocations
  expect(await server.exited).toBe(0);
  expect(server.text).toMatch(/"event":"closed"/);
});

it("starts from Debian's own configuration, with a user: the log has priorities, the process its file", async () => {
  const pidFile = join(folder, 'pid');
  const args = ['-u', 'a:b', '--listening-port', '0', '--listening-ip', '127.0.0.1', '--pidfile', pidFile];
  const server = new Server(['-c', '/etc/turnserver.conf', ...args]);
  await server.find(/<6>listening .*transport=tcp/);
  expect(Number(readFileSync(pidFile, 'utf8'))).toBe(server.pid);
  server.signal('SIGTERM');
  expect(await server.exited).toBe(0);
  expect(existsSync(pidFile)).toBe(false);
});

it('logs into a file, behind what is in it', async () => {
  const file = join(folder, 'turn.log');
  writeFileSync(file, 'before\n');
  const args = ['-u', 'a:b', '--listening-port', '0', '--listening-ip', '127.0.0.1', '--no-tcp'];
  const server = new Server([...args, '-l', file]);
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toContain('listening'), 20_000);
  server.signal('SIGTERM');
  expect(await server.exited).toBe(0);
  expect(readFileSync(file, 'utf8')).toMatch(/^before\n\S+Z listening [\s\S]*closed .*\n$/);
  expect(server.text).toBe('');
});

it('goes on when its log cannot be written any more, and says so once', async () => {
  const metrics = ['--prometheus', '--prometheus-port', '0'];
  const args = ['-u', 'a:b', '--listening-port', '0', '--listening-ip', '127.0.0.1', '--no-tcp', ...metrics];
  const server = new Server([...args, '-l', '/dev/full']);
  await server.find(/nothing more is logged: ENOSPC/);
  server.signal('SIGTERM');
  expect(await server.exited).toBe(0);
  expect(server.text.match(/logged/g)).toHaveLength(1);
});

it('ends when it cannot write its process id', async () => {
  const args = ['-u', 'a:b', '--listening-port', '0', '--listening-ip', '127.0.0.1', '--workers', '1'];
  const server = new Server([...args, '--pidfile', join(folder, 'no', 'such', 'folder')]);
  expect(await server.exited).toBe(1);
  expect(server.text).toMatch(/ENOENT/);
});

it.each([
  [['--frobnicate'], /unknown option '--frobnicate'/, 2],
  [['--realm', 'x'], /no open server/, 2],
  [['--user', 'a:b', '--min-port', '80'], /min-port must be/, 2],
])('%j ends with the reason', async (args, message, code) => {
  const server = new Server(args);
  expect(await server.exited).toBe(code);
  expect(server.text).toMatch(message);
});
