import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CipherSuiteName } from '../../src/dtls/index.ts';
import { DtlsServer, DtlsSocket } from '../../src/server/index.ts';
import type { CertificateFiles, PeerProcess } from './dtls-peers.ts';
import { DtlsTable } from './dtls-table.ts';
import { requireProgram } from './peers.ts';

const SOURCE = fileURLToPath(new URL('mbedtls-peer.c', import.meta.url));

const SUITES: readonly CipherSuiteName[] = [
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_CCM',
  'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
];

/** As Mbed TLS writes it. */
const nameOf = (suite: CipherSuiteName): string => suite.replaceAll('_', '-');

/** Mbed TLS, as a small program of ours that Debian's library is linked to. */
describe('Mbed TLS', () => {
  const table = new DtlsTable('mbedtls');
  let program: string;
  const files = new Map<boolean, { readonly ours: CertificateFiles; readonly theirs: CertificateFiles }>();

  beforeAll(() => {
    program = join(table.credentials.folder, 'mbedtls-peer');
    // libmbedtls-dev: scripts/install-interop-peers.sh
    const libraries = ['-lmbedtls', '-lmbedx509', '-lmbedcrypto'];
    execFileSync(requireProgram('gcc'), ['-O1', '-o', program, SOURCE, ...libraries]);
    for (const rsa of [false, true]) {
      const keyType = rsa ? 'rsa' : 'ecdsa-p256';
      const make = () => table.credentials.make({ keyType, subjectAltNames: ['localhost', '127.0.0.1'] });
      files.set(rsa, { ours: make(), theirs: make() });
    }
  });

  function start(...args: readonly string[]): PeerProcess {
    return table.start('env', [program, ...args]);
  }

  function certificates(suite: CipherSuiteName): {
    readonly ours: CertificateFiles;
    readonly theirs: CertificateFiles;
  } {
    const found = files.get(suite.includes('_RSA_'));
    if (found === undefined) throw new Error('no certificates were made');
    return found;
  }

  it.each(SUITES)('its server and our client: %s', async (suite) => {
    const { ours, theirs } = certificates(suite);
    const peer = start('server', theirs.certificateFile, theirs.keyFile, nameOf(suite));
    const [, port] = await peer.printed(/^port (\d+)$/m);
    let echoed: (text: string) => void = () => undefined;
    const socket = await DtlsSocket.connect({
      host: '127.0.0.1',
      port: Number(port),
      cipherSuites: [suite],
      certificate: ours,
      verifyPeer: ([leaf]) =>
        leaf !== undefined && Buffer.compare(leaf, theirs.der) === 0 ? undefined : 'bad_certificate',
      onMessage: (bytes) => echoed(new TextDecoder().decode(bytes)),
    });
    table.onEnd(() => socket.close());
    await peer.printed(new RegExp(`^connected DTLSv1\\.2 ${nameOf(suite)} peer-certificate=1$`, 'm'));
    expect(socket.negotiated).toMatchObject({ cipherSuite: suite, extendedMasterSecret: true });
    for (const message of ['there and back', 'x'.repeat(1200)]) {
      const back = new Promise((resolve) => {
        echoed = resolve;
      });
      socket.send(message);
      expect(await back).toBe(message);
    }
    socket.close();
    await peer.printed(/^closed$/m);
  });

  it.each(SUITES)('its client and our server: %s', async (suite) => {
    const { ours, theirs } = certificates(suite);
    const server = new DtlsServer({
      certificate: ours,
      cipherSuites: [suite],
      verifyPeer: ([leaf]) =>
        leaf !== undefined && Buffer.compare(leaf, theirs.der) === 0 ? undefined : 'bad_certificate',
      onMessage: (bytes, peer) => peer.send(bytes),
    });
    table.onEnd(() => server.close());
    const { port } = await server.listen({ port: 0 });
    const args = [theirs.certificateFile, theirs.keyFile, nameOf(suite), ours.certificateFile];
    const peer = start('client', String(port), ...args);
    await peer.printed(new RegExp(`^connected DTLSv1\\.2 ${nameOf(suite)} peer-certificate=1$`, 'm'));
    peer.type('there and back\n');
    await peer.printed(/^data: there and back$/m);
    expect(server.peers[0]?.negotiated).toMatchObject({ cipherSuite: suite, serverName: 'localhost' });
    peer.endInput();
    await peer.printed(/^closed$/m);
    expect(await peer.exited()).toEqual([0, null]);
  });
});
