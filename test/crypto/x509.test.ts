import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { decodeDer, encodeDer } from '../../src/crypto/der.ts';
import {
  certificateFingerprint,
  generateCertificate,
  type KeyUsage,
  parseCertificate,
  readCertificateKey,
  verifyCertificateSignature,
} from '../../src/crypto/index.ts';
import { readTime, writeTime } from '../../src/crypto/x509-time.ts';
import certificates from '../vectors/openssl/certificates.json' with { type: 'json' };
import { BACKENDS, GENERATED_KEYS, NOW_MS, testEnv } from './backends.ts';

const DAY_MS = 86_400_000;
const known = certificates.cases.filter((v) => 'keyType' in v);

describe('certificates of OpenSSL', () => {
  it.each(certificates.cases)('$name is parsed as node:crypto reads it', (v) => {
    const der = hexToBytes(v.der);
    const parsed = parseCertificate(der);
    const reference = new X509Certificate(der);
    expect(parsed.der).toEqual(der);
    expect(parsed.version).toBe(3);
    expect(Buffer.from(parsed.serial).toString('hex').replace(/^00/, '')).toBe(reference.serialNumber.toLowerCase());
    expect(parsed.subject.text).toBe(`C=DE, O=purertc test, CN=${v.name}`);
    expect(parsed.subject.commonName).toBe(v.name);
    expect(parsed.issuer).toEqual(parsed.subject);
    expect(parsed.notBeforeMs).toBe(Date.parse(reference.validFrom));
    expect(parsed.notAfterMs).toBe(Date.parse(reference.validTo));
    expect(parsed.basicConstraints).toEqual({ ca: true });
    expect(parsed.unknownCriticalExtensions).toEqual([]);
    expect(readCertificateKey(der).spki).toEqual(parsed.spki);
    expect(parsed.spki).toEqual(new Uint8Array(reference.publicKey.export({ format: 'der', type: 'spki' })));
  });

  it.each(known)('$name has the extensions that the command asked for', (v) => {
    const parsed = parseCertificate(hexToBytes(v.der));
    expect(parsed.keyUsage).toEqual(['digitalSignature']);
    expect(parsed.extendedKeyUsage).toEqual(['serverAuth', 'clientAuth']);
    expect(parsed.subjectAltNames).toEqual([
      { type: 'dns', value: 'peer.example' },
      { type: 'dns', value: '*.peers.example' },
      { type: 'ip', value: '192.0.2.1' },
      { type: 'ip', value: '2001:db8::1' },
    ]);
    expect(parsed.signatureAlgorithm.scheme).toBe(v.scheme);
  });

  describe.each(BACKENDS)('on the $name backend', ({ backend }) => {
    it.each(known)('$name verifies with its own key and with no other', (v) => {
      const parsed = parseCertificate(hexToBytes(v.der));
      expect(verifyCertificateSignature(backend, parsed, parsed.spki)).toBe(true);
      for (const other of known) {
        if (other.name === v.name) continue;
        expect(verifyCertificateSignature(backend, parsed, parseCertificate(hexToBytes(other.der)).spki)).toBe(false);
      }
      const forged = { ...parsed, tbs: parsed.tbs.slice() };
      forged.tbs[20]! ^= 1;
      expect(verifyCertificateSignature(backend, forged, parsed.spki)).toBe(false);
    });

    it.each(certificates.cases.filter((v) => 'unsupported' in v))('$name verifies as false, without a throw', (v) => {
      const parsed = parseCertificate(hexToBytes(v.der));
      expect(verifyCertificateSignature(backend, parsed, parsed.spki)).toBe(false);
    });

    it.each(['md5', 'sha-1', 'sha-224', 'sha-256', 'sha-384', 'sha-512'] as const)('fingerprint with %s', (hash) => {
      const der = hexToBytes(known[0]!.der);
      const value = certificateFingerprint(backend, hash, der);
      const length = { md5: 16, 'sha-1': 20, 'sha-224': 28, 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 }[hash];
      expect(value).toMatch(/^([0-9A-F]{2}:)+[0-9A-F]{2}$/);
      expect(value.split(':')).toHaveLength(length);
      const reference = new X509Certificate(der);
      if (hash === 'sha-1') expect(value).toBe(reference.fingerprint);
      if (hash === 'sha-256') expect(value).toBe(reference.fingerprint256);
      if (hash === 'sha-512') expect(value).toBe(reference.fingerprint512);
    });
  });
});

describe.each(BACKENDS)('generateCertificate on the $name backend', ({ backend }) => {
  const env = testEnv(backend);

  it.each(GENERATED_KEYS)('%s: node:crypto reads and verifies it', (keyType) => {
    const certificate = generateCertificate(env, { keyType });
    const reference = new X509Certificate(certificate.der);
    expect(certificate.key.type).toBe(keyType);
    expect(reference.verify(reference.publicKey)).toBe(true);
    expect(reference.checkIssued(reference)).toBe(true);
    expect(reference.subject).toMatch(/^CN=[0-9a-f]{16}$/);
    expect(Date.parse(reference.validFrom)).toBe(certificate.notBeforeMs);
    expect(Date.parse(reference.validTo)).toBe(certificate.notAfterMs);
    const parsed = parseCertificate(certificate.der);
    expect(parsed.spki).toEqual(certificate.key.publicKeySpki);
    expect(parsed.issuer).toEqual(parsed.subject);
    expect(parsed.version).toBe(3);
    expect(verifyCertificateSignature(backend, parsed, parsed.spki)).toBe(true);
    expect(parsed.serial).toHaveLength(16);
    expect(parsed.serial[0]! & 0x80).toBe(0);
  });

  it('is P-256, valid from yesterday for 30 days, without extensions, and new each time, when nothing is said', () => {
    const a = generateCertificate(env);
    const b = generateCertificate(env);
    expect(a.key.type).toBe('ecdsa-p256');
    expect(a.notBeforeMs).toBe(NOW_MS - DAY_MS);
    expect(a.notAfterMs).toBe(NOW_MS + 30 * DAY_MS);
    const [x, y] = [parseCertificate(a.der), parseCertificate(b.der)];
    expect(x).not.toHaveProperty('keyUsage');
    expect(x.unknownCriticalExtensions).toEqual([]);
    expect(x.subject.text).not.toBe(y.subject.text);
    expect(x.serial).not.toEqual(y.serial);
    expect(x.spki).not.toEqual(y.spki);
    expect(a.der.length).toBeLessThan(330);
  });

  it('certifies a given RSA key', () => {
    const rsa = known.find((v) => v.keyType === 'rsa')!;
    const certificate = generateCertificate(env, { key: backend.importPkcs8(hexToBytes(rsa.pkcs8)) });
    const reference = new X509Certificate(certificate.der);
    expect(reference.verify(reference.publicKey)).toBe(true);
    expect(parseCertificate(certificate.der).signatureAlgorithm.scheme).toBe('rsa_pkcs1_sha256');
  });

  it('writes the extensions that are asked for', () => {
    const keyUsage: KeyUsage[] = ['digitalSignature', 'keyCertSign', 'decipherOnly'];
    const { der } = generateCertificate(env, {
      commonName: 'Größe 例',
      keyUsage,
      extendedKeyUsage: ['serverAuth', 'clientAuth', '1.2.3.4'],
      basicConstraints: { ca: true, pathLength: 0 },
      subjectAltNames: ['host.example', '192.0.2.7', '2001:db8::7'],
    });
    const parsed = parseCertificate(der);
    expect(parsed.subject.commonName).toBe('Größe 例');
    expect(parsed.keyUsage).toEqual(keyUsage);
    expect(parsed.extendedKeyUsage).toEqual(['serverAuth', 'clientAuth', '1.2.3.4']);
    expect(parsed.basicConstraints).toEqual({ ca: true, pathLength: 0 });
    expect(parsed.subjectAltNames).toEqual([
      { type: 'dns', value: 'host.example' },
      { type: 'ip', value: '192.0.2.7' },
      { type: 'ip', value: '2001:db8::7' },
    ]);
    const reference = new X509Certificate(der);
    expect(reference.subjectAltName).toBe('DNS:host.example, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7');
    expect(reference.ca).toBe(true);
    expect(reference.subject).toContain('CN=');
  });

  it.each([
    ['1970-01-02', Date.UTC(1970, 0, 2)],
    ['a leap day', Date.UTC(2028, 1, 29, 23, 59, 59)],
    ['the end of 2049', Date.UTC(2049, 11, 31, 23, 59, 59)],
    ['the start of 2050', Date.UTC(2050, 0, 1)],
    ['2100, no leap year', Date.UTC(2100, 2, 1)],
    ['the last second of 9999', Date.UTC(9999, 11, 31, 23, 59, 59)],
  ])('writes and reads %s as node:crypto does', (_name, atMs) => {
    const certificate = generateCertificate(testEnv(backend, atMs - 1000), { lifetimeMs: 1000, backdateMs: 0 });
    const parsed = parseCertificate(certificate.der);
    expect(parsed.notAfterMs).toBe(atMs);
    expect(Date.parse(new X509Certificate(certificate.der).validTo)).toBe(atMs);
  });

  it.each([0, -1, Number.NaN])('a lifetime of %d is the caller misusing it', (lifetimeMs) => {
    expect(() => generateCertificate(env, { lifetimeMs })).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });
});

describe('certificate times', () => {
  it('are written and read as the calendar has them, any second from 1900 to 9999 (seed 23)', () => {
    const seconds = fc.integer({ min: Date.UTC(1900, 0, 1) / 1000, max: Date.UTC(9999, 11, 31, 23, 59, 59) / 1000 });
    fc.assert(
      fc.property(seconds, (at) => {
        const element = writeTime(at * 1000);
        const text = new TextDecoder().decode(encodeDer(element).subarray(2));
        const digits = new Date(at * 1000).toISOString().replace(/\.000Z|\D/g, '');
        const year = Number(digits.slice(0, 4));
        expect(text).toBe(`${year >= 1950 && year < 2050 ? digits.slice(2) : digits}Z`);
        expect(readTime(decodeDer(encodeDer(element), 'time'), 'time')).toBe(at * 1000);
      }),
      { seed: 23, numRuns: 1000 },
    );
  });
});

const P256 = hexToBytes(known[0]!.der);

/** Replaces the one place where `from` stands. */
function patch(der: Uint8Array, from: string, to: string): Uint8Array {
  const hex = Buffer.from(der).toString('hex');
  expect(hex.split(from)).toHaveLength(2);
  return hexToBytes(hex.replace(from, to));
}

const OID = (hex: string) => `0603${hex}`;

const KEY_READS_ON = new Set(['month 13', '30 February', 'hour 24', 'a time without Z']);

describe('malformed certificates', () => {
  it('each truncation is a DecodeError', () => {
    for (let length = 0; length < P256.length; length++) {
      for (const read of [parseCertificate, readCertificateKey]) {
        expect(() => read(P256.subarray(0, length))).toThrow(expect.objectContaining({ name: 'DecodeError' }));
      }
    }
  });

  it.each([
    ['a byte behind it', () => concatBytes(P256, Uint8Array.of(0)), 'trailing-bytes'],
    ['longer than the bound', () => concatBytes(P256, new Uint8Array(65_536)), 'limit'],
    ['empty', () => new Uint8Array(), 'too-short'],
    ['not a sequence', () => Uint8Array.of(4, 0), 'bad-type'],
    ['an empty sequence', () => Uint8Array.of(0x30, 0), 'missing'],
    [
      'a fourth element',
      () => concatBytes(derHeader(0x30, P256.length - 4 + 2), P256.subarray(4), Uint8Array.of(5, 0)),
      'trailing-bytes',
    ],
    ['version 4', () => patch(P256, 'a003020102', 'a003020103'), 'bad-version'],
    ['version 1 with extensions', () => patch(P256, 'a003020102', 'a003020100'), 'bad-version'],
    ['two different algorithms', () => patchFirst(P256, '06082a8648ce3d040302', '06082a8648ce3d040303'), 'bad-value'],
    ['a key usage that stands twice', () => patch(P256, OID('551d25'), OID('551d0f')), 'duplicate'],
    ['a malformed basicConstraints', () => patch(P256, '30030101ff', '30030100ff'), 'bad-value'],
    [
      'an IP address of 12 bytes',
      () => patch(P256, `820c${hexOf('peer.example')}`, `870c${hexOf('peer.example')}`),
      'bad-length',
    ],
    ['a NUL in a DNS name', () => patch(P256, hexOf('peer.example'), hexOf('peer\0example')), 'bad-value'],
    ['month 13', () => patchTime(P256, (time) => `${time.slice(0, 2)}13${time.slice(4)}`), 'bad-value'],
    ['30 February', () => patchTime(P256, (time) => `${time.slice(0, 2)}0230${time.slice(6)}`), 'bad-value'],
    ['hour 24', () => patchTime(P256, (time) => `${time.slice(0, 6)}24${time.slice(8)}`), 'bad-value'],
    ['a time without Z', () => patchTime(P256, (time) => `${time.slice(0, 12)}0`), 'bad-value'],
  ])('%s', (name, make, reason) => {
    expect(() => parseCertificate(make())).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
    // Only the dates and names that nobody asks for are passed over when the key is all that is wanted.
    if (KEY_READS_ON.has(name)) return void readCertificateKey(make());
    expect(() => readCertificateKey(make())).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it('nesting without end is refused', () => {
    let nested: Uint8Array = Uint8Array.of(0x30, 0);
    for (let i = 0; i < 5000; i++) nested = concatBytes(derHeader(0x30, nested.length), nested);
    expect(() => parseCertificate(nested)).toThrow(expect.objectContaining({ name: 'DecodeError' }));
  });

  it('so are more elements than any certificate has', () => {
    const nulls = new Uint8Array(2 * 5000);
    for (let i = 0; i < nulls.length; i += 2) nulls[i] = 5;
    expect(() => parseCertificate(concatBytes(derHeader(0x30, nulls.length), nulls))).toThrow(
      expect.objectContaining({ name: 'DecodeError' }),
    );
  });

  it('throw DecodeError and nothing else, whatever is changed (seed 21)', () => {
    const samples = certificates.cases.map((v) => hexToBytes(v.der));
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(
          fc.record({ at: fc.nat(5000), value: fc.nat(255), op: fc.constantFrom('set', 'insert', 'delete', 'cut') }),
          {
            minLength: 1,
            maxLength: 5,
          },
        ),
        (sample, edits) => {
          const bytes = [...sample];
          for (const { at, value, op } of edits) {
            const index = bytes.length === 0 ? 0 : at % bytes.length;
            if (op === 'set') bytes[index] = value;
            else if (op === 'insert') bytes.splice(index, 0, value);
            else if (op === 'delete') bytes.splice(index, 1);
            else bytes.length = index;
          }
          onlyDecodeErrors(Uint8Array.from(bytes));
        },
      ),
      { seed: 21, numRuns: 3000 },
    );
  });

  it('throw DecodeError and nothing else for arbitrary bytes (seed 22)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        onlyDecodeErrors(bytes);
        onlyDecodeErrors(concatBytes(derHeader(0x30, bytes.length), bytes));
      }),
      { seed: 22, numRuns: 2000 },
    );
  });
});

function onlyDecodeErrors(bytes: Uint8Array): void {
  const parsed = orDecodeError(() => parseCertificate(bytes));
  const key = orDecodeError(() => readCertificateKey(bytes));
  if (parsed === undefined) return; // the key reader looks at less
  expect(parsed.der).toEqual(bytes); // what parses is given back to the byte
  expect(key).toEqual({ spki: parsed.spki, ...(parsed.keyUsage === undefined ? {} : { keyUsage: parsed.keyUsage }) });
}

function orDecodeError<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

function derHeader(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(tag, length);
  if (length < 0x100) return Uint8Array.of(tag, 0x81, length);
  return Uint8Array.of(tag, 0x82, length >> 8, length);
}

function hexOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}

function patchFirst(der: Uint8Array, from: string, to: string): Uint8Array {
  const hex = Buffer.from(der).toString('hex');
  expect(hex).toContain(from);
  return hexToBytes(hex.replace(from, to));
}

/** Edits the first UTCTime, which is notBefore. */
function patchTime(der: Uint8Array, edit: (time: string) => string): Uint8Array {
  const hex = Buffer.from(der).toString('hex');
  const match = /170d((?:3[0-9]){12}5a)/.exec(hex);
  if (match?.[1] === undefined) throw new Error('no UTCTime');
  return patchFirst(der, match[1], hexOf(edit(Buffer.from(match[1], 'hex').toString('latin1'))));
}
