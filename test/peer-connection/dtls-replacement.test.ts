/** One DTLS association after the other under the same SCTP association (RFC 8842 §4, RFC 8841 §10.5), in the simulator. */
import { describe, expect, it } from 'vitest';
import { seeds } from '../sim/index.ts';
import { CERTIFICATES, fingerprintOf, SimPair, type SimPeer, statesOf } from './support.ts';

/** What an offer and an answer that restart ICE and ask for another DTLS association tell `peer`. */
function retell(peer: SimPeer, other: SimPeer, of: 0 | 1, dtlsRole: 'client' | 'server'): void {
  const { transport, driver } = peer;
  driver.mutate((now) => {
    transport.ice.setRemoteParameters(other.transport.ice.localParameters, now);
    const { ip: address, port } = other.address;
    const candidate = {
      foundation: '1',
      component: 1,
      protocol: 'udp',
      priority: 2_130_706_431,
      type: 'host',
    } as const;
    transport.ice.addRemoteCandidate({ ...candidate, address, port }, now);
    const fingerprints = [fingerprintOf(CERTIFICATES[of])];
    transport.connect({ dtlsRole, fingerprints, maxMessageSize: 262_144, replacesDtls: true }, now);
  });
}

/** Both sides begin anew, `b` a little later than `a`, as after signalling. */
function replaceDtls(pair: SimPair, roleOfA: 'client' | 'server', lagMs = 40): void {
  const { a, b, world } = pair;
  for (const { driver, transport } of [a, b]) {
    driver.mutate((now) => {
      transport.ice.restart(now);
      transport.ice.endOfLocalCandidates(now);
    });
  }
  retell(a, b, 1, roleOfA);
  world.schedule(world.now + lagMs, () => retell(b, a, 0, roleOfA === 'client' ? 'server' : 'client'));
}

describe('another DTLS association', () => {
  it.each(seeds(100))(
    'seed %i, a fifth lost: every message arrives once and in order, the channel stays open',
    (seed) => {
      const link = { latencyMs: 20, jitterMs: 50, loss: 0.2, duplicate: 0.05, reorder: 0.05 };
      const first = seed % 2 ? 'client' : 'server';
      const second = seed % 4 < 2 ? 'client' : 'server'; // half of the seeds change roles
      const pair = new SimPair(seed, { link, dtlsRole: first });
      const { a, b, world } = pair;
      const received: string[] = [];
      b.onEvent = (event) => {
        if (event.type === 'message') received.push(String(event.data));
      };
      // Channels come with the description.
      world.schedule(1, () => a.driver.mutate((now) => void a.transport.channels.open({ label: 'x' }, now)));
      expect(pair.open(120_000)).toBe(true);
      const [handle] = a.transport.channels.handles();
      let sent = 0;
      const send = (count: number): void => {
        a.driver.mutate((now) => {
          for (let i = 0; i < count; i++) a.transport.channels.send(handle!, `${sent++}`, now);
        });
      };
      const opened = (): boolean => a.events.some((event) => event.type === 'open');
      expect(world.run({ until: world.now + 60_000, done: opened })).toBe(true);
      send(50);
      replaceDtls(pair, second);
      send(50);
      const again = ['connecting', 'connected', 'connecting', 'connected'];
      const replaced = (): boolean => [a, b].every((peer) => statesOf(peer, 'dtls-state').length === again.length);
      expect(world.run({ until: world.now + 120_000, done: replaced })).toBe(true);
      send(50);
      const done = (): boolean => received.length >= 150;
      expect(world.run({ until: world.now + 120_000, done })).toBe(true);
      expect(received).toEqual(Array.from({ length: 150 }, (_, i) => `${i}`));
      for (const peer of [a, b]) {
        expect(statesOf(peer, 'dtls-state')).toEqual(again);
        expect(statesOf(peer, 'sctp-state')).toEqual(['connecting', 'connected']);
        expect(peer.events.some((event) => event.type === 'closed')).toBe(false);
      }
      expect(a.transport.dtls?.role).toBe(second);
    },
  );

  it('a ClientHello that comes before the new pair is kept for it: nothing is sent twice', () => {
    let early = 0;
    for (const seed of seeds(20)) {
      const pair = new SimPair(seed, { link: { latencyMs: 5, jitterMs: 30 } });
      expect(pair.open()).toBe(true);
      const { b, world } = pair;
      world.run({ until: world.now + 3000 });
      const pairsBefore = b.events.filter((event) => event.type === 'selected-pair').length;
      let hellos = 0;
      pair.tap = (bytes, to) => {
        if (to !== b || bytes[0] !== 22 || bytes[13] !== 1) return; // handshake, client_hello
        hellos++;
        if (b.events.filter((event) => event.type === 'selected-pair').length === pairsBefore) early++;
      };
      replaceDtls(pair, 'client', 0);
      world.run({ until: world.now + 5000 });
      expect(statesOf(b, 'dtls-state').slice(2)).toEqual(['connecting', 'connected']);
      expect(hellos).toBe(1);
    }
    expect(early).toBeGreaterThan(0);
  });

  it('is made only when asked for: an ICE restart alone keeps the one that there is', () => {
    const pair = new SimPair(1);
    expect(pair.open()).toBe(true);
    const { a, b } = pair;
    const before = [a.transport.dtls, b.transport.dtls];
    for (const { driver, transport } of [a, b]) driver.mutate((now) => transport.ice.restart(now));
    pair.world.run({ until: pair.world.now + 10_000 });
    expect([a.transport.dtls, b.transport.dtls]).toEqual(before);
  });

  it('a certificate that the new description does not name fails it', () => {
    const pair = new SimPair(2);
    expect(pair.open()).toBe(true);
    const { a, b, world } = pair;
    for (const { driver, transport } of [a, b]) {
      driver.mutate((now) => {
        transport.ice.restart(now);
        transport.ice.endOfLocalCandidates(now);
      });
    }
    retell(a, b, 0, 'client'); // what was told is another's
    retell(b, a, 0, 'server');
    world.run({ until: world.now + 60_000 });
    const failure = a.events.find((event) => event.type === 'dtls-state' && event.state === 'failed');
    expect(failure).toMatchObject({ failure: { detail: 'fingerprint-failure' } });
    expect(statesOf(a, 'sctp-state').at(-1)).toBe('closed');
  });
});
