import { type Instant, Ring } from '../core/index.ts';
import { FlightOrder, NO_SLOT } from './flight-order.ts';
import { LEAST_RTT_MS, MAX_OUTSTANDING_CHUNKS } from './limits.ts';
import { recycleMessage } from './message-copies.ts';
import type { OutboundMessage } from './outbound-streams.ts';

/** Where a DATA chunk with a TSN stands. */
export const CHUNK_STATE = {
  FREE: 0,
  IN_FLIGHT: 1,
  /** Taken for lost; waits for retransmission. Not counted in flight. */
  LOST: 2,
  /** Reported in a gap ack block. */
  ACKED: 3,
  /** Given up by partial reliability. */
  ABANDONED: 4,
  /** No longer in the network, but no SACK has had room to tell whether it arrived. Not counted in flight. */
  UNREPORTED: 5,
} as const;

/** Its last chunk so far is acknowledged. One that was given up is left to the garbage collector: others may know it. */
function recycle(message: OutboundMessage): void {
  if (message.sent === message.bytes.length && !message.abandoned) recycleMessage(message.bytes);
}

const FIRST_CAPACITY = 32;

/** What one SACK acknowledged for the first time; reset by {@link Outstanding.beginAck}. */
export interface AckSummary {
  bytes: number;
  chunks: number;
  /** Send time and TSN of the chunk sent last among them, spurious ones left out; -1 when there is none. */
  newestSentAt: Instant;
  newestTsn: number;
  /**
   * Round trip of the chunk sent last, if that was sent only once (Karn, RFC 9260 §6.3.1 C5) and nothing sent later was
   * acknowledged before: then it is news, not something that earlier SACKs had no room for. -1 when there is none.
   */
  rttMs: number;
  /** `delivered` when that chunk was sent, and when that was. */
  deliveredBefore: number;
  deliveredBeforeAt: Instant;
  /** Something sent once was acknowledged below the highest TSN that was acknowledged before: the path reorders. */
  reordered: boolean;
}

/**
 * The DATA chunks between the cumulative TSN ack point and the next TSN to assign: a ring of typed arrays indexed by TSN,
 * beside it the order in which what is in flight was sent. Every operation is constant time or amortised constant time per
 * chunk, whatever is in flight.
 *
 * TSNs are unwrapped: they count from our initial TSN at 0.
 */
export class Outstanding {
  /** Oldest chunk not yet covered by the cumulative ack. */
  base = 0;
  /** The next TSN to assign. */
  next = 0;
  /** In flight, in bytes of user data. */
  flightBytes = 0;
  /** In flight or waiting for retransmission: what the peer's window must still hold. */
  unackedBytes = 0;
  /** Bytes acknowledged since the beginning, and when the last were. */
  deliveredBytes = 0;
  deliveredAt: Instant = 0;
  readonly ack: AckSummary = {
    bytes: 0,
    chunks: 0,
    newestSentAt: -1,
    newestTsn: -1,
    rttMs: -1,
    deliveredBefore: 0,
    deliveredBeforeAt: 0,
    reordered: false,
  };
  #highestAcked = -1;
  /** Chunks acknowledged by gap ack blocks only. */
  #gapAcked = 0;
  #mask: number = FIRST_CAPACITY - 1;
  #message: (OutboundMessage | undefined)[] = new Array<OutboundMessage | undefined>(FIRST_CAPACITY).fill(undefined);
  #offset = new Int32Array(FIRST_CAPACITY);
  #length = new Uint16Array(FIRST_CAPACITY);
  #fsn = new Int32Array(FIRST_CAPACITY);
  #state = new Uint8Array(FIRST_CAPACITY);
  #sends = new Uint16Array(FIRST_CAPACITY);
  #sentAt = new Float64Array(FIRST_CAPACITY);
  #delivered = new Float64Array(FIRST_CAPACITY);
  #deliveredAt = new Float64Array(FIRST_CAPACITY);
  /** For ACKED chunks: a lower bound of the distance to the next one that is not (a union-find with path halving). */
  #skip = new Int32Array(FIRST_CAPACITY);
  readonly #flight = new FlightOrder(FIRST_CAPACITY);
  readonly #lost = new Ring<number>();
  readonly #unreported = new Ring<number>();
  /** Send time of the chunk sent last among all that have been acknowledged. */
  #newestAckedSentAt: Instant = -1;

  /** No more TSNs can be assigned until the cumulative point moves. */
  get isFull(): boolean {
    return this.next - this.base >= MAX_OUTSTANDING_CHUNKS;
  }

  get gapAckedChunks(): number {
    return this.#gapAcked;
  }

  message(tsn: number): OutboundMessage | undefined {
    return this.#message[tsn & this.#mask];
  }

  offset(tsn: number): number {
    return this.#offset[tsn & this.#mask]!;
  }

  length(tsn: number): number {
    return this.#length[tsn & this.#mask]!;
  }

  fsn(tsn: number): number {
    return this.#fsn[tsn & this.#mask]!;
  }

  state(tsn: number): number {
    return tsn < this.base || tsn >= this.next ? CHUNK_STATE.FREE : this.#state[tsn & this.#mask]!;
  }

  sends(tsn: number): number {
    return this.#sends[tsn & this.#mask]!;
  }

  sentAt(tsn: number): Instant {
    return this.#sentAt[tsn & this.#mask]!;
  }

  /** The chunk in flight whose last transmission is the longest ago; -1 when nothing is in flight. */
  oldestInFlight(): number {
    return this.#flight.oldest === NO_SLOT ? -1 : this.#tsnOf(this.#flight.oldest);
  }

  /** The chunk in flight that was transmitted last; -1 when nothing is in flight. */
  newestInFlight(): number {
    return this.#flight.newest === NO_SLOT ? -1 : this.#tsnOf(this.#flight.newest);
  }

  /** Assigns the next TSN to a fragment that is being sent now. */
  push(message: OutboundMessage | undefined, offset: number, length: number, fsn: number, now: Instant): number {
    if (this.next - this.base > this.#mask) this.#grow();
    const tsn = this.next++;
    const i = tsn & this.#mask;
    this.#message[i] = message;
    this.#offset[i] = offset;
    this.#length[i] = length;
    this.#fsn[i] = fsn;
    this.#sends[i] = 0;
    this.#skip[i] = 0;
    this.unackedBytes += length;
    this.#transmitted(i, length, now);
    return tsn;
  }

  /** A TSN that is given up before it is sent: the end of an abandoned message (RFC 3758 §3.5 A3). */
  pushAbandoned(message: OutboundMessage, now: Instant): number {
    const tsn = this.push(message, message.bytes.length, 0, message.nextFsn, now);
    this.abandon(tsn);
    return tsn;
  }

  /** A lost chunk is being sent again. */
  resend(tsn: number, now: Instant): void {
    const i = tsn & this.#mask;
    if (this.#state[i] === CHUNK_STATE.IN_FLIGHT) {
      this.#flight.remove(i); // a probe of a chunk that is not known to be lost
      this.flightBytes -= this.#length[i]!;
    }
    this.#transmitted(i, this.#length[i]!, now);
  }

  #transmitted(i: number, length: number, now: Instant): void {
    if (this.flightBytes === 0) this.deliveredAt = now; // the rate is measured over busy time (as RFC 9438's kin do)
    this.#state[i] = CHUNK_STATE.IN_FLIGHT;
    this.#sends[i]!++;
    this.#sentAt[i] = now;
    this.#delivered[i] = this.deliveredBytes;
    this.#deliveredAt[i] = this.deliveredAt;
    this.flightBytes += length;
    this.#flight.append(i);
  }

  /** Begins the accounting of one SACK. */
  beginAck(): void {
    const ack = this.ack;
    ack.bytes = 0;
    ack.chunks = 0;
    ack.newestSentAt = -1;
    ack.newestTsn = -1;
    ack.rttMs = -1;
    ack.reordered = false;
  }

  /** Everything up to `tsn` is acknowledged and forgotten. @param minRttMs - below it, an ack of a resent chunk is for its first sending. */
  ackCumulative(tsn: number, now: Instant, minRttMs: number): void {
    while (this.base <= tsn) {
      const i = this.base & this.#mask;
      if (this.#state[i] === CHUNK_STATE.ACKED) this.#gapAcked--;
      else this.#acked(this.base, i, now, minRttMs);
      this.#state[i] = CHUNK_STATE.FREE;
      const message = this.#message[i];
      if (message?.isCopy === true && message.lastTsn === this.base) recycle(message);
      this.#message[i] = undefined;
      this.base++;
    }
  }

  /** A gap ack block [first, last], inside the window. */
  ackRange(first: number, last: number, now: Instant, minRttMs: number): void {
    for (let tsn = this.#notAcked(first); tsn <= last; tsn = this.#notAcked(tsn + 1)) {
      const i = tsn & this.#mask;
      this.#acked(tsn, i, now, minRttMs);
      this.#state[i] = CHUNK_STATE.ACKED;
      this.#skip[i] = 1;
      this.#gapAcked++;
    }
  }

  #acked(tsn: number, i: number, now: Instant, minRttMs: number): void {
    const state = this.#state[i];
    if (state === CHUNK_STATE.ABANDONED) return;
    const length = this.#length[i]!;
    if (state === CHUNK_STATE.IN_FLIGHT) {
      this.#flight.remove(i);
      this.flightBytes -= length;
    }
    this.unackedBytes -= length;
    this.deliveredBytes += length;
    this.deliveredAt = now;
    const ack = this.ack;
    ack.bytes += length;
    ack.chunks++;
    const sentAt = this.#sentAt[i]!;
    const rttMs = Math.max(now - sentAt, LEAST_RTT_MS);
    const once = this.#sends[i] === 1;
    if (tsn > this.#highestAcked) this.#highestAcked = tsn;
    else if (once) ack.reordered = true;
    if (once && sentAt >= this.#newestAckedSentAt) {
      ack.rttMs = rttMs;
      ack.deliveredBefore = this.#delivered[i]!;
      ack.deliveredBeforeAt = this.#deliveredAt[i]!;
    }
    // RFC 8985 §6.2 step 2: faster than the path can be, so it acknowledges an earlier transmission.
    if (!once && rttMs < minRttMs) return;
    if (sentAt > this.#newestAckedSentAt) {
      this.#newestAckedSentAt = sentAt;
      if (!once) ack.rttMs = -1;
    }
    if (sentAt > ack.newestSentAt || (sentAt === ack.newestSentAt && tsn > ack.newestTsn)) {
      ack.newestSentAt = sentAt;
      ack.newestTsn = tsn;
    }
  }

  /** The first TSN from `tsn` on that no gap ack block has covered; may be `next`. */
  #notAcked(from: number): number {
    let tsn = from;
    while (tsn < this.next) {
      const i = tsn & this.#mask;
      if (this.#state[i] !== CHUNK_STATE.ACKED) return tsn;
      const target = tsn + this.#skip[i]!;
      const j = target & this.#mask;
      if (target < this.next && this.#state[j] === CHUNK_STATE.ACKED) this.#skip[i] = this.#skip[i]! + this.#skip[j]!;
      tsn = target;
    }
    return tsn;
  }

  /** A chunk in flight, or one that was unreported, is taken for lost. */
  markLost(tsn: number): void {
    this.#leaveFlight(tsn & this.#mask, CHUNK_STATE.LOST);
    this.#lost.push(tsn);
  }

  /** A chunk in flight has left the network, but SACKs cannot yet name it. */
  markUnreported(tsn: number): void {
    this.#leaveFlight(tsn & this.#mask, CHUNK_STATE.UNREPORTED);
    this.#unreported.push(tsn);
  }

  /** The chunk that has been waiting longest to be reported; -1 when there is none. */
  firstUnreported(): number {
    for (;;) {
      const tsn = this.#unreported.peek();
      if (tsn === undefined) return -1;
      if (this.state(tsn) === CHUNK_STATE.UNREPORTED) return tsn;
      this.#unreported.shift();
    }
  }

  #leaveFlight(i: number, state: number): void {
    if (this.#state[i] === CHUNK_STATE.IN_FLIGHT) {
      this.#flight.remove(i);
      this.flightBytes -= this.#length[i]!;
    }
    this.#state[i] = state;
  }

  /**
   * T3-rtx (RFC 9260 §6.3.3 E3): everything unacknowledged is to be sent again, the lowest TSN first. Gap acks are
   * forgotten too when the peer has gone back on them (RFC 9260 §6.2.1 D iii).
   */
  markAllLost(forgetGapAcks: boolean): void {
    this.#lost.clear();
    this.#unreported.clear();
    this.#flight.clear();
    this.flightBytes = 0;
    for (let tsn = this.base; tsn < this.next; tsn++) {
      const i = tsn & this.#mask;
      if (this.#state[i] === CHUNK_STATE.ACKED && forgetGapAcks && this.#message[i]?.abandoned === false) {
        this.#gapAcked--;
        this.unackedBytes += this.#length[i]!;
        this.#state[i] = CHUNK_STATE.LOST;
      }
      const state = this.#state[i];
      if (state === CHUNK_STATE.FREE || state === CHUNK_STATE.ACKED || state === CHUNK_STATE.ABANDONED) continue;
      this.#state[i] = CHUNK_STATE.LOST;
      this.#lost.push(tsn);
    }
  }

  /** The chunk to send again first; -1 when there is none. It stays first until `resend` or `abandon`. */
  firstLost(): number {
    for (;;) {
      const tsn = this.#lost.peek();
      if (tsn === undefined) return -1;
      if (this.state(tsn) === CHUNK_STATE.LOST) return tsn;
      this.#lost.shift(); // acknowledged, given up or sent again meanwhile
    }
  }

  /** Visits what waits for retransmission; the visitor may abandon chunks. Not for every packet. */
  forEachLost(visit: (tsn: number) => void): void {
    for (const tsn of this.#lost) if (this.state(tsn) === CHUNK_STATE.LOST) visit(tsn);
  }

  /** Gives a chunk up, unless it was acknowledged. */
  abandon(tsn: number): void {
    const i = tsn & this.#mask;
    const state = this.#state[i];
    if (state === CHUNK_STATE.FREE || state === CHUNK_STATE.ACKED || state === CHUNK_STATE.ABANDONED) return;
    this.#leaveFlight(i, CHUNK_STATE.ABANDONED);
    this.unackedBytes -= this.#length[i]!;
  }

  #tsnOf(slot: number): number {
    return this.base + ((slot - this.base) & this.#mask);
  }

  #grow(): void {
    const oldMask = this.#mask;
    const capacity = (oldMask + 1) * 2;
    this.#mask = capacity - 1;
    this.#message = this.#moved(
      this.#message,
      new Array<OutboundMessage | undefined>(capacity).fill(undefined),
      oldMask,
    );
    this.#offset = this.#moved(this.#offset, new Int32Array(capacity), oldMask);
    this.#length = this.#moved(this.#length, new Uint16Array(capacity), oldMask);
    this.#fsn = this.#moved(this.#fsn, new Int32Array(capacity), oldMask);
    this.#state = this.#moved(this.#state, new Uint8Array(capacity), oldMask);
    this.#sends = this.#moved(this.#sends, new Uint16Array(capacity), oldMask);
    this.#sentAt = this.#moved(this.#sentAt, new Float64Array(capacity), oldMask);
    this.#delivered = this.#moved(this.#delivered, new Float64Array(capacity), oldMask);
    this.#deliveredAt = this.#moved(this.#deliveredAt, new Float64Array(capacity), oldMask);
    this.#skip = this.#moved(this.#skip, new Int32Array(capacity), oldMask);
    this.#flight.grow(capacity, (slot) => (this.base + ((slot - this.base) & oldMask)) & this.#mask);
  }

  #moved<T extends { [index: number]: unknown }>(from: T, to: T, oldMask: number): T {
    for (let tsn = this.base; tsn < this.next; tsn++) to[tsn & this.#mask] = from[tsn & oldMask];
    return to;
  }
}
