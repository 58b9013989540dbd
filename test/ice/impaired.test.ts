import { describe, expect, it } from 'vitest';
import type { IceRole } from '../../src/ice/index.ts';
import { type LinkOptions, SeededRandom, seeds } from '../sim/index.ts';
import { address, agreed, connect, isConnected, type Peer, signal, twoPeers } from './harness.ts';

const BAD: LinkOptions = { latencyMs: 40, jitterMs: 150, loss: 0.2, duplicate: 0.1, reorder: 0.1 };
const basesA = [address('10.0.0.1', 5000), address('10.0.1.1', 5000), address('fd00::1', 5000)];
const basesB = [address('10.0.0.2', 6000), address('fd00::2', 6000)];
const ROLES: readonly IceRole[] = ['controlling', 'controlled'];

function endsWell(peers: ReturnType<typeof twoPeers>): void {
  const { world, a, b } = peers;
  expect(world.run({ until: 60_000, done: () => agreed(peers) })).toBe(true);
  expect(a.agent.role).not.toBe(b.agent.role);
  // Lost consent checks may move the data to another pair for a while, but never leave the peers without one.
  world.run({ until: world.now + 60_000 });
  expect(world.run({ until: world.now + 30_000, done: () => agreed(peers) && isConnected(a) && isConnected(b) })).toBe(
    true,
  );
  expect([...a.states, ...b.states]).not.toContain('failed');
  a.close();
  b.close();
  world.run();
  expect(world.pending).toBe(0);
}

describe('two agents over bad links', () => {
  it.each(seeds(60))(
    'seed %i: 20%% loss, duplication, reordering: one nominated pair, the same on both sides',
    (seed) => {
      const peers = twoPeers(seed, BAD, { basesA, basesB });
      connect(peers);
      endsWell(peers);
    },
  );

  it.each(seeds(60))('seed %i: whatever the roles at the start, a conflict is repaired', (seed) => {
    const random = new SeededRandom(seed);
    const peers = twoPeers(seed, BAD, { basesA, basesB, roles: [random.pick(ROLES), random.pick(ROLES)] });
    connect(peers);
    endsWell(peers);
  });

  it.each(seeds(60))('seed %i: slow signalling in both directions, each item with its own delay', (seed) => {
    const random = new SeededRandom(seed);
    const peers = twoPeers(seed, BAD, { basesA, basesB });
    connect(peers, () => random.below(1500));
    endsWell(peers);
  });

  it.each(seeds(30))('seed %i: only one side learns candidates: the other finds them as peer-reflexive', (seed) => {
    const peers = twoPeers(seed, BAD, { basesA, basesB });
    const { world, a, b } = peers;
    signal(a, b, world);
    world.schedule(10, () => a.driver.mutate((now) => a.agent.setRemoteParameters(b.agent.localParameters, now)));
    a.gather();
    b.gather();
    endsWell(peers);
    const types = a.agent
      .stats()
      .candidates.filter((c) => c.type === 'remote-candidate')
      .map((c) => c.candidateType);
    expect(new Set(types)).toEqual(new Set(['prflx']));
  });
});

describe('role conflicts', () => {
  it.each([
    ['controlling', 'controlling'],
    ['controlled', 'controlled'],
  ] as const)('both %s: exactly one changes, by tie-breaker (RFC 8445 §7.3.1.1)', (roleA, roleB) => {
    for (let seed = 1; seed <= 20; seed++) {
      const peers = twoPeers(seed, { latencyMs: 5 }, { roles: [roleA, roleB] });
      connect(peers);
      const { world, a, b } = peers;
      expect(world.run({ until: 5000, done: () => agreed(peers) })).toBe(true);
      const switches = (peer: Peer) => peer.events.filter((event) => event.type === 'role').length;
      expect(switches(a) + switches(b)).toBe(1);
      expect(new Set([a.agent.role, b.agent.role]).size).toBe(2);
    }
  });
});
