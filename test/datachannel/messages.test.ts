import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../src/core/index.ts';
import { type DataChannelEvent, PPID } from '../../src/datachannel/index.ts';
import { type FakeSide, fakePair } from './fake-association.ts';

const refusedWith = (code: string) => expect.objectContaining({ code });
const received = (events: readonly DataChannelEvent[]) => events.flatMap((e) => (e.type === 'message' ? [e.data] : []));

/** Two sides with one open channel (stream 0), nothing in flight and all events taken. */
function openPair(options: Parameters<typeof fakePair>[1] = {}) {
  const pair = fakePair({ role: 'client', ...options }, { role: 'server', ...options });
  const handle = pair.a.channels.open({ label: 'x' }, 0);
  pair.up();
  pair.settle();
  pair.a.events();
  pair.b.events();
  return { ...pair, handle };
}

function arrive(side: FakeSide, ppid: number, bytes: Uint8Array, unordered = false): void {
  side.association.event({ type: 'message', streamId: 0, ppid, bytes, unordered });
}

describe('user messages (RFC 8831 §6.6)', () => {
  it.each([
    ['text', 'grüezi 👋', PPID.string, utf8('grüezi 👋')],
    ['binary', Uint8Array.of(0, 255), PPID.binary, Uint8Array.of(0, 255)],
    ['empty text', '', PPID.stringEmpty, Uint8Array.of(0)],
    ['empty binary', new Uint8Array(0), PPID.binaryEmpty, Uint8Array.of(0)],
  ])('%s', (_, data, ppid, bytes) => {
    const { a, b, handle, settle } = openPair();
    a.channels.send(handle, data, 0);
    expect(a.association.sent.at(-1)).toMatchObject({ streamId: 0, ppid, bytes, ordered: true });
    settle();
    expect(b.events()).toEqual([{ type: 'message', handle: 1, data }]);
  });

  it('takes bytes without copying them', () => {
    const { a, handle } = openPair();
    const bytes = new Uint8Array(100_000 - 40_000);
    a.channels.send(handle, bytes, 0);
    expect(a.association.sent.at(-1)?.bytes).toBe(bytes);
  });

  it('ignores what an empty message carries', () => {
    const { b } = openPair();
    arrive(b, PPID.stringEmpty, utf8('ignored'));
    arrive(b, PPID.binaryEmpty, utf8('ignored'));
    expect(received(b.events())).toEqual(['', new Uint8Array(0)]);
  });

  it('wrong UTF-8 becomes U+FFFD, as the W3C has it; a byte order mark stays', () => {
    const { b } = openPair();
    arrive(b, PPID.string, Uint8Array.of(0x61, 0xff));
    arrive(b, PPID.string, Uint8Array.of(0xef, 0xbb, 0xbf, 0x61));
    expect(received(b.events())).toEqual(['a\ufffd', '\ufeffa']);
  });

  it('lone surrogates go out as U+FFFD', () => {
    const { a, b, handle, settle } = openPair();
    a.channels.send(handle, 'a\ud800b', 0);
    settle();
    expect(received(b.events())).toEqual(['a\ufffdb']);
  });

  it('accepts unordered messages on an ordered channel: out-of-band parameters may differ', () => {
    const { b } = openPair();
    arrive(b, PPID.string, utf8('x'), true);
    expect(received(b.events())).toEqual(['x']);
  });

  it('an unknown payload protocol identifier closes the channel with an error', () => {
    const { b, settle } = openPair();
    arrive(b, 55, utf8('x'));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-type': 1 });
    settle();
    expect(b.events().map((e) => e.type)).toEqual(['closing', 'error', 'closed']);
  });

  it('counts messages and bytes', () => {
    const { a, b, handle, settle } = openPair();
    a.channels.send(handle, 'äö', 0);
    a.channels.send(handle, '', 0);
    settle();
    expect(a.channels.info(handle)).toMatchObject({ messagesSent: 2, bytesSent: 4, messagesReceived: 0 });
    expect(b.channels.info(1)).toMatchObject({ messagesReceived: 2, bytesReceived: 4, messagesSent: 0 });
  });
});

describe('deprecated partial messages (RFC 8831 §6.6)', () => {
  it('are joined with the message that ends them', () => {
    const { b } = openPair();
    arrive(b, PPID.stringPartial, utf8('one '));
    arrive(b, PPID.stringPartial, utf8('two '));
    expect(b.events()).toEqual([]);
    arrive(b, PPID.string, utf8('three'));
    arrive(b, PPID.binaryPartial, Uint8Array.of(1));
    arrive(b, PPID.binary, Uint8Array.of(2));
    arrive(b, PPID.binary, Uint8Array.of(3));
    expect(received(b.events())).toEqual(['one two three', Uint8Array.of(1, 2), Uint8Array.of(3)]);
  });

  it('a character cut in two by the parts is whole again', () => {
    const { b } = openPair();
    const bytes = utf8('👋');
    arrive(b, PPID.stringPartial, bytes.subarray(0, 1));
    arrive(b, PPID.string, bytes.subarray(1));
    expect(received(b.events())).toEqual(['👋']);
  });

  it('any cut into parts gives the same bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 6_000 }), { minLength: 1, maxLength: 12 }),
        (parts) => {
          const { b } = openPair();
          parts.forEach((part, i) => {
            arrive(b, i === parts.length - 1 ? PPID.binary : PPID.binaryPartial, part);
          });
          expect(received(b.events())).toEqual([concatBytes(...parts)]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it.each([
    ['binary part, text end', PPID.binaryPartial, PPID.string],
    ['text part, binary end', PPID.stringPartial, PPID.binary],
    ['text part, binary part', PPID.stringPartial, PPID.binaryPartial],
    ['text part, empty text', PPID.stringPartial, PPID.stringEmpty],
  ])('%s: mixed kinds close the channel', (_, first, second) => {
    const { b } = openPair();
    arrive(b, first, utf8('x'));
    arrive(b, second, utf8('x'));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-order': 1 });
    expect(b.association.resets).toEqual([0]);
  });

  it('a joined message beyond the bound closes the channel, one on it does not', () => {
    const { b } = openPair({ maxReceiveMessageBytes: 1_000 });
    arrive(b, PPID.binaryPartial, new Uint8Array(999));
    arrive(b, PPID.binary, new Uint8Array(1));
    expect(received(b.events())).toEqual([new Uint8Array(1_000)]);
    arrive(b, PPID.binaryPartial, new Uint8Array(1_000));
    arrive(b, PPID.binary, new Uint8Array(1));
    expect(b.channels.drops.toJSON()).toEqual({ limit: 1 });
    expect(b.association.resets).toEqual([0]);
  });

  it('parts of all channels together are bounded at four messages', () => {
    const { a, b, settle } = openPair({ maxReceiveMessageBytes: 1_000 });
    for (let i = 0; i < 5; i++) a.channels.open({}, 0);
    settle();
    const part = (streamId: number) =>
      b.association.event({
        type: 'message',
        streamId,
        ppid: PPID.binaryPartial,
        bytes: new Uint8Array(1_000),
        unordered: false,
      });
    for (const id of [0, 2, 4, 6]) part(id);
    expect(b.channels.drops.total).toBe(0);
    part(8);
    expect(b.channels.drops.toJSON()).toEqual({ limit: 1 });
    expect(b.association.resets).toEqual([8]);
    // The bound counts what is held: a channel that ends gives its share back.
    b.association.event({ type: 'incoming-reset', streamIds: [0] });
    settle();
    part(10);
    expect(b.channels.drops.toJSON()).toEqual({ limit: 1 });
  });
});

describe('send() refuses rather than drops', () => {
  it('before the channel is open and after it is closing or closed', () => {
    const { a, up, settle } = fakePair();
    const handle = a.channels.open({}, 0);
    expect(() => a.channels.send(handle, 'x', 0)).toThrow(refusedWith('not-open'));
    up();
    settle();
    a.channels.close(handle, 0);
    expect(() => a.channels.send(handle, 'x', 0)).toThrow(refusedWith('not-open'));
    settle();
    expect(() => a.channels.send(handle, 'x', 0)).toThrow(refusedWith('not-open'));
  });

  it('over the size that the peer takes: bytes of UTF-8, 65,536 unless it says otherwise, 0 for any', () => {
    const { a, handle } = openPair();
    a.channels.send(handle, new Uint8Array(65_536), 0);
    expect(() => a.channels.send(handle, new Uint8Array(65_537), 0)).toThrow(refusedWith('message-too-large'));
    expect(() => a.channels.send(handle, 'é'.repeat(32_769), 0)).toThrow(refusedWith('message-too-large'));
    a.channels.setMaxSendMessageBytes(0);
    a.channels.send(handle, new Uint8Array(1_000_000), 0);
    a.channels.setMaxSendMessageBytes(10);
    expect(() => a.channels.send(handle, new Uint8Array(11), 0)).toThrow(refusedWith('message-too-large'));
    expect(a.association.sent.map((m) => m.bytes.length).slice(1)).toEqual([65_536, 1_000_000]);
  });

  it('over the bound of one channel, until there is room again', () => {
    const { a, b, handle, settle } = openPair({ maxBufferedBytes: 1_000 });
    a.channels.send(handle, new Uint8Array(600), 0);
    expect(() => a.channels.send(handle, new Uint8Array(401), 0)).toThrow(refusedWith('buffer-full'));
    a.channels.send(handle, new Uint8Array(400), 0);
    expect(() => a.channels.send(handle, 'x', 0)).toThrow(refusedWith('buffer-full'));
    expect(() => a.channels.send(handle, new Uint8Array(1_001), 0)).toThrow(refusedWith('message-too-large'));
    settle();
    a.channels.send(handle, new Uint8Array(401), 0);
    settle();
    expect(received(b.events()).map((d) => d.length)).toEqual([600, 400, 401]);
  });

  it('when the association has no room', () => {
    const { a, handle } = openPair();
    a.association.sendBufferBytes = 100;
    expect(() => a.channels.send(handle, new Uint8Array(101), 0)).toThrow(refusedWith('buffer-full'));
    expect(a.channels.info(handle)).toMatchObject({ messagesSent: 0, bytesSent: 0 });
    expect(a.channels.bufferedAmount(handle)).toBe(0);
  });
});

describe('bufferedAmount counts application bytes only (W3C)', () => {
  it('not DATA_CHANNEL_OPEN, not the byte of empty messages', () => {
    const { a, up } = fakePair();
    const handle = a.channels.open({ label: 'a long label' }, 0);
    expect(a.channels.bufferedAmount(handle)).toBe(0);
    up();
    expect(a.channels.bufferedAmount(handle)).toBe(0);
    expect(a.association.bufferedAmount(0)).toBe(24);
    for (const data of ['', 'äb', new Uint8Array(0), new Uint8Array(5), '']) a.channels.send(handle, data, 0);
    expect(a.channels.bufferedAmount(handle)).toBe(8);
    const amounts: number[] = [];
    while (a.association.outbox.length > 0) {
      a.association.deliver(0);
      amounts.push(a.channels.bufferedAmount(handle));
    }
    expect(amounts).toEqual([8, 8, 5, 5, 0, 0]);
  });

  it('is right for every half-sent queue', () => {
    const sizes = fc.array(fc.nat(20), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(40), { maxLength: 60 }), (messages, cuts) => {
        const { a, handle } = openPair();
        // The carrier's own count, byte by byte: true for the application's bytes.
        let wire: boolean[] = [];
        a.association.bufferedAmount = () => wire.length;
        a.association.send = ({ ppid, bytes }) => {
          wire.push(...new Array<boolean>(bytes.length).fill(ppid === PPID.binary));
        };
        for (const size of messages) a.channels.send(handle, new Uint8Array(size), 0);
        for (const cut of [0, ...cuts]) {
          wire = wire.slice(cut);
          expect(a.channels.bufferedAmount(handle)).toBe(wire.filter((byte) => byte).length);
        }
      }),
    );
  });

  it('buffered-amount-low comes once each time the amount falls from above the threshold to it', () => {
    const { a, handle } = openPair();
    a.channels.setBufferedAmountLowThreshold(handle, 10);
    const send = (...sizes: number[]) => {
      for (const size of sizes) a.channels.send(handle, new Uint8Array(size), 0);
    };
    const low = () => a.events().filter((e) => e.type === 'buffered-amount-low').length;
    send(10);
    a.association.deliver(0);
    expect(low()).toBe(0); // was never above
    send(8, 5, 5);
    a.association.deliver(0);
    expect(low()).toBe(1); // 18 → 10
    a.association.deliver(0);
    expect(low()).toBe(0);
    send(20);
    a.association.deliver(0);
    expect(low()).toBe(0); // 25 → 20
    a.association.deliver(0);
    expect(low()).toBe(1); // 20 → 0
  });

  it('DATA_CHANNEL_OPEN alone gives no low event', () => {
    const { a, up, settle } = fakePair();
    a.channels.open({ label: 'x' }, 0);
    up();
    settle();
    expect(a.events().map((e) => e.type)).toEqual(['id', 'open']);
  });

  it('a threshold set before the channel is open counts', () => {
    const { a, up } = fakePair();
    const handle = a.channels.open({ negotiated: true, id: 4 }, 0);
    a.channels.setBufferedAmountLowThreshold(handle, 3);
    up();
    a.events();
    a.channels.send(handle, new Uint8Array(2), 0);
    a.channels.send(handle, new Uint8Array(3), 0);
    a.association.deliver(0);
    expect(a.events()).toEqual([{ type: 'buffered-amount-low', handle }]);
  });
});

describe('a slow reader', () => {
  it('holds the receive window and gives it back as it reads', () => {
    const { b } = openPair();
    b.channels.holdReceived(1, true, 0);
    arrive(b, PPID.binary, new Uint8Array(5));
    arrive(b, PPID.stringEmpty, new Uint8Array(1));
    arrive(b, PPID.string, Uint8Array.of(0xff, 0xff)); // no UTF-8: each becomes U+FFFD, three bytes of text
    const held = b.events().map((event) => (event.type === 'message' ? event.heldBytes : undefined));
    expect(held.slice(-3)).toEqual([5, 1, 2]);
    expect(b.association.consumed).toEqual([]); // an empty message too is held until it is read
    b.channels.consume(1, 5, 0);
    expect(b.association.consumed).toEqual([[0, 5]]);
    b.channels.close(1, 0);
    expect(b.association.held.get(0)).toBe(false);
  });

  it('can be expected before the channel is open; the ACK does not count', () => {
    const { a, up, settle } = fakePair({ role: 'client' }, { role: 'server' });
    const handle = a.channels.open({ label: 'x' }, 0);
    a.channels.holdReceived(handle, true, 0);
    expect(a.association.held.size).toBe(0);
    up();
    settle();
    expect([...a.association.held]).toEqual([[0, true]]);
    expect(a.association.consumed).toEqual([[0, 1]]);
  });

  it('consuming without holding does nothing', () => {
    const { b } = openPair();
    b.channels.consume(1, 5, 0);
    expect(b.association.consumed).toEqual([]);
  });
});
