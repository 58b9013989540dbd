import {
  bytesToHex,
  type CryptoBackend,
  type Env,
  equalBytes,
  type HashName,
  type KeyType,
  type SigningKey,
  UsageError,
} from '../core/index.ts';
import { bitString, type DerElement, decodeDer, encodeDer, explicit, sequence, smallInteger, unsigned } from './der.ts';
import { type SelfSignedFields, selfSignedCertificate, selfSignedTbs } from './self-signed.ts';
import { parseCertificate } from './x509.ts';
import { certificateScheme, writeSignatureAlgorithm } from './x509-algorithms.ts';
import { type ExtensionOptions, writeExtensions } from './x509-extensions.ts';
import { commonNameOnly } from './x509-names.ts';
import { writeTime } from './x509-time.ts';

/** A certificate with its private key: what an endpoint shows of itself. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly key: SigningKey;
  /** Intermediate CAs behind it, nearest first (RFC 5246 §7.4.2); the root is left out. Absent when there are none. */
  readonly chain?: readonly Uint8Array[];
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface CertificateOptions extends ExtensionOptions {
  /** The kind of key to make; `ecdsa-p256` by default. Ignored when `key` is given. */
  readonly keyType?: KeyType;
  /** A key to certify instead of a new one. */
  readonly key?: SigningKey;
  /** 16 random hexadecimal digits by default: a name that follows its owner around would be a cookie (RFC 8827 §6.5). */
  readonly commonName?: string;
  /** From now; 30 days by default. */
  readonly lifetimeMs?: number;
  /** How far in the past validity begins, for peers whose clock is late; 1 day by default. */
  readonly backdateMs?: number;
  /** Who signs; by default the certificate signs itself. */
  readonly issuer?: Certificate;
}

const DAY_MS = 86_400_000;
export const DEFAULT_CERTIFICATE_LIFETIME_MS: number = 30 * DAY_MS;
const DEFAULT_BACKDATE_MS = DAY_MS;
/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
const SERIAL_BYTES = 16;
const V3 = 2;

/**
 * Makes an X.509 v3 certificate (RFC 5280 §4.1), self-signed unless `issuer` is given. Times have whole seconds.
 *
 * @example
 * const certificate = generateCertificate(env, {});
 * certificateFingerprint(env.crypto, 'sha-256', certificate.der); // for a=fingerprint
 * @throws {UsageError} for a lifetime that is not positive. @throws {CryptoError} `unsupported` when the backend cannot
 * make such a key.
 */
export function generateCertificate(env: Env, options: CertificateOptions = {}): Certificate {
  const lifetimeMs = options.lifetimeMs ?? DEFAULT_CERTIFICATE_LIFETIME_MS;
  if (!(lifetimeMs > 0)) throw new UsageError('the lifetime of a certificate must be positive');
  const key = options.key ?? env.crypto.generateSigningKey(options.keyType ?? 'ecdsa-p256');
  const nowMs = env.wallClockMs();
  const fields = {
    keyType: key.type,
    spki: key.publicKeySpki,
    notBeforeMs: wholeSeconds(nowMs - (options.backdateMs ?? DEFAULT_BACKDATE_MS)),
    notAfterMs: wholeSeconds(nowMs + lifetimeMs),
    commonName: options.commonName ?? bytesToHex(randomBytes(env, 8)),
    serial: randomSerial(env),
  };
  const { notBeforeMs, notAfterMs } = fields;
  const extensions = writeExtensions(options);
  if (options.issuer !== undefined || extensions !== undefined) {
    return { ...issueCertificate(fields, key, options.issuer, extensions), key, notBeforeMs, notAfterMs };
  }
  const tbs = selfSignedTbs(fields);
  const signature = key.sign(certificateScheme(key.type), tbs);
  return { der: selfSignedCertificate(tbs, key.type, signature), key, notBeforeMs, notAfterMs };
}

/** Any certificate, by asn1js. */
function issueCertificate(
  fields: SelfSignedFields,
  key: SigningKey,
  issuer: Certificate | undefined,
  extensions: DerElement | undefined,
): Pick<Certificate, 'der' | 'chain'> {
  const signer = issuer?.key ?? key;
  const subject = commonNameOnly(fields.commonName);
  const issuedBy = issuer === undefined ? undefined : parseCertificate(issuer.der);
  const algorithm = writeSignatureAlgorithm(signer.type);
  const tbs = sequence(
    explicit(0, smallInteger(V3)),
    unsigned(fields.serial),
    algorithm,
    issuedBy === undefined ? subject : decodeDer(issuedBy.subject.der, 'issuer'),
    sequence(writeTime(fields.notBeforeMs), writeTime(fields.notAfterMs)),
    subject,
    decodeDer(fields.spki, 'spki'),
    ...(extensions === undefined ? [] : [explicit(3, extensions)]),
  );
  const signature = signer.sign(certificateScheme(signer.type), encodeDer(tbs));
  const der = encodeDer(sequence(tbs, algorithm, bitString(signature)));
  if (issuer === undefined || issuedBy === undefined) return { der };
  const issuedByRoot = equalBytes(issuedBy.issuer.der, issuedBy.subject.der);
  const chain = [...(issuedByRoot ? [] : [issuer.der]), ...(issuer.chain ?? [])];
  return chain.length === 0 ? { der } : { der, chain };
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function randomBytes(env: Env, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  env.random(bytes);
  return bytes;
}

function randomSerial(env: Env): Uint8Array {
  const serial = randomBytes(env, SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x3f) | 0x40; // positive, and always of the same length
  return serial;
}

/** RFC 8122 §5: the hash of the DER form in upper-case hexadecimal with colons, as `a=fingerprint` has it. */
export function certificateFingerprint(backend: CryptoBackend, hash: HashName, der: Uint8Array): string {
  return bytesToHex(backend.hash(hash, der), ':').toUpperCase();
}
