import type { DropReason } from '../core/index.ts';
import { CONTENT_TLS12_CID, DTLS_1_2 } from './registry.ts';

/** Bytes in front of a record's fragment, without a connection ID. */
export const RECORD_HEADER_BYTES = 13;
/** RFC 5246 §6.2.1. */
export const MAX_PLAINTEXT_BYTES = 16_384;
/** RFC 5246 §6.2.3: a longer one is not a record. */
const MAX_CIPHERTEXT_BYTES: number = MAX_PLAINTEXT_BYTES + 2048;
/** First sequence number that does not exist (RFC 6347 §4.1: 48 bits). */
export const SEQUENCE_LIMIT = 0x1_0000_0000_0000;
/**
 * First number of a ClientHello's record that is not answered: RFC 6347 §4.2.1 has the server go on from it, and its flights,
 * sent again as often as they may be, must not run out of numbers.
 */
export const HELLO_SEQUENCE_LIMIT: number = SEQUENCE_LIMIT / 2;

/**
 * A record's header (RFC 6347 §4.1; with a connection ID RFC 9146 §4), and where it lies in the datagram. Mutable and
 * reused: one object serves every record.
 *
 * ```text
 *  0               1               2               3
 * +---------------+-------------------------------+---------------+
 * |     type      |            version            |     epoch     …
 * +---------------+-------------------------------+---------------+
 * …               |            sequence_number, 48 bits           …
 * +---------------+-----------------------------------------------+
 * …                               | cid, only in tls12_cid (25)   …
 * +-------------------------------+-------------------------------+
 * |            length             |   length bytes of fragment    |
 * ```
 */
export class RecordHeader {
  type = 0;
  version = 0;
  epoch = 0;
  /** Exact in a double. */
  sequence = 0;
  /** Where the header begins, where the fragment begins, and the first byte behind it. */
  start = 0;
  bodyStart = 0;
  end = 0;
}

/**
 * Reads the header of the record at `at` into `out`.
 * @param cidBytes - length of the connection ID in records of type tls12_cid.
 * @returns undefined when it is well formed. Otherwise the reason; framing is lost then, so the rest of the datagram goes.
 */
export function readRecordHeader(
  bytes: Uint8Array,
  at: number,
  cidBytes: number,
  out: RecordHeader,
): DropReason | undefined {
  const type = bytes[at]!;
  const header = type === CONTENT_TLS12_CID ? RECORD_HEADER_BYTES + cidBytes : RECORD_HEADER_BYTES;
  if (bytes.length - at < header) return 'too-short';
  const version = (bytes[at + 1]! << 8) | bytes[at + 2]!;
  // RFC 5246 appendix E.1: servers "MUST accept any value {03,XX} as the record layer version number for ClientHello".
  if (version >>> 8 !== DTLS_1_2 >>> 8) return 'bad-version';
  const length = (bytes[at + header - 2]! << 8) | bytes[at + header - 1]!;
  if (length > MAX_CIPHERTEXT_BYTES) return 'bad-length';
  if (length > bytes.length - at - header) return 'too-short';
  out.type = type;
  out.version = version;
  out.epoch = (bytes[at + 3]! << 8) | bytes[at + 4]!;
  const high = (bytes[at + 5]! << 8) | bytes[at + 6]!;
  const low = ((bytes[at + 7]! << 24) | (bytes[at + 8]! << 16) | (bytes[at + 9]! << 8) | bytes[at + 10]!) >>> 0;
  out.sequence = high * 0x1_0000_0000 + low;
  out.start = at;
  out.bodyStart = at + header;
  out.end = at + header + length;
  return undefined;
}

/** Writes type, version (DTLS 1.2), epoch and sequence number, 11 bytes; connection ID and length follow them. */
export function writeRecordHeader(buffer: Uint8Array, at: number, type: number, epoch: number, sequence: number): void {
  buffer[at] = type;
  buffer[at + 1] = DTLS_1_2 >>> 8;
  buffer[at + 2] = DTLS_1_2 & 0xff;
  writeEpochAndSequence(buffer, at + 3, epoch, sequence);
}

/** The 64-bit number that RFC 6347 §4.1.2.1 makes of epoch and sequence number. */
export function writeEpochAndSequence(buffer: Uint8Array, at: number, epoch: number, sequence: number): void {
  const high = Math.floor(sequence / 0x1_0000_0000);
  const low = sequence % 0x1_0000_0000;
  buffer[at] = epoch >>> 8;
  buffer[at + 1] = epoch;
  buffer[at + 2] = high >>> 8;
  buffer[at + 3] = high;
  buffer[at + 4] = low >>> 24;
  buffer[at + 5] = low >>> 16;
  buffer[at + 6] = low >>> 8;
  buffer[at + 7] = low;
}
