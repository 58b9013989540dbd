import { describe, expect, it } from 'vitest';
import type { TransportAddress } from '../../../src/core/index.ts';
import { decodeStun, STUN_METHODS } from '../../../src/stun/index.ts';
import { MAX_CHANNELS, MAX_PERMISSIONS, MAX_SERVER_QUEUE } from '../../../src/turn/limits.ts';
import type { TurnServerCoreOptions } from '../../../src/turn/server/index.ts';
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

const DATA = Uint8Array.from({ length: 100 }, (_, i) => i);

describe('permissions (RFC 8656 §9, §10)', () => {
  it('let the peer in by IP address for five minutes', () => {
    const { server, client, relayed } = allocated();
    expect(server.fromPeer(relayed, PEER, DATA)).toEqual([]);
    expect(server.drops('unknown-peer')).toBe(1);
    expect(codeOf(client.permit({ ...PEER, port: 0 }))).toBe(0);
    const [indication] = server.fromPeer(relayed, PEER, DATA);
    const message = decodeStun(indication!.bytes);
    expect(message.require('XOR-PEER-ADDRESS')).toEqual(PEER);
    expect(message.require('DATA')).toEqual(DATA);
    expect(indication!.path).toBe(client.path);
    server.advance(299_999);
    expect(server.fromPeer(relayed, PEER, DATA)).toHaveLength(1);
    server.advance(1);
    expect(server.fromPeer(relayed, PEER, DATA)).toHaveLength(0);
    client.permit(PEER);
    expect(server.fromPeer(relayed, { ...PEER, port: 1 }, DATA)).toHaveLength(1);
    expect(server.fromPeer(relayed, PEER, DATA)).toHaveLength(1);
  });

  it('are refused whole: 400 without a peer, 443 for another family', () => {
    const { server, client, relayed } = allocated();
    expect(codeOf(client.permit())).toBe(400);
    expect(codeOf(client.permit(PEER, PEER6))).toBe(443);
    expect(server.fromPeer(relayed, PEER, DATA)).toEqual([]);
  });

  it('are bounded: 508 beyond, until old ones have expired', () => {
    const { server, client } = allocated();
    const peer = (i: number) => ({ ip: `203.0.${i >> 8}.${i & 255}`, port: 0 });
    for (let i = 0; i < MAX_PERMISSIONS; i += 16) {
      expect(codeOf(client.permit(...Array.from({ length: 16 }, (_, k) => peer(i + k))))).toBe(0);
    }
    expect(codeOf(client.permit(peer(MAX_PERMISSIONS)))).toBe(508);
    expect(codeOf(client.permit(peer(0)))).toBe(0);
    server.advance(300_000);
    expect(codeOf(client.permit(peer(MAX_PERMISSIONS)))).toBe(0);
  });
});

describe('Send (RFC 8656 §11.2)', () => {
  it('needs a permission, and does not refresh it', () => {
    const { server, client, relayed } = allocated();
    const send = () =>
      client.indicate([
        ['XOR-PEER-ADDRESS', PEER],
        ['DATA', DATA],
      ]);
    expect(send()).toEqual([]);
    client.permit(PEER);
    const [datagram] = send();
    expect(datagram!.bytes).toEqual(DATA);
    expect(datagram!.path).toEqual({ protocol: 'udp', local: relayed, remote: PEER });
    server.advance(200_000);
    expect(send()).toHaveLength(1);
    server.advance(100_000);
    expect(send()).toEqual([]);
  });

  it('may carry nothing', () => {
    const { client } = allocated();
    client.permit(PEER);
    expect(
      client.indicate([
        ['XOR-PEER-ADDRESS', PEER],
        ['DATA', new Uint8Array(0)],
      ])[0]!.bytes,
    ).toHaveLength(0);
  });

  it.each([
    ['without DATA', [['XOR-PEER-ADDRESS', PEER]], 'missing'],
    ['without a peer', [['DATA', DATA]], 'missing'],
    [
      'of another family',
      [
        ['XOR-PEER-ADDRESS', PEER6],
        ['DATA', DATA],
      ],
      'bad-value',
    ],
    [
      'to port 0',
      [
        ['XOR-PEER-ADDRESS', { ...PEER, port: 0 }],
        ['DATA', DATA],
      ],
      'bad-value',
    ],
    [
      'with DONT-FRAGMENT',
      [
        ['XOR-PEER-ADDRESS', PEER],
        ['DONT-FRAGMENT', true],
        ['DATA', DATA],
      ],
      'unsupported',
    ],
  ] as const)('is dropped %s', (_, attributes, reason) => {
    const { server, client } = allocated();
    client.permit(PEER);
    expect(client.indicate(attributes)).toEqual([]);
    expect(server.drops(reason)).toBe(1);
  });

  const CLIENT4 = { ip: '198.51.100.9', port: 40_000 };
  const CLIENT6 = { ip: '2001:db8:9::9', port: 40_000 };

  // RFC 8656 §13.1 to §13.3: between datagrams the attribute is ignored wherever one side is IPv6.
  it.each([
    ['from IPv4 to IPv4', { remote: CLIENT4 }, PEER, 1500 - 28, true],
    ['from IPv4 to IPv6', { remote: CLIENT4 }, PEER6, 1400 - 48, false],
    ['from IPv6 to IPv6', { remote: CLIENT6 }, PEER6, 1400 - 48, false],
    ['from IPv6 to IPv4', { remote: CLIENT6 }, PEER, 1500 - 28, false],
    ['from TCP over IPv4 to IPv4', { remote: CLIENT4, protocol: 'tcp' }, PEER, 1500 - 28, true],
    ['from TCP over IPv6 to IPv6', { remote: CLIENT6, protocol: 'tcp' }, PEER6, 1400 - 48, true],
  ] as const)('with DONT-FRAGMENT, too long for one packet, %s', (_, options, peer, fits, isDropped) => {
    const server = new TestServer({
      dontFragment: true,
      relayAddresses: [
        { ip: RELAY_IP, mtuBytes: 1500 },
        { ip: RELAY_IP6, mtuBytes: 1400 },
      ],
    });
    const client = new TestClient(server, options);
    client.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    client.permit(peer);
    const send = (length: number, ...more: readonly Attribute[]) =>
      client.indicate([['XOR-PEER-ADDRESS', peer], ...more, ['DATA', new Uint8Array(length)]]).length;
    expect(send(fits, ['DONT-FRAGMENT', true])).toBe(1);
    expect(send(fits + 1, ['DONT-FRAGMENT', true])).toBe(isDropped ? 0 : 1);
    expect(server.drops('limit')).toBe(isDropped ? 1 : 0);
    expect(send(fits + 1)).toBe(1);
  });

  it('is dropped without an allocation', () => {
    const server = new TestServer();
    expect(
      new TestClient(server).indicate([
        ['XOR-PEER-ADDRESS', PEER],
        ['DATA', DATA],
      ]),
    ).toEqual([]);
    expect(server.drops('unknown-path')).toBe(1);
  });
});

describe('ICMP (RFC 8656 §11.5)', () => {
  function report(type: number, options: { readonly peer?: TransportAddress; readonly local?: TransportAddress } = {}) {
    const server = new TestServer();
    const client = new TestClient(server);
    const answer = client.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    client.permit({ ...PEER, port: 0 }, { ...PEER6, port: 0 });
    const [relay4, relay6] = answer.getAll('XOR-RELAYED-ADDRESS');
    const peer = options.peer ?? PEER;
    const local = options.local ?? (peer.ip.includes(':') ? relay6! : relay4!);
    const from = server.sent.length;
    server.core.handleIcmp(local, peer, { type, code: 4, data: 1280 }, server.now);
    server.drain();
    return { server, client, sent: server.sent.slice(from) };
  }

  it.each([
    [3, PEER],
    [11, PEER],
    [1, PEER6],
    [2, PEER6],
    [3, PEER6],
    [3, { ...PEER, port: 0 }],
    [3, { ...PEER, port: 1 }],
  ])('type %i about %o is told in a Data indication', (type, peer) => {
    const { client, sent } = report(type, { peer });
    expect(sent).toHaveLength(1);
    const message = decodeStun(sent[0]!.bytes);
    expect([message.messageClass, message.method]).toEqual(['indication', STUN_METHODS.Data]);
    expect(message.get('XOR-PEER-ADDRESS')).toEqual(peer);
    expect(message.get('ICMP')).toEqual({ type, code: 4, data: 1280 });
    expect(message.has('DATA')).toBe(false);
    expect(sent[0]!.path).toBe(client.path);
  });

  it.each([
    ['of another type', 8, {}, 'unsupported'],
    ['of a type that IPv4 does not have', 2, {}, 'unsupported'],
    ['of a type that IPv6 does not have', 11, { peer: PEER6 }, 'unsupported'],
    ['about a peer without a permission', 3, { peer: { ...PEER, ip: '203.0.113.6' } }, 'unknown-peer'],
    ['for an address that is no relay', 3, { local: { ip: RELAY_IP, port: 9 } }, 'unknown-path'],
  ] as const)('is dropped %s', (_, type, options, reason) => {
    const { server, sent } = report(type, options);
    expect(sent).toEqual([]);
    expect(server.drops(reason)).toBe(1);
  });

  it('is asked for where the shell reports it, when a channel is bound to a peer outside', () => {
    const watched = (options: Partial<TurnServerCoreOptions>) => {
      const { server, client, relayed } = allocated(options);
      client.bind(0x4000, PEER);
      return { relayed, events: server.events.filter(({ type }) => type === 'watch-peer') };
    };
    expect(watched({}).events).toEqual([]);
    const { relayed, events } = watched({ reportsIcmp: true });
    expect(events).toEqual([{ type: 'watch-peer', local: relayed, peer: PEER }]);
  });

  it('is dropped when the allocation is gone', () => {
    const { server, client, relayed } = allocated();
    client.permit(PEER);
    client.request('Refresh', [['LIFETIME', 0]]);
    server.core.handleIcmp(relayed, PEER, { type: 3, code: 3, data: 0 }, server.now);
    expect(server.drops('unknown-path')).toBe(1);
  });
});

describe('channels (RFC 8656 §12)', () => {
  it('carry data both ways, and install a permission', () => {
    const { server, client, relayed } = allocated();
    expect(codeOf(client.bind(0x4000, PEER))).toBe(0);
    const [out] = client.channelData(0x4000, DATA);
    expect(out!.bytes).toEqual(DATA);
    expect(out!.path).toEqual({ protocol: 'udp', local: relayed, remote: PEER });
    const [back] = server.fromPeer(relayed, PEER, DATA);
    expect(back!.bytes).toEqual(Uint8Array.of(0x40, 0, 0, DATA.length, ...DATA));
    expect(back!.path).toBe(client.path);
    // The permission is for the IP address: another port of the peer comes as an indication.
    const [other] = server.fromPeer(relayed, { ...PEER, port: 1 }, DATA);
    expect(decodeStun(other!.bytes).require('DATA')).toEqual(DATA);
  });

  it.each([
    ['udp', 5, 9],
    ['dtls', 5, 9],
    ['tcp', 5, 12],
    ['tls', 5, 12],
    ['tcp', 8, 12],
    ['tcp', 0, 4],
  ] as const)('over %s, %s bytes of data are %s on the wire (RFC 8656 §12.5)', (protocol, length, total) => {
    const { server, client, relayed } = allocated({}, protocol);
    client.bind(0x4fff, PEER);
    expect(server.fromPeer(relayed, PEER, DATA.subarray(0, length))[0]!.bytes).toHaveLength(total);
  });

  it('takes padding over UDP, and drops what is too short', () => {
    const { server, client } = allocated();
    client.bind(0x4000, PEER);
    expect(server.input(Uint8Array.of(0x40, 0, 0, 1, 7, 0, 0, 0), client.path)[0]!.bytes).toEqual(Uint8Array.of(7));
    expect(server.input(Uint8Array.of(0x40, 0, 0, 2, 7), client.path)).toEqual([]);
    expect(server.input(Uint8Array.of(0x40, 0, 0), client.path)).toEqual([]);
    expect(server.drops('too-short')).toBe(2);
    expect(server.input(Uint8Array.of(0x80, 0, 0, 0), client.path)).toEqual([]);
  });

  it('a channel lives ten minutes, its permission five; data refreshes neither', () => {
    const { server, client, relayed } = allocated({ defaultLifetimeS: 3600 });
    client.bind(0x4000, PEER);
    server.advance(299_000);
    client.channelData(0x4000, DATA);
    server.advance(1000);
    expect(server.fromPeer(relayed, PEER, DATA)).toEqual([]);
    expect(client.channelData(0x4000, DATA)).toHaveLength(1);
    client.permit(PEER);
    expect(server.fromPeer(relayed, PEER, DATA)[0]!.bytes[0]).toBe(0x40);
    server.advance(300_000 - 1);
    expect(client.channelData(0x4000, DATA)).toHaveLength(1);
    server.advance(1);
    expect(client.channelData(0x4000, DATA)).toEqual([]);
    client.permit(PEER);
    expect(server.fromPeer(relayed, PEER, DATA)[0]!.bytes[0]).toBe(0); // an indication again
    expect(codeOf(client.bind(0x4000, { ...PEER, port: 77 }))).toBe(0);
    expect(codeOf(client.bind(0x4001, PEER))).toBe(0);
    expect(server.fromPeer(relayed, PEER, DATA)[0]!.bytes.subarray(0, 2)).toEqual(Uint8Array.of(0x40, 1));
  });

  it('refuses numbers out of range and conflicting bindings with 400', () => {
    const { client } = allocated();
    expect(codeOf(client.bind(0x3fff, PEER))).toBe(400);
    expect(codeOf(client.bind(0x8000, PEER))).toBe(400);
    expect(codeOf(allocated({ strictChannels: true }).client.bind(0x5000, PEER))).toBe(400);
    expect(codeOf(client.bind(0x4000, { ...PEER, port: 0 }))).toBe(400);
    expect(codeOf(client.request('ChannelBind', [['CHANNEL-NUMBER', 0x4000]]))).toBe(400);
    expect(codeOf(client.request('ChannelBind', [['XOR-PEER-ADDRESS', PEER]]))).toBe(400);
    expect(codeOf(client.bind(0x4000, PEER6))).toBe(443);
    expect(codeOf(client.bind(0x4000, PEER))).toBe(0);
    expect(codeOf(client.bind(0x4000, PEER))).toBe(0); // a refresh
    expect(codeOf(client.bind(0x4001, PEER))).toBe(400);
    expect(codeOf(client.bind(0x4000, { ...PEER, port: 1 }))).toBe(400);
  });

  it('may have the numbers of RFC 5766, which its clients use', () => {
    const { client } = allocated();
    expect(codeOf(client.bind(0x7fff, PEER))).toBe(0);
    expect(client.channelData(0x7fff, DATA)).toHaveLength(1);
  });

  it('are bounded: 508 beyond', () => {
    const { client } = allocated();
    for (let i = 0; i < MAX_CHANNELS; i++) expect(codeOf(client.bind(0x4000 + i, { ...PEER, port: 1 + i }))).toBe(0);
    expect(codeOf(client.bind(0x4000 + MAX_CHANNELS, { ...PEER, port: 60_000 }))).toBe(508);
  });

  it('belong to one allocation', () => {
    const { server, client } = allocated();
    client.bind(0x4000, PEER);
    const other = new TestClient(server, { remote: { ip: '198.51.100.10', port: 1 } });
    other.allocate();
    expect(other.channelData(0x4000, DATA)).toEqual([]);
    expect(new TestClient(server, { remote: { ip: '198.51.100.11', port: 1 } }).channelData(0x4000, DATA)).toEqual([]);
    expect(server.drops('unknown-path')).toBe(1);
  });
});

describe('two clients of one server', () => {
  it.each([undefined, '203.0.113.99'])('reach each other inside the server (external address %s)', (externalIp) => {
    const relayAddresses = [externalIp === undefined ? { ip: '10.0.0.5' } : { ip: '10.0.0.5', externalIp }];
    const server = new TestServer({ relayAddresses });
    const [a, b] = [1, 2].map((port) => new TestClient(server, { remote: { ip: '198.51.100.9', port } }));
    const addressA = a!.allocate().require('XOR-RELAYED-ADDRESS');
    const addressB = b!.allocate().require('XOR-RELAYED-ADDRESS');
    expect(codeOf(a!.bind(0x4000, addressB))).toBe(0);
    expect(a!.channelData(0x4000, DATA)).toEqual([]); // b has not permitted a
    expect(codeOf(b!.permit(addressA))).toBe(0);
    const [indication] = a!.channelData(0x4000, DATA);
    expect(indication!.path).toBe(b!.path);
    expect(decodeStun(indication!.bytes).require('XOR-PEER-ADDRESS')).toEqual(addressA);
    const [reply] = b!.indicate([
      ['XOR-PEER-ADDRESS', addressA],
      ['DATA', DATA],
    ]);
    expect(reply!.path).toBe(a!.path);
    expect(reply!.bytes[0]).toBe(0x40);
    // When b is gone its port may belong to another program: nothing goes there.
    b!.request('Refresh', [['LIFETIME', 0]]);
    expect(a!.channelData(0x4000, DATA)).toEqual([]);
  });
});

describe('bandwidth', () => {
  it('of a session is limited in each direction by itself', () => {
    const { server, client, relayed } = allocated({ sessionRate: { perSecond: 1000, burst: 250 } });
    client.bind(0x4000, PEER);
    const sent = [1, 2, 3].map(() => client.channelData(0x4000, DATA).length);
    expect(sent).toEqual([1, 1, 0]);
    expect(server.drops('rate-limited')).toBe(1);
    expect(server.fromPeer(relayed, PEER, DATA)).toHaveLength(1);
    server.advance(50);
    expect(client.channelData(0x4000, DATA)).toHaveLength(1);
  });

  it('of all sessions together', () => {
    const { server, client } = allocated({ totalRate: { perSecond: 1000, burst: 250 } });
    const other = new TestClient(server, { remote: { ip: '198.51.100.10', port: 1 } });
    other.allocate();
    for (const each of [client, other]) each.bind(0x4000, PEER);
    expect([client, other, client].map((each) => each.channelData(0x4000, DATA).length)).toEqual([1, 1, 0]);
  });
});

it('counts what it relays, and reports it when the allocation ends', () => {
  const { server, client, relayed } = allocated();
  client.bind(0x4000, PEER);
  client.channelData(0x4000, DATA);
  server.fromPeer(relayed, PEER, DATA);
  server.fromPeer(relayed, PEER, DATA);
  const traffic = { toPeerPackets: 1, toPeerBytes: 100, toClientPackets: 2, toClientBytes: 200 };
  expect(server.core.stats.traffic).toEqual(traffic);
  client.request('Refresh', [['LIFETIME', 0]]);
  expect(server.events.at(-1)).toMatchObject({ type: 'released', reason: 'deleted', traffic });
});

it('does not grow when nobody polls', () => {
  const { server, client } = allocated();
  client.bind(0x4000, PEER);
  const wire = Uint8Array.of(0x40, 0, 0, 1, 7);
  for (let i = 0; i < MAX_SERVER_QUEUE + 5; i++) server.core.handleInput(wire, client.path, server.now);
  expect(server.drops('limit')).toBe(5);
  const before = server.sent.length;
  server.drain();
  expect(server.sent.length - before).toBe(MAX_SERVER_QUEUE);
});

it('drops a datagram that no longer fits with its header', () => {
  const { server, client, relayed } = allocated();
  client.permit(PEER);
  expect(server.fromPeer(relayed, PEER, new Uint8Array(65_507))).toEqual([]);
  expect(server.drops('limit')).toBe(1);
  expect(server.fromPeer(relayed, PEER, new Uint8Array(65_000))).toHaveLength(1);
});
