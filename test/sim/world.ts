import type { Instant } from '../../src/core/index.ts';
import { SeededRandom } from './random.ts';

interface Scheduled {
  readonly at: Instant;
  /** Order of scheduling, so that equal instants run first-come first-served and runs repeat exactly. */
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/**
 * Virtual time. Nothing sleeps: `run` jumps from one scheduled event to the next, so minutes of protocol take
 * milliseconds, and a seed reproduces every run to the byte.
 */
export class SimWorld {
  readonly random: SeededRandom;
  #now: Instant = 0;
  #order = 0;
  readonly #heap: Scheduled[] = [];
  #steps = 0;
  readonly #maxSteps: number;

  /** @param maxSteps - events after which a run is taken to be an endless loop, and fails. */
  constructor(seed: number, maxSteps = 2_000_000) {
    this.random = new SeededRandom(seed);
    this.#maxSteps = maxSteps;
  }

  get now(): Instant {
    return this.#now;
  }

  get seed(): number {
    return this.random.seed;
  }

  /** Runs `run` at `at` (never in the past); returns a cancel function. */
  schedule(at: Instant, run: () => void): () => void {
    const entry: Scheduled = { at: Math.max(at, this.#now), order: this.#order++, run, cancelled: false };
    this.#push(entry);
    return () => {
      entry.cancelled = true;
    };
  }

  /** Events not yet run: zero means that nothing is left running. */
  get pending(): number {
    return this.#heap.reduce((count, entry) => count + (entry.cancelled ? 0 : 1), 0);
  }

  /** Runs until nothing is scheduled, `until` is reached, or `done()` holds after an event. Returns whether `done()` held. */
  run(options: { readonly until?: Instant; readonly done?: () => boolean } = {}): boolean {
    const until = options.until ?? Number.POSITIVE_INFINITY;
    if (options.done?.()) return true;
    for (;;) {
      const entry = this.#heap[0];
      if (entry === undefined || entry.at > until) break;
      this.#pop();
      if (entry.cancelled) continue;
      if (++this.#steps > this.#maxSteps)
        throw new Error(`seed ${this.seed}: over ${this.#maxSteps} events at ${this.#now} ms`);
      this.#now = entry.at;
      entry.run();
      if (options.done?.()) return true;
    }
    if (until !== Number.POSITIVE_INFINITY) this.#now = Math.max(this.#now, until);
    return false;
  }

  #before(a: Scheduled, b: Scheduled): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(entry: Scheduled): void {
    const heap = this.#heap;
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#before(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}
