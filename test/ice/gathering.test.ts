import { describe, expect, it } from 'vitest';
import type { IceEvent } from '../../src/ice/index.ts';
import {
  formatCandidate,
  KEEPALIVE_MS,
  MAX_GATHERING_TRANSACTIONS,
  MAX_LOCAL_CANDIDATES,
  MAX_PENDING_NAMES,
  MAX_STUN_SERVERS,
} from '../../src/ice/index.ts';
import { address } from './harness.ts';
import { hostCandidate, LoneAgent, udp } from './lone-agent.ts';
import { responseBytes } from './messages.ts';

const base = address('10.0.0.1', 5000);
const server = address('198.51.100.1', 3478);
const mapped = address('203.0.113.7', 40_000);

function ofType<T extends IceEvent['type']>(lone: LoneAgent, type: T): Extract<IceEvent, { type: T }>[] {
  return lone.events.filter((event): event is Extract<IceEvent, { type: T }> => event.type === type);
}

describe('gathering', () => {
  it('of a host base alone: one candidate, gathering, complete', () => {
    const lone = new LoneAgent();
    expect(lone.agent.gatheringState).toBe('new');
    lone.do((agent, now) => agent.addHostCandidate(base, now));
    expect(lone.agent.gatheringState).toBe('gathering');
    lone.do((agent, now) => agent.endOfLocalCandidates(now));
    expect(lone.events).toEqual([
      {
        type: 'candidate',
        candidate: {
          foundation: '1',
          component: 1,
          protocol: 'udp',
          priority: 2_130_706_175, // local preference 65,534: the first IPv6 base would have 65,535
          address: '10.0.0.1',
          port: 5000,
          type: 'host',
          tcpType: undefined,
          usernameFragment: lone.agent.localParameters.ufrag,
        },
      },
      { type: 'gathering-state', state: 'gathering' },
      { type: 'gathering-state', state: 'complete' },
    ]);
  });

  it('asks a STUN server and makes a server-reflexive candidate of the answer', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now, { url: 'stun:stun.example.net' });
      agent.endOfLocalCandidates(now);
    });
    const request = lone.lastRequest();
    expect(request.path).toEqual(udp(base, server));
    expect(request.message.has('MESSAGE-INTEGRITY')).toBe(false);
    expect(lone.agent.gatheringState).toBe('gathering');
    lone.input(responseBytes({ transactionId: request.message.transactionId, mapped }), udp(base, server));
    expect(ofType(lone, 'candidate').at(-1)?.candidate).toMatchObject({
      type: 'srflx',
      address: '203.0.113.7',
      port: 40_000,
      relatedAddress: '10.0.0.1',
      relatedPort: 5000,
      url: 'stun:stun.example.net',
    });
    expect(lone.agent.gatheringState).toBe('complete');
  });

  it('believes an answer only from the server that was asked, and once', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now);
    });
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, mapped }), udp(base, address('198.51.100.2', 3478)));
    expect(lone.agent.drops.toJSON()).toEqual({ 'unknown-transaction': 1 });
    lone.input(responseBytes({ transactionId, mapped }), udp(base, server));
    lone.input(responseBytes({ transactionId, mapped: address('203.0.113.8', 1) }), udp(base, server));
    expect(ofType(lone, 'candidate').map(({ candidate }) => candidate.address)).toEqual(['10.0.0.1', '203.0.113.7']);
    expect(lone.agent.drops.toJSON()).toEqual({ 'unknown-transaction': 2 });
  });

  it('asks from each base of the family, one Ta apart, and drops what is redundant (RFC 8445 §5.1.3)', () => {
    const lone = new LoneAgent();
    const other = address('10.0.0.9', 5000);
    lone.do((agent, now) => {
      agent.addStunServer(server, now);
      agent.addStunServer(address('198.51.100.2', 3478), now);
      agent.addStunServer(server, now); // the same again
      for (const at of [base, other, address('fd00::1', 5000)]) agent.addHostCandidate(at, now);
      agent.endOfLocalCandidates(now);
    });
    lone.runTo(400);
    expect(lone.requests().map(({ at, path }) => [at, path.local.ip, path.remote.ip])).toEqual([
      [0, '10.0.0.1', '198.51.100.1'],
      [50, '10.0.0.1', '198.51.100.2'],
      [100, '10.0.0.9', '198.51.100.1'],
      [150, '10.0.0.9', '198.51.100.2'],
    ]);
    const answers = [mapped, mapped, other, address('203.0.113.7', 40_001)];
    lone.requests().forEach(({ message, path }, i) => {
      lone.input(responseBytes({ transactionId: message.transactionId, mapped: answers[i]! }), path);
    });
    const srflx = ofType(lone, 'candidate').filter(({ candidate }) => candidate.type === 'srflx');
    // The second answer equals the first, the third equals its own base.
    expect(srflx.map(({ candidate }) => candidate.port)).toEqual([40_000, 40_001]);
    expect(new Set(ofType(lone, 'candidate').map(({ candidate }) => candidate.priority)).size).toBe(5);
    expect(lone.agent.gatheringState).toBe('complete');
  });

  it('gives up on a silent server after 9.5 s, says so, and is complete', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now, { url: 'stun:dead.example.net' });
      agent.endOfLocalCandidates(now);
    });
    lone.runTo(9499);
    expect(lone.requests().map(({ at }) => at)).toEqual([0, 500, 1500, 3500, 7500]);
    expect(lone.agent.gatheringState).toBe('gathering');
    lone.runTo(9500);
    expect(ofType(lone, 'server-error')).toEqual([
      { type: 'server-error', server, base, url: 'stun:dead.example.net', code: 701, reason: 'no answer' },
    ]);
    expect(lone.agent.gatheringState).toBe('complete');
  });

  it('reports a server that refuses', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now);
    });
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, code: 500 }), udp(base, server));
    expect(ofType(lone, 'server-error').map(({ code, reason }) => [code, reason])).toEqual([[500, 'Server Error']]);
  });

  it('keeps the binding alive until ICE has concluded (RFC 8445 §5.1.1.4)', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now);
    });
    lone.input(responseBytes({ transactionId: lone.lastRequest().message.transactionId, mapped }), udp(base, server));
    lone.runTo(3 * KEEPALIVE_MS + 1000);
    expect(lone.requests().map(({ at }) => at)).toEqual([0, KEEPALIVE_MS, 2 * KEEPALIVE_MS, 3 * KEEPALIVE_MS]);
  });

  it('sends one keepalive, and not all that were missed, after the driver has slept', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addStunServer(server, now);
    });
    lone.input(responseBytes({ transactionId: lone.lastRequest().message.transactionId, mapped }), udp(base, server));
    const before = lone.requests().length;
    lone.now = 40 * KEEPALIVE_MS;
    lone.do((agent, now) => agent.handleTimeout(now));
    lone.runTo(lone.now + 1000);
    expect(lone.requests().length - before).toBe(1);
  });

  it('announces a relayed candidate whose base is itself', () => {
    const lone = new LoneAgent({ policy: 'relay' });
    const relayed = address('198.51.100.9', 50_000);
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.addRelayedCandidate(relayed, mapped, { url: 'turn:turn.example.net', relayProtocol: 'tls' }, now);
      agent.endOfLocalCandidates(now);
      agent.setRemoteParameters(lone.peer, now);
      agent.addRemoteCandidate(hostCandidate(address('10.0.0.2', 6000)), now);
    });
    expect(ofType(lone, 'candidate').map(({ candidate }) => candidate)).toMatchObject([
      {
        type: 'relay',
        address: '198.51.100.9',
        relatedAddress: '203.0.113.7',
        relayProtocol: 'tls',
        url: 'turn:turn.example.net',
      },
    ]);
    expect(lone.lastRequest().path.local).toEqual(relayed); // policy relay: nothing leaves the host base
    expect(lone.requests().length).toBe(1);
  });

  it('takes another policy at once where nothing was gathered, else with the next generation (RFC 9429 §4.1.18)', () => {
    const lone = new LoneAgent();
    const gatheredTypes = () => ofType(lone, 'candidate').map(({ candidate }) => candidate.type);
    lone.agent.setPolicy('relay');
    lone.do((agent, now) => agent.addHostCandidate(base, now));
    expect([lone.agent.policy, gatheredTypes()]).toEqual(['relay', []]);
    lone.agent.setPolicy('all');
    lone.do((agent, now) => agent.endOfLocalCandidates(now));
    expect([lone.agent.policy, gatheredTypes()]).toEqual(['relay', []]);
    lone.do((agent, now) => agent.restart(now));
    expect([lone.agent.policy, gatheredTypes()]).toEqual(['all', ['host']]);
    lone.agent.setPolicy('relay');
    lone.do((agent, now) => agent.restart(now));
    expect([lone.agent.policy, gatheredTypes()]).toEqual(['relay', ['host']]);
  });

  it('with relayed candidates only does not wait for direct ones before it nominates', () => {
    const lone = new LoneAgent({ policy: 'relay' });
    const relayed = address('198.51.100.9', 50_000);
    const far = address('10.0.0.2', 6000);
    lone.do((agent, now) => {
      agent.addRelayedCandidate(relayed, mapped, {}, now);
      agent.setRemoteParameters(lone.peer, now);
      agent.addRemoteCandidate(hostCandidate(far), now);
    });
    const { transactionId } = lone.lastRequest().message;
    lone.input(responseBytes({ transactionId, mapped: relayed, pwd: lone.peer.pwd }), udp(relayed, far));
    expect(lone.lastRequest().message.has('USE-CANDIDATE')).toBe(true);
  });

  it('prefers IPv6, families taking turns (RFC 8421 §4), and relays by transport', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      for (const ip of ['10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2']) agent.addHostCandidate(address(ip, 1), now);
      for (const [port, relayProtocol] of [
        [1, 'tls'],
        [2, 'tcp'],
        [3, 'udp'],
      ] as const) {
        agent.addRelayedCandidate(address('198.51.100.9', port), mapped, { relayProtocol }, now);
      }
    });
    const order = ofType(lone, 'candidate')
      .map(({ candidate }) => candidate)
      .toSorted((a, b) => b.priority - a.priority)
      .map((c) => c.relayProtocol ?? c.address);
    expect(order).toEqual(['fd00::1', '10.0.0.1', 'fd00::2', '10.0.0.2', 'udp', 'tcp', 'tls']);
  });

  it('ignores host addresses that make no candidate (RFC 8445 §5.1.1.1)', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      for (const ip of ['0.0.0.0', '::', '::ffff:10.0.0.1', 'fec0::1']) agent.addHostCandidate(address(ip, 1), now);
    });
    expect(lone.events).toEqual([]);
    expect(lone.agent.drops.get('bad-value')).toBe(4);
  });

  it('hides a base behind a name, in the server-reflexive candidate too', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now, { hostname: 'a1b2.local' });
      agent.addStunServer(server, now);
    });
    lone.input(responseBytes({ transactionId: lone.lastRequest().message.transactionId, mapped }), udp(base, server));
    const text = JSON.stringify(ofType(lone, 'candidate'));
    expect(text).toContain('a1b2.local');
    expect(text).not.toContain('10.0.0.1');
  });

  it(`asks at most ${MAX_GATHERING_TRANSACTIONS} times at a time`, () => {
    const lone = new LoneAgent({ taMs: 5 });
    const hosts = 20;
    lone.do((agent, now) => {
      for (let i = 0; i < MAX_STUN_SERVERS; i++) agent.addStunServer(address('198.51.100.1', 3000 + i), now);
      for (let i = 0; i < hosts; i++) agent.addHostCandidate(address('10.0.0.1', 5000 + i), now);
      agent.endOfLocalCandidates(now);
    });
    expect(lone.agent.drops.toJSON()).toEqual({ limit: hosts * MAX_STUN_SERVERS - MAX_GATHERING_TRANSACTIONS });
    lone.runTo(20_000);
    expect(new Set(lone.requests().map(({ message }) => message.transactionId.join())).size).toBe(
      MAX_GATHERING_TRANSACTIONS,
    );
    expect(lone.agent.gatheringState).toBe('complete');
  });

  it('has bounds for servers and candidates', () => {
    const lone = new LoneAgent();
    lone.do((agent, now) => {
      for (let i = 0; i < MAX_STUN_SERVERS + 5; i++) agent.addStunServer(address('198.51.100.1', 3000 + i), now);
    });
    expect(lone.agent.drops.get('limit')).toBe(5);
    lone.do((agent, now) => {
      for (let i = 0; i < MAX_LOCAL_CANDIDATES + 5; i++) agent.addHostCandidate(address('fd00::1', 3000 + i), now);
    });
    expect(ofType(lone, 'candidate').length).toBe(MAX_LOCAL_CANDIDATES);
    expect(lone.agent.drops.get('limit')).toBe(10);
  });
});

describe('names for addresses', () => {
  const named = (hostname: string, port: number) => ({ ...hostCandidate(address(hostname, port), 1, String(port)) });
  const start = () => {
    const lone = new LoneAgent();
    lone.start([]);
    return lone;
  };

  it('are asked for once, and their candidates used when the answer comes', () => {
    const lone = start();
    lone.do((agent, now) => {
      agent.addRemoteCandidate(named('Abc.local', 1), now);
      agent.addRemoteCandidate(named('abc.local', 2), now);
    });
    expect(ofType(lone, 'resolve')).toEqual([{ type: 'resolve', hostname: 'Abc.local' }]);
    expect(lone.sent).toEqual([]);
    lone.do((agent, now) => agent.addResolved('abc.local', ['10.0.0.2'], now));
    lone.runTo(100);
    expect(lone.requests().map(({ path }) => `${path.remote.ip}:${path.remote.port}`)).toEqual([
      '10.0.0.2:1',
      '10.0.0.2:2',
    ]);
  });

  it.each([
    ['none', []],
    ['several', ['10.0.0.2', '10.0.0.3']],
    ['no address at all', ['nonsense']],
    ['an address that nobody may check', ['224.0.0.251']],
  ])('with %s cost only their candidate', (_name, addresses) => {
    const lone = start();
    lone.do((agent, now) => agent.addRemoteCandidate(named('abc.local', 1), now));
    lone.do((agent, now) => agent.addResolved('abc.local', addresses, now));
    expect(lone.sent).toEqual([]);
    lone.do((agent, now) => agent.addRemoteCandidate(hostCandidate(address('10.0.0.4', 4)), now));
    expect(lone.requests().length).toBe(1);
  });

  it('that are no mDNS names are ignored (RFC 8839 §5.1), and waiting ones are bounded', () => {
    const lone = start();
    lone.do((agent, now) => {
      agent.addRemoteCandidate(named('example.net', 1), now);
      for (let i = 0; i < MAX_PENDING_NAMES + 3; i++) agent.addRemoteCandidate(named(`n${i}.local`, 1), now);
    });
    expect(ofType(lone, 'resolve').length).toBe(MAX_PENDING_NAMES);
    expect(lone.agent.drops.toJSON()).toEqual({ unsupported: 1, limit: 3 });
  });

  it.each([
    ['component 2', { component: 2 }, 'unsupported'],
    ['port 0', { port: 0 }, 'bad-value'],
    ['multicast', { address: '239.1.1.1' }, 'bad-value'],
    ['IPv6 multicast', { address: 'ff02::1' }, 'bad-value'],
    ['no address', { address: '0.0.0.0' }, 'bad-value'],
  ])('remote candidates with %s are dropped', (_name, change, reason) => {
    const lone = start();
    lone.do((agent, now) => agent.addRemoteCandidate({ ...hostCandidate(address('10.0.0.2', 1)), ...change }, now));
    expect(lone.agent.drops.toJSON()).toEqual({ [reason]: 1 });
    expect(lone.sent).toEqual([]);
  });
});

describe('TCP candidates that the composer has learned (RFC 6544 §5.2, §5.5)', () => {
  const base = address('10.0.0.1', 5000);
  const server = address('198.51.100.1', 3478);
  const lines = (lone: LoneAgent) =>
    lone.events.flatMap((event) => (event.type === 'candidate' ? [formatCandidate(event.candidate)] : []));

  it('are announced, again after a restart, and go with their base', () => {
    const lone = new LoneAgent();
    const mapped = address('192.0.2.1', 777);
    const relayed = address('198.51.100.2', 50_000);
    lone.do((agent, now) => {
      agent.addHostCandidate(base, now, { tcpType: 'so' });
      agent.addTcpReflexiveCandidate(base, { mapped, server }, now);
      agent.addTcpReflexiveCandidate(base, { mapped, server }, now); // redundant (RFC 8445 §5.1.3)
      agent.addTcpReflexiveCandidate(base, { mapped: base, server }, now); // so is what no NAT has changed
      agent.addTcpReflexiveCandidate(address('10.0.0.9', 1), { mapped, server }, now); // no base of ours
      agent.addRelayedCandidate(relayed, mapped, { tcpType: 'passive', relayProtocol: 'tcp' }, now);
    });
    const first = lines(lone);
    expect(first.map((line) => line.replace(/^\S+ 1 (tcp) \d+/, '$1').replace(/ ufrag.*/, ''))).toEqual([
      'tcp 10.0.0.1 5000 typ host tcptype so',
      'tcp 192.0.2.1 777 typ srflx raddr 10.0.0.1 rport 5000 tcptype so',
      'tcp 198.51.100.2 50000 typ relay raddr 192.0.2.1 rport 777 tcptype passive',
    ]);
    expect(new Set(first.map((line) => line.split(' ')[0])).size).toBe(3); // foundations
    lone.events.length = 0;
    lone.do((agent, now) => agent.restart(now));
    expect(lines(lone)).toHaveLength(3);
    lone.do((agent, now) => agent.removeLocalBase(base, now));
    lone.events.length = 0;
    lone.do((agent, now) => agent.restart(now));
    expect(lines(lone)).toHaveLength(1); // the relay
  });
});

describe('credentials (RFC 8445 §5.3, RFC 8839 §5.4)', () => {
  it('are random, long enough, and can be given', () => {
    const { ufrag, pwd } = new LoneAgent().agent.localParameters;
    expect(ufrag).toMatch(/^[A-Za-z0-9+/]{8}$/);
    expect(pwd).toMatch(/^[A-Za-z0-9+/]{24}$/);
    for (const given of [
      { ufrag: 'abcd', pwd: 'p'.repeat(22) },
      { ufrag: `libp2p+webrtc+v1/${'a'.repeat(32)}`, pwd: 'p'.repeat(256) },
    ])
      expect(new LoneAgent(given).agent.localParameters).toEqual(given);
  });

  it.each([
    [{ ufrag: 'abc' }],
    [{ ufrag: 'a-bc' }],
    [{ ufrag: 'a'.repeat(257) }],
    [{ pwd: 'p'.repeat(21) }],
    [{ pwd: 'p'.repeat(257) }],
    [{ pwd: `${'p'.repeat(22)} ` }],
  ])('%j are refused', (given) => {
    expect(() => new LoneAgent(given)).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });

  it('of the peer may have what libwebrtc lets pass beside ice-chars, but no blanks', () => {
    const lone = new LoneAgent();
    const pwd = 'base64url_-=#_password-of-a-peer';
    expect(() => lone.do((agent, now) => agent.setRemoteParameters({ ufrag: 'pe er', pwd }, now))).toThrow(/RFC 8839/);
    lone.do((agent, now) => agent.setRemoteParameters({ ufrag: 'pe_-=#', pwd }, now));
    expect(lone.agent.remoteParameters?.ufrag).toBe('pe_-=#');
    expect(() => new LoneAgent({ ufrag: 'pe_-' })).toThrow(/ice-chars/);
  });

  it('of the peer are checked too, and cannot change without a restart', () => {
    const lone = new LoneAgent();
    expect(() => lone.do((agent, now) => agent.setRemoteParameters({ ufrag: 'a', pwd: 'b' }, now))).toThrow(/RFC 8839/);
    lone.start([]);
    lone.do((agent, now) => agent.setRemoteParameters(lone.peer, now)); // the same again is fine
    expect(() => lone.do((agent, now) => agent.setRemoteParameters({ ...lone.peer, ufrag: 'other' }, now))).toThrow(
      /restart/,
    );
  });
});
