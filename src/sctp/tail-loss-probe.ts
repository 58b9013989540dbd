import { type Instant, NEVER } from '../core/index.ts';
import { SACK_DELAY_MS } from './limits.ts';
import type { Outstanding } from './outstanding.ts';

/** RFC 8985 §7.2: the probe timeout in round trips. */
const PROBE_RTTS = 2;

/** What a timer is late by at least; a probe for less would come before an acknowledgement that is on its way. */
const PROBE_MARGIN_MS = 2;

/**
 * Tail loss probes (RFC 8985 §7): when acknowledgements stay away for two round trips, one packet leaves regardless of the
 * windows, so that what was lost at the end of a flight shows by gap ack blocks and not by T3-rtx.
 */
export class TailLossProbe {
  /** When the next probe is due. */
  at: Instant = NEVER;
  /** A probe is to leave now. */
  isPending = false;
  count = 0;
  /** One probe an acknowledgement (RFC 8985 §7.2). */
  #sent = false;
  /** What the last probe repeated; -1 for a probe of new data, or none, or when its outcome is known. */
  repeatedTsn = -1;
  #repeatedBytes = 0;
  /** The TSN that was next to assign then. */
  #nextTsn = -1;

  /**
   * RFC 8985 §7.2: before there is a round trip to measure with, and after a probe that nothing was heard of, there is none.
   * @param t3At - a probe after T3-rtx would be none.
   */
  arm(
    outstanding: Outstanding,
    smoothedRttMs: number | undefined,
    mtuBytes: number,
    t3At: Instant,
    now: Instant,
  ): void {
    this.at = NEVER;
    if (smoothedRttMs === undefined || this.#sent || outstanding.flightBytes === 0) return;
    const alone = outstanding.flightBytes <= mtuBytes; // the peer may sit on its SACK
    const at = now + PROBE_RTTS * smoothedRttMs + (alone ? SACK_DELAY_MS : PROBE_MARGIN_MS);
    if (at < t3At) this.at = at;
  }

  disarm(): void {
    this.at = NEVER;
  }

  /** T3-rtx expired: it does more. */
  cancel(): void {
    this.at = NEVER;
    this.isPending = false;
    this.repeatedTsn = -1;
  }

  handleTimeout(now: Instant): void {
    if (now < this.at) return;
    this.at = NEVER;
    this.isPending = true;
    this.count++;
  }

  /** Something was acknowledged: the next silence may be probed again. */
  noteProgress(): void {
    this.isPending = false;
    this.#sent = false;
  }

  /** A packet left while a probe was pending: that was it. */
  noteSent(): void {
    this.isPending = false;
    this.#sent = true;
  }

  /** The probe repeated a chunk, since there was nothing new. */
  noteRepeated(tsn: number, lengthBytes: number, nextTsn: number): void {
    this.repeatedTsn = tsn;
    this.#repeatedBytes = lengthBytes;
    this.#nextTsn = nextTsn;
  }

  /**
   * RFC 8985 §7.4: whether the probe has repaired a loss that nobody else hears of, so that the window must answer it. It
   * has when something sent after it is acknowledged and no duplicate was reported.
   * @param highestTsn - the highest that the SACK names.
   * @param isDuplicate - it reports {@link repeatedTsn} as a duplicate: both arrived.
   * @returns bytes that were lost; 0 while that is open, or when none were.
   */
  takeRepaired(highestTsn: number, isDuplicate: boolean): number {
    if (!isDuplicate && highestTsn < this.#nextTsn) return 0;
    this.repeatedTsn = -1;
    return isDuplicate ? 0 : this.#repeatedBytes;
  }
}
