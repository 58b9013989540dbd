import { DecodeError } from '../../core/index.ts';
import { CHUNK } from './registry.ts';
import { putU16, putU32, u16, u32 } from './tlv.ts';

/**
 * FORWARD TSN (RFC 3758 §3.2) and I-FORWARD-TSN (RFC 8260 §2.3.1): the cumulative point that the receiver must assume,
 * and the messages skipped on the way.
 *
 * ```text
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+---------------+-------------------------------+
 *  |Type = 192/194 |   Flags = 0   |            Length             |
 *  +---------------+---------------+-------------------------------+
 *  |                      New Cumulative TSN                       |
 *  +-------------------------------+-------------------------------+
 *  |       Stream Identifier       |    Stream Sequence Number     |  … FORWARD TSN
 *  +-------------------------------+-------------------------------+
 *  |       Stream Identifier       |          Reserved           |U|  … I-FORWARD-TSN
 *  +-------------------------------+-------------------------------+
 *  |                      Message Identifier                       |
 * ```
 */
export const FORWARD_TSN_HEADER_BYTES = 8;

/** A message that will never come, and with it all before it on the stream (of its kind). */
export interface SkippedMessage {
  readonly streamId: number;
  /** FORWARD TSN lists ordered messages only. */
  readonly unordered: boolean;
  /** SSN or MID. */
  readonly messageNumber: number;
}

/** A decoded FORWARD TSN or I-FORWARD-TSN. */
export interface ForwardTsnChunk {
  readonly interleaved: boolean;
  readonly newCumulativeTsn: number;
  readonly skipped: readonly SkippedMessage[];
}

/** @throws {DecodeError} `too-short`, `bad-length` for half an entry. */
export function decodeForwardTsn(bytes: Uint8Array, at: number, end: number): ForwardTsnChunk {
  const interleaved = bytes[at] === CHUNK.I_FORWARD_TSN;
  const entryBytes = interleaved ? 8 : 4;
  if (end - at < FORWARD_TSN_HEADER_BYTES) throw new DecodeError('too-short', 'FORWARD TSN', at);
  if ((end - at - FORWARD_TSN_HEADER_BYTES) % entryBytes !== 0) throw new DecodeError('bad-length', 'FORWARD TSN', at);
  const skipped: SkippedMessage[] = [];
  for (let i = at + FORWARD_TSN_HEADER_BYTES; i < end; i += entryBytes) {
    skipped.push({
      streamId: u16(bytes, i),
      unordered: interleaved && (bytes[i + 3]! & 1) !== 0,
      messageNumber: interleaved ? u32(bytes, i + 4) : u16(bytes, i + 2),
    });
  }
  return { interleaved, newCumulativeTsn: u32(bytes, at + 4), skipped };
}

/** Bytes that {@link writeForwardTsn} needs. */
export function forwardTsnBytes(chunk: ForwardTsnChunk): number {
  return FORWARD_TSN_HEADER_BYTES + chunk.skipped.length * (chunk.interleaved ? 8 : 4);
}

/** Writes the chunk at `at`; it needs no padding. @returns the position behind it. */
export function writeForwardTsn(bytes: Uint8Array, at: number, chunk: ForwardTsnChunk): number {
  bytes[at] = chunk.interleaved ? CHUNK.I_FORWARD_TSN : CHUNK.FORWARD_TSN;
  bytes[at + 1] = 0;
  putU16(bytes, at + 2, forwardTsnBytes(chunk));
  putU32(bytes, at + 4, chunk.newCumulativeTsn);
  let i = at + FORWARD_TSN_HEADER_BYTES;
  for (const entry of chunk.skipped) {
    putU16(bytes, i, entry.streamId);
    if (chunk.interleaved) {
      putU16(bytes, i + 2, entry.unordered ? 1 : 0);
      putU32(bytes, i + 4, entry.messageNumber);
      i += 8;
    } else {
      putU16(bytes, i + 2, entry.messageNumber);
      i += 4;
    }
  }
  return i;
}
