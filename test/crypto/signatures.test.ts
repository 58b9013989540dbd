import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, hexToBytes, type KeyType, type SignatureScheme } from '../../src/core/index.ts';
import { encodeDer, sequence, unsigned } from '../../src/crypto/der.ts';
import { encodePkcs8, encodeSpki } from '../../src/crypto/keys.ts';
import nist from '../vectors/nist/ecdsa.json' with { type: 'json' };
import rsaVectors from '../vectors/openssl/rsa-signatures.json' with { type: 'json' };
import rfc6979 from '../vectors/rfc6979/ecdsa.json' with { type: 'json' };
import rfc8032 from '../vectors/rfc8032/ed25519.json' with { type: 'json' };
import { BACKENDS, GENERATED_KEYS } from './backends.ts';

const SCHEMES: Readonly<Record<KeyType, readonly SignatureScheme[]>> = {
  'ecdsa-p256': ['ecdsa_secp256r1_sha256', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'],
  'ecdsa-p384': ['ecdsa_secp384r1_sha384', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'],
  ed25519: ['ed25519'],
  rsa: [
    'rsa_pkcs1_sha256',
    'rsa_pkcs1_sha384',
    'rsa_pkcs1_sha512',
    'rsa_pss_rsae_sha256',
    'rsa_pss_rsae_sha384',
    'rsa_pss_rsae_sha512',
  ],
};
const ALL_SCHEMES = [...new Set(Object.values(SCHEMES).flat())];

function schemeNamed(name: string): SignatureScheme {
  const found = ALL_SCHEMES.find((scheme) => scheme === name);
  if (found === undefined) throw new Error(`no such scheme: ${name}`);
  return found;
}

const ecType = (name: string): 'ecdsa-p256' | 'ecdsa-p384' => (name === 'ecdsa-p384' ? name : 'ecdsa-p256');
const ecScheme = (hash: string): SignatureScheme => schemeNamed(`ecdsa_${hash.replace('-', '')}`);
const derSignature = (r: Uint8Array, s: Uint8Array): Uint8Array => encodeDer(sequence(unsigned(r), unsigned(s)));
/** Scheme and key of the RSA key used where any will do. */
const RSA = rsaVectors.cases[0]!;

describe.each(BACKENDS)('ECDSA of the $name backend', ({ name: backendName, backend }) => {
  it.each([...rfc6979.cases, ...nist.cases])('verifies $name', (v) => {
    const spki = encodeSpki({ type: ecType(v.keyType), point: hexToBytes(v.publicKey) });
    const key = backend.importSpki(spki);
    const signature = derSignature(hexToBytes(v.r), hexToBytes(v.s));
    const message = hexToBytes(v.message);
    expect(key.type).toBe(v.keyType);
    expect(key.verify(ecScheme(v.hash), signature, message)).toBe(true);
    expect(key.verify(ecScheme(v.hash), signature, concatBytes(message, Uint8Array.of(0)))).toBe(false);
    const otherHash = v.hash === 'sha-256' ? 'sha-384' : 'sha-256';
    expect(key.verify(ecScheme(otherHash), signature, message)).toBe(false);
  });

  it.each(rfc6979.cases)('signs $name as the key says', (v) => {
    const type = ecType(v.keyType);
    const key = backend.importPkcs8(encodePkcs8({ type, secret: hexToBytes(v.privateKey) }));
    expect(bytesToHex(key.publicKeySpki)).toContain(v.publicKey);
    const signature = key.sign(ecScheme(v.hash), hexToBytes(v.message));
    expect(backend.importSpki(key.publicKeySpki).verify(ecScheme(v.hash), signature, hexToBytes(v.message))).toBe(true);
    // RFC 6979 §3.2 fixes the nonce; OpenSSL draws it.
    if (backendName === 'noble') {
      expect(bytesToHex(signature)).toBe(bytesToHex(derSignature(hexToBytes(v.r), hexToBytes(v.s))));
    }
  });

  it.each(['ecdsa-p256', 'ecdsa-p384'] as const)('%s: refuses malformed and out-of-range signatures', (type) => {
    const key = backend.generateSigningKey(type);
    const scheme: SignatureScheme = type === 'ecdsa-p256' ? 'ecdsa_secp256r1_sha256' : 'ecdsa_secp384r1_sha384';
    const order =
      type === 'ecdsa-p256'
        ? 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
        : 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973';
    const n = hexToBytes(order);
    const data = hexToBytes('0102');
    const good = key.sign(scheme, data);
    const zero = Uint8Array.of(0);
    const one = Uint8Array.of(1);
    const verifier = backend.importSpki(key.publicKeySpki);
    const bad: Record<string, Uint8Array> = {
      empty: new Uint8Array(),
      'only a tag': Uint8Array.of(0x30),
      'empty sequence': Uint8Array.of(0x30, 0),
      'r and s zero': derSignature(zero, zero),
      'r zero': derSignature(zero, one),
      's zero': derSignature(one, zero),
      'r and s one': derSignature(one, one),
      'r the order': derSignature(n, one),
      's the order': derSignature(one, n),
      'trailing byte': concatBytes(good, zero),
      'last byte missing': good.subarray(0, good.length - 1),
      'trailing element': concatBytes(Uint8Array.of(0x30, good[1]! + 3), good.subarray(2), Uint8Array.of(2, 1, 0)),
      'indefinite length': concatBytes(Uint8Array.of(0x30, 0x80), good.subarray(2), Uint8Array.of(0, 0)),
      'long form of a short length': concatBytes(Uint8Array.of(0x30, 0x81), good.subarray(1)),
      'raw r and s': new Uint8Array(2 * n.length).fill(1),
      'wrong tag': concatBytes(Uint8Array.of(0x31), good.subarray(1)),
      'very long': concatBytes(good, new Uint8Array(10_000)),
    };
    expect(verifier.verify(scheme, good, data)).toBe(true);
    for (const [label, signature] of Object.entries(bad)) {
      expect(verifier.verify(scheme, signature, data), label).toBe(false);
    }
  });
});

describe.each(BACKENDS)('Ed25519 of the $name backend', ({ backend }) => {
  it.each(rfc8032.cases)('RFC 8032 §7.1 $name', (v) => {
    const key = backend.importPkcs8(encodePkcs8({ type: 'ed25519', secret: hexToBytes(v.secretKey) }));
    expect(key.publicKeySpki).toEqual(encodeSpki({ type: 'ed25519', key: hexToBytes(v.publicKey) }));
    const message = hexToBytes(v.message);
    expect(bytesToHex(key.sign('ed25519', message))).toBe(v.signature);
    const verifier = backend.importSpki(key.publicKeySpki);
    const signature = hexToBytes(v.signature);
    expect(verifier.verify('ed25519', signature, message)).toBe(true);
    expect(verifier.verify('ed25519', signature, concatBytes(message, Uint8Array.of(1)))).toBe(false);
    expect(verifier.verify('ed25519', signature.subarray(0, 63), message)).toBe(false);
    expect(verifier.verify('ed25519', concatBytes(signature, Uint8Array.of(0)), message)).toBe(false);
  });

  it('refuses S that is not below the order (RFC 8032 §5.1.7)', () => {
    const v = rfc8032.cases[0]!;
    const signature = hexToBytes(v.signature);
    // S + L verifies by the equation alone, and must not.
    const order = hexToBytes('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010');
    for (let i = 0, carry = 0; i < 32; i++) {
      const sum = signature[32 + i]! + order[i]! + carry;
      signature[32 + i] = sum;
      carry = sum >> 8;
    }
    const verifier = backend.importSpki(encodeSpki({ type: 'ed25519', key: hexToBytes(v.publicKey) }));
    expect(verifier.verify('ed25519', signature, new Uint8Array())).toBe(false);
  });
});

describe.each(BACKENDS)('RSA of the $name backend', ({ backend }) => {
  it.each(rsaVectors.cases)('verifies what OpenSSL signed: $name', (v) => {
    const key = backend.importSpki(hexToBytes(v.spki));
    const scheme = schemeNamed(v.scheme);
    const signature = hexToBytes(v.signature);
    const message = hexToBytes(v.message);
    expect(key.type).toBe('rsa');
    expect(key.verify(scheme, signature, message)).toBe(true);
    for (const other of SCHEMES.rsa)
      if (other !== scheme) expect(key.verify(other, signature, message), other).toBe(false);
    for (let at = 0; at < signature.length; at += 17) {
      const bad = signature.slice();
      bad[at]! ^= 1;
      expect(key.verify(scheme, bad, message), `byte ${at}`).toBe(false);
    }
    expect(key.verify(scheme, signature, message.subarray(1))).toBe(false);
    expect(key.verify(scheme, signature.subarray(1), message)).toBe(false);
    expect(key.verify(scheme, concatBytes(Uint8Array.of(0), signature), message)).toBe(false);
    expect(key.verify(scheme, new Uint8Array(signature.length).fill(0xff), message)).toBe(false);
    expect(key.verify(scheme, new Uint8Array(), message)).toBe(false);
  });

  it.each(rsaVectors.cases)('signs with a given key: $name', (v) => {
    const key = backend.importPkcs8(hexToBytes(v.pkcs8));
    expect(bytesToHex(key.publicKeySpki)).toBe(v.spki);
    expect(bytesToHex(key.exportPkcs8())).toBe(v.pkcs8);
    const scheme = schemeNamed(v.scheme);
    const signature = key.sign(scheme, hexToBytes(v.message));
    if (v.scheme.startsWith('rsa_pkcs1'))
      expect(bytesToHex(signature)).toBe(v.signature); // RFC 8017 §8.2: deterministic
    else expect(bytesToHex(signature)).not.toBe(v.signature); // §8.1: salted
    for (const { backend: verifier } of BACKENDS) {
      expect(verifier.importSpki(key.publicKeySpki).verify(scheme, signature, hexToBytes(v.message))).toBe(true);
    }
  });
});

it('the portable backend does not make RSA keys, and says so', () => {
  expect(() => BACKENDS[0]!.backend.generateSigningKey('rsa')).toThrow(
    expect.objectContaining({ name: 'CryptoError', code: 'unsupported' }),
  );
});

describe.each(BACKENDS)('keys of the $name backend', ({ backend }) => {
  const keys = [
    ...GENERATED_KEYS.map((type) => ({ type, key: backend.generateSigningKey(type) })),
    { type: 'rsa' as const, key: backend.importPkcs8(hexToBytes(RSA.pkcs8)) },
  ];

  it.each(keys)('$type signs with its schemes, and every backend agrees', ({ type, key }) => {
    const data = Uint8Array.from({ length: 333 }, (_, i) => i);
    expect(key.type).toBe(type);
    for (const scheme of ALL_SCHEMES) {
      if (!SCHEMES[type].includes(scheme)) {
        expect(() => key.sign(scheme, data), scheme).toThrow(expect.objectContaining({ code: 'unsupported' }));
        continue;
      }
      const signature = key.sign(scheme, data);
      for (const { backend: other } of BACKENDS) {
        const verifier = other.importSpki(key.publicKeySpki);
        expect(verifier.verify(scheme, signature, data), scheme).toBe(true);
        for (const wrong of ALL_SCHEMES) {
          if (SCHEMES[type].includes(wrong)) continue;
          expect(verifier.verify(wrong, signature, data), wrong).toBe(false);
        }
      }
    }
  });

  it.each(keys)('$type is exported and imported by both backends', ({ type, key }) => {
    const pkcs8 = key.exportPkcs8();
    for (const { backend: other } of BACKENDS) {
      const copy = other.importPkcs8(pkcs8);
      expect(copy.type).toBe(type);
      expect(copy.publicKeySpki).toEqual(key.publicKeySpki);
      expect(other.importPkcs8(copy.exportPkcs8()).publicKeySpki).toEqual(key.publicKeySpki);
      const scheme = SCHEMES[type][0]!;
      const signature = copy.sign(scheme, pkcs8);
      expect(backend.importSpki(key.publicKeySpki).verify(scheme, signature, pkcs8)).toBe(true);
    }
  });
});
