import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { DecodeError, type FiveTuple, Ring, type TransmitSlot, type TransportAddress } from '../core/index.ts';
import { outliveAcceptErrors, plainBytes, Strangers, socketIp } from '../io/index.ts';
import { StreamDeframer } from '../stun/index.ts';

/** Bytes that wait for a slow client; what exceeds it is dropped, as a full queue of UDP would. */
export const MAX_UNSENT_BYTES: number = 1024 * 1024;

/** Messages that wait with them: the shortest ones cost more than their bytes. */
export const MAX_UNSENT_MESSAGES = 4096;

/** Messages that wait for one another, so that each has a TLS record of its own; more go together. */
const MAX_SINGLE_MESSAGES = 16;

/**
 * Connections of one listener that have sent nothing yet, or are not through with TLS's handshake. The oldest makes room for a new
 * one: who means it is faster.
 */
export const MAX_STRANGER_CONNECTIONS = 1024;

/**
 * Bytes kept of a message that is not whole, of a client without an allocation: more than any request needs. Who has one may
 * send the longest there is.
 */
export const MAX_STRANGER_MESSAGE_BYTES = 8192;

/** For each of these two steps; ms. */
const STRANGER_TIMEOUT_MS = 10_000;

/** The first byte of a TLS record that carries a ClientHello (RFC 8446 §5.1); no STUN and no ChannelData begins so. */
const TLS_HANDSHAKE = 22;

/** A PEM certificate chain, the server's own first, and its private key. */
export interface PemCertificate {
  readonly cert: string;
  readonly key: string;
}

/** One client's way back, whatever it is made of. */
export interface Connection {
  readonly path: FiveTuple;
  /** Sends what the slot holds; false when it had to be dropped. The slot may be written to around it. */
  send(slot: TransmitSlot<FiveTuple>): boolean;
  /** Hands the stream over, as it is, to be joined with a peer's (RFC 6062 §5.4); undefined for what is no stream. */
  release(): Socket | undefined;
  close(): void;
}

/** Who takes what connections bring. */
export interface ConnectionHandlers {
  /** A connection begins. False refuses it: its source has too many. @param ip - canonical text. */
  arrived(ip: string): boolean;
  /** One that was not refused then is over. */
  left(ip: string): void;
  /** False refuses it: there are too many. */
  opened(connection: Connection): boolean;
  message(bytes: Uint8Array, path: FiveTuple): void;
  /** Whether the client may send more than {@link MAX_STRANGER_MESSAGE_BYTES} at once: it has an allocation. False counts a drop. */
  mayBeLong(path: FiveTuple): boolean;
  closed(connection: Connection): void;
}

/** A TCP connection, or a TLS one, of a client. */
class StreamConnection implements Connection {
  readonly path: FiveTuple;
  readonly #socket: Socket | TLSSocket;
  /** Messages of a TLS connection behind the one that is being written. */
  readonly #waiting = new Ring<Uint8Array>();
  #waitingBytes = 0;
  #isWriting = false;
  /** Messages that the system has not taken, in `#waiting` or in the socket. */
  #unsent = 0;

  constructor(socket: Socket | TLSSocket, path: FiveTuple) {
    this.#socket = socket;
    this.path = path;
  }

  send(slot: TransmitSlot<FiveTuple>): boolean {
    const unsentBytes = this.#socket.writableLength + this.#waitingBytes;
    if (this.#socket.destroyed || unsentBytes > MAX_UNSENT_BYTES || this.#unsent >= MAX_UNSENT_MESSAGES) return false;
    this.#unsent++;
    const bytes = slot.buffer.slice(slot.offset, slot.offset + slot.length); // copy: written when the socket can
    if (this.path.protocol !== 'tls') {
      this.#socket.write(bytes, this.#sent);
    } else if (this.#isWriting) {
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
    } else {
      this.#isWriting = true;
      this.#socket.write(bytes, this.#written);
    }
    return true;
  }

  readonly #sent = (): void => {
    this.#unsent--;
  };

  /**
   * Node joins what is written while it writes into one TLS record. Nothing is wrong with that, but coturn's client takes a
   * record for a message and loses the others; so a few messages go one by one, and a crowd together.
   */
  readonly #written = (): void => {
    this.#unsent--;
    if (this.#waiting.length > MAX_SINGLE_MESSAGES) this.#flush();
    const next = this.#waiting.shift();
    this.#isWriting = next !== undefined;
    if (next === undefined) return;
    this.#waitingBytes -= next.length;
    this.#socket.write(next, this.#written);
  };

  #flush(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#socket.write(next, this.#sent);
    }
    this.#waitingBytes = 0;
  }

  release(): Socket {
    this.#flush(); // in front of the peer's bytes
    this.#socket.removeAllListeners('data');
    this.#socket.pause();
    return this.#socket;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/**
 * Listens on TCP. With a certificate TLS is taken on the same port: the first byte of a connection tells them apart
 * (RFC 7983), so that one port, such as 443, serves both.
 */
export class StreamListener {
  readonly #server: Server;
  readonly #handlers: ConnectionHandlers;
  readonly #sockets = new Set<Socket>();
  readonly #strangers = new Strangers(MAX_STRANGER_CONNECTIONS);
  #tls: TlsServer | undefined;

  /** @param give - gets each new connection unread, instead of this listener. */
  constructor(handlers: ConnectionHandlers, certificate: PemCertificate | undefined, give?: (socket: Socket) => void) {
    this.#handlers = handlers;
    this.#server = createServer({ pauseOnConnect: give !== undefined }, give ?? ((socket) => this.adopt(socket)));
    this.setCertificate(certificate);
  }

  /** For new connections; those that stand keep theirs. @throws for a certificate and key that do not fit. */
  setCertificate(certificate: PemCertificate | undefined): void {
    if (certificate === undefined) return;
    if (this.#tls !== undefined) {
      this.#tls.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' });
      return;
    }
    this.#tls = createTlsServer({ ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: STRANGER_TIMEOUT_MS });
    this.#tls.on('secureConnection', (socket) => this.#serve(socket, 'tls'));
    this.#tls.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  /** @returns what it is bound to. @throws rejects with the system's error. */
  listen(address: TransportAddress): Promise<TransportAddress> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: address.ip, port: address.port, ipv6Only: true }, () => {
        this.#server.off('error', reject);
        outliveAcceptErrors(this.#server, 'the TURN listener');
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? { ip: address.ip, port: bound.port } : address);
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#tls?.close();
  }

  /** Serves a connection of which nothing has been read. */
  adopt(socket: Socket): void {
    const ip = socketIp(socket.remoteAddress);
    if (!this.#handlers.arrived(ip)) {
      socket.destroy();
      return;
    }
    socket.once('close', () => this.#handlers.left(ip));
    this.#sockets.add(socket);
    this.#strangers.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy()); // a reset by the client
    socket.setTimeout(STRANGER_TIMEOUT_MS, () => socket.destroy()); // until the first byte
    socket.once('readable', () => {
      const first: unknown = socket.read(1);
      if (!(first instanceof Uint8Array)) {
        socket.destroy();
        return;
      }
      socket.setTimeout(0);
      socket.unshift(first);
      if (first[0] !== TLS_HANDSHAKE) this.#serve(socket, 'tcp');
      else if (this.#tls === undefined) socket.destroy();
      else this.#tls.emit('connection', socket);
    });
  }

  #serve(socket: Socket | TLSSocket, protocol: 'tcp' | 'tls'): void {
    this.#strangers.settle(socket);
    const path: FiveTuple = {
      protocol,
      local: { ip: socketIp(socket.localAddress), port: socket.localPort ?? 0 },
      remote: { ip: socketIp(socket.remoteAddress), port: socket.remotePort ?? 0 },
    };
    const connection = new StreamConnection(socket, path);
    if (!this.#handlers.opened(connection)) {
      socket.destroy();
      return;
    }
    const deframer = new StreamDeframer({ channelData: 'rfc5766' });
    socket.on('close', () => this.#handlers.closed(connection));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Uint8Array) => {
      try {
        deframer.push(plainBytes(chunk), (message) => this.#handlers.message(message, path));
        if (deframer.bufferedBytes > MAX_STRANGER_MESSAGE_BYTES && !this.#handlers.mayBeLong(path)) socket.destroy();
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        socket.destroy(); // no way to find the next message
      }
    });
  }
}
