import type { Instant } from '../core/index.ts';
import { INITIAL_RTO_MS } from './schedule.ts';

/** RFC 8489 §6.2.1: "stale and discarded if no transactions have occurred to the same server in the last 10 minutes". */
const STALE_AFTER_MS = 600_000;

/**
 * The retransmission timeout towards one server, learned from round trips (RFC 8489 §6.2.1, RFC 6298 §2): not rounded to
 * seconds, and never below the initial 500 ms.
 */
export class RtoEstimator {
  #smoothedMs = 0;
  #variationMs = 0;
  #updatedAt: Instant | undefined;

  /** For the next transaction. */
  rtoMs(now: Instant): number {
    if (this.#updatedAt === undefined || now - this.#updatedAt > STALE_AFTER_MS) return INITIAL_RTO_MS;
    return Math.max(INITIAL_RTO_MS, this.#smoothedMs + 4 * this.#variationMs);
  }

  /**
   * A round trip was measured. Karn's algorithm is the caller's duty: not after a retransmission, because nobody knows
   * which request was answered.
   */
  update(rttMs: number, now: Instant): void {
    if (this.#updatedAt === undefined || now - this.#updatedAt > STALE_AFTER_MS) {
      this.#smoothedMs = rttMs;
      this.#variationMs = rttMs / 2;
    } else {
      this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.#smoothedMs - rttMs);
      this.#smoothedMs = 0.875 * this.#smoothedMs + 0.125 * rttMs;
    }
    this.#updatedAt = now;
  }
}
