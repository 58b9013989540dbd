import {
  DecodeError,
  type DropCounters,
  type Env,
  type FiveTuple,
  type Instant,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import type { StunAttribute } from './attributes.ts';
import type { StunMessage } from './message.ts';
import { STUN_METHODS } from './message-type.ts';
import { type ScheduleOptions, STREAM_SCHEDULE } from './schedule.ts';
import { StunTransaction } from './transaction.ts';
import { newTransactionId } from './transaction-id.ts';
import type { ChangeRequest, StunError } from './values.ts';
import { encodeStun } from './writer.ts';

export type StunClientEvent =
  | {
      readonly type: 'mapped';
      /** The client's address as the server sees it. */
      readonly address: TransportAddress;
      /** Where the server says that it answered from (RFC 5780 §7.3). */
      readonly responseOrigin: TransportAddress | undefined;
      /** The server's other address and port, when it can do behaviour discovery (RFC 5780 §7.4). */
      readonly otherAddress: TransportAddress | undefined;
      readonly rttMs: number | undefined;
    }
  | {
      readonly type: 'failed';
      readonly reason: 'timeout' | 'error-response' | 'bad-response';
      /** The ERROR-CODE, when the reason is `error-response`. */
      readonly error: StunError | undefined;
    };

export interface StunClientOptions {
  readonly env: Env;
  /** From our socket to the server. */
  readonly path: FiveTuple;
  /** SOFTWARE; left out by default, because it tells everybody on the path what runs here (RFC 8489 §16.1.2). */
  readonly software?: string;
  /** ORIGIN: the web page's, for servers that tell their customers apart by it (coturn). Left out by default. */
  readonly origin?: string;
  /** Asks a behaviour discovery server to answer from another address (RFC 5780 §7.2). */
  readonly changeRequest?: ChangeRequest;
  /** Default: as RFC 8489 §6.2 says for the path's transport. */
  readonly schedule?: ScheduleOptions;
}

/**
 * One Binding request to one server (RFC 8489 §12 from the client's side): "what is my address?". Ends in exactly one
 * event.
 *
 * @example
 * const client = new StunClient({ env, path }, now);
 * const driver = new Driver(client, host, (event) => console.log(event));
 */
export class StunClient implements SansIo<StunClientEvent, FiveTuple> {
  readonly #path: FiveTuple;
  readonly #transaction: StunTransaction;

  constructor(options: StunClientOptions, now: Instant) {
    this.#path = options.path;
    const reliable = options.path.protocol === 'tcp' || options.path.protocol === 'tls';
    const attributes: StunAttribute[] = [];
    if (options.software !== undefined) attributes.push(['SOFTWARE', options.software]);
    if (options.origin !== undefined) attributes.push(['ORIGIN', options.origin]);
    if (options.changeRequest !== undefined) attributes.push(['CHANGE-REQUEST', options.changeRequest]);
    const request = encodeStun({
      messageClass: 'request',
      method: STUN_METHODS.Binding,
      transactionId: newTransactionId(options.env),
      attributes,
    });
    const schedule = options.schedule ?? (reliable ? STREAM_SCHEDULE : undefined);
    this.#transaction = new StunTransaction(request, now, {
      reliable,
      trace: options.env.trace,
      ...(schedule === undefined ? {} : { schedule }),
    });
  }

  get drops(): DropCounters {
    return this.#transaction.drops;
  }

  get isDone(): boolean {
    return this.#transaction.isDone;
  }

  /**
   * The response may come from another address of the server than the request went to (RFC 5780 §6.1): the 96 random
   * bits of the transaction ID are what it is known by.
   */
  handleInput(bytes: Uint8Array, _path: FiveTuple, now: Instant): void {
    this.#transaction.handleInput(bytes, undefined, now);
  }

  handleTimeout(now: Instant): void {
    this.#transaction.handleTimeout(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    const inner: TransmitSlot = { buffer: slot.buffer, offset: slot.offset, length: 0, path: undefined };
    if (!this.#transaction.pollTransmit(inner)) return false;
    slot.length = inner.length;
    slot.path = this.#path;
    return true;
  }

  pollEvent(): StunClientEvent | undefined {
    const event = this.#transaction.pollEvent();
    if (event === undefined) return undefined;
    if (event.type !== 'response') return { type: 'failed', reason: 'timeout', error: undefined };
    try {
      return readBindingResponse(event.message, event.rttMs);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { type: 'failed', reason: 'bad-response', error: undefined };
    }
  }

  nextTimeout(): Instant {
    return this.#transaction.nextTimeout();
  }

  /** Ends it without an event. Idempotent. */
  cancel(): void {
    this.#transaction.cancel();
  }
}

/** RFC 8489 §6.3.3, §6.3.4. @throws {DecodeError} for a response that is not one. */
function readBindingResponse(message: StunMessage, rttMs: number | undefined): StunClientEvent {
  if (message.unknownRequired().length > 0) throw new DecodeError('unsupported', 'attribute', 0);
  if (message.messageClass === 'error') {
    return { type: 'failed', reason: 'error-response', error: message.require('ERROR-CODE') };
  }
  // A server of RFC 3489 knows MAPPED-ADDRESS only.
  const address = message.get('XOR-MAPPED-ADDRESS') ?? message.require('MAPPED-ADDRESS');
  return {
    type: 'mapped',
    address,
    responseOrigin: message.get('RESPONSE-ORIGIN') ?? message.get('SOURCE-ADDRESS'),
    otherAddress: message.get('OTHER-ADDRESS') ?? message.get('CHANGED-ADDRESS'),
    rttMs,
  };
}
