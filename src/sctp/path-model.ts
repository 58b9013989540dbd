import type { Instant } from '../core/index.ts';
import type { AckReport } from './congestion.ts';

/** RFC 9406 §4.2 constants. */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;

/** Rounds over which the best delivery rate is believed. */
const RATE_ROUNDS = 10;

/** The latest rate is measured over this share of a round trip, and not over less than {@link MIN_SPAN_MS}. */
const SPANS_PER_ROUND = 8;
const MIN_SPAN_MS = 4;

/**
 * The least round trip is believed for five to ten minutes: competitors may keep a queue from ever draining, and a
 * minimum that has risen with it would make their losses look like noise. Too old a minimum only makes us timid.
 */
const BASE_RTT_WINDOW_MS = 300_000;

/** Packets that a train must have after its first acknowledgement. */
const TRAIN_PACKETS = 2;

/** Packets in half of the sample that losses are judged by, at least; half of a large window otherwise. */
const LOSS_SAMPLE_PACKETS = 64;

/** Losses beyond this share are congestion whatever the round trip says. */
const HEAVY_LOSS = 0.15;

/** How much above the undisturbed round trip a standing queue shows (RFC 9406 §4.2, RttThresh). */
export function queueThresholdMs(baseRttMs: number): number {
  return Math.max(MIN_RTT_THRESHOLD_MS, Math.min(baseRttMs / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD_MS));
}

/**
 * What the acknowledgements tell of the path: the round trip without a queue, the rate that it has delivered, whether a
 * queue stands in it now, and which share of the packets it loses.
 */
export class PathModel {
  /** The least round trip; infinite before the first sample. */
  baseRttMs: number = Number.POSITIVE_INFINITY;
  /** The least of the last complete block of round trips: what jitter adds to single ones is gone. */
  recentRttMs: number = Number.POSITIVE_INFINITY;
  /** Share of the previous round that was lost. */
  roundLossShare = 0;
  readonly #rates: Float64Array = new Float64Array(RATE_ROUNDS);
  #round = 0;
  #spanRate = 0;
  #spanBytes = 0;
  #spanFrom: Instant = 0;
  /** Arrival and send time of the acknowledgement that a train began with; bytes acknowledged since. */
  #trainFrom: Instant = -1;
  #trainSentAt: Instant = -1;
  #trainBytes = 0;
  #trainRate = 0;
  #trainRateBefore = 0;
  #blockMin: number = Number.POSITIVE_INFINITY;
  #samples = 0;
  #baseFrom: Instant = 0;
  #nextBaseMs: number = Number.POSITIVE_INFINITY;
  #roundDelivered = 0;
  #roundLost = 0;
  /** Halves of the sample of losses, in bytes. */
  #delivered = 0;
  #lost = 0;
  #deliveredBefore = 0;
  #lostBefore = 0;

  /** @returns true when a block of round trips is complete. */
  noteAck(report: AckReport, windowBytes: number, mtuBytes: number): boolean {
    if (report.newRound) this.#beginRound();
    if (report.deliveryRate > this.#rates[this.#round]!) this.#rates[this.#round] = report.deliveryRate;
    this.#roundDelivered += report.ackedBytes;
    this.#delivered += report.ackedBytes;
    this.#rollSample(Math.max(LOSS_SAMPLE_PACKETS * mtuBytes, windowBytes / 2));
    this.#measureSpan(report);
    this.#measureTrain(report, mtuBytes);
    return report.rttMs >= 0 && this.#noteRtt(report.rttMs, report.now);
  }

  /** @param isNews - not of what was sent before losses were last answered. */
  noteLoss(lostBytes: number, isNews: boolean): void {
    this.#roundLost += lostBytes;
    if (isNews) this.#lost += lostBytes;
  }

  #beginRound(): void {
    this.#round = (this.#round + 1) % RATE_ROUNDS;
    this.#rates[this.#round] = 0;
    this.#trainRateBefore = this.#trainRate;
    this.#trainRate = 0;
    this.roundLossShare = this.#roundLost / Math.max(1, this.#roundLost + this.#roundDelivered);
    this.#roundDelivered = 0;
    this.#roundLost = 0;
  }

  #rollSample(bytes: number): void {
    if (this.#delivered + this.#lost < bytes) return;
    this.#deliveredBefore = this.#delivered;
    this.#lostBefore = this.#lost;
    this.#delivered = 0;
    this.#lost = 0;
  }

  #measureSpan(report: AckReport): void {
    this.#spanBytes += report.ackedBytes;
    const elapsedMs = report.now - this.#spanFrom;
    if (elapsedMs < Math.max(MIN_SPAN_MS, report.smoothedRttMs / SPANS_PER_ROUND)) return;
    this.#spanRate = this.#spanBytes / elapsedMs;
    this.#spanBytes = 0;
    this.#spanFrom = report.now;
  }

  /** Packets that left at once and are acknowledged one after the other were drawn apart by the bottleneck. */
  #measureTrain(report: AckReport, mtuBytes: number): void {
    const sentAt = report.now - report.rttMs;
    const elapsedMs = report.now - this.#trainFrom;
    const isTrain = report.rttMs >= 0 && this.#trainFrom >= 0 && sentAt - this.#trainSentAt <= elapsedMs / 4;
    if (!isTrain) {
      this.#trainFrom = report.rttMs < 0 ? -1 : report.now;
      this.#trainSentAt = sentAt;
      this.#trainBytes = 0;
      return;
    }
    this.#trainBytes += report.ackedBytes;
    if (this.#trainBytes < TRAIN_PACKETS * mtuBytes * 0.9 || elapsedMs === 0) return;
    this.#trainRate = Math.max(this.#trainRate, this.#trainBytes / elapsedMs);
  }

  #noteRtt(rttMs: number, now: Instant): boolean {
    if (now - this.#baseFrom > BASE_RTT_WINDOW_MS) {
      this.baseRttMs = this.#nextBaseMs;
      this.#nextBaseMs = Number.POSITIVE_INFINITY;
      this.#baseFrom = now;
    }
    if (rttMs < this.#nextBaseMs) this.#nextBaseMs = rttMs;
    if (rttMs < this.baseRttMs) this.baseRttMs = rttMs;
    if (rttMs < this.#blockMin) this.#blockMin = rttMs;
    if (++this.#samples < RTT_SAMPLES) return false;
    this.recentRttMs = this.#blockMin;
    this.#blockMin = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    return true;
  }

  /** Bytes that the path has been seen to carry in one unqueued round trip: the best rate of the last rounds. */
  get bytes(): number {
    if (this.baseRttMs === Number.POSITIVE_INFINITY) return 0;
    let rate = 0;
    for (const r of this.#rates) if (r > rate) rate = r;
    return rate * this.baseRttMs;
  }

  /**
   * The same by the latest rate too. In slow start the rate over a whole round trip lags behind by a factor of up to two;
   * what arrives while a queue stands, arrives at the rate of the bottleneck.
   */
  get latestBytes(): number {
    return this.baseRttMs === Number.POSITIVE_INFINITY ? 0 : Math.max(this.bytes, this.#spanRate * this.baseRttMs);
  }

  /**
   * What the bottleneck would carry in an unqueued round trip by the spacing of packet trains in the last two rounds;
   * infinite when nothing was drawn apart. Jitter and batches on the way can only make it too much.
   */
  get trainBytes(): number {
    const rate = Math.max(this.#trainRate, this.#trainRateBefore);
    return rate === 0 ? Number.POSITIVE_INFINITY : rate * this.baseRttMs;
  }

  /** The latest round trips show a queue (the measure of RFC 9406 §4.2, halved: here nothing is given up by mistake). */
  get hasQueue(): boolean {
    const recent = this.recentRttMs;
    return recent !== Number.POSITIVE_INFINITY && recent > this.baseRttMs + queueThresholdMs(this.baseRttMs) / 2;
  }

  /** Share lost of the last hundred packets, or of the last window. */
  get lossShare(): number {
    const lost = this.#lost + this.#lostBefore;
    return lost / Math.max(1, lost + this.#delivered + this.#deliveredBefore);
  }

  /** So much is lost that it cannot be noise. */
  isLossHeavy(mtuBytes: number): boolean {
    return this.lossShare > HEAVY_LOSS && this.#lost + this.#lostBefore > (LOSS_SAMPLE_PACKETS / 8) * mtuBytes;
  }
}
