import { ByteReader, crc32, DecodeError } from '../core/index.ts';
import {
  type AttributeName,
  type AttributeValues,
  isComprehensionRequired,
  isKnownAttribute,
  STUN_ATTRIBUTES,
} from './attributes.ts';
import { classOfType, HEADER_BYTES, MAGIC_COOKIE, methodName, methodOfType, type StunClass } from './message-type.ts';

/*
 * RFC 8489 §5:
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |0 0|     STUN Message Type     |         Message Length        |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                         Magic Cookie                          |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                     Transaction ID (96 bits)                  |
 * |                                                               |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |  Attributes: type (16), length without padding (16), value,   |
 * |  zero to three bytes of padding                           ....
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

/** More attributes than this in one message are refused: `get` looks through all of them. */
export const MAX_ATTRIBUTES = 256;

/** XORed onto the CRC, so that an application protocol's own CRC-32 does not pass for one (RFC 8489 §14.7). */
export const FINGERPRINT_XOR = 0x5354_554e;

const TYPE_MESSAGE_INTEGRITY = STUN_ATTRIBUTES['MESSAGE-INTEGRITY'].type;
const TYPE_MESSAGE_INTEGRITY_SHA256 = STUN_ATTRIBUTES['MESSAGE-INTEGRITY-SHA256'].type;
const TYPE_FINGERPRINT = STUN_ATTRIBUTES.FINGERPRINT.type;

/** Numbers a message stores for each attribute in its index. */
const STRIDE = 3;

/**
 * A decoded message: header fields, and an index of the attributes whose values are decoded when asked for. It borrows
 * the datagram: everything it gives out that is a `Uint8Array` is a view of it, and must be copied to outlive the call.
 */
export class StunMessage {
  /** The datagram, borrowed. */
  readonly bytes: Uint8Array;
  readonly messageClass: StunClass;
  readonly method: number;
  /** A message of an RFC 3489 client: no magic cookie. */
  readonly isClassic: boolean;
  /** 12 bytes, or 16 when `isClassic`; borrowed. */
  readonly transactionId: Uint8Array;
  /** Type, offset of the value, length of the value, for each attribute that a receiver may look at. */
  readonly #index: readonly number[];

  /** Use {@link decodeStun}. */
  constructor(bytes: Uint8Array, type: number, isClassic: boolean, index: readonly number[]) {
    this.bytes = bytes;
    this.messageClass = classOfType(type);
    this.method = methodOfType(type);
    this.isClassic = isClassic;
    this.transactionId = bytes.subarray(isClassic ? 4 : 8, HEADER_BYTES);
    this.#index = index;
  }

  /** Whether the attribute is present, without decoding its value. */
  has(name: AttributeName): boolean {
    return this.#find(STUN_ATTRIBUTES[name].type, 0) >= 0;
  }

  /** FINGERPRINT is present; it is correct then, because {@link decodeStun} checked it. */
  get hasFingerprint(): boolean {
    return this.has('FINGERPRINT');
  }

  /**
   * The value of the first attribute of that name; undefined when there is none (RFC 8489 §14: "only the first occurrence
   * needs to be processed").
   * @throws {DecodeError} when the value is malformed.
   */
  get<N extends AttributeName>(name: N): AttributeValues[N] | undefined {
    const at = this.#find(STUN_ATTRIBUTES[name].type, 0);
    return at < 0 ? undefined : this.#read(name, at);
  }

  /**
   * The value of an attribute that must be there.
   * @throws {DecodeError} `missing`, or as {@link get}.
   */
  require<N extends AttributeName>(name: N): AttributeValues[N] {
    const value = this.get(name);
    if (value === undefined) throw new DecodeError('missing', name, this.bytes.length);
    return value;
  }

  /** All values of that name in order, for attributes that may repeat, such as XOR-PEER-ADDRESS. */
  getAll<N extends AttributeName>(name: N): AttributeValues[N][] {
    const values: AttributeValues[N][] = [];
    const type = STUN_ATTRIBUTES[name].type;
    for (let at = this.#find(type, 0); at >= 0; at = this.#find(type, at + STRIDE)) values.push(this.#read(name, at));
    return values;
  }

  /** Attribute types in the order of the message. */
  get attributeTypes(): number[] {
    return this.#index.filter((_, i) => i % STRIDE === 0);
  }

  /** The raw value of the first attribute of that name, borrowed; undefined when there is none. Never throws. */
  valueBytes(name: AttributeName): Uint8Array | undefined {
    const at = this.#find(STUN_ATTRIBUTES[name].type, 0);
    if (at < 0) return undefined;
    const start = this.#index[at + 1]!;
    return this.bytes.subarray(start, start + this.#index[at + 2]!);
  }

  /** Byte where the value of the first attribute of that type starts; -1 when absent. */
  valueOffset(name: AttributeName): number {
    const at = this.#find(STUN_ATTRIBUTES[name].type, 0);
    return at < 0 ? -1 : this.#index[at + 1]!;
  }

  /**
   * Comprehension-required attributes that are not understood, each once, in order: what a 420 response lists
   * (RFC 8489 §6.3.1).
   * @param understands - by default the whole registry counts as understood.
   */
  unknownRequired(understands: (type: number) => boolean = isKnownAttribute): number[] {
    const unknown: number[] = [];
    for (let i = 0; i < this.#index.length; i += STRIDE) {
      const type = this.#index[i]!;
      if (isComprehensionRequired(type) && !understands(type) && !unknown.includes(type)) unknown.push(type);
    }
    return unknown;
  }

  /** One line for logs: class and method only, no addresses and no names. */
  toString(): string {
    return `${methodName(this.method)} ${this.messageClass} (${this.bytes.length} bytes)`;
  }

  #find(type: number, from: number): number {
    const index = this.#index;
    for (let i = from; i < index.length; i += STRIDE) if (index[i] === type) return i;
    return -1;
  }

  #read<N extends AttributeName>(name: N, at: number): AttributeValues[N] {
    const start = this.#index[at + 1]!;
    const r = new ByteReader(this.bytes, start, start + this.#index[at + 2]!);
    return STUN_ATTRIBUTES[name].codec.read(r, this.transactionId);
  }
}

/**
 * Whether a datagram looks like STUN (RFC 8489 §5, §7): two zero bits, the magic cookie, a length that is a multiple of
 * four and fits. Cheap; RFC 7983 demultiplexing needs the first byte only.
 */
export function isStun(bytes: Uint8Array): boolean {
  return (
    bytes.length >= HEADER_BYTES &&
    (bytes[0]! & 0xc0) === 0 &&
    hasCookie(bytes) &&
    (bytes[3]! & 3) === 0 &&
    ((bytes[2]! << 8) | bytes[3]!) === bytes.length - HEADER_BYTES
  );
}

function hasCookie(bytes: Uint8Array): boolean {
  return bytes[4] === 0x21 && bytes[5] === 0x12 && bytes[6] === 0xa4 && bytes[7] === (MAGIC_COOKIE & 0xff);
}

/**
 * Decodes one whole STUN message (RFC 8489 §5, §6.3): the framing of all attributes, the attributes that a receiver must
 * ignore left out, FINGERPRINT verified when present. Values are decoded by `message.get`. Integrity is not checked: that
 * is `verifyIntegrity`, before anything in the message is believed.
 * @param bytes - exactly one message, borrowed for the life of the result.
 * @param options - `allowClassic` takes messages without the magic cookie too (RFC 8489 §11).
 * @throws {DecodeError} `too-short`, `bad-type` (not STUN: first bits, or cookie), `bad-length`, `trailing-bytes`,
 *   `bad-order` (something behind FINGERPRINT), `bad-fingerprint`, `too-many`.
 */
export function decodeStun(bytes: Uint8Array, options?: { readonly allowClassic?: boolean }): StunMessage {
  const r = new ByteReader(bytes);
  const type = r.u16('message type');
  if (type > 0x3fff) throw new DecodeError('bad-type', 'message type', 0);
  const length = r.u16('message length');
  const isClassic = r.u32('magic cookie') !== MAGIC_COOKIE;
  if (isClassic && options?.allowClassic !== true) throw new DecodeError('bad-type', 'magic cookie', 4);
  r.skip(12, 'transaction id');
  if (length % 4 !== 0) throw new DecodeError('bad-length', 'message length', 2);
  if (length > r.remaining) throw new DecodeError('too-short', 'message', 2);
  if (length < r.remaining) throw new DecodeError('trailing-bytes', 'message', HEADER_BYTES + length);
  return new StunMessage(bytes, type, isClassic, indexAttributes(r, isClassic));
}

/**
 * RFC 8489 §9: "agents MUST ignore all attributes that follow MESSAGE-INTEGRITY, with the exception of the
 * MESSAGE-INTEGRITY-SHA256 and FINGERPRINT attributes", and all but FINGERPRINT behind MESSAGE-INTEGRITY-SHA256. They are
 * not covered by the HMAC, so anybody on the path could have added them.
 */
function indexAttributes(r: ByteReader, isClassic: boolean): number[] {
  const index: number[] = [];
  let protectedBy = 0;
  while (r.remaining > 0) {
    if (index.length >= MAX_ATTRIBUTES * STRIDE) throw new DecodeError('too-many', 'attributes', r.pos);
    const at = r.pos;
    const type = r.u16('attribute type');
    const length = r.u16('attribute length');
    const value = r.pos;
    r.skip(length, 'attribute value');
    r.skip(-length & 3, 'attribute padding'); // cannot fail: the message length is a multiple of four
    if (type === TYPE_FINGERPRINT && !isClassic) {
      checkFingerprint(r, at, length);
      index.push(type, value, length);
    } else if (
      protectedBy === 0 ||
      (protectedBy === TYPE_MESSAGE_INTEGRITY && type === TYPE_MESSAGE_INTEGRITY_SHA256)
    ) {
      index.push(type, value, length);
      if (type === TYPE_MESSAGE_INTEGRITY || type === TYPE_MESSAGE_INTEGRITY_SHA256) protectedBy = type;
    }
  }
  return index;
}

/** RFC 8489 §14.7: it "MUST be the last attribute", and covers everything in front of it. `r` is behind it. */
function checkFingerprint(r: ByteReader, at: number, length: number): void {
  if (length !== 4) throw new DecodeError('bad-length', 'fingerprint', at + 2);
  if (r.remaining > 0) throw new DecodeError('bad-order', 'fingerprint', at);
  const sent = new ByteReader(r.buf, at + 4).u32('fingerprint');
  if (sent !== fingerprintOf(r.buf, 0, at)) throw new DecodeError('bad-fingerprint', 'fingerprint', at + 4);
}

/** The FINGERPRINT value of a message whose bytes in front of the attribute are `buf[start, end)`. */
export function fingerprintOf(buf: Uint8Array, start: number, end: number): number {
  return (crc32(buf, start, end) ^ FINGERPRINT_XOR) >>> 0;
}
