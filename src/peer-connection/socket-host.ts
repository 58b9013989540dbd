import {
  createTransmitSlot,
  Driver,
  type FiveTuple,
  formatAddress,
  type Host,
  type Instant,
  NEVER,
  type Platform,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';
import type { IceTcp } from './ice-tcp.ts';
import { StreamPaths } from './stream-paths.ts';

/** Called with every datagram, as it is on the wire. `bytes` is borrowed; `at` is the platform's clock, in milliseconds. */
export type DatagramObserver = (
  direction: 'in' | 'out',
  bytes: Uint8Array,
  local: string,
  remote: string,
  at: Instant,
) => void;

/** Whose sockets they are. */
export interface SocketUser<E> {
  onEvent(event: E): void;
  /** A connection to a TURN server has ended, by the other side's doing. */
  onStreamClosed(path: FiveTuple, reason: string): void;
  /** Whether the peer has proved itself over the path; sockets that are shared with others ask. */
  isProven(path: FiveTuple): boolean;
}

/**
 * Shared, not written where it is assigned: V8 puts a function that is assigned to a property into the old generation at
 * once, and all that its scope refers to stays in memory with it until the next full collection.
 */
const doNothing = (): void => undefined;

let slot: TransmitSlot<FiveTuple> | undefined;

/** One buffer for all connections: a slot is in use only within one `pollTransmit` and the `send` behind it. */
function sharedSlot(): TransmitSlot<FiveTuple> {
  slot ??= createTransmitSlot<FiveTuple>(MAX_DATAGRAM_BYTES);
  return slot;
}

/** The largest UDP payload over IPv4. */
const MAX_DATAGRAM_BYTES = 65_507;

/**
 * The sockets and the one timer of a core whose path is a five-tuple, over a {@link Platform}: what the UDP shell of
 * `purertc/io` is, for code that may not name Node. After `close` nothing is left: no socket, no timer, no callback.
 */
export class SocketHost<E> implements Host<FiveTuple> {
  readonly driver: Driver<E, FiveTuple>;
  /** Connections to TURN servers; datagrams are sent over them by path. */
  readonly streams: StreamPaths;
  /** Connections of TCP candidates, where there are any. */
  iceTcp: IceTcp | undefined;
  readonly #platform: Platform;
  readonly #user: SocketUser<E>;
  readonly #observer: DatagramObserver | undefined;
  readonly #sockets = new Map<string, UdpSocket>();
  /** By identity of the path: the shells hand out one object for each. */
  readonly #socketOfPath = new WeakMap<FiveTuple, UdpSocket>();
  /** The socket that may have kept datagrams back. */
  #keeps: UdpSocket | undefined;
  #ufrags: readonly string[] = [];
  #cancelTimer: () => void = doNothing;
  #armedAt: Instant = NEVER;
  #closed = false;

  constructor(
    platform: Platform,
    core: SansIo<E, FiveTuple>,
    user: SocketUser<E>,
    observer?: DatagramObserver | undefined,
  ) {
    this.#platform = platform;
    this.#user = user;
    this.#observer = observer;
    this.driver = new Driver(core, this, (event) => user.onEvent(event), sharedSlot());
    this.streams = new StreamPaths(platform, {
      onMessage: (bytes, path) => this.input(bytes, path),
      onClosed: (path, reason) => user.onStreamClosed(path, reason),
    });
  }

  now(): Instant {
    return this.#platform.now();
  }

  send(slot: TransmitSlot<FiveTuple>): void {
    const path = slot.path;
    if (path === undefined) return;
    if (this.#observer !== undefined) {
      const bytes = slot.buffer.subarray(slot.offset, slot.offset + slot.length);
      this.#observer('out', bytes, formatAddress(path.local), formatAddress(path.remote), this.now());
    }
    // A socket that is gone (its interface went away) loses what it is given, as the network would.
    if (path.protocol === 'udp') this.#sendUdp(this.#socketFor(path), slot, path.remote);
    else if (!this.streams.send(slot)) this.iceTcp?.send(slot);
  }

  #sendUdp(socket: UdpSocket | undefined, slot: TransmitSlot<FiveTuple>, remote: TransportAddress): void {
    if (socket?.sendSoon === undefined) {
      socket?.send(slot.buffer, slot.offset, slot.length, remote);
      return;
    }
    if (this.#keeps !== socket) this.flush();
    this.#keeps = socket;
    socket.sendSoon(slot.buffer, slot.offset, slot.length, remote);
  }

  flush(): void {
    this.#keeps?.flush?.();
    this.#keeps = undefined;
  }

  #socketFor(path: FiveTuple): UdpSocket | undefined {
    let socket = this.#socketOfPath.get(path);
    if (socket === undefined) {
      socket = this.#sockets.get(formatAddress(path.local));
      if (socket !== undefined) this.#socketOfPath.set(path, socket);
    }
    return socket;
  }

  /** A timer that is due too early costs one harmless wake; to re-arm it at each datagram would cost more. */
  wakeAt(at: Instant): void {
    if (at >= this.#armedAt && at !== NEVER) return;
    this.#cancelTimer();
    this.#cancelTimer = doNothing;
    this.#armedAt = at;
    if (at === NEVER) return;
    this.#cancelTimer = this.#platform.setTimer(at, () => {
      this.#armedAt = NEVER;
      this.driver.wake();
    });
  }

  /**
   * Binds one socket; its datagrams go to the core from now on.
   * @param own - not a share of a socket that other connections have.
   * @returns what it is bound to, or undefined when the host was closed meanwhile.
   * @throws with the system's reason (the promise rejects).
   */
  async bind(address: TransportAddress, own = false): Promise<TransportAddress | undefined> {
    let local: TransportAddress | undefined;
    const pathFrom = (from: TransportAddress, remote: TransportAddress): FiveTuple => {
      let path = paths.get(remote);
      if (path === undefined) {
        path = { protocol: 'udp', local: from, remote };
        paths.set(remote, path);
      }
      return path;
    };
    // The socket hands out one object for each sender, so this gives one path for each.
    const paths = new WeakMap<TransportAddress, FiveTuple>();
    const platform = this.#platform;
    const handlers: UdpHandlers = {
      onDatagram: (bytes, remote) => {
        if (local !== undefined) this.input(bytes, pathFrom(local, remote));
      },
      isProven: (remote) => local !== undefined && this.#user.isProven(pathFrom(local, remote)),
      // Single sends that fail (no route to one of many candidates) are what connectivity checks are there to find out.
      onError: (error) => platform.env.trace.note('socket', error.message),
    };
    const socket = await (own && platform.bindPrivateUdp !== undefined
      ? platform.bindPrivateUdp(address, handlers)
      : platform.bindUdp(address, handlers));
    if (this.#closed) {
      socket.close();
      return undefined;
    }
    try {
      socket.answerTo?.(this.#ufrags);
    } catch (error) {
      socket.close();
      throw error;
    }
    local = socket.local;
    this.#sockets.set(formatAddress(socket.local), socket);
    return socket.local;
  }

  /** Our ufrags, after each change: where sockets are shared with others, checks come by them. */
  answerTo(ufrags: readonly string[]): void {
    this.#ufrags = ufrags;
    for (const socket of this.#sockets.values()) socket.answerTo?.(ufrags);
    this.iceTcp?.answerTo(ufrags);
  }

  get ufrags(): readonly string[] {
    return this.#ufrags;
  }

  /** Closes the socket of a base that is gone. */
  unbind(local: TransportAddress): void {
    const key = formatAddress(local);
    this.#sockets.get(key)?.close();
    this.#sockets.delete(key);
    this.iceTcp?.remove(local);
  }

  /** A datagram that came over `path`. Borrowed. */
  input(bytes: Uint8Array, path: FiveTuple): void {
    this.#observer?.('in', bytes, formatAddress(path.local), formatAddress(path.remote), this.now());
    this.driver.input(bytes, path);
  }

  /** Idempotent. What was given to `send` before still leaves. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.driver.close();
    this.wakeAt(NEVER);
    this.streams.close();
    this.iceTcp?.close();
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }
}
