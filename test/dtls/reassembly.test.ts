import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/core/index.ts';
import type { HandshakeFragment } from '../../src/dtls/handshake-fragment.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import {
  HandshakeReassembler,
  MAX_AHEAD_BYTES,
  MAX_HANDSHAKE_MESSAGE_BYTES,
  MAX_MESSAGES_AHEAD,
} from '../../src/dtls/reassembly.ts';
import { REPLAY_WINDOW_RECORDS, ReplayWindow } from '../../src/dtls/replay-window.ts';
import { exchange, handshake, makePair, plainRecord, recordsOf, type Transform } from './harness.ts';

const BODY = Uint8Array.from({ length: 40 }, (_, i) => i + 1);

function fragment(messageSeq: number, offset: number, end: number, body: Uint8Array = BODY): HandshakeFragment {
  return { type: 11, length: body.length, messageSeq, offset, body: body.subarray(offset, end) };
}

describe('HandshakeReassembler', () => {
  it('puts a message together from every cut, in both orders', () => {
    for (let cut = 1; cut < BODY.length; cut++) {
      for (const order of [
        [0, 1],
        [1, 0],
      ] as const) {
        const parts = [fragment(0, 0, cut), fragment(0, cut, BODY.length)];
        const r = new HandshakeReassembler();
        expect(r.add(parts[order[0]]!, 0)).toBeUndefined();
        expect(r.take()).toBeUndefined();
        expect(r.add(parts[order[1]]!, 7)).toBeUndefined();
        expect(r.take()).toEqual({ type: 11, messageSeq: 0, body: BODY, recordSequence: 7 });
      }
    }
  });

  it('any fragments that cover it, in any order, overlapping and repeated, give the message; fewer do not', () => {
    const piece = fc
      .tuple(fc.nat(39), fc.integer({ min: 1, max: 40 }))
      .map(([at, n]) => fragment(0, at, Math.min(40, at + n)));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const r = new HandshakeReassembler();
        for (const p of pieces) expect(r.add(p, 0)).toBeUndefined();
        const covered = new Set(pieces.flatMap((p) => Array.from({ length: p.body.length }, (_, i) => p.offset + i)));
        expect(r.take()?.body).toEqual(covered.size === 40 ? BODY : undefined);
      }),
    );
  });

  it('gives messages in order, whatever order they came in', () => {
    const r = new HandshakeReassembler();
    for (const seq of [2, 1]) r.add(fragment(seq, 0, 40), 0);
    expect(r.take()).toBeUndefined();
    r.add(fragment(0, 0, 40), 0);
    expect([r.take()?.messageSeq, r.take()?.messageSeq, r.take()?.messageSeq, r.take()]).toEqual([0, 1, 2, undefined]);
    expect(r.add(fragment(1, 0, 40), 0)).toBe('stale');
  });

  it('takes empty messages', () => {
    const r = new HandshakeReassembler();
    r.add(fragment(0, 0, 0, new Uint8Array(0)), 0);
    expect(r.take()?.body).toEqual(new Uint8Array(0));
  });

  it('of two fragments that contradict each other the first counts', () => {
    const r = new HandshakeReassembler();
    expect(r.add(fragment(0, 0, 20), 0)).toBeUndefined();
    expect(r.add({ ...fragment(0, 20, 40), type: 12 }, 0)).toBe('bad-value');
    expect(r.add({ ...fragment(0, 20, 40), length: 41 }, 0)).toBe('bad-value');
    r.add(fragment(0, 10, 40, new Uint8Array(40)), 0);
    expect(r.take()?.body).toEqual(concatBytes(BODY.subarray(0, 20), new Uint8Array(20)));
  });

  it('is bounded: messages ahead, the length of each, and all of them together', () => {
    const r = new HandshakeReassembler();
    expect(r.add(fragment(MAX_MESSAGES_AHEAD, 0, 1), 0)).toBe('out-of-window');
    const huge = (seq: number, length: number): HandshakeFragment => ({ ...fragment(seq, 0, 1), length });
    expect(r.add(huge(0, MAX_HANDSHAKE_MESSAGE_BYTES + 1), 0)).toBe('limit');
    const full = Math.floor(MAX_AHEAD_BYTES / MAX_HANDSHAKE_MESSAGE_BYTES);
    for (let seq = 1; seq <= full; seq++) expect(r.add(huge(seq, MAX_HANDSHAKE_MESSAGE_BYTES), 0)).toBeUndefined();
    expect(r.add(huge(full + 1, MAX_HANDSHAKE_MESSAGE_BYTES), 0)).toBe('limit');
    expect(r.add(huge(0, MAX_HANDSHAKE_MESSAGE_BYTES), 0)).toBeUndefined(); // the next one always has room
  });
});

describe('ReplayWindow', () => {
  it('agrees with a plain set of numbers, whatever the order', () => {
    const steps = fc.array(fc.oneof(fc.nat(600), fc.nat(2 ** 40)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (numbers) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        for (const n of numbers) {
          const highest = Math.max(-1, ...seen);
          const expected =
            n <= highest - REPLAY_WINDOW_RECORDS ? 'out-of-window' : seen.has(n) ? 'replayed' : undefined;
          expect(window.check(n)).toBe(expected);
          if (expected !== undefined) continue;
          window.commit(n);
          seen.add(n);
        }
      }),
    );
  });
});

/** Cuts every plaintext handshake record at one byte, and delivers the pieces last first, some of them twice. */
function cutAt(cut: number): Transform {
  return (datagram) =>
    recordsOf(datagram).flatMap((record) => {
      const length = record.length - 25;
      if (record[0] !== 22 || record[4] !== 0 || length <= 1) return [record.slice()];
      const at = 1 + ((cut - 1) % (length - 1));
      const whole = encodeWholeMessage(record[13]!, (record[17]! << 8) | record[18]!, record.slice(25));
      const piece = (from: number, to: number): Uint8Array => {
        const head = whole.slice(0, 12);
        head.set([from >>> 16, from >>> 8, from, (to - from) >>> 16, (to - from) >>> 8, to - from], 6);
        return plainRecord(22, concatBytes(head, whole.subarray(12 + from, 12 + to)));
      };
      return [piece(at, length), piece(at, length), piece(0, at)];
    });
}

describe('handshake messages cut at every byte, the pieces out of order', () => {
  // The longest message has some 300 bytes; shorter ones are cut at the same place modulo their length.
  it.each(Array.from({ length: 320 }, (_, i) => i + 1))('byte %i', (cut) => {
    const pair = handshake(makePair({ toClient: cutAt(cut), toServer: cutAt(cut), server: { cookieExchange: true } }));
    expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });
});

/** Packs each message of a datagram, cut in two with empty fragments around the pieces, with the others into one record. */
const packed: Transform = (datagram) => {
  const records = recordsOf(datagram);
  const fragments = records
    .filter((record) => record[0] === 22 && record[4] === 0)
    .flatMap((record) => {
      const whole = record.slice(13);
      const length = whole.length - 12;
      const piece = (from: number, to: number): Uint8Array => {
        const head = whole.slice(0, 12);
        head.set([from >>> 8, from, 0, (to - from) >>> 8, to - from], 7);
        return concatBytes(head, whole.subarray(12 + from, 12 + to));
      };
      const half = length >>> 1;
      return [piece(0, 0), piece(half, length), piece(half, half), piece(0, half), piece(length, length)];
    });
  const others = records.filter((record) => record[0] !== 22 || record[4] !== 0);
  return [concatBytes(...(fragments.length > 0 ? [plainRecord(22, concatBytes(...fragments))] : []), ...others)];
};

it('fragments of several messages in one record, empty ones among them', () => {
  const pair = handshake(makePair({ toClient: packed, toServer: packed }));
  expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
  expect(pair.client.drops.get('bad-length')).toBeGreaterThan(0);
});
