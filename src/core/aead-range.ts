import { type AeadName, CryptoError } from './crypto-backend.ts';
import { UsageError } from './errors.ts';

/** Every AEAD of the house has nonces of this length. */
export const AEAD_NONCE_BYTES = 12;

/**
 * What `AeadContext` promises to check before anything is written, for the backends.
 * @param room - free bytes wanted behind the range: the tag, when sealing.
 * @throws {UsageError}
 */
export function checkAeadRange(
  nonce: Uint8Array,
  buffer: Uint8Array,
  offset: number,
  length: number,
  room: number,
): void {
  if (nonce.length !== AEAD_NONCE_BYTES) throw new UsageError(`the nonce has ${nonce.length} bytes instead of 12`);
  if (offset < 0 || length < 0 || offset + length + room > buffer.length) {
    throw new UsageError('the range lies outside the buffer');
  }
}

/** @throws {CryptoError} `invalid-key` for a key of the wrong length. */
export function checkAeadKey(name: AeadName, key: Uint8Array): void {
  const keyBytes = name === 'aes-256-gcm' || name === 'chacha20-poly1305' ? 32 : 16;
  if (key.length !== keyBytes) {
    throw new CryptoError('invalid-key', `${name} takes a key of ${keyBytes} bytes, not ${key.length}`);
  }
}

/** RFC 6655 §3: L = 3, so the length field of a record sealed with AES-CCM has three bytes. */
export const CCM_LENGTH_BYTES = 3;
const CCM_MAX_PLAINTEXT = 2 ** (8 * CCM_LENGTH_BYTES) - 1;
/** RFC 3610 §2.2: longer associated data needs another length encoding, which no record has. */
const CCM_MAX_AAD = 0xfeff;

/** @throws {UsageError} for what AES-CCM cannot seal with this nonce. */
export function checkCcmLengths(length: number, aad: Uint8Array): void {
  if (length > CCM_MAX_PLAINTEXT || aad.length > CCM_MAX_AAD) throw new UsageError('too long for AES-CCM');
}
