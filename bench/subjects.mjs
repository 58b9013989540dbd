/**
 * What can be measured: a subject is a module specifier that exports a W3C `RTCPeerConnection`. All but our own are
 * installed by `npm run bench:setup` into the ignored folder `.bench/`.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const benchFolder = fileURLToPath(new URL('../.bench/', import.meta.url));

export const subjects = [
  { name: 'purertc', specifier: 'purertc', package: undefined },
  { name: 'node-datachannel', specifier: 'node-datachannel/polyfill', package: 'node-datachannel' },
  { name: '@roamhq/wrtc', specifier: '@roamhq/wrtc', package: '@roamhq/wrtc' },
  { name: 'werift', specifier: 'werift', package: 'werift' },
];

export function isInstalled(subject) {
  return subject.package === undefined || existsSync(join(benchFolder, 'node_modules', subject.package));
}

/** Loads a subject's `RTCPeerConnection`; ours through the package's own name, as a user would. */
export async function loadPeerConnection(name) {
  const subject = subjects.find((s) => s.name === name);
  if (subject === undefined) throw new Error(`no subject is called '${name}'`);
  let module;
  if (subject.package === undefined) {
    module = await import(subject.specifier);
  } else {
    const require = createRequire(join(benchFolder, 'package.json'));
    module = await import(pathToFileURL(require.resolve(subject.specifier)).href);
  }
  return module.RTCPeerConnection ?? module.default.RTCPeerConnection;
}
