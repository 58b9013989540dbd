import { ecdsa } from '@noble/curves/abstract/weierstrass.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import {
  type CryptoBackend,
  CryptoError,
  type GroupName,
  type HashName,
  type KeyShare,
  type KeyType,
  type SignatureScheme,
  type SigningKey,
  type VerifyingKey,
} from '../core/index.ts';
import {
  decodePkcs8,
  decodeSpki,
  type EcKeyType,
  encodePkcs8,
  encodeSpki,
  importWith,
  type PrivateKeyInfo,
} from './keys.ts';
import { type RsaPadding, RsaPrivateKey, RsaPublicKey } from './rsa.ts';

/** Key exchange and signatures of the portable backend. */

type Random = (out: Uint8Array) => void;
type Hash = CryptoBackend['hash'];
type EcCurve = typeof p256;

function randomSeed(random: Random, length: number): Uint8Array {
  const seed = new Uint8Array(length);
  random(seed);
  return seed;
}

class NobleX25519Share implements KeyShare {
  readonly group: GroupName = 'x25519';
  readonly publicKey: Uint8Array;
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
    this.publicKey = x25519.getPublicKey(this.#secret);
  }

  deriveSecret(peerPublicKey: Uint8Array): Uint8Array {
    if (peerPublicKey.length !== 32) {
      throw new CryptoError('invalid-point', `an X25519 key has 32 bytes, not ${peerPublicKey.length}`);
    }
    try {
      return x25519.getSharedSecret(this.#secret, peerPublicKey);
    } catch {
      // RFC 7748 §6.1: noble itself refuses the points of small order, whose result is all zeros.
      throw new CryptoError('zero-shared-secret', 'the X25519 shared secret is zero');
    }
  }
}

class NobleEcShare implements KeyShare {
  readonly group: GroupName;
  readonly publicKey: Uint8Array;
  readonly #curve: EcCurve;
  readonly #secret: Uint8Array;

  constructor(group: GroupName, curve: EcCurve, secret: Uint8Array) {
    this.group = group;
    this.#curve = curve;
    this.#secret = secret;
    this.publicKey = curve.getPublicKey(this.#secret, false);
  }

  deriveSecret(peerPublicKey: Uint8Array): Uint8Array {
    // RFC 8422 §5.1.2: only the uncompressed form is negotiated.
    if (peerPublicKey.length !== this.publicKey.length || peerPublicKey[0] !== 0x04) {
      throw new CryptoError('invalid-point', `not an uncompressed point of ${this.group}`);
    }
    try {
      const point = this.#curve.getSharedSecret(this.#secret, peerPublicKey, true);
      return point.slice(1); // RFC 8422 §5.10: the X coordinate, leading zeros kept
    } catch {
      throw new CryptoError('invalid-point', `the point is not on ${this.group}`);
    }
  }
}

/** A private scalar from more bytes than the order has, so that the reduction has no bias worth naming. */
function randomScalar(curve: EcCurve, random: Random): Uint8Array {
  return curve.utils.randomSecretKey(randomSeed(random, curve.lengths.seed ?? 48));
}

export function generateNobleKeyShare(group: GroupName, random: Random): KeyShare {
  switch (group) {
    case 'x25519':
      return new NobleX25519Share(randomSeed(random, 32)); // RFC 7748 §5: any 32 bytes, clamped where they are used
    case 'secp256r1':
      return new NobleEcShare(group, p256, randomScalar(p256, random));
    case 'secp384r1':
      return new NobleEcShare(group, p384, randomScalar(p384, random));
  }
}

/**
 * A key share from a given private key: for test vectors. Protocols use `generateKeyShare`.
 * @param privateKey - 32 bytes for X25519, otherwise the big-endian scalar.
 * @throws {CryptoError} `invalid-key`.
 */
export function importNobleKeyShare(group: GroupName, privateKey: Uint8Array): KeyShare {
  const secret = privateKey.slice();
  try {
    if (group === 'x25519') return new NobleX25519Share(secret);
    return new NobleEcShare(group, group === 'secp256r1' ? p256 : p384, secret);
  } catch {
    throw new CryptoError('invalid-key', `not a private key of ${group}`);
  }
}

interface SchemeRule {
  readonly keyTypes: readonly KeyType[];
  /** Not for Ed25519, which hashes by itself. */
  readonly hash: HashName;
  readonly padding?: RsaPadding;
}

const EC_KEYS: readonly KeyType[] = ['ecdsa-p256', 'ecdsa-p384'];

const SCHEMES: Readonly<Record<SignatureScheme, SchemeRule>> = {
  ecdsa_secp256r1_sha256: { keyTypes: ['ecdsa-p256'], hash: 'sha-256' },
  ecdsa_secp384r1_sha384: { keyTypes: ['ecdsa-p384'], hash: 'sha-384' },
  ecdsa_sha256: { keyTypes: EC_KEYS, hash: 'sha-256' },
  ecdsa_sha384: { keyTypes: EC_KEYS, hash: 'sha-384' },
  ecdsa_sha512: { keyTypes: EC_KEYS, hash: 'sha-512' },
  ed25519: { keyTypes: ['ed25519'], hash: 'sha-512' },
  rsa_pkcs1_sha256: { keyTypes: ['rsa'], hash: 'sha-256', padding: 'pkcs1' },
  rsa_pkcs1_sha384: { keyTypes: ['rsa'], hash: 'sha-384', padding: 'pkcs1' },
  rsa_pkcs1_sha512: { keyTypes: ['rsa'], hash: 'sha-512', padding: 'pkcs1' },
  rsa_pss_rsae_sha256: { keyTypes: ['rsa'], hash: 'sha-256', padding: 'pss' },
  rsa_pss_rsae_sha384: { keyTypes: ['rsa'], hash: 'sha-384', padding: 'pss' },
  rsa_pss_rsae_sha512: { keyTypes: ['rsa'], hash: 'sha-512', padding: 'pss' },
};

function ruleFor(scheme: SignatureScheme, type: KeyType): SchemeRule {
  const rule = SCHEMES[scheme];
  if (!rule.keyTypes.includes(type)) {
    throw new CryptoError('unsupported', `${scheme} does not fit a key of type ${type}`);
  }
  return rule;
}

function curveOf(type: EcKeyType): EcCurve {
  return type === 'ecdsa-p256' ? p256 : p384;
}

/** High S is legal in X.509 and TLS. */
const EC_OPTIONS = { lowS: false, format: 'der' } as const;

/** ECDSA of a curve with any hash: in TLS 1.2 the hash is chosen independently (RFC 5246 §7.4.1.4.1). */
function ecdsaWith(type: EcKeyType, hash: HashName): EcCurve {
  const curve = curveOf(type);
  if (hash === (type === 'ecdsa-p256' ? 'sha-256' : 'sha-384')) return curve;
  return ecdsa(curve.Point, hash === 'sha-256' ? sha256 : hash === 'sha-384' ? sha384 : sha512);
}

class NobleEcSigningKey implements SigningKey {
  readonly type: EcKeyType;
  readonly publicKeySpki: Uint8Array;
  readonly #secret: Uint8Array;
  readonly #point: Uint8Array;

  constructor(type: EcKeyType, secret: Uint8Array) {
    const curve = curveOf(type);
    if (!curve.utils.isValidSecretKey(secret)) {
      throw new CryptoError('invalid-key', 'the private scalar is zero or not below the order');
    }
    this.type = type;
    this.#secret = secret;
    this.#point = curve.getPublicKey(secret, false);
    this.publicKeySpki = encodeSpki({ type, point: this.#point });
  }

  /** Deterministic nonces (RFC 6979 §3.2): no randomness that could fail. */
  sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array {
    const rule = ruleFor(scheme, this.type);
    return ecdsaWith(this.type, rule.hash).sign(data, this.#secret, EC_OPTIONS);
  }

  exportPkcs8(): Uint8Array {
    return encodePkcs8({ type: this.type, secret: this.#secret }, this.#point);
  }
}

class NobleEd25519SigningKey implements SigningKey {
  readonly type: KeyType = 'ed25519';
  readonly publicKeySpki: Uint8Array;
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
    this.publicKeySpki = encodeSpki({ type: 'ed25519', key: ed25519.getPublicKey(secret) });
  }

  sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array {
    ruleFor(scheme, this.type);
    return ed25519.sign(data, this.#secret);
  }

  exportPkcs8(): Uint8Array {
    return encodePkcs8({ type: 'ed25519', secret: this.#secret });
  }
}

class NobleRsaSigningKey implements SigningKey {
  readonly type: KeyType = 'rsa';
  readonly publicKeySpki: Uint8Array;
  readonly #info: PrivateKeyInfo & { readonly type: 'rsa' };
  readonly #key: RsaPrivateKey;

  constructor(info: PrivateKeyInfo & { readonly type: 'rsa' }, hash: Hash, random: Random) {
    this.#info = info;
    this.#key = new RsaPrivateKey(info, hash, random);
    this.publicKeySpki = encodeSpki({ type: 'rsa', modulus: info.modulus, exponent: info.exponent });
  }

  sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array {
    const rule = ruleFor(scheme, this.type);
    return this.#key.sign(rule.padding ?? 'pkcs1', rule.hash, data);
  }

  exportPkcs8(): Uint8Array {
    return encodePkcs8(this.#info);
  }
}

/** @throws {CryptoError} `unsupported` for RSA: finding primes with BigInt takes seconds. */
export function generateNobleSigningKey(type: KeyType, random: Random): SigningKey {
  switch (type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return new NobleEcSigningKey(type, randomScalar(curveOf(type), random));
    case 'ed25519':
      return new NobleEd25519SigningKey(randomSeed(random, 32));
    case 'rsa':
      throw new CryptoError('unsupported', 'the portable backend uses RSA keys but does not make them');
  }
}

/** @throws {CryptoError} `invalid-key`, `unsupported`. */
export function importNoblePkcs8(der: Uint8Array, hash: Hash, random: Random): SigningKey {
  const info = importWith(() => decodePkcs8(der));
  switch (info.type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return new NobleEcSigningKey(info.type, info.secret);
    case 'ed25519':
      return new NobleEd25519SigningKey(info.secret);
    case 'rsa':
      return new NobleRsaSigningKey(info, hash, random);
  }
}

class NobleVerifyingKey implements VerifyingKey {
  readonly type: KeyType;
  readonly #verify: (rule: SchemeRule, signature: Uint8Array, data: Uint8Array) => boolean;

  constructor(type: KeyType, verify: (rule: SchemeRule, signature: Uint8Array, data: Uint8Array) => boolean) {
    this.type = type;
    this.#verify = verify;
  }

  verify(scheme: SignatureScheme, signature: Uint8Array, data: Uint8Array): boolean {
    const rule = SCHEMES[scheme];
    if (!rule.keyTypes.includes(this.type)) return false;
    try {
      return this.#verify(rule, signature, data);
    } catch {
      return false; // noble throws for some malformed signatures: as good as wrong
    }
  }
}

/** @throws {CryptoError} `invalid-key` (also a point off its curve), `unsupported`. */
export function importNobleSpki(der: Uint8Array, hash: Hash): VerifyingKey {
  const info = importWith(() => decodeSpki(der));
  switch (info.type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384': {
      const curve = curveOf(info.type);
      if (!curve.utils.isValidPublicKey(info.point)) {
        throw new CryptoError('invalid-key', 'the public point is not on its curve');
      }
      return new NobleVerifyingKey(info.type, (rule, signature, data) =>
        ecdsaWith(info.type, rule.hash).verify(signature, data, info.point, EC_OPTIONS),
      );
    }
    case 'ed25519': {
      if (!ed25519.utils.isValidPublicKey(info.key)) {
        throw new CryptoError('invalid-key', 'the Ed25519 key is not a point');
      }
      // RFC 8032 §5.1.7 as OpenSSL reads it: canonical encodings only.
      return new NobleVerifyingKey(info.type, (_rule, signature, data) =>
        ed25519.verify(signature, data, info.key, { zip215: false }),
      );
    }
    case 'rsa': {
      const key = new RsaPublicKey(info, hash);
      return new NobleVerifyingKey(info.type, (rule, signature, data) =>
        key.verify(rule.padding ?? 'pkcs1', rule.hash, signature, data),
      );
    }
  }
}
