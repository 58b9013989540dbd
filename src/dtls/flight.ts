import { type Instant, NEVER, type TransmitSlot } from '../core/index.ts';
import { HANDSHAKE_HEADER_BYTES, writeHandshakeHeader } from './handshake-fragment.ts';
import type { RecordWriter } from './record-writer.ts';
import { CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE } from './registry.ts';

/**
 * Datagram sizes that an unanswered flight falls back to (RFC 6347 §4.1.1.1): what every IPv4 host must take (576 minus
 * IP and UDP headers), then less than that for tunnels in tunnels.
 */
const SMALLER_MTUS = [548, 256] as const;
/** Time-outs of one flight before each step down. */
const TIMEOUTS_PER_MTU_STEP = 2;
/** Answers to retransmissions of the peer, per flight: they are unauthenticated, and must not be made an amplifier. */
export const MAX_PROVOKED_RETRANSMISSIONS = 16;
/** Two answers to retransmissions of the peer are at least this far apart, ms. */
const PROVOKED_GAP_MS = 100;
/** Do not begin a fragment shorter than this at the end of a datagram. */
const MIN_FRAGMENT_BYTES = 64;

interface FlightMessage {
  readonly writer: RecordWriter;
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
}
/** ChangeCipherSpec is no handshake message: it has no number and is not fragmented. */
type FlightItem = FlightMessage | { readonly writer: RecordWriter; readonly type: 'change-cipher-spec' };

export interface FlightOptions {
  readonly initialRtoMs: number;
  readonly maxRtoMs: number;
  readonly maxRetransmissions: number;
  readonly mtuBytes: number;
}

/**
 * The flight sent last, kept until the next one, and its retransmission timer (RFC 6347 §4.2.4):
 *
 * ```text
 * PREPARING  begin, add …
 * SENDING    launch: fill until drained
 * WAITING    deadline armed; time-out or a retransmission of the peer → SENDING again
 * FINISHED   nothing more is expected: no deadline, kept to answer a retransmitted Finished
 * ```
 */
export class Flight {
  readonly #options: FlightOptions;
  #items: FlightItem[] = [];
  /** Next item and byte of its body to send; behind the last item: drained. */
  #itemAt = 0;
  #byteAt = 0;
  #deadline: Instant = NEVER;
  #rtoMs: number;
  #timeouts = 0;
  #provoked = 0;
  #sentAt: Instant = Number.NEGATIVE_INFINITY;
  #mtuBytes: number;

  constructor(options: FlightOptions) {
    this.#options = options;
    this.#rtoMs = options.initialRtoMs;
    this.#mtuBytes = options.mtuBytes;
  }

  /** Something is left to send. */
  get pending(): boolean {
    return this.#itemAt < this.#items.length;
  }

  get deadline(): Instant {
    return this.#deadline;
  }

  /** The datagram size in use, after any steps down. */
  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  /** Forgets the flight before; nothing is sent until `launch`. */
  begin(): void {
    this.#items = [];
    this.#itemAt = 0;
    this.#byteAt = 0;
    this.#deadline = NEVER;
    this.#timeouts = 0;
    this.#provoked = 0;
    // RFC 6347 §4.2.4.1 would keep a backed-off value for the next flight ("SHOULD retain"). Browsers start each flight
    // afresh, and so do we: one lost datagram must not slow down the rest of a call's set-up.
    this.#rtoMs = this.#options.initialRtoMs;
  }

  addMessage(writer: RecordWriter, type: number, messageSeq: number, body: Uint8Array): void {
    this.#items.push({ writer, type, messageSeq, body });
    this.#itemAt = this.#items.length; // not yet to be sent
  }

  addChangeCipherSpec(writer: RecordWriter): void {
    this.#items.push({ writer, type: 'change-cipher-spec' });
    this.#itemAt = this.#items.length;
  }

  /** @param awaitsReply - false for the last flight of the handshake, which is sent again only when the peer asks for it. */
  launch(now: Instant, awaitsReply: boolean): void {
    this.#rewind(now);
    this.#deadline = awaitsReply ? now + this.#rtoMs : NEVER;
  }

  /** The answer has come: the timer stops; the flight stays, to be sent again if it is asked for. */
  acknowledge(): void {
    this.#deadline = NEVER;
  }

  clear(): void {
    this.begin();
  }

  /** @returns `exhausted` when the bound of retransmissions is reached. */
  handleTimeout(now: Instant): 'early' | 'resent' | 'exhausted' {
    if (now < this.#deadline) return 'early';
    if (this.#timeouts >= this.#options.maxRetransmissions) return 'exhausted';
    this.#timeouts++;
    this.#rtoMs = Math.min(this.#rtoMs * 2, this.#options.maxRtoMs);
    // From the deadline, not from `now`: a late driver must not stretch the schedule; but never in a burst.
    this.#deadline = Math.max(this.#deadline + this.#rtoMs, now + this.#options.initialRtoMs);
    const step = Math.floor(this.#timeouts / TIMEOUTS_PER_MTU_STEP) - 1;
    const smaller = SMALLER_MTUS[Math.min(step, SMALLER_MTUS.length - 1)];
    if (smaller !== undefined) this.#mtuBytes = Math.min(this.#mtuBytes, smaller);
    this.#rewind(now);
    return 'resent';
  }

  /**
   * The peer has sent its flight again, so ours was lost: RFC 6347 §4.2.4 sends it again at once.
   * @param authenticated - the retransmission proved itself (a Finished): then neither the gap nor the count matters.
   */
  handlePeerRetransmission(now: Instant, authenticated: boolean): boolean {
    if (this.#items.length === 0 || this.pending) return false;
    if (!authenticated) {
      if (this.#deadline === NEVER || this.#provoked >= MAX_PROVOKED_RETRANSMISSIONS) return false;
      if (now - this.#sentAt < Math.min(PROVOKED_GAP_MS, this.#options.initialRtoMs / 2)) return false;
      this.#provoked++;
      this.#deadline = now + this.#rtoMs;
    }
    this.#rewind(now);
    return true;
  }

  /** Packs records into one datagram of at most `mtuBytes` at `slot.offset`; false when drained. */
  fill(slot: TransmitSlot<unknown>): boolean {
    let used = 0;
    for (let item = this.#items[this.#itemAt]; item !== undefined; item = this.#items[this.#itemAt]) {
      const written =
        item.type === 'change-cipher-spec'
          ? this.#writeChangeCipherSpec(item.writer, slot, used)
          : this.#writeFragment(item, slot, used);
      if (written === 0) break;
      used += written;
    }
    slot.length = used;
    return used > 0;
  }

  #rewind(now: Instant): void {
    this.#itemAt = 0;
    this.#byteAt = 0;
    this.#sentAt = now;
  }

  #writeChangeCipherSpec(writer: RecordWriter, slot: TransmitSlot<unknown>, used: number): number {
    if (used > 0 && used + writer.overhead + 1 > this.#mtuBytes) return 0;
    const at = slot.offset + used + writer.headroom;
    slot.buffer[at] = 1; // RFC 5246 §7.1: its only value
    this.#itemAt++;
    return writer.write(CONTENT_CHANGE_CIPHER_SPEC, slot.buffer, at, 1);
  }

  /** One record with the next fragment of the message; 0 when it is not worth to begin one in this datagram. */
  #writeFragment(item: FlightMessage, slot: TransmitSlot<unknown>, used: number): number {
    const { writer } = item;
    const left = item.body.length - this.#byteAt;
    const room = this.#mtuBytes - used - writer.overhead - HANDSHAKE_HEADER_BYTES;
    if (used > 0 && room < Math.min(left, MIN_FRAGMENT_BYTES)) return 0;
    const length = Math.min(left, Math.max(room, 1));
    const at = slot.offset + used + writer.headroom;
    writeHandshakeHeader(slot.buffer, at, item, this.#byteAt, length);
    slot.buffer.set(item.body.subarray(this.#byteAt, this.#byteAt + length), at + HANDSHAKE_HEADER_BYTES);
    this.#byteAt += length;
    if (this.#byteAt >= item.body.length) {
      this.#itemAt++;
      this.#byteAt = 0;
    }
    return writer.write(CONTENT_HANDSHAKE, slot.buffer, at, HANDSHAKE_HEADER_BYTES + length);
  }
}
