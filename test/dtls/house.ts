import { type Driver, type FiveTuple, type TransportAddress, utf8 } from '../../src/core/index.ts';
import {
  DtlsClient,
  type DtlsClientOptions,
  type DtlsEvent,
  DtlsListener,
  type DtlsListenerEvent,
  type DtlsListenerOptions,
  OnPath,
} from '../../src/dtls/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { type LinkOptions, PERFECT, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { SERVER_CERTIFICATE } from './harness.ts';

export const SERVER: TransportAddress = { ip: '192.0.2.1', port: 4433 };
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A client on an address of its own. */
export interface Guest {
  readonly client: DtlsClient;
  readonly events: DtlsEvent[];
  readonly received: string[];
  readonly driver: Driver<DtlsEvent, FiveTuple>;
  readonly leave: () => void;
}

export class House {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly listener: DtlsListener;
  readonly events: DtlsListenerEvent[] = [];
  readonly driver: Driver<DtlsListenerEvent, FiveTuple>;

  /** An echo server. */
  constructor(options: Partial<DtlsListenerOptions> = {}, link: LinkOptions = PERFECT, seed = 1) {
    this.world = new SimWorld(seed);
    this.network = new SimNetwork(this.world, link);
    this.listener = new DtlsListener({
      env: simEnv(this.world, nodeCrypto),
      accept: () => ({ certificate: SERVER_CERTIFICATE, maxRetransmissions: 50, maxRtoMs: 4000 }),
      ...options,
    });
    this.driver = this.network.attach(this.listener, [SERVER], (event) => {
      this.events.push(event);
      if (event.type !== 'dtls' || event.event.type !== 'data') return;
      this.listener.send(event.connection, event.event.bytes, this.world.now);
    }).driver;
  }

  guest(local: TransportAddress, options: Partial<DtlsClientOptions> = {}, existing?: DtlsClient): Guest {
    const env = simEnv(this.world, nodeCrypto);
    const patient = { maxRetransmissions: 50, maxRtoMs: 4000 };
    const client = existing ?? new DtlsClient({ env, verifyPeer: () => undefined, ...patient, ...options });
    const path: FiveTuple = { protocol: 'udp', local, remote: SERVER };
    const events: DtlsEvent[] = [];
    const received: string[] = [];
    const { driver, close } = this.network.attach(new OnPath(client, path, () => true), [local], (event) => {
      if (event.type === 'data') received.push(text(event.bytes));
      events.push(event);
    });
    if (existing === undefined) driver.mutate((now) => client.start(now));
    return { client, events, received, driver, leave: close };
  }

  run(ms: number): void {
    this.world.run({ until: this.world.now + ms });
  }

  say(guest: Guest, words: string): void {
    guest.driver.mutate((now) => guest.client.send(utf8(words), now));
    this.run(1000);
  }

  count(type: DtlsListenerEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }
}

export const at = (n: number): TransportAddress => ({ ip: `198.51.100.${n % 250}`, port: 1000 + n });
