import { sourceOf } from '../core/index.ts';

/**
 * How many connections each source has: an IPv4 address, or the /64 of an IPv6 address. Only those that have some are kept, so
 * that the bound of all connections bounds this too.
 */
export class ConnectionsPerSource {
  readonly #max: number;
  readonly #sparesLoopback: boolean;
  readonly #counts = new Map<string, number>();

  /**
   * @param max - 0: no bound; undefined: `defaultMax`, and no bound for loopback, where a reverse proxy of the same machine
   *   stands for all the world.
   */
  constructor(max: number | undefined, defaultMax: number) {
    this.#max = max === 0 ? Number.POSITIVE_INFINITY : (max ?? defaultMax);
    this.#sparesLoopback = max === undefined;
  }

  /** Sources that have connections. */
  get size(): number {
    return this.#counts.size;
  }

  /** Counts one more; at the bound it does not, and returns false. @param ip - canonical text. */
  add(ip: string): boolean {
    const source = sourceOf(ip);
    const count = this.#counts.get(source) ?? 0;
    if (count >= this.#max && !(this.#sparesLoopback && isLoopback(ip, source))) return false;
    this.#counts.set(source, count + 1);
    return true;
  }

  /** One that was counted is over. */
  remove(ip: string): void {
    const source = sourceOf(ip);
    const count = this.#counts.get(source) ?? 0;
    if (count > 1) this.#counts.set(source, count - 1);
    else this.#counts.delete(source);
  }
}

function isLoopback(ip: string, source: string): boolean {
  return ip === '::1' || source.startsWith('127.');
}
