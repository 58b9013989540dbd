import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type CipherSuiteName,
  DtlsClient,
  type DtlsClientOptions,
  DtlsServer,
  type DtlsServerOptions,
} from '../../src/dtls/index.ts';
import { type CertificateFiles, Credentials, ENV, PeerProcess, UdpDtls } from './dtls-peers.ts';

/** OpenSSL's `s_server` and `s_client` against the DTLS module alone, over a plain socket. */
describe('OpenSSL', () => {
  const credentials = new Credentials();
  const running: (() => void | Promise<void>)[] = [];
  let ours: CertificateFiles;
  let theirs: CertificateFiles;

  beforeAll(() => {
    ours = credentials.make({ commonName: 'purertc' });
    theirs = credentials.make({ commonName: 'openssl' });
  });
  afterEach(async () => {
    for (const stop of running.splice(0).reverse()) await stop();
  });
  afterAll(() => credentials.remove());

  async function startServer(args: readonly string[]): Promise<{ readonly peer: PeerProcess; readonly port: number }> {
    const peer = new PeerProcess('openssl', ['s_server', '-dtls1_2', '-accept', '127.0.0.1:0', ...args]);
    running.push(() => peer.stop());
    const match = await peer.printed(/ACCEPT 127\.0\.0\.1:(\d+)/);
    return { peer, port: Number(match[1]) };
  }

  async function connect(port: number, options: Partial<DtlsClientOptions> = {}): Promise<UdpDtls<DtlsClient>> {
    const client = new DtlsClient({ env: ENV, certificate: ours, verifyPeer: () => undefined, ...options });
    const udp = await UdpDtls.open(client, port);
    running.push(() => udp.close());
    udp.mutate((core, now) => core.start(now));
    return udp;
  }

  async function listen(options: Partial<DtlsServerOptions> = {}): Promise<UdpDtls<DtlsServer>> {
    const server = new DtlsServer({
      env: ENV,
      certificate: ours,
      requestClientCertificate: true,
      verifyPeer: () => undefined,
      ...options,
    });
    const udp = await UdpDtls.open(server);
    running.push(() => udp.close());
    return udp;
  }

  function startClient(port: number, args: readonly string[]): PeerProcess {
    const target = ['-connect', `127.0.0.1:${port}`];
    const peer = new PeerProcess('openssl', ['s_client', '-dtls1_2', '-nocommands', ...target, ...args]);
    running.push(() => peer.stop());
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
    const { peer, port } = await startServer([...identity(theirs), '-Verify', '1', '-cipher', cipher]);
    const client = await connect(port, { groups: [group, 'secp256r1'] }); // P-256 for the certificate, RFC 8422 §5.3
    await client.happened(/^connected$/m);
    expect(client.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(client.core.peerCertificates).toEqual([theirs.der]);
    await echo(client, peer);
    client.mutate((core, now) => core.close(now));
    await peer.printed(/DONE|closed|CONNECTION CLOSED/i);
  });

  it.each(matrix)('s_client connects to our server: $suite, $group', async ({ suite, cipher, group, curve }) => {
    const server = await listen({ groups: [group] });
    const peer = startClient(server.port, [...identity(theirs), '-cipher', cipher, '-curves', [...new Set([curve, 'P-256'])].join(':')]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(server.core.peerCertificates).toEqual([theirs.der]);
    await echo(server, peer);
    peer.endInput(); // s_client says close_notify and ends
    await server.happened(/^closed$/m);
    await peer.exited();
  });
});
