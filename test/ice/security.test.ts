import { describe, expect, it } from 'vitest';
import {
  MAX_CHECK_TRANSACTIONS,
  MAX_EARLY_CHECKS,
  MAX_QUEUED_DATAGRAMS,
  MAX_REMOTE_CANDIDATES,
  MAX_ROLE_SWITCHES,
  MAX_SEEN_REQUESTS,
  MAX_WARM_PAIRS,
} from '../../src/ice/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { address, connect, isConnected, twoPeers } from './harness.ts';
import { hostCandidate, LoneAgent, udp } from './lone-agent.ts';
import { checkBytes, type HandMadeCheck, responseBytes } from './messages.ts';

const base = address('10.0.0.1', 5000);
const peer = address('10.0.0.2', 6000);
const attacker = address('203.0.113.66', 666);

/** What may not change when something is not authenticated. */
function stateOf(lone: LoneAgent) {
  const { candidates, candidatePairs, iceRole, iceState, selectedCandidatePairId } = lone.agent.stats();
  const pairs = candidatePairs.map(({ id, state, nominated }) => ({ id, state, nominated }));
  return { candidates: candidates.length, pairs, iceRole, iceState, selectedCandidatePairId };
}

describe('requests that prove nothing', () => {
  const cases: [string, Partial<HandMadeCheck>, string][] = [
    ['with a wrong password', { pwd: 'x'.repeat(24) }, 'bad-integrity'],
    ['without MESSAGE-INTEGRITY', { integrity: false }, 'unauthenticated'],
    ['without FINGERPRINT', { fingerprint: false }, 'missing'],
    ['for another ufrag', { to: { ufrag: 'somebody', pwd: 'x'.repeat(24) } }, 'unknown-peer'],
    ['with both role attributes', { extra: [['ICE-CONTROLLED', 5n]] }, 'bad-value'],
  ];
  it.each(cases)('%s: no answer, no pair, no role change, no nomination', (_name, change, reason) => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const before = stateOf(lone);
    const sentBefore = lone.sent.length;
    const check = { to: lone.agent.localParameters, useCandidate: true, ...change };
    lone.input(checkBytes(lone.random, { ...check, role: 'controlling' }), udp(base, attacker));
    lone.input(checkBytes(lone.random, { ...check, role: 'controlling' }), udp(base, peer));
    expect(lone.agent.drops.toJSON()).toEqual({ [reason]: 2 });
    expect(stateOf(lone)).toEqual(before);
    expect(lone.sent.length).toBe(sentBefore);
    expect(lone.agent.acceptsData(udp(base, attacker))).toBe(false);
  });

  it('that claim our own role switch nothing without the password', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const to = lone.agent.localParameters;
    lone.input(
      checkBytes(lone.random, { to, pwd: 'x'.repeat(24), role: 'controlled', tieBreaker: 0n }),
      udp(base, peer),
    );
    expect(lone.agent.role).toBe('controlled');
    lone.input(
      checkBytes(lone.random, { to, from: lone.peer.ufrag, role: 'controlled', tieBreaker: 0n }),
      udp(base, peer),
    );
    expect(lone.agent.role).toBe('controlling');
  });

  it('with an unknown comprehension-required attribute are answered 420 and change nothing', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const before = stateOf(lone);
    lone.input(checkBytes(lone.random, { to: lone.agent.localParameters, rawType: 0x7777 }), udp(base, attacker));
    expect(lone.sent.at(-1)?.message.get('ERROR-CODE')?.code).toBe(420);
    expect(lone.sent.at(-1)?.message.get('UNKNOWN-ATTRIBUTES')).toEqual([0x7777]);
    expect(stateOf(lone)).toEqual(before);
  });

  it('but repeat an authentic one from another address are replays', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
    lone.input(bytes, udp(base, peer));
    const before = stateOf(lone);
    const sentBefore = lone.sent.length;
    lone.input(bytes, udp(base, attacker));
    expect(lone.agent.drops.toJSON()).toEqual({ replayed: 1 });
    expect(stateOf(lone)).toEqual(before);
    expect(lone.sent.length).toBe(sentBefore);
    lone.input(bytes, udp(base, peer)); // the peer's own retransmission is answered again
    expect(lone.sent.at(-1)?.message.messageClass).toBe('success');
  });

  it('of another generation of the peer are dropped', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    lone.input(checkBytes(lone.random, { to: lone.agent.localParameters, from: 'older' }), udp(base, peer));
    expect(lone.agent.drops.toJSON()).toEqual({ stale: 1 });
  });
});

describe('responses that prove nothing', () => {
  const start = () => {
    const lone = new LoneAgent();
    lone.start([peer]);
    return { lone, transactionId: lone.lastRequest().message.transactionId };
  };

  it('without or with wrong integrity leave the check in progress', () => {
    const { lone, transactionId } = start();
    const before = stateOf(lone);
    lone.input(responseBytes({ transactionId, mapped: base }), udp(base, peer));
    lone.input(responseBytes({ transactionId, mapped: base, pwd: 'x'.repeat(24) }), udp(base, peer));
    lone.input(responseBytes({ transactionId, code: 487, pwd: 'x'.repeat(24) }), udp(base, peer));
    lone.input(responseBytes({ transactionId, code: 487 }), udp(base, peer));
    expect(lone.agent.drops.toJSON()).toEqual({ unauthenticated: 2, 'bad-integrity': 2 });
    expect(stateOf(lone)).toEqual(before);
    // and the real one still counts
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
  });

  it('from another address than asked fails the pair (RFC 8445 §7.2.5.2.1)', () => {
    const { lone, transactionId } = start();
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, attacker));
    expect(lone.agent.drops.get('unknown-path')).toBe(1);
    expect(lone.agent.selectedPath).toBeUndefined();
    expect(lone.agent.stats().candidatePairs.map((pair) => pair.state)).toEqual(['failed']);
  });

  it('copied from elsewhere do no harm to a pair that is valid', () => {
    const { lone, transactionId } = start();
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    const nomination = lone.lastRequest().message.transactionId;
    const copy = responseBytes({ transactionId: nomination, mapped: base, pwd: lone.peer.pwd });
    lone.input(copy, udp(base, attacker));
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
    lone.input(copy, udp(base, peer));
    expect(lone.agent.stats().candidatePairs).toMatchObject([{ state: 'succeeded', nominated: true }]);
  });

  it('to no request of ours are dropped, also when repeated', () => {
    const { lone, transactionId } = start();
    const real = responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd });
    lone.input(real, udp(base, peer));
    const before = stateOf(lone);
    lone.input(real, udp(base, peer));
    lone.input(responseBytes({ transactionId: lone.random.bytes(12), pwd: lone.peer.pwd }), udp(base, peer));
    expect(lone.agent.drops.get('unknown-transaction')).toBe(2);
    expect(stateOf(lone)).toEqual(before);
  });

  it('without a mapped address are no success', () => {
    const { lone, transactionId } = start();
    lone.input(responseBytes({ transactionId, pwd: lone.peer.pwd }), udp(base, peer));
    expect(lone.agent.drops.get('missing')).toBe(1);
    expect(lone.agent.selectedPath).toBeUndefined();
    expect(lone.agent.stats().candidatePairs.map((pair) => pair.state)).toEqual(['failed']);
  });
});

describe('bounds', () => {
  it('a flood of checks with a wrong password from 10,000 addresses leaves nothing behind and gets no answer', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const before = stateOf(lone);
    const sentBefore = lone.sent.length;
    const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, pwd: 'x'.repeat(24), useCandidate: true });
    for (let i = 0; i < 10_000; i++) lone.input(bytes, udp(base, address(`198.51.${i >> 8}.${i & 255}`, 1000 + i)));
    expect(lone.agent.drops.toJSON()).toEqual({ 'bad-integrity': 10_000 });
    expect(stateOf(lone)).toEqual(before);
    expect(lone.sent.length).toBe(sentBefore);
  });

  it(`a peer that knows the password makes at most ${MAX_REMOTE_CANDIDATES} remote candidates`, () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([]);
    for (let i = 0; i < 10_000; i++) {
      const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
      lone.input(bytes, udp(base, address(`198.51.${i >> 8}.${i & 255}`, 1000 + i)));
    }
    expect(lone.agent.stats().candidatePairs.length).toBe(MAX_REMOTE_CANDIDATES);
    expect(lone.agent.drops.get('limit')).toBe(10_000 - MAX_REMOTE_CANDIDATES);
    expect(lone.sent.filter(({ message }) => message.messageClass === 'success').length).toBe(MAX_REMOTE_CANDIDATES);
  });

  it('addresses that led to nothing make room for later ones', () => {
    const lone = new LoneAgent({ role: 'controlled', pacTimeoutMs: 1e9 });
    lone.start([]);
    for (let i = 0; i < 3 * MAX_REMOTE_CANDIDATES; i++) {
      const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
      lone.input(bytes, udp(base, address('198.51.100.1', 1000 + i)));
      lone.runTo(lone.now + 40_000);
    }
    expect(lone.agent.drops.get('limit')).toBe(0);
    expect(lone.agent.stats().candidatePairs.length).toBe(MAX_REMOTE_CANDIDATES);
  });

  it(`${MAX_CHECK_TRANSACTIONS} checks under way are the most; the next one fails its pair`, () => {
    const lone = new LoneAgent({ role: 'controlled', taMs: 5 });
    lone.start([peer], base, 5);
    // Each check of the peer has ours cancelled and made anew; the old ones still wait for their answers.
    for (let i = 0; i < MAX_CHECK_TRANSACTIONS + 10 && lone.agent.drops.get('limit') === 0; i++) {
      lone.input(checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag }), udp(base, peer));
      lone.runTo(lone.now + 6);
    }
    expect(lone.requests().length).toBe(MAX_CHECK_TRANSACTIONS);
    expect(lone.agent.drops.toJSON()).toEqual({ limit: 1 });
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('failed');
  });

  it(`replays are noticed among the latest ${MAX_SEEN_REQUESTS} transactions`, () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const check = () => checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
    const first = check();
    lone.input(first, udp(base, peer));
    for (let i = 1; i < MAX_SEEN_REQUESTS; i++) lone.input(check(), udp(base, peer));
    lone.input(first, udp(base, attacker));
    expect(lone.agent.drops.toJSON()).toEqual({ replayed: 1 });
    lone.input(check(), udp(base, peer)); // one more: the oldest is forgotten
    lone.input(first, udp(base, attacker));
    expect(lone.agent.drops.toJSON()).toEqual({ replayed: 1 });
  });

  it(`answers that nobody polls for end at ${MAX_QUEUED_DATAGRAMS}`, () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const sent = lone.sent.length;
    for (let i = 0; i < MAX_QUEUED_DATAGRAMS + 100; i++) {
      const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
      lone.agent.handleInput(bytes, udp(base, peer), lone.now); // without draining
    }
    expect(lone.agent.drops.toJSON()).toEqual({ limit: 100 });
    lone.drain();
    expect(lone.sent.slice(sent).filter(({ message }) => message.messageClass === 'success').length).toBe(
      MAX_QUEUED_DATAGRAMS,
    );
  });

  it(`consent is kept for the selected pair and ${MAX_WARM_PAIRS} others; the rest lapses`, () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start(Array.from({ length: MAX_WARM_PAIRS + 4 }, (_, i) => address('10.0.0.2', 6000 + i)));
    let answered = 0;
    while (lone.now < 45_000) {
      for (const { message, path } of lone.requests().slice(answered)) {
        lone.input(responseBytes({ transactionId: message.transactionId, mapped: base, pwd: lone.peer.pwd }), path);
        answered++;
      }
      lone.runTo(lone.now + 100);
    }
    const states = lone.agent.stats().candidatePairs.map(({ state }) => state);
    expect(states).toEqual([...Array(MAX_WARM_PAIRS + 1).fill('succeeded'), ...Array(3).fill('failed')]);
  });

  it('remote candidates by signalling have the same bound', () => {
    const lone = new LoneAgent();
    lone.start([]);
    lone.do((agent, now) => {
      for (let i = 0; i < 200; i++) agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', 1000 + i)), now);
    });
    expect(lone.agent.stats().candidatePairs.length).toBe(MAX_REMOTE_CANDIDATES);
    expect(lone.agent.drops.get('limit')).toBe(200 - MAX_REMOTE_CANDIDATES);
  });

  it(`at most ${MAX_EARLY_CHECKS} checks wait for the peer's credentials; a repetition is not one more`, () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.do((agent, now) => agent.addHostCandidate(base, now));
    for (let i = 0; i < 100; i++) {
      for (let copy = 0; copy < 2; copy++) {
        const bytes = checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag });
        lone.input(bytes, udp(base, address('10.0.0.2', 1000 + i)));
      }
    }
    expect(lone.agent.drops.get('limit')).toBe(2 * (100 - MAX_EARLY_CHECKS));
    lone.do((agent, now) => agent.setRemoteParameters(lone.peer, now));
    expect(lone.agent.stats().candidatePairs.length).toBe(MAX_EARLY_CHECKS);
  });

  it('pairs keep to the limit, the best of them', () => {
    const lone = new LoneAgent({ maxPairs: 10 });
    lone.start(Array.from({ length: 30 }, (_, i) => address('10.0.0.2', 1000 + i)));
    const pairs = lone.agent.stats().candidatePairs;
    expect(pairs.length).toBe(10);
    const ports = lone.agent
      .stats()
      .candidates.filter((c) => pairs.some((p) => p.remoteCandidateId === c.id))
      .map((c) => c.port);
    expect(ports).toEqual(Array.from({ length: 10 }, (_, i) => 1000 + i));
    expect(lone.agent.drops.get('limit')).toBe(20);
  });

  it(`a peer that reports a role conflict for ever is believed ${MAX_ROLE_SWITCHES} times`, () => {
    const lone = new LoneAgent();
    lone.start([peer]);
    for (let i = 0; i < 100 && lone.agent.stats().candidatePairs[0]?.state !== 'failed'; i++) {
      const { transactionId } = lone.lastRequest().message;
      lone.input(responseBytes({ transactionId, code: 487, pwd: lone.peer.pwd }), udp(base, peer));
      lone.runTo(lone.now + 60);
    }
    expect(lone.events.filter((event) => event.type === 'role').length).toBe(MAX_ROLE_SWITCHES);
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('failed');
  });
});

describe('an attacker beside a running session', () => {
  it.each(seeds(20))('seed %i: garbage, replays from elsewhere and forged checks change nothing', (seed) => {
    const peers = twoPeers(seed, { latencyMs: 5 });
    const { world, network, a, b } = peers;
    const random = new SeededRandom(seed);
    const captured: Uint8Array[] = [];
    b.onEvent = undefined;
    const record = network.bind(attacker, () => undefined);
    connect(peers);
    const send = network.send.bind(network);
    network.send = (bytes, from, to) => {
      captured.push(bytes.slice());
      send(bytes, from, to);
    };
    for (let i = 0; i < 300; i++) {
      world.schedule(random.next() * 3000, () => {
        const kind = random.below(4);
        const copy = captured.length === 0 ? random.bytes(40) : random.pick(captured).slice();
        if (kind === 1 && copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8);
        const forged = checkBytes(random, {
          to: a.agent.localParameters,
          from: b.agent.localParameters.ufrag,
          pwd: 'y'.repeat(22),
          useCandidate: true,
        });
        const bytes = kind === 0 ? random.bytes(random.below(200)) : kind === 3 ? forged : copy;
        send(bytes, attacker, random.chance(0.5) ? a.bases[0]! : b.bases[0]!);
      });
    }
    world.run({ until: 20_000 });
    expect([isConnected(a), isConnected(b)]).toEqual([true, true]);
    expect(a.selectedKey).toBe('10.0.0.1:5000 10.0.0.2:6000');
    expect(b.selectedKey).toBe('10.0.0.2:6000 10.0.0.1:5000');
    record();
  });
});
