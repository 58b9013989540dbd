import { type Instant, UsageError } from '../core/index.ts';
import type { Channel } from './channel.ts';
import { StreamIdAllocator } from './stream-ids.ts';
import type { DtlsRole, StreamCarrier } from './types.ts';

/**
 * One stream pair that is, or until its resets are done was, a channel's. It has no channel where a DATA_CHANNEL_OPEN was
 * refused, or where the channel is gone and a reset is not done yet.
 */
export interface Stream {
  channel: Channel | undefined;
  /** `stuck`: the peer refused the reset. The identifier is not used again, for the peer still holds its half. */
  outgoing: 'open' | 'resetting' | 'reset' | 'stuck';
  incoming: 'open' | 'reset';
  /** The answer to the reset of an earlier channel on this stream is still on its way: see {@link StreamTable.reopen}. */
  awaitsStaleAnswer: boolean;
}

/** The stream pairs in use and the closing procedure of RFC 8831 §6.7, which resets both halves of a pair. */
export class StreamTable {
  #carrier: StreamCarrier;
  readonly #streams = new Map<number, Stream>();
  /** Those whose incoming half is open: resets of all streams, of which one packet may hold hundreds, walk over no others. */
  readonly #receiving = new Set<number>();
  readonly #ids: StreamIdAllocator = new StreamIdAllocator((id) => this.#streams.has(id));

  constructor(carrier: StreamCarrier) {
    this.#carrier = carrier;
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** The lowest free identifier of our parity; undefined when there is none below `limit`. */
  nextFree(role: DtlsRole, limit: number): number | undefined {
    return this.#ids.next(role, limit);
  }

  /** Identifiers in use whose half the peer has not reset. */
  receiving(): number[] {
    return [...this.#receiving];
  }

  /** The peer has reset its half. @returns the stream; undefined where it is not in use or was reset before. */
  incomingReset(id: number): Stream | undefined {
    if (!this.#receiving.delete(id)) return undefined;
    const stream = this.#streams.get(id);
    if (stream !== undefined) stream.incoming = 'reset';
    return stream;
  }

  /** Takes a free identifier. Without a channel it is only there to be reset. */
  claim(id: number, channel: Channel | undefined): Stream {
    const stream: Stream = { channel, outgoing: 'open', incoming: 'open', awaitsStaleAnswer: false };
    this.#streams.set(id, stream);
    this.#receiving.add(id);
    return stream;
  }

  /** The identifier may be used again. */
  free(id: number): void {
    this.#streams.delete(id);
    this.#receiving.delete(id);
    this.#ids.release(id);
  }

  /** Resets our half, once; the carrier first delivers what is queued on it (RFC 6525 §5.1.2). May end up `stuck`. */
  reset(id: number, now: Instant): void {
    const stream = this.#streams.get(id);
    if (stream?.outgoing !== 'open') return;
    stream.outgoing = 'resetting';
    // A stream is reset once at a time: a second reset waits for the answer to the first.
    if (!stream.awaitsStaleAnswer) this.#request(id, stream, now);
  }

  #request(id: number, stream: Stream, now: Instant): void {
    try {
      this.#carrier.resetStreams([id], now);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      stream.outgoing = 'stuck'; // the peer cannot reset streams, or the association is ending
    }
  }

  /**
   * Whether the peer may open a channel on a stream of which we still await the answer to our reset: its own half is
   * reset, and that it opens the stream again proves that it has seen our reset. The answer was lost or is overtaken.
   */
  canReopen(stream: Stream): boolean {
    return stream.incoming === 'reset' && stream.outgoing === 'resetting' && !stream.awaitsStaleAnswer;
  }

  /** The new channel takes such a stream; the answer, when it comes, is not taken for one to a reset of the new one. */
  reopen(id: number, channel: Channel): void {
    this.claim(id, channel).awaitsStaleAnswer = true;
  }

  /** The peer answered a reset of ours, perhaps one of an earlier channel. @returns the stream, if it is known. */
  outgoingReset(id: number, ok: boolean, now: Instant): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream?.awaitsStaleAnswer) {
      stream.awaitsStaleAnswer = false;
      if (stream.outgoing === 'resetting') this.#request(id, stream, now);
    } else if (stream?.outgoing === 'resetting') stream.outgoing = ok ? 'reset' : 'stuck';
    return stream;
  }

  /** Another association: none of its streams is in use. */
  moveTo(carrier: StreamCarrier): void {
    this.clear();
    this.#carrier = carrier;
  }

  clear(): void {
    for (const id of [...this.#streams.keys()]) this.free(id);
  }
}
