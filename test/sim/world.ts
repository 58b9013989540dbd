import { type Deadline, DeadlineHeap, type Instant } from '../../src/core/index.ts';
import { SeededRandom } from './random.ts';

/** Equal instants run first-come first-served, so that runs repeat exactly. */
interface Scheduled extends Deadline {
  readonly run: () => void;
}

/**
 * Virtual time. Nothing sleeps: `run` jumps from one scheduled event to the next, so minutes of protocol take
 * milliseconds, and a seed reproduces every run to the byte.
 */
export class SimWorld {
  readonly random: SeededRandom;
  #now: Instant = 0;
  readonly #scheduled = new DeadlineHeap<Scheduled>();
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
    const entry: Scheduled = { at, order: 0, heapIndex: -1, run };
    this.#scheduled.set(entry, Math.max(at, this.#now));
    return () => this.#scheduled.remove(entry);
  }

  /** Events not yet run: zero means that nothing is left running. */
  get pending(): number {
    return this.#scheduled.size;
  }

  /** Runs until nothing is scheduled, `until` is reached, or `done()` holds after an event. Returns whether `done()` held. */
  run(options: { readonly until?: Instant; readonly done?: () => boolean } = {}): boolean {
    const until = options.until ?? Number.POSITIVE_INFINITY;
    if (options.done?.()) return true;
    for (let entry = this.#scheduled.takeDue(until); entry !== undefined; entry = this.#scheduled.takeDue(until)) {
      if (++this.#steps > this.#maxSteps) {
        throw new Error(`seed ${this.seed}: over ${this.#maxSteps} events at ${this.#now} ms`);
      }
      this.#now = entry.at;
      entry.run();
      if (options.done?.()) return true;
    }
    if (until !== Number.POSITIVE_INFINITY) this.#now = Math.max(this.#now, until);
    return false;
  }
}
