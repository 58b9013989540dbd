import { describe, expect, it } from 'vitest';
import { type AeadContext, bytesToHex } from '../../../src/core/index.ts';
import { chooseOwnCipher, nobleCrypto, ownCipher } from '../../../src/crypto/index.ts';
import { MAX_AAD_BYTES, MAX_TEXT_BYTES } from '../../../src/crypto/wasm/layout.ts';
import { nodeCrypto } from '../../../src/io/node-crypto.ts';
import { SeededRandom, seeds } from '../../sim/index.ts';

const NAME = 'chacha20-poly1305';
const TAG = 16;
/** Hexadecimal compares thousands of bytes at once, where the matcher walks them one by one. */
const hex = bytesToHex;

const reference = chooseOwnCipher(undefined);
const wasm = ownCipher();

interface Sealed {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly text: Uint8Array;
}

function draw(random: SeededRandom, textBytes: number, aadBytes: number): Sealed {
  const [key, nonce] = [random.bytes(32), random.bytes(12)];
  return { key, nonce, aad: random.bytes(aadBytes), text: random.bytes(textBytes) };
}

const OFFSET = 13;

/** Seals in place in a buffer with other bytes around. */
function seal(context: AeadContext, { nonce, aad, text }: Sealed): Uint8Array {
  const buffer = new Uint8Array(OFFSET + text.length + TAG + 9).fill(0xa5);
  buffer.set(text, OFFSET);
  context.seal(nonce, aad, buffer, OFFSET, text.length);
  return buffer;
}

/** Both seal to the same bytes, and WebAssembly opens them to the text and leaves everything around alone. */
function expectTheSame(sealed: Sealed): void {
  const context = wasm.createAead(sealed.key);
  const record = seal(context, sealed);
  const what = `${sealed.text.length} bytes, aad of ${sealed.aad.length}`;
  expect(hex(record), what).toBe(hex(seal(reference.createAead(sealed.key), sealed)));
  expect(context.open(sealed.nonce, sealed.aad, record, OFFSET, sealed.text.length + TAG), what).toBe(
    sealed.text.length,
  );
  expect(hex(record.subarray(OFFSET, OFFSET + sealed.text.length)), what).toBe(hex(sealed.text));
  const around = hex(record.subarray(0, OFFSET)) + hex(record.subarray(OFFSET + sealed.text.length + TAG));
  expect(around, what).toBe('a5'.repeat(OFFSET + 9));
}

describe('the record cipher in WebAssembly', () => {
  it('is what this runtime uses', () => {
    expect([wasm.implementation, wasm.reason]).toEqual(['webassembly', '']);
    expect(reference.implementation).toBe('javascript');
  });

  it.each([0, 1, 2, 3, 4, 5, 6])('is its reference at every length from %i times 300 on', (from) => {
    const random = new SeededRandom(from + 1);
    for (let length = 300 * from; length < 300 * (from + 1); length++) expectTheSame(draw(random, length, 13));
  });

  it('is its reference around 4,096, around the longest record, and behind it, where the reference takes over', () => {
    const random = new SeededRandom(11);
    for (const middle of [4096, 8192, MAX_TEXT_BYTES]) {
      for (let length = middle - 20; length <= middle + 20; length++) expectTheSame(draw(random, length, 13));
    }
    expectTheSame(draw(random, 100_000, 13));
  });

  it('is its reference with associated data of every length up to 300, and around the longest', () => {
    const random = new SeededRandom(12);
    for (let length = 0; length <= 300; length++) expectTheSame(draw(random, length % 97, length));
    for (let length = MAX_AAD_BYTES - 17; length <= MAX_AAD_BYTES + 17; length++) {
      expectTheSame(draw(random, 500, length));
    }
  });

  it.each(seeds(8))('seed %i: agrees with noble and node:crypto on records of every size', (seed) => {
    const random = new SeededRandom(seed);
    for (let i = 0; i < 60; i++) {
      const sealed = draw(random, random.below(i % 6 === 0 ? 16_385 : 1500), random.below(40));
      const record = hex(seal(wasm.createAead(sealed.key), sealed));
      for (const backend of [nobleCrypto, nodeCrypto]) {
        expect(record).toBe(hex(seal(backend.createAead(NAME, sealed.key), sealed)));
      }
    }
  });

  // Two lengths: one whose keystream is made at once, one with batches beside the authenticator.
  it.each([40, 1200])(
    'a flipped bit anywhere in %i bytes and their tag does not open, and writes nothing',
    (length) => {
      const sealed = draw(new SeededRandom(length), length, 13);
      const context = wasm.createAead(sealed.key);
      const good = seal(context, sealed);
      const bits = 8 * (length + TAG);
      for (let bit = 0; bit < bits; bit++) {
        const bad = good.slice();
        bad[OFFSET + (bit >> 3)]! ^= 1 << (bit & 7);
        const before = hex(bad);
        expect(context.open(sealed.nonce, sealed.aad, bad, OFFSET, length + TAG), `bit ${bit}`).toBe(-1);
        expect(hex(bad), `bit ${bit}`).toBe(before);
      }
      expect(context.open(sealed.nonce, sealed.aad, good, OFFSET, length + TAG)).toBe(length);
    },
  );

  it('contexts that take turns do not see each other', () => {
    const random = new SeededRandom(21);
    const both = [draw(random, 700, 13), draw(random, 64, 0)].map((sealed) => ({
      sealed,
      context: wasm.createAead(sealed.key),
      expected: hex(seal(reference.createAead(sealed.key), sealed)),
    }));
    for (let turn = 0; turn < 6; turn++) {
      for (const { sealed, context, expected } of both) {
        expect(hex(seal(context, sealed))).toBe(expected);
        const forged = new Uint8Array(100);
        expect(context.open(sealed.nonce, sealed.aad, forged, 0, 100)).toBe(-1);
      }
    }
  });

  it('a shorter record behind a longer one, in one context, writes no more than its own bytes', () => {
    const random = new SeededRandom(22);
    const { key, nonce, aad } = draw(random, 0, 13);
    const context = wasm.createAead(key);
    for (const length of [700, 300, 699, 0, 64]) {
      const sealed = { key, nonce, aad, text: random.bytes(length) };
      const record = seal(context, sealed);
      expect(hex(record)).toBe(hex(seal(reference.createAead(key), sealed)));
      expect(context.open(nonce, aad, record, OFFSET, length + TAG)).toBe(length);
      expect(hex(record.subarray(OFFSET + length + TAG))).toBe('a5'.repeat(9));
    }
  });

  it('takes arguments out of range as its reference does', () => {
    const { key, nonce, aad } = draw(new SeededRandom(1), 0, 13);
    const outcome = (context: AeadContext, name: 'seal' | 'open', offset: number, length: number): string => {
      try {
        return `answers ${context[name](nonce, aad, new Uint8Array(100), offset, length)}`;
      } catch (error) {
        return String(error);
      }
    };
    const numbers = [0, 1, 15, 16, 84, 85, 100, 101, -1, 2 ** 31, 2 ** 32, 2 ** 53, Number.POSITIVE_INFINITY];
    for (const name of ['seal', 'open'] as const) {
      for (const offset of numbers) {
        for (const length of numbers) {
          const answer = outcome(wasm.createAead(key), name, offset, length);
          expect(answer, `${name} at ${offset}, ${length}`).toBe(
            outcome(reference.createAead(key), name, offset, length),
          );
        }
      }
    }
  });
});
