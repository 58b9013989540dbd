import {
  type DeadlineHeap,
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  NEVER,
  UsageError,
} from '../../core/index.ts';
import type { Relay } from './allocation.ts';
import { Allocation, type AllocationParameters, isStream } from './allocation.ts';
import type { Expiry } from './expiry.ts';
import type { FleetOptions } from './fleet.ts';
import type { PortKind, RelayTable } from './relay-table.ts';
import type { ReleaseReason, TurnServerEvent } from './types.ts';

/** What a new allocation wants of relays: fresh ports, or one that was reserved. */
export type RelayWish =
  | { readonly type: 'open'; readonly families: readonly (4 | 6)[]; readonly kind: PortKind }
  | { readonly type: 'reserved'; readonly relay: Relay };

/**
 * The allocations of a server (RFC 8656 §6): found by 5-tuple, counted by user, open when their sockets are, ended when
 * their relayed addresses expire.
 */
export class AllocationTable {
  readonly #relays: RelayTable;
  readonly #deadlines: DeadlineHeap<Expiry>;
  readonly #emit: (event: TurnServerEvent) => void;
  readonly #onSettled: (allocation: Allocation, now: Instant) => void;
  readonly #onReleased: (allocation: Allocation) => void;
  readonly #all = new Set<Allocation>();
  /** An allocation that is moving has two paths. */
  readonly #byPath = new Map<string, Allocation>();
  readonly #perUser = new Map<string, number>();
  readonly #byTransport: Record<FiveTuple['protocol'], number> = { udp: 0, tcp: 0, tls: 0, dtls: 0 };
  readonly #fleet: FleetOptions | undefined;
  /** Allocations that wait for the fleet's word. */
  readonly #admissions = new Map<number, { readonly allocation: Allocation; readonly wish: RelayWish }>();
  #lastAdmission = 0;
  /** Since construction, open ones. */
  total = 0;

  /** @param onSettled - the answer to Allocate is due: success where the allocation has relays, else 508. */
  constructor(
    relays: RelayTable,
    deadlines: DeadlineHeap<Expiry>,
    emit: (event: TurnServerEvent) => void,
    onSettled: (allocation: Allocation, now: Instant) => void,
    onReleased: (allocation: Allocation) => void,
    fleet: FleetOptions | undefined,
  ) {
    this.#fleet = fleet;
    this.#relays = relays;
    this.#deadlines = deadlines;
    this.#emit = emit;
    this.#onSettled = onSettled;
    this.#onReleased = onReleased;
  }

  get size(): number {
    return this.#all.size;
  }

  get byTransport(): Readonly<Record<FiveTuple['protocol'], number>> {
    return this.#byTransport;
  }

  find(path: FiveTuple): Allocation | undefined {
    return this.#byPath.get(formatFiveTuple(path));
  }

  /** Allocations and reservations of a user. */
  countOf(quotaKey: string): number {
    return this.#perUser.get(quotaKey) ?? 0;
  }

  all(): Allocation[] {
    return [...this.#all];
  }

  create(parameters: Omit<AllocationParameters, 'onDeadline'>, wish: RelayWish, now: Instant): void {
    const onDeadline = (expired: Allocation, at: Instant) => this.#expire(expired, at);
    const allocation = new Allocation({ ...parameters, onDeadline }, now);
    this.#all.add(allocation);
    this.#byPath.set(formatFiveTuple(allocation.path), allocation);
    this.#byTransport[allocation.path.protocol]++;
    if (this.#fleet?.asksAdmission === true) {
      allocation.isCounted = false; // by us: whoever admits it counts it
      this.#countHere(allocation.quotaKey, 1);
      const admission = ++this.#lastAdmission;
      this.#admissions.set(admission, { allocation, wish });
      const { quotaKey, path } = allocation;
      this.#emit({ type: 'ask-admission', admission, quotaKey, path });
      return;
    }
    this.#count(allocation.quotaKey, 1);
    this.#start(allocation, wish, now);
  }

  /** The fleet has counted one more allocation on its user, or refuses to. @throws {UsageError} when it was not asked. */
  admitted(admission: number, allowed: boolean, now: Instant): void {
    const waiting = this.#admissions.get(admission);
    if (waiting === undefined) throw new UsageError(`admission ${admission} was not asked for`);
    this.#admissions.delete(admission);
    const { allocation, wish } = waiting;
    if (allocation.state !== 'closed' && allowed) {
      allocation.isCounted = true;
      this.#start(allocation, wish, now);
      return;
    }
    if (allowed) this.#fleet?.quota.add(allocation.quotaKey, -1); // the client has gone meanwhile
    if (wish.type === 'reserved') this.#relays.close(wish.relay);
    if (allocation.state === 'closed') return;
    allocation.refusal = 486;
    this.release(allocation, 'relay-failed', now);
    this.#onSettled(allocation, now);
  }

  #start(allocation: Allocation, wish: RelayWish, now: Instant): void {
    if (wish.type === 'reserved') this.#settle(allocation, [wish.relay], now);
    else this.#open(allocation, wish.families, wish.kind, now);
  }

  /** Sets the lifetime of some relays of an allocation, in seconds. */
  setLifetime(allocation: Allocation, relays: readonly Relay[], lifetimeS: number, now: Instant): void {
    for (const relay of relays) relay.expiresAt = now + lifetimeS * 1000;
    this.#deadlines.set(allocation.deadline, allocation.expiresAt);
  }

  /** Ends one relayed address (RFC 8656 §8.1: of a dual allocation), and the allocation with the last one. */
  closeRelay(allocation: Allocation, relay: Relay, reason: ReleaseReason, now: Instant): void {
    if (allocation.relays.length === 1) {
      this.release(allocation, reason, now);
      return;
    }
    this.#relays.close(relay);
    allocation.dropRelay(relay);
    this.#deadlines.set(allocation.deadline, allocation.expiresAt);
  }

  /** Ends an allocation with all it has. Idempotent. */
  release(allocation: Allocation, reason: ReleaseReason, now: Instant): void {
    if (allocation.state === 'closed') return;
    const wasOpen = allocation.state === 'open';
    allocation.state = 'closed';
    this.#onReleased(allocation);
    this.#deadlines.remove(allocation.deadline);
    this.#all.delete(allocation);
    this.cancelMove(allocation);
    this.#byPath.delete(formatFiveTuple(allocation.path));
    this.#byTransport[allocation.path.protocol]--;
    if (allocation.isCounted) this.#count(allocation.quotaKey, -1);
    else this.#countHere(allocation.quotaKey, -1);
    for (const relay of allocation.relays) this.#relays.close(relay);
    if (!wasOpen) return;
    const { username, path, traffic, createdAt } = allocation;
    const relayed = allocation.relays.map((relay) => relay.external);
    this.#emit({ type: 'released', username, path, relayed, reason, durationMs: now - createdAt, traffic });
  }

  /** The client will go on from another path (RFC 8016 §3.2.2); the old one serves until it does. */
  announceMove(allocation: Allocation, path: FiveTuple): void {
    this.cancelMove(allocation);
    allocation.nextPath = path;
    this.#byPath.set(formatFiveTuple(path), allocation);
  }

  /** The client has arrived there, or the old path is gone. */
  completeMove(allocation: Allocation): void {
    const { path: from, nextPath, username } = allocation;
    if (nextPath === undefined) return;
    this.#byPath.delete(formatFiveTuple(from));
    this.#byTransport[from.protocol]--;
    this.#byTransport[nextPath.protocol]++;
    allocation.nextPath = undefined;
    allocation.path = nextPath;
    allocation.isStream = isStream(nextPath);
    this.#emit({ type: 'moved', username, from, path: nextPath });
  }

  /** The client stays where it is: the path that it meant to go on from is gone. */
  cancelMove(allocation: Allocation): void {
    if (allocation.nextPath !== undefined) this.#byPath.delete(formatFiveTuple(allocation.nextPath));
    allocation.nextPath = undefined;
  }

  #open(allocation: Allocation, families: readonly (4 | 6)[], kind: PortKind, now: Instant): void {
    let waiting = families.length;
    const opened: Relay[] = [];
    for (const family of families) {
      const settled = (relays: readonly Relay[], at: Instant): void => {
        waiting--;
        const [relay, neighbour] = relays;
        if (relay !== undefined) opened.push(relay);
        else allocation.addressError = { family, code: this.#relays.supports(family) ? 508 : 440 };
        if (neighbour !== undefined) this.#reserve(allocation, neighbour, at);
        if (waiting === 0) this.#settle(allocation, opened, at);
      };
      this.#relays.open(family, allocation.transport, kind, settled, now);
    }
  }

  #settle(allocation: Allocation, relays: readonly Relay[], now: Instant): void {
    if (allocation.state === 'closed') {
      for (const relay of relays) this.#relays.close(relay); // the client has gone meanwhile
      return;
    }
    allocation.relays = relays.toSorted((a, b) => a.family - b.family);
    if (relays.length === 0) {
      this.release(allocation, 'relay-failed', now);
    } else {
      allocation.state = 'open';
      this.total++;
      for (const relay of relays) relay.allocation = allocation;
      this.setLifetime(allocation, relays, allocation.lifetimeS, now);
      const { username, realm, path, lifetimeS } = allocation;
      const relayed = relays.map((relay) => relay.external);
      const origin = allocation.origin === '' ? undefined : allocation.origin;
      this.#emit({ type: 'allocated', username, realm, origin, path, relayed, lifetimeS });
    }
    this.#onSettled(allocation, now);
  }

  #reserve(allocation: Allocation, relay: Relay, now: Instant): void {
    const { quotaKey } = allocation;
    this.#count(quotaKey, 1);
    const expired = () => this.#count(quotaKey, -1);
    allocation.reservationToken = this.#relays.reserve(relay, quotaKey, expired, now);
  }

  /** Takes a reserved relay by its token; undefined when the token is not good. */
  claim(token: Uint8Array): Relay | undefined {
    const claimed = this.#relays.claim(token);
    if (claimed !== undefined) this.#count(claimed.quotaKey, -1);
    return claimed?.relay;
  }

  #expire(allocation: Allocation, now: Instant): void {
    for (const relay of allocation.relays) {
      if (relay.expiresAt <= now) this.closeRelay(allocation, relay, 'expired', now);
    }
    if (!allocation.isClosed && allocation.expiresAt !== NEVER) {
      this.#deadlines.set(allocation.deadline, allocation.expiresAt);
    }
  }

  #count(quotaKey: string, change: 1 | -1): void {
    this.#fleet?.quota.add(quotaKey, change);
    this.#countHere(quotaKey, change);
  }

  #countHere(quotaKey: string, change: 1 | -1): void {
    const count = this.countOf(quotaKey) + change;
    if (count > 0) this.#perUser.set(quotaKey, count);
    else this.#perUser.delete(quotaKey);
  }
}
