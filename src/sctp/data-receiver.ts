import { type Instant, NEVER, type Ring } from '../core/index.ts';
import { InboundStreams } from './inbound-streams.ts';
import { RECEIVE_OVERCOMMIT, SACK_DELAY_MS, SACK_EVERY_PACKETS } from './limits.ts';
import { DataReassembly, type Reassembly, type ReassemblyResult } from './reassembly.ts';
import { IDataReassembly } from './reassembly-idata.ts';
import { ReceivedTsns, type TsnVerdict } from './received-tsns.ts';
import { SackFrequency } from './sack-frequency.ts';
import type { Tcb } from './tcb.ts';
import type { SctpEvent } from './types.ts';
import { DATA_FLAG, type DataFields } from './wire/data.ts';
import type { ForwardTsnChunk } from './wire/forward-tsn.ts';

/** What came of a DATA chunk. */
export type DataVerdict = ReassemblyResult | Exclude<TsnVerdict, 'new'> | 'invalid-stream';

/** Round trips of data that a growing receive window holds. */
const WINDOW_ROUND_TRIPS = 4;

/** What a receiver is made with. */
export interface ReceiverParts {
  readonly tcb: Tcb;
  readonly windowBytes: number;
  /** What the window may grow to; equal to `windowBytes` when it is fixed. */
  readonly maxWindowBytes: number;
  readonly maxMessageSize: number;
  readonly events: Ring<SctpEvent>;
}

/**
 * The receiving half of an association: which TSNs came, reassembly, ordering, the receive window, and when to
 * acknowledge (RFC 9260 §6.2).
 */
export class DataReceiver {
  readonly tsns: ReceivedTsns;
  readonly #streams: InboundStreams;
  readonly #reassembly: Reassembly;
  #windowBytes: number;
  readonly #maxWindowBytes: number;
  /** Bytes received since `#measuredFrom`. */
  #receivedBytes = 0;
  #measuredFrom: Instant = 0;
  #inboundStreams: number;
  #packetsSinceSack = 0;
  /** The first DATA of an association is acknowledged at once (RFC 9260 §5.1). */
  #sackEvery = 1;
  #dataInPacket = false;
  /** Some of the packet had the I bit. */
  #asked = false;
  readonly #frequency = new SackFrequency();
  #sackNow = false;
  #sackAt: Instant = NEVER;
  #advertised: number;

  constructor({ tcb, windowBytes, maxWindowBytes, maxMessageSize, events }: ReceiverParts) {
    this.tsns = new ReceivedTsns(tcb.peerInitialTsn);
    this.#inboundStreams = tcb.inboundStreams;
    this.#streams = new InboundStreams(events, tcb.extensions.interleaving);
    this.#reassembly = tcb.extensions.interleaving
      ? new IDataReassembly(this.#streams, maxMessageSize)
      : new DataReassembly(this.#streams, maxMessageSize, tcb.extensions.forwardTsn);
    this.#windowBytes = windowBytes;
    this.#maxWindowBytes = maxWindowBytes;
    this.#advertised = windowBytes;
  }

  get inboundStreams(): number {
    return this.#inboundStreams;
  }

  /** The peer was granted more streams (RFC 6525 §5.2.5). */
  addStreams(count: number): void {
    this.#inboundStreams += count;
  }

  /** `a_rwnd` as it would be sent now (RFC 9260 §6.2). */
  get windowBytes(): number {
    return Math.max(0, this.#windowBytes - this.#streams.heldBytes);
  }

  /** Bytes held for reassembly, ordering or `consume`. */
  get heldBytes(): number {
    return this.#streams.heldBytes;
  }

  /** When the delayed acknowledgement is due. */
  get sackAt(): Instant {
    return this.#sackAt;
  }

  /** A SACK must go out now, even alone. */
  get sackIsDue(): boolean {
    return this.#sackNow;
  }

  /** A SACK should ride along with whatever is sent next (RFC 9260 §6.2). */
  get sackIsPending(): boolean {
    return this.#sackNow || this.#packetsSinceSack > 0;
  }

  /** One DATA or I-DATA chunk; the user data is borrowed and not empty. */
  handleData(chunk: DataFields, bytes: Uint8Array): DataVerdict {
    this.#dataInPacket = true;
    if ((chunk.flags & DATA_FLAG.IMMEDIATE) !== 0) this.#asked = true;
    const tsn = this.tsns.unwrap(chunk.tsn);
    const verdict = this.tsns.check(tsn);
    if (verdict === 'duplicate') {
      this.tsns.noteDuplicate(chunk.tsn); // RFC 9260 §6.2: our SACK was lost, or the peer is too eager: it should know
      return verdict;
    }
    if (verdict !== 'new') return verdict;
    if (!this.#hasRoom(tsn, chunk.userEnd - chunk.userStart)) {
      this.#sackNow = true; // RFC 9260 §6.2: answer a zero-window probe with the window as it is
      return 'limit';
    }
    this.tsns.record(tsn);
    this.#receivedBytes += chunk.userEnd - chunk.userStart;
    if (chunk.streamId >= this.#inboundStreams) return 'invalid-stream'; // acknowledged, not delivered (§6.5)
    return this.#reassembly.add(chunk, bytes, tsn);
  }

  /** RFC 9260 §6.2: what the window does not cover is dropped, unless it closes a gap, which is what gives room again. */
  #hasRoom(tsn: number, length: number): boolean {
    const held = this.#streams.heldBytes + length;
    if (held <= this.#windowBytes) return true;
    const closesGap = tsn === this.tsns.cumulative + 1 || tsn < this.tsns.highest;
    return closesGap && held <= this.#windowBytes * RECEIVE_OVERCOMMIT;
  }

  /**
   * The last chunk of a packet was handled: decides about the acknowledgement (RFC 9260 §6.2, RFC 7053 §5.2). Where it may wait
   * for the batch, what is due "now" is a timer that has expired, not a packet that must go: a driver fires it when it
   * has handed over all datagrams that were there.
   */
  endOfPacket(rttMs: number, now: Instant): void {
    if (!this.#dataInPacket) return;
    if (now - this.#measuredFrom >= rttMs) this.#growWindow(rttMs, now);
    this.#dataInPacket = false;
    this.#packetsSinceSack++;
    const asked = this.#asked;
    this.#asked = false;
    this.#frequency.notePacket(asked);
    if (this.#packetsSinceSack >= this.#frequency.packets) this.#sackNow = true;
    else if (asked || this.#packetsSinceSack >= this.#sackEvery || this.tsns.hasGaps || this.tsns.hasDuplicates)
      this.#sackAt = now;
    else if (this.#sackAt === NEVER) this.#sackAt = now + SACK_DELAY_MS;
  }

  /**
   * Dynamic right-sizing: a sender that gets more than a quarter of the window through in one round trip may be held back
   * by it in the next, and the application has taken what came. The window becomes four times what a round trip brings: a
   * sender in slow start doubles before we hear of it, and while a loss is repaired two round trips' worth is held.
   */
  #growWindow(rttMs: number, now: Instant): void {
    const perRound = (this.#receivedBytes * rttMs) / Math.max(rttMs, now - this.#measuredFrom);
    this.#receivedBytes = 0;
    this.#measuredFrom = now;
    if (WINDOW_ROUND_TRIPS * perRound <= this.#windowBytes) return;
    this.#windowBytes = Math.min(this.#maxWindowBytes, Math.ceil(WINDOW_ROUND_TRIPS * perRound));
  }

  /** FORWARD TSN (RFC 3758 §3.6). @returns false when it is an old one. */
  handleForwardTsn(chunk: ForwardTsnChunk): boolean {
    const cumulative = this.tsns.unwrap(chunk.newCumulativeTsn);
    this.#dataInPacket = true; // acknowledged like DATA; an old one at once, because our SACK was lost
    if (cumulative <= this.tsns.cumulative) {
      this.#sackNow = true;
      return false;
    }
    this.tsns.advance(cumulative);
    this.#reassembly.forward(cumulative, chunk.skipped); // not what the point moved on to: that has arrived
    return true;
  }

  /** RFC 6525 §5.2.2: the peer's outgoing streams begin anew. */
  resetStreams(streamIds: readonly number[]): void {
    this.#reassembly.reset(streamIds);
    this.#streams.reset(streamIds);
  }

  hold(streamId: number, hold: boolean): void {
    this.#streams.hold(streamId, hold);
    this.#considerUpdate();
  }

  consume(streamId: number, bytes: number): void {
    this.#streams.consume(streamId, bytes);
    this.#considerUpdate();
  }

  /**
   * A window update is worth a packet when the window was nearly closed and has opened by a quarter: smaller steps would
   * be the silly window syndrome (RFC 9260 §6.2, RFC 1122 §4.2.3.3).
   */
  #considerUpdate(): void {
    const step = this.#windowBytes >> 2;
    if (this.#advertised < step && this.windowBytes >= this.#advertised + step) {
      this.#sackNow = true;
    }
  }

  handleTimeout(now: Instant): void {
    if (now < this.#sackAt) return;
    this.#sackAt = NEVER;
    this.#sackNow = true;
  }

  /** Asks for a SACK in the next packet. */
  requestSack(): void {
    this.#sackNow = true;
  }

  /** Writes the pending SACK. @returns the position behind it; `at` when it does not fit. */
  writeSack(bytes: Uint8Array, at: number, end: number): number {
    const window = this.windowBytes;
    const pos = this.tsns.writeSack(bytes, at, end, window);
    if (pos === at) return at;
    this.#advertised = window;
    if (this.#packetsSinceSack > 0) this.#sackEvery = SACK_EVERY_PACKETS;
    this.#packetsSinceSack = 0;
    this.#sackNow = false;
    this.#sackAt = NEVER;
    return pos;
  }
}
