import type { FiveTuple, TransportAddress } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { TurnServerCore } from '../../src/turn/index.ts';
import { SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { BLOCKED, type NatOptions, openToInternet, SimNat, SimSite, SimStream } from '../sim/nat.ts';
import { SimTurnServer } from '../turn/sim-server.ts';
import { address, nominatedPair, Peer, signal } from './harness.ts';

/** What stands between a host and the internet. */
export type Surroundings = 'public' | 'blocked' | NatOptions;

/** The matrix' rows: names of RFC 3489 in brackets, behaviour in the words of RFC 4787. */
export const SURROUNDINGS: Readonly<Record<string, Surroundings>> = {
  public: 'public',
  'EIM/EIF (full cone)': { mapping: 'endpoint-independent', filtering: 'endpoint-independent' },
  'EIM/ADF (restricted cone)': { mapping: 'endpoint-independent', filtering: 'address-dependent' },
  'EIM/APDF (port-restricted)': { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' },
  'ADM/APDF': { mapping: 'address-dependent', filtering: 'address-and-port-dependent' },
  'APDM/APDF (symmetric)': { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' },
  'UDP blocked': 'blocked',
};

/** A STUN and TURN server, over UDP and TCP. */
export const STUN_SERVER: TransportAddress = address('198.51.100.1', 3478);
const RELAY_IP = '198.51.100.2';
const USER = { username: 'ada', password: 'lovelace' };
/** One way, between any two points of the internet. */
const LATENCY_MS = 25;
/** Where the connection to the TURN server begins, on every host. */
const STREAM_PORT = 6000;

/** The internet with its one server, which is the project's own. */
export class Internet extends SimNetwork {
  readonly #server: SimTurnServer;
  readonly #streams = new Map<FiveTuple, SimStream>();

  constructor(world: SimWorld, loss: number) {
    super(world, { latencyMs: LATENCY_MS, jitterMs: 5, loss });
    this.setLink(RELAY_IP, RELAY_IP, { latencyMs: 0 }); // from one relay to the other: within the server
    const core = new TurnServerCore({
      env: simEnv(world, nodeCrypto),
      realm: 'example.org',
      findUser: () => USER,
      relayAddresses: [{ ip: RELAY_IP }],
    });
    this.#server = new SimTurnServer(this, core, STUN_SERVER);
    this.#server.sendOnStream = ({ path, buffer, offset, length }) => {
      if (path !== undefined) this.#streams.get(path)?.back(buffer.subarray(offset, offset + length));
    };
  }

  /** Opens the connection on which `peer` reaches the server past any firewall: one round trip, and it stands. */
  connectStream(site: SimSite, peer: Peer, local: TransportAddress): FiveTuple {
    const stream = new SimStream(site, local, LATENCY_MS);
    const path: FiveTuple = { protocol: 'tcp', local, remote: STUN_SERVER };
    // The number of the connection stands for the client's address and port: private ones are not unique.
    const remote = address('192.0.2.250', 10_000 + this.#streams.size);
    const atServer: FiveTuple = { protocol: 'tcp', local: STUN_SERVER, remote };
    this.#streams.set(atServer, stream);
    stream.toServer = (bytes) => this.#server.driver.input(bytes, atServer);
    stream.toClient = (bytes) => peer.driver.input(bytes, path);
    return path;
  }
}

/** A host in its surroundings. */
export function placeHost(
  internet: Internet,
  index: 1 | 2,
  surroundings: Surroundings,
  role: 'controlling' | 'controlled',
): Peer {
  const { world } = internet;
  const isPublic = surroundings === 'public';
  const ip = isPublic ? `203.0.113.${index}` : `10.${index}.0.2`;
  const base = address(ip, 5000);
  const site = new SimSite(world, [isPublic ? ip : `10.${index}.`]);
  if (isPublic) openToInternet(site, internet, [base]);
  else if (surroundings === 'blocked') site.gateway = BLOCKED;
  else new SimNat(site, internet, `192.0.2.${index}`, surroundings);
  const peer = new Peer(site, [base], { role });
  askForRelays(peer, site, internet);
  return peer;
}

/** An allocation over UDP from each base, and one over TCP, all at once: as an application's `turn:` URLs say it. */
export function askForRelays(peer: Peer, site: SimSite, internet: Internet): void {
  const { world } = internet;
  const add = (path: FiveTuple, url: string) =>
    peer.driver.mutate((now) => peer.relays.add({ ...USER, path, url }, now));
  const stream = internet.connectStream(site, peer, address(peer.bases[0]!.ip, STREAM_PORT));
  world.schedule(0, () => {
    for (const local of peer.bases) add({ protocol: 'udp', local, remote: STUN_SERVER }, 'turn:server');
  });
  world.schedule(2 * LATENCY_MS, () => {
    add(stream, 'turn:server?transport=tcp');
    peer.driver.mutate((now) => peer.relays.endOfLocalCandidates(now));
  });
}

export interface NatOutcome {
  /** Types of the nominated pair's candidates, as each side sees its own, or `relay`. */
  readonly kind: string;
  /** From the moment when both sides have had each other's credentials to the nominated pair on both, in round trips. */
  readonly roundTrips: number;
  /** The same to the first pair that carries data, on both. */
  readonly usableRoundTrips: number;
}

/** Two hosts in their surroundings connect; undefined when they do not within 30 s. */
export function connectThrough(seed: number, a: Surroundings, b: Surroundings, loss: number): NatOutcome | undefined {
  const world = new SimWorld(seed);
  const internet = new Internet(world, loss);
  const peerA = placeHost(internet, 1, a, 'controlling');
  const peerB = placeHost(internet, 2, b, 'controlled');
  return runPair(world, peerA, peerB);
}

/** @param settleMs - time for candidates still being signalled to replace peer-reflexive ones. */
export function runPair(world: SimWorld, peerA: Peer, peerB: Peer, settleMs = 8000): NatOutcome | undefined {
  const signallingMs = 30;
  signal(peerA, peerB, world, signallingMs);
  signal(peerB, peerA, world, signallingMs);
  for (const peer of [peerA, peerB]) {
    peer.driver.mutate((now) => {
      for (const base of peer.bases) peer.agent.addHostCandidate(base, now);
      peer.agent.addStunServer(STUN_SERVER, now);
    });
  }
  const done = () => nominatedPair(peerA) && nominatedPair(peerB);
  if (!world.run({ until: 30_000, done })) return undefined;
  const inRoundTrips = (at: number) => (at - signallingMs) / (2 * LATENCY_MS);
  const roundTrips = inRoundTrips(world.now);
  const usableRoundTrips = inRoundTrips(Math.max(peerA.selectedAt ?? world.now, peerB.selectedAt ?? world.now));
  world.run({ until: world.now + settleMs });
  const kind = kindOf(peerA, peerB);
  peerA.close();
  peerB.close();
  return { kind, roundTrips, usableRoundTrips };
}

/** What each side is in the eyes of itself: `host-srflx` and so on; `relay` when a relay takes part. */
function kindOf(a: Peer, b: Peer): string {
  const own = [a, b].map((peer) => {
    const stats = peer.agent.stats();
    const pair = stats.candidatePairs.find(({ id }) => id === stats.selectedCandidatePairId);
    return stats.candidates.find(({ id }) => id === pair?.localCandidateId)?.candidateType ?? 'none';
  });
  return own.includes('relay') ? 'relay' : own.join('-');
}

/**
 * What theory says (RFC 4787, RFC 5128): a direct path needs, for a side whose mapping changes with the destination, that
 * the other side lets in what comes from an unknown port of a known address.
 */
export function expectedKind(a: Surroundings, b: Surroundings): string {
  if (a === 'blocked' || b === 'blocked') return 'relay';
  const stable = (s: Surroundings) => s === 'public' || (s !== 'blocked' && s.mapping === 'endpoint-independent');
  const letsInUnknownPort = (s: Surroundings) =>
    s === 'public' || (s !== 'blocked' && s.filtering !== 'address-and-port-dependent');
  const works = (stable(a) && stable(b)) || (stable(a) && letsInUnknownPort(a)) || (stable(b) && letsInUnknownPort(b));
  const kind = (s: Surroundings) => (s === 'public' ? 'host' : stable(s) ? 'srflx' : 'prflx');
  return works ? `${kind(a)}-${kind(b)}` : 'relay';
}
