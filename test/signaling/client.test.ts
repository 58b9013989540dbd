import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import { MAX_MESSAGE_BYTES } from '../../src/signaling/index.ts';
import { seeds } from '../sim/index.ts';
import { type SimClient, SimSignaling } from './sim-websocket.ts';

const states = (client: SimClient): string[] =>
  client.events.flatMap((event) => (event.type === 'state' ? [event.state] : []));
const reasons = (client: SimClient): string[] =>
  client.events.flatMap((event) => (event.type === 'state' ? [event.reason] : []));
const OFFER = { type: 'offer', sdp: 'v=0\r\n' } as const;

describe('SignalingClient', () => {
  it('dials, joins, and reports each step', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('garden', 'Ada');
    expect(ada.events.map((event) => event.type)).toEqual(['state', 'dial', 'state', 'state', 'welcome']);
    expect(states(ada)).toEqual(['dialing', 'joining', 'joined']);
    expect(ada.core.id).toMatch(/^[0-9a-f]{16}$/);
  });

  it('leaves and joins another room over the same connection, and ignores what the old room still sends', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('old', 'Ada');
    const bob = sim.joined('old', 'Bob');
    const adaId = ada.core.id!;
    bob.driver.mutate(() => bob.core.sendDescription(adaId, OFFER));
    ada.driver.mutate((now) => {
      ada.core.leave(now);
      ada.core.join('new', 'Ada', now);
    });
    sim.world.run({ until: sim.world.now + 100 });
    expect(states(ada)).toEqual(['dialing', 'joining', 'joined', 'outside', 'joining', 'joined']);
    expect(ada.events.filter((event) => event.type === 'dial')).toHaveLength(1);
    expect(ada.events.some((event) => event.type === 'description')).toBe(false);
    expect(ada.core.drops.get('stale')).toBe(2); // Bob's arrival, and his offer
    expect(bob.events.at(-1)).toEqual({ type: 'peer-left', id: adaId, reason: 'left' });
  });

  it('close says leave, hangs up, and nothing comes after it', () => {
    const sim = new SimSignaling(1);
    const [ada, bob] = [sim.joined('r', 'Ada'), sim.joined('r', 'Bob')];
    sim.world.run({ until: sim.world.now + 100 });
    const adaId = ada.core.id;
    ada.driver.mutate((now) => ada.core.close(now));
    ada.driver.mutate((now) => ada.core.close(now));
    const count = ada.events.length;
    sim.world.run({ until: sim.world.now + 10_000 });
    expect(ada.events).toHaveLength(count);
    expect(ada.events.slice(-2)).toEqual([
      { type: 'state', state: 'closed', reason: 'close' },
      { type: 'hang-up', reason: 'close' },
    ]);
    expect(bob.events.at(-1)).toEqual({ type: 'peer-left', id: adaId, reason: 'left' });
    expect(ada.core.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('waits twice as long after each failure, up to the longest, less up to half at random', () => {
    const sim = new SimSignaling(1, { latencyMs: 0 });
    sim.reachable = false;
    const ada = sim.client({ backoffMs: 500, maxBackoffMs: 30_000 });
    const dialedAt: number[] = [];
    ada.onEvent = (event) => {
      if (event.type === 'dial') dialedAt.push(sim.world.now);
    };
    ada.driver.mutate((now) => ada.core.join('r', 'Ada', now));
    sim.world.run({ until: 300_000 });
    const waits = dialedAt.slice(1).map((at, i) => at - dialedAt[i]!);
    expect(waits.length).toBeGreaterThan(10);
    const full = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000];
    full.forEach((ms, i) => {
      expect(waits[i]).toBeGreaterThanOrEqual(ms / 2);
      expect(waits[i]).toBeLessThanOrEqual(ms);
    });
    expect(new Set(waits).size).toBe(waits.length); // not all clients at once
    sim.reachable = true;
    sim.world.run({ until: 340_000 });
    expect(ada.core.state).toBe('joined');
  });

  it('gives up after the attempts it was told, with the reason', () => {
    const sim = new SimSignaling(1);
    sim.reachable = false;
    const ada = sim.client({ maxAttempts: 3 });
    ada.driver.mutate((now) => ada.core.join('r', 'Ada', now));
    sim.world.run();
    expect(states(ada)).toEqual(['dialing', 'waiting', 'dialing', 'waiting', 'dialing', 'closed']);
    expect(reasons(ada).at(-1)).toBe('connection refused; gave up after 3 attempts');
    expect(() => ada.driver.mutate((now) => ada.core.join('r', 'Ada', now))).toThrow(UsageError);
  });

  it('a server that does not answer in time is hung up on: while dialing, and while joining', () => {
    const sim = new SimSignaling(1);
    sim.passing = false;
    const ada = sim.client({ maxAttempts: 1 });
    ada.driver.mutate((now) => ada.core.join('r', 'Ada', now));
    sim.world.run();
    expect(sim.world.now).toBe(10_000);
    expect(reasons(ada).at(-1)).toMatch(/^no connection in time/);

    const later = new SimSignaling(1, { latencyMs: 10 });
    const bob = later.client({ maxAttempts: 1 });
    bob.onEvent = (event) => {
      if (event.type === 'state' && event.state === 'joining') later.passing = false;
    };
    bob.driver.mutate((now) => bob.core.join('r', 'Bob', now));
    later.world.run({ done: () => bob.core.state === 'closed' });
    expect(later.world.now).toBe(10_010);
    expect(reasons(bob).at(-1)).toMatch(/^no answer to join/);
  });

  it('pings a silent server, takes it for dead without an answer, and joins again under a new id', () => {
    const sim = new SimSignaling(1, { latencyMs: 0 });
    const ada = sim.joined('r', 'Ada');
    const firstId = ada.core.id;
    const start = sim.world.now;
    sim.world.run({ until: start + 65_000 });
    expect(ada.core.state).toBe('joined'); // three pings and pongs: neither side lost patience
    sim.passing = false;
    sim.world.run({ done: () => ada.core.state === 'waiting' });
    expect(sim.world.now - start).toBe(60_000 + 20_000 + 10_000);
    expect(ada.events.slice(-2)).toEqual([
      { type: 'hang-up', reason: 'the server is silent' },
      { type: 'state', state: 'waiting', reason: 'the server is silent' },
    ]);
    sim.passing = true;
    sim.world.run({ done: () => ada.core.state === 'joined' });
    expect(ada.core.id).not.toBe(firstId);
  });

  it('a refused join leaves the connection open for another room', () => {
    const sim = new SimSignaling(1, undefined, { maxPeersPerRoom: 1 });
    sim.joined('small', 'Ada');
    const bob = sim.client();
    bob.driver.mutate((now) => bob.core.join('small', 'Bob', now));
    sim.world.run({ until: sim.world.now + 100 });
    expect(bob.events.at(-2)).toMatchObject({ type: 'error', code: 'room-full' });
    expect(bob.core.state).toBe('outside');
    bob.driver.mutate((now) => bob.core.join('big', 'Bob', now));
    sim.world.run({ until: sim.world.now + 100 });
    expect(bob.core.state).toBe('joined');
  });

  it('losing the connection outside a room, or leaving while waiting, ends in idle', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('r', 'Ada');
    ada.driver.mutate((now) => ada.core.leave(now));
    sim.world.run({ until: 60_000 }); // the server's join timeout
    expect(ada.core.state).toBe('idle');
    const bob = sim.joined('r', 'Bob');
    sim.cut(bob.wire!.id);
    sim.world.run({ done: () => bob.core.state === 'waiting' });
    bob.driver.mutate((now) => bob.core.leave(now));
    expect(bob.core.state).toBe('idle');
    expect(bob.core.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('misuse throws and changes nothing', () => {
    const sim = new SimSignaling(1);
    const ada = sim.client();
    for (const [room, name] of [
      ['', 'Ada'],
      ['r'.repeat(65), 'Ada'],
      ['r\n', 'Ada'],
      ['r', 'n'.repeat(65)],
      ['r', '\ud800'],
    ] as const) {
      expect(() => ada.core.join(room, name, 0)).toThrow(UsageError);
    }
    expect(() => ada.core.leave(0)).toThrow('leave while idle');
    expect(() => ada.core.sendDescription('0'.repeat(16), OFFER)).toThrow('not in a room');
    expect(() => ada.core.sendCandidate('0'.repeat(16), null)).toThrow('not in a room');
    expect([ada.core.state, ada.core.pollEvent()]).toEqual(['idle', undefined]);
    const bob = sim.joined('r', 'Bob');
    expect(() => bob.core.join('r', 'Bob', sim.world.now)).toThrow('join while joined');
    expect(() =>
      bob.core.sendDescription('0'.repeat(16), { type: 'offer', sdp: 'x'.repeat(MAX_MESSAGE_BYTES) }),
    ).toThrow('longer than');
  });

  it('messages wait for the shell up to a bound, then sending throws', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('r', 'Ada');
    const send = () => ada.core.sendCandidate('0'.repeat(16), null); // outside of the driver: nobody polls
    for (let i = 0; i < 1024; i++) send();
    expect(send).toThrow('1024 messages are waiting already');
  });

  it('what a server should not send is a counted drop', () => {
    const sim = new SimSignaling(1);
    const ada = sim.client();
    const input = (text: string) => ada.driver.input(new TextEncoder().encode(text), undefined);
    input('{"type":"pong","id":1}');
    expect(ada.core.drops.toJSON()).toEqual({ 'bad-state': 1 });
    ada.driver.mutate((now) => ada.core.join('r', 'Ada', now));
    sim.world.run({ done: () => ada.core.state === 'joined' });
    const count = ada.events.length;
    input('{"type":"welcome","id":"0000000000000000","room":"r","peers":[]}');
    input('{"type":"welcome"');
    input('{"type":"news"}');
    expect(ada.core.drops.toJSON()).toEqual({ 'bad-state': 2, 'bad-value': 1, 'bad-type': 1 });
    expect(ada.events).toHaveLength(count);
  });
});

describe('clients and server over connections that break', () => {
  it.each(seeds(100))('seed %i: after the storm everybody is in the room and sees everybody', (seed) => {
    const sim = new SimSignaling(seed, { latencyMs: 20, jitterMs: 80 });
    const random = sim.world.random.fork();
    const clients = ['Ada', 'Bob', 'Cyd', 'Dan', 'Eve'].map((name) => {
      const client = sim.client();
      const roster = new Map<string, string>();
      client.onEvent = (event) => {
        if (event.type === 'welcome') {
          roster.clear();
          for (const peer of event.peers) roster.set(peer.id, peer.name);
        } else if (event.type === 'peer-joined') roster.set(event.peer.id, event.peer.name);
        else if (event.type === 'peer-left') expect(roster.delete(event.id)).toBe(true);
        else if (event.type === 'description') expect(roster.has(event.from)).toBe(true);
      };
      client.driver.mutate((now) => client.core.join('r', name, now));
      return { name, client, roster };
    });
    // Two minutes of cuts, outages and messages to anybody who is known.
    for (let at = 0; at < 120_000; at += 500) {
      sim.world.schedule(at, () => {
        const { client, roster } = random.pick(clients);
        const wire = client.wire;
        if (wire?.open && random.chance(0.2)) sim.cut(wire.id);
        else if (client.core.state === 'joined' && roster.size > 0) {
          client.driver.mutate(() => client.core.sendDescription(random.pick([...roster.keys()]), OFFER));
        }
        if (random.chance(0.02)) sim.reachable = false;
        else if (random.chance(0.2)) sim.reachable = true;
        if (random.chance(0.01)) sim.passing = false;
        else if (random.chance(0.3)) sim.passing = true;
      });
    }
    sim.world.run({ until: 120_000 });
    sim.reachable = true;
    sim.passing = true;
    sim.world.run({ until: 300_000 }); // longer than every backoff, silence and idle time together
    const names = clients.map(({ name }) => name).sort();
    expect(clients.map(({ client }) => client.core.state)).toEqual(names.map(() => 'joined'));
    for (const { name, roster } of clients) {
      expect([...roster.values()].sort()).toEqual(names.filter((other) => other !== name));
    }
    expect(sim.server.rooms().map((room) => room.peers.length)).toEqual([5]);
    expect(sim.server.connectionCount).toBe(5);
  });
});
