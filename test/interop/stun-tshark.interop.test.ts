import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, EMPTY, formatIp, type TransportAddress } from '../../src/core/index.ts';
import { pcapHeader, pcapRecord, udpPacket } from '../../src/io/index.ts';
import {
  type AttributeName,
  decodeStun,
  encodeStun,
  IntegrityKey,
  STUN_ATTRIBUTES,
  type StunAttribute,
  type StunMessage,
} from '../../src/stun/index.ts';
import { SeededRandom } from '../sim/index.ts';
import { ENV } from './dtls-peers.ts';
import { requireProgram } from './peers.ts';

const MESSAGES = 1500;

/** One attribute of a name, any value that it may have. */
type Make = (random: SeededRandom) => StunAttribute;

const ip = (random: SeededRandom): string => formatIp(random.bytes(random.chance(0.5) ? 4 : 16));
const at = (random: SeededRandom): TransportAddress => ({ ip: ip(random), port: random.below(0x10000) });
const text = (random: SeededRandom): string =>
  Array.from({ length: 1 + random.below(40) }, () => random.pick([...'abcXYZ019 -:é漢']))
    .join('')
    .trim() || 'x';
const code = (random: SeededRandom): number => 300 + random.below(400);
const bytes = (random: SeededRandom): Uint8Array => random.bytes(random.below(30));
const u64 = (random: SeededRandom): bigint => (BigInt(random.u32()) << 32n) | BigInt(random.u32());

/**
 * Not among them: parameters of password algorithms, of which there are none yet, and RESPONSE-PORT. Wireshark 4.0 miscounts
 * the first, and looks for the second behind a family that it does not have (RFC 5780 §7.5).
 */
const MAKERS: readonly Make[] = [
  (r) => ['MAPPED-ADDRESS', at(r)],
  (r) => ['XOR-MAPPED-ADDRESS', at(r)],
  (r) => ['XOR-PEER-ADDRESS', at(r)],
  (r) => ['XOR-RELAYED-ADDRESS', at(r)],
  (r) => ['ALTERNATE-SERVER', at(r)],
  (r) => ['RESPONSE-ORIGIN', at(r)],
  (r) => ['OTHER-ADDRESS', at(r)],
  (r) => ['USERNAME', text(r)],
  (r) => ['REALM', text(r)],
  (r) => ['SOFTWARE', text(r)],
  (r) => ['ERROR-CODE', { code: code(r), reason: text(r) }],
  (r) => ['UNKNOWN-ATTRIBUTES', Array.from({ length: 1 + r.below(5) }, () => r.below(0x8000))],
  (r) => ['CHANNEL-NUMBER', r.below(0x10000)],
  (r) => ['LIFETIME', r.u32()],
  (r) => ['DATA', bytes(r)],
  (r) => ['EVEN-PORT', r.chance(0.5)],
  (r) => ['REQUESTED-TRANSPORT', r.below(256)],
  () => ['DONT-FRAGMENT', true],
  (r) => ['RESERVATION-TOKEN', r.bytes(8)],
  (r) => ['PRIORITY', r.u32()],
  () => ['USE-CANDIDATE', true],
  (r) => ['ICE-CONTROLLED', u64(r)],
  (r) => ['ICE-CONTROLLING', u64(r)],
  (r) => ['CHANGE-REQUEST', { changeIp: r.chance(0.5), changePort: r.chance(0.5) }],
  (r) => ['REQUESTED-ADDRESS-FAMILY', r.chance(0.5) ? 4 : 6],
  (r) => ['USERHASH', r.bytes(32)],
  () => ['PASSWORD-ALGORITHMS', [1, 2].map((algorithm) => ({ algorithm, parameters: EMPTY }))],
  (r) => ['PASSWORD-ALGORITHM', { algorithm: 1 + r.below(2), parameters: EMPTY }],
  (r) => ['PADDING', bytes(r)],
  (r) => ['CONNECTION-ID', r.u32()],
  (r) => ['MOBILITY-TICKET', bytes(r)],
];

const CLASSES = { request: '0x0000', indication: '0x0001', success: '0x0010', error: '0x0011' } as const;
const hex16 = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

/** What tshark prints for each message, and the same of ours. Several values of one field stand in the message's order. */
const FIELDS: Readonly<Record<string, (message: StunMessage) => readonly string[]>> = {
  'stun.type.class': (m) => [CLASSES[m.messageClass]],
  'stun.type.method': (m) => [hex16(m.method)],
  'stun.length': (m) => [String(m.bytes.length - 20)],
  'stun.id': (m) => [bytesToHex(m.transactionId)],
  'stun.att.type': (m) => m.attributeTypes.map(hex16),
  'stun.att.ipv4': (m) => addresses(m).flatMap(({ ip }) => (ip.includes(':') ? [] : [ip])),
  'stun.att.ipv6': (m) => addresses(m).flatMap(({ ip }) => (ip.includes(':') ? [ip] : [])),
  'stun.att.port': (m) => addresses(m).map(({ port }) => String(port)),
  'stun.att.username': (m) => m.getAll('USERNAME'),
  'stun.att.realm': (m) => m.getAll('REALM'),
  'stun.att.software': (m) => m.getAll('SOFTWARE'),
  'stun.att.error.class': (m) => m.getAll('ERROR-CODE').map((error) => String(Math.floor(error.code / 100))),
  'stun.att.error': (m) => m.getAll('ERROR-CODE').map((error) => String(error.code % 100)),
  'stun.att.error.reason': (m) => m.getAll('ERROR-CODE').map(({ reason }) => reason),
  'stun.att.unknown': (m) => m.getAll('UNKNOWN-ATTRIBUTES').flat().map(hex16),
  'stun.att.lifetime': (m) => m.getAll('LIFETIME').map(String),
  'stun.att.channelnum': (m) => m.getAll('CHANNEL-NUMBER').map(hex16),
  'stun.att.priority': (m) => m.getAll('PRIORITY').map(String),
  'stun.att.transp': (m) =>
    m.getAll('REQUESTED-TRANSPORT').map((protocol) => `0x${protocol.toString(16).padStart(2, '0')}`),
  'stun.att.tie-breaker': (m) =>
    inOrder(m, ['ICE-CONTROLLED', 'ICE-CONTROLLING']).map((value) => value.toString(16).padStart(16, '0')),
  'stun.att.token': (m) => m.getAll('RESERVATION-TOKEN').map((token) => bytesToHex(token)),
  'stun.att.hmac': (m) => (m.has('MESSAGE-INTEGRITY') ? [bytesToHex(m.require('MESSAGE-INTEGRITY'))] : []),
  'stun.att.crc32.status': (m) => (m.hasFingerprint ? ['1'] : []),
  '_ws.malformed': () => [],
};

const ADDRESSES = [
  'MAPPED-ADDRESS',
  'XOR-MAPPED-ADDRESS',
  'XOR-PEER-ADDRESS',
  'XOR-RELAYED-ADDRESS',
  'ALTERNATE-SERVER',
  'RESPONSE-ORIGIN',
  'OTHER-ADDRESS',
] as const;

function addresses(message: StunMessage): readonly TransportAddress[] {
  return inOrder(message, ADDRESSES);
}

/** The values of several kinds of attributes in the order of the message. */
function inOrder<N extends AttributeName>(message: StunMessage, names: readonly N[]) {
  const left = new Map(names.map((name) => [STUN_ATTRIBUTES[name].type, message.getAll(name)]));
  return message.attributeTypes.flatMap((type) => left.get(type)?.splice(0, 1) ?? []);
}

function randomMessage(random: SeededRandom): Uint8Array {
  const key = new IntegrityKey(ENV.crypto, random.bytes(16));
  return encodeStun({
    messageClass: random.pick(['request', 'indication', 'success', 'error']),
    method: random.pick([0x001, 0x003, 0x004, 0x006, 0x007, 0x008, 0x009, 0x00a, 0x00b, 0x00c]),
    transactionId: random.bytes(12),
    attributes: Array.from({ length: random.below(7) }, () => random.pick(MAKERS)(random)),
    integrity: random.chance(0.5) ? [{ key, algorithm: 'sha-1' }] : [],
    fingerprint: random.chance(0.7),
  });
}

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-stun-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('tshark and our decoder', () => {
  it(`read ${MESSAGES} random messages alike`, () => {
    const random = new SeededRandom(8489);
    const messages = Array.from({ length: MESSAGES }, () => randomMessage(random));
    const packets = messages.map((m, i) => pcapRecord(udpPacket('192.0.2.1:50000', '192.0.2.2:3478', m), i * 1000));
    const capture = join(folder, 'stun.pcap');
    writeFileSync(capture, concatBytes(pcapHeader(), ...packets));
    const names = Object.keys(FIELDS);
    const args = ['-r', capture, '-T', 'fields', '-E', 'separator=/t', '-E', 'aggregator=|', '-E', 'occurrence=a'];
    const printed = execFileSync(requireProgram('tshark'), [...args, ...names.flatMap((name) => ['-e', name])], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 64 * 1024 * 1024,
    });
    const lines = printed.split('\n').slice(0, -1);
    expect(lines).toHaveLength(MESSAGES);
    for (const [i, line] of lines.entries()) {
      const message = decodeStun(messages[i] ?? new Uint8Array(0));
      const values = line.split('\t');
      const theirs = Object.fromEntries(names.map((name, column) => [name, values[column]]));
      const ours = Object.fromEntries(Object.entries(FIELDS).map(([name, read]) => [name, read(message).join('|')]));
      expect(ours, bytesToHex(message.bytes)).toEqual(theirs);
    }
  });
});
