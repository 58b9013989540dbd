import { describe, expect, it } from 'vitest';
import type { FiveTuple } from '../../src/core/index.ts';
import { STUN_METHODS, type StunAttribute, stunError } from '../../src/stun/index.ts';
import { MAX_CHALLENGES, MAX_REDIRECTS, TurnClient, type TurnClientOptions } from '../../src/turn/index.ts';
import { allocated, CLIENT, PEER, RELAYED, SERVER, setUp } from './client-harness.ts';
import { FakeTurnServer, failWith } from './fake-server.ts';

const { Allocate, Refresh } = STUN_METHODS;

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

  it('a nonce without measure is not sent back', () => {
    const { client, run, server, events } = setUp();
    server.beforeAuth = () => failWith(401, ['REALM', 'example.org'], ['NONCE', new Uint8Array(764).fill(65)]);
    run(60_000, (now) => client.allocate(now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'bad-response' }]);
    expect(server.seen).toHaveLength(1);
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
      { type: 'failed', reason: 'redirected', alternateServer: OTHER, alternateDomain: undefined },
    ]);
    const tls = setUp({ path: { ...path, protocol: 'tls' } });
    tls.server.answer = () => failWith(300, ['ALTERNATE-SERVER', OTHER], ['ALTERNATE-DOMAIN', 'other.example']);
    tls.run(50_000, (now) => tls.client.allocate(now));
    expect(tls.events).toMatchObject([{ reason: 'redirected', alternateDomain: 'other.example' }]);
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
