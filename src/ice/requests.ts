import { type FiveTuple, type Instant, NEVER } from '../core/index.ts';
import { CHECK_TIMEOUT_MS, FINAL_WAIT_FACTOR, MAX_SENDS } from './limits.ts';

/** A STUN request that waits for its response. */
export interface PendingRequest<C> {
  /** Hex of the transaction ID. */
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Where it went: the response must come back the same way (RFC 8445 §7.2.5.2.1). */
  readonly path: FiveTuple;
  readonly context: C;
  readonly startedAt: Instant;
  readonly expiresAt: Instant;
  readonly maxSends: number;
  sends: number;
  intervalMs: number;
  dueAt: Instant;
  /** RFC 8445 §7.3.1.4: no more retransmissions, and silence is no failure, but a response still counts. */
  cancelled: boolean;
}

export interface RequestSchedule {
  readonly rtoMs: number;
  /** Default 7 (RFC 8489 §6.2.1 Rc). A consent check is sent once (RFC 7675 §5.1). */
  readonly maxSends?: number;
  /** Longest wait from the first transmission. Default 39.5 s. */
  readonly timeoutMs?: number;
}

/**
 * Requests under way, by transaction ID, and their timers (RFC 8489 §6.2.1): transmissions at 0, 1, 3, 7, 15, 31 and 63
 * RTO, a last wait of 16 RTO, and no longer than `timeoutMs` in all. Bounded: `start` refuses beyond `limit`.
 */
export class RequestTable<C> {
  readonly #limit: number;
  readonly #requests = new Map<string, PendingRequest<C>>();
  #next: Instant = NEVER;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#requests.size;
  }

  get full(): boolean {
    return this.#requests.size >= this.#limit;
  }

  values(): IterableIterator<PendingRequest<C>> {
    return this.#requests.values();
  }

  get(id: string): PendingRequest<C> | undefined {
    return this.#requests.get(id);
  }

  /** The caller sends `bytes` now; `due` says when to send them again. Undefined when the table is full. */
  start(
    id: string,
    bytes: Uint8Array,
    path: FiveTuple,
    context: C,
    schedule: RequestSchedule,
    now: Instant,
  ): PendingRequest<C> | undefined {
    if (this.full) return undefined;
    const maxSends = schedule.maxSends ?? MAX_SENDS;
    const expiresAt = now + (schedule.timeoutMs ?? CHECK_TIMEOUT_MS);
    const firstWait = maxSends === 1 ? schedule.rtoMs * FINAL_WAIT_FACTOR : schedule.rtoMs;
    const request: PendingRequest<C> = {
      id,
      bytes,
      path,
      context,
      startedAt: now,
      expiresAt,
      maxSends,
      sends: 1,
      intervalMs: schedule.rtoMs,
      dueAt: Math.min(now + firstWait, expiresAt),
      cancelled: false,
    };
    this.#requests.set(id, request);
    this.#next = Math.min(this.#next, request.dueAt);
    return request;
  }

  delete(id: string): void {
    if (this.#requests.delete(id)) this.#refresh();
  }

  deleteIf(predicate: (request: PendingRequest<C>) => boolean): void {
    for (const request of this.#requests.values()) if (predicate(request)) this.#requests.delete(request.id);
    this.#refresh();
  }

  cancel(request: PendingRequest<C>): void {
    request.cancelled = true;
    request.dueAt = request.expiresAt;
    this.#refresh();
  }

  /** Earliest deadline, or NEVER. */
  next(): Instant {
    return this.#next;
  }

  /**
   * Takes one request that is due: `resend` its bytes, or it has timed out and is forgotten. Undefined when none is.
   * Deadlines follow from deadlines, so a late driver does not stretch the schedule.
   */
  due(now: Instant): { readonly request: PendingRequest<C>; readonly resend: boolean } | undefined {
    if (this.#next > now) return undefined;
    for (const request of this.#requests.values()) {
      if (request.dueAt > now) continue;
      const resend = !request.cancelled && request.sends < request.maxSends && request.dueAt < request.expiresAt;
      if (resend) {
        request.sends++;
        request.intervalMs *= 2;
        const last = request.sends === request.maxSends;
        const wait = last ? (FINAL_WAIT_FACTOR * request.intervalMs) / 2 ** (request.sends - 1) : request.intervalMs;
        request.dueAt = Math.min(request.dueAt + wait, request.expiresAt);
      } else {
        this.#requests.delete(request.id);
      }
      this.#refresh();
      return { request, resend };
    }
    return undefined;
  }

  #refresh(): void {
    let next = NEVER;
    for (const request of this.#requests.values()) if (request.dueAt < next) next = request.dueAt;
    this.#next = next;
  }
}
