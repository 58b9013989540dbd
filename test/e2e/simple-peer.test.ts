import SimplePeer from 'simple-peer';
import { afterEach, describe, expect, it } from 'vitest';
import { RTCIceCandidate, RTCPeerConnection, RTCSessionDescription } from '../../src/index.ts';
import { LOOPBACK } from './support.ts';

/** What simple-peer takes instead of a browser's globals. */
const wrtc = { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate };

let peers: SimplePeer.Instance[] = [];
afterEach(() => {
  for (const peer of peers) peer.destroy();
  peers = [];
});

function connect(options: SimplePeer.Options): [SimplePeer.Instance, SimplePeer.Instance] {
  const shared: SimplePeer.Options = { wrtc, config: { iceServers: [], ...LOOPBACK }, ...options };
  const a = new SimplePeer({ initiator: true, ...shared });
  const b = new SimplePeer(shared);
  a.on('signal', (data) => b.signal(data));
  b.on('signal', (data) => a.signal(data));
  peers.push(a, b);
  return [a, b];
}

function once(peer: SimplePeer.Instance, event: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    peer.once(event, resolve);
    peer.once('error', reject);
  });
}

describe('simple-peer, unchanged, on the façade', () => {
  it.each([{ trickle: true }, { trickle: false }])(
    '%o: connects, and carries text, bytes and a stream',
    async (options) => {
      const [a, b] = connect(options);
      await Promise.all([once(a, 'connect'), once(b, 'connect')]);
      const text = once(b, 'data');
      a.send('hello');
      expect(String(await text)).toBe('hello');

      let received = 0;
      const all = new Promise<void>((resolve) => {
        a.on('data', (chunk: Uint8Array) => {
          received += chunk.length;
          if (received === 1_000_000) resolve();
        });
      });
      for (let i = 0; i < 20; i++) b.write(Buffer.alloc(50_000, i));
      await all;
      expect(a.address().address).toBe('127.0.0.1');

      const closed = new Promise((resolve) => b.once('close', resolve));
      b.on('error', () => undefined); // as in Chrome, the end of the other side is told as an error too
      a.destroy();
      await closed;
    },
  );
});
