import { queueThresholdMs } from './path-model.ts';

/** RFC 9406 §4.2 constants. */
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

/**
 * Doubling overshoots by nearly a whole window, since its effect shows a round trip later: a shallow queue loses all of
 * that. So the pace slackens before the path is full by what packet trains say of it, if they say anything.
 */
const HALF_FULL = 0.5;
const FULL_GROWTH_DIVISOR = 16;

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

  /**
   * Bytes to add to the window for `ackedBytes`.
   * @param fill - the window as a share of what the path is thought to carry.
   */
  growth(ackedBytes: number, fill: number): number {
    if (fill > 1) return ackedBytes / FULL_GROWTH_DIVISOR;
    return this.isDoubling(fill) ? ackedBytes : ackedBytes / CSS_GROWTH_DIVISOR;
  }

  isDoubling(fill: number): boolean {
    return this.#conservativeRounds < 0 && fill <= HALF_FULL;
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
