import type { Instant } from '../core/index.ts';
import type { AbandonedMessages } from './abandoned.ts';
import type { ChunkWriter } from './chunk-writer.ts';
import type { OutboundMessage, OutboundStreams } from './outbound-streams.ts';
import type { Outstanding } from './outstanding.ts';

/** A message that does not fit is split only where at least this much of it fits: headers cost something too. */
export const MIN_FRAGMENT_BYTES = 64;

/** Cuts messages into DATA chunks as packets have room for them (RFC 9260 §6.9), and gives each its TSN. */
export class Fragmenter {
  readonly #outstanding: Outstanding;
  readonly #streams: OutboundStreams;
  readonly #chunks: ChunkWriter;
  readonly #abandoned: AbandonedMessages;
  readonly #partialReliability: boolean;

  /** @param partialReliability - the peer knows FORWARD TSN, so messages can be given up. */
  constructor(
    outstanding: Outstanding,
    streams: OutboundStreams,
    chunks: ChunkWriter,
    abandoned: AbandonedMessages,
    partialReliability: boolean,
  ) {
    this.#outstanding = outstanding;
    this.#streams = streams;
    this.#chunks = chunks;
    this.#abandoned = abandoned;
    this.#partialReliability = partialReliability;
  }

  /**
   * Fills `bytes[at, end)` with chunks that were never sent before, in the order that the scheduler chooses.
   * @param peerWindow - the peer's a_rwnd in bytes; with nothing outstanding one chunk may exceed it (RFC 9260 §6.1 A).
   * @returns the position behind the last; `at` when there is none, or no room.
   */
  write(bytes: Uint8Array, at: number, end: number, peerWindow: number, now: Instant): number {
    const out = this.#outstanding;
    let pos = at;
    while (!out.isFull) {
      const message = this.#streams.next(now);
      if (message === undefined) break;
      if (message.sent > 0 && message.expiresAt <= now && this.#abandoned.inUse) {
        this.#abandoned.abandon(message, now);
        continue;
      }
      if (message.messageNumber < 0 && !this.#streams.mayNumber(message, out.base)) break;
      const rest = message.bytes.length - message.sent;
      const room = (end - pos - this.#chunks.headerBytes) & ~3; // padding needs room as well
      let length = Math.min(rest, this.#chunks.maxFragmentBytes);
      if (length > room) {
        // Filling the packet costs a fragment more; with partial reliability that is a higher chance of losing the message.
        if (room < MIN_FRAGMENT_BYTES || (pos > at && message.isUnreliable)) break;
        length = room;
      }
      if (out.unackedBytes > 0 && out.unackedBytes + length > peerWindow) break;
      pos = this.#writeFragment(bytes, pos, message, length, now);
    }
    return pos;
  }

  #writeFragment(bytes: Uint8Array, pos: number, message: OutboundMessage, length: number, now: Instant): number {
    if (message.messageNumber < 0) this.#streams.number(message, this.#outstanding.next);
    const tsn = this.#outstanding.push(message, message.sent, length, message.nextFsn++, now);
    if (message.firstTsn < 0) {
      message.firstTsn = tsn;
      if (this.#partialReliability && message.isUnreliable) this.#abandoned.inUse = true;
    }
    message.lastTsn = tsn;
    if (message.isUnreliable) message.stream.lastUnreliableTsn = tsn;
    this.#streams.take(message, length);
    return this.#chunks.write(bytes, pos, tsn);
  }
}
