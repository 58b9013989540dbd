import { describe, expect, it } from 'vitest';
import { IceMux } from '../../src/ice/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { address, agreed, connect, twoPeers } from './harness.ts';
import { udp } from './lone-agent.ts';
import { checkBytes } from './messages.ts';

/** A STUN message, a piece of one, or noise; never one that proves anything. */
function garbage(random: SeededRandom, samples: readonly Uint8Array[]): Uint8Array {
  const bytes = random.chance(0.2) ? random.bytes(random.below(300)) : random.pick(samples).slice();
  switch (random.below(5)) {
    case 0:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 1: {
      const longer = new Uint8Array(bytes.length + 1 + random.below(64));
      longer.set(bytes);
      return longer;
    }
    case 2: // a length that lies
      if (bytes.length > 3) bytes[2 + random.below(2)] = random.below(256);
      return bytes;
    default:
      for (let i = 1 + random.below(4); i > 0 && bytes.length > 0; i--)
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return bytes;
  }
}

describe('garbage into a running agent', () => {
  it.each(seeds(5))(
    'seed %i: 20,000 random and mutated datagrams throw nothing, change nothing, grow nothing',
    (seed) => {
      const peers = twoPeers(seed);
      connect(peers);
      const { world, network, a, b } = peers;
      const samples: Uint8Array[] = [];
      const send = network.send.bind(network);
      network.send = (bytes, from, to) => {
        if (samples.length < 50) samples.push(bytes.slice());
        send(bytes, from, to);
      };
      world.run({ until: 1000 });
      const random = new SeededRandom(seed);
      samples.push(checkBytes(random, { to: { ...b.agent.localParameters, pwd: 'x'.repeat(22) }, useCandidate: true }));
      const before = b.agent.stats();
      const selected = b.selectedKey;
      const known = udp(b.bases[0]!, a.bases[0]!);
      for (let i = 0; i < 20_000; i++) {
        const source = random.chance(0.5) ? known : udp(b.bases[0]!, address(`203.0.113.${i & 255}`, 1 + (i % 60_000)));
        b.driver.input(garbage(random, samples), source);
      }
      const after = b.agent.stats();
      expect(b.selectedKey).toBe(selected);
      expect(after.candidates).toEqual(before.candidates);
      expect(after.candidatePairs.map(({ id, state, nominated }) => [id, state, nominated])).toEqual(
        before.candidatePairs.map(({ id, state, nominated }) => [id, state, nominated]),
      );
      expect(after.iceRole).toBe(before.iceRole);
      expect(b.agent.drops.total).toBeGreaterThan(5000);
      world.run({ until: 20_000 });
      expect(agreed(peers)).toBe(true);
      b.received.length = 0;
      a.sendData('still there?');
      world.run({ until: 20_100 });
      expect(b.received).toEqual(['still there?']);
    },
  );

  it('nor does a mux mind', () => {
    const random = new SeededRandom(1);
    const mux = new IceMux<{ acceptsData(): boolean }>();
    mux.add('abcd', { acceptsData: () => false });
    const samples = [checkBytes(random, { to: { ufrag: 'abcd', pwd: 'x'.repeat(22) } })];
    for (let i = 0; i < 20_000; i++) {
      const path = udp(address('10.0.0.1', 1), address('10.0.0.2', 1 + (i % 60_000)));
      const owner = mux.route(garbage(random, samples), path);
      if (owner !== undefined) mux.settle(path, owner);
    }
    expect(mux.paths).toBe(0);
    expect(mux.drops.total).toBeGreaterThan(1000);
  });
});
