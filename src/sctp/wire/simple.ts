import { DecodeError } from '../../core/index.ts';
import { CHUNK } from './registry.ts';
import { buildChunk, putU16, readTlvs, TLV_HEADER_BYTES, u32, writeTlv } from './tlv.ts';

/**
 * The chunks whose value is one thing or nothing: COOKIE ECHO, COOKIE ACK (RFC 9260 §3.3.11, §3.3.12), SHUTDOWN,
 * SHUTDOWN ACK, SHUTDOWN COMPLETE (§3.3.8, §3.3.9, §3.3.13), HEARTBEAT and HEARTBEAT ACK (§3.3.5, §3.3.6) and PAD
 * (RFC 4820 §3).
 *
 * ```text
 *  COOKIE ECHO            | 10 | 0 | length | cookie … |
 *  COOKIE ACK             | 11 | 0 |    4   |
 *  SHUTDOWN               |  7 | 0 |    8   | Cumulative TSN Ack (32) |
 *  SHUTDOWN ACK/COMPLETE  |  8 / 14 | T |  4   |
 *  HEARTBEAT / ACK        | 4 / 5 | 0 | length | 1 (16) | info length (16) | Heartbeat Information … |
 *  PAD                    | 132 | 0 | length | ignored … |
 * ```
 */
export function encodeCookieEcho(cookie: Uint8Array): Uint8Array {
  return buildChunk(CHUNK.COOKIE_ECHO, 0, cookie.length, (w) => w.bytes(cookie));
}

export function encodeCookieAck(): Uint8Array {
  return buildChunk(CHUNK.COOKIE_ACK, 0, 0, () => undefined);
}

export function encodeShutdown(cumulativeTsnAck: number): Uint8Array {
  return buildChunk(CHUNK.SHUTDOWN, 0, 4, (w) => w.u32(cumulativeTsnAck));
}

/** The Cumulative TSN Ack of a SHUTDOWN. @throws {DecodeError} `bad-length`. */
export function decodeShutdown(bytes: Uint8Array, at: number, end: number): number {
  if (end - at !== 8) throw new DecodeError('bad-length', 'SHUTDOWN', at);
  return u32(bytes, at + 4);
}

export function encodeShutdownAck(): Uint8Array {
  return buildChunk(CHUNK.SHUTDOWN_ACK, 0, 0, () => undefined);
}

/** @param flags - `FLAG_T` when the tag is the peer's own. */
export function encodeShutdownComplete(flags: number): Uint8Array {
  return buildChunk(CHUNK.SHUTDOWN_COMPLETE, flags, 0, () => undefined);
}

/** `type` is HEARTBEAT or HEARTBEAT ACK. */
export function encodeHeartbeat(type: number, info: Uint8Array): Uint8Array {
  return buildChunk(type, 0, TLV_HEADER_BYTES + info.length, (w) => writeTlv(w, 1, info));
}

/** The Heartbeat Information, borrowed. @throws {DecodeError} `missing` when there is none, and as `readTlvs`. */
export function decodeHeartbeat(bytes: Uint8Array, at: number, end: number): Uint8Array {
  const info = readTlvs(bytes, at + TLV_HEADER_BYTES, end).find((tlv) => tlv.type === 1);
  if (info === undefined) throw new DecodeError('missing', 'heartbeat-info', at);
  return info.value;
}

/** Writes a PAD chunk of `length` bytes, header included, at `at`; at least 4. */
export function writePad(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = CHUNK.PAD;
  bytes[at + 1] = 0;
  putU16(bytes, at + 2, length);
  bytes.fill(0, at + TLV_HEADER_BYTES, at + length);
}
