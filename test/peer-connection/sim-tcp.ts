import {
  type ByteStream,
  formatAddress,
  type StreamHandlers,
  type StreamListener,
  type StreamOptions,
  type TransportAddress,
} from '../../src/core/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { SimPlatform } from './sim-platform.ts';

const LATENCY_MS = 15;

type Accept = (stream: ByteStream) => StreamHandlers;

/** TCP between virtual machines: in order, nothing lost, cut where it likes. */
export class SimTcp {
  readonly listeners: Map<string, Accept> = new Map();
  /** Connection requests from a port of the caller's choice, by both ends: what a simultaneous open is made of. */
  readonly requests: Map<string, (other: End, stream: (own: End) => ByteStream) => void> = new Map();
  /** What has no place to go is dropped, as NATs do it, and repeated; otherwise it is refused. */
  drops = false;
  /** Ends that are open. */
  open = 0;
}

interface End {
  handlers: StreamHandlers | undefined;
  closed: boolean;
}

/** A machine with TCP beside UDP. */
export class TcpPlatform extends SimPlatform {
  readonly #tcp: SimTcp;
  readonly #network: SimNetwork;
  #port = 50_000;

  constructor(network: SimNetwork, tcp: SimTcp, ips: readonly string[]) {
    super(network, ips);
    this.#tcp = tcp;
    this.#network = network;
  }

  async listenTcp(wanted: TransportAddress, accept: Accept): Promise<StreamListener> {
    const local = { ip: wanted.ip, port: wanted.port === 0 ? this.#port++ : wanted.port };
    this.#tcp.listeners.set(formatAddress(local), accept);
    return { local, close: () => void this.#tcp.listeners.delete(formatAddress(local)) };
  }

  async connectTcp(remote: TransportAddress, handlers: StreamHandlers, options: StreamOptions): Promise<ByteStream> {
    if (options.localPort !== undefined) return this.#open(remote, handlers, options);
    await this.#pause();
    const accept = this.#tcp.listeners.get(formatAddress(remote));
    if (accept === undefined) throw new Error('ECONNREFUSED');
    const local = { ip: options.localIp ?? '0.0.0.0', port: this.#port++ };
    const near: End = { handlers, closed: false };
    const far: End = { handlers: undefined, closed: false };
    far.handlers = accept(this.#stream(remote, local, far, near));
    return this.#stream(local, remote, near, far);
  }

  /** RFC 9293 §3.5: both ends send a SYN, and each takes the other's for the answer. */
  #open(remote: TransportAddress, handlers: StreamHandlers, options: StreamOptions): Promise<ByteStream> {
    const { world } = this.#network;
    const { signal } = options;
    const local = { ip: options.localIp ?? '0.0.0.0', port: options.localPort ?? 0 };
    const [here, there] = [formatAddress(local), formatAddress(remote)];
    const near: End = { handlers, closed: false };
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#tcp.requests.delete(`${here} ${there}`);
        signal?.removeEventListener('abort', refuse);
      };
      const refuse = (): void => {
        settle();
        reject(new Error('ECONNREFUSED'));
      };
      signal?.addEventListener('abort', refuse, { once: true });
      this.#tcp.requests.set(`${here} ${there}`, (far, streamOf) => {
        settle();
        resolve(this.#stream(local, remote, near, far));
        streamOf(near);
      });
      const arrive = (repeatAfterMs: number): void => {
        if (!this.#tcp.requests.has(`${here} ${there}`)) return;
        const crossing = this.#tcp.requests.get(`${there} ${here}`);
        const accept = this.#tcp.listeners.get(there);
        if (crossing !== undefined) {
          settle();
          crossing(near, (far) => {
            const stream = this.#stream(local, remote, near, far);
            resolve(stream);
            return stream;
          });
        } else if (accept !== undefined) {
          settle();
          const far: End = { handlers: undefined, closed: false };
          far.handlers = accept(this.#stream(remote, local, far, near));
          resolve(this.#stream(local, remote, near, far));
        } else if (this.#tcp.drops) {
          world.schedule(this.now() + repeatAfterMs, () => arrive(2 * repeatAfterMs));
        } else {
          world.schedule(this.now() + LATENCY_MS, refuse);
        }
      };
      world.schedule(this.now() + LATENCY_MS, () => arrive(1000));
    });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#network.world.schedule(this.now() + LATENCY_MS, resolve));
  }

  #stream(local: TransportAddress, remote: TransportAddress, own: End, other: End): ByteStream {
    const { world } = this.#network;
    this.#tcp.open++;
    const end = (side: End): void => {
      if (!side.closed) this.#tcp.open--;
      side.closed = true;
    };
    return {
      local,
      remote,
      write: (buffer, offset, length) => {
        if (own.closed) return false;
        const bytes = buffer.slice(offset, offset + length);
        world.schedule(this.now() + LATENCY_MS, () => {
          // In two pieces: a stream keeps no boundaries.
          for (const piece of [bytes.subarray(0, 1), bytes.subarray(1)]) {
            if (!other.closed && piece.length > 0) other.handlers?.onData(piece);
          }
        });
        return true;
      },
      close: () => {
        if (own.closed) return;
        end(own);
        world.schedule(this.now() + LATENCY_MS, () => {
          if (other.closed) return;
          end(other);
          other.handlers?.onClose(undefined);
        });
      },
    };
  }
}

/** A virtual network whose machines have TCP too. */
export function makeTcpWorld(seed: number): {
  readonly network: SimNetwork;
  readonly tcp: SimTcp;
  machine(ip: string): TcpPlatform;
} {
  const network = new SimNetwork(new SimWorld(seed), { latencyMs: 10 });
  const tcp = new SimTcp();
  return { network, tcp, machine: (ip) => new TcpPlatform(network, tcp, [ip]) };
}
