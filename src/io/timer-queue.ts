import { type Deadline, DeadlineHeap, type Instant, NEVER } from '../core/index.ts';

interface Entry extends Deadline {
  /** Undefined once cancelled: by then it may have left the heap, waiting for its turn behind another callback. */
  fire: (() => void) | undefined;
}

/** Longest delay that `setTimeout` takes as meant: 2^31 - 1 ms. */
const MAX_DELAY_MS = 0x7fff_ffff;

const doNothing = (): void => undefined;

/** How a {@link TimerQueue} sees the outside: a clock and one one-shot timer. */
export interface TimerBackend {
  now(): Instant;
  /** Calls `fire` after about `delayMs` (whole milliseconds); returns a cancel function. */
  arm(delayMs: number, fire: () => void): () => void;
}

/**
 * Any number of one-shot timers on one timer of the runtime. Protocol timers are moved far more often than they fire, so
 * the runtime's timer is touched only when something earlier than it is asked for: a wake-up
 * that turns out to be early costs less than re-arming for every packet.
 */
export class TimerQueue {
  readonly #backend: TimerBackend;
  readonly #entries = new DeadlineHeap<Entry>();
  #armedAt: Instant = NEVER;
  #disarm: () => void = doNothing;

  constructor(backend: TimerBackend) {
    this.#backend = backend;
  }

  /** Timers that are neither fired nor cancelled. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Calls `fire` once at or after `at`, never before and never from inside this call; equal instants fire in the order
   * they were set. `Infinity` never fires. Returns a cancel function, idempotent and harmless after firing.
   */
  set(at: Instant, fire: () => void): () => void {
    const entry: Entry = { at, order: 0, heapIndex: -1, fire };
    this.#entries.set(entry, at);
    if (at < this.#armedAt) this.#rearm();
    return () => {
      entry.fire = undefined;
      this.#entries.remove(entry);
    };
  }

  /** The runtime's timer fired. An exception of one callback must not keep the others from running: it is thrown last. */
  #wake(): void {
    this.#armedAt = Number.NEGATIVE_INFINITY; // what the callbacks set is armed once, at the end
    const now = this.#backend.now();
    // Timers set by callbacks wait for the next turn, so that a zero delay cannot loop here.
    const due: Entry[] = [];
    for (let entry = this.#entries.takeDue(now); entry !== undefined; entry = this.#entries.takeDue(now))
      due.push(entry);
    let failure: { readonly error: unknown } | undefined;
    for (const entry of due) {
      try {
        entry.fire?.();
      } catch (error) {
        failure ??= { error };
      }
    }
    this.#rearm();
    if (failure !== undefined) throw failure.error;
  }

  #rearm(): void {
    const at = this.#entries.next();
    this.#disarm();
    this.#disarm = doNothing;
    this.#armedAt = at;
    if (at === NEVER) return;
    const delay = Math.min(Math.max(Math.ceil(at - this.#backend.now()), 0), MAX_DELAY_MS);
    this.#disarm = this.#backend.arm(delay, () => this.#wake());
  }
}
