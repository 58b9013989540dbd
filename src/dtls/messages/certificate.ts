import { ByteReader, concatBytes, DecodeError } from '../../core/index.ts';
import {
  opaque8,
  opaque16,
  opaque24,
  readOpaque8,
  readOpaque16,
  readOpaque24,
  readU16List,
  u16,
  u16s,
} from '../wire.ts';

/** Longest chain taken from a peer. */
export const MAX_CHAIN_CERTIFICATES = 16;

/**
 * RFC 5246 §7.4.2: `ASN.1Cert certificate_list<0..2^24-1>`, each `opaque<1..2^24-1>`, end-entity first; empty where a
 * client has none to give (§7.4.6).
 * @throws {DecodeError} `bad-length` for an empty certificate; `too-many` beyond {@link MAX_CHAIN_CERTIFICATES}.
 */
export function decodeCertificate(body: Uint8Array): readonly Uint8Array[] {
  const r = new ByteReader(body);
  const list = r.sub(r.u24('certificate_list'), 'certificate_list');
  r.expectEnd('Certificate');
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) {
    const at = list.pos;
    if (chain.length === MAX_CHAIN_CERTIFICATES) throw new DecodeError('too-many', 'certificate_list', at);
    const der = readOpaque24(list, 'ASN.1Cert');
    if (der.length === 0) throw new DecodeError('bad-length', 'ASN.1Cert', at);
    chain.push(der);
  }
  return chain;
}

/** Inverse of {@link decodeCertificate}. */
export function encodeCertificate(chain: readonly Uint8Array[]): Uint8Array {
  return opaque24(...chain.map((der) => opaque24(der)));
}

/**
 * RFC 5246 §7.4.4:
 *
 * ```text
 * struct {
 *   ClientCertificateType certificate_types<1..2^8-1>;
 *   SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;
 *   DistinguishedName certificate_authorities<0..2^16-1>;    each opaque<1..2^16-1>
 * } CertificateRequest;
 * ```
 */
export interface CertificateRequest {
  readonly certificateTypes: Uint8Array;
  readonly signatureSchemes: readonly number[];
  readonly authorities: readonly Uint8Array[];
}

/** @throws {DecodeError} `bad-length` for an empty list or name, and the reader's own. */
export function decodeCertificateRequest(body: Uint8Array): CertificateRequest {
  const r = new ByteReader(body);
  const certificateTypes = readOpaque8(r, 'certificate_types');
  if (certificateTypes.length === 0) throw new DecodeError('bad-length', 'certificate_types', 0);
  const schemesAt = r.pos;
  const schemes = r.sub(r.u16('supported_signature_algorithms'), 'supported_signature_algorithms');
  if (schemes.remaining === 0) throw new DecodeError('bad-length', 'supported_signature_algorithms', schemesAt);
  const signatureSchemes = readU16List(schemes, 'signature_algorithm');
  const names = r.sub(r.u16('certificate_authorities'), 'certificate_authorities');
  r.expectEnd('CertificateRequest');
  const authorities: Uint8Array[] = [];
  while (names.remaining > 0) {
    const at = names.pos;
    const name = readOpaque16(names, 'DistinguishedName');
    if (name.length === 0) throw new DecodeError('bad-length', 'DistinguishedName', at);
    authorities.push(name);
  }
  return { certificateTypes, signatureSchemes, authorities };
}

/** Inverse of {@link decodeCertificateRequest}. */
export function encodeCertificateRequest(m: CertificateRequest): Uint8Array {
  return concatBytes(
    opaque8(m.certificateTypes),
    opaque16(u16s(m.signatureSchemes)),
    opaque16(...m.authorities.map((name) => opaque16(name))),
  );
}

/** `digitally-signed` of RFC 5246 §4.7: scheme code point and signature. The whole of CertificateVerify (§7.4.8). */
export interface DigitallySigned {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** @throws {DecodeError} the reader's own. */
export function readDigitallySigned(r: ByteReader): DigitallySigned {
  return { scheme: r.u16('algorithm'), signature: readOpaque16(r, 'signature') };
}

/** Inverse of {@link readDigitallySigned}. */
export function encodeDigitallySigned(m: DigitallySigned): Uint8Array {
  return concatBytes(u16(m.scheme), opaque16(m.signature));
}

/** RFC 5246 §7.4.8. @throws {DecodeError} the reader's own, `trailing-bytes`. */
export function decodeCertificateVerify(body: Uint8Array): DigitallySigned {
  const r = new ByteReader(body);
  const signed = readDigitallySigned(r);
  r.expectEnd('CertificateVerify');
  return signed;
}
