import { describe, expect, it } from 'vitest';
import { bytesToHex, hexToBytes, utf8 } from '../../src/core/index.ts';
import {
  type CipherSuiteName,
  type DtlsClient,
  type DtlsServer,
  type DtlsServerOptions,
  MemorySessionCache,
  TicketKeys,
} from '../../src/dtls/index.ts';
import { type CertificateFiles, ENV, type PeerProcess, type UdpDtls } from './dtls-peers.ts';
import { DtlsTable, KEYS_AND_SUITES, mebibyteEachWay } from './dtls-table.ts';

/** OpenSSL's `s_server` and `s_client` against the DTLS module alone, over a plain socket. */
describe('OpenSSL', () => {
  const table = new DtlsTable('openssl');

  async function startServer(args: readonly string[]): Promise<{ readonly peer: PeerProcess; readonly port: number }> {
    const peer = table.start('openssl', ['s_server', '-dtls1_2', '-accept', '127.0.0.1:0', ...args]);
    const match = await peer.printed(/ACCEPT 127\.0\.0\.1:(\d+)/);
    return { peer, port: Number(match[1]) };
  }

  function startClient(port: number, args: readonly string[]): PeerProcess {
    const target = ['-connect', `127.0.0.1:${port}`];
    const peer = table.start('openssl', ['s_client', '-dtls1_2', '-nocommands', ...target, ...args]);
    return peer;
  }

  const identity = (files: CertificateFiles): string[] => ['-cert', files.certificateFile, '-key', files.keyFile];

  /** A line each way: OpenSSL prints what it receives and sends what is typed. */
  async function echo(udp: UdpDtls<DtlsClient | DtlsServer>, peer: PeerProcess): Promise<void> {
    udp.send('hello from purertc\n');
    await peer.printed(/hello from purertc/);
    peer.type('hello from openssl\n');
    await udp.happened(/data:hello from openssl/);
  }

  const suites: readonly (readonly [CipherSuiteName, string])[] = [
    ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
    ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
  ];
  const groups = [
    ['x25519', 'X25519'],
    ['secp256r1', 'P-256'],
    ['secp384r1', 'P-384'],
  ] as const;
  const matrix = suites.flatMap(([suite, cipher]) => groups.map(([group, curve]) => ({ suite, cipher, group, curve })));

  it.each(matrix)('s_server takes our client: $suite, $group', async ({ suite, cipher, group }) => {
    const { peer, port } = await startServer([...identity(table.theirs), '-Verify', '1', '-cipher', cipher]);
    const client = await table.connect(port, { groups: [group, 'secp256r1'] }); // P-256 for the certificate, RFC 8422 §5.3
    await client.happened(/^connected$/m);
    expect(client.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(client.core.peerCertificates).toEqual([table.theirs.der]);
    await echo(client, peer);
    client.mutate((core, now) => core.close(now));
    await peer.printed(/DONE|closed|CONNECTION CLOSED/i);
  });

  it.each(matrix)('s_client connects to our server: $suite, $group', async ({ suite, cipher, group, curve }) => {
    const server = await table.listen({ groups: [group] });
    const peer = startClient(server.port, [
      ...identity(table.theirs),
      '-cipher',
      cipher,
      '-curves',
      [...new Set([curve, 'P-256'])].join(':'),
    ]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(server.core.peerCertificates).toEqual([table.theirs.der]);
    await echo(server, peer);
    peer.endInput(); // s_client says close_notify and ends
    await server.happened(/^closed$/m);
    await peer.exited();
  });

  // OpenSSL 3.0's DTLS server has "no shared cipher" for an Ed25519 certificate, with its own s_client too. GnuTLS has.
  it.each(KEYS_AND_SUITES.filter(([keyType]) => keyType !== 'ed25519'))(
    's_server and our client, both with %s: %s',
    async (keyType, suite) => {
      const [mine, other] = [table.credentials.make({ keyType }), table.credentials.make({ keyType })];
      const { peer, port } = await startServer([...identity(other), '-Verify', '1']);
      const client = await table.connect(port, { certificate: mine, cipherSuites: [suite] });
      await client.happened(/^connected$/m);
      expect(client.core.negotiated?.cipherSuite).toBe(suite);
      await echo(client, peer);
    },
  );

  it.each(KEYS_AND_SUITES)('s_client and our server, both with %s: %s', async (keyType, suite) => {
    const [mine, other] = [table.credentials.make({ keyType }), table.credentials.make({ keyType })];
    const server = await table.listen({ certificate: mine, cipherSuites: [suite] });
    const peer = startClient(server.port, identity(other));
    await server.happened(/^connected$/m);
    expect(server.core.negotiated?.cipherSuite).toBe(suite);
    expect(server.core.peerCertificates).toEqual([other.der]);
    await echo(server, peer);
  });

  it.each([
    ['rsa_pkcs1_sha256', 'RSA+SHA256'],
    ['rsa_pkcs1_sha384', 'RSA+SHA384'],
    ['rsa_pkcs1_sha512', 'RSA+SHA512'],
    ['rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha256'],
    ['rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha384'],
    ['rsa_pss_rsae_sha512', 'rsa_pss_rsae_sha512'],
  ] as const)('RSA signatures both ways: %s', async (scheme, sigalgs) => {
    const [mine, other] = [table.credentials.make({ keyType: 'rsa' }), table.credentials.make({ keyType: 'rsa' })];
    const { peer, port } = await startServer([
      ...identity(other),
      '-Verify',
      '1',
      '-sigalgs',
      sigalgs,
      '-client_sigalgs',
      sigalgs,
    ]);
    const client = await table.connect(port, { certificate: mine });
    await client.happened(/^connected$/m);
    expect(client.core.negotiated?.peerSignatureScheme).toBe(scheme);
    await echo(client, peer);
  });

  const SECRET = '00112233445566778899aabbccddeeff';
  const psk = { identity: utf8('sensor'), key: hexToBytes(SECRET) };
  const preShared: readonly (readonly [CipherSuiteName, string])[] = [
    ['TLS_PSK_WITH_AES_128_GCM_SHA256', 'PSK-AES128-GCM-SHA256'],
    ['TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', 'PSK-CHACHA20-POLY1305'],
    ['TLS_PSK_WITH_AES_128_CCM', 'PSK-AES128-CCM@SECLEVEL=0'],
    ['TLS_PSK_WITH_AES_128_CCM_8', 'PSK-AES128-CCM8@SECLEVEL=0'],
    ['TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', 'ECDHE-PSK-CHACHA20-POLY1305'],
  ];

  it.each(preShared)('s_server with a PSK and our client: %s', async (suite, cipher) => {
    const args = ['-nocert', '-psk', SECRET, '-psk_identity', 'sensor', '-psk_hint', 'a hint', '-cipher', cipher];
    const { peer, port } = await startServer(args);
    const client = await table.connect(port, { cipherSuites: [suite], psk: () => psk });
    await client.happened(/^connected$/m);
    expect(client.core.negotiated?.cipherSuite).toBe(suite);
    await echo(client, peer);
  });

  it.each(preShared)('s_client with a PSK and our server: %s', async (suite, cipher) => {
    const server = await table.listen({ cipherSuites: [suite], psk: () => psk.key, pskIdentityHint: utf8('a hint') });
    const peer = startClient(server.port, ['-psk', SECRET, '-psk_identity', 'sensor', '-cipher', cipher]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated).toMatchObject({ cipherSuite: suite, pskIdentity: psk.identity });
    await echo(server, peer);
  });

  it.each([
    ['TLS_ECDHE_ECDSA_WITH_AES_128_CCM', 'ECDHE-ECDSA-AES128-CCM@SECLEVEL=0'],
    ['TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8', 'ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0'],
  ] as const)('CCM in both roles: %s', async (suite, cipher) => {
    const { peer, port } = await startServer([...identity(table.theirs), '-cipher', cipher]);
    const client = await table.connect(port, { cipherSuites: [suite] });
    await client.happened(/^connected$/m);
    await echo(client, peer);
    const server = await table.listen({ cipherSuites: [suite] });
    const other = startClient(server.port, [...identity(table.theirs), '-cipher', cipher]);
    await server.happened(/^connected$/m);
    await echo(server, other);
  });

  it.each([
    ['by ticket', []],
    ['by session ID', ['-no_ticket']],
  ] as const)('our client resumes %s', async (way, args) => {
    const { peer, port } = await startServer([...identity(table.theirs), '-Verify', '1', ...args]);
    const options = { tickets: way === 'by ticket' };
    const first = await table.connect(port, options);
    await first.happened(/^session$/m);
    await echo(first, peer);
    first.mutate((core, now) => core.close(now));
    const session = first.events.find((event) => event.type === 'session')?.session;
    await peer.printed(/^DONE$/m);
    const second = await table.connect(port, { ...options, ...(session === undefined ? {} : { session }) });
    await second.happened(/^connected$/m);
    expect(second.core.negotiated?.resumed).toBe(true);
    expect(second.core.peerCertificates).toEqual([table.theirs.der]);
    second.send('hello again\n');
    await peer.printed(/hello again/);
  });

  it.each(['ticket', 'session ID'])('s_client resumes with our server by %s', async (way) => {
    const resumption: Partial<DtlsServerOptions> =
      way === 'ticket' ? { ticketKeys: new TicketKeys(ENV) } : { sessionCache: new MemorySessionCache() };
    const file = `${table.credentials.folder}/session-${way.length}.pem`;
    const first = await table.listen(resumption);
    const before = startClient(first.port, [...identity(table.theirs), '-sess_out', file]);
    await first.happened(/^connected$/m);
    await echo(first, before);
    before.endInput();
    await before.exited();
    const second = await table.listen(resumption);
    const after = startClient(second.port, [...identity(table.theirs), '-sess_in', file]);
    await second.happened(/^connected$/m);
    expect(second.core.negotiated?.resumed).toBe(true);
    expect(second.core.peerCertificates).toEqual([table.theirs.der]);
    await echo(second, after);
    await after.printed(/Reused, TLSv1\.2/);
  });

  it('ALPN and server_name, in both roles', async () => {
    const { peer, port } = await startServer([...identity(table.theirs), '-alpn', 'c-webrtc,webrtc']);
    const client = await table.connect(port, { alpn: ['webrtc', 'c-webrtc'], serverName: 'peer.example' });
    await client.happened(/^connected$/m);
    expect(client.core.negotiated?.alpn).toBe('c-webrtc');
    await echo(client, peer);
    const server = await table.listen({ alpn: ['webrtc'] });
    const other = startClient(server.port, [
      ...identity(table.theirs),
      '-alpn',
      'c-webrtc,webrtc',
      '-servername',
      'peer.example',
    ]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated).toMatchObject({ alpn: 'webrtc', serverName: 'peer.example' });
    await other.printed(/ALPN protocol: webrtc/);
  });

  it('use_srtp: the profile and the exported keys are the same on both sides', async () => {
    const label = 'EXTRACTOR-dtls_srtp';
    const server = await table.listen({ srtpProfiles: [7, 1] });
    const srtp = [
      '-use_srtp',
      'SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM',
      '-keymatexport',
      label,
      '-keymatexportlen',
      '60',
    ];
    const peer = startClient(server.port, [...identity(table.theirs), ...srtp]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated?.srtpProfile).toBe(7);
    const match = await peer.printed(/Keying material: ([0-9A-F]{120})/);
    expect(bytesToHex(server.core.exportKeyingMaterial(label, undefined, 60)).toUpperCase()).toBe(match[1]);
  });

  it('fragmented flights: datagrams of 256 bytes each way, with an RSA chain', async () => {
    const rsa = table.credentials.make({ keyType: 'rsa' });
    const { peer, port } = await startServer([...identity(rsa), '-Verify', '1', '-mtu', '256']);
    const client = await table.connect(port, {
      certificate: table.credentials.make({ keyType: 'rsa' }),
      mtuBytes: 256,
    });
    await client.happened(/^connected$/m);
    await echo(client, peer);
    const server = await table.listen({ certificate: rsa, mtuBytes: 256 });
    const other = startClient(server.port, [...identity(rsa), '-mtu', '256']);
    await server.happened(/^connected$/m);
    await echo(server, other);
  });

  it('a client certificate that s_server refuses: its alert is reported', async () => {
    const { port } = await startServer([...identity(table.theirs), '-Verify', '1', '-verify_return_error']);
    const client = await table.connect(port);
    await client.happened(/^failed:.*"by":"remote"/m);
    expect(client.core.state).toBe('failed');
  });

  it('our refusal of its certificate reaches s_client as that alert', async () => {
    const server = await table.listen({ verifyPeer: () => 'certificate_expired' });
    const peer = startClient(server.port, identity(table.theirs));
    await peer.printed(/alert certificate expired/);
    expect(server.core.state).toBe('failed');
  });

  it('1 MiB of records each way, s_client and our server', async () => {
    const server = await table.listen();
    const peer = startClient(server.port, [...identity(table.theirs), '-quiet']);
    await server.happened(/^connected$/m);
    await mebibyteEachWay(server, peer);
  });

  it('1 MiB of records each way, our client and s_server', async () => {
    const { peer, port } = await startServer([...identity(table.theirs), '-Verify', '1']);
    const client = await table.connect(port);
    await client.happened(/^connected$/m);
    await mebibyteEachWay(client, peer);
  });
});
