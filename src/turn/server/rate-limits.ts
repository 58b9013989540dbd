import type { Instant } from '../../core/index.ts';
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
    if (now > this.#at) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
      this.#at = now;
    }
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}

/**
 * Requests that have proved nothing yet, per source: an IPv4 address, or the /64 of an IPv6 address, which one host owns
 * as a whole. Remembers {@link MAX_RATE_LIMITED_SOURCES} of them; a flood from forged sources pushes out the oldest, and
 * gains no more than one burst for each forged address, of answers that go elsewhere.
 */
export class SourceRateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** @param ip - canonical text. */
  allows(ip: string, now: Instant): boolean {
    const source = sourceOf(ip);
    let bucket = this.#buckets.get(source);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_RATE_LIMITED_SOURCES) this.#forgetOldest();
      bucket = new TokenBucket(this.#perSecond, this.#burst, now);
      this.#buckets.set(source, bucket);
    }
    return bucket.take(1, now);
  }

  #forgetOldest(): void {
    for (const source of this.#buckets.keys()) {
      this.#buckets.delete(source);
      return;
    }
  }
}

/** Canonical IPv6 text to its first four groups; IPv4 as it is. */
function sourceOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const [head, tail] = ip.split('::');
  const groups = head === '' ? [] : (head ?? '').split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  if (tail !== undefined) while (groups.length + behind.length < 8) groups.push('0');
  return `${[...groups, ...behind].slice(0, 4).join(':')}::/64`;
}
