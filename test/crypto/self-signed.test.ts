import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../src/core/index.ts';
import { bitString, decodeDer, encodeDer, explicit, sequence, smallInteger, unsigned } from '../../src/crypto/der.ts';
import { generateCertificate, parseCertificate, readCertificateKey } from '../../src/crypto/index.ts';
import { selfSignedCertificate, selfSignedTbs } from '../../src/crypto/self-signed.ts';
import { writeSignatureAlgorithm } from '../../src/crypto/x509-algorithms.ts';
import { commonNameOnly } from '../../src/crypto/x509-names.ts';
import { writeTime } from '../../src/crypto/x509-time.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { testEnv } from './backends.ts';

const env = testEnv(nodeCrypto);
const KEYS = (['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa'] as const).map((type) =>
  nodeCrypto.generateSigningKey(type),
);
const YEAR_9999_MS = 253_402_300_799_000;

describe('the self-signed certificate of a connection', () => {
  it.each(seeds(50))('seed %i: is byte by byte what asn1js makes of the same fields', (seed) => {
    const random = new SeededRandom(seed);
    const key = random.pick(KEYS);
    const serial = random.bytes(16);
    serial[0] = 0x40 | (serial[0]! & 0x3f);
    const fields = {
      keyType: key.type,
      spki: key.publicKeySpki,
      serial,
      commonName: random.chance(0.3) ? 'ß'.repeat(random.below(400)) : bytesToHex(random.bytes(8)),
      notBeforeMs: random.below(2 ** 31) * 1000,
      notAfterMs: random.chance(0.5) ? YEAR_9999_MS : random.below(2 ** 31) * 1000,
    };
    const name = commonNameOnly(fields.commonName);
    const tree = sequence(
      explicit(0, smallInteger(2)),
      unsigned(serial),
      writeSignatureAlgorithm(key.type),
      name,
      sequence(writeTime(fields.notBeforeMs), writeTime(fields.notAfterMs)),
      name,
      decodeDer(fields.spki, 'spki'),
    );
    const tbs = selfSignedTbs(fields);
    expect(bytesToHex(tbs)).toBe(bytesToHex(encodeDer(tree)));
    const signature = random.bytes(random.below(600));
    const whole = encodeDer(sequence(tree, writeSignatureAlgorithm(key.type), bitString(signature)));
    expect(bytesToHex(selfSignedCertificate(tbs, key.type, signature))).toBe(bytesToHex(whole));
  });

  it.each(KEYS)('with a key of $type it is one that OpenSSL reads and verifies', (key) => {
    const { der, notBeforeMs, notAfterMs } = generateCertificate(env, { key, commonName: 'somebody' });
    const reference = new X509Certificate(der);
    expect(reference.subject).toBe('CN=somebody');
    expect(reference.verify(reference.publicKey)).toBe(true);
    expect([Date.parse(reference.validFrom), Date.parse(reference.validTo)]).toEqual([notBeforeMs, notAfterMs]);
    expect(readCertificateKey(der)).toEqual({ spki: key.publicKeySpki });
    expect(parseCertificate(der).subject.text).toBe('CN=somebody');
  });
});
