import { describe, expect, it } from 'vitest';
import { CONSENT_EXPIRY_MS, DISCONNECTED_MS, PAC_TIMEOUT_MS } from '../../src/ice/index.ts';
import { seeds } from '../sim/index.ts';
import { address, agreed, connect, isConnected, nominatedPair, twoPeers } from './harness.ts';
import { hostCandidate, LoneAgent, udp } from './lone-agent.ts';
import { checkBytes, responseBytes } from './messages.ts';

const base = address('10.0.0.1', 5000);
const peer = address('10.0.0.2', 6000);

describe('the flow of one connection', () => {
  it('selects the only pair one round trip after the description, nominates it in the next', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, a, b } = peers;
    world.run({ until: 1000 });
    expect(a.states).toEqual(['checking', 'connected', 'completed']);
    expect(b.states).toEqual(['checking', 'connected', 'completed']);
    expect(a.selectedKey).toBe('10.0.0.1:5000 10.0.0.2:6000');
    expect(b.selectedKey).toBe('10.0.0.2:6000 10.0.0.1:5000');
    expect([nominatedPair(a), nominatedPair(b)]).toEqual([true, true]);
    expect([a.selectedAt, b.selectedAt]).toEqual([20, 20]); // descriptions arrive at 10, a round trip takes 10
    expect(isConnected(a)).toBe(true);
    a.close();
    b.close();
    expect(world.pending).toBe(0);
    expect(a.states.at(-1)).toBe('closed');
  });

  it('is through in a few milliseconds on loopback, whatever Ta', () => {
    const peers = twoPeers(1, { latencyMs: 0.1 });
    connect(peers, 0.1);
    expect(peers.world.run({ until: 1000, done: () => agreed(peers) })).toBe(true);
    expect(peers.world.now).toBeLessThan(2);
  });

  it('carries data both ways over the selected pair, and only over known paths', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, network, a, b } = peers;
    world.run({ until: 500 });
    a.sendData('hello');
    b.sendData('and back');
    network.send(new TextEncoder().encode('intruder'), address('10.9.9.9', 9), a.bases[0]!);
    world.run({ until: 600 });
    expect(b.received).toEqual(['hello']);
    expect(a.received).toEqual(['and back']);
    expect(a.agent.drops.toJSON()).toEqual({ 'unknown-path': 1 });
  });

  it('takes candidates that come before the credentials', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addRemoteCandidate(hostCandidate(peer), now);
      agent.addRemoteCandidate({ ...hostCandidate(address('10.0.0.3', 1)), usernameFragment: 'older' }, now);
    });
    expect(lone.sent).toEqual([]);
    lone.do((agent, now) => agent.setRemoteParameters(lone.peer, now));
    expect(lone.requests().map(({ path }) => path.remote)).toEqual([peer]);
    expect(lone.agent.stats().candidatePairs.length).toBe(1);
    lone.do((agent, now) =>
      agent.addRemoteCandidate({ ...hostCandidate(address('10.0.0.4', 1)), usernameFragment: 'older' }, now),
    );
    expect(lone.agent.drops.toJSON()).toEqual({ stale: 1 });
  });

  it('answers checks before it knows the peer, and checks back as soon as it does (RFC 8445 §7.3)', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.do((agent, now) => agent.addHostCandidate(base, now));
    const check = { to: lone.agent.localParameters, from: lone.peer.ufrag, useCandidate: true };
    lone.input(checkBytes(lone.random, check), udp(base, peer));
    expect(lone.sent.map(({ message }) => message.messageClass)).toEqual(['success']);
    expect(lone.sent[0]?.message.get('XOR-MAPPED-ADDRESS')).toEqual(peer);
    lone.do((agent, now) => agent.setRemoteParameters(lone.peer, now));
    const { message, path } = lone.lastRequest();
    expect(path).toEqual(udp(base, peer));
    lone.input(
      responseBytes({ transactionId: message.transactionId, mapped: base, pwd: lone.peer.pwd }),
      udp(base, peer),
    );
    expect(lone.agent.stats().candidatePairs[0]).toMatchObject({ state: 'succeeded', nominated: true });
  });
});

describe('pacing', () => {
  it('sends the first check at once and the others one Ta apart, best first (RFC 8445 §6.1.4.2)', () => {
    const lone = new LoneAgent();
    lone.start([1, 2, 3, 4].map((i) => address('10.0.0.2', 6000 + i)));
    lone.runTo(400);
    expect(lone.requests().map(({ at, path }) => [at, path.remote.port])).toEqual([
      [0, 6001],
      [50, 6002],
      [100, 6003],
      [150, 6004],
    ]);
  });

  it('does not let the candidates of one description queue in the order they are written', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.setRemoteParameters(lone.peer, now);
      agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', 1), 1000, '1'), now);
      agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', 2), 2000, '2'), now);
    });
    expect(lone.lastRequest().path.remote.port).toBe(2);
  });

  it('retransmits at the times of RFC 8489 §6.2.1 and fails the pair after 39.5 s', () => {
    const lone = new LoneAgent();
    lone.start([peer]);
    lone.runTo(39_499);
    expect(lone.requests().map(({ at }) => at)).toEqual([0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('in-progress');
    lone.runTo(39_500);
    expect(lone.agent.stats().candidatePairs[0]?.state).toBe('failed');
  });

  it('grows the RTO with the checks under way, so that first transmissions come before retransmissions (§14.3)', () => {
    const lone = new LoneAgent();
    lone.start(Array.from({ length: 30 }, (_, i) => address('10.0.0.2', 6000 + i)));
    lone.runTo(29 * 50);
    expect(new Set(lone.requests().map(({ path }) => path.remote.port)).size).toBe(30);
    expect(lone.requests().length).toBe(30);
  });

  it('takes the larger Ta of both sides, and refuses one below 5 ms', () => {
    const lone = new LoneAgent({ taMs: 20 });
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.setRemoteParameters({ ...lone.peer, pacingMs: 30 }, now);
      for (const port of [1, 2, 3])
        agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', port), 1, `${port}`), now);
    });
    lone.runTo(100);
    expect(lone.requests().map(({ at }) => at)).toEqual([0, 30, 60]);
    expect(() => new LoneAgent({ taMs: 4 })).toThrow(/RFC 8445 §14.2/);
  });

  it('does not wake for nothing: an early or repeated timeout sends nothing', () => {
    const lone = new LoneAgent();
    lone.start([peer, address('10.0.0.2', 6001)]);
    const sent = lone.sent.length;
    for (let i = 0; i < 10; i++) lone.do((agent, now) => agent.handleTimeout(now));
    expect(lone.sent.length).toBe(sent);
    expect(lone.agent.nextTimeout()).toBe(50);
  });
});

describe('the verdict of failure (RFC 8863)', () => {
  it('without any candidate it comes when the PAC timer ends, not before', () => {
    const lone = new LoneAgent();
    lone.start([]);
    lone.do((agent, now) => agent.endOfRemoteCandidates(now));
    expect(lone.agent.nextTimeout()).toBe(PAC_TIMEOUT_MS);
    lone.runTo(PAC_TIMEOUT_MS - 1);
    expect(lone.agent.connectionState).toBe('new');
    lone.runTo(PAC_TIMEOUT_MS);
    expect(lone.agent.connectionState).toBe('failed');
    expect(lone.agent.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('with candidates that never answer it comes when the last check has ended', () => {
    const lone = new LoneAgent();
    lone.start([peer]);
    lone.runTo(10_000);
    lone.do((agent, now) => agent.addRemoteCandidate(hostCandidate(address('10.0.0.3', 1), 5, '9'), now));
    lone.runTo(49_499);
    expect(lone.agent.connectionState).toBe('checking');
    lone.runTo(49_500);
    expect(lone.agent.connectionState).toBe('failed');
  });

  it('a check of the peer before its end still saves the session', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([]);
    lone.runTo(39_000);
    lone.input(checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag }), udp(base, peer));
    const { transactionId } = lone.lastRequest().message;
    lone.runTo(39_100);
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    lone.runTo(41_000);
    expect(lone.agent.connectionState).toBe('connected');
  });

  it('is final until a restart: nothing is answered any more', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([]);
    lone.runTo(40_000);
    lone.input(checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag }), udp(base, peer));
    expect(lone.agent.drops.toJSON()).toEqual({ 'bad-state': 1 });
    expect(lone.sent).toEqual([]);
  });

  it('says disconnected while checks have failed but candidates may still come (W3C)', () => {
    const lone = new LoneAgent({ pacTimeoutMs: 60_000 });
    lone.start([peer]);
    lone.runTo(40_000);
    expect(lone.agent.connectionState).toBe('disconnected');
    lone.do((agent, now) => agent.addRemoteCandidate(hostCandidate(address('10.0.0.3', 1)), now));
    expect(lone.agent.connectionState).toBe('checking');
  });
});

describe('consent (RFC 7675)', () => {
  it.each(seeds(20))('seed %i: one check every 4 to 6 s, each sent once with its own transaction', (seed) => {
    const peers = twoPeers(seed);
    connect(peers);
    const { world, network, a } = peers;
    world.run({ until: 1000 });
    const times: number[] = [];
    const send = network.send.bind(network);
    network.send = (bytes, from, to) => {
      if (from.ip === '10.0.0.1' && bytes[0] === 0 && bytes[1] === 1) times.push(world.now);
      send(bytes, from, to);
    };
    world.run({ until: 100_000 });
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    expect(times.length).toBeGreaterThanOrEqual(16);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(6000);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(100); // randomised
    expect(a.agent.stats().candidatePairs[0]?.consentRequestsSent).toBe(times.length);
  });

  it('a cut path is disconnected after 8 s and failed after 30 s without an answer; then nothing is sent', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, network, a, b } = peers;
    world.run({ until: 20_000 });
    network.defaultLink = { latencyMs: 5, loss: 1 };
    network.setLink('10.0.0.1', '10.0.0.2', network.defaultLink);
    network.setLink('10.0.0.2', '10.0.0.1', network.defaultLink);
    const cut = world.now;
    expect(world.run({ until: 60_000, done: () => a.agent.connectionState === 'disconnected' })).toBe(true);
    expect(world.now - cut).toBeLessThanOrEqual(DISCONNECTED_MS);
    expect(world.now - cut).toBeGreaterThan(DISCONNECTED_MS - 6000 - 100);
    expect(world.run({ until: 120_000, done: () => a.agent.selectedPath === undefined })).toBe(true);
    expect(world.now - cut).toBeLessThanOrEqual(CONSENT_EXPIRY_MS);
    world.run({ until: 120_000 });
    expect(a.states).toEqual(['checking', 'connected', 'completed', 'disconnected', 'failed']);
    expect(b.states).toEqual(a.states);
    expect(world.pending).toBe(0);
  });

  it('a path that comes back within the 30 s is connected again', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, network, a, b } = peers;
    world.run({ until: 20_000 });
    for (const [from, to] of [
      ['10.0.0.1', '10.0.0.2'],
      ['10.0.0.2', '10.0.0.1'],
    ] as const) {
      network.setLink(from, to, { latencyMs: 5, loss: 1 });
      world.schedule(40_000, () => network.setLink(from, to, { latencyMs: 5 }));
    }
    world.run({ until: 60_000 });
    expect(a.states).toEqual(['checking', 'connected', 'completed', 'disconnected', 'completed']);
    expect(b.states).toEqual(a.states);
    expect(agreed(peers)).toBe(true);
  });

  it('is revoked by an authenticated 403 at once, and by nothing unauthenticated', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([peer]);
    const answer = (code?: 403, pwd: string = lone.peer.pwd) => {
      const { transactionId } = lone.lastRequest().message;
      lone.input(
        responseBytes({ transactionId, pwd, ...(code === undefined ? { mapped: base } : { code }) }),
        udp(base, peer),
      );
    };
    answer();
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
    lone.runTo(7000);
    answer(403, 'x'.repeat(24));
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
    answer(403);
    expect(lone.agent.selectedPath).toBeUndefined();
    expect(lone.events.at(-2)).toEqual({ type: 'selected-pair', path: undefined, pair: undefined });
  });

  it('a lost pair is replaced by another that works, and both sides agree on it', () => {
    const peers = twoPeers(3, { latencyMs: 5 }, { basesB: [address('10.0.0.2', 6000), address('10.0.1.2', 6000)] });
    connect(peers);
    const { world, network, a, b } = peers;
    world.run({ until: 20_000 });
    const first = a.selectedKey;
    const lost = a.agent.selectedPath!.remote.ip;
    network.setLink('10.0.0.1', lost, { latencyMs: 5, loss: 1 });
    network.setLink(lost, '10.0.0.1', { latencyMs: 5, loss: 1 });
    expect(world.run({ until: 31_000, done: () => a.selectedKey !== first && agreed(peers) })).toBe(true);
    world.run({ until: 120_000 });
    expect(agreed(peers)).toBe(true);
    expect([a.states.at(-1), b.states.at(-1)]).toEqual(['completed', 'completed']);
    expect(a.states).not.toContain('failed');
  });
});
