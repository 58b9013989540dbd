import {
  ByteWriter,
  DecodeError,
  DropCounters,
  type DropReason,
  type FiveTuple,
  type Instant,
  ipFamily,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { decodeStun, STUN_ATTRIBUTES, STUN_METHODS, type StunMessage, StunWriter } from '../stun/index.ts';
import {
  CHANNEL_DATA_HEADER_BYTES,
  channelDataLength,
  channelNumber,
  isChannelData,
  wrapChannelData,
} from './channel-data.ts';
import { TurnControl } from './client-control.ts';
import type { ClientPermission } from './client-peers.ts';
import type { TurnClientEvent, TurnClientOptions, TurnClientState } from './client-types.ts';
import { TurnDataConnection } from './data-connection.ts';

/** Header, XOR-PEER-ADDRESS of IPv6, DONT-FRAGMENT and the DATA header: what `wrapInPlace` needs in front at most. */
export const SEND_INDICATION_HEADROOM: number = 20 + 24 + 4 + 4;

/** The most that one datagram through a relay carries: with all that stands in front it must fit one of UDP. */
export const MAX_SEND_BYTES: number = 65_507 - SEND_INDICATION_HEADROOM;

/**
 * A TURN client (RFC 8656): one allocation on one server, its permissions and channels kept alive, and data through it.
 * In protocol order:
 *
 * ```text
 * allocate()    Allocate → 401 with realm and nonce → Allocate, signed → allocated     (300, 420, 437, 438 on the way)
 *               Refresh one minute before the lifetime ends, for ever
 * send()        CreatePermission for the peer's IP → Send indications; again every four minutes
 * bindChannel() ChannelBind → ChannelData; again every nine minutes
 * close()       Refresh with lifetime 0 → closed
 * ```
 *
 * @example
 * const turn = new TurnClient({ env, path, username: 'user', password: 'secret' });
 * const driver = new Driver(turn, host, onEvent);
 * driver.mutate((now) => turn.allocate(now));
 * // on 'allocated': driver.mutate((now) => turn.send(peer, bytes, now));
 */
export class TurnClient implements SansIo<TurnClientEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #options: TurnClientOptions;
  readonly #control: TurnControl;
  /** TCP and TLS: ChannelData is padded, requests are not retransmitted. */
  readonly #stream: boolean;
  readonly #indicationId: Uint8Array = new Uint8Array(12);

  /** @throws {UsageError} for options that RFC 8656 §7.1 does not allow together, or credentials that cannot be prepared. */
  constructor(options: TurnClientOptions) {
    const dual = options.additionalFamily === true;
    const reserved = options.reservationToken !== undefined;
    if (dual && (options.requestedFamily !== undefined || options.evenPort === 'reserve-next')) {
      throw new UsageError(
        'an additional address family excludes a requested family and a reserved port (RFC 8656 §7.1)',
      );
    }
    if (reserved && (dual || options.requestedFamily !== undefined || options.evenPort !== undefined)) {
      throw new UsageError('a reservation token excludes address families and even ports (RFC 8656 §7.1)');
    }
    if (options.relayTransport === 'tcp') requireTcpRelayOptions(options);
    this.#options = options;
    this.#stream = options.path.protocol === 'tcp' || options.path.protocol === 'tls';
    this.#control = new TurnControl(options, this.#stream, (reason, detail) => this.#drop(reason, detail));
  }

  get state(): TurnClientState {
    return this.#control.state;
  }

  /** The relayed addresses of the allocation, IPv4 first; empty while there is none. */
  get relayedAddresses(): readonly TransportAddress[] {
    return this.#control.relayed;
  }

  /** To the server in use: another than the one given after a redirection. */
  get path(): FiveTuple {
    return this.#control.path;
  }

  /** Asks for the allocation (RFC 8656 §7.1). @throws {UsageError} when it was asked for before. */
  allocate(now: Instant): void {
    if (this.state !== 'new') throw new UsageError('a TURN client makes one allocation');
    this.#control.allocate(now);
  }

  /**
   * Installs a permission for the peer's IP address and keeps it alive (RFC 8656 §10.1). Not needed before `send`, which
   * does it; ICE calls it to let a peer's first check in.
   * @throws {UsageError} without an allocation, or beyond `MAX_CLIENT_PEERS`.
   */
  createPermission(peer: TransportAddress, now: Instant): void {
    this.#requirePermission(peer, now);
  }

  /**
   * Binds a channel to the peer, so that data costs 4 bytes and not 36 (RFC 8656 §12.1), and keeps it alive. Idempotent.
   * @throws {UsageError} without an allocation, or when all 4096 numbers are used.
   */
  bindChannel(peer: TransportAddress, now: Instant): void {
    this.#requirePermission(peer, now);
    const { peers } = this.#control;
    const known = peers.channelOf(peer);
    if (known !== undefined && known.state !== 'failed') return;
    const channel = known ?? peers.addChannel(peer);
    if (channel === undefined) throw new UsageError('all channel numbers of this allocation are used');
    this.#control.bindChannel(channel, now);
  }

  /**
   * Sends `bytes` to the peer from the relayed address: over its channel, in a Send indication, or, while its permission
   * is on its way, as soon as that stands. Copies. Unreliable as UDP is: at a bound a datagram is dropped and counted.
   * @throws {UsageError} without an allocation of the peer's family, beyond `MAX_CLIENT_PEERS`, or for more than
   *   {@link MAX_SEND_BYTES}.
   */
  send(peer: TransportAddress, bytes: Uint8Array, now: Instant): void {
    if (bytes.length > MAX_SEND_BYTES) throw new UsageError(`a relay carries ${MAX_SEND_BYTES} bytes at most at once`);
    const permission = this.#requirePermission(peer, now);
    if (!this.#control.peers.queue(permission, { peer, bytes: bytes.slice() }))
      this.#drop('limit', 'datagrams to send');
  }

  /**
   * The packet path: turns the datagram in `slot` (its `path` is ignored) into one for the server, in place. The slot needs
   * {@link SEND_INDICATION_HEADROOM} bytes in front and 3 behind.
   * @returns false when no permission stands yet: nothing was written, and `send` would queue it.
   */
  wrapInPlace(slot: TransmitSlot<FiveTuple>, peer: TransportAddress): boolean {
    if (this.state !== 'allocated') return false;
    const { peers } = this.#control;
    const channel = peers.channelOf(peer);
    if (channel?.state === 'bound') wrapChannelData(slot, channel.number, this.#stream);
    else if (peers.permissions.get(peer.ip)?.state === 'active') this.#wrapSendIndication(slot, peer);
    else return false;
    slot.path = this.path;
    return true;
  }

  /**
   * Asks for a TCP connection from the relayed address to the peer (RFC 6062 §4.3): ends in `connection` or
   * `connect-failed`. Not twice at a time for one peer.
   * @throws {UsageError} without a TCP allocation.
   */
  connect(peer: TransportAddress, now: Instant): void {
    if (this.#options.relayTransport !== 'tcp') throw new UsageError('not a TCP relay');
    this.#requirePermission(peer, now);
    this.#control.connect(peer, now);
  }

  /** Runs on a second connection to the server, from another local port, for a `connection` event (RFC 6062 §4.3). */
  createDataConnection(connectionId: number, path: FiveTuple, now: Instant): TurnDataConnection {
    return new TurnDataConnection(this.#options.env, this.#control.forkCredentials(), connectionId, path, now);
  }

  /** Whether the server gave a ticket, so that `moveTo` can be called (RFC 8016). */
  get canMove(): boolean {
    return this.#control.canMove;
  }

  /**
   * Moves the allocation, with its permissions and channels, to another local address (RFC 8016 §3.2.1): ends in `moved`
   * or `move-failed`; until then data goes the old way.
   * @throws {UsageError} without an allocation or a ticket.
   */
  moveTo(path: FiveTuple, now: Instant): void {
    if (this.state !== 'allocated' || !this.#control.moveTo(path, now))
      throw new UsageError('nothing that could be moved');
  }

  /** Gives the allocation back (RFC 8656 §8.1). Ends in a `closed` event. Idempotent. */
  close(now: Instant): void {
    this.#control.close(now);
  }

  handleInput(bytes: Uint8Array, _path: FiveTuple, now: Instant): void {
    if (this.state === 'new' || this.state === 'closed' || this.state === 'failed') {
      this.#drop('closed', 'no allocation');
      return;
    }
    try {
      if (bytes.length > 0 && isChannelData(bytes[0]!)) this.#handleChannelData(bytes);
      else this.#handleMessage(decodeStun(bytes), now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
    }
  }

  handleTimeout(now: Instant): void {
    this.#control.handleTimeout(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    const request = this.#control.takePending();
    if (request !== undefined) {
      slot.buffer.set(request.bytes, slot.offset);
      slot.length = request.bytes.length;
      slot.path = request.path;
      return true;
    }
    const { outgoing } = this.#control.peers;
    const { offset } = slot;
    for (let next = outgoing.shift(); next !== undefined; next = outgoing.shift()) {
      slot.offset = offset + SEND_INDICATION_HEADROOM;
      slot.buffer.set(next.bytes, slot.offset);
      slot.length = next.bytes.length;
      if (this.wrapInPlace(slot, next.peer)) return true;
      slot.offset = offset;
      this.#drop('bad-state', 'the permission went away');
    }
    return false;
  }

  pollEvent(): TurnClientEvent | undefined {
    return this.#control.events.shift();
  }

  nextTimeout(): Instant {
    return this.#control.nextTimeout;
  }

  #handleMessage(message: StunMessage, now: Instant): void {
    if (message.messageClass === 'indication') this.#handleIndication(message);
    else this.#control.handleMessage(message, now);
  }

  #handleChannelData(bytes: Uint8Array): void {
    const length = channelDataLength(bytes);
    const channel = this.#control.peers.channels.get(channelNumber(bytes));
    // RFC 8656 §12: data may come before the response to ChannelBind.
    if (channel === undefined || channel.state === 'failed') {
      this.#drop('unknown-peer', 'channel');
      return;
    }
    const data = bytes.subarray(CHANNEL_DATA_HEADER_BYTES, CHANNEL_DATA_HEADER_BYTES + length);
    this.#control.events.push({ type: 'data', peer: channel.peer, bytes: data });
  }

  /** RFC 8656 §11.4, §11.6. */
  #handleIndication(message: StunMessage): void {
    const attempt = message.method === STUN_METHODS.ConnectionAttempt && this.#options.relayTransport === 'tcp';
    if (!(attempt || message.method === STUN_METHODS.Data) || message.unknownRequired().length > 0) {
      this.#drop('unsupported', 'indication');
      return;
    }
    const { peers, events } = this.#control;
    const from = message.require('XOR-PEER-ADDRESS');
    // "protects the client against an attacker who somehow manages to trick the server into installing permissions"
    if (!peers.permissions.has(from.ip)) {
      this.#drop('unknown-peer', 'indication');
      return;
    }
    const peer = peers.channelOf(from)?.peer ?? from;
    if (attempt) {
      // RFC 6062 §4.4
      events.push({ type: 'connection', peer, connectionId: message.require('CONNECTION-ID'), incoming: true });
      return;
    }
    const icmp = message.get('ICMP');
    if (icmp !== undefined) events.push({ type: 'icmp', peer, icmp });
    else events.push({ type: 'data', peer, bytes: message.require('DATA') });
  }

  #requirePermission(peer: TransportAddress, now: Instant): ClientPermission {
    if (this.state !== 'allocated') throw new UsageError(`there is no allocation (${this.state})`);
    const family = ipFamily(peer.ip);
    if (!this.relayedAddresses.some((address) => ipFamily(address.ip) === family)) {
      throw new UsageError(`the allocation has no IPv${family} address`);
    }
    const permission = this.#control.ensurePermission(peer.ip, now);
    if (permission === undefined) throw new UsageError('too many peers for one allocation');
    return permission;
  }

  /** RFC 8656 §11.1. The transaction ID of an indication is never looked at, but it MUST be random. */
  #wrapSendIndication(slot: TransmitSlot<FiveTuple>, peer: TransportAddress): void {
    const { dontFragment } = this.#control;
    const front = 20 + (ipFamily(peer.ip) === 4 ? 12 : 24) + (dontFragment ? 4 : 0) + 4;
    if (slot.offset < front) throw new UsageError('no room for a Send indication');
    this.#options.env.random(this.#indicationId);
    const start = slot.offset - front;
    const w = new StunWriter(new ByteWriter(slot.buffer, start), 'indication', STUN_METHODS.Send, this.#indicationId);
    w.add('XOR-PEER-ADDRESS', peer);
    if (dontFragment) w.add('DONT-FRAGMENT', true);
    w.addInPlace(STUN_ATTRIBUTES.DATA.type, slot.length);
    slot.offset = start;
    slot.length = w.length;
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#options.env.trace.drop('turn-client', reason, detail);
  }
}

/** RFC 6062 §4.1. */
function requireTcpRelayOptions(o: TurnClientOptions): void {
  if (o.path.protocol !== 'tcp' && o.path.protocol !== 'tls')
    throw new UsageError('a TCP relay needs a TCP or TLS path');
  if (o.dontFragment === true || o.evenPort !== undefined || o.reservationToken !== undefined) {
    throw new UsageError('a TCP relay has no even or reserved ports and does not know fragments (RFC 6062 §4.1)');
  }
}
