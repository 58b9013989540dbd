import { hmac as nobleHmac } from '@noble/hashes/hmac.js';
import { md5, sha1 } from '@noble/hashes/legacy.js';
import { sha224, sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { randomBytes } from '@noble/hashes/utils.js';
import type { CryptoBackend, Hasher, HashName, Mac } from '../core/index.ts';
import { createNobleAead } from './noble-aead.ts';
import { generateNobleKeyShare, generateNobleSigningKey, importNoblePkcs8, importNobleSpki } from './noble-keys.ts';

/** `CryptoBackend` on the noble packages: portable to every runtime, audited, and the reference for the others. */

type NobleHash = typeof sha1;

const HASHES: Readonly<Record<HashName, NobleHash>> = {
  md5,
  'sha-1': sha1,
  'sha-224': sha224,
  'sha-256': sha256,
  'sha-384': sha384,
  'sha-512': sha512,
};

/** noble draws at most this much in one call. */
const RANDOM_CHUNK_BYTES = 65_536;

function hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const running = HASHES[name].create();
  for (const part of parts) running.update(part);
  return running.digest();
}

class NobleHasher implements Hasher {
  readonly #hash: ReturnType<NobleHash['create']>;

  constructor(name: HashName) {
    this.#hash = HASHES[name].create();
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return this.#hash.clone().digest(); // a clone: digest() would end the running hash
  }
}

class NobleMac implements Mac {
  readonly length: number;
  readonly #keyed: ReturnType<typeof nobleHmac.create>;

  constructor(name: HashName, key: Uint8Array) {
    this.#keyed = nobleHmac.create(HASHES[name], key);
    this.length = HASHES[name].outputLen;
  }

  sign(...parts: readonly Uint8Array[]): Uint8Array {
    const running = this.#keyed.clone();
    for (const part of parts) running.update(part);
    return running.digest();
  }
}

function secureRandom(out: Uint8Array): void {
  for (let at = 0; at < out.length; at += RANDOM_CHUNK_BYTES) {
    out.set(randomBytes(Math.min(RANDOM_CHUNK_BYTES, out.length - at)), at);
  }
}

/**
 * A portable backend that draws keys from `random`: with a seeded source whole simulated handshakes repeat to the byte.
 * @param random - fills its argument; cryptographically secure, except in tests.
 */
export function createNobleCrypto(random: (out: Uint8Array) => void): CryptoBackend {
  return {
    name: 'noble',
    // Without native code AES is the dear one, and it looks up tables by secret bytes, which a cache can betray.
    aeadPreference: ['chacha20-poly1305', 'aes-128-gcm', 'aes-256-gcm'],
    random,
    hash,
    createHash: (name) => new NobleHasher(name),
    createMac: (name, key) => new NobleMac(name, key),
    createAead: createNobleAead,
    generateKeyShare: (group) => generateNobleKeyShare(group, random),
    generateSigningKey: (type) => generateNobleSigningKey(type, random),
    importPkcs8: (der) => importNoblePkcs8(der, hash, random),
    importSpki: (der) => importNobleSpki(der, hash),
  };
}

/** The portable backend with the runtime's secure random source (`crypto.getRandomValues`). */
export const nobleCrypto: CryptoBackend = createNobleCrypto(secureRandom);
