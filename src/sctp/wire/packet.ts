import { crc32cWithHole, DecodeError } from '../../core/index.ts';
import { checkFraming, putU16, putU32, TLV_HEADER_BYTES, u16, u32 } from './tlv.ts';

/**
 * The common header (RFC 9260 §3.1).
 *
 * ```text
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +-------------------------------+-------------------------------+
 *  |      Source Port Number       |    Destination Port Number    |
 *  +-------------------------------+-------------------------------+
 *  |                       Verification Tag                        |
 *  +---------------------------------------------------------------+
 *  |               Checksum (CRC32c, little-endian)                |
 *  +---------------------------------------------------------------+
 * ```
 */
export const COMMON_HEADER_BYTES = 12;

const CHECKSUM_AT = 8;

/**
 * Checks the framing of a whole packet once: a common header and at least one chunk, and every chunk within the packet.
 * @throws {DecodeError} `too-short` below header plus one chunk, and as `checkFraming`.
 */
export function checkPacket(bytes: Uint8Array): void {
  if (bytes.length < COMMON_HEADER_BYTES + TLV_HEADER_BYTES) throw new DecodeError('too-short', 'packet', 0);
  checkFraming(bytes, COMMON_HEADER_BYTES, bytes.length);
}

/** Whether a packet goes from `source` to `destination`. Framing has been checked. */
export function portsMatch(bytes: Uint8Array, source: number, destination: number): boolean {
  return u16(bytes, 0) === source && u16(bytes, 2) === destination;
}

export function verificationTag(bytes: Uint8Array): number {
  return u32(bytes, 4);
}

/** The checksum field holds zero (RFC 9653 §5.3). */
export function checksumIsZero(bytes: Uint8Array): boolean {
  return u32(bytes, CHECKSUM_AT) === 0;
}

/** Writes the common header in front of chunks that are already there, with a zero checksum (RFC 9653 §5.2). */
export function writePacketHeader(
  bytes: Uint8Array,
  start: number,
  source: number,
  destination: number,
  tag: number,
): void {
  putU16(bytes, start, source);
  putU16(bytes, start + 2, destination);
  putU32(bytes, start + 4, tag);
  putU32(bytes, start + CHECKSUM_AT, 0);
}

/** Fills in the CRC32c of the packet in `bytes[start, end)` (RFC 9260 §6.8, appendix A: low byte first). */
export function writeChecksum(bytes: Uint8Array, start: number, end: number): void {
  const crc = crc32cWithHole(bytes, start, end, start + CHECKSUM_AT);
  bytes[start + CHECKSUM_AT] = crc;
  bytes[start + CHECKSUM_AT + 1] = crc >>> 8;
  bytes[start + CHECKSUM_AT + 2] = crc >>> 16;
  bytes[start + CHECKSUM_AT + 3] = crc >>> 24;
}

/** Whether the CRC32c of a whole packet is right (RFC 9260 §6.8). */
export function checksumMatches(bytes: Uint8Array): boolean {
  const crc = crc32cWithHole(bytes, 0, bytes.length, CHECKSUM_AT);
  return (
    bytes[CHECKSUM_AT] === (crc & 0xff) &&
    bytes[CHECKSUM_AT + 1] === ((crc >>> 8) & 0xff) &&
    bytes[CHECKSUM_AT + 2] === ((crc >>> 16) & 0xff) &&
    bytes[CHECKSUM_AT + 3] === crc >>> 24
  );
}
