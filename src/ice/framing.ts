import { DecodeError, UsageError } from '../core/index.ts';

/*
 * RFC 4571 §2: datagrams over a TCP connection (ICE-TCP, RFC 6544 §3).
 *
 *  0                   1
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+----------
 * |            LENGTH             |  datagram ...
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+----------
 */

const LENGTH_BYTES = 2;

/** One datagram with its length in front, in new bytes. @throws {UsageError} over 65,535 bytes. */
export function frameDatagram(datagram: Uint8Array): Uint8Array {
  if (datagram.length > 0xffff) throw new UsageError('a frame holds 65,535 bytes');
  const frame = new Uint8Array(LENGTH_BYTES + datagram.length);
  frame[0] = datagram.length >>> 8;
  frame[1] = datagram.length;
  frame.set(datagram, LENGTH_BYTES);
  return frame;
}

/**
 * Cuts the stream of one connection into datagrams. Holds at most one unfinished frame; a frame longer than
 * `maxDatagramBytes` means a peer that speaks something else, and the connection is to be closed.
 */
export class DatagramDeframer {
  readonly #maxDatagramBytes: number;
  #header = 0;
  #headerBytes = 0;
  #frame: Uint8Array | undefined;
  #filled = 0;

  /** @param maxDatagramBytes - default: what a UDP datagram could hold. */
  constructor(maxDatagramBytes = 0xffff) {
    this.#maxDatagramBytes = maxDatagramBytes;
  }

  /**
   * Takes what came from the connection; calls `onDatagram` for each datagram that is complete. The datagram's bytes are
   * the callee's.
   * @throws {DecodeError} `bad-length` for a frame over the bound: close the connection.
   */
  push(bytes: Uint8Array, onDatagram: (datagram: Uint8Array) => void): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#frame === undefined) {
        this.#header = (this.#header << 8) | bytes[at++]!;
        if (++this.#headerBytes < LENGTH_BYTES) continue;
        if (this.#header > this.#maxDatagramBytes) throw new DecodeError('bad-length', 'LENGTH', at - LENGTH_BYTES);
        const length = this.#header;
        this.#header = 0;
        this.#headerBytes = 0;
        if (length === 0) continue; // RFC 4571 §2: a null packet; two bytes must not cost a walk through all layers
        this.#frame = new Uint8Array(length);
        this.#filled = 0;
      }
      const take = Math.min(this.#frame.length - this.#filled, bytes.length - at);
      this.#frame.set(bytes.subarray(at, at + take), this.#filled);
      this.#filled += take;
      at += take;
      if (this.#filled < this.#frame.length) return;
      const datagram = this.#frame;
      this.#frame = undefined;
      onDatagram(datagram);
    }
  }
}
