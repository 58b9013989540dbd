import { describe, expect, it } from 'vitest';
import { PERFECT, seeds } from '../sim/index.ts';
import { makePair, type Pair, type PairOptions, pattern, type Side } from './helpers.ts';
import { chunksOf, packet, tagOf } from './packets.ts';

const COOKIE_ECHO = 10;
const LATENCY_MS = 50;

/** A pair in which `a` sends `early` as soon as it may, and after that is up `late`. */
function makeEarlyPair(options: PairOptions = {}): Pair {
  const pair = makePair({ link: { latencyMs: LATENCY_MS }, ...options, a: { earlyData: true, ...options.a } });
  for (const side of [pair.a, pair.b]) greet(side);
  return pair;
}

function greet(side: Side): void {
  const { onEvent } = side.end;
  side.end.onEvent = (event) => {
    onEvent?.(event);
    if (event.type === 'sendable') side.send({ ppid: 1, bytes: pattern(300, 1) });
    else if (event.type === 'connected') side.send({ ppid: 2, bytes: pattern(300, 2) });
  };
}

const connect = (side: Side) => side.end.driver.mutate((now) => side.core.connect(now));
const heard = (side: Side) => side.messages.map((m) => m.ppid);

/** The first COOKIE ECHO of a side, and when packets of it went out. */
function watch(side: Side): { readonly packets: Uint8Array[]; readonly times: number[] } {
  const packets: Uint8Array[] = [];
  const times: number[] = [];
  side.end.link.onSend = (bytes, now) => {
    packets.push(bytes.slice());
    times.push(now);
  };
  return { packets, times };
}

describe('DATA that rides with the COOKIE ECHO (RFC 9260 §5.1 C)', () => {
  it('arrives after one and a half round trips, where what waits for the COOKIE ACK takes one more', () => {
    const pair = makeEarlyPair();
    const sent = watch(pair.a);
    connect(pair.a);
    const arrivals: number[] = [];
    for (let n = 1; n <= 2; n++) {
      pair.world.run({ until: 1000, done: () => pair.b.messages.length === n });
      arrivals.push(pair.world.now);
    }
    expect(arrivals).toEqual([3 * LATENCY_MS, 5 * LATENCY_MS]);
    expect(heard(pair.b)).toEqual([1, 2]);
    expect(sent.packets.map((bytes) => chunksOf(bytes).map((chunk) => chunk.type)).slice(0, 2)).toEqual([
      [1],
      [COOKIE_ECHO, 64],
    ]);
    expect(pair.a.core.stats().retransmissions).toBe(0);
    expect(pair.a.types().slice(0, 2)).toEqual(['sendable', 'buffered-amount-low']);
  });

  it('goes again with a COOKIE ECHO that is lost, and nothing else goes before the COOKIE ACK', () => {
    const pair = makeEarlyPair();
    const sent = watch(pair.a);
    let echoes = 0;
    pair.a.end.link.dropIf = (_index, bytes) => bytes[12] === COOKIE_ECHO && ++echoes < 3;
    connect(pair.a);
    pair.world.run({ until: 30_000, done: () => pair.b.messages.length === 2 });
    expect(heard(pair.b)).toEqual([1, 2]);
    const types = sent.packets.map((bytes) => chunksOf(bytes).map((chunk) => chunk.type));
    expect(types.slice(0, 4)).toEqual([[1], [COOKIE_ECHO, 64], [COOKIE_ECHO, 64], [COOKIE_ECHO, 64]]);
    expect(sent.times.slice(1, 4)).toEqual([100, 600, 1600]); // T1-cookie, and no timer of DATA
    expect(pair.a.core.stats().timeouts).toBe(0);
  });

  it('a peer that takes only the COOKIE ECHO gets it again', () => {
    const pair = makeEarlyPair();
    pair.a.end.link.dropIf = (_index, bytes) => {
      if (bytes[12] !== COOKIE_ECHO) return false;
      const alone = packet(tagOf(bytes), chunksOf(bytes)[0]!.bytes);
      pair.b.end.driver.input(alone, undefined);
      return true;
    };
    connect(pair.a);
    pair.world.run({ until: 10_000, done: () => pair.b.messages.length === 2 });
    expect(heard(pair.b)).toEqual([1, 2]);
  });

  it('more than fits waits for the COOKIE ACK', () => {
    const pair = makeEarlyPair();
    const sent = watch(pair.a);
    const { onEvent } = pair.a.end;
    pair.a.end.onEvent = (event) => {
      onEvent?.(event);
      if (event.type === 'sendable') pair.a.send({ ppid: 3, bytes: pattern(5000, 3) });
    };
    connect(pair.a);
    pair.world.run({ until: 149 });
    expect(sent.packets.length).toBe(2);
    expect(sent.packets[1]!.length).toBeLessThanOrEqual(1191);
    pair.world.run({ until: 2000 });
    expect(heard(pair.b)).toEqual([1, 3, 2]);
  });

  it('moves on where the peer forgot the tag of its INIT ACK, because it connects only now', () => {
    const pair = makeEarlyPair({ b: { earlyData: true } });
    connect(pair.a);
    pair.world.run({ until: LATENCY_MS }); // b has answered the INIT, under a tag that it did not keep
    connect(pair.b);
    pair.world.run({ until: 10_000 });
    expect([heard(pair.a), heard(pair.b)]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(pair.a.types().filter((type) => type !== 'buffered-amount-low')).toEqual(['sendable', 'connected']);
  });

  it('waits for the next COOKIE ECHO where the first was stale (RFC 9260 §5.2.6)', () => {
    const pair = makeEarlyPair();
    let tag = 0;
    pair.a.end.link.onSend = (bytes) => {
      if (bytes[12] === 1) tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(16);
    };
    pair.a.end.link.dropIf = (_index, bytes) => bytes[12] === COOKIE_ECHO;
    connect(pair.a);
    pair.world.run({ until: 150 });
    pair.a.end.link.dropIf = undefined;
    pair.a.end.driver.input(packet(tag, '0900000c0003000800000001'), undefined);
    expect(() => pair.a.send({ bytes: pattern(1, 1) })).toThrow('cookie-wait');
    pair.world.run({ until: 3000 });
    expect(heard(pair.b)).toEqual([1, 2]);
    expect(pair.a.types().filter((type) => type === 'sendable').length).toBe(1);
  });

  it('is refused like any other message: empty, or on a stream that there will not be', () => {
    const pair = makePair({ a: { earlyData: true, outboundStreams: 4 } });
    const errors: unknown[] = [];
    pair.a.end.onEvent = (event) => {
      if (event.type !== 'sendable') return;
      for (const message of [{ bytes: new Uint8Array(0) }, { bytes: pattern(1, 1), streamId: 4 }]) {
        try {
          pair.a.send(message);
        } catch (error) {
          errors.push((error as Error).message);
        }
      }
    };
    connect(pair.a);
    pair.world.run({ until: 1000 });
    expect(errors).toEqual(['a message has at least one byte', 'streamId must be an integer from 0 to 3, not 4']);
  });

  it('without the option nothing is sendable before the association is up', () => {
    const pair = makePair({ link: { latencyMs: LATENCY_MS } });
    connect(pair.a);
    pair.world.run({ until: 2 * LATENCY_MS });
    expect(pair.a.core.state).toBe('cookie-echoed');
    expect(() => pair.a.send({ bytes: pattern(1, 1) })).toThrow('send: the association is cookie-echoed');
  });

  it.each(seeds(300))('seed %i: under loss, reordering and crossing INITs all arrives once and in order', (seed) => {
    const link = { latencyMs: 20, jitterMs: 100, loss: 0.25, duplicate: 0.2, reorder: 0.1 };
    const options = { earlyData: true, interleaving: seed % 3 !== 0, maxInitRetransmissions: 50 };
    const pair = makeEarlyPair({ seed, link: seed % 5 === 0 ? PERFECT : link, a: options, b: options });
    connect(pair.a);
    if (seed % 4 !== 0) pair.world.schedule((seed * 7) % 90, () => connect(pair.b));
    const count = (side: Side) => (side.types().includes('sendable') ? 2 : 1);
    const up = () => [pair.a, pair.b].every((side) => side.types().includes('connected'));
    const done = () => up() && heard(pair.a).length >= count(pair.b) && heard(pair.b).length >= count(pair.a);
    expect(pair.world.run({ until: 120_000, done })).toBe(true);
    pair.world.run({ until: pair.world.now + 5000 });
    for (const [side, other] of [
      [pair.a, pair.b],
      [pair.b, pair.a],
    ] as const) {
      expect(heard(side)).toEqual(count(other) === 2 ? [1, 2] : [2]);
      expect(side.types().filter((type) => type === 'connected').length).toBe(1);
    }
  });
});
