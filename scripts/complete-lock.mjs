#!/usr/bin/env node
/**
 * Adds to package-lock.json the platform packages (os and cpu variants in `optionalDependencies`) that `npm install` left
 * out because the registry it asked does not carry them. `npm ci` refuses a lock file without them, on every platform.
 * Run it after each `npm install`; test/package checks that it was.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const packages = lock.packages;

/** `@biomejs/cli-linux-x64-musl` and its like: the name says what it is for. */
const platformName = /-(?<os>linux|darwin|win32|android)-(?<cpu>x64|arm64)(?<musl>-musl)?$/;

for (const entry of Object.values({ ...packages })) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    const parts = platformName.exec(name)?.groups;
    if (packages[key] !== undefined || parts === undefined) continue;
    packages[key] = {
      version,
      cpu: [parts.cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(parts.os === 'linux' ? { libc: [parts.musl === undefined ? 'glibc' : 'musl'] } : {}),
      license: entry.license,
      optional: true,
      os: [parts.os],
    };
    console.log(`complete-lock: added ${name}@${version}`);
  }
}

const { '': root, ...rest } = packages;
const sorted = Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, 'en'));
lock.packages = { '': root, ...Object.fromEntries(sorted) };
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
