import {
  DecodeError,
  DropCounters,
  type DropReason,
  equalBytes,
  type Instant,
  Ring,
  type SansIo,
  SILENT,
  type Trace,
  type TransmitSlot,
} from '../core/index.ts';
import { type IntegrityAlgorithm, type IntegrityKey, verifyIntegrity } from './integrity.ts';
import { decodeStun, type StunMessage } from './message.ts';
import { DATAGRAM_SCHEDULE, RetransmissionSchedule, type ScheduleOptions } from './schedule.ts';

export type StunTransactionEvent =
  | {
      readonly type: 'response';
      /** Success or error, decoded from a copy: it stays valid. */
      readonly message: StunMessage;
      /** Undefined after a retransmission (Karn's algorithm, RFC 8489 §6.2.1). */
      readonly rttMs: number | undefined;
    }
  /** No response to any of `sends` requests. */
  | { readonly type: 'timeout'; readonly sends: number }
  /** All responses that came had a wrong integrity or none (RFC 8489 §9.1.4): somebody is interfering. */
  | { readonly type: 'integrity-violated'; readonly sends: number };

export interface StunTransactionOptions {
  /** Default {@link DATAGRAM_SCHEDULE}; `STREAM_SCHEDULE` over TCP and TLS. */
  readonly schedule?: ScheduleOptions;
  /** Over TCP or TLS a response without the right integrity ends the transaction at once (RFC 8489 §9.1.4). */
  readonly reliable?: boolean;
  /** Responses must verify with this key; 401 and 438 responses cannot and are let through. */
  readonly key?: IntegrityKey;
  /** The one algorithm that was in the request, when only one was (RFC 8489 §9.1.4). */
  readonly algorithm?: IntegrityAlgorithm;
  /** In the place of both, for credentials that keep their key to themselves; the same responses are let through. */
  readonly verify?: (message: StunMessage) => boolean;
  readonly trace?: Trace;
  /** Where drops are counted, for one who counts those of several transactions together. */
  readonly drops?: DropCounters;
}

/**
 * One request and its response (RFC 8489 §6.2, §6.3.3, §6.3.4): sends, retransmits, matches the transaction ID, and ends
 * in exactly one event.
 *
 * @example
 * const transaction = new StunTransaction(encodeStun({ … }), now);
 */
export class StunTransaction implements SansIo<StunTransactionEvent> {
  readonly drops: DropCounters;
  readonly #request: Uint8Array;
  readonly #sent: StunMessage;
  readonly #options: StunTransactionOptions;
  readonly #schedule: RetransmissionSchedule;
  readonly #startedAt: Instant;
  readonly #events = new Ring<StunTransactionEvent>();
  #sendPending = true;
  #done = false;
  #integrityViolated = false;

  /**
   * @param request - one encoded request, kept and not copied.
   * @throws {DecodeError} when it is not a STUN message.
   */
  constructor(request: Uint8Array, now: Instant, options: StunTransactionOptions = {}) {
    this.#request = request;
    this.#sent = decodeStun(request);
    this.#options = options;
    this.drops = options.drops ?? new DropCounters();
    this.#schedule = new RetransmissionSchedule(now, options.schedule ?? DATAGRAM_SCHEDULE);
    this.#startedAt = now;
  }

  /** Whether the response, the timeout or `cancel` has come. */
  get isDone(): boolean {
    return this.#done;
  }

  /** Requests sent or due so far. */
  get sends(): number {
    return this.#schedule.sends;
  }

  handleInput(bytes: Uint8Array, _path: undefined, now: Instant): void {
    let message: StunMessage;
    try {
      message = decodeStun(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
      return;
    }
    this.handleMessage(message, now);
  }

  /**
   * As `handleInput`, for a caller that has decoded already.
   * @returns whether the message ended the transaction.
   */
  handleMessage(message: StunMessage, now: Instant): boolean {
    if (this.#done) return this.#drop('closed', 'the transaction has ended');
    if (message.messageClass !== 'success' && message.messageClass !== 'error') {
      return this.#drop('bad-type', 'not a response');
    }
    if (message.method !== this.#sent.method || !equalBytes(message.transactionId, this.#sent.transactionId)) {
      return this.#drop('unknown-transaction', 'no such transaction');
    }
    if (!this.#isAuthentic(message)) {
      this.#integrityViolated = true;
      this.#drop('bad-integrity', 'response');
      if (this.#options.reliable === true) this.#finish({ type: 'integrity-violated', sends: this.sends });
      return this.#done;
    }
    const rttMs = this.sends === 1 ? now - this.#startedAt : undefined;
    this.#finish({ type: 'response', message: decodeStun(message.bytes.slice()), rttMs });
    return true;
  }

  handleTimeout(now: Instant): void {
    const due = this.#schedule.advance(now);
    if (due === 'send') this.#sendPending = true;
    if (due !== 'failed') return;
    this.#finish({ type: this.#integrityViolated ? 'integrity-violated' : 'timeout', sends: this.sends });
  }

  pollTransmit(slot: TransmitSlot): boolean {
    if (!this.#sendPending) return false;
    this.#sendPending = false;
    slot.buffer.set(this.#request, slot.offset);
    slot.length = this.#request.length;
    return true;
  }

  pollEvent(): StunTransactionEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#schedule.dueAt;
  }

  /** Ends the transaction without an event. Idempotent. */
  cancel(): void {
    this.#done = true;
    this.#sendPending = false;
    this.#schedule.stop();
  }

  /**
   * RFC 8489 §9.2.4: the server cannot protect 401 and need not protect 438. It cannot protect 400 either, and §14.8 says
   * not to expect it, but §9.2.5 has an unprotected one discarded: anybody could end the transaction with it.
   */
  #isAuthentic(message: StunMessage): boolean {
    const { key, algorithm, verify } = this.#options;
    if (key === undefined && verify === undefined) return true;
    const unprotected = !message.has('MESSAGE-INTEGRITY') && !message.has('MESSAGE-INTEGRITY-SHA256');
    if (unprotected && message.messageClass === 'error') {
      const code = errorCodeOf(message);
      return code === 401 || code === 438;
    }
    if (verify !== undefined) return verify(message);
    return key !== undefined && verifyIntegrity(message, key, algorithm);
  }

  #finish(event: StunTransactionEvent): void {
    this.cancel();
    this.#events.push(event);
  }

  #drop(reason: DropReason, detail: string): false {
    this.drops.count(reason);
    (this.#options.trace ?? SILENT).drop('stun', reason, detail);
    return false;
  }
}

/** The code of an error response, undefined when it has none or a malformed one. */
export function errorCodeOf(message: StunMessage): number | undefined {
  try {
    return message.get('ERROR-CODE')?.code;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}
