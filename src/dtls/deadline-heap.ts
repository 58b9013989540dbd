import { type Instant, NEVER } from '../core/index.ts';

interface Entry<T> {
  readonly at: Instant;
  readonly item: T;
}

/**
 * Deadlines of thousands of associations: a binary heap with the earliest on top. An item may stand in it more than once;
 * whoever takes it looks whether it is really due, because early calls are harmless and late ones are not.
 */
export class DeadlineHeap<T> {
  readonly #heap: Entry<T>[] = [];

  get next(): Instant {
    return this.#heap[0]?.at ?? NEVER;
  }

  push(at: Instant, item: T): void {
    const heap = this.#heap;
    const entry = { at, item };
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]!.at <= at) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  /** Takes the earliest item that is due; undefined when none is. */
  takeDue(now: Instant): T | undefined {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined || top.at > now) return undefined;
    const last = heap.pop()!;
    if (heap.length > 0) this.#sink(last);
    return top.item;
  }

  #sink(entry: Entry<T>): void {
    const heap = this.#heap;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= entry.at) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = entry;
  }
}
