import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, hexToBytes } from '../../src/core/index.ts';
import { createNobleCrypto } from '../../src/crypto/index.ts';
import { SeededRandom } from '../sim/index.ts';
import rfc7748 from '../vectors/rfc7748/x25519.json' with { type: 'json' };
import smallOrder from '../vectors/wycheproof-like/x25519-small-order.json' with { type: 'json' };
import { BACKENDS, GROUPS } from './backends.ts';

describe.each(BACKENDS)('X25519 of the $name backend', ({ importKeyShare, backend }) => {
  it.each(rfc7748.cases)('RFC 7748, $name', (v) => {
    const share = importKeyShare('x25519', hexToBytes(v.scalar));
    expect(bytesToHex(share.deriveSecret(hexToBytes(v.u)))).toBe(v.out);
    if ('public' in v) expect(bytesToHex(share.publicKey)).toBe(v.public);
  });

  it('RFC 7748 §5.2: 1,000 iterations', () => {
    let k = hexToBytes(rfc7748.iterated.start);
    let u = k;
    for (let i = 1; i <= 1000; i++) {
      const next = importKeyShare('x25519', k).deriveSecret(u);
      u = k;
      k = next;
      if (i === 1) expect(bytesToHex(k)).toBe(rfc7748.iterated.after1);
    }
    expect(bytesToHex(k)).toBe(rfc7748.iterated.after1000);
  });

  it.each(smallOrder.cases)('refuses the point of small order: $name', (v) => {
    expect(() => backend.generateKeyShare('x25519').deriveSecret(hexToBytes(v.u))).toThrow(
      expect.objectContaining({ name: 'CryptoError', code: 'zero-shared-secret' }),
    );
  });

  it('ignores the top bit of the u-coordinate (RFC 7748 §5)', () => {
    const share = backend.generateKeyShare('x25519');
    const peer = backend.generateKeyShare('x25519').publicKey;
    const high = peer.slice();
    high[31]! |= 0x80;
    expect(share.deriveSecret(high)).toEqual(share.deriveSecret(peer));
  });
});

describe.each(BACKENDS)('key exchange of the $name backend', ({ backend, importKeyShare }) => {
  it.each(GROUPS)('$group: both sides come to the same secret', ({ group, publicBytes, secretBytes }) => {
    const a = backend.generateKeyShare(group);
    const b = backend.generateKeyShare(group);
    expect(a.group).toBe(group);
    expect(a.publicKey.length).toBe(publicBytes);
    const secret = a.deriveSecret(b.publicKey);
    expect(secret.length).toBe(secretBytes);
    expect(b.deriveSecret(a.publicKey)).toEqual(secret);
    expect(backend.generateKeyShare(group).publicKey).not.toEqual(a.publicKey);
  });

  it.each(GROUPS)('$group: a public key of any other length is invalid', ({ group, publicBytes }) => {
    const share = backend.generateKeyShare(group);
    for (const length of [0, 1, publicBytes - 1, publicBytes + 1, 2 * publicBytes]) {
      expect(() => share.deriveSecret(new Uint8Array(length).fill(4)), `${length}`).toThrow(
        expect.objectContaining({ name: 'CryptoError', code: 'invalid-point' }),
      );
    }
  });

  it.each(GROUPS.filter(({ group }) => group !== 'x25519'))(
    '$group: bad points are refused',
    ({ group, publicBytes }) => {
      const share = backend.generateKeyShare(group);
      const good = backend.generateKeyShare(group).publicKey;
      const coordinate = (publicBytes - 1) / 2;
      const offCurve = good.slice();
      offCurve[publicBytes - 1]! ^= 1;
      const compressed = concatBytes(Uint8Array.of(2 + (good[publicBytes - 1]! & 1)), good.subarray(1, 1 + coordinate));
      const hybrid = good.slice();
      hybrid[0] = 6 + (good[publicBytes - 1]! & 1);
      const zero = new Uint8Array(publicBytes);
      zero[0] = 4;
      const tooLarge = new Uint8Array(publicBytes).fill(0xff);
      tooLarge[0] = 4;
      for (const [name, point] of Object.entries({
        offCurve,
        compressed,
        hybrid,
        zero,
        tooLarge,
        infinity: Uint8Array.of(0),
        infinityPadded: new Uint8Array(publicBytes),
      })) {
        expect(() => share.deriveSecret(point), name).toThrow(
          expect.objectContaining({ name: 'CryptoError', code: 'invalid-point' }),
        );
      }
      expect(share.deriveSecret(good).length).toBe(coordinate);
    },
  );

  it.each(GROUPS.filter(({ group }) => group !== 'x25519'))(
    '$group: leading zeros of the secret are kept',
    ({ group, secretBytes }) => {
      // RFC 8422 §5.10. Scalar 1: the secret is the X coordinate of the peer's point.
      const one = new Uint8Array(secretBytes);
      one[secretBytes - 1] = 1;
      const share = importKeyShare(group, one);
      const random = new SeededRandom(5);
      const scalar = new Uint8Array(secretBytes);
      for (let tries = 0; ; tries++) {
        expect(tries).toBeLessThan(5000);
        random.fill(scalar.subarray(secretBytes - 16));
        const peer = importKeyShare(group, scalar).publicKey;
        if (peer[1] !== 0) continue;
        expect(share.deriveSecret(peer)).toEqual(peer.slice(1, 1 + secretBytes));
        return;
      }
    },
  );

  it.each(GROUPS.filter(({ group }) => group !== 'x25519'))(
    '$group: a private key of zero or the order is refused',
    ({ group, secretBytes }) => {
      for (const fill of [0, 0xff]) {
        expect(() => importKeyShare(group, new Uint8Array(secretBytes).fill(fill))).toThrow(
          expect.objectContaining({ name: 'CryptoError', code: 'invalid-key' }),
        );
      }
    },
  );
});

describe('createNobleCrypto', () => {
  it('draws everything from the source that it is given', () => {
    const make = (seed: number) => {
      const random = new SeededRandom(seed);
      const backend = createNobleCrypto((out) => random.fill(out));
      return [
        ...GROUPS.map(({ group }) => bytesToHex(backend.generateKeyShare(group).publicKey)),
        bytesToHex(backend.generateSigningKey('ecdsa-p256').publicKeySpki),
        bytesToHex(backend.generateSigningKey('ed25519').publicKeySpki),
      ];
    };
    expect(make(1)).toEqual(make(1));
    expect(make(1)).not.toEqual(make(2));
  });
});
