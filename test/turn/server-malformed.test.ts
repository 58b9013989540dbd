import { describe, expect, it } from 'vitest';
import { ByteWriter, bytesToHex, createTransmitSlot, type FiveTuple, hexToBytes } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import {
  type AttributeName,
  decodeStun,
  IntegrityKey,
  longTermKey,
  STUN_ATTRIBUTES,
  STUN_METHODS,
  type StunMessage,
  StunServer,
  StunWriter,
} from '../../src/stun/index.ts';
import { SimWorld, simEnv } from '../sim/index.ts';
import { allocated, codeOf, PASSWORD, PEER, TestClient, TestServer, USER } from './server/harness.ts';

/** An attribute with any value, in hexadecimal. */
type Raw = readonly [name: AttributeName | number, value: string];
/** The right one, whatever the attributes say. */
const KEY = new IntegrityKey(nodeCrypto, longTermKey(nodeCrypto, USER, 'example.org', PASSWORD, 'sha-256'));
type Method = keyof typeof STUN_METHODS;

const typeOf = (name: AttributeName | number): number => (typeof name === 'number' ? name : STUN_ATTRIBUTES[name].type);
/** XOR-PEER-ADDRESS of the harness's peer, 203.0.113.5:9000. */
const PEER_VALUE = '0001023aea12d547';
const TRANSPORT: Raw = ['REQUESTED-TRANSPORT', '11000000'];

/** A TLV as bytes, padded. */
function tlv([name, value]: Raw): string {
  const length = value.length / 2;
  const header = typeOf(name).toString(16).padStart(4, '0') + length.toString(16).padStart(4, '0');
  return header + value + '00'.repeat(-length & 3);
}

/** A request with raw attributes in front of the integrity, and more of them behind it. */
function build(client: TestClient, method: Method, before: readonly Raw[], behind: readonly Raw[] = []): Uint8Array {
  const w = new StunWriter(new ByteWriter(new Uint8Array(4096)), 'request', STUN_METHODS[method], client.newId());
  for (const [name, value] of before) w.addRaw(typeOf(name), hexToBytes(value));
  client.credentials.sign(w, STUN_METHODS[method]);
  return append(w.written(), behind.map(tlv).join(''));
}

/** Puts bytes behind a message and repairs its length, as anybody on the path can. */
function append(message: Uint8Array, hex: string): Uint8Array {
  const bytes = Uint8Array.of(...message, ...hexToBytes(hex));
  const length = bytes.length - 20;
  bytes.set([length >> 8, length & 0xff], 2);
  return bytes;
}

function ask(client: TestClient, bytes: Uint8Array): StunMessage | undefined {
  const sent = client.server.input(bytes, client.path).filter(({ path }) => path === client.path);
  expect(sent.length).toBeLessThanOrEqual(1);
  return sent[0] === undefined ? undefined : decodeStun(sent[0].bytes);
}

/** 0 success, an error code, or `silence`. */
function outcome(client: TestClient, bytes: Uint8Array): number | 'silence' {
  const answer = ask(client, bytes);
  return answer === undefined ? 'silence' : codeOf(answer);
}

/** A client that has been challenged, and has no allocation. */
function challenged(): TestClient {
  const client = new TestClient(new TestServer());
  expect(codeOf(client.request('Refresh'))).toBe(437);
  return client;
}

describe('Allocate (RFC 8656 §7.2)', () => {
  it.each([
    ['REQUESTED-TRANSPORT missing', [], 400],
    ['REQUESTED-TRANSPORT truncated', [['REQUESTED-TRANSPORT', '110000']], 400],
    ['REQUESTED-TRANSPORT empty', [['REQUESTED-TRANSPORT', '']], 400],
    ['REQUESTED-TRANSPORT over-long', [['REQUESTED-TRANSPORT', '1100000000']], 400],
    ['REQUESTED-TRANSPORT of another protocol', [['REQUESTED-TRANSPORT', '84000000']], 442],
    ['REQUESTED-TRANSPORT twice, the first counts', [TRANSPORT, ['REQUESTED-TRANSPORT', '84000000']], 0],
    ['REQUESTED-TRANSPORT twice, the second malformed', [TRANSPORT, ['REQUESTED-TRANSPORT', '11']], 0],
    ['LIFETIME truncated', [TRANSPORT, ['LIFETIME', '000258']], 400],
    ['LIFETIME over-long', [TRANSPORT, ['LIFETIME', '0000025800']], 400],
    ['LIFETIME twice', [TRANSPORT, ['LIFETIME', '00000258'], ['LIFETIME', '00']], 0],
    ['REQUESTED-ADDRESS-FAMILY truncated', [TRANSPORT, ['REQUESTED-ADDRESS-FAMILY', '01']], 400],
    ['REQUESTED-ADDRESS-FAMILY over-long', [TRANSPORT, ['REQUESTED-ADDRESS-FAMILY', '0100000000']], 400],
    ['REQUESTED-ADDRESS-FAMILY unknown', [TRANSPORT, ['REQUESTED-ADDRESS-FAMILY', '03000000']], 400],
    ['ADDITIONAL-ADDRESS-FAMILY truncated', [TRANSPORT, ['ADDITIONAL-ADDRESS-FAMILY', '02']], 400],
    ['ADDITIONAL-ADDRESS-FAMILY of IPv4', [TRANSPORT, ['ADDITIONAL-ADDRESS-FAMILY', '01000000']], 400],
    ['EVEN-PORT empty', [TRANSPORT, ['EVEN-PORT', '']], 400],
    ['EVEN-PORT over-long', [TRANSPORT, ['EVEN-PORT', '8000']], 400],
    ['RESERVATION-TOKEN truncated', [TRANSPORT, ['RESERVATION-TOKEN', '00'.repeat(7)]], 400],
    ['RESERVATION-TOKEN over-long', [TRANSPORT, ['RESERVATION-TOKEN', '00'.repeat(9)]], 400],
    ['RESERVATION-TOKEN that nobody gave', [TRANSPORT, ['RESERVATION-TOKEN', '00'.repeat(8)]], 508],
    ['DONT-FRAGMENT, which is not supported here', [TRANSPORT, ['DONT-FRAGMENT', '']], 420],
    ['DONT-FRAGMENT with a value', [TRANSPORT, ['DONT-FRAGMENT', '00']], 420],
    ['an unknown attribute that must be understood', [TRANSPORT, [0x7fff, '']], 420],
    ['an unknown attribute that need not be', [TRANSPORT, [0xbfff, '0102']], 0],
    ['a known attribute that does not belong here, malformed', [TRANSPORT, ['PRIORITY', '01']], 0],
    ['XOR-PEER-ADDRESS, which does not belong here, malformed', [TRANSPORT, ['XOR-PEER-ADDRESS', '']], 0],
    ['SOFTWARE that is not UTF-8', [TRANSPORT, ['SOFTWARE', 'ff']], 0],
  ] as [string, Raw[], number][])('%s', (_name, attributes, code) => {
    const client = challenged();
    const answer = ask(client, build(client, 'Allocate', attributes));
    expect(answer === undefined ? 'silence' : codeOf(answer)).toBe(code);
    expect(client.credentials.verify(answer!)).toBe(true); // authenticated, so answered under the same key
    expect(client.server.core.stats.allocations).toBe(code === 0 ? 1 : 0);
    expect(client.server.sockets.size).toBe(code === 0 ? 1 : 0);
  });

  it('DONT-FRAGMENT with a value is malformed where it is understood', () => {
    const ask = (value: string) => {
      const client = new TestClient(new TestServer({ dontFragment: true }));
      client.request('Refresh');
      return outcome(client, build(client, 'Allocate', [TRANSPORT, ['DONT-FRAGMENT', value]]));
    };
    expect([ask(''), ask('00')]).toEqual([0, 400]);
  });

  it('what stands behind the integrity is not there (RFC 8489 §9)', () => {
    const client = challenged();
    expect(outcome(client, build(client, 'Allocate', [], [TRANSPORT]))).toBe(400);
    expect(outcome(client, build(client, 'Allocate', [TRANSPORT], [[0x7fff, '']]))).toBe(0);
    const short = challenged();
    const answer = ask(short, build(short, 'Allocate', [TRANSPORT], [['LIFETIME', '00000e10']]));
    expect(answer?.get('LIFETIME')).toBe(600);
  });
});

describe('credentials (RFC 8489 §9.2.4)', () => {
  const good = (client: TestClient): Record<string, string> => {
    const message = decodeStun(build(client, 'Allocate', [TRANSPORT]));
    const value = (name: AttributeName) => bytesToHex(message.valueBytes(name)!);
    const names = ['USERNAME', 'REALM', 'NONCE', 'PASSWORD-ALGORITHMS', 'PASSWORD-ALGORITHM'] as const;
    return Object.fromEntries(names.map((name) => [name, value(name)]));
  };

  /** Signs with the right key whatever stands in the attributes. */
  function withCredentials(client: TestClient, change: Record<string, string | undefined>): Uint8Array {
    const values: Record<string, string | undefined> = { ...good(client), ...change };
    const order: AttributeName[] = [
      'USERNAME',
      'USERHASH',
      'REALM',
      'NONCE',
      'PASSWORD-ALGORITHMS',
      'PASSWORD-ALGORITHM',
    ];
    const before: Raw[] = [TRANSPORT];
    for (const name of order) {
      const value = values[name];
      if (value !== undefined) before.push([name, value]);
    }
    const w = new StunWriter(new ByteWriter(new Uint8Array(4096)), 'request', STUN_METHODS.Allocate, client.newId());
    for (const [name, value] of before) w.addRaw(typeOf(name), hexToBytes(value));
    w.addIntegrity(KEY, 'sha-256');
    return w.written();
  }

  it.each([
    ['USERNAME that is not UTF-8', { USERNAME: 'ff' }, 400],
    ['USERNAME of 764 bytes', { USERNAME: '61'.repeat(764) }, 400],
    ['USERNAME empty', { USERNAME: '' }, 401],
    ['USERNAME missing', { USERNAME: undefined }, 400],
    ['USERHASH truncated', { USERNAME: undefined, USERHASH: '00'.repeat(31) }, 400],
    ['REALM missing', { REALM: undefined }, 400],
    ['REALM that is not UTF-8', { REALM: 'ff' }, 400],
    ['REALM of somebody else', { REALM: '6f74686572' }, 401],
    ['NONCE missing', { NONCE: undefined }, 400],
    ['NONCE empty', { NONCE: '' }, 401],
    ['PASSWORD-ALGORITHM truncated', { 'PASSWORD-ALGORITHM': '0002' }, 400],
    ['PASSWORD-ALGORITHM over-long', { 'PASSWORD-ALGORITHM': '0002000000010000' }, 400],
    ['PASSWORD-ALGORITHM that was not offered', { 'PASSWORD-ALGORITHM': '00030000' }, 400],
    ['PASSWORD-ALGORITHMS truncated', { 'PASSWORD-ALGORITHMS': '00020000000100' }, 400],
    ['PASSWORD-ALGORITHMS with one taken out', { 'PASSWORD-ALGORITHMS': '00010000' }, 400],
  ] as [string, Record<string, string | undefined>, number][])('%s: an unsigned error', (_name, change, code) => {
    const client = challenged();
    const answer = ask(client, withCredentials(client, change));
    expect(answer === undefined ? 'silence' : codeOf(answer)).toBe(code);
    expect(answer?.has('MESSAGE-INTEGRITY') || answer?.has('MESSAGE-INTEGRITY-SHA256')).toBe(false);
    expect(client.server.core.stats.allocations).toBe(0);
  });
});

describe('with an allocation (RFC 8656 §8.2, §10.2, §12.2)', () => {
  it.each([
    ['Refresh', 'LIFETIME truncated', [['LIFETIME', '0000']], 400],
    ['Refresh', 'LIFETIME over-long', [['LIFETIME', '0000000000']], 400],
    [
      'Refresh',
      'LIFETIME twice, the second zero',
      [
        ['LIFETIME', '00000258'],
        ['LIFETIME', '00000000'],
      ],
      0,
    ],
    ['Refresh', 'REQUESTED-ADDRESS-FAMILY unknown', [['REQUESTED-ADDRESS-FAMILY', '09000000']], 400],
    ['Refresh', 'REQUESTED-ADDRESS-FAMILY that it has not', [['REQUESTED-ADDRESS-FAMILY', '02000000']], 443],
    ['Refresh', 'an unknown attribute', [[0x7ffe, '']], 420],
    ['CreatePermission', 'no XOR-PEER-ADDRESS', [], 400],
    ['CreatePermission', 'XOR-PEER-ADDRESS truncated', [['XOR-PEER-ADDRESS', PEER_VALUE.slice(2)]], 400],
    ['CreatePermission', 'XOR-PEER-ADDRESS empty', [['XOR-PEER-ADDRESS', '']], 400],
    ['CreatePermission', 'XOR-PEER-ADDRESS over-long', [['XOR-PEER-ADDRESS', `${PEER_VALUE}00`]], 400],
    ['CreatePermission', 'XOR-PEER-ADDRESS of no family', [['XOR-PEER-ADDRESS', `0000${PEER_VALUE.slice(4)}`]], 400],
    [
      'CreatePermission',
      'a good and a malformed one',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['XOR-PEER-ADDRESS', '00'],
      ],
      400,
    ],
    [
      'CreatePermission',
      'a good and a forbidden one',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['XOR-PEER-ADDRESS', '000100005e12a443'],
      ],
      403,
    ],
    ['ChannelBind', 'no CHANNEL-NUMBER', [['XOR-PEER-ADDRESS', PEER_VALUE]], 400],
    ['ChannelBind', 'no XOR-PEER-ADDRESS', [['CHANNEL-NUMBER', '40000000']], 400],
    [
      'ChannelBind',
      'CHANNEL-NUMBER truncated',
      [
        ['CHANNEL-NUMBER', '4000'],
        ['XOR-PEER-ADDRESS', PEER_VALUE],
      ],
      400,
    ],
    [
      'ChannelBind',
      'CHANNEL-NUMBER over-long',
      [
        ['CHANNEL-NUMBER', '4000000000'],
        ['XOR-PEER-ADDRESS', PEER_VALUE],
      ],
      400,
    ],
    [
      'ChannelBind',
      'CHANNEL-NUMBER below the range',
      [
        ['CHANNEL-NUMBER', '3fff0000'],
        ['XOR-PEER-ADDRESS', PEER_VALUE],
      ],
      400,
    ],
    [
      'ChannelBind',
      'CHANNEL-NUMBER above all ranges',
      [
        ['CHANNEL-NUMBER', '80000000'],
        ['XOR-PEER-ADDRESS', PEER_VALUE],
      ],
      400,
    ],
    [
      'ChannelBind',
      'XOR-PEER-ADDRESS truncated',
      [
        ['CHANNEL-NUMBER', '40000000'],
        ['XOR-PEER-ADDRESS', '0001'],
      ],
      400,
    ],
    [
      'ChannelBind',
      'port 0',
      [
        ['CHANNEL-NUMBER', '40000000'],
        ['XOR-PEER-ADDRESS', `00012112${PEER_VALUE.slice(8)}`],
      ],
      400,
    ],
  ] as [Method, string, Raw[], number][])('%s, %s', (method, _name, attributes, code) => {
    const { client, server } = allocated();
    const answer = ask(client, build(client, method, attributes));
    expect(answer === undefined ? 'silence' : codeOf(answer)).toBe(code);
    expect(client.credentials.verify(answer!)).toBe(true);
    expect(server.core.stats.allocations).toBe(1);
    // What was refused has installed nothing: the peer cannot get in.
    if (method !== 'Refresh')
      expect(server.fromPeer([...server.sockets.values()][0]!, PEER, Uint8Array.of(1))).toEqual([]);
  });

  it('what stands behind the integrity changes nothing', () => {
    const { client, server, relayed } = allocated();
    const behind: Raw[] = [['XOR-PEER-ADDRESS', PEER_VALUE]];
    expect(outcome(client, build(client, 'CreatePermission', [], behind))).toBe(400);
    expect(outcome(client, build(client, 'Refresh', [], [['LIFETIME', '00000000']]))).toBe(0);
    expect(server.core.stats.allocations).toBe(1);
    expect(server.fromPeer(relayed, PEER, Uint8Array.of(1))).toEqual([]);
  });

  it.each([
    ['no DATA', [['XOR-PEER-ADDRESS', PEER_VALUE]], 0],
    ['no XOR-PEER-ADDRESS', [['DATA', '01']], 0],
    [
      'XOR-PEER-ADDRESS truncated',
      [
        ['XOR-PEER-ADDRESS', '0001'],
        ['DATA', '01'],
      ],
      0,
    ],
    [
      'XOR-PEER-ADDRESS over-long',
      [
        ['XOR-PEER-ADDRESS', `${PEER_VALUE}00`],
        ['DATA', '01'],
      ],
      0,
    ],
    [
      'an unknown attribute that must be understood',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['DATA', '01'],
        [0x7fff, ''],
      ],
      0,
    ],
    [
      'DONT-FRAGMENT, which is not supported here',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['DATA', '01'],
        ['DONT-FRAGMENT', ''],
      ],
      0,
    ],
    [
      'DATA twice, the first counts',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['DATA', '01'],
        ['DATA', '02'],
      ],
      1,
    ],
    [
      'DATA in front of the address',
      [
        ['DATA', '01'],
        ['XOR-PEER-ADDRESS', PEER_VALUE],
      ],
      1,
    ],
    [
      'no bytes of DATA',
      [
        ['XOR-PEER-ADDRESS', PEER_VALUE],
        ['DATA', ''],
      ],
      1,
    ],
  ] as [string, Raw[], number][])('a Send indication with %s is never answered', (_name, attributes, count) => {
    const { client, server } = allocated();
    client.permit(PEER);
    const w = new StunWriter(new ByteWriter(new Uint8Array(500)), 'indication', STUN_METHODS.Send, client.newId());
    for (const [name, value] of attributes) w.addRaw(typeOf(name), hexToBytes(value));
    const sent = server.input(w.written(), client.path);
    expect(sent.map(({ path }) => path.remote)).toEqual(new Array(count).fill(PEER));
    if (count === 0) expect(server.core.drops.total).toBe(1);
  });
});

describe('integrity and fingerprint', () => {
  it.each([
    ['FINGERPRINT with a wrong CRC', '8028000400000000'],
    ['FINGERPRINT truncated', '8028000300000000'],
    ['FINGERPRINT with something behind it', '80280004000000008022000400000000'],
    ['half an attribute', '80220010'],
    ['an attribute longer than the message', '8022ffff00000000'],
  ])('%s: silence', (_name, hex) => {
    const client = challenged();
    const message = append(build(client, 'Allocate', [TRANSPORT]), hex);
    expect(outcome(client, message)).toBe('silence');
    expect(client.server.core.drops.total).toBe(1);
  });

  it.each([
    ['MESSAGE-INTEGRITY truncated', '0008', 19],
    ['MESSAGE-INTEGRITY over-long', '0008', 24],
    ['MESSAGE-INTEGRITY-SHA256 truncated to 16 bytes', '001c', 16],
    ['MESSAGE-INTEGRITY-SHA256 of no bytes', '001c', 0],
    ['MESSAGE-INTEGRITY-SHA256 over-long', '001c', 36],
  ])('%s: 401', (_name, type, length) => {
    const client = challenged();
    const whole = decodeStun(build(client, 'Allocate', [TRANSPORT]));
    const end = whole.valueOffset('MESSAGE-INTEGRITY-SHA256') - 4;
    const value = bytesToHex(whole.valueBytes('MESSAGE-INTEGRITY-SHA256')!)
      .padEnd(72, '0')
      .slice(0, length * 2);
    const cut = append(whole.bytes.slice(0, end), tlv([Number.parseInt(type, 16), value]));
    expect(outcome(client, cut)).toBe(401);
  });
});

describe('every attribute of the registry, in every request', () => {
  const names = Object.keys(STUN_ATTRIBUTES) as AttributeName[];
  const values = ['', '00', '000100', 'ffffffff', '00'.repeat(5), '00'.repeat(33), 'ff'.repeat(764)];
  const skipped: AttributeName[] = ['MESSAGE-INTEGRITY', 'MESSAGE-INTEGRITY-SHA256', 'FINGERPRINT'];

  it.each(['Allocate', 'Refresh', 'CreatePermission', 'ChannelBind'] as const)(
    '%s answers once, with success or an error that the RFC names, or is silent',
    (method) => {
      const { client } = allocated({ unauthenticatedRate: { perSecond: 1e9, burst: 1e9 } });
      const seen = new Set<number | 'silence'>();
      for (const name of names) {
        if (skipped.includes(name)) continue;
        for (const value of values) {
          seen.add(outcome(client, build(client, method, [[name, value]])));
          seen.add(outcome(client, build(client, method, [], [[name, value]])));
        }
      }
      for (const code of seen) expect([0, 400, 401, 403, 405, 420, 437, 438, 442, 443, 'silence']).toContain(code);
    },
  );

  it('a Binding request is answered by the STUN server too, whatever stands in it', () => {
    const primary = { ip: '192.0.2.1', port: 3478 };
    const path: FiveTuple = { protocol: 'udp', local: primary, remote: { ip: '198.51.100.9', port: 4000 } };
    const server = new StunServer({
      env: simEnv(new SimWorld(1), nodeCrypto),
      behaviourDiscovery: { primary, alternate: { ip: '192.0.2.2', port: 3479 } },
    });
    const codes = new Map<AttributeName, Set<number | 'silence'>>();
    for (const name of names) {
      for (const value of values) {
        const w = new StunWriter(new ByteWriter(new Uint8Array(2000)), 'request', 1, new Uint8Array(12));
        w.addRaw(typeOf(name), hexToBytes(value));
        server.handleInput(w.written(), path, 0);
        const slot = createTransmitSlot<FiveTuple>(2000);
        const answered = server.pollTransmit(slot);
        const code = answered
          ? codeOf(decodeStun(slot.buffer.subarray(slot.offset, slot.offset + slot.length)))
          : 'silence';
        codes.set(name, (codes.get(name) ?? new Set()).add(code));
        expect(server.pollTransmit(slot)).toBe(false);
      }
    }
    const unusual = [...codes].filter(([, set]) => set.size > 1 || !set.has(0)).map(([name, set]) => [name, [...set]]);
    // Only what a Binding request reads can be malformed for it; a malformed FINGERPRINT is not STUN at all.
    expect(unusual).toEqual([
      ['CHANGE-REQUEST', [400, 0]],
      ['RESPONSE-PORT', [400, 0]],
      ['FINGERPRINT', ['silence']],
    ]);
  });
});
