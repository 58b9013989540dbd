import { type Instant, NEVER } from '../../core/index.ts';

/** Something that happens at a time and may be moved. A deadline belongs to one heap. */
export interface Deadline {
  at: Instant;
  /** Place in the heap; -1 outside. The heap's own. */
  heapIndex: number;
  /** Called once, when `at` is due, already out of the heap. May put itself in again. */
  readonly expire: (now: Instant) => void;
}

export function createDeadline(expire: (now: Instant) => void): Deadline {
  return { at: NEVER, heapIndex: -1, expire };
}

/** Deadlines of tens of thousands of allocations: the earliest in constant time, moving one in logarithmic time. */
export class DeadlineHeap {
  readonly #heap: Deadline[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The earliest, or `NEVER`. */
  next(): Instant {
    return this.#heap[0]?.at ?? NEVER;
  }

  /** Puts it in, or moves it. `NEVER` takes it out. */
  set(deadline: Deadline, at: Instant): void {
    if (at === NEVER) {
      this.remove(deadline);
      return;
    }
    deadline.at = at;
    if (deadline.heapIndex < 0) deadline.heapIndex = this.#heap.push(deadline) - 1;
    this.#sift(deadline);
  }

  remove(deadline: Deadline): void {
    const index = deadline.heapIndex;
    if (index < 0) return;
    deadline.heapIndex = -1;
    const last = this.#heap.pop()!;
    if (last === deadline) return;
    this.#heap[index] = last;
    last.heapIndex = index;
    this.#sift(last);
  }

  /** Fires everything due at or before `now`, the earliest first. */
  fire(now: Instant): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.remove(first);
      first.expire(now);
    }
  }

  #sift(deadline: Deadline): void {
    const heap = this.#heap;
    let i = deadline.heapIndex;
    while (i > 0) {
      const parent = heap[(i - 1) >> 1]!;
      if (parent.at <= deadline.at) break;
      heap[i] = parent;
      parent.heapIndex = i;
      i = (i - 1) >> 1;
    }
    for (;;) {
      let at = 2 * i + 1;
      if (at >= heap.length) break;
      if (at + 1 < heap.length && heap[at + 1]!.at < heap[at]!.at) at++;
      const child = heap[at]!;
      if (child.at >= deadline.at) break;
      heap[i] = child;
      child.heapIndex = i;
      i = at;
    }
    heap[i] = deadline;
    deadline.heapIndex = i;
  }
}
