import type { Instant } from '../core/index.ts';
import { type AckReport, type CongestionControl, PACING_GAIN } from './congestion.ts';
import { PathModel } from './path-model.ts';
import { SlowStart } from './slow-start.ts';

/** RFC 9438 §4.1. */
const C = 0.4;

/**
 * RFC 9438 §4.6 takes 0.7 so that a shallow queue does not cost throughput, and pays with slow convergence. Here what the
 * path carries is kept by {@link SHALLOW_QUEUE_FLOOR} instead, and two flows halve what is between them at each loss.
 */
const BETA = 0.5;

/** Packets a round trip while a queue is filled (RFC 9438 §4.3): with this beta, Reno's own 3 (1 - beta) / (1 + beta) = 1. */
const ALPHA = 1;

/** A queue makes round trips longer, and the way to a fair share with them: made up for up to this factor. */
const MAX_ALPHA_SCALE = 2;

/** RFC 6928 §2: ten packets. */
const INITIAL_WINDOW_PACKETS = 10;

const MIN_WINDOW_PACKETS = 2;

/** Share of the path's capacity that a loss with a visible queue leaves at least. */
const SHALLOW_QUEUE_FLOOR = 0.9;

/** Share of the path's capacity after a slow start that has filled the queue: what was sent too much must drain. */
const DRAINING_SHARE = 0.95;

/** After so many rounds and milliseconds without a queue and without a loss, the end of slow start was a mistake. */
const CLEAR_ROUNDS = 4;
const CLEAR_MS = 50;

/** Reductions within so many round trips answer one event. */
const ONE_EVENT_ROUNDS = 4;

/** Losses up to this share of a round are taken out of the account when the path is measured. */
const TOLERATED_LOSS = 0.06;

/**
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406), informed by a model of the path ({@link PathModel}). Where it differs:
 *
 * - A loss without a queue in the round trips is noise: the window comes back to what the path demonstrably carries, the
 *   best delivery rate of the last rounds times the least round trip (TCP Westwood's rule). CUBIC itself would be held at
 *   ten packets a round trip by 1 % of it. Losses beyond {@link PathModel.isLossHeavy} are congestion without question.
 * - A loss with a queue halves the window, but leaves {@link SHALLOW_QUEUE_FLOOR} of what the path carries without one.
 * - While a queue stands the window grows at Reno's pace, not along the curve: flows of the same kind even out within a few
 *   losses, and a Reno flow keeps its share.
 * - Slow start that ended on the evidence of round trips alone goes on where these were jitter: no queue and no loss followed.
 * - Slow start slackens when half of what packet trains promise is reached, and ends at what was delivered, so that a
 *   shallow queue is not overrun by a whole window.
 */
export class Cubic implements CongestionControl {
  readonly name = 'cubic';
  windowBytes: number;
  readonly #slowStart: SlowStart = new SlowStart();
  #threshold: number = Number.POSITIVE_INFINITY;
  #mtu: number;
  /** Window at which congestion was last met, in packets. */
  #wMax = 0;
  /** Seconds from the start of the epoch until the window is back at wMax. */
  #k = 0;
  #epochAt: Instant = -1;
  #wEst = 0;
  #lastAckAt: Instant = 0;
  readonly #path: PathModel = new PathModel();
  #reducedAt: Instant = -1;
  /** Slow start ended because round trips grew, and nothing has been lost since. */
  #endedByDelay = false;
  #clearRounds = 0;

  constructor(mtuBytes: number) {
    this.#mtu = mtuBytes;
    this.windowBytes = INITIAL_WINDOW_PACKETS * mtuBytes;
  }

  get slowStartThresholdBytes(): number {
    return this.#threshold;
  }

  get pacingGain(): number {
    const doubling = this.windowBytes < this.#threshold && this.#slowStart.isDoubling(this.#fill);
    return doubling ? PACING_GAIN.slowStart : PACING_GAIN.avoidance;
  }

  /** The window as a share of what the path is thought to carry. */
  get #fill(): number {
    return this.windowBytes / this.#path.trainBytes;
  }

  onAck(report: AckReport): void {
    if (report.newRound) this.#slowStart.endRound();
    const path = this.#path;
    if (path.noteAck(report, this.windowBytes, this.#mtu)) this.#slowStart.noteBlock(path.recentRttMs, path.baseRttMs);
    const idleMs = report.now - this.#lastAckAt;
    this.#lastAckAt = report.now;
    if (!report.windowLimited) {
      if (this.#epochAt >= 0) this.#epochAt += idleMs; // RFC 9438 §5.8: time without need of the window does not count
      return;
    }
    if (this.#endedByDelay && report.newRound) this.#noteClearRound(report.now);
    if (this.windowBytes >= this.#threshold) {
      this.#avoid(report);
      return;
    }
    this.windowBytes += this.#slowStart.growth(report.ackedBytes, this.#fill);
    if (!this.#slowStart.isOver) return;
    // The queue that gave the end away need not be kept.
    this.#reduce(Math.max(this.windowBytes * BETA, 1.25 * path.latestBytes), report.now);
    this.#endedByDelay = true;
    this.#clearRounds = 0;
  }

  /** The curve would take minutes to make up for a slow start that jitter has ended. */
  #noteClearRound(now: Instant): void {
    this.#clearRounds = this.#path.hasQueue ? 0 : this.#clearRounds + 1;
    if (this.#clearRounds < CLEAR_ROUNDS || now - this.#reducedAt < CLEAR_MS) return;
    this.#endedByDelay = false;
    this.#threshold = Number.POSITIVE_INFINITY;
    this.#epochAt = -1;
    this.#slowStart.restart();
  }

  /** RFC 9438 §4.2 to §4.5; the curve only while no queue stands. */
  #avoid(report: AckReport): void {
    const window = this.windowBytes / this.#mtu;
    const acked = report.ackedBytes / this.#mtu;
    if (this.#epochAt < 0) {
      this.#epochAt = report.now;
      this.#wMax = Math.max(this.#wMax, window);
      this.#k = Math.cbrt((this.#wMax - window) / C);
      this.#wEst = window;
    }
    const t = (report.now - this.#epochAt) / 1000;
    const target = Math.min(Math.max(this.#cubic(t + report.smoothedRttMs / 1000), window), 1.5 * window);
    const alpha = ALPHA * Math.min(MAX_ALPHA_SCALE, report.smoothedRttMs / this.#path.baseRttMs);
    this.#wEst += (alpha * acked) / window;
    // The cubic curve is there to fill the path. Its queue is filled at Reno's pace: competitors are left their share.
    const reno = this.#path.hasQueue || this.#cubic(t) < this.#wEst;
    const next = reno ? Math.max(window, this.#wEst) : window + ((target - window) / window) * acked;
    this.windowBytes = next * this.#mtu;
  }

  #cubic(t: number): number {
    return C * (t - this.#k) ** 3 + this.#wMax;
  }

  onLoss(report: AckReport, lostBytes: number, newEpisode: boolean): void {
    const path = this.#path;
    // What was sent before the last reduction says nothing about the window since.
    const isNews = report.lostSentAt >= this.#reducedAt;
    path.noteLoss(lostBytes, isNews);
    if (!isNews) return;
    this.#endedByDelay = false;
    const heavy = path.isLossHeavy(this.#mtu);
    if (this.windowBytes < this.#threshold) {
      // In slow start the delivery rate lags by a round, so only a queue, heavy losses or a full path end it.
      if (!heavy && !path.hasQueue && this.#fill <= 1) return;
      this.#slowStart.stop();
      // Doubling overshoots by up to a factor of two: what the path was seen to carry is the better half.
      this.#reduce(Math.max((this.windowBytes * BETA) / 2, DRAINING_SHARE * path.latestBytes), report.now);
      return;
    }
    if (!newEpisode && !heavy) return;
    if (heavy) {
      this.#reduce(this.windowBytes * BETA, report.now);
      return;
    }
    if (path.hasQueue) {
      // Congestion, as CUBIC knows it, except that what the path carries without a queue is not given up for a shallow one.
      this.#reduce(Math.max(this.windowBytes * BETA, SHALLOW_QUEUE_FLOOR * path.bytes), report.now);
      return;
    }
    const share = Math.min(Math.max(path.lossShare, path.roundLossShare), TOLERATED_LOSS);
    const carried = path.bytes * (1 + share) + this.#mtu;
    if (carried < this.windowBytes) this.#reduce(Math.max(this.windowBytes * BETA, carried), report.now);
  }

  #reduce(to: number, now: Instant): void {
    const window = this.windowBytes / this.#mtu;
    // RFC 9438 §4.7, fast convergence: give way to newcomers when the last peak was not reached again. Not when there was
    // no time to: then both are of one event.
    if (window >= this.#wMax) this.#wMax = window;
    else if (now - this.#reducedAt > ONE_EVENT_ROUNDS * this.#path.recentRttMs) this.#wMax = (window * (1 + BETA)) / 2;
    this.#reducedAt = now;
    this.windowBytes = Math.max(Math.min(to, this.windowBytes), MIN_WINDOW_PACKETS * this.#mtu);
    this.#threshold = this.windowBytes;
    this.#epochAt = -1;
  }

  onTimeout(): void {
    this.#endedByDelay = false;
    this.#threshold = Math.max(this.windowBytes * BETA, MIN_WINDOW_PACKETS * this.#mtu);
    this.#wMax = this.windowBytes / this.#mtu;
    this.windowBytes = this.#mtu;
    this.#epochAt = -1;
    this.#slowStart.restart();
  }

  onIdle(): void {
    const initial = INITIAL_WINDOW_PACKETS * this.#mtu;
    if (this.windowBytes <= initial) return;
    // RFC 9260 §7.2.1 halves the window per timeout of idleness; what was learnt about the path stays as threshold.
    this.#threshold = Math.max(
      this.#threshold === Number.POSITIVE_INFINITY ? 0 : this.#threshold,
      this.windowBytes * 0.75,
    );
    this.windowBytes = Math.max(initial, this.windowBytes / 2);
    this.#epochAt = -1;
    this.#slowStart.restart();
  }

  setMtu(mtuBytes: number): void {
    this.#wMax = (this.#wMax * this.#mtu) / mtuBytes;
    this.#mtu = mtuBytes;
    this.windowBytes = Math.max(this.windowBytes, MIN_WINDOW_PACKETS * mtuBytes);
    this.#epochAt = -1;
  }
}
