import { gcm, unsafe } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import {
  type AeadContext,
  type AeadName,
  CCM_LENGTH_BYTES,
  checkAeadKey,
  checkAeadRange,
  checkCcmLengths,
} from '../core/index.ts';
import { constantTimeEqual } from './constant-time.ts';

/** The AEADs of the portable backend. noble expands the key for each message; simple and correct comes first here. */

const TAG_BYTES = 16;
const BLOCK_BYTES = 16;

/** AES-GCM (NIST SP 800-38D §7). */
class NobleGcm implements AeadContext {
  readonly tagLength: number = TAG_BYTES;
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key.slice();
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    checkAeadRange(nonce, buffer, offset, length, TAG_BYTES);
    buffer.set(gcm(this.#key, nonce, aad).encrypt(buffer.subarray(offset, offset + length)), offset);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    if (length < TAG_BYTES) return -1;
    let opened: Uint8Array;
    try {
      opened = gcm(this.#key, nonce, aad).decrypt(buffer.subarray(offset, offset + length));
    } catch {
      return -1; // lengths were checked: only the tag can be wrong
    }
    buffer.set(opened, offset);
    return opened.length;
  }
}

/** ChaCha20-Poly1305 (RFC 8439 §2.8). */
class NobleChaCha20Poly1305 implements AeadContext {
  readonly tagLength: number = TAG_BYTES;
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key.slice();
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    checkAeadRange(nonce, buffer, offset, length, TAG_BYTES);
    const end = offset + length + TAG_BYTES;
    const plaintext = buffer.subarray(offset, offset + length);
    chacha20poly1305(this.#key, nonce, aad).encrypt(plaintext, buffer.subarray(offset, end));
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    const plainLength = length - TAG_BYTES;
    if (plainLength < 0) return -1;
    const sealed = buffer.subarray(offset, offset + length);
    try {
      chacha20poly1305(this.#key, nonce, aad).decrypt(sealed, buffer.subarray(offset, offset + plainLength));
    } catch {
      return -1; // lengths were checked: only the tag can be wrong
    }
    return plainLength;
  }
}

/** AES-CCM (RFC 3610) over noble's block cipher; noble itself has no CCM. */
class NobleCcm implements AeadContext {
  readonly tagLength: number;
  readonly #roundKeys: Uint32Array;
  /** CBC-MAC state; the tag when done. */
  readonly #mac = new Uint8Array(BLOCK_BYTES);
  /** A_i of RFC 3610 §2.3, and the keystream block S_i made from it. */
  readonly #counter = new Uint8Array(BLOCK_BYTES);
  readonly #keystream = new Uint8Array(BLOCK_BYTES);

  constructor(key: Uint8Array, tagLength: number) {
    this.tagLength = tagLength;
    this.#roundKeys = unsafe.expandKeyLE(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    checkAeadRange(nonce, buffer, offset, length, this.tagLength);
    checkCcmLengths(length, aad);
    const end = offset + length;
    this.#authenticate(nonce, aad, buffer, offset, length);
    this.#crypt(nonce, buffer, offset, length);
    this.#maskTag(nonce);
    buffer.set(this.#mac.subarray(0, this.tagLength), end);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    checkCcmLengths(length, aad);
    const plainLength = length - this.tagLength;
    if (plainLength < 0) return -1;
    const end = offset + plainLength;
    // RFC 3610 §2.5: the MAC is over the plaintext, so decryption comes first and is undone when the tag is wrong.
    this.#crypt(nonce, buffer, offset, plainLength);
    this.#authenticate(nonce, aad, buffer, offset, plainLength);
    this.#maskTag(nonce);
    if (constantTimeEqual(this.#mac.subarray(0, this.tagLength), buffer.subarray(end, end + this.tagLength))) {
      return plainLength;
    }
    this.#crypt(nonce, buffer, offset, plainLength);
    return -1;
  }

  /** RFC 3610 §2.2: CBC-MAC over B_0, the associated data and the message, each padded with zeros. */
  #authenticate(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const mac = this.#mac;
    mac[0] = (aad.length > 0 ? 0x40 : 0) | (((this.tagLength - 2) / 2) << 3) | (CCM_LENGTH_BYTES - 1);
    mac.set(nonce, 1);
    mac[13] = length >>> 16;
    mac[14] = length >>> 8;
    mac[15] = length;
    unsafe.encryptBlock(this.#roundKeys, mac);
    if (aad.length > 0) {
      mac[0]! ^= aad.length >>> 8;
      mac[1]! ^= aad.length & 0xff;
      this.#absorb(aad, 0, aad.length, 2);
    }
    this.#absorb(buffer, offset, length, 0);
  }

  /** XORs bytes into the MAC state from position `at` of the block, encrypting each full or last block. */
  #absorb(bytes: Uint8Array, offset: number, length: number, at: number): void {
    const mac = this.#mac;
    let position = at;
    for (let i = 0; i < length; i++) {
      mac[position++]! ^= bytes[offset + i]!;
      if (position === BLOCK_BYTES || i === length - 1) {
        unsafe.encryptBlock(this.#roundKeys, mac);
        position = 0;
      }
    }
  }

  /** S_i = E(K, A_i), RFC 3610 §2.3. */
  #nextKeystream(nonce: Uint8Array, i: number): Uint8Array {
    const counter = this.#counter;
    counter[0] = CCM_LENGTH_BYTES - 1;
    counter.set(nonce, 1);
    counter[13] = i >>> 16;
    counter[14] = i >>> 8;
    counter[15] = i;
    this.#keystream.set(counter);
    unsafe.encryptBlock(this.#roundKeys, this.#keystream);
    return this.#keystream;
  }

  #crypt(nonce: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    for (let start = 0, i = 1; start < length; start += BLOCK_BYTES, i++) {
      const keystream = this.#nextKeystream(nonce, i);
      const size = Math.min(BLOCK_BYTES, length - start);
      for (let j = 0; j < size; j++) buffer[offset + start + j]! ^= keystream[j]!;
    }
  }

  #maskTag(nonce: Uint8Array): void {
    const keystream = this.#nextKeystream(nonce, 0);
    for (let i = 0; i < BLOCK_BYTES; i++) this.#mac[i]! ^= keystream[i]!;
  }
}

/** @throws {CryptoError} `invalid-key` for a key of the wrong length. */
export function createNobleAead(name: AeadName, key: Uint8Array): AeadContext {
  checkAeadKey(name, key);
  switch (name) {
    case 'aes-128-gcm':
    case 'aes-256-gcm':
      return new NobleGcm(key);
    case 'chacha20-poly1305':
      return new NobleChaCha20Poly1305(key);
    case 'aes-128-ccm':
      return new NobleCcm(key, 16);
    case 'aes-128-ccm-8':
      return new NobleCcm(key, 8);
  }
}
