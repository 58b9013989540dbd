import { createECDH, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { CryptoError } from '../core/index.ts';

/**
 * The curves of ECDSA keys. OpenSSL's DER coders cost far more than the mathematics (a P-256 key made and encoded by a job and
 * decoded again: 0.64 ms; made as an ECDH key and imported as JWK: 0.11 ms), so keys in the one usual form go around them.
 */
interface EcCurve {
  readonly type: 'ecdsa-p256' | 'ecdsa-p384';
  readonly openssl: string;
  readonly jwk: string;
  readonly coordinateBytes: number;
  /** DER of a `SubjectPublicKeyInfo` (RFC 5480 §2) up to the uncompressed point: constant, because its length is. */
  readonly spkiPrefix: Uint8Array;
}

const P256: EcCurve = {
  type: 'ecdsa-p256',
  openssl: 'prime256v1',
  jwk: 'P-256',
  coordinateBytes: 32,
  spkiPrefix: Uint8Array.from(Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')),
};
const P384: EcCurve = {
  type: 'ecdsa-p384',
  openssl: 'secp384r1',
  jwk: 'P-384',
  coordinateBytes: 48,
  spkiPrefix: Uint8Array.from(Buffer.from('3076301006072a8648ce3d020106052b81040022036200', 'hex')),
};

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

/** @param point - uncompressed. */
function pointJwk(
  { jwk, coordinateBytes }: EcCurve,
  point: Uint8Array,
): Readonly<Record<'kty' | 'crv' | 'x' | 'y', string>> {
  const middle = 1 + coordinateBytes;
  return { kty: 'EC', crv: jwk, x: base64url(point.subarray(1, middle)), y: base64url(point.subarray(middle)) };
}

/** A new key; it may be exported, because no key-generation job made it (see node-crypto.ts). */
export function generateEcKey(type: EcCurve['type']): { readonly key: KeyObject; readonly spki: Uint8Array } {
  const curve = type === 'ecdsa-p256' ? P256 : P384;
  const ecdh = createECDH(curve.openssl);
  const point = ecdh.generateKeys();
  const scalar = ecdh.getPrivateKey(); // without leading zeros
  const d = new Uint8Array(curve.coordinateBytes);
  d.set(scalar, d.length - scalar.length);
  const key = createPrivateKey({ key: { ...pointJwk(curve, point), d: base64url(d) }, format: 'jwk' });
  const spki = new Uint8Array(curve.spkiPrefix.length + point.length);
  spki.set(curve.spkiPrefix);
  spki.set(point, curve.spkiPrefix.length);
  return { key, spki };
}

/** The curve of a key that is spelt in the one usual way. */
function curveOf(spki: Uint8Array): EcCurve | undefined {
  return [P256, P384].find(
    ({ spkiPrefix, coordinateBytes }) =>
      spki.length === spkiPrefix.length + 1 + 2 * coordinateBytes &&
      spki[spkiPrefix.length] === 0x04 &&
      spkiPrefix.every((byte, i) => spki[i] === byte),
  );
}

/**
 * @returns undefined for keys of other kinds, and for those that are spelt otherwise: OpenSSL may read them.
 * @throws {CryptoError} `invalid-key` for a point off its curve.
 */
export function importEcSpki(der: Uint8Array): { readonly key: KeyObject; readonly type: EcCurve['type'] } | undefined {
  const curve = curveOf(der);
  if (curve === undefined) return undefined;
  const jwk = pointJwk(curve, der.subarray(curve.spkiPrefix.length));
  try {
    return { key: createPublicKey({ key: jwk, format: 'jwk' }), type: curve.type };
  } catch {
    throw new CryptoError('invalid-key', `the point is not on ${curve.jwk}`);
  }
}
