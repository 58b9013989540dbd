import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../src/core/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { connectBoth, makePair, type Pair, pattern } from './helpers.ts';

/** 20 % loss, duplication, reordering, 200 ms jitter. */
const BAD_LINK = { latencyMs: 30, jitterMs: 200, loss: 0.2, duplicate: 0.05, reorder: 0.1 };
const NEAR_WRAP = 0xffff_ffff - 20;

/** Sends from both sides on a few streams; returns what must arrive on each stream of each side. */
function sendAll(
  pair: Pair,
  seed: number,
  count: number,
): { a: Map<number, Uint8Array[]>; b: Map<number, Uint8Array[]> } {
  const random = new SeededRandom(seed);
  const expected = { a: new Map<number, Uint8Array[]>(), b: new Map<number, Uint8Array[]>() };
  for (let i = 0; i < count; i++) {
    for (const to of ['a', 'b'] as const) {
      const streamId = random.below(4);
      const bytes = pattern(random.chance(0.1) ? random.below(20_000) + 1 : random.below(300) + 1, seed + i);
      const list = expected[to].get(streamId) ?? [];
      list.push(bytes);
      expected[to].set(streamId, list);
      pair[to === 'a' ? 'b' : 'a'].send({ streamId, bytes });
    }
  }
  return expected;
}

function checkOrdered(pair: Pair, expected: ReturnType<typeof sendAll>): void {
  for (const side of ['a', 'b'] as const) {
    for (const [streamId, list] of expected[side]) {
      const got = pair[side].messages.filter((m) => m.streamId === streamId);
      expect(got.length).toBe(list.length);
      for (const [i, message] of got.entries()) expect(equalBytes(message.bytes, list[i]!)).toBe(true);
    }
  }
}

describe('two associations over a bad link', () => {
  it.each(seeds(200))('seed %i: both connect and everything arrives once and in order', (seed) => {
    const interleaving = seed % 2 === 0;
    const options = { initialTsn: NEAR_WRAP, interleaving };
    const pair = makePair({ seed, link: BAD_LINK, a: options, b: options });
    connectBoth(pair);
    const expected = sendAll(pair, seed, 30);
    const idle = () =>
      pair.a.messages.length === 30 &&
      pair.b.messages.length === 30 &&
      pair.a.core.stats().flightBytes + pair.b.core.stats().flightBytes === 0;
    expect(pair.world.run({ until: 600_000, done: idle })).toBe(true);
    checkOrdered(pair, expected);
    for (const side of [pair.a, pair.b]) {
      expect(side.core.totalBuffered).toBe(0);
      expect(side.types().filter((type) => type !== 'buffered-amount-low')).toEqual(['connected']);
    }
  });
});
