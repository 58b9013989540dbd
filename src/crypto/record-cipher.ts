import type { AeadContext, AeadName, CryptoBackend } from '../core/index.ts';
import { createNobleAead } from './noble-aead.ts';
import { type OwnCipher, ownCipher } from './own-cipher.ts';

/** The longest records, in bytes of plaintext, that our own cipher takes, by what it runs in. */
export type LongestOwnRecords = Readonly<Record<OwnCipher['implementation'], number>>;

/** Where a record through OpenSSL of Node 20, its AES-GCM included, begins to cost less than one through ours. */
export const LONGEST_BEFORE_NATIVE: LongestOwnRecords = { webassembly: 8000, javascript: 1500 };

/**
 * The same backend with our own ChaCha20-Poly1305 for records of up to `longest`, and the backend's for longer ones. A native cipher
 * has a high cost a call and a low one a byte. AEADs that the backend does not have come from ours and from noble.
 * @param longest - bytes of plaintext; one number when it is the same in WebAssembly and in JavaScript.
 * @param own - `ownCipher()`, asked for when there is a key, unless another is given.
 *
 * @example
 * const crypto = withRecordCipher(nodeCrypto, LONGEST_BEFORE_NATIVE);
 * const portable = withRecordCipher(nobleCrypto); // ours is faster at every length
 */
export function withRecordCipher(
  backend: CryptoBackend,
  longest: number | LongestOwnRecords = Number.POSITIVE_INFINITY,
  own?: OwnCipher,
): CryptoBackend {
  const isNative = (name: AeadName): boolean => backend.supportsAead?.(name) ?? true;
  return {
    ...backend,
    supportsAead: () => true,
    aeadPreference: ['chacha20-poly1305', ...backend.aeadPreference.filter((name) => name !== 'chacha20-poly1305')],
    createAead: (name, key) => {
      if (name !== 'chacha20-poly1305')
        return isNative(name) ? backend.createAead(name, key) : createNobleAead(name, key);
      const cipher = own ?? ownCipher();
      const context = cipher.createAead(key);
      const longestBytes = typeof longest === 'number' ? longest : longest[cipher.implementation];
      if (longestBytes === Number.POSITIVE_INFINITY || !isNative(name)) return context;
      return new ByLength(context, backend.createAead(name, key), longestBytes);
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
