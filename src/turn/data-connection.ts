import {
  ByteWriter,
  concatBytes,
  DecodeError,
  DropCounters,
  EMPTY,
  type Env,
  type FiveTuple,
  type Instant,
  Ring,
  type SansIo,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import {
  type ClientCredentials,
  decodeStun,
  HEADER_BYTES,
  newTransactionId,
  STREAM_SCHEDULE,
  STUN_METHODS,
  type StunError,
  type StunMessage,
  StunTransaction,
  type StunTransactionEvent,
  StunWriter,
} from '../stun/index.ts';
import { MAX_CHALLENGES, MAX_DATA_CONNECTION_QUEUE } from './limits.ts';

/** The largest answer to ConnectionBind that is waited for: a challenge with all its attributes at their longest. */
const MAX_RESPONSE_BYTES = 4096;

export type TurnDataConnectionEvent =
  /** From now on the connection carries the peer's bytes and nothing else. */
  | { readonly type: 'bound' }
  /** Bytes from the peer, in the chunks they came in; borrowed until the next call. */
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  /** Close the connection. */
  | {
      readonly type: 'failed';
      readonly reason: 'rejected' | 'timeout' | 'bad-response';
      readonly error: StunError | undefined;
    };

/**
 * The second connection to a TURN server that carries one peer's TCP stream (RFC 6062 §4.3, §4.5): ConnectionBind first,
 * then raw bytes both ways. `handleInput` takes the stream's chunks as they come, cut anywhere.
 */
export class TurnDataConnection implements SansIo<TurnDataConnectionEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #credentials: ClientCredentials;
  readonly #connectionId: number;
  readonly #path: FiveTuple;
  readonly #events = new Ring<TurnDataConnectionEvent>();
  readonly #outgoing = new Ring<Uint8Array>(MAX_DATA_CONNECTION_QUEUE);
  /** Bytes of the first of them that have left: one may be longer than a slot. */
  #polled = 0;
  /** The beginning of the answer, while that is not whole. */
  #partial: Uint8Array = EMPTY;
  #transaction: StunTransaction;
  #signed = false;
  #challenges = 0;
  #state: 'binding' | 'bound' | 'failed' = 'binding';

  /** Use `TurnClient.createDataConnection`. */
  constructor(env: Env, credentials: ClientCredentials, connectionId: number, path: FiveTuple, now: Instant) {
    this.#env = env;
    this.#credentials = credentials;
    this.#connectionId = connectionId;
    this.#path = path;
    this.#transaction = this.#ask(now);
  }

  get state(): 'binding' | 'bound' | 'failed' {
    return this.#state;
  }

  /**
   * Bytes for the peer, copied; they wait for `bound`.
   * @returns false when the queue is full: stop until it has been polled.
   * @throws {UsageError} after a failure.
   */
  send(bytes: Uint8Array): boolean {
    if (this.#state === 'failed') throw new UsageError('the data connection has failed');
    return this.#outgoing.push(bytes.slice());
  }

  handleInput(chunk: Uint8Array, _path: FiveTuple, now: Instant): void {
    if (this.#state === 'bound') this.#events.push({ type: 'data', bytes: chunk });
    else if (this.#state === 'binding') this.#handleAnswer(chunk, now);
    else this.drops.count('closed');
  }

  handleTimeout(now: Instant): void {
    if (this.#state !== 'binding') return;
    this.#transaction.handleTimeout(now);
    this.#advance(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    slot.path = this.#path;
    if (this.#state === 'binding') {
      const inner: TransmitSlot = { buffer: slot.buffer, offset: slot.offset, length: 0, path: undefined };
      const pending = this.#transaction.pollTransmit(inner);
      slot.length = inner.length;
      return pending;
    }
    const next = this.#outgoing.peek();
    if (next === undefined) return false;
    const left = next.subarray(this.#polled, this.#polled + slot.buffer.length - slot.offset);
    slot.buffer.set(left, slot.offset);
    slot.length = left.length;
    this.#polled += left.length;
    if (this.#polled < next.length) return true;
    this.#outgoing.shift();
    this.#polled = 0;
    return true;
  }

  pollEvent(): TurnDataConnectionEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#transaction.nextTimeout();
  }

  #ask(now: Instant): StunTransaction {
    const w = new StunWriter(
      new ByteWriter(new Uint8Array(MAX_RESPONSE_BYTES)),
      'request',
      STUN_METHODS.ConnectionBind,
      newTransactionId(this.#env),
    );
    w.add('CONNECTION-ID', this.#connectionId);
    this.#credentials.sign(w, STUN_METHODS.ConnectionBind);
    this.#signed = this.#credentials.isReady;
    return new StunTransaction(w.written(), now, { schedule: STREAM_SCHEDULE, trace: this.#env.trace });
  }

  /** The answer is one STUN message; whatever follows it in the same chunk is the peer's. */
  #handleAnswer(chunk: Uint8Array, now: Instant): void {
    let rest = this.#partial.length === 0 ? chunk : concatBytes(this.#partial, chunk);
    this.#partial = EMPTY;
    while (this.#state === 'binding') {
      const end = rest.length < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + ((rest[2]! << 8) | rest[3]!);
      if (end > MAX_RESPONSE_BYTES) {
        this.#fail('bad-response', undefined);
        return;
      }
      if (rest.length < end) {
        this.#partial = rest.slice();
        return;
      }
      this.#handleMessage(rest.subarray(0, end), now);
      rest = rest.subarray(end);
    }
    if (rest.length > 0) this.handleInput(rest, this.#path, now);
  }

  #handleMessage(bytes: Uint8Array, now: Instant): void {
    try {
      this.#transaction.handleMessage(decodeStun(bytes), now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.drops.count(error.reason);
      this.#fail('bad-response', undefined);
    }
    this.#advance(now);
  }

  #advance(now: Instant): void {
    const event = this.#transaction.pollEvent();
    if (event === undefined || this.#state !== 'binding') return;
    try {
      this.#handleOutcome(event, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.drops.count(error.reason);
      this.#fail('bad-response', undefined);
    }
  }

  #handleOutcome(event: StunTransactionEvent, now: Instant): void {
    if (event.type !== 'response') this.#fail('timeout', undefined);
    else if (event.message.messageClass === 'error') this.#handleError(event.message, now);
    else if (this.#signed && !this.#credentials.verify(event.message)) {
      this.drops.count('bad-integrity');
      this.#fail('bad-response', undefined); // RFC 8489 §9.2.5: on a reliable transport that is the end
    } else {
      this.#state = 'bound';
      this.#events.push({ type: 'bound' });
    }
  }

  #handleError(message: StunMessage, now: Instant): void {
    const error = message.require('ERROR-CODE');
    const challenged = error.code === 401 || error.code === 438;
    const retry = challenged && this.#challenges++ < MAX_CHALLENGES;
    if (retry && this.#credentials.handleChallenge(message, this.#signed) === 'retry')
      this.#transaction = this.#ask(now);
    else this.#fail('rejected', error);
  }

  #fail(reason: 'rejected' | 'timeout' | 'bad-response', error: StunError | undefined): void {
    if (this.#state === 'failed') return;
    this.#state = 'failed';
    this.#transaction.cancel();
    this.#outgoing.clear();
    this.#events.push({ type: 'failed', reason, error });
  }
}
