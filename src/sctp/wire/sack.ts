import { DecodeError } from '../../core/index.ts';
import { CHUNK } from './registry.ts';
import { putU16, putU32, u16, u32 } from './tlv.ts';

/**
 * SACK (RFC 9260 §3.3.4).
 *
 * ```text
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+---------------+-------------------------------+
 *  |   Type = 3    |   Flags = 0   |            Length             |
 *  +---------------+---------------+-------------------------------+
 *  |                      Cumulative TSN Ack                       |
 *  +---------------------------------------------------------------+
 *  |          Advertised Receiver Window Credit (a_rwnd)           |
 *  +-------------------------------+-------------------------------+
 *  | Number of Gap Ack Blocks = N  |  Number of Duplicate TSNs = M |
 *  +-------------------------------+-------------------------------+
 *  |    Gap Ack Block #1 Start     |     Gap Ack Block #1 End      |  … N times, offsets from the Cumulative TSN Ack
 *  +-------------------------------+-------------------------------+
 *  |                       Duplicate TSN #1                        |  … M times
 * ```
 */
export const SACK_HEADER_BYTES = 16;

/** Fields of a SACK. Mutable and reused; blocks and duplicates are read in place from `bytes`. */
export interface SackFields {
  bytes: Uint8Array;
  cumulativeTsnAck: number;
  aRwnd: number;
  gapBlocks: number;
  duplicates: number;
  /** Where the first gap ack block starts in `bytes`. */
  blocksAt: number;
}

/** An empty record to read into. */
export function createSackFields(): SackFields {
  return { bytes: new Uint8Array(0), cumulativeTsnAck: 0, aRwnd: 0, gapBlocks: 0, duplicates: 0, blocksAt: 0 };
}

/**
 * Reads the SACK in `bytes[at, end)` and checks its gap ack blocks: each start at least 2 (the TSN behind the cumulative
 * point is missing by definition), each end not before its start, in order and not touching.
 * @throws {DecodeError} `too-short`, `bad-length` when the counts do not fill the chunk, `bad-value` for bad blocks.
 */
export function readSack(bytes: Uint8Array, at: number, end: number, into: SackFields): void {
  if (end - at < SACK_HEADER_BYTES) throw new DecodeError('too-short', 'SACK', at);
  const gapBlocks = u16(bytes, at + 12);
  const duplicates = u16(bytes, at + 14);
  if (end - at !== SACK_HEADER_BYTES + 4 * (gapBlocks + duplicates)) throw new DecodeError('bad-length', 'SACK', at);
  let previous = 0;
  for (let i = 0; i < gapBlocks; i++) {
    const blockAt = at + SACK_HEADER_BYTES + 4 * i;
    const start = u16(bytes, blockAt);
    const stop = u16(bytes, blockAt + 2);
    if (start < previous + 2 || stop < start) throw new DecodeError('bad-value', 'gap-ack-block', blockAt);
    previous = stop;
  }
  into.bytes = bytes;
  into.cumulativeTsnAck = u32(bytes, at + 4);
  into.aRwnd = u32(bytes, at + 8);
  into.gapBlocks = gapBlocks;
  into.duplicates = duplicates;
  into.blocksAt = at + SACK_HEADER_BYTES;
}

/** Offset from the cumulative point at which block `index` starts. */
export function gapStart(sack: SackFields, index: number): number {
  return u16(sack.bytes, sack.blocksAt + 4 * index);
}

/** Offset from the cumulative point of the last TSN of block `index`. */
export function gapEnd(sack: SackFields, index: number): number {
  return u16(sack.bytes, sack.blocksAt + 4 * index + 2);
}

/** Duplicate TSN `index`. */
export function duplicateTsn(sack: SackFields, index: number): number {
  return u32(sack.bytes, sack.blocksAt + 4 * (sack.gapBlocks + index));
}

/** Writes the fixed part; gap blocks and duplicates follow at `at + 16`, four bytes each. */
export function writeSackHeader(
  bytes: Uint8Array,
  at: number,
  cumulativeTsnAck: number,
  aRwnd: number,
  gapBlocks: number,
  duplicates: number,
): void {
  bytes[at] = CHUNK.SACK;
  bytes[at + 1] = 0;
  putU16(bytes, at + 2, SACK_HEADER_BYTES + 4 * (gapBlocks + duplicates));
  putU32(bytes, at + 4, cumulativeTsnAck);
  putU32(bytes, at + 8, aRwnd);
  putU16(bytes, at + 12, gapBlocks);
  putU16(bytes, at + 14, duplicates);
}
