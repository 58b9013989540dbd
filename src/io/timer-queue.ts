import type { Instant } from '../core/index.ts';

interface Entry {
  readonly at: Instant;
  readonly order: number;
  /** Undefined once cancelled: the entry then holds nothing of its owner until it leaves the heap. */
  fire: (() => void) | undefined;
}

/** Longest delay that `setTimeout` takes as meant: 2^31 - 1 ms. */
const MAX_DELAY_MS = 0x7fff_ffff;

/** Cancelled entries are swept out of the heap when they outnumber the live ones and this floor. */
const SWEEP_FLOOR = 64;

/** How a {@link TimerQueue} sees the outside: a clock and one one-shot timer. */
export interface TimerBackend {
  now(): Instant;
  /** Calls `fire` after about `delayMs` (whole milliseconds); returns a cancel function. */
  arm(delayMs: number, fire: () => void): () => void;
}

/**
 * Any number of one-shot timers on one timer of the runtime. Protocol timers are moved far more often than they fire, so
 * cancelling only marks, and the runtime's timer is touched only when something earlier than it is asked for: a wake-up
 * that turns out to be early costs less than re-arming for every packet.
 */
export class TimerQueue {
  readonly #backend: TimerBackend;
  readonly #heap: Entry[] = [];
  #live = 0;
  #order = 0;
  #armedAt: Instant = Number.POSITIVE_INFINITY;
  #disarm: () => void = () => undefined;

  constructor(backend: TimerBackend) {
    this.#backend = backend;
  }

  /** Timers that are neither fired nor cancelled. */
  get size(): number {
    return this.#live;
  }

  /**
   * Calls `fire` once at or after `at`, never before and never from inside this call; equal instants fire in the order
   * they were set. `Infinity` never fires. Returns a cancel function, idempotent and harmless after firing.
   */
  set(at: Instant, fire: () => void): () => void {
    if (at === Number.POSITIVE_INFINITY) return () => undefined;
    const entry: Entry = { at, order: this.#order++, fire };
    this.#push(entry);
    this.#live++;
    if (at < this.#armedAt) this.#rearm();
    return () => {
      if (entry.fire === undefined) return;
      entry.fire = undefined;
      this.#live--;
      if (this.#heap.length - this.#live > this.#live + SWEEP_FLOOR) this.#sweep();
    };
  }

  /** The runtime's timer fired. An exception of one callback must not keep the others from running: it is thrown last. */
  #wake(): void {
    this.#armedAt = Number.NEGATIVE_INFINITY; // what the callbacks set is armed once, at the end
    const now = this.#backend.now();
    const limit = this.#order; // timers set by callbacks wait for the next turn, so that a zero delay cannot loop here
    let failure: { readonly error: unknown } | undefined;
    for (;;) {
      const entry = this.#heap[0];
      if (entry === undefined || (entry.fire !== undefined && (entry.at > now || entry.order >= limit))) break;
      this.#pop();
      const fire = entry.fire;
      if (fire === undefined) continue;
      entry.fire = undefined;
      this.#live--;
      try {
        fire();
      } catch (error) {
        failure ??= { error };
      }
    }
    this.#rearm();
    if (failure !== undefined) throw failure.error;
  }

  #rearm(): void {
    while (this.#heap[0] !== undefined && this.#heap[0].fire === undefined) this.#pop();
    const first = this.#heap[0];
    this.#disarm();
    this.#disarm = () => undefined;
    this.#armedAt = first?.at ?? Number.POSITIVE_INFINITY;
    if (first === undefined) return;
    const delay = Math.min(Math.max(Math.ceil(first.at - this.#backend.now()), 0), MAX_DELAY_MS);
    this.#disarm = this.#backend.arm(delay, () => this.#wake());
  }

  #sweep(): void {
    const live = this.#heap.filter((entry) => entry.fire !== undefined);
    this.#heap.length = 0;
    for (const entry of live) this.#push(entry);
  }

  #before(a: Entry, b: Entry): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(entry: Entry): void {
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
