import { type FiveTuple, formatAddress, type TransportAddress } from '../../core/index.ts';
import type { PeerPolicy } from './address-policy.ts';
import type { Allocation, Channel, Permission, Relay } from './allocation.ts';
import type { AllocationTable } from './allocation-table.ts';
import type { RelayTable } from './relay-table.ts';

/** A peer of a relay, as far as its datagrams need it; what it points to may have expired and is then looked up again. */
export class PeerSource {
  readonly kind = 'peer';
  readonly relay: Relay;
  readonly peer: TransportAddress;
  readonly key: string;
  /** One of our own addresses: what comes from there through a socket is no relay's, and not let in. */
  readonly isOwn: boolean;
  permission: Permission | undefined;
  channel: Channel | undefined;

  constructor(relay: Relay, peer: TransportAddress, isOwn: boolean) {
    this.relay = relay;
    this.peer = peer;
    this.key = formatAddress(peer);
    this.isOwn = isOwn;
    this.permission = undefined;
    this.channel = undefined;
  }

  get isClosed(): boolean {
    return this.relay.isClosed;
  }
}

/** What is at the other end of a path: a client with an allocation, or a peer of a relay. */
export type Source = Allocation | PeerSource;

/**
 * Says who is at the other end of a path. Shells hand out one object for each path, so that what was found is kept by
 * identity and a relayed packet needs no text key.
 */
export class Sources {
  readonly #relays: RelayTable;
  readonly #allocations: AllocationTable;
  readonly #policy: PeerPolicy;
  #known = new WeakMap<FiveTuple, Source>();
  #lastPath: FiveTuple | undefined;
  #lastSource: Source | undefined;

  constructor(relays: RelayTable, allocations: AllocationTable, policy: PeerPolicy) {
    this.#relays = relays;
    this.#allocations = allocations;
    this.#policy = policy;
  }

  /** Undefined for a client that has no allocation, of whom nothing is remembered. */
  of(path: FiveTuple): Source | undefined {
    let source = path === this.#lastPath ? this.#lastSource : this.#known.get(path);
    if (source === undefined || source.isClosed) source = this.#find(path);
    this.#lastPath = path;
    this.#lastSource = source;
    return source;
  }

  #find(path: FiveTuple): Source | undefined {
    const relay = this.#relays.atLocal(path.local);
    if (relay === undefined) {
      const allocation = this.#allocations.find(path);
      if (allocation !== undefined) this.#known.set(path, allocation);
      return allocation;
    }
    const source = new PeerSource(relay, path.remote, this.#policy.verdict(path.remote.ip) === 'own');
    this.#known.set(path, source);
    return source;
  }

  /** An allocation has moved (RFC 8016 §3.2.2): its old path means nobody now. */
  forget(): void {
    this.#known = new WeakMap();
    this.#lastPath = undefined;
  }
}
