import { type CryptoBackend, canonicalIp, DecodeError, equalBytes } from '../core/index.ts';
import { type ParsedCertificate, parseCertificate, verifyCertificateSignature } from './x509.ts';

/**
 * Path validation against given CAs (RFC 5280 §6.1) for the stand-alone use of DTLS, where no fingerprint travels by
 * another way. WebRTC does not come here: its certificates are self-signed and checked by fingerprint (RFC 8122 §5).
 *
 * Policies and name constraints are not interpreted: a certificate with name constraints, or with any critical extension
 * that is not understood, is refused. Revocation is not checked.
 */

/** Most certificates taken from a peer's list. */
export const MAX_CHAIN_CERTIFICATES = 10;

export interface ChainOptions {
  /** The CAs that are trusted, or the one peer that is, parsed once by the caller. They need not sign themselves. */
  readonly trusted: readonly ParsedCertificate[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** What the leaf must be for: a server's certificate for a client, and the other way round. */
  readonly purpose: 'serverAuth' | 'clientAuth';
  /** The host name or IP address that was meant; absent: any. */
  readonly hostname?: string;
}

/** Why a chain is refused; `alert` is the one that RFC 5246 §7.2.2 names for it. */
export interface ChainFailure {
  readonly alert:
    | 'bad_certificate'
    | 'unsupported_certificate'
    | 'certificate_expired'
    | 'certificate_unknown'
    | 'unknown_ca';
  readonly message: string;
}

/**
 * Verifies a certificate list as it came in the handshake: the leaf first, then its issuers; order beyond the leaf and
 * certificates that are not needed do not matter. Of several possible issuers the first whose
 * signature verifies is followed; there is no going back to try another.
 * @returns undefined when a path from the leaf to a trusted certificate holds, otherwise the first reason found.
 *
 * @example
 * const trusted = certificatesFromPem(text).map(parseCertificate);
 * const verifyPeer = (chain: readonly Uint8Array[]) =>
 *   verifyChain(env.crypto, chain, { trusted, nowMs: env.wallClockMs(), purpose: 'serverAuth', hostname })?.alert;
 */
export function verifyChain(
  backend: CryptoBackend,
  chain: readonly Uint8Array[],
  options: ChainOptions,
): ChainFailure | undefined {
  if (chain.length > MAX_CHAIN_CERTIFICATES) return fail('bad_certificate', 'the chain is too long');
  let certificates: ParsedCertificate[];
  try {
    certificates = chain.map(parseCertificate);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return fail('bad_certificate', `a certificate cannot be read: ${error.message}`);
  }
  const [leaf, ...intermediates] = certificates;
  if (leaf === undefined) return fail('bad_certificate', 'there is no certificate');
  const leafFailure = checkLeaf(leaf, options);
  if (leafFailure !== undefined) return leafFailure;
  return walk(backend, leaf, intermediates, options.trusted, options.nowMs);
}

/** From the leaf upwards, one issuer at a time, each certificate of the list used once at most. */
function walk(
  backend: CryptoBackend,
  leaf: ParsedCertificate,
  intermediates: readonly ParsedCertificate[],
  trusted: readonly ParsedCertificate[],
  nowMs: number,
): ChainFailure | undefined {
  const unused = new Set(intermediates);
  let current = leaf;
  for (let below = 0; ; below++) {
    const failure = checkDates(current, nowMs) ?? checkExtensions(current);
    if (failure !== undefined) return failure;
    if (trusted.some((anchor) => equalBytes(anchor.der, current.der))) return undefined;
    const child = current;
    const isIssuer = (candidate: ParsedCertificate) => isIssuerOf(backend, candidate, child);
    const anchor = trusted.find(isIssuer);
    // RFC 5280 §6.1.1 d: an anchor is trusted for its name and key; what it says about its own use still binds it.
    if (anchor !== undefined) return checkDates(anchor, nowMs) ?? checkIssuer(anchor, below, true);
    const issuer = [...unused].find(isIssuer);
    if (issuer === undefined) return missingIssuer(backend, child, [...trusted, ...unused]);
    const issuerFailure = checkIssuer(issuer, below, false);
    if (issuerFailure !== undefined) return issuerFailure;
    unused.delete(issuer);
    current = issuer;
  }
}

function isIssuerOf(backend: CryptoBackend, candidate: ParsedCertificate, child: ParsedCertificate): boolean {
  return (
    equalBytes(candidate.subject.der, child.issuer.der) && verifyCertificateSignature(backend, child, candidate.spki)
  );
}

/** Tells a forged signature from a CA that nobody here knows. */
function missingIssuer(
  backend: CryptoBackend,
  child: ParsedCertificate,
  candidates: readonly ParsedCertificate[],
): ChainFailure {
  const selfIssued = equalBytes(child.issuer.der, child.subject.der);
  if (candidates.some((candidate) => equalBytes(candidate.subject.der, child.issuer.der))) {
    return fail('bad_certificate', `the signature of ${child.subject.text} does not verify`);
  }
  if (selfIssued && !verifyCertificateSignature(backend, child, child.spki)) {
    return fail('bad_certificate', `the signature of ${child.subject.text} does not verify`);
  }
  return fail('unknown_ca', `nobody trusted has signed ${child.subject.text}`);
}

function checkLeaf(leaf: ParsedCertificate, options: ChainOptions): ChainFailure | undefined {
  // RFC 5246 §7.4.2: the keys of ECDHE suites sign, and key usage, if present, must allow it.
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes('digitalSignature')) {
    return fail('unsupported_certificate', 'the key usage of the certificate does not allow signatures');
  }
  const usages = leaf.extendedKeyUsage;
  if (usages !== undefined && !usages.includes(options.purpose) && !usages.includes('anyExtendedKeyUsage')) {
    return fail('unsupported_certificate', `the certificate is not for ${options.purpose}`);
  }
  if (options.hostname !== undefined && !matchesHostname(leaf, options.hostname)) {
    return fail('certificate_unknown', `the certificate is not for ${options.hostname}`);
  }
  return undefined;
}

function checkDates(certificate: ParsedCertificate, nowMs: number): ChainFailure | undefined {
  if (nowMs < certificate.notBeforeMs || nowMs >= certificate.notAfterMs + 1000) {
    return fail('certificate_expired', `${certificate.subject.text} is not valid at this time`);
  }
  return undefined;
}

/** RFC 5280 §4.2: a critical extension that is not understood refuses the certificate. */
function checkExtensions(certificate: ParsedCertificate): ChainFailure | undefined {
  const [unknown] = certificate.unknownCriticalExtensions;
  return unknown === undefined
    ? undefined
    : fail('unsupported_certificate', `${certificate.subject.text} has the critical extension ${unknown}`);
}

/** @param below - certificates between it and the leaf (RFC 5280 §6.1.4 k to n). */
function checkIssuer(issuer: ParsedCertificate, below: number, trusted: boolean): ChainFailure | undefined {
  const { basicConstraints, keyUsage, version } = issuer;
  // RFC 5280 §6.1.4 k: a version 1 certificate cannot say that it is a CA; only being trusted makes it one.
  if (basicConstraints?.ca !== true && !(trusted && version < 3)) {
    return fail('bad_certificate', `${issuer.subject.text} is not a CA`);
  }
  if (keyUsage !== undefined && !keyUsage.includes('keyCertSign')) {
    return fail('bad_certificate', `${issuer.subject.text} may not sign certificates`);
  }
  if (basicConstraints?.pathLength !== undefined && below > basicConstraints.pathLength) {
    return fail('bad_certificate', `${issuer.subject.text} does not allow a chain this long`);
  }
  return checkExtensions(issuer);
}

/**
 * Whether a certificate names a host (RFC 9525 §6, RFC 6125 §6.4): by its subject alternative names only, the common
 * name is not looked at. A wildcard stands for exactly one whole leftmost label of a name of three or more.
 */
export function matchesHostname(certificate: ParsedCertificate, hostname: string): boolean {
  const names = certificate.subjectAltNames ?? [];
  const ip = canonicalIp(hostname);
  if (ip !== undefined) return names.some((name) => name.type === 'ip' && name.value === ip);
  const wanted = normalizeDns(hostname);
  if (wanted.includes('*')) return false; // a pattern is no host
  return names.some((name) => name.type === 'dns' && matchesDns(normalizeDns(name.value), wanted));
}

function matchesDns(pattern: string, hostname: string): boolean {
  if (!pattern.startsWith('*.')) return pattern === hostname;
  const suffix = pattern.slice(1);
  const label = hostname.slice(0, -suffix.length);
  const enoughLabels = suffix.split('.').length >= 3;
  return enoughLabels && hostname.endsWith(suffix) && label !== '' && !label.includes('.') && !suffix.includes('*');
}

/** DNS compares ASCII without case; one trailing dot only says that the name is complete. */
function normalizeDns(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

function fail(alert: ChainFailure['alert'], message: string): ChainFailure {
  return { alert, message };
}
