import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Poly1305 } from '../../src/crypto/poly1305.ts';

/** RFC 8439 §2.5.1, word for word, with integers of any size: the plain form that the fast one is compared with. */
function reference(key: Uint8Array, message: Uint8Array): string {
  const number = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    sum = ((sum + number(message.subarray(at, at + 16)) + (1n << 128n)) * r) % ((1n << 130n) - 5n);
  }
  return ((sum + number(key.subarray(16))) & ((1n << 128n) - 1n)).toString(16).padStart(32, '0');
}

function fast(key: Uint8Array, message: Uint8Array): string {
  const poly = new Poly1305();
  poly.init(new Int32Array(key.slice().buffer));
  poly.updateWords(new Int32Array(message.slice().buffer), message.length / 16);
  const tag = new Uint8Array(16);
  poly.finish(tag);
  return Buffer.from(tag.reverse()).toString('hex');
}

describe('Poly1305 in doubles', () => {
  // The largest and the smallest limbs, over so many blocks that an inexact sum would show.
  const fills = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
  it.each(fills.flatMap((r) => fills.map((text) => [r, text] as const)))('r of %i, text of %i', (r, text) => {
    const key = new Uint8Array(32).fill(r);
    for (const blocks of [1, 2, 3, 75, 1024]) {
      const message = new Uint8Array(16 * blocks).fill(text);
      expect(fast(key, message)).toBe(reference(key, message));
    }
  });

  it('agrees with the integers on blocks of extreme and random bytes', () => {
    const byte = fc.oneof(fc.constantFrom(0, 0xff), fc.nat(255));
    const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length });
    const blocks = fc.integer({ min: 1, max: 40 }).chain((count) => bytes(16 * count));
    fc.assert(
      fc.property(bytes(32), blocks, (key, message) => {
        const [k, m] = [Uint8Array.from(key), Uint8Array.from(message)];
        expect(fast(k, m)).toBe(reference(k, m));
      }),
      { numRuns: 2000 },
    );
  });
});
