import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RTCDataChannel, RTCPeerConnection } from '../../src/peer-connection/index.ts';

/** A folder of its own for a test, and how to remove it. */
export async function temporaryFolder(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'purertc-test-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Two connections in this process, over loopback; channels opened by `a` are reported in `incoming` of `b`. */
export async function connectedPair(): Promise<{
  readonly a: RTCPeerConnection;
  readonly b: RTCPeerConnection;
  /** The next channel that `a` opens, as `b` sees it. */
  readonly incoming: () => Promise<RTCDataChannel>;
  readonly close: () => void;
}> {
  const loopback = { purertc: { interfaceFilter: (address: { readonly internal: boolean }) => address.internal } };
  const a = new RTCPeerConnection(loopback);
  const b = new RTCPeerConnection(loopback);
  a.addEventListener('icecandidate', ({ candidate }) => void b.addIceCandidate(candidate ?? undefined));
  b.addEventListener('icecandidate', ({ candidate }) => void a.addIceCandidate(candidate ?? undefined));
  const channels: RTCDataChannel[] = [];
  const waiting: ((channel: RTCDataChannel) => void)[] = [];
  b.addEventListener('datachannel', ({ channel }) => {
    const next = waiting.shift();
    if (next === undefined) channels.push(channel);
    else next(channel);
  });
  const first = a.createDataChannel('first', { negotiated: true, id: 1000 });
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription!);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription!);
  await new Promise((resolve) => first.addEventListener('open', resolve));
  return {
    a,
    b,
    incoming: () => {
      const channel = channels.shift();
      return channel !== undefined ? Promise.resolve(channel) : new Promise((resolve) => waiting.push(resolve));
    },
    close: () => {
      a.close();
      b.close();
    },
  };
}
