import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Interfaces and dictionaries: each assignable to the DOM library's type of its name, and back. */
const BOTH_WAYS = `
  RTCPeerConnection RTCDataChannel RTCIceTransport RTCDtlsTransport RTCSctpTransport RTCCertificate RTCError
  RTCIceCandidate RTCIceCandidatePair RTCSessionDescription
  RTCPeerConnectionIceEvent RTCPeerConnectionIceErrorEvent RTCDataChannelEvent RTCErrorEvent
  RTCConfiguration RTCIceServer RTCOfferOptions RTCAnswerOptions RTCSessionDescriptionInit RTCLocalSessionDescriptionInit
  RTCIceCandidateInit RTCLocalIceCandidateInit RTCDataChannelInit RTCErrorInit RTCDtlsFingerprint
  RTCPeerConnectionIceEventInit RTCPeerConnectionIceErrorEventInit RTCDataChannelEventInit RTCErrorEventInit
  RTCPeerConnectionErrorCallback RTCSessionDescriptionCallback
  RTCSignalingState RTCPeerConnectionState RTCIceConnectionState RTCIceGatheringState RTCIceTransportState
  RTCIceGathererState RTCIceRole RTCIceComponent RTCIceProtocol RTCIceCandidateType RTCIceTcpCandidateType
  RTCDtlsTransportState RTCSctpTransportState RTCDataChannelState RTCSdpType RTCBundlePolicy RTCRtcpMuxPolicy
  RTCIceTransportPolicy BinaryType RTCStatsReport
`;

const CLASSES = `
  RTCPeerConnection RTCSessionDescription RTCIceCandidate RTCDataChannel RTCIceTransport RTCDtlsTransport RTCSctpTransport
  RTCCertificate RTCError RTCErrorEvent RTCDataChannelEvent RTCPeerConnectionIceEvent RTCPeerConnectionIceErrorEvent
  RTCStatsReport
`;

const names = (list: string): string[] => list.trim().split(/\s+/);

/** The project itself is compiled without the DOM library; this program is compiled with it. */
const PROGRAM = [
  'declare function assign<To>(convert: () => To): void;',
  'declare function some<T>(): T;',
  ...names(BOTH_WAYS).map((name) => `assign<${name}>(() => some<ours.${name}>());`),
  ...names(BOTH_WAYS).map((name) => `assign<ours.${name}>(() => some<${name}>());`),
  ...names(CLASSES).map((name) => `assign<typeof ${name}>(() => ours.${name});`),
  `
// Programs and libraries that are written for the browser's types.
export const wrtc: { RTCPeerConnection: typeof RTCPeerConnection } = ours;
export async function call(pc: RTCPeerConnection): Promise<string | undefined> {
  const report: RTCStatsReport = await pc.getStats();
  report.forEach((value, key) => [value, key]);
  return pc.localDescription?.sdp;
}
export const called: Promise<string | undefined> = call(new ours.RTCPeerConnection());

// Event handlers know their events without a cast.
const pc = new ours.RTCPeerConnection();
pc.addEventListener('datachannel', ({ channel }) => channel.send('x'));
pc.addEventListener('icecandidateerror', ({ errorCode }) => errorCode.toFixed(), { once: true });
pc.onicecandidate = ({ candidate }) => candidate?.address;
pc.createDataChannel('x').onmessage = ({ data, origin }) => [data, origin];
pc.createDataChannel('x').onerror = ({ error }) => error.sctpCauseCode;
`,
].join('\n');

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
