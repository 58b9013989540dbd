import {
  type FiveTuple,
  formatAddress,
  type Instant,
  ipFamily,
  NEVER,
  type TransportAddress,
} from '../../core/index.ts';
import type { IntegrityAlgorithm, IntegrityKey, LongTermAlgorithm, LongTermSession } from '../../stun/index.ts';
import { CHANNEL_LIFETIME_MS, MAX_CHANNELS, MAX_PERMISSIONS, PERMISSION_LIFETIME_MS } from '../limits.ts';
import { createExpiry, type Expiry } from './expiry.ts';
import type { TokenBucket } from './rate-limits.ts';
import { newTraffic, type RelayId, type TrafficCounters } from './types.ts';

/** IP and UDP headers. */
const IPV4_UDP_BYTES = 20 + 8;
const IPV6_UDP_BYTES = 40 + 8;

/** RFC 8656 §9: for one IP address of peers. */
export interface Permission {
  expiresAt: Instant;
}

/** RFC 8656 §12: a channel number stands for a peer. */
export interface Channel {
  readonly number: number;
  readonly peer: TransportAddress;
  /** From the relayed address to the peer, made once for all datagrams. */
  readonly path: FiveTuple;
  /** Where the peer is a relayed address of this server: data goes there without leaving. */
  readonly isOwn: boolean;
  expiresAt: Instant;
}

/**
 * One relayed transport address with its permissions and channels (RFC 8656 §6). They have no timers: expired ones are
 * skipped when met, and swept when room is needed.
 */
export class Relay {
  readonly id: RelayId;
  /** What the socket is bound to: the object in the paths of its datagrams. */
  readonly local: TransportAddress;
  /** What clients and peers know it by. */
  readonly external: TransportAddress;
  readonly externalKey: string;
  readonly family: 4 | 6;
  /** The longest data that leaves unfragmented; without bound where that is not known. */
  readonly maxUnfragmentedBytes: number;
  /** Undefined while it is reserved for whoever brings the token. */
  allocation: Allocation | undefined;
  expiresAt: Instant = 0;
  isClosed = false;
  readonly #permissions = new Map<string, Permission>();
  readonly #channels = new Map<string, Channel>();

  /** @param mtuBytes - of the interface. */
  constructor(id: RelayId, local: TransportAddress, external: TransportAddress, mtuBytes: number | undefined) {
    this.id = id;
    this.local = local;
    this.external = external;
    this.externalKey = formatAddress(external);
    this.family = ipFamily(local.ip);
    this.maxUnfragmentedBytes =
      (mtuBytes ?? Number.POSITIVE_INFINITY) - (this.family === 4 ? IPV4_UDP_BYTES : IPV6_UDP_BYTES);
  }

  /** The live permission of an IP address (RFC 8656 §9: "only addresses are compared"). */
  permission(ip: string, now: Instant): Permission | undefined {
    const permission = this.#permissions.get(ip);
    return permission !== undefined && permission.expiresAt > now ? permission : undefined;
  }

  /** Whether permissions for all these fit (RFC 8656 §10.2: 508 otherwise). Sweeps expired ones when they do not. */
  hasRoomFor(ips: ReadonlySet<string>, now: Instant): boolean {
    const added = () => [...ips].filter((ip) => !this.#permissions.has(ip)).length;
    if (this.#permissions.size + added() <= MAX_PERMISSIONS) return true;
    for (const [ip, permission] of this.#permissions) if (permission.expiresAt <= now) this.#permissions.delete(ip);
    return this.#permissions.size + added() <= MAX_PERMISSIONS;
  }

  /** Installs or refreshes a permission. */
  permit(ip: string, now: Instant): void {
    const known = this.#permissions.get(ip);
    if (known === undefined) this.#permissions.set(ip, { expiresAt: now + PERMISSION_LIFETIME_MS });
    else known.expiresAt = now + PERMISSION_LIFETIME_MS;
  }

  /** The live channel of a peer. @param key - its `formatAddress`. */
  channelOf(key: string, now: Instant): Channel | undefined {
    if (this.#channels.size === 0) return undefined;
    const channel = this.#channels.get(key);
    return channel !== undefined && channel.expiresAt > now ? channel : undefined;
  }

  /** Adds a channel that is bound neither by number nor by peer; undefined at the bound. */
  addChannel(number: number, peer: TransportAddress, isOwn: boolean, now: Instant): Channel | undefined {
    if (this.#channels.size >= MAX_CHANNELS) {
      for (const [key, channel] of this.#channels) if (channel.expiresAt <= now) this.#channels.delete(key);
      if (this.#channels.size >= MAX_CHANNELS) return undefined;
    }
    const path: FiveTuple = { protocol: 'udp', local: this.local, remote: peer };
    const channel: Channel = { number, peer, path, isOwn, expiresAt: now + CHANNEL_LIFETIME_MS };
    this.#channels.set(formatAddress(peer), channel);
    return channel;
  }
}

/** What the answer to an Allocate needs of the request when that is gone: sockets open later. */
export interface PendingAnswer {
  readonly method: number;
  readonly transactionId: Uint8Array;
  readonly hasFingerprint: boolean;
  readonly algorithm: IntegrityAlgorithm;
  /** Asks for a MOBILITY-TICKET (RFC 8016 §3.1.2). */
  readonly wantsTicket: boolean;
}

/** What an allocation is made of. */
export interface AllocationParameters {
  readonly path: FiveTuple;
  readonly session: LongTermSession & { readonly realm: string };
  /** Towards peers. */
  readonly transport: 'udp' | 'tcp';
  /** Of the Allocate request: as canonical text, empty where there was none. */
  readonly origin: string;
  /** Whom the quota counts. */
  readonly quotaKey: string;
  /** Of the Allocate request, as `transactionKey` writes it. */
  readonly transactionId: string;
  readonly lifetimeS: number;
  readonly fromClient: TokenBucket | undefined;
  readonly toClient: TokenBucket | undefined;
  readonly answer: PendingAnswer;
  readonly onDeadline: (allocation: Allocation, now: Instant) => void;
}

/** An allocation (RFC 8656 §6): a client's 5-tuple, who it is, one or two relayed addresses, and its channels. */
export class Allocation implements LongTermSession {
  readonly kind = 'client';
  path: FiveTuple;
  /** Where the client says it is going (RFC 8016 §3.2.2): in use as soon as data comes from there. */
  nextPath: FiveTuple | undefined;
  /** What a retransmitted move must be answered with. */
  lastMove: { readonly transactionId: string; readonly ticket: Uint8Array } | undefined;
  /** Of the Allocate response. */
  ticket: Uint8Array | undefined;
  readonly transport: 'udp' | 'tcp';
  readonly username: string;
  readonly realm: string;
  readonly origin: string;
  keyAlgorithm: LongTermAlgorithm;
  /** Verifies what the client sends; a Refresh with another token brings another one (RFC 7635 §9). */
  key: IntegrityKey;
  readonly quotaKey: string;
  /** A retransmission of the request that made it gets the same answer (RFC 8656 §7.2). */
  readonly transactionId: string;
  readonly answer: PendingAnswer;
  readonly createdAt: Instant;
  /** Until the relays are open: what the request was granted. */
  readonly lifetimeS: number;
  /** `opening` until its sockets are bound and the response is out. */
  state: 'opening' | 'open' | 'closed' = 'opening';
  /** IPv4 first. */
  relays: readonly Relay[] = [];
  /** Over TCP and TLS ChannelData is padded (RFC 8656 §12.5). */
  isStream: boolean;
  readonly traffic: TrafficCounters = newTraffic();
  readonly fromClient: TokenBucket | undefined;
  readonly toClient: TokenBucket | undefined;
  readonly deadline: Expiry;
  /** Attributes of the success response that a retransmission must repeat. */
  reservationToken: Uint8Array | undefined;
  /** What its Allocate is answered with when it gets no relay. */
  refusal: 486 | 508 = 508;
  /** Whether the fleet's quota counts it, so that its end must be told. */
  isCounted = true;
  addressError: { readonly family: 4 | 6; readonly code: 440 | 508 } | undefined;
  /** Numbers are the allocation's, peers are a relay's: ChannelData does not say which relay it means. */
  readonly #channels = new Map<number, Channel>();

  constructor(parameters: AllocationParameters, now: Instant) {
    this.path = parameters.path;
    this.transport = parameters.transport;
    this.username = parameters.session.username;
    this.realm = parameters.session.realm;
    this.origin = parameters.origin;
    this.keyAlgorithm = parameters.session.keyAlgorithm;
    this.key = parameters.session.key;
    this.quotaKey = parameters.quotaKey;
    this.transactionId = parameters.transactionId;
    this.answer = parameters.answer;
    this.lifetimeS = parameters.lifetimeS;
    this.fromClient = parameters.fromClient;
    this.toClient = parameters.toClient;
    this.createdAt = now;
    this.isStream = isStream(this.path);
    this.deadline = createExpiry((at) => parameters.onDeadline(this, at));
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  relayOf(family: 4 | 6): Relay | undefined {
    return this.relays.find((relay) => relay.family === family);
  }

  /** When the first relay expires. */
  get expiresAt(): Instant {
    return this.relays.reduce((least, relay) => Math.min(least, relay.expiresAt), NEVER);
  }

  /** The live channel of a number. */
  channel(number: number, now: Instant): Channel | undefined {
    const channel = this.#channels.get(number);
    return channel !== undefined && channel.expiresAt > now ? channel : undefined;
  }

  /**
   * Binds a channel, or refreshes it (RFC 8656 §12.2).
   * @returns 400 when the number or the peer is bound otherwise, 508 at the bound.
   */
  bindChannel(
    relay: Relay,
    number: number,
    peer: TransportAddress,
    isOwn: boolean,
    now: Instant,
  ): 400 | 508 | undefined {
    const byNumber = this.channel(number, now);
    if (byNumber !== relay.channelOf(formatAddress(peer), now)) return 400;
    if (byNumber !== undefined) {
      byNumber.expiresAt = now + CHANNEL_LIFETIME_MS;
      return undefined;
    }
    const channel = relay.addChannel(number, peer, isOwn, now);
    if (channel === undefined) return 508;
    this.#channels.set(number, channel);
    return undefined;
  }

  /** Forgets the channels of a relay that is closed. */
  dropRelay(relay: Relay): void {
    this.relays = this.relays.filter((other) => other !== relay);
    for (const [number, channel] of this.#channels) {
      if (channel.path.local === relay.local) this.#channels.delete(number);
    }
  }
}

export function isStream(path: FiveTuple): boolean {
  return path.protocol === 'tcp' || path.protocol === 'tls';
}
