import { type Instant, NEVER, UsageError } from '../core/index.ts';

/** RFC 8489 §6.2.1: "the initial value for RTO SHOULD be greater than or equal to 500 ms". */
export const INITIAL_RTO_MS = 500;
/** Rc of RFC 8489 §6.2.1: requests sent in all. */
export const MAX_SENDS = 7;
/** Rm of RFC 8489 §6.2.1: how many initial RTOs to wait after the last request. */
export const FINAL_WAIT_FACTOR = 16;
/** Ti of RFC 8489 §6.2.2: how long a request over TCP or TLS waits for its response. */
export const STREAM_TIMEOUT_MS = 39_500;

export interface ScheduleOptions {
  /** The first interval; doubled after each request. */
  readonly rtoMs: number;
  readonly maxSends: number;
  /** Wait after the last request, in initial RTOs. */
  readonly finalWaitFactor: number;
}

/** Over UDP and DTLS: at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms, failed at 39500 ms. */
export const DATAGRAM_SCHEDULE: ScheduleOptions = {
  rtoMs: INITIAL_RTO_MS,
  maxSends: MAX_SENDS,
  finalWaitFactor: FINAL_WAIT_FACTOR,
};

/** Over TCP and TLS, which deliver by themselves: once, failed after Ti. */
export const STREAM_SCHEDULE: ScheduleOptions = { rtoMs: STREAM_TIMEOUT_MS, maxSends: 1, finalWaitFactor: 1 };

/**
 * When to send one request and when to give up (RFC 8489 §6.2.1), without the request: what a transaction, an ICE check
 * and a TURN client share. The first send is due at construction.
 */
export class RetransmissionSchedule {
  /** Requests sent or due so far. */
  sends = 1;
  /** When `advance` has work; `NEVER` after the end. */
  dueAt: Instant;
  #intervalMs: number;
  readonly #options: ScheduleOptions;

  /** @throws {UsageError} for options that would never end or never send. */
  constructor(now: Instant, options: ScheduleOptions = DATAGRAM_SCHEDULE) {
    if (!(options.rtoMs > 0) || !(options.maxSends >= 1) || !(options.finalWaitFactor >= 0)) {
      throw new UsageError('a retransmission schedule needs a positive RTO and at least one send');
    }
    this.#options = options;
    this.#intervalMs = options.rtoMs;
    this.dueAt = now;
    this.#armNext();
  }

  /**
   * Advances to `now`: `send` when the request is to be sent again (once, however late the caller is), `failed` when the
   * last wait is over, undefined when nothing is due.
   */
  advance(now: Instant): 'send' | 'failed' | undefined {
    let result: 'send' | undefined;
    while (this.dueAt <= now) {
      if (this.sends >= this.#options.maxSends) {
        this.dueAt = NEVER;
        return 'failed';
      }
      this.sends++;
      this.#armNext();
      result = 'send';
    }
    return result;
  }

  /** Nothing more is due. */
  stop(): void {
    this.dueAt = NEVER;
  }

  /** From the deadline, not from `now`: a late driver must not stretch the schedule. */
  #armNext(): void {
    const last = this.sends >= this.#options.maxSends;
    this.dueAt += last ? this.#options.finalWaitFactor * this.#options.rtoMs : this.#intervalMs;
    this.#intervalMs *= 2;
  }
}
