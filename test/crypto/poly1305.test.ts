import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../src/core/index.ts';
import { Poly1305 } from '../../src/crypto/poly1305.ts';
import { plainPoly1305 } from './plain-poly1305.ts';

function fast(key: Uint8Array, message: Uint8Array): string {
  const poly = new Poly1305();
  poly.init(new Int32Array(key.slice().buffer));
  poly.updateWords(new Int32Array(message.slice().buffer), message.length / 16);
  const tag = new Uint8Array(16);
  poly.finish(tag);
  return bytesToHex(tag);
}

const plain = (key: Uint8Array, message: Uint8Array): string => bytesToHex(plainPoly1305(key, message));

describe('Poly1305 in doubles', () => {
  // The largest and the smallest limbs, over so many blocks that an inexact sum would show.
  const fills = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
  it.each(fills.flatMap((r) => fills.map((text) => [r, text] as const)))('r of %i, text of %i', (r, text) => {
    const key = new Uint8Array(32).fill(r);
    for (const blocks of [1, 2, 3, 75, 1024]) {
      const message = new Uint8Array(16 * blocks).fill(text);
      expect(fast(key, message)).toBe(plain(key, message));
    }
  });

  it('agrees with the integers on blocks of extreme and random bytes', () => {
    const byte = fc.oneof(fc.constantFrom(0, 0xff), fc.nat(255));
    const bytes = (length: number) => fc.array(byte, { minLength: length, maxLength: length });
    const blocks = fc.integer({ min: 1, max: 40 }).chain((count) => bytes(16 * count));
    fc.assert(
      fc.property(bytes(32), blocks, (key, message) => {
        const [k, m] = [Uint8Array.from(key), Uint8Array.from(message)];
        expect(fast(k, m)).toBe(plain(k, m));
      }),
      { numRuns: 2000 },
    );
  });
});
