import { describe, expect, it } from 'vitest';
import { type FiveTuple, utf8 } from '../../src/core/index.ts';
import { MAX_FRAGMENTED_HELLOS } from '../../src/dtls/hello-desk.ts';
import { DtlsClient } from '../../src/dtls/index.ts';
import { DEFAULT_IDLE_TIMEOUT_MS, DEFAULT_MAX_CONNECTIONS, HANDSHAKE_RESERVED_MS } from '../../src/dtls/listener.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { PERFECT, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { SERVER_CERTIFICATE } from './harness.ts';
import { at, House, SERVER } from './house.ts';

describe('DtlsListener', () => {
  it('serves 500 clients on one port, each its own association', () => {
    const house = new House();
    const guests = Array.from({ length: 500 }, (_, n) => house.guest(at(n)));
    house.run(5000);
    expect(house.listener.connectionCount).toBe(500);
    for (const [n, guest] of guests.entries()) guest.driver.mutate((now) => guest.client.send(utf8(`echo ${n}`), now));
    house.run(1000);
    for (const [n, guest] of guests.entries()) expect(guest.received).toEqual([`echo ${n}`]);
  }, 30_000);

  it.each(seeds(30))('seed %i: twenty clients over a bad link are all served', (seed) => {
    const house = new House({}, { latencyMs: 30, jitterMs: 100, loss: 0.3, duplicate: 0.2, reorder: 0.2 }, seed);
    const guests = Array.from({ length: 20 }, (_, n) => house.guest(at(n)));
    house.run(200_000);
    expect(guests.map((guest) => guest.client.state)).toEqual(guests.map(() => 'connected'));
    expect(house.listener.connectionCount).toBe(20);
  });

  it('keeps nothing for clients that never answer its cookie (RFC 6347 §4.2.1)', () => {
    const house = new House();
    house.network.setLink(SERVER.ip, '198.51.100.7', { ...PERFECT, loss: 1 });
    const deaf = house.guest(at(7), { maxRetransmissions: 5 });
    house.run(100_000);
    expect(deaf.client.state).toBe('failed');
    expect([house.listener.connectionCount, house.count('accepted')]).toEqual([0, 0]);
    expect(house.listener.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('puts a ClientHello in fragments together, for a bounded number of clients at a time', () => {
    const house = new House();
    const guest = house.guest(at(1), { mtuBytes: 100, alpn: ['a'.repeat(200)] });
    house.run(1000);
    expect(guest.client.state).toBe('connected');
    // First fragments only, from many addresses.
    const fragment = new Uint8Array(60);
    fragment.set([22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 47, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 35]);
    for (let n = 0; n < MAX_FRAGMENTED_HELLOS + 5; n++) {
      house.driver.input(fragment.slice(), { protocol: 'udp', local: SERVER, remote: at(100 + n) });
    }
    expect(house.listener.drops.toJSON()).toEqual({ limit: 5 });
    expect(house.listener.connectionCount).toBe(1);
  });

  it('fragments that nobody completes, or that contradict a later hello, do not keep a client out', () => {
    const stray = new Uint8Array(60);
    stray.set([22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 47, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 35]);
    const house = new House();
    for (const [n, mtuBytes] of [1200, 100].entries()) {
      house.driver.input(stray.slice(), { protocol: 'udp', local: SERVER, remote: at(n) });
      const guest = house.guest(at(n), { mtuBytes, alpn: ['a'.repeat(200)] });
      house.run(20_000);
      expect(guest.client.state).toBe('connected');
    }
  });

  it('drops what belongs to nobody', () => {
    const house = new House({ connectionIdBytes: 8 });
    const path: FiveTuple = { protocol: 'udp', local: SERVER, remote: at(1) };
    for (const first of [20, 21, 22, 23, 99]) house.driver.input(new Uint8Array(40).fill(first), path);
    house.driver.input(new Uint8Array(40).fill(25), path);
    house.driver.input(new Uint8Array(0), path);
    expect(house.listener.drops.toJSON()).toEqual({ 'unknown-path': 6, 'unknown-peer': 1 });
  });

  it('refuses whom accept refuses, and more clients than its bound', () => {
    const house = new House({
      maxConnections: 2,
      accept: (path) => (path.remote.port === 1009 ? undefined : { certificate: SERVER_CERTIFICATE }),
    });
    const guests = [1, 2, 3, 9].map((n) => house.guest(at(n), { maxRetransmissions: 1 }));
    house.run(10_000);
    expect(guests.map((guest) => guest.client.state)).toEqual(['connected', 'connected', 'failed', 'failed']);
    expect(house.listener.drops.get('limit')).toBeGreaterThan(0);
  });

  it(`HANDSHAKE_RESERVED_MS: at the bound who has not come to an end in ${HANDSHAKE_RESERVED_MS} ms makes room`, () => {
    const house = new House({ maxConnections: 2 });
    const first = house.guest(at(1));
    house.run(1000);
    const silent = house.guest(at(2)); // comes back with its cookie, and never again
    house.world.run({ until: house.world.now + 1000, done: () => house.listener.connectionCount === 2 });
    silent.leave();
    const early = house.guest(at(3), { maxRetransmissions: 1 });
    house.run(HANDSHAKE_RESERVED_MS - 100);
    expect([house.listener.connectionCount, early.client.state]).toEqual([2, 'failed']);
    const late = house.guest(at(4));
    house.run(1000);
    expect([first.client.state, late.client.state, house.listener.connectionCount]).toEqual([
      'connected',
      'connected',
      2,
    ]);
    const tooMany = house.guest(at(5), { maxRetransmissions: 1 });
    house.run(HANDSHAKE_RESERVED_MS + 1000);
    expect([tooMany.client.state, first.client.state, late.client.state]).toEqual(['failed', 'connected', 'connected']);
  });

  it('close_notify from either side ends an association and forgets it', () => {
    const house = new House();
    const [a, b] = [house.guest(at(1)), house.guest(at(2))];
    house.run(1000);
    a.driver.mutate((now) => a.client.close(now));
    house.run(1000);
    expect([house.listener.connectionCount, house.count('removed')]).toEqual([1, 1]);
    house.driver.mutate((now) => house.listener.closeAll(now));
    house.run(1000);
    expect([house.listener.connectionCount, b.client.state]).toEqual([0, 'closed']);
    expect(() => house.listener.send(1, utf8('x'), 0)).toThrow('there is no connection 1');
  });

  it('closes idle associations, and only those', () => {
    const house = new House({ idleTimeoutMs: 10_000 });
    const [quiet, busy] = [house.guest(at(1)), house.guest(at(2))];
    house.run(1000);
    for (let i = 0; i < 10; i++) {
      house.say(busy, 'still here');
      house.run(1000);
    }
    expect([quiet.client.state, busy.client.state]).toEqual(['closed', 'connected']);
    house.run(20_000);
    expect([busy.client.state, house.listener.connectionCount]).toEqual(['closed', 0]);
  });

  it('a client that starts again from its address replaces its association when it has proved itself (RFC 6347 §4.2.8)', () => {
    const house = new House();
    const first = house.guest(at(1));
    house.run(1000);
    first.leave(); // crashed: no close_notify
    const second = house.guest(at(1));
    house.run(5000);
    expect(second.client.state).toBe('connected');
    expect([house.listener.connectionCount, house.count('accepted'), house.count('removed')]).toEqual([1, 2, 1]);
    house.say(second, 'again');
    expect(second.received).toEqual(['again']);
  });

  it('also when the old one ends in the middle of its handshake', () => {
    const house = new House();
    house.guest(at(1));
    const first = house.guest(at(2));
    house.run(1000);
    first.leave();
    const second = house.guest(at(2));
    house.world.run({ until: house.world.now + 1000, done: () => house.count('accepted') === 3 });
    house.driver.mutate((now) => house.listener.close(2, now));
    house.run(5000);
    expect([second.client.state, house.listener.connectionCount]).toEqual(['connected', 2]);
    house.say(second, 'again');
    expect(second.received).toEqual(['again']);
  });

  it('also when its first handshake never ended', () => {
    const house = new House();
    const first = house.guest(at(1));
    house.world.run({ until: 3.5 }); // the server has just sent its flight
    first.leave();
    const second = house.guest(at(1));
    house.run(60_000);
    expect(second.client.state).toBe('connected');
    house.say(second, 'again');
    expect(second.received).toEqual(['again']);
  });

  it('a forged ClientHello from the address of a client does not disturb it', () => {
    const house = new House();
    const guest = house.guest(at(1));
    house.run(1000);
    const thief = new SimWorld(9);
    const client = new DtlsClient({ env: simEnv(thief, nodeCrypto), verifyPeer: () => undefined });
    client.start(0);
    const slot = { buffer: new Uint8Array(2000), offset: 0, length: 0, path: undefined };
    client.pollTransmit(slot, 0);
    house.driver.input(slot.buffer.slice(0, slot.length), { protocol: 'udp', local: SERVER, remote: at(1) });
    house.run(1000);
    house.say(guest, 'undisturbed');
    expect(guest.received).toEqual(['undisturbed']);
    expect([house.listener.connectionCount, house.count('removed')]).toEqual([1, 0]);
  });

  it('tells a handshake what the path carries, where the system has said so', () => {
    const certificate = { ...SERVER_CERTIFICATE, chain: [new Uint8Array(1500)] };
    const house = new House({ accept: () => ({ certificate }) });
    house.network.setLink(SERVER.ip, at(1).ip, { ...PERFECT, mtuBytes: 548 });
    const guest = house.guest(at(1));
    house.run(100);
    expect(guest.client.state).toBe('connecting');
    house.driver.mutate((now) => {
      house.listener.limitDatagramBytes(1, 548, now);
      house.listener.limitDatagramBytes(99, 548, now); // gone already
    });
    house.run(100);
    expect(guest.client.state).toBe('connected');
  });

  it(`DEFAULT_MAX_CONNECTIONS is ${DEFAULT_MAX_CONNECTIONS}, the default idle time ${DEFAULT_IDLE_TIMEOUT_MS} ms`, () => {
    expect([DEFAULT_MAX_CONNECTIONS, DEFAULT_IDLE_TIMEOUT_MS]).toEqual([10_000, 300_000]);
    const house = new House();
    house.guest(at(1));
    house.run(DEFAULT_IDLE_TIMEOUT_MS);
    expect(house.listener.connectionCount).toBe(1);
    house.run(1000);
    expect(house.listener.connectionCount).toBe(0);
  });

  it('options without sense are refused', () => {
    expect(() => new House({ connectionIdBytes: 3 })).toThrow('connectionIdBytes');
    expect(() => new House({ idleTimeoutMs: 0 })).toThrow('idleTimeoutMs');
  });
});
