import { describe, expect, it } from 'vitest';
import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import {
  type ClientHello,
  decodeClientHello,
  decodeServerHello,
  encodeClientHello,
  encodeServerHello,
  type ServerHello,
} from '../../src/dtls/messages/index.ts';
import {
  failureOf,
  handshake,
  makePair,
  type Pair,
  type PairOptions,
  plainMessage,
  rewriteMessages,
} from './harness.ts';

type Fault = readonly [type: number, what: string, rewrite: Rewrite, alert: string, options?: PairOptions];
type Rewrite = (body: Uint8Array) => Uint8Array;

/** The side that finds the fault sends this alert, and the other hears it. */
function expectAlert(pair: Pair, by: 'client' | 'server', alert: string): void {
  const [finder, other] = by === 'client' ? [pair.a, pair.b] : [pair.b, pair.a];
  expect(failureOf(finder)).toMatchObject({ by: 'local', alert });
  expect(failureOf(other)).toMatchObject({ by: 'remote', alert });
}

const set =
  (at: number, ...bytes: number[]): Rewrite =>
  (body) => {
    body.set(bytes, at);
    return body;
  };
const tail =
  (hex: string): Rewrite =>
  (body) =>
    concatBytes(body, hexToBytes(hex));
const cut =
  (n: number): Rewrite =>
  (body) =>
    body.slice(0, body.length - n);
const all =
  (hex: string): Rewrite =>
  () =>
    hexToBytes(hex);
const serverHello =
  (change: (hello: ServerHello) => Partial<ServerHello>): Rewrite =>
  (body) => {
    const hello = decodeServerHello(body);
    return encodeServerHello({ ...hello, ...change(hello) });
  };
const clientHello =
  (change: (hello: ClientHello) => Partial<ClientHello>): Rewrite =>
  (body) => {
    const hello = decodeClientHello(body);
    return encodeClientHello({ ...hello, ...change(hello) });
  };
const withExtension = (type: number, hex: string) => (hello: ServerHello | ClientHello) => ({
  extensions: [...(hello.extensions ?? []).filter((e) => e.type !== type), { type, data: hexToBytes(hex) }],
});
const without = (type: number) => (hello: ServerHello | ClientHello) => ({
  extensions: (hello.extensions ?? []).filter((e) => e.type !== type),
});

/** Message type, what is wrong, how it is made wrong, and the alert that RFC 5246 §7.2.2 or the extension's RFC names. */
const toClient: readonly Fault[] = [
  [2, 'ServerHello cut short', cut(1), 'decode_error'],
  [2, 'ServerHello with a byte behind it', tail('00'), 'decode_error'],
  [2, 'ServerHello with a suite not offered', serverHello(() => ({ cipherSuite: 0x002f })), 'illegal_parameter'],
  [2, 'ServerHello with compression', serverHello(() => ({ compressionMethod: 1 })), 'illegal_parameter'],
  [2, 'ServerHello of TLS 1.2', serverHello(() => ({ version: 0x0303 })), 'protocol_version'],
  [2, 'an extension not offered', serverHello(withExtension(14, '0002000100')), 'unsupported_extension'],
  [2, 'an extension nobody knows', serverHello(withExtension(0x7777, '')), 'unsupported_extension'],
  [
    2,
    'an extension twice',
    serverHello((h) => ({ extensions: [...h.extensions!, h.extensions![0]!] })),
    'illegal_parameter',
  ],
  [2, 'no renegotiation_info (RFC 5746 §3.4)', serverHello(without(0xff01)), 'handshake_failure'],
  [2, 'renegotiation_info not empty (RFC 5746 §3.4)', serverHello(withExtension(0xff01, '0101')), 'handshake_failure'],
  [2, 'renegotiation_info malformed', serverHello(withExtension(0xff01, '02')), 'decode_error'],
  [2, 'no extended_master_secret (RFC 7627 §5.2)', serverHello(without(23)), 'handshake_failure'],
  [2, 'extended_master_secret not empty', serverHello(withExtension(23, '00')), 'decode_error'],
  [
    2,
    'point formats without uncompressed (RFC 8422 §5.1.2)',
    serverHello(withExtension(11, '0101')),
    'illegal_parameter',
  ],
  [
    2,
    'two ALPN names (RFC 7301 §3.1)',
    serverHello(withExtension(16, '0004016101 62'.replace(' ', ''))),
    'illegal_parameter',
    { client: { alpn: ['a', 'b'] } },
  ],
  [
    2,
    'an ALPN name not offered',
    serverHello(withExtension(16, '00020163')),
    'illegal_parameter',
    { client: { alpn: ['a'] } },
  ],
  [
    2,
    'an SRTP profile not offered (RFC 5764 §4.1.1)',
    serverHello(withExtension(14, '0002000200')),
    'illegal_parameter',
    { client: { srtpProfiles: [1] } },
  ],
  [
    2,
    'an SRTP MKI not offered',
    serverHello(withExtension(14, '000200010177')),
    'illegal_parameter',
    { client: { srtpProfiles: [1] } },
  ],
  [
    2,
    'record_size_limit of 63 (RFC 8449 §4)',
    serverHello(withExtension(28, '003f')),
    'illegal_parameter',
    { client: { recordSizeLimitBytes: 100 } },
  ],
  [
    2,
    'server_name not empty (RFC 6066 §3)',
    serverHello(withExtension(0, '00')),
    'decode_error',
    { client: { serverName: 'x' } },
  ],
  [
    2,
    'session_ticket not empty (RFC 5077 §3.2)',
    serverHello(withExtension(35, '00')),
    'decode_error',
    { client: { tickets: true } },
  ],
  [
    2,
    'connection_id malformed',
    serverHello(withExtension(54, '05')),
    'decode_error',
    { client: { connectionId: new Uint8Array(2) } },
  ],
  [11, 'an empty certificate list', all('000000'), 'decode_error'],
  [11, 'a certificate list cut short', cut(1), 'decode_error'],
  [11, 'a certificate of nonsense', all('000006 000003 300100'), 'bad_certificate'],
  [12, 'ServerKeyExchange cut short', cut(1), 'decode_error'],
  [12, 'ServerKeyExchange with a byte behind it', tail('00'), 'decode_error'],
  [12, 'an explicit curve', set(0, 1), 'illegal_parameter'],
  [12, 'a group not offered', set(1, 0, 25), 'illegal_parameter'],
  [12, 'a scheme not offered (SHA-1)', set(36, 2, 3), 'illegal_parameter'],
  [12, 'a scheme of another kind of key', set(36, 4, 1), 'illegal_parameter'],
  [12, 'the signature', (b) => set(b.length - 1, b[b.length - 1]! ^ 1)(b), 'decrypt_error'],
  [13, 'CertificateRequest without types', all('00 0002 0403 0000'), 'decode_error'],
  [14, 'ServerHelloDone with content', tail('00'), 'decode_error'],
];

const toServer: readonly Fault[] = [
  [1, 'ClientHello cut short', cut(1), 'decode_error'],
  [1, 'ClientHello with a byte behind it', tail('00'), 'decode_error'],
  [1, 'ClientHello of DTLS 1.0', clientHello(() => ({ version: 0xfeff })), 'protocol_version'],
  [1, 'ClientHello of TLS', clientHello(() => ({ version: 0x0303 })), 'protocol_version'],
  [1, 'only DTLS 1.3 in supported_versions', clientHello(withExtension(43, '02fefc')), 'protocol_version'],
  [1, 'no null compression', clientHello(() => ({ compressionMethods: Uint8Array.of(1) })), 'illegal_parameter'],
  [1, 'no common suite', clientHello(() => ({ cipherSuites: [0x002f, 0x1301] })), 'handshake_failure'],
  [1, 'no common group', clientHello(withExtension(10, '0002001e')), 'handshake_failure'],
  [1, 'no signature_algorithms: SHA-1 is its default', clientHello(without(13)), 'handshake_failure'],
  [1, 'only SHA-1 signatures', clientHello(withExtension(13, '00020203')), 'handshake_failure'],
  [
    1,
    'the curve of our certificate is not among the groups (RFC 8422 §5.3)',
    clientHello(withExtension(10, '0002001d')),
    'handshake_failure',
  ],
  [1, 'signature_algorithms of odd length', clientHello(withExtension(13, '0003040304')), 'decode_error'],
  [1, 'empty supported_groups', clientHello(withExtension(10, '0000')), 'decode_error'],
  [1, 'no extended_master_secret', clientHello(without(23)), 'handshake_failure'],
  [1, 'extended_master_secret not empty', clientHello(withExtension(23, '00')), 'decode_error'],
  [1, 'renegotiation_info not empty (RFC 5746 §3.6)', clientHello(withExtension(0xff01, '0101')), 'handshake_failure'],
  [1, 'point formats without uncompressed', clientHello(withExtension(11, '0101')), 'illegal_parameter'],
  [
    1,
    'an extension twice',
    clientHello((h) => ({ extensions: [...h.extensions!, h.extensions![0]!] })),
    'illegal_parameter',
  ],
  [1, 'record_size_limit of 63', clientHello(withExtension(28, '003f')), 'illegal_parameter'],
  [1, 'a server_name that is none', clientHello(withExtension(0, '0004 01 0001 61')), 'illegal_parameter'],
  [1, 'an empty ALPN name', clientHello(withExtension(16, '000100')), 'decode_error'],
  [11, 'an empty list where a certificate is required', all('000000'), 'handshake_failure'],
  [11, 'a certificate of nonsense', all('000006 000003 300100'), 'bad_certificate'],
  [11, 'a list longer than the message', all('000007 000003 300100'), 'decode_error'],
  [16, 'ClientKeyExchange without a point', all('00'), 'decode_error'],
  [16, 'ClientKeyExchange cut short', cut(1), 'decode_error'],
  [15, 'CertificateVerify cut short', cut(1), 'decode_error'],
  [15, 'CertificateVerify with SHA-1', set(0, 2, 3), 'illegal_parameter'],
  [15, 'CertificateVerify with a scheme of another kind of key', set(0, 8, 4), 'illegal_parameter'],
  [15, 'the signature of CertificateVerify', (b) => set(b.length - 1, b[b.length - 1]! ^ 1)(b), 'decrypt_error'],
];

const named = (faults: readonly Fault[]) =>
  faults.map(([type, what, rewrite, alert, options]) => ({ type, what, rewrite, alert, options: options ?? {} }));

describe('each fault has the alert its RFC names', () => {
  it.each(named(toClient))('message $type: $what', ({ type, rewrite, alert, options }) => {
    expectAlert(handshake(makePair({ ...options, toClient: rewriteMessages(type, rewrite) })), 'client', alert);
  });

  it.each(named(toServer))('message $type: $what', ({ type, rewrite, alert, options }) => {
    expectAlert(handshake(makePair({ ...options, toServer: rewriteMessages(type, rewrite) })), 'server', alert);
  });

  it('renegotiation_info may be missing where the caller says so (old IoT servers)', () => {
    const strip = rewriteMessages(2, serverHello(without(0xff01)));
    const pair = handshake(makePair({ toClient: strip, client: { requireRenegotiationInfo: false } }));
    expect(failureOf(pair.b)?.message).toContain('CertificateVerify'); // only the changed transcript is noticed
  });
});

describe('messages at the wrong time', () => {
  const emptyAt = (type: number, seq: number): Uint8Array => plainMessage(type, seq, new Uint8Array(4));

  it.each([2, 4, 11, 12, 13, 14, 15, 16, 99].filter((type) => type !== 2))('type %i as the first answer', (type) => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.a.driver.input(emptyAt(type, 0), undefined);
    expect(failureOf(pair.a)).toMatchObject({ by: 'local', alert: 'unexpected_message' });
  });

  it('HelloRequest during the handshake is ignored (RFC 5246 §7.4.1.1)', () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.a.driver.input(plainMessage(0, 0, new Uint8Array(0)), undefined);
    expect(pair.client.state).toBe('connecting');
  });

  it.each([1, 2, 14, 15])('type %i where the server waits for a certificate', (type) => {
    const pair = makePair();
    pair.a.link.dropIf = (index) => index > 0;
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.world.run({ until: 100 });
    pair.b.driver.input(emptyAt(type, 1), undefined);
    expect(failureOf(pair.b)).toMatchObject({ by: 'local', alert: 'unexpected_message' });
  });

  it('nothing but a ClientHello begins a connection', () => {
    const pair = makePair();
    for (const type of [0, 2, 11, 16]) pair.b.driver.input(emptyAt(type, 0), undefined);
    expect([pair.server.state, pair.server.drops.toJSON()]).toEqual(['new', { 'bad-state': 4 }]);
  });

  it('a second CertificateRequest', () => {
    const twice = rewriteMessages(14, () => hexToBytes('0140 0002 0403 0000'));
    const pair = handshake(
      makePair({
        toClient: (datagram) =>
          twice(datagram).map((record) => {
            if (record[13] === 14) record[13] = 13;
            return record;
          }),
      }),
    );
    expect(failureOf(pair.a)).toMatchObject({ by: 'local', alert: 'unexpected_message' });
  });
});
