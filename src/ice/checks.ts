import type { DropReason, Env, FiveTuple, Instant } from '../core/index.ts';
import { IntegrityKey, shortTermKey } from '../stun/index.ts';
import { encodeCheck, encodeKeepalive } from './binding.ts';
import type { Checklist } from './checklist.ts';
import {
  CHECK_TIMEOUT_MS,
  FINAL_WAIT_FACTOR,
  KEEPALIVE_MS,
  MAX_CHECK_TRANSACTIONS,
  MIN_RTO_MS,
  TA_MS,
} from './limits.ts';
import type { CandidatePair } from './pair.ts';
import { type RequestSchedule, RequestTable } from './requests.ts';
import type { IceParameters, IceRole } from './types.ts';

/** What sending checks needs of the agent. */
export interface CheckHost {
  readonly env: Env;
  readonly role: IceRole;
  readonly tieBreaker: bigint;
  readonly taMs: number;
  send(bytes: Uint8Array, path: FiveTuple): void;
  drop(reason: DropReason, detail: string): void;
}

/** What a check or consent request was sent for. */
export interface CheckContext {
  readonly kind: 'check' | 'consent';
  readonly pair: CandidatePair;
  /** The role its attribute claimed. */
  readonly role: IceRole;
  /** It carried USE-CANDIDATE. */
  readonly nominating: boolean;
  /** Its PRIORITY attribute: the priority of a peer-reflexive candidate that it discovers. */
  readonly priority: number;
}

/** RFC 8489 §6.2.2: over a reliable transport a request is sent once, and waited for as long as all of them. */
const ONCE_OVER_TCP: RequestSchedule = { rtoMs: CHECK_TIMEOUT_MS / FINAL_WAIT_FACTOR, maxSends: 1 };

/** Sends connectivity and consent checks and keeps their transactions: credentials, pacing, RTO. */
export class CheckSender {
  readonly requests: RequestTable<CheckContext> = new RequestTable(MAX_CHECK_TRANSACTIONS);
  readonly #host: CheckHost;
  readonly #checklist: Checklist;
  readonly #localUfrag: string;
  #remoteUfrag = '';
  #remoteKey: IntegrityKey | undefined;
  #taMs: number;
  #nextAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(host: CheckHost, checklist: Checklist, localUfrag: string) {
    this.#host = host;
    this.#checklist = checklist;
    this.#localUfrag = localUfrag;
    this.#taMs = host.taMs;
  }

  /** RFC 8445 §7.2.2: the peer's credentials; nothing can be sent before. */
  setRemote(remote: IceParameters): void {
    this.#remoteUfrag = remote.ufrag;
    this.#remoteKey = new IntegrityKey(this.#host.env.crypto, shortTermKey(remote.pwd));
    // RFC 8445 §14.2: both use the higher. RFC 8839 §5.5: who says nothing means the default.
    this.#taMs = Math.max(this.#host.taMs, remote.pacingMs ?? TA_MS);
  }

  /** Of the peer's password: what its responses are protected with. */
  get remoteKey(): IntegrityKey | undefined {
    return this.#remoteKey;
  }

  /** When the next paced check may be sent. */
  get nextAt(): Instant {
    return this.#nextAt;
  }

  /** A paced check is sent now; the next one follows Ta later (RFC 8445 §6.1.4.2). */
  takeTurn(now: Instant): void {
    // From the last deadline while busy, so that a late driver does not slow the checks down; from now after idling.
    this.#nextAt = (now - this.#nextAt < this.#taMs ? this.#nextAt : now) + this.#taMs;
  }

  /** RFC 8445 §7.2.4. False: the bound on transactions is reached. */
  check(pair: CandidatePair, now: Instant): boolean {
    const nominating = pair.useCandidate && this.#host.role === 'controlling';
    pair.useCandidate = false;
    pair.state = 'in-progress';
    // RFC 8445 §14.3 lets the RTO grow with the number of checks, so that each first transmission leaves before any
    // retransmission. Linear in the checks under way: the product of the formula would wait minutes with 100 pairs.
    const rtoMs = Math.max(MIN_RTO_MS, this.#taMs * this.#checklist.load);
    const schedule = pair.local.protocol === 'udp' ? { rtoMs } : ONCE_OVER_TCP;
    if (!this.#send(pair, 'check', nominating, schedule, now)) return false;
    pair.requestsSent++;
    return true;
  }

  /** RFC 7675 §5.1: a new transaction each time, sent once. */
  consent(pair: CandidatePair, nominating: boolean, now: Instant): void {
    if (this.#send(pair, 'consent', nominating, { rtoMs: MIN_RTO_MS, maxSends: 1 }, now)) pair.consentRequestsSent++;
  }

  /** RFC 8445 §11: between two lite agents, where no checks keep the path open. */
  keepAlive(pair: CandidatePair, now: Instant): void {
    this.#host.send(encodeKeepalive(this.#host.env), pair.path);
    pair.consentAt = now + KEEPALIVE_MS;
  }

  /**
   * RFC 8445 §7.3.1.4: checks of a pair that is checked anew are not repeated, but their answers still count.
   */
  cancel(cancels: (pair: CandidatePair) => boolean): void {
    for (const request of this.requests.values()) {
      if (request.context.kind === 'check' && cancels(request.context.pair)) this.requests.cancel(request);
    }
  }

  /** Whether a check of the pair is under way. */
  isChecking(pair: CandidatePair): boolean {
    for (const { context } of this.requests.values())
      if (context.pair === pair && context.kind === 'check') return true;
    return false;
  }

  #send(
    pair: CandidatePair,
    kind: CheckContext['kind'],
    nominating: boolean,
    schedule: RequestSchedule,
    now: Instant,
  ): boolean {
    const key = this.#remoteKey;
    if (key === undefined) return false;
    if (this.requests.full) {
      this.#host.drop('limit', 'check transactions');
      return false;
    }
    const { env, role, tieBreaker } = this.#host;
    const priority = pair.local.prflxPriority;
    const username = `${this.#remoteUfrag}:${this.#localUfrag}`;
    const { id, bytes } = encodeCheck(env, { username, key, priority, role, tieBreaker, useCandidate: nominating });
    this.requests.start(id, bytes, pair.path, { kind, pair, role, nominating, priority }, schedule, now);
    this.#host.send(bytes, pair.path);
    return true;
  }
}
