import {
  type DropCounters,
  type Env,
  formatAddress,
  type Platform,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { platform as nodePlatform, UdpShell } from '../io/index.ts';
import { type BehaviourDiscoveryAddresses, StunServer as StunServerCore, type StunServerEvent } from '../stun/index.ts';
import { type Log, NO_LOG } from './log.ts';

export interface StunServerOptions {
  /** SOFTWARE attribute of responses (RFC 8489 §14.14). Default: none, which tells strangers nothing. */
  readonly software?: string;
  /**
   * Answers NAT behaviour discovery (RFC 5780 §6), with {@link StunServer.listenForDiscovery}: two IP addresses and two ports of
   * this machine, all different. Default: no discovery.
   */
  readonly behaviourDiscovery?: BehaviourDiscoveryAddresses;
  readonly log?: Log;
  readonly platform?: Platform;
  readonly env?: Env;
}

/** The port of STUN over UDP (RFC 8489 §18.6). */
export const STUN_PORT = 3478;

/**
 * A STUN server on UDP: tells each client the address that it is seen from (RFC 8489 §12). Keeps no state.
 *
 * @example
 * const server = new StunServer();
 * const { port } = await server.listen({ port: 0 });
 * // … new RTCPeerConnection({ iceServers: [{ urls: `stun:127.0.0.1:${port}` }] })
 * server.close();
 */
export class StunServer {
  readonly #core: StunServerCore;
  readonly #shell: UdpShell<StunServerEvent>;
  readonly #log: Log;
  readonly #discovery: BehaviourDiscoveryAddresses | undefined;

  /** @throws {UsageError} when the addresses of behaviour discovery share an IP address or a port. */
  constructor(options: StunServerOptions = {}) {
    const platform = options.platform ?? nodePlatform;
    this.#log = options.log ?? NO_LOG;
    const { software, behaviourDiscovery } = options;
    this.#discovery = behaviourDiscovery;
    this.#core = new StunServerCore({
      env: options.env ?? platform.env,
      ...(software === undefined ? {} : { software }),
      ...(behaviourDiscovery === undefined ? {} : { behaviourDiscovery }),
    });
    this.#shell = new UdpShell<StunServerEvent>({
      core: this.#core,
      platform,
      onEvent: () => undefined, // one per request: counted by the core, and too many to log
      onError: (error, remote) =>
        this.#log({
          level: 'warn',
          event: 'send-failed',
          reason: error.message,
          to: remote === undefined ? undefined : formatAddress(remote),
        }),
    });
  }

  /** Requests, and what was answered, since construction. */
  get counters(): Readonly<StunServerCore['counters']> {
    return this.#core.counters;
  }

  /** Input that was not acted on, by reason. */
  get drops(): DropCounters {
    return this.#core.drops;
  }

  /**
   * Listens on one more address.
   * @param address - `host` is an IP address and defaults to 127.0.0.1, so that nothing is open to the network unless asked;
   *   port 0 asks for a free port.
   * @returns what it is bound to.
   * @throws rejects with the system's error, such as `EADDRINUSE`.
   */
  async listen(address: { readonly host?: string; readonly port: number }): Promise<TransportAddress> {
    const bound = await this.#shell.bind({ ip: address.host ?? '127.0.0.1', port: address.port });
    this.#log({ level: 'info', event: 'listening', service: 'stun', ip: bound.ip, port: bound.port });
    return bound;
  }

  /**
   * Listens on both addresses of `behaviourDiscovery` with both ports, so that answers can come from each of the four.
   * @throws {UsageError} without that option; rejects with the system's error.
   */
  async listenForDiscovery(): Promise<void> {
    if (this.#discovery === undefined) throw new UsageError('behaviourDiscovery was not given');
    const { primary, alternate } = this.#discovery;
    for (const { ip } of [primary, alternate]) {
      for (const { port } of [primary, alternate]) await this.listen({ host: ip, port });
    }
  }

  /** Closes every socket. Idempotent. */
  close(): void {
    this.#shell.close();
  }
}
