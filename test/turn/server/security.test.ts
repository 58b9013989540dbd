import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteWriter, createTransmitSlot, type FiveTuple, hexToBytes, parseIp } from '../../../src/core/index.ts';
import { nodeCrypto } from '../../../src/io/index.ts';
import {
  decodeStun,
  encodeStun,
  IntegrityKey,
  longTermKey,
  STUN_METHODS,
  StunWriter,
} from '../../../src/stun/index.ts';
import { MAX_RATE_LIMITED_SOURCES } from '../../../src/turn/limits.ts';
import {
  classifyAddress,
  makeRestCredentials,
  PeerPolicy,
  parseAddressRange,
  TurnServerCore,
} from '../../../src/turn/server/index.ts';
import { MAX_RESPONSE_BYTES } from '../../../src/turn/server/limits.ts';
import { SourceRateLimit } from '../../../src/turn/server/rate-limits.ts';
import { SIM_EPOCH_MS } from '../../sim/index.ts';
import { allocated, codeOf, PASSWORD, PEER, RELAY_IP, SERVER, TestClient, TestServer, USER } from './harness.ts';

const DATA = Uint8Array.of(1, 2, 3);

describe('a server that is one half of itself', () => {
  const binding = encodeStun({ messageClass: 'request', method: 1, transactionId: new Uint8Array(12) });

  it('answers no Binding request with noStun, and relays', () => {
    const server = new TestServer({ noStun: true });
    const client = new TestClient(server);
    expect(server.input(binding, client.path)).toEqual([]);
    expect(server.drops('unsupported')).toBe(1);
    expect(codeOf(client.allocate())).toBe(0);
  });

  it('answers nothing else with stunOnly, for which it needs no users', () => {
    const { env } = new TestServer();
    const core = new TurnServerCore({ env, realm: 'r', relayAddresses: [{ ip: RELAY_IP }], stunOnly: true });
    const path = { protocol: 'udp', local: SERVER, remote: { ip: '198.51.100.9', port: 1 } } as const;
    const slot = createTransmitSlot<FiveTuple>(2000);
    const allocate = encodeStun({ messageClass: 'request', method: 3, transactionId: new Uint8Array(12) });
    core.handleInput(allocate, path, 0);
    expect(core.pollTransmit(slot)).toBe(false);
    expect(core.drops.get('unsupported')).toBe(1);
    core.handleInput(binding, path, 0);
    expect(core.pollTransmit(slot)).toBe(true);
  });
});

describe('never an open proxy: peers', () => {
  it.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.255.1', 'private'],
    ['100.64.0.1', 'private'],
    ['169.254.169.254', 'link-local'],
    ['192.0.0.8', 'reserved'],
    ['198.19.0.1', 'reserved'],
    ['224.0.0.251', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::7f00:1', 'mapped'],
    ['::ffff:127.0.0.1', 'mapped'],
    ['::ffff:203.0.113.5', 'mapped'],
    ['::ffff:0:7f00:1', 'mapped'],
    ['64:ff9b::127.0.0.1', 'loopback'],
    ['64:ff9b::10.1.2.3', 'private'],
    ['64:ff9b::169.254.169.254', 'link-local'],
    ['64:ff9b::', 'unspecified'],
    ['64:ff9b::203.0.113.5', 'global'],
    ['64:ff9b:1::a00:1', 'private'],
    ['2002:7f00:1::', 'tunnel'],
    ['2002:cb00:7105::1', 'tunnel'],
    ['2001:0:4136:e378:8000:63bf:3fff:fdd2', 'tunnel'],
    ['2001:db8:5::5', 'global'],
    ['2001:db8::5efe:10.0.0.1', 'private'],
    ['2001:db8::200:5efe:127.0.0.1', 'loopback'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['fec0::1', 'private'],
    ['fc00::1', 'private'],
    ['fdff::1', 'private'],
    ['ff02::1', 'multicast'],
    ['100::1', 'reserved'],
    ['203.0.113.5', 'global'],
    ['172.32.0.1', 'global'],
    ['11.0.0.1', 'global'],
  ] as const)('%s is %s, and refused by default unless global', (ip, addressClass) => {
    expect(classifyAddress(parseIp(ip)!)).toBe(addressClass);
    const server = new TestServer();
    const client = new TestClient(server);
    client.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    const expected = addressClass === 'global' ? 0 : 403;
    expect(codeOf(client.permit({ ip, port: 80 }))).toBe(expected);
    expect(codeOf(client.bind(0x4000, { ip, port: 80 }))).toBe(expected);
    expect(
      client.indicate([
        ['XOR-PEER-ADDRESS', { ip, port: 80 }],
        ['DATA', DATA],
      ]),
    ).toHaveLength(expected === 0 ? 1 : 0);
  });

  it('one forbidden address among others installs no permission', () => {
    const { server, client, relayed } = allocated();
    expect(codeOf(client.permit(PEER, { ip: '127.0.0.1', port: 0 }))).toBe(403);
    expect(server.fromPeer(relayed, PEER, DATA)).toEqual([]);
  });

  it.each([
    ['allowLoopback', ['127.0.0.1', '::1']],
    ['allowPrivate', ['10.0.0.1', '100.64.0.1', 'fd00::1', '64:ff9b::10.0.0.1']],
    ['allowLinkLocal', ['169.254.1.1', 'fe80::1']],
    ['allowMulticast', ['224.0.0.1', 'ff02::1']],
  ] as const)('%s opens %s and nothing else', (option, ips) => {
    const policy = new PeerPolicy({ [option]: true });
    for (const ip of ips) expect(policy.verdict(ip)).toBe('allowed');
    for (const ip of ['::ffff:127.0.0.1', '2002:7f00:1::', '0.0.0.0', '240.0.0.1', '::']) {
      expect(policy.verdict(ip)).toBe('denied');
    }
  });

  it('ranges allow and deny; what is allowed by name wins', () => {
    const policy = new PeerPolicy({
      allowedPeers: ['10.1.0.0/16', '192.168.0.5'],
      deniedPeers: ['203.0.113.0-203.0.113.127', '10.1.2.3'],
    });
    expect(['10.1.2.3', '10.2.0.1', '192.168.0.5', '192.168.0.6'].map((ip) => policy.verdict(ip))).toEqual([
      'allowed',
      'denied',
      'allowed',
      'denied',
    ]);
    expect(policy.verdict('203.0.113.127')).toBe('denied');
    expect(policy.verdict('203.0.113.128')).toBe('allowed');
    expect(policy.verdict('64:ff9b::203.0.113.1')).toBe('denied');
  });

  it.each(['', 'x', '1.2.3', '1.2.3.4/33', '1.2.3.4/x', '2.0.0.0-1.0.0.0', '1.2.3.4-::1', '1.2.3.4-', '::/129'])(
    "'%s' is no range",
    (text) => {
      expect(() => parseAddressRange(text)).toThrow(expect.objectContaining({ name: 'UsageError' }));
    },
  );

  it('the own addresses are no peers, but where a relay of another client is', () => {
    const server = new TestServer({ ownAddresses: ['203.0.113.200'] });
    const client = new TestClient(server);
    const relayed = client.allocate().require('XOR-RELAYED-ADDRESS');
    for (const peer of [SERVER, { ip: RELAY_IP, port: 22 }, { ip: '203.0.113.200', port: 22 }]) {
      expect(codeOf(client.bind(0x4000, peer))).toBe(403);
      client.permit(peer); // for the IP address: another client's relay may be there
      expect(
        client.indicate([
          ['XOR-PEER-ADDRESS', peer],
          ['DATA', DATA],
        ]),
      ).toEqual([]);
      // A program of this machine that sends to the relay is no relay either.
      expect(server.fromPeer(relayed, peer, DATA)).toEqual([]);
    }
    const nat64 = server.core;
    nat64.addOwnAddress('203.0.113.201');
    const six = new TestClient(server, { remote: { ip: '198.51.100.9', port: 7 } });
    six.allocate([['REQUESTED-ADDRESS-FAMILY', 6]]);
    expect(codeOf(six.bind(0x4000, { ip: '64:ff9b::203.0.113.201', port: 22 }))).toBe(403);
  });

  it('a private relay network opens with allowPrivate, but not the server itself', () => {
    const server = new TestServer({ relayAddresses: [{ ip: '10.0.0.5' }], peers: { allowPrivate: true } });
    const client = new TestClient(server);
    client.allocate();
    expect(codeOf(client.bind(0x4000, { ip: '10.0.0.6', port: 22 }))).toBe(0);
    expect(codeOf(client.bind(0x4001, { ip: '10.0.0.5', port: 22 }))).toBe(403);
  });
});

describe('never an open proxy: credentials', () => {
  it('cannot be built without users, or with what cannot work', () => {
    const { env } = new TestServer();
    const bare = { env, realm: 'r', relayAddresses: [{ ip: RELAY_IP }] };
    expect(() => new TurnServerCore(bare)).toThrow(/open proxy/);
    expect(() => new TurnServerCore({ ...bare, authSecrets: ['x'], relayAddresses: [] })).toThrow(/relay address/);
    expect(() => new TurnServerCore({ ...bare, authSecrets: ['x'], minPort: 80 })).toThrow(/1024/);
    const oauth = { serverName: 'r', keys: [{ kid: 'north', key: new Uint8Array(20) }] };
    expect(() => new TurnServerCore({ ...bare, oauth })).toThrow(/north must have 16 or 32 bytes/);
  });

  it.each(['Allocate', 'Refresh', 'CreatePermission', 'ChannelBind'] as const)(
    'an unsigned %s gets a challenge and leaves nothing behind',
    (method) => {
      const server = new TestServer();
      const answer = new TestClient(server).once(method, [['REQUESTED-TRANSPORT', 17]]);
      expect(codeOf(answer)).toBe(401);
      expect(answer.require('REALM')).toBe('example.org');
      expect(answer.has('NONCE')).toBe(true);
      expect(answer.has('SOFTWARE')).toBe(false);
      expect(server.events).toEqual([]);
      expect(server.core.stats).toMatchObject({ allocations: 0, relays: 0 });
    },
  );

  it.each([
    ['an unknown user', { username: 'mallory' }],
    ['a wrong password', { password: 'wrong' }],
  ])('%s gets 401', (_, credentials) => {
    const server = new TestServer();
    expect(codeOf(new TestClient(server, credentials).allocate())).toBe(401);
    expect(server.core.stats.allocations).toBe(0);
  });

  it('a nonce is good for its client only, and for a while only', () => {
    const { server, client } = allocated({ nonceLifetimeMs: 60_000 });
    const thief = new TestClient(server, { remote: { ip: '198.51.100.66', port: 6 } });
    thief.credentials = client.credentials;
    expect(codeOf(thief.once('Allocate', [['REQUESTED-TRANSPORT', 17]]))).toBe(438);
    expect(codeOf(client.once('Refresh'))).toBe(0);
    server.advance(61_000);
    expect(codeOf(client.once('Refresh'))).toBe(438);
    expect(codeOf(client.request('Refresh'))).toBe(0);
  });

  it('a forged nonce is stale, not trusted', () => {
    const server = new TestServer();
    const client = new TestClient(server);
    client.allocate();
    const key = new IntegrityKey(nodeCrypto, longTermKey(nodeCrypto, USER, 'example.org', PASSWORD));
    const request = encodeStun({
      messageClass: 'request',
      method: STUN_METHODS.Refresh,
      transactionId: new Uint8Array(12),
      attributes: [
        ['USERNAME', USER],
        ['REALM', 'example.org'],
        ['NONCE', new TextEncoder().encode('made up')],
      ],
      integrity: [{ key, algorithm: 'sha-1' }],
    });
    expect(codeOf(decodeStun(server.input(request, client.path)[0]!.bytes))).toBe(438);
  });

  it('answers are signed once the client is known, also errors', () => {
    const { server, client } = allocated();
    const answer = client.permit({ ip: '127.0.0.1', port: 0 });
    expect(codeOf(answer)).toBe(403);
    expect(client.credentials.verify(answer)).toBe(true);
    expect(server.core.stats.errorsTotal).toMatchObject({ 401: 1, 403: 1 });
  });

  it('REST credentials: good until their time, any of several secrets, and a session outlives them', () => {
    const server = new TestServer({ findUser: () => undefined, authSecrets: ['new', 'old'] });
    const nowS = Math.floor((SIM_EPOCH_MS + server.now) / 1000);
    const clientWith = (secret: string, ttlS: number, port: number) => {
      const credentials = makeRestCredentials(nodeCrypto, secret, 'grace', nowS + ttlS);
      return new TestClient(server, { ...credentials, remote: { ip: '198.51.100.9', port } });
    };
    expect(codeOf(clientWith('wrong', 60, 1).allocate())).toBe(401);
    expect(codeOf(clientWith('new', -1, 2).allocate())).toBe(401);
    expect(codeOf(clientWith('new', 60, 3).allocate())).toBe(0);
    const client = clientWith('old', 60, 4);
    expect(codeOf(client.allocate())).toBe(0);
    server.advance(100_000);
    expect(codeOf(client.request('Refresh'))).toBe(0);
    expect(codeOf(clientWith('old', 60, 5).allocate())).toBe(401); // the name has expired for new allocations
  });

  it("makes coturn's REST password", () => {
    // turnadmin has no such command; the value is from `printf %s 1700000000:ada | openssl dgst -sha1 -hmac s3cret -binary | base64`.
    const { username, password } = makeRestCredentials(nodeCrypto, 's3cret', 'ada', 1_700_000_000);
    expect(username).toBe('1700000000:ada');
    expect(password).toBe('yC+x5OTFzkPMvyC+iVIolM46yuE=');
  });
});

describe('sources that prove nothing', () => {
  const bare = (method: number) =>
    encodeStun({ messageClass: 'request', method, transactionId: new Uint8Array(12), attributes: [] });

  it('are answered at a limited rate, each by itself', () => {
    const server = new TestServer({ unauthenticatedRate: { perSecond: 10, burst: 5 } });
    const ask = (ip: string, method: number) => server.input(bare(method), server.path(SERVER, { ip, port: 1 })).length;
    const first = Array.from({ length: 10 }, () => ask('198.51.100.1', STUN_METHODS.Allocate));
    expect(first.reduce((a, b) => a + b)).toBe(5);
    expect(server.drops('rate-limited')).toBe(5);
    expect(ask('198.51.100.1', STUN_METHODS.Binding)).toBe(0);
    expect(ask('198.51.100.2', STUN_METHODS.Binding)).toBe(1);
    server.advance(100);
    expect(ask('198.51.100.1', STUN_METHODS.Binding)).toBe(1);
    expect(ask('198.51.100.1', STUN_METHODS.Binding)).toBe(0);
  });

  it('do not slow down a client that has an allocation behind the same address', () => {
    const server = new TestServer({ unauthenticatedRate: { perSecond: 1, burst: 3 } });
    const client = new TestClient(server, { remote: { ip: '198.51.100.1', port: 9 } });
    expect(codeOf(client.allocate())).toBe(0);
    for (let i = 0; i < 10; i++)
      server.input(bare(STUN_METHODS.Allocate), server.path(SERVER, { ip: '198.51.100.1', port: 1 }));
    expect(codeOf(client.request('Refresh'))).toBe(0);
  });

  it('are remembered up to a bound, an IPv6 host by its /64', () => {
    const limit = new SourceRateLimit(1, 1);
    expect(limit.allows('2001:db8::1', 0)).toBe(true);
    expect(limit.allows('2001:db8::ffff:1', 0)).toBe(false);
    expect(limit.allows('2001:db8:0:0:9:9:9:9', 0)).toBe(false);
    expect(limit.allows('2001:db8:0:1::1', 0)).toBe(true);
    expect(limit.allows('::1', 0)).toBe(true);
    for (let i = 0; i < MAX_RATE_LIMITED_SOURCES + 10; i++)
      limit.allows(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0);
    expect(limit.size).toBeLessThanOrEqual(MAX_RATE_LIMITED_SOURCES);
    expect(limit.size).toBeGreaterThan(MAX_RATE_LIMITED_SOURCES / 2);
    // Who keeps asking is not forgotten in the flood.
    const busy = new SourceRateLimit(0.001, 2);
    const answers = Array.from({ length: 3 * MAX_RATE_LIMITED_SOURCES }, (_, i) => {
      busy.allows(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 0);
      return i % 1000 === 0 && busy.allows('192.0.2.77', 0);
    });
    expect(answers.filter(Boolean)).toHaveLength(2);
  });

  it('get short answers: a challenge is under 140 bytes, six times the shortest request at most', () => {
    const server = new TestServer();
    const path = server.path(SERVER, { ip: '198.51.100.1', port: 1 });
    const [challenge] = server.input(bare(STUN_METHODS.Allocate), path);
    expect(challenge!.bytes.length).toBeLessThan(140);
    expect(server.input(bare(STUN_METHODS.Allocate), path)).toHaveLength(1); // one datagram for one
    const [binding] = server.input(bare(STUN_METHODS.Binding), path);
    expect(binding!.bytes.length).toBe(32);
  });
});

describe('malformed input', () => {
  it.each([
    ['LIFETIME', 0x000d, '00'],
    ['REQUESTED-TRANSPORT', 0x0019, '11'],
    ['REQUESTED-TRANSPORT too long', 0x0019, '1100000000'],
    ['EVEN-PORT', 0x0018, ''],
    ['RESERVATION-TOKEN', 0x0022, '00'],
    ['REQUESTED-ADDRESS-FAMILY', 0x0017, '03000000'],
    ['ADDITIONAL-ADDRESS-FAMILY', 0x8000, '09000000'],
  ])('a malformed %s in an Allocate is 400', (_, type, hex) => {
    const server = new TestServer();
    expect(codeOf(signedRaw(server, STUN_METHODS.Allocate, [[type, hex]]))).toBe(400);
    expect(server.core.stats.allocations).toBe(0);
  });

  it.each([
    ['XOR-PEER-ADDRESS family', STUN_METHODS.CreatePermission, 0x0012, '0003000000000000'],
    ['XOR-PEER-ADDRESS too short', STUN_METHODS.CreatePermission, 0x0012, '00010000'],
    ['XOR-PEER-ADDRESS too long', STUN_METHODS.ChannelBind, 0x0012, '000100000000000000'],
    ['CHANNEL-NUMBER', STUN_METHODS.ChannelBind, 0x000c, '40'],
    ['LIFETIME', STUN_METHODS.Refresh, 0x000d, '0000000000'],
  ])('a malformed %s is 400', (_, method, type, hex) => {
    const { server, client } = allocated();
    expect(codeOf(signedRaw(server, method, [[type, hex]], client))).toBe(400);
  });

  it('an unknown comprehension-required attribute is 420, an optional one is ignored', () => {
    const { server, client } = allocated();
    const answer = signedRaw(
      server,
      STUN_METHODS.Refresh,
      [
        [0x7fff, '00'],
        [0xff00, '00'],
      ],
      client,
    );
    expect(codeOf(answer)).toBe(420);
    expect(answer.require('UNKNOWN-ATTRIBUTES')).toEqual([0x7fff]);
    expect(codeOf(signedRaw(server, STUN_METHODS.Refresh, [[0xff00, '00']], client))).toBe(0);
  });

  it('the longest answers fit', () => {
    const text = 'x'.repeat(763);
    const server = new TestServer({ realm: text, software: text });
    const client = new TestClient(server);
    client.allocate([['ADDITIONAL-ADDRESS-FAMILY', 6]]);
    const raw = Array.from({ length: 240 }, (_, i) => [0x7000 + i, ''] as const);
    const answer = signedRaw(server, STUN_METHODS.Refresh, raw, client, 4096);
    expect(answer.require('UNKNOWN-ATTRIBUTES')).toHaveLength(240);
    const longest = Math.max(...server.sent.map(({ bytes }) => bytes.length));
    expect(longest).toBeGreaterThan(1300);
    expect(longest).toBeLessThanOrEqual(MAX_RESPONSE_BYTES);
    for (const options of [
      { software: `${text}x` },
      { realmsByOrigin: { 'https://b.example': `${text}x` } },
      { oauth: { serverName: `${text}x`, keys: [] } },
    ])
      expect(() => new TestServer(options)).toThrow(/763/);
  });

  it('responses, Data indications and unknown methods are dropped', () => {
    const { server, client } = allocated();
    for (const hex of ['0103', '0113', '0017', '000b', '3ff0']) {
      expect(server.input(hexToBytes(`${hex}00002112a442${'00'.repeat(12)}`), client.path)).toEqual([]);
    }
    expect(server.drops('unsupported')).toBe(5);
  });

  it('no input throws, and none without credentials changes anything', () => {
    const server = new TestServer({ unauthenticatedRate: { perSecond: 1e6, burst: 1e6 } });
    const client = new TestClient(server);
    client.allocate();
    client.bind(0x4000, PEER);
    const path = server.path(SERVER, { ip: '198.51.100.200', port: 1 });
    const seedsOfMutation = [client.lastRequest, Uint8Array.of(0x40, 0, 0, 2, 1, 1)];
    const events = server.events.length;
    fc.assert(
      fc.property(
        fc.constantFrom(...seedsOfMutation),
        fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 8 }),
        fc.uint8Array({ maxLength: 40 }),
        (base, edits, tail) => {
          const bytes = Uint8Array.from([...base, ...tail]);
          for (const [at, value] of edits) bytes[at % bytes.length] = value;
          server.input(bytes, path);
          server.input(tail, path);
          expect(server.core.stats.allocations).toBe(1);
          expect(server.events.length).toBe(events);
        },
      ),
      { numRuns: 1000 },
    );
    expect(codeOf(client.request('Refresh'))).toBe(0);
  });
});

/** A request signed by USER with raw attributes in front of the credentials. */
function signedRaw(
  server: TestServer,
  method: number,
  raw: readonly (readonly [number, string])[],
  client: TestClient = new TestClient(server),
  capacity = 2048,
) {
  const challenged = client.once('Allocate', [['REQUESTED-TRANSPORT', 17]]);
  if (codeOf(challenged) === 401) client.credentials.handleChallenge(challenged, false);
  const w = new StunWriter(new ByteWriter(new Uint8Array(capacity)), 'request', method, client.newId());
  for (const [type, hex] of raw) w.addRaw(type, hexToBytes(hex));
  if (method === STUN_METHODS.Allocate && !raw.some(([type]) => type === 0x0019)) w.add('REQUESTED-TRANSPORT', 17);
  client.credentials.sign(w, method);
  const [answer] = server.input(w.written(), client.path);
  return decodeStun(answer!.bytes);
}
