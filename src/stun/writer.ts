import { BufferTooSmall, ByteWriter, UsageError } from '../core/index.ts';
import { type AttributeName, type AttributeValues, STUN_ATTRIBUTES, type StunAttribute } from './attributes.ts';
import { INTEGRITY_BYTES, type IntegrityAlgorithm, type IntegrityKey } from './integrity.ts';
import { fingerprintOf } from './message.ts';
import { encodeMessageType, HEADER_BYTES, MAGIC_COOKIE, type StunClass, TRANSACTION_ID_BYTES } from './message-type.ts';

/** The largest message: header and a 16-bit length that is a multiple of four. */
export const MAX_MESSAGE_BYTES: number = HEADER_BYTES + 0xfffc;

/**
 * Writes one message into a caller's buffer (RFC 8489 §5, §14). After each call the header's length is right, so
 * `written()` may be taken at any time; integrity comes behind all other attributes and FINGERPRINT behind integrity.
 *
 * @example
 * const w = new StunWriter(new ByteWriter(slot.buffer, slot.offset), 'request', STUN_METHODS.Binding, transactionId);
 * w.add('USERNAME', 'remote:local');
 * w.add('PRIORITY', 1845501695);
 * w.addIntegrity(key, 'sha-1');
 * w.addFingerprint();
 * slot.length = w.length;
 */
export class StunWriter {
  readonly #w: ByteWriter;
  readonly #transactionId: Uint8Array;
  readonly #paddingByte: number;
  #sealed: 'no' | 'sha-1' | 'sha-256' | 'fingerprint' = 'no';

  /**
   * @param w - starts where the message starts; a fresh one for each message.
   * @param transactionId - 12 bytes, kept until the message is finished; 16 for an answer to an RFC 3489 client, whose
   *   first four stand in the place of the cookie.
   * @param paddingByte - anything but 0 only to rebuild the test vectors of RFC 5769, which pad with spaces.
   * @throws {BufferTooSmall} here and from every `add`.
   */
  constructor(w: ByteWriter, messageClass: StunClass, method: number, transactionId: Uint8Array, paddingByte = 0) {
    if (w.pos !== w.start) throw new UsageError('the writer has been used');
    const classic = transactionId.length === TRANSACTION_ID_BYTES + 4;
    if (!classic && transactionId.length !== TRANSACTION_ID_BYTES) throw new UsageError('bad transaction ID length');
    this.#w = w;
    this.#transactionId = transactionId;
    this.#paddingByte = paddingByte;
    w.u16(encodeMessageType(messageClass, method));
    w.u16(0);
    if (!classic) w.u32(MAGIC_COOKIE);
    w.bytes(transactionId);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#w.pos - this.#w.start;
  }

  /** The message so far, sharing the buffer. */
  written(): Uint8Array {
    return this.#w.written();
  }

  /** Appends an attribute. @throws {UsageError} behind integrity or fingerprint, or when the message grows too long. */
  add<N extends AttributeName>(name: N, value: AttributeValues[N]): this {
    if (this.#sealed !== 'no') throw new UsageError(`${name} behind the integrity of the message`);
    const definition = STUN_ATTRIBUTES[name];
    const lengthAt = this.#begin(definition.type);
    definition.codec.write(this.#w, value, this.#transactionId);
    this.#end(lengthAt);
    return this;
  }

  /** Appends an attribute by number with a ready value: for types the registry does not know. */
  addRaw(type: number, value: Uint8Array): this {
    if (this.#sealed !== 'no') throw new UsageError('an attribute behind the integrity of the message');
    const lengthAt = this.#begin(type);
    this.#w.bytes(value);
    this.#end(lengthAt);
    return this;
  }

  /**
   * Appends an attribute whose value of `length` bytes already stands in the buffer behind the four bytes that its header
   * will take: how a TURN client wraps a datagram without copying it. Writes the header and the padding.
   */
  addInPlace(type: number, length: number): this {
    if (this.#sealed !== 'no') throw new UsageError('an attribute behind the integrity of the message');
    const lengthAt = this.#begin(type);
    if (this.#w.pos + length > this.#w.buf.length) throw new BufferTooSmall(this.#w.pos + length, this.#w.buf.length);
    this.#w.pos += length;
    this.#end(lengthAt);
    return this;
  }

  /**
   * Appends MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256. Where both are sent, SHA-1 comes first (RFC 8489 §9: only
   * MESSAGE-INTEGRITY-SHA256 may follow MESSAGE-INTEGRITY).
   */
  addIntegrity(key: IntegrityKey, algorithm: IntegrityAlgorithm): this {
    if (this.#sealed !== 'no' && !(this.#sealed === 'sha-1' && algorithm === 'sha-256')) {
      throw new UsageError('integrity attributes in the wrong order');
    }
    const name = algorithm === 'sha-1' ? 'MESSAGE-INTEGRITY' : 'MESSAGE-INTEGRITY-SHA256';
    const at = this.#w.pos;
    const hmac = key.compute(algorithm, this.#w.buf, this.#w.start, at);
    const lengthAt = this.#begin(STUN_ATTRIBUTES[name].type);
    this.#w.bytes(hmac.subarray(0, INTEGRITY_BYTES[algorithm]));
    this.#end(lengthAt);
    this.#sealed = algorithm;
    return this;
  }

  /** Appends FINGERPRINT (RFC 8489 §14.7), the last attribute. */
  addFingerprint(): this {
    if (this.#sealed === 'fingerprint') throw new UsageError('a second FINGERPRINT');
    const at = this.#w.pos;
    const lengthAt = this.#begin(STUN_ATTRIBUTES.FINGERPRINT.type);
    this.#w.u32(0);
    this.#end(lengthAt); // the CRC covers the header's length, which counts the attribute itself
    this.#w.patchU32(at + 4, fingerprintOf(this.#w.buf, this.#w.start, at));
    this.#sealed = 'fingerprint';
    return this;
  }

  #begin(type: number): number {
    this.#w.u16(type);
    this.#w.u16(0);
    return this.#w.pos - 2;
  }

  #end(lengthAt: number): void {
    const w = this.#w;
    const length = w.pos - lengthAt - 2;
    w.patchU16(lengthAt, length);
    w.fill(-length & 3, this.#paddingByte);
    if (this.length > MAX_MESSAGE_BYTES) throw new UsageError('the message is longer than a STUN message can be');
    w.patchU16(w.start + 2, this.length - HEADER_BYTES);
  }
}

/** A whole message as data, for {@link encodeStun}. */
export interface StunMessageSpec {
  readonly messageClass: StunClass;
  readonly method: number;
  /** 12 bytes. */
  readonly transactionId: Uint8Array;
  readonly attributes?: readonly StunAttribute[];
  /** Appended in this order behind the attributes. */
  readonly integrity?: readonly { readonly key: IntegrityKey; readonly algorithm: IntegrityAlgorithm }[];
  readonly fingerprint?: boolean;
  /** See {@link StunWriter}: for RFC 5769 vectors. */
  readonly paddingByte?: number;
}

/** Writes a message described as data into `w`, and returns its length in bytes. @throws {BufferTooSmall} */
export function writeStun(w: ByteWriter, spec: StunMessageSpec): number {
  const s = new StunWriter(w, spec.messageClass, spec.method, spec.transactionId, spec.paddingByte);
  for (const [name, value] of spec.attributes ?? []) s.add(name, value);
  for (const { key, algorithm } of spec.integrity ?? []) s.addIntegrity(key, algorithm);
  if (spec.fingerprint === true) s.addFingerprint();
  return s.length;
}

let scratch: Uint8Array | undefined;

/** Encodes a message into new bytes that the caller owns. On packet paths use {@link StunWriter} and write once. */
export function encodeStun(spec: StunMessageSpec): Uint8Array {
  scratch ??= new Uint8Array(MAX_MESSAGE_BYTES + 8);
  const w = new ByteWriter(scratch);
  writeStun(w, spec);
  return w.written().slice();
}
