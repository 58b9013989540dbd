import { describe, expect, it } from 'vitest';
import { connectedPair, type Pair, pattern } from './helpers.ts';
import { keepSending } from './throughput.ts';

/** DTLS is not there: the link limits bare SCTP packets. */
function run(mtuBytes: number, loss = 0): Pair {
  const link = { latencyMs: 10, mtuBytes, loss, bitsPerSecond: 5e6, queueBytes: 200_000 };
  const pair = connectedPair({ link, a: { maxMtuBytes: 16_384 } });
  keepSending(pair);
  return pair;
}

describe('path-MTU discovery (RFC 8899)', () => {
  it.each([
    [16_384, 16_384],
    [9000, 9000],
    [8912, 8912],
    [1500, 1500],
    [1412, 1412],
    [1191, 1191],
  ])('a path of %i bytes is found to within 32 bytes', (mtuBytes, best) => {
    const pair = run(mtuBytes);
    let largestData = 0;
    pair.a.end.link.onSend = (bytes) => {
      if (bytes[12] === 0 || bytes[12] === 64) largestData = Math.max(largestData, bytes.length);
    };
    pair.world.run({ until: 30_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(best - 33);
    expect(pair.a.core.stats().mtuBytes).toBeLessThanOrEqual(best);
    expect(largestData).toBeLessThanOrEqual(mtuBytes); // data never travels in an unproved size
    expect(largestData).toBeGreaterThan(best - 80);
    expect(pair.a.core.stats().timeouts).toBe(0);
  });

  it('lost probes do not hide a larger size for good', () => {
    const pair = run(9000, 0.05);
    pair.world.run({ until: 40_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(8900);
  });

  it('a path that turns into a black hole for large packets carries on with small ones', () => {
    const pair = run(9000);
    pair.world.run({ until: 20_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(8900);
    pair.a.end.link.options = { ...pair.a.end.link.options, mtuBytes: 1280 };
    pair.a.send({ streamId: 5, bytes: pattern(100_000, 5) });
    const arrived = () => pair.b.messages.some((m) => m.streamId === 5);
    expect(pair.world.run({ until: 30_000, done: arrived })).toBe(true);
    expect(pair.a.core.stats().mtuBytes).toBe(1191);
    expect(pair.a.core.state).toBe('established');
  });

  it('another path starts from the base again, and is searched up to its own limit', () => {
    const pair = run(9000);
    pair.world.run({ until: 20_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(8900);
    pair.a.end.link.options = { ...pair.a.end.link.options, mtuBytes: 1600 };
    pair.a.end.driver.mutate(() => pair.a.core.changePath(1500));
    expect(pair.a.core.stats().mtuBytes).toBe(1191);
    pair.world.run({ until: 40_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(1467);
    expect(pair.a.core.stats().mtuBytes).toBeLessThanOrEqual(1500);
    pair.a.end.driver.mutate(() => pair.a.core.changePath(0));
    pair.world.run({ until: 60_000 });
    expect(pair.a.core.stats().mtuBytes).toBe(1191);
  });

  it('without the option the search waits until the path is known to allow more', () => {
    const pair = connectedPair({ link: { latencyMs: 10, mtuBytes: 9000, bitsPerSecond: 5e6, queueBytes: 200_000 } });
    keepSending(pair);
    pair.world.run({ until: 5000 });
    expect(pair.a.core.stats().mtuBytes).toBe(1191);
    pair.a.end.driver.mutate(() => pair.a.core.changePath(100_000));
    pair.world.run({ until: 20_000 });
    expect(pair.a.core.stats().mtuBytes).toBeGreaterThan(8900);
  });

  it('idle associations send no probes', () => {
    const pair = connectedPair({ a: { maxMtuBytes: 16_384 } });
    pair.a.send({ bytes: pattern(30_000, 1) });
    pair.world.run({ until: 20_000 });
    expect(pair.a.core.stats().mtuBytes).toBe(1191);
    expect(pair.b.core.stats().bytesReceived).toBeLessThan(40_000);
  });
});
