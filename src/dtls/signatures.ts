import { type CryptoBackend, CryptoError, DecodeError, type KeyType, type VerifyingKey } from '../core/index.ts';
import { type CertificateKey, readCertificateKey } from '../crypto/index.ts';
import { HandshakeFault } from './alert.ts';
import type { DigitallySigned } from './messages/index.ts';
import { type Authentication, type SchemeRow, SIGNATURE_SCHEMES, schemeByCode } from './registry.ts';
import type { DtlsCertificate } from './types.ts';

/** The schemes we verify, as offered in signature_algorithms and CertificateRequest. */
export const VERIFIED_SCHEME_CODES: readonly number[] = SIGNATURE_SCHEMES.map((row) => row.code);

/** The kind of suite that a key authenticates (RFC 8422 §5.3: Ed25519 goes with the ECDSA suites). */
export function authenticationOf(keyType: KeyType): Authentication {
  return keyType === 'rsa' ? 'rsa' : 'ecdsa';
}

/**
 * The scheme to sign with: the first in our order that fits the key and that the peer offered. P-384 keys prefer
 * SHA-384, which belongs to them (RFC 8422 §5.1.3 leaves the choice free).
 */
function chooseScheme(keyType: KeyType, offered: readonly number[]): SchemeRow | undefined {
  const fitting = SIGNATURE_SCHEMES.filter((row) => row.keyTypes.includes(keyType) && offered.includes(row.code));
  return fitting.find((row) => row.keyTypes[0] === keyType) ?? fitting[0];
}

/** The first own certificate of that kind for which the peer offered a scheme. */
export function chooseCertificate(
  certificates: readonly DtlsCertificate[],
  offered: readonly number[],
  fits: (authentication: Authentication) => boolean,
): { readonly certificate: DtlsCertificate; readonly scheme: SchemeRow } | undefined {
  for (const certificate of certificates) {
    if (!fits(authenticationOf(certificate.key.type))) continue;
    const scheme = chooseScheme(certificate.key.type, offered);
    if (scheme !== undefined) return { certificate, scheme };
  }
  return undefined;
}

/**
 * The public key of a peer's certificate, fit to verify its signatures: RFC 5246 §7.4.2 demands the digitalSignature bit
 * where a key usage is given.
 * @throws {HandshakeFault} `bad_certificate` when it does not parse; `unsupported_certificate` for its key or usage.
 */
export function peerKey(crypto: CryptoBackend, der: Uint8Array): VerifyingKey {
  let certificate: CertificateKey;
  try {
    certificate = readCertificateKey(der);
  } catch (error) {
    if (error instanceof DecodeError) throw new HandshakeFault('bad_certificate', error.reason, error.message);
    throw error;
  }
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.includes('digitalSignature')) {
    throw new HandshakeFault(
      'unsupported_certificate',
      'bad-value',
      'the key usage of the certificate forbids signatures',
    );
  }
  try {
    return crypto.importSpki(certificate.spki);
  } catch (error) {
    if (!(error instanceof CryptoError)) throw error;
    const alert = error.code === 'unsupported' ? 'unsupported_certificate' : 'bad_certificate';
    throw new HandshakeFault(alert, error.code === 'unsupported' ? 'unsupported' : 'bad-value', error.message);
  }
}

/**
 * Verifies a `digitally-signed` of the peer.
 * @throws {HandshakeFault} `illegal_parameter` for a scheme we did not offer or that does not fit the key (RFC 5246
 * §7.4.3); `decrypt_error` for a wrong signature (§7.2.2).
 */
export function verifySigned(key: VerifyingKey, signed: DigitallySigned, data: Uint8Array, what: string): SchemeRow {
  const row = schemeByCode(signed.scheme);
  if (row === undefined || !row.keyTypes.includes(key.type)) {
    throw new HandshakeFault(
      'illegal_parameter',
      'bad-value',
      `${what}: scheme ${signed.scheme} with a key of type ${key.type}`,
    );
  }
  if (!key.verify(row.scheme, signed.signature, data)) {
    throw new HandshakeFault('decrypt_error', 'bad-integrity', `${what}: the signature is wrong`);
  }
  return row;
}
