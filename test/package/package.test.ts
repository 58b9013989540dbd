import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };

const root = new URL('../../', import.meta.url);
const exists = (path: string): boolean => existsSync(fileURLToPath(new URL(path, root)));
const rooms = readdirSync(new URL('src', root), { withFileTypes: true }).flatMap((e) =>
  e.isDirectory() ? [e.name] : [],
);
/** The command is a program, not something to import. */
const libraries = rooms.filter((room) => room !== 'cli');

describe('the package', () => {
  it.each(libraries)('exports %s with its types, and the room has a README', (room) => {
    const entries: Record<string, unknown> = manifest.exports;
    expect(entries[`./${room}`]).toEqual({ types: `./dist/${room}/index.d.ts`, default: `./dist/${room}/index.js` });
    expect(exists(`src/${room}/README.md`)).toBe(true);
  });

  const targets = [
    ...Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? [] : [entry.default])),
    ...Object.values(manifest.imports),
    ...Object.values(manifest.bin),
  ];
  it.each(targets)('%s is compiled from a source file, and loads', async (target) => {
    const source = target.replace('./dist/', 'src/').replace(/\.js$/, '.ts');
    expect(exists(source)).toBe(true);
    if (source.startsWith('src/cli/')) return; // running it is the demo's test
    const module: Record<string, unknown> = await import(new URL(source, root).href);
    if (source.startsWith('src/polyfill/')) expect(globalThis).toHaveProperty('RTCPeerConnection');
    else expect(Object.keys(module).length).toBeGreaterThan(0);
  });

  it('needs nothing at run time that CONTRIBUTING does not explain', () => {
    const text = readFileSync(new URL('CONTRIBUTING.md', root), 'utf8');
    for (const name of Object.keys(manifest.dependencies)) expect(text).toContain(`\`${name}\``);
  });

  it('has a lock file that `npm ci` accepts: every optional platform package is in it (scripts/complete-lock.mjs)', () => {
    type Entry = { readonly optionalDependencies?: Record<string, string>; readonly resolved?: string };
    const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as {
      packages: Record<string, Entry>;
    };
    const packages = lock.packages;
    const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
    expect(Object.values(packages).filter((entry) => entry.resolved !== undefined)).toEqual([]); // no registry is named: each machine has its own
  });

  it('is a side-effect free ES module for Node 20.19 and later', () => {
    expect([manifest.type, manifest.sideEffects, manifest.engines.node, manifest.license]).toEqual([
      'module',
      false,
      '>=20.19',
      'MIT',
    ]);
  });
});
