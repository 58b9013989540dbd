import { expect } from 'vitest';
import type { Driver, Env, FiveTuple, Instant, TransportAddress } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import type { LongTermServerOptions, StunAttribute } from '../../src/stun/index.ts';
import { TurnClient, type TurnClientEvent, type TurnClientOptions } from '../../src/turn/index.ts';
import { type LinkOptions, PERFECT, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { FakeTurnServer } from './fake-server.ts';

export const CLIENT: TransportAddress = { ip: '198.51.100.7', port: 40_000 };
export const SERVER: TransportAddress = { ip: '203.0.113.1', port: 3478 };
export const RELAYED: TransportAddress = { ip: '203.0.113.50', port: 50_000 };
export const PEER: TransportAddress = { ip: '192.0.2.9', port: 9000 };

/** What {@link setUp} gives. */
export interface ClientWorld {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly env: Env;
  readonly server: FakeTurnServer;
  readonly client: TurnClient;
  /** All events so far; bytes are copies. */
  readonly events: TurnClientEvent[];
  /** When each of them came. */
  readonly at: Instant[];
  readonly driver: Driver<TurnClientEvent, FiveTuple>;
  /** A command of the client, then everything that follows within `ms`. */
  run(ms: number, command?: (now: Instant) => void): void;
  /** A datagram from a peer, through the server. */
  fromPeer(peer: TransportAddress, bytes: Uint8Array, extra?: readonly StunAttribute[]): void;
  /** Any bytes from the server. */
  inject(bytes: Uint8Array): void;
}

/** A client and the scripted server on a link. */
export function setUp(
  options: Partial<TurnClientOptions> = {},
  auth: Partial<LongTermServerOptions> = {},
  link: LinkOptions = PERFECT,
  seed = 1,
): ClientWorld {
  const world = new SimWorld(seed);
  const network = new SimNetwork(world, link);
  const env = simEnv(world, nodeCrypto);
  const findUser = (name: string) => (name === 'alice' ? { username: 'alice', password: 'secret' } : undefined);
  const server = new FakeTurnServer({ env, realm: 'example.org', findUser, ...auth });
  const attached = network.attach(server, [SERVER], () => undefined);
  const path: FiveTuple = { protocol: 'udp', local: CLIENT, remote: SERVER };
  const client = new TurnClient({ env, path, username: 'alice', password: 'secret', ...options });
  const events: TurnClientEvent[] = [];
  const at: Instant[] = [];
  const { driver } = network.attach(client, [CLIENT], (event) => {
    events.push(event.type === 'data' ? { ...event, bytes: event.bytes.slice() } : event);
    at.push(world.now);
  });
  const run = (ms: number, command?: (now: Instant) => void) => {
    if (command !== undefined) driver.mutate(command);
    world.run({ until: world.now + ms });
  };
  const fromPeer = (peer: TransportAddress, bytes: Uint8Array, extra?: readonly StunAttribute[]) => {
    server.sendFromPeer(peer, bytes, extra);
    attached.driver.drain();
  };
  const inject = (bytes: Uint8Array) => {
    server.inject(bytes);
    attached.driver.drain();
  };
  return { world, network, env, server, client, events, at, driver, run, fromPeer, inject };
}

/** A client that has its allocation. */
export function allocated(...parameters: Parameters<typeof setUp>): ClientWorld {
  const all = setUp(...parameters);
  all.run(1000, (now) => all.client.allocate(now));
  expect(all.client.state).toBe('allocated');
  all.events.length = 0;
  all.server.seen.length = 0;
  return all;
}
