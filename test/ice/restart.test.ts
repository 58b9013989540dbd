import { describe, expect, it } from 'vitest';
import { seeds } from '../sim/index.ts';
import { address, agreed, connect, isConnected, nominatedPair, signal, twoPeers } from './harness.ts';
import { hostCandidate, LoneAgent, udp } from './lone-agent.ts';
import { checkBytes, responseBytes } from './messages.ts';
import { restartBoth } from './signalling.ts';

describe('ICE restart (RFC 8445 §9)', () => {
  it.each(seeds(20))(
    'seed %i: data flows over the old pair until the new one is chosen; no state but connected',
    (seed) => {
      const peers = twoPeers(seed, { latencyMs: 20, jitterMs: 20, loss: 0.05 });
      connect(peers);
      const { world, a, b } = peers;
      world.run({ until: 5000, done: () => agreed(peers) });
      a.states.length = 0;
      b.states.length = 0;
      const oldUfrag = a.agent.localParameters.ufrag;
      let sent = 0;
      const tick = () => {
        if (a.sendData(`a${sent}`)) sent++;
        b.sendData('b');
        if (world.now < 7000) world.schedule(world.now + 5, tick);
      };
      tick();
      world.schedule(world.now + 100, () => restartBoth(world, seed % 2 ? a : b, seed % 2 ? b : a));
      world.run({ until: 10_000 });
      expect(a.agent.localParameters.ufrag).not.toBe(oldUfrag);
      expect(agreed(peers)).toBe(true);
      expect([...a.states, ...b.states].filter((state) => state !== 'connected' && state !== 'completed')).toEqual([]);
      expect(sent).toBeGreaterThan(300);
      expect(b.received.length).toBeGreaterThan(0.85 * sent); // what the links lost, and nothing else
      expect(a.agent.drops.get('unknown-path') + b.agent.drops.get('unknown-path')).toBe(0);
      a.close();
      b.close();
      world.run();
      expect(world.pending).toBe(0);
    },
  );

  it('announces all bases and asks all servers again, under the new ufrag', () => {
    const lone = new LoneAgent();
    lone.start([]);
    lone.do((agent, now) => agent.addStunServer(address('198.51.100.1', 3478), now));
    const before = lone.events.length;
    lone.do((agent, now) => agent.restart(now, { ufrag: 'next', pwd: 'n'.repeat(22) }));
    const { ufrag } = lone.agent.localParameters;
    expect(ufrag).toBe('next');
    const again = lone.events.slice(before);
    expect(again.flatMap((event) => (event.type === 'candidate' ? [event.candidate.usernameFragment] : []))).toEqual([
      'next',
    ]);
    expect(lone.agent.gatheringState).toBe('gathering');
    lone.runTo(60);
    expect(lone.requests().filter(({ path }) => path.remote.port === 3478).length).toBe(2);
  });

  it('goes back to the old pair, and rests, when the new one is lost at once', () => {
    const lone = new LoneAgent();
    const [base, peer, other] = [address('10.0.0.1', 5000), address('10.0.0.2', 6000), address('10.0.0.3', 6000)];
    lone.start([peer]);
    const answer = () => {
      const { message, path } = lone.lastRequest();
      const { transactionId } = message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), path);
    };
    answer();
    answer(); // the nomination
    lone.do((agent, now) => {
      agent.restart(now);
      agent.endOfLocalCandidates(now);
      agent.setRemoteParameters({ ...lone.peer, ufrag: 'next' }, now);
      agent.addRemoteCandidate(hostCandidate(other), now);
    });
    lone.runTo(lone.now + 100);
    answer();
    expect(lone.agent.selectedPath?.remote).toEqual(other);
    lone.do((agent, now) => agent.notePathClosed(udp(base, other), now));
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
    lone.runTo(lone.now + 10_000); // throws when a timer fires again and again
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
  });

  it('takes data over the old path also from a shell that makes its paths anew, while the path is checked again', () => {
    const lone = new LoneAgent();
    const [base, peer] = [address('10.0.0.1', 5000), address('10.0.0.2', 6000)];
    lone.start([peer]);
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    expect(lone.agent.acceptsData(udp(base, peer))).toBe(true);
    lone.do((agent, now) => {
      agent.restart(now);
      agent.setRemoteParameters({ ...lone.peer, ufrag: 'next' }, now);
      agent.addRemoteCandidate(hostCandidate(peer), now);
    });
    expect(lone.agent.acceptsData(udp(base, peer))).toBe(true);
  });

  it('keeps answering and asking for consent on the old pair, with the old credentials', () => {
    const lone = new LoneAgent();
    const peer = address('10.0.0.2', 6000);
    const base = address('10.0.0.1', 5000);
    lone.start([peer]);
    const answer = () => {
      const { transactionId } = lone.lastRequest().message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, peer));
    };
    answer();
    answer(); // the nomination
    const old = lone.agent.localParameters;
    lone.do((agent, now) => agent.restart(now));
    const sent = lone.sent.length;
    lone.input(checkBytes(lone.random, { to: old, from: lone.peer.ufrag, role: 'controlled' }), udp(base, peer));
    expect(lone.sent.at(-1)?.message.messageClass).toBe('success');
    lone.runTo(6100);
    expect(lone.sent.slice(sent).map(({ message }) => message.get('USERNAME'))).toContain(
      `${lone.peer.ufrag}:${old.ufrag}`,
    );
    expect(lone.agent.selectedPath?.remote).toEqual(peer);
    // until its consent ends
    lone.runTo(40_000);
    expect(lone.agent.selectedPath).toBeUndefined();
  });

  it('begun after failure leads back to connected', () => {
    const peers = twoPeers(5, { latencyMs: 5, loss: 1 });
    connect(peers);
    const { world, network, a, b } = peers;
    world.run({ until: 50_000 });
    expect([a.states, b.states]).toEqual([
      ['checking', 'failed'],
      ['checking', 'failed'],
    ]);
    for (const [from, to] of [
      ['10.0.0.1', '10.0.0.2'],
      ['10.0.0.2', '10.0.0.1'],
    ] as const)
      network.setLink(from, to, { latencyMs: 5 });
    restartBoth(world, a, b);
    world.run({ until: 52_000 });
    expect(a.states).toEqual(['checking', 'failed', 'checking', 'connected', 'completed']);
    expect(agreed(peers)).toBe(true);
  });

  it('begun while disconnected is checking, begun while completed stays connected (W3C)', () => {
    const peers = twoPeers(5);
    connect(peers);
    const { world, network, a } = peers;
    world.run({ until: 1000 });
    a.driver.mutate((now) => a.agent.restart(now));
    expect(a.agent.connectionState).toBe('connected');
    a.driver.mutate((now) => a.agent.rollbackRestart(now));
    network.setLink('10.0.0.2', '10.0.0.1', { latencyMs: 5, loss: 1 });
    world.run({ until: 60_000, done: () => a.agent.connectionState === 'disconnected' });
    a.driver.mutate((now) => a.agent.restart(now));
    expect(a.agent.connectionState).toBe('checking');
  });

  it('can be rolled back before the peer has answered', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, a, b } = peers;
    world.run({ until: 1000 });
    const before = a.agent.localParameters;
    a.driver.mutate((now) => a.agent.restart(now));
    world.run({ until: 2000 });
    a.driver.mutate((now) => a.agent.rollbackRestart(now));
    expect(a.agent.localParameters).toEqual(before);
    world.run({ until: 60_000 });
    expect(agreed(peers)).toBe(true);
    expect([a.agent.connectionState, b.agent.connectionState]).toEqual(['completed', 'completed']);
    expect(() => a.driver.mutate((now) => a.agent.rollbackRestart(now))).toThrow(/no restart/);
  });

  it('twice in a row keeps the pair that carries the data', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, a, b } = peers;
    world.run({ until: 1000 });
    a.driver.mutate((now) => a.agent.restart(now));
    restartBoth(world, a, b);
    const path = a.agent.selectedPath;
    expect(path).toBeDefined();
    world.run({ until: 3000 });
    expect(agreed(peers)).toBe(true);
    expect([isConnected(a), isConnected(b)]).toEqual([true, true]);
  });

  it('survives the loss of an interface: removed base, new base, restart', () => {
    const peers = twoPeers(9, { latencyMs: 5 }, { basesA: [address('10.0.0.1', 5000), address('10.0.7.1', 5000)] });
    const { world, a, b } = peers;
    // only the first base is announced at the start
    signal(a, b, world);
    signal(b, a, world);
    a.driver.mutate((now) => {
      a.agent.addHostCandidate(a.bases[0]!, now);
      a.agent.endOfLocalCandidates(now);
    });
    b.gather();
    world.run({ until: 1000 });
    expect(agreed(peers)).toBe(true);
    a.driver.mutate((now) => {
      a.agent.removeLocalBase(a.bases[0]!, now);
      a.agent.addHostCandidate(a.bases[1]!, now);
    });
    expect(a.agent.selectedPath).toBeUndefined();
    restartBoth(world, a, b);
    world.run({ until: 3000 });
    expect(a.selectedKey).toBe('10.0.7.1:5000 10.0.0.2:6000');
    expect(agreed(peers)).toBe(true);
  });
});

describe('nominations of other kinds', () => {
  const base = address('10.0.0.1', 5000);
  const [p1, p2] = [address('10.0.0.2', 6001), address('10.0.0.2', 6002)];

  /** A controlled agent with two valid pairs, p1 of the higher priority. */
  function controlledWithTwo(): { lone: LoneAgent; nominate: (remote: typeof p1) => void } {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([p1, p2]);
    lone.runTo(100);
    for (const { message, path } of lone.requests()) {
      const { transactionId } = message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, path.remote));
    }
    const nominate = (remote: typeof p1) =>
      lone.input(
        checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag, useCandidate: true }),
        udp(base, remote),
      );
    return { lone, nominate };
  }
  const port = (lone: LoneAgent) => lone.agent.selectedPath?.remote.port;

  it('aggressive: of several nominations at once the highest priority counts (RFC 8445 §8.1.1)', () => {
    const { lone, nominate } = controlledWithTwo();
    nominate(p2);
    expect(port(lone)).toBe(6002);
    nominate(p1);
    expect(port(lone)).toBe(6001);
    nominate(p2);
    expect(port(lone)).toBe(6001);
    lone.runTo(lone.now + 1000);
    nominate(p1);
    nominate(p2);
    expect(port(lone)).toBe(6001);
  });

  it('aggressive, before our own check: takes effect when the check has succeeded (RFC 8445 §7.3.1.5)', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([p1]);
    lone.input(
      checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag, useCandidate: true }),
      udp(base, p1),
    );
    expect(lone.agent.stats().candidatePairs[0]?.nominated).toBe(false);
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, p1));
    expect(lone.agent.stats().candidatePairs[0]?.nominated).toBe(true);
  });

  it('later: a peer that moves its nomination to a lower pair and stays there is followed', () => {
    const { lone, nominate } = controlledWithTwo();
    nominate(p1);
    for (let i = 0; i < 4; i++) {
      lone.runTo(lone.now + 1000);
      nominate(p2);
    }
    expect(port(lone)).toBe(6002);
    expect(lone.agent.stats().candidatePairs.filter((pair) => pair.nominated).length).toBe(1);
  });

  it('a controlling agent does not listen to USE-CANDIDATE', () => {
    const lone = new LoneAgent({ role: 'controlling' });
    lone.start([p1]);
    lone.input(
      checkBytes(lone.random, {
        to: lone.agent.localParameters,
        from: lone.peer.ufrag,
        role: 'controlled',
        useCandidate: true,
      }),
      udp(base, p1),
    );
    expect(lone.agent.stats().candidatePairs[0]?.nominated).toBe(false);
  });

  it('late: a peer that nominates after a minute finds the pair in use', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.start([p1]);
    for (let i = 0; i < 12; i++) {
      const { transactionId } = lone.lastRequest().message;
      lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, p1));
      lone.runTo(lone.now + 6000);
    }
    expect(lone.agent.connectionState).toBe('connected');
    lone.input(
      checkBytes(lone.random, { to: lone.agent.localParameters, from: lone.peer.ufrag, useCandidate: true }),
      udp(base, p1),
    );
    lone.do((agent, now) => agent.endOfRemoteCandidates(now));
    expect(lone.agent.connectionState).toBe('completed');
  });

  it('when the nominating check itself fails, the next best pair is nominated', () => {
    const lone = new LoneAgent();
    lone.start([p1, p2]);
    lone.runTo(50);
    const answered = new Set<string>();
    const answerAll = (accept: (remote: typeof p1, nominating: boolean) => boolean) => {
      for (const { message, path } of lone.requests()) {
        const { transactionId } = message;
        const id = transactionId.join();
        if (answered.has(id) || !accept(path.remote, message.has('USE-CANDIDATE'))) continue;
        answered.add(id);
        lone.input(responseBytes({ transactionId, mapped: base, pwd: lone.peer.pwd }), udp(base, path.remote));
      }
    };
    const noNominationOfP1 = (remote: typeof p1, nominating: boolean) => !(nominating && remote.port === 6001);
    for (let i = 0; i < 60; i++) {
      answerAll(noNominationOfP1);
      lone.runTo(lone.now + 1000);
    }
    const nominated = lone.agent.stats().candidatePairs.filter((pair) => pair.nominated);
    expect(nominated.length).toBe(1);
    expect(port(lone)).toBe(6002);
  });
});

describe('lite (RFC 8445 §2.5)', () => {
  it.each(seeds(10))(
    'seed %i: a full agent and a lite one; the full one is controlling whatever it was told',
    (seed) => {
      const peers = twoPeers(
        seed,
        { latencyMs: 20, jitterMs: 30, loss: 0.1 },
        { roles: ['controlled', 'controlled'], optionsB: { lite: true } },
      );
      const { world, a, b } = peers;
      a.gather();
      b.gather();
      world.schedule(10, () => {
        b.driver.mutate((now) => b.agent.setRemoteParameters(a.agent.localParameters, now));
        a.driver.mutate((now) => {
          a.agent.setRemoteParameters({ ...b.agent.localParameters, lite: true }, now);
          for (const candidate of b.candidates) a.agent.addRemoteCandidate(candidate, now);
          a.agent.endOfRemoteCandidates(now);
        });
      });
      expect(world.run({ until: 10_000, done: () => agreed(peers) })).toBe(true);
      expect(a.agent.role).toBe('controlling');
      b.driver.mutate((now) => b.agent.endOfRemoteCandidates(now));
      world.run({ until: 60_000 });
      expect([a.agent.connectionState, b.agent.connectionState]).toEqual(['completed', 'completed']);
      expect(b.agent.stats().candidatePairs[0]).toMatchObject({ requestsSent: 0, consentRequestsSent: 0 });
      a.close();
      world.run({ until: 120_000 });
      // The full peer's consent checks were its only sign of life (RFC 7675).
      expect(b.agent.selectedPath).toBeUndefined();
      expect(b.agent.connectionState).toBe('failed');
    },
  );

  it('two lite agents select without a check (RFC 8445 §8.2)', () => {
    const peers = twoPeers(1, { latencyMs: 5 }, { optionsA: { lite: true }, optionsB: { lite: true } });
    const { world, a, b } = peers;
    a.gather();
    b.gather();
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      to.driver.mutate((now) => {
        to.agent.setRemoteParameters({ ...from.agent.localParameters, lite: true }, now);
        for (const candidate of from.candidates) to.agent.addRemoteCandidate(candidate, now);
        to.agent.endOfRemoteCandidates(now);
      });
    }
    world.run({ until: 100_000 });
    expect([nominatedPair(a), nominatedPair(b)]).toEqual([true, true]);
    expect(agreed(peers)).toBe(true);
    expect([a.agent.connectionState, b.agent.connectionState]).toEqual(['completed', 'completed']);
    expect(a.sendData('hello')).toBe(true);
    world.run({ until: 100_100 });
    expect(b.received).toEqual(['hello']);
  });

  it('an agent told of a lite peer too late is controlling from then on', () => {
    const lone = new LoneAgent({ role: 'controlled' });
    lone.do((agent, now) => {
      agent.addHostCandidate(address('10.0.0.1', 5000), now);
      agent.setRemoteParameters({ ...lone.peer, lite: true }, now);
      agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', 1)), now);
    });
    expect(lone.agent.role).toBe('controlling');
    expect(lone.events.some((event) => event.type === 'role')).toBe(true);
    expect(lone.lastRequest().message.has('ICE-CONTROLLING')).toBe(true);
  });
});
