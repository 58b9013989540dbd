import {
  ByteWriter,
  DecodeError,
  DropCounters,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  ipFamily,
  Ring,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { LongTermClient } from './long-term-client.ts';
import type { StunMessage } from './message.ts';
import { STUN_METHODS } from './message-type.ts';
import { type ScheduleOptions, STREAM_SCHEDULE } from './schedule.ts';
import { StunTransaction } from './transaction.ts';
import { newTransactionId } from './transaction-id.ts';
import type { ChangeRequest, StunError } from './values.ts';
import { StunWriter } from './writer.ts';

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
      readonly reason: 'timeout' | 'error-response' | 'bad-response' | 'redirected';
      /** The ERROR-CODE, when the reason is `error-response` or `redirected`. */
      readonly error: StunError | undefined;
      /** `redirected`: where to open another connection (RFC 8489 §10); over UDP it is followed by itself. */
      readonly alternateServer?: TransportAddress;
      /** The name that its certificate must have, where it is another one (RFC 8489 §14.16). */
      readonly alternateDomain?: string | undefined;
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
  /** Asks for the response at another port of ours (RFC 5780 §7.5). */
  readonly responsePort?: number;
  /** A long-term credential, for servers that ask for one (RFC 8489 §9.2). */
  readonly credentials?: { readonly username: string; readonly password: string };
  /**
   * Follow a 300 response that is not signed. Off by default: RFC 8489 §14.8 forbids it, because anybody on the path could
   * redirect us.
   */
  readonly followUnsignedRedirects?: boolean;
  /** Default: as RFC 8489 §6.2 says for the path's transport. */
  readonly schedule?: ScheduleOptions;
}

/** Servers that one client asks, by redirection. */
export const MAX_STUN_REDIRECTS = 4;

/** 401 and 438 answers to one client. */
export const MAX_STUN_CHALLENGES = 4;

/**
 * One Binding request to one server (RFC 8489 §12 from the client's side): "what is my address?". With credentials it
 * answers the server's challenge (§9.2), and goes on to another server where a signed response says so (§10). Ends in
 * exactly one event.
 *
 * @example
 * const client = new StunClient({ env, path }, now);
 * const driver = new Driver(client, host, (event) => console.log(event));
 */
export class StunClient implements SansIo<StunClientEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #options: StunClientOptions;
  readonly #credentials: LongTermClient | undefined;
  readonly #events = new Ring<StunClientEvent>();
  /** RFC 8489 §10: no server is asked twice, so that two cannot play ball with us. */
  readonly #asked: string[] = [];
  #path: FiveTuple;
  #challenges = 0;
  #signed = false;
  #transaction: StunTransaction;

  /** @throws {UsageError} for a user name or password that OpaqueString does not allow (RFC 8265 §4.2). */
  constructor(options: StunClientOptions, now: Instant) {
    this.#options = options;
    const { credentials, env } = options;
    if (credentials !== undefined)
      this.#credentials = new LongTermClient(env.crypto, credentials.username, credentials.password);
    this.#path = options.path;
    this.#transaction = this.#ask(options.path, now);
  }

  get isDone(): boolean {
    return this.#transaction.isDone;
  }

  /** To the server in use: another than the one given after a redirection. */
  get path(): FiveTuple {
    return this.#path;
  }

  /**
   * The response may come from another address of the server than the request went to (RFC 5780 §6.1): the 96 random
   * bits of the transaction ID are what it is known by.
   */
  handleInput(bytes: Uint8Array, _path: FiveTuple, now: Instant): void {
    this.#transaction.handleInput(bytes, undefined, now);
    this.#advance(now);
  }

  handleTimeout(now: Instant): void {
    this.#transaction.handleTimeout(now);
    this.#advance(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    const inner: TransmitSlot = { buffer: slot.buffer, offset: slot.offset, length: 0, path: undefined };
    if (!this.#transaction.pollTransmit(inner)) return false;
    slot.length = inner.length;
    slot.path = this.#path;
    return true;
  }

  pollEvent(): StunClientEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#transaction.nextTimeout();
  }

  /** Ends it without an event. Idempotent. */
  cancel(): void {
    this.#transaction.cancel();
  }

  #ask(path: FiveTuple, now: Instant): StunTransaction {
    const { env, software, origin, changeRequest, responsePort, schedule: given } = this.#options;
    this.#path = path;
    const server = formatAddress(path.remote);
    if (!this.#asked.includes(server)) this.#asked.push(server);
    const w = new StunWriter(
      new ByteWriter(new Uint8Array(MAX_REQUEST_BYTES)),
      'request',
      STUN_METHODS.Binding,
      newTransactionId(env),
    );
    if (software !== undefined) w.add('SOFTWARE', software);
    if (origin !== undefined) w.add('ORIGIN', origin);
    if (changeRequest !== undefined) w.add('CHANGE-REQUEST', changeRequest);
    if (responsePort !== undefined) w.add('RESPONSE-PORT', responsePort);
    const credentials = this.#credentials;
    this.#signed = credentials?.isReady === true;
    credentials?.sign(w);
    const reliable = path.protocol === 'tcp' || path.protocol === 'tls';
    const schedule = given ?? (reliable ? STREAM_SCHEDULE : undefined);
    return new StunTransaction(w.written().slice(), now, {
      reliable,
      trace: env.trace,
      drops: this.drops,
      ...(this.#signed && credentials !== undefined && { verify: (message) => credentials.verify(message) }),
      ...(schedule === undefined ? {} : { schedule }),
    });
  }

  #advance(now: Instant): void {
    const event = this.#transaction.pollEvent();
    if (event === undefined) return;
    if (event.type !== 'response') {
      this.#events.push({ type: 'failed', reason: 'timeout', error: undefined });
      return;
    }
    try {
      this.#handleResponse(event.message, event.rttMs, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#events.push({ type: 'failed', reason: 'bad-response', error: undefined });
    }
  }

  /** RFC 8489 §6.3.3, §6.3.4. @throws {DecodeError} for a response that is not one. */
  #handleResponse(message: StunMessage, rttMs: number | undefined, now: Instant): void {
    if (message.unknownRequired().length > 0) throw new DecodeError('unsupported', 'attribute', 0);
    if (message.messageClass === 'success') {
      this.#events.push(readBindingSuccess(message, rttMs));
      return;
    }
    const error = message.require('ERROR-CODE');
    const challenged = (error.code === 401 || error.code === 438) && this.#credentials !== undefined;
    if (challenged && this.#challenges++ < MAX_STUN_CHALLENGES) {
      if (this.#credentials.handleChallenge(message, this.#signed) === 'retry') {
        this.#transaction = this.#ask(this.#path, now);
        return;
      }
    }
    if (error.code === 300) this.#handleRedirect(message, error, now);
    else this.#events.push({ type: 'failed', reason: 'error-response', error });
  }

  /** RFC 8489 §10, and §14.8: "receivers MUST validate the MESSAGE-INTEGRITY … of this response before redirecting". */
  #handleRedirect(message: StunMessage, error: StunError, now: Instant): void {
    const trusted = this.#signed || this.#options.followUnsignedRedirects === true; // what is signed has been verified
    const family = ipFamily(this.#path.remote.ip);
    const alternateServer = message.getAll('ALTERNATE-SERVER').find(({ ip }) => ipFamily(ip) === family);
    const alternateDomain = message.get('ALTERNATE-DOMAIN');
    const fresh = alternateServer !== undefined && !this.#asked.includes(formatAddress(alternateServer));
    if (!trusted || !fresh || this.#asked.length > MAX_STUN_REDIRECTS) {
      this.#events.push({ type: 'failed', reason: 'error-response', error });
    } else if (this.#path.protocol !== 'udp') {
      this.#events.push({ type: 'failed', reason: 'redirected', error, alternateServer, alternateDomain });
    } else {
      this.#transaction = this.#ask({ ...this.#path, remote: alternateServer }, now);
    }
  }
}

/** SOFTWARE, ORIGIN, user name and realm at their longest, and the rest. */
const MAX_REQUEST_BYTES = 6 * 768;

/** @throws {DecodeError} for one that is none. */
function readBindingSuccess(message: StunMessage, rttMs: number | undefined): StunClientEvent {
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
