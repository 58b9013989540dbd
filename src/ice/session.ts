import {
  type DropReason,
  type Env,
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  NEVER,
  sameAddress,
  type TransportAddress,
} from '../core/index.ts';
import { IntegrityKey, shortTermKey, transactionKey } from '../stun/index.ts';
import {
  type CheckRequest,
  type CheckResponse,
  encodeBindingError,
  encodeBindingSuccess,
  encodeCheck,
  FORBIDDEN,
  ROLE_CONFLICT,
} from './binding.ts';
import { canPair, type IceCandidate, type LocalCandidate, type RemoteCandidate } from './candidate.ts';
import { Checklist } from './checklist.ts';
import {
  CONSENT_EXPIRY_MS,
  CONSENT_INTERVAL_MS,
  MAX_CHECK_TRANSACTIONS,
  MAX_EARLY_CHECKS,
  MAX_LOCAL_CANDIDATES,
  MAX_REMOTE_CANDIDATES,
  MAX_SEEN_REQUESTS,
  MAX_WARM_PAIRS,
  MIN_RTO_MS,
  PROBE_SHARE,
} from './limits.ts';
import { bestValid, isAlive, nominationDue, replacesNomination, silentAt } from './nomination.ts';
import { CandidatePair } from './pair.ts';
import { type PendingRequest, RequestTable } from './requests.ts';
import type { IceParameters, IceRole } from './types.ts';

/** What a session needs of its agent. */
export interface SessionHost {
  readonly env: Env;
  readonly role: IceRole;
  readonly tieBreaker: bigint;
  readonly lite: boolean;
  readonly taMs: number;
  readonly maxPairs: number;
  readonly pacTimeoutMs: number;
  readonly disconnectedMs: number;
  readonly useValidPairs: boolean;
  /** Local candidates may still come. */
  readonly gathering: boolean;
  nextId(): number;
  send(bytes: Uint8Array, path: FiveTuple): void;
  drop(reason: DropReason, detail: string): void;
  /** RFC 8445 §7.3.1.1 and §7.2.5.1. False when the bound on switches is reached. */
  switchRole(role: IceRole, newTieBreaker: boolean): boolean;
}

/** What a check or consent request was sent for. */
interface CheckContext {
  readonly kind: 'check' | 'consent';
  readonly pair: CandidatePair;
  /** The role its attribute claimed. */
  readonly role: IceRole;
  /** It carried USE-CANDIDATE. */
  readonly nominating: boolean;
  /** Its PRIORITY attribute: the priority of a peer-reflexive candidate that it discovers. */
  readonly priority: number;
}

/** An authenticated check that came before the peer's credentials (RFC 8445 §7.3). */
interface EarlyCheck {
  readonly request: CheckRequest;
  readonly path: FiveTuple;
  readonly key: string;
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
  readonly requests: RequestTable<CheckContext> = new RequestTable(MAX_CHECK_TRANSACTIONS);
  readonly locals: LocalCandidate[] = [];
  readonly remotes: RemoteCandidate[] = [];
  remote: IceParameters | undefined;
  remoteKey: IntegrityKey | undefined;
  /** Where data goes. Set by `select`. */
  selected: CandidatePair | undefined;
  nominated: CandidatePair | undefined;
  /** No more candidates of the peer (RFC 8838 §14). */
  remoteEnded = false;
  /** RFC 8863 §4: no verdict of failure before. */
  pacDeadline: Instant = NEVER;
  /** Nothing is sent or answered any more. */
  failed = false;
  /** A nominated pair has ended the forming of pairs (RFC 8445 §8.1.2). */
  #concluded = false;
  /** The selected pair is being probed, or all pairs checked again, because it is silent. */
  #probing = false;
  #recovering = false;
  #nominating: CandidatePair | undefined;
  #firstValidAt: Instant = NEVER;
  #nextCheckAt: Instant = -NEVER;
  /** When a held-back nomination is due; `pump` recomputes it. */
  #nominationAt: Instant = NEVER;
  #early: EarlyCheck[] = [];
  /** Transactions of the peer and their paths, the latest ones. */
  readonly #seen = new Map<string, string>();
  #taMs: number;
  readonly #host: SessionHost;

  constructor(host: SessionHost, local: IceParameters) {
    this.#host = host;
    this.local = local;
    this.localKey = new IntegrityKey(host.env.crypto, shortTermKey(local.pwd));
    this.checklist = new Checklist(host.maxPairs);
    this.#taMs = host.taMs;
  }

  // ---------------------------------------------------------------- candidates and pairs

  /** RFC 8445 §7.2.2: from now on checks can be sent. */
  setRemote(remote: IceParameters, now: Instant): void {
    this.remote = remote;
    this.remoteKey = new IntegrityKey(this.#host.env.crypto, shortTermKey(remote.pwd));
    this.pacDeadline = now + this.#host.pacTimeoutMs;
    this.#taMs = Math.max(this.#host.taMs, remote.pacingMs ?? 0); // RFC 8445 §14.2: both use the higher
    for (const stale of this.remotes.filter((r) => !this.#ofGeneration(r.candidate))) {
      this.remotes.splice(this.remotes.indexOf(stale), 1);
      for (const pair of this.checklist.pairs.filter((p) => p.remote === stale)) this.checklist.remove(pair);
    }
    const early = this.#early;
    this.#early = [];
    for (const { request, path } of early) {
      const base = request.remoteUfrag === remote.ufrag ? this.#findBase(path) : undefined;
      const pair = base === undefined ? undefined : this.#pairOfRequest(request, path, base);
      if (pair !== undefined) this.#acceptRequest(pair, request, now);
    }
  }

  /** False: the bound on candidates is reached. */
  addLocal(local: LocalCandidate): boolean {
    if (this.locals.length >= MAX_LOCAL_CANDIDATES) return false;
    this.locals.push(local);
    if (!this.#concluded) for (const remote of this.remotes) this.#formPair(local, remote);
    return true;
  }

  /** A signalled candidate. One that is known is ignored; a peer-reflexive one takes what is signalled for it. */
  addRemote(candidate: IceCandidate): void {
    if (!this.#ofGeneration(candidate)) {
      this.#host.drop('stale', 'candidate of another generation');
      return;
    }
    const address = { ip: candidate.address, port: candidate.port };
    const known = this.#findRemote(address, candidate.protocol);
    if (known !== undefined) {
      if (known.candidate.type === 'prflx') {
        // RFC 8445 §7.2.5.3.2: the priority is what the peer signals, and the PRIORITY attribute only until it does.
        known.candidate = candidate;
        this.checklist.reorder(this.#host.role);
      }
      return;
    }
    if (this.remotes.length >= MAX_REMOTE_CANDIDATES) {
      this.#host.drop('limit', 'remote candidates');
      return;
    }
    const remote: RemoteCandidate = { candidate, address, id: this.#host.nextId() };
    this.remotes.push(remote);
    if (!this.#concluded) for (const local of this.locals) this.#formPair(local, remote);
  }

  /** Whether a local candidate with this base and this address exists (RFC 8445 §5.1.3). */
  knowsLocal(base: TransportAddress, address: TransportAddress): boolean {
    if (sameAddress(base, address)) return true;
    return this.locals.some(
      ({ base: b, candidate: c }) => sameAddress(b, base) && c.address === address.ip && c.port === address.port,
    );
  }

  /** The socket is gone: no check can leave it. */
  removeBase(base: TransportAddress): void {
    for (const pair of this.checklist.pairs.filter((p) => sameAddress(p.local.base, base))) {
      this.#fail(pair);
      this.checklist.remove(pair);
    }
    this.locals.splice(0, this.locals.length, ...this.locals.filter((l) => !sameAddress(l.base, base)));
  }

  #ofGeneration(candidate: IceCandidate): boolean {
    const ufrag = candidate.usernameFragment;
    return this.remote === undefined || ufrag === undefined || ufrag === this.remote.ufrag;
  }

  #findRemote(address: TransportAddress, protocol: string): RemoteCandidate | undefined {
    return this.remotes.find((r) => sameAddress(r.address, address) && r.candidate.protocol === protocol);
  }

  /** The host or relayed candidate with this base: what a pair's local candidate is (RFC 8445 §6.1.2.4). */
  #findBase(path: FiveTuple): LocalCandidate | undefined {
    return this.locals.find((l) => l.protocol === path.protocol && sameAddress(l.base, path.local));
  }

  #formPair(local: LocalCandidate, remote: RemoteCandidate): void {
    // A reflexive candidate's pairs equal those of its base, which are of higher priority: pruned (RFC 8445 §6.1.2.4).
    const { type } = local.candidate;
    if (this.#host.lite || type === 'srflx' || type === 'prflx' || !canPair(local, remote)) return;
    const pair = new CandidatePair(this.#host.nextId(), local, remote, this.#host.role);
    if (this.checklist.get(pair.key) === undefined && !this.checklist.add(pair)) this.#host.drop('limit', 'pairs');
  }

  // ---------------------------------------------------------------- checks out

  /** Sends what is due: the nomination, and one ordinary or triggered check per Ta (RFC 8445 §6.1.4.2). */
  pump(now: Instant): void {
    if (!this.#active) return;
    this.#nominate(now);
    if (now < this.#nextCheckAt) return;
    const pair = this.checklist.next();
    if (pair === undefined) return;
    // From the last deadline while busy, so that a late driver does not slow the checks down; from now after idling.
    this.#nextCheckAt = (now - this.#nextCheckAt < this.#taMs ? this.#nextCheckAt : now) + this.#taMs;
    this.#check(pair, now);
  }

  get #active(): boolean {
    return this.remoteKey !== undefined && !this.failed && !this.#host.lite;
  }

  /** RFC 8445 §7.2.4. */
  #check(pair: CandidatePair, now: Instant): void {
    const nominating = pair.useCandidate && this.#host.role === 'controlling';
    pair.useCandidate = false;
    // RFC 8445 §14.3 lets the RTO grow with the number of checks, so that each first transmission leaves before any
    // retransmission. Linear in the checks under way: the product of the formula would wait minutes with 100 pairs.
    const rtoMs = Math.max(MIN_RTO_MS, this.#taMs * this.checklist.load);
    pair.state = 'in-progress';
    if (!this.#request(pair, 'check', nominating, { rtoMs }, now)) this.#fail(pair);
  }

  /** Builds, registers and sends a check or consent request. */
  #request(
    pair: CandidatePair,
    kind: CheckContext['kind'],
    nominating: boolean,
    schedule: { rtoMs: number; maxSends?: number },
    now: Instant,
  ): boolean {
    const { remote, remoteKey } = this;
    if (remote === undefined || remoteKey === undefined) return false;
    if (this.requests.full) {
      this.#host.drop('limit', 'check transactions');
      return false;
    }
    const { env, role, tieBreaker } = this.#host;
    const priority = pair.local.prflxPriority;
    const username = `${remote.ufrag}:${this.local.ufrag}`;
    const check = { username, key: remoteKey, priority, role, tieBreaker, useCandidate: nominating };
    const { id, bytes } = encodeCheck(env, check);
    this.requests.start(id, bytes, pair.path, { kind, pair, role, nominating, priority }, schedule, now);
    if (kind === 'consent') pair.consentRequestsSent++;
    else pair.requestsSent++;
    this.#host.send(bytes, pair.path);
    return true;
  }

  // ---------------------------------------------------------------- requests in

  /** An authenticated Binding request of the peer (RFC 8445 §7.3). */
  handleRequest(request: CheckRequest, path: FiveTuple, now: Instant): void {
    const host = this.#host;
    if (this.failed) {
      host.drop('bad-state', 'check after failure');
      return;
    }
    const local = this.#findBase(path);
    if (local === undefined) {
      host.drop('unknown-path', 'check to no candidate of ours');
      return;
    }
    if (this.remote !== undefined && request.remoteUfrag !== this.remote.ufrag) {
      host.drop('stale', 'check of another generation');
      return;
    }
    if (this.#isReplay(request, path)) {
      host.drop('replayed', 'check repeated from elsewhere');
      return;
    }
    if (!this.#settleRole(request)) {
      host.send(encodeBindingError(request.transactionId, this.localKey, ROLE_CONFLICT), path);
      return;
    }
    // Room is made before the answer: a check that is answered makes the peer believe in the pair.
    const known =
      this.remote === undefined ? this.#keepEarly(request, path) : this.#pairOfRequest(request, path, local);
    if (known === undefined) {
      host.drop('limit', 'check from one more address');
      return;
    }
    host.send(encodeBindingSuccess(request.transactionId, this.localKey, path.remote), path);
    if (known instanceof CandidatePair) this.#acceptRequest(known, request, now);
  }

  /**
   * A request is authentic wherever it comes from: who captured one could make us believe in any address. A transaction
   * belongs to one path, so its second path is the attacker's.
   */
  #isReplay(request: CheckRequest, path: FiveTuple): boolean {
    const id = transactionKey(request.transactionId);
    const key = formatFiveTuple(path);
    const first = this.#seen.get(id);
    if (first !== undefined) return first !== key;
    if (this.#seen.size >= MAX_SEEN_REQUESTS) {
      for (const oldest of this.#seen.keys()) {
        this.#seen.delete(oldest);
        break;
      }
    }
    this.#seen.set(id, key);
    return false;
  }

  /** RFC 8445 §7.3.1.1. False: the peer has to change its role, and is told so. */
  #settleRole(request: CheckRequest): boolean {
    const { role, tieBreaker } = this.#host;
    if (request.role !== role) return true;
    const weWin = tieBreaker >= request.tieBreaker;
    // Both controlling: the larger tie-breaker stays so. Both controlled: the larger becomes controlling.
    if (role === 'controlling') return !weWin && this.switchRole('controlled', false);
    return weWin && this.switchRole('controlling', false);
  }

  /** Also recomputes what depends on the role (RFC 8445 §7.2.5.1). */
  switchRole(role: IceRole, newTieBreaker: boolean): boolean {
    if (!this.#host.switchRole(role, newTieBreaker)) return false;
    this.roleChanged();
    return true;
  }

  roleChanged(): void {
    this.#nominating = undefined;
    for (const pair of this.checklist.pairs) pair.useCandidate = false;
    this.checklist.reorder(this.#host.role);
  }

  /** Kept until `setRemote`, one per path: the newest, with the nomination of any of them. */
  #keepEarly(request: CheckRequest, path: FiveTuple): EarlyCheck | undefined {
    const key = formatFiveTuple(path);
    const at = this.#early.findIndex((early) => early.key === key);
    if (at < 0 && this.#early.length >= MAX_EARLY_CHECKS) return undefined;
    const useCandidate = request.useCandidate || this.#early[at]?.request.useCandidate === true;
    const early: EarlyCheck = { request: { ...request, useCandidate }, path, key };
    if (at < 0) this.#early.push(early);
    else this.#early[at] = early;
    return early;
  }

  /** RFC 8445 §7.3.1.3 to §7.3.1.5. */
  #acceptRequest(pair: CandidatePair, request: CheckRequest, now: Instant): void {
    pair.requestsReceived++;
    pair.responsesSent++;
    pair.authenticated = true;
    pair.heardAt = now;
    if (this.#host.lite) {
      this.#acceptLite(pair, request, now);
      return;
    }
    if (pair.consentLost) return; // RFC 7675 §5.1: not again with these credentials
    if (request.useCandidate && this.#host.role === 'controlled') {
      pair.nominatedAt = now;
      if (pair.valid) this.#setNominated(pair, now);
      else pair.nominateOnSuccess = true;
    }
    if (!pair.valid) this.#trigger(pair);
  }

  /** RFC 8445 §7.3.1.3 and §7.3.1.4: the pair of the request, made where it is new. */
  #pairOfRequest(request: CheckRequest, path: FiveTuple, local: LocalCandidate): CandidatePair | undefined {
    const existing = this.checklist.get(formatFiveTuple(path));
    if (existing !== undefined) return existing;
    const protocol = local.candidate.protocol;
    let remote = this.#findRemote(path.remote, protocol);
    if (remote === undefined) {
      if (this.remotes.length >= MAX_REMOTE_CANDIDATES) return undefined;
      const id = this.#host.nextId();
      const { ip: address, port } = path.remote;
      // "an arbitrary value, different from the foundations of all other remote candidates": ~ is no ice-char.
      const prflx = {
        foundation: `~${id}`,
        component: 1,
        protocol,
        priority: request.priority,
        address,
        port,
      } as const;
      remote = { candidate: { ...prflx, type: 'prflx' }, address: path.remote, id };
      this.remotes.push(remote);
    }
    const pair = new CandidatePair(this.#host.nextId(), local, remote, this.#host.role);
    return this.checklist.add(pair) ? pair : undefined;
  }

  /** RFC 8445 §7.3.1.4. */
  #trigger(pair: CandidatePair): void {
    for (const request of this.requests.values()) {
      if (request.context.pair === pair && request.context.kind === 'check') this.requests.cancel(request);
    }
    this.checklist.trigger(pair);
  }

  /** RFC 8445 §7.3.2: a lite agent makes no checks; the peer's request is all it needs. */
  #acceptLite(pair: CandidatePair, request: CheckRequest, now: Instant): void {
    pair.state = 'succeeded';
    pair.validLocal = pair.local;
    pair.answeredAt = now;
    pair.consentExpiresAt = now + CONSENT_EXPIRY_MS; // the peer's consent checks are the only sign of life
    if (!request.useCandidate) return;
    pair.nominatedAt = now;
    this.#setNominated(pair, now);
  }

  // ---------------------------------------------------------------- responses in

  /** An authenticated response to the request `id` of ours (RFC 8445 §7.2.5). */
  handleResponse(response: CheckResponse, pending: PendingRequest<CheckContext>, path: FiveTuple, now: Instant): void {
    const { pair, kind } = pending.context;
    const symmetric = formatFiveTuple(path) === formatFiveTuple(pending.path);
    if (!symmetric) this.#host.drop('unknown-path', 'response from elsewhere');
    if (!symmetric && kind === 'consent') return; // proves nothing about the pair
    this.requests.delete(pending.id);
    if (!symmetric) {
      this.#fail(pair); // RFC 8445 §7.2.5.2.1
      return;
    }
    pair.responsesReceived++;
    if (this.failed || pair.removed) return;
    if (pair.consentLost) {
      this.#host.drop('stale', 'response after consent was lost'); // RFC 7675 §5.1
      return;
    }
    if (response.type === 'error') {
      this.#handleError(response.code, pending, now);
      return;
    }
    if (response.mapped === undefined) {
      this.#host.drop('missing', 'XOR-MAPPED-ADDRESS');
      return;
    }
    pair.authenticated = true;
    this.#noteAnswer(pair, pending, now);
    if (kind === 'check') this.#succeed(pair, response.mapped, pending.context, now);
  }

  /** RFC 7675 §5.1: consent for 30 s more. */
  #noteAnswer(pair: CandidatePair, pending: PendingRequest<CheckContext>, now: Instant): void {
    pair.heardAt = now;
    pair.answeredAt = now;
    pair.consentExpiresAt = now + CONSENT_EXPIRY_MS;
    if (pair.consentAt === NEVER) pair.consentAt = now + this.#consentInterval();
    if (pending.sends > 1) return; // which transmission was answered is unknown (Karn's algorithm, RFC 8489 §6.2.1)
    pair.rttMs = now - pending.startedAt;
    pair.totalRttMs += pair.rttMs;
  }

  /** RFC 8445 §7.2.5.3. */
  #succeed(pair: CandidatePair, mapped: TransportAddress, context: CheckContext, now: Instant): void {
    pair.validLocal = this.#localOfMapped(pair, mapped, context.priority);
    pair.state = 'succeeded';
    this.#firstValidAt = Math.min(this.#firstValidAt, now);
    this.checklist.reorder(this.#host.role);
    this.checklist.unfreeze(pair.foundation);
    if (this.#nominating === pair && context.nominating) this.#nominating = undefined;
    const ours = context.nominating && this.#host.role === 'controlling';
    const theirs = pair.nominateOnSuccess && this.#host.role === 'controlled';
    if (ours || theirs) this.#setNominated(pair, now);
  }

  /** RFC 8445 §7.2.5.3.1: the local candidate with the mapped address, peer-reflexive where it is new. */
  #localOfMapped(pair: CandidatePair, mapped: TransportAddress, priority: number): LocalCandidate {
    const { protocol, base } = pair.local;
    const known = this.locals.find(
      (l) =>
        l.protocol === protocol &&
        sameAddress(l.base, base) &&
        sameAddress({ ip: l.candidate.address, port: l.candidate.port }, mapped),
    );
    // A host candidate behind an mDNS name has another `address` than its base.
    if (known !== undefined || sameAddress(base, mapped)) return known ?? pair.local;
    const { component, protocol: transport, tcpType } = pair.local.candidate;
    const local: LocalCandidate = {
      candidate: {
        foundation: `~${base.ip}`,
        component,
        protocol: transport,
        priority,
        address: mapped.ip,
        port: mapped.port,
        type: 'prflx',
        relatedAddress: base.ip,
        relatedPort: base.port,
        tcpType,
        usernameFragment: this.local.ufrag,
      },
      base,
      protocol,
      prflxPriority: priority,
      id: this.#host.nextId(),
    };
    // A peer that answers each check with another address makes no list grow: the candidate is the pair's alone then.
    if (this.locals.length < MAX_LOCAL_CANDIDATES) this.locals.push(local);
    return local;
  }

  #handleError(code: number, pending: PendingRequest<CheckContext>, now: Instant): void {
    const { pair, role, kind } = pending.context;
    if (code === ROLE_CONFLICT) {
      // RFC 8445 §7.2.5.1. When our role has changed since, the check is only repeated.
      const other = role === 'controlling' ? 'controlled' : 'controlling';
      if (role === this.#host.role && !this.switchRole(other, true)) {
        this.#fail(pair);
        return;
      }
      if (kind === 'check') this.#trigger(pair);
      return;
    }
    if (code === FORBIDDEN) {
      this.#revokeConsent(pair, now);
      return;
    } // RFC 7675 §5.2
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
    if (this.#nominating === pair) this.#nominating = undefined;
    if (this.nominated === pair) this.nominated = undefined;
    pair.nominated = false;
    // RFC 7675 §5.1: "All outstanding STUN consent transactions for a candidate pair MUST be discarded".
    this.requests.deleteIf((request) => request.context.pair === pair);
  }

  #revokeConsent(pair: CandidatePair, _now: Instant): void {
    pair.consentLost = pair.wasSelected;
    this.#fail(pair);
  }

  /** RFC 8445 §7.2.5.3.4, §7.3.1.5 and §8.1.2. */
  #setNominated(pair: CandidatePair, now: Instant): void {
    pair.nominateOnSuccess = false;
    const current = this.nominated;
    if (current === pair) return;
    const alive = current !== undefined && isAlive(current, now, this.#host.disconnectedMs);
    if (this.#host.role === 'controlled' && !replacesNomination(current, pair, alive, now)) return;
    if (current !== undefined) current.nominated = false;
    pair.nominated = true;
    this.nominated = pair;
    this.#conclude();
  }

  /** RFC 8445 §8.1.2: pairs that were not checked yet leave the list; checks under way are not repeated. */
  #conclude(): void {
    this.#concluded = true;
    for (const pair of [...this.checklist.pairs]) {
      if (pair.state === 'frozen' || (pair.state === 'waiting' && !pair.authenticated)) this.checklist.remove(pair);
    }
    for (const request of this.requests.values()) {
      if (request.context.kind === 'check' && !request.context.pair.authenticated) this.requests.cancel(request);
    }
  }

  /** RFC 8445 §8.1.1, regular nomination; again for another pair only when the nominated one is dead or silent. */
  #nominate(now: Instant): void {
    const best = this.#toNominate(now);
    this.#nominationAt = best === undefined ? NEVER : this.#nominationDueAt(best);
    if (best === undefined || now < this.#nominationAt) return;
    this.#nominationAt = NEVER;
    this.#nominating = best;
    best.useCandidate = true;
    // Not held back by Ta: the path has just carried a check both ways, so it opens no binding in any NAT (RFC 8445 §14.2).
    this.#check(best, now);
  }

  #toNominate(now: Instant): CandidatePair | undefined {
    if (this.#host.role !== 'controlling' || this.#nominating !== undefined || !this.#active) return undefined;
    const alive = (pair: CandidatePair) => isAlive(pair, now, this.#host.disconnectedMs);
    if (this.nominated?.valid && alive(this.nominated)) return undefined;
    const best = bestValid(this.checklist, (pair) => alive(pair) && pair.state === 'succeeded');
    return best === this.nominated ? undefined : best;
  }

  #nominationDueAt(best: CandidatePair): Instant {
    if (this.#concluded) return -NEVER;
    const moreToCome = this.#host.gathering || !this.remoteEnded;
    return nominationDue(this.checklist, best, this.#firstValidAt, moreToCome);
  }

  // ---------------------------------------------------------------- time

  handleTimeout(now: Instant): void {
    if (this.failed) return;
    for (let due = this.requests.due(now); due !== undefined; due = this.requests.due(now)) {
      const { request, resend } = due;
      if (!resend) this.#timedOut(request);
      else {
        request.context.pair.requestsSent++;
        this.#host.send(request.bytes, request.path);
      }
    }
    for (const pair of this.checklist.pairs) {
      if (pair.consentExpiresAt <= now) this.#revokeConsent(pair, now);
      else if (pair.consentAt <= now) this.#consentDue(pair, now);
    }
    this.#noticeSilence(now);
  }

  /** RFC 8445 §7.2.5.2.3. Silence after a cancelled check, or beside a newer one, is no failure. */
  #timedOut(request: PendingRequest<CheckContext>): void {
    const { pair, kind, nominating } = request.context;
    if (kind === 'consent' || pair.removed) return;
    for (const other of this.requests.values()) {
      if (other.context.pair === pair && other.context.kind === 'check') return;
    }
    // A probe whose answers were all lost, while consent checks were answered.
    if (pair.valid && !nominating && pair.answeredAt > request.startedAt) pair.state = 'succeeded';
    else if (pair.state === 'in-progress' || nominating) this.#fail(pair);
  }

  /** RFC 7675 §5.1: each consent check has its own transaction and is sent once. */
  #consentDue(pair: CandidatePair, now: Instant): void {
    pair.consentAt += this.#consentInterval();
    if (pair.consentAt <= now) pair.consentAt = now + this.#consentInterval(); // the driver slept
    if (this.#keptWarm(pair))
      this.#request(pair, 'consent', this.#repeatsNomination(pair), { rtoMs: MIN_RTO_MS, maxSends: 1 }, now);
  }

  /** The selected pair, and the best of the others. */
  #keptWarm(pair: CandidatePair): boolean {
    if (pair === this.selected || pair === this.nominated) return true;
    const others = this.checklist.pairs.filter((p) => p.valid && p !== this.selected && p !== this.nominated);
    return others.indexOf(pair) < MAX_WARM_PAIRS;
  }

  /** Like libwebrtc: a peer that lost the nomination, or weighs two, learns it again from each consent check. */
  #repeatsNomination(pair: CandidatePair): boolean {
    return pair === this.nominated && this.#host.role === 'controlling';
  }

  /** Between 0.8 and 1.2 times the basic period (RFC 7675 §5.1). */
  #consentInterval(): number {
    const random = new Uint8Array(2);
    this.#host.env.random(random);
    return CONSENT_INTERVAL_MS * (0.8 + (0.4 * ((random[0]! << 8) | random[1]!)) / 0xffff);
  }

  /** The selected pair is silent: all that could carry data is checked again, once per silence. */
  #noticeSilence(now: Instant): void {
    const { selected } = this;
    const { disconnectedMs } = this.#host;
    if (selected !== undefined && !this.#probing && !isAlive(selected, now, PROBE_SHARE * disconnectedMs)) {
      this.#probing = true;
      if (this.#active && selected.state === 'succeeded') this.checklist.trigger(selected);
    }
    if (selected === undefined || this.#recovering || isAlive(selected, now, this.#host.disconnectedMs)) return;
    this.#recovering = true; // until `select` finds the pair alive
    if (!this.#active) return;
    this.#concluded = false;
    for (const local of this.locals) for (const remote of this.remotes) this.#formPair(local, remote);
    this.checklist.trigger(selected);
    for (const pair of this.checklist.pairs) {
      if (pair !== selected && !pair.consentLost && (pair.valid || pair.state === 'failed'))
        this.checklist.trigger(pair);
    }
  }

  /** Chooses where data goes; called after everything that may change it. */
  select(now: Instant): void {
    const { disconnectedMs, useValidPairs } = this.#host;
    const alive = (pair: CandidatePair) => isAlive(pair, now, disconnectedMs);
    const { nominated } = this;
    let choice = nominated;
    if (useValidPairs && (nominated === undefined || !alive(nominated))) {
      choice =
        bestValid(this.checklist, alive) ?? nominated ?? this.#stillValid() ?? bestValid(this.checklist, () => true);
    }
    if (choice !== undefined) {
      choice.wasSelected = true;
      if (alive(choice)) this.#recovering = false;
      if (isAlive(choice, now, PROBE_SHARE * disconnectedMs)) this.#probing = false;
    }
    this.selected = choice;
  }

  #stillValid(): CandidatePair | undefined {
    return this.selected?.valid ? this.selected : undefined;
  }

  /** A check is under way or still to be sent. */
  get pending(): boolean {
    return this.checklist.pairs.some((pair) => pair.pending);
  }

  /** The end: no timer, no request, no answer. */
  stop(): void {
    this.failed = true;
    this.requests.deleteIf(() => true);
    for (const pair of this.checklist.pairs) if (pair.pending) pair.state = 'failed';
  }

  nextTimeout(): Instant {
    if (this.failed) return NEVER;
    let at = Math.min(this.requests.next(), this.#nominationAt);
    for (const pair of this.checklist.pairs) at = Math.min(at, pair.consentAt, pair.consentExpiresAt);
    if (this.selected !== undefined && !this.#recovering) {
      const share = this.#probing ? 1 : PROBE_SHARE;
      at = Math.min(at, silentAt(this.selected, share * this.#host.disconnectedMs));
    }
    if (this.#active && this.checklist.hasNext) at = Math.min(at, this.#nextCheckAt);
    return at;
  }
}
