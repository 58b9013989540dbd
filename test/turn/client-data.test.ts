import { describe, expect, it } from 'vitest';
import { createTransmitSlot, type FiveTuple, resetTransmitSlot, UsageError } from '../../src/core/index.ts';
import { STUN_METHODS, stunError } from '../../src/stun/index.ts';
import {
  MAX_CLIENT_PEERS,
  MAX_OUTSTANDING_REQUESTS,
  MAX_QUEUED_DATAGRAMS,
  MAX_QUEUED_PER_PEER,
  MAX_SEND_BYTES,
  SEND_INDICATION_HEADROOM,
} from '../../src/turn/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { allocated, CLIENT, PEER, SERVER, setUp } from './client-harness.ts';
import { failWith } from './fake-server.ts';

const { Refresh, CreatePermission, ChannelBind } = STUN_METHODS;

describe('permissions and Send indications (RFC 8656 §9 to §11)', () => {
  it('the first datagram waits for the permission, the others go at once', () => {
    const { run, server, client, events } = allocated();
    run(1, (now) => client.send(PEER, Uint8Array.of(1, 2, 3), now));
    run(100, (now) => client.send({ ...PEER, port: 9001 }, Uint8Array.of(4), now));
    expect(server.methods()).toEqual([CreatePermission]);
    expect(server.received).toEqual([
      { peer: PEER, bytes: Uint8Array.of(1, 2, 3), by: 'send' },
      { peer: { ...PEER, port: 9001 }, bytes: Uint8Array.of(4), by: 'send' },
    ]);
    expect(events).toEqual([{ type: 'permission', ip: PEER.ip }]);
  });

  it('the longest datagram that fits passes, and a longer one is refused at once, not when it is to leave', () => {
    const { run, server, client } = allocated();
    const longest = new Uint8Array(MAX_SEND_BYTES).fill(5);
    run(100, (now) => client.send(PEER, longest, now));
    expect(server.received.map(({ bytes }) => bytes)).toEqual([longest]);
    expect(() => run(0, (now) => client.send(PEER, new Uint8Array(MAX_SEND_BYTES + 1), now))).toThrow(UsageError);
  });

  it('permissions are renewed every four minutes', () => {
    const { run, server, client } = allocated({}, { nonceLifetimeMs: 1e9 });
    run(1000_000, (now) => client.createPermission(PEER, now));
    expect(server.methods().filter((method) => method === CreatePermission)).toHaveLength(5); // 0, 240, 480, 720, 960 s
  });

  it('a refused permission is reported, and may be asked for again', () => {
    const { run, server, client, events } = allocated();
    server.answer = () => failWith(403);
    run(100, (now) => client.send(PEER, new Uint8Array(1), now));
    expect(events).toEqual([{ type: 'permission-failed', ip: PEER.ip, error: stunError(403) }]);
    server.answer = () => undefined;
    run(100, (now) => client.createPermission(PEER, now));
    expect(events.at(-1)).toEqual({ type: 'permission', ip: PEER.ip });
    expect(client.state).toBe('allocated');
  });

  it('443 is reported as such, 437 ends the allocation', () => {
    const a = allocated();
    a.server.answer = () => failWith(443);
    a.run(100, (now) => a.client.createPermission(PEER, now));
    expect(a.events).toMatchObject([{ type: 'permission-failed', error: { code: 443 } }]);
    a.server.answer = () => failWith(437);
    a.run(100, (now) => a.client.createPermission(PEER, now));
    expect(a.events.at(-1)).toMatchObject({ type: 'failed', reason: 'lost' });
  });

  it('data comes from permitted peers only', () => {
    const { run, client, events, fromPeer } = allocated();
    run(100, (now) => client.createPermission(PEER, now));
    events.length = 0;
    fromPeer({ ...PEER, port: 1234 }, Uint8Array.of(7));
    fromPeer({ ip: '192.0.2.66', port: 1 }, Uint8Array.of(8));
    fromPeer(PEER, new Uint8Array(0));
    run(100);
    expect(events).toEqual([
      { type: 'data', peer: { ...PEER, port: 1234 }, bytes: Uint8Array.of(7) },
      { type: 'data', peer: PEER, bytes: new Uint8Array(0) },
    ]);
    expect(client.drops.get('unknown-peer')).toBe(1);
  });

  it('ICMP errors are reported (RFC 8656 §11.6)', () => {
    const { run, client, events, fromPeer } = allocated();
    run(100, (now) => client.createPermission(PEER, now));
    fromPeer(PEER, new Uint8Array(0), [['ICMP', { type: 3, code: 4, data: 1400 }]]);
    run(100);
    expect(events.at(-1)).toEqual({ type: 'icmp', peer: PEER, icmp: { type: 3, code: 4, data: 1400 } });
  });

  it('indications without peer, without data, with unknown attributes, and of other methods are dropped', () => {
    const { run, client, events, fromPeer, inject } = allocated();
    run(100, (now) => client.createPermission(PEER, now));
    events.length = 0;
    fromPeer(PEER, new Uint8Array(0), []);
    fromPeer(PEER, new Uint8Array(0), [['LIFETIME', 1]]);
    const bytes = (type: number, attributes: number[]) =>
      Uint8Array.of(0, type, 0, attributes.length, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12), ...attributes);
    inject(bytes(0x17, [0, 0x13, 0, 0]));
    inject(bytes(0x17, [0x7f, 0xff, 0, 0]));
    inject(bytes(0x16, []));
    run(100);
    expect(events).toEqual([]);
    expect(client.drops.toJSON()).toEqual({ missing: 3, unsupported: 2 });
  });

  it(`keeps ${MAX_QUEUED_PER_PEER} datagrams for a permission, the newest ones`, () => {
    const { run, server, client } = allocated();
    run(100, (now) => {
      for (let i = 0; i < MAX_QUEUED_PER_PEER + 2; i++) client.send(PEER, Uint8Array.of(i), now);
    });
    expect(server.received.map(({ bytes }) => bytes[0])).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(client.drops.toJSON()).toEqual({ limit: 2 });
  });

  it(`keeps ${MAX_QUEUED_DATAGRAMS} datagrams that nobody polls`, () => {
    const { run, client } = allocated();
    run(100, (now) => client.createPermission(PEER, now));
    for (let i = 0; i < MAX_QUEUED_DATAGRAMS + 5; i++) client.send(PEER, Uint8Array.of(i), 200);
    expect(client.drops.toJSON()).toEqual({ limit: 5 });
  });

  it(`has permissions for at most ${MAX_CLIENT_PEERS} addresses, ${MAX_OUTSTANDING_REQUESTS} requests at a time`, () => {
    const { run, server, client, world } = allocated();
    let most = 0;
    server.answer = () => {
      most = Math.max(most, server.seen.filter((request) => request.at === world.now).length);
      return undefined;
    };
    run(5000, (now) => {
      for (let i = 0; i < MAX_CLIENT_PEERS; i++) client.createPermission({ ip: `192.0.2.${i}`, port: 1 }, now);
      expect(() => client.createPermission({ ip: '192.0.3.1', port: 1 }, now)).toThrow('too many peers');
    });
    expect(server.methods()).toHaveLength(MAX_CLIENT_PEERS);
    expect(most).toBe(MAX_OUTSTANDING_REQUESTS);
  });
});

describe('channels (RFC 8656 §12)', () => {
  function bound() {
    const all = allocated();
    all.run(100, (now) => all.client.bindChannel(PEER, now));
    expect(all.events.at(-1)).toEqual({ type: 'channel', peer: PEER, channel: 0x4000 });
    return all;
  }

  it('carry data both ways once bound; before that, Send indications do', () => {
    const { run, server, client, events, fromPeer } = allocated();
    run(100, (now) => client.createPermission(PEER, now));
    run(0, (now) => {
      client.bindChannel(PEER, now);
      client.send(PEER, Uint8Array.of(1), now);
    });
    run(100);
    run(100, (now) => client.send({ ...PEER }, Uint8Array.of(2), now)); // an equal address, another object
    expect(server.received.map(({ bytes, by }) => [bytes[0], by])).toEqual([
      [1, 'send'],
      [2, 'channel'],
    ]);
    fromPeer(PEER, Uint8Array.of(9, 9));
    run(100);
    expect(events.at(-1)).toEqual({ type: 'data', peer: PEER, bytes: Uint8Array.of(9, 9) });
  });

  it('are renewed every nine minutes, and each peer has one number', () => {
    const { run, server, client } = bound();
    run(1200_000, (now) => {
      client.bindChannel(PEER, now);
      client.bindChannel({ ...PEER, port: 7 }, now);
    });
    const numbers = server.seen.filter((r) => r.method === ChannelBind).map((r) => r.message.get('CHANNEL-NUMBER'));
    expect(numbers).toEqual([0x4000, 0x4001, 0x4000, 0x4001, 0x4000, 0x4001]);
  });

  it('out of sync with the server (400 to a refresh) end the allocation, which is given back first (RFC 8656 §12.3)', () => {
    const { run, server, client, events } = bound();
    server.answer = ({ method }) => (method === ChannelBind ? failWith(400) : undefined);
    run(541_000);
    expect(server.seen.at(-1)).toMatchObject({ method: Refresh });
    expect(server.seen.at(-1)!.message.get('LIFETIME')).toBe(0);
    expect(server.allocated).toBe(false);
    expect(events.at(-1)).toMatchObject({ type: 'failed', reason: 'out-of-sync', error: { code: 400 } });
    expect(events.filter(({ type }) => type === 'closed' || type === 'failed')).toHaveLength(1);
    expect(client.state).toBe('failed');
  });

  it('out of sync, and no answer to the farewell: it ends all the same', () => {
    const { run, server, events } = bound();
    server.answer = ({ method }) =>
      method === ChannelBind ? failWith(400) : method === Refresh ? 'silence' : undefined;
    run(650_000);
    expect(events.at(-1)).toMatchObject({ type: 'failed', reason: 'out-of-sync' });
  });

  it.each([403, 508] as const)('whose refresh meets %i leave the indications', (code) => {
    const { run, server, client, events } = bound();
    server.answer = ({ method }) => (method === ChannelBind ? failWith(code) : undefined);
    run(541_000);
    expect(events.at(-1)).toMatchObject({ type: 'channel-failed', error: { code } });
    expect(client.state).toBe('allocated');
  });

  it('a refusal leaves the indications', () => {
    const { run, server, client, events } = allocated();
    server.answer = ({ method }) => (method === ChannelBind ? failWith(400) : undefined);
    run(100, (now) => client.bindChannel(PEER, now));
    expect(events.at(-1)).toEqual({ type: 'channel-failed', peer: PEER, error: stunError(400) });
    run(100, (now) => client.send(PEER, Uint8Array.of(1), now));
    expect(server.received.at(-1)?.by).toBe('send');
  });

  it.each([
    ['an unbound channel', [0x40, 0x09, 0, 0], 'unknown-peer'],
    ['fewer bytes than claimed', [0x40, 0x00, 0, 5, 1], 'too-short'],
    ['half a header', [0x40, 0x00, 0], 'too-short'],
    ['more than padding behind', [0x40, 0x00, 0, 1, 1, 0, 0, 0, 0], 'trailing-bytes'],
    ['a reserved number', [0x50, 0x00, 0, 0], 'bad-type'],
  ] as const)('ChannelData with %s is dropped', (_name, bytes, reason) => {
    const { run, client, events, inject } = bound();
    events.length = 0;
    inject(Uint8Array.from(bytes));
    run(100);
    expect(events).toEqual([]);
    expect(client.drops.get(reason)).toBe(1);
  });

  it('wraps in place: 4 bytes over a channel, 36 or 48 without, padded on streams', () => {
    const { client, run } = bound();
    const slot = createTransmitSlot<FiveTuple>(1200);
    const put = () => {
      resetTransmitSlot(slot);
      slot.buffer.set([1, 2, 3, 4, 5], slot.offset);
      slot.length = 5;
    };
    put();
    const { offset } = slot;
    expect(client.wrapInPlace(slot, PEER)).toBe(true);
    expect([slot.offset, slot.length]).toEqual([offset - 4, 9]);
    expect(slot.path?.remote).toEqual(SERVER);
    run(100, (now) => client.createPermission({ ip: '192.0.2.10', port: 1 }, now));
    put();
    expect(client.wrapInPlace(slot, { ip: '192.0.2.10', port: 4 })).toBe(true);
    expect([slot.offset, slot.length]).toEqual([offset - 36, 36 + 8]);
    put();
    expect(client.wrapInPlace(slot, { ip: '192.0.2.11', port: 4 })).toBe(false);
    expect([slot.offset, slot.length]).toEqual([offset, 5]);
    slot.offset = SEND_INDICATION_HEADROOM - 20;
    expect(() => client.wrapInPlace(slot, { ip: '192.0.2.10', port: 4 })).toThrow('no room');
  });
});

describe('anything the network may bring', () => {
  it('random and mutated datagrams throw nothing and change nothing', () => {
    const { client, run, driver, events } = allocated();
    run(100, (now) => client.bindChannel(PEER, now));
    events.length = 0;
    const random = new SeededRandom(5);
    const path: FiveTuple = { protocol: 'udp', local: CLIENT, remote: SERVER };
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.bytes(random.below(60));
      if (bytes.length >= 20 && random.chance(0.7)) {
        bytes.set([random.below(2), random.below(32), 0, bytes.length - 20, 0x21, 0x12, 0xa4, 0x42]);
      }
      driver.input(bytes, path);
    }
    expect(events.filter((event) => event.type !== 'data')).toEqual([]);
    expect(client.state).toBe('allocated');
    expect(client.drops.total).toBeGreaterThan(10_000);
  });

  it('after the end everything is dropped', () => {
    const { client, run, driver } = allocated();
    run(100, (now) => client.close(now));
    driver.input(new Uint8Array(20), { protocol: 'udp', local: CLIENT, remote: SERVER });
    expect(client.drops.get('closed')).toBe(1);
  });

  it.each(seeds(100))(
    'seed %i: a loss of 0.3, duplication and reordering: allocation, channel, data, renewals, close',
    (seed) => {
      const link = { latencyMs: 40, jitterMs: 120, loss: 0.3, duplicate: 0.1, reorder: 0.1 };
      const { client, run, server, events, world } = setUp({}, { nonceLifetimeMs: 300_000 }, link, seed);
      run(80_000, (now) => client.allocate(now));
      if (client.state === 'allocated') {
        run(45_000, (now) => client.bindChannel(PEER, now));
        for (let i = 0; i < 20; i++)
          run(1000, (now) => client.state === 'allocated' && client.send(PEER, Uint8Array.of(i), now));
        run(1800_000);
        if (client.state === 'allocated')
          expect(server.methods().filter((m) => m === Refresh).length).toBeGreaterThan(2);
        for (const { bytes } of server.received) expect(bytes).toHaveLength(1);
      }
      run(300_000, (now) => client.close(now)); // 79 times a learned RTO
      expect(['closed', 'failed']).toContain(client.state);
      expect(events.filter((event) => event.type === 'closed' || event.type === 'failed')).toHaveLength(1);
      world.run();
      expect(client.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
    },
  );
});
