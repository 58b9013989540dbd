import { readFileSync } from 'node:fs';
import type { TransportAddress, TransportProtocol } from '../../src/core/index.ts';
import { type Credentials, freePort, PeerProcess } from './dtls-peers.ts';

/** The user that {@link Coturn} knows unless its arguments say otherwise. */
export const COTURN_USER = { username: 'ada', password: 'lovelace' };

/** Debian's coturn on one port of loopback and one for TLS and DTLS, IPv4 and IPv6, with a certificate of the test's own. */
export class Coturn {
  readonly port: number;
  readonly tlsPort: number;
  /** PEM; for both loopback addresses. */
  readonly certificate: string;
  readonly #process: PeerProcess;

  private constructor(port: number, tlsPort: number, certificate: string, process: PeerProcess) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.certificate = certificate;
    this.#process = process;
  }

  /** @param args - instead of the one user, where given. */
  static async start(credentials: Credentials, args?: readonly string[]): Promise<Coturn> {
    const [port, tlsPort] = [await freePort(), await freePort()];
    const { certificateFile, keyFile } = credentials.make({
      keyType: 'ecdsa-p256',
      subjectAltNames: ['127.0.0.1', '::1'],
    });
    const process = new PeerProcess('turnserver', [
      ...['-n', '--log-file=stdout', '--simple-log', '-v', '--no-cli', `--pidfile=${credentials.folder}/pid-${port}`],
      ...[`--listening-port=${port}`, `--tls-listening-port=${tlsPort}`, '--realm=example.org'],
      ...['--listening-ip=127.0.0.1', '--listening-ip=::1', '--relay-ip=127.0.0.1', '--relay-ip=::1'],
      ...[`--cert=${certificateFile}`, `--pkey=${keyFile}`, '--allow-loopback-peers', '--lt-cred-mech'],
      ...[`--userdb=${credentials.folder}/turndb-${port}`, '--no-software-attribute'],
      ...(args ?? [`--user=${COTURN_USER.username}:${COTURN_USER.password}`]),
    ]);
    await process.printed(/Total General servers/); // behind the last listener
    return new Coturn(port, tlsPort, readFileSync(certificateFile, 'utf8'), process);
  }

  /** What it has logged. */
  get output(): string {
    return this.#process.output;
  }

  address(transport: TransportProtocol, ip: string): TransportAddress {
    return { ip, port: transport === 'tls' || transport === 'dtls' ? this.tlsPort : this.port };
  }

  /** Resolves when it has logged that. */
  logged(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#process.printed(pattern);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** The `turn:` or `turns:` URL of a server that is reached by that transport (RFC 7065 §3.1). */
export function turnUrl(transport: TransportProtocol, { ip, port }: TransportAddress): string {
  const scheme = transport === 'tls' || transport === 'dtls' ? 'turns' : 'turn';
  const host = ip.includes(':') ? `[${ip}]` : ip;
  return `${scheme}:${host}:${port}?transport=${transport === 'udp' || transport === 'dtls' ? 'udp' : 'tcp'}`;
}
