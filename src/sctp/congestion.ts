import type { Instant } from '../core/index.ts';
import type { CongestionControlName } from './types.ts';

/** What a congestion controller learns of one SACK. Reused: do not keep it. */
export interface AckReport {
  now: Instant;
  /** Bytes newly acknowledged. */
  ackedBytes: number;
  /** In flight before this SACK. */
  flightBefore: number;
  /** A sample of this SACK; -1 for none. */
  rttMs: number;
  smoothedRttMs: number;
  minRttMs: number;
  /** Bytes a millisecond over the last round trip; 0 when unknown. */
  deliveryRate: number;
  /** The window, not the application or the peer, was what held us back. */
  windowLimited: boolean;
  inRecovery: boolean;
  /** For losses: when the chunk sent last among them was sent. */
  lostSentAt: Instant;
  /** A round trip has passed since this was last true: everything in flight then is acknowledged. */
  newRound: boolean;
}

/** An empty report. */
export function createAckReport(): AckReport {
  return {
    now: 0,
    ackedBytes: 0,
    flightBefore: 0,
    rttMs: -1,
    smoothedRttMs: 0,
    minRttMs: Number.POSITIVE_INFINITY,
    deliveryRate: 0,
    windowLimited: false,
    inRecovery: false,
    lostSentAt: -1,
    newRound: false,
  };
}

/** Decides how much may be in flight (RFC 9260 §7). All sizes are bytes of user data. */
export interface CongestionControl {
  readonly name: CongestionControlName;
  readonly windowBytes: number;
  readonly slowStartThresholdBytes: number;
  /** How much faster than a window in a round trip packets may leave; above 1, or pacing alone would hold the window back. */
  readonly pacingGain: number;
  onAck(report: AckReport): void;
  /** Losses were detected. @param newEpisode - they begin a recovery, which happens at most once a round trip. */
  onLoss(report: AckReport, lostBytes: number, newEpisode: boolean): void;
  /** T3-rtx expired. */
  onTimeout(flightBytes: number, now: Instant): void;
  /** Nothing was sent for a retransmission timeout (RFC 9260 §7.2.1). */
  onIdle(): void;
  /** The packet size changed. */
  setMtu(mtuBytes: number): void;
}

/** Pacing gains as in the Linux stack: slow start needs room to double, the rest some to catch up. */
export const PACING_GAIN = { slowStart: 2, avoidance: 1.25 } as const;

/** RFC 9260 §7.2.1: the first window. */
function rfcInitialWindow(mtuBytes: number): number {
  return Math.min(4 * mtuBytes, Math.max(2 * mtuBytes, 4404));
}

/**
 * RFC 9260 §7.2: slow start with appropriate byte counting, congestion avoidance by `partial_bytes_acked`, halving on
 * loss. The plain reference beside `cubic`.
 */
export class Reno implements CongestionControl {
  readonly name = 'reno';
  windowBytes: number;
  slowStartThresholdBytes: number = Number.POSITIVE_INFINITY;
  #mtu: number;
  #partialBytesAcked = 0;

  constructor(mtuBytes: number) {
    this.#mtu = mtuBytes;
    this.windowBytes = rfcInitialWindow(mtuBytes);
  }

  get pacingGain(): number {
    return this.windowBytes < this.slowStartThresholdBytes ? PACING_GAIN.slowStart : PACING_GAIN.avoidance;
  }

  onAck(report: AckReport): void {
    if (report.inRecovery || !report.windowLimited) return;
    if (this.windowBytes <= this.slowStartThresholdBytes) {
      // RFC 9260 §7.2.1 with the L = 2 of RFC 3465 §2.3: a delayed SACK covers two packets.
      this.windowBytes += Math.min(report.ackedBytes, 2 * this.#mtu);
      return;
    }
    this.#partialBytesAcked += report.ackedBytes;
    if (this.#partialBytesAcked < this.windowBytes) return;
    this.#partialBytesAcked -= this.windowBytes;
    this.windowBytes += this.#mtu;
  }

  onLoss(_report: AckReport, _lostBytes: number, newEpisode: boolean): void {
    if (!newEpisode) return;
    this.slowStartThresholdBytes = Math.max(this.windowBytes / 2, 4 * this.#mtu);
    this.windowBytes = this.slowStartThresholdBytes;
    this.#partialBytesAcked = 0;
  }

  onTimeout(): void {
    this.slowStartThresholdBytes = Math.max(this.windowBytes / 2, 4 * this.#mtu);
    this.windowBytes = this.#mtu;
    this.#partialBytesAcked = 0;
  }

  onIdle(): void {
    this.windowBytes = Math.max(this.windowBytes / 2, 4 * this.#mtu);
  }

  setMtu(mtuBytes: number): void {
    this.#mtu = mtuBytes;
    this.windowBytes = Math.max(this.windowBytes, mtuBytes);
  }
}
