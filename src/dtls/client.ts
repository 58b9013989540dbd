import type { Instant } from '../core/index.ts';
import { ClientHandshake } from './client-handshake.ts';
import { Connection } from './connection.ts';
import { resolveOptions } from './options.ts';
import type { DtlsClientOptions } from './types.ts';

/**
 * The client of a DTLS 1.2 connection (RFC 6347), sans-IO.
 *
 * @example
 * const client = new DtlsClient({ env, certificate, verifyPeer: (chain) => checkFingerprint(chain[0]) });
 * const driver = new Driver(client, host, (event) => {
 *   if (event.type === 'connected') driver.mutate((now) => client.send(utf8('hello'), now));
 * });
 * driver.mutate((now) => client.start(now));
 */
export class DtlsClient extends Connection {
  /** @throws {UsageError} for options outside their range. */
  constructor(options: DtlsClientOptions) {
    const resolved = resolveOptions(options, options.psk !== undefined);
    super('client', resolved, (host) => new ClientHandshake(options, resolved, host));
  }

  /** Sends the ClientHello. @throws {UsageError} when called a second time. */
  start(now: Instant): void {
    this.begin(now);
  }
}
