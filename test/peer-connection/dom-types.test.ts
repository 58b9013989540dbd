import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The project itself is compiled without the DOM library; this program is compiled with it. */
const PROGRAM = `
// From ours to the browser's.
export const connection: RTCPeerConnection = new ours.RTCPeerConnection();
export const channel: RTCDataChannel = new ours.RTCPeerConnection().createDataChannel('x');
export const classes: {
  connection: typeof RTCPeerConnection;
  candidate: typeof RTCIceCandidate;
  description: typeof RTCSessionDescription;
} = { connection: ours.RTCPeerConnection, candidate: ours.RTCIceCandidate, description: ours.RTCSessionDescription };
export const toBrowser = (
  ice: ours.RTCIceTransport,
  dtls: ours.RTCDtlsTransport,
  sctp: ours.RTCSctpTransport,
  certificate: ours.RTCCertificate,
  error: ours.RTCError,
  candidate: ours.RTCIceCandidate,
  description: ours.RTCSessionDescription,
  stats: ours.RTCStatsReport,
  configuration: ours.RTCConfiguration,
): [
  RTCIceTransport,
  RTCDtlsTransport,
  RTCSctpTransport,
  RTCCertificate,
  RTCError,
  RTCIceCandidate,
  RTCSessionDescription,
  RTCStatsReport,
  RTCConfiguration,
] => [ice, dtls, sctp, certificate, error, candidate, description, stats, configuration];

// And back; a browser does not have every member that the W3C's onclosing and so on name.
export const fromBrowser = (
  connection: RTCPeerConnection,
  channel: RTCDataChannel,
  candidate: RTCIceCandidate,
  description: RTCSessionDescription,
  configuration: RTCConfiguration,
  init: RTCSessionDescriptionInit,
): [
  ours.RTCPeerConnection,
  ours.RTCDataChannel,
  ours.RTCIceCandidate,
  ours.RTCSessionDescription,
  ours.RTCConfiguration,
  ours.RTCSessionDescriptionInit,
] => [connection, channel, candidate, description, configuration, init];

// Event handlers know their events without a cast.
new ours.RTCPeerConnection().addEventListener('datachannel', ({ channel }) => channel.send('x'));
new ours.RTCPeerConnection().onicecandidate = ({ candidate }) => candidate?.address;
`;

it("the classes' types are assignable to and from those of TypeScript's DOM library", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'purertc-types-'));
  try {
    const source = relative(folder, join(root, 'src/index.ts'));
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    await writeFile(join(folder, 'program.ts'), `import * as ours from '${source}';\n${PROGRAM}`);
    const compilerOptions = {
      lib: ['ES2023', 'DOM', 'DOM.Iterable'],
      typeRoots: [join(root, 'node_modules/@types')],
      paths: { '#platform': [join(root, 'src/io/platform.ts')] },
    };
    const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: ['program.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const require = createRequire(import.meta.url);
    const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
    const output = await new Promise<string>((resolve) => {
      execFile(process.execPath, [tsc, '-p', folder], { cwd: root }, (_, stdout, stderr) => resolve(stdout + stderr));
    });
    // Errors in other files of the project are other tests' business.
    expect(output.split('\n').filter((line) => line.includes('program.ts'))).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
