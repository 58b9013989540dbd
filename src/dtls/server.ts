import { EMPTY, UsageError } from '../core/index.ts';
import { Connection } from './connection.ts';
import { resolveOptions } from './options.ts';
import { ServerHandshake } from './server-handshake.ts';
import type { DtlsServerOptions } from './types.ts';

/**
 * The server's end of one DTLS 1.2 connection (RFC 6347), sans-IO: one object for each client. It begins with the first
 * ClientHello that is fed to it.
 *
 * @example
 * const server = new DtlsServer({ env, certificate, cookieExchange: false, requestClientCertificate: true, verifyPeer });
 * const driver = new Driver(server, host, (event) => {
 *   if (event.type === 'data') console.log(event.bytes.length);
 * });
 */
export class DtlsServer extends Connection {
  /** The connection ID it asks clients to use; empty: none (RFC 9146 §3). */
  readonly ownConnectionId: Uint8Array;

  /** @throws {UsageError} for options outside their range, or without a certificate or PSK to show. */
  constructor(options: DtlsServerOptions) {
    const resolved = resolveOptions(options, options.psk !== undefined);
    if (resolved.certificates.length === 0 && options.psk === undefined) {
      throw new UsageError('a server needs a certificate or a PSK');
    }
    super('server', resolved, (host) => new ServerHandshake(options, resolved, host));
    this.ownConnectionId = options.connectionId ?? EMPTY;
  }
}
