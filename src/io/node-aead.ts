import {
  type CipherCCMTypes,
  type CipherChaCha20Poly1305Types,
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  getCiphers,
  type KeyObject,
} from 'node:crypto';
import {
  type AeadContext,
  type AeadName,
  CryptoError,
  checkAeadKey,
  checkAeadRange,
  checkCcmLengths,
} from '../core/index.ts';

/**
 * The AEADs of `node:crypto`. OpenSSL has no in-place call behind Node's API: `update` returns a new buffer, which is
 * copied into place; the key object is made once.
 */

const TAG_BYTES = 16;

/** AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439 §2.8), which OpenSSL drives alike. */
class NodeStreamAead implements AeadContext {
  readonly tagLength: number = TAG_BYTES;
  readonly #cipher: CipherGCMTypes;
  readonly #key: KeyObject;
  readonly #options = { authTagLength: TAG_BYTES };

  constructor(cipher: CipherGCMTypes | CipherChaCha20Poly1305Types, key: Uint8Array) {
    // The typings give each mode its own overload with the same shape; one name serves both.
    this.#cipher = cipher as CipherGCMTypes;
    this.#key = createSecretKey(key);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const end = offset + length;
    checkAeadRange(nonce, buffer, offset, length, TAG_BYTES);
    const cipher = createCipheriv(this.#cipher, this.#key, nonce, this.#options);
    cipher.setAAD(aad);
    buffer.set(cipher.update(buffer.subarray(offset, end)), offset);
    cipher.final();
    buffer.set(cipher.getAuthTag(), end);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    const plainLength = length - TAG_BYTES;
    if (plainLength < 0) return -1;
    const end = offset + plainLength;
    const decipher = createDecipheriv(this.#cipher, this.#key, nonce, this.#options);
    decipher.setAAD(aad);
    decipher.setAuthTag(buffer.subarray(end, end + TAG_BYTES));
    const opened = decipher.update(buffer.subarray(offset, end));
    try {
      decipher.final(); // compares the tag; it is the only call here that throws for a peer's bytes
    } catch {
      return -1;
    }
    buffer.set(opened, offset);
    return plainLength;
  }
}

/** AES-CCM (RFC 3610) with the 12-byte nonce and the 3-byte length field of RFC 6655 §3. */
class NodeCcm implements AeadContext {
  readonly tagLength: number;
  readonly #cipher: CipherCCMTypes = 'aes-128-ccm';
  readonly #key: KeyObject;
  readonly #options: { readonly authTagLength: number };

  constructor(key: Uint8Array, tagLength: number) {
    this.#key = createSecretKey(key);
    this.tagLength = tagLength;
    this.#options = { authTagLength: tagLength };
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const end = offset + length;
    checkAeadRange(nonce, buffer, offset, length, this.tagLength);
    checkCcmLengths(length, aad);
    const cipher = createCipheriv(this.#cipher, this.#key, nonce, this.#options);
    cipher.setAAD(aad, { plaintextLength: length });
    buffer.set(cipher.update(buffer.subarray(offset, end)), offset);
    cipher.final();
    buffer.set(cipher.getAuthTag(), end);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    checkCcmLengths(length, aad);
    const plainLength = length - this.tagLength;
    if (plainLength < 0) return -1;
    const end = offset + plainLength;
    const decipher = createDecipheriv(this.#cipher, this.#key, nonce, this.#options);
    decipher.setAuthTag(buffer.subarray(end, end + this.tagLength));
    decipher.setAAD(aad, { plaintextLength: plainLength });
    let opened: Uint8Array;
    try {
      opened = decipher.update(buffer.subarray(offset, end)); // CCM compares the tag before it gives out plaintext
      decipher.final();
    } catch {
      return -1;
    }
    buffer.set(opened, offset);
    return plainLength;
  }
}

/** Node's names of them. Made when first asked for: the list takes OpenSSL longer than a handshake's hashes. */
let ciphers: ReadonlySet<string> | undefined;

/** Bun's `node:crypto` has no ChaCha20-Poly1305, and neither Bun's nor Deno's has CCM; Node's has all. */
export function supportsNodeAead(name: AeadName): boolean {
  ciphers ??= new Set(getCiphers());
  return ciphers.has(name === 'aes-128-ccm-8' ? 'aes-128-ccm' : name);
}

/** @throws {CryptoError} `invalid-key` for a key of the wrong length, `unsupported` where the runtime lacks the cipher. */
export function createNodeAead(name: AeadName, key: Uint8Array): AeadContext {
  checkAeadKey(name, key);
  if (!supportsNodeAead(name)) throw new CryptoError('unsupported', `this runtime has no ${name}`);
  switch (name) {
    case 'aes-128-gcm':
    case 'aes-256-gcm':
    case 'chacha20-poly1305':
      return new NodeStreamAead(name, key);
    case 'aes-128-ccm':
      return new NodeCcm(key, 16);
    case 'aes-128-ccm-8':
      return new NodeCcm(key, 8);
  }
}
