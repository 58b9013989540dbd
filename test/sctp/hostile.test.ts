/** What a peer with the right tags may ask for: answers that fit no packet, and lists that cost more to walk than to send. */
import { describe, expect, it } from 'vitest';
import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import { HELD_OVERHEAD_BYTES, RECEIVE_OVERCOMMIT } from '../../src/sctp/limits.ts';
import { encodeInit, type InitChunk } from '../../src/sctp/wire/init.ts';
import { encodeReConfig } from '../../src/sctp/wire/re-config.ts';
import { connectedPair, makePair, type Pair, pattern } from './helpers.ts';
import { chunksOf, hex32, packet, tagOf } from './packets.ts';

const MTU_BYTES = 1191;
const INIT: InitChunk = {
  initiateTag: 7,
  aRwnd: 100_000,
  outboundStreams: 10,
  inboundStreams: 10,
  initialTsn: 1,
  parameters: {},
};

/** A pair after one message, the tag and TSN of a's next packet, and what b sends from here on. */
function established(options: Parameters<typeof connectedPair>[0] = {}) {
  const pair = connectedPair({ ...options, a: { initialTsn: 1000, ...options.a } });
  let tag = 0;
  pair.a.end.link.onSend = (bytes) => {
    tag = tagOf(bytes);
  };
  pair.a.send({ bytes: pattern(10, 1) });
  pair.world.run({ until: pair.world.now + 1000 });
  return { pair, tag, sent: sentBy(pair), tsn: 1001 };
}

function sentBy(pair: Pair): Uint8Array[] {
  const sent: Uint8Array[] = [];
  pair.b.end.link.onSend = (bytes) => sent.push(bytes.slice());
  return sent;
}

describe('answers that would fit no packet', () => {
  it('DATA: padding counts, so that no packet is a byte longer than it may be', () => {
    const pair = connectedPair({ a: { mtuBytes: MTU_BYTES } });
    let longest = 0;
    pair.a.end.link.onSend = (bytes) => {
      longest = Math.max(longest, bytes.length);
    };
    for (let length = MTU_BYTES - 80; length < MTU_BYTES; length++) {
      pair.a.end.driver.mutate((now) => {
        for (const bytes of [pattern(4, 1), pattern(length, 2)])
          pair.a.core.send({ streamId: 0, ppid: 51, bytes, ordered: true }, now);
      });
      pair.world.run({ until: pair.world.now + 1000 });
    }
    expect(longest).toBeLessThanOrEqual(MTU_BYTES);
    expect(longest).toBeGreaterThan(MTU_BYTES - 4);
  });

  it.each([512, MTU_BYTES])(
    'INIT: of 4,000 parameters to be reported an INIT ACK reports those that fit into %i bytes',
    (mtuBytes) => {
      const pair = makePair({ b: { mtuBytes } });
      const sent = sentBy(pair);
      const unknown = new Array<string>(4000).fill('c0990004').join('');
      const init = concatBytes(encodeInit(1, INIT), hexToBytes(unknown));
      init.set(hexToBytes(hex32(init.length).slice(4)), 2);
      pair.b.end.driver.input(packet(0, init), undefined);
      expect(sent).toHaveLength(1);
      expect(chunksOf(sent[0]!)[0]!.type).toBe(2);
      expect(sent[0]!.length).toBeLessThanOrEqual(mtuBytes);
      expect(sent[0]!.length).toBeGreaterThan(mtuBytes - 12);
    },
  );

  it('INIT ACK: a cookie that a packet has no room for ends the association; the longest that one has is echoed', () => {
    const answer = (cookieBytes: number) => {
      const pair = makePair();
      const sent = sentBy(pair);
      pair.b.end.driver.mutate((now) => pair.b.core.connect(now));
      const tag = tagOf(chunksOf(sent[0]!)[0]!.bytes); // the initiate tag stands where a packet has its tag
      const ack = encodeInit(2, { ...INIT, parameters: { cookie: new Uint8Array(cookieBytes) } });
      pair.b.end.driver.input(packet(tag, ack), undefined);
      const last = sent.at(-1)!;
      expect(last.length).toBeLessThanOrEqual(MTU_BYTES);
      return { pair, chunk: chunksOf(last)[0]! };
    };
    const longest = ((MTU_BYTES - 12) & ~3) - 4;
    expect(answer(longest).chunk).toMatchObject({ type: 10, bytes: { length: longest + 4 } });
    const { pair, chunk } = answer(longest + 1);
    expect([...chunk.bytes]).toEqual([6, 0, 0, 8, 0, 4, 0, 4]);
    expect(pair.b.end.events.at(-1)).toMatchObject({ type: 'aborted', byPeer: false, cause: 4 });
  });

  it('HEARTBEAT: what is longer than a packet is dropped, and what comes behind it is answered', () => {
    const { pair, tag, sent } = established();
    const heartbeat = (infoBytes: number) => {
      const chunk = new Uint8Array(8 + infoBytes);
      chunk.set([4, 0, chunk.length >>> 8, chunk.length, 0, 1, (infoBytes + 4) >>> 8, infoBytes + 4]);
      return chunk;
    };
    let dropped = 0;
    for (let infoBytes = MTU_BYTES - 40; infoBytes < MTU_BYTES + 200; infoBytes += 4) {
      sent.length = 0;
      pair.b.end.driver.input(packet(tag, heartbeat(infoBytes)), undefined);
      const fits = 12 + ((8 + infoBytes + 3) & ~3) <= MTU_BYTES;
      if (!fits) dropped++;
      expect(sent).toHaveLength(fits ? 1 : 0);
      pair.b.end.driver.input(packet(tag, heartbeat(4)), undefined);
      expect(chunksOf(sent.at(-1)!)[0]).toMatchObject({ type: 5, bytes: { length: 12 } });
    }
    expect(pair.b.core.drops.get('limit')).toBe(dropped);
  });
});

describe('tiny messages for a reader that is slow', () => {
  it('count with their overhead until they are consumed, each as a whole', () => {
    const { pair } = established({ b: { receiveWindowBytes: 600_000 } });
    const whole = pair.b.core.stats().receiveWindowBytes;
    const consume = (bytes: number) => pair.b.end.driver.mutate((now) => pair.b.core.consume(0, bytes, now));
    pair.b.end.driver.mutate((now) => pair.b.core.holdReceived(0, true, now));
    for (let i = 0; i < 20_000; i++) pair.a.send({ bytes: pattern(2, i) });
    pair.world.run({ until: pair.world.now + 60_000 });
    const held = pair.b.messages.length - 1;
    expect(held).toBeGreaterThan(8000);
    expect(held).toBeLessThan((RECEIVE_OVERCOMMIT * whole) / (2 + HELD_OVERHEAD_BYTES) + 1);
    expect(pair.b.core.state).toBe('established');
    consume(2 * held);
    pair.world.run({ until: pair.world.now + 60_000 });
    const rest = pair.b.messages.length - 1 - held;
    expect(pair.b.core.stats().receiveWindowBytes).toBe(whole - rest * (2 + HELD_OVERHEAD_BYTES));
    consume(3); // one and a half
    expect(pair.b.core.stats().receiveWindowBytes).toBe(
      whole - rest * (2 + HELD_OVERHEAD_BYTES) + 3 + HELD_OVERHEAD_BYTES,
    );
    pair.b.end.driver.mutate((now) => pair.b.core.holdReceived(0, false, now));
    expect(pair.b.core.stats().receiveWindowBytes).toBe(whole);
  });
});

describe('lists that cost more to walk than to send', () => {
  const MESSAGES = 100_000;
  const MID = 1_000_000;

  /** A pair in which b holds many messages of one stream: whole ones out of order, or the first fragments of them. */
  function crammed(flags: string) {
    const wire = established();
    const { pair, tag } = wire;
    const dropped = pair.b.core.drops.total;
    let tsn = wire.tsn;
    for (let sent = 0; sent < MESSAGES; ) {
      const chunks: string[] = [];
      for (let i = 0; i < 600; i++, sent++, tsn++)
        chunks.push(`40${flags}0015${hex32(tsn)}00010000${hex32(MID + sent)}0000003361`);
      pair.b.end.driver.input(packet(tag, ...chunks), undefined);
    }
    expect(pair.b.core.drops.total).toBe(dropped);
    return { ...wire, tsn };
  }

  /** Milliseconds of the processor. */
  function cost(run: () => void): number {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  }

  it.each([
    ['whole messages out of order', '03'],
    ['messages of which a part is here', '02'],
  ])('I-FORWARD-TSN: two thousand skipped messages among %s', (_name, flags) => {
    const { pair, tag, tsn } = crammed(flags);
    const entries = Array.from({ length: 2000 }, (_, i) => `00010000${hex32(i)}`);
    const forward = packet(tag, `c2003e88${hex32(tsn)}${entries.join('')}`);
    const before = pair.b.core.stats().receiveWindowBytes;
    const ms = cost(() => pair.b.end.driver.input(forward, undefined));
    expect(ms).toBeLessThan(300); // it took seconds
    expect(pair.b.core.stats().receiveWindowBytes).toBe(before);
    expect(pair.b.core.state).toBe('established');
    // All of them, at once: what was whole is delivered, and the window is open again.
    const all = packet(tag, `c2000010${hex32(tsn + 1)}00010000${hex32(MID + MESSAGES + 600)}`);
    pair.b.end.driver.input(all, undefined);
    expect(pair.b.core.stats().receiveWindowBytes).toBeGreaterThan(4_000_000);
    expect(pair.b.messages.length).toBeGreaterThanOrEqual(flags === '03' ? MESSAGES : 1);
  });

  it('RE-CONFIG: a reset of eight thousand streams', () => {
    const { pair, tag, tsn } = crammed('02');
    const streamIds = Array.from({ length: 8000 }, (_, i) => 8000 - i);
    const reset = encodeReConfig([
      { type: 'outgoing-reset', requestSeq: 1000, responseSeq: 0, lastTsn: tsn - 1, streamIds },
    ]);
    const ms = cost(() => pair.b.end.driver.input(packet(tag, reset), undefined));
    expect(ms).toBeLessThan(300);
    expect(pair.b.core.stats().receiveWindowBytes).toBeGreaterThan(4_000_000); // stream 1 was among them
  });
});
