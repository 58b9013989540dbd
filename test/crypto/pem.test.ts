import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hexToBytes } from '../../src/core/index.ts';
import {
  certificateFromPem,
  certificatesFromPem,
  certificateToPem,
  decodePem,
  encodePem,
  generateCertificate,
  privateKeyFromPem,
} from '../../src/crypto/index.ts';
import certificates from '../vectors/openssl/certificates.json' with { type: 'json' };
import { BACKENDS, GENERATED_KEYS, testEnv } from './backends.ts';

const known = certificates.cases.filter((v) => 'keyType' in v);

describe('PEM', () => {
  it('round-trips any length', () => {
    for (let length = 0; length < 200; length++) {
      const der = Uint8Array.from({ length }, (_, i) => i * 37);
      expect(decodePem(encodePem('X 1', der))).toEqual([{ label: 'X 1', der }]);
    }
  });

  it('is what node:crypto writes', () => {
    for (const v of known) {
      const der = hexToBytes(v.der);
      expect(encodePem('CERTIFICATE', der)).toBe(new X509Certificate(der).toString());
    }
  });

  it('ignores text around blocks and Windows line ends', () => {
    const block = encodePem('CERTIFICATE', Uint8Array.of(1, 2, 3)).replaceAll('\n', '\r\n');
    expect(
      certificatesFromPem(`subject=CN = x\r\n${block}\n# comment\n${encodePem('OTHER', new Uint8Array())}${block}`),
    ).toEqual([Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3)]);
  });

  it.each([
    ['not base64', '-----BEGIN X-----\n!!!!\n-----END X-----'],
    ['a length that base64 cannot have', '-----BEGIN X-----\nAAAAA\n-----END X-----'],
    ['padding in the middle', '-----BEGIN X-----\nAA==AAAA\n-----END X-----'],
    ['a different END', '-----BEGIN X-----\nAAAA\n-----END Y-----'],
  ])('refuses %s', (_name, text) => {
    expect(() => decodePem(text)).toThrow(expect.objectContaining({ name: 'DecodeError', reason: 'bad-value' }));
  });

  it('of no block is nothing', () => {
    expect(decodePem('nothing here')).toEqual([]);
  });
});

describe.each(BACKENDS)('certificates with keys in PEM, $name backend', ({ backend }) => {
  it.each(GENERATED_KEYS)('%s goes out and comes back', (keyType) => {
    const certificate = generateCertificate(testEnv(backend), { keyType });
    const text = certificateToPem(certificate);
    const back = certificateFromPem(backend, text);
    expect(back.der).toEqual(certificate.der);
    expect(back.notBeforeMs).toBe(certificate.notBeforeMs);
    expect(back.notAfterMs).toBe(certificate.notAfterMs);
    expect(back.key.publicKeySpki).toEqual(certificate.key.publicKeySpki);
    expect(createPrivateKey(text.slice(text.indexOf('-----BEGIN PRIVATE'))).asymmetricKeyType).toBeDefined();
  });

  it.each(known)('$name of OpenSSL comes in', (v) => {
    const text = encodePem('PRIVATE KEY', hexToBytes(v.pkcs8)) + encodePem('CERTIFICATE', hexToBytes(v.der));
    expect(certificateFromPem(backend, text).key.type).toBe(v.keyType);
  });

  it.each(known.filter((v) => v.keyType !== 'ed25519'))('the older key form of $name comes in too', (v) => {
    const key = createPrivateKey({ key: Buffer.from(v.pkcs8, 'hex'), format: 'der', type: 'pkcs8' });
    const text = String(key.export({ format: 'pem', type: v.keyType === 'rsa' ? 'pkcs1' : 'sec1' }));
    expect(text).toMatch(/BEGIN (EC|RSA) PRIVATE KEY/);
    expect(privateKeyFromPem(backend, text).publicKeySpki).toEqual(
      backend.importPkcs8(hexToBytes(v.pkcs8)).publicKeySpki,
    );
  });

  it('refuses a key that belongs to another certificate', () => {
    const [a, b] = [generateCertificate(testEnv(backend)), generateCertificate(testEnv(backend))];
    const mixed = encodePem('CERTIFICATE', a.der) + encodePem('PRIVATE KEY', b.key.exportPkcs8());
    expect(() => certificateFromPem(backend, mixed)).toThrow(expect.objectContaining({ code: 'invalid-key' }));
    const rsa = known.find((v) => v.keyType === 'rsa')!;
    const otherKind = encodePem('CERTIFICATE', a.der) + encodePem('PRIVATE KEY', hexToBytes(rsa.pkcs8));
    expect(() => certificateFromPem(backend, otherKind)).toThrow(expect.objectContaining({ code: 'invalid-key' }));
  });

  it('says what is missing, malformed or encrypted', () => {
    const certificate = generateCertificate(testEnv(backend));
    const bare = encodePem('CERTIFICATE', certificate.der);
    expect(() => certificateFromPem(backend, 'x')).toThrow(expect.objectContaining({ reason: 'missing' }));
    expect(() => certificateFromPem(backend, bare)).toThrow(expect.objectContaining({ code: 'invalid-key' }));
    const key = createPrivateKey({ key: Buffer.from(certificate.key.exportPkcs8()), format: 'der', type: 'pkcs8' });
    const secret = { cipher: 'aes-128-cbc', passphrase: 'x', format: 'pem' } as const;
    for (const type of ['pkcs8', 'sec1'] as const) {
      const encrypted = String(key.export({ ...secret, type }));
      expect(() => privateKeyFromPem(backend, encrypted)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    }
    for (const label of ['PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY']) {
      expect(() => privateKeyFromPem(backend, encodePem(label, Uint8Array.of(1, 2)))).toThrow(
        expect.objectContaining({ name: 'CryptoError', code: 'invalid-key' }),
      );
    }
  });
});
