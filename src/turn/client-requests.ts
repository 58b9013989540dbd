import { ByteWriter, type Env, type FiveTuple, type Instant, NEVER, Ring } from '../core/index.ts';
import {
  DATAGRAM_SCHEDULE,
  newTransactionId,
  RetransmissionSchedule,
  RtoEstimator,
  type ScheduleOptions,
  STREAM_SCHEDULE,
  StunWriter,
  transactionKey,
} from '../stun/index.ts';
import { MAX_OUTSTANDING_REQUESTS } from './limits.ts';

/** Room for the largest request: Allocate with all credential attributes, each of them at its longest. */
const MAX_REQUEST_BYTES = 8192;

/** One request on its way. `T` says what it is for. */
export interface TurnRequest<T> {
  readonly purpose: T;
  readonly method: number;
  readonly path: FiveTuple;
  /** As sent; retransmissions are bit-wise identical. */
  readonly bytes: Uint8Array;
  readonly transactionId: Uint8Array;
  /** Whether it carried credentials. */
  readonly signed: boolean;
  readonly schedule: RetransmissionSchedule;
  readonly startedAt: Instant;
  /** Challenges that this purpose has met so far. */
  readonly challenges: number;
  sendPending: boolean;
}

/** What to send: attributes and signature are written when the request's turn comes. */
export interface RequestPlan<T> {
  readonly purpose: T;
  readonly method: number;
  readonly path: FiveTuple;
  readonly challenges: number;
  /** Writes attributes and signature; returns whether it signed. */
  write(w: StunWriter): boolean;
}

/**
 * The requests of one TURN client: at most ten at a time (RFC 8489 §6.2), the others wait in order; each retransmitted by
 * RFC 8489 §6.2.1 or, on a stream, sent once.
 */
export class RequestTable<T> {
  readonly #env: Env;
  readonly #reliable: boolean;
  readonly #rto: RtoEstimator = new RtoEstimator();
  readonly #outstanding = new Map<string, TurnRequest<T>>();
  readonly #waiting = new Ring<RequestPlan<T>>();
  readonly #scratch: Uint8Array = new Uint8Array(MAX_REQUEST_BYTES);

  constructor(env: Env, reliable: boolean) {
    this.#env = env;
    this.#reliable = reliable;
  }

  /** Sends now, or when fewer than ten are outstanding. */
  start(plan: RequestPlan<T>, now: Instant): void {
    if (this.#outstanding.size >= MAX_OUTSTANDING_REQUESTS) this.#waiting.push(plan);
    else this.#send(plan, now);
  }

  find(transactionId: Uint8Array): TurnRequest<T> | undefined {
    return this.#outstanding.get(transactionKey(transactionId));
  }

  /** The request has its answer: a round trip is measured, unless it was sent twice (RFC 8489 §6.2.1). */
  answered(request: TurnRequest<T>, now: Instant): void {
    if (request.schedule.sends === 1) this.#rto.update(now - request.startedAt, now);
    this.finish(request, now);
  }

  /** The request is done with. Lets the next waiting one go. */
  finish(request: TurnRequest<T>, now: Instant): void {
    this.#outstanding.delete(transactionKey(request.transactionId));
    while (this.#outstanding.size < MAX_OUTSTANDING_REQUESTS) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#send(next, now);
    }
  }

  /** Retransmits what is due, and takes out what has failed. */
  handleTimeout(now: Instant): TurnRequest<T>[] {
    const failed: TurnRequest<T>[] = [];
    for (const request of this.#outstanding.values()) {
      const due = request.schedule.advance(now);
      if (due === 'send') request.sendPending = true;
      else if (due === 'failed') failed.push(request);
    }
    for (const request of failed) this.finish(request, now);
    return failed;
  }

  /** The next request to put on the wire. */
  takePending(): TurnRequest<T> | undefined {
    for (const request of this.#outstanding.values()) {
      if (!request.sendPending) continue;
      request.sendPending = false;
      return request;
    }
    return undefined;
  }

  nextTimeout(): Instant {
    let next = NEVER;
    for (const request of this.#outstanding.values()) next = Math.min(next, request.schedule.dueAt);
    return next;
  }

  clear(): void {
    this.#outstanding.clear();
    this.#waiting.clear();
  }

  #schedule(now: Instant): ScheduleOptions {
    return this.#reliable ? STREAM_SCHEDULE : { ...DATAGRAM_SCHEDULE, rtoMs: this.#rto.rtoMs(now) };
  }

  #send(plan: RequestPlan<T>, now: Instant): void {
    const transactionId = newTransactionId(this.#env);
    const w = new StunWriter(new ByteWriter(this.#scratch), 'request', plan.method, transactionId);
    const signed = plan.write(w);
    this.#outstanding.set(transactionKey(transactionId), {
      purpose: plan.purpose,
      method: plan.method,
      path: plan.path,
      bytes: w.written().slice(),
      transactionId,
      signed,
      schedule: new RetransmissionSchedule(now, this.#schedule(now)),
      startedAt: now,
      challenges: plan.challenges,
      sendPending: true,
    });
  }
}
