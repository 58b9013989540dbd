import {
  ByteWriter,
  DecodeError,
  type DropReason,
  type FiveTuple,
  type Instant,
  ipFamily,
  type TransportAddress,
} from '../../core/index.ts';
import {
  type Authenticated,
  isKnownAttribute,
  methodName,
  type Rejected,
  STUN_ATTRIBUTES,
  STUN_METHODS,
  type StunAttribute,
  type StunErrorCode,
  type StunMessage,
  stunError,
  transactionKey,
  writeStun,
} from '../../stun/index.ts';
import { MIN_CHANNEL } from '../channel-data.ts';
import { DEFAULT_LIFETIME_S, DEFAULT_MAX_ALLOCATIONS, MAX_LIFETIME_S } from '../limits.ts';
import { isTunnelAddress, type PeerPolicy } from './address-policy.ts';
import { grantLifetimeS, readAllocateRequest } from './allocate-request.ts';
import type { Allocation, Relay } from './allocation.ts';
import type { AllocationTable, RelayWish } from './allocation-table.ts';
import type { Authenticator } from './authenticator.ts';
import { MAX_RESPONSE_BYTES } from './limits.ts';
import type { Outbox } from './outbox.ts';
import { TokenBucket } from './rate-limits.ts';
import type { RelayTable } from './relay-table.ts';
import { quotaKeyOf } from './rest-credentials.ts';
import { maxChannelOf, type Rate, type TurnServerCoreOptions } from './types.ts';

/** Requests that this server has a meaning for. */
const METHODS: ReadonlySet<number> = new Set([
  STUN_METHODS.Allocate,
  STUN_METHODS.Refresh,
  STUN_METHODS.CreatePermission,
  STUN_METHODS.ChannelBind,
]);

/** Attributes of the registry that belong to features which this server does not have. */
const UNSUPPORTED: ReadonlySet<number> = new Set([
  STUN_ATTRIBUTES['ACCESS-TOKEN'].type,
  STUN_ATTRIBUTES['CONNECTION-ID'].type,
]);

/** A request whose sender is known. */
interface Context {
  readonly message: StunMessage;
  readonly path: FiveTuple;
  readonly user: Authenticated;
  readonly now: Instant;
}

/** What the requests work on. */
export interface RequestRooms {
  readonly authenticator: Authenticator;
  readonly policy: PeerPolicy;
  readonly relays: RelayTable;
  readonly allocations: AllocationTable;
  readonly outbox: Outbox;
  readonly drop: (reason: DropReason, detail: string) => void;
}

/**
 * The requests of a TURN server (RFC 8656 §5, §7.2, §8.2, §10.2, §12.2). In order: the source's rate, credentials, the
 * attributes that must be understood, the allocation, and only then what the request is about. Nothing is kept for a
 * request that does not get that far.
 */
export class TurnRequests {
  readonly requests: Map<string, number> = new Map();
  readonly errors: Map<number, number> = new Map();
  /** No new allocations. */
  isDraining = false;
  readonly #options: TurnServerCoreOptions;
  readonly #rooms: RequestRooms;
  readonly #maxChannel: number;

  constructor(options: TurnServerCoreOptions, rooms: RequestRooms) {
    this.#options = options;
    this.#rooms = rooms;
    this.#maxChannel = maxChannelOf(options);
  }

  /** @param allocation - of the request's 5-tuple. */
  handle(message: StunMessage, path: FiveTuple, allocation: Allocation | undefined, now: Instant): void {
    if (!METHODS.has(message.method)) {
      this.#rooms.drop('unsupported', String(message));
      return;
    }
    // With an allocation the source has proved itself once; what it sends now is limited by what its network gives.
    if (allocation === undefined && !this.#rooms.authenticator.mayAsk(path.remote, now)) {
      this.#rooms.drop('rate-limited', String(message));
      return;
    }
    const name = methodName(message.method);
    this.requests.set(name, (this.requests.get(name) ?? 0) + 1);
    const user = this.#authenticate(message, path, allocation);
    if (user.type === 'rejected') {
      this.#count(user.code);
      this.#write(message, path, 'error', user.attributes, undefined);
      return;
    }
    const context: Context = { message, path, user, now };
    try {
      const unknown = message.unknownRequired((type) => this.#understands(type));
      if (unknown.length > 0) this.#reject(context, 420, [['UNKNOWN-ATTRIBUTES', unknown]]);
      else this.#dispatch(context, allocation);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#reject(context, 400); // a malformed attribute
    }
  }

  #authenticate(message: StunMessage, path: FiveTuple, allocation: Allocation | undefined): Authenticated | Rejected {
    try {
      return this.#rooms.authenticator.authenticate(message, path.remote, allocation);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { type: 'rejected', code: 400, attributes: [['ERROR-CODE', stunError(400)]] };
    }
  }

  #understands(type: number): boolean {
    if (type === STUN_ATTRIBUTES['DONT-FRAGMENT'].type) return this.#options.dontFragment === true;
    return isKnownAttribute(type) && !UNSUPPORTED.has(type); // "Known-but-unexpected attributes SHOULD be ignored"
  }

  #dispatch(context: Context, allocation: Allocation | undefined): void {
    const { message, user } = context;
    if (message.method === STUN_METHODS.Allocate) {
      this.#handleAllocate(context, allocation);
    } else if (allocation === undefined || allocation.state !== 'open') {
      this.#reject(context, 437);
    } else if (allocation.username !== user.username) {
      this.#reject(context, 441); // RFC 8656 §5: "must use the same username"
    } else if (message.method === STUN_METHODS.Refresh) {
      this.#handleRefresh(context, allocation);
    } else if (message.method === STUN_METHODS.CreatePermission) {
      this.#handleCreatePermission(context, allocation);
    } else {
      this.#handleChannelBind(context, allocation);
    }
  }

  /** RFC 8656 §7.2. */
  #handleAllocate(context: Context, existing: Allocation | undefined): void {
    if (existing !== undefined) {
      this.#repeatAllocate(context, existing);
      return;
    }
    const request = readAllocateRequest(context.message);
    if (typeof request === 'number') {
      this.#reject(context, request);
      return;
    }
    const { relays, allocations } = this.#rooms;
    const quotaKey = quotaKeyOf(context.user.username);
    const token = request.reservationToken;
    const refusal = this.#refusal(context, quotaKey);
    if (refusal === 300 && this.#options.alternateServer !== undefined) {
      this.#reject(context, 300, [['ALTERNATE-SERVER', this.#options.alternateServer]]);
    } else if (refusal !== undefined) {
      this.#reject(context, refusal);
    } else if (token !== undefined) {
      const relay = allocations.claim(token);
      if (relay === undefined) this.#reject(context, 508);
      else this.#create(context, quotaKey, request.lifetimeS, { type: 'reserved', relay });
    } else if (!request.families.some((family) => relays.supports(family))) {
      this.#reject(context, 440);
    } else {
      const kind = request.reserveNext ? 'even-pair' : request.evenPort ? 'even' : 'any';
      this.#create(context, quotaKey, request.lifetimeS, { type: 'open', families: request.families, kind });
    }
  }

  /** RFC 8656 §7.2: a retransmission gets the same answer, anything else 437. */
  #repeatAllocate(context: Context, existing: Allocation): void {
    const isRetransmission = existing.transactionId === transactionKey(context.message.transactionId);
    if (!isRetransmission) this.#reject(context, 437);
    else if (existing.username !== context.user.username) this.#reject(context, 441);
    else if (existing.state === 'open') this.#answerAllocate(existing, context, context.now);
    else this.#rooms.drop('duplicate', 'Allocate whose sockets are being opened: the answer is on its way');
  }

  /** What speaks against one more allocation, whatever it is like. */
  #refusal(context: Context, quotaKey: string): StunErrorCode | undefined {
    const { userQuota, totalQuota, alternateServer } = this.#options;
    const { allocations } = this.#rooms;
    if (isTunnelAddress(context.path.remote.ip)) return 403; // RFC 8656 §21.4
    if (this.isDraining) return alternateServer === undefined ? 508 : 300;
    if (userQuota !== undefined && allocations.countOf(quotaKey) >= userQuota) return 486;
    return allocations.size >= (totalQuota ?? DEFAULT_MAX_ALLOCATIONS) ? 486 : undefined;
  }

  #create(context: Context, quotaKey: string, requestedS: number | undefined, wish: RelayWish): void {
    const { message, path, user, now } = context;
    const { sessionRate } = this.#options;
    const parameters = {
      path,
      session: user,
      quotaKey,
      transactionId: transactionKey(message.transactionId),
      lifetimeS: this.#grant(requestedS),
      fromClient: bucketOf(sessionRate, now),
      toClient: bucketOf(sessionRate, now),
      answer: {
        method: message.method,
        transactionId: Uint8Array.from(message.transactionId), // copy: sockets open later
        hasFingerprint: message.hasFingerprint,
        algorithm: user.algorithm,
      },
    };
    this.#rooms.allocations.create(parameters, wish, now);
  }

  /** The sockets are open, or could not be opened. */
  answerSettled(allocation: Allocation, now: Instant): void {
    const { answer } = allocation;
    const signer = { key: allocation.key, algorithm: answer.algorithm };
    if (allocation.relays.length > 0) {
      this.#write(answer, allocation.path, 'success', this.#allocated(allocation, now), signer);
    } else {
      this.#count(508);
      this.#write(answer, allocation.path, 'error', [['ERROR-CODE', stunError(508)]], signer);
    }
  }

  #answerAllocate(allocation: Allocation, context: Context, now: Instant): void {
    this.#accept(context, this.#allocated(allocation, now));
  }

  #allocated(allocation: Allocation, now: Instant): StunAttribute[] {
    const attributes: StunAttribute[] = allocation.relays.map((relay) => ['XOR-RELAYED-ADDRESS', relay.external]);
    attributes.push(['LIFETIME', Math.ceil((allocation.expiresAt - now) / 1000)]);
    attributes.push(['XOR-MAPPED-ADDRESS', allocation.path.remote]);
    const { reservationToken, addressError } = allocation;
    if (reservationToken !== undefined) attributes.push(['RESERVATION-TOKEN', reservationToken]);
    if (addressError !== undefined) {
      const { family, code } = addressError;
      attributes.push(['ADDRESS-ERROR-CODE', { family, ...stunError(code) }]);
    }
    return attributes;
  }

  /** RFC 8656 §8.2. */
  #handleRefresh(context: Context, allocation: Allocation): void {
    const { message, now } = context;
    const { allocations } = this.#rooms;
    const family = message.get('REQUESTED-ADDRESS-FAMILY');
    const relays = family === undefined ? allocation.relays : allocation.relays.filter((r) => r.family === family);
    const requestedS = message.get('LIFETIME');
    if (relays.length === 0) {
      this.#reject(context, 443);
    } else if (requestedS === 0) {
      for (const relay of relays) allocations.closeRelay(allocation, relay, 'deleted', now);
      this.#accept(context, [['LIFETIME', 0]]);
    } else {
      const lifetimeS = this.#grant(requestedS);
      allocations.setLifetime(allocation, relays, lifetimeS, now);
      this.#accept(context, [['LIFETIME', lifetimeS]]);
    }
  }

  #grant(requestedS: number | undefined): number {
    const { defaultLifetimeS, maxLifetimeS } = this.#options;
    return grantLifetimeS(requestedS, defaultLifetimeS ?? DEFAULT_LIFETIME_S, maxLifetimeS ?? MAX_LIFETIME_S);
  }

  /** RFC 8656 §10.2. Every address is checked before one permission is installed. */
  #handleCreatePermission(context: Context, allocation: Allocation): void {
    const peers = context.message.getAll('XOR-PEER-ADDRESS');
    const refusal = peers.length === 0 ? 400 : this.#checkPeers(allocation, peers, context.now);
    if (refusal !== undefined) {
      this.#reject(context, refusal);
      return;
    }
    for (const { ip } of peers) allocation.relayOf(ipFamily(ip))?.permit(ip, context.now);
    this.#accept(context, []);
  }

  #checkPeers(allocation: Allocation, peers: readonly TransportAddress[], now: Instant): StunErrorCode | undefined {
    const ips = new Map<Relay, Set<string>>();
    for (const { ip } of peers) {
      const relay = allocation.relayOf(ipFamily(ip));
      if (relay === undefined) return 443;
      if (this.#rooms.policy.verdict(ip) === 'denied') return 403;
      const known = ips.get(relay);
      if (known === undefined) ips.set(relay, new Set([ip]));
      else known.add(ip);
    }
    for (const [relay, set] of ips) if (!relay.hasRoomFor(set, now)) return 508;
    return undefined;
  }

  /** RFC 8656 §12.2. */
  #handleChannelBind(context: Context, allocation: Allocation): void {
    const refusal = this.#bind(context, allocation);
    if (refusal === undefined) this.#accept(context, []);
    else this.#reject(context, refusal);
  }

  #bind(context: Context, allocation: Allocation): StunErrorCode | undefined {
    const { message, now } = context;
    const number = message.get('CHANNEL-NUMBER');
    const peer = message.get('XOR-PEER-ADDRESS');
    if (number === undefined || number < MIN_CHANNEL || number > this.#maxChannel) return 400;
    if (peer === undefined || peer.port === 0) return 400;
    const refusal = this.#checkPeers(allocation, [peer], now);
    if (refusal !== undefined) return refusal;
    const relay = allocation.relayOf(ipFamily(peer.ip));
    if (relay === undefined) return 443;
    const isOwn = this.#rooms.policy.verdict(peer.ip) === 'own';
    // One of our own addresses is a peer only where another client's relay stands.
    if (isOwn && this.#rooms.relays.atExternal(peer) === undefined) return 403;
    const failure = allocation.bindChannel(relay, number, peer, isOwn, now);
    if (failure === undefined) relay.permit(peer.ip, now);
    return failure;
  }

  #accept(context: Context, attributes: StunAttribute[]): void {
    this.#write(context.message, context.path, 'success', attributes, context.user);
  }

  #reject(context: Context, code: StunErrorCode, more: readonly StunAttribute[] = []): void {
    this.#count(code);
    const attributes: StunAttribute[] = [['ERROR-CODE', stunError(code)], ...more];
    this.#write(context.message, context.path, 'error', attributes, context.user);
  }

  #count(code: number): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  /** Signed with the request's key where there is one (RFC 8489 §9.2.4). */
  #write(
    request: Pick<StunMessage, 'method' | 'transactionId' | 'hasFingerprint'>,
    path: FiveTuple,
    messageClass: 'success' | 'error',
    attributes: StunAttribute[],
    signer: Pick<Authenticated, 'key' | 'algorithm'> | undefined,
  ): void {
    const { outbox, drop } = this.#rooms;
    const { software } = this.#options;
    const buffer = outbox.begin(MAX_RESPONSE_BYTES);
    if (buffer === undefined) {
      drop('limit', 'responses waiting');
      return;
    }
    const { method, transactionId } = request;
    // RFC 8656 §5: SOFTWARE "in all Allocate and Refresh responses", but nothing to strangers.
    const names = method === STUN_METHODS.Allocate || method === STUN_METHODS.Refresh;
    if (names && signer !== undefined && software !== undefined) attributes.push(['SOFTWARE', software]);
    const length = writeStun(new ByteWriter(buffer), {
      messageClass,
      method,
      transactionId,
      attributes,
      integrity: signer === undefined ? [] : [signer],
      fingerprint: request.hasFingerprint || this.#options.fingerprint === true,
    });
    outbox.commit(length, path);
  }
}

function bucketOf(rate: Rate | undefined, now: Instant): TokenBucket | undefined {
  return rate === undefined ? undefined : new TokenBucket(rate.perSecond, rate.burst, now);
}
