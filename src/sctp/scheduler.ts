/** The stream schedulers of RFC 8260 §3: by arrival (§3.1), in turns (§3.2), strictly by priority (§3.4), by weight (§3.6). */
export type SchedulerName = 'first-come' | 'round-robin' | 'priority' | 'weighted-fair';

/** What a scheduler needs to know of a stream; the last three fields are its own. */
export interface Schedulable {
  /** 1 to 65,535: a weight, or a rank where higher goes first. */
  readonly priority: number;
  /** Running number of the oldest message that waits. */
  readonly headArrival: number;
  scheduleKey: number;
  scheduleTurn: number;
  /** Virtual time at which what was sent so far is paid for. */
  scheduleFinish: number;
}

const UNIT_WEIGHT = 256;

/**
 * The streams that have something to send, the next one first. A binary heap, so that a thousand busy channels cost ten
 * comparisons a packet, and one costs none.
 */
export class Scheduler<S extends Schedulable> {
  readonly #name: SchedulerName;
  readonly #heap: S[] = [];
  #turn = 0;
  #virtualTime = 0;

  constructor(name: SchedulerName) {
    this.#name = name;
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0;
  }

  /** The stream has something to send and waits for its turn. */
  add(stream: S): void {
    this.#assign(stream);
    this.#heap.push(stream);
    this.#up(this.#heap.length - 1);
  }

  /** Takes the stream whose turn it is. */
  pop(): S | undefined {
    const heap = this.#heap;
    const stream = heap[0];
    const last = heap.pop();
    if (heap.length > 0 && last !== undefined) {
      heap[0] = last;
      this.#down();
    }
    return stream;
  }

  /** The stream that was taken has sent `bytes`. */
  charge(stream: S, bytes: number): void {
    if (this.#name !== 'weighted-fair') return;
    const begin = Math.max(this.#virtualTime, stream.scheduleFinish);
    this.#virtualTime = Math.max(this.#virtualTime, stream.scheduleKey);
    stream.scheduleFinish = begin + (bytes * UNIT_WEIGHT) / stream.priority;
  }

  #assign(stream: S): void {
    stream.scheduleTurn = this.#turn++;
    switch (this.#name) {
      case 'first-come':
        stream.scheduleKey = stream.headArrival;
        return;
      case 'round-robin':
        stream.scheduleKey = 0; // the turn decides
        return;
      case 'priority':
        stream.scheduleKey = -stream.priority;
        return;
      case 'weighted-fair':
        // An idle stream gets no credit for the time when it had nothing to say.
        stream.scheduleKey = Math.max(this.#virtualTime, stream.scheduleFinish);
        return;
    }
  }

  #up(from: number): void {
    const heap = this.#heap;
    const stream = heap[from]!;
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(stream, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = stream;
  }

  #down(): void {
    const heap = this.#heap;
    const stream = heap[0]!;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, stream)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = stream;
  }
}

function before(a: Schedulable, b: Schedulable): boolean {
  return a.scheduleKey < b.scheduleKey || (a.scheduleKey === b.scheduleKey && a.scheduleTurn < b.scheduleTurn);
}
