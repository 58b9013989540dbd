import {
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  NEVER,
  sameAddress,
  type TransportAddress,
} from '../core/index.ts';
import { IntegrityKey, shortTermKey } from '../stun/index.ts';
import { type CheckResponse, FORBIDDEN, ROLE_CONFLICT } from './binding.ts';
import { canPair, type IceCandidate, type LocalCandidate, type RemoteCandidate } from './candidate.ts';
import { CandidateBook } from './candidate-book.ts';
import { Checklist } from './checklist.ts';
import { type CheckContext, type CheckHost, CheckSender } from './checks.ts';
import { isKeptWarm, renewConsent, scheduleNextConsent } from './consent.ts';
import { InboundChecks } from './inbound-checks.ts';
import { KEEPALIVE_MS } from './limits.ts';
import { isBetterKind } from './nomination.ts';
import { CandidatePair } from './pair.ts';
import type { PendingRequest } from './requests.ts';
import { PairSelection, type SelectionHost } from './selection.ts';
import type { IceParameters, IceRole } from './types.ts';

/** What a session needs of its agent. */
export interface SessionHost extends SelectionHost, CheckHost {
  readonly lite: boolean;
  readonly maxPairs: number;
  readonly pacTimeoutMs: number;
  nextId(): number;
  /** RFC 8445 §7.3.1.1 and §7.2.5.1. False when the bound on switches is reached. */
  switchRole(role: IceRole, newTieBreaker: boolean): boolean;
}

/**
 * One generation of ICE: one pair of credentials on each side, their candidates, checklist and outcome. A restart makes a
 * new one (RFC 8445 §9); the old one then only keeps its selected pair going.
 *
 * In protocol order: `addLocal`/`addRemote` form pairs → `pump` sends checks, paced by Ta → `handleResponse` makes pairs
 * valid → the controlling side nominates (`pump` again), the controlled side takes USE-CANDIDATE in `handleRequest` →
 * `handleTimeout` keeps consent, notices silence and starts recovery.
 */
export class IceSession {
  readonly local: IceParameters;
  readonly localKey: IntegrityKey;
  readonly checklist: Checklist;
  readonly checks: CheckSender;
  readonly inbound: InboundChecks;
  readonly book: CandidateBook;
  readonly selection: PairSelection;
  remote: IceParameters | undefined;
  /** RFC 8863 §4: no verdict of failure before. */
  pacDeadline: Instant = NEVER;
  /** Nothing is sent or answered any more. */
  failed = false;
  readonly host: SessionHost;

  constructor(host: SessionHost, local: IceParameters) {
    this.host = host;
    this.local = local;
    this.localKey = new IntegrityKey(host.env.crypto, shortTermKey(local.pwd));
    this.checklist = new Checklist(host.maxPairs);
    this.book = new CandidateBook(() => host.nextId());
    this.selection = new PairSelection(host, this.checklist);
    this.checks = new CheckSender(host, this.checklist, local.ufrag);
    this.inbound = new InboundChecks(this);
  }

  // ---------------------------------------------------------------- candidates and pairs

  /** RFC 8445 §7.2.2: from now on checks can be sent. */
  setRemote(remote: IceParameters, now: Instant): void {
    this.remote = remote;
    this.checks.setRemote(remote);
    this.pacDeadline = now + this.host.pacTimeoutMs;
    for (const stale of this.book.remotes.filter((r) => !this.#ofGeneration(r.candidate))) {
      this.book.removeRemote(stale);
      for (const pair of this.checklist.pairs.filter((p) => p.remote === stale)) this.checklist.remove(pair);
    }
    this.inbound.acceptEarly(remote.ufrag, now);
  }

  /** False: the bound on candidates is reached. */
  addLocal(local: LocalCandidate): boolean {
    const { address: ip, port, type } = local.candidate;
    const discovered = type === 'srflx' ? this.book.findLocal(local.base, { ip, port }) : undefined;
    if (discovered !== undefined) {
      // A check of ours learned the address before the STUN server told it: what we signal takes the place of that.
      this.book.removeLocal(discovered);
      for (const pair of this.checklist.pairs) if (pair.validLocal === discovered) pair.validLocal = local;
      this.checklist.reorder(this.host.role);
    }
    if (!this.book.addLocal(local)) return false;
    if (!this.selection.concluded) for (const remote of this.book.remotes) this.#formPair(local, remote);
    return true;
  }

  /** A signalled candidate. One that is known is ignored; a peer-reflexive one takes what is signalled for it. */
  addRemote(candidate: IceCandidate): void {
    if (!this.#ofGeneration(candidate)) {
      this.host.drop('stale', 'candidate of another generation');
      return;
    }
    const known = this.book.findRemote({ ip: candidate.address, port: candidate.port }, candidate.protocol);
    if (known !== undefined) {
      if (known.candidate.type === 'prflx') {
        // RFC 8445 §7.2.5.3.2: the priority is what the peer signals, and the PRIORITY attribute only until it does.
        known.candidate = candidate;
        this.checklist.reorder(this.host.role);
      }
      return;
    }
    const remote = this.book.addRemote(candidate);
    if (remote === undefined) this.host.drop('limit', 'remote candidates');
    else if (!this.selection.concluded) for (const local of this.book.locals) this.#formPair(local, remote);
  }

  /** The socket is gone: no check can leave it. */
  removeBase(base: TransportAddress): void {
    for (const pair of this.checklist.pairs.filter((p) => sameAddress(p.local.base, base))) {
      this.#fail(pair);
      this.checklist.remove(pair);
    }
    this.book.removeBase(base);
  }

  /** The path can carry nothing any more: its connection was refused or closed, or the system said so. */
  pathClosed(key: string): void {
    const pair = this.checklist.get(key);
    if (pair !== undefined && !this.failed) this.#fail(pair);
  }

  #ofGeneration(candidate: IceCandidate): boolean {
    const ufrag = candidate.usernameFragment;
    return this.remote === undefined || ufrag === undefined || ufrag === this.remote.ufrag;
  }

  #formPair(local: LocalCandidate, remote: RemoteCandidate): void {
    const { type, tcpType } = local.candidate;
    // A reflexive candidate's pairs equal those of its base, which are of higher priority: pruned (RFC 8445 §6.1.2.4).
    // A passive candidate opens no connection: its pairs come with the peer's checks (RFC 6544 §6.2).
    if (type === 'srflx' || type === 'prflx' || tcpType === 'passive' || !canPair(local, remote)) return;
    if (this.host.lite && this.remote?.lite !== true) return;
    const pair = new CandidatePair(this.host.nextId(), local, remote, this.host.role);
    if (this.checklist.get(pair.key) === undefined && !this.checklist.add(pair)) this.host.drop('limit', 'pairs');
  }

  // ---------------------------------------------------------------- checks out

  /** Sends what is due: the nomination, and one ordinary or triggered check per Ta (RFC 8445 §6.1.4.2). */
  pump(now: Instant): void {
    if (this.host.lite && this.remote?.lite === true) this.#selectBetweenLite(now);
    if (!this.#active) return;
    const nominee = this.selection.due(now);
    if (nominee !== undefined) {
      nominee.useCandidate = true;
      // Not held back by Ta: the path has just carried a check both ways, so it opens no binding in a NAT (RFC 8445 §14.2).
      this.#check(nominee, now);
    }
    if (now < this.checks.nextAt) return;
    const pair = this.checklist.next();
    if (pair === undefined) return;
    this.checks.takeTurn(now);
    this.#check(pair, now);
  }

  /**
   * RFC 8445 §8.2: two lite agents make no checks; both take the pair of the highest priority, which is the same on both
   * sides because the formula is. Nothing proves consent here: RFC 7675 is for full implementations.
   */
  #selectBetweenLite(now: Instant): void {
    for (const local of this.book.locals) for (const remote of this.book.remotes) this.#formPair(local, remote);
    const best = this.checklist.pairs[0];
    if (best === undefined || this.failed || best === this.selection.nominated) return;
    best.state = 'succeeded';
    best.validLocal = best.local;
    best.authenticated = true;
    best.heardAt = NEVER; // never silent
    best.answeredAt = NEVER;
    best.consentAt = now + KEEPALIVE_MS;
    this.selection.nominate(best, now);
  }

  get #active(): boolean {
    return this.remote !== undefined && !this.failed && !this.host.lite;
  }

  #check(pair: CandidatePair, now: Instant): void {
    if (!this.checks.check(pair, now)) this.#fail(pair);
  }

  // ---------------------------------------------------------------- what checks of the peer lead to (inbound-checks.ts)

  /** Also recomputes what depends on the role (RFC 8445 §7.2.5.1). */
  switchRole(role: IceRole, newTieBreaker: boolean): boolean {
    if (!this.host.switchRole(role, newTieBreaker)) return false;
    this.roleChanged();
    return true;
  }

  roleChanged(): void {
    this.selection.nominating = undefined;
    for (const pair of this.checklist.pairs) pair.useCandidate = false;
    this.checklist.reorder(this.host.role);
  }

  /** RFC 8445 §7.3.1.4. */
  trigger(pair: CandidatePair): void {
    this.checks.cancel((other) => other === pair);
    this.checklist.trigger(pair);
  }

  // ---------------------------------------------------------------- responses in

  /** An authenticated response to the request `id` of ours (RFC 8445 §7.2.5). */
  handleResponse(response: CheckResponse, pending: PendingRequest<CheckContext>, path: FiveTuple, now: Instant): void {
    const { pair, kind } = pending.context;
    const symmetric = formatFiveTuple(path) === formatFiveTuple(pending.path);
    if (!symmetric) this.host.drop('unknown-path', 'response from elsewhere');
    // A copy of an answer, sent from elsewhere, proves nothing against a pair that works.
    if (!symmetric && (kind === 'consent' || pair.valid)) return;
    this.checks.requests.delete(pending.id);
    if (!symmetric) {
      this.#fail(pair); // RFC 8445 §7.2.5.2.1
      return;
    }
    pair.responsesReceived++;
    if (this.failed || pair.removed) return;
    if (pair.consentLost) {
      this.host.drop('stale', 'response after consent was lost'); // RFC 7675 §5.1
      return;
    }
    if (response.type === 'error') {
      this.#handleError(response.code, pending);
      return;
    }
    if (response.type === 'unusable') {
      this.host.drop(response.reason, response.detail);
      if (kind === 'check') this.#fail(pair);
      return;
    }
    pair.authenticated = true;
    renewConsent(pair, this.host.env, now);
    if (pending.sends === 1) pair.noteRoundTrip(now - pending.startedAt);
    if (kind === 'check') this.#succeed(pair, response.mapped, pending.context, now);
  }

  /** RFC 8445 §7.2.5.3. */
  #succeed(pair: CandidatePair, mapped: TransportAddress, context: CheckContext, now: Instant): void {
    pair.validLocal = this.book.mappedOf(pair.local, mapped, context.priority, this.local.ufrag);
    pair.state = 'succeeded';
    this.selection.noteSuccess(now);
    this.checklist.reorder(this.host.role);
    this.checklist.unfreeze(pair.foundation);
    if (this.selection.nominating === pair && context.nominating) this.selection.nominating = undefined;
    const ours = context.nominating && this.host.role === 'controlling';
    const theirs = pair.nominateOnSuccess && this.host.role === 'controlled';
    if (ours || theirs) this.nominate(pair, now);
  }

  #handleError(code: number, pending: PendingRequest<CheckContext>): void {
    const { pair, role, kind } = pending.context;
    if (code === ROLE_CONFLICT) {
      // RFC 8445 §7.2.5.1. When our role has changed since, the check is only repeated.
      const other = role === 'controlling' ? 'controlled' : 'controlling';
      if (role === this.host.role && !this.switchRole(other, true)) {
        this.#fail(pair);
        return;
      }
      if (kind === 'check') this.trigger(pair);
      return;
    }
    if (code === FORBIDDEN) {
      this.#revokeConsent(pair); // RFC 7675 §5.2
      return;
    }
    if (kind === 'check') this.#fail(pair); // RFC 8445 §7.2.5.2.4
  }

  // ---------------------------------------------------------------- outcomes

  /** RFC 8445 §7.2.5.2. */
  #fail(pair: CandidatePair): void {
    pair.state = 'failed';
    pair.validLocal = undefined;
    pair.consentAt = NEVER;
    pair.consentExpiresAt = NEVER;
    pair.nominateOnSuccess = false;
    pair.useCandidate = false;
    this.selection.forget(pair);
    // RFC 7675 §5.1: "All outstanding STUN consent transactions for a candidate pair MUST be discarded".
    this.checks.requests.deleteIf((request) => request.context.pair === pair);
  }

  #revokeConsent(pair: CandidatePair): void {
    pair.consentLost = pair.wasSelected;
    this.#fail(pair);
  }

  /** RFC 8445 §7.2.5.3.4, §7.3.1.5 and §8.1.2. */
  nominate(pair: CandidatePair, now: Instant): void {
    pair.nominateOnSuccess = false;
    if (this.selection.nominate(pair, now)) this.#conclude(pair);
  }

  /**
   * RFC 8445 §8.1.2: pairs that were not checked yet leave the list; checks under way are not repeated. Direct pairs go on
   * beside a nominated relayed one.
   */
  #conclude(nominated: CandidatePair): void {
    const isOver = (pair: CandidatePair): boolean => !isBetterKind(pair, nominated);
    for (const pair of this.checklist.pairs.filter(isOver)) {
      if (pair.state === 'frozen' || (pair.state === 'waiting' && !pair.authenticated)) this.checklist.remove(pair);
    }
    this.checks.cancel((pair) => isOver(pair) && !pair.authenticated);
  }

  // ---------------------------------------------------------------- time

  handleTimeout(now: Instant): void {
    if (this.failed) return;
    for (let due = this.checks.requests.due(now); due !== undefined; due = this.checks.requests.due(now)) {
      const { request, resend } = due;
      if (!resend) this.#timedOut(request);
      else {
        request.context.pair.requestsSent++;
        this.host.send(request.bytes, request.path);
      }
    }
    for (const pair of this.checklist.pairs) {
      if (pair.consentExpiresAt <= now) this.#revokeConsent(pair);
      else if (pair.consentAt <= now) this.#consentDue(pair, now);
    }
    this.#noticeSilence(now);
  }

  /** RFC 8445 §7.2.5.2.3. Silence after a cancelled check, or beside a newer one, is no failure. */
  #timedOut(request: PendingRequest<CheckContext>): void {
    const { pair, kind, nominating } = request.context;
    if (kind === 'consent' || pair.removed) return;
    if (this.checks.isChecking(pair)) return;
    // A probe whose answers were all lost, while consent checks were answered.
    if (pair.valid && !nominating && pair.answeredAt > request.startedAt) pair.state = 'succeeded';
    else if (pair.state === 'in-progress' || nominating) this.#fail(pair);
  }

  /** RFC 7675 §5.1: each consent check has its own transaction and is sent once. */
  #consentDue(pair: CandidatePair, now: Instant): void {
    if (this.host.lite) {
      if (pair === this.selection.nominated) this.checks.keepAlive(pair, now);
      else pair.consentAt = NEVER;
      return;
    }
    scheduleNextConsent(pair, this.host.env, now);
    const warm = isKeptWarm(pair, this.checklist, this.selection);
    if (warm) this.checks.consent(pair, this.#repeatsNomination(pair), now);
  }

  /** Like libwebrtc: a peer that lost the nomination, or weighs two, learns it again from each consent check. */
  #repeatsNomination(pair: CandidatePair): boolean {
    return pair === this.selection.nominated && this.host.role === 'controlling';
  }

  /** Once per silence of the selected pair: it is probed; later all that could carry data is checked again. */
  #noticeSilence(now: Instant): void {
    const { selected } = this.selection;
    const todo = this.selection.silence(now);
    if (selected === undefined || todo === 'none' || !this.#active) return;
    if (todo === 'probe') {
      if (selected.state === 'succeeded') this.checklist.trigger(selected);
      return;
    }
    for (const local of this.book.locals) for (const remote of this.book.remotes) this.#formPair(local, remote);
    this.checklist.trigger(selected);
    for (const pair of this.checklist.pairs) {
      const again = pair !== selected && !pair.consentLost && (pair.valid || pair.state === 'failed');
      if (again) this.checklist.trigger(pair);
    }
  }

  /** The peer has proved itself over this path, by `formatFiveTuple`. Also before its credentials are known. */
  knowsPath(key: string): boolean {
    return this.checklist.get(key)?.authenticated ?? this.inbound.isWaiting(key);
  }

  /** A check is under way or still to be sent. */
  get pending(): boolean {
    return this.checklist.pairs.some((pair) => pair.pending);
  }

  /** The end: no timer, no request, no answer. */
  stop(): void {
    this.failed = true;
    this.checks.requests.deleteIf(() => true);
    for (const pair of this.checklist.pairs) {
      if (pair.pending) this.#fail(pair);
      pair.removed = true; // whoever holds it looks it up again
    }
  }

  nextTimeout(): Instant {
    if (this.failed) return NEVER;
    let at = Math.min(this.checks.requests.next(), this.selection.nextTimeout());
    for (const pair of this.checklist.pairs) at = Math.min(at, pair.consentAt, pair.consentExpiresAt);
    if (this.#active && this.checklist.hasNext) at = Math.min(at, this.checks.nextAt);
    return at;
  }
}
