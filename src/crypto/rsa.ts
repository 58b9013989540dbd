import { type CryptoBackend, CryptoError, concatBytes, equalBytes, type HashName, hexToBytes } from '../core/index.ts';
import { constantTimeEqual } from './constant-time.ts';
import type { RsaPrivateNumbers, RsaPublicNumbers } from './keys.ts';

/**
 * RSA signatures of the portable backend (RFC 8017): RSASSA-PKCS1-v1_5 and RSASSA-PSS, verification and signing with
 * given keys. BigInt arithmetic is not constant-time; signing is blinded, and its result is verified before it leaves.
 */

type Hash = CryptoBackend['hash'];

/** RFC 8017 §9.2 note 1: DER of `DigestInfo` up to the digest. */
const DIGEST_INFO_PREFIX: Partial<Record<HashName, Uint8Array>> = {
  'sha-256': hexToBytes('3031300d060960864801650304020105000420'),
  'sha-384': hexToBytes('3041300d060960864801650304020205000430'),
  'sha-512': hexToBytes('3051300d060960864801650304020305000440'),
};

/** OS2IP, RFC 8017 §4.2. */
function toInteger(bytes: Uint8Array): bigint {
  let hex = '0x0';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return BigInt(hex);
}

/** I2OSP, RFC 8017 §4.1; `value` is known to fit. */
function toBytes(value: bigint, length: number): Uint8Array {
  return hexToBytes(value.toString(16).padStart(2 * length, '0'));
}

/** `base ** exponent % modulus`, four exponent bits a step. */
function modularPower(base: bigint, exponent: bigint, modulus: bigint): bigint {
  const powers: bigint[] = [1n];
  for (let i = 1; i < 16; i++) powers.push((powers[i - 1]! * base) % modulus);
  let result = 1n;
  for (const digit of exponent.toString(16)) {
    result = (result * result) % modulus;
    result = (result * result) % modulus;
    result = (result * result) % modulus;
    result = (result * result) % modulus;
    result = (result * powers[Number.parseInt(digit, 16)]!) % modulus;
  }
  return result;
}

/** `a ** -1 % modulus` by the extended Euclidean algorithm; undefined when there is none. */
function modularInverse(a: bigint, modulus: bigint): bigint | undefined {
  let [r0, r1] = [modulus, ((a % modulus) + modulus) % modulus];
  let [t0, t1] = [0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [t0, t1] = [t1, t0 - quotient * t1];
  }
  return r0 === 1n ? ((t0 % modulus) + modulus) % modulus : undefined;
}

/** EMSA-PKCS1-v1_5, RFC 8017 §9.2: 0x00 0x01 PS 0x00 DigestInfo. */
function encodePkcs1(hash: Hash, name: HashName, data: Uint8Array, length: number): Uint8Array {
  const prefix = DIGEST_INFO_PREFIX[name];
  if (prefix === undefined) throw new CryptoError('unsupported', `${name} is not used in RSA signatures`);
  const digestInfo = concatBytes(prefix, hash(name, data));
  const encoded = new Uint8Array(length).fill(0xff);
  encoded[0] = 0;
  encoded[1] = 1;
  encoded[length - digestInfo.length - 1] = 0;
  encoded.set(digestInfo, length - digestInfo.length);
  return encoded;
}

/** MGF1, RFC 8017 appendix B.2.1, XORed into `out`. */
function maskWithMgf1(hash: Hash, name: HashName, seed: Uint8Array, out: Uint8Array): void {
  for (let at = 0, counter = 0; at < out.length; counter++) {
    const block = hash(name, seed, Uint8Array.of(counter >>> 24, counter >>> 16, counter >>> 8, counter));
    for (let i = 0; i < block.length && at < out.length; i++, at++) out[at]! ^= block[i]!;
  }
}

const EIGHT_ZEROS = new Uint8Array(8);
const PSS_TRAILER = 0xbc;

/** EMSA-PSS-ENCODE, RFC 8017 §9.1.1, the salt as long as the digest (RFC 8446 §4.2.3). */
function encodePss(hash: Hash, name: HashName, data: Uint8Array, bits: number, salt: Uint8Array): Uint8Array {
  const h = hash(name, EIGHT_ZEROS, hash(name, data), salt);
  const encoded = new Uint8Array(Math.ceil(bits / 8));
  const db = encoded.subarray(0, encoded.length - h.length - 1);
  db[db.length - salt.length - 1] = 1;
  db.set(salt, db.length - salt.length);
  maskWithMgf1(hash, name, h, db);
  db[0]! &= 0xff >>> (8 * encoded.length - bits);
  encoded.set(h, db.length);
  encoded[encoded.length - 1] = PSS_TRAILER;
  return encoded;
}

/** EMSA-PSS-VERIFY, RFC 8017 §9.1.2, for a salt as long as the digest. */
function verifyPss(hash: Hash, name: HashName, data: Uint8Array, bits: number, encoded: Uint8Array): boolean {
  const mHash = hash(name, data);
  const dbLength = encoded.length - mHash.length - 1;
  if (dbLength < mHash.length + 1 || encoded[encoded.length - 1] !== PSS_TRAILER) return false;
  const topMask = 0xff >>> (8 * encoded.length - bits);
  if ((encoded[0]! & ~topMask) !== 0) return false;
  const db = encoded.slice(0, dbLength);
  const h = encoded.subarray(dbLength, dbLength + mHash.length);
  maskWithMgf1(hash, name, h, db);
  db[0]! &= topMask;
  const saltAt = dbLength - mHash.length;
  for (let i = 0; i < saltAt - 1; i++) if (db[i] !== 0) return false;
  if (db[saltAt - 1] !== 1) return false;
  return equalBytes(h, hash(name, EIGHT_ZEROS, mHash, db.subarray(saltAt)));
}

export type RsaPadding = 'pkcs1' | 'pss';

/** An RSA public key, its numbers converted once. */
export class RsaPublicKey {
  readonly modulus: bigint;
  readonly exponent: bigint;
  readonly byteLength: number;
  readonly bits: number;
  readonly #hash: Hash;

  constructor(numbers: RsaPublicNumbers, hash: Hash) {
    this.modulus = toInteger(numbers.modulus);
    this.exponent = toInteger(numbers.exponent);
    this.byteLength = numbers.modulus.length;
    this.bits = this.modulus.toString(2).length;
    this.#hash = hash;
  }

  /** RSASSA-PKCS1-V1_5-VERIFY (RFC 8017 §8.2.2) or RSASSA-PSS-VERIFY (§8.1.2). */
  verify(padding: RsaPadding, name: HashName, signature: Uint8Array, data: Uint8Array): boolean {
    if (signature.length !== this.byteLength) return false;
    const s = toInteger(signature);
    if (s >= this.modulus) return false;
    const m = modularPower(s, this.exponent, this.modulus);
    if (padding === 'pkcs1') {
      return equalBytes(toBytes(m, this.byteLength), encodePkcs1(this.#hash, name, data, this.byteLength));
    }
    // RFC 8017 §8.1.2 step 2c: emLen is one less than the signature when the modulus has 8k + 1 bits.
    const emBits = this.bits - 1;
    const emLength = Math.ceil(emBits / 8);
    if (m >= 1n << BigInt(8 * emLength)) return false;
    return verifyPss(this.#hash, name, data, emBits, toBytes(m, emLength));
  }
}

/** An RSA private key used through the Chinese remainder theorem. */
export class RsaPrivateKey {
  readonly publicKey: RsaPublicKey;
  readonly #p: bigint;
  readonly #q: bigint;
  readonly #dp: bigint;
  readonly #dq: bigint;
  readonly #qInverse: bigint;
  readonly #hash: Hash;
  readonly #random: (out: Uint8Array) => void;

  /** @throws {CryptoError} `invalid-key` when the numbers do not belong together. */
  constructor(numbers: RsaPrivateNumbers, hash: Hash, random: (out: Uint8Array) => void) {
    this.publicKey = new RsaPublicKey(numbers, hash);
    this.#p = toInteger(numbers.prime1);
    this.#q = toInteger(numbers.prime2);
    this.#dp = toInteger(numbers.exponent1);
    this.#dq = toInteger(numbers.exponent2);
    this.#qInverse = toInteger(numbers.coefficient);
    this.#hash = hash;
    this.#random = random;
    const { modulus, exponent } = this.publicKey;
    const consistent =
      this.#p * this.#q === modulus &&
      this.#p > 1n &&
      this.#q > 1n &&
      (this.#dp * exponent) % (this.#p - 1n) === 1n &&
      (this.#dq * exponent) % (this.#q - 1n) === 1n &&
      (this.#qInverse * this.#q) % this.#p === 1n;
    if (!consistent) throw new CryptoError('invalid-key', 'the numbers of the RSA key contradict each other');
  }

  /** RSASSA-PKCS1-V1_5-SIGN (RFC 8017 §8.2.1) or RSASSA-PSS-SIGN (§8.1.1). */
  sign(padding: RsaPadding, name: HashName, data: Uint8Array): Uint8Array {
    const { byteLength, bits } = this.publicKey;
    if (padding === 'pkcs1') return this.#power(encodePkcs1(this.#hash, name, data, byteLength));
    const salt = new Uint8Array(this.#hash(name).length);
    this.#random(salt);
    return this.#power(encodePss(this.#hash, name, data, bits - 1, salt));
  }

  /** RSASP1 (RFC 8017 §5.2.1), blinded, and checked: a fault in one half would give the factors away. */
  #power(encoded: Uint8Array): Uint8Array {
    const { modulus, exponent, byteLength } = this.publicKey;
    const message = toInteger(encoded);
    const { factor, unblind } = this.#blinding();
    const blinded = (message * modularPower(factor, exponent, modulus)) % modulus;
    const s1 = modularPower(blinded % this.#p, this.#dp, this.#p);
    const s2 = modularPower(blinded % this.#q, this.#dq, this.#q);
    const h = ((((s1 - s2) % this.#p) + this.#p) * this.#qInverse) % this.#p;
    const signature = ((s2 + this.#q * h) * unblind) % modulus;
    const bytes = toBytes(signature, byteLength);
    const check = toBytes(modularPower(signature, exponent, modulus), byteLength);
    if (!constantTimeEqual(check, toBytes(message, byteLength))) {
      throw new CryptoError('invalid-key', 'the RSA signature does not verify');
    }
    return bytes;
  }

  #blinding(): { readonly factor: bigint; readonly unblind: bigint } {
    const bytes = new Uint8Array(this.publicKey.byteLength);
    for (;;) {
      this.#random(bytes);
      const factor = toInteger(bytes) % this.publicKey.modulus;
      const unblind = modularInverse(factor, this.publicKey.modulus);
      if (unblind !== undefined) return { factor, unblind };
    }
  }
}
