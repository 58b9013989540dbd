import { type Instant, NEVER } from './sans-io.ts';

/** Something that is due at an instant and may be moved. It belongs to one {@link DeadlineHeap}, which writes the fields. */
export interface Deadline {
  /** When it is due; meaningless outside the heap. */
  at: Instant;
  /** Order of setting, so that equal instants come out first-in first-out. */
  order: number;
  /** Its place in the heap; -1 outside. */
  heapIndex: number;
}

/**
 * Deadlines of thousands of allocations, associations or timers: the earliest in constant time; setting, moving and
 * removing one in logarithmic time. `TimerTable` is for the few named timers of one core; this is for many owners.
 *
 * @example
 * const heap = new DeadlineHeap<Allocation>();
 * heap.set(allocation, now + lifetimeMs);
 * for (let due = heap.takeDue(now); due !== undefined; due = heap.takeDue(now)) due.expire();
 */
export class DeadlineHeap<D extends Deadline> {
  readonly #heap: D[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** When the earliest is due, or `NEVER`. */
  next(): Instant {
    return this.#heap[0]?.at ?? NEVER;
  }

  /** Puts it in, or moves it behind all others of that instant. `NEVER` takes it out. */
  set(deadline: D, at: Instant): void {
    if (at === NEVER) {
      this.remove(deadline);
      return;
    }
    deadline.at = at;
    deadline.order = this.#order++;
    if (deadline.heapIndex < 0) deadline.heapIndex = this.#heap.push(deadline) - 1;
    this.#sift(deadline);
  }

  /** Takes it out; harmless when it is not in. */
  remove(deadline: D): void {
    const index = deadline.heapIndex;
    if (index < 0) return;
    deadline.heapIndex = -1;
    const last = this.#heap.pop()!;
    if (last === deadline) return;
    this.#heap[index] = last;
    last.heapIndex = index;
    this.#sift(last);
  }

  /** Takes the earliest that is due at or before `now`; undefined when none is. */
  takeDue(now: Instant): D | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.remove(first);
    return first;
  }

  /** The earliest, left in place. */
  peek(): D | undefined {
    return this.#heap[0];
  }

  /** Moves it up or down from its place until the heap is in order again. */
  #sift(deadline: D): void {
    const heap = this.#heap;
    let i = deadline.heapIndex;
    while (i > 0) {
      const parent = heap[(i - 1) >> 1]!;
      if (!isBefore(deadline, parent)) break;
      heap[i] = parent;
      parent.heapIndex = i;
      i = (i - 1) >> 1;
    }
    for (;;) {
      let at = 2 * i + 1;
      if (at >= heap.length) break;
      if (at + 1 < heap.length && isBefore(heap[at + 1]!, heap[at]!)) at++;
      const child = heap[at]!;
      if (!isBefore(child, deadline)) break;
      heap[i] = child;
      child.heapIndex = i;
      i = at;
    }
    heap[i] = deadline;
    deadline.heapIndex = i;
  }
}

function isBefore(a: Deadline, b: Deadline): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
