import { createServer, type Server as HttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer as WsServer } from 'ws';
import {
  canonicalIp,
  Driver,
  type Instant,
  type Platform,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { outliveAcceptErrors } from './accept-errors.ts';
import { ConnectionsPerSource } from './connections-per-source.ts';
import { platform as nodePlatform } from './platform.ts';
import { socketIp } from './socket-ip.ts';
import { Strangers } from './strangers.ts';
import { WakeTimer } from './wake-timer.ts';
import { CLOSE_TIMEOUT_MS, closeSocket, MAX_BUFFERED_BYTES, sendText, toBytes } from './websocket.ts';

/** TCP connections to a server of our own that are no WebSockets (yet). The oldest makes room for a new one. */
export const MAX_WEBSOCKET_STRANGERS = 256;

/** Connections of one source, by default: as many as sit behind one NAT, and a tenth of what a server of ours takes. */
export const DEFAULT_MAX_CONNECTIONS_PER_SOURCE = 100;

/** A core at the server end of many message connections: one datagram is one text message of the connection `path`. */
export interface ConnectionsCore<E> extends SansIo<E, number> {
  handleOpen(connection: number, now: Instant): void;
  /** A WebSocket ping, or the answer to one of ours (RFC 6455 §5.5.2, §5.5.3): the other end is there, with nothing to say. */
  handleAlive(connection: number, now: Instant): void;
  handleClose(connection: number, now: Instant): void;
}

export interface WebSocketServerOptions<E> {
  readonly core: ConnectionsCore<E>;
  readonly subprotocol: string;
  readonly onEvent: (event: E) => void;
  /** Longer messages close the connection with 1009. */
  readonly maxMessageBytes: number;
  /** Web pages of other origins are refused with 403 (RFC 6455 §10.2); programs, which send no Origin, are not. Default: any. */
  readonly allowedOrigins?: readonly string[];
  /** Interval of WebSocket pings; a connection silent from one to the next is cut. Default 25,000. */
  readonly heartbeatMs?: number;
  /**
   * Connections of one source: an IPv4 address, or the /64 of an IPv6 address. 0: no bound, for a server behind a proxy, whose
   * address all connections have. Default 100, and none for loopback, where a proxy on the same machine is.
   */
  readonly maxConnectionsPerSource?: number;
  /** One was refused for that bound. */
  readonly onRefused?: () => void;
  /** Unsent bytes of one connection at which it is cut. Default 1 MiB. */
  readonly maxBufferedBytes?: number;
  readonly platform?: Platform;
}

/** Where a server of its own listens. */
export interface WebSocketListenOptions {
  readonly host?: string;
  /** 0 asks for a free one. */
  readonly port: number;
  /** PEM texts; given, clients connect with `wss:`. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

interface Connection {
  readonly id: number;
  readonly socket: WebSocket;
  /** Heard since the last ping. */
  alive: boolean;
}

/** Runs a server core on WebSocket connections (RFC 6455), on an HTTP server of its own or on the path of another one. */
export class WebSocketServer<E> {
  readonly driver: Driver<E, number>;
  readonly #options: WebSocketServerOptions<E>;
  readonly #core: ConnectionsCore<E>;
  readonly #maxBufferedBytes: number;
  readonly #upgrader: WsServer;
  readonly #connections = new Map<number, Connection>();
  /** Sockets that were told to close; close() waits for them. */
  readonly #closing = new Set<WebSocket>();
  readonly #strangers = new Strangers(MAX_WEBSOCKET_STRANGERS);
  readonly #perSource: ConnectionsPerSource;
  readonly #detach: (() => void)[] = [];
  #ownServer: HttpServer | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #nextId = 1;
  #closed = false;

  constructor(options: WebSocketServerOptions<E>) {
    const platform = options.platform ?? nodePlatform;
    this.#options = options;
    this.#core = options.core;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? MAX_BUFFERED_BYTES;
    this.#perSource = new ConnectionsPerSource(options.maxConnectionsPerSource, DEFAULT_MAX_CONNECTIONS_PER_SOURCE);
    const timer = new WakeTimer(platform, () => this.driver.wake());
    const host = {
      now: () => platform.now(),
      send: (slot: TransmitSlot<number>) => this.#send(slot),
      wakeAt: (at: Instant) => timer.arm(at),
    };
    this.driver = new Driver(options.core, host, options.onEvent);
    this.#upgrader = new WsServer({
      noServer: true,
      clientTracking: false,
      maxPayload: options.maxMessageBytes,
      perMessageDeflate: false, // compression state costs memory per connection, and messages are short
      handleProtocols: (offered) => (offered.has(options.subprotocol) ? options.subprotocol : false),
    });
  }

  /**
   * Listens on a port of its own; plain HTTP requests are answered with 426.
   * @returns what it is bound to.
   * @throws rejects with the system's error (`EADDRINUSE`, `EACCES`), or OpenSSL's for a certificate and key that do not fit.
   */
  async listen(address: WebSocketListenOptions): Promise<TransportAddress> {
    if (this.#ownServer !== undefined || this.#closed) throw new UsageError('listen is called once');
    const onRequest: RequestListener = (_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain; charset=utf-8', upgrade: 'websocket' });
      response.end(`This is a WebSocket server: connect with the subprotocol ${this.#options.subprotocol}.\n`);
    };
    const { tls } = address;
    const server =
      tls === undefined ? createServer(onRequest) : createTlsServer({ ...tls, minVersion: 'TLSv1.2' }, onRequest);
    this.#ownServer = server;
    server.on('connection', (socket) => {
      if (this.#admit(socket)) this.#strangers.add(socket);
      else socket.destroy();
    });
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error) => {
        this.#ownServer = undefined; // another address may be tried
        reject(error);
      };
      server.once('error', onError);
      server.listen(address.port, address.host, () => {
        server.off('error', onError);
        outliveAcceptErrors(server, 'the WebSocket server');
        this.#takeUpgrades(server, undefined, true);
        resolve();
      });
    });
    return boundAddress(server);
  }

  /** Takes the upgrades of an existing HTTP server to `path` (all of them when undefined); others are left alone. */
  attach(server: HttpServer, path: string | undefined): void {
    this.#takeUpgrades(server, path, false);
  }

  /** @param isOwn - its connections were counted when they arrived. */
  #takeUpgrades(server: HttpServer, path: string | undefined, isOwn: boolean): void {
    const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (path !== undefined && pathOf(request) !== path) return;
      if (isOwn || this.#admit(request.socket)) this.#upgrade(request, socket, head);
      else refuse(socket, '429 Too Many Requests', 'too many connections from this address'); // RFC 6585 §4
    };
    server.on('upgrade', onUpgrade);
    this.#detach.push(() => server.off('upgrade', onUpgrade));
    this.#heartbeat ??= setInterval(() => this.#beat(), this.#options.heartbeatMs ?? 25_000).unref();
  }

  /** Closes one connection after what was sent to it; the core hears no more of it. */
  hangUp(id: number, code: number, reason: string): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#connections.delete(id);
    this.#closeSocket(connection.socket, code, reason);
  }

  /** Stops listening, closes every connection (1001), and resolves when they are gone. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#heartbeat);
    for (const detach of this.#detach.splice(0)) detach();
    for (const id of [...this.#connections.keys()]) this.hangUp(id, 1001, 'the server ends');
    this.driver.close();
    const gone = [...this.#closing].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    const server = this.#ownServer;
    this.#ownServer = undefined;
    if (server?.listening) {
      gone.push(new Promise((resolve) => server.close(resolve)));
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS).unref();
    }
    await Promise.all(gone);
  }

  /** Counts a connection on its source. @returns false for one too many. */
  #admit(socket: Socket): boolean {
    const ip = socketIp(socket.remoteAddress);
    if (!this.#perSource.add(ip)) {
      this.#options.onRefused?.();
      return false;
    }
    socket.once('close', () => this.#perSource.remove(ip));
    return true;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy()); // until `ws` takes over; a reset is nothing to report
    const { origin } = request.headers;
    const { allowedOrigins, subprotocol } = this.#options;
    if (origin !== undefined && allowedOrigins !== undefined && !allowedOrigins.includes(origin)) {
      refuse(socket, '403 Forbidden', 'pages of this origin are not allowed');
      return;
    }
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (!offered.includes(subprotocol)) {
      refuse(socket, '400 Bad Request', `the subprotocol ${subprotocol} is required`);
      return;
    }
    this.#upgrader.handleUpgrade(request, socket, head, (accepted) => {
      this.#strangers.settle(request.socket);
      this.#accept(accepted);
    });
  }

  #accept(socket: WebSocket): void {
    const connection: Connection = { id: this.#nextId++, socket, alive: true };
    const { id } = connection;
    this.#connections.set(id, connection);
    const onAlive = () => {
      connection.alive = true;
      if (this.#connections.has(id)) this.driver.mutate((now) => this.#core.handleAlive(id, now));
    };
    socket.on('ping', onAlive);
    socket.on('pong', onAlive);
    socket.on('message', (data, isBinary) => {
      connection.alive = true;
      if (!this.#connections.has(id)) return; // hung up on: what still arrives is not wanted
      if (isBinary) this.#end(connection, 1003, 'text only');
      else this.driver.input(toBytes(data), id);
    });
    // Over maxPayload, or a bad frame: `ws` has sent the close code itself, and this sees to it that it ends.
    socket.on('error', () => this.#closeSocket(socket, 1002, ''));
    socket.on('close', () => {
      this.#closing.delete(socket);
      if (this.#connections.delete(id)) this.driver.mutate((now) => this.#core.handleClose(id, now));
    });
    this.driver.mutate((now) => this.#core.handleOpen(id, now));
  }

  /** Ends a connection from this side, and tells the core. */
  #end(connection: Connection, code: number, reason: string): void {
    this.hangUp(connection.id, code, reason);
    this.driver.mutate((now) => this.#core.handleClose(connection.id, now));
  }

  #closeSocket(socket: WebSocket, code: number, reason: string): void {
    if (socket.readyState === WebSocket.CLOSED) return;
    this.#closing.add(socket);
    closeSocket(socket, code, reason);
  }

  #send(slot: TransmitSlot<number>): void {
    const connection = slot.path === undefined ? undefined : this.#connections.get(slot.path);
    if (connection === undefined || connection.socket.readyState !== WebSocket.OPEN) return;
    if (connection.socket.bufferedAmount > this.#maxBufferedBytes) {
      connection.socket.terminate(); // a close event follows
      return;
    }
    sendText(connection.socket, slot);
  }

  #beat(): void {
    for (const connection of this.#connections.values()) {
      if (!connection.alive) connection.socket.terminate();
      else if (connection.socket.readyState === WebSocket.OPEN) {
        connection.alive = false;
        connection.socket.ping();
      }
    }
  }
}

/** Answers an upgrade with an HTTP error, and ends the connection. */
function refuse(socket: Duplex, status: string, text: string): void {
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] ?? '/';
}

/** What a listening server is bound to. */
export function boundAddress(server: HttpServer): TransportAddress {
  const bound: AddressInfo | string | null = server.address();
  if (bound === null || typeof bound === 'string') throw new UsageError('the server does not listen on a port');
  return { ip: canonicalIp(bound.address) ?? bound.address, port: bound.port };
}
