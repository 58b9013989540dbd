import {
  ByteWriter,
  type DropReason,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  ipFamily,
  type TransportAddress,
} from '../../core/index.ts';
import {
  type IcmpError,
  isKnownAttribute,
  STUN_ATTRIBUTES,
  STUN_METHODS,
  type StunMessage,
  StunWriter,
} from '../../stun/index.ts';
import { CHANNEL_DATA_HEADER_BYTES } from '../channel-data.ts';
import type { PeerPolicy } from './address-policy.ts';
import type { Allocation, Channel, Relay } from './allocation.ts';
import { type FleetOptions, MAX_TRUNK_HEADER_BYTES, writeTrunkHeader } from './fleet.ts';
import type { Outbox } from './outbox.ts';
import { TokenBucket } from './rate-limits.ts';
import type { RelayTable } from './relay-table.ts';
import type { PeerSource } from './sources.ts';
import { type ConnectionId, newTraffic, type Rate, type TrafficCounters, type TurnServerCoreOptions } from './types.ts';

/** Header, XOR-PEER-ADDRESS of IPv6 and the DATA header: what a Data indication costs at most, and 3 of padding. */
const DATA_INDICATION_BYTES = 20 + 24 + 4 + 3;
/** ICMP (RFC 8656 §18.13). */
const ICMP_BYTES = 8;
const TRANSACTION_ID_BYTES = 12;

/**
 * The data of a TURN server, both ways (RFC 8656 §11.2, §11.3, §12.6, §12.7). Each datagram is written once, into the
 * outbox; nothing else is allocated for one that travels on a channel.
 *
 * Between two clients of the same server data does not leave: the peer's address is one of ours, and behind a NAT it
 * would have to be routed back in. The receiver sees the sender's relayed address, as if it had left.
 */
export class Forwarder {
  readonly traffic: TrafficCounters = newTraffic();
  readonly #env: Env;
  readonly #relays: RelayTable;
  readonly #policy: PeerPolicy;
  readonly #outbox: Outbox;
  readonly #drop: (reason: DropReason, detail: string) => void;
  readonly #dontFragment: boolean;
  readonly #fleet: FleetOptions | undefined;
  readonly #totalRate: TurnServerCoreOptions['totalRate'];
  #totalFromClients: TokenBucket | undefined;
  #totalToClients: TokenBucket | undefined;
  /** Random bytes for the transaction IDs of indications, drawn many at a time. */
  readonly #random: Uint8Array = new Uint8Array(TRANSACTION_ID_BYTES * 256);
  #randomAt: number = this.#random.length;

  constructor(
    options: TurnServerCoreOptions,
    relays: RelayTable,
    policy: PeerPolicy,
    outbox: Outbox,
    drop: (reason: DropReason, detail: string) => void,
  ) {
    this.#env = options.env;
    this.#relays = relays;
    this.#policy = policy;
    this.#outbox = outbox;
    this.#drop = drop;
    this.#fleet = options.fleet;
    this.#dontFragment = options.dontFragment === true;
    this.#totalRate = options.totalRate;
  }

  /** RFC 8656 §11.2: what is missing, invalid or not allowed is discarded in silence. @throws {DecodeError} */
  handleSend(message: StunMessage, allocation: Allocation, now: Instant): void {
    const unknown = message.unknownRequired((type) => {
      return isKnownAttribute(type) && (type !== STUN_ATTRIBUTES['DONT-FRAGMENT'].type || this.#dontFragment);
    });
    if (unknown.length > 0) {
      this.#drop('unsupported', 'attribute in a Send indication');
      return;
    }
    const peer = message.require('XOR-PEER-ADDRESS');
    const data = message.require('DATA');
    const relay = allocation.relayOf(ipFamily(peer.ip));
    const dontFragment =
      message.get('DONT-FRAGMENT') === true && relay !== undefined && heedsFragments(allocation, relay);
    if (relay === undefined || peer.port === 0 || allocation.transport === 'tcp') {
      this.#drop('bad-value', 'peer of a Send indication');
    } else if (relay.permission(peer.ip, now) === undefined) {
      this.#drop('unknown-peer', 'Send without a permission');
    } else if (this.#policy.verdict(peer.ip) === 'own') {
      this.toOwn(allocation, relay.local, peer, data, 0, data.length, now);
    } else if (dontFragment && data.length > relay.maxUnfragmentedBytes) {
      this.#drop('limit', 'data that may not be fragmented, and does not fit'); // RFC 8656 §14: DF, and then no way on
    } else {
      this.toPeer(allocation, { protocol: 'udp', local: relay.local, remote: peer }, data, 0, data.length, now);
    }
  }

  /** Data of a client, `bytes[start, start + length)`, from its relayed address to a peer. */
  toPeer(
    allocation: Allocation,
    path: FiveTuple,
    bytes: Uint8Array,
    start: number,
    length: number,
    now: Instant,
  ): void {
    if (!this.#admit(allocation, true, length, now)) return;
    const buffer = this.#outbox.begin(length);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    copy(bytes, start, length, buffer, 0);
    this.#outbox.commit(length, path);
  }

  /** The same, where the peer is a relayed address of this server. @param local - of the sender's relay. */
  toOwn(
    allocation: Allocation,
    local: TransportAddress,
    peer: TransportAddress,
    bytes: Uint8Array,
    start: number,
    length: number,
    now: Instant,
  ): void {
    const from = allocation.relays.find((relay) => relay.local === local);
    const to = this.#relays.atExternal(peer);
    const trunk = to === undefined ? this.#fleet?.trunkTo(peer) : undefined;
    if (from === undefined || (to === undefined && trunk === undefined)) {
      this.#drop('unknown-peer', 'one of our own addresses, where no relay is');
      return;
    }
    if (!this.#admit(allocation, true, length, now)) return;
    if (trunk !== undefined) this.#toTrunk(trunk, from.external, peer, bytes, start, length);
    else if (to !== undefined) this.#betweenClients(from.external, from.externalKey, to, bytes, start, length, now);
  }

  /** Data that another member of the fleet has taken from a client of its own, `bytes` from `start` on. */
  fromTrunk(from: TransportAddress, to: TransportAddress, bytes: Uint8Array, start: number, now: Instant): void {
    const relay = this.#relays.atExternal(to);
    if (relay === undefined) this.#drop('unknown-peer', 'one of our own addresses, where no relay is');
    else this.#betweenClients(from, formatAddress(from), relay, bytes, start, bytes.length - start, now);
  }

  #betweenClients(
    from: TransportAddress,
    fromKey: string,
    to: Relay,
    bytes: Uint8Array,
    start: number,
    length: number,
    now: Instant,
  ): void {
    if (to.permission(from.ip, now) === undefined) {
      this.#drop('unknown-peer', 'another client, without a permission');
      return;
    }
    this.#toClient(to, from, to.channelOf(fromKey, now), bytes, start, length, now);
  }

  #toTrunk(
    trunk: FiveTuple,
    from: TransportAddress,
    to: TransportAddress,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    const buffer = this.#outbox.begin(MAX_TRUNK_HEADER_BYTES + length);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    const w = new ByteWriter(buffer);
    writeTrunkHeader(w, from, to);
    copy(bytes, start, length, buffer, w.pos);
    this.#outbox.commit(w.pos + length, trunk);
  }

  /** A datagram at a relayed address (RFC 8656 §11.3). */
  fromPeer(source: PeerSource, bytes: Uint8Array, now: Instant): void {
    const { relay } = source;
    if (source.permission === undefined || source.permission.expiresAt <= now) {
      source.permission = relay.permission(source.peer.ip, now);
      if (source.permission === undefined || source.isOwn) {
        source.permission = undefined;
        this.#drop('unknown-peer', 'datagram of a peer without a permission');
        return;
      }
    }
    if (source.channel === undefined || source.channel.expiresAt <= now) {
      source.channel = relay.channelOf(source.key, now);
    }
    this.#toClient(relay, source.peer, source.channel, bytes, 0, bytes.length, now);
  }

  #toClient(
    relay: Relay,
    peer: TransportAddress,
    channel: Channel | undefined,
    bytes: Uint8Array,
    start: number,
    length: number,
    now: Instant,
  ): void {
    const { allocation } = relay;
    if (allocation === undefined || allocation.state !== 'open') {
      this.#drop('bad-state', 'datagram at a reserved address');
      return;
    }
    if (!this.#admit(allocation, false, length, now)) return;
    if (channel === undefined) this.#dataIndication(allocation, peer, bytes, start, length);
    else this.#channelData(allocation, channel.number, bytes, start, length);
  }

  /** RFC 8656 §12.7. */
  #channelData(allocation: Allocation, channel: number, bytes: Uint8Array, start: number, length: number): void {
    const padding = allocation.isStream ? -length & 3 : 0;
    const total = CHANNEL_DATA_HEADER_BYTES + length + padding;
    const buffer = this.#outbox.begin(total);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    buffer[0] = channel >>> 8;
    buffer[1] = channel;
    buffer[2] = length >>> 8;
    buffer[3] = length;
    copy(bytes, start, length, buffer, CHANNEL_DATA_HEADER_BYTES);
    if (padding > 0) buffer.fill(0, CHANNEL_DATA_HEADER_BYTES + length, total);
    this.#outbox.commit(total, allocation.path);
  }

  /** RFC 8656 §11.3. */
  #dataIndication(
    allocation: Allocation,
    peer: TransportAddress,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    const buffer = this.#outbox.begin(DATA_INDICATION_BYTES + length);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    const w = new StunWriter(new ByteWriter(buffer), 'indication', STUN_METHODS.Data, this.#transactionId());
    w.add('XOR-PEER-ADDRESS', peer).add('DATA', bytes.subarray(start, start + length));
    this.#outbox.commit(w.length, allocation.path);
  }

  /** RFC 8656 §11.5. */
  icmpIndication(allocation: Allocation, peer: TransportAddress, icmp: IcmpError): void {
    const buffer = this.#outbox.begin(DATA_INDICATION_BYTES + ICMP_BYTES);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    const w = new StunWriter(new ByteWriter(buffer), 'indication', STUN_METHODS.Data, this.#transactionId());
    w.add('XOR-PEER-ADDRESS', peer).add('ICMP', icmp);
    this.#outbox.commit(w.length, allocation.path);
  }

  /** RFC 6062 §5.3: a peer has connected, and waits. */
  connectionAttempt(allocation: Allocation, connection: ConnectionId, peer: TransportAddress): void {
    const buffer = this.#outbox.begin(DATA_INDICATION_BYTES);
    if (buffer === undefined) {
      this.#drop('limit', 'datagrams waiting');
      return;
    }
    const id = this.#transactionId();
    const w = new StunWriter(new ByteWriter(buffer), 'indication', STUN_METHODS.ConnectionAttempt, id);
    w.add('CONNECTION-ID', connection).add('XOR-PEER-ADDRESS', peer);
    this.#outbox.commit(w.length, allocation.path);
  }

  /** Whether a datagram may pass, which is then counted. */
  #admit(allocation: Allocation, toPeer: boolean, length: number, now: Instant): boolean {
    const own = toPeer ? allocation.fromClient : allocation.toClient;
    if (this.#totalRate !== undefined && !this.#totalBucket(this.#totalRate, toPeer, now).take(length, now))
      return this.#exceeded();
    if (own !== undefined && !own.take(length, now)) return this.#exceeded();
    count(allocation.traffic, toPeer, 1, length);
    count(this.traffic, toPeer, 1, length);
    return true;
  }

  /** Bytes that have passed on a TCP connection of an allocation. @returns when the next may. */
  passed(allocation: Allocation, direction: 'to-peer' | 'to-client', bytes: number, now: Instant): Instant {
    const toPeer = direction === 'to-peer';
    let next = now;
    if (this.#totalRate !== undefined) next = this.#totalBucket(this.#totalRate, toPeer, now).spend(bytes, now);
    const own = toPeer ? allocation.fromClient : allocation.toClient;
    if (own !== undefined) next = Math.max(next, own.spend(bytes, now));
    count(allocation.traffic, toPeer, 0, bytes);
    count(this.traffic, toPeer, 0, bytes);
    return next;
  }

  #totalBucket(rate: Rate, toPeer: boolean, now: Instant): TokenBucket {
    if (toPeer) {
      this.#totalFromClients ??= new TokenBucket(rate.perSecond, rate.burst, now);
      return this.#totalFromClients;
    }
    this.#totalToClients ??= new TokenBucket(rate.perSecond, rate.burst, now);
    return this.#totalToClients;
  }

  /** RFC 8656 §5: the server "should discard application data traffic that exceeds the bandwidth quota". */
  #exceeded(): false {
    this.#drop('rate-limited', 'bandwidth');
    return false;
  }

  #transactionId(): Uint8Array {
    if (this.#randomAt >= this.#random.length) {
      this.#env.random(this.#random);
      this.#randomAt = 0;
    }
    const id = this.#random.subarray(this.#randomAt, this.#randomAt + TRANSACTION_ID_BYTES);
    this.#randomAt += TRANSACTION_ID_BYTES;
    return id;
  }
}

/** RFC 8656 §13.1 to §13.3: between datagrams, where one side is IPv6, "the DONT-FRAGMENT attribute MUST be ignored". */
function heedsFragments(allocation: Allocation, relay: Relay): boolean {
  return allocation.isStream || (relay.family === 4 && ipFamily(allocation.path.remote.ip) === 4);
}

function count(traffic: TrafficCounters, toPeer: boolean, packets: number, bytes: number): void {
  if (toPeer) {
    traffic.toPeerPackets += packets;
    traffic.toPeerBytes += bytes;
  } else {
    traffic.toClientPackets += packets;
    traffic.toClientBytes += bytes;
  }
}

/** Below this a loop beats making a view for `set`. */
const LOOP_BYTES = 64;

function copy(from: Uint8Array, start: number, length: number, to: Uint8Array, at: number): void {
  if (length < LOOP_BYTES) for (let i = 0; i < length; i++) to[at + i] = from[start + i]!;
  else to.set(from.subarray(start, start + length), at);
}
