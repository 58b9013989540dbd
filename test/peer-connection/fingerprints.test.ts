import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { matchFingerprint } from '../../src/peer-connection/index.ts';
import { CERTIFICATES, fingerprintOf } from './support.ts';

const [own, other] = CERTIFICATES;

describe('matchFingerprint', () => {
  it('takes any supported hash, in any case of letters', () => {
    for (const hash of ['sha-1', 'sha-256', 'sha-512'] as const) {
      const { algorithm, value } = fingerprintOf(own, hash);
      const written = { algorithm: algorithm.toUpperCase(), value: value.toLowerCase() };
      expect(matchFingerprint(nodeCrypto, own.der, [written])).toEqual({ algorithm, value });
    }
  });

  it('takes one of several fingerprints of the same hash (RFC 8122 §5)', () => {
    const both = [fingerprintOf(other), fingerprintOf(own)];
    expect(matchFingerprint(nodeCrypto, own.der, both)).toEqual(fingerprintOf(own));
  });

  it('judges by the strongest hash alone: a right weak one beside a wrong strong one opens nothing (RFC 8122 §5.1)', () => {
    const mixed = [fingerprintOf(own, 'sha-1'), fingerprintOf(other, 'sha-256')];
    expect(matchFingerprint(nodeCrypto, own.der, mixed)).toBeUndefined();
    expect(matchFingerprint(nodeCrypto, own.der, [...mixed, fingerprintOf(own, 'sha-512')])).toBeDefined();
  });

  it('refuses another certificate, no fingerprint, and hashes that MUST NOT be used', () => {
    expect(matchFingerprint(nodeCrypto, own.der, [fingerprintOf(other)])).toBeUndefined();
    expect(matchFingerprint(nodeCrypto, own.der, [])).toBeUndefined();
    const md5 = { algorithm: 'md5', value: '00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF' };
    expect(matchFingerprint(nodeCrypto, own.der, [md5])).toBeUndefined();
  });

  it('refuses a value of another length and one that differs in its last digit', () => {
    const { algorithm, value } = fingerprintOf(own);
    expect(matchFingerprint(nodeCrypto, own.der, [{ algorithm, value: value.slice(0, -3) }])).toBeUndefined();
    const last = value.endsWith('0') ? '1' : '0';
    expect(matchFingerprint(nodeCrypto, own.der, [{ algorithm, value: value.slice(0, -1) + last }])).toBeUndefined();
  });
});
