/** RFC 9406 §4.2 constants. */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

/** How much above the undisturbed round trip a standing queue shows (RFC 9406 §4.2, RttThresh). */
export function queueThresholdMs(minRttMs: number): number {
  return Math.max(MIN_RTT_THRESHOLD_MS, Math.min(minRttMs / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD_MS));
}

/**
 * The least of the last complete block of eight round trips. RFC 9406 takes the least of a whole round, which for a sender
 * in bursts is right; packets that are paced show the queue as it grows, a round earlier.
 */
export class RecentRtt {
  /** Infinite before the first block. */
  minMs: number = Number.POSITIVE_INFINITY;
  #blockMin: number = Number.POSITIVE_INFINITY;
  #samples = 0;

  /** @returns true when a block is complete. */
  sample(rttMs: number): boolean {
    if (rttMs < this.#blockMin) this.#blockMin = rttMs;
    if (++this.#samples < RTT_SAMPLES) return false;
    this.minMs = this.#blockMin;
    this.#blockMin = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    return true;
  }
}

/**
 * HyStart++ (RFC 9406): doubles the window a round until the round trip grows, then goes on at a quarter of the pace for a
 * few rounds ("conservative slow start") in case the growth was only jitter. Since packets are paced, growth per SACK has
 * no limit (L is infinite, §4.2).
 */
export class SlowStart {
  /** Slow start ended because the path is full. */
  isOver = false;
  #conservativeRounds = -1;
  #baseline: number = Number.POSITIVE_INFINITY;

  /** Bytes to add to the window for `ackedBytes`. */
  growth(ackedBytes: number): number {
    return this.#conservativeRounds < 0 ? ackedBytes : ackedBytes / CSS_GROWTH_DIVISOR;
  }

  /** A block of round trips is complete. */
  noteBlock(recentMs: number, minRttMs: number): void {
    const threshold = queueThresholdMs(minRttMs);
    if (this.#conservativeRounds < 0) {
      if (recentMs < minRttMs + threshold) return;
      this.#baseline = recentMs;
      this.#conservativeRounds = 0;
      return;
    }
    if (recentMs < minRttMs + threshold / 2)
      this.#conservativeRounds = -1; // a false alarm
    // Not in RFC 9406: a queue that goes on growing at a quarter of the pace is proof enough; over a long path the full
    // five rounds would send three windows too many.
    else if (this.#conservativeRounds >= 1 && recentMs >= this.#baseline) this.isOver = true;
  }

  endRound(): void {
    if (this.#conservativeRounds >= 0 && ++this.#conservativeRounds > CSS_ROUNDS) this.isOver = true;
  }

  /** A loss ended it. */
  stop(): void {
    this.isOver = true;
  }

  /** After a timeout: from the beginning. */
  restart(): void {
    this.isOver = false;
    this.#conservativeRounds = -1;
  }
}
