import { describe, expect, it } from 'vitest';
import { formatFiveTuple } from '../../../src/core/index.ts';
import { decodeStun, STUN_ATTRIBUTES } from '../../../src/stun/index.ts';
import { makeRestCredentials } from '../../../src/turn/server/index.ts';
import { SIM_EPOCH_MS } from '../../sim/index.ts';
import {
  type Attribute,
  allocated,
  codeOf,
  PEER,
  PEER6,
  RELAY_IP,
  RELAY_IP6,
  TestClient,
  TestServer,
} from './harness.ts';

const TOKEN = new Uint8Array(8);

describe('Allocate (RFC 8656 §7.2)', () => {
  it('gives a relayed address in the port range, the mapped address and the default lifetime', () => {
    const { server, client } = allocated({ minPort: 50_000, maxPort: 50_003 });
    const answer = decodeStun(server.sent.at(-1)!.bytes);
    expect(answer.messageClass).toBe('success');
    expect(answer.require('XOR-RELAYED-ADDRESS').ip).toBe(RELAY_IP);
    expect(answer.require('XOR-RELAYED-ADDRESS').port).toBeGreaterThanOrEqual(50_000);
    expect(answer.require('XOR-RELAYED-ADDRESS').port).toBeLessThanOrEqual(50_003);
    expect(answer.require('XOR-MAPPED-ADDRESS')).toEqual(client.path.remote);
    expect(answer.require('LIFETIME')).toBe(600);
    expect(client.credentials.verify(answer)).toBe(true);
    expect(server.events).toContainEqual(expect.objectContaining({ type: 'allocated', username: 'ada' }));
  });

  it.each<[number | undefined, number]>([
    [undefined, 600],
    [0, 600],
    [60, 600],
    [1200, 1200],
    [0xffff_ffff, 3600],
  ])('a wish for %s s gets %s s', (wish, granted) => {
    const client = new TestClient(new TestServer());
    const answer = client.allocate(wish === undefined ? [] : [['LIFETIME', wish]]);
    expect(answer.require('LIFETIME')).toBe(granted);
  });

  it.each<[string, Attribute[], number]>([
    ['no transport', [], 400],
    ['TCP', [['REQUESTED-TRANSPORT', 6]], 442],
    ['SCTP', [['REQUESTED-TRANSPORT', 132]], 442],
    [
      'both families',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['REQUESTED-ADDRESS-FAMILY', 6],
        ['ADDITIONAL-ADDRESS-FAMILY', 6],
      ],
      400,
    ],
    [
      'additional IPv4',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['ADDITIONAL-ADDRESS-FAMILY', 4],
      ],
      400,
    ],
    [
      'pair and additional family',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['EVEN-PORT', true],
        ['ADDITIONAL-ADDRESS-FAMILY', 6],
      ],
      400,
    ],
    [
      'token and even port',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['RESERVATION-TOKEN', TOKEN],
        ['EVEN-PORT', false],
      ],
      400,
    ],
    [
      'token and family',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['RESERVATION-TOKEN', TOKEN],
        ['REQUESTED-ADDRESS-FAMILY', 4],
      ],
      400,
    ],
    [
      'unknown token',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['RESERVATION-TOKEN', TOKEN],
      ],
      508,
    ],
    [
      'DONT-FRAGMENT',
      [
        ['REQUESTED-TRANSPORT', 17],
        ['DONT-FRAGMENT', true],
      ],
      420,
    ],
  ])('refuses %s', (_, attributes, code) => {
    const server = new TestServer();
    const answer = new TestClient(server).request('Allocate', attributes);
    expect(codeOf(answer)).toBe(code);
    expect(server.core.stats).toMatchObject({ allocations: 0, relays: 0 });
    if (code === 420) expect(answer.require('UNKNOWN-ATTRIBUTES')).toEqual([STUN_ATTRIBUTES['DONT-FRAGMENT'].type]);
  });

  it('allows DONT-FRAGMENT where the shell can set the bit', () => {
    const client = new TestClient(new TestServer({ dontFragment: true }));
    expect(codeOf(client.allocate([['DONT-FRAGMENT', true]]))).toBe(0);
  });

  // RFC 8656 §3.7: from IPv4 to IPv6 it cannot be told what the client's own packets ask for.
  it.each([
    ['IPv4 over UDP', { remote: { ip: '198.51.100.9', port: 40_000 } }, 420],
    ['IPv4 over TCP', { remote: { ip: '198.51.100.9', port: 40_000 }, protocol: 'tcp' }, 0],
    ['IPv6 over UDP', { remote: { ip: '2001:db8:9::9', port: 40_000 } }, 0],
  ] as const)('DONT-FRAGMENT for an IPv6 relay of a client on %s: %s', (_, options, code) => {
    const client = new TestClient(new TestServer({ dontFragment: true }), options);
    const answer = client.allocate([
      ['REQUESTED-ADDRESS-FAMILY', 6],
      ['DONT-FRAGMENT', true],
    ]);
    expect(codeOf(answer)).toBe(code);
  });

  it('a retransmission gets the same answer, another request on the 5-tuple 437', () => {
    const { server, client, relayed } = allocated();
    const [again] = server.input(client.lastRequest, client.path);
    expect(decodeStun(again!.bytes).require('XOR-RELAYED-ADDRESS')).toEqual(relayed);
    expect(server.core.stats.allocations).toBe(1);
    expect(codeOf(client.allocate())).toBe(437);
  });

  it('a retransmission while the socket is being opened is answered once, when it is open', () => {
    const server = new TestServer();
    server.holdRelays = true;
    const client = new TestClient(server);
    expect(() => client.allocate()).toThrow('no answer');
    expect(server.input(client.lastRequest, client.path)).toEqual([]);
    expect(server.drops('duplicate')).toBe(1);
    const before = server.sent.length;
    server.answerRelays();
    expect(server.sent.length).toBe(before + 1);
    expect(decodeStun(server.sent.at(-1)!.bytes).messageClass).toBe('success');
  });

  it('a client that hangs up while its socket is being opened leaves nothing behind', () => {
    const server = new TestServer();
    server.holdRelays = true;
    const client = new TestClient(server, { protocol: 'tcp' });
    expect(() => client.allocate()).toThrow('no answer');
    server.core.pathClosed(client.path, server.now);
    server.answerRelays();
    expect(server.sockets.size).toBe(0);
    expect(server.core.stats).toMatchObject({ allocations: 0, relays: 0 });
  });

  it('tries another port when one is taken by another program, and gives up with 508', () => {
    const server = new TestServer();
    server.refusePort = () => server.asked.length < 3;
    expect(codeOf(new TestClient(server).allocate())).toBe(0);
    expect(new Set(server.asked).size).toBe(3);

    server.refusePort = () => true;
    const second = new TestClient(server, { remote: { ip: '198.51.100.9', port: 40_001 } });
    expect(codeOf(second.allocate())).toBe(508);
    expect(server.core.stats).toMatchObject({ allocations: 1, relays: 1 });
  });

  it('an exhausted port range is 508, and a released port is used again', () => {
    const server = new TestServer({ minPort: 50_000, maxPort: 50_001 });
    const clients = [1, 2, 3].map((port) => new TestClient(server, { remote: { ip: '198.51.100.9', port } }));
    expect(clients.map((client) => codeOf(client.allocate()))).toEqual([0, 0, 508]);
    expect(codeOf(clients[0]!.request('Refresh', [['LIFETIME', 0]]))).toBe(0);
    expect(codeOf(clients[2]!.allocate())).toBe(0);
  });

  it('refuses clients behind Teredo and 6to4 (RFC 8656 §21.4)', () => {
    for (const ip of ['2002:c000:201::1', '2001:0:c000:201::1']) {
      expect(codeOf(new TestClient(new TestServer(), { remote: { ip, port: 1 } }).allocate())).toBe(403);
    }
  });
});

describe('address families', () => {
  it('gives IPv6 where asked, IPv4 by default, and 440 for a family it does not have', () => {
    const server = new TestServer();
    const answer = new TestClient(server).allocate([['REQUESTED-ADDRESS-FAMILY', 6]]);
    expect(answer.require('XOR-RELAYED-ADDRESS').ip).toBe(RELAY_IP6);
    const only4 = new TestClient(new TestServer({ relayAddresses: [{ ip: RELAY_IP }] }));
    expect(codeOf(only4.allocate([['REQUESTED-ADDRESS-FAMILY', 6]]))).toBe(440);
    const only6 = new TestClient(new TestServer({ relayAddresses: [{ ip: RELAY_IP6 }] }));
    expect(codeOf(only6.allocate())).toBe(440);
  });

  it('a dual allocation has both, and each can be deleted alone', () => {
    const server = new TestServer();
    const client = new TestClient(server);
    const answer = client.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    expect(answer.getAll('XOR-RELAYED-ADDRESS').map(({ ip }) => ip)).toEqual([RELAY_IP, RELAY_IP6]);
    expect(codeOf(client.permit(PEER, PEER6))).toBe(0);
    expect(codeOf(client.bind(0x4000, PEER))).toBe(0);
    expect(codeOf(client.bind(0x4001, PEER6))).toBe(0);
    const remove6: Attribute[] = [
      ['LIFETIME', 0],
      ['REQUESTED-ADDRESS-FAMILY', 6],
    ];
    expect(codeOf(client.request('Refresh', remove6))).toBe(0);
    expect(codeOf(client.request('Refresh', remove6))).toBe(443);
    expect(client.channelData(0x4000, Uint8Array.of(1))).toHaveLength(1);
    expect(client.channelData(0x4001, Uint8Array.of(1))).toHaveLength(0);
    expect(codeOf(client.permit(PEER6))).toBe(443);
    expect(server.core.stats).toMatchObject({ allocations: 1, relays: 1 });
  });

  it('half a dual allocation says why: 440 without the family, 508 without a port', () => {
    const without6 = new TestClient(new TestServer({ relayAddresses: [{ ip: RELAY_IP }] }));
    const answer = without6.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    expect(answer.require('ADDRESS-ERROR-CODE')).toMatchObject({ family: 6, code: 440 });
    const server = new TestServer({ minPort: 50_000, maxPort: 50_001 });
    new TestClient(server, { remote: { ip: '198.51.100.1', port: 1 } }).allocate([['REQUESTED-ADDRESS-FAMILY', 6]]);
    new TestClient(server, { remote: { ip: '198.51.100.1', port: 2 } }).allocate([['REQUESTED-ADDRESS-FAMILY', 6]]);
    const full = new TestClient(server).allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    expect(full.require('ADDRESS-ERROR-CODE')).toMatchObject({ family: 6, code: 508 });
    expect(full.getAll('XOR-RELAYED-ADDRESS')).toHaveLength(1);
  });

  it('tells clients the external address of a server behind a one-to-one NAT', () => {
    const server = new TestServer({ relayAddresses: [{ ip: '10.0.0.5', externalIp: '203.0.113.99' }] });
    const answer = new TestClient(server).allocate();
    expect(answer.require('XOR-RELAYED-ADDRESS').ip).toBe('203.0.113.99');
    expect([...server.sockets.values()][0]?.ip).toBe('10.0.0.5');
  });
});

describe('EVEN-PORT and RESERVATION-TOKEN', () => {
  it('gives an even port', () => {
    for (let i = 0; i < 8; i++) {
      const answer = new TestClient(new TestServer({ minPort: 50_001 + i })).allocate([['EVEN-PORT', false]]);
      expect(answer.require('XOR-RELAYED-ADDRESS').port % 2).toBe(0);
    }
  });

  it('holds the next port for the token, which works once and from any client', () => {
    const server = new TestServer();
    const first = new TestClient(server).allocate([['EVEN-PORT', true]]);
    const token = first.require('RESERVATION-TOKEN');
    expect(server.core.stats).toMatchObject({ relays: 2, reservations: 1 });
    const second = new TestClient(server, { remote: { ip: '198.51.100.77', port: 5 } });
    const claimed = second.allocate([['RESERVATION-TOKEN', token]]);
    expect(claimed.require('XOR-RELAYED-ADDRESS').port).toBe(first.require('XOR-RELAYED-ADDRESS').port + 1);
    const third = new TestClient(server, { remote: { ip: '198.51.100.77', port: 6 } });
    expect(codeOf(third.allocate([['RESERVATION-TOKEN', token]]))).toBe(508);
  });

  it('lets a reservation go after 30 s, and drops what arrives at it before', () => {
    const server = new TestServer();
    const answer = new TestClient(server).allocate([['EVEN-PORT', true]]);
    const { ip, port } = answer.require('XOR-RELAYED-ADDRESS');
    expect(server.fromPeer({ ip, port: port + 1 }, PEER, Uint8Array.of(1))).toEqual([]);
    server.advance(29_999);
    expect(server.core.stats.reservations).toBe(1);
    server.advance(1);
    expect(server.core.stats).toMatchObject({ reservations: 0, relays: 1 });
    expect(server.sockets.size).toBe(1);
  });

  it('tries another pair when one of the two ports is taken', () => {
    const server = new TestServer();
    server.refusePort = (port) => server.asked.length <= 2 && port % 2 === 1;
    const answer = new TestClient(server).allocate([['EVEN-PORT', true]]);
    expect(answer.has('RESERVATION-TOKEN')).toBe(true);
    expect(server.asked).toHaveLength(4);
    expect(server.sockets.size).toBe(2);
  });
});

describe('quotas, drain and redirection', () => {
  const remote = (port: number) => ({ remote: { ip: '198.51.100.9', port } });

  it('486 beyond the quota of a user, whose reservations count, and in total', () => {
    const server = new TestServer({ userQuota: 3 });
    expect(codeOf(new TestClient(server, remote(1)).allocate([['EVEN-PORT', true]]))).toBe(0);
    expect(codeOf(new TestClient(server, remote(2)).allocate())).toBe(0);
    expect(codeOf(new TestClient(server, remote(3)).allocate())).toBe(486);
    server.advance(30_000); // the reservation is over
    expect(codeOf(new TestClient(server, remote(3)).allocate())).toBe(0);
    const total = new TestServer({ totalQuota: 1 });
    expect(codeOf(new TestClient(total, remote(1)).allocate())).toBe(0);
    expect(codeOf(new TestClient(total, remote(2)).allocate())).toBe(486);
  });

  it('REST credentials of one user share a quota', () => {
    const server = new TestServer({ authSecrets: ['s3cret'], userQuota: 1 });
    const nowS = SIM_EPOCH_MS / 1000;
    const codes = [100, 200].map((ttl) => {
      const credentials = makeRestCredentials(server.env.crypto, 's3cret', 'grace', nowS + ttl);
      return codeOf(new TestClient(server, { ...remote(ttl), ...credentials }).allocate());
    });
    expect(codes).toEqual([0, 486]);
  });

  it('a draining server refuses new allocations, keeps old ones and says when the last is gone', () => {
    const { server, client } = allocated();
    server.core.drain();
    server.drain();
    expect(codeOf(new TestClient(server, remote(2)).allocate())).toBe(508);
    expect(codeOf(client.request('Refresh'))).toBe(0);
    expect(server.events).not.toContainEqual({ type: 'drained' });
    expect(codeOf(client.request('Refresh', [['LIFETIME', 0]]))).toBe(0);
    expect(server.events.at(-1)).toEqual({ type: 'drained' });
  });

  it('sends clients to an alternate server while draining', () => {
    const alternateServer = { ip: '203.0.113.44', port: 3478 };
    const server = new TestServer({ alternateServer });
    server.core.drain();
    const answer = new TestClient(server).allocate();
    expect(codeOf(answer)).toBe(300);
    expect(answer.require('ALTERNATE-SERVER')).toEqual(alternateServer);
    // RFC 8489 §10: one of the client's own address family, or none.
    const other = new TestClient(server, { remote: { ip: '2001:db8:9::9', port: 1 } });
    expect(codeOf(other.allocate())).toBe(508);
  });

  it('ends everything on close', () => {
    const { server, client } = allocated();
    server.core.close(server.now);
    server.drain();
    expect(server.sockets.size).toBe(0);
    expect(server.events.at(-2)).toMatchObject({ type: 'released', reason: 'closed', path: client.path });
    expect(formatFiveTuple(client.path)).toContain('udp');
  });
});

describe('Refresh (RFC 8656 §8.2)', () => {
  it('extends, deletes, and an allocation without it expires', () => {
    const { server, client } = allocated();
    server.advance(500_000);
    expect(client.request('Refresh').require('LIFETIME')).toBe(600);
    server.advance(599_999);
    expect(server.core.stats.allocations).toBe(1);
    server.advance(1);
    expect(server.core.stats).toMatchObject({ allocations: 0, relays: 0 });
    expect(server.events.at(-1)).toMatchObject({ type: 'released', reason: 'expired', durationMs: 1_100_000 });
    expect(codeOf(client.request('Refresh'))).toBe(437);
    expect(server.core.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('a shorter lifetime brings the end nearer', () => {
    const server = new TestServer();
    const client = new TestClient(server);
    client.allocate([['LIFETIME', 3600]]);
    client.request('Refresh', [['LIFETIME', 700]]);
    expect(server.core.nextTimeout()).toBe(server.now + 700_000);
  });

  it('437 without an allocation, 441 for another user (RFC 8656 §5)', () => {
    const server = new TestServer({ findUser: (username) => ({ username, password: 'x' }) });
    const ada = new TestClient(server, { password: 'x' });
    expect(codeOf(ada.request('Refresh'))).toBe(437);
    ada.allocate();
    const eve = new TestClient(server, { username: 'eve', password: 'x' });
    for (const method of ['Refresh', 'CreatePermission', 'ChannelBind'] as const) {
      expect(codeOf(eve.request(method))).toBe(441);
    }
    expect(server.core.stats.allocations).toBe(1);
  });
});
