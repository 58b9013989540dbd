import {
  DecodeError,
  type DropReason,
  type FiveTuple,
  formatAddress,
  type Instant,
  ipFamily,
  NEVER,
  Ring,
  type TransportAddress,
} from '../core/index.ts';
import {
  type ClientCredentials,
  errorCodeOf,
  STUN_ATTRIBUTES,
  type StunError,
  type StunMessage,
  type StunWriter,
} from '../stun/index.ts';
import { methodOf, type Purpose, writeRequest } from './client-messages.ts';
import { type ClientChannel, type ClientPermission, PeerTable } from './client-peers.ts';
import { RequestTable, type TurnRequest } from './client-requests.ts';
import { makeCredentials, RETRY_AFTER_MS, refreshDelayMs, ticketOf } from './client-rules.ts';
import type { TurnClientEvent, TurnClientOptions, TurnClientState, TurnFailure } from './client-types.ts';
import { CHANNEL_LIFETIME_MS, MAX_CHALLENGES, MAX_REDIRECTS, PERMISSION_LIFETIME_MS } from './limits.ts';

/**
 * The requests of a TURN client and what their answers do: the allocation's state machine (RFC 8656 §7, §8) and the
 * upkeep of permissions and channels (§9, §10, §12). Data passes by `TurnClient`.
 */
export class TurnControl {
  readonly peers: PeerTable = new PeerTable();
  readonly events: Ring<TurnClientEvent> = new Ring<TurnClientEvent>();
  state: TurnClientState = 'new';
  path: FiveTuple;
  relayed: readonly TransportAddress[] = [];
  /** Whether Send indications carry DONT-FRAGMENT: not when the server said that it cannot. */
  dontFragment: boolean;
  /** Kept up to date, because drivers ask for it after each datagram. */
  nextTimeout: Instant = NEVER;
  readonly #options: TurnClientOptions;
  readonly #credentials: ClientCredentials;
  readonly #requests: RequestTable<Purpose>;
  readonly #onDrop: (reason: DropReason, detail: string) => void;
  readonly #serversTried: string[] = [];
  #refreshAt: Instant = NEVER;
  /** What to say when the allocation has been given back, if not `closed`. */
  #afterDelete: TurnClientEvent | undefined;
  /** MOBILITY-TICKET, when the server gave one. */
  #ticket: Uint8Array | undefined;

  constructor(options: TurnClientOptions, stream: boolean, onDrop: (reason: DropReason, detail: string) => void) {
    this.#options = options;
    this.#onDrop = onDrop;
    this.path = options.path;
    this.dontFragment = options.dontFragment === true;
    this.#requests = new RequestTable(options.env, stream);
    this.#credentials = makeCredentials(options);
  }

  allocate(now: Instant): void {
    this.#move('allocating', 'allocate');
    this.#serversTried.push(formatAddress(this.path.remote));
    this.#start({ name: 'allocate', dontFragment: this.dontFragment }, now);
    this.#rearm();
  }

  /** The permission for an IP address, asked for when there is none; undefined at the bound. */
  ensurePermission(ip: string, now: Instant): ClientPermission | undefined {
    const known = this.peers.permissions.get(ip);
    if (known !== undefined) return known;
    const permission = this.peers.addPermission(ip);
    if (permission !== undefined) this.#start({ name: 'permission', permission }, now);
    this.#rearm();
    return permission;
  }

  bindChannel(channel: ClientChannel, now: Instant): void {
    channel.state = 'requested';
    this.#start({ name: 'channel', channel }, now);
    this.#rearm();
  }

  /** Asks the server to open a TCP connection to the peer (RFC 6062 §4.3). */
  connect(peer: TransportAddress, now: Instant): void {
    this.#start({ name: 'connect', peer }, now);
    this.#rearm();
  }

  /** Moves the allocation to another path; false without a ticket (RFC 8016 §3.2.1). */
  moveTo(path: FiveTuple, now: Instant): boolean {
    if (this.#ticket === undefined) return false;
    this.#start({ name: 'move', path, ticket: this.#ticket }, now);
    this.#rearm();
    return true;
  }

  get canMove(): boolean {
    return this.#ticket !== undefined;
  }

  /** Credentials for another connection to the same server. */
  forkCredentials(): ClientCredentials {
    return this.#credentials.fork();
  }

  close(now: Instant): void {
    if (this.state === 'closing' || this.state === 'closed' || this.state === 'failed') return;
    if (this.state === 'allocated') {
      this.#delete(now);
    } else {
      this.#end('closed', 'close', { type: 'closed' });
    }
    this.#rearm();
  }

  #delete(now: Instant): void {
    this.#requests.clear();
    this.peers.clear();
    this.#refreshAt = NEVER;
    this.#move('closing', 'delete');
    this.#start({ name: 'refresh', delete: true }, now);
  }

  handleTimeout(now: Instant): void {
    if (now < this.nextTimeout) return;
    for (const request of this.#requests.handleTimeout(now)) {
      if (this.state === 'failed' || this.state === 'closed') break; // the one before ended it all
      this.#handleFailure(request.purpose, 'timeout', undefined);
    }
    if (this.#refreshAt <= now) {
      this.#refreshAt = NEVER;
      this.#start({ name: 'refresh', delete: false }, now);
    }
    for (const permission of this.peers.permissions.values()) {
      if (permission.refreshAt <= now) this.#start({ name: 'permission', permission }, now);
    }
    for (const channel of this.peers.channels.values()) {
      if (channel.refreshAt <= now) this.#start({ name: 'channel', channel }, now);
    }
    this.#rearm();
  }

  /** The next request to put on the wire. */
  takePending(): TurnRequest<Purpose> | undefined {
    return this.#requests.takePending();
  }

  /** A response. */
  handleMessage(message: StunMessage, now: Instant): void {
    const request = message.messageClass === 'request' ? undefined : this.#requests.find(message.transactionId);
    if (request === undefined || request.method !== message.method) {
      this.#onDrop('unknown-transaction', String(message));
      return;
    }
    if (!this.#isAuthentic(request, message)) {
      this.#onDrop('bad-integrity', String(message));
      return;
    }
    this.#requests.answered(request, now);
    try {
      if (message.unknownRequired().length > 0) throw new DecodeError('unsupported', 'attribute', 0);
      if (message.messageClass === 'success') this.#handleSuccess(request.purpose, message, now);
      else this.#handleError(request, message, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#onDrop(error.reason, error.message);
      this.#handleFailure(request.purpose, 'bad-response', undefined);
    }
    this.#rearm();
  }

  /** What is signed must be answered signed, but for the errors of a server that could not check (RFC 8489 §9.2.5). */
  #isAuthentic(request: TurnRequest<Purpose>, message: StunMessage): boolean {
    if (!request.signed) return true;
    const hasIntegrity = message.has('MESSAGE-INTEGRITY') || message.has('MESSAGE-INTEGRITY-SHA256');
    if (hasIntegrity || message.messageClass === 'success') return this.#credentials.verify(message);
    const code = errorCodeOf(message);
    return code === 401 || code === 438;
  }

  #handleSuccess(purpose: Purpose, message: StunMessage, now: Instant): void {
    switch (purpose.name) {
      case 'allocate':
        this.#handleAllocated(message, now);
        break;
      case 'refresh':
        if (purpose.delete) this.#deleted('deleted');
        else this.#armRefresh(message.require('LIFETIME'), now);
        break;
      case 'permission':
        this.#handlePermission(purpose.permission, now);
        break;
      case 'channel':
        this.#handleChannelBound(purpose.channel, now);
        break;
      case 'connect': {
        const connectionId = message.require('CONNECTION-ID');
        this.events.push({ type: 'connection', peer: purpose.peer, connectionId, incoming: false });
        break;
      }
      case 'move':
        this.#handleMoved(purpose.path, message, now);
        break;
    }
  }

  /** RFC 8016 §3.2.3. */
  #handleMoved(path: FiveTuple, message: StunMessage, now: Instant): void {
    this.#armRefresh(message.require('LIFETIME'), now);
    this.path = path;
    this.#ticket = ticketOf(message) ?? this.#ticket;
    this.events.push({ type: 'moved', path });
  }

  /** RFC 8656 §7.3. */
  #handleAllocated(message: StunMessage, now: Instant): void {
    const relayed = message.getAll('XOR-RELAYED-ADDRESS').sort((a, b) => ipFamily(a.ip) - ipFamily(b.ip));
    if (relayed.length === 0) throw new DecodeError('missing', 'XOR-RELAYED-ADDRESS', 0);
    const mapped = message.require('XOR-MAPPED-ADDRESS');
    const lifetimeS = message.require('LIFETIME');
    const reservationToken = message.get('RESERVATION-TOKEN')?.slice();
    const addressError = message.get('ADDRESS-ERROR-CODE') ?? message.get('COTURN-ADDRESS-ERROR-CODE');
    this.#ticket = ticketOf(message);
    this.relayed = relayed;
    this.#move('allocated', 'Allocate success');
    this.#armRefresh(lifetimeS, now);
    this.events.push({ type: 'allocated', relayed, mapped, lifetimeS, reservationToken, addressError });
  }

  #armRefresh(lifetimeS: number, now: Instant): void {
    this.#refreshAt = now + refreshDelayMs(lifetimeS * 1000);
  }

  #handlePermission(permission: ClientPermission, now: Instant): void {
    permission.refreshAt = now + refreshDelayMs(PERMISSION_LIFETIME_MS);
    if (permission.state === 'active') return;
    for (let n = this.peers.release(permission); n > 0; n--) this.#onDrop('limit', 'datagrams to send');
    this.events.push({ type: 'permission', ip: permission.ip });
  }

  #handleChannelBound(channel: ClientChannel, now: Instant): void {
    channel.refreshAt = now + refreshDelayMs(CHANNEL_LIFETIME_MS);
    if (channel.state === 'bound') return;
    channel.state = 'bound';
    this.events.push({ type: 'channel', peer: channel.peer, channel: channel.number });
  }

  #handleError(request: TurnRequest<Purpose>, message: StunMessage, now: Instant): void {
    const error = message.require('ERROR-CODE');
    if (error.code === 401 || error.code === 438) {
      this.#handleChallenge(request, message, error, now);
      return;
    }
    const { purpose } = request;
    if (purpose.name === 'allocate') this.#handleAllocateError(purpose.dontFragment, message, error, now);
    else if (error.code === 437) this.#handleMismatch(purpose);
    else if (purpose.name === 'channel' && purpose.channel.state === 'bound' && error.code === 400)
      this.#handleOutOfSync(error, now);
    else this.#handleFailure(purpose, error.code === 441 ? 'wrong-credentials' : 'rejected', error);
  }

  /** RFC 8489 §9.2.5. */
  #handleChallenge(request: TurnRequest<Purpose>, message: StunMessage, error: StunError, now: Instant): void {
    const { purpose } = request;
    const result = this.#credentials.handleChallenge(message, request.signed);
    if (result === 'retry' && request.challenges < MAX_CHALLENGES) this.#start(purpose, now, request.challenges + 1);
    else if (result === 'bid-down') this.#handleFailure(purpose, 'bid-down', error);
    else this.#handleFailure(purpose, 'wrong-credentials', error);
  }

  /** RFC 8656 §7.4. */
  #handleAllocateError(askedDontFragment: boolean, message: StunMessage, error: StunError, now: Instant): void {
    const unknown = error.code === 420 ? (message.get('UNKNOWN-ATTRIBUTES') ?? []) : [];
    if (askedDontFragment && unknown.includes(STUN_ATTRIBUTES['DONT-FRAGMENT'].type)) {
      this.dontFragment = false;
      this.#start({ name: 'allocate', dontFragment: this.dontFragment }, now);
    } else if (error.code === 300) {
      this.#handleRedirect(message, error, now);
    } else {
      const reason = error.code === 437 ? 'address-in-use' : error.code === 441 ? 'wrong-credentials' : 'rejected';
      this.#handleFailure({ name: 'allocate', dontFragment: false }, reason, error);
    }
  }

  /**
   * RFC 8489 §10, and §14.8: "receivers MUST validate the MESSAGE-INTEGRITY … of this response before redirecting
   * themselves". Over UDP the same socket goes on to the other server; a connection is the caller's to open.
   */
  #handleRedirect(message: StunMessage, error: StunError, now: Instant): void {
    const signed = this.#credentials.verify(message);
    const here = ipFamily(this.path.remote.ip);
    const alternate = message.getAll('ALTERNATE-SERVER').find((address) => ipFamily(address.ip) === here);
    const allowed = signed || this.#options.followUnsignedRedirects === true;
    const fresh = alternate !== undefined && !this.#serversTried.includes(formatAddress(alternate));
    const follow = allowed && fresh && this.#serversTried.length <= MAX_REDIRECTS;
    if (!follow) {
      this.#fail('rejected', error);
      return;
    }
    if (this.path.protocol !== 'udp') {
      this.#fail('redirected', error, alternate, message.get('ALTERNATE-DOMAIN'));
      return;
    }
    this.#serversTried.push(formatAddress(alternate));
    this.path = { ...this.path, remote: alternate };
    this.#start({ name: 'allocate', dontFragment: this.dontFragment }, now);
  }

  /** RFC 8656 §5: "A client receiving a 437 … MUST assume the allocation no longer exists". */
  #handleMismatch(purpose: Purpose): void {
    if (purpose.name === 'refresh' && purpose.delete) this.#deleted('437');
    else this.#fail('lost', undefined);
  }

  /**
   * RFC 8656 §12.3: "channel information is out of sync between the client and the server": the client should "delete the
   * allocation and start afresh". A first bind that is refused contradicts nothing: data goes on in Send indications.
   */
  #handleOutOfSync(error: StunError, now: Instant): void {
    this.#afterDelete = { type: 'failed', reason: 'out-of-sync', error, alternateServer: undefined, retryAfterMs: 0 };
    this.#delete(now);
  }

  /** The allocation has been given back, for all that can be known. */
  #deleted(why: string): void {
    const event = this.#afterDelete;
    this.#end(event === undefined ? 'closed' : 'failed', why, event ?? { type: 'closed' });
  }

  /** A request that will not be repeated: what it was for ends, and no more than that. */
  #handleFailure(purpose: Purpose, reason: TurnFailure, error: StunError | undefined): void {
    switch (purpose.name) {
      case 'allocate':
        this.#fail(reason, error);
        break;
      case 'refresh':
        if (purpose.delete) this.#deleted(reason);
        else this.#fail(reason, error);
        break;
      case 'permission':
        this.peers.permissions.delete(purpose.permission.ip);
        this.events.push({ type: 'permission-failed', ip: purpose.permission.ip, error });
        break;
      case 'channel':
        purpose.channel.state = 'failed';
        this.events.push({ type: 'channel-failed', peer: purpose.channel.peer, error });
        break;
      case 'connect':
        this.events.push({ type: 'connect-failed', peer: purpose.peer, error });
        break;
      case 'move':
        this.events.push({ type: 'move-failed', error });
        break;
    }
  }

  #fail(
    reason: TurnFailure,
    error: StunError | undefined,
    alternateServer?: TransportAddress,
    alternateDomain?: string,
  ): void {
    const retryAfterMs = error === undefined ? 0 : (RETRY_AFTER_MS[error.code] ?? 0);
    this.#end('failed', reason, { type: 'failed', reason, error, alternateServer, alternateDomain, retryAfterMs });
  }

  #end(state: 'closed' | 'failed', why: string, event: TurnClientEvent): void {
    this.#requests.clear();
    this.peers.clear();
    this.relayed = [];
    this.#refreshAt = NEVER;
    this.#move(state, why);
    this.events.push(event);
  }

  #start(purpose: Purpose, now: Instant, challenges = 0): void {
    if (purpose.name === 'permission') purpose.permission.refreshAt = NEVER;
    if (purpose.name === 'channel') purpose.channel.refreshAt = NEVER;
    const method = methodOf(purpose);
    const path = purpose.name === 'move' ? purpose.path : this.path;
    const write = (w: StunWriter): boolean => {
      writeRequest(w, purpose, this.#options);
      this.#credentials.sign(w, method);
      return this.#credentials.isReady;
    };
    this.#requests.start({ purpose, method, path, challenges, write }, now);
  }

  #move(next: TurnClientState, why: string): void {
    this.#options.env.trace.state('turn-client', this.state, next, why);
    this.state = next;
  }

  #rearm(): void {
    this.nextTimeout = Math.min(this.#requests.nextTimeout(), this.#refreshAt, this.peers.nextTimeout());
  }
}
