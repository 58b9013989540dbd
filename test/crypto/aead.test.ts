import { describe, expect, it } from 'vitest';
import { type AeadName, bytesToHex, CryptoError, hexToBytes, UsageError } from '../../src/core/index.ts';
import { chooseOwnCipher, nobleCrypto, ownCipher, withRecordCipher } from '../../src/crypto/index.ts';
import { SeededRandom } from '../sim/index.ts';
import boringssl from '../vectors/boringssl/chacha20-poly1305.json' with { type: 'json' };
import ccm from '../vectors/nist/aes-ccm.json' with { type: 'json' };
import gcm from '../vectors/nist/aes-gcm.json' with { type: 'json' };
import chacha from '../vectors/rfc8439/chacha20-poly1305.json' with { type: 'json' };
import { AEADS, BACKENDS } from './backends.ts';

interface AeadVector {
  readonly name: string;
  readonly aead: string;
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly plaintext: string;
  readonly ciphertext: string;
  readonly tag: string;
}

const VECTORS: readonly AeadVector[] = [...gcm.cases, ...ccm.cases, ...chacha.cases, ...boringssl.cases];

function aeadNamed(name: string): AeadName {
  const found = AEADS.find(({ aead }) => aead === name);
  if (found === undefined) throw new Error(`no such AEAD: ${name}`);
  return found.aead;
}

/** The record cipher is a third implementation, in two forms, held to everything that the two backends are held to. */
const IMPLEMENTATIONS = [
  ...BACKENDS,
  ...[ownCipher(), chooseOwnCipher(undefined)].map((own) => ({
    name: `record cipher in ${own.implementation} on noble`,
    backend: withRecordCipher(nobleCrypto, Number.POSITIVE_INFINITY, own),
  })),
];

describe.each(IMPLEMENTATIONS)('AEAD of the $name backend', ({ backend }) => {
  it.each(VECTORS)('$aead, $name: seals to the published bytes and opens them', (v) => {
    const aead = backend.createAead(aeadNamed(v.aead), hexToBytes(v.key));
    const nonce = hexToBytes(v.nonce);
    const aad = hexToBytes(v.aad);
    const plaintext = hexToBytes(v.plaintext);
    const sealed = v.ciphertext + v.tag;
    const buffer = new Uint8Array(plaintext.length + aead.tagLength);
    buffer.set(plaintext);
    aead.seal(nonce, aad, buffer, 0, plaintext.length);
    expect(bytesToHex(buffer)).toBe(sealed);
    expect(aead.open(nonce, aad, buffer, 0, buffer.length)).toBe(plaintext.length);
    expect(buffer.subarray(0, plaintext.length)).toEqual(plaintext);
  });

  describe.each(AEADS)('$aead', ({ aead: name, keyBytes, tagBytes }) => {
    const random = new SeededRandom(1);
    const aead = backend.createAead(name, random.bytes(keyBytes));
    const nonce = random.bytes(12);
    const aad = random.bytes(13);

    it.each([0, 1, 3, 13, 16, 31])('works in place at offset %i and touches nothing else', (offset) => {
      for (const length of [0, 1, 15, 16, 17, 63, 64, 65, 1200]) {
        const plaintext = random.bytes(length);
        const buffer = new Uint8Array(offset + length + tagBytes + 7).fill(0xa5);
        buffer.set(plaintext, offset);
        aead.seal(nonce, aad, buffer, offset, length);
        const outside = () => [...buffer.subarray(0, offset), ...buffer.subarray(offset + length + tagBytes)];
        expect(outside().every((byte) => byte === 0xa5)).toBe(true);
        expect(aead.open(nonce, aad, buffer, offset, length + tagBytes)).toBe(length);
        expect(buffer.subarray(offset, offset + length)).toEqual(plaintext);
        expect(outside().every((byte) => byte === 0xa5)).toBe(true);
      }
    });

    it('takes a view into a larger buffer', () => {
      const whole = new Uint8Array(300).fill(0xa5);
      const view = whole.subarray(101, 201);
      const plaintext = view.slice(5, 55);
      aead.seal(nonce, aad, view, 5, 50);
      expect(whole.subarray(0, 106).every((byte) => byte === 0xa5)).toBe(true);
      expect(aead.open(nonce, aad, view, 5, 50 + tagBytes)).toBe(50);
      expect(view.subarray(5, 55)).toEqual(plaintext);
    });

    it('answers -1 for one flipped bit anywhere in ciphertext, tag, associated data or nonce', () => {
      const sealed = new Uint8Array(40 + tagBytes);
      aead.seal(nonce, aad, sealed, 0, 40);
      for (let bit = 0; bit < 8 * sealed.length; bit += 3) {
        const bad = sealed.slice();
        bad[bit >> 3]! ^= 1 << (bit & 7);
        expect(aead.open(nonce, aad, bad, 0, bad.length), `bit ${bit}`).toBe(-1);
      }
      for (let at = 0; at < aad.length; at++) {
        const bad = aad.slice();
        bad[at]! ^= 0x10;
        expect(aead.open(nonce, bad, sealed.slice(), 0, sealed.length), `aad ${at}`).toBe(-1);
      }
      for (let at = 0; at < nonce.length; at++) {
        const bad = nonce.slice();
        bad[at]! ^= 0x80;
        expect(aead.open(bad, aad, sealed.slice(), 0, sealed.length), `nonce ${at}`).toBe(-1);
      }
      expect(aead.open(nonce, aad, sealed, 0, sealed.length)).toBe(40);
    });

    it('answers -1 for what is truncated, extended or shorter than a tag', () => {
      const sealed = new Uint8Array(20 + tagBytes + 1);
      aead.seal(nonce, aad, sealed, 0, 20);
      for (let length = 0; length <= sealed.length; length++) {
        const expected = length === 20 + tagBytes ? 20 : -1;
        expect(aead.open(nonce, aad, sealed.slice(), 0, length), `length ${length}`).toBe(expected);
      }
    });

    it('goes on working after a failure', () => {
      const buffer = new Uint8Array(10 + tagBytes);
      expect(aead.open(nonce, aad, buffer, 0, buffer.length)).toBe(-1);
      aead.seal(nonce, aad, buffer, 0, 10);
      expect(aead.open(nonce, aad, buffer, 0, buffer.length)).toBe(10);
    });

    it('keeps the key it was made with when the caller wipes his copy', () => {
      const key = random.bytes(keyBytes);
      const kept = backend.createAead(name, key);
      const buffer = new Uint8Array(10 + tagBytes);
      kept.seal(nonce, aad, buffer, 0, 10);
      key.fill(0);
      expect(kept.open(nonce, aad, buffer, 0, buffer.length)).toBe(10);
    });

    it.each([0, 1, 12, 15, 17, 24, 31, 33, 64])('refuses a key of %i bytes', (length) => {
      expect(() => backend.createAead(name, new Uint8Array(length))).toThrow(
        expect.objectContaining({ name: 'CryptoError', code: 'invalid-key' }),
      );
      expect(() => backend.createAead(name, new Uint8Array(length))).toThrow(CryptoError);
    });

    it('throws UsageError for a wrong nonce length or a range outside the buffer', () => {
      const buffer = new Uint8Array(100);
      for (const length of [0, 8, 11, 13, 16]) {
        expect(() => aead.seal(new Uint8Array(length), aad, buffer, 0, 10)).toThrow(UsageError);
        expect(() => aead.open(new Uint8Array(length), aad, buffer, 0, 50)).toThrow(UsageError);
      }
      expect(() => aead.seal(nonce, aad, buffer, 0, 101 - tagBytes)).toThrow(UsageError);
      expect(() => aead.seal(nonce, aad, buffer, -1, 10)).toThrow(UsageError);
      expect(() => aead.seal(nonce, aad, buffer, 0, -1)).toThrow(UsageError);
      expect(() => aead.open(nonce, aad, buffer, 60, 41)).toThrow(UsageError);
    });
  });
});
