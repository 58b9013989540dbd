import type { FiveTuple, TransmitSlot } from '../../core/index.ts';
import { MAX_SERVER_QUEUE } from '../limits.ts';

/** Datagrams longer than this cannot leave over UDP, and do not fit every slot. */
export const MAX_DATAGRAM_BYTES = 65_507;

const ENTRY_BYTES = 2048;

interface Entry {
  buffer: Uint8Array;
  length: number;
  path: FiveTuple | undefined;
}

/**
 * Datagrams between `handleInput` and `pollTransmit`, in reused buffers: relaying allocates nothing. A driver drains after
 * each input, so that the queue holds one or two; at {@link MAX_SERVER_QUEUE} it refuses.
 */
export class Outbox {
  readonly #entries: Entry[] = [];
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A buffer of at least `bytes` for the next datagram; undefined when it is too long, or the queue is full. */
  begin(bytes: number): Uint8Array | undefined {
    if (bytes > MAX_DATAGRAM_BYTES || this.#length === MAX_SERVER_QUEUE) return undefined;
    if (this.#length === this.#entries.length) this.#grow();
    const entry = this.#entries[(this.#head + this.#length) % this.#entries.length]!;
    if (entry.buffer.length < bytes) entry.buffer = new Uint8Array(bytes);
    return entry.buffer;
  }

  /** Queues the first `length` bytes of the buffer that `begin` gave. */
  commit(length: number, path: FiveTuple): void {
    const entry = this.#entries[(this.#head + this.#length) % this.#entries.length]!;
    entry.length = length;
    entry.path = path;
    this.#length++;
  }

  /** Copies the oldest datagram into the slot; false when there is none. */
  shiftInto(slot: TransmitSlot<FiveTuple>): boolean {
    if (this.#length === 0) return false;
    const entry = this.#entries[this.#head]!;
    slot.buffer.set(entry.buffer.subarray(0, entry.length), slot.offset);
    slot.length = entry.length;
    slot.path = entry.path;
    entry.path = undefined;
    if (entry.buffer.length > ENTRY_BYTES) entry.buffer = new Uint8Array(ENTRY_BYTES); // jumbo datagrams are rare
    this.#head = (this.#head + 1) % this.#entries.length;
    this.#length--;
    return true;
  }

  #grow(): void {
    // Full, so that the oldest entry may become the first of the list.
    const ordered = [...this.#entries.slice(this.#head), ...this.#entries.slice(0, this.#head)];
    this.#head = 0;
    this.#entries.splice(0, this.#entries.length, ...ordered, {
      buffer: new Uint8Array(ENTRY_BYTES),
      length: 0,
      path: undefined,
    });
  }
}
