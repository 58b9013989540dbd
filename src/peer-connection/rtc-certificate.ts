import { type CryptoBackend, type Env, type KeyType, privateSlot } from '../core/index.ts';
import { type Certificate, certificateFingerprint, generateCertificate } from '../crypto/index.ts';
import { ConstructorGate, defineInterface, dictionary, domError, domString, enforceRange, member } from './web-idl.ts';

/** W3C RTCDtlsFingerprint. */
export interface RTCDtlsFingerprint {
  algorithm?: string;
  value?: string;
}

/** What Web Crypto calls an AlgorithmIdentifier, as far as certificates go. */
export type CertificateAlgorithm =
  | string
  | { readonly name: string; readonly namedCurve?: string; readonly expires?: number; readonly [key: string]: unknown };

interface CertificateInternals {
  readonly certificate: Certificate;
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly crypto: CryptoBackend;
}

const gate = new ConstructorGate<CertificateInternals>();
const internalsOf = privateSlot<object, CertificateInternals>();

/** W3C RTCCertificate: an opaque certificate with its private key, to be used in `RTCConfiguration.certificates`. */
export class RTCCertificate {
  constructor() {
    internalsOf.set(this, gate.take());
  }

  /** Milliseconds since 1970 after which it must not be used. */
  get expires(): number {
    return read(this).expires;
  }

  /** The `a=fingerprint` values: SHA-256, the hash of the certificate's own signature (RFC 8122 §5). */
  getFingerprints(): RTCDtlsFingerprint[] {
    const { certificate, crypto } = read(this);
    // Lower case, as browsers give it and as the W3C says ("value … expressed in lowercase").
    const value = certificateFingerprint(crypto, 'sha-256', certificate.der).toLowerCase();
    return [{ algorithm: 'sha-256', value }];
  }

  static {
    defineInterface(RTCCertificate, 'RTCCertificate');
  }
}

function read(certificate: RTCCertificate): CertificateInternals {
  const internals = internalsOf.get(certificate);
  if (internals === undefined) throw new TypeError('Illegal invocation');
  return internals;
}

/** The W3C object of a certificate of `purertc/crypto`, such as one that was kept from an earlier run. */
export function toRtcCertificate(certificate: Certificate, crypto: CryptoBackend): RTCCertificate {
  return make({ certificate, crypto, expires: certificate.notAfterMs });
}

function make(internals: CertificateInternals): RTCCertificate {
  return gate.make(internals, () => new RTCCertificate());
}

/** The certificate inside. @throws {TypeError} for an object that is none. */
export function fromRtcCertificate(certificate: RTCCertificate): Certificate {
  return read(certificate).certificate;
}

/** W3C §4.9.2: the upper bound that a user agent may put on `expires`. */
const MAX_LIFETIME_MS = 365 * 86_400_000;
const DEFAULT_LIFETIME_MS = 30 * 86_400_000;

/**
 * W3C `RTCPeerConnection.generateCertificate`.
 * @throws {DOMException} `NotSupportedError` for an algorithm that DTLS-SRTP peers do not share.
 * @throws {TypeError} for a malformed argument.
 */
export function generateRtcCertificate(env: Env, algorithm: unknown): RTCCertificate {
  // AlgorithmIdentifier, `(object or DOMString)`: a name alone lacks what its algorithm requires.
  const isObject = (typeof algorithm === 'object' && algorithm !== null) || typeof algorithm === 'function';
  const given = isObject ? dictionary(algorithm, 'keygenAlgorithm') : { name: domString(algorithm) };
  const lifetimeMs = member(given, 'expires', readLifetime, DEFAULT_LIFETIME_MS);
  const expires = env.wallClockMs() + lifetimeMs;
  // A certificate lives whole seconds and at least one; what has expired already is a legal wish all the same.
  const options = { keyType: readKeyType(given), lifetimeMs: Math.max(1, lifetimeMs) };
  return make({ certificate: generateCertificate(env, options), crypto: env.crypto, expires });
}

/** W3C RTCCertificateExpiration: `[EnforceRange] unsigned long long`. */
function readLifetime(expires: unknown): number {
  return Math.min(enforceRange(expires, Number.MAX_SAFE_INTEGER, 'expires'), MAX_LIFETIME_MS);
}

function readKeyType(algorithm: Readonly<Record<string, unknown>>): KeyType {
  const { namedCurve: curve, modulusLength, publicExponent } = algorithm;
  switch (`${required(algorithm, 'name')}`.toUpperCase()) {
    case 'ECDSA':
      required(algorithm, 'namedCurve');
      if (curve === 'P-256') return 'ecdsa-p256';
      if (curve === 'P-384') return 'ecdsa-p384';
      break;
    case 'RSASSA-PKCS1-V1_5':
      for (const name of ['modulusLength', 'publicExponent', 'hash']) required(algorithm, name);
      // W3C §4.9.2: RSA with 2048 bits, 65537 and SHA-256 must be supported; the backend has nothing else.
      if (modulusLength === 2048 && isF4(publicExponent) && hashName(algorithm['hash']) === 'SHA-256') return 'rsa';
      break;
    default:
      break;
  }
  throw domError('NotSupportedError', 'only ECDSA with P-256 or P-384, and RSASSA-PKCS1-v1_5 with 2048 bits');
}

/** Web Crypto "normalize an algorithm": the members that a dictionary requires. @throws {TypeError} one is missing. */
function required(algorithm: Readonly<Record<string, unknown>>, name: string): unknown {
  if (algorithm[name] === undefined) throw new TypeError(`keygenAlgorithm has no ${name}`);
  return algorithm[name];
}

/** 65537 as Web Crypto writes it, a BigInteger. */
function isF4(exponent: unknown): boolean {
  return exponent instanceof Uint8Array && /^(0,)*1,0,1$/.test(exponent.join());
}

/** Web Crypto's HashAlgorithmIdentifier. */
function hashName(hash: unknown): string {
  const name = typeof hash === 'object' && hash !== null && 'name' in hash ? hash.name : hash;
  return `${name}`.toUpperCase();
}
