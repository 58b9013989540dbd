import { describe, expect, it } from 'vitest';
import { type IceRole, MAX_PAIRS } from '../../src/ice/index.ts';
import { type LinkOptions, SeededRandom, seeds } from '../sim/index.ts';
import { address, agreed, connect, isConnected, type Peer, twoPeers } from './harness.ts';
import { restartBoth } from './signalling.ts';

const ROLES: readonly IceRole[] = ['controlling', 'controlled'];
const IPS = {
  a: ['10.0.0.1', '10.0.1.1', 'fd00::1', 'fd00:1::1'],
  b: ['10.0.0.2', '10.0.1.2', 'fd00::2', 'fd00:1::2'],
};
const SEEDS = 2000;
/** Seeds per test case, so that a failure names a short range. */
const BLOCK = 100;

/** What holds after every step of every run. */
function checkInvariants(peer: Peer, thorough: boolean): void {
  const { agent } = peer;
  const { connectionState: state, selectedPath } = agent;
  if (state === 'connected' || state === 'completed') expect(selectedPath).toBeDefined();
  if (state === 'failed' || state === 'closed') {
    expect(selectedPath).toBeUndefined();
    expect(agent.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  }
  if (selectedPath !== undefined) expect(agent.acceptsData(selectedPath)).toBe(true);
  if (!thorough) return;
  const { candidatePairs, candidates } = agent.stats();
  expect(candidatePairs.length).toBeLessThanOrEqual(2 * MAX_PAIRS); // two generations during a restart
  const paths = new Set(candidatePairs.map(({ id }) => id));
  expect(paths.size).toBe(candidatePairs.length);
  const nominated = candidatePairs.filter((pair) => pair.nominated);
  expect(nominated.length).toBeLessThanOrEqual(2);
  for (const pair of nominated) expect(pair.state).not.toBe('failed');
  const ids = new Set(candidates.map(({ id }) => id));
  for (const pair of candidatePairs) {
    expect(ids.has(pair.localCandidateId) && ids.has(pair.remoteCandidateId)).toBe(true);
  }
}

/** Two agents, everything drawn from the seed. @returns how it ended. */
function run(seed: number): 'connected' | 'failed' {
  const random = new SeededRandom(seed);
  const some = <T>(items: readonly T[], most: number) =>
    items.toSorted(() => random.next() - 0.5).slice(0, 1 + random.below(most));
  const link: LinkOptions = {
    latencyMs: 1 + random.below(150),
    jitterMs: random.below(200),
    loss: random.pick([0, 0.05, 0.2, 0.3]),
    duplicate: 0.1,
    reorder: 0.1,
  };
  const peers = twoPeers(seed, link, {
    roles: [random.pick(ROLES), random.pick(ROLES)],
    basesA: some(IPS.a, 3).map((ip) => address(ip, 5000)),
    basesB: some(IPS.b, 3).map((ip) => address(ip, 6000)),
  });
  const { world, network, a, b } = peers;
  const blocked = random.next();
  for (const from of a.bases) {
    for (const to of b.bases) {
      if (random.next() >= blocked) continue;
      network.setLink(from.ip, to.ip, { ...link, loss: 1 });
      if (random.chance(0.7)) network.setLink(to.ip, from.ip, { ...link, loss: 1 });
    }
  }
  connect(peers, () => random.below(400));
  for (let i = random.below(3); i > 0; i--) {
    const [first, second] = random.chance(0.5) ? [a, b] : [b, a];
    // One negotiation after the other, as signalling states enforce it.
    world.schedule(3000 + 5000 * i + random.below(3000), () => restartBoth(world, first, second, random.below(500)));
  }
  let steps = 0;
  const failed = () => a.agent.connectionState === 'failed' && b.agent.connectionState === 'failed';
  const settled = () => {
    // All of it after every step for some seeds, after every 32nd for the others: the listing is what takes the time.
    const thorough = seed % 20 === 0 || steps++ % 32 === 0;
    checkInvariants(a, thorough);
    checkInvariants(b, thorough);
    return world.now > 25_000 && (failed() || (agreed(peers) && isConnected(a) && isConnected(b)));
  };
  const ended = world.run({ until: 400_000, done: settled });
  expect(
    ended,
    `seed ${seed}: neither agreed nor both failed, but ${a.agent.connectionState} and ${b.agent.connectionState}`,
  ).toBe(true);
  const outcome = failed() ? 'failed' : 'connected';
  a.close();
  b.close();
  checkInvariants(a, true);
  world.run();
  expect(world.pending).toBe(0);
  return outcome;
}

describe('random candidates, roles, trickling, blocked paths, loss and restarts', () => {
  const outcomes = { connected: 0, failed: 0 };
  it.each(seeds(SEEDS / BLOCK).map((n) => [(n - 1) * BLOCK + 1, n * BLOCK]))(
    'seeds %i to %i: one agreed pair, or failed on both sides; nothing keeps running after close',
    (first, last) => {
      for (let seed = first; seed <= last; seed++) {
        try {
          outcomes[run(seed)]++;
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
      }
    },
  );

  it('both outcomes occurred', () => {
    expect(outcomes.connected).toBeGreaterThan(SEEDS / 4);
    expect(outcomes.failed).toBeGreaterThan(SEEDS / 20);
  });
});
