import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32, crc32c, crc32cWithHole, crc32cWithHoleInTables, crcBitwise, hexToBytes } from '../../src/core/index.ts';
import { MAX_KERNEL_BYTES } from '../../src/core/wasm/crc32c-kernel.ts';
import { SeededRandom } from '../sim/index.ts';
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

  it('in WebAssembly it is the same at every length of a packet, wherever it lies and the hole is', () => {
    const random = new SeededRandom(1);
    const bytes = random.bytes(1600);
    for (let length = 12; length < 1500; length++) {
      const start = random.below(100);
      const end = start + length;
      // SCTP's own place of the checksum mostly, any other now and then, the last one included.
      const hole = random.chance(0.7) ? start + 8 : start + random.below(length - 3);
      const expected = crc32cWithHoleInTables(bytes, start, end, hole);
      expect(crc32cWithHole(bytes, start, end, hole), `${length} bytes, hole at ${hole - start}`).toBe(expected);
    }
  });

  it('a long packet leaves nothing to a shorter one, and one that is too long for the kernel is summed all the same', () => {
    const bytes = new SeededRandom(2).bytes(MAX_KERNEL_BYTES + 1);
    for (const length of [MAX_KERNEL_BYTES, 200, MAX_KERNEL_BYTES - 1, 128, MAX_KERNEL_BYTES + 1, 127]) {
      const zeroed = bytes.slice(0, length).fill(0, 8, 12);
      expect(crc32cWithHole(bytes, 0, length, 8), `${length} bytes`).toBe(crcBitwise('crc32c', zeroed));
    }
  });
});
