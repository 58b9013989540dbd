import type { Instant } from '../core/index.ts';

/** Packets that may leave back to back, however slow the path: more hurts shallow queues, fewer costs wake-ups. */
const BURST_PACKETS = 10;

/** What a driver's timer may be late by: the burst must cover it, or a fast path starves. */
const TIMER_GRAIN_MS = 2;

/** Below this round trip pacing gains nothing and no timer is fine enough. */
const MIN_PACED_RTT_MS = 3;

/**
 * Spreads packets over the round trip (RFC 9002 §7.7 does the same for QUIC): a leaky bucket that drains at `rate` and
 * lets a burst of ten packets or two milliseconds through at once.
 */
export class Pacer {
  readonly #enabled: boolean;
  /** When the bucket will be empty. */
  #emptyAt: Instant = 0;
  #burstMs = 0;
  /** Bytes a millisecond; infinite while pacing is off. */
  #rate: number = Number.POSITIVE_INFINITY;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  /** @param gain - above 1, so that pacing never holds the window back by itself. */
  update(windowBytes: number, smoothedRttMs: number, gain: number, mtuBytes: number): void {
    if (!this.#enabled || smoothedRttMs < MIN_PACED_RTT_MS) {
      this.#rate = Number.POSITIVE_INFINITY;
      return;
    }
    this.#rate = (gain * windowBytes) / smoothedRttMs;
    this.#burstMs = Math.max(TIMER_GRAIN_MS, (BURST_PACKETS * mtuBytes) / this.#rate);
  }

  /** Whether a packet may leave now. */
  allows(now: Instant): boolean {
    return this.#rate === Number.POSITIVE_INFINITY || this.#emptyAt - now < this.#burstMs;
  }

  /** When one may, once {@link allows} said no: when half of the burst has drained, so that a wake-up is worth it. */
  get nextAt(): Instant {
    return this.#emptyAt - this.#burstMs / 2;
  }

  /** A packet left. */
  sent(bytes: number, now: Instant): void {
    if (this.#rate === Number.POSITIVE_INFINITY) return;
    this.#emptyAt = Math.max(this.#emptyAt, now) + bytes / this.#rate;
  }
}
