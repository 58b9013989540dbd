import type { AeadContext, CryptoBackend } from '../core/index.ts';
import { ChaCha20Poly1305 } from './chacha20-poly1305.ts';

/**
 * The same backend with our own ChaCha20-Poly1305 for records of up to `longestBytes`, and the backend's for longer ones.
 * A native cipher has a high cost a call and a low one a byte: on Node 20 the two meet at about 1,500 bytes.
 *
 * @example
 * const crypto = withRecordCipher(nodeCrypto, 1500);
 * const portable = withRecordCipher(nobleCrypto); // ours is faster at every length
 */
export function withRecordCipher(
  backend: CryptoBackend,
  longestBytes: number = Number.POSITIVE_INFINITY,
): CryptoBackend {
  return {
    ...backend,
    aeadPreference: ['chacha20-poly1305', ...backend.aeadPreference.filter((name) => name !== 'chacha20-poly1305')],
    createAead: (name, key) => {
      if (name !== 'chacha20-poly1305') return backend.createAead(name, key);
      const own = new ChaCha20Poly1305(key);
      if (longestBytes === Number.POSITIVE_INFINITY) return own;
      return new ByLength(own, backend.createAead(name, key), longestBytes);
    },
  };
}

/** Two contexts of one key: which one works on a record is nobody's business but the clock's. */
class ByLength implements AeadContext {
  readonly tagLength: number;
  readonly #short: AeadContext;
  readonly #long: AeadContext;
  readonly #longestBytes: number;

  constructor(short: AeadContext, long: AeadContext, longestBytes: number) {
    this.tagLength = short.tagLength;
    this.#short = short;
    this.#long = long;
    this.#longestBytes = longestBytes;
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const context = length <= this.#longestBytes ? this.#short : this.#long;
    context.seal(nonce, aad, buffer, offset, length);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    const context = length - this.tagLength <= this.#longestBytes ? this.#short : this.#long;
    return context.open(nonce, aad, buffer, offset, length);
  }
}
