import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { certificateFingerprint } from '../../src/crypto/index.ts';
import { type CertificateFiles, ENV, freePort, type PeerProcess } from './dtls-peers.ts';
import { DtlsTable } from './dtls-table.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PSK = bytesToHex(utf8('secret of both'));

/** `purertc dtls`, as a person runs it after `npm run build`, with the programs of OpenSSL and GnuTLS at the other end. */
describe('purertc dtls', () => {
  const table = new DtlsTable('peer', { subjectAltNames: ['127.0.0.1', 'localhost'] });

  const purertc = (...args: readonly string[]): PeerProcess => table.start('node', [MAIN, 'dtls', ...args]);
  const fingerprint = (files: CertificateFiles): string => certificateFingerprint(ENV.crypto, 'sha-256', files.der);

  async function listen(...args: readonly string[]): Promise<{ readonly peer: PeerProcess; readonly port: string }> {
    const peer = purertc('listen', '0', ...args);
    const [, port = ''] = await peer.printed(/listening .*port=(\d+)/);
    return { peer, port };
  }

  /** A line each way. */
  async function talk(own: PeerProcess, other: PeerProcess): Promise<void> {
    own.type('hello from purertc\n');
    await other.printed(/hello from purertc/);
    other.type('hello from elsewhere\n');
    await own.printed(/^hello from elsewhere$/m);
  }

  it('connects to openssl s_server: certificates both ways, ALPN, a key log', async () => {
    const identity = ['-cert', table.theirs.certificateFile, '-key', table.theirs.keyFile];
    const peer = table.start('openssl', [
      ...['s_server', '-dtls1_2', '-accept', '127.0.0.1:0', ...identity],
      ...['-Verify', '1', '-CAfile', table.ours.certificateFile, '-verify_return_error', '-alpn', 'echo'],
    ]);
    const [, port] = await peer.printed(/ACCEPT 127\.0\.0\.1:(\d+)/);
    const keylog = table.credentials.write('keys-connect', '');
    const own = purertc(
      ...[
        'connect',
        `127.0.0.1:${port}`,
        '--ca',
        table.theirs.certificateFile,
        '--alpn',
        'chat,echo',
        '--keylog',
        keylog,
      ],
      ...['--cert', table.ours.certificateFile, '--key', table.ours.keyFile],
    );
    await own.printed(/verification: ok, by an authority of --ca/);
    expect(own.output).toContain(`peer certificate: sha-256 ${fingerprint(table.theirs)}`);
    expect(own.output).toMatch(/cipher suite: TLS_ECDHE_ECDSA_WITH_\w+, group x25519\napplication protocol: "echo"/);
    await talk(own, peer);
    expect(readFileSync(keylog, 'utf8')).toMatch(/^CLIENT_RANDOM /);
    own.endInput();
    expect(await own.exited()).toEqual([0, null]);
  });

  it('ends with 1 and the reason for a certificate that does not verify, and goes on with --insecure', async () => {
    const identity = ['-cert', table.theirs.certificateFile, '-key', table.theirs.keyFile];
    const peer = table.start('openssl', ['s_server', '-dtls1_2', '-accept', '127.0.0.1:0', ...identity]);
    const [, port] = await peer.printed(/ACCEPT 127\.0\.0\.1:(\d+)/);
    const refusing = purertc('connect', `127.0.0.1:${port}`, '--fingerprint', fingerprint(table.ours));
    expect(await refusing.exited()).toEqual([1, null]);
    expect(refusing.output).toMatch(/^purertc: the fingerprint is another: sha-256 [0-9A-F:]{95}$/m);
    const bold = purertc('connect', `127.0.0.1:${port}`, '--insecure');
    await bold.printed(/verification: FAILED, and ignored \(--insecure\)/);
    await talk(bold, peer);
  });

  it('openssl s_client connects to it: certificates both ways, server_name', async () => {
    const { peer: own, port } = await listen(
      ...[
        '--cert',
        table.ours.certificateFile,
        '--key',
        table.ours.keyFile,
        '--fingerprint',
        fingerprint(table.theirs),
        '--once',
      ],
    );
    const peer = table.start('openssl', [
      ...['s_client', '-dtls1_2', '-nocommands', '-connect', `127.0.0.1:${port}`, '-servername', 'localhost'],
      ...[
        '-cert',
        table.theirs.certificateFile,
        '-key',
        table.theirs.keyFile,
        '-CAfile',
        table.ours.certificateFile,
        '-verify_return_error',
      ],
    ]);
    await own.printed(/server name asked for: "localhost"/);
    await own.printed(/verification: ok, by its fingerprint/);
    await peer.printed(/Verification: OK/);
    await talk(own, peer);
    peer.endInput();
    expect(await own.exited()).toEqual([0, null]);
  });

  // gnutls-cli 3.7.9 itself crashes behind an ECDHE_PSK handshake, with gnutls-serv too.
  it.each(['openssl', 'gnutls-cli'])('%s connects to it with a pre-shared key', async (program) => {
    const { peer: own, port } = await listen('--psk', PSK, '--psk-identity', 'sensor');
    const peer =
      program === 'openssl'
        ? table.start(program, [
            ...['s_client', '-dtls1_2', '-nocommands', '-connect', `127.0.0.1:${port}`],
            ...['-psk', PSK, '-psk_identity', 'sensor', '-cipher', 'ECDHE-PSK-CHACHA20-POLY1305:PSK-AES128-GCM-SHA256'],
          ])
        : table.start(program, [
            ...['--udp', '-p', port, '--pskusername', 'sensor', '--pskkey', PSK],
            ...['--priority', 'NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK', '127.0.0.1'],
          ]);
    await own.printed(/cipher suite: TLS_(ECDHE_)?PSK_/);
    await peer.printed(/Simple Client Mode|Verify return code/);
    await talk(own, peer);
  });

  it('connects to gnutls-serv, and gnutls-cli connects to it', async () => {
    const port = await freePort();
    const server = table.start('gnutls-serv', [
      ...[
        '--udp',
        '--echo',
        '-p',
        String(port),
        '--x509certfile',
        table.theirs.certificateFile,
        '--x509keyfile',
        table.theirs.keyFile,
      ],
      ...['--disable-client-cert', '--priority', 'NORMAL:-VERS-ALL:+VERS-DTLS1.2'],
    ]);
    await server.printed(/listening on IPv4 0\.0\.0\.0 port \d+\.\.\.done/);
    const own = purertc('connect', `127.0.0.1:${port}`, '--fingerprint', fingerprint(table.theirs));
    await own.printed(/verification: ok/);
    own.type('there and back\n');
    await own.printed(/^there and back$/m);

    const { peer: listening, port: ourPort } = await listen(
      '--cert',
      table.ours.certificateFile,
      '--key',
      table.ours.keyFile,
    );
    const client = table.start('gnutls-cli', [
      ...['--udp', '-p', ourPort, '--x509cafile', table.ours.certificateFile],
      ...['--priority', 'NORMAL:-VERS-ALL:+VERS-DTLS1.2', 'localhost'],
    ]);
    await listening.printed(/is connected/);
    await client.printed(/Simple Client Mode/);
    await talk(listening, client);
  });

  it('wrong usage ends with 2', async () => {
    for (const args of [['connect', 'nowhere'], ['connect'], ['listen', 'x'], ['connect', 'a:1', '--psk', 'xy']]) {
      expect(await purertc(...args).exited()).toEqual([2, null]);
    }
  });
});
