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
import { IceMux } from '../ice/index.ts';
import { Arrival, Arrivals } from './arrivals.ts';
import { ForwardingPlatform } from './forwarding-platform.ts';
import { MuxPorts } from './mux-ports.ts';
import { type PortShare, PortShares } from './port-shares.ts';
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
  readonly #ports: MuxPorts<SharedListener>;

  /** @param port - the TCP port to share, on each address that connections listen on. 0 takes any free one. */
  constructor(platform: Platform, port: number, options: MuxOptions = {}) {
    super(platform);
    this.#ports = new MuxPorts(port, (local) => SharedListener.bind(platform, local, options, this.drops));
  }

  /**
   * Opens the port on an address before there is a connection, for a server that makes them on demand.
   * @returns what it listens on.
   * @throws with the system's reason (the promise rejects).
   */
  async listen(ip: string): Promise<TransportAddress> {
    return (await this.#ports.on(ip)).local;
  }

  /** A share of the port on `local.ip`; the port that `local` names does not matter. */
  override async listenTcp(
    local: TransportAddress,
    accept: (stream: ByteStream) => StreamHandlers,
  ): Promise<StreamListener> {
    return (await this.#ports.on(local.ip)).share(accept);
  }

  /** Closes the ports, and what has arrived and belongs to nobody. Connections that have their streams keep them. Idempotent. */
  close(): void {
    this.#ports.close();
  }
}

/** One connection's part of a port. */
interface Share extends PortShare {
  readonly accept: (stream: ByteStream) => StreamHandlers;
}

/** One real port and the connections that share it. */
class SharedListener {
  readonly #mux: IceMux<Share>;
  readonly #arrivals: Arrivals;
  readonly #shares: PortShares<Share>;
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
    this.#shares = new PortShares(this.#mux);
    this.#drops = drops;
    this.#arrivals = new Arrivals(platform, (arrival, reason) => this.#refuse(arrival, reason));
  }

  get local(): TransportAddress {
    if (this.#listener === undefined) throw new UsageError('the mux is not bound yet');
    return this.#listener.local;
  }

  share(accept: Share['accept']): StreamListener {
    const share = this.#shares.add({ accept, ufrags: [], acceptsData: () => false });
    return {
      local: this.local,
      answerTo: (ufrags) => this.#answerTo(share, ufrags),
      close: () => this.#shares.remove(share),
    };
  }

  #answerTo(share: Share, ufrags: readonly string[]): void {
    this.#shares.answerTo(share, ufrags);
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
    this.#shares.clear();
  }
}
