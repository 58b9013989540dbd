import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BufferTooSmall,
  ByteReader,
  ByteWriter,
  bytesToHex,
  concatBytes,
  DecodeError,
  decodeUtf8,
  equalBytes,
  hexToBytes,
  LastView,
  utf8,
} from '../../src/core/index.ts';

const decodeError = (reason: string, offset?: number) =>
  expect.objectContaining({ name: 'DecodeError', reason, ...(offset === undefined ? {} : { offset }) });

describe('ByteReader', () => {
  it('reads big-endian numbers of every width', () => {
    const r = new ByteReader(hexToBytes('01 0203 040506 0708090a 0b0c0d0e0f10 1112131415161718'));
    expect(r.u8('a')).toBe(0x01);
    expect(r.u16('b')).toBe(0x0203);
    expect(r.u24('c')).toBe(0x040506);
    expect(r.u32('d')).toBe(0x0708090a);
    expect(r.u48('e')).toBe(0x0b0c0d0e0f10);
    expect(r.u64('f')).toBe(0x1112131415161718n);
    r.expectEnd('all');
  });

  it('reads numbers with the highest bit set as unsigned', () => {
    const r = new ByteReader(hexToBytes('ffffffff ffffffffffff'));
    expect(r.u32('a')).toBe(0xffff_ffff);
    expect(r.u48('b')).toBe(0xffff_ffff_ffff);
  });

  it.each([
    ['u8', 0],
    ['u16', 1],
    ['u24', 2],
    ['u32', 3],
    ['u48', 5],
    ['u64', 7],
  ] as const)('%s with only %i bytes left throws too-short', (method, available) => {
    const r = new ByteReader(new Uint8Array(available));
    expect(() => r[method]('field')).toThrow(decodeError('too-short'));
  });

  it('never reads past a bounded range, even where the buffer goes on', () => {
    const r = new ByteReader(new Uint8Array(10), 2, 4);
    expect(() => r.bytes(3, 'three')).toThrow(decodeError('too-short', 2));
    expect(r.sub(2, 'two').remaining).toBe(2);
    expect(() => r.skip(1, 'one')).toThrow(decodeError('too-short', 4));
  });

  it('refuses negative lengths', () => {
    expect(() => new ByteReader(new Uint8Array(4)).bytes(-1, 'negative')).toThrow(decodeError('too-short'));
  });

  it('names what is left over', () => {
    const r = new ByteReader(new Uint8Array(3));
    r.u8('first');
    expect(() => r.expectEnd('message')).toThrow('message at byte 1: trailing-bytes');
  });

  it('rejects text that is not UTF-8 and keeps a byte order mark', () => {
    expect(() => new ByteReader(hexToBytes('c328')).utf8(2, 'text')).toThrow(decodeError('bad-value', 0));
    expect(new ByteReader(hexToBytes('efbbbf61')).utf8(4, 'text')).toBe('\ufeffa');
    expect(decodeUtf8(hexToBytes('ff'))).toBeUndefined();
  });

  it('borrows: a view shares the buffer', () => {
    const buf = new Uint8Array(4);
    const view = new ByteReader(buf).bytes(4, 'all');
    buf[3] = 7;
    expect(view[3]).toBe(7);
  });
});

describe('ByteWriter', () => {
  it('writes what ByteReader reads, for every width', () => {
    fc.assert(
      fc.property(
        fc.nat(0xff),
        fc.nat(0xffff),
        fc.nat(0xff_ffff),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.integer({ min: 0, max: 0xffff_ffff_ffff }),
        fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
        (a, b, c, d, e, f) => {
          const w = new ByteWriter(new Uint8Array(24));
          w.u8(a);
          w.u16(b);
          w.u24(c);
          w.u32(d);
          w.u48(e);
          w.u64(f);
          const r = new ByteReader(w.written());
          expect([r.u8('a'), r.u16('b'), r.u24('c'), r.u32('d'), r.u48('e'), r.u64('f')]).toEqual([a, b, c, d, e, f]);
          r.expectEnd('all');
        },
      ),
    );
  });

  it('says how much room was needed, and writes nothing of what does not fit', () => {
    const w = new ByteWriter(new Uint8Array(3));
    w.u16(0x0102);
    expect(() => w.u32(9)).toThrow(BufferTooSmall);
    expect(() => w.u32(9)).toThrow(expect.objectContaining({ needed: 6 }));
    expect(bytesToHex(w.written())).toBe('0102');
  });

  it('patches lengths and pads to four bytes from its own start', () => {
    const w = new ByteWriter(new Uint8Array(16), 1);
    w.u16(0);
    w.u24(0);
    w.patchU16(1, 0xabcd);
    w.patchU24(3, 0x010203);
    w.pad4();
    expect(bytesToHex(w.written())).toBe('abcd010203000000');
    w.patchU32(1, 0xdeadbeef);
    expect(bytesToHex(w.written())).toBe('deadbeef03000000');
  });

  it('returns the byte length of text, not its length in UTF-16 units', () => {
    const w = new ByteWriter(new Uint8Array(8));
    expect(w.utf8('é€')).toBe(5);
  });
});

describe('hexadecimal and comparison', () => {
  it('round-trips every byte string', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(equalBytes(hexToBytes(bytesToHex(bytes)), bytes)).toBe(true);
      }),
    );
  });

  it.each(['0', 'zz', '0x'])('rejects %j', (hex) => {
    expect(() => hexToBytes(hex)).toThrow(DecodeError);
  });

  it('joins and compares', () => {
    expect(bytesToHex(concatBytes(utf8('a'), new Uint8Array(0), utf8('bc')), ':')).toBe('61:62:63');
    expect(equalBytes(utf8('ab'), utf8('abc'))).toBe(false);
    expect(equalBytes(utf8('ab'), utf8('ac'))).toBe(false);
  });
});

describe('LastView', () => {
  it('gives the view asked for, whatever was asked for before', () => {
    const buffers = [new Uint8Array(8).map((_, i) => i), new Uint8Array(8).map((_, i) => 100 + i)];
    const last = new LastView();
    const range = fc.tuple(fc.constantFrom(...buffers), fc.nat(8), fc.nat(8));
    fc.assert(
      fc.property(fc.array(range), (asked) => {
        for (const [buffer, start, length] of asked)
          expect(last.get(buffer, start, length)).toEqual(buffer.subarray(start, start + length));
      }),
    );
  });

  it('keeps the view, and shares the memory', () => {
    const buffer = new Uint8Array(8);
    const last = new LastView();
    const view = last.get(buffer, 2, 3);
    expect(last.get(buffer, 2, 3)).toBe(view);
    buffer[2] = 7;
    expect([...view]).toEqual([7, 0, 0]);
  });
});
