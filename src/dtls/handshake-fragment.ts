import { type ByteReader, DecodeError } from '../core/index.ts';

/** Bytes in front of each fragment. */
export const HANDSHAKE_HEADER_BYTES = 12;

/**
 * A fragment of a handshake message (RFC 6347 §4.2.2):
 *
 * ```text
 *  0               1               2               3
 * +---------------+-----------------------------------------------+
 * |   msg_type    |                    length                     |
 * +---------------+---------------+-------------------------------+
 * |          message_seq          |        fragment_offset        |
 * +---------------+---------------+-------------------------------+
 * |      …        |               fragment_length                 |
 * +---------------+-----------------------------------------------+
 * |                        fragment_length bytes of the body      |
 * ```
 */
export interface HandshakeFragment {
  readonly type: number;
  /** Length of the whole message. */
  readonly length: number;
  readonly messageSeq: number;
  readonly offset: number;
  /** Borrowed. */
  readonly body: Uint8Array;
}

/**
 * Reads one fragment of a record; a record may hold several. The body is borrowed.
 * @throws {DecodeError} `too-short`; `bad-length` for a fragment that leaves its message.
 */
export function readHandshakeFragment(r: ByteReader): HandshakeFragment {
  const at = r.pos;
  const type = r.u8('msg_type');
  const length = r.u24('length');
  const messageSeq = r.u16('message_seq');
  const offset = r.u24('fragment_offset');
  const fragmentLength = r.u24('fragment_length');
  if (offset + fragmentLength > length) throw new DecodeError('bad-length', 'fragment_length', at + 9);
  return { type, length, messageSeq, offset, body: r.bytes(fragmentLength, 'fragment') };
}

/** Writes the header at `at`; the body goes behind it. */
export function writeHandshakeHeader(
  buffer: Uint8Array,
  at: number,
  message: { readonly type: number; readonly messageSeq: number; readonly body: Uint8Array },
  offset: number,
  fragmentLength: number,
): void {
  const length = message.body.length;
  buffer[at] = message.type;
  buffer[at + 1] = length >>> 16;
  buffer[at + 2] = length >>> 8;
  buffer[at + 3] = length;
  buffer[at + 4] = message.messageSeq >>> 8;
  buffer[at + 5] = message.messageSeq;
  buffer[at + 6] = offset >>> 16;
  buffer[at + 7] = offset >>> 8;
  buffer[at + 8] = offset;
  buffer[at + 9] = fragmentLength >>> 16;
  buffer[at + 10] = fragmentLength >>> 8;
  buffer[at + 11] = fragmentLength;
}

/** A whole message as it enters the transcript: "as if sent in a single fragment" (RFC 6347 §4.2.6). */
export function encodeWholeMessage(type: number, messageSeq: number, body: Uint8Array): Uint8Array {
  const whole = new Uint8Array(HANDSHAKE_HEADER_BYTES + body.length);
  writeHandshakeHeader(whole, 0, { type, messageSeq, body }, 0, body.length);
  whole.set(body, HANDSHAKE_HEADER_BYTES);
  return whole;
}
