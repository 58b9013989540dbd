/**
 * What can be measured: a subject is a module specifier that exports a W3C `RTCPeerConnection`, with the configuration it
 * is made with; or two such, one for each end; or a bare socket, the floor under all of them. All but our own are installed
 * by `npm run bench:setup` into the ignored folder `.bench/`.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const benchFolder = fileURLToPath(new URL('../.bench/', import.meta.url));

/** UDP payload of 1,200 bytes: 13 of record header, 8 of explicit nonce and 16 of tag around the packet of SCTP. */
const SCTP_BYTES_GCM = 1200 - 37;
/** ChaCha20-Poly1305 has no explicit nonce (RFC 7905 §2). */
const SCTP_BYTES_CHACHA = 1200 - 29;
const CHACHA = ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'];

const fixed = (mtuBytes) => ({ mtuBytes, maxMtuBytes: mtuBytes });
const noble = async (more) => {
  const { nobleCrypto } = await import('purertc/crypto');
  return { purertc: { crypto: nobleCrypto, dtls: { cipherSuites: CHACHA }, ...more } };
};

/**
 * `engine` is what runs the two ends: `module` is a Node process that loads `specifier`, `page` is a page of Chromium,
 * `socket` is `node:dgram` alone. `early`: see `peer-commands.mjs`. `sameWhenIdle`: differs
 * from another subject only in how it sends. `extra`: only when asked for by name.
 */
export const subjects = [
  { name: 'bare-socket', engines: ['socket', 'socket'] },
  { name: 'purertc', specifier: 'purertc' },
  {
    name: 'purertc-1200',
    specifier: 'purertc',
    configuration: async () => ({ purertc: { sctp: fixed(SCTP_BYTES_GCM) } }),
    sameWhenIdle: true,
  },
  { name: 'purertc-noble', specifier: 'purertc', configuration: () => noble({}) },
  {
    name: 'purertc-noble-1200',
    specifier: 'purertc',
    configuration: () => noble({ sctp: fixed(SCTP_BYTES_CHACHA) }),
    sameWhenIdle: true,
    extra: true,
  },
  { name: 'node-datachannel', specifier: 'node-datachannel/polyfill', package: 'node-datachannel' },
  { name: '@roamhq/wrtc', specifier: '@roamhq/wrtc', package: '@roamhq/wrtc', early: true },
  { name: 'werift', specifier: 'werift', package: 'werift' },
  {
    name: 'webrtc-server',
    specifier: 'webrtc-server',
    package: 'webrtc-server',
    // Otherwise it asks the network's router for port mappings.
    configuration: () => ({ portMapping: false, mdns: false }),
  },
  { name: 'chromium', engines: ['page', 'page'] },
  { name: 'purertc-to-chromium', specifier: 'purertc', engines: ['module', 'page'] },
  { name: 'chromium-to-purertc', specifier: 'purertc', engines: ['page', 'module'] },
];

export const enginesOf = (subject) => subject.engines ?? ['module', 'module'];

export function subjectNamed(name) {
  const subject = subjects.find((s) => s.name === name);
  if (subject === undefined) {
    throw new Error(`no subject is called '${name}'; there are: ${subjects.map((s) => s.name).join(', ')}`);
  }
  return subject;
}

/** Where a program is, or undefined. */
export function findProgram(name) {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** The program of a page, or undefined. `PURERTC_CHROMIUM` overrides the search. */
export const chromiumPath = () => process.env['PURERTC_CHROMIUM'] ?? findProgram('chromium');

export function isInstalled(subject) {
  if (enginesOf(subject).includes('page') && chromiumPath() === undefined) return false;
  return subject.package === undefined || existsSync(join(benchFolder, 'node_modules', subject.package));
}

/** @returns how a Node end of a subject is made: its class, and what the constructor is given. */
export async function loadSubject(name) {
  const subject = subjectNamed(name);
  const configuration = { iceServers: [], ...(await subject.configuration?.()) };
  return { RTCPeerConnection: await loadPeerConnection(name), configuration, early: subject.early ?? false };
}

/** Loads a subject's `RTCPeerConnection`; ours through the package's own name, as a user would. */
export async function loadPeerConnection(name) {
  const subject = subjectNamed(name);
  let module;
  if (subject.package === undefined) {
    module = await import(subject.specifier);
  } else {
    const require = createRequire(join(benchFolder, 'package.json'));
    module = await import(pathToFileURL(require.resolve(subject.specifier)).href);
  }
  return module.RTCPeerConnection ?? module.default.RTCPeerConnection;
}
