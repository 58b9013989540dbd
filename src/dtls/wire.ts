import { type ByteReader, concatBytes } from '../core/index.ts';

/**
 * The presentation language of RFC 5246 §4 for handshake messages, which are built from parts once per handshake.
 * Records and fragment headers are on the packet path and do not use these.
 */

/** `Uint8Array.of` takes ten times as long, and a handshake writes hundreds of numbers. */
function bigEndian(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = value >>> (8 * (length - 1 - i));
  return bytes;
}

export function u8(value: number): Uint8Array {
  return bigEndian(value, 1);
}

export function u16(value: number): Uint8Array {
  return bigEndian(value, 2);
}

export function u24(value: number): Uint8Array {
  return bigEndian(value, 3);
}

export function u32(value: number): Uint8Array {
  return bigEndian(value, 4);
}

/** 16-bit numbers in a row. A peer's list may have 32,000 of them: far too many to be call arguments one by one. */
export function u16s(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  let at = 0;
  for (const value of values) {
    bytes[at++] = value >>> 8;
    bytes[at++] = value;
  }
  return bytes;
}

/** `opaque<0..2^8-1>` of the concatenated parts. */
export function opaque8(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(u8(lengthOf(parts)), ...parts);
}

/** `opaque<0..2^16-1>` of the concatenated parts. */
export function opaque16(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(u16(lengthOf(parts)), ...parts);
}

/** `opaque<0..2^24-1>` of the concatenated parts. */
export function opaque24(...parts: readonly Uint8Array[]): Uint8Array {
  return concatBytes(u24(lengthOf(parts)), ...parts);
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** A copy of an `opaque<0..2^8-1>`. */
export function readOpaque8(r: ByteReader, field: string): Uint8Array {
  return r.bytes(r.u8(field), field).slice();
}

/** A copy of an `opaque<0..2^16-1>`. */
export function readOpaque16(r: ByteReader, field: string): Uint8Array {
  return r.bytes(r.u16(field), field).slice();
}

/** A copy of an `opaque<0..2^24-1>`. */
export function readOpaque24(r: ByteReader, field: string): Uint8Array {
  return r.bytes(r.u24(field), field).slice();
}

/** The 16-bit numbers that fill `r` to its end. @throws {DecodeError} `too-short` for an odd byte. */
export function readU16List(r: ByteReader, field: string): number[] {
  const values: number[] = [];
  while (r.remaining > 0) values.push(r.u16(field));
  return values;
}
