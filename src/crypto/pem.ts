import { type CryptoBackend, CryptoError, DecodeError, type SigningKey } from '../core/index.ts';
import type { Certificate } from './certificate.ts';
import { importWith, pkcs8OfPkcs1, pkcs8OfSec1 } from './keys.ts';
import { parseCertificate } from './x509.ts';
import { certificateScheme } from './x509-algorithms.ts';

/** The textual form of certificates and keys: base64 between BEGIN and END lines (RFC 7468 §2). */
export interface PemBlock {
  /** For example `CERTIFICATE` or `PRIVATE KEY`. */
  readonly label: string;
  readonly der: Uint8Array;
}

const LINE_CHARACTERS = 64;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END ([A-Z0-9 ]+)-----/g;

/** One block, lines of 64 characters, a newline at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const base64 = btoa(binary);
  let lines = '';
  for (let at = 0; at < base64.length; at += LINE_CHARACTERS) lines += `${base64.slice(at, at + LINE_CHARACTERS)}\n`;
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

/**
 * All blocks of a text, in order; text between them is ignored (RFC 7468 §2).
 * @throws {DecodeError} `bad-value` for what is not base64, or an END that does not fit its BEGIN.
 */
export function decodePem(text: string): PemBlock[] {
  return Array.from(text.matchAll(BLOCK), ([, label = '', body = '', end = '']) => {
    if (label !== end) throw new DecodeError('bad-value', 'PEM label', 0);
    return { label, der: decodeBase64(body) };
  });
}

function decodeBase64(text: string): Uint8Array {
  const base64 = text.replace(/\s+/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    throw new DecodeError('bad-value', 'PEM base64', 0); // encrypted keys have header lines, and end here too
  }
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The `CERTIFICATE` blocks of a text: a chain, leaf first, or a list of CAs. @throws {DecodeError} */
export function certificatesFromPem(text: string): Uint8Array[] {
  return decodePem(text).flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [der] : []));
}

/**
 * The first private key of a text: PKCS #8, or the older forms `EC PRIVATE KEY` and `RSA PRIVATE KEY`.
 * @throws {CryptoError} `invalid-key` when there is none or it is malformed; `unsupported` also when it is encrypted.
 */
export function privateKeyFromPem(backend: CryptoBackend, text: string): SigningKey {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw new CryptoError('unsupported', 'the private key is encrypted');
  }
  for (const { label, der } of importWith(() => decodePem(text))) {
    if (label === 'PRIVATE KEY') return backend.importPkcs8(der);
    if (label === 'EC PRIVATE KEY') return backend.importPkcs8(importWith(() => pkcs8OfSec1(der)));
    if (label === 'RSA PRIVATE KEY') return backend.importPkcs8(importWith(() => pkcs8OfPkcs1(der)));
  }
  throw new CryptoError('invalid-key', 'no private key in the PEM text');
}

/** A certificate, its chain and its private key as one text, in the order that `openssl` and web servers read. */
export function certificateToPem(certificate: Certificate): string {
  const list = [certificate.der, ...(certificate.chain ?? [])].map((der) => encodePem('CERTIFICATE', der));
  return list.join('') + encodePem('PRIVATE KEY', certificate.key.exportPkcs8());
}

/**
 * A certificate with its private key, from one text or two put together. Further certificates are its chain.
 * @throws {DecodeError} when there is no certificate or it is malformed.
 * @throws {CryptoError} `invalid-key` also when the key is not the certificate's.
 */
export function certificateFromPem(backend: CryptoBackend, text: string): Certificate {
  const [der, ...chain] = certificatesFromPem(text);
  if (der === undefined) throw new DecodeError('missing', 'certificate', 0);
  const certificate = certificateFromDer(backend, der, privateKeyFromPem(backend, text));
  return chain.length === 0 ? certificate : { ...certificate, chain };
}

/** Joins a certificate and its key. @throws like {@link certificateFromPem} */
export function certificateFromDer(backend: CryptoBackend, der: Uint8Array, key: SigningKey): Certificate {
  const { spki, notBeforeMs, notAfterMs, der: copy } = parseCertificate(der);
  // By use and not by encoding: one key may be spelt in two ways, and a key of the right kind may be another's.
  const scheme = certificateScheme(key.type);
  if (!backend.importSpki(spki).verify(scheme, key.sign(scheme, copy), copy)) {
    throw new CryptoError('invalid-key', 'the private key does not belong to the certificate');
  }
  return { der: copy, key, notBeforeMs, notAfterMs };
}
