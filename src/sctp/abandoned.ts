import type { Instant } from '../core/index.ts';
import type { OutboundMessage, OutboundStreams } from './outbound-streams.ts';
import type { Outstanding } from './outstanding.ts';
import type { Extensions } from './tcb.ts';
import {
  FORWARD_TSN_HEADER_BYTES,
  type ForwardTsnChunk,
  forwardTsnBytes,
  type SkippedMessage,
  writeForwardTsn,
} from './wire/forward-tsn.ts';

/**
 * The sender's side of partial reliability (RFC 3758 §3.5, RFC 7496): gives messages up and tells the peer to move its
 * cumulative point past them.
 */
export class AbandonedMessages {
  readonly #outstanding: Outstanding;
  readonly #streams: OutboundStreams;
  readonly #extensions: Extensions;
  readonly #initialTsn: number;
  /** Advanced.Peer.Ack.Point (RFC 3758 §3.5). */
  #advancedPoint = -1;
  /** The highest TSN that was ever given up: nothing is looked for behind it. */
  #highest = -1;
  #due = false;
  /** What the last FORWARD TSN said, and when it went out. */
  #sentPoint = -1;
  #sentAt: Instant = 0;
  /** A message with limited reliability has been sent: until then all of this costs nothing. */
  inUse = false;
  /** Messages given up after something of them was sent. */
  count = 0;

  constructor(outstanding: Outstanding, streams: OutboundStreams, extensions: Extensions, initialTsn: number) {
    this.#outstanding = outstanding;
    this.#streams = streams;
    this.#extensions = extensions;
    this.#initialTsn = initialTsn;
  }

  get isDue(): boolean {
    return this.#due;
  }

  /** Sends the FORWARD TSN once more, if there is one that the peer has not acknowledged (RFC 3758 §3.5 F2). */
  requestSend(): void {
    this.#due = this.#advancedPoint >= this.#outstanding.base;
  }

  /** Gives up the messages among the lost that must not be sent again (RFC 3758 §3.5 A3, RFC 7496 §3). */
  considerLost(now: Instant): void {
    if (!this.inUse) return;
    const out = this.#outstanding;
    out.forEachLost((tsn) => {
      const message = out.message(tsn);
      if (message === undefined || message.abandoned) return;
      if (message.expiresAt <= now || out.sends(tsn) > message.maxRetransmits) this.abandon(message, now);
    });
  }

  /** Gives up one message that has begun. */
  abandon(message: OutboundMessage, now: Instant): void {
    const out = this.#outstanding;
    message.abandoned = true;
    this.count++;
    if (message.sent < message.bytes.length) {
      // A TSN is used up unsent for the missing end. Everything before may be acknowledged already, and then nothing else
      // would make a FORWARD TSN name this message; nor may the next message look like the rest of this one.
      message.lastTsn = out.pushAbandoned(message, now);
      this.#streams.take(message, message.bytes.length - message.sent);
    }
    for (let tsn = Math.max(message.firstTsn, out.base); tsn <= message.lastTsn; tsn++) {
      if (out.message(tsn) === message) out.abandon(tsn);
    }
    this.#highest = Math.max(this.#highest, message.lastTsn);
    this.advance(now, Number.POSITIVE_INFINITY);
  }

  /**
   * RFC 3758 §3.5 C1 to C3. The RFC sends a FORWARD TSN for every SACK that does not cover the point; here it is for each
   * move of the point, and again after `repeatMs` without an answer, so that a burst of SACKs costs one. The point also
   * passes messages that the peer has in full, which the RFC would wait for: otherwise losses that alternate with
   * arrivals would be skipped one a round trip. It never passes a part of a message that is still wanted.
   */
  advance(now: Instant, repeatMs: number): void {
    const out = this.#outstanding;
    let point = Math.max(this.#advancedPoint, out.base - 1);
    for (let tsn = point + 1; tsn <= this.#highest; tsn++) {
      const message = out.message(tsn);
      if (message?.abandoned) point = tsn;
      else if (message === undefined || message.unackedChunks > 0 || message.sent < message.bytes.length) break;
    }
    this.#advancedPoint = point;
    this.#due = point >= out.base && (this.#due || point > this.#sentPoint || now >= this.#sentAt + repeatMs);
  }

  /** Writes the FORWARD TSN or I-FORWARD-TSN. @returns the position behind it; `at` when not even its fixed part fits. */
  write(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const interleaved = this.#extensions.interleaving;
    const entryBytes = interleaved ? 8 : 4;
    const maxEntries = Math.floor((end - at - FORWARD_TSN_HEADER_BYTES) / entryBytes);
    if (maxEntries < 0) return at;
    const { point, skipped } = this.#collect(maxEntries);
    const chunk: ForwardTsnChunk = { interleaved, newCumulativeTsn: (this.#initialTsn + point) >>> 0, skipped };
    if (point < this.#outstanding.base || forwardTsnBytes(chunk) > end - at) return at;
    this.#due = false;
    this.#sentPoint = point;
    this.#sentAt = now;
    return writeForwardTsn(bytes, at, chunk);
  }

  /** The newest skipped message of each stream and kind; stops short where the list would not fit. */
  #collect(maxEntries: number): { point: number; skipped: SkippedMessage[] } {
    const out = this.#outstanding;
    const newest = new Map<number, SkippedMessage>();
    let point = out.base - 1;
    for (let tsn = out.base; tsn <= this.#advancedPoint; tsn++) {
      const message = out.message(tsn);
      if (message === undefined) break;
      if (!message.abandoned) continue;
      // DATA names ordered messages only (RFC 3758 §3.2); I-DATA names both kinds (RFC 8260 §2.3.1).
      if (!message.unordered || this.#extensions.interleaving) {
        const key = message.stream.id * 2 + (message.unordered ? 1 : 0);
        if (!newest.has(key) && newest.size === maxEntries) break;
        newest.set(key, {
          streamId: message.stream.id,
          unordered: message.unordered,
          messageNumber: message.messageNumber,
        });
      }
      point = tsn;
    }
    return { point, skipped: [...newest.values()] };
  }
}
