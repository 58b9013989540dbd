import { ByteReader, concatBytes, DecodeError, EMPTY } from '../../core/index.ts';
import type { KeyExchange } from '../registry.ts';
import { opaque8, opaque16, readOpaque8, readOpaque16, u8, u16 } from '../wire.ts';
import { type DigitallySigned, encodeDigitallySigned, readDigitallySigned } from './certificate.ts';

const CURVE_TYPE_NAMED = 3;

/** ServerECDHParams (RFC 8422 §5.4): `curve_type(1)=named_curve namedcurve(2) public<1..2^8-1>`. */
export interface EcdhParams {
  readonly group: number;
  readonly publicKey: Uint8Array;
}

/**
 * RFC 8422 §5.4 for ECDHE, RFC 4279 §2 for PSK (the hint alone), RFC 5489 §2 for ECDHE_PSK (hint, then parameters). Only
 * ECDHE with a certificate is signed.
 */
export interface ServerKeyExchange {
  readonly pskIdentityHint?: Uint8Array;
  readonly params?: EcdhParams;
  readonly signed?: DigitallySigned;
}

function readEcdhParams(r: ByteReader): EcdhParams {
  const at = r.pos;
  // RFC 8422 §5.4: explicit curves are deprecated and MUST NOT be used.
  if (r.u8('curve_type') !== CURVE_TYPE_NAMED) throw new DecodeError('bad-value', 'curve_type', at);
  const group = r.u16('namedcurve');
  return { group, publicKey: readPoint(r) };
}

function readPoint(r: ByteReader): Uint8Array {
  const at = r.pos;
  const point = readOpaque8(r, 'point');
  if (point.length === 0) throw new DecodeError('bad-length', 'point', at);
  return point;
}

/** The signed part of ServerKeyExchange. */
export function encodeEcdhParams(params: EcdhParams): Uint8Array {
  return concatBytes(u8(CURVE_TYPE_NAMED), u16(params.group), opaque8(params.publicKey));
}

/** Decodes by the key exchange of the suite; everything is copied. @throws {DecodeError} `bad-value` curve type; the reader's own. */
export function decodeServerKeyExchange(body: Uint8Array, keyExchange: KeyExchange): ServerKeyExchange {
  const r = new ByteReader(body);
  let message: ServerKeyExchange;
  switch (keyExchange) {
    case 'ecdhe':
      message = { params: readEcdhParams(r), signed: readDigitallySigned(r) };
      break;
    case 'ecdhe-psk':
      message = { pskIdentityHint: readOpaque16(r, 'psk_identity_hint'), params: readEcdhParams(r) };
      break;
    case 'psk':
      message = { pskIdentityHint: readOpaque16(r, 'psk_identity_hint') };
      break;
  }
  r.expectEnd('ServerKeyExchange');
  return message;
}

/** Inverse of {@link decodeServerKeyExchange}. */
export function encodeServerKeyExchange(m: ServerKeyExchange): Uint8Array {
  return concatBytes(
    m.pskIdentityHint === undefined ? EMPTY : opaque16(m.pskIdentityHint),
    m.params === undefined ? EMPTY : encodeEcdhParams(m.params),
    m.signed === undefined ? EMPTY : encodeDigitallySigned(m.signed),
  );
}

/** RFC 8422 §5.7 (point), RFC 4279 §2 (identity), RFC 5489 §2 (identity, then point). */
export interface ClientKeyExchange {
  readonly pskIdentity?: Uint8Array;
  readonly publicKey?: Uint8Array;
}

/** Decodes by the key exchange of the suite; everything is copied. @throws {DecodeError} the reader's own. */
export function decodeClientKeyExchange(body: Uint8Array, keyExchange: KeyExchange): ClientKeyExchange {
  const r = new ByteReader(body);
  let message: ClientKeyExchange;
  switch (keyExchange) {
    case 'ecdhe':
      message = { publicKey: readPoint(r) };
      break;
    case 'ecdhe-psk':
      message = { pskIdentity: readOpaque16(r, 'psk_identity'), publicKey: readPoint(r) };
      break;
    case 'psk':
      message = { pskIdentity: readOpaque16(r, 'psk_identity') };
      break;
  }
  r.expectEnd('ClientKeyExchange');
  return message;
}

/** Inverse of {@link decodeClientKeyExchange}. */
export function encodeClientKeyExchange(m: ClientKeyExchange): Uint8Array {
  return concatBytes(
    m.pskIdentity === undefined ? EMPTY : opaque16(m.pskIdentity),
    m.publicKey === undefined ? EMPTY : opaque8(m.publicKey),
  );
}
