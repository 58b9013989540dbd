import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type CipherSuiteName,
  DtlsClient,
  type DtlsClientOptions,
  DtlsServer,
  type DtlsServerOptions,
} from '../../src/dtls/index.ts';
import { type CertificateFiles, Credentials, ENV, freePort, PeerProcess, UdpDtls } from './dtls-peers.ts';

/** GnuTLS's `gnutls-serv --udp` and `gnutls-cli --udp` against the DTLS module alone, over a plain socket. */
describe('GnuTLS', () => {
  const credentials = new Credentials();
  const running: (() => void | Promise<void>)[] = [];
  let ours: CertificateFiles;
  let theirs: CertificateFiles;

  beforeAll(() => {
    ours = credentials.make({ commonName: 'purertc' });
    theirs = credentials.make({ commonName: 'gnutls' });
  });
  afterEach(async () => {
    for (const stop of running.splice(0).reverse()) await stop();
  });
  afterAll(() => credentials.remove());

  async function startServer(args: readonly string[]): Promise<{ readonly peer: PeerProcess; readonly port: number }> {
    const port = await freePort();
    const peer = new PeerProcess('gnutls-serv', ['--udp', '--echo', '--port', String(port), ...args]);
    running.push(() => peer.stop());
    await peer.printed(/listening on IPv4 0\.0\.0\.0 port \d+\.\.\.done/);
    return { peer, port };
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
    const peer = new PeerProcess('gnutls-cli', ['--udp', '--insecure', '--port', String(port), ...args, '127.0.0.1']);
    running.push(() => peer.stop());
    return peer;
  }

  const identity = (files: CertificateFiles): string[] => [
    `--x509certfile=${files.certificateFile}`,
    `--x509keyfile=${files.keyFile}`,
  ];

  const only = (cipher: string, group: string, mac: string): string =>
    `--priority=NONE:+VERS-DTLS1.2:+ECDHE-ECDSA:+${cipher}:+${mac}:+AEAD:+GROUP-${group}:+GROUP-SECP256R1:+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SHA384:+COMP-NULL`;

  const suites: readonly (readonly [CipherSuiteName, string, string])[] = [
    ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'AES-128-GCM', 'SHA256'],
    ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'AES-256-GCM', 'SHA384'],
    ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305', 'SHA256'],
  ];
  const groups = [
    ['x25519', 'X25519'],
    ['secp256r1', 'SECP256R1'],
    ['secp384r1', 'SECP384R1'],
  ] as const;
  const matrix = suites.flatMap(([suite, cipher, mac]) =>
    groups.map(([group, curve]) => ({ suite, group, priority: only(cipher, curve, mac) })),
  );

  it.each(matrix)('gnutls-serv takes our client: $suite, $group', async ({ suite, group, priority }) => {
    const { port } = await startServer([...identity(theirs), '--require-client-cert', priority]);
    const client = await connect(port, { groups: [group, 'secp256r1'] });
    await client.happened(/^connected$/m);
    expect(client.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(client.core.peerCertificates).toEqual([theirs.der]);
    client.send('hello gnutls-serv\n');
    await client.happened(/data:hello gnutls-serv/);
  });

  it.each(matrix)('gnutls-cli connects to our server: $suite, $group', async ({ suite, group, priority }) => {
    const server = await listen({ groups: [group] });
    const peer = startClient(server.port, [...identity(theirs), priority]);
    await server.happened(/^connected$/m);
    expect(server.core.negotiated).toMatchObject({ cipherSuite: suite, group, extendedMasterSecret: true });
    expect(server.core.peerCertificates).toEqual([theirs.der]);
    await peer.printed(/Simple Client Mode/);
    server.send('hello from purertc\n');
    await peer.printed(/hello from purertc/);
    peer.type('hello from gnutls\n');
    await server.happened(/data:hello from gnutls/);
    peer.endInput();
    await server.happened(/^closed$/m);
    await peer.exited();
  });
});
