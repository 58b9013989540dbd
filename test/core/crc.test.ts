import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32, crc32c, crc32cWithHole, crcBitwise, hexToBytes } from '../../src/core/index.ts';
import vectors from '../vectors/core/crc.json' with { type: 'json' };

const fast = { crc32, crc32c };

describe('checksums', () => {
  it.each(vectors.cases)('$name', (v) => {
    const polynomial = v.polynomial === 'crc32' ? 'crc32' : 'crc32c';
    const expected = Number.parseInt(v.crc, 16);
    expect(crcBitwise(polynomial, hexToBytes(v.hex))).toBe(expected);
    expect(fast[polynomial](hexToBytes(v.hex))).toBe(expected);
  });

  it('the sliced form agrees with the bitwise reference at every length and alignment', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), (bytes, start) => {
        const from = Math.min(start, bytes.length);
        expect(crc32(bytes, from)).toBe(crcBitwise('crc32', bytes.subarray(from)));
        expect(crc32c(bytes, from)).toBe(crcBitwise('crc32c', bytes.subarray(from)));
      }),
    );
  });

  it('a hole counts as four zero bytes and the packet stays untouched', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 80 }), (packet) => {
        const before = packet.slice();
        const zeroed = packet.slice().fill(0, 8, 12);
        expect(crc32cWithHole(packet, 0, packet.length, 8)).toBe(crcBitwise('crc32c', zeroed));
        expect(packet).toEqual(before);
      }),
    );
  });
});
