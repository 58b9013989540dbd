import { type Env, UsageError } from '../../core/index.ts';

/** RFC 8656 §7.2: the dynamic range, so that clients cannot run standard services on relayed addresses. */
export const DEFAULT_MIN_PORT = 49_152;
export const DEFAULT_MAX_PORT = 65_535;

/**
 * The ports of one relay address. RFC 8656 §7.2 recommends random assignment (RFC 6056): a guessed port is half of
 * several attacks.
 */
export class PortPool {
  readonly #env: Env;
  readonly #min: number;
  readonly #max: number;
  readonly #used: Uint8Array;
  readonly #draw: Uint8Array = new Uint8Array(4);
  #usedCount = 0;

  /** @throws {UsageError} unless 1024 ≤ min ≤ max ≤ 65535. */
  constructor(env: Env, min: number, max: number) {
    // RFC 8656 §7.2: "SHOULD NOT allocate ports in the range 0 - 1023".
    if (!(Number.isInteger(min) && Number.isInteger(max) && min >= 1024 && min <= max && max <= 65_535)) {
      throw new UsageError(`the relay ports must be a range within 1024 to 65535, not ${min} to ${max}`);
    }
    this.#env = env;
    this.#min = min;
    this.#max = max;
    this.#used = new Uint8Array(max - min + 1);
  }

  get size(): number {
    return this.#used.length;
  }

  get usedCount(): number {
    return this.#usedCount;
  }

  /** Takes a free port: any, an even one, or an even one whose successor is free too (both are taken). */
  take(kind: 'any' | 'even' | 'even-pair'): number | undefined {
    const size = this.#used.length;
    const start = this.#random(size);
    for (let i = 0; i < size; i++) {
      const index = (start + i) % size;
      if (!this.#fits(index, kind)) continue;
      this.#mark(index);
      if (kind === 'even-pair') this.#mark(index + 1);
      return this.#min + index;
    }
    return undefined;
  }

  release(port: number): void {
    const index = port - this.#min;
    if (port < this.#min || port > this.#max || this.#used[index] === 0) return;
    this.#used[index] = 0;
    this.#usedCount--;
  }

  #fits(index: number, kind: 'any' | 'even' | 'even-pair'): boolean {
    if (this.#used[index] !== 0) return false;
    if (kind === 'any') return true;
    return (this.#min + index) % 2 === 0 && (kind === 'even' || this.#used[index + 1] === 0);
  }

  #mark(index: number): void {
    this.#used[index] = 1;
    this.#usedCount++;
  }

  #random(below: number): number {
    const d = this.#draw;
    this.#env.random(d);
    return (((d[0]! << 24) | (d[1]! << 16) | (d[2]! << 8) | d[3]!) >>> 0) % below;
  }
}
