import type { FiveTuple, TransportAddress } from '../../src/core/index.ts';
import { formatAddress } from '../../src/core/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { BLOCKED, type NatOptions, openToInternet, SimNat, SimRelay, SimSite } from '../sim/nat.ts';
import { address, bindStunServer, nominatedPair, Peer, signal } from './harness.ts';

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

export const STUN_SERVER: TransportAddress = address('198.51.100.1', 3478);
/** One way, between any two points of the internet. */
const LATENCY_MS = 25;

/** A host in its surroundings, with a STUN server and an allocation on a relay. */
export function placeHost(
  internet: SimNetwork,
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
  addRelay(peer, site, internet, address('198.51.100.200', 50_000 + index));
  return peer;
}

/** The relayed candidate comes like a TURN allocation: one round trip later than the others can. */
export function addRelay(peer: Peer, site: SimSite, internet: SimNetwork, relayed: TransportAddress): void {
  const relay = new SimRelay(site, internet, relayed, LATENCY_MS);
  const paths = new Map<string, FiveTuple>();
  relay.onDatagram = (bytes, remote) => {
    const key = formatAddress(remote);
    let path = paths.get(key);
    if (path === undefined) {
      path = { protocol: 'udp', local: relayed, remote };
      paths.set(key, path);
    }
    peer.driver.input(bytes, path);
  };
  peer.addRelay = () => peer.agent.addRelayedCandidate(relayed, address('0.0.0.0', 9), { url: 'turn:relay' }, peer.now);
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
  const internet = new SimNetwork(world, { latencyMs: LATENCY_MS, jitterMs: 5, loss });
  bindStunServer(internet, STUN_SERVER);
  const peerA = placeHost(internet, 1, a, 'controlling');
  const peerB = placeHost(internet, 2, b, 'controlled');
  return runPair(world, peerA, peerB);
}

export function runPair(world: SimWorld, peerA: Peer, peerB: Peer): NatOutcome | undefined {
  const signallingMs = 30;
  signal(peerA, peerB, world, signallingMs);
  signal(peerB, peerA, world, signallingMs);
  for (const peer of [peerA, peerB]) {
    peer.driver.mutate((now) => {
      for (const base of peer.bases) peer.agent.addHostCandidate(base, now);
      peer.agent.addStunServer(STUN_SERVER, now);
    });
    world.schedule(2 * 2 * LATENCY_MS, () =>
      // an Allocate takes two round trips (RFC 8656 §7, §5: 401 first)
      peer.driver.mutate((now) => {
        peer.addRelay?.();
        peer.agent.endOfLocalCandidates(now);
      }),
    );
  }
  const done = () => nominatedPair(peerA) && nominatedPair(peerB);
  if (!world.run({ until: 30_000, done })) return undefined;
  const inRoundTrips = (at: number) => (at - signallingMs) / (2 * LATENCY_MS);
  const roundTrips = inRoundTrips(world.now);
  const usableRoundTrips = inRoundTrips(Math.max(peerA.selectedAt ?? world.now, peerB.selectedAt ?? world.now));
  world.run({ until: world.now + 8000 }); // candidates still being signalled replace peer-reflexive ones
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
