import { formatAddress, type Instant, NEVER, Ring, type TransportAddress } from '../core/index.ts';
import { MAX_CHANNEL, MIN_CHANNEL } from './channel-data.ts';
import { MAX_CLIENT_PEERS, MAX_QUEUED_DATAGRAMS, MAX_QUEUED_PER_PEER } from './limits.ts';

/** For a peer; the bytes are our own. */
export interface PeerDatagram {
  readonly peer: TransportAddress;
  readonly bytes: Uint8Array;
}

/** A permission for one IP address (RFC 8656 §9), as the client keeps it alive. */
export interface ClientPermission {
  readonly ip: string;
  state: 'requested' | 'active';
  /** When to ask for it again; `NEVER` while a request is on its way. */
  refreshAt: Instant;
  /** Datagrams that wait for it; copies. */
  readonly queued: PeerDatagram[];
}

/** A channel binding (RFC 8656 §12). Its number belongs to the peer for the life of the allocation. */
export interface ClientChannel {
  readonly number: number;
  readonly peer: TransportAddress;
  state: 'requested' | 'bound' | 'failed';
  refreshAt: Instant;
}

/**
 * Permissions and channels of one allocation. Numbers are handed out once and not reused, so the five minutes' wait of
 * RFC 8656 §12 between two uses of a number never comes up.
 */
export class PeerTable {
  readonly permissions: Map<string, ClientPermission> = new Map();
  readonly channels: Map<number, ClientChannel> = new Map();
  /** Datagrams that may go now. */
  readonly outgoing: Ring<PeerDatagram> = new Ring<PeerDatagram>(MAX_QUEUED_DATAGRAMS);
  readonly #byPeer = new Map<string, ClientChannel>();
  /** Address objects are stable per path, so that the packet path needs no text key. */
  #byObject = new WeakMap<TransportAddress, ClientChannel>();
  #nextNumber = MIN_CHANNEL;

  /** A new permission; undefined at the bound. */
  addPermission(ip: string): ClientPermission | undefined {
    if (this.permissions.size >= MAX_CLIENT_PEERS) return undefined;
    const permission: ClientPermission = { ip, state: 'requested', refreshAt: NEVER, queued: [] };
    this.permissions.set(ip, permission);
    return permission;
  }

  /**
   * Takes a datagram to send, now or when its permission stands. The oldest that waits for a permission goes when there
   * are too many.
   * @returns false when a datagram was dropped for it.
   */
  queue(permission: ClientPermission, datagram: PeerDatagram): boolean {
    if (permission.state === 'active') return this.outgoing.push(datagram);
    permission.queued.push(datagram);
    if (permission.queued.length <= MAX_QUEUED_PER_PEER) return true;
    permission.queued.shift();
    return false;
  }

  /** The permission stands: what waited for it may go. Returns how many did not fit. */
  release(permission: ClientPermission): number {
    permission.state = 'active';
    let dropped = 0;
    for (const datagram of permission.queued.splice(0)) if (!this.outgoing.push(datagram)) dropped++;
    return dropped;
  }

  /** The channel of a peer, bound or not. */
  channelOf(peer: TransportAddress): ClientChannel | undefined {
    let channel = this.#byObject.get(peer);
    if (channel !== undefined) return channel;
    channel = this.#byPeer.get(formatAddress(peer));
    if (channel !== undefined) this.#byObject.set(peer, channel);
    return channel;
  }

  /** A channel with the next free number; undefined when all are used. */
  addChannel(peer: TransportAddress): ClientChannel | undefined {
    if (this.#nextNumber > MAX_CHANNEL) return undefined;
    const channel: ClientChannel = { number: this.#nextNumber++, peer, state: 'requested', refreshAt: NEVER };
    this.channels.set(channel.number, channel);
    this.#byPeer.set(formatAddress(peer), channel);
    this.#byObject.set(peer, channel);
    return channel;
  }

  nextTimeout(): Instant {
    let next = NEVER;
    for (const permission of this.permissions.values()) next = Math.min(next, permission.refreshAt);
    for (const channel of this.channels.values()) next = Math.min(next, channel.refreshAt);
    return next;
  }

  clear(): void {
    this.outgoing.clear();
    this.permissions.clear();
    this.channels.clear();
    this.#byPeer.clear();
    this.#byObject = new WeakMap();
  }
}
