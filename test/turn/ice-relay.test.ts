import { describe, expect, it } from 'vitest';
import { type Driver, type FiveTuple, utf8 } from '../../src/core/index.ts';
import type { IceCandidate, IceEvent } from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import { TurnServerCore } from '../../src/turn/index.ts';
import { type LinkOptions, PERFECT, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { RelayingAgent } from './relaying-agent.ts';
import { SimTurnServer } from './sim-server.ts';

const SERVER = { ip: '192.0.2.1', port: 3478 };
const RELAY_IP = '192.0.2.2';
const LOCALS = [
  { ip: '198.51.100.7', port: 40_000 },
  { ip: '198.51.100.8', port: 41_000 },
] as const;

interface Side {
  readonly agent: RelayingAgent;
  readonly driver: Driver<IceEvent, FiveTuple>;
  readonly candidates: IceCandidate[];
  readonly received: string[];
}

/** Two agents that may use relayed candidates only, both through one server, signalling by direct calls. */
function meet(seed: number, link: LinkOptions) {
  const world = new SimWorld(seed);
  const network = new SimNetwork(world, link);
  const core = new TurnServerCore({
    env: simEnv(world, nodeCrypto),
    realm: 'example.org',
    findUser: (username) => ({ username, password: 'secret' }),
    relayAddresses: [{ ip: RELAY_IP }],
  });
  new SimTurnServer(network, core, SERVER);
  // Nothing passes between the two but what the server relays.
  network.setLink(LOCALS[0].ip, LOCALS[1].ip, { latencyMs: 1, loss: 1 });
  network.setLink(LOCALS[1].ip, LOCALS[0].ip, { latencyMs: 1, loss: 1 });
  const sides = LOCALS.map((local, i): Side => {
    const env = simEnv(world, nodeCrypto);
    const path: FiveTuple = { protocol: 'udp', local, remote: SERVER };
    const role = i === 0 ? 'controlling' : 'controlled';
    const agent = new RelayingAgent({ env, role, policy: 'relay' }, { env, path, username: 'ada', password: 'secret' });
    const side = { agent, candidates: [] as IceCandidate[], received: [] as string[] };
    const { driver } = network.attach(agent, [local], (event) => {
      if (event.type === 'candidate') {
        side.candidates.push(event.candidate);
        const other = sides[1 - i]!;
        world.schedule(world.now + 20, () =>
          other.driver.mutate((now) => other.agent.addRemoteCandidate(event.candidate, now)),
        );
      } else if (event.type === 'data') {
        side.received.push(new TextDecoder().decode(event.bytes));
      }
    });
    return { ...side, driver };
  });
  for (const [i, side] of sides.entries()) {
    side.driver.mutate((now) => {
      side.agent.gather(now);
      side.agent.ice.setRemoteParameters(sides[1 - i]!.agent.ice.localParameters, now);
    });
  }
  const [a, b] = [sides[0]!, sides[1]!];
  const connected = world.run({
    until: 60_000,
    done: () => [a, b].every(({ agent }) => agent.ice.selectedPath !== undefined),
  });
  return { world, a, b, connected, core };
}

describe('ICE over TURN', () => {
  it('two peers that may only be relayed connect through one server, and exchange data over channels', () => {
    const { world, a, b, connected } = meet(1, PERFECT);
    expect(connected).toBe(true);
    for (const { candidates, agent } of [a, b]) {
      expect(candidates.map(({ type, address }) => [type, address])).toEqual([['relay', RELAY_IP]]);
      expect(agent.ice.selectedPath?.local).toEqual(agent.turn.relayedAddresses[0]);
    }
    const say = (side: Side, text: string) => side.driver.mutate((now) => side.agent.sendData(utf8(text), now));
    say(a, 'hello');
    world.run({ until: world.now + 100 });
    say(a, 'over a channel');
    say(b, 'hello back');
    world.run({ until: world.now + 100 });
    expect(b.received).toEqual(['hello', 'over a channel']);
    expect(a.received).toEqual(['hello back']);
  });

  it('stays connected for an hour: consent, permissions, channels and allocations are all renewed', () => {
    const { world, a, b } = meet(1, PERFECT);
    a.driver.mutate((now) => a.agent.sendData(utf8('x'), now));
    world.run({ until: 3_600_000 });
    for (const { agent } of [a, b]) {
      expect(['connected', 'completed']).toContain(agent.ice.connectionState);
      expect(agent.turn.state).toBe('allocated');
    }
  });

  it.each(seeds(60))('seed %i: a loss of 0.2, duplication and reordering on every link', (seed) => {
    const { connected, a, b, core } = meet(seed, {
      latencyMs: 30,
      jitterMs: 60,
      loss: 0.2,
      duplicate: 0.1,
      reorder: 0.1,
    });
    expect(connected, JSON.stringify([a.agent.ice.connectionState, b.agent.turn.state])).toBe(true);
    expect(core.stats.allocations).toBe(2);
  });
});
