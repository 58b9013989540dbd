import { describe, expect, it } from 'vitest';
import { type AckReport, createAckReport } from '../../src/sctp/congestion.ts';
import { Cubic } from '../../src/sctp/cubic.ts';

const MTU = 1200;
const BASE_MS = 20;

/** Acknowledges whole windows, a round trip each, in ten SACKs. */
class Rounds {
  readonly cubic: Cubic = new Cubic(MTU);
  #now = 0;

  run(count: number, rttMs: number): void {
    for (let round = 0; round < count; round++) {
      const windowBytes = this.cubic.windowBytes;
      for (let i = 0; i < 10; i++) {
        this.#now += rttMs / 10;
        this.cubic.onAck(this.#report(rttMs, windowBytes / 10, i === 0, windowBytes));
      }
    }
  }

  loss(rttMs: number): void {
    const report = this.#report(rttMs, 0, false, this.cubic.windowBytes);
    this.cubic.onLoss({ ...report, lostSentAt: this.#now }, MTU, true);
  }

  #report(rttMs: number, ackedBytes: number, newRound: boolean, windowBytes: number): AckReport {
    return {
      ...createAckReport(),
      now: this.#now,
      ackedBytes,
      newRound,
      rttMs,
      smoothedRttMs: rttMs,
      deliveryRate: windowBytes / rttMs,
      windowLimited: true,
    };
  }
}

describe('a slow start that ended because round trips grew', () => {
  function ended(): Rounds {
    const rounds = new Rounds();
    rounds.run(3, BASE_MS);
    while (rounds.cubic.slowStartThresholdBytes === Number.POSITIVE_INFINITY) rounds.run(1, BASE_MS * 1.5);
    return rounds;
  }

  it('goes on when neither a queue nor a loss followed: it was jitter', () => {
    const rounds = ended();
    const before = rounds.cubic.windowBytes;
    rounds.run(12, BASE_MS);
    expect(rounds.cubic.slowStartThresholdBytes).toBe(Number.POSITIVE_INFINITY);
    expect(rounds.cubic.windowBytes).toBeGreaterThan(8 * before);
  });

  it('is over where the queue stays', () => {
    const rounds = ended();
    const before = rounds.cubic.windowBytes;
    rounds.run(12, BASE_MS * 1.5);
    expect(rounds.cubic.windowBytes).toBeLessThan(2 * before);
  });

  it('is over after a loss', () => {
    const rounds = ended();
    rounds.loss(BASE_MS);
    const before = rounds.cubic.windowBytes;
    rounds.run(12, BASE_MS);
    expect(rounds.cubic.slowStartThresholdBytes).toBeLessThan(Number.POSITIVE_INFINITY);
    expect(rounds.cubic.windowBytes).toBeLessThan(2 * before);
  });
});
