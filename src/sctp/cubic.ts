import type { Instant } from '../core/index.ts';
import type { AckReport, CongestionControl } from './congestion.ts';
import { queueThresholdMs, RecentRtt, SlowStart } from './slow-start.ts';

/** RFC 9438 §4.1: C and beta_cubic. */
const C = 0.4;
const BETA = 0.7;

/**
 * RFC 9438 §4.3 takes 3 (1 - beta) / (1 + beta), about 0.53, to be exactly as fast as Reno. One packet a round trip lets a
 * newcomer reach its share in seconds, where the cubic curve alone needs minutes on paths of ordinary length.
 */
const ALPHA = 1;

/** RFC 6928 §2: ten packets. */
const INITIAL_WINDOW_PACKETS = 10;

const MIN_WINDOW_PACKETS = 2;

/** Rounds over which the best delivery rate is believed. */
const RATE_ROUNDS = 10;

/** Losses beyond this share of a round are congestion whatever the round trip says. */
const HEAVY_LOSS = 0.15;

/** The least round trip must have been seen this recently to be believed when a loss is judged. */
const MIN_RTT_STALE_MS = 3000;

/** Share of the path's capacity that a loss with a visible queue leaves at least. */
const SHALLOW_QUEUE_FLOOR = 0.9;

/** Losses up to this share of a round are taken out of the account when the path is measured. */
const TOLERATED_LOSS = 0.06;

/**
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406), and a back-off that tells congestion from loss on the way.
 *
 * CUBIC halves nearly as hard as Reno for every loss, so that 1 % of random loss holds it at ten packets a round trip
 * however empty the path is. Here a loss brings the window back to what the path demonstrably carries, the best delivery
 * rate of the last rounds times the least round trip, but never below CUBIC's own 0.7: TCP Westwood's rule. A full queue
 * shows as window beyond that product and is given up at once; a loss without a queue costs next to nothing, and CUBIC's
 * clock keeps running. More than {@link HEAVY_LOSS} is congestion without further question.
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
  readonly #rates: Float64Array = new Float64Array(RATE_ROUNDS);
  #round = 0;
  readonly #recentRtt: RecentRtt = new RecentRtt();
  /** When the round trip was last near its minimum: a standing queue hides the minimum. */
  #unqueuedAt: Instant = 0;
  #roundDelivered = 0;
  #roundLost = 0;
  /** Share of the previous round that was lost. */
  #lossShare = 0;
  #reducedInRound = false;

  constructor(mtuBytes: number) {
    this.#mtu = mtuBytes;
    this.windowBytes = INITIAL_WINDOW_PACKETS * mtuBytes;
  }

  get slowStartThresholdBytes(): number {
    return this.#threshold;
  }

  onAck(report: AckReport): void {
    this.#measure(report);
    const idleMs = report.now - this.#lastAckAt;
    this.#lastAckAt = report.now;
    if (!report.windowLimited) {
      if (this.#epochAt >= 0) this.#epochAt += idleMs; // RFC 9438 §5.8: time without need of the window does not count
      return;
    }
    if (this.windowBytes < this.#threshold) {
      this.windowBytes += this.#slowStart.growth(report.ackedBytes);
      if (this.#slowStart.isOver) {
        // The queue that gave the end away need not be kept.
        this.#reduce(
          Math.min(this.windowBytes, Math.max(this.windowBytes * BETA, 1.25 * this.#pathBytes(report.minRttMs))),
        );
      }
      return;
    }
    this.#avoid(report);
  }

  #measure(report: AckReport): void {
    if (report.newRound) {
      this.#slowStart.endRound();
      this.#round = (this.#round + 1) % RATE_ROUNDS;
      this.#rates[this.#round] = 0;
      this.#lossShare = this.#roundLost / Math.max(1, this.#roundLost + this.#roundDelivered);
      this.#roundDelivered = 0;
      this.#roundLost = 0;
      this.#reducedInRound = false;
    }
    this.#roundDelivered += report.ackedBytes;
    if (report.rttMs >= 0) {
      if (report.rttMs < report.minRttMs * 1.05 + 1) this.#unqueuedAt = report.now;
      if (this.#recentRtt.sample(report.rttMs)) this.#slowStart.noteBlock(this.#recentRtt.minMs, report.minRttMs);
    }
    if (report.deliveryRate > this.#rates[this.#round]!) this.#rates[this.#round] = report.deliveryRate;
  }

  /** RFC 9438 §4.2 to §4.5. */
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
    this.#wEst += (ALPHA * acked) / window;
    const next =
      this.#cubic(t) < this.#wEst ? Math.max(window, this.#wEst) : window + ((target - window) / window) * acked;
    this.windowBytes = next * this.#mtu;
  }

  #cubic(t: number): number {
    return C * (t - this.#k) ** 3 + this.#wMax;
  }

  /** Bytes that the path has been seen to carry in one unqueued round trip. */
  #pathBytes(minRttMs: number): number {
    let rate = 0;
    for (const r of this.#rates) if (r > rate) rate = r;
    return rate * minRttMs;
  }

  onLoss(report: AckReport, lostBytes: number, newEpisode: boolean): void {
    this.#roundLost += lostBytes;
    const round = this.#roundLost + this.#roundDelivered;
    const share = round > 8 * this.#mtu ? this.#roundLost / round : 0;
    const heavy = share > HEAVY_LOSS && this.#roundLost > 4 * this.#mtu;
    if (this.windowBytes < this.#threshold) {
      // In slow start the delivery rate lags by a round, so only a queue or heavy losses end it.
      if (!heavy && !this.#queueIsBuilding(report.minRttMs)) return;
      this.#slowStart.stop();
      // Slow start overshoots by up to a factor of two: what the path was seen to carry is the better half.
      const path = this.#pathBytes(report.minRttMs);
      this.#reduce(this.windowBytes * Math.min(BETA, Math.max(BETA / 2, path / this.windowBytes)));
      return;
    }
    if (heavy && !this.#reducedInRound) {
      this.#reduce(this.windowBytes * BETA);
      return;
    }
    if (!newEpisode || this.#reducedInRound) return;
    // A queue: congestion, as CUBIC knows it, except that what the path carries without a queue is not given up for a
    // shallow one. A minimum so old that a queue may hide behind it says nothing about the path.
    const stale = report.now - this.#unqueuedAt > MIN_RTT_STALE_MS;
    if (stale || this.#queueIsBuilding(report.minRttMs)) {
      if (stale) this.#unqueuedAt = report.now;
      const floor = stale ? 0 : SHALLOW_QUEUE_FLOOR * this.#pathBytes(report.minRttMs);
      this.#reduce(Math.min(this.windowBytes, Math.max(this.windowBytes * BETA, floor)));
      return;
    }
    const path =
      this.#pathBytes(report.minRttMs) * (1 + Math.min(Math.max(share, this.#lossShare), TOLERATED_LOSS)) + this.#mtu;
    if (path < this.windowBytes) this.#reduce(Math.max(this.windowBytes * BETA, path));
  }

  /** HyStart++'s measure of a standing queue, applied to the latest round trips (RFC 9406 §4.2). */
  #queueIsBuilding(minRttMs: number): boolean {
    const recent = this.#recentRtt.minMs;
    return recent !== Number.POSITIVE_INFINITY && recent > minRttMs + queueThresholdMs(minRttMs);
  }

  #reduce(to: number): void {
    this.#reducedInRound = true;
    const window = this.windowBytes / this.#mtu;
    // RFC 9438 §4.7, fast convergence: give way to newcomers when the last peak was not reached again.
    this.#wMax = window < this.#wMax ? (window * (1 + BETA)) / 2 : window;
    this.windowBytes = Math.max(to, MIN_WINDOW_PACKETS * this.#mtu);
    this.#threshold = this.windowBytes;
    this.#epochAt = -1;
  }

  onTimeout(): void {
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
  }

  setMtu(mtuBytes: number): void {
    this.#wMax = (this.#wMax * this.#mtu) / mtuBytes;
    this.#mtu = mtuBytes;
    this.windowBytes = Math.max(this.windowBytes, MIN_WINDOW_PACKETS * mtuBytes);
    this.#epochAt = -1;
  }
}
