import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AeadContext, type AeadName, bytesToHex, type CryptoBackend, hexToBytes } from '../../src/core/index.ts';
import { chooseOwnCipher, nobleCrypto, ownCipher, withRecordCipher } from '../../src/crypto/index.ts';
import { Poly1305 } from '../../src/crypto/poly1305.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import rfc8439 from '../vectors/rfc8439/chacha20-poly1305.json' with { type: 'json' };
import { plainPoly1305 } from './plain-poly1305.ts';

const NAME = 'chacha20-poly1305';

function sealed(backend: CryptoBackend, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array) {
  const buffer = new Uint8Array(text.length + 16);
  buffer.set(text);
  backend.createAead(NAME, key).seal(nonce, aad, buffer, 0, text.length);
  return buffer;
}

/** Hexadecimal compares thousands of bytes at once, where the matcher walks them one by one. */
const hex = bytesToHex;

/** Keys, nonces and texts in which carries run far: all zeros, all ones, and single bits. */
function extreme(random: SeededRandom, length: number): Uint8Array {
  const bytes = random.bytes(length);
  const kind = random.below(4);
  if (kind === 0) bytes.fill(0);
  if (kind === 1) bytes.fill(0xff);
  if (kind === 2) bytes.fill(0).fill(1 << random.below(8), length >> 1, (length >> 1) + 1);
  return bytes;
}

/** `node:crypto` as it is in Bun. */
const poorCrypto: CryptoBackend = {
  ...nodeCrypto,
  supportsAead: (name) => name.endsWith('gcm'),
  createAead: (name, key) => {
    if (!name.endsWith('gcm')) throw new Error(`asked for ${name}`);
    return nodeCrypto.createAead(name, key);
  },
};

describe('a backend without all AEADs', () => {
  const filled = withRecordCipher(poorCrypto, 64);

  it.each<[AeadName, number]>([
    [NAME, 32],
    ['aes-128-gcm', 16],
    ['aes-256-gcm', 32],
    ['aes-128-ccm', 16],
    ['aes-128-ccm-8', 16],
  ])('has %s all the same, for short records and long ones', (name, keyBytes) => {
    expect(filled.supportsAead?.(name)).toBe(true);
    const key = new Uint8Array(keyBytes).fill(7);
    for (const length of [1, 64, 65, 5000]) {
      const [ours, theirs] = [filled, nobleCrypto].map((backend) => {
        const context = backend.createAead(name, key);
        const buffer = new Uint8Array(length + context.tagLength).fill(3);
        context.seal(new Uint8Array(12), key, buffer, 0, length);
        return buffer;
      });
      expect(hex(ours!)).toBe(hex(theirs!));
      expect(filled.createAead(name, key).open(new Uint8Array(12), key, ours!, 0, ours!.length)).toBe(length);
    }
  });
});

describe.each([ownCipher(), chooseOwnCipher(undefined)])('the record cipher in $implementation', (cipher) => {
  const own = withRecordCipher(nobleCrypto, Number.POSITIVE_INFINITY, cipher);
  const mixed = withRecordCipher(nodeCrypto, 64, cipher);

  it.each(rfc8439.cases)('RFC 8439 $name', (v) => {
    const [key, nonce] = [hexToBytes(v.key), hexToBytes(v.nonce)];
    const [aad, text] = [hexToBytes(v.aad), hexToBytes(v.plaintext)];
    const record = sealed(own, key, nonce, aad, text);
    expect(hex(record)).toBe(v.ciphertext + v.tag);
    expect(own.createAead(NAME, key).open(nonce, aad, record, 0, record.length)).toBe(text.length);
    expect(hex(record.subarray(0, text.length))).toBe(v.plaintext);
  });

  it.each(seeds(10))('seed %i: agrees with noble and node:crypto on 100 records, and opens theirs', (seed) => {
    const random = new SeededRandom(seed);
    for (let i = 0; i < 100; i++) {
      const key = extreme(random, 32);
      const nonce = extreme(random, 12);
      const aad = extreme(random, random.below(50));
      const text = extreme(random, random.below(i % 10 === 0 ? 5000 : 200));
      const expected = sealed(nobleCrypto, key, nonce, aad, text);
      expect(hex(sealed(nodeCrypto, key, nonce, aad, text))).toBe(hex(expected));
      expect(hex(sealed(own, key, nonce, aad, text))).toBe(hex(expected));
      expect(hex(sealed(mixed, key, nonce, aad, text))).toBe(hex(expected));
      expect(own.createAead(NAME, key).open(nonce, aad, expected, 0, expected.length)).toBe(text.length);
      expect(hex(expected.subarray(0, text.length))).toBe(hex(text));
    }
  });

  it('one flipped bit anywhere, in text, tag, nonce or AAD, does not open', () => {
    const random = new SeededRandom(9);
    const key = random.bytes(32);
    const nonce = random.bytes(12);
    const aad = random.bytes(13);
    const aead = own.createAead(NAME, key);
    const good = sealed(own, key, nonce, aad, random.bytes(40));
    for (const [name, part] of Object.entries({ good, nonce, aad })) {
      for (let bit = 0; bit < part.length * 8; bit++) {
        const bad = { good: good.slice(), nonce: nonce.slice(), aad: aad.slice(), [name]: part.slice() };
        const target = bad[name as 'good' | 'nonce' | 'aad'];
        target[bit >> 3]! ^= 1 << (bit & 7);
        expect(aead.open(bad.nonce, bad.aad, bad.good, 0, bad.good.length)).toBe(-1);
      }
    }
  });

  it('one context serves records of any length in any order: nothing of one is left in the next', () => {
    const key = new SeededRandom(4).bytes(32);
    const context: AeadContext = own.createAead(NAME, key);
    const record = fc.record({
      text: fc.uint8Array({ maxLength: 3000 }),
      aad: fc.uint8Array({ maxLength: 40 }),
      nonce: fc.uint8Array({ minLength: 12, maxLength: 12 }),
    });
    fc.assert(
      fc.property(fc.array(record, { minLength: 2, maxLength: 4 }), (records) => {
        for (const { text, aad, nonce } of records) {
          const buffer = new Uint8Array(text.length + 16);
          buffer.set(text);
          context.seal(nonce, aad, buffer, 0, text.length);
          expect(hex(buffer)).toBe(hex(sealed(nodeCrypto, key, nonce, aad, text)));
        }
      }),
    );
  });
});

describe('Poly1305 of the record cipher in JavaScript', () => {
  it.each(seeds(8))(
    'seed %i: Poly1305 is RFC 8439 §2.5.1 in whole numbers, where limbs are largest and carries run far',
    (seed) => {
      const random = new SeededRandom(seed);
      const poly = new Poly1305();
      /** Limbs of 22 bits that are all ones, all zeros, or nearly. */
      const limbs = (bytes: Uint8Array): void => {
        const mask = random.below(64);
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          const one = (mask >> (Math.floor((bit % 128) / 22) % 6)) & 1;
          if (random.chance(0.98)) bytes[bit >> 3]! = (bytes[bit >> 3]! & ~(1 << (bit & 7))) | (one << (bit & 7));
        }
      };
      for (let i = 0; i < 250; i++) {
        const key = extreme(random, 32);
        if (random.chance(0.7)) limbs(key.subarray(0, 16));
        const message = extreme(random, 16 * (1 + random.below(i % 25 === 0 ? 600 : 12)));
        if (random.chance(0.7)) limbs(message);
        poly.init(new Int32Array(key.slice().buffer));
        poly.updateWords(new Int32Array(message.slice().buffer), message.length / 16);
        const tag = new Uint8Array(16);
        poly.finish(tag);
        expect(hex(tag)).toBe(hex(plainPoly1305(key, message)));
      }
    },
  );

  // RFC 8439 appendix A.3: the Poly1305 cases made to catch wrong carries and reductions, as (key, message, tag).
  it.each([
    [
      '#7: the sum wraps modulo 2^130 - 5',
      '0200000000000000000000000000000000000000000000000000000000000000',
      'ffffffffffffffffffffffffffffffff',
      '03000000000000000000000000000000',
    ],
    [
      '#8: adding s wraps modulo 2^128',
      '02000000000000000000000000000000ffffffffffffffffffffffffffffffff',
      '02000000000000000000000000000000',
      '03000000000000000000000000000000',
    ],
    [
      '#9: limbs carry',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff11000000000000000000000000000000',
      '05000000000000000000000000000000',
    ],
    [
      '#10: the result is zero modulo p',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe01010101010101010101010101010101',
      '00000000000000000000000000000000',
    ],
    [
      '#11: the largest reduced value',
      '0200000000000000000000000000000000000000000000000000000000000000',
      'fdffffffffffffffffffffffffffffff',
      'faffffffffffffffffffffffffffffff',
    ],
  ])('Poly1305 of RFC 8439 A.3 %s', (_name, key, message, tag) => {
    const poly = new Poly1305();
    poly.init(new Int32Array(hexToBytes(key).buffer));
    poly.updateBytes(hexToBytes(message));
    const out = new Uint8Array(16);
    poly.finish(out);
    expect(out).toEqual(hexToBytes(tag));
    expect(plainPoly1305(hexToBytes(key), hexToBytes(message))).toEqual(hexToBytes(tag));
  });
});
