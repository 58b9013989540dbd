import {
  DropCounters,
  type FiveTuple,
  type Platform,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';
import { IceMux } from '../ice/index.ts';
import { ForwardingPlatform } from './forwarding-platform.ts';
import { MuxPorts } from './mux-ports.ts';
import { type PortShare, PortShares } from './port-shares.ts';
import { SentRequests } from './sent-requests.ts';
import { type MuxOptions, unknownUfragListener } from './unknown-checks.ts';

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
  readonly #ports: MuxPorts<SharedSocket>;

  /** @param port - the UDP port to share, on each address that connections bind. 0 takes any free one. */
  constructor(platform: Platform, port: number, options: MuxOptions = {}) {
    super(platform);
    this.#ports = new MuxPorts(port, (local) => SharedSocket.bind(platform, local, options, this.drops));
  }

  /**
   * Opens the port on an address before there is a connection, for a server that makes them on demand.
   * @returns what it is bound to.
   * @throws with the system's reason (the promise rejects).
   */
  async listen(ip: string): Promise<TransportAddress> {
    return (await this.#ports.on(ip)).local;
  }

  /** A share of the port on `local.ip`; the port that `local` names does not matter. */
  override async bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    return (await this.#ports.on(local.ip)).share(handlers);
  }

  /** A socket of a relay's own: an allocation belongs to its 5-tuple (RFC 8656 §3.2), so that two cannot share the port. */
  override get bindPrivateUdp(): NonNullable<Platform['bindPrivateUdp']> {
    return (local, handlers) => this.inner.bindPrivateUdp?.(local, handlers) ?? this.inner.bindUdp(local, handlers);
  }

  /** Closes the real sockets. Connections that still use them lose their network. Idempotent. */
  close(): void {
    this.#ports.close();
  }
}

/** One connection's part of a socket. */
interface Share extends PortShare {
  readonly handlers: UdpHandlers;
}

/** One real socket and the connections that share it. */
class SharedSocket {
  readonly #mux: IceMux<Share>;
  readonly #shares: PortShares<Share>;
  readonly #requests = new SentRequests<Share>();
  /** By identity of the address: the shell hands out one object for each sender while it remembers it. */
  readonly #paths = new WeakMap<TransportAddress, FiveTuple>();
  readonly #socket: UdpSocket;

  static async bind(
    platform: Platform,
    local: TransportAddress,
    options: MuxOptions,
    drops: DropCounters,
  ): Promise<SharedSocket> {
    const tell = unknownUfragListener(platform, options, () => drops.count('rate-limited'));
    let port: SharedSocket | undefined;
    const socket = await platform.bindUdp(local, {
      onDatagram: (bytes, remote) => port?.input(bytes, remote),
      onError: (error, remote) => {
        if (remote === undefined) port?.onError(error);
      },
    });
    port = new SharedSocket(socket, new IceMux<Share>(tell, drops));
    return port;
  }

  constructor(socket: UdpSocket, mux: IceMux<Share>) {
    this.#socket = socket;
    this.#mux = mux;
    this.#shares = new PortShares(mux);
  }

  get local(): TransportAddress {
    return this.#socket.local;
  }

  share(handlers: UdpHandlers): UdpSocket {
    const share = this.#shares.add({
      handlers,
      ufrags: [],
      acceptsData: ({ remote }) => handlers.isProven?.(remote) ?? false,
    });
    const socket = this.#socket;
    /** Whether it may send; who has sent what is noted for the answers. */
    const notes = (buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): boolean => {
      if (!this.#shares.has(share)) return false;
      if (!this.#requests.note(buffer, offset, length, share)) this.#mux.noteSent(this.#pathOf(remote), share);
      return true;
    };
    const whole: UdpSocket = {
      local: socket.local,
      answerTo: (ufrags) => this.#shares.answerTo(share, ufrags),
      send: (buffer, offset, length, remote) => {
        if (notes(buffer, offset, length, remote)) socket.send(buffer, offset, length, remote);
      },
      close: () => {
        socket.flush?.(); // what was kept for it does not wait for another share
        this.#shares.remove(share);
        this.#requests.forget(share);
      },
    };
    if (socket.sendSoon === undefined) return whole;
    return {
      ...whole,
      sendSoon: (buffer, offset, length, remote) => {
        if (notes(buffer, offset, length, remote)) socket.sendSoon?.(buffer, offset, length, remote);
      },
      flush: () => socket.flush?.(),
    };
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
    for (const share of this.#shares.all()) share.handlers.onError(error, undefined);
  }

  close(): void {
    this.#socket.close();
    this.#shares.clear();
  }
}
