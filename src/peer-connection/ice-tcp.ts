import {
  type ByteStream,
  DecodeError,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Platform,
  type StreamHandlers,
  type StreamListener,
  type StreamOptions,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { DatagramDeframer, frameDatagram } from '../ice/index.ts';

/** TCP connections of one peer connection, those being opened included. At the bound an unproven one makes room. */
export const MAX_ICE_TCP_CONNECTIONS = 64;

/** Datagrams that wait for a connection to be opened; what does not fit is lost, as on the network. */
export const MAX_WAITING_DATAGRAMS = 16;

/** The longest datagram taken from a connection, bytes: a DTLS record of 2^14 + 2,048 with its header (RFC 6347 §4.1). */
export const MAX_ICE_TCP_DATAGRAM_BYTES = 18_445;

/**
 * Attempts at a simultaneous open. Where the other side's NAT drops what comes before its own attempt, the system repeats
 * ours; where its host refuses it, the two have to meet within a round trip, so that it is begun again.
 */
export const MAX_SIMULTANEOUS_ATTEMPTS = 16;

/** From one attempt to the next, at most: at random, or both sides would keep missing each other; twice as long each time. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

const LENGTH_BYTES = 2;

/** RFC 6544 §4.5: the port of active candidates, which nothing listens on. */
export const ACTIVE_PORT = 9;

/** Who uses the connections. */
export interface IceTcpUser {
  /** The datagram is the callee's. */
  onDatagram(bytes: Uint8Array, path: FiveTuple): void;
  /** Refused, closed by the other side, or broken: its pair has failed (RFC 6544 §7). */
  onClosed(path: FiveTuple): void;
  /** Whether the other end has shown that it knows our password. */
  isProven(path: FiveTuple): boolean;
}

interface Connection {
  readonly path: FiveTuple;
  readonly abort: AbortController;
  readonly waiting: Uint8Array[];
  stream: ByteStream | undefined;
}

/**
 * The TCP side of ICE (RFC 6544) below the agent: listens for passive candidates, connects for active and simultaneous-open
 * ones when the first datagram is sent, and carries datagrams with their length in front (RFC 4571). A path is one connection.
 */
export class IceTcp {
  readonly #platform: Platform;
  readonly #user: IceTcpUser;
  readonly #listeners = new Map<string, StreamListener>();
  /** Bases of simultaneous-open candidates. */
  readonly #so = new Set<string>();
  /** By text of the path, oldest first. */
  readonly #connections = new Map<string, Connection>();
  /** By identity of the path, for the packet path. */
  #connectionOf = new WeakMap<FiveTuple, Connection>();
  #closed = false;
  #ufrags: readonly string[];

  /** @param ufrags - what is answered to from the beginning. */
  constructor(platform: Platform, user: IceTcpUser, ufrags: readonly string[] = []) {
    this.#platform = platform;
    this.#user = user;
    this.#ufrags = ufrags;
  }

  /** Connections that stand or are being opened. */
  get size(): number {
    return this.#connections.size;
  }

  /**
   * Listens for a passive candidate.
   * @returns its base; undefined on a platform that cannot listen, or when closed meanwhile.
   * @throws with the system's reason (the promise rejects).
   */
  async listen(address: TransportAddress): Promise<TransportAddress | undefined> {
    const listener = await this.#platform.listenTcp?.(address, (stream) => this.#accept(stream, address.ip));
    if (listener === undefined) return undefined;
    if (this.#closed) {
      listener.close();
      return undefined;
    }
    try {
      listener.answerTo?.(this.#ufrags);
    } catch (error) {
      listener.close();
      throw error;
    }
    this.#listeners.set(formatAddress(listener.local), listener);
    return listener.local;
  }

  /**
   * Finds a port for a simultaneous-open candidate. Nothing listens on it: connections only begin there.
   * @returns its base; undefined on a platform that cannot listen, where all listen on one port, or when closed meanwhile.
   * @throws with the system's reason (the promise rejects).
   */
  async reserve(address: TransportAddress): Promise<TransportAddress | undefined> {
    const refuse = (stream: ByteStream): StreamHandlers => {
      stream.close();
      return { onData: () => undefined, onClose: () => undefined };
    };
    const listener = await this.#platform.listenTcp?.(address, refuse);
    listener?.close();
    if (listener === undefined || listener.answerTo !== undefined || this.#closed) return undefined;
    this.#so.add(formatAddress(listener.local));
    return listener.local;
  }

  /** Our ufrags: where the port is shared with others (`TcpMux`), connections come by them. */
  answerTo(ufrags: readonly string[]): void {
    this.#ufrags = ufrags;
    for (const listener of this.#listeners.values()) listener.answerTo?.(ufrags);
  }

  /** A base is gone, and its connections with it. */
  remove(base: TransportAddress): void {
    const key = formatAddress(base);
    this.#listeners.get(key)?.close();
    this.#listeners.delete(key);
    this.#so.delete(key);
    for (const connection of [...this.#connections.values()]) {
      if (formatAddress(connection.path.local) === key) this.#drop(connection);
    }
  }

  /** Sends the slot's datagram over the connection of its path, which is opened for an active candidate. */
  send(slot: TransmitSlot<FiveTuple>): void {
    const { path } = slot;
    if (path === undefined || this.#closed) return;
    const connection = this.#connectionFor(path);
    if (connection === undefined) return;
    const { buffer, offset, length } = slot;
    if (connection.stream !== undefined && offset >= LENGTH_BYTES) {
      // RFC 4571 §2, into the slot's headroom: nothing is copied.
      buffer[offset - 2] = length >>> 8;
      buffer[offset - 1] = length;
      connection.stream.write(buffer, offset - LENGTH_BYTES, LENGTH_BYTES + length);
      return;
    }
    const frame = frameDatagram(buffer.subarray(offset, offset + length));
    if (connection.stream !== undefined) connection.stream.write(frame, 0, frame.length);
    else if (connection.waiting.length < MAX_WAITING_DATAGRAMS) connection.waiting.push(frame);
  }

  /** Ends everything; what was written still leaves. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
    for (const connection of [...this.#connections.values()]) this.#drop(connection);
  }

  #connectionFor(path: FiveTuple): Connection | undefined {
    let connection = this.#connectionOf.get(path);
    if (connection !== undefined) return connection;
    connection = this.#connections.get(formatFiveTuple(path));
    if (connection === undefined) {
      // RFC 6544 §7.1: a passive side opens no connections; one that is gone is the peer's to open again.
      const simultaneous = this.#so.has(formatAddress(path.local));
      if (!(simultaneous || path.local.port === ACTIVE_PORT) || !this.#makeRoom()) return undefined;
      connection = this.#add(path);
      void this.#connect(connection, simultaneous);
    }
    this.#connectionOf.set(path, connection);
    return connection;
  }

  #add(path: FiveTuple): Connection {
    const connection: Connection = { path, abort: new AbortController(), waiting: [], stream: undefined };
    this.#connections.set(formatFiveTuple(path), connection);
    return connection;
  }

  async #connect(connection: Connection, simultaneous: boolean): Promise<void> {
    const { path, abort, waiting } = connection;
    try {
      const stream = await (simultaneous ? this.#connectSimultaneously(connection) : this.#open(connection, {}));
      if (abort.signal.aborted) {
        stream?.close();
        return;
      }
      if (stream === undefined) throw new Error('this platform has no TCP');
      connection.stream = stream;
      for (const frame of waiting.splice(0)) stream.write(frame, 0, frame.length);
    } catch (error) {
      this.#platform.env.trace.note('ice-tcp', `no connection to ${formatAddress(path.remote)}: ${String(error)}`);
      this.#end(connection);
    }
  }

  async #open(connection: Connection, from: Pick<StreamOptions, 'localPort'>): Promise<ByteStream | undefined> {
    const { path, abort } = connection;
    const options = { localIp: path.local.ip, ...from, signal: abort.signal };
    return this.#platform.connectTcp?.(path.remote, this.#handlers(connection), options);
  }

  /** RFC 6544 §3: both sides connect, each from and to the port of its candidate, and the two requests cross. */
  async #connectSimultaneously(connection: Connection): Promise<ByteStream | undefined> {
    const { path, abort } = connection;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#open(connection, { localPort: path.local.port });
      } catch (error) {
        if (abort.signal.aborted || attempt >= MAX_SIMULTANEOUS_ATTEMPTS) throw error;
      }
      await this.#pause(Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), abort.signal);
    }
  }

  #pause(longestMs: number, signal: AbortSignal): Promise<void> {
    const draw = new Uint8Array(1);
    this.#platform.env.random(draw);
    const at = this.#platform.now() + (longestMs * draw[0]!) / 255;
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const cancel = this.#platform.setTimer(at, end);
      signal.addEventListener('abort', end, { once: true });
    });
  }

  #accept(stream: ByteStream, ip: string): StreamHandlers {
    const path: FiveTuple = { protocol: 'tcp', local: { ip, port: stream.local.port }, remote: stream.remote };
    if (this.#closed || !this.#makeRoom()) {
      stream.close();
      return { onData: () => undefined, onClose: () => undefined };
    }
    const connection = this.#add(path);
    connection.stream = stream;
    this.#connectionOf.set(path, connection);
    return this.#handlers(connection);
  }

  #handlers(connection: Connection): StreamHandlers {
    const { path } = connection;
    const deframer = new DatagramDeframer(MAX_ICE_TCP_DATAGRAM_BYTES);
    return {
      onData: (bytes) => {
        try {
          deframer.push(bytes, (datagram) => {
            if (!connection.abort.signal.aborted) this.#user.onDatagram(datagram, path);
          });
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          this.#end(connection);
        }
      },
      onClose: () => this.#end(connection),
    };
  }

  /** Strangers may connect as they like: the oldest that has not proved itself goes first. @returns false when all have. */
  #makeRoom(): boolean {
    if (this.#connections.size < MAX_ICE_TCP_CONNECTIONS) return true;
    for (const connection of this.#connections.values()) {
      if (this.#user.isProven(connection.path)) continue;
      this.#end(connection);
      return true;
    }
    return false;
  }

  /** Not by our doing: the agent is told. */
  #end(connection: Connection): void {
    if (connection.abort.signal.aborted) return;
    this.#drop(connection);
    this.#user.onClosed(connection.path);
  }

  #drop(connection: Connection): void {
    connection.abort.abort();
    this.#connections.delete(formatFiveTuple(connection.path));
    this.#connectionOf = new WeakMap();
    connection.stream?.close();
  }
}
