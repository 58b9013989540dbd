import { describe, expect, it } from 'vitest';
import { type CryptoBackend, CryptoError, type KeyType, type SignatureScheme } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { importNodeKeyShare, nodeCrypto } from '../../src/io/node-crypto.ts';

/** What is particular to this backend; the vectors and the comparison with noble are in test/crypto. */

describe('nodeCrypto', () => {
  it('hands out plain Uint8Arrays everywhere: a Buffer slice would share its memory', () => {
    const ed25519 = nodeCrypto.generateSigningKey('ed25519');
    const x25519 = nodeCrypto.generateKeyShare('x25519');
    const p256 = nodeCrypto.generateKeyShare('secp256r1');
    const results = [
      nodeCrypto.hash('sha-256'),
      nodeCrypto.createHash('sha-256').digest(),
      nodeCrypto.createMac('sha-256', new Uint8Array()).sign(),
      ed25519.publicKeySpki,
      ed25519.exportPkcs8(),
      ed25519.sign('ed25519', new Uint8Array()),
      x25519.publicKey,
      x25519.deriveSecret(nodeCrypto.generateKeyShare('x25519').publicKey),
      p256.publicKey,
      p256.deriveSecret(nodeCrypto.generateKeyShare('secp256r1').publicKey),
    ];
    for (const result of results) {
      expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype);
      const copy = result.slice();
      copy.fill(0);
      expect(result).not.toEqual(copy);
    }
  });

  it('results do not change when others are made', () => {
    const digests = Array.from({ length: 100 }, (_, i) => nodeCrypto.hash('sha-256', Uint8Array.of(i)));
    const again = Array.from({ length: 100 }, (_, i) => nodeCrypto.hash('sha-256', Uint8Array.of(i)));
    expect(digests).toEqual(again);
  });

  it('makes RSA keys of 2,048 bits', () => {
    const key = nodeCrypto.generateSigningKey('rsa');
    expect(key.type).toBe('rsa');
    const data = Uint8Array.of(1, 2, 3);
    const verifier = nodeCrypto.importSpki(key.publicKeySpki);
    for (const scheme of ['rsa_pkcs1_sha256', 'rsa_pss_rsae_sha512'] as const) {
      expect(verifier.verify(scheme, key.sign(scheme, data), data)).toBe(true);
    }
  });

  it('fills what it is given with random bytes, also nothing', () => {
    const out = new Uint8Array(100_000);
    nodeCrypto.random(out.subarray(10, 99_990));
    expect(new Set(out.subarray(10, 1000)).size).toBeGreaterThan(200);
    expect(out.subarray(0, 10)).toEqual(new Uint8Array(10));
    expect(out.subarray(99_990)).toEqual(new Uint8Array(10));
    nodeCrypto.random(new Uint8Array());
  });

  it.each<[string, (backend: CryptoBackend) => unknown]>([
    ['an empty PKCS #8', (b) => b.importPkcs8(new Uint8Array())],
    ['a PKCS #8 that claims a length of 16 MiB', (b) => b.importPkcs8(Uint8Array.of(0x30, 0x84, 1, 0, 0, 0))],
    ['an SPKI of indefinite length', (b) => b.importSpki(Uint8Array.of(0x30, 0x80, 0, 0))],
    ['an SPKI that is a certificate key of nothing', (b) => b.importSpki(Uint8Array.of(0x30, 3, 2, 1, 5))],
    ['an X25519 key of 31 bytes', () => importNodeKeyShare('x25519', new Uint8Array(31))],
    ['an X25519 key of 33 bytes', () => importNodeKeyShare('x25519', new Uint8Array(33))],
    ['a P-256 scalar of zero', () => importNodeKeyShare('secp256r1', new Uint8Array(32))],
  ])('throws CryptoError for %s', (_name, use) => {
    expect(() => use(nodeCrypto)).toThrow(CryptoError);
  });

  it('refuses key agreement keys as signature keys', () => {
    // RFC 8410 §4: an X25519 SubjectPublicKeyInfo, well-formed, of the wrong kind.
    const spki = Uint8Array.of(
      0x30,
      0x2a,
      0x30,
      0x05,
      0x06,
      0x03,
      0x2b,
      0x65,
      0x6e,
      0x03,
      0x21,
      0x00,
      ...new Uint8Array(32).fill(9),
    );
    expect(() => nodeCrypto.importSpki(spki)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it.each<[KeyType, string]>([
    ['ecdsa-p256', '1.2.840.10045.3.1.7'],
    ['ecdsa-p384', '1.3.132.0.34'],
  ])('%s keys are written with a named curve and an uncompressed point', (type) => {
    const spki = nodeCrypto.generateSigningKey(type).publicKeySpki;
    const pointBytes = type === 'ecdsa-p256' ? 65 : 97;
    expect(spki[spki.length - pointBytes]).toBe(4);
  });

  // 300 keys of each: some have a scalar or a coordinate with leading zeros.
  it.each<['ecdsa-p256' | 'ecdsa-p384', SignatureScheme]>([
    ['ecdsa-p256', 'ecdsa_secp256r1_sha256'],
    ['ecdsa-p384', 'ecdsa_secp384r1_sha384'],
  ])("%s keys made without OpenSSL's DER coders are the same as with them", (type, scheme) => {
    const message = new Uint8Array(100).fill(1);
    for (let n = 0; n < 300; n++) {
      const key = nodeCrypto.generateSigningKey(type);
      const again = nodeCrypto.importPkcs8(key.exportPkcs8());
      expect(again.publicKeySpki).toEqual(key.publicKeySpki);
      if (n % 20 !== 0) continue;
      const verifier = nodeCrypto.importSpki(key.publicKeySpki);
      expect([verifier.type, verifier.verify(scheme, again.sign(scheme, message), message)]).toEqual([type, true]);
      expect(nobleCrypto.importSpki(key.publicKeySpki).verify(scheme, key.sign(scheme, message), message)).toBe(true);
    }
  });

  it.each([
    ['off the curve', (point: Uint8Array) => point.fill(7)],
    ['at the origin', (point: Uint8Array) => point.fill(0)],
    ['with a coordinate beyond the field', (point: Uint8Array) => point.fill(255, 0, 32)],
  ] as const)('a point %s is refused', (_, spoil) => {
    for (const type of ['ecdsa-p256', 'ecdsa-p384'] as const) {
      const spki = nodeCrypto.generateSigningKey(type).publicKeySpki.slice();
      spoil(spki.subarray(type === 'ecdsa-p256' ? -64 : -96));
      expect(() => nodeCrypto.importSpki(spki)).toThrow(expect.objectContaining({ code: 'invalid-key' }));
    }
  });
});
