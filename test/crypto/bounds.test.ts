import { describe, expect, it } from 'vitest';
import { hexToBytes, UsageError } from '../../src/core/index.ts';
import {
  type DerElement,
  decodeDer,
  encodeDer,
  explicit,
  nil,
  octetString,
  oid,
  readOid,
  readSequence,
  sequence,
} from '../../src/crypto/der.ts';
import { DER_MAX_BYTES, DER_MAX_DEPTH, DER_MAX_ELEMENTS, DER_MAX_OID_BYTES } from '../../src/crypto/der-framing.ts';
import { generateCertificate, parseCertificate } from '../../src/crypto/index.ts';
import { decodeSpki, encodeSpki, RSA_MAX_BITS, RSA_MIN_BITS } from '../../src/crypto/keys.ts';
import { MAX_EXTENSIONS } from '../../src/crypto/x509-extensions.ts';
import { MAX_NAME_TEXT } from '../../src/crypto/x509-names.ts';
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
    expect(() => decodeDer(ofDepth(DER_MAX_DEPTH), 'x')).toThrow(expect.objectContaining({ reason: 'limit' }));
  });

  it(`has at most ${DER_MAX_ELEMENTS} elements`, () => {
    const ofCount = (count: number) => encodeDer(sequence(...Array.from({ length: count - 1 }, nil)));
    expect(() => decodeDer(ofCount(DER_MAX_ELEMENTS), 'x')).not.toThrow();
    expect(() => decodeDer(ofCount(DER_MAX_ELEMENTS + 1), 'x')).toThrow(
      expect.objectContaining({ reason: 'too-many' }),
    );
  });

  it(`has object identifiers of at most ${DER_MAX_OID_BYTES} bytes`, () => {
    const ofLength = (length: number) => Uint8Array.of(6, length, ...new Uint8Array(length).fill(1));
    expect(readOid(decodeDer(ofLength(DER_MAX_OID_BYTES), 'x'), 'x')).toMatch(/^0\.1(\.1)+$/);
    expect(() => decodeDer(ofLength(DER_MAX_OID_BYTES + 1), 'x')).toThrow(expect.objectContaining({ reason: 'limit' }));
  });

  it.each([
    ['nothing', '', 'too-short'],
    ['a tag alone', '30', 'too-short'],
    ['a tag above 30', '1f2000', 'unsupported'],
    ['an indefinite length', '30800000', 'bad-length'],
    ['a length of four octets', '308400000000', 'bad-length'],
    ['a length cut short', '3082 01', 'too-short'],
    ['the length 127 in two octets', `30817f${'0500'.repeat(63)}00`, 'bad-length'],
    ['a length with a leading zero', `308200 82${'0500'.repeat(65)}`, 'bad-length'],
    ['a child longer than its parent', '3003 0402 00', 'too-short'],
    ['half a child', '3001 05', 'too-short'],
    ['a byte behind', '0500 00', 'trailing-bytes'],
    ['a constructed octet string', '2403 0401 00', 'bad-type'],
    ['a primitive sequence', '1000', 'bad-type'],
    ['TRUE that is not 0xff', '0101 01', 'bad-value'],
    ['a boolean of two bytes', '0102 ffff', 'bad-value'],
    ['an empty object identifier', '0600', 'bad-value'],
    ['an object identifier that ends within an arc', '0602 2a86', 'bad-value'],
    ['an arc with a leading zero group', '0603 2a8001', 'bad-value'],
  ])('%s is refused', (_name, hex, reason) => {
    expect(() => decodeDer(hexToBytes(hex), 'x')).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
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
  it(`shows at most ${MAX_NAME_TEXT} characters of a name, and no control characters`, () => {
    const named = (commonName: string) =>
      parseCertificate(generateCertificate(testEnv(backend), { commonName }).der).subject;
    expect(named('x'.repeat(5000)).text).toBe(`CN=${'x'.repeat(MAX_NAME_TEXT - 3)}`);
    expect(named('a\r\nb\u001b[31m').text).toBe('CN=a??b?[31m');
  });

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
