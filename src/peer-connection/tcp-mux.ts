import {
  type ByteStream,
  DropCounters,
  type DropReason,
  type Platform,
  type StreamHandlers,
  type StreamListener,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { IceMux, type MuxOwner } from '../ice/index.ts';
import { Arrival, Arrivals } from './arrivals.ts';
import { ForwardingPlatform } from './forwarding-platform.ts';
import { MAX_MUX_CONNECTIONS } from './udp-mux.ts';
import { type MuxOptions, unknownUfragListener } from './unknown-checks.ts';

/** TCP connections on one address of a mux, arriving ones included; more are closed as they arrive. */
export const MAX_MUX_STREAMS = 32_768;

/**
 * Passive TCP candidates (RFC 6544) of many connections on one port of each address. It is a `Platform`, as `UdpMux` is:
 * give it to each connection as `purertc.platform`, with `iceTcp`. For one port of both kinds put one into the other.
 *
 * A TCP connection belongs to the peer connection whose ufrag the Binding request in its first frame names (RFC 4571,
 * RFC 8445 §7.2.2). Until then it has a place among a bounded number of strangers ({@link MAX_ARRIVALS}, the oldest makes
 * room), for a bounded time and a bounded number of bytes; nothing else is known of it.
 *
 * @example
 * const mux = new TcpMux(new UdpMux(platform, 3478), 3478);
 * const pc = new RTCPeerConnection({ purertc: { platform: mux, iceTcp: true } });
 */
export class TcpMux extends ForwardingPlatform {
  /** Why connections were closed before they belonged to anybody. */
  readonly drops: DropCounters = new DropCounters();
  readonly #port: number;
  readonly #options: MuxOptions;
  readonly #ports = new Map<string, Promise<SharedListener>>();
  #closed = false;

  /** @param port - the TCP port to share, on each address that connections listen on. 0 takes any free one. */
  constructor(platform: Platform, port: number, options: MuxOptions = {}) {
    super(platform);
    this.#port = port;
    this.#options = options;
  }

  /**
   * Opens the port on an address before there is a connection, for a server that makes them on demand.
   * @returns what it listens on.
   * @throws with the system's reason (the promise rejects).
   */
  async listen(ip: string): Promise<TransportAddress> {
    return (await this.#shared(ip)).local;
  }

  /** A share of the port on `local.ip`; the port that `local` names does not matter. */
  override async listenTcp(
    local: TransportAddress,
    accept: (stream: ByteStream) => StreamHandlers,
  ): Promise<StreamListener> {
    return (await this.#shared(local.ip)).share(accept);
  }

  async #shared(ip: string): Promise<SharedListener> {
    if (this.#closed) throw new Error('the mux is closed');
    let shared = this.#ports.get(ip);
    if (shared === undefined) {
      shared = SharedListener.bind(this.inner, { ip, port: this.#port }, this.#options, this.drops);
      this.#ports.set(ip, shared);
      // A port that cannot be bound now may be free later.
      shared.catch(() => this.#ports.delete(ip));
    }
    return shared;
  }

  /** Closes the ports, and what has arrived and belongs to nobody. Connections that have their streams keep them. Idempotent. */
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

/** One connection's part of a port. */
interface Share extends MuxOwner {
  readonly accept: (stream: ByteStream) => StreamHandlers;
  ufrags: readonly string[];
}

/** One real port and the connections that share it. */
class SharedListener {
  readonly #mux: IceMux<Share>;
  readonly #arrivals: Arrivals;
  readonly #shares = new Set<Share>();
  readonly #drops: DropCounters;
  /** The ufrag of the check that is being routed, when nobody has it and the application was told. */
  #told: string | undefined;
  #listener: StreamListener | undefined;

  static async bind(
    platform: Platform,
    local: TransportAddress,
    options: MuxOptions,
    drops: DropCounters,
  ): Promise<SharedListener> {
    if (platform.listenTcp === undefined) throw new Error('this platform cannot listen for TCP');
    const shared = new SharedListener(platform, options, drops);
    const limit = { maxConnections: MAX_MUX_STREAMS };
    shared.#listener = await platform.listenTcp(local, (stream) => shared.#arrive(stream), limit);
    return shared;
  }

  constructor(platform: Platform, options: MuxOptions, drops: DropCounters) {
    const tell = unknownUfragListener(platform, options, () => drops.count('rate-limited'));
    this.#mux = new IceMux<Share>((username, request, path) => {
      if (tell?.(username, request, path) === true) this.#told = username.ours;
    }, drops);
    this.#drops = drops;
    this.#arrivals = new Arrivals(platform, (arrival, reason) => this.#refuse(arrival, reason));
  }

  get local(): TransportAddress {
    if (this.#listener === undefined) throw new UsageError('the mux is not bound yet');
    return this.#listener.local;
  }

  share(accept: Share['accept']): StreamListener {
    if (this.#shares.size >= MAX_MUX_CONNECTIONS) throw new Error(`a mux carries ${MAX_MUX_CONNECTIONS} connections`);
    const share: Share = { accept, ufrags: [], acceptsData: () => false };
    this.#shares.add(share);
    return {
      local: this.local,
      answerTo: (ufrags) => this.#answerTo(share, ufrags),
      close: () => {
        this.#shares.delete(share);
        this.#mux.remove(share);
      },
    };
  }

  #answerTo(share: Share, ufrags: readonly string[]): void {
    if (!this.#shares.has(share)) throw new UsageError('the port is closed');
    for (const ufrag of ufrags) this.#mux.add(ufrag, share);
    for (const ufrag of share.ufrags) if (!ufrags.includes(ufrag)) this.#mux.removeUfrag(ufrag);
    share.ufrags = ufrags;
    for (const arrival of this.#arrivals.all()) {
      if (arrival.ufrag !== undefined && ufrags.includes(arrival.ufrag)) this.#handOver(arrival, share);
    }
  }

  #arrive(stream: ByteStream): StreamHandlers {
    const arrival = new Arrival(stream);
    this.#arrivals.add(arrival);
    return {
      onData: (bytes) => {
        if (arrival.owner !== undefined) arrival.owner.onData(bytes);
        else if (this.#arrivals.has(arrival)) this.#read(arrival, bytes);
      },
      onClose: (error) => {
        this.#arrivals.delete(arrival);
        arrival.owner?.onClose(error);
      },
    };
  }

  #read(arrival: Arrival, bytes: Uint8Array): void {
    const refused = arrival.push(bytes);
    if (refused !== undefined) {
      this.#refuse(arrival, refused);
      return;
    }
    const { request, stream } = arrival;
    if (request === undefined || arrival.ufrag !== undefined) return;
    this.#told = undefined;
    const share = this.#mux.route(request, { protocol: 'tcp', local: stream.local, remote: stream.remote });
    arrival.ufrag = this.#told;
    if (share !== undefined) this.#handOver(arrival, share);
    else if (arrival.ufrag === undefined) this.#close(arrival);
  }

  #handOver(arrival: Arrival, share: Share): void {
    this.#arrivals.delete(arrival);
    arrival.owner = share.accept(arrival.stream);
    for (const chunk of arrival.take()) arrival.owner.onData(chunk);
  }

  #refuse(arrival: Arrival, reason: DropReason): void {
    this.#drops.count(reason);
    this.#close(arrival);
  }

  #close(arrival: Arrival): void {
    this.#arrivals.delete(arrival);
    arrival.stream.close();
  }

  close(): void {
    this.#listener?.close();
    for (const arrival of this.#arrivals.all()) this.#close(arrival);
    for (const share of this.#shares) this.#mux.remove(share);
    this.#shares.clear();
  }
}
