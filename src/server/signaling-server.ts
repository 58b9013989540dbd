import type { Server as HttpServer } from 'node:http';
import type { DropCounters, Env, Platform, TransportAddress } from '../core/index.ts';
import { platform as nodePlatform, type WebSocketListenOptions, WebSocketServer } from '../io/index.ts';
import {
  type PeerInfo,
  type SignalingLimits,
  SignalingServer as SignalingServerCore,
  type SignalingServerEvent,
  SUBPROTOCOL,
} from '../signaling/index.ts';
import { type Log, NO_LOG } from './log.ts';

export interface SignalingServerOptions {
  /** See docs/signaling.md for the defaults. */
  readonly limits?: Partial<SignalingLimits>;
  /** Origins of the web pages that may connect, such as `https://example.org`. Default: any. Programs send none. */
  readonly allowedOrigins?: readonly string[];
  /**
   * Connections of one source: an IPv4 address, or the /64 of an IPv6 address, so that nobody takes all of them. 0: no bound, for
   * a server behind a proxy, whose address all connections have. Default 100, and none for loopback, where a proxy on the
   * same machine is.
   */
  readonly maxConnectionsPerSource?: number;
  /** Interval of WebSocket pings. Default 25,000. */
  readonly heartbeatMs?: number;
  readonly log?: Log;
  readonly platform?: Platform;
  readonly env?: Env;
}

/**
 * A signaling server on WebSocket: the core of `purertc/signaling` with sockets.
 *
 * @example
 * const server = new SignalingServer();
 * const { port } = await server.listen({ port: 8080 });
 * await server.close();
 */
export class SignalingServer {
  readonly #core: SignalingServerCore;
  readonly #shell: WebSocketServer<SignalingServerEvent>;
  readonly #log: Log;
  #closing: Promise<void> | undefined;

  /** @throws {UsageError} when a limit is out of its range. */
  constructor(options: SignalingServerOptions = {}) {
    const platform = options.platform ?? nodePlatform;
    this.#log = options.log ?? NO_LOG;
    this.#core = new SignalingServerCore({ env: options.env ?? platform.env, limits: options.limits ?? {} });
    this.#shell = new WebSocketServer({
      core: this.#core,
      subprotocol: SUBPROTOCOL,
      maxMessageBytes: this.#core.limits.maxMessageBytes,
      onEvent: (event) => this.#onEvent(event),
      onRefused: () => this.drops.count('limit'),
      platform,
      ...(options.maxConnectionsPerSource === undefined
        ? {}
        : { maxConnectionsPerSource: options.maxConnectionsPerSource }),
      ...(options.allowedOrigins === undefined ? {} : { allowedOrigins: options.allowedOrigins }),
      ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
    });
  }

  /** Input that was not acted on, by reason. */
  get drops(): DropCounters {
    return this.#core.drops;
  }

  get connectionCount(): number {
    return this.#core.connectionCount;
  }

  /** The rooms that have somebody in them. */
  rooms(): readonly { readonly name: string; readonly peers: readonly PeerInfo[] }[] {
    return this.#core.rooms();
  }

  /**
   * Listens on a port of its own.
   * @param address - `host` defaults to 127.0.0.1, so that nothing is open to the network unless asked; port 0 asks for a free port;
   *   with `tls` clients connect with `wss:`.
   * @returns what it is bound to.
   * @throws rejects with the system's error, such as `EADDRINUSE`, or OpenSSL's for a certificate and key that do not fit.
   */
  async listen(address: WebSocketListenOptions): Promise<TransportAddress> {
    const bound = await this.#shell.listen({ ...address, host: address.host ?? '127.0.0.1' });
    const tls = address.tls !== undefined;
    this.#log({ level: 'info', event: 'listening', service: 'signaling', ip: bound.ip, port: bound.port, tls });
    return bound;
  }

  /** Serves `path` of an existing HTTP or HTTPS server (which makes it `wss:`) instead. */
  attach(server: HttpServer, path: string): void {
    this.#shell.attach(server, path);
  }

  /** Tells everybody, closes every connection and resolves when they are gone. Idempotent. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#shell.driver.mutate((now) => this.#core.close(now));
      this.#closing = this.#shell.close();
    }
    return this.#closing;
  }

  #onEvent(event: SignalingServerEvent): void {
    switch (event.type) {
      case 'hang-up':
        this.#log({ level: 'warn', event: 'hang-up', connection: event.connection, reason: event.reason });
        this.#shell.hangUp(event.connection, event.closeCode, event.reason);
        return;
      case 'joined':
      case 'left': {
        const { type, connection, room, peer, peers } = event;
        const reason = event.type === 'left' ? event.reason : undefined;
        this.#log({ level: 'info', event: type, connection, room, peer: peer.id, name: peer.name, peers, reason });
      }
    }
  }
}
