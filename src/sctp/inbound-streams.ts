import { type Deadline, DeadlineHeap, Ring } from '../core/index.ts';
import { HELD_OVERHEAD_BYTES } from './limits.ts';
import type { SctpEvent } from './types.ts';

/** A complete message that waits for the ones before it. `at` is its number, counted on past the end of the range. */
interface Waiting extends Deadline {
  readonly ppid: number;
  readonly bytes: Uint8Array;
}

/** Those of one stream: by number, and in order, so that to skip some costs the same however many there are. */
class WaitingMessages {
  readonly byNumber: Map<number, Waiting> = new Map();
  readonly #inOrder: DeadlineHeap<Waiting> = new DeadlineHeap();

  add(at: number, ppid: number, bytes: Uint8Array): void {
    const message: Waiting = { ppid, bytes, at: 0, order: 0, heapIndex: -1 };
    this.byNumber.set(at, message);
    this.#inOrder.set(message, at);
  }

  /** Takes the message with that number. */
  take(at: number): Waiting | undefined {
    const message = this.byNumber.get(at);
    if (message !== undefined) this.#remove(message);
    return message;
  }

  /** Takes the first of the messages up to that number. */
  takeUpTo(at: number): Waiting | undefined {
    const message = this.#inOrder.peek();
    if (message === undefined || message.at > at) return undefined;
    this.#remove(message);
    return message;
  }

  #remove(message: Waiting): void {
    this.byNumber.delete(message.at);
    this.#inOrder.remove(message);
  }
}

/** The receiving half of one stream. */
class InboundStream {
  /** SSN (or MID) of the next message to deliver, counted on past the end of the range. */
  next = 0;
  waiting: WaitingMessages | undefined;
  /** Length of the last message: a good guess for the next. */
  lastLength = 0;
  /** Delivered bytes stay on our account until `consume`. */
  held = false;
  unconsumed = 0;
  /** Lengths of the messages that these bytes are of, and what has been consumed of the first. */
  lengths: Ring<number> | undefined;
  consumedOfFirst = 0;
}

/**
 * Puts complete messages into their streams' order and delivers them (RFC 9260 §6.5, §6.6); keeps the account of bytes
 * that the receive window is made of.
 */
export class InboundStreams {
  readonly #streams = new Map<number, InboundStream>();
  readonly #events: Ring<SctpEvent>;
  /** Of SSNs or MIDs. */
  readonly #modulus: number;
  /** How far ahead of the next message one may be. */
  readonly #maxAhead: number;
  /** Bytes waiting for reassembly, for their turn or for `consume`. */
  heldBytes = 0;

  constructor(events: Ring<SctpEvent>, interleaved: boolean) {
    this.#events = events;
    this.#modulus = interleaved ? 0x1_0000_0000 : 0x1_0000;
    // A peer may have 2^16 - 1 ordered messages under way (RFC 9260 §6.1), which is more than serial arithmetic tells apart;
    // but what it sent before does not come again under a new TSN. Of MIDs it may have 2^31 - 1 (RFC 8260 §2.1).
    this.#maxAhead = interleaved ? 0x7fff_ffff : 0xffff;
  }

  /** How long the next message on this stream is likely to be. */
  expectedLength(streamId: number): number {
    return this.#streams.get(streamId)?.lastLength ?? 0;
  }

  /**
   * Hands over a complete message; `bytes` belong to the receiver of the event.
   * @returns false when the peer used this number before: the message is not delivered twice.
   */
  complete(streamId: number, unordered: boolean, number: number, ppid: number, bytes: Uint8Array): boolean {
    const stream = this.#stream(streamId);
    stream.lastLength = bytes.length;
    if (unordered) {
      this.#deliver(stream, streamId, ppid, bytes, true);
      return true;
    }
    const ahead = this.#distance(stream.next % this.#modulus, number);
    if (ahead === 0) {
      stream.next++;
      this.#deliver(stream, streamId, ppid, bytes, false);
      if (stream.waiting !== undefined) this.#drain(stream, streamId);
      return true;
    }
    const at = stream.next + ahead;
    stream.waiting ??= new WaitingMessages();
    if (ahead > this.#maxAhead || stream.waiting.byNumber.has(at)) return false;
    stream.waiting.add(at, ppid, bytes);
    this.heldBytes += bytes.length + HELD_OVERHEAD_BYTES;
    return true;
  }

  /** RFC 3758 §3.6: `number` and everything before it on the stream will not come any more. */
  skip(streamId: number, number: number): void {
    const stream = this.#stream(streamId);
    const ahead = this.#distance(stream.next % this.#modulus, number);
    if (ahead >= this.#modulus / 2) return; // RFC 9260 §1.6: one that has been delivered
    const at = stream.next + ahead;
    const { waiting } = stream;
    // What is complete and lies before the skipped message is still delivered, in order.
    for (let before = waiting?.takeUpTo(at); before !== undefined; before = waiting?.takeUpTo(at))
      this.#handOver(stream, streamId, before);
    stream.next = at + 1;
    this.#drain(stream, streamId);
  }

  /** RFC 6525 §5.2.2 E4: the peer starts counting at 0 again. @param streamIds - empty means all. */
  reset(streamIds: readonly number[]): void {
    for (const id of streamIds.length === 0 ? this.#streams.keys() : streamIds) {
      const stream = this.#streams.get(id);
      if (stream === undefined) continue;
      for (const { bytes } of stream.waiting?.byNumber.values() ?? [])
        this.heldBytes -= bytes.length + HELD_OVERHEAD_BYTES;
      stream.waiting = undefined;
      stream.next = 0;
      // A stream that was read to the end is as good as new: forgetting it keeps memory flat over many channels.
      if (!stream.held) this.#streams.delete(id);
    }
  }

  /** See `SctpAssociation.holdReceived`. */
  hold(streamId: number, hold: boolean): void {
    const stream = this.#stream(streamId);
    stream.held = hold;
    if (hold) return;
    this.heldBytes -= stream.unconsumed + (stream.lengths?.length ?? 0) * HELD_OVERHEAD_BYTES;
    stream.unconsumed = 0;
    stream.lengths = undefined;
    stream.consumedOfFirst = 0;
  }

  /** See `SctpAssociation.consume`. */
  consume(streamId: number, bytes: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const given = Math.min(bytes, stream.unconsumed);
    stream.unconsumed -= given;
    this.heldBytes -= given;
    stream.consumedOfFirst += given;
    const { lengths } = stream;
    for (let first = lengths?.peek(); first !== undefined && first <= stream.consumedOfFirst; first = lengths?.peek()) {
      stream.consumedOfFirst -= first;
      this.heldBytes -= HELD_OVERHEAD_BYTES;
      lengths?.shift();
    }
  }

  #stream(id: number): InboundStream {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = new InboundStream();
      this.#streams.set(id, stream);
    }
    return stream;
  }

  #drain(stream: InboundStream, streamId: number): void {
    const { waiting } = stream;
    for (let next = waiting?.take(stream.next); next !== undefined; next = waiting?.take(stream.next)) {
      stream.next++;
      this.#handOver(stream, streamId, next);
    }
  }

  #handOver(stream: InboundStream, streamId: number, message: Waiting): void {
    this.heldBytes -= message.bytes.length + HELD_OVERHEAD_BYTES;
    this.#deliver(stream, streamId, message.ppid, message.bytes, false);
  }

  #deliver(stream: InboundStream, streamId: number, ppid: number, bytes: Uint8Array, unordered: boolean): void {
    if (stream.held) {
      // With its overhead, or a peer could have a reader that is slow hold millions of tiny messages.
      stream.unconsumed += bytes.length;
      stream.lengths ??= new Ring();
      stream.lengths.push(bytes.length);
      this.heldBytes += bytes.length + HELD_OVERHEAD_BYTES;
    }
    this.#events.push({ type: 'message', streamId, ppid, bytes, unordered });
  }

  /** How far `to` lies behind `from`, going up and around. */
  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + this.#modulus;
  }
}
