import { DecodeError } from '../core/index.ts';

/**
 * The framing of DER, checked once before anything is built from it: tags, lengths, nesting, and the rules that make an
 * encoding unique (X.690 §10, §11). asn1js reads BER, which is laxer, and some of its types cost far more than their
 * bytes: an OBJECT IDENTIFIER of 60 kB takes it 0.2 s.
 *
 * ```text
 *  tag: class (2 bits), constructed (1 bit), number (5 bits)
 *  length: 0LLLLLLL, or 1NNNNNNN and N octets
 *  content
 * ```
 */

/** Longest structure accepted. DTLS allows certificates of 2^24 bytes (RFC 5246 §7.4.2), which nobody sends. */
export const DER_MAX_BYTES = 65_536;
/** Deepest nesting accepted; a certificate needs about 8. */
export const DER_MAX_DEPTH = 32;
/** Most elements accepted in one structure; a certificate has about 100, and some more for each alternative name. */
export const DER_MAX_ELEMENTS = 2048;
/** Longest OBJECT IDENTIFIER accepted. */
export const DER_MAX_OID_BYTES = 64;

const TAG_BOOLEAN = 1;
const TAG_OID = 6;
const TAG_RELATIVE_OID = 13;
const TAG_SEQUENCE = 16;
const TAG_SET = 17;

/** @throws {DecodeError} unless `bytes` is exactly one well-framed element. */
export function checkFraming(bytes: Uint8Array, field: string): void {
  if (bytes.length > DER_MAX_BYTES) throw new DecodeError('limit', field, 0);
  const end = new FramingCheck(bytes, field).element(0, bytes.length, 1);
  if (end !== bytes.length) throw new DecodeError('trailing-bytes', field, end);
}

class FramingCheck {
  readonly #bytes: Uint8Array;
  readonly #field: string;
  #elements = 0;

  constructor(bytes: Uint8Array, field: string) {
    this.#bytes = bytes;
    this.#field = field;
  }

  /** Checks the element at `at` and all inside it. @returns where it ends. */
  element(at: number, limit: number, depth: number): number {
    if (depth > DER_MAX_DEPTH) throw this.#error('limit', at);
    if (++this.#elements > DER_MAX_ELEMENTS) throw this.#error('too-many', at);
    if (limit - at < 2) throw this.#error('too-short', at);
    const tag = this.#bytes[at]!;
    const number = tag & 0x1f;
    if (number === 0x1f) throw this.#error('unsupported', at); // nothing in X.509 has a tag above 30
    const start = at + 1 + this.#lengthOctets(at + 1, limit);
    const end = start + this.#length(at + 1, start);
    if (end > limit) throw this.#error('too-short', at);
    const universal = tag >>> 6 === 0;
    if ((tag & 0x20) !== 0) {
      // X.690 §10.2: strings are primitive in DER, so only SEQUENCE and SET are constructed.
      if (universal && number !== TAG_SEQUENCE && number !== TAG_SET) throw this.#error('bad-type', at);
      for (let child = start; child < end; ) child = this.element(child, end, depth + 1);
    } else if (universal) {
      this.#primitive(number, start, end);
    }
    return end;
  }

  #lengthOctets(at: number, limit: number): number {
    const first = this.#bytes[at]!;
    if (first < 0x80) return 1;
    const count = first & 0x7f;
    if (count === 0 || count > 3) throw this.#error('bad-length', at); // X.690 §10.1: never indefinite
    if (limit - at - 1 < count) throw this.#error('too-short', at);
    return 1 + count;
  }

  /** X.690 §10.1: the length in the fewest octets. */
  #length(at: number, end: number): number {
    const first = this.#bytes[at]!;
    if (end - at === 1) return first;
    let length = 0;
    for (let i = at + 1; i < end; i++) length = (length << 8) | this.#bytes[i]!;
    if (length < 0x80 || this.#bytes[at + 1] === 0) throw this.#error('bad-length', at);
    return length;
  }

  #primitive(number: number, start: number, end: number): void {
    if (number === TAG_BOOLEAN) {
      // X.690 §11.1: TRUE is 0xff.
      const value = this.#bytes[start];
      if (end - start !== 1 || (value !== 0 && value !== 0xff)) throw this.#error('bad-value', start);
    }
    if (number === TAG_OID || number === TAG_RELATIVE_OID) this.#oid(start, end);
    if (number === TAG_SEQUENCE || number === TAG_SET) throw this.#error('bad-type', start);
  }

  /** X.690 §8.19: at least one arc, each complete and without leading zero groups. */
  #oid(start: number, end: number): void {
    if (end - start > DER_MAX_OID_BYTES) throw this.#error('limit', start);
    let firstOfArc = true;
    for (let i = start; i < end; i++) {
      const byte = this.#bytes[i]!;
      if (firstOfArc && byte === 0x80) throw this.#error('bad-value', i);
      firstOfArc = byte < 0x80;
    }
    if (start === end || !firstOfArc) throw this.#error('bad-value', start);
  }

  #error(reason: DecodeError['reason'], at: number): DecodeError {
    return new DecodeError(reason, this.#field, at);
  }
}
