import * as crypto from 'node:crypto';
import { concatBytes, type Hasher, type HashName, type Mac } from '../core/index.ts';
import { plainBytes } from './plain-bytes.ts';

/** Hashes and HMAC on `node:crypto`. */

const NAMES: Readonly<Record<HashName, string>> = {
  md5: 'md5',
  'sha-1': 'sha1',
  'sha-224': 'sha224',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
};

const DIGEST_BYTES: Readonly<Record<HashName, number>> = {
  md5: 16,
  'sha-1': 20,
  'sha-224': 28,
  'sha-256': 32,
  'sha-384': 48,
  'sha-512': 64,
};

const BLOCK_BYTES: Readonly<Record<HashName, number>> = {
  md5: 64,
  'sha-1': 64,
  'sha-224': 64,
  'sha-256': 64,
  'sha-384': 128,
  'sha-512': 128,
};

/** Node's call for a whole message costs a quarter of a hash object; not every version of Bun and Deno has it. */
const hashAtOnce: typeof crypto.hash | undefined = crypto.hash;

/** Longer texts are hashed part by part instead of being joined (bytes). */
const MAX_JOINED_BYTES = 16_384;

/** Hash of the concatenation of `parts`. */
export function nodeHash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > MAX_JOINED_BYTES) return hashParts(name, parts);
  const out = new Uint8Array(DIGEST_BYTES[name]);
  writeHash(name, parts.length === 1 ? parts[0]! : concatBytes(...parts), out, 0);
  return out;
}

function hashParts(name: HashName, parts: readonly Uint8Array[]): Uint8Array {
  const hash = crypto.createHash(NAMES[name]);
  for (const part of parts) hash.update(part);
  return plainBytes(hash.digest());
}

/** Writes the hash at `out[at]`. A string of one byte a character costs Node half of what a Buffer does. */
function writeHash(name: HashName, bytes: Uint8Array, out: Uint8Array, at: number): void {
  if (hashAtOnce === undefined) {
    out.set(hashParts(name, [bytes]), at);
    return;
  }
  const digest = hashAtOnce(NAMES[name], bytes, 'binary');
  for (let i = 0; i < digest.length; i++) out[at + i] = digest.charCodeAt(i);
}

/** A hash that goes on: `digest` gives that of what came so far. */
export class NodeHasher implements Hasher {
  readonly #hash: crypto.Hash;

  constructor(name: HashName) {
    this.#hash = crypto.createHash(NAMES[name]);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return plainBytes(this.#hash.copy().digest()); // a copy: digest() would end the running hash
  }
}

/**
 * HMAC (RFC 2104 §2) of two one-shot hashes: `H(K ^ opad, H(K ^ ipad, text))`. They cost a third of an HMAC object of Node, and a
 * handshake makes some forty.
 */
export class NodeMac implements Mac {
  readonly length: number;
  readonly #name: HashName;
  readonly #blockBytes: number;
  /** K ^ ipad, and the text behind it. As long as the last one: many of one length follow each other. */
  #inner: Uint8Array;
  /** K ^ opad, and room for the inner hash behind it. */
  readonly #outer: Uint8Array;

  constructor(name: HashName, key: Uint8Array) {
    this.#name = name;
    this.length = DIGEST_BYTES[name];
    const blockBytes = BLOCK_BYTES[name];
    this.#blockBytes = blockBytes;
    const short = key.length > blockBytes ? nodeHash(name, key) : key;
    this.#inner = new Uint8Array(blockBytes).fill(0x36);
    this.#outer = new Uint8Array(blockBytes + this.length).fill(0x5c, 0, blockBytes);
    for (let i = 0; i < short.length; i++) {
      this.#inner[i]! ^= short[i]!;
      this.#outer[i]! ^= short[i]!;
    }
  }

  sign(...parts: readonly Uint8Array[]): Uint8Array {
    let length = this.#blockBytes;
    for (const part of parts) length += part.length;
    if (this.#inner.length !== length) {
      const pad = this.#inner;
      this.#inner = new Uint8Array(length);
      for (let i = 0; i < this.#blockBytes; i++) this.#inner[i] = pad[i]!;
    }
    let at = this.#blockBytes;
    for (const part of parts) {
      this.#inner.set(part, at);
      at += part.length;
    }
    writeHash(this.#name, this.#inner, this.#outer, this.#blockBytes);
    const mac = new Uint8Array(this.length);
    writeHash(this.#name, this.#outer, mac, 0);
    return mac;
  }
}
