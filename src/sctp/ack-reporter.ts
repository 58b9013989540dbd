import type { Instant } from '../core/index.ts';
import { type AckReport, type CongestionControl, createAckReport } from './congestion.ts';
import type { Outstanding } from './outstanding.ts';
import type { RttEstimator } from './rtt.ts';

/**
 * Turns SACKs into what congestion control asks of them: how fast the path delivers, whether a round trip has passed, and
 * whether the window, not the application or the peer, was what held us back in it. One report object is used for all.
 */
export class AckReporter {
  readonly #outstanding: Outstanding;
  readonly #rtt: RttEstimator;
  readonly #congestion: CongestionControl;
  readonly #report: AckReport = createAckReport();
  /** The round trip is over when this TSN is acknowledged. */
  #roundEnd = 0;
  /** In this round trip: the most that was in flight, in bytes, and whether a packet had to wait for the window. */
  #flightPeak = 0;
  #windowLimited = false;
  /** Rates are measured from here on. */
  #rateFrom: Instant = 0;

  constructor(outstanding: Outstanding, rtt: RttEstimator, congestion: CongestionControl) {
    this.#outstanding = outstanding;
    this.#rtt = rtt;
    this.#congestion = congestion;
  }

  /** A packet would have left, but for the congestion window. */
  noteWindowFull(): void {
    this.#windowLimited = true;
  }

  /** A packet has left. */
  noteSent(): void {
    if (this.#outstanding.flightBytes > this.#flightPeak) this.#flightPeak = this.#outstanding.flightBytes;
  }

  /**
   * Call once a SACK, when `outstanding.ack` describes it.
   * @param flightBefore - bytes in flight before this SACK.
   * @param sackMayBeFull - it may have had no room for all that has arrived.
   * @returns the report, good until the next one.
   */
  report(flightBefore: number, inRecovery: boolean, sackMayBeFull: boolean, now: Instant): AckReport {
    const out = this.#outstanding;
    const ack = out.ack;
    const report = this.#report;
    report.now = now;
    report.ackedBytes = ack.bytes;
    report.flightBefore = flightBefore;
    report.rttMs = ack.rttMs;
    report.smoothedRttMs = this.#rtt.smoothedMs ?? 0;
    report.minRttMs = this.#rtt.minMs;
    report.inRecovery = inRecovery;
    const busyMs = now - ack.deliveredBeforeAt;
    // What full SACKs had no room for is reported late and in heaps: no measure of a rate.
    if (sackMayBeFull) this.#rateFrom = now;
    const measured = ack.rttMs >= 0 && busyMs > 0 && ack.deliveredBeforeAt >= this.#rateFrom;
    report.deliveryRate = measured ? (out.deliveredBytes - ack.deliveredBefore) / busyMs : 0;
    report.newRound = out.base > this.#roundEnd;
    // As in the Linux stack: in slow start, having used half of the window is enough to let it grow.
    const { windowBytes, slowStartThresholdBytes } = this.#congestion;
    const halfUsed = windowBytes < 2 * Math.max(flightBefore, this.#flightPeak);
    report.windowLimited = this.#windowLimited || (windowBytes < slowStartThresholdBytes && halfUsed);
    if (report.newRound) {
      this.#roundEnd = out.next - 1;
      this.#flightPeak = out.flightBytes;
      this.#windowLimited = false;
    }
    return report;
  }

  /**
   * The last report once more, for losses that were found at `now`.
   * @param lostSentAt - when the chunk sent last among them was sent.
   */
  lossReport(lostSentAt: Instant, now: Instant): AckReport {
    this.#report.now = now;
    this.#report.lostSentAt = lostSentAt;
    return this.#report;
  }
}
