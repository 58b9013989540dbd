import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../src/core/index.ts';
import { seeds } from '../sim/index.ts';
import { connectedPair, pattern } from './helpers.ts';
import { chunksOf, packet as rebuild } from './packets.ts';

describe('acknowledgements', () => {
  it('one packet waits 200 ms for its SACK; the very first, two, and one with an I bit do not', () => {
    const pair = connectedPair({ link: { latencyMs: 10 } });
    pair.world.run({ until: 1000 });
    const sacks: number[] = [];
    pair.b.end.link.onSend = (bytes, now) => {
      if (bytes[12] === 3) sacks.push(now);
    };
    for (const _ of ['the first', 'the second']) {
      pair.a.send({ bytes: pattern(10, 1) });
      pair.world.run({ until: pair.world.now + 1000 });
    }
    expect(sacks).toEqual([1010, 2210]);
    pair.a.send({ bytes: pattern(1100, 1) });
    pair.a.send({ bytes: pattern(1100, 1) });
    pair.world.run({ until: 4000 });
    expect(sacks).toEqual([1010, 2210, 3010]);
    pair.a.end.driver.mutate((now) => pair.a.core.shutdown(now));
    pair.world.run({ until: 4500 });
    expect(pair.a.core.state).toBe('closed');
  });

  it('a SACK rides along with DATA that goes the other way', () => {
    const pair = connectedPair();
    pair.a.send({ bytes: pattern(10, 1) });
    pair.world.run({ until: 100 });
    const types: number[][] = [];
    pair.b.end.link.onSend = (bytes) => types.push(chunksOf(bytes).map((chunk) => chunk.type));
    pair.a.send({ bytes: pattern(10, 2) });
    pair.world.run({ until: 200 });
    pair.b.send({ bytes: pattern(10, 1) });
    expect(types).toEqual([[3, 64]]);
  });

  it('a lost packet is named in a gap ack block at once and sent again before any timeout', () => {
    const pair = connectedPair({ link: { latencyMs: 20 } });
    let data = 0;
    pair.a.end.link.dropIf = (_index, bytes) => bytes[12] === 64 && ++data === 3;
    pair.a.send({ bytes: pattern(20_000, 1) });
    const start = pair.world.now;
    expect(pair.world.run({ until: start + 1000, done: () => pair.b.messages.length === 1 })).toBe(true);
    expect(pair.world.now - start).toBeLessThan(150);
    expect(pair.a.core.stats()).toMatchObject({ retransmissions: 1, timeouts: 0 });
  });

  it('a lost last packet is found by a probe, long before T3-rtx', () => {
    const pair = connectedPair({ link: { latencyMs: 20 } });
    pair.a.send({ bytes: pattern(3000, 1) });
    pair.world.run({ until: pair.world.now + 2000 });
    let dropped = false;
    pair.a.end.link.dropIf = (_index, bytes) => {
      const drop = bytes[12] === 64 && !dropped && (bytes[13]! & 1) === 1; // the fragment with the E bit
      if (drop) dropped = true;
      return drop;
    };
    const start = pair.world.now;
    pair.a.send({ bytes: pattern(5000, 2) });
    expect(pair.world.run({ until: start + 1000, done: () => pair.b.messages.length === 2 })).toBe(true);
    expect(pair.world.now - start).toBeLessThan(400);
    expect(pair.a.core.stats()).toMatchObject({ probes: 1, timeouts: 0 });
  });

  it('T3-rtx backs off on its timetable and the association fails after Association.Max.Retrans', () => {
    const pair = connectedPair({
      link: { latencyMs: 1 },
      a: { maxRetransmissions: 4, heartbeatIntervalMs: 0 },
      b: { heartbeatIntervalMs: 0 },
    });
    pair.world.run({ until: 1000 });
    pair.a.end.link.options = { latencyMs: 1, loss: 1 };
    const sentAt: number[] = [];
    pair.a.end.link.onSend = (_bytes, now) => sentAt.push(now);
    pair.a.send({ bytes: pattern(10, 1) });
    pair.world.run();
    // A tail loss probe after 2 round trips and the peer's SACK delay, then T3-rtx: 400 ms, doubled each time.
    expect(sentAt).toEqual([1000, 1204, 1604, 2404, 4004, 7204]);
    expect(pair.world.now).toBe(13_604);
    expect(pair.a.end.events.at(-1)).toEqual({ type: 'failed', message: 'the peer does not answer any more' });
  });

  it('heartbeats notice that an idle peer has vanished', () => {
    const pair = connectedPair({ a: { heartbeatIntervalMs: 5000, maxRetransmissions: 3 } });
    pair.world.run({ until: 60_000 });
    expect(pair.a.core.state).toBe('established');
    expect(pair.a.core.stats().smoothedRttMs).toBeCloseTo(2, 0);
    pair.b.end.link.options = { latencyMs: 1, loss: 1 };
    pair.world.run({ until: 120_000 });
    expect(pair.a.core.state).toBe('closed');
    expect(pair.a.types().at(-1)).toBe('failed');
  });

  it('a peer that takes back what it had gap-acked is sent it again (RFC 9260 §6.2.1)', () => {
    const pair = connectedPair({ a: { initialTsn: 100, interleaving: false } });
    pair.world.run({ until: 1000 });
    const sent: number[] = [];
    let tag = 0;
    pair.a.end.link.dropIf = () => true;
    pair.a.end.link.onSend = (bytes) => {
      for (const chunk of chunksOf(bytes)) if (chunk.type === 0) sent.push(chunk.bytes[7]!);
    };
    pair.b.end.link.onSend = (bytes) => {
      tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    };
    pair.b.send({ bytes: pattern(1, 1) });
    pair.world.run({ until: 1500 });
    for (let i = 0; i < 4; i++) pair.a.send({ bytes: pattern(1000, i) });
    expect(sent).toEqual([100, 101, 102, 103]);
    const sack = (cumulative: number, gaps: string) =>
      `03000${gaps === '' ? '010' : '014'}000000${cumulative.toString(16)}000fffff000${gaps === '' ? 0 : 1}0000${gaps}`;
    pair.a.end.driver.input(rebuild(tag, sack(99, '00020004')), undefined); // 101 to 103 are there
    pair.a.end.driver.input(rebuild(tag, sack(100, '')), undefined); // and now they are not
    pair.world.run({ until: 1600 });
    expect(sent.slice(4).filter((tsn) => tsn > 100)).toEqual([101, 102, 103]);
  });
});

describe('partial reliability (RFC 3758)', () => {
  it.each([true, false])(
    'maxRetransmits 0: what is lost stays lost, the rest arrives in order (I-DATA: %s)',
    (interleaving) => {
      const pair = connectedPair({ link: { latencyMs: 20, loss: 0.2 }, seed: 4, a: { interleaving } });
      pair.a.end.link.options = { latencyMs: 20, loss: 0.2 };
      for (let i = 0; i < 200; i++) {
        pair.world.run({ until: pair.world.now + 5 });
        pair.a.send({ ppid: i, bytes: pattern(1000, i), maxRetransmits: 0 });
      }
      pair.world.run({ until: pair.world.now + 10_000 });
      const got = pair.b.messages.map((m) => m.ppid);
      expect(got.length).toBeGreaterThan(120);
      expect(got.length).toBeLessThan(190);
      expect(got).toEqual([...got].sort((x, y) => x - y));
      expect(pair.a.core.stats().abandonedMessages).toBeGreaterThanOrEqual(200 - got.length);
      expect(pair.a.core.isIdle).toBe(true);
    },
  );

  it.each(seeds(20))('seed %i: a fragmented message that is given up does not block or mix with the next', (seed) => {
    const pair = connectedPair({ seed, link: { latencyMs: 20, loss: 0.15 }, a: { interleaving: seed % 2 === 0 } });
    for (let i = 0; i < 30; i++) {
      pair.a.send({
        ppid: i,
        bytes: pattern(20_000, i),
        maxRetransmits: i % 3 === 0 ? undefined : 0,
        ordered: i % 2 === 0,
      });
    }
    pair.world.run({ until: pair.world.now + 60_000 });
    for (const m of pair.b.messages) expect(equalBytes(m.bytes, pattern(20_000, m.ppid))).toBe(true);
    const got = new Set(pair.b.messages.map((m) => m.ppid));
    for (let i = 0; i < 30; i += 3) expect(got.has(i)).toBe(true);
    expect(pair.a.core.isIdle).toBe(true);
    expect(pair.a.core.totalBuffered).toBe(0);
  });

  it('a lifetime ends in the queue as well as in flight', () => {
    const pair = connectedPair({ link: { latencyMs: 20, bitsPerSecond: 1e6, queueBytes: 20_000 } });
    for (let i = 0; i < 100; i++) pair.a.send({ ppid: i, bytes: pattern(5000, i), lifetimeMs: 300 });
    pair.world.run({ until: pair.world.now + 5000 });
    expect(pair.b.messages.length).toBeGreaterThan(3);
    expect(pair.b.messages.length).toBeLessThan(15); // 300 ms at 1 Mbit/s are 37 kB
    expect(pair.a.core.stats().abandonedMessages).toBe(100 - pair.b.messages.length);
    expect(pair.a.core.totalBuffered).toBe(0);
  });

  it('SSNs go around: 70,000 ordered messages', () => {
    const pair = connectedPair({
      a: { interleaving: false, initialTsn: 0xffff_fff0 },
      link: { latencyMs: 1, loss: 0.001 },
    });
    for (let i = 0; i < 70_000; i++)
      pair.a.end.driver.mutate((now) => {
        pair.a.core.send({ streamId: 1, ppid: i, bytes: Uint8Array.of(i), ordered: true }, now);
      });
    pair.world.run({ until: 60_000, done: () => pair.b.messages.length === 70_000 });
    expect(pair.b.messages.every((m, i) => m.ppid === i)).toBe(true);
  });
});

describe('stream reset (RFC 6525)', () => {
  it('comes after everything queued, starts the stream anew, and may be asked for again at once', () => {
    const pair = connectedPair({ link: { latencyMs: 20 } });
    const reset = () => pair.a.end.driver.mutate((now) => pair.a.core.resetStreams([9], now));
    pair.a.send({ streamId: 9, ppid: 1, bytes: pattern(50_000, 1) });
    reset();
    pair.a.send({ streamId: 9, ppid: 2, bytes: pattern(10, 2) });
    reset();
    pair.a.send({ streamId: 9, ppid: 3, bytes: pattern(10, 3) });
    pair.world.run({ until: 5000 });
    const story = pair.b.end.events.flatMap((event): (number | readonly number[])[] =>
      event.type === 'message' ? [event.ppid] : event.type === 'incoming-reset' ? [event.streamIds] : [],
    );
    expect(story).toEqual([1, [9], 2, [9], 3]);
    expect(pair.a.end.events.filter((event) => event.type === 'outgoing-reset')).toEqual([
      { type: 'outgoing-reset', streamIds: [9], ok: true },
      { type: 'outgoing-reset', streamIds: [9], ok: true },
    ]);
  });

  it('a thousand streams at once', () => {
    const pair = connectedPair({ link: { latencyMs: 20, loss: 0.05 } });
    const ids = Array.from({ length: 1000 }, (_, i) => i * 3);
    for (const id of ids) pair.a.send({ streamId: id, bytes: pattern(10, id) });
    pair.a.end.driver.mutate((now) => pair.a.core.resetStreams(ids, now));
    pair.world.run({ until: 30_000, done: () => pair.a.core.isIdle });
    const reset = (type: 'outgoing-reset' | 'incoming-reset') =>
      [pair.a, pair.b].flatMap((s) => s.end.events).flatMap((e) => (e.type === type ? e.streamIds : []));
    expect(reset('outgoing-reset').sort((x, y) => x - y)).toEqual(ids);
    expect(reset('incoming-reset').sort((x, y) => x - y)).toEqual(ids);
    expect(pair.b.messages.length).toBe(1000);
  });

  it('streams are added in both directions', () => {
    const pair = connectedPair({ a: { outboundStreams: 4 }, b: { outboundStreams: 2 } });
    expect([pair.a.core.outboundStreams, pair.a.core.inboundStreams]).toEqual([4, 2]);
    expect(() => pair.a.send({ streamId: 4, bytes: pattern(1, 1) })).toThrow('streamId');
    pair.a.end.driver.mutate((now) => pair.a.core.addStreams(6, 3, now));
    pair.world.run({ until: 2000 });
    expect([pair.a.core.outboundStreams, pair.a.core.inboundStreams]).toEqual([10, 5]);
    expect([pair.b.core.outboundStreams, pair.b.core.inboundStreams]).toEqual([5, 10]);
    pair.a.send({ streamId: 9, bytes: pattern(1, 1) });
    pair.world.run({ until: 3000 });
    expect(pair.b.messages.length).toBe(1);
    expect(() => pair.a.end.driver.mutate((now) => pair.a.core.addStreams(65_530, 0, now))).toThrow('outbound');
  });
});

describe('schedulers (RFC 8260 §3)', () => {
  /** Bytes delivered of each of two streams in two seconds over a slow link. */
  function shares(
    options: object,
    priorities: readonly [number, number],
    sizes: readonly [number, number],
  ): [number, number] {
    const link = { latencyMs: 10, bitsPerSecond: 4e6, queueBytes: 20_000 };
    const pair = connectedPair({ link, a: options, b: { receiveWindowBytes: 1_000_000 } });
    for (const id of [0, 1]) {
      pair.a.end.driver.mutate(() => pair.a.core.setStreamPriority(id, priorities[id]!));
      for (let i = 0; i < 2_000_000 / sizes[id]!; i++) pair.a.send({ streamId: id, bytes: new Uint8Array(sizes[id]!) });
    }
    pair.world.run({ until: pair.world.now + 2000 });
    const total = (id: number) =>
      pair.b.messages.filter((m) => m.streamId === id).reduce((sum, m) => sum + m.bytes.length, 0);
    return [total(0), total(1)];
  }

  it.each([true, false])(
    'weighted fair: three times the weight, three times the bytes, whatever the sizes (I-DATA: %s)',
    (interleaving) => {
      const [one, three] = shares({ scheduler: 'weighted-fair', interleaving }, [100, 300], [5000, 1000]);
      expect(three / one).toBeGreaterThan(2.6);
      expect(three / one).toBeLessThan(3.4);
    },
  );

  it('round robin takes messages in turns with DATA', () => {
    const [big, small] = shares({ scheduler: 'round-robin', interleaving: false }, [256, 256], [4000, 1000]);
    expect(big / small).toBeGreaterThan(3);
    expect(big / small).toBeLessThan(5);
  });

  it('priority: the lower one waits; first come: in the order of sending', () => {
    const [low, high] = shares({ scheduler: 'priority' }, [1, 2], [1000, 1000]);
    expect(low).toBeLessThan(high / 20); // what left before the other had anything
    const [first, second] = shares({ scheduler: 'first-come' }, [1, 2], [1000, 1000]);
    expect(first).toBeGreaterThan(500_000);
    expect(second).toBe(0);
  });

  it('I-DATA lets a small message overtake a large one of another stream', () => {
    const link = { latencyMs: 10, bitsPerSecond: 4e6, queueBytes: 20_000 };
    const pair = connectedPair({ link, a: { interleaving: true } });
    pair.a.send({ streamId: 0, bytes: pattern(200_000, 1) });
    pair.a.send({ streamId: 1, bytes: pattern(100, 1) });
    pair.world.run({ until: 5000 });
    expect(pair.b.messages.map((m) => m.streamId)).toEqual([1, 0]);
  });
});
