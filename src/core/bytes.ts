import { BufferTooSmall, DecodeError } from './errors.ts';

const utf8Strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/** The empty byte string, shared. */
export const EMPTY: Uint8Array = new Uint8Array(0);

/**
 * Bounds-checked big-endian reader over a borrowed range. Each read names the field it reads, so that a `DecodeError`
 * can say what was missing and where. Reading past the end throws `too-short`; nothing else does.
 */
export class ByteReader {
  readonly buf: Uint8Array;
  /** Next byte to read, as an index into `buf`. */
  pos: number;
  /** First index behind the readable range. */
  readonly end: number;

  constructor(buf: Uint8Array, start = 0, end: number = buf.length) {
    this.buf = buf;
    this.pos = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  u8(field: string): number {
    const at = this.#take(1, field);
    return this.buf[at]!;
  }

  u16(field: string): number {
    const at = this.#take(2, field);
    return (this.buf[at]! << 8) | this.buf[at + 1]!;
  }

  u24(field: string): number {
    const at = this.#take(3, field);
    return (this.buf[at]! << 16) | (this.buf[at + 1]! << 8) | this.buf[at + 2]!;
  }

  u32(field: string): number {
    const at = this.#take(4, field);
    const b = this.buf;
    return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
  }

  /** A 48-bit number, exact in a double. */
  u48(field: string): number {
    const high = this.u16(field);
    return high * 0x1_0000_0000 + this.u32(field);
  }

  u64(field: string): bigint {
    const high = this.u32(field);
    return (BigInt(high) << 32n) | BigInt(this.u32(field));
  }

  /** A borrowed view of the next `length` bytes: `.slice()` it if it must outlive the datagram. */
  bytes(length: number, field: string): Uint8Array {
    const at = this.#take(length, field);
    return this.buf.subarray(at, at + length);
  }

  /** A borrowed view of everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining, 'rest');
  }

  skip(length: number, field: string): void {
    this.#take(length, field);
  }

  /** A reader bounded to the next `length` bytes, which this reader moves past. */
  sub(length: number, field: string): ByteReader {
    const at = this.#take(length, field);
    return new ByteReader(this.buf, at, at + length);
  }

  /** UTF-8 text of `length` bytes. @throws {DecodeError} `bad-value` when it is not UTF-8. */
  utf8(length: number, field: string): string {
    const at = this.pos;
    const bytes = this.bytes(length, field);
    try {
      return utf8Strict.decode(bytes);
    } catch {
      throw new DecodeError('bad-value', field, at);
    }
  }

  /** Every decoder ends with this. @throws {DecodeError} `trailing-bytes`. */
  expectEnd(field: string): void {
    if (this.pos !== this.end) throw new DecodeError('trailing-bytes', field, this.pos);
  }

  #take(length: number, field: string): number {
    const at = this.pos;
    if (length < 0 || length > this.end - at) throw new DecodeError('too-short', field, at);
    this.pos = at + length;
    return at;
  }
}

/**
 * Bounds-checked big-endian writer into a caller-owned range.
 * @throws {BufferTooSmall} from every write that does not fit.
 */
export class ByteWriter {
  readonly buf: Uint8Array;
  /** Next byte to write, as an index into `buf`. */
  pos: number;
  /** Where this writer began: `written()` starts here. */
  readonly start: number;

  constructor(buf: Uint8Array, start = 0) {
    this.buf = buf;
    this.start = start;
    this.pos = start;
  }

  u8(value: number): void {
    const at = this.#grow(1);
    this.buf[at] = value;
  }

  u16(value: number): void {
    const at = this.#grow(2);
    this.buf[at] = value >>> 8;
    this.buf[at + 1] = value;
  }

  u24(value: number): void {
    const at = this.#grow(3);
    this.buf[at] = value >>> 16;
    this.buf[at + 1] = value >>> 8;
    this.buf[at + 2] = value;
  }

  u32(value: number): void {
    const at = this.#grow(4);
    const b = this.buf;
    b[at] = value >>> 24;
    b[at + 1] = value >>> 16;
    b[at + 2] = value >>> 8;
    b[at + 3] = value;
  }

  u48(value: number): void {
    this.u16(Math.floor(value / 0x1_0000_0000));
    this.u32(value % 0x1_0000_0000);
  }

  u64(value: bigint): void {
    this.u32(Number((value >> 32n) & 0xffff_ffffn));
    this.u32(Number(value & 0xffff_ffffn));
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.buf.set(bytes, at);
  }

  /** `length` bytes of `value`. */
  fill(length: number, value = 0): void {
    const at = this.#grow(length);
    this.buf.fill(value, at, at + length);
  }

  /** UTF-8; returns the number of bytes written, which is not `text.length`. */
  utf8(text: string): number {
    const bytes = utf8Encoder.encode(text);
    this.bytes(bytes);
    return bytes.length;
  }

  /** Overwrites a 16-bit field written earlier, such as a length known only afterwards. */
  patchU16(at: number, value: number): void {
    this.buf[at] = value >>> 8;
    this.buf[at + 1] = value;
  }

  patchU24(at: number, value: number): void {
    this.buf[at] = value >>> 16;
    this.patchU16(at + 1, value);
  }

  patchU32(at: number, value: number): void {
    this.patchU16(at, value >>> 16);
    this.patchU16(at + 2, value);
  }

  /** Writes zero to three bytes until `pos - start` is a multiple of four. */
  pad4(): void {
    this.fill((4 - ((this.pos - this.start) & 3)) & 3);
  }

  /** A view of what was written, sharing the buffer. */
  written(): Uint8Array {
    return this.buf.subarray(this.start, this.pos);
  }

  #grow(length: number): number {
    const at = this.pos;
    if (at + length > this.buf.length) throw new BufferTooSmall(at + length, this.buf.length);
    this.pos = at + length;
    return at;
  }
}

/**
 * Makes views of one buffer that is used again and again, such as a slot: ranges of one length follow each other there, and
 * a view costs as much as copying 1,200 bytes. Keeps the last buffer alive.
 */
export class LastView {
  #buffer: Uint8Array = EMPTY;
  #start = 0;
  #view: Uint8Array = EMPTY;

  /** `buffer[start, start + length)`, sharing the memory. */
  get(buffer: Uint8Array, start: number, length: number): Uint8Array {
    if (buffer !== this.#buffer || start !== this.#start || length !== this.#view.length) {
      this.#view = buffer.subarray(start, start + length);
      this.#buffer = buffer;
      this.#start = start;
    }
    return this.#view;
  }
}

/** Joins byte strings into a new one. Not for the packet path: there, write once into the slot. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Equality for public bytes. For secrets and MACs use `constantTimeEqual` of `crypto`. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lower-case hexadecimal, two digits a byte, with `separator` between bytes. */
export function bytesToHex(bytes: Uint8Array, separator = ''): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += (i > 0 ? separator : '') + HEX[bytes[i] ?? 0];
  return text;
}

/** Inverse of {@link bytesToHex}; white space is ignored. @throws {DecodeError} `bad-value` for anything else. */
export function hexToBytes(hex: string): Uint8Array {
  const digits = hex.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) throw new DecodeError('bad-value', 'hex', 0);
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** UTF-8 bytes of a string. */
export function utf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** Text of UTF-8 bytes, or undefined where they are not UTF-8. A leading BOM is kept. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8Strict.decode(bytes);
  } catch {
    return undefined;
  }
}
