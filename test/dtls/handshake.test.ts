import { describe, expect, it } from 'vitest';
import { type CryptoBackend, concatBytes, type Env, type KeyType, UsageError, utf8 } from '../../src/core/index.ts';
import { generateCertificate, nobleCrypto, withRecordCipher } from '../../src/crypto/index.ts';
import { encodeCodeList, encodeSupportedVersions } from '../../src/dtls/extensions.ts';
import {
  type CipherSuiteName,
  type DtlsCertificate,
  DtlsClient,
  type DtlsClientOptions,
  DtlsServer,
  type DtlsServerOptions,
} from '../../src/dtls/index.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/messages/index.ts';
import { resolveOptions } from '../../src/dtls/options.ts';
import { CIPHER_SUITES, CLIENT_HELLO, DTLS_1_2, DTLS_1_3, EXT_SUPPORTED_VERSIONS } from '../../src/dtls/registry.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { connectPair, PERFECT, SimWorld, simEnv } from '../sim/index.ts';
import {
  CLIENT_CERTIFICATE,
  connectedPair,
  eventsOf,
  exchange,
  failureOf,
  handshake,
  makePair,
  PLAIN_ENV,
  plainMessage,
  plainRecord,
  recordsOf,
  SERVER_CERTIFICATE,
} from './harness.ts';

const keyTypes: readonly KeyType[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa'];
const certificates = new Map<KeyType, DtlsCertificate>(
  keyTypes.map((keyType) => [keyType, generateCertificate(PLAIN_ENV, { keyType })]),
);
const PSK = { identity: utf8('sensor 7'), key: utf8('a key that both have') };
const pskClient: Partial<DtlsClientOptions> = { psk: PSK };
const pskServer: Partial<DtlsServerOptions> = { psk: () => PSK.key };

describe('a full handshake', () => {
  it('connects, with certificates both ways, and carries data', () => {
    const pair = connectedPair();
    expect(pair.client.peerCertificates).toEqual([SERVER_CERTIFICATE.der]);
    expect(pair.server.peerCertificates).toEqual([CLIENT_CERTIFICATE.der]);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
    expect(pair.client.drops.toJSON()).toEqual({});
    expect(pair.server.drops.toJSON()).toEqual({});
    expect(pair.a.events.map((e) => (e.type === 'state' ? e.state : e.type))).toEqual([
      'connecting',
      'connected',
      'connected',
      'data',
    ]);
  });

  it('takes two round trips with the cookie, and four flights without', () => {
    const plain = connectedPair();
    expect([plain.a.link.counts.sent, plain.b.link.counts.sent]).toEqual([2, 2]);
    const cookie = connectedPair({ server: { cookieExchange: true } });
    expect([cookie.a.link.counts.sent, cookie.b.link.counts.sent]).toEqual([3, 3]);
  });

  it('runs on the portable crypto backend too', () => {
    const world = new SimWorld(1);
    const verifyPeer = () => undefined;
    const env = simEnv(world, nobleCrypto);
    const client = new DtlsClient({ env, certificate: generateCertificate(env), verifyPeer });
    const server = new DtlsServer({
      env,
      certificate: generateCertificate(env),
      requestClientCertificate: true,
      verifyPeer,
    });
    const { a } = connectPair(world, client, server, PERFECT);
    a.driver.mutate((now) => client.start(now));
    world.run({ until: 100 });
    expect([client.state, server.state]).toEqual(['connected', 'connected']);
  });

  const suites = CIPHER_SUITES.map((s) => s.name);
  it.each(suites)('%s', (name) => {
    const suite = CIPHER_SUITES.find((s) => s.name === name)!;
    const rsa = suite.authentication === 'rsa' ? { certificate: certificates.get('rsa')! } : {};
    const pair = connectedPair({
      client: { cipherSuites: [name], ...pskClient, ...rsa },
      server: { cipherSuites: [name], ...pskServer, ...rsa },
    });
    expect(pair.client.negotiated).toMatchObject({ cipherSuite: name, extendedMasterSecret: true, resumed: false });
    expect(pair.server.negotiated?.pskIdentity).toEqual(suite.authentication === 'psk' ? PSK.identity : undefined);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });

  it.each(['x25519', 'secp256r1', 'secp384r1'] as const)('group %s', (group) => {
    const pair = connectedPair({ server: { groups: [group] } });
    expect(pair.client.negotiated?.group).toBe(group);
    expect(pair.server.negotiated?.group).toBe(group);
  });

  it.each(keyTypes.flatMap((a) => keyTypes.map((b) => [a, b] as const)))(
    'client key %s, server key %s',
    (mine, theirs) => {
      const pair = connectedPair({
        client: { certificate: certificates.get(mine)! },
        server: { certificate: certificates.get(theirs)! },
      });
      const scheme = {
        'ecdsa-p256': 'ecdsa_sha256',
        'ecdsa-p384': 'ecdsa_sha384',
        ed25519: 'ed25519',
        rsa: 'rsa_pss_rsae_sha256',
      } as const;
      expect(pair.client.negotiated?.peerSignatureScheme).toBe(scheme[theirs]);
      expect(pair.server.negotiated?.peerSignatureScheme).toBe(scheme[mine]);
    },
  );

  it('chooses among several own certificates by what the client can verify', () => {
    const certificate = [certificates.get('rsa')!, SERVER_CERTIFICATE];
    const cipherSuites: readonly CipherSuiteName[] = ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'];
    const pair = connectedPair({ client: { cipherSuites }, server: { certificate } });
    expect(pair.client.peerCertificates).toEqual([SERVER_CERTIFICATE.der]);
  });

  it('shows the whole chain to verifyPeer', () => {
    const chain = [certificates.get('ed25519')!.der, certificates.get('rsa')!.der];
    const seen: (readonly Uint8Array[])[] = [];
    const verifyPeer = (der: readonly Uint8Array[]) => void seen.push(der);
    connectedPair({ client: { verifyPeer }, server: { certificate: { ...SERVER_CERTIFICATE, chain } } });
    expect(seen).toEqual([[SERVER_CERTIFICATE.der, ...chain]]);
  });
});

describe('negotiation', () => {
  const GCM = 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';
  const CHACHA = 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256';
  const own = withRecordCipher(nodeCrypto);

  it.each([
    ['node', nodeCrypto, nodeCrypto, GCM],
    ['noble', nobleCrypto, nobleCrypto, CHACHA],
    ['node with the record cipher', own, own, CHACHA],
    ['the server, where they differ', own, nodeCrypto, GCM],
    ['the server, the other way round', nodeCrypto, own, CHACHA],
  ] as const)('the cheapest cipher of the backend is the default: %s', (_name, clientCrypto, serverCrypto, suite) => {
    const client = { env: { ...PLAIN_ENV, crypto: clientCrypto } };
    const pair = connectedPair({ client, server: { env: { ...PLAIN_ENV, crypto: serverCrypto } } });
    expect(pair.server.negotiated?.cipherSuite).toBe(suite);
  });

  it('with a PSK too, but no cipher is cheap enough to give forward secrecy up, and the short tag comes last', () => {
    const offered = (crypto: CryptoBackend): string[] => {
      const env = { ...PLAIN_ENV, crypto };
      return resolveOptions({ env }, true).cipherSuites.map((suite) => suite.name);
    };
    const gcmFirst = ['TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'];
    const plain = ['TLS_PSK_WITH_AES_128_GCM_SHA256', 'TLS_PSK_WITH_AES_128_CCM_8'];
    expect(offered(nodeCrypto)).toEqual([...gcmFirst, ...plain]);
    expect(offered(own)).toEqual([...gcmFirst.toReversed(), ...plain]);
    expect(offered({ ...nodeCrypto, aeadPreference: ['aes-128-ccm-8'] })).toEqual([...gcmFirst, ...plain]);
  });

  it('a cipher that the backend does not have is neither offered nor chosen, and to name it is an error', () => {
    const name = 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256';
    const poor: Env = { ...PLAIN_ENV, crypto: { ...nodeCrypto, supportsAead: (aead) => aead.endsWith('gcm') } };
    expect(resolveOptions({ env: poor }, true).cipherSuites.map(({ aead }) => aead)).toEqual([
      'aes-128-gcm',
      'aes-128-gcm',
    ]);
    const pair = connectedPair({ client: { env: { ...PLAIN_ENV, crypto: own } }, server: { env: poor } });
    expect(pair.server.negotiated?.cipherSuite).toMatch(/AES_128_GCM/);
    expect(() => resolveOptions({ env: poor, cipherSuites: [name] }, false)).toThrow(UsageError);
  });

  it('any number of extensions that nobody knows is ignored (RFC 5246 §7.4.1.4)', () => {
    const { a, b, client, server } = makePair();
    let hello = new Uint8Array(0);
    a.link.onSend = (bytes) => {
      hello = bytes.slice(25);
    };
    a.driver.mutate((now) => client.start(now));
    const { extensions = [], ...start } = decodeClientHello(hello);
    const unknown = Array.from({ length: 4000 }, (_, n) => ({ type: 0x1000 + n, data: new Uint8Array(0) }));
    b.driver.input(
      plainMessage(1, 0, encodeClientHello({ ...start, extensions: [...unknown, ...extensions] })),
      undefined,
    );
    expect([server.state, server.drops.toJSON()]).toEqual(['connecting', {}]);
  });

  it('ALPN: the server prefers, the client learns it', () => {
    const pair = connectedPair({ client: { alpn: ['c-webrtc', 'webrtc'] }, server: { alpn: ['webrtc', 'c-webrtc'] } });
    expect([pair.client.negotiated?.alpn, pair.server.negotiated?.alpn]).toEqual(['webrtc', 'webrtc']);
  });

  it('ALPN: without a common name the server fails with no_application_protocol (RFC 7301 §3.2)', () => {
    const pair = handshake(makePair({ client: { alpn: ['webrtc'] }, server: { alpn: ['coap'] } }));
    expect(failureOf(pair.a)).toMatchObject({ by: 'remote', alert: 'no_application_protocol' });
  });

  it('use_srtp: a common profile is chosen; without profiles none is, and the handshake goes on', () => {
    const both = connectedPair({ client: { srtpProfiles: [1, 7] }, server: { srtpProfiles: [7, 8] } });
    expect([both.client.negotiated?.srtpProfile, both.server.negotiated?.srtpProfile]).toEqual([7, 7]);
    const chrome = connectedPair({ client: { srtpProfiles: [1, 7, 8] } });
    expect([chrome.client.negotiated?.srtpProfile, chrome.server.negotiated?.srtpProfile]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('server_name reaches the server', () => {
    const pair = connectedPair({ client: { serverName: 'peer.example' } });
    expect(pair.server.negotiated?.serverName).toBe('peer.example');
  });

  it('record_size_limit bounds what the other side sends (RFC 8449 §4)', () => {
    const pair = connectedPair({ client: { recordSizeLimitBytes: 100 }, server: { recordSizeLimitBytes: 200 } });
    expect(pair.server.negotiated?.maxSendRecordBytes).toBe(100);
    expect(pair.client.negotiated?.maxSendRecordBytes).toBe(200);
    expect(() => pair.server.send(new Uint8Array(101), pair.world.now)).toThrow('a record holds 100 bytes');
    exchange(pair);
    expect(pair.received.client).toEqual(['from server']);
  });

  it.each([
    [utf8('client-id'), utf8('srv')],
    [new Uint8Array(0), utf8('srv')],
    [utf8('client-id'), new Uint8Array(0)],
  ])('connection IDs travel in each direction that wants them (RFC 9146 §3)', (clientId, serverId) => {
    const pair = connectedPair({ client: { connectionId: clientId }, server: { connectionId: serverId } });
    expect(pair.client.negotiated).toMatchObject({ sendConnectionId: serverId, receiveConnectionId: clientId });
    expect(pair.server.negotiated).toMatchObject({ sendConnectionId: clientId, receiveConnectionId: serverId });
    const seen: number[] = [];
    pair.a.link.onSend = (datagram) => void seen.push(datagram[0]!);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
    expect(seen).toEqual([serverId.length > 0 ? 25 : 23]);
    pair.a.driver.mutate((now) => pair.client.close(now));
    pair.world.run({ until: pair.world.now + 100 });
    expect(pair.server.state).toBe('closed');
  });

  it('connection IDs are not used unless both sides know them', () => {
    const pair = connectedPair({ client: { connectionId: utf8('id') } });
    expect(pair.client.negotiated?.receiveConnectionId).toBeUndefined();
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });

  it('exports the same keying material on both sides, and the context counts (RFC 5705 §4)', () => {
    const { client, server } = connectedPair();
    const label = 'EXTRACTOR-dtls_srtp';
    const mine = client.exportKeyingMaterial(label, undefined, 60);
    expect(mine).toEqual(server.exportKeyingMaterial(label, undefined, 60));
    expect(client.exportKeyingMaterial(label, new Uint8Array(0), 60)).not.toEqual(mine);
    expect(client.exportKeyingMaterial(label, utf8('x'), 60)).toEqual(
      server.exportKeyingMaterial(label, utf8('x'), 60),
    );
    expect(() => client.exportKeyingMaterial('key expansion', undefined, 60)).toThrow('reserved');
  });

  it('logs the same master secret on both sides in NSS format', () => {
    const lines: string[] = [];
    connectedPair({ client: { keyLog: (l) => lines.push(l) }, server: { keyLog: (l) => lines.push(l) } });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/);
    expect(lines[1]).toBe(lines[0]);
  });

  it('a PSK the server does not know fails with unknown_psk_identity (RFC 4279 §2)', () => {
    const pair = handshake(
      makePair({
        client: { psk: PSK, cipherSuites: ['TLS_PSK_WITH_AES_128_GCM_SHA256'] },
        server: { psk: () => undefined },
      }),
    );
    expect(failureOf(pair.a)).toMatchObject({ by: 'remote', alert: 'unknown_psk_identity' });
  });

  it('a wrong PSK never connects: the Finished under other keys is dropped', () => {
    const pair = handshake(
      makePair({
        client: { psk: PSK, cipherSuites: ['TLS_PSK_WITH_AES_128_GCM_SHA256'], maxRetransmissions: 2 },
        server: { psk: () => utf8('another key'), maxRetransmissions: 2 },
      }),
    );
    expect(failureOf(pair.a)).toMatchObject({ by: 'timeout' });
    expect(pair.server.drops.get('decrypt-failed')).toBeGreaterThan(0);
  });

  it('the identity hint reaches the client (RFC 4279 §5.2)', () => {
    const hints: (Uint8Array | undefined)[] = [];
    const psk = (hint: Uint8Array | undefined) => {
      hints.push(hint);
      return PSK;
    };
    const cipherSuites: readonly CipherSuiteName[] = ['TLS_PSK_WITH_AES_128_CCM_8'];
    connectedPair({ client: { psk, cipherSuites }, server: { ...pskServer, pskIdentityHint: utf8('hint') } });
    connectedPair({ client: { psk, cipherSuites }, server: pskServer });
    expect(hints).toEqual([utf8('hint'), undefined]);
  });
});

/** Turns our ClientHello into one such as Chrome sends: GREASE, DTLS 1.3 first, and a share of over 1 kB. */
function likeChrome(body: Uint8Array): Uint8Array {
  const hello = decodeClientHello(body);
  const share = concatBytes(encodeCodeList([0x11ec]), new Uint8Array(1216));
  return encodeClientHello({
    ...hello,
    cipherSuites: [0x1a1a, 0x1301, 0x1302, 0x1303, ...hello.cipherSuites],
    extensions: [
      { type: 0x2a2a, data: new Uint8Array(0) },
      ...(hello.extensions ?? []).map((e) =>
        e.type === 10 ? { type: 10, data: encodeCodeList([0x3a3a, 0x11ec, 29, 23, 24]) } : e,
      ),
      { type: EXT_SUPPORTED_VERSIONS, data: encodeSupportedVersions([0x4a4a, DTLS_1_3, DTLS_1_2]) },
      { type: 51, data: share },
      { type: 0x5a5a, data: new Uint8Array(1) },
    ],
  });
}

describe('a ClientHello larger than the MTU', () => {
  /** The server alone is fed: what it answers tells that the hello was understood. */
  function feed(fragments: readonly Uint8Array[], cookieExchange: boolean) {
    const pair = makePair({ server: { cookieExchange } });
    const answers: Uint8Array[] = [];
    pair.b.link.onSend = (bytes) => void answers.push(bytes.slice());
    for (const fragment of fragments) pair.b.driver.input(fragment.slice(), undefined);
    return { pair, answers };
  }

  function helloFragments(sizeBytes: number): Uint8Array[] {
    const pair = makePair();
    let datagram: Uint8Array | undefined;
    pair.a.link.onSend = (bytes) => {
      datagram = bytes.slice();
    };
    pair.a.driver.mutate((now) => pair.client.start(now));
    const body = likeChrome(recordsOf(datagram!)[0]!.subarray(25));
    expect(body.length).toBeGreaterThan(1300);
    const fragments: Uint8Array[] = [];
    for (let at = 0; at < body.length; at += sizeBytes) {
      const part = body.subarray(at, at + sizeBytes);
      const head = [CLIENT_HELLO, ...u24(body.length), 0, 0, ...u24(at), ...u24(part.length)];
      fragments.push(plainRecord(22, concatBytes(Uint8Array.from(head), part), fragments.length));
    }
    return fragments;
  }
  const u24 = (n: number): number[] => [n >>> 16, (n >>> 8) & 255, n & 255];

  it.each([
    ['in order', (f: Uint8Array[]) => f],
    ['reversed', (f: Uint8Array[]) => f.toReversed()],
    ['with duplicates', (f: Uint8Array[]) => f.flatMap((x) => [x, x])],
    ['odd ones last', (f: Uint8Array[]) => [...f.filter((_, i) => i % 2 === 0), ...f.filter((_, i) => i % 2 === 1)]],
  ] as const)('is put together %s, and answered with DTLS 1.2', (_name, order) => {
    const fragments = helloFragments(400);
    expect(fragments.length).toBeGreaterThan(3);
    const { pair, answers } = feed(order(fragments), false);
    expect(pair.server.state).toBe('connecting');
    const hello = recordsOf(answers[0]!)[0]!;
    expect([hello[13], hello[25], hello[26]]).toEqual([2, 0xfe, 0xfd]);
    expect(pair.server.drops.total).toBe(pair.server.drops.get('stale')); // duplicates behind the end
  });

  it('is asked for its cookie once, by its first fragment (RFC 6347 §4.2.1)', () => {
    const fragments = helloFragments(400);
    expect(feed(fragments.slice(1), true).answers).toHaveLength(0);
    expect(feed(fragments.slice(0, 1), true).answers).toHaveLength(1);
    const { pair, answers } = feed(fragments, true);
    expect(answers).toHaveLength(1);
    expect(recordsOf(answers[0]!)[0]![13]).toBe(3);
    expect(pair.server.state).toBe('new');
  });
});

describe('ends', () => {
  it('close_notify both ways: both sides are closed, and neither speaks after', () => {
    const pair = connectedPair();
    pair.a.driver.mutate((now) => pair.client.close(now));
    pair.world.run({ until: pair.world.now + 1000 });
    expect([pair.client.state, pair.server.state]).toEqual(['closed', 'closed']);
    expect(eventsOf(pair.b, 'alert')).toMatchObject([
      { direction: 'received', level: 'warning', description: 'close_notify' },
      { direction: 'sent', level: 'warning', description: 'close_notify' },
    ]);
    expect([eventsOf(pair.a, 'closed'), eventsOf(pair.b, 'closed')].map((e) => e.length)).toEqual([1, 1]);
    expect(() => pair.client.send(utf8('late'), pair.world.now)).toThrow('cannot send: closed');
  });

  it('data sent before close arrives before it', () => {
    const pair = connectedPair();
    pair.a.driver.mutate((now) => {
      pair.client.send(utf8('last words'), now);
      pair.client.close(now);
    });
    pair.world.run({ until: pair.world.now + 1000 });
    expect(pair.received.server).toEqual(['last words']);
    expect(pair.server.state).toBe('closed');
  });

  it('close in the middle of the handshake tells the peer', () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.world.run({ until: 1.5 });
    pair.a.driver.mutate((now) => pair.client.close(now));
    pair.world.run({ until: 1000 });
    expect([pair.client.state, pair.server.state]).toEqual(['closed', 'closed']);
  });

  it('nobody answers: retransmissions double from 1 s to the cap, then the handshake fails (RFC 6347 §4.2.4.1)', () => {
    const pair = makePair({ client: { maxRetransmissions: 8 }, link: { latencyMs: 1, loss: 1 } });
    const at: number[] = [];
    pair.a.link.onSend = (_bytes, now) => void at.push(now);
    handshake(pair);
    expect(at).toEqual([0, 1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000, 183_000]);
    expect(pair.world.now).toBe(243_000);
    expect(failureOf(pair.a)).toEqual({ by: 'timeout', message: 'the peer does not answer the handshake' });
  });

  it('the first time-out can follow the path: 50 ms at least', () => {
    expect(() => makePair({ client: { initialRtoMs: 49 } })).toThrow('initialRtoMs must be from 50');
    const pair = makePair({ client: { initialRtoMs: 50, maxRetransmissions: 2 }, link: { latencyMs: 1, loss: 1 } });
    handshake(pair);
    expect(pair.world.now).toBe(350);
  });

  it("a second start, sending too early and options without sense are the caller's mistakes", () => {
    const pair = makePair();
    expect(() => pair.client.send(utf8('x'), 0)).toThrow('cannot send: new');
    pair.a.driver.mutate((now) => pair.client.start(now));
    expect(() => pair.client.start(0)).toThrow('started already');
    expect(() => makePair({ client: { mtuBytes: 63 } })).toThrow('mtuBytes');
    expect(() => makePair({ client: { cipherSuites: [] } })).toThrow('no cipher suite');
    expect(() => makePair({ client: { groups: [] } })).toThrow('no group');
    expect(() => makePair({ server: { cipherSuites: ['TLS_PSK_WITH_AES_128_CCM_8'] } })).toThrow('need a PSK');
    expect(() => new DtlsServer({ env: PLAIN_ENV })).toThrow('a certificate or a PSK');
    const connected = connectedPair();
    expect(() => connected.client.send(new Uint8Array(16_385), 0)).toThrow('a record holds 16384 bytes');
  });
});

describe('sealInPlace', () => {
  it('makes the record around the plaintext without moving it', () => {
    const pair = connectedPair();
    const { client } = pair;
    expect([client.recordHeadroom, client.recordOverhead]).toEqual([21, 37]);
    const slot = { buffer: new Uint8Array(200), offset: 64, length: 5, path: undefined };
    slot.buffer.set(utf8('hello'), 64);
    client.sealInPlace(slot);
    expect([slot.offset, slot.length]).toEqual([64 - 21, 5 + 37]);
    pair.b.driver.input(slot.buffer.slice(slot.offset, slot.offset + slot.length), undefined);
    expect(pair.received.server).toEqual(['hello']);
  });

  it('refuses a slot without room, and a connection that is not there', () => {
    const { client } = connectedPair();
    expect(() => client.sealInPlace({ buffer: new Uint8Array(99), offset: 20, length: 5, path: undefined })).toThrow(
      'no room',
    );
    expect(() => client.sealInPlace({ buffer: new Uint8Array(40), offset: 21, length: 5, path: undefined })).toThrow(
      'no room',
    );
    expect(() =>
      makePair().client.sealInPlace({ buffer: new Uint8Array(99), offset: 50, length: 5, path: undefined }),
    ).toThrow('cannot send');
  });
});
