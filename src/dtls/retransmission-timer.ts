import { type Instant, NEVER } from '../core/index.ts';

export interface RetransmissionOptions {
  readonly initialRtoMs: number;
  readonly maxRtoMs: number;
  readonly maxRetransmissions: number;
}

/** The least initial time-out that an option can ask for, and the least that a measured round trip leads to. */
export const MIN_RTO_MS = 50;
/** RFC 9147 §5.8.2: "the value SHOULD be adjusted to 1.5 times the measured round trip time". */
const RTO_PER_ROUND_TRIP = 1.5;
/** A HelloVerifyRequest costs the server nothing; what it answers next has a key exchange and a signature in it. */
const FIRST_SIGNATURE_MS = 200;

/**
 * The retransmission timer of RFC 6347 §4.2.4.1: doubled at each time-out, and measured anew by each flight.
 *
 * ```text
 * start(flight) ── answered, sent once ─────→ the next flight waits 1.5 round trips (RFC 9147 §5.8.2)
 *       │ time-out: twice as long, up to maxRtoMs; after maxRetransmissions: exhausted
 *       └───────── answered, sent more often → which sending was answered is unknown (Karn's rule): the next flight waits
 *                                              twice as long as this one did at first, or 1.5 times what has passed
 * ```
 */
export class RetransmissionTimer {
  readonly #options: RetransmissionOptions;
  /** What the next flight begins with. */
  #baseMs: number;
  #rtoMs: number;
  #deadline: Instant = NEVER;
  #timeouts = 0;
  #startedAt: Instant = 0;
  /** Sent once, and not answered yet: what comes first is a measure. */
  #measuring = false;
  #awaitingAnswer = false;

  constructor(options: RetransmissionOptions) {
    this.#options = options;
    this.#baseMs = options.initialRtoMs;
    this.#rtoMs = options.initialRtoMs;
  }

  get deadline(): Instant {
    return this.#deadline;
  }

  /** A new flight is sent. @param awaitsReply - false: nothing will answer it, so nothing is armed. */
  start(now: Instant, awaitsReply: boolean): void {
    this.#rtoMs = this.#baseMs;
    this.#timeouts = 0;
    this.#startedAt = now;
    this.#measuring = awaitsReply;
    this.#awaitingAnswer = awaitsReply;
    this.#deadline = awaitsReply ? now + this.#rtoMs : NEVER;
  }

  stop(): void {
    this.#deadline = NEVER;
    this.#awaitingAnswer = false;
  }

  /**
   * The flight was sent again for another reason than a time-out: the wait begins anew, and what answers it measures
   * nothing any more.
   */
  restart(now: Instant): void {
    this.#measuring = false;
    if (this.#deadline !== NEVER) this.#deadline = now + this.#rtoMs;
  }

  /**
   * The first piece of the answer is here. The timer goes on, as the rest may be lost.
   * @param effortless - a HelloVerifyRequest.
   */
  answered(now: Instant, effortless: boolean): void {
    if (!this.#awaitingAnswer) return;
    this.#awaitingAnswer = false;
    const { initialRtoMs, maxRtoMs } = this.#options;
    const measuredMs = Math.max(RTO_PER_ROUND_TRIP * (now - this.#startedAt), MIN_RTO_MS);
    let baseMs = measuredMs;
    if (!this.#measuring) {
      // RFC 6347 §4.2.4.1 would keep all of the back-off until a flight meets no loss. One doubling is enough to outgrow a long
      // path in a few flights, and does not slow the rest of a call's set-up down for every datagram lost.
      baseMs = Math.max(this.#baseMs, Math.min(2 * this.#baseMs, measuredMs));
    } else if (effortless) {
      baseMs = Math.max(measuredMs, Math.min(measuredMs + FIRST_SIGNATURE_MS, initialRtoMs));
    }
    this.#baseMs = Math.min(baseMs, maxRtoMs);
  }

  /** @returns what is to be done: nothing yet, send the flight again, or give up. */
  handleTimeout(now: Instant): 'early' | 'resend' | 'exhausted' {
    if (now < this.#deadline) return 'early';
    if (this.#timeouts >= this.#options.maxRetransmissions) return 'exhausted';
    this.#timeouts++;
    this.#measuring = false;
    this.#rtoMs = Math.min(this.#rtoMs * 2, this.#options.maxRtoMs);
    // From the deadline, not from `now`: a late driver must not stretch the schedule; but never in a burst.
    this.#deadline = Math.max(this.#deadline + this.#rtoMs, now + this.#baseMs);
    return 'resend';
  }
}
