import { type Instant, NEVER, type TransmitSlot } from '../core/index.ts';
import { FlightMtu } from './flight-mtu.ts';
import { HANDSHAKE_HEADER_BYTES, writeHandshakeHeader } from './handshake-fragment.ts';
import type { RecordWriter } from './record-writer.ts';
import { CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE } from './registry.ts';
import { type RetransmissionOptions, RetransmissionTimer } from './retransmission-timer.ts';

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

export interface FlightOptions extends RetransmissionOptions {
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
  #isLast = false;
  #provoked = 0;
  #sentAt: Instant = Number.NEGATIVE_INFINITY;
  readonly #timer: RetransmissionTimer;
  readonly #mtu: FlightMtu;

  constructor(options: FlightOptions) {
    this.#options = options;
    this.#timer = new RetransmissionTimer(options);
    this.#mtu = new FlightMtu(options.mtuBytes);
  }

  /** Something is left to send. */
  get pending(): boolean {
    return this.#itemAt < this.#items.length;
  }

  get deadline(): Instant {
    return this.#timer.deadline;
  }

  /** The datagram size in use, after any steps down. */
  get mtuBytes(): number {
    return this.#mtu.bytes;
  }

  /** Forgets the flight before; nothing is sent until `launch`. */
  begin(): void {
    this.#items = [];
    this.#itemAt = 0;
    this.#byteAt = 0;
    this.#provoked = 0;
    this.#timer.stop();
    this.#mtu.beginFlight();
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
    this.#isLast = !awaitsReply;
    this.#timer.start(now, awaitsReply);
  }

  /** Nothing to send, but the rest of the peer's flight to wait for, as long as for an answer. It measures no round trip. */
  awaitRest(now: Instant): void {
    this.begin();
    this.launch(now, true);
    this.#timer.restart(now);
  }

  /** The answer is complete: the timer stops; the flight stays, to be sent again if it is asked for. */
  acknowledge(): void {
    this.#timer.stop();
  }

  clear(): void {
    this.begin();
  }

  /** A datagram of the peer has come: how much the path carries. */
  received(bytes: number): void {
    this.#mtu.received(bytes);
  }

  /** A piece of the answer that was not there before. @param effortless - a HelloVerifyRequest. */
  answered(now: Instant, effortless: boolean): void {
    this.#timer.answered(now, effortless);
  }

  /** The path carries datagrams of so many bytes and no more: a flight that had longer ones is sent again. */
  limitMtu(bytes: number, now: Instant): void {
    if (!this.#mtu.limit(bytes)) return;
    this.#timer.restart(now);
    this.#rewind(now);
  }

  /** @returns `exhausted` when the bound of retransmissions is reached. */
  handleTimeout(now: Instant): 'early' | 'resend' | 'exhausted' {
    const due = this.#timer.handleTimeout(now);
    if (due === 'resend') {
      this.#mtu.unanswered();
      this.#rewind(now);
    }
    return due;
  }

  /**
   * The peer has sent its flight again, so ours was lost: RFC 6347 §4.2.4 sends it again at once.
   * @param authenticated - the retransmission proved itself (a Finished): then neither the gap nor the count matters. Only the
   * last flight of the handshake answers it: otherwise each end would take the other's answer for another request, for ever.
   */
  handlePeerRetransmission(now: Instant, authenticated: boolean): boolean {
    if (this.#items.length === 0 || this.pending || (authenticated && !this.#isLast)) return false;
    if (!authenticated) {
      if (this.deadline === NEVER || this.#provoked >= MAX_PROVOKED_RETRANSMISSIONS) return false;
      if (now - this.#sentAt < Math.min(PROVOKED_GAP_MS, this.#options.initialRtoMs / 2)) return false;
      this.#provoked++;
      this.#timer.restart(now);
    } else {
      this.#mtu.unanswered(); // anyone may say so otherwise, and smaller datagrams are more datagrams
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
    this.#mtu.sent(used);
    return used > 0;
  }

  #rewind(now: Instant): void {
    this.#itemAt = 0;
    this.#byteAt = 0;
    this.#sentAt = now;
  }

  #writeChangeCipherSpec(writer: RecordWriter, slot: TransmitSlot<unknown>, used: number): number {
    if (used > 0 && used + writer.overhead + 1 > this.#mtu.bytes) return 0;
    const at = slot.offset + used + writer.headroom;
    slot.buffer[at] = 1; // RFC 5246 §7.1: its only value
    this.#itemAt++;
    return writer.write(CONTENT_CHANGE_CIPHER_SPEC, slot.buffer, at, 1);
  }

  /** One record with the next fragment of the message; 0 when it is not worth to begin one in this datagram. */
  #writeFragment(item: FlightMessage, slot: TransmitSlot<unknown>, used: number): number {
    const { writer } = item;
    const left = item.body.length - this.#byteAt;
    const room = this.#mtu.bytes - used - writer.overhead - HANDSHAKE_HEADER_BYTES;
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
