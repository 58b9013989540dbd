import { describe, expect, it } from 'vitest';
import { bytesToHex, type HashName, hexToBytes } from '../../src/core/index.ts';
import { constantTimeEqual, hmac, prf } from '../../src/crypto/index.ts';
import prfVectors from '../vectors/ietf-tls/prf.json' with { type: 'json' };
import hashVectors from '../vectors/nist/hash.json' with { type: 'json' };
import rfc2202 from '../vectors/rfc2202/hmac.json' with { type: 'json' };
import rfc4231 from '../vectors/rfc4231/hmac-sha2.json' with { type: 'json' };
import { BACKENDS } from './backends.ts';

const HASHES: readonly { readonly hash: HashName; readonly length: number }[] = [
  { hash: 'md5', length: 16 },
  { hash: 'sha-1', length: 20 },
  { hash: 'sha-224', length: 28 },
  { hash: 'sha-256', length: 32 },
  { hash: 'sha-384', length: 48 },
  { hash: 'sha-512', length: 64 },
];

function hashNamed(name: string): HashName {
  const found = HASHES.find(({ hash }) => hash === name);
  if (found === undefined) throw new Error(`no such hash: ${name}`);
  return found.hash;
}

interface MacVector {
  readonly name: string;
  readonly key: string;
  readonly data: string;
  readonly hash: string;
  readonly mac: string;
}

const MACS: readonly MacVector[] = [...rfc4231.cases, ...rfc2202.cases].flatMap(({ mac, ...rest }) =>
  Object.entries(mac).map(([hash, value]) => ({ ...rest, hash, mac: String(value) })),
);

describe.each(BACKENDS)('hashes of the $name backend', ({ backend }) => {
  it.each(hashVectors.cases)('$name', (v) => {
    expect(bytesToHex(backend.hash(hashNamed(v.hash), hexToBytes(v.data)))).toBe(v.digest);
  });

  it.each(HASHES)('$hash of parts is the hash of their concatenation', ({ hash, length }) => {
    const data = Uint8Array.from({ length: 300 }, (_, i) => i);
    const whole = backend.hash(hash, data);
    expect(whole.length).toBe(length);
    expect(backend.hash(hash, data.subarray(0, 1), data.subarray(1, 129), data.subarray(129))).toEqual(whole);
  });

  it.each(HASHES)('a running $hash can be read midway and goes on', ({ hash }) => {
    const data = Uint8Array.from({ length: 300 }, (_, i) => i * 7);
    const running = backend.createHash(hash);
    expect(running.digest()).toEqual(backend.hash(hash));
    for (let at = 0; at < data.length; at += 37) {
      running.update(data.subarray(at, at + 37));
      expect(running.digest()).toEqual(backend.hash(hash, data.subarray(0, at + 37)));
      expect(running.digest()).toEqual(running.digest());
    }
  });

  it('returns plain arrays whose slice is a copy', () => {
    const digest = backend.hash('sha-256');
    expect(Object.getPrototypeOf(digest)).toBe(Uint8Array.prototype);
    expect(Object.getPrototypeOf(backend.createMac('sha-1', digest).sign())).toBe(Uint8Array.prototype);
    expect(Object.getPrototypeOf(backend.generateKeyShare('x25519').publicKey)).toBe(Uint8Array.prototype);
  });
});

describe.each(BACKENDS)('HMAC of the $name backend', ({ backend }) => {
  it.each(MACS)('$name, $hash', (v) => {
    const key = hexToBytes(v.key);
    const data = hexToBytes(v.data);
    expect(bytesToHex(hmac(backend, hashNamed(v.hash), key, data))).toBe(v.mac);
    const mac = backend.createMac(hashNamed(v.hash), key);
    expect(mac.length).toBe(v.mac.length / 2);
    expect(bytesToHex(mac.sign(data.subarray(0, 3), data.subarray(3)))).toBe(v.mac);
    expect(bytesToHex(mac.sign(data))).toBe(v.mac);
  });

  it('takes an empty key and no data', () => {
    // RFC 2104 with everything empty; the value is well known.
    expect(bytesToHex(hmac(backend, 'sha-256', new Uint8Array()))).toBe(
      'b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad',
    );
  });

  it('keeps the key it was made with when the caller wipes his copy', () => {
    const key = new Uint8Array(20).fill(3);
    const mac = backend.createMac('sha-1', key);
    const before = mac.sign(key.slice());
    const data = key.slice();
    key.fill(0);
    expect(mac.sign(data)).toEqual(before);
  });
});

describe.each(BACKENDS)('TLS 1.2 PRF (RFC 5246 §5) on the $name backend', ({ backend }) => {
  it.each(prfVectors.cases)('$name', (v) => {
    const output = hexToBytes(v.output);
    const compute = (length: number) =>
      prf(backend, hashNamed(v.hash), hexToBytes(v.secret), v.label, hexToBytes(v.seed), length);
    expect(compute(output.length)).toEqual(output);
    for (const length of [0, 1, 12, 32, 33, 48]) expect(compute(length)).toEqual(output.slice(0, length));
  });
});

describe('constantTimeEqual', () => {
  it('is equality of bytes', () => {
    const a = Uint8Array.of(1, 2, 3);
    expect(constantTimeEqual(a, Uint8Array.of(1, 2, 3))).toBe(true);
    expect(constantTimeEqual(new Uint8Array(), new Uint8Array())).toBe(true);
    expect(constantTimeEqual(a, Uint8Array.of(1, 2))).toBe(false);
    for (let bit = 0; bit < 24; bit++) {
      const b = a.slice();
      b[bit >> 3]! ^= 1 << (bit & 7);
      expect(constantTimeEqual(a, b)).toBe(false);
    }
  });
});
