import { ByteWriter, DecodeError } from '../../core/index.ts';

/**
 * Chunks and parameters share one framing (RFC 9260 §3.2, §3.2.1): a four-byte header that ends in a 16-bit length,
 * which counts the header but not the zero to three bytes of padding behind the value.
 *
 * ```text
 *  chunk      |  Type (8)  | Flags (8)  |         Length (16)         | value … | 0-3 padding |
 *  parameter  |         Type (16)       |         Length (16)         | value … | 0-3 padding |
 * ```
 */
export const TLV_HEADER_BYTES = 4;

/** Reads a 16-bit field that framing has shown to be there. */
export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Reads a 32-bit field that framing has shown to be there. */
export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Writes a 16-bit field. */
export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Writes a 32-bit field. */
export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** `length` with its padding. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}

/**
 * Checks the framing of every TLV in `bytes[start, end)` once, so that walking with {@link nextTlv} can neither run out
 * of the range nor stand still. Padding behind the last one may be missing (RFC 9260 §3.2: a receiver must not insist).
 * @returns how many there are.
 * @throws {DecodeError} `too-short` for a header that is cut off, `bad-length` for a length below 4 or beyond the end.
 */
export function checkFraming(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  let at = start;
  while (at < end) {
    if (end - at < TLV_HEADER_BYTES) throw new DecodeError('too-short', 'type-length', at);
    const length = u16(bytes, at + 2);
    if (length < TLV_HEADER_BYTES || length > end - at) throw new DecodeError('bad-length', 'length', at + 2);
    at += padded(length);
    count++;
  }
  return count;
}

/** Where the TLV behind the one at `at` begins; at or behind `end` when it was the last. Framing has been checked. */
export function nextTlv(bytes: Uint8Array, at: number): number {
  return at + padded(u16(bytes, at + 2));
}

/** One parameter or error cause; `value` is a borrowed view. */
export interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Checks and reads a list of parameters or causes. Views are borrowed. @throws {DecodeError} as {@link checkFraming}. */
export function readTlvs(bytes: Uint8Array, start: number, end: number): Tlv[] {
  checkFraming(bytes, start, end);
  const list: Tlv[] = [];
  for (let at = start; at < end; at = nextTlv(bytes, at)) {
    list.push({ type: u16(bytes, at), value: bytes.subarray(at + TLV_HEADER_BYTES, at + u16(bytes, at + 2)) });
  }
  return list;
}

/**
 * Writes one parameter or cause. Padding goes in front of it, for the one before: the length of a chunk counts the
 * padding of all its parameters but the last (RFC 9260 §3.2).
 */
export function writeTlv(w: ByteWriter, type: number, value: Uint8Array): void {
  w.pad4();
  w.u16(type);
  w.u16(TLV_HEADER_BYTES + value.length);
  w.bytes(value);
}

/** A whole control chunk, unpadded: `write` fills the value. Not for the packet path. */
export function buildChunk(
  type: number,
  flags: number,
  maxValueBytes: number,
  write: (w: ByteWriter) => void,
): Uint8Array {
  const w = new ByteWriter(new Uint8Array(TLV_HEADER_BYTES + maxValueBytes));
  w.u8(type);
  w.u8(flags);
  w.u16(0);
  write(w);
  w.patchU16(2, w.pos);
  return w.written();
}
