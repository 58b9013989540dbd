import { ByteWriter, utf8 } from '../../core/index.ts';
import { MAX_QUOTED_BYTES } from '../limits.ts';
import { CAUSE, CHUNK } from './registry.ts';
import { buildChunk, readTlvs, TLV_HEADER_BYTES, type Tlv, writeTlv } from './tlv.ts';

/**
 * ERROR (RFC 9260 §3.3.10) and ABORT (RFC 9260 §3.3.7): a list of error causes, which are TLVs.
 *
 * ```text
 *  +---------------+---------------+-------------------------------+
 *  |  Type = 9 / 6 |  Reserved   |T|            Length             |
 *  +---------------+---------------+-------------------------------+
 *  |          Cause Code           |         Cause Length          |
 *  +-------------------------------+-------------------------------+
 *  |                 Cause-Specific Information …                  |
 * ```
 */
export type ErrorCause = Tlv;

/** The T bit: the packet carries the receiver's own tag back, because the sender has no association (RFC 9260 §8.5.1). */
export const FLAG_T = 1;

/** Causes of the ERROR or ABORT in `bytes[at, end)`; borrowed. @throws {DecodeError} `too-short`, `bad-length`. */
export function decodeCauses(bytes: Uint8Array, at: number, end: number): ErrorCause[] {
  return readTlvs(bytes, at + TLV_HEADER_BYTES, end);
}

/** An ERROR chunk. */
export function encodeError(causes: readonly ErrorCause[]): Uint8Array {
  return encode(CHUNK.ERROR, 0, causes);
}

/** An ABORT chunk. @param reflectedTag - sets the T bit. */
export function encodeAbort(causes: readonly ErrorCause[], reflectedTag = false): Uint8Array {
  return encode(CHUNK.ABORT, reflectedTag ? FLAG_T : 0, causes);
}

function encode(type: number, flags: number, causes: readonly ErrorCause[]): Uint8Array {
  const size = causes.reduce((sum, cause) => sum + cause.value.length + 8, 0);
  return buildChunk(type, flags, size, (w) => {
    for (const cause of causes) writeTlv(w, cause.type, cause.value);
  });
}

/** RFC 9260 §3.3.10.1. */
export function invalidStreamIdentifier(streamId: number): ErrorCause {
  return { type: CAUSE.INVALID_STREAM_IDENTIFIER, value: Uint8Array.of(streamId >>> 8, streamId, 0, 0) };
}

/** RFC 9260 §3.3.10.2: the types of the parameters that are missing. */
export function missingMandatoryParameter(...types: readonly number[]): ErrorCause {
  const w = new ByteWriter(new Uint8Array(4 + 2 * types.length));
  w.u32(types.length);
  for (const type of types) w.u16(type);
  return { type: CAUSE.MISSING_MANDATORY_PARAMETER, value: w.written() };
}

/** RFC 9260 §3.3.10.3: how many microseconds too late the cookie came. */
export function staleCookie(stalenessUs: number): ErrorCause {
  const w = new ByteWriter(new Uint8Array(4));
  w.u32(Math.min(stalenessUs, 0xffff_ffff));
  return { type: CAUSE.STALE_COOKIE, value: w.written() };
}

/** RFC 9260 §3.3.10.6: the chunk, quoted. */
export function unrecognizedChunk(chunk: Uint8Array): ErrorCause {
  return { type: CAUSE.UNRECOGNIZED_CHUNK_TYPE, value: chunk.slice(0, MAX_QUOTED_BYTES) };
}

/** RFC 9260 §3.3.10.8: the parameters of an INIT ACK that we do not know, quoted. */
export function unrecognizedParameters(parameters: readonly Uint8Array[]): ErrorCause {
  const w = new ByteWriter(new Uint8Array(parameters.reduce((sum, bytes) => sum + bytes.length + 3, 0)));
  for (const bytes of parameters) {
    w.bytes(bytes);
    w.pad4();
  }
  return { type: CAUSE.UNRECOGNIZED_PARAMETERS, value: w.written().slice(0, MAX_QUOTED_BYTES) };
}

/** RFC 9260 §3.3.10.9: the TSN of a DATA chunk without user data. */
export function noUserData(tsn: number): ErrorCause {
  return { type: CAUSE.NO_USER_DATA, value: Uint8Array.of(tsn >>> 24, tsn >>> 16, tsn >>> 8, tsn) };
}

/** Causes that carry text: user-initiated abort (RFC 9260 §3.3.10.12) and protocol violation (§3.3.10.13). */
export function textCause(type: number, text: string): ErrorCause {
  return { type, value: utf8(text).slice(0, MAX_QUOTED_BYTES) };
}
