import {
  type DeadlineHeap,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  type TransportAddress,
} from '../../core/index.ts';
import type { Allocation, PendingAnswer, Relay } from './allocation.ts';
import { createExpiry, type Expiry } from './expiry.ts';
import { MAX_PEER_CONNECTIONS } from './limits.ts';
import type { ConnectionId, TurnServerEvent } from './types.ts';

/** RFC 6062 §5.2: for the connection to the peer, and then for the ConnectionBind. */
export const CONNECTION_TIMEOUT_MS = 30_000;

/** A TCP connection between a relayed address and a peer (RFC 6062 §5.2, §5.3). */
export interface PeerConnection {
  readonly id: ConnectionId;
  readonly allocation: Allocation;
  readonly peer: TransportAddress;
  /** `pending`: it stands, and waits for a client data connection. */
  state: 'connecting' | 'pending' | 'bound';
  readonly expiry: Expiry;
  /** Of the Connect that asked for it; undefined for one that the peer opened. */
  readonly answer: PendingAnswer | undefined;
}

/** The peer data connections of a server: their numbers, their bounds, and how long they wait. */
export class PeerConnections {
  readonly #env: Env;
  readonly #deadlines: DeadlineHeap<Expiry>;
  readonly #emit: (event: TurnServerEvent) => void;
  readonly #onTimeout: (connection: PeerConnection) => void;
  readonly #byId = new Map<ConnectionId, PeerConnection>();
  readonly #byAllocation = new Map<Allocation, Set<PeerConnection>>();

  /** @param onTimeout - a connection to a peer did not come about: 447. */
  constructor(
    env: Env,
    deadlines: DeadlineHeap<Expiry>,
    emit: (event: TurnServerEvent) => void,
    onTimeout: (connection: PeerConnection) => void,
  ) {
    this.#env = env;
    this.#deadlines = deadlines;
    this.#emit = emit;
    this.#onTimeout = onTimeout;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Begins a connection to a peer. @returns 446 when there is one, 508 at the bound. */
  connect(
    allocation: Allocation,
    relay: Relay,
    peer: TransportAddress,
    answer: PendingAnswer,
    now: Instant,
  ): 446 | 508 | undefined {
    const key = formatAddress(peer);
    const others = this.#byAllocation.get(allocation) ?? new Set<PeerConnection>();
    if ([...others].some((other) => other.answer !== undefined && formatAddress(other.peer) === key)) return 446;
    const connection = this.#add(allocation, peer, 'connecting', answer, now);
    if (connection === undefined) return 508;
    this.#emit({ type: 'connect-peer', connection: connection.id, local: relay.local, peer });
    return undefined;
  }

  /** The peer opened it. Undefined at the bound. */
  accept(allocation: Allocation, peer: TransportAddress, now: Instant): PeerConnection | undefined {
    return this.#add(allocation, peer, 'pending', undefined, now);
  }

  /** The shell has connected; undefined when nobody waits for it any more. */
  connected(id: ConnectionId, now: Instant): PeerConnection | undefined {
    const connection = this.#byId.get(id);
    if (connection?.state !== 'connecting') return undefined;
    connection.state = 'pending';
    this.#deadlines.set(connection.expiry, now + CONNECTION_TIMEOUT_MS);
    return connection;
  }

  /** A connection that waits for its ConnectionBind. */
  pending(id: ConnectionId): PeerConnection | undefined {
    const connection = this.#byId.get(id);
    return connection?.state === 'pending' ? connection : undefined;
  }

  /** One whose two sides are joined. */
  bound(id: ConnectionId): PeerConnection | undefined {
    const connection = this.#byId.get(id);
    return connection?.state === 'bound' ? connection : undefined;
  }

  /** RFC 6062 §5.4: from now on the two carry each other's bytes. */
  bind(connection: PeerConnection, path: FiveTuple): void {
    connection.state = 'bound';
    this.#deadlines.remove(connection.expiry);
    this.#emit({ type: 'bind-connection', connection: connection.id, path });
  }

  /** It is over, and the shell knows. @returns what it was. */
  forget(id: ConnectionId): PeerConnection | undefined {
    const connection = this.#byId.get(id);
    if (connection === undefined) return undefined;
    this.#byId.delete(id);
    this.#deadlines.remove(connection.expiry);
    const others = this.#byAllocation.get(connection.allocation);
    others?.delete(connection);
    if (others?.size === 0) this.#byAllocation.delete(connection.allocation);
    return connection;
  }

  /** RFC 6062 §5.5: they end with their allocation. */
  closeAll(allocation: Allocation): void {
    for (const { id } of [...(this.#byAllocation.get(allocation) ?? [])]) this.#close(id);
  }

  #close(id: ConnectionId): void {
    if (this.forget(id) !== undefined) this.#emit({ type: 'close-connection', connection: id });
  }

  #add(
    allocation: Allocation,
    peer: TransportAddress,
    state: PeerConnection['state'],
    answer: PendingAnswer | undefined,
    now: Instant,
  ): PeerConnection | undefined {
    const others = this.#byAllocation.get(allocation) ?? new Set<PeerConnection>();
    if (others.size >= MAX_PEER_CONNECTIONS) return undefined;
    const id = this.#newId();
    const expiry = createExpiry(() => {
      if (connection.state === 'connecting') this.#onTimeout(connection);
      this.#close(id);
    });
    const connection: PeerConnection = { id, allocation, peer, state, expiry, answer };
    this.#byId.set(id, connection);
    this.#byAllocation.set(allocation, others.add(connection));
    this.#deadlines.set(expiry, now + CONNECTION_TIMEOUT_MS);
    return connection;
  }

  /** 32 random bits that are not in use: a number that can be guessed would let another client's bind in. */
  #newId(): ConnectionId {
    const draw = new Uint8Array(4);
    for (;;) {
      this.#env.random(draw);
      const id = ((draw[0]! << 24) | (draw[1]! << 16) | (draw[2]! << 8) | draw[3]!) >>> 0;
      if (id !== 0 && !this.#byId.has(id)) return id;
    }
  }
}
