import type { Instant } from '../core/index.ts';
import { LEAST_RTT_MS, RTO_INITIAL_MS, RTO_MARGIN_MS, RTO_MAX_INIT_MS, RTO_MAX_MS, RTO_MIN_MS } from './limits.ts';

/** RTO.Alpha and RTO.Beta (RFC 9260 §16). */
const ALPHA = 1 / 8;
const BETA = 1 / 4;

/** How long the least round trip is believed (as RFC 8985 §6.2 step 1 suggests a windowed minimum). */
const MIN_RTT_WINDOW_MS = 10_000;

/**
 * Smoothed round trip and retransmission timeout (RFC 9260 §6.3.1). Samples are taken from every SACK that newly
 * acknowledges a chunk that was sent once, which is more often than the RFC's "once per round trip" and lets the variance
 * shrink to nothing on a steady path: `RTO_MARGIN_MS` keeps delayed SACKs from firing the timer.
 */
export class RttEstimator {
  /** Undefined before the first sample. */
  smoothedMs: number | undefined;
  rtoMs: number = RTO_INITIAL_MS;
  /** The least sample of the last ten seconds; infinite before the first. */
  minMs: number = Number.POSITIVE_INFINITY;
  latestMs = 0;
  #varianceMs = 0;
  #minAt: Instant = 0;
  /** Least sample of the current half of the window, so that an old minimum is forgotten in time. */
  #nextMinMs: number = Number.POSITIVE_INFINITY;

  /**
   * The handshake took this long: a round trip, unless something was lost and sent again, which cannot have happened
   * before the first timeout. A longer time only bounds the round trip from above (Karn): then T3-rtx must at least not
   * fire before it (RFC 6298 §5.7 has the same concern).
   */
  noteHandshake(elapsedMs: number, now: Instant): void {
    if (elapsedMs < RTO_INITIAL_MS) this.sample(elapsedMs, now);
    else if (this.smoothedMs === undefined) this.rtoMs = Math.min(RTO_MAX_INIT_MS, Math.max(this.rtoMs, 2 * elapsedMs));
  }

  sample(measuredMs: number, now: Instant): void {
    const rttMs = Math.max(measuredMs, LEAST_RTT_MS);
    this.latestMs = rttMs;
    if (this.smoothedMs === undefined) {
      this.smoothedMs = rttMs;
      this.#varianceMs = rttMs / 2;
    } else {
      this.#varianceMs += BETA * (Math.abs(this.smoothedMs - rttMs) - this.#varianceMs);
      this.smoothedMs += ALPHA * (rttMs - this.smoothedMs);
    }
    this.forgetBackOff();
    if (rttMs <= this.minMs) {
      this.minMs = rttMs;
      this.#minAt = now;
      this.#nextMinMs = Number.POSITIVE_INFINITY;
      return;
    }
    if (now - this.#minAt > MIN_RTT_WINDOW_MS / 2 && rttMs < this.#nextMinMs) this.#nextMinMs = rttMs;
    if (now - this.#minAt <= MIN_RTT_WINDOW_MS) return;
    this.minMs = this.#nextMinMs;
    this.#minAt = now;
    this.#nextMinMs = Number.POSITIVE_INFINITY;
  }

  /** The timeout that the samples so far give (RFC 9260 §6.3.1 C3). */
  forgetBackOff(): void {
    const marginMs = Math.max(4 * this.#varianceMs, RTO_MARGIN_MS);
    this.rtoMs =
      this.smoothedMs === undefined
        ? RTO_INITIAL_MS
        : Math.min(RTO_MAX_MS, Math.max(RTO_MIN_MS, this.smoothedMs + marginMs));
  }

  /** RFC 9260 §6.3.3 E2: the timer expired. @param maxMs - cap for this phase. */
  backOff(maxMs: number = RTO_MAX_MS): void {
    this.rtoMs = Math.min(maxMs, this.rtoMs * 2);
  }
}
