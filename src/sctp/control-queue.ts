import { type DropCounters, type DropReason, Ring, type Trace } from '../core/index.ts';
import { MAX_CONTROL_CHUNKS } from './limits.ts';
import { padded } from './wire/tlv.ts';

/** Counts what was not acted on and tells the trace. */
export class DropReporter {
  readonly #drops: DropCounters;
  readonly #trace: Trace;

  constructor(drops: DropCounters, trace: Trace) {
    this.#drops = drops;
    this.#trace = trace;
  }

  drop(reason: DropReason, detail: string): void {
    this.#drops.count(reason);
    this.#trace.drop('sctp', reason, detail);
  }
}

/** A packet of one chunk with a tag of its own: answers that belong to no association. */
export interface LonePacket {
  readonly tag: number;
  readonly chunk: Uint8Array;
}

/** Control chunks on their way out. Bounded: what a flood of requests makes us answer beyond it is dropped. */
export class ControlQueue {
  readonly #chunks: Ring<Uint8Array> = new Ring(MAX_CONTROL_CHUNKS);
  readonly #lone: Ring<LonePacket> = new Ring(MAX_CONTROL_CHUNKS);
  readonly #reporter: DropReporter;

  constructor(reporter: DropReporter) {
    this.#reporter = reporter;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** A chunk for the association's next packet. */
  push(chunk: Uint8Array): void {
    if (!this.#chunks.push(chunk)) this.#reporter.drop('limit', 'control chunk');
  }

  /** A chunk that travels alone under a tag of its own. */
  pushLone(tag: number, chunk: Uint8Array): void {
    if (!this.#lone.push({ tag, chunk })) this.#reporter.drop('limit', 'answer');
  }

  takeLone(): LonePacket | undefined {
    return this.#lone.shift();
  }

  /**
   * Writes chunks at `at` while they fit before `end`.
   * @param first - where the first chunk of the packet goes: what is too long for a place there would wait for ever.
   * @returns the position behind the last.
   */
  write(bytes: Uint8Array, at: number, end: number, first: number): number {
    let pos = at;
    for (let chunk = this.#chunks.peek(); chunk !== undefined; chunk = this.#chunks.peek()) {
      const size = padded(chunk.length);
      if (pos + size > end) {
        if (first + size <= end) break; // the next packet has room
        this.#chunks.shift();
        this.#reporter.drop('limit', 'control chunk larger than a packet');
        continue;
      }
      bytes.set(chunk, pos);
      bytes.fill(0, pos + chunk.length, pos + size);
      pos += size;
      this.#chunks.shift();
    }
    return pos;
  }

  /** Forgets the association's chunks; lone packets stay. */
  clear(): void {
    this.#chunks.clear();
  }
}
