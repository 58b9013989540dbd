import {
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Instant,
  ipFamily,
  NEVER,
  Ring,
  sameAddress,
  type TransportAddress,
} from '../core/index.ts';
import type { LocalCandidate } from './candidate.ts';
import {
  GATHERING_TIMEOUT_MS,
  KEEPALIVE_MS,
  MAX_GATHERING_TRANSACTIONS,
  MAX_STUN_SERVERS,
  MIN_RTO_MS,
} from './limits.ts';
import { type PendingRequest, RequestTable } from './requests.ts';

/** A STUN server as the caller named it. */
export interface StunServerEntry {
  readonly address: TransportAddress;
  readonly url: string | undefined;
}

/** One Binding request from a base to a server. */
export interface GatheringTask {
  readonly host: LocalCandidate;
  readonly server: StunServerEntry;
  readonly path: FiveTuple;
  /** A repetition that keeps the NAT binding alive (RFC 8445 §5.1.1.4); its outcome changes nothing. */
  readonly keepalive: boolean;
}

/**
 * Which Binding requests are to be sent to find server-reflexive candidates (RFC 8445 §5.1.1.2): one from every UDP host
 * base to every server of its address family, paced by Ta (§14.2), repeated as RFC 8489 §6.2.1 says. It holds no
 * candidates; the agent makes them of the outcomes.
 */
export class Gatherer {
  readonly requests: RequestTable<GatheringTask> = new RequestTable(MAX_GATHERING_TRANSACTIONS);
  readonly #taMs: number;
  readonly #refused: () => void;
  readonly #servers: StunServerEntry[] = [];
  readonly #hosts: LocalCandidate[] = [];
  readonly #waiting: Ring<GatheringTask> = new Ring(MAX_GATHERING_TRANSACTIONS);
  #found: { readonly task: GatheringTask; keepaliveAt: Instant }[] = [];
  #nextSendAt: Instant = -NEVER;

  /** @param refused - a base and a server that would be one request too many. */
  constructor(taMs: number, refused: () => void) {
    this.#taMs = taMs;
    this.#refused = refused;
  }

  /** False when the bound is reached. A server that is known already counts as added. */
  addServer(server: StunServerEntry): boolean {
    const key = formatAddress(server.address);
    if (this.#servers.some((known) => formatAddress(known.address) === key)) return true;
    if (this.#servers.length >= MAX_STUN_SERVERS) return false;
    this.#servers.push(server);
    for (const host of this.#hosts) this.#plan(host, server);
    return true;
  }

  /** It is not asked again; what has been asked already may still be answered. */
  removeServer(address: TransportAddress): void {
    const at = this.#servers.findIndex((known) => sameAddress(known.address, address));
    if (at >= 0) this.#servers.splice(at, 1);
  }

  addHost(host: LocalCandidate): void {
    if (host.protocol !== 'udp') return;
    this.#hosts.push(host);
    for (const server of this.#servers) this.#plan(host, server);
  }

  /** The socket is gone. */
  removeHost(base: TransportAddress): void {
    const kept = this.#hosts.filter((host) => !sameAddress(host.base, base));
    this.#hosts.splice(0, this.#hosts.length, ...kept);
    const waiting = [...this.#waiting].filter((task) => !sameAddress(task.host.base, base));
    this.#waiting.clear();
    for (const task of waiting) this.#waiting.push(task);
    this.#found = this.#found.filter(({ task }) => !sameAddress(task.host.base, base));
    this.requests.deleteIf((request) => sameAddress(request.path.local, base));
  }

  /** A new generation: everything is asked again, from hosts that are added again. */
  reset(): void {
    this.#hosts.length = 0;
    this.#waiting.clear();
    this.#found = [];
    this.requests.deleteIf(() => true);
  }

  /** Nothing waits and nothing is under way. */
  get idle(): boolean {
    if (this.#waiting.length > 0) return false;
    for (const request of this.requests.values()) if (!request.context.keepalive) return false;
    return true;
  }

  /** The next request to send now, or undefined. The caller encodes it and calls `sent`. */
  next(now: Instant): GatheringTask | undefined {
    if (now < this.#nextSendAt) return undefined;
    const task = this.#waiting.shift() ?? this.#dueKeepalive(now);
    if (task !== undefined)
      this.#nextSendAt = (now - this.#nextSendAt < this.#taMs ? this.#nextSendAt : now) + this.#taMs;
    return task;
  }

  sent(id: string, bytes: Uint8Array, task: GatheringTask, now: Instant): void {
    // RFC 8445 §14.3: MAX(500 ms, Ta · candidates still to be asked for).
    const rtoMs = Math.max(MIN_RTO_MS, this.#taMs * (this.#waiting.length + this.requests.size));
    const schedule = task.keepalive ? { rtoMs, maxSends: 1 } : { rtoMs, timeoutMs: GATHERING_TIMEOUT_MS };
    this.requests.start(id, bytes, task.path, task, schedule, now);
  }

  /** The response to a request: takes it from the table. Undefined when it is unknown or came from elsewhere. */
  answered(id: string, path: FiveTuple): PendingRequest<GatheringTask> | undefined {
    const request = this.requests.get(id);
    if (request === undefined || formatFiveTuple(request.path) !== formatFiveTuple(path)) return undefined;
    this.requests.delete(id);
    return request;
  }

  /** RFC 8445 §5.1.1.4: the binding is to be kept alive until `stopKeepalives`. */
  keepAlive(task: GatheringTask, now: Instant): void {
    this.#found.push({ task: { ...task, keepalive: true }, keepaliveAt: now + KEEPALIVE_MS });
  }

  /** ICE has concluded: the selected pair keeps its own binding, the others may go (RFC 8445 §8.3). */
  stopKeepalives(): void {
    this.#found = [];
    this.requests.deleteIf((request) => request.context.keepalive);
  }

  nextTimeout(): Instant {
    let at = this.requests.next();
    if (this.#waiting.length > 0) at = Math.min(at, this.#nextSendAt);
    for (const { keepaliveAt } of this.#found) at = Math.min(at, Math.max(keepaliveAt, this.#nextSendAt));
    return at;
  }

  #plan(host: LocalCandidate, server: StunServerEntry): void {
    if (ipFamily(host.base.ip) !== ipFamily(server.address.ip)) return;
    const path: FiveTuple = { protocol: 'udp', local: host.base, remote: server.address };
    if (!this.#waiting.push({ host, server, path, keepalive: false })) this.#refused();
  }

  #dueKeepalive(now: Instant): GatheringTask | undefined {
    const due = this.#found.find(({ keepaliveAt }) => keepaliveAt <= now);
    if (due === undefined) return undefined;
    // After a driver has slept, one for each binding and not one for each interval that was missed.
    due.keepaliveAt += KEEPALIVE_MS;
    if (due.keepaliveAt <= now) due.keepaliveAt = now + KEEPALIVE_MS;
    return due.task;
  }
}
