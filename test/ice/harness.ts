import {
  type Driver,
  type Env,
  type FiveTuple,
  type Instant,
  sameAddress,
  type Trace,
  type TransportAddress,
} from '../../src/core/index.ts';
import type {
  IceAgent,
  IceAgentOptions,
  IceCandidate,
  IceConnectionState,
  IceEvent,
  IceRole,
} from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import type { Relays } from '../../src/peer-connection/index.ts';
import { decodeStun, encodeStun, isStun, STUN_METHODS } from '../../src/stun/index.ts';
import { type LinkOptions, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { RelayedAgent } from './relayed-agent.ts';

/** An agent on the simulated network, its signalling left to the test. */
export class Peer {
  readonly agent: IceAgent;
  readonly driver: Driver<IceEvent, FiveTuple>;
  readonly events: IceEvent[] = [];
  readonly candidates: IceCandidate[] = [];
  readonly states: IceConnectionState[] = [];
  readonly bases: readonly TransportAddress[];
  /** Payloads of `data` events, as text. */
  readonly received: string[] = [];
  /** When the first pair was selected, and when it was first nominated on this side. */
  selectedAt: number | undefined;
  onEvent: ((event: IceEvent) => void) | undefined;
  /** Its TURN allocations. */
  readonly relays: Relays;
  readonly detach: () => void;
  readonly #world: SimWorld;
  readonly #network: SimNetwork;

  constructor(
    network: SimNetwork,
    bases: readonly TransportAddress[],
    options: Omit<IceAgentOptions, 'env'>,
    trace?: Trace,
  ) {
    const world = network.world;
    this.#world = world;
    this.#network = network;
    this.bases = bases;
    const env: Env = simEnv(world, nodeCrypto, trace);
    const core = new RelayedAgent({ env, ...options });
    this.agent = core.ice;
    this.relays = core.relays;
    const { driver, close } = network.attach(core, bases, (event) => this.#record(event));
    this.driver = driver;
    this.detach = close;
  }

  #record(event: IceEvent): void {
    if (event.type === 'candidate') this.candidates.push(event.candidate);
    if (event.type === 'connection-state') this.states.push(event.state);
    if (event.type === 'selected-pair' && event.path !== undefined) this.selectedAt ??= this.#world.now;
    if (event.type === 'data') this.received.push(new TextDecoder().decode(event.bytes));
    else this.events.push(event);
    this.onEvent?.(event);
  }

  get now(): number {
    return this.#world.now;
  }

  addRemoteCandidate(candidate: IceCandidate, now: Instant): void {
    this.relays.addRemoteCandidate(candidate, now);
    this.agent.addRemoteCandidate(candidate, now);
  }

  gather(servers: readonly TransportAddress[] = []): void {
    this.driver.mutate((now) => {
      for (const base of this.bases) this.agent.addHostCandidate(base, now);
      for (const server of servers) this.agent.addStunServer(server, now);
      this.agent.endOfLocalCandidates(now);
    });
  }

  /** Sends data over the selected pair, if there is one. */
  sendData(text: string): boolean {
    const path = this.agent.selectedPath;
    if (path === undefined) return false;
    this.#network.send(new TextEncoder().encode(text), path.local, path.remote);
    return true;
  }

  get selectedKey(): string | undefined {
    const path = this.agent.selectedPath;
    return path === undefined ? undefined : `${path.local.ip}:${path.local.port} ${path.remote.ip}:${path.remote.port}`;
  }

  close(): void {
    this.driver.mutate((now) => this.agent.close(now));
    this.detach();
  }
}

/** A perfect signalling channel with a delay: parameters once, candidates as they come, end-of-candidates at the end. */
export function signal(from: Peer, to: Peer, world: SimWorld, delayMs: number | (() => number) = 10): void {
  const delay = () => (typeof delayMs === 'number' ? delayMs : delayMs());
  let lastAt = 0; // signalling keeps its order
  const later = (run: () => void) => {
    lastAt = Math.max(lastAt, world.now + delay());
    world.schedule(lastAt, run);
  };
  const { localParameters } = from.agent;
  later(() => to.driver.mutate((now) => to.agent.setRemoteParameters(localParameters, now)));
  for (const candidate of from.candidates)
    later(() => to.driver.mutate((now) => to.addRemoteCandidate(candidate, now)));
  const end = () => later(() => to.driver.mutate((now) => to.agent.endOfRemoteCandidates(now)));
  if (from.agent.gatheringState === 'complete') end();
  const previous = from.onEvent;
  from.onEvent = (event) => {
    previous?.(event);
    if (event.type === 'candidate') {
      later(() => to.driver.mutate((now) => to.addRemoteCandidate(event.candidate, now)));
    }
    if (event.type === 'gathering-state' && event.state === 'complete') end();
  };
}

export function address(ip: string, port: number): TransportAddress {
  return { ip, port };
}

export interface TwoPeers {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly a: Peer;
  readonly b: Peer;
}

/** Two agents with one or more bases each, on one flat network, not yet gathering. */
export function twoPeers(
  seed: number,
  link: LinkOptions = { latencyMs: 5 },
  options: {
    readonly roles?: readonly [IceRole, IceRole];
    readonly basesA?: readonly TransportAddress[];
    readonly basesB?: readonly TransportAddress[];
    readonly optionsA?: Partial<IceAgentOptions>;
    readonly optionsB?: Partial<IceAgentOptions>;
  } = {},
): TwoPeers {
  const world = new SimWorld(seed);
  const network = new SimNetwork(world, link);
  const [roleA, roleB] = options.roles ?? ['controlling', 'controlled'];
  const a = new Peer(network, options.basesA ?? [address('10.0.0.1', 5000)], { role: roleA, ...options.optionsA });
  const b = new Peer(network, options.basesB ?? [address('10.0.0.2', 6000)], { role: roleB, ...options.optionsB });
  return { world, network, a, b };
}

/** Gathers and signals both ways. */
export function connect({ world, a, b }: TwoPeers, signallingDelay: number | (() => number) = 10): void {
  signal(a, b, world, signallingDelay);
  signal(b, a, world, signallingDelay);
  a.gather();
  b.gather();
}

export function isConnected(peer: Peer): boolean {
  return peer.agent.connectionState === 'connected' || peer.agent.connectionState === 'completed';
}

/** Both use a nominated pair, and it is the same one (on a network without NAT). */
export function agreed({ a, b }: TwoPeers): boolean {
  const pathA = a.agent.selectedPath;
  const pathB = b.agent.selectedPath;
  if (pathA === undefined || pathB === undefined || !nominatedPair(a) || !nominatedPair(b)) return false;
  return sameAddress(pathA.local, pathB.remote) && sameAddress(pathA.remote, pathB.local);
}

export function nominatedPair(peer: Peer): boolean {
  const stats = peer.agent.stats();
  return stats.candidatePairs.some((pair) => pair.id === stats.selectedCandidatePairId && pair.nominated);
}

/** A STUN server without credentials on the simulated network. */
export function bindStunServer(network: SimNetwork, at: TransportAddress): () => void {
  return network.bind(at, (bytes, from) => {
    if (!isStun(bytes)) return;
    const message = decodeStun(bytes);
    if (message.messageClass !== 'request') return;
    const response = encodeStun({
      messageClass: 'success',
      method: STUN_METHODS.Binding,
      transactionId: message.transactionId,
      attributes: [['XOR-MAPPED-ADDRESS', from]],
      fingerprint: true,
    });
    network.send(response, at, from);
  });
}
