import {
  DropCounters,
  type FiveTuple,
  type Platform,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
  UsageError,
} from '../core/index.ts';
import { IceMux, type MuxOwner } from '../ice/index.ts';
import { ForwardingPlatform } from './forwarding-platform.ts';
import { SentRequests } from './sent-requests.ts';
import { type MuxOptions, unknownUfragListener } from './unknown-checks.ts';

/** Connections of a mux, on each address. */
export const MAX_MUX_CONNECTIONS = 16_384;

/**
 * Many connections behind one UDP port of each address: what a server with one open port in its firewall needs. It is a
 * `Platform` whose sockets are shares of real ones; give it to each connection as `purertc.platform`.
 *
 * A connectivity check goes to the connection whose ufrag it names, and the answer to a request to whom has sent that
 * request. Everything else belongs to the connection whose peer has proved itself to be at the sender's address, else to
 * the one that has sent there (a TURN server); from other addresses it is dropped. See `IceMux` of `purertc/ice`.
 *
 * Relays do not share: for a TURN server over UDP each connection binds a port of its own, which only sends to it first.
 *
 * Two connections of one mux cannot carry data to the same remote address and port, which two peers behind one mux of
 * their own would need.
 *
 * @example
 * const mux = new UdpMux(platform, 3478);
 * const pc = new RTCPeerConnection({ purertc: { platform: mux } });
 * // …
 * mux.close(); // after the last connection
 */
export class UdpMux extends ForwardingPlatform {
  /** Why datagrams belonged to nobody. */
  readonly drops: DropCounters = new DropCounters();
  readonly #port: number;
  readonly #options: MuxOptions;
  readonly #ports = new Map<string, Promise<SharedSocket>>();
  #closed = false;

  /** @param port - the UDP port to share, on each address that connections bind. 0 takes any free one. */
  constructor(platform: Platform, port: number, options: MuxOptions = {}) {
    super(platform);
    this.#port = port;
    this.#options = options;
  }

  /**
   * Opens the port on an address before there is a connection, for a server that makes them on demand.
   * @returns what it is bound to.
   * @throws with the system's reason (the promise rejects).
   */
  async listen(ip: string): Promise<TransportAddress> {
    return (await this.#shared(ip)).local;
  }

  /** A share of the port on `local.ip`; the port that `local` names does not matter. */
  override async bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    return (await this.#shared(local.ip)).share(handlers);
  }

  /** A socket of a relay's own: an allocation belongs to its 5-tuple (RFC 8656 §3.2), so that two cannot share the port. */
  override get bindPrivateUdp(): NonNullable<Platform['bindPrivateUdp']> {
    return (local, handlers) => this.inner.bindPrivateUdp?.(local, handlers) ?? this.inner.bindUdp(local, handlers);
  }

  async #shared(ip: string): Promise<SharedSocket> {
    if (this.#closed) throw new Error('the mux is closed');
    let shared = this.#ports.get(ip);
    if (shared === undefined) {
      const listener = unknownUfragListener(this.inner, this.#options, () => this.drops.count('rate-limited'));
      const mux = new IceMux<Share>(listener, this.drops);
      shared = SharedSocket.bind(this.inner, { ip, port: this.#port }, mux);
      this.#ports.set(ip, shared);
      // A port that cannot be bound now may be free later.
      shared.catch(() => this.#ports.delete(ip));
    }
    return shared;
  }

  /** Closes the real sockets. Connections that still use them lose their network. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const port of this.#ports.values()) {
      port.then(
        (shared) => shared.close(),
        () => undefined, // it was never bound
      );
    }
    this.#ports.clear();
  }
}

/** One connection's part of a socket. */
interface Share extends MuxOwner {
  readonly handlers: UdpHandlers;
  ufrags: readonly string[];
}

/** One real socket and the connections that share it. */
class SharedSocket {
  readonly #mux: IceMux<Share>;
  readonly #shares = new Set<Share>();
  readonly #requests = new SentRequests<Share>();
  /** By identity of the address: the shell hands out one object for each sender while it remembers it. */
  readonly #paths = new WeakMap<TransportAddress, FiveTuple>();
  readonly #socket: UdpSocket;

  static async bind(platform: Platform, local: TransportAddress, mux: IceMux<Share>): Promise<SharedSocket> {
    let port: SharedSocket | undefined;
    const socket = await platform.bindUdp(local, {
      onDatagram: (bytes, remote) => port?.input(bytes, remote),
      onError: (error, remote) => {
        if (remote === undefined) port?.onError(error);
      },
    });
    port = new SharedSocket(socket, mux);
    return port;
  }

  constructor(socket: UdpSocket, mux: IceMux<Share>) {
    this.#socket = socket;
    this.#mux = mux;
  }

  get local(): TransportAddress {
    return this.#socket.local;
  }

  share(handlers: UdpHandlers): UdpSocket {
    if (this.#shares.size >= MAX_MUX_CONNECTIONS) throw new Error(`a mux carries ${MAX_MUX_CONNECTIONS} connections`);
    const share: Share = {
      handlers,
      ufrags: [],
      acceptsData: ({ remote }) => handlers.isProven?.(remote) ?? false,
    };
    this.#shares.add(share);
    return {
      local: this.#socket.local,
      answerTo: (ufrags) => this.#answerTo(share, ufrags),
      send: (buffer, offset, length, remote) => {
        if (!this.#shares.has(share)) return;
        if (!this.#requests.note(buffer, offset, length, share)) this.#mux.noteSent(this.#pathOf(remote), share);
        this.#socket.send(buffer, offset, length, remote);
      },
      close: () => {
        this.#shares.delete(share);
        this.#mux.remove(share);
        this.#requests.forget(share);
      },
    };
  }

  #answerTo(share: Share, ufrags: readonly string[]): void {
    if (!this.#shares.has(share)) throw new UsageError('the socket is closed');
    for (const ufrag of ufrags) this.#mux.add(ufrag, share);
    for (const ufrag of share.ufrags) if (!ufrags.includes(ufrag)) this.#mux.removeUfrag(ufrag);
    share.ufrags = ufrags;
  }

  #pathOf(remote: TransportAddress): FiveTuple {
    let path = this.#paths.get(remote);
    if (path === undefined) {
      path = { protocol: 'udp', local: this.#socket.local, remote };
      this.#paths.set(remote, path);
    }
    return path;
  }

  input(bytes: Uint8Array, remote: TransportAddress): void {
    const path = this.#pathOf(remote);
    const owner = this.#requests.take(bytes) ?? this.#mux.route(bytes, path);
    if (owner === undefined) return;
    owner.handlers.onDatagram(bytes, remote);
    this.#mux.settle(path, owner);
  }

  onError(error: Error): void {
    for (const share of this.#shares) share.handlers.onError(error, undefined);
  }

  close(): void {
    this.#socket.close();
    for (const share of this.#shares) this.#mux.remove(share);
    this.#shares.clear();
  }
}
