import { type DropCounters, type Env, formatAddress, type Platform, type TransportAddress } from '../core/index.ts';
import { platform as nodePlatform, UdpShell } from '../io/index.ts';
import { StunServer as StunServerCore, type StunServerEvent } from '../stun/index.ts';
import { type Log, NO_LOG } from './log.ts';

export interface StunServerOptions {
  /** SOFTWARE attribute of responses (RFC 8489 §14.14). Default: none, which tells strangers nothing. */
  readonly software?: string;
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

  constructor(options: StunServerOptions = {}) {
    const platform = options.platform ?? nodePlatform;
    this.#log = options.log ?? NO_LOG;
    const { software } = options;
    this.#core = new StunServerCore({
      env: options.env ?? platform.env,
      ...(software === undefined ? {} : { software }),
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

  /** Closes every socket. Idempotent. */
  close(): void {
    this.#shell.close();
  }
}
