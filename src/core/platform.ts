import type { TransportAddress } from './address.ts';
import type { Env, Instant } from './sans-io.ts';

/** One address of one network interface. */
export interface InterfaceAddress {
  readonly name: string;
  /** Canonical text. */
  readonly ip: string;
  /** Loopback. */
  readonly internal: boolean;
  /** The largest IP packet that the interface takes, bytes, where the system tells. */
  readonly mtuBytes?: number;
}

/** Datagrams that a socket keeps back at most before it sends them. */
export const MAX_KEPT_DATAGRAMS = 8;

/** A bound UDP socket. */
export interface UdpSocket {
  /** What it is bound to; the port is the real one even when 0 was asked for. */
  readonly local: TransportAddress;
  /**
   * Sends `buffer[offset, offset + length)`. The bytes are out of the caller's hands when it returns: the buffer may be
   * reused at once. Errors of single sends (no route, message too long) are reported to `onError`, never thrown.
   */
  send(buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): void;
  /**
   * Only of a socket that several connections share: whose connectivity checks are for this share, by the ufrag in front
   * of the colon (RFC 8445 §7.2.2). In the place of what was said before.
   * @throws {UsageError} when another share of the socket has one of them.
   */
  answerTo?(ufrags: readonly string[]): void;
  /**
   * As `send`, but up to {@link MAX_KEPT_DATAGRAMS} may be kept back until `flush`. A burst wakes its receiver once, where
   * datagrams that leave one by one, each as soon as it is sealed, wake it for each.
   */
  sendSoon?(buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): void;
  /** What `sendSoon` has kept leaves. */
  flush?(): void;
  /** Idempotent. No callback comes after it. */
  close(): void;
}

export interface UdpHandlers {
  /** `bytes` is borrowed for the call. `remote` is the same object for each datagram of the same sender while it is cached. */
  onDatagram(bytes: Uint8Array, remote: TransportAddress): void;
  onError(error: Error, remote: TransportAddress | undefined): void;
  /** Whether the peer has proved itself to be at `remote`: a socket that is shared asks, and keeps the address for this share. */
  isProven?(remote: TransportAddress): boolean;
}

/** A TCP connection, or TLS over one, to a TURN server. */
export interface ByteStream {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  /**
   * Writes `buffer[offset, offset + length)`, which may be reused at once.
   * @returns false when so much waits for a slow peer that it was dropped whole, or the stream is closed.
   */
  write(buffer: Uint8Array, offset: number, length: number): boolean;
  /** Idempotent. What was written before still leaves; no callback comes after it. */
  close(): void;
}

export interface StreamHandlers {
  /** `bytes` is borrowed for the call. */
  onData(bytes: Uint8Array): void;
  /** The other end closed it, or it broke (`error`). The last callback. */
  onClose(error: Error | undefined): void;
}

export interface StreamOptions {
  /** Own address to connect from. */
  readonly localIp?: string;
  /** And the port. Several connections to different places may have the same; one that somebody listens on may not be used. */
  readonly localPort?: number;
  /** Gives up connecting: the promise rejects. */
  readonly signal?: AbortSignal;
}

export interface TlsOptions extends StreamOptions {
  /** Host name or IP address that the server's certificate must be for. */
  readonly serverName: string;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: readonly string[];
}

/** One SRV record (RFC 2782). */
export interface SrvRecord {
  /** Lowest first. */
  readonly priority: number;
  /** Share among records of the same priority. */
  readonly weight: number;
  readonly port: number;
  /** Host name; `.` says that the service does not exist. */
  readonly target: string;
}

/** A place where TCP connections arrive. */
export interface StreamListener {
  readonly local: TransportAddress;
  /** Only of a port that several connections share: as {@link UdpSocket.answerTo}. */
  answerTo?(ufrags: readonly string[]): void;
  /** No connection arrives any more; those that have stay. Idempotent. */
  close(): void;
}

export interface ListenOptions {
  /** Connections at a time; more are closed as they arrive. Default: what one connection's candidates need. */
  readonly maxConnections?: number;
}

/** Multicast DNS (RFC 6762) on the links of this machine. */
export interface MulticastNames {
  /**
   * Asks on the links of `interfaces` for the addresses of a `.local` name.
   * @returns what the first answer says, canonical text; nothing when none came in time or `signal` was aborted. Never rejects.
   */
  resolve(hostname: string, interfaces: readonly InterfaceAddress[], signal?: AbortSignal): Promise<readonly string[]>;
  /**
   * Answers for `hostname` with `address.ip`, on that link only.
   * @returns ends it; idempotent.
   * @throws {Error} when it answers for as many names as it can.
   */
  publish(hostname: string, address: InterfaceAddress): () => void;
}

/**
 * The machine, as the façade sees it: one clock, one kind of timer, sockets, names. The Node shell implements it on
 * `node:dgram`, the simulator on virtual time. Nothing else in the façade touches the outside.
 */
export interface Platform {
  readonly env: Env;
  now(): Instant;
  /** Calls `fire` once at or after `at`; returns a cancel function. Does not by itself keep the process alive. */
  setTimer(at: Instant, fire: () => void): () => void;
  /**
   * Runs `task` once, soon, after the current task and its microtasks; tasks run in the order they were queued. Unlike a
   * timer a queued task does keep the process alive until it has run: it carries an event to the application.
   */
  queueTask(task: () => void): void;
  interfaces(): readonly InterfaceAddress[];
  /** Calls `onChange` some time after `interfaces()` has come to answer otherwise. Does not keep the process alive. @returns ends it. */
  watchInterfaces?(onChange: () => void): () => void;
  /** @throws when the address cannot be bound: the promise rejects with the system's reason. */
  bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket>;
  /**
   * Only where `bindUdp` gives shares of a socket (a mux): one that nobody else has, for a TURN server, which takes two
   * connections from one address for one client.
   */
  readonly bindPrivateUdp?: ((local: TransportAddress, handlers: UdpHandlers) => Promise<UdpSocket>) | undefined;
  /** A platform without streams (a simulator, a mux of UDP ports) reaches TURN servers over UDP only. Rejects with the system's reason. */
  connectTcp?(remote: TransportAddress, handlers: StreamHandlers, options: StreamOptions): Promise<ByteStream>;
  /** `accept` takes each connection that arrives. Rejects with the system's reason. Without it ICE-TCP only connects itself. */
  listenTcp?(
    local: TransportAddress,
    accept: (stream: ByteStream) => StreamHandlers,
    options?: ListenOptions,
  ): Promise<StreamListener>;
  /** TLS 1.2 or later. Rejects also for a certificate that does not verify. */
  connectTls?(remote: TransportAddress, handlers: StreamHandlers, options: TlsOptions): Promise<ByteStream>;
  /** Without it `.local` names go to `resolve` like all others, and own addresses cannot be hidden behind them. */
  readonly mdns?: MulticastNames | undefined;
  /** PEM certificates of the authorities that the runtime trusts; for TURN over DTLS, which verifies them itself. */
  rootCertificates?(): readonly string[];
  /**
   * The SRV records of a name such as `_turn._udp.example.org` (RFC 2782), in any order; nothing when there are none.
   * Rejects when the resolver fails. Without it a URI without a port means the default port.
   */
  resolveSrv?(name: string): Promise<readonly SrvRecord[]>;
  /** Host name to addresses, in resolver order; an IP literal resolves to itself. Rejects when there is none. */
  resolve(hostname: string): Promise<readonly string[]>;
}
