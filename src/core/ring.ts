/**
 * First-in first-out queue on a growing ring: push and shift in constant time, where `Array.shift` on a long queue costs
 * microseconds. An optional bound makes `push` refuse instead of grow.
 */
export class Ring<T> {
  #items: (T | undefined)[];
  #head = 0;
  #length = 0;
  readonly #bound: number;

  /** @param bound - the most items it ever holds. */
  constructor(bound: number = Number.POSITIVE_INFINITY) {
    this.#bound = bound;
    this.#items = new Array<T | undefined>(8);
  }

  get length(): number {
    return this.#length;
  }

  /** False, and nothing changed, when the bound is reached. */
  push(item: T): boolean {
    if (this.#length >= this.#bound) return false;
    if (this.#length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item;
    this.#length++;
    return true;
  }

  /** Takes the oldest item; undefined when empty. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined; // no longer kept alive
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#length--;
    return item;
  }

  /** The oldest item, left in place. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head];
  }

  /** The item at `index` from the oldest; undefined outside. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#items[(this.#head + index) & (this.#items.length - 1)];
  }

  clear(): void {
    this.#items = new Array<T | undefined>(8);
    this.#head = 0;
    this.#length = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#length; i++) yield this.at(i) as T;
  }

  #grow(): void {
    const bigger = new Array<T | undefined>(this.#items.length * 2);
    for (let i = 0; i < this.#length; i++) bigger[i] = this.at(i);
    this.#items = bigger;
    this.#head = 0;
  }
}
