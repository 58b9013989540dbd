import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HashName, KeyType, SignatureScheme } from '../../src/core/index.ts';
import { importNobleKeyShare, nobleCrypto, prf } from '../../src/crypto/index.ts';
import { importNodeKeyShare, nodeCrypto } from '../../src/io/node-crypto.ts';
import { AEADS, GROUPS } from './backends.ts';

/** The two backends against each other on random inputs: they share no code, so what both say is what the RFCs say. */

const bytes = (minLength: number, maxLength: number = minLength) => fc.uint8Array({ minLength, maxLength });
const HASHES: readonly HashName[] = ['md5', 'sha-1', 'sha-224', 'sha-256', 'sha-384', 'sha-512'];

describe('noble and node agree on', () => {
  it.each(AEADS)('$aead (seed 31)', ({ aead, keyBytes, tagBytes }) => {
    const cases = fc.record({
      key: bytes(keyBytes),
      nonce: bytes(12),
      aad: bytes(0, 40),
      plaintext: bytes(0, 300),
      offset: fc.nat(20),
      flip: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ key, nonce, aad, plaintext, offset, flip }) => {
        const noble = nobleCrypto.createAead(aead, key);
        const node = nodeCrypto.createAead(aead, key);
        const a = new Uint8Array(offset + plaintext.length + tagBytes + 3);
        a.set(plaintext, offset);
        const b = a.slice();
        noble.seal(nonce, aad, a, offset, plaintext.length);
        node.seal(nonce, aad, b, offset, plaintext.length);
        expect(a).toEqual(b);
        const sealedLength = plaintext.length + tagBytes;
        const bad = a.slice();
        bad[offset + ((flip >> 3) % sealedLength)]! ^= 1 << (flip & 7);
        expect(noble.open(nonce, aad, bad.slice(), offset, sealedLength)).toBe(-1);
        expect(node.open(nonce, aad, bad, offset, sealedLength)).toBe(-1);
        expect(noble.open(nonce, aad, b, offset, sealedLength)).toBe(plaintext.length);
        expect(node.open(nonce, aad, a, offset, sealedLength)).toBe(plaintext.length);
        expect(a.subarray(offset, offset + plaintext.length)).toEqual(plaintext);
        expect(b.subarray(offset, offset + plaintext.length)).toEqual(plaintext);
      }),
      { seed: 31, numRuns: 150 },
    );
  });

  it.each(HASHES)('%s, HMAC and PRF (seed 32)', (hash) => {
    const cases = fc.record({
      key: bytes(0, 300),
      parts: fc.array(bytes(0, 200), { maxLength: 4 }),
      length: fc.nat(200),
    });
    fc.assert(
      fc.property(cases, ({ key, parts, length }) => {
        expect(nobleCrypto.hash(hash, ...parts)).toEqual(nodeCrypto.hash(hash, ...parts));
        expect(nobleCrypto.createMac(hash, key).sign(...parts)).toEqual(nodeCrypto.createMac(hash, key).sign(...parts));
        const a = nobleCrypto.createHash(hash);
        const b = nodeCrypto.createHash(hash);
        for (const part of parts) {
          a.update(part);
          b.update(part);
          expect(a.digest()).toEqual(b.digest());
        }
        expect(prf(nobleCrypto, hash, key, 'label', key, length)).toEqual(
          prf(nodeCrypto, hash, key, 'label', key, length),
        );
      }),
      { seed: 32, numRuns: 100 },
    );
  });

  it.each(GROUPS)('$group (seed 33)', ({ group, secretBytes }) => {
    fc.assert(
      fc.property(bytes(secretBytes), bytes(secretBytes), (first, second) => {
        // Below the order of each curve, and never zero.
        const [a, b] = [first, second].map((scalar) =>
          Uint8Array.from(scalar, (byte, i) => (i === 0 ? byte >> 1 : byte | 1)),
        );
        const noble = importNobleKeyShare(group, a!);
        const node = importNodeKeyShare(group, a!);
        expect(noble.publicKey).toEqual(node.publicKey);
        const peer = importNobleKeyShare(group, b!).publicKey;
        expect(noble.deriveSecret(peer)).toEqual(node.deriveSecret(peer));
      }),
      { seed: 33, numRuns: 15 },
    );
  });

  it('X25519 with any bytes as public key: the same secret or the same refusal (seed 34)', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), (scalar, peer) => {
        const outcomes = [importNobleKeyShare, importNodeKeyShare].map((importShare) => {
          try {
            return importShare('x25519', scalar).deriveSecret(peer);
          } catch (error) {
            return error;
          }
        });
        expect(outcomes[0]).toEqual(outcomes[1]);
      }),
      { seed: 34, numRuns: 40 },
    );
  });

  it.each<[KeyType, SignatureScheme]>([
    ['ecdsa-p256', 'ecdsa_secp256r1_sha256'],
    ['ecdsa-p384', 'ecdsa_sha512'],
    ['ed25519', 'ed25519'],
  ])('%s signatures with %s, good and damaged (seed 35)', (type, scheme) => {
    const keys = [nobleCrypto, nodeCrypto].map((backend) => backend.generateSigningKey(type));
    fc.assert(
      fc.property(fc.constantFrom(...keys), bytes(0, 100), fc.nat(), fc.nat(255), (key, data, at, value) => {
        const signature = key.sign(scheme, data);
        const noble = nobleCrypto.importSpki(key.publicKeySpki);
        const node = nodeCrypto.importSpki(key.publicKeySpki);
        expect(noble.verify(scheme, signature, data)).toBe(true);
        expect(node.verify(scheme, signature, data)).toBe(true);
        const bad = signature.slice();
        bad[at % bad.length] = value;
        expect(noble.verify(scheme, bad, data)).toBe(node.verify(scheme, bad, data));
      }),
      { seed: 35, numRuns: 25 },
    );
  });
});
