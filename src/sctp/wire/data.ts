import { DecodeError } from '../../core/index.ts';
import { CHUNK } from './registry.ts';
import { putU16, putU32, u16, u32 } from './tlv.ts';

/**
 * DATA (RFC 9260 §3.3.1) and I-DATA (RFC 8260 §2.1) in one room: they differ in what follows the stream identifier.
 *
 * ```text
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+-------+-+-+-+-+-------------------------------+
 *  | Type = 0 / 64 |  Res  |I|U|B|E|            Length             |
 *  +---------------+-------+-+-+-+-+-------------------------------+
 *  |                              TSN                              |
 *  +-------------------------------+-------------------------------+
 *  |       Stream Identifier       |  DATA: Stream Sequence Number |
 *  |                               |  I-DATA: reserved             |
 *  +-------------------------------+-------------------------------+
 *  |  DATA: Payload Protocol Identifier                            |
 *  |  I-DATA: Message Identifier (MID)                             |
 *  +---------------------------------------------------------------+
 *  |  I-DATA only: PPID when B is set, else Fragment Sequence Nr.  |
 *  +---------------------------------------------------------------+
 *  |                          User Data …                          |
 * ```
 */
export const DATA_HEADER_BYTES = 16;
export const I_DATA_HEADER_BYTES = 20;

/** Flags of DATA and I-DATA; the I bit is RFC 7053 §3. */
export const DATA_FLAG = { END: 1, BEGIN: 2, UNORDERED: 4, IMMEDIATE: 8 } as const;

/**
 * The fields of one DATA or I-DATA chunk. Mutable and reused by the receive path; user data is `[userStart, userEnd)` of
 * the packet it was read from.
 */
export interface DataFields {
  interleaved: boolean;
  flags: number;
  tsn: number;
  streamId: number;
  /** SSN of DATA (16 bits), MID of I-DATA (32 bits). */
  messageNumber: number;
  /** FSN of I-DATA; 0 for the first fragment and for DATA. */
  fragmentNumber: number;
  /** Of I-DATA only the first fragment carries it: 0 in the others. */
  ppid: number;
  userStart: number;
  userEnd: number;
}

/** An empty record to read into. */
export function createDataFields(): DataFields {
  return {
    interleaved: false,
    flags: 0,
    tsn: 0,
    streamId: 0,
    messageNumber: 0,
    fragmentNumber: 0,
    ppid: 0,
    userStart: 0,
    userEnd: 0,
  };
}

/**
 * Reads the DATA or I-DATA chunk in `bytes[at, end)`, padding excluded, whose framing has been checked. An empty user
 * data field is left to the caller, who owes the peer an ABORT for it (RFC 9260 §6.2).
 * @throws {DecodeError} `too-short`.
 */
export function readData(bytes: Uint8Array, at: number, end: number, into: DataFields): void {
  const interleaved = bytes[at] === CHUNK.I_DATA;
  const header = interleaved ? I_DATA_HEADER_BYTES : DATA_HEADER_BYTES;
  if (end - at < header) throw new DecodeError('too-short', interleaved ? 'I-DATA' : 'DATA', at);
  const flags = bytes[at + 1]!;
  into.interleaved = interleaved;
  into.flags = flags;
  into.tsn = u32(bytes, at + 4);
  into.streamId = u16(bytes, at + 8);
  if (interleaved) {
    const begins = (flags & DATA_FLAG.BEGIN) !== 0;
    const word = u32(bytes, at + 16);
    into.messageNumber = u32(bytes, at + 12);
    into.ppid = begins ? word : 0;
    into.fragmentNumber = begins ? 0 : word;
  } else {
    into.messageNumber = u16(bytes, at + 10);
    into.ppid = u32(bytes, at + 12);
    into.fragmentNumber = 0;
  }
  into.userStart = at + header;
  into.userEnd = end;
}

/** Writes the header of a DATA chunk; the user data goes to `at + 16` and is written by the caller. */
export function writeDataHeader(
  bytes: Uint8Array,
  at: number,
  flags: number,
  userLength: number,
  tsn: number,
  streamId: number,
  ssn: number,
  ppid: number,
): void {
  bytes[at] = CHUNK.DATA;
  bytes[at + 1] = flags;
  putU16(bytes, at + 2, DATA_HEADER_BYTES + userLength);
  putU32(bytes, at + 4, tsn);
  putU16(bytes, at + 8, streamId);
  putU16(bytes, at + 10, ssn);
  putU32(bytes, at + 12, ppid);
}

/** Writes the header of an I-DATA chunk; the user data goes to `at + 20`. `word` is the PPID when B is set, else the FSN. */
export function writeIDataHeader(
  bytes: Uint8Array,
  at: number,
  flags: number,
  userLength: number,
  tsn: number,
  streamId: number,
  mid: number,
  word: number,
): void {
  bytes[at] = CHUNK.I_DATA;
  bytes[at + 1] = flags;
  putU16(bytes, at + 2, I_DATA_HEADER_BYTES + userLength);
  putU32(bytes, at + 4, tsn);
  putU16(bytes, at + 8, streamId);
  putU16(bytes, at + 10, 0);
  putU32(bytes, at + 12, mid);
  putU32(bytes, at + 16, word);
}
