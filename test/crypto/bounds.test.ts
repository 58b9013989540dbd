import { describe, expect, it } from 'vitest';
import { hexToBytes, UsageError } from '../../src/core/index.ts';
import {
  DER_MAX_BYTES,
  DER_MAX_DEPTH,
  DER_MAX_NODES,
  type DerElement,
  decodeDer,
  encodeDer,
  explicit,
  nil,
  octetString,
  oid,
  readSequence,
  sequence,
} from '../../src/crypto/der.ts';
import { generateCertificate, parseCertificate } from '../../src/crypto/index.ts';
import { decodeSpki, encodeSpki, RSA_MAX_BITS, RSA_MIN_BITS } from '../../src/crypto/keys.ts';
import { MAX_EXTENSIONS } from '../../src/crypto/x509-extensions.ts';
import { BACKENDS, testEnv } from './backends.ts';

/** Every bound of the room, reached from both sides. */

const { backend } = BACKENDS[1]!;

describe('DER', () => {
  it(`has at most ${DER_MAX_BYTES} bytes`, () => {
    const ofLength = (length: number) => encodeDer(octetString(new Uint8Array(length - 4)));
    expect(ofLength(DER_MAX_BYTES - 1)).toHaveLength(DER_MAX_BYTES - 1);
    expect(() => decodeDer(ofLength(DER_MAX_BYTES - 1), 'x')).not.toThrow();
    expect(() => decodeDer(new Uint8Array(DER_MAX_BYTES + 1), 'x')).toThrow(
      expect.objectContaining({ reason: 'limit' }),
    );
  });

  it(`has at most ${DER_MAX_DEPTH} levels`, () => {
    const ofDepth = (depth: number): Uint8Array => {
      let element: DerElement = nil();
      for (let i = 0; i < depth; i++) element = sequence(element);
      return encodeDer(element);
    };
    expect(() => decodeDer(ofDepth(DER_MAX_DEPTH - 1), 'x')).not.toThrow();
    expect(() => decodeDer(ofDepth(DER_MAX_DEPTH + 1), 'x')).toThrow(expect.objectContaining({ name: 'DecodeError' }));
  });

  it(`has at most ${DER_MAX_NODES} elements`, () => {
    const ofCount = (count: number) => encodeDer(sequence(...Array.from({ length: count - 1 }, nil)));
    expect(() => decodeDer(ofCount(DER_MAX_NODES), 'x')).not.toThrow();
    expect(() => decodeDer(ofCount(DER_MAX_NODES + 1), 'x')).toThrow(expect.objectContaining({ name: 'DecodeError' }));
  });
});

function children(element: DerElement): DerElement[] {
  const cursor = readSequence(element, 'x');
  const all: DerElement[] = [];
  while (!cursor.done) all.push(cursor.next('x'));
  return all;
}

/** A certificate with `count` extensions of private kinds; its signature is not valid. */
function withExtensions(count: number): Uint8Array {
  const { der } = generateCertificate(testEnv(backend));
  const outer = decodeDer(der, 'certificate');
  const extensions = Array.from({ length: count }, (_, i) =>
    sequence(oid(`1.2.3.${i}`), octetString(encodeDer(nil()))),
  );
  const [tbs, ...rest] = children(outer);
  return encodeDer(sequence(sequence(...children(tbs!), explicit(3, sequence(...extensions))), ...rest));
}

describe('a certificate', () => {
  it(`has at most ${MAX_EXTENSIONS} extensions`, () => {
    expect(() => parseCertificate(withExtensions(MAX_EXTENSIONS))).not.toThrow();
    expect(() => parseCertificate(withExtensions(MAX_EXTENSIONS + 1))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: 'too-many' }),
    );
  });
});

describe.each(BACKENDS)('RSA keys of the $name backend', ({ backend: imports }) => {
  const spki = (bits: number, exponent: string) => {
    const modulus = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
    modulus[0] = 0xff >>> (8 * modulus.length - bits);
    return encodeSpki({ type: 'rsa', modulus, exponent: hexToBytes(exponent) });
  };

  it.each([
    [RSA_MIN_BITS, '010001'],
    [RSA_MIN_BITS + 1, '03'],
    [RSA_MAX_BITS, 'ffffffff'],
  ])('of %i bits with the exponent %s are taken', (bits, exponent) => {
    expect(imports.importSpki(spki(bits, exponent)).type).toBe('rsa');
  });

  it.each([
    [RSA_MIN_BITS - 1, '010001'],
    [RSA_MAX_BITS + 1, '010001'],
    [2048, '01'],
    [2048, '04'],
    [2048, '0100000001'],
  ])('of %i bits with the exponent %s are unsupported', (bits, exponent) => {
    expect(() => imports.importSpki(spki(bits, exponent))).toThrow(expect.objectContaining({ code: 'unsupported' }));
    expect(() => decodeSpki(spki(bits, exponent))).toThrow(expect.objectContaining({ reason: 'unsupported' }));
  });
});

describe.each(BACKENDS)('AES-CCM of the $name backend', ({ backend: ciphers }) => {
  const aead = ciphers.createAead('aes-128-ccm', new Uint8Array(16));
  const nonce = new Uint8Array(12);

  it('takes associated data of up to 65,279 bytes (RFC 3610 §2.2)', () => {
    const buffer = new Uint8Array(32);
    aead.seal(nonce, new Uint8Array(0xfeff), buffer, 0, 16);
    expect(aead.open(nonce, new Uint8Array(0xfeff), buffer, 0, 32)).toBe(16);
    expect(() => aead.seal(nonce, new Uint8Array(0xff00), buffer, 0, 16)).toThrow(UsageError);
    expect(() => aead.open(nonce, new Uint8Array(0xff00), buffer, 0, 32)).toThrow(UsageError);
  });

  it('refuses messages of 2^24 bytes', () => {
    const buffer = new Uint8Array(2 ** 24 + 16);
    expect(() => aead.seal(nonce, new Uint8Array(), buffer, 0, 2 ** 24)).toThrow(UsageError);
  });
});
