import type { DropReason } from '../core/index.ts';

/** Records that the anti-replay window spans: twice the default of RFC 6347 §4.1.2.6 and more, for paths that reorder. */
export const REPLAY_WINDOW_RECORDS = 256;

/**
 * The sliding window of RFC 6347 §4.1.2.6 for one epoch. `check` changes nothing; `commit` is called only after the
 * record has been authenticated, so that forged numbers can neither close nor move the window.
 *
 * A bit for each of the last {@link REPLAY_WINDOW_RECORDS} sequence numbers, at the number modulo the size.
 */
export class ReplayWindow {
  readonly #bits = new Uint32Array(REPLAY_WINDOW_RECORDS / 32);
  /** Highest sequence number committed; -1 before the first. */
  #highest = -1;

  /** Undefined when a record of this number may be opened; why not, otherwise. */
  check(sequence: number): DropReason | undefined {
    if (sequence > this.#highest) return undefined;
    if (this.#highest - sequence >= REPLAY_WINDOW_RECORDS) return 'out-of-window';
    return this.#isSet(sequence) ? 'replayed' : undefined;
  }

  /** Marks an authenticated record as seen. */
  commit(sequence: number): void {
    if (sequence > this.#highest) {
      const ahead = sequence - this.#highest;
      if (ahead >= REPLAY_WINDOW_RECORDS) this.#bits.fill(0);
      else for (let passed = this.#highest + 1; passed < sequence; passed++) this.#clear(passed);
      this.#highest = sequence;
    }
    const at = sequence % REPLAY_WINDOW_RECORDS;
    this.#bits[at >>> 5]! |= 1 << (at & 31);
  }

  #isSet(sequence: number): boolean {
    const at = sequence % REPLAY_WINDOW_RECORDS;
    return (this.#bits[at >>> 5]! & (1 << (at & 31))) !== 0;
  }

  #clear(sequence: number): void {
    const at = sequence % REPLAY_WINDOW_RECORDS;
    this.#bits[at >>> 5]! &= ~(1 << (at & 31));
  }
}
