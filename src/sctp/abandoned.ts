import type { Instant } from '../core/index.ts';
import type { OutboundMessage, OutboundStreams } from './outbound-streams.ts';
import { CHUNK_STATE, type Outstanding } from './outstanding.ts';
import type { Extensions } from './tcb.ts';
import { FORWARD_TSN_HEADER_BYTES, type SkippedMessage, writeForwardTsn } from './wire/forward-tsn.ts';

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
      message.stream.lastUnreliableTsn = message.lastTsn;
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
   * move of the point, and again after `repeatMs` without an answer, so that a burst of SACKs costs one.
   *
   * The point also passes what the peer has reported in gap ack blocks, which the RFC would wait for: losses that
   * alternate with arrivals would otherwise be skipped one a round trip. {@link write} says how the peer is told.
   */
  advance(now: Instant, repeatMs: number): void {
    const out = this.#outstanding;
    let point = Math.max(this.#advancedPoint, out.base - 1);
    for (let tsn = point + 1; tsn <= this.#highest; tsn++) {
      if (out.message(tsn)?.abandoned) point = tsn;
      else if (out.state(tsn) !== CHUNK_STATE.ACKED) break;
    }
    this.#advancedPoint = point;
    this.#due = point >= out.base && (this.#due || point > this.#sentPoint || now >= this.#sentAt + repeatMs);
  }

  /** The peer has taken gap acks back (RFC 9260 §6.2.1 D iii): the point may have passed what it wants again. */
  rewind(): void {
    this.#advancedPoint = -1;
    this.#sentPoint = -1;
  }

  /**
   * Writes FORWARD TSN or I-FORWARD-TSN chunks, one for each run of abandoned TSNs: having moved past one run, the peer
   * moves on by itself over what it has, up to the next. One chunk over several runs would name only the newest message
   * of a stream, and usrsctp drops complete messages before it that wait for their turn.
   * @returns the position behind the last; `at` when not even one fits.
   */
  write(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const out = this.#outstanding;
    let pos = at;
    let tsn = out.base;
    while (tsn <= this.#advancedPoint) {
      if (!out.message(tsn)?.abandoned) {
        tsn++;
        continue;
      }
      const next = this.#writeRun(bytes, pos, end, tsn);
      if (next === pos) break; // the rest goes into the next packet
      pos = next;
      tsn = this.#sentPoint + 1;
    }
    if (pos === at) return at;
    this.#due = this.#sentPoint < this.#advancedPoint;
    this.#sentAt = now;
    return pos;
  }

  /** One run of abandoned TSNs, as far as its list of messages fits. */
  #writeRun(bytes: Uint8Array, at: number, end: number, first: number): number {
    const out = this.#outstanding;
    const interleaved = this.#extensions.interleaving;
    const maxEntries = Math.floor((end - at - FORWARD_TSN_HEADER_BYTES) / (interleaved ? 8 : 4));
    if (maxEntries < 1) return at;
    const newest = new Map<number, SkippedMessage>();
    let point = first - 1;
    for (let message = out.message(first); message?.abandoned && point < this.#advancedPoint; ) {
      // DATA names ordered messages only (RFC 3758 §3.2); I-DATA names both kinds (RFC 8260 §2.3.1).
      if (!message.unordered || interleaved) {
        const key = message.stream.id * 2 + (message.unordered ? 1 : 0);
        if (!newest.has(key) && newest.size === maxEntries) break;
        const { unordered, messageNumber } = message;
        newest.set(key, { streamId: message.stream.id, unordered, messageNumber });
      }
      point++;
      message = out.message(point + 1);
    }
    this.#sentPoint = point;
    const newCumulativeTsn = (this.#initialTsn + point) >>> 0;
    return writeForwardTsn(bytes, at, { interleaved, newCumulativeTsn, skipped: [...newest.values()] });
  }
}
