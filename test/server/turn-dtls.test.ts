import { describe, expect, it } from 'vitest';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import { TurnServer } from '../../src/server/index.ts';
import { dtlsCertificate } from '../../src/server/turn-dtls.ts';
import { hostileDtls } from './hostile-dtls.ts';

const { env } = platform;
const certificate = generateCertificate(env);
const pem = certificateToPem(certificate);
const issuer = certificateToPem(generateCertificate(env, { commonName: 'issuer' })).replace(
  /-+BEGIN PRIVATE[\s\S]*/,
  '',
);
const [own, key] = [pem.replace(/-+BEGIN PRIVATE[\s\S]*/, ''), pem.slice(pem.indexOf('-----BEGIN PRIVATE'))];

describe('the certificate for DTLS', () => {
  it('is sent once where certificate and key are one file', () => {
    const read = dtlsCertificate(env, { cert: pem, key: pem });
    expect(read.der).toEqual(certificate.der);
    expect(read.chain).toBeUndefined();
  });

  it('goes with its issuers, without those that stand beside the key', () => {
    const read = dtlsCertificate(env, { cert: `${own}\n${issuer}`, key: `${own}\n${issuer}\n${key}` });
    expect(read.der).toEqual(certificate.der);
    expect(read.chain).toHaveLength(1);
  });

  it('must be one', () => {
    expect(() => dtlsCertificate(env, { cert: key, key })).toThrow('certificate');
    expect(() => dtlsCertificate(env, { cert: issuer, key })).toThrow('does not belong');
  });
});

it('a ClientHello that is too long for one datagram opens a connection, as one with post-quantum key shares is', async () => {
  const server = new TurnServer({ realm: 'example.org', users: {}, certificate: { cert: pem, key: pem } });
  const { port } = await server.listen({ port: 0 });
  const alpn = Array.from({ length: 16 }, (_, n) => String.fromCharCode(97 + n).repeat(200));
  const { client, settled, close } = await hostileDtls({ ip: '127.0.0.1', port }, { alpn, mtuBytes: 1200 });
  await settled;
  expect(client.state).toBe('connected');
  close();
  server.close();
});
