import {
  formatAddress,
  type Platform,
  type SrvRecord,
  type TransportAddress,
  type UdpSocket,
} from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { type SimNetwork, simEnv } from '../sim/index.ts';

/** A machine on the virtual network: the façade in virtual time. */
export class SimPlatform implements Platform {
  readonly env: Platform['env'];
  /** Names that resolve; all others reject. */
  readonly names: Map<string, readonly string[]> = new Map();
  /** SRV records; names that are not here have none. */
  readonly services: Map<string, readonly SrvRecord[]> = new Map();
  /** Sockets that are open now, and timers and tasks that are due. */
  open = 0;
  pendingTimers = 0;
  readonly #network: SimNetwork;
  readonly #ips: readonly string[];
  #nextPort = 40_000;

  constructor(network: SimNetwork, ips: readonly string[]) {
    this.#network = network;
    this.#ips = ips;
    this.env = simEnv(network.world, nodeCrypto);
  }

  now(): number {
    return this.#network.world.now;
  }

  setTimer(at: number, fire: () => void): () => void {
    this.pendingTimers++;
    let live = true;
    const end = (): void => {
      if (live) this.pendingTimers--;
      live = false;
    };
    const cancel = this.#network.world.schedule(at, () => {
      end();
      fire();
    });
    return () => {
      end();
      cancel();
    };
  }

  queueTask(task: () => void): void {
    this.#network.world.schedule(this.now(), task);
  }

  interfaces(): ReturnType<Platform['interfaces']> {
    return this.#ips.map((ip) => ({ name: 'sim0', ip, internal: false }));
  }

  async bindUdp(wanted: TransportAddress, handlers: Parameters<Platform['bindUdp']>[1]): Promise<UdpSocket> {
    const local = { ip: wanted.ip, port: wanted.port === 0 ? this.#nextPort++ : wanted.port };
    const senders = new Map<string, TransportAddress>();
    const unbind = this.#network.bind(local, (bytes, from) => {
      const key = formatAddress(from);
      const remote = senders.get(key) ?? from;
      senders.set(key, remote);
      handlers.onDatagram(bytes, remote);
    });
    this.open++;
    let closed = false;
    return {
      local,
      send: (buffer, offset, length, remote) => {
        if (!closed) this.#network.send(buffer.subarray(offset, offset + length), local, remote);
      },
      close: () => {
        if (!closed) this.open--;
        closed = true;
        unbind();
      },
    };
  }

  async resolveSrv(name: string): Promise<readonly SrvRecord[]> {
    return this.services.get(name) ?? [];
  }

  async resolve(hostname: string): Promise<readonly string[]> {
    const known = this.names.get(hostname) ?? (/^[\d.]+$/.test(hostname) ? [hostname] : undefined);
    if (known === undefined) throw new Error(`${hostname} does not exist`);
    return known;
  }
}

/** Runs the world one event at a time, letting promises settle in between, until `done` or nothing is left to do. */
export async function runUntil(network: SimNetwork, done: () => boolean, untilMs = 120_000): Promise<boolean> {
  const { world } = network;
  while (!done() && world.now <= untilMs) {
    for (let i = 0; i < 8; i++) await Promise.resolve();
    if (done()) return true;
    let ran = false;
    world.run({
      done: () => {
        const stop = ran;
        ran = true;
        return stop;
      },
    });
    for (let i = 0; i < 8; i++) await Promise.resolve();
    if (world.pending === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      if (world.pending === 0) return done();
    }
  }
  return done();
}
