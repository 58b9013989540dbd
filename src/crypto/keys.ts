import { CryptoError, DecodeError, type KeyType } from '../core/index.ts';
import {
  bitString,
  type DerElement,
  decodeDer,
  encodeDer,
  explicit,
  isNull,
  nil,
  octetString,
  oid,
  readBitString,
  readExplicit,
  readOctetString,
  readOid,
  readSequence,
  readSmallInteger,
  readUnsigned,
  sequence,
  smallInteger,
  unsigned,
} from './der.ts';

/**
 * `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7) and PKCS #8 `PrivateKeyInfo` (RFC 5208 §5, RFC 5958 §2) of the key types of
 * the house: EC (RFC 5480 §2, RFC 5915 §3), Ed25519 (RFC 8410 §4, §7) and RSA (RFC 8017 appendix A.1).
 */

const OID_EC_PUBLIC_KEY = '1.2.840.10045.2.1';
const OID_P256 = '1.2.840.10045.3.1.7';
const OID_P384 = '1.3.132.0.34';
const OID_ED25519 = '1.3.101.112';
const OID_RSA = '1.2.840.113549.1.1.1';

export type EcKeyType = 'ecdsa-p256' | 'ecdsa-p384';

/** RSA moduli outside these bounds are refused: below is weak, above costs the verifier too much. */
export const RSA_MIN_BITS = 2048;
export const RSA_MAX_BITS = 8192;

export interface RsaPublicNumbers {
  /** Big-endian, no leading zeros. */
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

/** RFC 8017 appendix A.1.2, each number big-endian without leading zeros. */
export interface RsaPrivateNumbers extends RsaPublicNumbers {
  readonly privateExponent: Uint8Array;
  readonly prime1: Uint8Array;
  readonly prime2: Uint8Array;
  readonly exponent1: Uint8Array;
  readonly exponent2: Uint8Array;
  readonly coefficient: Uint8Array;
}

export type PublicKeyInfo =
  /** SEC 1 point; whether it lies on the curve is for the curve's code to say. */
  | { readonly type: EcKeyType; readonly point: Uint8Array }
  | { readonly type: 'ed25519'; readonly key: Uint8Array }
  | ({ readonly type: 'rsa' } & RsaPublicNumbers);

export type PrivateKeyInfo =
  /** Big-endian scalar, as long as the curve's order. */
  | { readonly type: EcKeyType; readonly secret: Uint8Array }
  /** RFC 8032 §5.1.5 private key. */
  | { readonly type: 'ed25519'; readonly secret: Uint8Array }
  | ({ readonly type: 'rsa' } & RsaPrivateNumbers);

export function ecScalarBytes(type: EcKeyType): number {
  return type === 'ecdsa-p256' ? 32 : 48;
}

/** @throws {DecodeError} `unsupported` for other algorithms and curves. */
function readAlgorithm(element: DerElement): KeyType {
  const algorithm = readSequence(element, 'algorithm');
  const id = readOid(algorithm.next('algorithm oid'), 'algorithm oid');
  if (id === OID_EC_PUBLIC_KEY) {
    const parameters = algorithm.next('curve');
    algorithm.expectEnd();
    // RFC 5480 §2.1.1: namedCurve only; implicit and explicit curves are not used in PKIX.
    const curve = readOid(parameters, 'curve');
    if (curve === OID_P256) return 'ecdsa-p256';
    if (curve === OID_P384) return 'ecdsa-p384';
    throw new DecodeError('unsupported', 'curve', 0);
  }
  if (id === OID_ED25519) {
    algorithm.expectEnd(); // RFC 8410 §3: parameters MUST be absent
    return 'ed25519';
  }
  if (id === OID_RSA) {
    algorithm.optional(isNull); // RFC 3279 §2.3.1: MUST be NULL; absent is seen in the wild and harmless
    algorithm.expectEnd();
    return 'rsa';
  }
  throw new DecodeError('unsupported', 'algorithm', 0);
}

function writeAlgorithm(type: KeyType): DerElement {
  switch (type) {
    case 'ecdsa-p256':
      return sequence(oid(OID_EC_PUBLIC_KEY), oid(OID_P256));
    case 'ecdsa-p384':
      return sequence(oid(OID_EC_PUBLIC_KEY), oid(OID_P384));
    case 'ed25519':
      return sequence(oid(OID_ED25519));
    case 'rsa':
      return sequence(oid(OID_RSA), nil());
  }
}

/** @throws {DecodeError} also `unsupported` for key types that the house does not use. */
export function decodeSpki(der: Uint8Array): PublicKeyInfo {
  const spki = readSequence(decodeDer(der, 'spki'), 'spki');
  const type = readAlgorithm(spki.next('algorithm'));
  const key = readBitString(spki.next('subjectPublicKey'), 'subjectPublicKey');
  spki.expectEnd();
  switch (type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return { type, point: key };
    case 'ed25519':
      if (key.length !== 32) throw new DecodeError('bad-length', 'subjectPublicKey', 0);
      return { type, key };
    case 'rsa': {
      const numbers = readSequence(decodeDer(key, 'RSAPublicKey'), 'RSAPublicKey');
      const modulus = readUnsigned(numbers.next('modulus'), 'modulus');
      const exponent = readUnsigned(numbers.next('publicExponent'), 'publicExponent');
      numbers.expectEnd();
      checkRsa(modulus, exponent);
      return { type, modulus, exponent };
    }
  }
}

function checkRsa(modulus: Uint8Array, exponent: Uint8Array): void {
  const bits = modulus.length * 8 - (Math.clz32(modulus[0] ?? 0) - 24);
  if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS) throw new DecodeError('unsupported', 'modulus', 0);
  const last = exponent[exponent.length - 1] ?? 0;
  if (exponent.length > 4 || (last & 1) === 0 || (exponent.length === 1 && last < 3)) {
    throw new DecodeError('unsupported', 'publicExponent', 0);
  }
  if (((modulus[modulus.length - 1] ?? 0) & 1) === 0) throw new DecodeError('bad-value', 'modulus', 0);
}

/** Inverse of {@link decodeSpki}. */
export function encodeSpki(key: PublicKeyInfo): Uint8Array {
  return encodeDer(sequence(writeAlgorithm(key.type), bitString(publicKeyOctets(key))));
}

function publicKeyOctets(key: PublicKeyInfo): Uint8Array {
  switch (key.type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return key.point;
    case 'ed25519':
      return key.key;
    case 'rsa':
      return encodeDer(sequence(unsigned(key.modulus), unsigned(key.exponent)));
  }
}

/** @throws {DecodeError} also `unsupported` for key types that the house does not use. */
export function decodePkcs8(der: Uint8Array): PrivateKeyInfo {
  const info = readSequence(decodeDer(der, 'PrivateKeyInfo'), 'PrivateKeyInfo');
  const version = readSmallInteger(info.next('version'), 'version');
  if (version > 1) throw new DecodeError('bad-version', 'version', 0);
  const type = readAlgorithm(info.next('privateKeyAlgorithm'));
  const key = readOctetString(info.next('privateKey'), 'privateKey');
  info.optionalTag(0); // attributes, of no use here
  if (version === 1) info.optionalTag(1); // RFC 5958 §2: the public key, which we compute ourselves
  info.expectEnd();
  switch (type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
      return { type, secret: readEcPrivateKey(key, type) };
    case 'ed25519': {
      const secret = readOctetString(decodeDer(key, 'CurvePrivateKey'), 'CurvePrivateKey');
      if (secret.length !== 32) throw new DecodeError('bad-length', 'CurvePrivateKey', 0);
      return { type, secret };
    }
    case 'rsa':
      return { type, ...readRsaPrivateKey(key) };
  }
}

/** RFC 5915 §3. */
function readEcPrivateKey(der: Uint8Array, type: EcKeyType): Uint8Array {
  const fields = readSequence(decodeDer(der, 'ECPrivateKey'), 'ECPrivateKey');
  if (readSmallInteger(fields.next('ecPrivkeyVer'), 'ecPrivkeyVer') !== 1) {
    throw new DecodeError('bad-version', 'ecPrivkeyVer', 0);
  }
  const scalar = readOctetString(fields.next('privateKey'), 'privateKey');
  const parameters = fields.optionalTag(0);
  if (parameters !== undefined) {
    const curve = readOid(readExplicit(parameters, 'parameters').next('parameters'), 'parameters');
    if (curve !== (type === 'ecdsa-p256' ? OID_P256 : OID_P384)) throw new DecodeError('bad-value', 'parameters', 0);
  }
  fields.optionalTag(1);
  fields.expectEnd();
  // RFC 5915 §3: the octets are as many as the order's; some writers drop leading zeros.
  const size = ecScalarBytes(type);
  if (scalar.length === 0 || scalar.length > size) throw new DecodeError('bad-length', 'privateKey', 0);
  const padded = new Uint8Array(size);
  padded.set(scalar, size - scalar.length);
  return padded;
}

/**
 * Wraps a bare `ECPrivateKey` (RFC 5915 §3, PEM label `EC PRIVATE KEY`) as PKCS #8; its curve must be named in it.
 * @throws {DecodeError}
 */
export function pkcs8OfSec1(der: Uint8Array): Uint8Array {
  const fields = readSequence(decodeDer(der, 'ECPrivateKey'), 'ECPrivateKey');
  fields.next('ecPrivkeyVer');
  fields.next('privateKey');
  const parameters = fields.optionalTag(0);
  if (parameters === undefined) throw new DecodeError('missing', 'parameters', 0);
  const curve = oid(readOid(readExplicit(parameters, 'parameters').next('parameters'), 'parameters'));
  return encodeDer(sequence(smallInteger(0), sequence(oid(OID_EC_PUBLIC_KEY), curve), octetString(der)));
}

/** Wraps a bare `RSAPrivateKey` (RFC 8017 appendix A.1.2, PEM label `RSA PRIVATE KEY`) as PKCS #8. */
export function pkcs8OfPkcs1(der: Uint8Array): Uint8Array {
  return encodeDer(sequence(smallInteger(0), writeAlgorithm('rsa'), octetString(der)));
}

/** RFC 8017 appendix A.1.2; two primes only. */
function readRsaPrivateKey(der: Uint8Array): RsaPrivateNumbers {
  const fields = readSequence(decodeDer(der, 'RSAPrivateKey'), 'RSAPrivateKey');
  if (readSmallInteger(fields.next('version'), 'version') !== 0) throw new DecodeError('unsupported', 'version', 0);
  const read = (field: string) => readUnsigned(fields.next(field), field);
  const numbers = {
    modulus: read('modulus'),
    exponent: read('publicExponent'),
    privateExponent: read('privateExponent'),
    prime1: read('prime1'),
    prime2: read('prime2'),
    exponent1: read('exponent1'),
    exponent2: read('exponent2'),
    coefficient: read('coefficient'),
  };
  fields.expectEnd();
  checkRsa(numbers.modulus, numbers.exponent);
  return numbers;
}

/** Inverse of {@link decodePkcs8}. @param point - the public half of an EC key, which OpenSSL expects to be there. */
export function encodePkcs8(key: PrivateKeyInfo, point?: Uint8Array): Uint8Array {
  return encodeDer(sequence(smallInteger(0), writeAlgorithm(key.type), octetString(privateKeyOctets(key, point))));
}

function privateKeyOctets(key: PrivateKeyInfo, point: Uint8Array | undefined): Uint8Array {
  switch (key.type) {
    case 'ecdsa-p256':
    case 'ecdsa-p384': {
      const publicKey = point === undefined ? [] : [explicit(1, bitString(point))];
      return encodeDer(sequence(smallInteger(1), octetString(key.secret), ...publicKey));
    }
    case 'ed25519':
      return encodeDer(octetString(key.secret));
    case 'rsa':
      return encodeDer(
        sequence(
          smallInteger(0),
          unsigned(key.modulus),
          unsigned(key.exponent),
          unsigned(key.privateExponent),
          unsigned(key.prime1),
          unsigned(key.prime2),
          unsigned(key.exponent1),
          unsigned(key.exponent2),
          unsigned(key.coefficient),
        ),
      );
  }
}

/** Runs a decoder on key material that the caller gave: what it cannot read is `invalid-key` or `unsupported`. */
export function importWith<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof DecodeError) {
      throw new CryptoError(error.reason === 'unsupported' ? 'unsupported' : 'invalid-key', error.message);
    }
    throw error;
  }
}
