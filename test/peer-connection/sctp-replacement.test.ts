/** One SCTP association after the other above the same DTLS association (RFC 8841 §9.3, §10.5), in the simulator. */
import { describe, expect, it } from 'vitest';
import type { RemoteTransport } from '../../src/peer-connection/index.ts';
import { seeds } from '../sim/index.ts';
import { CERTIFICATES, fingerprintOf, SimPair, type SimPeer, statesOf } from './support.ts';

/** What an exchange tells `a` of index 0 or `b` of index 1, DTLS roles as `SimPair` gives them. */
function retell(peer: SimPeer, index: 0 | 1, more: Partial<RemoteTransport>): void {
  const fingerprints = [fingerprintOf(CERTIFICATES[index === 0 ? 1 : 0])];
  const dtlsRole = index === 0 ? 'server' : 'client';
  peer.driver.mutate((now) =>
    peer.transport.connect({ dtlsRole, fingerprints, maxMessageSize: 262_144, ...more }, now),
  );
}

/** Both sides change to a port, the answerer `b` first and the offerer a signalling delay later. */
function changePort({ a, b, world }: SimPair, sctpPort: number, lagMs = 40): void {
  const ports = { sctpPort, localSctpPort: sctpPort, replacesSctp: true };
  retell(b, 1, ports);
  world.schedule(world.now + lagMs, () => retell(a, 0, ports));
}

const isOpen = (peer: SimPeer, count: number) => peer.events.filter(({ type }) => type === 'open').length === count;

function openChannel({ transport, driver }: SimPeer, label: string): number {
  return driver.mutate((now) => transport.channels.open({ label }, now));
}

function closingsOf(peer: SimPeer): string[] {
  return peer.events.flatMap((event) => (event.type === 'closed' || event.type === 'error' ? [event.type] : []));
}

describe('another SCTP association', () => {
  it.each(seeds(100))('seed %i, a fifth lost: open channels close without an error, new ones work', (seed) => {
    const link = { latencyMs: 20, jitterMs: 50, loss: 0.2, duplicate: 0.05, reorder: 0.05 };
    const pair = new SimPair(seed, { link });
    const { a, b, world } = pair;
    world.schedule(20, () => openChannel(a, 'old'));
    const run = (done: () => boolean) => expect(world.run({ until: world.now + 120_000, done })).toBe(true);
    run(() => isOpen(a, 1) && isOpen(b, 1));
    // Both are in the middle of something.
    for (const { transport, driver } of [a, b]) {
      driver.mutate((now) => transport.channels.send(transport.channels.handles()[0]!, new Uint8Array(50_000), now));
    }
    changePort(pair, 5000 + (seed % 3) + 1, (seed % 5) * 30);
    const dtls = [a.transport.dtls, b.transport.dtls];
    const received: unknown[] = [];
    b.onEvent = (event) => {
      if (event.type === 'message') received.push(event.data);
    };
    const again = ['connecting', 'connected', 'closed', 'connecting', 'connected'];
    run(() => [a, b].every((peer) => statesOf(peer, 'sctp-state').length === again.length));
    const handle = openChannel(a, 'new');
    run(() => isOpen(a, 2) && isOpen(b, 2));
    a.driver.mutate((now) => a.transport.channels.send(handle, 'on the new one', now));
    run(() => received.includes('on the new one'));
    for (const peer of [a, b]) {
      expect(statesOf(peer, 'sctp-state')).toEqual(again);
      expect(statesOf(peer, 'dtls-state')).toEqual(['connecting', 'connected']);
      expect(closingsOf(peer)).toEqual(['closed']);
      expect(peer.transport.channels.handles()).toHaveLength(1);
      expect(peer.transport.channels.totals).toEqual({ opened: 2, closed: 1 });
    }
    expect([a.transport.dtls, b.transport.dtls]).toEqual(dtls);
    expect(a.transport.channels.info(handle)?.id).toBe(1); // the DTLS server's first, which is free again
  });

  it('a channel that was not open yet opens on it, with its identifier, and is told once', () => {
    const outcomes = { moved: 0, closed: 0 };
    for (const seed of seeds(40)) {
      const pair = new SimPair(seed, { link: { latencyMs: 5 + (seed % 20), jitterMs: 10 } });
      const { a, b, world } = pair;
      // The OPEN may have left with the COOKIE ECHO by then, or DTLS may not even have begun.
      world.schedule(1, () => openChannel(a, 'early'));
      world.schedule(seed * 5, () => changePort(pair, 5001));
      world.run({ until: 10_000 });
      const [handle] = a.transport.channels.handles();
      if (handle === undefined) {
        outcomes.closed++; // it was open before a's port changed
        expect(closingsOf(a)).toEqual(['closed']);
        expect(b.transport.channels.handles()).toEqual([]);
        continue;
      }
      outcomes.moved++;
      expect([isOpen(a, 1), closingsOf(a)]).toEqual([true, []]);
      expect(a.transport.channels.info(handle)?.id).toBe(1);
      // b may have had it on the association before: there it was closed.
      const [far] = b.transport.channels.handles();
      expect(far !== undefined && b.transport.channels.info(far)?.label).toBe('early');
    }
    expect(outcomes.moved).toBeGreaterThan(5);
    expect(outcomes.closed).toBeGreaterThan(5);
  });

  it('packets of the one before and for the one to come are counted drops', () => {
    const pair = new SimPair(7);
    expect(pair.open()).toBe(true);
    const { a, b, world } = pair;
    const old = a.transport.sctp;
    changePort(pair, 5001, 1000);
    world.run({ until: world.now + 500 }); // b asks for an association that a knows nothing of
    expect(a.transport.sctp).toBe(old);
    expect(old?.state).toBe('established');
    expect(old?.drops.get('unknown-peer')).toBeGreaterThan(0);
    world.run({ until: world.now + 5000 });
    expect([a, b].map(({ transport }) => transport.sctp?.state)).toEqual(['established', 'established']);
  });

  it('none for a while (port 0): channels end with an ABORT, no other can be opened, DTLS stays', () => {
    const pair = new SimPair(8);
    const { a, b, world } = pair;
    world.schedule(20, () => openChannel(a, 'old'));
    expect(world.run({ until: 60_000, done: () => isOpen(a, 1) && isOpen(b, 1) })).toBe(true);
    b.driver.mutate((now) => b.transport.endData('no data any more', now));
    world.run({ until: world.now + 1000 });
    expect([a, b].map((peer) => statesOf(peer, 'sctp-state').at(-1))).toEqual(['closed', 'closed']);
    expect(closingsOf(a)).toEqual(['error', 'closed']);
    expect([a.transport.takesChannels, b.transport.takesChannels]).toEqual([true, false]); // a is not told yet
    expect(() => openChannel(b, 'x')).toThrow(expect.objectContaining({ code: 'closed' }));
    retell(b, 1, {});
    expect(b.transport.takesChannels).toBe(false); // an exchange about something else
    retell(a, 0, { replacesSctp: true });
    retell(b, 1, { replacesSctp: true });
    openChannel(b, 'again');
    expect(world.run({ until: world.now + 10_000, done: () => isOpen(a, 2) && isOpen(b, 2) })).toBe(true);
    expect(statesOf(a, 'dtls-state')).toEqual(['connecting', 'connected']);
  });

  it('above a DTLS association that is over there is none', () => {
    const pair = new SimPair(9);
    expect(pair.open()).toBe(true);
    const { a, b, world } = pair;
    b.driver.mutate((now) => b.transport.close(now));
    world.run({ until: world.now + 1000 });
    expect(statesOf(a, 'dtls-state').at(-1)).toBe('closed');
    retell(a, 0, { sctpPort: 5001, localSctpPort: 5001, replacesSctp: true });
    expect(statesOf(a, 'sctp-state').slice(-2)).toEqual(['connecting', 'closed']);
    expect(() => openChannel(a, 'x')).toThrow(expect.objectContaining({ code: 'closed' }));
  });

  it('with another DTLS association in one exchange it begins on that one', () => {
    const pair = new SimPair(10);
    expect(pair.open()).toBe(true);
    const { a, b, world } = pair;
    const peers = [a, b] as const;
    for (const { driver, transport } of peers) {
      driver.mutate((now) => {
        transport.ice.restart(now);
        transport.ice.endOfLocalCandidates(now);
      });
    }
    for (const [i, peer] of peers.entries()) {
      const other = peers[1 - i]!;
      peer.driver.mutate((now) => {
        const { ip: address, port } = other.address;
        peer.transport.ice.setRemoteParameters(other.transport.ice.localParameters, now);
        const candidate = { foundation: '1', component: 1, protocol: 'udp', priority: 1, type: 'host' } as const;
        peer.transport.ice.addRemoteCandidate({ ...candidate, address, port }, now);
      });
      const ports = { sctpPort: 5001, localSctpPort: 5001 };
      retell(peer, i === 0 ? 0 : 1, { ...ports, replacesDtls: true, replacesSctp: true });
      expect(peer.transport.sctp?.state).toBe('closed'); // nothing leaves over the old DTLS association
    }
    const order = (peer: SimPeer) =>
      peer.events.flatMap((e) => (e.type === 'dtls-state' || e.type === 'sctp-state' ? [`${e.type} ${e.state}`] : []));
    const done = () => peers.every((peer) => order(peer).length === 9);
    expect(world.run({ until: world.now + 60_000, done })).toBe(true);
    for (const peer of peers) {
      expect(order(peer).slice(4)).toEqual([
        'sctp-state closed',
        'sctp-state connecting',
        'dtls-state connecting',
        'dtls-state connected',
        'sctp-state connected',
      ]);
    }
  });
});
