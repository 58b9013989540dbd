import { type CryptoBackend, DecodeError, equalBytes } from '../core/index.ts';
import {
  type DerCursor,
  decodeDer,
  elementBytes,
  readBitString,
  readExplicit,
  readInteger,
  readSequence,
  readSmallInteger,
} from './der.ts';
import { readSignatureAlgorithm, type SignatureAlgorithm } from './x509-algorithms.ts';
import {
  type BasicConstraints,
  type ExtendedKeyUsage,
  type Extensions,
  type GeneralName,
  type KeyUsage,
  readExtensions,
} from './x509-extensions.ts';
import { type DistinguishedName, readName } from './x509-names.ts';
import { readTime } from './x509-time.ts';

/**
 * X.509 certificates (RFC 5280 §4.1), parsed.
 *
 * ```text
 * Certificate ::= SEQUENCE {
 *   tbsCertificate       SEQUENCE {
 *     version         [0]  EXPLICIT Version DEFAULT v1,
 *     serialNumber         INTEGER,
 *     signature            AlgorithmIdentifier,
 *     issuer               Name,
 *     validity             SEQUENCE { notBefore Time, notAfter Time },
 *     subject              Name,
 *     subjectPublicKeyInfo SubjectPublicKeyInfo,
 *     issuerUniqueID  [1]  IMPLICIT BIT STRING OPTIONAL,
 *     subjectUniqueID [2]  IMPLICIT BIT STRING OPTIONAL,
 *     extensions      [3]  EXPLICIT SEQUENCE OF Extension OPTIONAL },
 *   signatureAlgorithm   AlgorithmIdentifier,
 *   signatureValue       BIT STRING }
 * ```
 */
export interface ParsedCertificate {
  /** A copy of what was parsed. */
  readonly der: Uint8Array;
  /** The signed part, as it stands in `der`. */
  readonly tbs: Uint8Array;
  /** DER `SubjectPublicKeyInfo`, for `CryptoBackend.importSpki`; of any algorithm, also ones the backends do not know. */
  readonly spki: Uint8Array;
  /** 1 to 3. */
  readonly version: number;
  /** Two's complement, big-endian. */
  readonly serial: Uint8Array;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  /** Milliseconds since 1970, inclusive. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Absent means unrestricted. */
  readonly keyUsage?: readonly KeyUsage[];
  readonly extendedKeyUsage?: readonly ExtendedKeyUsage[];
  readonly basicConstraints?: BasicConstraints;
  readonly subjectAltNames?: readonly GeneralName[];
  /** Critical extensions that were not understood: such a certificate must not be relied on (RFC 5280 §4.2). */
  readonly unknownCriticalExtensions: readonly string[];
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
}

/**
 * Reads one DER certificate and nothing behind it. The signature is not verified here.
 * @param der - borrowed; at most 65,536 bytes.
 * @throws {DecodeError} and nothing else.
 */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  const certificate = decodeDer(der, 'certificate');
  const outer = readSequence(certificate, 'certificate');
  const tbsElement = outer.next('tbsCertificate');
  const outerAlgorithm = outer.next('signatureAlgorithm');
  const signatureAlgorithm = readSignatureAlgorithm(outerAlgorithm);
  const signature = readBitString(outer.next('signatureValue'), 'signatureValue');
  outer.expectEnd();

  const tbs = readSequence(tbsElement, 'tbsCertificate');
  const version = readVersion(tbs);
  const serial = readInteger(tbs.next('serialNumber'), 'serialNumber');
  // RFC 5280 §4.1.1.2: the algorithm inside the signed part is the one outside.
  if (!equalBytes(elementBytes(tbs.next('signature')), elementBytes(outerAlgorithm))) {
    throw new DecodeError('bad-value', 'signature', 0);
  }
  const issuer = readName(tbs.next('issuer'), 'issuer');
  const validity = readSequence(tbs.next('validity'), 'validity');
  const notBeforeMs = readTime(validity.next('notBefore'), 'notBefore');
  const notAfterMs = readTime(validity.next('notAfter'), 'notAfter');
  validity.expectEnd();
  const subject = readName(tbs.next('subject'), 'subject');
  const spkiElement = tbs.next('subjectPublicKeyInfo');
  readSequence(spkiElement, 'subjectPublicKeyInfo');
  tbs.optionalTag(1);
  tbs.optionalTag(2);
  const { unknownCritical, ...extensions } = readOptionalExtensions(tbs, version);
  tbs.expectEnd();
  return {
    der: elementBytes(certificate),
    tbs: elementBytes(tbsElement),
    spki: elementBytes(spkiElement),
    version,
    serial,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    ...extensions,
    unknownCriticalExtensions: unknownCritical,
    signatureAlgorithm,
    signature,
  };
}

function readVersion(tbs: DerCursor): number {
  const element = tbs.optionalTag(0);
  if (element === undefined) return 1;
  const explicit = readExplicit(element, 'version');
  const version = readSmallInteger(explicit.next('version'), 'version') + 1;
  explicit.expectEnd();
  if (version > 3) throw new DecodeError('bad-version', 'version', 0);
  return version;
}

function readOptionalExtensions(tbs: DerCursor, version: number): Extensions {
  const element = tbs.optionalTag(3);
  if (element === undefined) return { unknownCritical: [] };
  if (version !== 3) throw new DecodeError('bad-version', 'extensions', 0); // RFC 5280 §4.1.2.9
  const explicit = readExplicit(element, 'extensions');
  const extensions = readExtensions(explicit.next('extensions'));
  explicit.expectEnd();
  return extensions;
}

/**
 * Whether `certificate` was signed with the private half of `issuerSpki`. Names, dates and permissions are not looked at.
 * @returns false also for algorithms that are not accepted and keys that cannot be read.
 */
export function verifyCertificateSignature(
  backend: CryptoBackend,
  certificate: ParsedCertificate,
  issuerSpki: Uint8Array,
): boolean {
  const { scheme } = certificate.signatureAlgorithm;
  if (scheme === undefined) return false;
  try {
    return backend.importSpki(issuerSpki).verify(scheme, certificate.signature, certificate.tbs);
  } catch {
    return false; // `CryptoError`: a key that cannot be read has signed nothing
  }
}
