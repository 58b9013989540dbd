import {
  type CryptoBackend,
  canonicalIp,
  DecodeError,
  type Env,
  type HashName,
  type Platform,
  UsageError,
} from '../core/index.ts';
import {
  certificateFingerprint,
  certificateFromDer,
  certificatesFromPem,
  LONGEST_BEFORE_NATIVE,
  parseCertificate,
  privateKeyFromPem,
  verifyChain,
  withRecordCipher,
} from '../crypto/index.ts';
import type { AlertDescription, DtlsCertificate } from '../dtls/index.ts';
import { platform } from '../io/index.ts';
import type { PemCertificate } from './turn-connections.ts';

/** Where nothing else is given: short records, which is most of what travels alone over UDP, do not go through native code. */
export const defaultEnv: Env = {
  ...platform.env,
  crypto: withRecordCipher(platform.env.crypto, LONGEST_BEFORE_NATIVE),
};

/** An own certificate: made by `generateCertificate`, or as two PEM texts. */
export type OwnCertificate = DtlsCertificate | PemCertificate;

/** How the peer's certificate is known. The first that is given counts, in the order of these fields. */
export interface PeerTrust {
  /** Judges the chain (DER, end-entity first): the alert to refuse it with, or undefined. */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => AlertDescription | undefined;
  /**
   * One of these is the certificate's: `AB:CD:…` (SHA-256) or `sha-384 AB:CD:…`, as `a=fingerprint` has it (RFC 8122 §5). Names
   * and dates are not looked at then.
   */
  readonly fingerprint?: string | readonly string[];
  /** Authorities, PEM: the chain must end at one of them, be valid now, and name the host. */
  readonly ca?: string | readonly string[];
}

/** Why a certificate is refused. */
export interface Refusal {
  readonly alert: AlertDescription;
  readonly message: string;
}

export type Judge = (chain: readonly Uint8Array[]) => Refusal | undefined;

/** Digest lengths; what is weaker than SHA-256 tells nobody apart. */
const FINGERPRINT_BYTES = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 } as const satisfies Partial<
  Record<HashName, number>
>;

/** @throws {DecodeError} or {CryptoError} for PEM texts that are no certificate with its key. */
export function ownCertificate(crypto: CryptoBackend, certificate: OwnCertificate): DtlsCertificate {
  if ('der' in certificate) return certificate;
  // Not as one text: where one file is both, its certificates would come twice, once as their own chain.
  const [leaf, ...chain] = certificatesFromPem(certificate.cert);
  if (leaf === undefined) throw new DecodeError('missing', 'certificate', 0);
  const own = certificateFromDer(crypto, leaf, privateKeyFromPem(crypto, certificate.key));
  return chain.length === 0 ? own : { ...own, chain };
}

/**
 * @param hostname - what the certificate must be for, when authorities are asked; absent: any.
 * @returns undefined when nothing is said about whom to trust.
 * @throws {UsageError} for a malformed fingerprint. @throws {DecodeError} for authorities that are no certificates.
 */
export function judgeOf(
  env: Env,
  trust: PeerTrust,
  purpose: 'serverAuth' | 'clientAuth',
  hostname?: string,
): Judge | undefined {
  const { verifyPeer, fingerprint, ca } = trust;
  if (verifyPeer !== undefined) {
    return (chain) => {
      const alert = verifyPeer(chain);
      return alert === undefined ? undefined : { alert, message: `verifyPeer says ${alert}` };
    };
  }
  if (fingerprint !== undefined) return judgeByFingerprint(env.crypto, listOf(fingerprint).map(parseFingerprint));
  if (ca === undefined) return undefined;
  const trusted = listOf(ca).flatMap(certificatesFromPem).map(parseCertificate);
  if (trusted.length === 0) throw new UsageError('there is no certificate in ca');
  const host = hostname === undefined ? {} : { hostname };
  return (chain) => verifyChain(env.crypto, chain, { trusted, nowMs: env.wallClockMs(), purpose, ...host });
}

/** The authorities of the runtime. @throws {UsageError} on a platform that has none. */
export function systemAuthorities(platform: Platform): readonly string[] {
  const roots = platform.rootCertificates?.();
  if (roots === undefined) throw new UsageError('say whom to trust: ca, fingerprint, verifyPeer or psk');
  return roots;
}

/** The name for server_name (RFC 6066 §3); undefined for IP addresses, which it must not have. */
export function serverNameOf(host: string): string | undefined {
  return canonicalIp(host) === undefined ? host.replace(/\.$/, '') : undefined;
}

interface Fingerprint {
  readonly hash: keyof typeof FINGERPRINT_BYTES;
  /** Upper case, with colons. */
  readonly value: string;
}

function judgeByFingerprint(crypto: CryptoBackend, accepted: readonly Fingerprint[]): Judge {
  return ([leaf]) => {
    if (leaf === undefined) return { alert: 'bad_certificate', message: 'there is no certificate' };
    if (accepted.some(({ hash, value }) => certificateFingerprint(crypto, hash, leaf) === value)) return undefined;
    const found = certificateFingerprint(crypto, 'sha-256', leaf);
    return { alert: 'bad_certificate', message: `the fingerprint is another: sha-256 ${found}` };
  };
}

function parseFingerprint(text: string): Fingerprint {
  const [, name = 'sha-256', hex = ''] = /^(?:(sha-\d+)\s+)?([0-9a-f:]+)$/i.exec(text.trim()) ?? [];
  const hash = name.toLowerCase();
  const digits = hex.replaceAll(':', '').toUpperCase();
  if (!isFingerprintHash(hash) || digits.length !== 2 * FINGERPRINT_BYTES[hash]) {
    throw new UsageError(`no SHA-256, SHA-384 or SHA-512 fingerprint: ${text}`);
  }
  return { hash, value: (digits.match(/../g) ?? []).join(':') };
}

function isFingerprintHash(name: string): name is keyof typeof FINGERPRINT_BYTES {
  return Object.hasOwn(FINGERPRINT_BYTES, name);
}

function listOf(texts: string | readonly string[]): readonly string[] {
  return typeof texts === 'string' ? [texts] : texts;
}
