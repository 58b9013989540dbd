import { connect, createServer, type Server, type Socket } from 'node:net';
import type { TransportAddress } from '../core/index.ts';
import { outliveAcceptErrors, socketIp } from '../io/index.ts';

/** What one side gets to read what the other sent last, after that has hung up; then it is cut off. */
export const ENDED_STREAM_MS = 30_000;

/** Connections whose other side has hung up, and whose ends still read; the oldest is cut off for one more. */
export const MAX_ENDED_STREAMS = 1024;

/** What a TCP relay tells of (RFC 6062). */
export interface TcpRelayHandlers {
  /** A peer has connected to the relay that is bound there. @returns the connection's number; undefined closes it. */
  accepted(local: TransportAddress, peer: TransportAddress): number | undefined;
  /** What was dialled stands. False closes it. */
  connected(connection: number): boolean;
  /** Bytes have been handed on. @returns ms to wait before more are read from there. */
  passed(connection: number, direction: 'to-peer' | 'to-client', bytes: number): number;
  /** A connection has ended, or could not be made. */
  closed(connection: number): void;
  /** Asks for one call later. @returns a cancel function, idempotent. */
  setTimer(delayMs: number, fire: () => void): () => void;
}

/**
 * The TCP side of TURN relays (RFC 6062 §5.2, §5.3): listens at relayed addresses, dials peers, and joins their connections
 * with those of clients. Nothing is read from a peer before it is joined, so that the system holds it back by itself.
 *
 * RFC 6062 §5.2 wants connections to peers to leave from the relayed address and port. Node cannot bind a port that it
 * listens on, so that they leave from the relayed address and another port.
 */
export class TcpRelays {
  readonly #handlers: TcpRelayHandlers;
  readonly #listeners = new Map<number, Server>();
  readonly #peers = new Map<number, Socket>();
  /** The client's side of those that are joined. */
  readonly #clients = new Map<number, Socket>();
  /** Connections whose other side has hung up, the oldest first. */
  readonly #ended = new Set<Socket>();

  constructor(handlers: TcpRelayHandlers) {
    this.#handlers = handlers;
  }

  /** Listens for peers of a relay. @throws rejects with the system's error. */
  open(relay: number, local: TransportAddress): Promise<void> {
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      const peer = { ip: socketIp(socket.remoteAddress), port: socket.remotePort ?? 0 };
      const connection = this.#handlers.accepted(local, peer);
      if (connection === undefined) socket.destroy();
      else this.#keep(connection, socket);
      socket.on('error', () => socket.destroy());
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: local.ip, port: local.port, ipv6Only: true }, () => {
        server.off('error', reject);
        outliveAcceptErrors(server, 'a TCP relay');
        this.#listeners.set(relay, server);
        resolve();
      });
    });
  }

  /** Stops listening. @returns whether there was such a relay. */
  closeRelay(relay: number): boolean {
    const server = this.#listeners.get(relay);
    server?.close();
    return this.#listeners.delete(relay);
  }

  /** Connects to a peer. */
  dial(connection: number, local: TransportAddress, peer: TransportAddress): void {
    const socket = connect({ host: peer.ip, port: peer.port, localAddress: local.ip });
    socket.setNoDelay(true);
    socket.pause();
    this.#keep(connection, socket);
    socket.on('error', () => socket.destroy());
    socket.once('connect', () => {
      if (!this.#handlers.connected(connection)) socket.destroy();
    });
  }

  /** Joins a peer's connection with a client's. */
  bind(connection: number, client: Socket): void {
    const peer = this.#peers.get(connection);
    if (peer === undefined) {
      client.destroy();
      return;
    }
    this.#clients.set(connection, client);
    client.once('close', () => this.close(connection));
    forward(client, peer, (bytes) => this.#handlers.passed(connection, 'to-peer', bytes));
    forward(peer, client, (bytes) => this.#handlers.passed(connection, 'to-client', bytes));
  }

  /** Ends both sides; of those that are joined each gets what the other has sent. Idempotent. */
  close(connection: number): void {
    const peer = this.#peers.get(connection);
    const client = this.#clients.get(connection);
    if (peer === undefined) return;
    if (client === undefined) {
      peer.destroy(); // a 'close' event follows
      return;
    }
    this.#forget(connection);
    this.#end(peer);
    this.#end(client);
  }

  closeAll(): void {
    for (const relay of [...this.#listeners.keys()]) this.closeRelay(relay);
    for (const connection of [...this.#peers.keys()]) this.close(connection);
    for (const socket of this.#ended) socket.destroy();
  }

  #keep(connection: number, socket: Socket): void {
    this.#peers.set(connection, socket);
    socket.once('close', () => {
      if (this.#peers.get(connection) !== socket) return;
      const client = this.#clients.get(connection);
      this.#forget(connection);
      if (client !== undefined) this.#end(client);
    });
  }

  #forget(connection: number): void {
    this.#peers.delete(connection);
    this.#clients.delete(connection);
    this.#handlers.closed(connection);
  }

  /**
   * The other side has hung up. What it sent last is still on its way to this one, who may read slowly, or not at all, or never
   * close: nothing else limits it now, for its connection does not count any more.
   */
  #end(socket: Socket): void {
    if (socket.destroyed) return;
    socket.end();
    socket.removeAllListeners('data'); // what it still says has nowhere to go, but the end behind it is waited for
    socket.resume();
    if (this.#ended.size >= MAX_ENDED_STREAMS) {
      const [oldest] = this.#ended;
      oldest?.destroy();
      if (oldest !== undefined) this.#ended.delete(oldest);
    }
    this.#ended.add(socket);
    const cancel = this.#handlers.setTimer(ENDED_STREAM_MS, () => socket.destroy());
    socket.once('close', () => {
      cancel();
      this.#ended.delete(socket);
    });
  }
}

/**
 * Carries bytes from one socket to the other, no faster than the other takes them and the meter allows: what waits, waits at
 * the sender.
 * @param meter - told of bytes that were handed on. @returns ms to pause.
 */
function forward(from: Socket, to: Socket, meter: (bytes: number) => number): void {
  let timer: NodeJS.Timeout | undefined;
  const goOn = () => {
    if (timer === undefined && !to.writableNeedDrain) from.resume();
  };
  from.on('data', (chunk: Uint8Array) => {
    const hasRoom = to.write(chunk);
    const waitMs = meter(chunk.length);
    if (waitMs > 0) {
      timer = setTimeout(() => {
        timer = undefined;
        goOn();
      }, waitMs);
    }
    if (waitMs > 0 || !hasRoom) from.pause();
  });
  to.on('drain', goOn);
  from.once('end', () => to.end());
  from.once('close', () => clearTimeout(timer));
  goOn();
}
