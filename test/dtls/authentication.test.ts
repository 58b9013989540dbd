import { describe, expect, it } from 'vitest';
import { type CryptoBackend, decodeUtf8, type SigningKey } from '../../src/core/index.ts';
import { generateCertificate, parseCertificate, verifyChain } from '../../src/crypto/index.ts';
import { type DtlsCertificate, DtlsClient, DtlsServer } from '../../src/dtls/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { connectPair, PERFECT, SimWorld, simEnv } from '../sim/index.ts';
import {
  CLIENT_CERTIFICATE,
  failureOf,
  handshake,
  makePair,
  type Pair,
  type PairOptions,
  PLAIN_ENV,
  rewriteMessages,
  SERVER_CERTIFICATE,
} from './harness.ts';

/** The certificate of one, the signatures of somebody who has another key. */
function withoutItsKey(certificate: DtlsCertificate): DtlsCertificate {
  const impostor = generateCertificate(PLAIN_ENV).key;
  return { der: certificate.der, key: impostor };
}

/** Signs correctly, but other bytes. */
function signsSomethingElse(certificate: DtlsCertificate): DtlsCertificate {
  const { key } = certificate;
  const wrong: SigningKey = {
    type: key.type,
    publicKeySpki: key.publicKeySpki,
    sign: (scheme, data) => key.sign(scheme, data.slice(1)),
    exportPkcs8: () => key.exportPkcs8(),
  };
  return { der: certificate.der, key: wrong };
}

/** A backend whose PRF gives one wrong bit for one label: the peer that uses it computes a wrong Finished and nothing else. */
function wrongPrf(label: string): CryptoBackend {
  return {
    ...nodeCrypto,
    createMac: (hash, key) => {
      const mac = nodeCrypto.createMac(hash, key);
      return {
        length: mac.length,
        sign: (...parts) => {
          const out = mac.sign(...parts);
          if (parts.length === 3 && decodeUtf8(parts[1]!) === label) out[0]! ^= 1;
          return out;
        },
      };
    },
  };
}

function withBackend(options: PairOptions, side: 'client' | 'server', crypto: CryptoBackend): Pair {
  return makePair({ ...options, [side]: { ...options[side], env: { ...PLAIN_ENV, crypto } } });
}

/** Neither side ever says that it is connected to the other. */
function expectRefused(pair: Pair, byWhom: 'client' | 'server', alert: string): void {
  const [by, other] = byWhom === 'client' ? [pair.a, pair.b] : [pair.b, pair.a];
  expect(failureOf(by)).toMatchObject({ by: 'local', alert });
  expect(failureOf(other)).toMatchObject({ by: 'remote', alert });
}

describe('authentication: only one thing is wrong', () => {
  it('the ServerKeyExchange signature, made with another key', () => {
    const pair = handshake(makePair({ server: { certificate: withoutItsKey(SERVER_CERTIFICATE) } }));
    expectRefused(pair, 'client', 'decrypt_error');
    expect(failureOf(pair.a)?.message).toContain('ServerKeyExchange');
    expect(pair.client.drops.get('bad-integrity')).toBe(1);
  });

  it('the ServerKeyExchange signature, of other parameters', () => {
    const pair = handshake(makePair({ server: { certificate: signsSomethingElse(SERVER_CERTIFICATE) } }));
    expectRefused(pair, 'client', 'decrypt_error');
  });

  it('the ServerKeyExchange parameters, exchanged on the way (the man in the middle)', () => {
    const share = nodeCrypto.generateKeyShare('x25519').publicKey;
    const toClient = rewriteMessages(12, (body) => {
      body.set(share, 4);
      return body;
    });
    expectRefused(handshake(makePair({ toClient })), 'client', 'decrypt_error');
  });

  it('CertificateVerify, made with another key', () => {
    const pair = handshake(makePair({ client: { certificate: withoutItsKey(CLIENT_CERTIFICATE) } }));
    expectRefused(pair, 'server', 'decrypt_error');
    expect(failureOf(pair.b)?.message).toContain('CertificateVerify');
  });

  it('CertificateVerify, of another transcript', () => {
    expectRefused(
      handshake(makePair({ client: { certificate: signsSomethingElse(CLIENT_CERTIFICATE) } })),
      'server',
      'decrypt_error',
    );
  });

  it("the client's Finished", () => {
    const pair = handshake(withBackend({}, 'client', wrongPrf('client finished')));
    expectRefused(pair, 'server', 'decrypt_error');
    expect(failureOf(pair.b)?.message).toContain('Finished');
    expect(pair.b.events.some((e) => e.type === 'connected')).toBe(false);
  });

  it("the server's Finished", () => {
    const pair = withBackend({}, 'server', wrongPrf('server finished'));
    handshake(pair);
    pair.world.run({ until: pair.world.now + 1000 });
    expectRefused(pair, 'client', 'decrypt_error');
    expect(pair.a.events.some((e) => e.type === 'connected')).toBe(false);
  });

  it('a fingerprint that does not match: verifyPeer names the alert (unknown key share)', () => {
    const byClient = handshake(makePair({ client: { verifyPeer: () => 'bad_certificate' } }));
    expectRefused(byClient, 'client', 'bad_certificate');
    expect(byClient.client.peerCertificates).toEqual([]);
    const byServer = handshake(makePair({ server: { verifyPeer: () => 'certificate_unknown' } }));
    expectRefused(byServer, 'server', 'certificate_unknown');
  });

  it('without verifyPeer no certificate is good enough', () => {
    const world = new SimWorld(1);
    const env = simEnv(world, nodeCrypto);
    const client = new DtlsClient({ env });
    const server = new DtlsServer({ env, certificate: SERVER_CERTIFICATE, cookieExchange: false });
    const { a } = connectPair(world, client, server, PERFECT);
    a.driver.mutate((now) => client.start(now));
    world.run({ until: 100 });
    expect(failureOf(a)).toMatchObject({ by: 'local', alert: 'certificate_unknown' });
  });

  it('a verifyPeer that throws refuses', () => {
    const verifyPeer = () => {
      throw new Error('no fingerprint yet');
    };
    expectRefused(handshake(makePair({ client: { verifyPeer } })), 'client', 'internal_error');
  });

  it('a client without a certificate where one is required (RFC 5246 §7.4.6)', () => {
    const pair = handshake(makePair({ client: { certificate: [] } }));
    expectRefused(pair, 'server', 'handshake_failure');
    const tolerant = handshake(makePair({ client: { certificate: [] }, server: { requireClientCertificate: false } }));
    expect([tolerant.server.state, tolerant.server.peerCertificates.length]).toEqual(['connected', 0]);
  });

  it('a certificate whose key usage forbids signatures (RFC 5246 §7.4.2)', () => {
    const certificate = generateCertificate(PLAIN_ENV, { keyUsage: ['keyAgreement'] });
    expectRefused(handshake(makePair({ server: { certificate } })), 'client', 'unsupported_certificate');
    expectRefused(handshake(makePair({ client: { certificate } })), 'server', 'unsupported_certificate');
  });

  it('a certificate that is not one', () => {
    const certificate = { der: new Uint8Array(50), key: SERVER_CERTIFICATE.key };
    expectRefused(handshake(makePair({ server: { certificate } })), 'client', 'bad_certificate');
  });

  it('a certificate whose own signature is wrong, judged by verifyChain against a CA', () => {
    const authority = generateCertificate(PLAIN_ENV, { commonName: 'CA', basicConstraints: { ca: true } });
    const good = generateCertificate(PLAIN_ENV, { issuer: authority, commonName: 'server' });
    const der = good.der.slice();
    der[der.length - 1]! ^= 1;
    const verifyPeer = (chain: readonly Uint8Array[]) =>
      verifyChain(nodeCrypto, chain, {
        trusted: [parseCertificate(authority.der)],
        nowMs: PLAIN_ENV.wallClockMs(),
        purpose: 'serverAuth',
      })?.alert;
    const bad = handshake(makePair({ client: { verifyPeer }, server: { certificate: { der, key: good.key } } }));
    expectRefused(bad, 'client', 'bad_certificate');
    expect(handshake(makePair({ client: { verifyPeer }, server: { certificate: good } })).client.state).toBe(
      'connected',
    );
  });

  it('a certificate of another kind than the suite', () => {
    const rsa = generateCertificate(PLAIN_ENV, { keyType: 'rsa' });
    const certificate = { der: rsa.der, key: SERVER_CERTIFICATE.key };
    expectRefused(handshake(makePair({ server: { certificate } })), 'client', 'unsupported_certificate');
  });

  it.each([
    ['a point that is not on the curve', 'secp256r1', () => Uint8Array.of(4, ...new Uint8Array(63), 1)],
    ['a compressed point', 'secp256r1', (key: Uint8Array) => Uint8Array.of(2, ...key.subarray(1, 33))],
    ['the point at infinity', 'secp256r1', () => Uint8Array.of(0)],
    ['a zero shared secret', 'x25519', () => new Uint8Array(32)],
    ['a point of small order', 'x25519', () => Uint8Array.of(1, ...new Uint8Array(31))],
    ['a key that is too short', 'x25519', () => new Uint8Array(31).fill(9)],
  ] as const)("the client's key share: %s (RFC 8422 §5.11)", (_what, group, forge) => {
    const toServer = rewriteMessages(16, (body) => {
      const key = forge(body.subarray(1));
      return Uint8Array.of(key.length, ...key);
    });
    expectRefused(handshake(makePair({ toServer, server: { groups: [group] } })), 'server', 'illegal_parameter');
  });

  it("the server's key share: a zero shared secret, properly signed", () => {
    const zero: CryptoBackend = {
      ...nodeCrypto,
      generateKeyShare: (group) => ({ ...nodeCrypto.generateKeyShare(group), group, publicKey: new Uint8Array(32) }),
    };
    expectRefused(handshake(withBackend({}, 'server', zero)), 'client', 'illegal_parameter');
  });
});
