import {
  constants,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type ECDH,
  type ED25519KeyPairOptions,
  generateKeyPairSync,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto';
import {
  type CryptoBackend,
  CryptoError,
  type GroupName,
  type KeyShare,
  type KeyType,
  type SignatureScheme,
  type SigningKey,
  type VerifyingKey,
} from '../core/index.ts';
import { createNodeAead, supportsNodeAead } from './node-aead.ts';
import { generateEcKey, importEcSpki } from './node-ec.ts';
import { NodeHasher, NodeMac, nodeHash } from './node-hash.ts';
import { nodeRandom } from './node-random.ts';
import { plainBytes } from './plain-bytes.ts';

/**
 * `CryptoBackend` on the runtime's own `node:crypto` (OpenSSL): constant-time, and 5 to 30 times faster than the
 * portable one. Every result is a plain `Uint8Array`, never a `Buffer`, whose `slice` shares memory instead of copying.
 */

const X25519_BYTES = 32;

/**
 * Keys are never made by a key-generation job and exported afterwards: Node 20 then deadlocks now and then. Its export
 * allocates while it holds the key's mutex; if that makes the garbage collector end the job that made the key, the job
 * waits for the same mutex on the same thread, for ever. So private keys of X25519 are random bytes (RFC 7748 §5), and the
 * job of a signing key encodes the key itself.
 */
function importX25519(privateKey: Uint8Array): KeyObject {
  const d = Buffer.from(privateKey.buffer, privateKey.byteOffset, privateKey.length).toString('base64url');
  // As JWK: OpenSSL's DER decoder takes longer than the key exchange. `x` is asked for, and computed from `d` all the same.
  return createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', d, x: '' }, format: 'jwk' });
}

/** Raw keys go in and out as JWK: OpenSSL's DER coders take 70 µs each way, longer than the key exchange itself. */
class NodeX25519Share implements KeyShare {
  readonly group: GroupName = 'x25519';
  readonly publicKey: Uint8Array;
  readonly #privateKey: KeyObject;

  /** @param privateKey - 32 bytes, copied. */
  constructor(privateKey: Uint8Array) {
    this.#privateKey = importX25519(privateKey);
    const { x = '' } = this.#privateKey.export({ format: 'jwk' }); // the private key's JWK has the public one beside it
    this.publicKey = new Uint8Array(Buffer.from(x, 'base64url'));
  }

  deriveSecret(peerPublicKey: Uint8Array): Uint8Array {
    if (peerPublicKey.length !== X25519_BYTES) {
      throw new CryptoError('invalid-point', `an X25519 key has 32 bytes, not ${peerPublicKey.length}`);
    }
    const x = Buffer.from(peerPublicKey.buffer, peerPublicKey.byteOffset, X25519_BYTES).toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
    let secret: Uint8Array;
    try {
      secret = plainBytes(diffieHellman({ privateKey: this.#privateKey, publicKey }));
    } catch {
      // RFC 7748 §6.1: OpenSSL itself refuses the points of small order, whose result is all zeros.
      throw new CryptoError('zero-shared-secret', 'the X25519 shared secret is zero');
    }
    if (secret.every((byte) => byte === 0)) {
      throw new CryptoError('zero-shared-secret', 'the X25519 shared secret is zero');
    }
    return secret;
  }
}

class NodeEcShare implements KeyShare {
  readonly group: GroupName;
  readonly publicKey: Uint8Array;
  readonly #ecdh: ECDH;

  /** @param ecdh - with its key pair set. */
  constructor(group: GroupName, ecdh: ECDH) {
    this.group = group;
    this.#ecdh = ecdh;
    this.publicKey = plainBytes(ecdh.getPublicKey());
  }

  deriveSecret(peerPublicKey: Uint8Array): Uint8Array {
    // RFC 8422 §5.1.2: only the uncompressed form is negotiated.
    if (peerPublicKey.length !== this.publicKey.length || peerPublicKey[0] !== 0x04) {
      throw new CryptoError('invalid-point', `not an uncompressed point of ${this.group}`);
    }
    try {
      return plainBytes(this.#ecdh.computeSecret(peerPublicKey));
    } catch {
      throw new CryptoError('invalid-point', `the point is not on ${this.group}`);
    }
  }
}

function createEcdh(group: 'secp256r1' | 'secp384r1'): ECDH {
  return createECDH(group === 'secp256r1' ? 'prime256v1' : 'secp384r1');
}

function randomPrivateKey(): Uint8Array {
  const d = new Uint8Array(X25519_BYTES);
  nodeRandom(d);
  return d;
}

function generateNodeKeyShare(group: GroupName): KeyShare {
  if (group === 'x25519') return new NodeX25519Share(randomPrivateKey());
  const ecdh = createEcdh(group);
  ecdh.generateKeys();
  return new NodeEcShare(group, ecdh);
}

/**
 * A key share from a given private key: for test vectors. Protocols use `generateKeyShare`.
 * @param privateKey - 32 bytes for X25519, otherwise the big-endian scalar.
 * @throws {CryptoError} `invalid-key`.
 */
export function importNodeKeyShare(group: GroupName, privateKey: Uint8Array): KeyShare {
  try {
    if (group === 'x25519' && privateKey.length === X25519_BYTES) return new NodeX25519Share(privateKey);
    if (group !== 'x25519') {
      const ecdh = createEcdh(group);
      ecdh.setPrivateKey(privateKey);
      return new NodeEcShare(group, ecdh);
    }
  } catch {
    // what OpenSSL refuses is no private key either
  }
  throw new CryptoError('invalid-key', `not a private key of ${group}`);
}

interface SchemeRule {
  readonly keyTypes: readonly KeyType[];
  /** Null: the scheme hashes by itself. */
  readonly hash: string | null;
  readonly pss?: true;
}

const EC_KEYS: readonly KeyType[] = ['ecdsa-p256', 'ecdsa-p384'];

const SCHEMES: Readonly<Record<SignatureScheme, SchemeRule>> = {
  ecdsa_secp256r1_sha256: { keyTypes: ['ecdsa-p256'], hash: 'sha256' },
  ecdsa_secp384r1_sha384: { keyTypes: ['ecdsa-p384'], hash: 'sha384' },
  ecdsa_sha256: { keyTypes: EC_KEYS, hash: 'sha256' },
  ecdsa_sha384: { keyTypes: EC_KEYS, hash: 'sha384' },
  ecdsa_sha512: { keyTypes: EC_KEYS, hash: 'sha512' },
  ed25519: { keyTypes: ['ed25519'], hash: null },
  rsa_pkcs1_sha256: { keyTypes: ['rsa'], hash: 'sha256' },
  rsa_pkcs1_sha384: { keyTypes: ['rsa'], hash: 'sha384' },
  rsa_pkcs1_sha512: { keyTypes: ['rsa'], hash: 'sha512' },
  rsa_pss_rsae_sha256: { keyTypes: ['rsa'], hash: 'sha256', pss: true },
  rsa_pss_rsae_sha384: { keyTypes: ['rsa'], hash: 'sha384', pss: true },
  rsa_pss_rsae_sha512: { keyTypes: ['rsa'], hash: 'sha512', pss: true },
};

/** The key with the parameters of the scheme, as `sign` and `verify` take it. */
function keyInput(key: KeyObject, rule: SchemeRule): Parameters<typeof nodeVerify>[2] & Parameters<typeof nodeSign>[2] {
  if (rule.pss) {
    // RFC 8446 §4.2.3: the salt is as long as the digest.
    return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  }
  return { key, dsaEncoding: 'der' };
}

/** RSA moduli outside these bounds are refused: below is weak, above costs the verifier too much. */
const RSA_MIN_BITS = 2048;
const RSA_MAX_BITS = 8192;
const RSA_MAX_EXPONENT = 0xffff_ffffn;

/** @throws {CryptoError} for key types and sizes that the house does not use. */
function keyTypeOf(key: KeyObject): KeyType {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ec') {
    if (details?.namedCurve === 'prime256v1') return 'ecdsa-p256';
    if (details?.namedCurve === 'secp384r1') return 'ecdsa-p384';
    throw new CryptoError('unsupported', 'only P-256 and P-384 keys can be used');
  }
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    const exponent = details?.publicExponent ?? 0n;
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS) {
      throw new CryptoError('unsupported', `RSA keys have ${RSA_MIN_BITS} to ${RSA_MAX_BITS} bits, not ${bits}`);
    }
    if (exponent < 3n || exponent > RSA_MAX_EXPONENT || (exponent & 1n) === 0n) {
      throw new CryptoError('unsupported', 'the RSA public exponent is even, too small or too large');
    }
    return 'rsa';
  }
  throw new CryptoError('unsupported', `${key.asymmetricKeyType} keys cannot be used for signatures`);
}

class NodeSigningKey implements SigningKey {
  readonly type: KeyType;
  readonly publicKeySpki: Uint8Array;
  readonly #key: KeyObject;

  /** @param type, spki - save asking OpenSSL when the key was made here. */
  constructor(key: KeyObject, type: KeyType = keyTypeOf(key), spki?: Uint8Array) {
    this.type = type;
    this.#key = key;
    this.publicKeySpki = spki ?? plainBytes(createPublicKey(key).export({ format: 'der', type: 'spki' }));
  }

  sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array {
    const rule = SCHEMES[scheme];
    if (!rule.keyTypes.includes(this.type)) {
      throw new CryptoError('unsupported', `${scheme} does not fit a key of type ${this.type}`);
    }
    return plainBytes(nodeSign(rule.hash, data, keyInput(this.#key, rule)));
  }

  exportPkcs8(): Uint8Array {
    return plainBytes(this.#key.export({ format: 'der', type: 'pkcs8' }));
  }
}

class NodeVerifyingKey implements VerifyingKey {
  readonly type: KeyType;
  readonly #key: KeyObject;

  /** @param type - saves asking OpenSSL when it is known. */
  constructor(key: KeyObject, type: KeyType = keyTypeOf(key)) {
    this.type = type;
    this.#key = key;
  }

  verify(scheme: SignatureScheme, signature: Uint8Array, data: Uint8Array): boolean {
    const rule = SCHEMES[scheme];
    if (!rule.keyTypes.includes(this.type)) return false;
    try {
      return nodeVerify(rule.hash, data, keyInput(this.#key, rule), signature);
    } catch {
      return false; // a malformed signature is as good as a wrong one
    }
  }
}

/** OpenSSL ignores what stands behind the outer SEQUENCE; nothing may hide there. */
function isOneDerSequence(der: Uint8Array): boolean {
  if (der[0] !== 0x30) return false;
  const first = der[1] ?? 0;
  if (first < 0x80) return der.length === 2 + first;
  const lengthBytes = first & 0x7f;
  if (lengthBytes === 0 || lengthBytes > 3) return false;
  let length = 0;
  for (let i = 0; i < lengthBytes; i++) length = (length << 8) | (der[2 + i] ?? 0);
  return der.length === 2 + lengthBytes + length;
}

function importKey(der: Uint8Array, type: 'pkcs8' | 'spki'): KeyObject {
  if (!isOneDerSequence(der)) throw new CryptoError('invalid-key', `not a DER ${type} key`);
  const key = Buffer.from(der.buffer, der.byteOffset, der.length);
  try {
    return type === 'spki'
      ? createPublicKey({ key, format: 'der', type })
      : createPrivateKey({ key, format: 'der', type });
  } catch {
    throw new CryptoError('invalid-key', `not a valid ${type} key, or of a kind that OpenSSL does not know`);
  }
}

/** See {@link importX25519} for why the job encodes the key. */
const ENCODINGS: ED25519KeyPairOptions<'der', 'der'> = {
  publicKeyEncoding: { format: 'der', type: 'spki' },
  privateKeyEncoding: { format: 'der', type: 'pkcs8' },
};

function generateNodeSigningKey(type: KeyType): SigningKey {
  switch (type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384': {
      const { key, spki } = generateEcKey(type);
      return new NodeSigningKey(key, type, spki);
    }
    case 'ed25519':
      return new NodeSigningKey(importKey(generateKeyPairSync('ed25519', ENCODINGS).privateKey, 'pkcs8'), type);
    case 'rsa': {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: RSA_MIN_BITS, ...ENCODINGS });
      return new NodeSigningKey(importKey(privateKey, 'pkcs8'), type);
    }
  }
}

function importNodeSpki(der: Uint8Array): VerifyingKey {
  const ec = importEcSpki(der);
  return ec === undefined ? new NodeVerifyingKey(importKey(der, 'spki')) : new NodeVerifyingKey(ec.key, ec.type);
}

/**
 * The backend on `node:crypto`. Stateless: one object serves the whole process.
 *
 * @example
 * const aead = nodeCrypto.createAead('aes-128-gcm', key);
 * aead.seal(nonce, aad, buffer, 13, 100); // buffer[13, 129) is now ciphertext and tag
 */
export const nodeCrypto: CryptoBackend = {
  name: 'node',
  // Processors have instructions for AES: at 16 KiB it costs 0.85 of ChaCha20, at 1,200 bytes 0.93.
  aeadPreference: ['aes-128-gcm', 'chacha20-poly1305', 'aes-256-gcm'],
  random: nodeRandom,
  hash: nodeHash,
  createHash: (name) => new NodeHasher(name),
  createMac: (hash, key) => new NodeMac(hash, key),
  supportsAead: supportsNodeAead,
  createAead: createNodeAead,
  generateKeyShare: generateNodeKeyShare,
  generateSigningKey: generateNodeSigningKey,
  importPkcs8: (der) => new NodeSigningKey(importKey(der, 'pkcs8')),
  importSpki: importNodeSpki,
};
