import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Runtimes that come from npm instead of Debian; scripts/install-interop-peers.sh fills it. */
const RUNTIMES = fileURLToPath(new URL('../../.runtimes/bin', import.meta.url));

/**
 * Where a real peer's program is. A missing one is a failure, never a skip: a green run means that it was there.
 * @throws when it is not installed, saying how to install it.
 */
export function requireProgram(name: string): string {
  const override = process.env[`PURERTC_${name.toUpperCase().replaceAll('-', '_')}`];
  const candidates = override === undefined ? searchPath(name) : [override];
  const path = candidates.find(isExecutable);
  if (path !== undefined) return path;
  throw new Error(
    `'${name}' is not installed. Run scripts/install-interop-peers.sh (Debian), then npm run test:interop again.`,
  );
}

function searchPath(name: string): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return [RUNTIMES, ...folders, '/usr/sbin', '/usr/local/sbin'].map((folder) => join(folder, name));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
