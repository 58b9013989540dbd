import {
  DecodeError,
  DropCounters,
  type DropReason,
  type Env,
  type FiveTuple,
  type Instant,
  NEVER,
  Ring,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { isKnownAttribute, STUN_ATTRIBUTES, type StunAttribute } from './attributes.ts';
import { stunError } from './error-codes.ts';
import { decodeStun, type StunMessage } from './message.ts';
import { STUN_METHODS, type StunClass } from './message-type.ts';
import type { ChangeRequest } from './values.ts';
import { encodeStun } from './writer.ts';

/** Responses that wait for `pollTransmit` at most; requests beyond are dropped (`limit`). A driver drains after each. */
export const MAX_QUEUED_RESPONSES = 64;

/** A server of RFC 5780 §6 listens on two addresses with the same two ports each. */
export interface BehaviourDiscoveryAddresses {
  readonly primary: TransportAddress;
  /** Both the IP address and the port differ from the primary's. */
  readonly alternate: TransportAddress;
}

export interface StunServerOptions {
  readonly env: Env;
  /** SOFTWARE in responses; left out by default, so that a response is hardly larger than its request. */
  readonly software?: string;
  /** Coturn's option: silence for clients of RFC 3489, and no MAPPED-ADDRESS for those of RFC 5780. Default false. */
  readonly noBackwardCompatibility?: boolean;
  /** Answers behaviour discovery requests (RFC 5780); the shell must then own all four sockets. */
  readonly behaviourDiscovery?: BehaviourDiscoveryAddresses;
}

/** A stateless server has nothing to report: `counters` and `drops` say what it did. */
export type StunServerEvent = never;

interface Response {
  readonly bytes: Uint8Array;
  readonly path: FiveTuple;
}

/** PADDING of a response: more than the MTU of any interface, and the response still fits a datagram. */
export const MAX_PADDING_BYTES = 9216;

const DISCOVERY_ATTRIBUTES: ReadonlySet<number> = new Set([
  STUN_ATTRIBUTES['CHANGE-REQUEST'].type,
  STUN_ATTRIBUTES['RESPONSE-PORT'].type,
  STUN_ATTRIBUTES.PADDING.type,
]);

/**
 * The stand-alone STUN server (RFC 8489 §12): answers Binding requests with the address they came from, keeps no state
 * for any client, and answers RFC 3489 clients too (RFC 5389 §12.2).
 *
 * A spoofed request makes it send to a victim, so a response is kept small: 12 bytes longer than the smallest IPv4
 * request, 24 for IPv6, and PADDING is never longer than what the request brought itself (against RFC 5780 §6.1, which
 * would let 28 bytes ask for a full MTU).
 *
 * @example
 * const server = new StunServer({ env });
 * const shell = await bindUdp(server, { ip: '0.0.0.0', port: 3478 });
 */
export class StunServer implements SansIo<StunServerEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  /** Since construction. */
  readonly counters = { requests: 0, successes: 0, errors: 0, indications: 0 };
  readonly #env: Env;
  readonly #software: string | undefined;
  readonly #discovery: BehaviourDiscoveryAddresses | undefined;
  readonly #noBackwardCompatibility: boolean;
  readonly #responses = new Ring<Response>(MAX_QUEUED_RESPONSES);

  /** @throws {UsageError} when the two addresses of behaviour discovery share an IP address or a port. */
  constructor(options: StunServerOptions) {
    this.#env = options.env;
    this.#software = options.software;
    this.#discovery = options.behaviourDiscovery;
    this.#noBackwardCompatibility = options.noBackwardCompatibility === true;
    const d = this.#discovery;
    if (d !== undefined && (d.primary.ip === d.alternate.ip || d.primary.port === d.alternate.port)) {
      throw new UsageError('behaviour discovery needs two IP addresses and two ports (RFC 5780 §6)');
    }
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, _now: Instant): void {
    try {
      this.#handleMessage(decodeStun(bytes, { allowClassic: !this.#noBackwardCompatibility }), path);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
    }
  }

  handleTimeout(): void {
    // No timers: nothing is kept.
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    const response = this.#responses.shift();
    if (response === undefined) return false;
    slot.buffer.set(response.bytes, slot.offset);
    slot.length = response.bytes.length;
    slot.path = response.path;
    return true;
  }

  pollEvent(): undefined {
    return undefined;
  }

  nextTimeout(): Instant {
    return NEVER;
  }

  #handleMessage(message: StunMessage, path: FiveTuple): void {
    if (message.method !== STUN_METHODS.Binding) {
      this.#drop('unsupported', 'method');
    } else if (message.messageClass === 'indication') {
      this.counters.indications++; // a keepalive (RFC 8489 §6.3.2): its arrival did its work
    } else if (message.messageClass === 'request') {
      this.counters.requests++;
      this.#handleRequest(message, path);
    } else {
      this.#drop('bad-type', 'a response to a server');
    }
  }

  #handleRequest(message: StunMessage, path: FiveTuple): void {
    if (message.isClassic && path.protocol === 'dtls') {
      // RFC 8489 §11: over DTLS "all requests MUST generate a 500 (Server Error) error response".
      this.#respond(message, path, 'error', [['ERROR-CODE', stunError(500)]]);
      return;
    }
    try {
      const unknown = this.#unknownAttributes(message, path);
      if (unknown.length > 0) this.#rejectUnknown(message, path, unknown);
      else this.#answer(message, path);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // RFC 8489 §14.8: 400 "The request was malformed", here one of the attributes that this server reads.
      this.#respond(message, path, 'error', [['ERROR-CODE', stunError(400)]]);
    }
  }

  /** The attributes that a request needs understood and this server does not. */
  #unknownAttributes(message: StunMessage, path: FiveTuple): number[] {
    const discovery = this.#discovery !== undefined && path.protocol === 'udp';
    if (discovery) return message.unknownRequired();
    // A classic client sends CHANGE-REQUEST with both flags clear in its first test: that asks for nothing.
    const harmless = message.isClassic && !this.#asksForChange(message) ? STUN_ATTRIBUTES['CHANGE-REQUEST'].type : -1;
    return message.unknownRequired(
      (type) => type === harmless || (isKnownAttribute(type) && !DISCOVERY_ATTRIBUTES.has(type)),
    );
  }

  #asksForChange(message: StunMessage): boolean {
    const change = message.get('CHANGE-REQUEST');
    return change !== undefined && (change.changeIp || change.changePort);
  }

  #rejectUnknown(message: StunMessage, path: FiveTuple, unknown: number[]): void {
    // RFC 3489 §11.2.10 had no padding: an odd list repeats one attribute.
    if (message.isClassic && unknown.length % 2 === 1) unknown.push(unknown[0]!);
    this.#respond(message, path, 'error', [
      ['ERROR-CODE', stunError(420)],
      ['UNKNOWN-ATTRIBUTES', unknown],
    ]);
  }

  #answer(message: StunMessage, path: FiveTuple): void {
    const discovery = path.protocol === 'udp' ? this.#discovery : undefined;
    const change = message.get('CHANGE-REQUEST') ?? { changeIp: false, changePort: false };
    const responsePort = message.get('RESPONSE-PORT');
    const padding = message.get('PADDING');
    if (responsePort === 0 || (padding !== undefined && responsePort !== undefined)) {
      this.#respond(message, path, 'error', [['ERROR-CODE', stunError(400)]]); // RFC 5780 §6.1
      return;
    }
    const origin = discovery === undefined ? path.local : changed(path.local, discovery, change);
    const other =
      discovery === undefined ? undefined : changed(path.local, discovery, { changeIp: true, changePort: true });
    const remote = responsePort === undefined ? path.remote : { ip: path.remote.ip, port: responsePort };
    const attributes: StunAttribute[] = [];
    if (message.isClassic) {
      attributes.push(['MAPPED-ADDRESS', path.remote], ['SOURCE-ADDRESS', origin]);
      if (other !== undefined) attributes.push(['CHANGED-ADDRESS', other]);
    } else {
      attributes.push(['XOR-MAPPED-ADDRESS', path.remote]);
      if (other !== undefined) {
        // RFC 5780 §6.1: "The server MUST include both MAPPED-ADDRESS and XOR-MAPPED-ADDRESS".
        if (!this.#noBackwardCompatibility) attributes.push(['MAPPED-ADDRESS', path.remote]);
        attributes.push(['RESPONSE-ORIGIN', origin], ['OTHER-ADDRESS', other]);
      }
      if (padding !== undefined)
        attributes.push(['PADDING', new Uint8Array(Math.min(padding.length, MAX_PADDING_BYTES))]);
    }
    const unchanged = origin === path.local && remote === path.remote;
    this.#respond(message, unchanged ? path : { ...path, local: origin, remote }, 'success', attributes);
  }

  #respond(request: StunMessage, path: FiveTuple, messageClass: StunClass, attributes: StunAttribute[]): void {
    if (this.#software !== undefined && !request.isClassic) attributes.push(['SOFTWARE', this.#software]);
    const bytes = encodeStun({
      messageClass,
      method: STUN_METHODS.Binding,
      transactionId: request.transactionId,
      attributes,
      fingerprint: request.hasFingerprint && !request.isClassic,
    });
    if (!this.#responses.push({ bytes, path })) this.#drop('limit', 'responses waiting');
    else if (messageClass === 'success') this.counters.successes++;
    else this.counters.errors++;
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop('stun', reason, detail);
  }
}

/** RFC 5780 §6.1, table 1: the address a response leaves from. Gives back `local` itself when nothing is to change. */
function changed(local: TransportAddress, d: BehaviourDiscoveryAddresses, change: ChangeRequest): TransportAddress {
  if (!change.changeIp && !change.changePort) return local;
  const otherIp = local.ip === d.primary.ip ? d.alternate.ip : d.primary.ip;
  const otherPort = local.port === d.primary.port ? d.alternate.port : d.primary.port;
  return { ip: change.changeIp ? otherIp : local.ip, port: change.changePort ? otherPort : local.port };
}
