import { describe, expect, it } from 'vitest';
import { ByteWriter, hexToBytes } from '../../src/core/index.ts';
import {
  type AttributeName,
  decodeStun,
  STUN_ATTRIBUTES,
  STUN_METHODS,
  type StunClass,
  StunWriter,
} from '../../src/stun/index.ts';
import vectors from '../vectors/rfc8489/attribute-values.json' with { type: 'json' };
import { codeOf, PEER, TestClient, TestServer } from './server/harness.ts';

/*
 * Every attribute of the registry in every request that the server knows: cut short, too long, twice, and behind the
 * integrity. What the server answers is in one table; what is not in the table must change nothing. Credentials have their
 * own cases in server-malformed.test.ts.
 */

type Method = keyof typeof STUN_METHODS;
type Raw = readonly [name: AttributeName, hex: string];
type Outcome = number | 'silence';

const RATE = { perSecond: 1e9, burst: 1e9 };
const OPTIONS = { tcpRelay: true, mobility: true, dontFragment: true, unauthenticatedRate: RATE } as const;
/** XOR-PEER-ADDRESS of the harness's peer. */
const PEER_VALUE = '0001023aea12d547';

/** A client from which the request would succeed, and the attributes of that request. */
interface Ready {
  readonly client: TestClient;
  readonly attributes: readonly Raw[];
  /** Of the request as it should be; a Connect is answered when the connection stands. */
  readonly outcome: Outcome;
}

function allocatedOver(protocol: 'udp' | 'tcp'): TestClient {
  const client = new TestClient(new TestServer(OPTIONS), { protocol });
  expect(codeOf(client.request('Allocate', [['REQUESTED-TRANSPORT', protocol === 'udp' ? 17 : 6]]))).toBe(0);
  return client;
}

const READY: Readonly<Record<string, () => Ready>> = {
  Allocate: () => {
    const client = new TestClient(new TestServer(OPTIONS));
    expect(codeOf(client.request('Refresh'))).toBe(437); // has its nonce now
    return { client, attributes: [['REQUESTED-TRANSPORT', '11000000']], outcome: 0 };
  },
  Refresh: () => ({ client: allocatedOver('udp'), attributes: [['LIFETIME', '00000258']], outcome: 0 }),
  CreatePermission: () => ({
    client: allocatedOver('udp'),
    attributes: [['XOR-PEER-ADDRESS', PEER_VALUE]],
    outcome: 0,
  }),
  ChannelBind: () => ({
    client: allocatedOver('udp'),
    attributes: [
      ['CHANNEL-NUMBER', '40000000'],
      ['XOR-PEER-ADDRESS', PEER_VALUE],
    ],
    outcome: 0,
  }),
  Connect: () => ({
    client: allocatedOver('tcp'),
    attributes: [['XOR-PEER-ADDRESS', PEER_VALUE]],
    outcome: 'silence',
  }),
  ConnectionBind: () => {
    const control = allocatedOver('tcp');
    const { server } = control;
    control.send('Connect', [['XOR-PEER-ADDRESS', PEER]]);
    const event = server.events.find(({ type }) => type === 'connect-peer');
    if (event?.type !== 'connect-peer') throw new Error('no connect-peer');
    server.core.peerConnected(event.connection, server.now);
    server.drain();
    const client = new TestClient(server, { protocol: 'tcp', remote: { ip: '198.51.100.9', port: 41_000 } });
    expect(codeOf(client.request('Refresh'))).toBe(437); // has a nonce of its own now
    return { client, attributes: [['CONNECTION-ID', event.connection.toString(16).padStart(8, '0')]], outcome: 0 };
  },
};
const METHODS = Object.keys(READY) as Method[];

/** What each request reads: a wrong length there is 400 (RFC 8489 §6.3.1). */
const READS: Readonly<Record<string, readonly AttributeName[]>> = {
  Allocate: [
    'REQUESTED-TRANSPORT',
    'LIFETIME',
    'REQUESTED-ADDRESS-FAMILY',
    'ADDITIONAL-ADDRESS-FAMILY',
    'COTURN-ADDITIONAL-ADDRESS-FAMILY',
    'EVEN-PORT',
    'RESERVATION-TOKEN',
    'DONT-FRAGMENT',
    'MOBILITY-TICKET', // has no business but to be empty (RFC 8016 §3.1.2)
  ],
  Refresh: ['LIFETIME', 'REQUESTED-ADDRESS-FAMILY', 'MOBILITY-TICKET'],
  CreatePermission: ['XOR-PEER-ADDRESS'],
  ChannelBind: ['CHANNEL-NUMBER', 'XOR-PEER-ADDRESS'],
  Connect: ['XOR-PEER-ADDRESS'],
  ConnectionBind: ['CONNECTION-ID'],
};

/** Without which there is no such request: 400 (RFC 8656 §7.2, §10.2, §12.2, RFC 6062 §5.2, §5.4). */
const NEEDED: Readonly<Record<string, readonly AttributeName[]>> = {
  ...READS,
  Allocate: ['REQUESTED-TRANSPORT'],
  Refresh: [],
};

const CREDENTIALS: readonly AttributeName[] = [
  'USERNAME',
  'USERHASH',
  'REALM',
  'NONCE',
  'PASSWORD-ALGORITHM',
  'PASSWORD-ALGORITHMS',
  'MESSAGE-INTEGRITY',
  'MESSAGE-INTEGRITY-SHA256',
  'FINGERPRINT',
];

const NAMES = (Object.keys(STUN_ATTRIBUTES) as AttributeName[]).filter((name) => !CREDENTIALS.includes(name));

/** A value as it should be. */
function goodValue(name: AttributeName): string {
  const found = vectors.cases.find(({ attribute }) => attribute === name);
  if (found === undefined) throw new Error(`no vector of ${name}`);
  return found.value;
}

/** One byte less, half, none; one byte more, four more. */
function wrongLengths(name: AttributeName): string[] {
  const value = goodValue(name);
  const shorter = value === '' ? [] : [value.slice(2), value.slice(0, -2), value.slice(0, value.length / 4), ''];
  return [...new Set([...shorter.map((hex) => hex.slice(0, hex.length & ~1)), `${value}00`, `${value}00000000`])];
}

function write(client: TestClient, method: Method, before: readonly Raw[], behind: readonly Raw[]): Uint8Array {
  const w = new StunWriter(new ByteWriter(new Uint8Array(8192)), 'request', STUN_METHODS[method], client.newId());
  for (const [name, hex] of before) w.addRaw(STUN_ATTRIBUTES[name].type, hexToBytes(hex));
  client.credentials.sign(w, STUN_METHODS[method]);
  const extra = behind.map(([name, hex]) => {
    const header = STUN_ATTRIBUTES[name].type.toString(16).padStart(4, '0');
    const length = (hex.length / 2).toString(16).padStart(4, '0');
    return header + length + hex + '00'.repeat(-(hex.length / 2) & 3);
  });
  const bytes = Uint8Array.of(...w.written(), ...hexToBytes(extra.join('')));
  bytes[2] = (bytes.length - 20) >> 8;
  bytes[3] = (bytes.length - 20) & 0xff;
  return bytes;
}

function send(client: TestClient, method: Method, before: readonly Raw[], behind: readonly Raw[] = []): Outcome {
  const sent = client.server.input(write(client, method, before, behind), client.path);
  const answers = sent.filter(({ path }) => path === client.path);
  expect(answers.length).toBeLessThan(2);
  return answers[0] === undefined ? 'silence' : codeOf(decodeStun(answers[0].bytes));
}

/** The request with another value of one attribute, in its place or in addition. */
function withValue(attributes: readonly Raw[], changed: Raw): Raw[] {
  const others = attributes.filter(([name]) => name !== changed[0]);
  return [...others, changed];
}

/** What a malformed value of an attribute comes to. */
function expected(method: Method, name: AttributeName, hex: string, outcome: Outcome): Outcome {
  if (name === 'ACCESS-TOKEN') return 420; // no token keys here: not understood (RFC 7635 §7)
  if (name === 'MOBILITY-TICKET' && method === 'Allocate' && hex === '') return outcome; // that is how one is asked for
  return READS[method]!.includes(name) ? 400 : outcome;
}

describe.each(METHODS)('%s', (method) => {
  const make = READY[method]!;

  it('succeeds as it should be, so that what follows means something', () => {
    const { client, attributes, outcome } = make();
    expect(send(client, method, attributes)).toBe(outcome);
  });

  it.each(NAMES)('%s of a wrong length', (name) => {
    for (const hex of wrongLengths(name)) {
      const { client, attributes, outcome } = make();
      expect([hex, send(client, method, withValue(attributes, [name, hex]))]).toEqual([
        hex,
        expected(method, name, hex, outcome),
      ]);
    }
  });

  it.each(READS[method]!)('%s twice: the first counts (RFC 8489 §14)', (name) => {
    if (name === 'MOBILITY-TICKET') return; // no value of it is right here
    const { attributes, outcome } = make();
    const [, good] = attributes.find(([other]) => other === name) ?? [name, goodValue(name)];
    const malformed: Raw = [name, `${good}00`];
    const once = send(make().client, method, withValue(attributes, [name, good]));
    const { client, attributes: fresh } = make();
    const value: Raw = [name, fresh.find(([other]) => other === name)?.[1] ?? good];
    // Of addresses of peers CreatePermission takes all (RFC 8656 §10.2), so that one that is malformed spoils it.
    const all = method === 'CreatePermission' ? 400 : name === 'CONNECTION-ID' ? outcome : once;
    expect(send(client, method, [...withValue(fresh, value), malformed])).toBe(all);
    const again = make();
    expect(send(again.client, method, [malformed, ...again.attributes])).toBe(400);
  });

  it.each(NAMES)('%s behind the integrity is not there (RFC 8489 §9)', (name) => {
    const { client, attributes, outcome } = make();
    const before = attributes.filter(([other]) => other !== name);
    const missing = NEEDED[method]!.includes(name) ? 400 : outcome;
    expect(send(client, method, before, [[name, goodValue(name)]])).toBe(missing);
    const untouched = make();
    expect(send(untouched.client, method, untouched.attributes, [[name, `${goodValue(name)}00`]])).toBe(outcome);
  });
});

describe('a Send indication', () => {
  it.each(NAMES)('with %s of a wrong length is sent on or dropped, never answered', (name) => {
    for (const hex of wrongLengths(name)) {
      const client = allocatedOver('udp');
      client.permit(PEER);
      const w = new StunWriter(new ByteWriter(new Uint8Array(8192)), 'indication', STUN_METHODS.Send, client.newId());
      const attributes = withValue(
        [
          ['XOR-PEER-ADDRESS', PEER_VALUE],
          ['DATA', '0102'],
        ],
        [name, hex],
      );
      for (const [other, value] of attributes) w.addRaw(STUN_ATTRIBUTES[other].type, hexToBytes(value));
      const sent = client.server.input(w.written(), client.path);
      const isMalformed = name === 'XOR-PEER-ADDRESS' || name === 'DONT-FRAGMENT';
      expect(sent.map(({ path }) => path.remote)).toEqual(isMalformed ? [] : [PEER]);
    }
  });
});

describe('messages that are no requests', () => {
  const classes: StunClass[] = ['indication', 'success', 'error'];
  it.each((Object.keys(STUN_METHODS) as Method[]).flatMap((method) => classes.map((c) => [method, c] as const)))(
    '%s %s is not answered',
    (method, messageClass) => {
      const client = allocatedOver('udp');
      const w = new StunWriter(new ByteWriter(new Uint8Array(500)), messageClass, STUN_METHODS[method], client.newId());
      w.addRaw(STUN_ATTRIBUTES['XOR-PEER-ADDRESS'].type, hexToBytes(PEER_VALUE));
      expect(client.server.input(w.written(), client.path)).toEqual([]);
      expect(client.server.core.stats.allocations).toBe(1);
    },
  );

  it('nor are requests of methods that the server does not know', () => {
    const client = allocatedOver('udp');
    const known = [...METHODS, 'Binding'].map((method) => STUN_METHODS[method as Method]);
    for (let method = 0; method < 0x1000; method++) {
      if (known.some((other) => other === method)) continue;
      const w = new StunWriter(new ByteWriter(new Uint8Array(500)), 'request', method, client.newId());
      expect(client.server.input(w.written(), client.path)).toEqual([]);
    }
    expect(client.server.core.stats.allocations).toBe(1);
  });
});
