import { type CryptoBackend, type Mac, UsageError } from '../core/index.ts';
import { constantTimeEqual } from '../crypto/index.ts';
import type { StunMessage } from './message.ts';
import { HEADER_BYTES } from './message-type.ts';

/** Which HMAC protects a message: MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256. */
export type IntegrityAlgorithm = 'sha-1' | 'sha-256';

/** Attribute header in front of the HMAC. */
const ATTRIBUTE_HEADER_BYTES = 4;

/** Bytes of the HMAC in the attribute. MESSAGE-INTEGRITY-SHA256 is sent in full (RFC 8489 §14.6). */
export const INTEGRITY_BYTES: Readonly<Record<IntegrityAlgorithm, number>> = { 'sha-1': 20, 'sha-256': 32 };

/**
 * A credential's key, prepared once for all messages of a session. `bytes` is what `shortTermKey` or `longTermKey`
 * returned.
 */
export class IntegrityKey {
  readonly #crypto: CryptoBackend;
  readonly #bytes: Uint8Array;
  #sha1: Mac | undefined;
  #sha256: Mac | undefined;
  /** Type and adjusted length, the only bytes that differ from those in the message. */
  readonly #prefix: Uint8Array = new Uint8Array(4);

  /** @param bytes - kept, not copied. */
  constructor(crypto: CryptoBackend, bytes: Uint8Array) {
    this.#crypto = crypto;
    this.#bytes = bytes;
  }

  /**
   * The HMAC of a message (RFC 8489 §14.5, §14.6): over everything in front of the integrity attribute, with a header
   * length as if the message ended right behind that attribute. The message itself is not touched.
   * @param buf - holds the message from `start` on; the integrity attribute's header is at `attributeAt`.
   */
  compute(algorithm: IntegrityAlgorithm, buf: Uint8Array, start: number, attributeAt: number): Uint8Array {
    const end = attributeAt + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES[algorithm];
    const length = end - start - HEADER_BYTES;
    if (length < 0 || length > 0xffff) throw new UsageError('not a STUN message');
    const prefix = this.#prefix;
    prefix[0] = buf[start]!;
    prefix[1] = buf[start + 1]!;
    prefix[2] = length >>> 8;
    prefix[3] = length;
    return this.#mac(algorithm).sign(prefix, buf.subarray(start + 4, attributeAt));
  }

  #mac(algorithm: IntegrityAlgorithm): Mac {
    if (algorithm === 'sha-1') {
      this.#sha1 ??= this.#crypto.createMac('sha-1', this.#bytes);
      return this.#sha1;
    }
    this.#sha256 ??= this.#crypto.createMac('sha-256', this.#bytes);
    return this.#sha256;
  }
}

/**
 * Which algorithm decides about a message: MESSAGE-INTEGRITY-SHA256 where present, also beside the other one
 * (RFC 8489 §9.1.3); undefined when the message has neither.
 */
export function integrityAlgorithm(message: StunMessage): IntegrityAlgorithm | undefined {
  if (message.has('MESSAGE-INTEGRITY-SHA256')) return 'sha-256';
  return message.has('MESSAGE-INTEGRITY') ? 'sha-1' : undefined;
}

/**
 * Verifies a message's integrity with the algorithm that {@link integrityAlgorithm} names, in constant time.
 * @param only - this algorithm and no other (RFC 8489 §9.1.4: the response has to match the request). One beside it is
 *   left alone, as a peer of RFC 5389 would leave it.
 * @returns false also when there is no integrity attribute, or a truncated one: no usage here allows truncation
 *   (RFC 8489 §14.6).
 */
export function verifyIntegrity(message: StunMessage, key: IntegrityKey, only?: IntegrityAlgorithm): boolean {
  const algorithm = only ?? integrityAlgorithm(message);
  if (algorithm === undefined) return false;
  const name = algorithm === 'sha-256' ? 'MESSAGE-INTEGRITY-SHA256' : 'MESSAGE-INTEGRITY';
  const value = message.valueBytes(name);
  if (value === undefined || value.length !== INTEGRITY_BYTES[algorithm]) return false;
  const attributeAt = message.valueOffset(name) - ATTRIBUTE_HEADER_BYTES;
  return constantTimeEqual(value, key.compute(algorithm, message.bytes, 0, attributeAt));
}
