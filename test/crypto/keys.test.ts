import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, CryptoError, concatBytes, hexToBytes } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { decodePkcs8, decodeSpki, ecScalarBytes, encodePkcs8, encodeSpki } from '../../src/crypto/keys.ts';
import certificates from '../vectors/openssl/certificates.json' with { type: 'json' };
import { BACKENDS, GENERATED_KEYS } from './backends.ts';

const point = nobleCrypto.generateKeyShare('secp256r1').publicKey;
const spki = encodeSpki({ type: 'ecdsa-p256', point });

/** Malformed on purpose, written out by hand. `spki` is 3059 3013 0607 2a8648ce3d0201 0608 2a8648ce3d030107 0342 00 04… */
const BAD_SPKI: readonly (readonly [string, string, string])[] = [
  ['empty', '', 'too-short'],
  ['only a tag', '30', 'too-short'],
  ['not a sequence', '0500', 'bad-type'],
  ['empty sequence', '3000', 'missing'],
  ['an algorithm and nothing else', '300730050603 2b6570', 'missing'],
  ['an algorithm that is no sequence', '30050500 030100', 'bad-type'],
  ['a key that is no bit string', '3009 3005 0603 2b6570 0500', 'bad-type'],
  ['unused bits in the key', '300b 3005 0603 2b6570 0302 07 80', 'bad-value'],
  ['Ed25519 with parameters', '300c 3007 0603 2b6570 0500 0301 00', 'trailing-bytes'],
  ['Ed25519 of 1 byte', '300b 3005 0603 2b6570 0302 00 04', 'bad-length'],
  ['EC without a curve', '3010 3009 0607 2a8648ce3d0201 0303 00 0404', 'missing'],
  ['EC on secp256k1', '3017 3010 0607 2a8648ce3d0201 0605 2b8104000a 0303 00 0404', 'unsupported'],
  ['EC with explicit parameters', '3012 300b 0607 2a8648ce3d0201 3000 0303 00 0404', 'bad-type'],
  ['DSA', '3010 3009 0607 2a8648ce380401 0303 00 0404', 'unsupported'],
  ['RSA without numbers', '3012 300d 0609 2a864886f70d010101 0500 0301 00', 'too-short'],
  ['RSA of 8 bits', '301a 300d 0609 2a864886f70d010101 0500 0309 00 3006 0201 7b 0201 03', 'unsupported'],
  ['indefinite length', '3080 3005 0603 2b6570 0301 00 0000', 'bad-length'],
  ['a length in more octets than needed', '3081 0a 3005 0603 2b6570 0301 00', 'bad-length'],
];

describe('SubjectPublicKeyInfo', () => {
  it.each(BAD_SPKI)('%s is refused', (_name, hex, reason) => {
    expect(() => decodeSpki(hexToBytes(hex))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it('is refused with a byte behind it, and one byte short', () => {
    expect(() => decodeSpki(concatBytes(spki, Uint8Array.of(0)))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: 'trailing-bytes' }),
    );
    for (let length = 0; length < spki.length; length++) {
      expect(() => decodeSpki(spki.subarray(0, length))).toThrow(expect.objectContaining({ name: 'DecodeError' }));
    }
  });

  it('round-trips', () => {
    expect(decodeSpki(spki)).toEqual({ type: 'ecdsa-p256', point });
    expect(encodeSpki(decodeSpki(spki))).toEqual(spki);
  });
});

describe.each(BACKENDS)('import by the $name backend', ({ backend }) => {
  it.each(BAD_SPKI)('SPKI, %s: CryptoError', (_name, hex) => {
    expect(() => backend.importSpki(hexToBytes(hex))).toThrow(CryptoError);
    expect(() => backend.importPkcs8(hexToBytes(hex))).toThrow(CryptoError);
  });

  it('refuses bytes behind a key', () => {
    for (const type of GENERATED_KEYS) {
      const key = backend.generateSigningKey(type);
      const more = (bytes: Uint8Array) => concatBytes(bytes, Uint8Array.of(0));
      expect(() => backend.importSpki(more(key.publicKeySpki))).toThrow(
        expect.objectContaining({ code: 'invalid-key' }),
      );
      expect(() => backend.importPkcs8(more(key.exportPkcs8()))).toThrow(
        expect.objectContaining({ code: 'invalid-key' }),
      );
    }
  });

  it('refuses a point that is not on its curve', () => {
    for (const type of ['ecdsa-p256', 'ecdsa-p384'] as const) {
      const bad = backend.generateSigningKey(type).publicKeySpki.slice();
      bad[bad.length - 1]! ^= 1;
      expect(() => backend.importSpki(bad)).toThrow(expect.objectContaining({ code: 'invalid-key' }));
    }
  });

  it.each(certificates.cases.filter((v) => 'unsupported' in v))('$name keys are unsupported, not a crash', (v) => {
    expect(() => backend.importPkcs8(hexToBytes(v.pkcs8))).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it.each(certificates.cases.filter((v) => 'keyType' in v))('$name keys of OpenSSL come in', (v) => {
    const key = backend.importPkcs8(hexToBytes(v.pkcs8));
    expect(key.type).toBe(v.keyType);
    expect(v.der).toContain(bytesToHex(key.publicKeySpki));
  });

  it('throws CryptoError and nothing else for mutated keys', () => {
    const samples = certificates.cases.map((v) => hexToBytes(v.pkcs8));
    const spkis = GENERATED_KEYS.map((type) => backend.generateSigningKey(type).publicKeySpki);
    fc.assert(
      fc.property(
        fc.constantFrom(...samples, ...spkis),
        fc.array(fc.tuple(fc.nat(2000), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.nat(2000),
        (sample, edits, cut) => {
          const bytes = sample.slice(0, cut % 3 === 0 ? cut % sample.length : sample.length);
          for (const [at, value] of edits) if (bytes.length > 0) bytes[at % bytes.length] = value;
          for (const read of [() => backend.importSpki(bytes), () => backend.importPkcs8(bytes)]) {
            try {
              read();
            } catch (error) {
              expect(error).toBeInstanceOf(CryptoError);
            }
          }
        },
      ),
      { seed: 11, numRuns: 300 },
    );
  });
});

describe('key codecs', () => {
  const nonZeroFirst = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === 0 ? byte | 0x80 : byte));
  const odd = (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, i) => (i === bytes.length - 1 ? byte | 3 : byte));
  const number = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(nonZeroFirst);
  const rsaPublic = fc.record({
    type: fc.constant('rsa' as const),
    modulus: fc.integer({ min: 256, max: 1024 }).chain(number).map(odd),
    exponent: fc.integer({ min: 1, max: 4 }).chain(number).map(odd),
  });
  const ecTypes = fc.constantFrom('ecdsa-p256' as const, 'ecdsa-p384' as const);

  it('write what they read and read what they wrote: SPKI (seed 13)', () => {
    const keys = fc.oneof(
      fc.record({ type: ecTypes, point: fc.uint8Array({ maxLength: 100 }) }),
      fc.record({ type: fc.constant('ed25519' as const), key: fc.uint8Array({ minLength: 32, maxLength: 32 }) }),
      rsaPublic,
    );
    fc.assert(
      fc.property(keys, (key) => {
        const der = encodeSpki(key);
        expect(decodeSpki(der)).toEqual(key);
        expect(encodeSpki(decodeSpki(der))).toEqual(der);
      }),
      { seed: 13, numRuns: 200 },
    );
  });

  it('write what they read and read what they wrote: PKCS #8 (seed 14)', () => {
    const part = fc.integer({ min: 1, max: 300 }).chain(number);
    const keys = fc.oneof(
      ecTypes.chain((type) =>
        fc.record({
          type: fc.constant(type),
          secret: fc.uint8Array({ minLength: ecScalarBytes(type), maxLength: ecScalarBytes(type) }),
        }),
      ),
      fc.record({ type: fc.constant('ed25519' as const), secret: fc.uint8Array({ minLength: 32, maxLength: 32 }) }),
      fc
        .tuple(
          rsaPublic,
          fc.record({
            privateExponent: part,
            prime1: part,
            prime2: part,
            exponent1: part,
            exponent2: part,
            coefficient: part,
          }),
        )
        .map(([a, b]) => ({ ...a, ...b })),
    );
    fc.assert(
      fc.property(keys, (key) => {
        const der = encodePkcs8(key);
        expect(decodePkcs8(der)).toEqual(key);
        expect(encodePkcs8(decodePkcs8(der))).toEqual(der);
      }),
      { seed: 14, numRuns: 200 },
    );
  });

  it('throw DecodeError and nothing else for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodeSpki, decodePkcs8]) {
          try {
            decode(bytes);
          } catch (error) {
            expect(error).toEqual(expect.objectContaining({ name: 'DecodeError' }));
          }
        }
      }),
      { seed: 12, numRuns: 1000 },
    );
  });
});
