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
  /** Resets of earlier channels on this stream whose answer is still on its way: see {@link StreamTable.reopen}. */
  staleResets: number;
}

/** The stream pairs in use and the closing procedure of RFC 8831 §6.7, which resets both halves of a pair. */
export class StreamTable {
  readonly #carrier: StreamCarrier;
  readonly #streams = new Map<number, Stream>();
  readonly #ids: StreamIdAllocator = new StreamIdAllocator((id) => this.#streams.has(id));

  constructor(carrier: StreamCarrier) {
    this.#carrier = carrier;
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** Identifiers in use, also those that only wait for a reset. */
  ids(): number[] {
    return [...this.#streams.keys()];
  }

  /** The lowest free identifier of our parity; undefined when there is none below `limit`. */
  nextFree(role: DtlsRole, limit: number): number | undefined {
    return this.#ids.next(role, limit);
  }

  /** Takes a free identifier. Without a channel it is only there to be reset. */
  claim(id: number, channel: Channel | undefined): Stream {
    const stream: Stream = { channel, outgoing: 'open', incoming: 'open', staleResets: 0 };
    this.#streams.set(id, stream);
    return stream;
  }

  /** The identifier may be used again. */
  free(id: number): void {
    this.#streams.delete(id);
    this.#ids.release(id);
  }

  /** Resets our half, once; the carrier first delivers what is queued on it (RFC 6525 §5.1.2). */
  reset(id: number, now: Instant): void {
    const stream = this.#streams.get(id);
    if (stream?.outgoing !== 'open') return;
    stream.outgoing = 'resetting';
    try {
      this.#carrier.resetStreams([id], now);
    } catch (error) {
      // The association is shutting down: its end, an event to come, closes everything.
      if (!(error instanceof UsageError)) throw error;
    }
  }

  /**
   * The peer opens a channel on a stream whose halves were both reset as far as the peer can see, while the answer to our
   * reset has not arrived here: it was lost, or is overtaken. The new channel takes the stream, and the answer, when it
   * comes, is not taken for a reset of the new one.
   */
  reopen(id: number, channel: Channel): void {
    const stale = this.#streams.get(id)?.staleResets ?? 0;
    this.claim(id, channel).staleResets = stale + 1;
  }

  /** The peer answered a reset of ours. @returns the stream, unless the answer was for an earlier channel. */
  outgoingReset(id: number, ok: boolean): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream === undefined) return undefined;
    if (stream.staleResets > 0) {
      stream.staleResets--;
      return undefined;
    }
    if (stream.outgoing !== 'resetting') return undefined;
    stream.outgoing = ok ? 'reset' : 'stuck';
    return stream;
  }

  clear(): void {
    for (const id of this.ids()) this.free(id);
  }
}
