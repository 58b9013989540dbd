import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readmeProgram } from './readme.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** What a reader copies out of the README must do what the README says, from a folder with the built package installed. */
describe('README', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'purertc-readme-'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    mkdirSync(join(folder, 'node_modules'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('the program prints "echo: hello" and ends by itself', async () => {
    const script = join(folder, 'program.mjs');
    writeFileSync(script, readmeProgram(readFileSync(join(root, 'README.md'), 'utf8')));
    symlinkSync(root, join(folder, 'node_modules', 'purertc'), 'dir');
    const { stdout, stderr } = await run(process.execPath, [script], { cwd: folder, timeout: 20_000 });
    expect([stdout, stderr]).toEqual(['echo: hello\n', '']);
  });
});
