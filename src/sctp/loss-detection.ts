import { type Instant, NEVER } from '../core/index.ts';
import type { Outstanding } from './outstanding.ts';
import type { RttEstimator } from './rtt.ts';

/** Gap-acked chunks that are taken as proof of a loss while the path has not been seen to reorder (RFC 9260 §7.2.4: 3). */
const DUPLICATE_THRESHOLD = 3;

/** Recoveries after which a widened reordering window shrinks again (RFC 8985 §6.2 step 4). */
const REO_WINDOW_PERSISTS = 16;

/** Some stacks report no more than 20 gap ack blocks, others as many as a packet holds. */
const LEAST_FULL_SACK_BLOCKS = 20;

/** What would take more than so many full SACKs to be reported is sent again without waiting for the report. */
const SACKS_WORTH_WAITING = 8;

/**
 * RACK loss detection (RFC 8985 §6.2) in the place of RFC 9260 §7.2.4's count of missing reports: a chunk is lost when one
 * sent enough later has arrived. It finds lost retransmissions too and does not mistake reordering for loss, and it costs
 * a SACK only as much as the SACK brings.
 */
export class LossDetection {
  /** Send time and TSN of the chunk sent last among all that have arrived. */
  #newestSentAt: Instant = -1;
  #newestTsn = -1;
  #rttMs = 0;
  /**
   * The last SACK may hold all the gap ack blocks that its sender had room for: it has as many as any before. What it says
   * nothing about, a later one will.
   */
  sackMayBeFull = false;
  #blocksSeen: number = LEAST_FULL_SACK_BLOCKS;
  /** Chunks up to this TSN may have been sent again although they had arrived. */
  #guessedUpTo = -1;
  /** Send time of the chunk sent last among those that {@link detect} has just found lost. */
  newestLostSentAt: Instant = -1;
  /** The highest TSN that the last SACK can be taken to say something about. */
  #namedUpTo: number = Number.POSITIVE_INFINITY;
  #reorderingSeen = false;
  #windowSteps = 1;
  #persist = 0;
  /** When the oldest suspicious chunk becomes a lost one. */
  timerAt: Instant = NEVER;

  /**
   * Call after every SACK, when `outstanding.ack` describes it.
   * @param gapBlocks - in that SACK; `highestTsn` is the highest that it names.
   */
  noteAck(outstanding: Outstanding, gapBlocks: number, highestTsn: number, now: Instant): void {
    const ack = outstanding.ack;
    this.sackMayBeFull = gapBlocks >= this.#blocksSeen;
    if (this.sackMayBeFull) this.#blocksSeen = gapBlocks;
    this.#namedUpTo = this.sackMayBeFull ? highestTsn : Number.POSITIVE_INFINITY;
    if (ack.reordered) this.#reorderingSeen = true;
    if (ack.newestTsn < 0) return;
    const later =
      ack.newestSentAt > this.#newestSentAt ||
      (ack.newestSentAt === this.#newestSentAt && ack.newestTsn > this.#newestTsn);
    if (!later) return;
    this.#newestSentAt = ack.newestSentAt;
    this.#newestTsn = ack.newestTsn;
    this.#rttMs = now - ack.newestSentAt;
  }

  /** The peer reported a duplicate of something that we retransmitted: we were too hasty (RFC 8985 §6.2 step 4). */
  noteSpurious(tsn: number): void {
    if (tsn <= this.#guessedUpTo) return; // known to be a guess
    this.#reorderingSeen = true;
    this.#windowSteps = Math.min(this.#windowSteps + 1, 16);
    this.#persist = REO_WINDOW_PERSISTS;
  }

  /** A recovery is over. */
  noteRecovered(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#windowSteps = 1;
  }

  /** Marks what is lost. @returns bytes newly marked. */
  detect(outstanding: Outstanding, rtt: RttEstimator, inRecovery: boolean, now: Instant): number {
    this.timerAt = NEVER;
    if (this.#newestTsn < 0) return 0;
    const windowMs = this.#windowMs(outstanding, rtt, inRecovery);
    this.newestLostSentAt = -1;
    let lostBytes = 0;
    for (
      let tsn = outstanding.firstUnreported();
      tsn >= 0 && tsn <= this.#namedUpTo;
      tsn = outstanding.firstUnreported()
    )
      lostBytes += this.#markLost(outstanding, tsn);
    const worthWaiting = outstanding.base + SACKS_WORTH_WAITING * (this.#namedUpTo - outstanding.base);
    for (;;) {
      const tsn = outstanding.oldestInFlight();
      if (tsn < 0) break;
      const sentAt = outstanding.sentAt(tsn);
      if (sentAt > this.#newestSentAt || (sentAt === this.#newestSentAt && tsn >= this.#newestTsn)) break;
      const deadline = sentAt + this.#rttMs + windowMs;
      if (deadline > now) {
        this.timerAt = deadline;
        break;
      }
      if (tsn <= this.#namedUpTo) lostBytes += this.#markLost(outstanding, tsn);
      else if (tsn <= worthWaiting) outstanding.markUnreported(tsn);
      else {
        this.#guessedUpTo = Math.max(this.#guessedUpTo, tsn);
        outstanding.markLost(tsn);
      }
    }
    return lostBytes;
  }

  #markLost(outstanding: Outstanding, tsn: number): number {
    this.newestLostSentAt = Math.max(this.newestLostSentAt, outstanding.sentAt(tsn));
    outstanding.markLost(tsn);
    return outstanding.length(tsn);
  }

  #windowMs(outstanding: Outstanding, rtt: RttEstimator, inRecovery: boolean): number {
    if (!this.#reorderingSeen && (inRecovery || outstanding.gapAckedChunks >= DUPLICATE_THRESHOLD)) return 0;
    if (rtt.smoothedMs === undefined) return 0;
    return Math.min((this.#windowSteps * rtt.minMs) / 4, rtt.smoothedMs);
  }
}
