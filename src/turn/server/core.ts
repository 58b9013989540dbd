import {
  ByteReader,
  DeadlineHeap,
  DecodeError,
  DropCounters,
  type DropReason,
  type Env,
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  ipFamily,
  Ring,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../../core/index.ts';
import { decodeStun, type IcmpError, STUN_METHODS, type StunMessage, StunServer } from '../../stun/index.ts';
import { CHANNEL_DATA_HEADER_BYTES, channelDataLength, channelNumber, isChannelData } from '../channel-data.ts';
import { PeerPolicy } from './address-policy.ts';
import type { Allocation } from './allocation.ts';
import { AllocationTable } from './allocation-table.ts';
import { Authenticator } from './authenticator.ts';
import { checkOptions } from './check-options.ts';
import type { Expiry } from './expiry.ts';
import { readTrunkHeader } from './fleet.ts';
import { Forwarder } from './forwarder.ts';
import { TicketTable } from './mobility.ts';
import { Outbox } from './outbox.ts';
import { PeerConnections } from './peer-connections.ts';
import { RelayTable } from './relay-table.ts';
import { TurnRequests } from './requests.ts';
import { Sources } from './sources.ts';
import {
  type ConnectionId,
  maxChannelOf,
  type RelayId,
  type TurnServerCoreOptions,
  type TurnServerEvent,
  type TurnServerStats,
} from './types.ts';

/** RFC 8656 §11.5: destination unreachable, packet too big, time exceeded. */
const ICMP_TYPES: Readonly<Record<4 | 6, readonly number[]>> = { 4: [3, 11], 6: [1, 2, 3] };

/**
 * A TURN server (RFC 8656) without sockets. In protocol order, what a client does and what becomes of it:
 *
 * ```text
 * Allocate, unsigned      → 401 with realm and nonce; nothing is kept
 * Allocate, signed        → `open-relay` to the shell → `relayOpened` → success, `allocated`
 * CreatePermission        → the peer's IP address may send, for five minutes
 * ChannelBind             → a number stands for the peer, for ten minutes
 * Send, ChannelData       → a datagram from the relayed address to the peer
 * datagram from the peer  → Data or ChannelData to the client
 * Refresh, or its absence → `close-relay`, `released`
 * ```
 *
 * Paths are told apart by their `local`: one that `relayOpened` was given is a relay's, every other one a client's. Over
 * TCP and TLS a path carries one whole message for each `handleInput` (`StreamDeframer`), and `pathClosed` ends it.
 *
 * @example
 * const core = new TurnServerCore({ env, realm: 'example.org', authSecrets: ['…'], relayAddresses: [{ ip: '203.0.113.7' }] });
 * const driver = new Driver(core, host, (event) => {
 *   if (event.type === 'open-relay') bind(event.local).then(() => driver.mutate((now) => core.relayOpened(event.relay, event.local, now)));
 * });
 */
export class TurnServerCore implements SansIo<TurnServerEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #events = new Ring<TurnServerEvent>();
  readonly #outbox = new Outbox();
  readonly #deadlines = new DeadlineHeap<Expiry>();
  readonly #policy: PeerPolicy;
  readonly #authenticator: Authenticator;
  readonly #relays: RelayTable;
  readonly #allocations: AllocationTable;
  readonly #tickets: TicketTable;
  readonly #connections: PeerConnections;
  readonly #requests: TurnRequests;
  readonly #forwarder: Forwarder;
  readonly #stun: StunServer;
  readonly #maxChannel: number;
  readonly #noStun: boolean;
  readonly #stunOnly: boolean;
  readonly #sources: Sources;
  #isDrained = false;

  /** @throws {UsageError} for options that cannot work: no relay address, a bad port range, realm, address range or key. */
  constructor(options: TurnServerCoreOptions) {
    checkOptions(options);
    this.#env = options.env;
    this.#maxChannel = maxChannelOf(options);
    const relayIps = options.relayAddresses.flatMap(({ ip, externalIp = ip }) => [ip, externalIp]);
    this.#policy = new PeerPolicy({
      ...options.peers,
      ownAddresses: [...relayIps, ...(options.ownAddresses ?? [])],
    });
    this.#authenticator = new Authenticator(options);
    const emit = (event: TurnServerEvent): void => void this.#events.push(event);
    const ports = { min: options.minPort, max: options.maxPort };
    const { fleet } = options;
    this.#relays = new RelayTable(options.env, options.relayAddresses, ports, this.#deadlines, emit, fleet?.member);
    this.#tickets = new TicketTable(options.env, fleet?.member);
    this.#allocations = new AllocationTable(
      this.#relays,
      this.#deadlines,
      emit,
      (allocation, now) => this.#requests.answerSettled(allocation, now),
      (allocation) => {
        this.#tickets.forget(allocation);
        this.#connections.closeAll(allocation);
      },
      fleet,
    );
    this.#connections = new PeerConnections(options.env, this.#deadlines, emit, (connection) =>
      this.#requests.answerConnect(connection, false),
    );
    const drop = (reason: DropReason, detail: string): void => this.#drop(reason, detail);
    this.#sources = new Sources(this.#relays, this.#allocations, this.#policy);
    this.#forwarder = new Forwarder(options, this.#relays, this.#policy, this.#outbox, drop);
    this.#requests = new TurnRequests(options, {
      authenticator: this.#authenticator,
      policy: this.#policy,
      relays: this.#relays,
      allocations: this.#allocations,
      tickets: this.#tickets,
      connections: this.#connections,
      outbox: this.#outbox,
      drop,
      emit,
    });
    const { env, behaviourDiscovery, noStunBackwardCompatibility: noBackwardCompatibility = false } = options;
    const discovery = behaviourDiscovery === undefined ? {} : { behaviourDiscovery };
    this.#stun = new StunServer({ env, noBackwardCompatibility, ...discovery });
    this.#noStun = options.noStun === true;
    this.#stunOnly = options.stunOnly === true;
  }

  get realm(): string {
    return this.#authenticator.realm;
  }

  get stats(): TurnServerStats {
    return {
      allocations: this.#allocations.size,
      allocationsByTransport: { ...this.#allocations.byTransport },
      relays: this.#relays.openCount,
      reservations: this.#relays.reservationCount,
      peerConnections: this.#connections.size,
      allocationsTotal: this.#allocations.total,
      requestsTotal: Object.fromEntries(this.#requests.requests),
      errorsTotal: Object.fromEntries(this.#requests.errors),
      bindingRequestsTotal: this.#stun.counters.requests,
      traffic: { ...this.#forwarder.traffic },
      draining: this.#requests.isDraining,
    };
  }

  /** One more address of this machine that clients must not reach, canonical text: one that the shell listens on. */
  addOwnAddress(ip: string): void {
    this.#policy.addOwn(ip);
  }

  /**
   * The shell has bound a relay's socket.
   * @param local - the object that the paths of its datagrams carry.
   * @throws {UsageError} when the relay was not asked for.
   */
  relayOpened(relay: RelayId, local: TransportAddress, now: Instant): void {
    this.#relays.opened(relay, local, now);
  }

  /** The shell could not bind it; another port is tried. @throws {UsageError} when it was not asked for. */
  relayFailed(relay: RelayId, now: Instant): void {
    this.#relays.failed(relay, now);
    this.#checkDrained();
  }

  /** The answer to `ask-admission`; when allowed, the fleet's quota has counted it. @throws {UsageError} when not asked. */
  admitted(admission: number, allowed: boolean, now: Instant): void {
    this.#allocations.admitted(admission, allowed, now);
    this.#checkDrained();
  }

  /** A datagram of another member of the fleet: data for one of our relayed addresses. */
  handleTrunk(bytes: Uint8Array, now: Instant): void {
    try {
      const r = new ByteReader(bytes);
      const { from, to } = readTrunkHeader(r);
      this.#forwarder.fromTrunk(from, to, bytes, bytes.length - r.remaining, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
    }
  }

  /** Whether the client on that path has an allocation: a connection without one may be closed after a while. */
  hasAllocation(path: FiveTuple): boolean {
    return this.#allocations.find(path) !== undefined;
  }

  /** The connection of a client over TCP, TLS or DTLS has ended, and its allocation with it. */
  pathClosed(path: FiveTuple, now: Instant): void {
    const allocation = this.#allocations.find(path);
    if (allocation === undefined) return;
    const { nextPath } = allocation;
    // RFC 8016 §3.2.2: what can move stays for its lifetime, so that the client can come back from elsewhere.
    if (nextPath !== undefined) {
      if (formatFiveTuple(path) === formatFiveTuple(nextPath)) this.#allocations.cancelMove(allocation);
      else this.#completeMove(allocation);
    } else if (!this.#tickets.has(allocation)) {
      this.#allocations.release(allocation, 'disconnected', now);
    }
    this.#checkDrained();
  }

  /** The connection that `connect-peer` asked for stands. @returns false when nobody wants it any more: close it. */
  peerConnected(connection: ConnectionId, now: Instant): boolean {
    const connected = this.#connections.connected(connection, now);
    if (connected !== undefined) this.#requests.answerConnect(connected, true);
    return connected !== undefined;
  }

  /**
   * A peer has connected to a TCP relay (RFC 6062 §5.3). Read nothing from it before `bind-connection`.
   * @param local - as `relayOpened` was told.
   * @returns its name; undefined: close it, the client has not permitted that peer.
   */
  peerAccepted(local: TransportAddress, peer: TransportAddress, now: Instant): ConnectionId | undefined {
    const relay = this.#relays.atLocal(local);
    const allocation = relay?.allocation;
    if (allocation === undefined || relay?.permission(peer.ip, now) === undefined) {
      this.#drop('unknown-peer', 'TCP connection of a peer without a permission');
      return undefined;
    }
    const connection = this.#connections.accept(allocation, peer, now);
    if (connection === undefined) this.#drop('limit', 'TCP connections of peers');
    else this.#forwarder.connectionAttempt(allocation, connection.id, peer);
    return connection?.id;
  }

  /**
   * Bytes have been handed on from one side of a joined connection to the other.
   * @returns when more may be read from that side: `now`, or later where bandwidth is limited.
   */
  connectionPassed(connection: ConnectionId, direction: 'to-peer' | 'to-client', bytes: number, now: Instant): Instant {
    const bound = this.#connections.bound(connection);
    return bound === undefined ? now : this.#forwarder.passed(bound.allocation, direction, bytes, now);
  }

  /** A peer's connection has ended, or could not be made. */
  peerClosed(connection: ConnectionId): void {
    const closed = this.#connections.forget(connection);
    if (closed?.state === 'connecting') this.#requests.answerConnect(closed, false);
  }

  /**
   * A datagram from a relayed address has met an ICMP error (RFC 8656 §11.5): the client learns of it, where the peer has a
   * permission.
   * @param local - as `relayOpened` was told: where the datagram came from.
   * @param peer - where it was going to; port 0 where the shell does not know.
   * @param icmp - as it came; types other than those that the RFC names are dropped.
   */
  handleIcmp(local: TransportAddress, peer: TransportAddress, icmp: IcmpError, now: Instant): void {
    const relay = this.#relays.atLocal(local);
    const allocation = relay?.allocation;
    if (!ICMP_TYPES[ipFamily(local.ip)].includes(icmp.type)) {
      this.#drop('unsupported', 'ICMP type');
    } else if (relay === undefined || allocation?.state !== 'open' || allocation.transport === 'tcp') {
      this.#drop('unknown-path', 'ICMP for no relay');
    } else if (relay.permission(peer.ip, now) === undefined) {
      this.#drop('unknown-peer', 'ICMP about a peer without a permission');
    } else {
      this.#forwarder.icmpIndication(allocation, peer, icmp);
    }
  }

  /** No new allocations from now on; `drained` comes when the last one has ended. Idempotent. */
  drain(): void {
    this.#requests.isDraining = true;
    this.#checkDrained();
  }

  /** Ends every allocation at once. */
  close(now: Instant): void {
    this.#requests.isDraining = true;
    for (const allocation of this.#allocations.all()) this.#allocations.release(allocation, 'closed', now);
    this.#checkDrained();
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    const source = this.#sources.of(path);
    if (source !== undefined && source.kind === 'peer') {
      this.#forwarder.fromPeer(source, bytes, now);
      return;
    }
    try {
      if (bytes.length > 0 && isChannelData(bytes[0]!, this.#maxChannel))
        this.#handleChannelData(bytes, path, source, now);
      else this.#handleMessage(bytes, path, source, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
    }
  }

  handleTimeout(now: Instant): void {
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) due.expire(now);
    this.#checkDrained();
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    return this.#outbox.shiftInto(slot) || this.#stun.pollTransmit(slot);
  }

  pollEvent(): TurnServerEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#deadlines.next();
  }

  #handleChannelData(bytes: Uint8Array, path: FiveTuple, allocation: Allocation | undefined, now: Instant): void {
    if (allocation === undefined || allocation.state !== 'open') {
      this.#drop('unknown-path', 'channel data without an allocation');
      return;
    }
    if (allocation.nextPath !== undefined) this.#checkArrival(allocation, path);
    const length = channelDataLength(bytes, this.#maxChannel);
    const channel = allocation.channel(channelNumber(bytes), now);
    if (channel === undefined) {
      this.#drop('unknown-peer', 'channel that is not bound');
      return;
    }
    const start = CHANNEL_DATA_HEADER_BYTES;
    if (channel.isOwn) this.#forwarder.toOwn(allocation, channel.path.local, channel.peer, bytes, start, length, now);
    else this.#forwarder.toPeer(allocation, channel.path, bytes, start, length, now);
  }

  #handleMessage(bytes: Uint8Array, path: FiveTuple, allocation: Allocation | undefined, now: Instant): void {
    if (isBinding(bytes)) {
      if (this.#noStun) {
        this.#drop('unsupported', 'Binding');
      } else if (allocation !== undefined || this.#authenticator.mayAsk(path.remote, now)) {
        this.#stun.handleInput(bytes, path, now);
      } else this.#drop('rate-limited', 'Binding');
      return;
    }
    const message = decodeStun(bytes);
    if (this.#stunOnly) {
      this.#drop('unsupported', String(message));
    } else if (message.messageClass === 'request') {
      this.#requests.handle(message, path, allocation, now);
      this.#checkDrained();
    } else if (message.messageClass === 'indication' && message.method === STUN_METHODS.Send) {
      this.#handleSend(message, path, allocation, now);
    } else {
      this.#drop('unsupported', String(message));
    }
  }

  /** RFC 8656 §11.2. */
  #handleSend(message: StunMessage, path: FiveTuple, allocation: Allocation | undefined, now: Instant): void {
    if (allocation === undefined || allocation.state !== 'open') {
      this.#drop('unknown-path', 'Send without an allocation');
      return;
    }
    if (allocation.nextPath !== undefined) this.#checkArrival(allocation, path);
    this.#forwarder.handleSend(message, allocation, now);
  }

  /** RFC 8016 §3.2.2: the old 5-tuple serves "until it receives a Send Indication or ChannelData … on the new". */
  #checkArrival(allocation: Allocation, path: FiveTuple): void {
    const { nextPath } = allocation;
    if (nextPath !== undefined && formatFiveTuple(path) === formatFiveTuple(nextPath)) this.#completeMove(allocation);
  }

  #completeMove(allocation: Allocation): void {
    this.#allocations.completeMove(allocation);
    this.#sources.forget();
  }

  #checkDrained(): void {
    if (!this.#requests.isDraining || this.#isDrained || this.#allocations.size > 0) return;
    this.#isDrained = true;
    this.#events.push({ type: 'drained' });
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop('turn-server', reason, detail);
  }
}

/** A Binding request or indication, of any age: 0x0001, 0x0011. */
function isBinding(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0 && (bytes[1]! & 0xef) === 0x01;
}
