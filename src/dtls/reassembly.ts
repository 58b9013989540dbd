import type { DropReason } from '../core/index.ts';
import type { HandshakeFragment } from './handshake-fragment.ts';

/** Longest handshake message taken from a peer; certificate chains are the only long ones. */
export const MAX_HANDSHAKE_MESSAGE_BYTES = 65_535;
/** Messages held that are ahead of the next one to be handled. The longest flight has seven. */
export const MAX_MESSAGES_AHEAD = 8;
/** Bytes of bodies held ahead of the next message, in all; the next message itself is always held. */
export const MAX_AHEAD_BYTES = 131_072;

/**
 * Longest ClientHello that is put together for a client that has not proved its address, because its first fragment does not reach to
 * the cookie: one at a time.
 */
export const MAX_UNPROVED_HELLO_BYTES = 16_384;

/** A complete handshake message; the body is owned by the receiver. */
export interface HandshakeMessage {
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
  /** Sequence number of the record that completed it (HelloVerifyRequest repeats it, RFC 6347 §4.2.1). */
  readonly recordSequence: number;
}

class PartialMessage {
  readonly type: number;
  readonly body: Uint8Array;
  /** One bit for each byte present; absent once complete, or when the first fragment was the whole. */
  #present: Uint8Array | undefined;
  #missing: number;
  recordSequence: number;

  constructor(fragment: HandshakeFragment, recordSequence: number) {
    this.type = fragment.type;
    this.body = new Uint8Array(fragment.length);
    this.#missing = fragment.length;
    this.#present = undefined;
    this.recordSequence = recordSequence;
  }

  get complete(): boolean {
    return this.#missing === 0;
  }

  /** Copies in the bytes that are not there yet: of two fragments that contradict each other the first counts. */
  add(offset: number, bytes: Uint8Array, recordSequence: number): void {
    if (this.complete) return;
    this.recordSequence = recordSequence;
    if (bytes.length === this.body.length) {
      this.body.set(bytes);
      this.#missing = 0;
      this.#present = undefined;
      return;
    }
    this.#present ??= new Uint8Array((this.body.length + 7) >>> 3);
    const present = this.#present;
    for (let i = 0; i < bytes.length; i++) {
      const at = offset + i;
      const bit = 1 << (at & 7);
      if ((present[at >>> 3]! & bit) !== 0) continue;
      present[at >>> 3]! |= bit;
      this.body[at] = bytes[i]!;
      this.#missing--;
    }
    if (this.complete) this.#present = undefined;
  }
}

/**
 * Puts handshake messages together again and in order (RFC 6347 §4.2.2, §4.2.3): fragments may come in any order, twice,
 * and overlap. What a peer can make it hold is bounded by the constants above.
 */
export class HandshakeReassembler {
  /** message_seq of the message that is handled next. */
  #next = 0;
  readonly #partials = new Map<number, PartialMessage>();

  get next(): number {
    return this.#next;
  }

  /** Something incomplete, or out of order, is held. */
  get holding(): boolean {
    return this.#partials.size > 0;
  }

  /**
   * Takes one fragment (its body is copied).
   * @returns undefined when it was stored or already there; `stale` for a message handled before (a retransmission);
   * otherwise why it was not taken.
   */
  add(fragment: HandshakeFragment, recordSequence: number): DropReason | undefined {
    const seq = fragment.messageSeq;
    if (seq < this.#next) return 'stale';
    if (seq >= this.#next + MAX_MESSAGES_AHEAD) return 'out-of-window';
    if (fragment.length > MAX_HANDSHAKE_MESSAGE_BYTES) return 'limit';
    let partial = this.#partials.get(seq);
    if (partial === undefined) {
      if (seq > this.#next && this.#bytesAhead() + fragment.length > MAX_AHEAD_BYTES) return 'limit';
      partial = new PartialMessage(fragment, recordSequence);
      this.#partials.set(seq, partial);
    } else if (partial.type !== fragment.type || partial.body.length !== fragment.length) {
      return 'bad-value';
    }
    partial.add(fragment.offset, fragment.body, recordSequence);
    return undefined;
  }

  /** The next message in order, once complete. */
  take(): HandshakeMessage | undefined {
    const message = this.#remove(this.#next);
    if (message !== undefined) this.#next++;
    return message;
  }

  /**
   * Any complete message whatever its number, which may come again: how a server that keeps no state yet reads
   * ClientHellos, the first with message_seq 0 and the one with the cookie with 1.
   */
  takeAny(): HandshakeMessage | undefined {
    for (const seq of this.#partials.keys()) {
      const message = this.#remove(seq);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  /** Begins in order with `seq` and forgets everything before it. */
  beginWith(seq: number): void {
    this.#next = seq;
    for (const held of [...this.#partials.keys()]) if (held < seq) this.#partials.delete(held);
  }

  /** Another fragment of the same message is held. */
  holdsMessageOf(fragment: HandshakeFragment): boolean {
    const partial = this.#partials.get(fragment.messageSeq);
    return partial !== undefined && partial.type === fragment.type && partial.body.length === fragment.length;
  }

  clear(): void {
    this.#partials.clear();
  }

  #remove(seq: number): HandshakeMessage | undefined {
    const partial = this.#partials.get(seq);
    if (partial === undefined || !partial.complete) return undefined;
    this.#partials.delete(seq);
    return { type: partial.type, messageSeq: seq, body: partial.body, recordSequence: partial.recordSequence };
  }

  #bytesAhead(): number {
    let bytes = 0;
    for (const [seq, partial] of this.#partials) if (seq !== this.#next) bytes += partial.body.length;
    return bytes;
  }
}
