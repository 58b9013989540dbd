import {
  type ByteStream,
  formatAddress,
  type InterfaceAddress,
  type Platform,
  type SrvRecord,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';
import { classifyPacket } from './demux.ts';

/** Remote addresses that one mux remembers, each with its connection. The oldest goes first. */
export const MAX_MUX_REMOTES = 65_536;

/** Connections that a STUN request from an unknown address is shown to, at most. */
export const MAX_MUX_CONNECTIONS = 16_384;

/**
 * Many connections behind one UDP port of each address: what a server with one open port in its firewall needs. It is a
 * `Platform` whose sockets are shares of real ones; give it to each connection as `purertc.platform`.
 *
 * A datagram belongs to the connection that last sent something to its sender. A connectivity check from an address that
 * nobody has written to is shown to every connection of that address: only the one whose password protects it answers
 * (RFC 8445 §7.3), and by that takes the address. Everything else from unknown addresses is dropped.
 *
 * Two connections of one mux cannot talk to the same remote address and port, which two peers behind one mux of their own
 * would need.
 *
 * @example
 * const mux = new UdpMux(platform, 3478);
 * const pc = new RTCPeerConnection({ purertc: { platform: mux } });
 * // …
 * mux.close(); // after the last connection
 */
export class UdpMux implements Platform {
  readonly env: Platform['env'];
  readonly #platform: Platform;
  readonly #port: number;
  readonly #ports = new Map<string, Promise<SharedPort>>();
  #closed = false;

  /** @param port - the UDP port to share, on each address that connections bind. 0 takes any free one. */
  constructor(platform: Platform, port: number) {
    this.#platform = platform;
    this.#port = port;
    this.env = platform.env;
  }

  get mdns(): Platform['mdns'] {
    return this.#platform.mdns;
  }

  now(): number {
    return this.#platform.now();
  }

  setTimer(at: number, fire: () => void): () => void {
    return this.#platform.setTimer(at, fire);
  }

  queueTask(task: () => void): void {
    this.#platform.queueTask(task);
  }

  interfaces(): readonly InterfaceAddress[] {
    return this.#platform.interfaces();
  }

  async connectTcp(
    ...[remote, handlers, options]: Parameters<NonNullable<Platform['connectTcp']>>
  ): Promise<ByteStream> {
    if (this.#platform.connectTcp === undefined) throw new Error('this platform has no TCP');
    return this.#platform.connectTcp(remote, handlers, options);
  }

  async connectTls(
    ...[remote, handlers, options]: Parameters<NonNullable<Platform['connectTls']>>
  ): Promise<ByteStream> {
    if (this.#platform.connectTls === undefined) throw new Error('this platform has no TLS');
    return this.#platform.connectTls(remote, handlers, options);
  }

  async resolveSrv(name: string): Promise<readonly SrvRecord[]> {
    return (await this.#platform.resolveSrv?.(name)) ?? [];
  }

  rootCertificates(): readonly string[] {
    return this.#platform.rootCertificates?.() ?? [];
  }

  watchInterfaces(onChange: () => void): () => void {
    return this.#platform.watchInterfaces?.(onChange) ?? ((): void => undefined);
  }

  resolve(hostname: string): Promise<readonly string[]> {
    return this.#platform.resolve(hostname);
  }

  /** A share of the port on `local.ip`; the port that `local` names does not matter. */
  async bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    if (this.#closed) throw new Error('the mux is closed');
    let shared = this.#ports.get(local.ip);
    if (shared === undefined) {
      shared = SharedPort.bind(this.#platform, { ip: local.ip, port: this.#port });
      this.#ports.set(local.ip, shared);
      // A port that cannot be bound now may be free later.
      shared.catch(() => this.#ports.delete(local.ip));
    }
    return (await shared).share(handlers);
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

/** One real socket and the connections that share it. */
class SharedPort {
  readonly #shares = new Set<UdpHandlers>();
  /** By text, oldest first: the shell's address objects live only as long as it remembers them. */
  readonly #owners = new Map<string, UdpHandlers>();
  /** By identity, for the packet path. */
  #ownerOf = new WeakMap<TransportAddress, UdpHandlers>();
  #socket: UdpSocket | undefined;

  static async bind(platform: Platform, local: TransportAddress): Promise<SharedPort> {
    const port = new SharedPort();
    port.#socket = await platform.bindUdp(local, {
      onDatagram: (bytes, remote) => port.#input(bytes, remote),
      onError: (error, remote) => {
        for (const share of remote === undefined ? port.#shares : []) share.onError(error, remote);
      },
    });
    return port;
  }

  share(handlers: UdpHandlers): UdpSocket {
    const socket = this.#socket;
    if (socket === undefined) throw new Error('the mux is closed');
    if (this.#shares.size >= MAX_MUX_CONNECTIONS) throw new Error(`a mux carries ${MAX_MUX_CONNECTIONS} connections`);
    this.#shares.add(handlers);
    return {
      local: socket.local,
      send: (buffer, offset, length, remote) => {
        if (!this.#shares.has(handlers)) return;
        if (this.#ownerOf.get(remote) !== handlers) this.#take(remote, handlers);
        socket.send(buffer, offset, length, remote);
      },
      close: () => this.#leave(handlers),
    };
  }

  #take(remote: TransportAddress, handlers: UdpHandlers): void {
    const key = formatAddress(remote);
    this.#owners.delete(key);
    this.#owners.set(key, handlers);
    this.#ownerOf.set(remote, handlers);
    const [oldest] = this.#owners.keys();
    if (this.#owners.size > MAX_MUX_REMOTES && oldest !== undefined) this.#owners.delete(oldest);
  }

  #leave(handlers: UdpHandlers): void {
    this.#shares.delete(handlers);
    for (const [key, owner] of this.#owners) if (owner === handlers) this.#owners.delete(key);
    this.#ownerOf = new WeakMap();
  }

  #input(bytes: Uint8Array, remote: TransportAddress): void {
    let owner = this.#ownerOf.get(remote);
    if (owner === undefined) {
      owner = this.#owners.get(formatAddress(remote));
      if (owner !== undefined) this.#ownerOf.set(remote, owner);
    }
    if (owner !== undefined) {
      owner.onDatagram(bytes, remote);
    } else if (classifyPacket(bytes) === 'stun') {
      for (const share of [...this.#shares]) {
        share.onDatagram(bytes, remote);
        if (this.#owners.has(formatAddress(remote))) return; // it has answered: the check was for this one
      }
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#shares.clear();
    this.#owners.clear();
  }
}
