import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import { DEFAULT_LIMITS, MAX_MESSAGE_BYTES, resolveLimits } from '../../src/signaling/index.ts';
import { SimSignaling } from './sim-websocket.ts';

const join = (room: string, name = 'n') => JSON.stringify({ type: 'join', room, name });
const NOBODY = '0'.repeat(16);

/** Runs a millisecond of virtual time past all deliveries, but no timer of seconds. */
const settle = (sim: SimSignaling): void => void sim.world.run({ until: sim.world.now + 100 });

describe('SignalingServer', () => {
  it('welcomes with own id and who is there, and tells the others of who comes and goes', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('garden', 'Ada');
    const bob = sim.joined('garden', 'Bob');
    settle(sim);
    const welcomes = [ada, bob].map(({ events }) => events.find((event) => event.type === 'welcome'));
    expect(welcomes[0]).toEqual({ type: 'welcome', id: ada.core.id, room: 'garden', peers: [] });
    expect(welcomes[1]).toEqual({
      type: 'welcome',
      id: bob.core.id,
      room: 'garden',
      peers: [{ id: ada.core.id, name: 'Ada' }],
    });
    expect(ada.core.id).not.toBe(bob.core.id);
    expect(ada.events.at(-1)).toEqual({ type: 'peer-joined', peer: { id: bob.core.id, name: 'Bob' } });
    expect(sim.server.rooms()).toEqual([
      {
        name: 'garden',
        peers: [
          { id: ada.core.id, name: 'Ada' },
          { id: bob.core.id, name: 'Bob' },
        ],
      },
    ]);
    const bobId = bob.core.id;
    bob.driver.mutate((now) => bob.core.leave(now));
    settle(sim);
    expect(ada.events.at(-1)).toEqual({ type: 'peer-left', id: bobId, reason: 'left' });
    expect(sim.serverEvents.map((event) => event.type)).toEqual(['joined', 'joined', 'left']);
    expect(sim.server.drops.total).toBe(0);
  });

  it('relays descriptions and candidates to the one peer they are for, with the true sender', () => {
    const sim = new SimSignaling(1);
    const [ada, bob, eve] = [sim.joined('r', 'Ada'), sim.joined('r', 'Bob'), sim.joined('r', 'Eve')];
    settle(sim);
    const quiet = eve.events.length;
    const description = { type: 'offer', sdp: 'v=0\r\n' } as const;
    const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 };
    bob.driver.mutate(() => {
      bob.core.sendDescription(ada.core.id!, description);
      bob.core.sendCandidate(ada.core.id!, candidate);
      bob.core.sendCandidate(ada.core.id!, null);
    });
    settle(sim);
    expect(ada.events.slice(-3)).toEqual([
      { type: 'description', from: bob.core.id, description },
      { type: 'candidate', from: bob.core.id, candidate },
      { type: 'candidate', from: bob.core.id, candidate: null },
    ]);
    expect(eve.events).toHaveLength(quiet);
  });

  it('relays the largest message that a client may send', () => {
    const sim = new SimSignaling(1);
    const [ada, bob] = [sim.joined('r', 'Ada'), sim.joined('r', 'Bob')];
    const frame = { type: 'description', to: ada.core.id!, description: { type: 'offer', sdp: '' } } as const;
    const sdp = '\n'.repeat((MAX_MESSAGE_BYTES - JSON.stringify(frame).length) / 2); // two bytes each in JSON
    bob.driver.mutate(() => bob.core.sendDescription(ada.core.id!, { type: 'offer', sdp: `${sdp}` }));
    settle(sim);
    expect(ada.events.at(-1)).toEqual({ type: 'description', from: bob.core.id, description: { type: 'offer', sdp } });
    expect(() => bob.core.sendDescription(ada.core.id!, { type: 'offer', sdp: `${sdp}xx` })).toThrow('longer than');
  });

  it('does not relay into another room, to itself, or to somebody who has left', () => {
    const sim = new SimSignaling(1);
    const [ada, bob, eve] = [sim.joined('r', 'Ada'), sim.joined('r', 'Bob'), sim.joined('other', 'Eve')];
    const bobId = bob.core.id!;
    bob.driver.mutate((now) => bob.core.close(now));
    settle(sim);
    for (const to of [eve.core.id!, ada.core.id!, bobId, NOBODY]) {
      ada.driver.mutate(() => ada.core.sendCandidate(to, null));
      settle(sim);
      expect(ada.events.at(-1)).toEqual({
        type: 'error',
        code: 'unknown-peer',
        message: 'nobody else in this room has that id',
        to,
      });
    }
    expect(sim.server.drops.get('unknown-peer')).toBe(4);
    expect(eve.events.some((event) => event.type === 'candidate')).toBe(false);
  });

  it.each([
    ['a relay outside a room', `{"type":"candidate","to":"${NOBODY}","candidate":null}`, 'not-joined', 'bad-state'],
    ['leave outside a room', '{"type":"leave"}', 'not-joined', 'bad-state'],
    ['an unknown type', '{"type":"shout"}', 'unknown-type', 'bad-type'],
  ])('answers %s with an error and keeps the connection', (_name, message, code, reason) => {
    const sim = new SimSignaling(1);
    const raw = sim.rawConnection();
    raw.send(message);
    settle(sim);
    expect(raw.received.map((text) => JSON.parse(text))).toEqual([expect.objectContaining({ type: 'error', code })]);
    expect(sim.server.drops.toJSON()).toEqual({ [reason]: 1 });
    raw.send(join('r'));
    settle(sim);
    expect(raw.received[1]).toContain('"welcome"');
  });

  it('a second join is an error and changes nothing', () => {
    const sim = new SimSignaling(1);
    const raw = sim.rawConnection();
    raw.send(join('r'));
    raw.send(join('s'));
    settle(sim);
    expect(raw.received[1]).toContain('"already-joined"');
    expect(sim.server.rooms().map((room) => room.name)).toEqual(['r']);
  });

  it.each([
    ['garbage', 'GET / HTTP/1.1', 'bad-value'],
    ['a field outside its form', join(''), 'bad-value'],
    ['a missing field', '{"type":"join"}', 'missing'],
    ['too many bytes', join('r', 'x'.repeat(MAX_MESSAGE_BYTES)), 'limit'],
  ])('hangs up on %s, and tells the room', (_name, message, reason) => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('r', 'Ada');
    const raw = sim.rawConnection();
    raw.send(join('r', 'Mallory'));
    raw.send(message);
    settle(sim);
    expect(raw.received.at(-1)).toContain('"bad-message"');
    expect(sim.serverEvents.at(-1)).toEqual({
      type: 'hang-up',
      connection: raw.id,
      closeCode: 1007,
      reason: 'bad-message',
    });
    expect(ada.events.at(-1)).toMatchObject({ type: 'peer-left', reason: 'lost' });
    expect(sim.server.drops.toJSON()).toEqual({ [reason]: 1 });
    expect(sim.server.connectionCount).toBe(1);
  });

  it('hangs up on a connection that joins nothing in time, also after leaving', () => {
    const sim = new SimSignaling(1);
    const raw = sim.rawConnection();
    sim.world.run({ until: DEFAULT_LIMITS.joinTimeoutMs - 11 });
    raw.send(join('r')); // arrives 10 ms later, at the last moment
    sim.world.run({ until: 30_000 });
    expect(sim.server.connectionCount).toBe(1); // in a room there is no such limit
    raw.send('{"type":"leave"}');
    sim.world.run({ until: 30_010 + DEFAULT_LIMITS.joinTimeoutMs - 1 });
    expect(sim.server.connectionCount).toBe(1);
    sim.world.run({ until: 30_010 + DEFAULT_LIMITS.joinTimeoutMs });
    expect(sim.server.connectionCount).toBe(0);
    expect(sim.serverEvents.at(-1)).toMatchObject({ type: 'hang-up', closeCode: 1008, reason: 'join-timeout' });
  });

  it('hangs up on silence after exactly the idle time, counted from the last message', () => {
    const sim = new SimSignaling(1);
    const raw = sim.rawConnection();
    raw.send(join('r')); // arrives at 10
    sim.world.run({ until: 40_000 });
    raw.send('{"type":"ping","id":3}'); // arrives at 40,010
    sim.world.run({ until: 40_010 + DEFAULT_LIMITS.idleTimeoutMs - 1 });
    expect(raw.received.at(-1)).toBe('{"type":"pong","id":3}');
    expect(sim.server.connectionCount).toBe(1);
    sim.world.run({ until: 40_010 + DEFAULT_LIMITS.idleTimeoutMs });
    expect(sim.serverEvents.at(-1)).toMatchObject({ type: 'hang-up', closeCode: 1008, reason: 'idle' });
    expect(sim.server.rooms()).toEqual([]);
  });

  it('takes a sign of life of the connection for a word, but not for a room', () => {
    const sim = new SimSignaling(1);
    sim.rawConnection().send(join('r')); // arrives at 10, on connection 1
    sim.rawConnection(); // connection 2 asks for no room
    for (let at = 5000; at <= 200_000; at += 5000) {
      sim.world.run({ until: at });
      for (const id of [1, 2, 99]) sim.serverDriver.mutate((now) => sim.server.handleAlive(id, now));
    }
    expect(sim.server.rooms()).toHaveLength(1);
    expect(sim.serverEvents.filter((event) => event.type === 'hang-up')).toEqual([
      { type: 'hang-up', connection: 2, closeCode: 1008, reason: 'join-timeout' },
    ]);
    sim.world.run({ until: 200_000 + DEFAULT_LIMITS.idleTimeoutMs });
    expect(sim.serverEvents.at(-1)).toMatchObject({ type: 'hang-up', connection: 1, reason: 'idle' });
  });

  it('close tells everybody, hangs up, and refuses who comes later', () => {
    const sim = new SimSignaling(1);
    const ada = sim.joined('r', 'Ada');
    const raw = sim.rawConnection();
    sim.serverDriver.mutate((now) => sim.server.close(now));
    settle(sim);
    expect(raw.received.at(-1)).toContain('"shutting-down"');
    expect(ada.events).toContainEqual(expect.objectContaining({ type: 'error', code: 'shutting-down' }));
    const late = sim.rawConnection();
    settle(sim);
    expect(late.received.at(-1)).toContain('"shutting-down"');
    expect(sim.serverEvents.filter((event) => event.type === 'hang-up').map((event) => event.closeCode)).toEqual([
      1001, 1001, 1001,
    ]);
    expect(sim.server.connectionCount).toBe(0);
    expect(sim.server.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('input of a connection that it does not know, or has hung up on, is a counted drop', () => {
    const sim = new SimSignaling(1);
    sim.serverDriver.input(new TextEncoder().encode(join('r')), 99);
    sim.serverDriver.mutate((now) => sim.server.handleClose(99, now));
    expect(sim.server.drops.toJSON()).toEqual({ 'unknown-path': 1 });
  });
});

describe('the bounds of SignalingServer', () => {
  it('connections', () => {
    const sim = new SimSignaling(1, undefined, { maxConnections: 2 });
    const raws = [sim.rawConnection(), sim.rawConnection(), sim.rawConnection()];
    settle(sim);
    expect(sim.server.connectionCount).toBe(2);
    expect(raws[2]?.received).toEqual(['{"type":"error","code":"server-full","message":"server-full"}']);
    expect(sim.serverEvents).toEqual([
      { type: 'hang-up', connection: raws[2]?.id, closeCode: 1013, reason: 'server-full' },
    ]);
    expect(sim.server.drops.toJSON()).toEqual({ limit: 1 });
    sim.cut(raws[0]!.id);
    sim.rawConnection();
    expect(sim.server.connectionCount).toBe(2); // the freed place is taken
  });

  it('rooms: one more is refused, an existing one can be joined, an empty one frees its place', () => {
    const sim = new SimSignaling(1, undefined, { maxRooms: 2 });
    const [a, b, c] = [sim.rawConnection(), sim.rawConnection(), sim.rawConnection()];
    a.send(join('one'));
    b.send(join('two'));
    c.send(join('three'));
    c.send(join('two'));
    settle(sim);
    expect(c.received.map((text) => JSON.parse(text).type)).toEqual(['error', 'welcome']);
    expect(c.received[0]).toContain('"too-many-rooms"');
    a.send('{"type":"leave"}');
    a.send(join('three'));
    settle(sim);
    expect(sim.server.rooms().map((room) => room.name)).toEqual(['two', 'three']);
  });

  it('peers of a room, up to the greatest number with the longest names', () => {
    const sim = new SimSignaling(1, undefined, { maxPeersPerRoom: 100 });
    const longest = '🌱'.repeat(64);
    const raws = Array.from({ length: 101 }, () => sim.rawConnection());
    for (const raw of raws) raw.send(join(longest, longest));
    settle(sim);
    expect(sim.server.rooms()[0]?.peers).toHaveLength(100);
    expect(raws[100]?.received).toEqual([expect.stringContaining('"room-full"')]);
    const fullest = raws[99]!.received[0]!;
    expect(JSON.parse(fullest).peers).toHaveLength(99);
    expect(new TextEncoder().encode(fullest).length).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
    expect(sim.server.drops.toJSON()).toEqual({ limit: 1 });
  });

  it('messages: a burst, then the sustained rate, then the connection ends', () => {
    const sim = new SimSignaling(1, { latencyMs: 0 }, { messagesPerSecond: 10, messageBurst: 20 });
    const raw = sim.rawConnection();
    raw.send(join('r'));
    for (let id = 1; id < 20; id++) raw.send(`{"type":"ping","id":${id}}`);
    for (let i = 1; i <= 30; i++) sim.world.schedule(i * 100, () => raw.send('{"type":"ping","id":0}')); // exactly the rate
    sim.world.run({ until: 3000 });
    expect(raw.received).toHaveLength(50);
    expect(sim.server.drops.total).toBe(0);
    raw.send('{"type":"ping","id":0}');
    settle(sim);
    expect(raw.received.at(-1)).toContain('"rate-limited"');
    expect(sim.serverEvents.at(-1)).toMatchObject({ type: 'hang-up', closeCode: 1008, reason: 'rate-limited' });
    expect(sim.server.drops.toJSON()).toEqual({ 'rate-limited': 1 });
  });

  it.each([
    ['maxPeersPerRoom', 101],
    ['maxMessageBytes', MAX_MESSAGE_BYTES + 1],
    ['maxRooms', 0],
    ['idleTimeoutMs', -1],
    ['messageBurst', Number.NaN],
  ] as const)('%s of %d is refused', (name, value) => {
    expect(() => resolveLimits({ [name]: value })).toThrow(UsageError);
    expect(() => resolveLimits({ [name]: value })).toThrow(name);
  });
});
