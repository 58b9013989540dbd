import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../src/core/index.ts';
import { copyMessage, MAX_SPARE_BUFFERS, recycleMessage } from '../../src/sctp/message-copies.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { connectBoth, makePair, pattern } from './helpers.ts';

const LENGTHS = [1, 2048, 2049, 16_384, 32_768, 32_769, 65_536, 65_537, 131_072, 200_000, 262_144, 262_145, 1_000_000];
const LONG = 100_000;

describe('copies of messages', () => {
  it('are the message, whatever becomes of that, and share no byte while they are in use', () => {
    const given = LENGTHS.map((length) => pattern(length, length));
    const copies = given.map((bytes) => copyMessage(bytes));
    const again = given.map((bytes) => copyMessage(bytes));
    for (const bytes of given) bytes.fill(0);
    for (const copy of again) copy.fill(1);
    for (const [i, copy] of copies.entries()) {
      const length = LENGTHS[i]!;
      expect(copy.length).toBe(length);
      expect(equalBytes(copy, pattern(length, length))).toBe(true);
    }
  });

  it('hold short messages apart, many to a block', () => {
    const lengths = [1, 100, 2047, 2048, 2049, 5000];
    const sources = Array.from({ length: 70 }, (_, i) => new Uint8Array(lengths[i % lengths.length]!).fill(i + 1));
    const copies = sources.map((source) => copyMessage(source));
    for (const source of sources) source.fill(0);
    for (const [i, copy] of copies.entries())
      expect(copy).toEqual(new Uint8Array(lengths[i % lengths.length]!).fill(i + 1));
  });

  it('are made in the memory of those that were given back', () => {
    const first = copyMessage(new Uint8Array(LONG));
    recycleMessage(first);
    const second = copyMessage(pattern(LONG - 1, 1));
    expect(second.buffer).toBe(first.buffer);
    expect(equalBytes(second, pattern(LONG - 1, 1))).toBe(true);
    expect(copyMessage(new Uint8Array(LONG)).buffer).not.toBe(first.buffer);
  });

  it('are kept up to a bound, and not at all where they are short or of unusual length', () => {
    const copies = Array.from({ length: MAX_SPARE_BUFFERS + 5 }, () => copyMessage(new Uint8Array(LONG)));
    for (const copy of copies) recycleMessage(copy);
    const buffers = new Set(copies.map(({ buffer }) => buffer));
    const next = copies.map(() => copyMessage(new Uint8Array(LONG)));
    expect(next.filter(({ buffer }) => buffers.has(buffer)).length).toBe(MAX_SPARE_BUFFERS);
    for (const length of [100, 20_000, 262_145]) {
      const copy = copyMessage(new Uint8Array(length));
      recycleMessage(copy);
      if (length > 2048) expect(copyMessage(new Uint8Array(length)).buffer).not.toBe(copy.buffer);
      else expect(copyMessage(new Uint8Array(length)).byteOffset).not.toBe(copy.byteOffset); // a shared block goes on
    }
  });
});

describe('borrowed messages', () => {
  it.each(seeds(40))('seed %i: arrive as they were when they were sent, over a bad link', (seed) => {
    const interleaving = seed % 2 === 0;
    const link = { latencyMs: 20, jitterMs: 40, loss: 0.05, duplicate: 0.02, reorder: 0.1 };
    const pair = makePair({ seed, link, a: { interleaving }, b: { interleaving } });
    connectBoth(pair);
    const random = new SeededRandom(seed);
    const sent: { readonly streamId: number; readonly length: number; readonly seed: number }[] = [];
    const received: { readonly streamId: number; readonly intact: boolean }[] = [];
    // One buffer for all messages, and the next message only when one has arrived: copies are used again and again.
    const buffer = new Uint8Array(262_144);
    const send = (): void => {
      const message = { streamId: random.below(3), length: 20_000 + random.below(242_144), seed: seed + sent.length };
      buffer.set(pattern(message.length, message.seed));
      sent.push(message);
      pair.a.send({ streamId: message.streamId, bytes: buffer.subarray(0, message.length), borrowed: true });
      buffer.fill(0xee);
    };
    for (let i = 0; i < 3; i++) send();
    pair.b.end.onEvent = (event) => {
      if (event.type !== 'message') return;
      const { streamId, bytes } = event;
      const at = received.filter((message) => message.streamId === streamId).length;
      const expected = sent.filter((message) => message.streamId === streamId)[at]!;
      received.push({ streamId, intact: equalBytes(bytes, pattern(expected.length, expected.seed)) });
      if (sent.length < 12) send();
    };
    expect(pair.world.run({ until: 600_000, done: () => received.length === 12 })).toBe(true);
    expect(received.every(({ intact }) => intact)).toBe(true);
    expect(pair.a.core.stats().retransmissions).toBeGreaterThan(0);
  });

  it('are given back when the whole message is acknowledged, and no sooner', () => {
    const pair = makePair({ link: { latencyMs: 20 } }); // whole flights are acknowledged at once, while most of it waits
    connectBoth(pair);
    const known = copyMessage(new Uint8Array(LONG));
    recycleMessage(known);
    pair.a.send({ bytes: pattern(LONG, 1), borrowed: true });
    const isFree = () => {
      const next = copyMessage(new Uint8Array(LONG));
      recycleMessage(next);
      return next.buffer === known.buffer;
    };
    const isDone = () => pair.a.core.totalBuffered === 0 && pair.a.core.stats().flightBytes === 0;
    let looks = 0;
    for (; !isDone(); looks++) {
      expect(isFree()).toBe(false);
      pair.world.run({ until: pair.world.now + 1 });
    }
    expect(looks).toBeGreaterThan(80);
    expect(isFree()).toBe(true);
    expect(equalBytes(pair.b.messages[0]!.bytes, pattern(LONG, 1))).toBe(true);
  });

  it('are not used again when they are not borrowed', () => {
    const pair = makePair();
    connectBoth(pair);
    const bytes = pattern(131_072, 1); // the length of a buffer that would be kept
    pair.a.send({ bytes });
    expect(pair.world.run({ done: () => pair.b.messages.length === 1 })).toBe(true);
    pair.world.run({ until: pair.world.now + 1000 });
    expect(copyMessage(new Uint8Array(LONG)).buffer).not.toBe(bytes.buffer);
    expect(equalBytes(pair.b.messages[0]!.bytes, pattern(131_072, 1))).toBe(true);
  });
});
