import { describe, expect, it } from 'vitest';
import type { DropReason } from '../../src/core/index.ts';
import { hexToBytes } from '../../src/core/index.ts';
import { MAX_QUOTED_BYTES } from '../../src/sctp/limits.ts';
import { connectedPair, type Pair, pattern } from './helpers.ts';
import { chunksOf, hex32, packet, rawPacket, tagOf } from './packets.ts';

interface Wire {
  /** Tag of packets to b. */
  readonly tag: number;
  /** The TSN that a would use next, as b sees it. */
  readonly tsn: number;
}

/** A pair after one message each way, and what a's next packet to b must look like. */
function established(options: Parameters<typeof connectedPair>[0] = {}): { pair: Pair; wire: Wire } {
  const pair = connectedPair({ ...options, a: { interleaving: false, initialTsn: 1000, ...options.a } });
  let tag = 0;
  pair.a.end.link.onSend = (bytes) => {
    tag = tagOf(bytes);
  };
  pair.a.send({ bytes: pattern(10, 1) });
  pair.world.run({ until: pair.world.now + 1000 });
  pair.b.messages.length = 0;
  return { pair, wire: { tag, tsn: 1001 } };
}

const DATA = (tsn: number, flags: string, stream = '0000', ssn = '0001', data = '61626364', length = '0014') =>
  `00${flags}${length}${hex32(tsn)}${stream}${ssn}00000033${data}`;

/** What b makes of chunks: the drop reason, and the error cause of its ABORT when the association ends for it. */
const TABLE: readonly [string, (w: Wire) => Uint8Array, DropReason, number | undefined][] = [
  ['an empty packet', (w) => rawPacket(w.tag, new Uint8Array(0)), 'too-short', undefined],
  ['half a chunk header', (w) => rawPacket(w.tag, hexToBytes('0300')), 'too-short', undefined],
  ['chunk length 0', (w) => rawPacket(w.tag, hexToBytes('03000000')), 'bad-length', undefined],
  ['chunk length 1', (w) => rawPacket(w.tag, hexToBytes('03000001')), 'bad-length', undefined],
  ['chunk length 2', (w) => rawPacket(w.tag, hexToBytes('03000002')), 'bad-length', undefined],
  ['chunk length 3', (w) => rawPacket(w.tag, hexToBytes('0300000300000000')), 'bad-length', undefined],
  ['length 0 in a later chunk', (w) => rawPacket(w.tag, hexToBytes('0b00000400000000')), 'bad-length', undefined],
  ['chunk longer than the packet', (w) => rawPacket(w.tag, hexToBytes('0000ffff00000000')), 'bad-length', undefined],
  ['a wrong tag', (w) => packet(w.tag ^ 1, '0b000004'), 'bad-tag', undefined],
  ['tag 0', () => packet(0, '0b000004'), 'bad-tag', undefined],
  ['INIT with a tag', (w) => packet(w.tag, `01000014${'00000001'.repeat(4)}`), 'bad-tag', undefined],
  ['INIT not alone', () => packet(0, `01000014${'00010001'.repeat(4)}`, '0b000004'), 'bad-tag', undefined],
  ['INIT too short', () => packet(0, '0100000800000001'), 'too-short', undefined],
  [
    'INIT with initiate tag 0',
    () => packet(0, `010000140000000000010000${'00010001'.repeat(2)}`),
    'bad-value',
    undefined,
  ],
  ['INIT without streams', () => packet(0, '010000140000000100010000000000010000000a'), 'bad-value', undefined],
  [
    'INIT with a nested parameter of length 3',
    () => packet(0, `01000018${'00010001'.repeat(4)}80080003`),
    'bad-length',
    undefined,
  ],
  ['INIT with a cut parameter', () => packet(0, `01000018${'00010001'.repeat(4)}80080030`), 'bad-length', undefined],
  ['INIT ACK in the wrong state', (w) => packet(w.tag, `02000014${'00010001'.repeat(4)}`), 'bad-state', undefined],
  ['COOKIE ECHO that is forged', (w) => packet(w.tag, `0a00003c${'00'.repeat(56)}`), 'bad-cookie', undefined],
  ['COOKIE ACK out of turn', (w) => packet(w.tag, '0b000004'), 'bad-state', undefined],
  ['DATA too short', (w) => packet(w.tag, '0003000c00000000aaaa0000'), 'too-short', undefined],
  ['DATA without user data', (w) => packet(w.tag, DATA(w.tsn, '03', '0000', '0001', '', '0010')), 'bad-value', 9],
  ['DATA with a TSN far ahead', (w) => packet(w.tag, DATA(w.tsn + 70_000, '03')), 'out-of-window', undefined],
  ['DATA with a TSN far behind', (w) => packet(w.tag, DATA(w.tsn - 70_000, '03')), 'duplicate', undefined],
  ['a fragment without a beginning', (w) => packet(w.tag, DATA(w.tsn, '01')), 'bad-value', 13],
  ['a middle fragment without a beginning', (w) => packet(w.tag, DATA(w.tsn, '00')), 'bad-value', 13],
  [
    'a continuation on another stream',
    (w) => packet(w.tag, DATA(w.tsn, '02'), DATA(w.tsn + 1, '01', '0001')),
    'bad-value',
    13,
  ],
  [
    'a continuation with another SSN',
    (w) => packet(w.tag, DATA(w.tsn, '02'), DATA(w.tsn + 1, '01', '0000', '0002')),
    'bad-value',
    13,
  ],
  [
    'I-DATA that was not agreed on',
    (w) => packet(w.tag, `40030018${hex32(w.tsn)}${'00000000'.repeat(3)}61626364`),
    'bad-value',
    13,
  ],
  ['SACK too short', (w) => packet(w.tag, '0300000c0000000000000000'), 'too-short', undefined],
  [
    'SACK whose counts do not fill it',
    (w) => packet(w.tag, '03000010000000000000ffff00020000'),
    'bad-length',
    undefined,
  ],
  [
    'SACK for what was never sent', // RFC 9260 §12.4
    (w) => packet(w.tag, '03000010700000000000ffff00000000'),
    'bad-value',
    13,
  ],
  [
    'SACK with a gap block that starts at 0',
    (w) => packet(w.tag, '03000014000000000000ffff0001000000000003'),
    'bad-value',
    undefined,
  ],
  [
    'SACK with a gap block backwards',
    (w) => packet(w.tag, '03000014000000000000ffff0001000000050003'),
    'bad-value',
    undefined,
  ],
  [
    'SACK with overlapping gap blocks',
    (w) => packet(w.tag, '03000018000000000000ffff000200000002000400030006'),
    'bad-value',
    undefined,
  ],
  ['SHUTDOWN of a wrong length', (w) => packet(w.tag, '07000004'), 'bad-length', undefined],
  ['SHUTDOWN ACK out of turn', (w) => packet(w.tag, '08000004'), 'bad-state', undefined],
  ['SHUTDOWN COMPLETE out of turn', (w) => packet(w.tag, '0e000004'), 'bad-state', undefined],
  ['HEARTBEAT without information', (w) => packet(w.tag, '04000004'), 'missing', undefined],
  ['HEARTBEAT ACK for nothing', (w) => packet(w.tag, '0500000c0001000800000000'), 'unknown-transaction', undefined],
  ['RE-CONFIG without parameters', (w) => packet(w.tag, '82000004'), 'missing', undefined],
  [
    'RE-CONFIG with three',
    (w) => packet(w.tag, `82000028${'0010000c0000000000000001'.repeat(3)}`),
    'too-many',
    undefined,
  ],
  ['RE-CONFIG of an unknown kind', (w) => packet(w.tag, '8200001000330 00c0000000000000001'), 'bad-type', undefined],
  [
    'RE-CONFIG with half a stream number',
    (w) => packet(w.tag, '82000015000d001100000000000000000000000001'),
    'bad-length',
    undefined,
  ],
  ['RE-CONFIG parameter too short', (w) => packet(w.tag, '8200000c000d000800000000'), 'too-short', undefined],
  ['FORWARD TSN too short', (w) => packet(w.tag, 'c0000004'), 'too-short', undefined],
  ['FORWARD TSN with half an entry', (w) => packet(w.tag, 'c000000a000003ea0001'), 'bad-length', undefined],
  ['an old FORWARD TSN', (w) => packet(w.tag, 'c000000800000001'), 'stale', undefined],
  ['I-FORWARD-TSN that was not agreed on', (w) => packet(w.tag, 'c2000008000007d0'), 'bad-value', 13],
  ['an unknown chunk', (w) => packet(w.tag, '3f000004'), 'unsupported', undefined],
  ['ERROR with a cut cause', (w) => packet(w.tag, '0900000800010009'), 'bad-length', undefined],
];

describe('malformed packets into an established association', () => {
  it.each(TABLE)('%s', (_name, make, reason, abortCause) => {
    const { pair, wire } = established({ b: { interleaving: false } });
    const before = pair.b.core.drops.get(reason);
    const answers: { type: number; bytes: Uint8Array }[] = [];
    pair.b.end.link.onSend = (bytes) => answers.push(...chunksOf(bytes));
    pair.b.end.driver.input(make(wire), undefined);
    expect(pair.b.core.drops.get(reason)).toBe(before + 1);
    const abort = answers.find((chunk) => chunk.type === 6);
    if (abortCause === undefined) {
      expect(pair.b.core.state).toBe('established');
      pair.a.send({ bytes: pattern(20, 2) });
      pair.b.send({ bytes: pattern(20, 3) });
      pair.world.run({ until: pair.world.now + 10_000 });
      expect(pair.b.messages.length).toBe(1);
      expect(pair.a.messages.length).toBe(1);
    } else {
      expect(pair.b.core.state).toBe('closed');
      expect((abort!.bytes[4]! << 8) | abort!.bytes[5]!).toBe(abortCause);
      expect(pair.b.end.events.at(-1)).toMatchObject({ type: 'aborted', byPeer: false, cause: abortCause });
    }
  });

  it('corrupt packets and packets of other ports', () => {
    const { pair, wire } = established();
    const bytes = packet(wire.tag, '0b000004');
    bytes[9]! ^= 1;
    pair.b.end.driver.input(bytes, undefined);
    expect(pair.b.core.drops.get('bad-checksum')).toBe(1);
    const other = packet(wire.tag, '0b000004');
    other[1]! ^= 1;
    pair.b.end.driver.input(other, undefined);
    expect(pair.b.core.drops.get('unknown-peer')).toBe(1);
  });

  it.each([
    ['3f', 'stops', false, false],
    ['7f', 'stops and reports', false, true],
    ['bf', 'goes on', true, false],
    ['ff', 'goes on and reports', true, true],
  ])('the high bits of an unknown chunk type 0x%s: %s (RFC 9260 §3.2)', (type, _what, goesOn, reports) => {
    const { pair, wire } = established();
    const answers: { type: number; bytes: Uint8Array }[] = [];
    pair.b.end.link.onSend = (bytes) => answers.push(...chunksOf(bytes));
    pair.b.end.driver.input(packet(wire.tag, `${type}0000080badcafe`, '0400000c0001000801020304'), undefined);
    expect(answers.some((chunk) => chunk.type === 5)).toBe(goesOn);
    const error = answers.find((chunk) => chunk.type === 9);
    expect(error !== undefined).toBe(reports);
    if (reports)
      expect([...error!.bytes.subarray(4)]).toEqual([
        0,
        6,
        0,
        12,
        Number.parseInt(type, 16),
        0,
        0,
        8,
        11,
        173,
        202,
        254,
      ]);
  });

  it('what is quoted of an unknown chunk is bounded by MAX_QUOTED_BYTES', () => {
    const { pair, wire } = established();
    const answers: { type: number; bytes: Uint8Array }[] = [];
    pair.b.end.link.onSend = (bytes) => answers.push(...chunksOf(bytes));
    const error = (length: number) => {
      answers.length = 0;
      const chunk = new Uint8Array(length).fill(0xff);
      chunk.set([length >>> 8, length], 2);
      pair.b.end.driver.input(packet(wire.tag, chunk), undefined);
      return answers.find((answer) => answer.type === 9)!.bytes.length;
    };
    expect(error(MAX_QUOTED_BYTES)).toBe(8 + MAX_QUOTED_BYTES);
    expect(error(1100)).toBe(8 + MAX_QUOTED_BYTES);
  });

  it('DATA on a stream that does not exist is acknowledged and reported (RFC 9260 §6.5)', () => {
    const { pair, wire } = established({ b: { inboundStreams: 4, interleaving: false } });
    const answers: { type: number; bytes: Uint8Array }[] = [];
    pair.b.end.link.onSend = (bytes) => answers.push(...chunksOf(bytes));
    pair.b.end.driver.input(packet(wire.tag, DATA(wire.tsn, '0b', '0004')), undefined);
    expect(answers.map((chunk) => chunk.type)).toEqual([9, 3]);
    expect([...answers[0]!.bytes.subarray(4)]).toEqual([0, 1, 0, 8, 0, 4, 0, 0]);
    expect([...answers[1]!.bytes.subarray(4, 8)]).toEqual([0, 0, 3, 233]);
    expect(pair.b.messages.length).toBe(0);
  });

  it('a message beyond max-message-size ends the association (out of resource)', () => {
    const pair = connectedPair({ b: { maxMessageSize: 5000 } });
    pair.a.send({ bytes: pattern(5000, 1) });
    pair.world.run({ until: 1000 });
    expect(pair.b.messages.length).toBe(1);
    pair.a.send({ bytes: pattern(5001, 1) });
    pair.world.run({ until: 2000 });
    expect(pair.b.end.events.at(-1)).toMatchObject({ type: 'aborted', byPeer: false, cause: 4 });
    expect(pair.a.end.events.at(-1)).toMatchObject({ type: 'aborted', byPeer: true, cause: 4 });
  });
});
