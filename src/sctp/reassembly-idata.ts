import { type Deadline, DeadlineHeap, NEVER } from '../core/index.ts';
import type { InboundStreams } from './inbound-streams.ts';
import { HELD_OVERHEAD_BYTES, MAX_FORETOLD_MESSAGES, MAX_TSNS_AHEAD } from './limits.ts';
import { Pieces } from './pieces.ts';
import type { Reassembly, ReassemblyResult } from './reassembly.ts';
import { DATA_FLAG, type DataFields } from './wire/data.ts';
import type { SkippedMessage } from './wire/forward-tsn.ts';

/** A message of which some fragments are here. `at` is its MID, counted on past 32 bits. */
interface Partial extends Deadline {
  readonly key: number;
  readonly lane: number;
  ppid: number;
  /** Fragments 0 to nextFsn - 1, joined. */
  readonly pieces: Pieces;
  nextFsn: number;
  /** Fragments further on, by FSN. */
  later: Map<number, Uint8Array> | undefined;
  laterBytes: number;
  /** FSN of the fragment with the E bit; -1 while unknown. */
  endFsn: number;
}

/**
 * Reassembly of I-DATA chunks (RFC 8260 §2.2): a message is named by stream, kind and MID, its fragments by FSN, so that
 * fragments of different messages may come in any mixture.
 */
export class IDataReassembly implements Reassembly {
  readonly #streams: InboundStreams;
  readonly #maxMessageSize: number;
  readonly #partials = new Map<number, Partial>();
  /** The same by stream and kind, in the order of their MIDs: to give up one costs the same however many there are. */
  readonly #lanes = new Map<number, DeadlineHeap<Partial>>();
  /** By stream and kind: the newest MID that the peer has given up. Fragments of it may be late, beyond the point skipped to. */
  readonly #skipped = new Map<number, number>();

  constructor(streams: InboundStreams, maxMessageSize: number) {
    this.#streams = streams;
    this.#maxMessageSize = maxMessageSize;
  }

  add(chunk: DataFields, bytes: Uint8Array): ReassemblyResult {
    const begins = (chunk.flags & DATA_FLAG.BEGIN) !== 0;
    const ends = (chunk.flags & DATA_FLAG.END) !== 0;
    const unordered = (chunk.flags & DATA_FLAG.UNORDERED) !== 0;
    const { streamId, messageNumber: mid, fragmentNumber: fsn } = chunk;
    const length = chunk.userEnd - chunk.userStart;
    const key = keyOf(streamId, unordered, mid);
    const known = this.#partials.size === 0 ? undefined : this.#partials.get(key);
    if (begins && ends) {
      if (known !== undefined) return 'violation';
      if (length > this.#maxMessageSize) return 'too-big';
      this.#streams.complete(streamId, unordered, mid, chunk.ppid, bytes.slice(chunk.userStart, chunk.userEnd));
      return 'ok';
    }
    if (!begins && fsn === 0) return 'violation';
    if (known === undefined && this.#skipped.size > 0 && this.#isSkipped(laneOf(streamId, unordered), mid)) return 'ok';
    const partial = known ?? this.#newPartial(key, streamId, unordered, mid);
    if (contradicts(partial, fsn, ends)) return 'violation';
    if (begins) partial.ppid = chunk.ppid;
    if (ends) partial.endFsn = fsn;
    this.#streams.heldBytes += length;
    if (fsn === partial.nextFsn) {
      const isFew = this.#partials.size <= MAX_FORETOLD_MESSAGES;
      const expected = isFew ? Math.min(this.#streams.expectedLength(streamId), this.#maxMessageSize) : 0;
      partial.pieces.append(bytes, chunk.userStart, chunk.userEnd, expected);
      partial.nextFsn++;
      if (partial.later !== undefined) this.#joinLater(partial);
    } else {
      partial.later ??= new Map();
      partial.later.set(fsn, bytes.slice(chunk.userStart, chunk.userEnd));
      partial.laterBytes += length;
      this.#streams.heldBytes += HELD_OVERHEAD_BYTES;
    }
    if (partial.pieces.length + partial.laterBytes > this.#maxMessageSize) return 'too-big';
    if (partial.endFsn >= 0 && partial.nextFsn > partial.endFsn) {
      this.#drop(partial);
      this.#streams.complete(streamId, unordered, mid, partial.ppid, partial.pieces.take());
    }
    return 'ok';
  }

  forward(_cumulative: number, skipped: readonly SkippedMessage[]): void {
    for (const { streamId, unordered, messageNumber } of skipped) {
      this.#skipped.set(laneOf(streamId, unordered), messageNumber);
      const lane = this.#lanes.get(laneOf(streamId, unordered));
      if (lane !== undefined) this.#dropUpTo(lane, unwrap(lane, messageNumber));
      if (!unordered) this.#streams.skip(streamId, messageNumber);
    }
  }

  reset(streamIds: readonly number[]): void {
    const numbers = streamIds.flatMap((id) => [laneOf(id, false), laneOf(id, true)]);
    if (numbers.length === 0) this.#skipped.clear();
    for (const number of numbers) this.#skipped.delete(number);
    for (const number of numbers.length === 0 ? [...this.#lanes.keys()] : numbers) {
      const lane = this.#lanes.get(number);
      if (lane !== undefined) this.#dropUpTo(lane, NEVER);
    }
  }

  #isSkipped(lane: number, mid: number): boolean {
    const skipped = this.#skipped.get(lane);
    if (skipped === undefined) return false;
    const ahead = (mid - skipped) | 0;
    // So far on, nothing of that time can be under way, and MIDs must not go around to it.
    if (ahead > MAX_TSNS_AHEAD) this.#skipped.delete(lane);
    return ahead <= 0;
  }

  #dropUpTo(lane: DeadlineHeap<Partial>, at: number): void {
    for (let first = lane.peek(); first !== undefined && first.at <= at; first = lane.peek()) this.#drop(first);
  }

  #newPartial(key: number, streamId: number, unordered: boolean, mid: number): Partial {
    const partial: Partial = {
      key,
      lane: laneOf(streamId, unordered),
      at: 0,
      order: 0,
      heapIndex: -1,
      ppid: 0,
      pieces: new Pieces(),
      nextFsn: 0,
      later: undefined,
      laterBytes: 0,
      endFsn: -1,
    };
    this.#partials.set(key, partial);
    let lane = this.#lanes.get(partial.lane);
    if (lane === undefined) {
      lane = new DeadlineHeap();
      this.#lanes.set(partial.lane, lane);
    }
    lane.set(partial, unwrap(lane, mid));
    this.#streams.heldBytes += HELD_OVERHEAD_BYTES;
    return partial;
  }

  #joinLater(partial: Partial): void {
    for (;;) {
      const fragment = partial.later?.get(partial.nextFsn);
      if (fragment === undefined) return;
      partial.later?.delete(partial.nextFsn);
      partial.laterBytes -= fragment.length;
      this.#streams.heldBytes -= HELD_OVERHEAD_BYTES;
      partial.pieces.append(fragment, 0, fragment.length, 0);
      partial.nextFsn++;
    }
  }

  #drop(partial: Partial): void {
    this.#partials.delete(partial.key);
    const lane = this.#lanes.get(partial.lane);
    lane?.remove(partial);
    if (lane?.size === 0) this.#lanes.delete(partial.lane);
    const fragments = 1 + (partial.later?.size ?? 0);
    this.#streams.heldBytes -= partial.pieces.length + partial.laterBytes + fragments * HELD_OVERHEAD_BYTES;
  }
}

/** Stream (16 bits) and kind (1). */
function laneOf(streamId: number, unordered: boolean): number {
  return streamId * 2 + (unordered ? 1 : 0);
}

/** A MID near those of a lane (RFC 9260 §1.6). */
function unwrap(lane: DeadlineHeap<Partial>, mid: number): number {
  const from = lane.peek()?.at ?? mid;
  return from + ((mid - from) | 0);
}

/** Stream, kind and MID (32 bits) in one exact number. */
function keyOf(streamId: number, unordered: boolean, mid: number): number {
  return laneOf(streamId, unordered) * 0x1_0000_0000 + mid;
}

/** A fragment number twice, or one behind the end, or a second end. */
function contradicts(partial: Partial, fsn: number, ends: boolean): boolean {
  if (fsn < partial.nextFsn || partial.later?.has(fsn)) return true;
  if (partial.endFsn >= 0) return ends || fsn > partial.endFsn;
  return ends && partial.later !== undefined && [...partial.later.keys()].some((later) => later > fsn);
}
