import { DecodeError, type TransmitSlot, UsageError } from '../core/index.ts';

/*
 * The ChannelData message (RFC 8656 §12.4):
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |         Channel Number        |            Length             |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |                       Application Data                    ....
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

/** Channel number and length. */
export const CHANNEL_DATA_HEADER_BYTES = 4;

/** RFC 8656 §12, table 2: 4096 numbers, so that the first byte tells ChannelData from STUN, DTLS and RTP (RFC 7983). */
export const MIN_CHANNEL = 0x4000;
export const MAX_CHANNEL = 0x4fff;

/** The last number of RFC 5766 §11, which its clients still use, coturn's own among them. No other protocol starts so. */
export const MAX_LEGACY_CHANNEL = 0x7fff;

/**
 * Whether a datagram's first byte says ChannelData (RFC 8656 §12, table 3).
 * @param maxChannel - {@link MAX_LEGACY_CHANNEL} to take the numbers of RFC 5766 too.
 */
export function isChannelData(firstByte: number, maxChannel: number = MAX_CHANNEL): boolean {
  return firstByte >= 0x40 && firstByte <= maxChannel >>> 8;
}

/**
 * Checks a ChannelData message as it came in a datagram, or from a stream without its padding (RFC 8656 §12.6).
 * @returns the length of the data, which starts at byte {@link CHANNEL_DATA_HEADER_BYTES}; the channel number is the first
 *   16 bits.
 * @throws {DecodeError} `too-short` header, or fewer bytes than claimed; `bad-type` not a channel number;
 *   `trailing-bytes` more than padding behind the data.
 */
export function channelDataLength(bytes: Uint8Array, maxChannel: number = MAX_CHANNEL): number {
  if (bytes.length < CHANNEL_DATA_HEADER_BYTES) throw new DecodeError('too-short', 'channel data', 0);
  if (!isChannelData(bytes[0]!, maxChannel)) throw new DecodeError('bad-type', 'channel number', 0);
  const length = (bytes[2]! << 8) | bytes[3]!;
  const behind = bytes.length - CHANNEL_DATA_HEADER_BYTES - length;
  if (behind < 0) throw new DecodeError('too-short', 'channel data', 2);
  // RFC 8656 §12.5: "Over UDP, the padding is not required but MAY be included."
  if (behind > 3) throw new DecodeError('trailing-bytes', 'channel data', CHANNEL_DATA_HEADER_BYTES + length);
  return length;
}

/** The channel number of a message that {@link channelDataLength} accepted. */
export function channelNumber(bytes: Uint8Array): number {
  return (bytes[0]! << 8) | bytes[1]!;
}

/**
 * Wraps the slot's data in a ChannelData message without moving it: the header goes in front, into the headroom.
 * @param padded - over TCP and TLS: zero to three bytes behind the data (RFC 8656 §12.5), into the tailroom.
 * @throws {UsageError} without four bytes of headroom, or for data of more than 65,535 bytes.
 */
export function wrapChannelData<P>(slot: TransmitSlot<P>, channel: number, padded: boolean): void {
  const { buffer, offset, length } = slot;
  if (offset < CHANNEL_DATA_HEADER_BYTES || length > 0xffff) throw new UsageError('no room for a ChannelData header');
  const start = offset - CHANNEL_DATA_HEADER_BYTES;
  buffer[start] = channel >>> 8;
  buffer[start + 1] = channel;
  buffer[start + 2] = length >>> 8;
  buffer[start + 3] = length;
  const padding = padded ? -length & 3 : 0;
  buffer.fill(0, offset + length, offset + length + padding);
  slot.offset = start;
  slot.length = CHANNEL_DATA_HEADER_BYTES + length + padding;
}
