import { afterEach, describe, expect, it } from 'vitest';
import type { RTCDataChannel } from '../../src/index.ts';
import { checksum, once, Pair, payload, untilState } from './support.ts';

const SIZES = [0, 1, 1200, 16_384, 65_535, 262_144];

let pair: Pair | undefined;
afterEach(() => {
  expect(pair?.refused ?? []).toEqual([]);
  pair?.close();
  pair = undefined;
});

function echo(channel: RTCDataChannel): void {
  channel.addEventListener('message', ({ data }) => channel.send(data));
}

async function roundTrip(channel: RTCDataChannel, data: string | ArrayBuffer): Promise<string> {
  const answer = once<MessageEvent>(channel, 'message');
  channel.send(data);
  return checksum((await answer).data);
}

describe('two connections over loopback sockets', () => {
  it.each(['active', 'passive'] as const)(
    'echo text and binary of every size, the answerer being DTLS %s',
    async (setup) => {
      pair = new Pair();
      const [a, b] = await pair.connect({}, (sdp, type) =>
        // The offer leaves the choice; what the signalling says decides it.
        type === 'offer' && setup === 'passive' ? sdp.replace('a=setup:actpass', 'a=setup:active') : sdp,
      );
      expect(pair.b.localDescription!.sdp).toContain(`a=setup:${setup}`);
      echo(b);
      for (const kind of ['text', 'binary'] as const) {
        for (const size of SIZES) {
          const data = payload(kind, size);
          expect(await roundTrip(a, data)).toBe(checksum(data));
        }
      }
      expect(pair.a.connectionState).toBe('connected');
      expect(pair.b.connectionState).toBe('connected');
    },
  );

  it('negotiated channels with an id agreed beforehand need no announcement', async () => {
    pair = new Pair();
    const [a] = await pair.connect();
    const left = pair.a.createDataChannel('left', { negotiated: true, id: 10 });
    const right = pair.b.createDataChannel('right', { negotiated: true, id: 10 });
    await Promise.all([untilState(left, 'open'), untilState(right, 'open')]);
    echo(right);
    expect(await roundTrip(left, 'over stream 10')).toBe(checksum('over stream 10'));
    expect(left.id).toBe(10);
    expect(a.id).not.toBe(10);
  });

  it('carry label, protocol, reliability and ids to the other side', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect({ ordered: false, maxRetransmits: 3, protocol: 'chat.v1' });
    expect({ label: b.label, protocol: b.protocol, ordered: b.ordered, maxRetransmits: b.maxRetransmits }).toEqual({
      label: 'test',
      protocol: 'chat.v1',
      ordered: false,
      maxRetransmits: 3,
    });
    expect(b.maxPacketLifeTime).toBeNull();
    expect(b.negotiated).toBe(false);
    // RFC 8832 §6: the DTLS client uses even ids; the answerer is the client, and the offerer opened this one.
    expect(a.id).toBe(1);
    expect(b.id).toBe(1);
  });

  it('take views, Blobs and strings in the order of send, and deliver Blobs where asked for', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const received: unknown[] = [];
    const all = new Promise<void>((resolve) => {
      b.onmessage = ({ data }) => {
        received.push(data);
        if (received.length === 4) resolve();
      };
    });
    const source = Uint8Array.of(9, 1, 2, 3, 9);
    a.send(source.subarray(1, 4));
    source.fill(0); // copied: this must not reach the peer
    a.send(new Blob(['from a ', 'blob']));
    a.send('behind the blob');
    const behind = new Uint16Array([0x0201]);
    a.send(behind);
    behind.fill(0); // that one waits for the Blob to be read
    expect(a.bufferedAmount).toBe(3 + 11 + 15 + 2);
    await all;
    const bytes = (data: unknown) => [...new Uint8Array(data as ArrayBuffer)];
    expect(bytes(received[0])).toEqual([1, 2, 3]);
    expect(new TextDecoder().decode(received[1] as ArrayBuffer)).toBe('from a blob');
    expect(received[2]).toBe('behind the blob');
    expect(bytes(received[3])).toEqual([1, 2]);

    b.binaryType = 'blob';
    const blob = once<MessageEvent>(b, 'message');
    a.send(Uint8Array.of(7));
    const { data } = await blob;
    expect(data).toBeInstanceOf(Blob);
    expect([...new Uint8Array(await (data as Blob).arrayBuffer())]).toEqual([7]);
  });

  it('carry what a message was when it was sent, however often one buffer is used', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const received: string[] = [];
    b.onmessage = ({ data }) => received.push(checksum(data));
    const buffer = new Uint8Array(262_144);
    const sent: string[] = [];
    for (let i = 0; i < 40; i++) {
      const message = buffer.subarray(0, 60_000 + 5000 * i).fill(i);
      sent.push(checksum(message.slice().buffer));
      a.send(message);
      if (i % 8 === 7) await expect.poll(() => received.length).toBe(sent.length); // their memory is free for the next
    }
    expect(received).toEqual(sent);
  });

  it('what is too long or too much is refused by send itself, also for a Blob and behind one', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const received: number[] = [];
    b.onmessage = ({ data }) => received.push(data.byteLength);
    const most = pair.a.sctp!.maxMessageSize;
    expect(() => a.send(new Blob([new Uint8Array(most + 1)]))).toThrow(TypeError);
    a.send(new Blob([new Uint8Array(most)]));
    expect(() => a.send(new Uint8Array(most + 1))).toThrow(TypeError);
    expect(() => a.send('x'.repeat(most + 1))).toThrow(TypeError);
    const fill = (): void => {
      for (let i = 0; i < 100; i++) a.send(new Blob([new Uint8Array(most)]));
    };
    expect(fill).toThrow(expect.objectContaining({ name: 'OperationError' }));
    const sent = a.bufferedAmount / most;
    expect(sent).toBe(64); // 16 MiB
    await expect.poll(() => received, { timeout: 30_000 }).toEqual(Array(sent).fill(most));
    expect(a.readyState).toBe('open');
  });

  it('bufferedAmount does not fall within a task, and bufferedamountlow tells when it has', async () => {
    pair = new Pair();
    const [a] = await pair.connect();
    a.bufferedAmountLowThreshold = 1000;
    const low = once(a, 'bufferedamountlow');
    a.send(new Uint8Array(600));
    a.send(new Uint8Array(700));
    expect(a.bufferedAmount).toBe(1300);
    await low;
    expect(a.bufferedAmount).toBeLessThanOrEqual(1000);
  });

  it('bufferedAmount has fallen when the message is there, also where both ends are of one process', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    for (let i = 0; i < 50; i++) {
      const received = once(b, 'message');
      a.send('five.');
      expect(a.bufferedAmount).toBe(5);
      await received;
      expect(a.bufferedAmount).toBe(0);
    }
  });

  it('send refuses with OperationError when 16 MiB wait, and takes more once they have left', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    let received = 0;
    b.onmessage = ({ data }) => {
      received += data.byteLength;
    };
    const chunk = new Uint8Array(262_144);
    let sent = 0;
    const fill = (): void => {
      for (let i = 0; i < 100; i++) {
        a.send(chunk);
        sent += chunk.length;
      }
    };
    expect(fill).toThrow(expect.objectContaining({ name: 'OperationError' }));
    expect(a.bufferedAmount).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(sent).toBeGreaterThanOrEqual(15 * 1024 * 1024);
    await once(a, 'bufferedamountlow', 30_000);
    a.send(chunk);
    await expect.poll(() => received, { timeout: 30_000 }).toBe(sent + chunk.length);
  });
});
