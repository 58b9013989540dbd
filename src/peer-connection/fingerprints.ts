import type { CryptoBackend, HashName } from '../core/index.ts';
import { utf8 } from '../core/index.ts';
import { certificateFingerprint, constantTimeEqual } from '../crypto/index.ts';

/** One `a=fingerprint` (RFC 8122 §5): the hash's IANA name in any case, and the hash as `AB:CD:…` in any case. */
export interface Fingerprint {
  readonly algorithm: string;
  readonly value: string;
}

/**
 * Hash functions by preference, the strongest first. MD2 and MD5 are not among them: they MUST NOT be used (RFC 8122 §5).
 * SHA-1 is last and only ever the choice where the peer offers nothing better.
 */
const PREFERRED: readonly HashName[] = ['sha-512', 'sha-384', 'sha-256', 'sha-224', 'sha-1'];

/**
 * Whether a certificate is one of those that the remote description names. Of the hash functions offered the most
 * preferred one is chosen, and the certificate must match one fingerprint of that set (RFC 8122 §5.1): a weak hash that
 * an attacker adds beside a strong one opens nothing.
 *
 * @param der - the certificate as it came in the handshake.
 * @returns the matching fingerprint, canonical (lower-case name, upper-case value), or undefined.
 */
export function matchFingerprint(
  backend: CryptoBackend,
  der: Uint8Array,
  fingerprints: readonly Fingerprint[],
): Fingerprint | undefined {
  for (const hash of PREFERRED) {
    const offered = fingerprints.filter((f) => f.algorithm.toLowerCase() === hash);
    if (offered.length === 0) continue;
    const value = certificateFingerprint(backend, hash, der).toUpperCase();
    const matches = offered.some((f) => constantTimeEqual(utf8(f.value.toUpperCase()), utf8(value)));
    return matches ? { algorithm: hash, value } : undefined;
  }
  return undefined;
}
