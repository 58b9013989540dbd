import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/check-boundaries.mjs', import.meta.url));

/** Runs the checker over a made-up source tree; returns what it printed as problems, or '' when it was content. */
function problems(files: Record<string, string>): string {
  const src = mkdtempSync(join(tmpdir(), 'boundaries-'));
  trees.push(src);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(src, name)), { recursive: true });
    writeFileSync(join(src, name), text);
  }
  try {
    execFileSync(process.execPath, [script, src], { stdio: 'pipe' });
    return '';
  } catch (error) {
    return String((error as { readonly stderr: unknown }).stderr);
  }
}

const trees: string[] = [];
afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true, force: true });
});

describe('the module boundary check', () => {
  it('accepts what the architecture allows', () => {
    const files = {
      'core/a.ts': "export const a = 1; // prose may say Date.now() and import '../ice/x.ts'\n",
      'ice/b.ts': "import { a } from '../core/a.ts';\nexport const b = a;\n",
      'io/c.ts': "import { createSocket } from 'node:dgram';\nexport const now = (): number => performance.now();\n",
    };
    expect(problems(files)).toBe('');
  });

  it.each([
    [
      'a room that knows another',
      { 'core/a.ts': 'export {};\n', 'sctp/b.ts': "import '../dtls/c.ts';\n", 'dtls/c.ts': 'export {};\n' },
      'sctp may not import dtls',
    ],
    [
      'a type from another room',
      { 'stun/b.ts': "import type { C } from '../ice/c.ts';\n", 'ice/c.ts': 'export type C = 1;\n' },
      'stun may not import ice',
    ],
    [
      'noble outside crypto',
      { 'dtls/a.ts': "import { gcm } from '@noble/ciphers/aes.js';\n" },
      "dtls may not import the package '@noble/ciphers/aes.js'",
    ],
    [
      'Node in a core',
      { 'ice/a.ts': "import { createSocket } from 'node:dgram';\n" },
      "ice may not import the package 'node:dgram'",
    ],
    [
      'a clock in a core',
      { 'ice/a.ts': 'export const t = (): number => Date.now();\n' },
      'src/ice/a.ts:1: a core may not name Date',
    ],
    [
      'a timer in the façade',
      { 'peer-connection/a.ts': '\nsetTimeout(() => undefined, 1);\n' },
      'src/peer-connection/a.ts:2: a core may not name setTimeout',
    ],
    ['randomness in a core', { 'stun/a.ts': 'export const r = Math.random();\n' }, 'a core may not name Math.random'],
    ['an unknown room', { 'utils/a.ts': 'export {};\n' }, 'no such room in ARCHITECTURE: utils'],
    [
      'a cycle',
      { 'core/a.ts': "import './b.ts';\n", 'core/b.ts': "import './a.ts';\n" },
      'import cycle: core/a.ts -> core/b.ts -> core/a.ts',
    ],
  ])('reports %s', (_name, files, message) => {
    expect(problems(files)).toContain(message);
  });
});
