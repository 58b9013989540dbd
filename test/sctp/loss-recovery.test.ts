import { describe, expect, it } from 'vitest';
import { connectedPair, pattern } from './helpers.ts';
import { keepSending } from './throughput.ts';

describe('a tail loss probe', () => {
  /** A pair that knows its round trip. */
  function warmPair() {
    const pair = connectedPair({
      link: { latencyMs: 50 },
      a: { congestionControl: 'reno', heartbeatIntervalMs: 600_000 },
    });
    const { world } = pair;
    for (let i = 0; i < 6; i++) {
      pair.a.send({ bytes: pattern(2000, i) });
      world.run({ until: world.now + 300 });
    }
    return { pair, world };
  }

  /** One message of two packets, of which `lost` is dropped once; then another, much later. */
  function windowAfter(lost: number): { before: number; after: number; probes: number; timeouts: number } {
    const { pair, world } = warmPair();
    let packets = 0;
    pair.a.end.link.dropIf = () => packets++ === lost;
    const before = pair.a.core.stats().slowStartThresholdBytes;
    pair.a.send({ bytes: pattern(2000, 9) });
    world.run({ until: world.now + 350 });
    pair.a.send({ bytes: pattern(2000, 10) });
    world.run({ until: world.now + 350 });
    const { slowStartThresholdBytes: after, probes, timeouts } = pair.a.core.stats();
    expect(pair.b.messages.length).toBe(8);
    return { before, after, probes, timeouts };
  }

  it('that repairs a loss narrows the window, as any loss does (RFC 8985 §7.4)', () => {
    const { before, after, probes, timeouts } = windowAfter(1);
    expect([probes, timeouts]).toEqual([1, 0]);
    expect(after).toBeLessThan(before);
  });

  it('is not needed, and narrows nothing, when nothing was lost', () => {
    const { before, after } = windowAfter(-1);
    expect(after).toBe(before);
  });

  it('narrows nothing when only its answer was late: the peer reports a duplicate', () => {
    const { pair, world } = warmPair();
    pair.b.end.link.options = { latencyMs: 250 };
    pair.a.send({ bytes: pattern(2000, 9) });
    world.run({ until: world.now + 320 });
    pair.b.end.link.options = { latencyMs: 50 };
    world.run({ until: world.now + 350 });
    pair.a.send({ bytes: pattern(2000, 10) });
    world.run({ until: world.now + 350 });
    const stats = pair.a.core.stats();
    expect([stats.probes, stats.timeouts]).toEqual([1, 0]);
    expect(stats.slowStartThresholdBytes).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('more gaps than a SACK has room for', () => {
  it('are repaired without sending again what had arrived, and without a timeout', () => {
    const pair = connectedPair({ link: { latencyMs: 50, bitsPerSecond: 100e6, queueBytes: 1_250_000 } });
    const { world } = pair;
    keepSending(pair);
    world.run({ until: world.now + 3000 });
    const before = pair.a.core.stats();
    let packets = 0;
    let dropped = 0;
    pair.a.end.link.dropIf = () => {
      const drop = packets++ % 2 === 0 && packets < 800;
      if (drop) dropped++;
      return drop;
    };
    world.run({ until: world.now + 3000 });
    const after = pair.a.core.stats();
    expect(dropped).toBe(400); // of which a packet names 290
    expect(after.retransmissions - before.retransmissions).toBeLessThan(1.2 * dropped);
    expect(after.timeouts).toBe(before.timeouts);
  });
});

describe('a clock of coarse grain, by which a round trip takes no time', () => {
  it.each([
    ['cubic', 0],
    ['cubic', 0.02],
    ['reno', 0.02],
    ['cubic', 0.2],
  ] as const)('%s, loss %f: everything arrives', (congestionControl, loss) => {
    const pair = connectedPair({ link: { latencyMs: 0, loss }, a: { congestionControl } });
    for (let i = 0; i < 20; i++) pair.a.send({ bytes: pattern(100_000, i), streamId: i % 3 });
    expect(pair.world.run({ until: 60_000, done: () => pair.b.messages.length === 20 })).toBe(true);
  });
});
