import { DecodeError, type DropReason, type FiveTuple, type Instant, ipFamily } from '../../core/index.ts';
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
} from '../../stun/index.ts';
import { DEFAULT_LIFETIME_S, DEFAULT_MAX_ALLOCATIONS, MAX_LIFETIME_S } from '../limits.ts';
import { isTunnelAddress, type PeerPolicy } from './address-policy.ts';
import { type AllocateRequest, grantLifetimeS, readAllocateRequest } from './allocate-request.ts';
import { type Allocation, isStream } from './allocation.ts';
import type { AllocationTable, RelayWish } from './allocation-table.ts';
import type { Authenticator } from './authenticator.ts';
import { memberOfTicket, memberOfToken } from './fleet.ts';
import type { TicketTable } from './mobility.ts';
import { originsOf } from './origins.ts';
import type { Outbox } from './outbox.ts';
import type { PeerConnection, PeerConnections } from './peer-connections.ts';
import { PeerRequests } from './peer-requests.ts';
import { TokenBucket } from './rate-limits.ts';
import type { RelayTable } from './relay-table.ts';
import { answerTo, type Context, Responder } from './responder.ts';
import { quotaKeyOf } from './rest-credentials.ts';
import { TcpRequests } from './tcp-requests.ts';
import type { Rate, TurnServerCoreOptions, TurnServerEvent } from './types.ts';

/** Requests that this server has a meaning for. */
const METHODS: ReadonlySet<number> = new Set([
  STUN_METHODS.Allocate,
  STUN_METHODS.Refresh,
  STUN_METHODS.CreatePermission,
  STUN_METHODS.ChannelBind,
]);

/** And with TCP relays (RFC 6062 §4.3, §4.4). */
const TCP_METHODS: ReadonlySet<number> = new Set([STUN_METHODS.Connect, STUN_METHODS.ConnectionBind]);

/** What the requests work on. */
export interface RequestRooms {
  readonly authenticator: Authenticator;
  readonly policy: PeerPolicy;
  readonly relays: RelayTable;
  readonly allocations: AllocationTable;
  readonly tickets: TicketTable;
  readonly connections: PeerConnections;
  readonly outbox: Outbox;
  readonly emit: (event: TurnServerEvent) => void;
  readonly drop: (reason: DropReason, detail: string) => void;
}

/**
 * The requests of a TURN server (RFC 8656 §5, §7.2, §8.2, §10.2, §12.2). In order: the source's rate, credentials, the
 * attributes that must be understood, the allocation, and only then what the request is about. Nothing is kept for a
 * request that does not get that far.
 */
export class TurnRequests {
  readonly requests: Map<string, number> = new Map();
  /** No new allocations. */
  isDraining = false;
  readonly #options: TurnServerCoreOptions;
  readonly #rooms: RequestRooms;
  readonly #responder: Responder;
  readonly #tcp: boolean;
  readonly #peerRequests: PeerRequests;
  readonly #tcpRequests: TcpRequests;

  constructor(options: TurnServerCoreOptions, rooms: RequestRooms) {
    this.#options = options;
    this.#rooms = rooms;
    this.#tcp = options.tcpRelay === true;
    this.#responder = new Responder(options, rooms.outbox, rooms.drop);
    this.#peerRequests = new PeerRequests(options, rooms, this.#responder);
    this.#tcpRequests = new TcpRequests(rooms, this.#responder);
  }

  /** Error responses by code. */
  get errors(): ReadonlyMap<number, number> {
    return this.#responder.errors;
  }

  /** @param allocation - of the request's 5-tuple. */
  handle(message: StunMessage, path: FiveTuple, allocation: Allocation | undefined, now: Instant): void {
    const isKnown = METHODS.has(message.method) || (this.#tcp && TCP_METHODS.has(message.method));
    if (!isKnown) {
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
    if (allocation === undefined && this.#handsOver(path) && this.#isMove(message)) {
      const ticket = message.valueBytes('MOBILITY-TICKET');
      const member = ticket === undefined ? undefined : memberOfTicket(ticket);
      this.#handOver(message, path, member, undefined); // its owner knows the key that it must be signed with
      return;
    }
    const user = this.#authenticate(message, path, allocation);
    if (user.type === 'rejected') {
      this.#responder.count(user.code);
      this.#responder.write(message, path, 'error', user.attributes, undefined);
      return;
    }
    const context: Context = { message, path, user, now };
    try {
      const unknown = message.unknownRequired((type) => this.#understands(type, message, path));
      if (unknown.length > 0) this.#responder.reject(context, 420, [['UNKNOWN-ATTRIBUTES', unknown]]);
      else if (!this.#isSameOrigin(message, allocation)) this.#responder.reject(context, 441);
      else this.#dispatch(context, allocation);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#responder.reject(context, 400); // a malformed attribute
    }
  }

  #authenticate(message: StunMessage, path: FiveTuple, allocation: Allocation | undefined): Authenticated | Rejected {
    try {
      const { authenticator } = this.#rooms;
      const session = allocation ?? this.#sessionOf(message);
      if (session !== undefined && message.method === STUN_METHODS.ConnectionBind) {
        // A connection of the same client, which goes on with the nonce of its control connection: coturn's, for one.
        const known = authenticator.authenticate(message, session.path.remote, session);
        if (known.type === 'authenticated') return known;
      }
      return authenticator.authenticate(message, path.remote, session);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return { type: 'rejected', code: 400, attributes: [['ERROR-CODE', stunError(400)]] };
    }
  }

  /** Coturn's `check-origin-consistency`: a session keeps to the origin that it began with. */
  #isSameOrigin(message: StunMessage, allocation: Allocation | undefined): boolean {
    if (this.#options.checkOriginConsistency !== true || allocation === undefined) return true;
    const origins = originsOf(message);
    return allocation.origin === '' ? origins.length === 0 : origins.includes(allocation.origin);
  }

  /** Users of one name in two realms are two users. */
  #quotaKeyOf({ realm, username }: Authenticated): string {
    return realm === this.#rooms.authenticator.realm ? quotaKeyOf(username) : `${realm}\u0000${quotaKeyOf(username)}`;
  }

  #understands(type: number, message: StunMessage, path: FiveTuple): boolean {
    if (type === STUN_ATTRIBUTES['DONT-FRAGMENT'].type) {
      return this.#options.dontFragment === true && !asksForTranslationToIpv6(message, path);
    }
    if (type === STUN_ATTRIBUTES['CONNECTION-ID'].type) return this.#tcp;
    if (type === STUN_ATTRIBUTES['ACCESS-TOKEN'].type) return this.#options.oauth !== undefined; // RFC 7635 §7
    return isKnownAttribute(type); // "Known-but-unexpected attributes SHOULD be ignored"
  }

  #dispatch(context: Context, allocation: Allocation | undefined): void {
    const { message, user } = context;
    if (message.method === STUN_METHODS.Allocate) {
      this.#handleAllocate(context, allocation);
    } else if (message.method === STUN_METHODS.Refresh && message.has('MOBILITY-TICKET')) {
      this.#handleMove(context, allocation);
    } else if (message.method === STUN_METHODS.ConnectionBind) {
      this.#tcpRequests.handleConnectionBind(context, allocation);
    } else if (allocation === undefined || allocation.state !== 'open') {
      this.#responder.reject(context, 437);
    } else if (allocation.username !== user.username) {
      this.#responder.reject(context, 441); // RFC 8656 §5: "must use the same username"
    } else if (message.method === STUN_METHODS.Refresh) {
      this.#handleRefresh(context, allocation);
    } else if (message.method === STUN_METHODS.CreatePermission) {
      this.#peerRequests.handleCreatePermission(context, allocation);
    } else if (message.method === STUN_METHODS.Connect) {
      this.#tcpRequests.handleConnect(context, allocation);
    } else {
      this.#peerRequests.handleChannelBind(context, allocation);
    }
  }

  /** RFC 8656 §7.2. */
  #handleAllocate(context: Context, existing: Allocation | undefined): void {
    if (existing !== undefined) {
      this.#repeatAllocate(context, existing);
      return;
    }
    const request = readAllocateRequest(context.message, {
      mobility: this.#options.mobility === true,
      tcpRelay: this.#options.tcpRelay === true,
      isStream: isStream(context.path),
    });
    if (typeof request === 'number') {
      this.#responder.reject(context, request);
      return;
    }
    const { relays, allocations } = this.#rooms;
    const quotaKey = this.#quotaKeyOf(context.user);
    const token = request.reservationToken;
    const refusal = this.#refusal(context, quotaKey);
    if (refusal === 300 && this.#options.alternateServer !== undefined) {
      this.#responder.reject(context, 300, [['ALTERNATE-SERVER', this.#options.alternateServer]]);
    } else if (refusal !== undefined) {
      this.#responder.reject(context, refusal);
    } else if (this.#handsOver(context.path)) {
      const member = token === undefined ? undefined : memberOfToken(token);
      this.#handOver(context.message, context.path, member, quotaKey);
    } else if (token !== undefined) {
      const relay = allocations.claim(token);
      if (relay === undefined) this.#responder.reject(context, 508);
      else this.#create(context, quotaKey, request, { type: 'reserved', relay });
    } else if (!request.families.some((family) => relays.supports(family))) {
      this.#responder.reject(context, 440);
    } else {
      const kind = request.reserveNext ? 'even-pair' : request.evenPort ? 'even' : 'any';
      this.#create(context, quotaKey, request, { type: 'open', families: request.families, kind });
    }
  }

  /** RFC 8656 §7.2: a retransmission gets the same answer, anything else 437. */
  #repeatAllocate(context: Context, existing: Allocation): void {
    const isRetransmission = existing.transactionId === transactionKey(context.message.transactionId);
    if (!isRetransmission) this.#responder.reject(context, 437);
    else if (existing.username !== context.user.username) this.#responder.reject(context, 441);
    else if (existing.state === 'open') this.#answerAllocate(existing, context, context.now);
    else this.#rooms.drop('duplicate', 'Allocate whose sockets are being opened: the answer is on its way');
  }

  #handsOver(path: FiveTuple): boolean {
    return this.#options.fleet?.handsOver === true && path.protocol === 'udp';
  }

  #isMove(message: StunMessage): boolean {
    return this.#options.mobility === true && message.method === STUN_METHODS.Refresh && message.has('MOBILITY-TICKET');
  }

  #handOver(message: StunMessage, path: FiveTuple, member: number | undefined, quotaKey: string | undefined): void {
    const bytes = Uint8Array.from(message.bytes); // copy: the datagram is borrowed
    this.#rooms.emit({ type: 'hand-over', path, bytes, member, quotaKey });
  }

  /** What speaks against one more allocation, whatever it is like. */
  #refusal(context: Context, quotaKey: string): StunErrorCode | undefined {
    const { userQuota, totalQuota, alternateServer, fleet } = this.#options;
    const { allocations } = this.#rooms;
    if (isTunnelAddress(context.path.remote.ip)) return 403; // RFC 8656 §21.4
    if (this.isDraining) {
      // RFC 8489 §10: the alternate "MUST contain an IP address of the same address family as the source".
      const fits = alternateServer !== undefined && ipFamily(alternateServer.ip) === ipFamily(context.path.remote.ip);
      return fits ? 300 : 508;
    }
    if (fleet !== undefined) return fleet.quota.refuses(quotaKey) ? 486 : undefined;
    if (userQuota !== undefined && allocations.countOf(quotaKey) >= userQuota) return 486;
    return allocations.size >= (totalQuota ?? DEFAULT_MAX_ALLOCATIONS) ? 486 : undefined;
  }

  #create(context: Context, quotaKey: string, request: AllocateRequest, wish: RelayWish): void {
    const { message, path, user, now } = context;
    const { sessionRate } = this.#options;
    const parameters = {
      path,
      session: user,
      origin: this.#rooms.authenticator.originOf(message),
      quotaKey,
      transactionId: transactionKey(message.transactionId),
      lifetimeS: this.#grant(request.lifetimeS, user),
      transport: request.transport,
      fromClient: bucketOf(sessionRate, now),
      toClient: bucketOf(sessionRate, now),
      answer: answerTo(context),
    };
    this.#rooms.allocations.create(parameters, wish, now);
  }

  /** The connection to a peer stands, or could not be made. */
  answerConnect(connection: PeerConnection, succeeded: boolean): void {
    this.#tcpRequests.answerConnect(connection, succeeded);
  }

  /** The sockets are open, or could not be opened. */
  answerSettled(allocation: Allocation, now: Instant): void {
    const { answer } = allocation;
    const signer = { key: allocation.key, algorithm: answer.algorithm };
    if (answer.wantsTicket && allocation.state === 'open') allocation.ticket = this.#rooms.tickets.issue(allocation);
    if (allocation.relays.length > 0) {
      this.#responder.write(answer, allocation.path, 'success', this.#allocated(allocation, now), signer);
    } else {
      const { refusal } = allocation;
      this.#responder.count(refusal);
      this.#responder.write(answer, allocation.path, 'error', [['ERROR-CODE', stunError(refusal)]], signer);
    }
  }

  #answerAllocate(allocation: Allocation, context: Context, now: Instant): void {
    this.#responder.accept(context, this.#allocated(allocation, now));
  }

  #allocated(allocation: Allocation, now: Instant): StunAttribute[] {
    const attributes: StunAttribute[] = allocation.relays.map((relay) => ['XOR-RELAYED-ADDRESS', relay.external]);
    attributes.push(['LIFETIME', Math.ceil((allocation.expiresAt - now) / 1000)]);
    attributes.push(['XOR-MAPPED-ADDRESS', allocation.path.remote]);
    const { reservationToken, addressError } = allocation;
    if (allocation.ticket !== undefined) attributes.push(['MOBILITY-TICKET', allocation.ticket]);
    if (reservationToken !== undefined) attributes.push(['RESERVATION-TOKEN', reservationToken]);
    if (addressError !== undefined) {
      const { family, code } = addressError;
      const value = { family, ...stunError(code) };
      attributes.push(['ADDRESS-ERROR-CODE', value], ['COTURN-ADDRESS-ERROR-CODE', value]);
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
      this.#responder.reject(context, 443);
    } else if (requestedS === 0) {
      for (const relay of relays) allocations.closeRelay(allocation, relay, 'deleted', now);
      this.#responder.accept(context, [['LIFETIME', 0]]);
    } else {
      const lifetimeS = this.#grant(requestedS, context.user);
      allocation.key = context.user.key; // of a new token, where one came: the next requests are signed with it
      allocation.keyAlgorithm = context.user.keyAlgorithm;
      allocations.setLifetime(allocation, relays, lifetimeS, now);
      this.#responder.accept(context, [['LIFETIME', lifetimeS]]);
    }
  }

  /** Whose allocation a request from another path means: it is verified with that allocation's key. */
  #sessionOf(message: StunMessage): Allocation | undefined {
    if (message.method === STUN_METHODS.ConnectionBind) {
      return this.#rooms.connections.pending(message.get('CONNECTION-ID') ?? 0)?.allocation;
    }
    const ticket = message.method === STUN_METHODS.Refresh ? message.valueBytes('MOBILITY-TICKET') : undefined;
    const found = ticket === undefined ? undefined : this.#rooms.tickets.find(ticket);
    return found !== undefined && 'allocation' in found ? found.allocation : undefined;
  }

  /** RFC 8016 §3.2.2. @param here - the allocation of the request's own 5-tuple. */
  #handleMove(context: Context, here: Allocation | undefined): void {
    const { message, path, user, now } = context;
    const found = this.#rooms.tickets.find(message.require('MOBILITY-TICKET'));
    const transactionId = transactionKey(message.transactionId);
    if (this.#options.mobility !== true) this.#responder.reject(context, 405);
    else if (found.type === 'malformed') this.#responder.reject(context, 400);
    else if (found.type === 'unknown') this.#responder.reject(context, 437);
    else if (found.allocation.username !== user.username) this.#responder.reject(context, 441);
    else if (found.type === 'used') {
      // "The old ticket can only be used for the purposes of retransmission."
      const { lastMove } = found.allocation;
      if (here !== found.allocation || lastMove?.transactionId !== transactionId) this.#responder.reject(context, 400);
      else this.#answerMove(context, found.allocation, lastMove.ticket, now);
    } else if (here !== undefined) {
      // "the same as the stored 5-tuple", or in use by another allocation
      this.#responder.reject(context, here === found.allocation ? 400 : 437);
    } else if (isTunnelAddress(path.remote.ip)) {
      this.#responder.reject(context, 403);
    } else {
      const { allocation } = found;
      const ticket = this.#rooms.tickets.issue(allocation);
      allocation.lastMove = { transactionId, ticket };
      this.#rooms.allocations.announceMove(allocation, path);
      const lifetimeS = this.#grant(message.get('LIFETIME'), user);
      this.#rooms.allocations.setLifetime(allocation, allocation.relays, lifetimeS, now);
      this.#answerMove(context, allocation, ticket, now);
    }
  }

  #answerMove(context: Context, allocation: Allocation, ticket: Uint8Array, now: Instant): void {
    const lifetimeS = Math.ceil((allocation.expiresAt - now) / 1000);
    this.#responder.accept(context, [
      ['LIFETIME', lifetimeS],
      ['MOBILITY-TICKET', ticket],
    ]);
  }

  /** A token's own end comes first (RFC 7635 §9: "MUST be less than or equal to the lifetime of the token"). */
  #grant(requestedS: number | undefined, user: Authenticated): number {
    const { defaultLifetimeS, maxLifetimeS } = this.#options;
    const grantedS = grantLifetimeS(requestedS, defaultLifetimeS ?? DEFAULT_LIFETIME_S, maxLifetimeS ?? MAX_LIFETIME_S);
    return Math.min(grantedS, user.maxLifetimeS ?? grantedS);
  }
}

/**
 * RFC 8656 §3.7: who translates from IPv4 to IPv6 and is "unable to access the state of the Don't Fragment (DF) bit in the
 * IPv4 header … MUST reject the Allocate request with the DONT-FRAGMENT attribute". Nobody but the kernel sees that bit.
 */
function asksForTranslationToIpv6(message: StunMessage, path: FiveTuple): boolean {
  return !isStream(path) && ipFamily(path.remote.ip) === 4 && message.get('REQUESTED-ADDRESS-FAMILY') === 6;
}

function bucketOf(rate: Rate | undefined, now: Instant): TokenBucket | undefined {
  return rate === undefined ? undefined : new TokenBucket(rate.perSecond, rate.burst, now);
}
