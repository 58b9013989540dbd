import { describe, expect, it } from 'vitest';
import type { IceRole } from '../../src/ice/index.ts';
import { seeds } from '../sim/index.ts';
import { address, agreed, nominatedPair, twoPeers } from './harness.ts';
import { hostCandidate, LoneAgent, udp } from './lone-agent.ts';
import { checkBytes, responseBytes } from './messages.ts';

/** Sentences of the RFCs that peers of ours never put to the test, and conformance suites do. */

const base = address('10.0.0.1', 5000);
const peer = address('10.0.0.2', 6000);

describe('integrity algorithms (RFC 8489 §9.1.3, §9.1.4)', () => {
  it.each([
    { algorithms: ['sha-1'], answered: 'MESSAGE-INTEGRITY' },
    { algorithms: ['sha-256'], answered: 'MESSAGE-INTEGRITY-SHA256' },
    { algorithms: ['sha-1', 'sha-256'], answered: 'MESSAGE-INTEGRITY-SHA256' },
  ] as const)('a check with $algorithms is answered with $answered', ({ algorithms, answered }) => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const check = { to: lone.agent.localParameters, from: lone.peer.ufrag, algorithms };
    const wanted = [
      [{}, 'success'],
      [{ role: 'controlled', tieBreaker: 2n ** 64n - 1n }, 'error'], // 487
      [{ rawType: 0x7777 }, 'error'], // 420
    ] as const;
    for (const [change, messageClass] of wanted) {
      const sentBefore = lone.sent.length;
      lone.input(checkBytes(lone.random, { ...check, ...change }), udp(base, peer));
      const answer = lone.sent[sentBefore]?.message;
      expect(answer?.messageClass).toBe(messageClass);
      expect(answer?.attributeTypes.slice(-2, -1)).toEqual([answered === 'MESSAGE-INTEGRITY' ? 0x0008 : 0x001c]);
      expect(answer?.has(answered)).toBe(true);
    }
  });

  it('our checks are signed with SHA-1: an answer has that, alone or with the other, or is discarded', () => {
    for (const [algorithms, counts] of [
      [['sha-1'], true],
      [['sha-1', 'sha-256'], true],
      [['sha-256'], false],
    ] as const) {
      const lone = new LoneAgent();
      lone.start([peer]);
      const { transactionId } = lone.lastRequest().message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd, algorithms }), udp(base, peer));
      expect(lone.agent.selectedPath !== undefined).toBe(counts);
      expect(lone.agent.drops.get('bad-integrity')).toBe(counts ? 0 : 1);
    }
  });
});

describe('answers with a comprehension-required attribute that nobody knows (RFC 8489 §6.3.3, §6.3.4)', () => {
  it.each([{ mapped: base }, { code: 487 }] as const)('are discarded, and the check has failed', (content) => {
    const lone = new LoneAgent();
    lone.start([peer]);
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, pwd: lone.peer.pwd, rawType: 0x7777, ...content }), udp(base, peer));
    expect(lone.agent.drops.toJSON()).toEqual({ unsupported: 1 });
    expect(lone.agent.stats().candidatePairs.map((pair) => pair.state)).toEqual(['failed']);
    expect(lone.agent.role).toBe('controlling');
  });

  it('comprehension-optional ones are ignored', () => {
    const lone = new LoneAgent();
    lone.start([peer]);
    const { transactionId } = lone.lastRequest().message;
    const bytes = responseBytes({ transactionId, pwd: lone.peer.pwd, rawType: 0xf777, mapped: base });
    lone.input(bytes, udp(base, peer));
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
  });

  it.each([
    { rawType: 0x7777, mapped: base },
    {}, // without an address
  ] as const)('of a STUN server are one more server that cannot tell the address', (content) => {
    const lone = new LoneAgent();
    const server = address('198.51.100.1', 3478);
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now);
      agent.endOfLocalCandidates(now);
    });
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, ...content }), udp(base, server));
    expect(lone.events.filter(({ type }) => type === 'server-error')).toMatchObject([{ code: 701, server }]);
    expect(lone.agent.gatheringState).toBe('complete');
  });
});

describe('the role of a lite agent (RFC 8445 §6.1.1)', () => {
  it.each(
    seeds(4).flatMap((seed) =>
      (['controlling', 'controlled'] as const).flatMap((full) =>
        (['controlling', 'controlled'] as const).flatMap((lite) =>
          [true, false].map((told) => ({ seed, full, lite, told })),
        ),
      ),
    ),
  )('seed $seed: full and $full, lite and $lite at the start, told: $told: the full one controls', (given) => {
    const { seed, full, lite, told } = given;
    const roles: [IceRole, IceRole] = [full, lite];
    const peers = twoPeers(seed, { latencyMs: 20 }, { roles, optionsB: { lite: true } });
    const { world, a, b } = peers;
    a.gather();
    b.gather();
    b.driver.mutate((now) => b.agent.setRemoteParameters(a.agent.localParameters, now));
    a.driver.mutate((now) => {
      // Where nobody has told the full agent, the answer to its first check does.
      a.agent.setRemoteParameters({ ...b.agent.localParameters, lite: told }, now);
      for (const candidate of b.candidates) a.agent.addRemoteCandidate(candidate, now);
    });
    world.run({ until: 5_000 });
    expect([a.agent.role, b.agent.role]).toEqual(['controlling', 'controlled']);
    expect([nominatedPair(a), nominatedPair(b), agreed(peers)]).toEqual([true, true, true]);
  });
});

describe('a lite agent that does not know its peer yet', () => {
  it.each(['controlling', 'controlled'] as const)('has its checks control, though it is %s itself', (role) => {
    const lone = new LoneAgent({ lite: true, role });
    lone.do((agent, now) => agent.addHostCandidate(base, now));
    const check = { to: lone.agent.localParameters, tieBreaker: 0n };
    lone.input(checkBytes(lone.random, { ...check, role: 'controlled' }), udp(base, peer));
    expect(lone.sent.at(-1)?.message.get('ERROR-CODE')?.code).toBe(487);
    lone.input(checkBytes(lone.random, { ...check, role: 'controlling' }), udp(base, peer));
    expect(lone.sent.at(-1)?.message.messageClass).toBe('success');
    expect(lone.agent.role).toBe('controlled');
  });
});

describe('two lite agents', () => {
  it('keep their path open with indications, since no checks do (RFC 8445 §11)', () => {
    const lone = new LoneAgent({ lite: true });
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.setRemoteParameters({ ...lone.peer, lite: true }, now);
      agent.addRemoteCandidate(hostCandidate(peer, 1), now);
    });
    lone.runTo(10_000);
    const better = address('10.0.0.3', 7000);
    lone.do((agent, now) => agent.addRemoteCandidate(hostCandidate(better), now));
    lone.runTo(60_000);
    expect(lone.sent.map((sent) => [sent.at, sent.path.remote])).toEqual([
      [25_000, better],
      [40_000, better],
      [55_000, better],
    ]);
    for (const { message } of lone.sent) {
      expect([message.messageClass, message.method, message.attributeTypes]).toEqual(['indication', 1, [0x8028]]);
    }
  });
});

describe('candidates', () => {
  it('of TCP have priorities of their own, however many addresses there are (RFC 6544 §4.2)', () => {
    const lone = new LoneAgent();
    const ips = ['10.0.0.1', '10.0.0.2', '192.168.1.1', '2001:db8::1', '2001:db8::2'];
    lone.do((agent, now) => {
      for (const ip of ips) {
        agent.addHostCandidate(address(ip, 5000), now);
        for (const tcpType of ['active', 'passive', 'so'] as const) {
          const tcp = address(ip, { active: 9, passive: 5001, so: 5002 }[tcpType]);
          agent.addHostCandidate(tcp, now, { tcpType });
          for (const server of ['198.51.100.1', '198.51.100.2']) {
            const mapped = address('203.0.113.7', 1000 + lone.random.below(60_000));
            agent.addTcpReflexiveCandidate(tcp, { mapped, server: address(server, 3478) }, now);
          }
        }
      }
      for (const [port, relayProtocol] of (['tls', 'udp', 'tcp'] as const).entries()) {
        const relayed = address('198.51.100.9', port + 1);
        agent.addRelayedCandidate(relayed, address('0.0.0.0', 9), { relayProtocol, tcpType: 'passive' }, now);
      }
    });
    const candidates = lone.events.flatMap((event) => (event.type === 'candidate' ? [event.candidate] : []));
    expect(candidates.length).toBe(5 + 15 + 30 + 3);
    expect(new Set(candidates.map(({ priority }) => priority)).size).toBe(candidates.length);
    const relays = candidates.filter(({ type }) => type === 'relay');
    expect(relays.toSorted((x, y) => y.priority - x.priority).map((c) => c.relayProtocol)).toEqual([
      'udp',
      'tcp',
      'tls',
    ]);
  });

  it('that are relayed and equal a host candidate are discarded (RFC 8445 §5.1.1.2)', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addRelayedCandidate(base, address('0.0.0.0', 9), {}, now);
      agent.restart(now);
    });
    const types = lone.events.flatMap((event) => (event.type === 'candidate' ? [event.candidate.type] : []));
    expect(types).toEqual(['host', 'host']);
    expect(lone.agent.drops.toJSON()).toEqual({ 'bad-value': 1 });
  });
});

describe('consent checks', () => {
  it.each(seeds(20))('seed %i: are 4 s apart at least, also behind one that came late (RFC 7675 §5.1)', (seed) => {
    const lone = new LoneAgent({}, seed);
    lone.start([peer]);
    for (let i = 0; i < 2; i++) {
      const { transactionId } = lone.lastRequest().message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    }
    const sent = () => lone.agent.stats().candidatePairs[0]?.consentRequestsSent;
    lone.now = lone.agent.nextTimeout() + 5_000;
    lone.do((agent, now) => agent.handleTimeout(now));
    const late = lone.now;
    expect(sent()).toBe(1);
    lone.runTo(late + 3_999);
    expect(sent()).toBe(1);
    lone.runTo(late + 6_000);
    expect(sent()).toBe(2);
  });
});

describe('pacing', () => {
  it('a peer that says nothing of it means 50 ms, and the larger value counts (RFC 8839 §5.5)', () => {
    const lone = new LoneAgent({ taMs: 20 });
    lone.start([peer, address('10.0.0.3', 1), address('10.0.0.4', 1)]);
    lone.runTo(120);
    expect(lone.requests().map(({ at }) => at)).toEqual([0, 50, 100]);
  });
});
