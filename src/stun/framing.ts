import { DecodeError } from '../core/index.ts';
import { HEADER_BYTES, MAGIC_COOKIE } from './message-type.ts';
import { MAX_MESSAGE_BYTES } from './writer.ts';

/** Channel number and length (RFC 8656 §12.4). */
const CHANNEL_DATA_HEADER_BYTES = 4;

/** The most a deframer ever holds: the longest message, and what arrived with its last byte is handed on at once. */
export const MAX_STREAM_MESSAGE_BYTES: number = MAX_MESSAGE_BYTES;

export interface DeframerOptions {
  /**
   * Also take TURN ChannelData, which is padded to four bytes on streams (RFC 8656 §12.5). `rfc5766`: with the wider range
   * of channel numbers that clients of RFC 5766 §11 use.
   */
  readonly channelData?: boolean | 'rfc5766';
}

/**
 * Cuts a TCP or TLS byte stream into messages (RFC 8489 §6.2.2): STUN needs no framing of its own, its header says how
 * long a message is. ChannelData messages are given out without their padding.
 *
 * @example
 * deframer.push(chunk, (message) => core.handleInput(message, path, now));
 */
export class StreamDeframer {
  /** The last first byte that says ChannelData. */
  readonly #lastChannelByte: number;
  /**
   * The beginning of a message whose end has not arrived; grows with what comes, and to the message's length, never further: a
   * header that announces much costs nothing.
   */
  #partial: Uint8Array = new Uint8Array(0);
  #length = 0;
  #broken = false;

  constructor(options: DeframerOptions = {}) {
    const { channelData } = options;
    this.#lastChannelByte = channelData === 'rfc5766' ? 0x7f : channelData === true ? 0x4f : 0;
  }

  /** Bytes held back until the rest of their message arrives. */
  get bufferedBytes(): number {
    return this.#length;
  }

  /**
   * Takes the next bytes of the stream and hands on each message that they complete.
   * @param chunk - borrowed. @param onMessage - gets borrowed bytes: a view of the chunk wherever possible.
   * @throws {DecodeError} `bad-type` when the stream is not STUN, `closed` after that: there is no way to find the next
   *   message, so close the connection.
   */
  push(chunk: Uint8Array, onMessage: (message: Uint8Array) => void): void {
    if (this.#broken) throw new DecodeError('closed', 'stream', 0);
    let at = 0;
    while (at < chunk.length)
      at += this.#length === 0 ? this.#take(chunk, at, onMessage) : this.#fill(chunk, at, onMessage);
  }

  /** With nothing held back: a whole message straight from the chunk, or the beginning of one. */
  #take(chunk: Uint8Array, at: number, onMessage: (message: Uint8Array) => void): number {
    const available = chunk.length - at;
    const size = this.#sizeOf(chunk, at, available);
    if (size === undefined || size > available) {
      this.#hold(chunk, at, available, size ?? HEADER_BYTES);
      return available;
    }
    this.#emit(chunk, at, onMessage);
    return size;
  }

  /** Completes what is held back, first to a header and then to its message. */
  #fill(chunk: Uint8Array, at: number, onMessage: (message: Uint8Array) => void): number {
    const size = this.#sizeOf(this.#partial, 0, this.#length);
    const wanted = (size ?? this.#length + 1) - this.#length;
    const count = Math.min(wanted, chunk.length - at);
    this.#hold(chunk, at, count, size ?? HEADER_BYTES);
    // Asked again: an empty ChannelData message is complete with the byte that completes its header.
    if (this.#length === (size ?? this.#sizeOf(this.#partial, 0, this.#length))) {
      const whole = this.#partial;
      this.#partial = new Uint8Array(0);
      this.#length = 0;
      this.#emit(whole, 0, onMessage);
    }
    return count;
  }

  #hold(chunk: Uint8Array, at: number, count: number, capacity: number): void {
    const needed = this.#length + count;
    if (this.#partial.length < needed) {
      const grown = new Uint8Array(Math.max(needed, Math.min(capacity, 2 * needed)));
      grown.set(this.#partial.subarray(0, this.#length));
      this.#partial = grown;
    }
    this.#partial.set(chunk.subarray(at, at + count), this.#length);
    this.#length += count;
  }

  #emit(buf: Uint8Array, at: number, onMessage: (message: Uint8Array) => void): void {
    const header = (buf[at]! & 0xc0) === 0x40 ? CHANNEL_DATA_HEADER_BYTES : HEADER_BYTES;
    onMessage(buf.subarray(at, at + header + ((buf[at + 2]! << 8) | buf[at + 3]!)));
  }

  /** Bytes of the message on the wire, padding included; undefined while its header is not whole. */
  #sizeOf(buf: Uint8Array, at: number, available: number): number | undefined {
    const first = buf[at]!;
    const channel = first >= 0x40 && first <= this.#lastChannelByte; // RFC 8656 §12: a first byte of 64 to 79
    if (!channel && (first & 0xc0) !== 0) throw this.#fail('first byte', at);
    if (available < 4) return undefined;
    const length = (buf[at + 2]! << 8) | buf[at + 3]!;
    if (channel) return CHANNEL_DATA_HEADER_BYTES + length + (-length & 3);
    if (length % 4 !== 0) throw this.#fail('message length', at + 2);
    if (available < 8) return undefined;
    const cookie = ((buf[at + 4]! << 24) | (buf[at + 5]! << 16) | (buf[at + 6]! << 8) | buf[at + 7]!) >>> 0;
    if (cookie !== MAGIC_COOKIE) throw this.#fail('magic cookie', at + 4);
    return HEADER_BYTES + length;
  }

  #fail(field: string, at: number): DecodeError {
    this.#broken = true;
    return new DecodeError('bad-type', field, at);
  }
}
