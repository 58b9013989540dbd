import { type Env, equalBytes, type Instant, NEVER } from '../core/index.ts';

/** MAX_PROBES (RFC 8899 §5.1.2). */
const MAX_PROBES = 3;

/** PMTU_RAISE_TIMER (RFC 8899 §5.1.1): how long after a black hole, or after the search, until it is tried again. */
const RAISE_TIMER_MS = 600_000;

/** The search ends when what is left to win is less than this. */
const RESOLUTION_BYTES = 32;

/** Acknowledged bytes before the first probe: short-lived and idle associations do not pay for the search. */
const START_AFTER_BYTES = 65_536;

/** Retransmission timeouts in a row that make a larger packet size suspect (RFC 8899 §4.3). */
const BLACK_HOLE_TIMEOUTS = 2;

/** SCTP packets that fill the common path MTUs of 9,000 and 1,500 bytes under DTLS, UDP and IPv6: tried before bisecting. */
const COMMON_SIZES: readonly number[] = [8912, 1412];

const NONCE_BYTES = 8;

/** A probe to send: a HEARTBEAT with this information, padded to `sizeBytes`. */
export interface MtuProbe {
  readonly info: Uint8Array;
  readonly sizeBytes: number;
}

/**
 * Path-MTU discovery by probing (RFC 8899, for SCTP §6.2): the base size is taken as given, larger ones are used once a
 * padded HEARTBEAT of that size has been answered. Data never travels in a probe, so a lost probe costs nothing.
 *
 * ```text
 *  base ── 64 KiB delivered ──► searching ── nothing left to win ──► complete ── 10 min ──► searching
 *    ▲                              │                                    │
 *    └────────── timeouts in a row (black hole); tried again after 10 min ┘
 * ```
 */
export class PathMtu {
  readonly #env: Env;
  readonly #baseBytes: number;
  readonly #maxBytes: number;
  /** The size in use. */
  currentBytes: number;
  /** Sizes above this are known not to pass, or not worth trying. */
  #ceiling: number;
  #candidate = 0;
  #attempts = 0;
  #info: Uint8Array | undefined;
  #phase: 'base' | 'searching' | 'complete' = 'base';
  #timeoutsInARow = 0;
  /** When the next probe is due, or the one under way is given up. */
  dueAt: Instant = NEVER;

  constructor(env: Env, baseBytes: number, maxBytes: number) {
    this.#env = env;
    this.#baseBytes = baseBytes;
    this.#maxBytes = maxBytes & ~3;
    this.currentBytes = baseBytes;
    this.#ceiling = this.#maxBytes;
  }

  /** Call with the acknowledged bytes after progress: it also clears the suspicion of a black hole. */
  noteProgress(deliveredBytes: number, now: Instant): void {
    this.#timeoutsInARow = 0;
    if (this.#phase !== 'base' || this.dueAt !== NEVER || deliveredBytes < START_AFTER_BYTES) return;
    if (this.#maxBytes - this.#baseBytes >= RESOLUTION_BYTES) this.#search(now);
  }

  #search(now: Instant): void {
    this.#phase = 'searching';
    this.#ceiling = this.#maxBytes;
    this.#tryNext(this.#maxBytes, now);
  }

  #tryNext(candidate: number, now: Instant): void {
    this.#candidate = candidate & ~3;
    this.#attempts = 0;
    this.#info = undefined;
    this.dueAt = now;
  }

  /** The probe to send when {@link dueAt} has come; undefined when there is nothing to send. */
  takeProbe(rtoMs: number, now: Instant): MtuProbe | undefined {
    if (now < this.dueAt) return undefined;
    if (this.#phase !== 'searching') {
      this.#search(now);
    } else if (this.#attempts === MAX_PROBES) {
      this.#ceiling = this.#candidate - 4;
      this.#narrow(now);
      if (this.#phase !== 'searching') return undefined;
    }
    this.#attempts++;
    this.dueAt = now + rtoMs;
    const info = new Uint8Array(NONCE_BYTES);
    this.#env.random(info);
    this.#info = info;
    return { info, sizeBytes: this.#candidate };
  }

  /** @returns false when the information is not that of the probe under way. */
  handleAck(info: Uint8Array, now: Instant): boolean {
    if (this.#info === undefined || !equalBytes(this.#info, info)) return false;
    this.currentBytes = this.#candidate;
    this.#narrow(now);
    return true;
  }

  /** Chooses the next size between what passes and what does not. */
  #narrow(now: Instant): void {
    const low = this.currentBytes;
    if (this.#ceiling - low < RESOLUTION_BYTES) {
      this.#phase = 'complete';
      this.#info = undefined;
      this.dueAt = now + RAISE_TIMER_MS;
      return;
    }
    const common = COMMON_SIZES.find((size) => size <= this.#ceiling && size > low);
    this.#tryNext(common ?? (low + this.#ceiling + 4) >> 1, now);
  }

  /** T3-rtx expired. @returns true when the size fell back because of it. */
  noteTimeout(now: Instant): boolean {
    this.#timeoutsInARow++;
    if (this.#timeoutsInARow < BLACK_HOLE_TIMEOUTS || this.currentBytes === this.#baseBytes) return false;
    this.currentBytes = this.#baseBytes;
    this.#phase = 'base';
    this.#info = undefined;
    this.dueAt = now + RAISE_TIMER_MS;
    return true;
  }
}
