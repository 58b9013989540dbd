import {
  type DropCounters,
  type Env,
  type FiveTuple,
  formatAddress,
  type Platform,
  type TransportAddress,
  UsageError,
  utf8,
} from '../core/index.ts';
import {
  type DtlsEndpoint,
  type DtlsEvent,
  DtlsListener,
  type DtlsListenerEvent,
  type DtlsServerOptions as HandshakeOptions,
  type Negotiated,
} from '../dtls/index.ts';
import { platform as nodePlatform, UdpShell } from '../io/index.ts';
import { defaultEnv, judgeOf, type OwnCertificate, ownCertificate, type PeerTrust } from './dtls-identity.ts';
import { DtlsError, type ReplacedOptions } from './dtls-socket.ts';
import { type Log, NO_LOG } from './log.ts';

/** Length of the connection IDs that clients are given unless told otherwise: too many to guess, and few bytes a record. */
export const DEFAULT_CONNECTION_ID_BYTES = 8;

/**
 * With {@link PeerTrust} clients are asked for a certificate, which must be trusted; without it they are not asked. The remaining
 * options are those of `DtlsServer` of `purertc/dtls`.
 */
export interface DtlsServerOptions
  extends PeerTrust,
    Omit<
      HandshakeOptions,
      Exclude<ReplacedOptions, 'psk'> | 'cookies' | 'cookieExchange' | 'clientIdentity' | 'connectionId'
    > {
  /** Own certificate. Needed unless there is a `psk`. */
  readonly certificate?: OwnCertificate;
  /** Whether to answer a client at all; asked for each ClientHello, before its address is proved. Default: everyone. */
  readonly accept?: (path: FiveTuple) => boolean;
  /** Associations at one time; default 10,000. */
  readonly maxConnections?: number;
  /** A client from which nothing authentic came for so long is closed; ms, default 300,000. */
  readonly idleTimeoutMs?: number;
  /** Length of the connection IDs with which clients outlive a change of address (RFC 9146), 4 to 20; 0: none. Default 8. */
  readonly connectionIdBytes?: number;
  /** A handshake is complete. */
  readonly onConnection?: (peer: DtlsPeer) => void;
  /** One record's worth, yours to keep. */
  readonly onMessage?: (bytes: Uint8Array, peer: DtlsPeer) => void;
  /** The client goes on from another address; several records have shown that it is the same, and there. */
  readonly onMigrate?: (peer: DtlsPeer, from: TransportAddress) => void;
  /** Once for each that `onConnection` told of. `error` is absent after close_notify from either side, and for idle clients. */
  readonly onClose?: (peer: DtlsPeer, error: DtlsError | undefined) => void;
  readonly log?: Log;
  readonly platform?: Platform;
  readonly env?: Env;
}

/** What a peer needs of its server. */
interface PeerHost {
  send(bytes: Uint8Array): void;
  close(): void;
  path(): FiveTuple;
}

/** One client of a {@link DtlsServer}. */
export class DtlsPeer {
  readonly negotiated: Negotiated;
  /** The client's chain, DER, end-entity first; empty when it was not asked for one. */
  readonly certificates: readonly Uint8Array[];
  readonly #endpoint: DtlsEndpoint;
  readonly #host: PeerHost;
  #closed = false;

  /** By the server only. */
  constructor(endpoint: DtlsEndpoint, negotiated: Negotiated, host: PeerHost) {
    this.negotiated = negotiated;
    this.certificates = endpoint.peerCertificates;
    this.#endpoint = endpoint;
    this.#host = host;
  }

  /** The client's address now. */
  get remote(): TransportAddress {
    return this.#host.path().remote;
  }

  /** The address of ours that it talks to. */
  get local(): TransportAddress {
    return this.#host.path().local;
  }

  /**
   * Sends one message, copied; a text as UTF-8. It may be lost.
   * @returns false when the client is gone, as `onClose` will tell: its last words may come together with its goodbye.
   * @throws {UsageError} after {@link close}, or longer than `negotiated.maxSendRecordBytes`: the client may want as little as 64
   *   bytes, so that whoever answers with more than that has to look.
   */
  send(message: Uint8Array | string): boolean {
    if (!this.#closed && this.#endpoint.state !== 'connected') return false;
    this.#host.send(typeof message === 'string' ? utf8(message) : message);
    return true;
  }

  /** Keying material (RFC 5705 §4). @throws {UsageError} closed, or a reserved label. */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, lengthBytes: number): Uint8Array {
    return this.#endpoint.exportKeyingMaterial(label, context, lengthBytes);
  }

  /** Sends close_notify. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#host.close();
  }
}

interface Guest {
  readonly peer: DtlsPeer;
  path: FiveTuple;
  error: DtlsError | undefined;
}

/**
 * A DTLS server for thousands of clients on one UDP port. Nothing is kept of a client before it has returned its cookie
 * (RFC 6347 §4.2.1), idle ones are closed, and those that know connection IDs may change their address (RFC 9146 §6).
 *
 * @example
 * const server = new DtlsServer({
 *   certificate: { cert, key },
 *   onMessage: (bytes, peer) => bytes.length <= peer.negotiated.maxSendRecordBytes && peer.send(bytes),
 * });
 * const { port } = await server.listen({ port: 5684 });
 * server.close();
 */
export class DtlsServer {
  readonly #options: DtlsServerOptions;
  readonly #listener: DtlsListener;
  readonly #shell: UdpShell<DtlsListenerEvent>;
  readonly #log: Log;
  readonly #guests = new Map<number, Guest>();
  #closing = false;

  /**
   * @throws {UsageError} for options outside their range, and without a certificate and a PSK. @throws {DecodeError} or {CryptoError}
   *   for PEM texts that cannot be read.
   */
  constructor(options: DtlsServerOptions) {
    this.#options = options;
    this.#log = options.log ?? NO_LOG;
    const platform = options.platform ?? nodePlatform;
    const env = options.env ?? options.platform?.env ?? defaultEnv;
    this.#listener = new DtlsListener({
      connectionIdBytes: DEFAULT_CONNECTION_ID_BYTES,
      ...options,
      env,
      accept: this.#accepter(env),
    });
    this.#shell = new UdpShell<DtlsListenerEvent>({
      core: this.#listener,
      platform,
      onEvent: (event) => this.#onEvent(event),
      onError: (error, remote) =>
        this.#log({
          level: 'warn',
          event: 'send-failed',
          reason: error.message,
          to: remote === undefined ? undefined : formatAddress(remote),
        }),
    });
  }

  /** Associations, those in the handshake too. */
  get connectionCount(): number {
    return this.#listener.connectionCount;
  }

  /** Those that are connected. */
  get peers(): readonly DtlsPeer[] {
    return Array.from(this.#guests.values(), (guest) => guest.peer);
  }

  /** Datagrams that belong to no association and open none, by reason. */
  get drops(): DropCounters {
    return this.#listener.drops;
  }

  /**
   * Listens on one more address.
   * @param address - `host` is an IP address and defaults to 127.0.0.1, so that nothing is open to the network unless asked;
   *   port 0 asks for a free port.
   * @returns what it is bound to. @throws rejects with the system's error, such as `EADDRINUSE`.
   */
  async listen(address: { readonly host?: string; readonly port: number }): Promise<TransportAddress> {
    const bound = await this.#shell.bind({ ip: address.host ?? '127.0.0.1', port: address.port });
    this.#log({ level: 'info', event: 'listening', service: 'dtls', ip: bound.ip, port: bound.port });
    return bound;
  }

  /** Sends close_notify to everyone and closes every socket. Idempotent; no callback comes after the last `onClose`. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#shell.driver.mutate((now) => this.#listener.closeAll(now));
    // Otherwise this is called from within a callback: behind the last `removed` event the socket may go.
    if (this.#listener.connectionCount === 0) this.#shell.close();
  }

  #accepter(env: Env): (path: FiveTuple) => Omit<HandshakeOptions, 'env'> | undefined {
    const { certificate, verifyPeer, accept, ...rest } = this.#options;
    if (certificate === undefined && rest.psk === undefined) throw new UsageError('a certificate or a psk is needed');
    const judge = judgeOf(env, this.#options, 'clientAuth');
    const shared: Omit<HandshakeOptions, 'env'> = {
      requestClientCertificate: judge !== undefined,
      ...rest,
      ...(certificate === undefined ? {} : { certificate: ownCertificate(env.crypto, certificate) }),
    };
    return (path) => {
      if (this.#closing || accept?.(path) === false) return undefined;
      if (judge === undefined) return shared;
      return {
        ...shared,
        verifyPeer: (chain) => {
          const refusal = judge(chain);
          if (refusal !== undefined) this.#report('certificate-refused', path, refusal.message);
          return refusal?.alert;
        },
      };
    };
  }

  #onEvent(event: DtlsListenerEvent): void {
    const guest = this.#guests.get(event.connection);
    switch (event.type) {
      case 'accepted':
        return;
      case 'dtls':
        if (guest === undefined) this.#onHandshakeEvent(event.connection, event.path, event.event);
        else if (event.event.type === 'data') this.#options.onMessage?.(event.event.bytes.slice(), guest.peer);
        else if (event.event.type === 'failed')
          guest.error = new DtlsError(event.event.error.message, event.event.error);
        return;
      case 'migrated':
        if (guest === undefined) return;
        guest.path = event.path;
        this.#options.onMigrate?.(guest.peer, event.from.remote);
        return;
      case 'removed':
        this.#guests.delete(event.connection);
        try {
          if (guest !== undefined) this.#options.onClose?.(guest.peer, guest.error);
        } finally {
          if (this.#closing && this.#listener.connectionCount === 0) this.#shell.close();
        }
    }
  }

  #onHandshakeEvent(connection: number, path: FiveTuple, event: DtlsEvent): void {
    if (event.type === 'failed') this.#report('handshake-failed', path, event.error.message);
    if (event.type !== 'connected') return;
    const endpoint = this.#listener.connection(connection);
    if (endpoint === undefined) return;
    const { driver } = this.#shell;
    const peer = new DtlsPeer(endpoint, event, {
      send: (bytes) => driver.mutate((now) => this.#listener.send(connection, bytes, now)),
      close: () => driver.mutate((now) => this.#listener.close(connection, now)),
      path: () => guest.path,
    });
    const guest: Guest = { peer, path, error: undefined };
    this.#guests.set(connection, guest);
    this.#options.onConnection?.(peer);
  }

  #report(event: string, path: FiveTuple, reason: string): void {
    this.#log({ level: 'warn', event, from: formatAddress(path.remote), reason });
  }
}
