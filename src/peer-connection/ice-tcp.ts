import {
  type ByteStream,
  DecodeError,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Platform,
  type StreamHandlers,
  type StreamListener,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { DatagramDeframer, frameDatagram } from '../ice/index.ts';

/** TCP connections of one peer connection, those being opened included. At the bound an unproven one makes room. */
export const MAX_ICE_TCP_CONNECTIONS = 64;

/** Datagrams kept until the other end of a connection of ours has been heard; what does not fit is sent once, or lost. */
export const MAX_WAITING_DATAGRAMS = 16;

/** The longest datagram taken from a connection, bytes: a DTLS record of 2^14 + 2,048 with its header (RFC 6347 §4.1). */
export const MAX_ICE_TCP_DATAGRAM_BYTES = 18_445;

/**
 * Attempts at a simultaneous open. Where the other side's NAT drops what comes before its own attempt, the system repeats
 * ours; where its host refuses it, the two have to meet within a round trip, so that it is begun again.
 */
export const MAX_SIMULTANEOUS_ATTEMPTS = 16;

/**
 * Attempts at a connection from an active candidate: a check over UDP is repeated as well. A relay refuses connections until
 * its owner has had our candidates and let our address in.
 */
export const MAX_ACTIVE_ATTEMPTS = 5;

/** From one attempt to the next, at most: at random, or both sides would keep missing each other; twice as long each time. */
const FIRST_PAUSE_MS = { so: 50, active: 400 };
const LONGEST_PAUSE_MS = { so: 1000, active: 3200 };

const LENGTH_BYTES = 2;

/** RFC 6544 §4.5: the port of active candidates, which nothing listens on. */
export const ACTIVE_PORT = 9;

/** Who uses the connections. */
export interface IceTcpUser {
  /** The datagram is the callee's. */
  onDatagram(bytes: Uint8Array, path: FiveTuple): void;
  /** Refused, closed by the other side, or broken, and not begun again: its pair has failed (RFC 6544 §7). */
  onClosed(path: FiveTuple): void;
  /** Whether the other end has shown that it knows our password. */
  isProven(path: FiveTuple): boolean;
}

interface Connection {
  readonly path: FiveTuple;
  /** Who has opened it, or is about to. */
  readonly kind: 'accepted' | 'active' | 'so';
  readonly abort: AbortController;
  /** What is sent on each attempt, until something has come back. */
  readonly waiting: Uint8Array[];
  attempts: number;
  heard: boolean;
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
  listen(address: TransportAddress): Promise<TransportAddress | undefined> {
    return this.listenAt(
      async (accept) => this.#platform.listenTcp?.(address, accept),
      (stream) => ({ ip: address.ip, port: stream.local.port }),
    );
  }

  /**
   * The same for a place that `open` finds, such as a relay.
   * @param localOf - the base that a connection has arrived at.
   */
  async listenAt<L extends StreamListener>(
    open: (accept: (stream: ByteStream) => StreamHandlers) => Promise<L | undefined>,
    localOf: (stream: ByteStream) => TransportAddress = ({ local }) => local,
  ): Promise<TransportAddress | undefined> {
    const listener = await open((stream) => this.#accept(stream, localOf(stream)));
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
    if (connection.stream !== undefined && connection.heard && offset >= LENGTH_BYTES) {
      // RFC 4571 §2, into the slot's headroom: nothing is copied.
      buffer[offset - 2] = length >>> 8;
      buffer[offset - 1] = length;
      connection.stream.write(buffer, offset - LENGTH_BYTES, LENGTH_BYTES + length);
      return;
    }
    const frame = frameDatagram(buffer.subarray(offset, offset + length));
    connection.stream?.write(frame, 0, frame.length);
    if (!connection.heard && connection.waiting.length < MAX_WAITING_DATAGRAMS) connection.waiting.push(frame);
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
      connection = this.#add(path, simultaneous ? 'so' : 'active');
      void this.#connect(connection);
    }
    this.#connectionOf.set(path, connection);
    return connection;
  }

  #add(path: FiveTuple, kind: Connection['kind']): Connection {
    const abort = new AbortController();
    const heard = kind === 'accepted'; // nothing that is sent there is for a second attempt
    const connection: Connection = { path, kind, abort, waiting: [], attempts: 0, heard, stream: undefined };
    this.#connections.set(formatFiveTuple(path), connection);
    return connection;
  }

  async #connect(connection: Connection): Promise<void> {
    const { path, kind, abort, waiting } = connection;
    connection.attempts++;
    try {
      // RFC 6544 §3: in a simultaneous open both sides connect, each from and to the port of its candidate.
      const from = kind === 'so' ? { localPort: path.local.port } : {};
      const options = { localIp: path.local.ip, ...from, signal: abort.signal };
      const stream = await this.#platform.connectTcp?.(path.remote, this.#handlers(connection), options);
      if (abort.signal.aborted) {
        stream?.close();
        return;
      }
      if (stream === undefined) throw new Error('this platform has no TCP');
      connection.stream = stream;
      for (const frame of waiting) stream.write(frame, 0, frame.length);
    } catch (error) {
      this.#platform.env.trace.note('ice-tcp', `no connection to ${formatAddress(path.remote)}: ${String(error)}`);
      this.#lost(connection);
    }
  }

  /** Not connected, or not any more: begun again if nothing has ever come over it. */
  #lost(connection: Connection): void {
    const { kind, attempts, heard, abort } = connection;
    connection.stream = undefined;
    const most = kind === 'so' ? MAX_SIMULTANEOUS_ATTEMPTS : MAX_ACTIVE_ATTEMPTS;
    if (kind === 'accepted' || heard || attempts >= most) {
      this.#end(connection);
      return;
    }
    const longestMs = Math.min(FIRST_PAUSE_MS[kind] * 2 ** (attempts - 1), LONGEST_PAUSE_MS[kind]);
    void this.#pause(longestMs, abort.signal).then(() =>
      abort.signal.aborted ? undefined : this.#connect(connection),
    );
  }

  #pause(longestMs: number, signal: AbortSignal): Promise<void> {
    const draw = new Uint8Array(1);
    this.#platform.env.random(draw);
    const at = this.#platform.now() + (longestMs * (1 + draw[0]! / 255)) / 2;
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

  #accept(stream: ByteStream, local: TransportAddress): StreamHandlers {
    const path: FiveTuple = { protocol: 'tcp', local, remote: stream.remote };
    if (this.#closed || !this.#makeRoom()) {
      stream.close();
      return { onData: () => undefined, onClose: () => undefined };
    }
    const connection = this.#add(path, 'accepted');
    connection.stream = stream;
    this.#connectionOf.set(path, connection);
    return this.#handlers(connection);
  }

  #handlers(connection: Connection): StreamHandlers {
    const { path } = connection;
    const deframer = new DatagramDeframer(MAX_ICE_TCP_DATAGRAM_BYTES);
    return {
      onData: (bytes) => {
        connection.heard = true;
        connection.waiting.length = 0;
        try {
          deframer.push(bytes, (datagram) => {
            if (!connection.abort.signal.aborted) this.#user.onDatagram(datagram, path);
          });
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          this.#end(connection);
        }
      },
      onClose: () => this.#lost(connection),
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
