import { describe, expect, it } from 'vitest';
import type { TransportAddress } from '../../src/core/index.ts';
import { SimWorld, seeds } from '../sim/index.ts';
import { type NatOptions, openToInternet, SimNat, SimSite } from '../sim/nat.ts';
import { address, isConnected, nominatedPair, Peer, signal } from './harness.ts';
import { askForRelays, Internet, runPair, STUN_SERVER } from './nat-scenario.ts';

const CONE: NatOptions = { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' };
const SYMMETRIC: NatOptions = { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' };

function internetOf(seed: number, loss = 0.02): { world: SimWorld; internet: Internet } {
  const world = new SimWorld(seed);
  return { world, internet: new Internet(world, loss) };
}

function peerAt(site: SimSite, internet: Internet, bases: readonly TransportAddress[], controlling: boolean): Peer {
  const peer = new Peer(site, bases, { role: controlling ? 'controlling' : 'controlled' });
  askForRelays(peer, site, internet);
  return peer;
}

describe('topologies', () => {
  it.each(seeds(20))('seed %i: two hosts in one LAN talk directly, whatever its NAT', (seed) => {
    const { world, internet } = internetOf(seed);
    const lan = new SimSite(world, ['10.1.'], { latencyMs: 0.5, loss: 0.02 });
    new SimNat(lan, internet, '192.0.2.1', SYMMETRIC);
    const a = peerAt(lan, internet, [address('10.1.0.1', 5000)], true);
    const b = peerAt(lan, internet, [address('10.1.0.2', 5000)], false);
    expect(runPair(world, a, b)?.kind).toBe('host-host');
  });

  it.each(seeds(20))(
    'seed %i: two homes behind one carrier NAT meet by its hairpin, and by a relay without',
    (seed) => {
      for (const hairpin of [true, false]) {
        const { world, internet } = internetOf(seed);
        const carrier = new SimSite(world, ['100.64.'], { latencyMs: 5 });
        new SimNat(carrier, internet, '192.0.2.1', { ...CONE, hairpin });
        const peers = [1, 2].map((i) => {
          const home = new SimSite(world, [`10.${i}.`]);
          new SimNat(home, carrier, `100.64.0.${i}`, CONE);
          return peerAt(home, internet, [address(`10.${i}.0.1`, 5000)], i === 1);
        });
        expect(runPair(world, peers[0]!, peers[1]!)?.kind).toBe(hairpin ? 'srflx-srflx' : 'relay');
      }
    },
  );

  it.each(seeds(20))('seed %i: double NAT against one NAT', (seed) => {
    const { world, internet } = internetOf(seed);
    const carrier = new SimSite(world, ['100.64.'], { latencyMs: 5 });
    new SimNat(carrier, internet, '192.0.2.1', CONE);
    const home = new SimSite(world, ['10.1.']);
    new SimNat(home, carrier, '100.64.0.1', CONE);
    const other = new SimSite(world, ['10.2.']);
    new SimNat(other, internet, '192.0.2.2', CONE);
    const a = peerAt(home, internet, [address('10.1.0.1', 5000)], true);
    const b = peerAt(other, internet, [address('10.2.0.1', 5000)], false);
    expect(runPair(world, a, b)?.kind).toBe('srflx-srflx');
  });

  it.each(seeds(20))('seed %i: an IPv6-only host and a dual-stack host behind a NAT talk over IPv6', (seed) => {
    const { world, internet } = internetOf(seed);
    const six = [address('2001:db8:1::1', 5000)];
    const siteA = new SimSite(world, ['2001:db8:1:']);
    openToInternet(siteA, internet, six);
    const dual = [address('10.2.0.1', 5000), address('2001:db8:2::1', 5000)];
    const siteB = new SimSite(world, ['10.2.', '2001:db8:2:']);
    const nat = new SimNat(siteB, internet, '192.0.2.2', CONE);
    internet.bind(dual[1]!, (bytes, from, to) => siteB.send(bytes, from, to));
    siteB.gateway = {
      forward: (bytes, from, to) =>
        from.ip.includes(':') ? internet.send(bytes, from, to) : nat.forward(bytes, from, to),
    };
    const a = new Peer(siteA, six, { role: 'controlling' });
    const b = new Peer(siteB, dual, { role: 'controlled' });
    expect(runPair(world, a, b)?.kind).toBe('host-host');
  });

  it.each(seeds(10))(
    'seed %i: a direct path that comes late takes over from the nominated relay, on both sides',
    (seed) => {
      const { world, internet } = internetOf(seed, 0.05);
      const peers = [1, 2].map((i) => {
        const home = new SimSite(world, [`10.${i}.`]);
        new SimNat(home, internet, `192.0.2.${i}`, CONE);
        return peerAt(home, internet, [address(`10.${i}.0.1`, 5000)], i === 1);
      });
      const cut = (loss: number): void => {
        internet.setLink('192.0.2.1', '192.0.2.2', { latencyMs: 25, loss });
        internet.setLink('192.0.2.2', '192.0.2.1', { latencyMs: 25, loss });
      };
      cut(1);
      world.schedule(10_000, () => cut(0.05));
      const outcome = runPair(world, peers[0]!, peers[1]!, 30_000);
      expect(outcome?.kind).toBe('srflx-srflx');
      expect(outcome!.roundTrips).toBeLessThan(200); // the relay was nominated before the path was there
    },
  );

  it('consent checks keep the bindings of a NAT that forgets after 20 s; without traffic they are gone', () => {
    const { world, internet } = internetOf(1, 0);
    const nats = [1, 2].map((i) => {
      const home = new SimSite(world, [`10.${i}.`]);
      return { home, nat: new SimNat(home, internet, `192.0.2.${i}`, { ...CONE, timeoutMs: 20_000 }) };
    });
    const [a, b] = nats.map(
      ({ home }, i) =>
        new Peer(home, [address(`10.${i + 1}.0.1`, 5000)], { role: i === 0 ? 'controlling' : 'controlled' }),
    );
    signal(a!, b!, world);
    signal(b!, a!, world);
    a!.gather([STUN_SERVER]);
    b!.gather([STUN_SERVER]);
    world.run({ until: 600_000 });
    expect([isConnected(a!), isConnected(b!)]).toEqual([true, true]);
    expect([nominatedPair(a!), nominatedPair(b!)]).toEqual([true, true]);
    expect(a!.states).not.toContain('disconnected');
  });

  it('a NAT that draws new ports for a running session is survived: the peer appears at a new address', () => {
    const { world, internet } = internetOf(3, 0);
    const home = new SimSite(world, ['10.1.']);
    new SimNat(home, internet, '192.0.2.1', CONE);
    const open = [address('203.0.113.2', 6000)];
    const site = new SimSite(world, ['203.0.113.2']);
    openToInternet(site, internet, open);
    const a = new Peer(home, [address('10.1.0.1', 5000)], { role: 'controlling' });
    const b = new Peer(site, open, { role: 'controlled' });
    signal(a, b, world);
    signal(b, a, world);
    a.gather([STUN_SERVER]);
    b.gather([STUN_SERVER]);
    world.run({ until: 20_000 });
    const before = b.selectedKey;
    new SimNat(home, internet, '192.0.2.77', CONE); // the router was restarted and has another address
    world.run({ until: 60_000 });
    expect(b.selectedKey).not.toBe(before);
    expect(b.agent.selectedPath?.remote.ip).toBe('192.0.2.77');
    expect([isConnected(a), isConnected(b)]).toEqual([true, true]);
    a.sendData('still here');
    b.sendData('so am I');
    world.run({ until: 60_200 });
    expect([a.received, b.received]).toEqual([['so am I'], ['still here']]);
  });
});
