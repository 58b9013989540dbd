import type { InboundStreams } from './inbound-streams.ts';
import { HELD_OVERHEAD_BYTES, MAX_FORETOLD_MESSAGES } from './limits.ts';
import { Pieces } from './pieces.ts';
import { DATA_FLAG, type DataFields } from './wire/data.ts';
import type { SkippedMessage } from './wire/forward-tsn.ts';

/** What came of a fragment. Everything but `ok` ends the association. */
export type ReassemblyResult =
  | 'ok'
  /** Fragments that contradict each other (RFC 9260 §6.9). */
  | 'violation'
  /** The message is longer than the largest that we agreed to receive. */
  | 'too-big';

/** What both kinds of reassembly, of DATA and of I-DATA, offer. */
export interface Reassembly {
  /** Takes one fragment whose TSN is new. The user data is borrowed. */
  add(chunk: DataFields, bytes: Uint8Array, tsn: number): ReassemblyResult;
  /** RFC 3758 §3.6: TSNs up to `cumulative` and the listed messages will not be completed any more. */
  forward(cumulative: number, skipped: readonly SkippedMessage[]): void;
  /** Partial messages of these streams are void (RFC 6525 §5.2.2). Empty means all. */
  reset(streamIds: readonly number[]): void;
}

/** A run of adjacent TSNs that hold adjacent fragments of one message. */
interface Segment {
  first: number;
  last: number;
  begins: boolean;
  ends: boolean;
  readonly unordered: boolean;
  readonly streamId: number;
  readonly ssn: number;
  readonly ppid: number;
  readonly pieces: Pieces;
}

/**
 * Reassembly of DATA chunks (RFC 9260 §6.9): the fragments of a message have consecutive TSNs from the one with the B bit
 * to the one with the E bit. Segments are found by their two ends, so that each fragment costs constant time however many
 * are waiting; the segment that was written last is kept aside, because the next fragment nearly always belongs to it.
 */
export class DataReassembly implements Reassembly {
  readonly #streams: InboundStreams;
  readonly #maxMessageSize: number;
  readonly #partialReliability: boolean;
  readonly #byFirst = new Map<number, Segment>();
  readonly #byLast = new Map<number, Segment>();
  /** No segment in the maps begins before it. */
  #lowest = Number.POSITIVE_INFINITY;
  /** Not in the maps. */
  #current: Segment | undefined;
  /** Everything up to here was given up by the peer: a fragment behind it may lack its beginning. */
  #forwarded = -1;
  /** TSN of the last fragment of the message that was completed last. */
  #completedAt = -1;

  /** @param partialReliability - the peer may give messages up half-way (RFC 3758). */
  constructor(streams: InboundStreams, maxMessageSize: number, partialReliability: boolean) {
    this.#streams = streams;
    this.#partialReliability = partialReliability;
    this.#maxMessageSize = maxMessageSize;
  }

  add(chunk: DataFields, bytes: Uint8Array, tsn: number): ReassemblyResult {
    const begins = (chunk.flags & DATA_FLAG.BEGIN) !== 0;
    const ends = (chunk.flags & DATA_FLAG.END) !== 0;
    const unordered = (chunk.flags & DATA_FLAG.UNORDERED) !== 0;
    let left = this.#endingAt(tsn - 1);
    if (left?.ends) {
      if (!begins) return 'violation';
      left = undefined;
    } else if (left !== undefined && begins) {
      // With partial reliability a sender may have given up the rest of the message on the left (RFC 3758 §3.5 A3 has
      // it say so in a FORWARD TSN, which may come later).
      if (!this.#partialReliability) return 'violation';
      this.#park();
      this.#drop(left);
      left = undefined;
    } else if (left !== undefined && !continues(left, chunk, unordered)) return 'violation';
    let right = this.#startingAt(tsn + 1);
    if (right?.begins) {
      if (!ends && !this.#partialReliability) return 'violation';
      right = undefined;
    } else if (right !== undefined && (ends || !continues(right, chunk, unordered))) return 'violation';
    const length = chunk.userEnd - chunk.userStart;
    if (begins && ends) {
      if (length > this.#maxMessageSize) return 'too-big';
      this.#completedAt = tsn;
      const { streamId, messageNumber, ppid } = chunk;
      const message = bytes.slice(chunk.userStart, chunk.userEnd); // outlives the datagram
      this.#streams.complete(streamId, unordered, messageNumber, ppid, message);
      return 'ok';
    }
    // A fragment directly behind a finished message must begin one; behind a gap or a FORWARD TSN nobody can tell.
    if (!begins && left === undefined && tsn - 1 === this.#completedAt && this.#forwarded < tsn - 1) return 'violation';
    const segment = left ?? this.#newSegment(chunk, tsn, begins, unordered);
    const isFew = this.#byFirst.size < MAX_FORETOLD_MESSAGES; // besides this one
    const expected = segment.begins && isFew ? this.#expectedLength(chunk.streamId) : 0;
    segment.pieces.append(bytes, chunk.userStart, chunk.userEnd, expected);
    segment.last = tsn;
    segment.ends = ends;
    this.#streams.heldBytes += length;
    if (right !== undefined) this.#join(segment, right);
    if (segment.pieces.length > this.#maxMessageSize) return 'too-big';
    if (segment.begins && segment.ends) this.#complete(segment);
    return 'ok';
  }

  forward(cumulative: number, skipped: readonly SkippedMessage[]): void {
    this.#forwarded = Math.max(this.#forwarded, cumulative);
    this.#park();
    // Looked through only where something is to be found: a flood of FORWARD TSNs must not cost a walk each.
    if (cumulative >= this.#lowest) {
      this.#lowest = Number.POSITIVE_INFINITY;
      for (const segment of [...this.#byFirst.values()]) {
        if (segment.last <= cumulative) this.#drop(segment);
        else this.#lowest = Math.min(this.#lowest, segment.first);
      }
    }
    for (const { streamId, messageNumber } of skipped) this.#streams.skip(streamId, messageNumber);
  }

  reset(streamIds: readonly number[]): void {
    this.#park();
    const ids = new Set(streamIds);
    for (const segment of [...this.#byFirst.values()]) {
      if (ids.size === 0 || ids.has(segment.streamId)) this.#drop(segment);
    }
  }

  #expectedLength(streamId: number): number {
    return Math.min(this.#streams.expectedLength(streamId), this.#maxMessageSize);
  }

  #endingAt(tsn: number): Segment | undefined {
    const current = this.#current;
    if (current !== undefined && current.last === tsn) return current;
    if (this.#byLast.size === 0) return undefined;
    const segment = this.#byLast.get(tsn);
    if (segment !== undefined) this.#makeCurrent(segment);
    return segment;
  }

  #startingAt(tsn: number): Segment | undefined {
    const current = this.#current;
    if (current !== undefined && current.first === tsn) return current;
    return this.#byFirst.size === 0 ? undefined : this.#byFirst.get(tsn);
  }

  #newSegment(chunk: DataFields, tsn: number, begins: boolean, unordered: boolean): Segment {
    this.#park();
    this.#streams.heldBytes += HELD_OVERHEAD_BYTES;
    const segment: Segment = {
      first: tsn,
      last: tsn,
      begins,
      ends: false,
      unordered,
      streamId: chunk.streamId,
      ssn: chunk.messageNumber,
      ppid: chunk.ppid,
      pieces: new Pieces(),
    };
    this.#current = segment;
    return segment;
  }

  /** Takes a segment out of the maps to work on it. */
  #makeCurrent(segment: Segment): void {
    this.#park();
    this.#byFirst.delete(segment.first);
    this.#byLast.delete(segment.last);
    this.#current = segment;
  }

  /** Puts the current segment back into the maps. */
  #park(): void {
    const segment = this.#current;
    if (segment === undefined) return;
    this.#byFirst.set(segment.first, segment);
    this.#byLast.set(segment.last, segment);
    this.#lowest = Math.min(this.#lowest, segment.first);
    this.#current = undefined;
  }

  /** `segment` is the current one; `right` starts behind it and is in the maps, or was the current one before. */
  #join(segment: Segment, right: Segment): void {
    this.#byFirst.delete(right.first);
    this.#byLast.delete(right.last);
    segment.pieces.join(right.pieces);
    segment.last = right.last;
    segment.ends = right.ends;
    this.#streams.heldBytes -= HELD_OVERHEAD_BYTES;
  }

  /** `segment` is the current one. */
  #complete(segment: Segment): void {
    this.#current = undefined;
    this.#streams.heldBytes -= segment.pieces.length + HELD_OVERHEAD_BYTES;
    this.#completedAt = segment.last;
    const { streamId, unordered, ssn, ppid } = segment;
    this.#streams.complete(streamId, unordered, ssn, ppid, segment.pieces.take());
  }

  /** The segment is in the maps. */
  #drop(segment: Segment): void {
    this.#byFirst.delete(segment.first);
    this.#byLast.delete(segment.last);
    this.#streams.heldBytes -= segment.pieces.length + HELD_OVERHEAD_BYTES;
  }
}

/** Whether a fragment can belong to the message of an adjacent segment, apart from B and E. */
function continues(segment: Segment, chunk: DataFields, unordered: boolean): boolean {
  return (
    segment.streamId === chunk.streamId &&
    segment.unordered === unordered &&
    (unordered || segment.ssn === chunk.messageNumber)
  );
}
