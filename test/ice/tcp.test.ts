import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  concatBytes,
  Driver,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type TransportAddress,
} from '../../src/core/index.ts';
import { DatagramDeframer, frameDatagram, IceAgent, type IceEvent, type IceRole } from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { SimHost, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { address } from './harness.ts';
import { hostCandidate, LoneAgent } from './lone-agent.ts';

const ACTIVE_PORT = 9;

/** One direction of a connection: a stream of bytes in order, cut at random, framed as RFC 4571 says. */
class Stream {
  readonly #world: SimWorld;
  readonly #deframer = new DatagramDeframer();
  readonly #deliver: (datagram: Uint8Array) => void;
  #at = 0;

  constructor(world: SimWorld, deliver: (datagram: Uint8Array) => void) {
    this.#world = world;
    this.#deliver = deliver;
  }

  write(datagram: Uint8Array): void {
    const bytes = frameDatagram(datagram);
    for (let start = 0; start < bytes.length; ) {
      const end = Math.min(bytes.length, start + 1 + this.#world.random.below(60));
      const chunk = bytes.slice(start, end);
      this.#at = Math.max(this.#at, this.#world.now + 10 + this.#world.random.below(10));
      this.#world.schedule(this.#at, () => this.#deframer.push(chunk, this.#deliver));
      start = end;
    }
  }
}

/** An agent whose paths are TCP connections, opened when the first datagram is sent. */
class TcpPeer {
  readonly agent: IceAgent;
  readonly driver: Driver<IceEvent, FiveTuple>;
  readonly received: string[] = [];
  readonly connections = new Map<string, Stream>();

  constructor(world: SimWorld, role: IceRole, open: (from: TcpPeer, path: FiveTuple) => Stream | undefined) {
    this.agent = new IceAgent({ env: simEnv(world, nodeCrypto), role });
    const host = new SimHost<FiveTuple>(world, (slot) => {
      const path = slot.path!;
      const key = formatFiveTuple(path);
      const stream = this.connections.get(key) ?? open(this, path);
      if (stream === undefined) return;
      this.connections.set(key, stream);
      stream.write(slot.buffer.slice(slot.offset, slot.offset + slot.length));
    });
    this.driver = new Driver(this.agent, host, (event) => {
      if (event.type === 'data') this.received.push(new TextDecoder().decode(event.bytes));
    });
    host.onWake = () => this.driver.wake();
  }
}

function twoTcpPeers(seed: number, listening: TransportAddress) {
  const world = new SimWorld(seed);
  let ephemeral = 40_000;
  const open = (from: TcpPeer, path: FiveTuple): Stream | undefined => {
    if (from !== a || formatAddress(path.remote) !== formatAddress(listening)) return undefined;
    const accepted: FiveTuple = { protocol: 'tcp', local: listening, remote: { ip: path.local.ip, port: ephemeral++ } };
    b.connections.set(formatFiveTuple(accepted), new Stream(world, (datagram) => a.driver.input(datagram, path)));
    return new Stream(world, (datagram) => b.driver.input(datagram, accepted));
  };
  const a: TcpPeer = new TcpPeer(world, 'controlling', open);
  const b: TcpPeer = new TcpPeer(world, 'controlled', open);
  return { world, a, b };
}

describe('ICE-TCP (RFC 6544)', () => {
  const listening = address('198.51.100.7', 443);

  it.each(seeds(10))(
    'seed %i: an active and a passive side connect over one connection, and keep consent on it',
    (seed) => {
      const { world, a, b } = twoTcpPeers(seed, listening);
      a.driver.mutate((now) => {
        a.agent.addHostCandidate(address('10.0.0.1', ACTIVE_PORT), now, { tcpType: 'active' });
        a.agent.endOfLocalCandidates(now);
        a.agent.setRemoteParameters(b.agent.localParameters, now);
        a.agent.addRemoteCandidate({ ...hostCandidate(listening), protocol: 'tcp', tcpType: 'passive' }, now);
      });
      b.driver.mutate((now) => {
        b.agent.addHostCandidate(listening, now, { tcpType: 'passive' });
        b.agent.endOfLocalCandidates(now);
        b.agent.setRemoteParameters(a.agent.localParameters, now);
        b.agent.addRemoteCandidate(
          { ...hostCandidate(address('10.0.0.1', ACTIVE_PORT)), protocol: 'tcp', tcpType: 'active' },
          now,
        );
      });
      world.run({ until: 60_000 });
      const stats = [a, b].map(({ agent }) => agent.stats());
      for (const { candidatePairs } of stats)
        expect(candidatePairs).toMatchObject([{ state: 'succeeded', nominated: true }]);
      expect(stats[1]!.candidates.map((c) => `${c.type} ${c.candidateType} ${c.tcpType}`)).toEqual([
        'local-candidate host passive',
        'remote-candidate host active',
        'remote-candidate prflx active',
      ]);
      expect(a.connections.size).toBe(1);
      expect(stats[0]!.candidatePairs[0]!.consentRequestsSent).toBeGreaterThan(8);
      // The connection is lost: no waiting for consent to expire.
      const path = a.agent.selectedPath!;
      a.driver.mutate((now) => a.agent.notePathClosed(path, now));
      expect(a.agent.selectedPath).toBeUndefined();
      expect(a.agent.connectionState).toBe('failed');
    },
  );

  it('two sides open at the same time from the ports they announce (so)', () => {
    const world = new SimWorld(1);
    const at = { a: address('10.0.0.1', 7000), b: address('10.0.0.2', 7000) };
    const opened: string[] = [];
    // TCP makes one connection of two that cross (RFC 9293 §3.5): each end knows it by its own path.
    const open = (from: TcpPeer, path: FiveTuple): Stream | undefined => {
      opened.push(formatFiveTuple(path));
      const other = from === a ? b : a;
      const back: FiveTuple = { protocol: 'tcp', local: path.remote, remote: path.local };
      return new Stream(world, (datagram) => other.driver.input(datagram, back));
    };
    const a: TcpPeer = new TcpPeer(world, 'controlling', open);
    const b: TcpPeer = new TcpPeer(world, 'controlled', open);
    for (const [self, other, own, theirs] of [
      [a, b, at.a, at.b],
      [b, a, at.b, at.a],
    ] as const) {
      self.driver.mutate((now) => {
        self.agent.addHostCandidate(own, now, { tcpType: 'so' });
        self.agent.endOfLocalCandidates(now);
        self.agent.setRemoteParameters(other.agent.localParameters, now);
        self.agent.addRemoteCandidate({ ...hostCandidate(theirs), protocol: 'tcp', tcpType: 'so' }, now);
        self.agent.endOfRemoteCandidates(now);
      });
    }
    world.run({ until: 1000 });
    expect([a.agent.connectionState, b.agent.connectionState]).toEqual(['completed', 'completed']);
    expect(opened.length).toBe(2);
  });

  it('writes candidates with their direction, UDP above TCP and direct TCP above relays', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(address('10.0.0.1', ACTIVE_PORT), now, { tcpType: 'active' });
      agent.addHostCandidate(address('10.0.0.1', 443), now, { tcpType: 'passive' });
      agent.addHostCandidate(address('10.0.0.1', 444), now, { tcpType: 'so' });
      agent.addHostCandidate(address('10.0.0.1', 5000), now);
      agent.addRelayedCandidate(address('198.51.100.9', 1), address('0.0.0.0', 9), {}, now);
    });
    const candidates = lone.events.flatMap((event) => (event.type === 'candidate' ? [event.candidate] : []));
    const order = candidates.toSorted((x, y) => y.priority - x.priority).map((c) => c.tcpType ?? c.type);
    expect(order).toEqual(['host', 'active', 'passive', 'so', 'relay']);
    expect(new Set(candidates.map((c) => c.foundation)).size).toBe(3); // host by UDP, host by TCP, relay
  });

  it('sends a check over TCP once and waits 39.5 s (RFC 8489 §6.2.2)', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(address('10.0.0.1', ACTIVE_PORT), now, { tcpType: 'active' });
      agent.setRemoteParameters(lone.peer, now);
      agent.addRemoteCandidate({ ...hostCandidate(listening), protocol: 'tcp', tcpType: 'passive' }, now);
    });
    lone.runTo(39_499);
    expect(lone.requests().map(({ at, path }) => [at, path.protocol])).toEqual([[0, 'tcp']]);
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('in-progress');
    lone.runTo(39_500);
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('failed');
  });

  it('a refused connection fails the pair at once; a passive candidate makes no pairs of its own', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(address('10.0.0.1', ACTIVE_PORT), now, { tcpType: 'active' });
      agent.addHostCandidate(address('10.0.0.1', 443), now, { tcpType: 'passive' });
      agent.setRemoteParameters(lone.peer, now);
      for (const tcpType of ['active', 'passive', 'so'] as const) {
        agent.addRemoteCandidate(
          { ...hostCandidate(address('10.0.0.2', tcpType === 'active' ? 9 : 443)), protocol: 'tcp', tcpType },
          now,
        );
      }
    });
    expect(lone.requests().length).toBe(1);
    const { path } = lone.lastRequest();
    expect(path).toEqual({ protocol: 'tcp', local: address('10.0.0.1', 9), remote: address('10.0.0.2', 443) });
    lone.do((agent, now) => agent.notePathClosed(path, now));
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('failed');
  });
});

describe('framing (RFC 4571 §2)', () => {
  it('is a length of two bytes in front', () => {
    expect([...frameDatagram(Uint8Array.of(7, 8, 9))]).toEqual([0, 3, 7, 8, 9]);
    expect(() => frameDatagram(new Uint8Array(65_536))).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });

  it('however the stream is cut, the datagrams come out, and of the null packets nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
        (datagrams, cuts) => {
          const stream = concatBytes(...datagrams.map(frameDatagram));
          const out: Uint8Array[] = [];
          const deframer = new DatagramDeframer();
          for (let at = 0, i = 0; at < stream.length; i++) {
            const end = at + cuts[i % cuts.length]!;
            deframer.push(stream.slice(at, end), (datagram) => out.push(datagram));
            at = end;
          }
          expect(out).toEqual(datagrams.filter(({ length }) => length > 0));
        },
      ),
    );
  });

  it('ends a stream that is something else', () => {
    const deframer = new DatagramDeframer(2000);
    expect(() => deframer.push(new TextEncoder().encode('GET / HTTP/1.1'), () => undefined)).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: 'bad-length' }),
    );
  });
});
