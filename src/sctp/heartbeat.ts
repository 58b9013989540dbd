import { type Env, equalBytes, type Instant, NEVER } from '../core/index.ts';
import type { RttEstimator } from './rtt.ts';
import { CHUNK } from './wire/registry.ts';
import { encodeHeartbeat } from './wire/simple.ts';

const NONCE_BYTES = 8;

/**
 * HEARTBEATs on an idle path (RFC 9260 §8.3), so that a peer that vanished is noticed although nothing is sent. The
 * Heartbeat Information is a nonce: an ACK that does not carry it proves nothing.
 */
export class Heartbeat {
  readonly #env: Env;
  readonly #intervalMs: number;
  readonly #rtt: RttEstimator;
  #dueAt: Instant = NEVER;
  #nonce: Uint8Array | undefined;
  #sentAt: Instant = 0;

  constructor(env: Env, intervalMs: number, rtt: RttEstimator, now: Instant) {
    this.#env = env;
    this.#intervalMs = intervalMs;
    this.#rtt = rtt;
    this.noteTraffic(now);
  }

  get dueAt(): Instant {
    return this.#dueAt;
  }

  /** The path was used in a way that is acknowledged: it is not idle. */
  noteTraffic(now: Instant): void {
    if (this.#nonce === undefined && this.#intervalMs > 0) this.#dueAt = now + this.#rtt.rtoMs + this.#intervalMs;
  }

  /**
   * Call when due. @returns the HEARTBEAT to send, and whether the one before was not answered, which counts against the
   * association (RFC 9260 §8.1).
   */
  fire(now: Instant): { readonly chunk: Uint8Array; readonly unanswered: boolean } {
    const unanswered = this.#nonce !== undefined;
    const nonce = new Uint8Array(NONCE_BYTES);
    this.#env.random(nonce);
    this.#nonce = nonce;
    this.#sentAt = now;
    if (unanswered) this.#rtt.backOff();
    // While one is unanswered the next follows after a timeout, not after an interval.
    this.#dueAt = now + this.#rtt.rtoMs;
    return { chunk: encodeHeartbeat(CHUNK.HEARTBEAT, nonce), unanswered };
  }

  /** @returns false when the information is not that of our last HEARTBEAT. */
  handleAck(info: Uint8Array, now: Instant): boolean {
    const nonce = this.#nonce;
    if (nonce === undefined || !equalBytes(nonce, info)) return false;
    this.#nonce = undefined;
    this.#rtt.sample(now - this.#sentAt, now);
    this.noteTraffic(now);
    return true;
  }
}
