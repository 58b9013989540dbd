import type { CryptoBackend, Env, KeyType } from '../core/index.ts';
import { type Certificate, certificateFingerprint, generateCertificate } from '../crypto/index.ts';
import { ConstructorGate, defineInterface, dictionary, domError } from './web-idl.ts';

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
  readonly crypto: CryptoBackend;
}

const gate = new ConstructorGate<CertificateInternals>();
const internalsOf = new WeakMap<object, CertificateInternals>();

/** W3C RTCCertificate: an opaque certificate with its private key, to be used in `RTCConfiguration.certificates`. */
export class RTCCertificate {
  constructor() {
    internalsOf.set(this, gate.take());
  }

  /** Milliseconds since 1970 after which it must not be used. */
  get expires(): number {
    return read(this).certificate.notAfterMs;
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
  return gate.make({ certificate, crypto }, () => new RTCCertificate());
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
  const given = typeof algorithm === 'string' ? { name: algorithm } : dictionary(algorithm, 'keygenAlgorithm');
  const lifetimeMs = readLifetime(Reflect.get(given, 'expires'));
  const certificate = generateCertificate(env, { keyType: readKeyType(given), lifetimeMs });
  return toRtcCertificate(certificate, env.crypto);
}

function readLifetime(expires: unknown): number {
  if (expires === undefined) return DEFAULT_LIFETIME_MS;
  const value = Math.trunc(Number(expires));
  if (!Number.isFinite(value) || value < 0) throw new TypeError('expires is outside its range');
  // A certificate lives whole seconds; one that has expired already is a legal wish.
  return Math.max(1, Math.min(value, MAX_LIFETIME_MS));
}

function readKeyType(algorithm: object): KeyType {
  const name = Reflect.get(algorithm, 'name');
  if (name === undefined) throw new TypeError('keygenAlgorithm has no name');
  const curve = Reflect.get(algorithm, 'namedCurve');
  switch (`${name}`.toUpperCase()) {
    case 'ECDSA':
      if (curve === 'P-256') return 'ecdsa-p256';
      if (curve === 'P-384') return 'ecdsa-p384';
      break;
    case 'RSASSA-PKCS1-V1_5':
      // W3C §4.9.2: RSA with 2048 bits and SHA-256 must be supported; the backend has one size.
      if (Reflect.get(algorithm, 'modulusLength') === 2048) return 'rsa';
      break;
    default:
      break;
  }
  throw domError('NotSupportedError', 'only ECDSA with P-256 or P-384, and RSASSA-PKCS1-v1_5 with 2048 bits');
}
