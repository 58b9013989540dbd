import { type Instant, sourceOf } from '../../core/index.ts';
import { MAX_RATE_LIMITED_SOURCES } from '../limits.ts';

/** A token bucket: `perSecond` on average, `burst` at once. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: Instant;

  constructor(perSecond: number, burst: number, now: Instant) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes `count` tokens when there are that many. */
  take(count: number, now: Instant): boolean {
    this.#fill(now);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Takes `count` tokens whether or not there are that many: of what has happened. @returns when the debt is paid. */
  spend(count: number, now: Instant): Instant {
    this.#fill(now);
    this.#tokens -= count;
    return this.#tokens >= 0 ? now : now + (-this.#tokens * 1000) / this.#perSecond;
  }

  #fill(now: Instant): void {
    if (now <= this.#at) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
  }
}

/**
 * Requests that have proved nothing yet, per source: an IPv4 address, or the /64 of an IPv6 address, which one host owns
 * as a whole. Remembers {@link MAX_RATE_LIMITED_SOURCES} of them at most, in two generations: when the young one is full the
 * old one is forgotten as a whole, so that a flood from forged sources costs no more than a few requests do. It gains one
 * burst for each forged address, of answers that go elsewhere.
 */
export class SourceRateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #young = new Map<string, TokenBucket>();
  #old = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** @param ip - canonical text. */
  allows(ip: string, now: Instant): boolean {
    const source = sourceOf(ip);
    let bucket = this.#young.get(source);
    if (bucket === undefined) {
      bucket = this.#old.get(source) ?? new TokenBucket(this.#perSecond, this.#burst, now);
      this.#old.delete(source);
      if (this.#young.size >= MAX_RATE_LIMITED_SOURCES / 2) {
        this.#old = this.#young;
        this.#young = new Map();
      }
      this.#young.set(source, bucket);
    }
    return bucket.take(1, now);
  }
}
