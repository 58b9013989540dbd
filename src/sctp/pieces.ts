/** A growing buffer in a chain of them. */
interface Piece {
  readonly buffer: Uint8Array;
  length: number;
  next: Piece | undefined;
}

/** A fresh piece is at most this much larger than what it must hold, unless a size was foretold. */
const MAX_SPARE_BYTES = 65_536;

/**
 * A message, or a part of one, while it is put together: appending copies once; joining two copies nothing; taking the
 * result copies only when there is more than one buffer.
 */
export class Pieces {
  #head: Piece | undefined;
  #tail: Piece | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /**
   * Copies `bytes[start, end)` to the end.
   * @param expected - how long the whole is likely to become; 0 when unknown.
   */
  append(bytes: Uint8Array, start: number, end: number, expected: number): void {
    const count = end - start;
    let tail = this.#tail;
    if (tail === undefined || tail.buffer.length - tail.length < count) {
      const spare = expected > this.#length ? expected - this.#length : Math.min(this.#length, MAX_SPARE_BYTES);
      tail = { buffer: new Uint8Array(Math.max(count, spare)), length: 0, next: undefined };
      if (this.#tail === undefined) this.#head = tail;
      else this.#tail.next = tail;
      this.#tail = tail;
    }
    const room = tail.buffer;
    const from = tail.length;
    if (count < 32) for (let i = 0; i < count; i++) room[from + i] = bytes[start + i]!;
    else room.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), from);
    tail.length = from + count;
    this.#length += count;
  }

  /** Moves everything of `other` behind what is here; `other` is empty afterwards. */
  join(other: Pieces): void {
    if (other.#head === undefined) return;
    if (this.#tail === undefined) this.#head = other.#head;
    else this.#tail.next = other.#head;
    this.#tail = other.#tail;
    this.#length += other.#length;
    other.#head = undefined;
    other.#tail = undefined;
    other.#length = 0;
  }

  /** The whole, in memory that nobody else uses. */
  take(): Uint8Array {
    const head = this.#head;
    if (head === undefined) return new Uint8Array(0);
    if (head.next === undefined) {
      // A buffer much larger than its content would keep memory alive that nobody counts.
      const tight = head.buffer.length - head.length <= head.length >> 2;
      if (head.length === head.buffer.length) return head.buffer;
      return tight ? head.buffer.subarray(0, head.length) : head.buffer.slice(0, head.length);
    }
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (let piece: Piece | undefined = head; piece !== undefined; piece = piece.next) {
      whole.set(piece.buffer.subarray(0, piece.length), at);
      at += piece.length;
    }
    return whole;
  }
}
