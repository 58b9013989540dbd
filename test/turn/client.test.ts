import { describe, expect, it } from 'vitest';
import {
  createTransmitSlot,
  type FiveTuple,
  type Instant,
  resetTransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { type LongTermServerOptions, STUN_METHODS, type StunAttribute, stunError } from '../../src/stun/index.ts';
import {
  MAX_CHALLENGES,
  MAX_CLIENT_PEERS,
  MAX_OUTSTANDING_REQUESTS,
  MAX_QUEUED_DATAGRAMS,
  MAX_QUEUED_PER_PEER,
  MAX_REDIRECTS,
  SEND_INDICATION_HEADROOM,
  TurnClient,
  type TurnClientEvent,
  type TurnClientOptions,
} from '../../src/turn/index.ts';
import { type LinkOptions, PERFECT, SeededRandom, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { FakeTurnServer, failWith } from './fake-server.ts';

const CLIENT = { ip: '198.51.100.7', port: 40_000 };
const SERVER = { ip: '203.0.113.1', port: 3478 };
const RELAYED = { ip: '203.0.113.50', port: 50_000 };
const PEER = { ip: '192.0.2.9', port: 9000 };
const { Allocate, Refresh, CreatePermission, ChannelBind } = STUN_METHODS;

function setUp(
  options: Partial<TurnClientOptions> = {},
  auth: Partial<LongTermServerOptions> = {},
  link: LinkOptions = PERFECT,
  seed = 1,
) {
  const world = new SimWorld(seed);
  const network = new SimNetwork(world, link);
  const env = simEnv(world, nobleCrypto);
  const findUser = (name: string) => (name === 'alice' ? { username: 'alice', password: 'secret' } : undefined);
  const server = new FakeTurnServer({ env, realm: 'example.org', findUser, ...auth });
  const attached = network.attach(server, [SERVER], () => undefined);
  const path: FiveTuple = { protocol: 'udp', local: CLIENT, remote: SERVER };
  const client = new TurnClient({ env, path, username: 'alice', password: 'secret', ...options });
  const events: TurnClientEvent[] = [];
  const at: Instant[] = [];
  const { driver } = network.attach(client, [CLIENT], (event) => {
    events.push(event.type === 'data' ? { ...event, bytes: event.bytes.slice() } : event);
    at.push(world.now);
  });
  /** A command of the client, then everything that follows within `ms`. */
  const run = (ms: number, command?: (now: Instant) => void) => {
    if (command !== undefined) driver.mutate(command);
    world.run({ until: world.now + ms });
  };
  const fromPeer = (peer: TransportAddress, bytes: Uint8Array, extra?: readonly StunAttribute[]) => {
    server.sendFromPeer(peer, bytes, extra);
    attached.driver.drain();
  };
  const inject = (bytes: Uint8Array) => {
    server.inject(bytes);
    attached.driver.drain();
  };
  return { world, network, env, server, client, events, at, driver, run, fromPeer, inject };
}

/** A client that has its allocation. */
function allocated(...parameters: Parameters<typeof setUp>) {
  const all = setUp(...parameters);
  all.run(1000, (now) => all.client.allocate(now));
  expect(all.client.state).toBe('allocated');
  all.events.length = 0;
  all.server.seen.length = 0;
  return all;
}

describe('Allocate (RFC 8656 §7)', () => {
  it('is challenged, signs with SHA-256, and learns relayed and mapped address', () => {
    const { client, events, run, server } = setUp();
    run(1000, (now) => client.allocate(now));
    expect(server.seen.map((request) => [request.method, request.signed])).toEqual([
      [Allocate, false],
      [Allocate, true],
    ]);
    expect(server.seen[0]!.message.attributeTypes).toEqual([0x0019]); // REQUESTED-TRANSPORT and nothing else
    expect(server.seen[1]!.message.get('REQUESTED-TRANSPORT')).toBe(17);
    expect(server.seen[1]!.message.get('PASSWORD-ALGORITHM')?.algorithm).toBe(2);
    expect(events).toEqual([
      {
        type: 'allocated',
        relayed: [RELAYED],
        mapped: CLIENT,
        lifetimeS: 600,
        reservationToken: undefined,
        addressError: undefined,
      },
    ]);
    expect(client.relayedAddresses).toEqual([RELAYED]);
  });

  it('asks for what it was told to', () => {
    const { client, run, server } = setUp({
      evenPort: 'reserve-next',
      lifetimeS: 1800,
      dontFragment: true,
      software: 'x',
    });
    run(1000, (now) => client.allocate(now));
    const { message } = server.seen[1]!;
    expect(message.get('EVEN-PORT')).toBe(true);
    expect(message.get('LIFETIME')).toBe(1800);
    expect(message.get('DONT-FRAGMENT')).toBe(true);
    expect(message.get('SOFTWARE')).toBe('x');
  });

  it('reports a dual allocation, its token and its partial failure', () => {
    const { client, run, server, events } = setUp({ additionalFamily: true });
    server.answer = () => ({
      success: [
        ['XOR-RELAYED-ADDRESS', { ip: '2001:db8::5', port: 50_001 }],
        ['XOR-RELAYED-ADDRESS', RELAYED],
        ['LIFETIME', 600],
        ['XOR-MAPPED-ADDRESS', CLIENT],
        ['RESERVATION-TOKEN', new Uint8Array(8).fill(3)],
        ['ADDRESS-ERROR-CODE', { family: 6, code: 440, reason: '' }],
      ],
    });
    run(1000, (now) => client.allocate(now));
    expect(server.seen[1]!.message.get('ADDITIONAL-ADDRESS-FAMILY')).toBe(6);
    expect(events).toMatchObject([
      {
        relayed: [RELAYED, { ip: '2001:db8::5', port: 50_001 }],
        reservationToken: new Uint8Array(8).fill(3),
        addressError: { family: 6, code: 440 },
      },
    ]);
  });

  it('asks for IPv6, and with a token for the reserved port', () => {
    const six = setUp({ requestedFamily: 6 });
    six.run(1000, (now) => six.client.allocate(now));
    expect(six.server.seen[1]!.message.get('REQUESTED-ADDRESS-FAMILY')).toBe(6);
    const token = setUp({ reservationToken: new Uint8Array(8).fill(5) });
    token.run(1000, (now) => token.client.allocate(now));
    expect(token.server.seen[1]!.message.get('RESERVATION-TOKEN')).toEqual(new Uint8Array(8).fill(5));
  });

  it.each([
    { additionalFamily: true, requestedFamily: 4 },
    { additionalFamily: true, evenPort: 'reserve-next' },
    { reservationToken: new Uint8Array(8), evenPort: 'even' },
    { reservationToken: new Uint8Array(8), requestedFamily: 6 },
    { username: '\u0000' },
  ] as const)('refuses the combination %j', (options) => {
    expect(() => setUp(options)).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });

  it.each([
    ['a wrong password', { password: 'wrong' }, 'wrong-credentials'],
    ['an unknown user', { username: 'bob' }, 'wrong-credentials'],
  ] as const)('%s fails after one try', (_name, options, reason) => {
    const { client, run, server, events } = setUp(options);
    run(60_000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason, error: { code: 401 } }]);
    expect(server.seen).toHaveLength(2);
    expect(client.state).toBe('failed');
  });

  it.each([
    [400, 'rejected', 0],
    [403, 'rejected', 0],
    [437, 'address-in-use', 120_000],
    [440, 'rejected', 0],
    [441, 'wrong-credentials', 0],
    [442, 'rejected', 0],
    [486, 'rejected', 60_000],
    [500, 'rejected', 0],
    [508, 'rejected', 60_000],
  ] as const)('%i is final: %s, wait %i ms (RFC 8656 §7.4)', (code, reason, retryAfterMs) => {
    const { client, run, server, events } = setUp();
    server.answer = () => failWith(code);
    run(60_000, (now) => client.allocate(now));
    expect(events).toEqual([
      { type: 'failed', reason, error: stunError(code), alternateServer: undefined, retryAfterMs },
    ]);
    expect(server.seen).toHaveLength(2);
  });

  it('a server that cannot set DF is asked again without DONT-FRAGMENT', () => {
    const { client, run, server, events } = setUp({ dontFragment: true });
    server.answer = ({ message }) =>
      message.has('DONT-FRAGMENT') ? failWith(420, ['UNKNOWN-ATTRIBUTES', [0x001a]]) : undefined;
    run(1000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'allocated' }]);
    expect(server.seen).toHaveLength(3);
  });

  it(`a server that only ever says 438 is given up after ${MAX_CHALLENGES} more tries`, () => {
    const { client, run, server, events } = setUp();
    const challenge: StunAttribute[] = [
      ['REALM', 'example.org'],
      ['NONCE', new Uint8Array(9).fill(65)],
    ];
    server.beforeAuth = () => failWith(438, ...challenge);
    run(60_000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'wrong-credentials', error: { code: 438 } }]);
    expect(server.seen).toHaveLength(1 + MAX_CHALLENGES);
  });

  it('a challenge with its algorithms taken out is refused', () => {
    const { client, run, server, events } = setUp();
    const nonce = new TextEncoder().encode('obMatJos2gAAAnonce');
    server.beforeAuth = () => failWith(401, ['REALM', 'example.org'], ['NONCE', nonce]);
    run(60_000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'bid-down' }]);
  });

  it('no answer fails after 39.5 s', () => {
    const { client, run, server, events, at } = setUp();
    server.beforeAuth = () => 'silence';
    run(60_000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'timeout', error: undefined }]);
    expect(at).toEqual([39_500]);
    expect(server.seen).toHaveLength(7);
  });

  it.each([
    [
      'without a relayed address',
      [
        ['LIFETIME', 600],
        ['XOR-MAPPED-ADDRESS', CLIENT],
      ],
    ],
    [
      'without a lifetime',
      [
        ['XOR-RELAYED-ADDRESS', RELAYED],
        ['XOR-MAPPED-ADDRESS', CLIENT],
      ],
    ],
    [
      'without a mapped address',
      [
        ['XOR-RELAYED-ADDRESS', RELAYED],
        ['LIFETIME', 600],
      ],
    ],
  ] as [string, StunAttribute[]][])('a success %s makes no sense', (_name, success) => {
    const { client, run, server, events } = setUp();
    server.answer = () => ({ success });
    run(1000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'bad-response' }]);
    expect(client.drops.get('missing')).toBe(1);
  });

  it('answers that are not signed are not believed', () => {
    const { client, run, server, events } = setUp();
    let n = 0;
    server.answer = () => (n++ === 0 ? { success: [['LIFETIME', 600]], unsigned: true } : undefined);
    run(60_000, (now) => client.allocate(now));
    expect(client.drops.get('bad-integrity')).toBeGreaterThan(0);
    expect(events).toMatchObject([{ type: 'failed', reason: 'timeout' }]);
  });

  it('one client, one allocation', () => {
    const { client } = allocated();
    expect(() => client.allocate(0)).toThrow('one allocation');
    expect(() => setUp().client.send(PEER, new Uint8Array(1), 0)).toThrow('no allocation');
    expect(() => client.send({ ip: '2001:db8::1', port: 1 }, new Uint8Array(1), 0)).toThrow('no IPv6');
  });
});

describe('300 Try Alternate (RFC 8489 §10, §14.8)', () => {
  const OTHER = { ip: '203.0.113.2', port: 3478 };

  function redirected(unsigned: boolean, options: Partial<TurnClientOptions> = {}, alternate = OTHER) {
    const all = setUp(options);
    const findUser = () => ({ username: 'alice', password: 'secret' });
    const second = new FakeTurnServer({ env: all.env, realm: 'other.example', findUser });
    all.network.attach(second, [OTHER], () => undefined);
    const answer = failWith(300, ['ALTERNATE-SERVER', { ip: '2001:db8::1', port: 1 }], ['ALTERNATE-SERVER', alternate]);
    if (unsigned) all.server.beforeAuth = () => answer;
    else all.server.answer = () => answer;
    all.run(50_000, (now) => all.client.allocate(now));
    return { ...all, second };
  }

  it('signed, it is followed from the same socket with the same credentials', () => {
    const { client, events, second } = redirected(false);
    expect(events).toMatchObject([{ type: 'allocated' }]);
    expect(client.path.remote).toEqual(OTHER);
    expect(second.seen.at(-1)!.message.get('USERNAME')).toBe('alice');
  });

  it('unsigned, it is followed only when the caller says so', () => {
    expect(redirected(true).events).toMatchObject([{ type: 'failed', reason: 'rejected', error: { code: 300 } }]);
    expect(redirected(true, { followUnsignedRedirects: true }).events).toMatchObject([{ type: 'allocated' }]);
  });

  it('back to a server that was tried is a loop, and ends', () => {
    expect(redirected(false, {}, SERVER).events).toMatchObject([{ type: 'failed', reason: 'rejected' }]);
  });

  it('over TCP the caller opens the other connection', () => {
    const path: FiveTuple = { protocol: 'tcp', local: CLIENT, remote: SERVER };
    expect(redirected(false, { path }).events).toMatchObject([
      { type: 'failed', reason: 'redirected', alternateServer: OTHER },
    ]);
  });

  it(`at most ${MAX_REDIRECTS} times`, () => {
    const all = setUp();
    const seen: number[] = [];
    for (let i = 0; i < 8; i++) {
      const findUser = () => ({ username: 'alice', password: 'secret' });
      const server = i === 0 ? all.server : new FakeTurnServer({ env: all.env, realm: `r${i}`, findUser });
      server.answer = () => {
        seen.push(i);
        return failWith(300, ['ALTERNATE-SERVER', { ip: `203.0.113.${100 + i}`, port: 3478 }]);
      };
      if (i > 0) all.network.attach(server, [{ ip: `203.0.113.${99 + i}`, port: 3478 }], () => undefined);
    }
    all.run(50_000, (now) => all.client.allocate(now));
    expect(all.events).toMatchObject([{ type: 'failed', reason: 'rejected', error: { code: 300 } }]);
    expect(seen).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('Refresh (RFC 8656 §8)', () => {
  it('comes one minute before the lifetime ends, for ever', () => {
    const { run, server } = allocated({}, { nonceLifetimeMs: 1e9 });
    run(1800_000);
    expect(server.methods()).toEqual([Refresh, Refresh, Refresh]);
    const [first, second] = server.seen;
    expect(first!.at).toBeGreaterThan(539_000);
    expect(first!.at).toBeLessThan(541_000);
    expect(second!.at - first!.at).toBeCloseTo(540_000, -2);
  });

  it('comes half-way through a short lifetime', () => {
    const { world, network, env, events } = setUp();
    const server = new FakeTurnServer({ env, realm: 'r', findUser: () => ({ username: 'alice', password: 'secret' }) });
    server.lifetimeS = 30;
    const remote = { ip: '203.0.113.3', port: 3478 };
    const local = { ip: CLIENT.ip, port: 41_000 };
    network.attach(server, [remote], () => undefined);
    const client = new TurnClient({
      env,
      path: { protocol: 'udp', local, remote },
      username: 'alice',
      password: 'secret',
    });
    const { driver } = network.attach(client, [local], (event) => events.push(event));
    driver.mutate((now) => client.allocate(now));
    world.run({ until: 100_000 });
    expect(server.methods().filter((method) => method === Refresh)).toHaveLength(6);
    expect(client.state).toBe('allocated');
  });

  it('survives nonces that expire meanwhile', () => {
    const { run, server, client } = allocated({}, { nonceLifetimeMs: 60_000 });
    run(1800_000);
    expect(client.state).toBe('allocated');
    expect(server.methods()).toEqual([Refresh, Refresh, Refresh, Refresh, Refresh, Refresh]); // each one 438 first
  });

  it('437 means that the allocation is gone', () => {
    const { run, server, events, client } = allocated();
    server.answer = () => failWith(437);
    run(600_000);
    expect(events).toMatchObject([{ type: 'failed', reason: 'lost' }]);
    expect(client.relayedAddresses).toEqual([]);
  });

  it('441 is about credentials, and silence is a timeout', () => {
    const a = allocated();
    a.server.answer = () => failWith(441);
    a.run(600_000);
    expect(a.events).toMatchObject([{ type: 'failed', reason: 'wrong-credentials' }]);
    const b = allocated();
    b.server.beforeAuth = () => 'silence';
    b.run(600_000);
    expect(b.events).toMatchObject([{ type: 'failed', reason: 'timeout' }]);
  });

  it('close deletes it, and reports when that is confirmed', () => {
    const { run, server, events, client } = allocated();
    run(100, (now) => client.close(now));
    expect(server.seen.map((request) => request.message.get('LIFETIME'))).toEqual([0]);
    expect(events).toEqual([{ type: 'closed' }]);
    expect(server.allocated).toBe(false);
    run(1e6, (now) => client.close(now)); // idempotent, and no timer is left
    expect(events).toHaveLength(1);
    expect(client.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it.each(['437', 'silence'] as const)('close ends with %s too', (what) => {
    const { run, server, events, client } = allocated();
    server.answer = () => (what === '437' ? failWith(437) : 'silence');
    run(50_000, (now) => client.close(now));
    expect(events).toEqual([{ type: 'closed' }]);
  });

  it('close before there is an allocation is at once', () => {
    const { client, run, events } = setUp();
    run(0, (now) => client.close(now));
    expect(events).toEqual([{ type: 'closed' }]);
    const second = setUp();
    second.run(0, (now) => {
      second.client.allocate(now);
      second.client.close(now);
    });
    second.run(60_000);
    expect(second.events).toEqual([{ type: 'closed' }]);
    expect(second.server.seen).toHaveLength(0);
  });
});

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
