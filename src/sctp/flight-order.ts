/** No slot. */
export const NO_SLOT = -1;

/**
 * The slots of the chunks in flight in order of their last transmission: a list threaded through a typed array, so that
 * joining at the end and leaving anywhere cost the same whatever is in flight, and no object.
 */
export class FlightOrder {
  /** The slots of the chunks whose last transmission is the longest and the shortest ago; {@link NO_SLOT} without any. */
  oldest: number = NO_SLOT;
  newest: number = NO_SLOT;
  /** For each slot the one sent before it, then the one sent after it. */
  #links: Int32Array;

  /** @param capacity - slots count from 0 to one less. */
  constructor(capacity: number) {
    this.#links = new Int32Array(2 * capacity);
  }

  /** Its chunk is being sent. The slot must not be in the list. */
  append(slot: number): void {
    const links = this.#links;
    const { newest } = this;
    links[2 * slot] = newest;
    links[2 * slot + 1] = NO_SLOT;
    if (newest === NO_SLOT) this.oldest = slot;
    else links[2 * newest + 1] = slot;
    this.newest = slot;
  }

  /** Its chunk is no longer in flight. The slot must be in the list. */
  remove(slot: number): void {
    const links = this.#links;
    const before = links[2 * slot]!;
    const after = links[2 * slot + 1]!;
    if (before === NO_SLOT) this.oldest = after;
    else links[2 * before + 1] = after;
    if (after === NO_SLOT) this.newest = before;
    else links[2 * after] = before;
  }

  clear(): void {
    this.oldest = NO_SLOT;
    this.newest = NO_SLOT;
  }

  /** There are more slots from now on. @param renumber - from a slot of before to what it is now. */
  grow(capacity: number, renumber: (slot: number) => number): void {
    const links = this.#links;
    let slot = this.oldest;
    this.#links = new Int32Array(2 * capacity);
    this.clear();
    for (; slot !== NO_SLOT; slot = links[2 * slot + 1]!) this.append(renumber(slot));
  }
}
