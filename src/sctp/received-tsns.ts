import { MAX_DUPLICATES_REPORTED, MAX_GAP_RUNS, MAX_TSNS_AHEAD } from './limits.ts';
import { SACK_HEADER_BYTES, writeSackHeader } from './wire/sack.ts';
import { putU16, putU32 } from './wire/tlv.ts';

/** What {@link ReceivedTsns.record} made of a TSN. */
export type TsnVerdict = 'new' | 'duplicate' | 'out-of-window' | 'limit';

/**
 * Which TSNs have arrived: a cumulative point and the disjoint runs behind it, which are exactly the gap ack blocks of
 * the next SACK (RFC 9260 §6.2, §6.7).
 *
 * TSNs are unwrapped here and everywhere inside: plain numbers that count from the peer's initial TSN at 0 and never wrap
 * around, so that `<` means what it says. The wire form is `(initial + tsn) >>> 0`.
 */
export class ReceivedTsns {
  readonly #initial: number;
  #cumulative = -1;
  /** Run i is [starts[i], ends[i]], ascending, never touching each other nor the cumulative point. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #duplicates: number[] = [];

  /** @param initialTsn - the peer's, as on the wire. */
  constructor(initialTsn: number) {
    this.#initial = initialTsn;
  }

  /** Everything up to here has arrived or was given up; -1 before the first. */
  get cumulative(): number {
    return this.#cumulative;
  }

  get cumulativeOnWire(): number {
    return (this.#initial + this.#cumulative) >>> 0;
  }

  /** The highest TSN that has arrived. */
  get highest(): number {
    return this.#ends.length === 0 ? this.#cumulative : this.#ends[this.#ends.length - 1]!;
  }

  get hasGaps(): boolean {
    return this.#starts.length > 0;
  }

  get hasDuplicates(): boolean {
    return this.#duplicates.length > 0;
  }

  /** The unwrapped form of a TSN from the wire: the one nearest to the cumulative point. */
  unwrap(onWire: number): number {
    return this.#cumulative + ((onWire - this.cumulativeOnWire) | 0);
  }

  /** Read-only half of {@link record}. */
  check(tsn: number): TsnVerdict {
    if (tsn === this.#cumulative + 1) return 'new';
    if (tsn <= this.#cumulative) return 'duplicate';
    if (tsn > this.#cumulative + MAX_TSNS_AHEAD) return 'out-of-window';
    const run = this.#runAtOrBefore(tsn);
    if (run >= 0 && tsn <= this.#ends[run]!) return 'duplicate';
    const joins = (run >= 0 && this.#ends[run] === tsn - 1) || this.#starts[run + 1] === tsn + 1;
    return joins || this.#starts.length < MAX_GAP_RUNS ? 'new' : 'limit';
  }

  /** Notes a TSN for which {@link check} said `new`. */
  record(tsn: number): void {
    if (tsn === this.#cumulative + 1) {
      this.#cumulative = tsn;
      this.#absorb();
      return;
    }
    const before = this.#runAtOrBefore(tsn);
    const joinsLeft = before >= 0 && this.#ends[before] === tsn - 1;
    const joinsRight = this.#starts[before + 1] === tsn + 1;
    if (joinsLeft && joinsRight) {
      this.#ends[before] = this.#ends[before + 1]!;
      this.#starts.splice(before + 1, 1);
      this.#ends.splice(before + 1, 1);
    } else if (joinsLeft) this.#ends[before] = tsn;
    else if (joinsRight) this.#starts[before + 1] = tsn;
    else {
      this.#starts.splice(before + 1, 0, tsn);
      this.#ends.splice(before + 1, 0, tsn);
    }
  }

  /** Remembers a duplicate (wire form) for the next SACK. */
  noteDuplicate(onWire: number): void {
    if (this.#duplicates.length < MAX_DUPLICATES_REPORTED) this.#duplicates.push(onWire);
  }

  /** FORWARD TSN (RFC 3758 §3.6): everything up to `tsn` counts as arrived. */
  advance(tsn: number): void {
    this.#cumulative = Math.max(this.#cumulative, tsn);
    this.#absorb();
  }

  /** Takes the runs that the cumulative point has reached. */
  #absorb(): void {
    let taken = 0;
    while (taken < this.#starts.length && this.#starts[taken]! <= this.#cumulative + 1) {
      this.#cumulative = Math.max(this.#cumulative, this.#ends[taken]!);
      taken++;
    }
    if (taken === 0) return;
    this.#starts.splice(0, taken);
    this.#ends.splice(0, taken);
  }

  /** Index of the last run that starts at or before `tsn`; -1 for none. */
  #runAtOrBefore(tsn: number): number {
    let low = 0;
    let high = this.#starts.length; // new data mostly extends the last run
    if (high > 0 && this.#starts[high - 1]! <= tsn) return high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= tsn) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /**
   * Writes a SACK at `at`, with as many gap ack blocks and duplicates as fit before `end`, the lowest blocks first, and
   * forgets the duplicates.
   * @returns the position behind it; `at` when not even the fixed part fits.
   */
  writeSack(bytes: Uint8Array, at: number, end: number, aRwnd: number): number {
    const room = (end - at - SACK_HEADER_BYTES) >> 2;
    if (room < 0) return at;
    const blocks = Math.min(this.#starts.length, room);
    const duplicates = Math.min(this.#duplicates.length, room - blocks);
    writeSackHeader(bytes, at, this.cumulativeOnWire, aRwnd, blocks, duplicates);
    let pos = at + SACK_HEADER_BYTES;
    for (let i = 0; i < blocks; i++, pos += 4) {
      putU16(bytes, pos, this.#starts[i]! - this.#cumulative);
      putU16(bytes, pos + 2, this.#ends[i]! - this.#cumulative);
    }
    for (let i = 0; i < duplicates; i++, pos += 4) putU32(bytes, pos, this.#duplicates[i]!);
    this.#duplicates.length = 0;
    return pos;
  }
}
