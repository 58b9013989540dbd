import { type FiveTuple, formatFiveTuple, type Instant } from '../core/index.ts';
import type { IntegrityKey } from '../stun/index.ts';
import { type CheckRequest, encodeBindingError, encodeBindingSuccess, ROLE_CONFLICT } from './binding.ts';
import type { LocalCandidate, RemoteCandidate } from './candidate.ts';
import type { CandidateBook } from './candidate-book.ts';
import type { Checklist } from './checklist.ts';
import type { CheckHost } from './checks.ts';
import { renewConsentOfLite } from './consent.ts';
import { MAX_REMOTE_CANDIDATES } from './limits.ts';
import { CandidatePair } from './pair.ts';
import { EarlyChecks, ReplayFilter } from './peer-requests.ts';
import type { IceParameters, IceRole } from './types.ts';

/** What answering checks needs of its session. */
export interface InboundHost {
  readonly host: CheckHost & { readonly lite: boolean; nextId(): number };
  readonly book: CandidateBook;
  readonly checklist: Checklist;
  readonly localKey: IntegrityKey;
  readonly remote: IceParameters | undefined;
  readonly failed: boolean;
  /** RFC 8445 §7.3.1.1. False when the bound on switches is reached. */
  switchRole(role: IceRole, newTieBreaker: boolean): boolean;
  /** RFC 8445 §7.3.1.4. */
  trigger(pair: CandidatePair): void;
  /** RFC 8445 §7.3.1.5. */
  nominate(pair: CandidatePair, now: Instant): void;
}

/** The STUN server side of one generation (RFC 8445 §7.3). Every request that comes here is authenticated. */
export class InboundChecks {
  readonly #session: InboundHost;
  readonly #early: EarlyChecks = new EarlyChecks();
  readonly #replays: ReplayFilter = new ReplayFilter();

  constructor(session: InboundHost) {
    this.#session = session;
  }

  /** Whether a check of this path has been answered and waits for the peer's credentials. */
  isWaiting(key: string): boolean {
    return this.#early.has(key);
  }

  handle(request: CheckRequest, path: FiveTuple, now: Instant): void {
    const { host, book, localKey, remote } = this.#session;
    if (this.#session.failed) {
      host.drop('bad-state', 'check after failure');
      return;
    }
    const local = book.findBase(path);
    if (local === undefined) {
      host.drop('unknown-path', 'check to no candidate of ours');
      return;
    }
    // RFC 8445 §7.3 looks at the first half only. The second tells apart those who answer one offer of ours (a forking call),
    // and our peer before and after its restart.
    if (remote !== undefined && request.remoteUfrag !== remote.ufrag) {
      host.drop('stale', 'check of another generation');
      return;
    }
    const key = formatFiveTuple(path);
    if (this.#replays.isReplay(request, this.#session.checklist.get(key)?.key ?? key)) {
      host.drop('replayed', 'check repeated from elsewhere');
      return;
    }
    if (!this.#settleRole(request)) {
      host.send(encodeBindingError(request, localKey, ROLE_CONFLICT), path);
      return;
    }
    // Room is made before the answer: a check that is answered makes the peer believe in the pair.
    const pair = remote === undefined ? undefined : this.#pairOf(request, path, local);
    const hasRoom = remote === undefined ? this.#early.keep(request, path) : pair !== undefined;
    if (!hasRoom) {
      host.drop('limit', 'check from one more address');
      return;
    }
    host.send(encodeBindingSuccess(request, localKey, path.remote), path);
    if (pair !== undefined) this.#accept(pair, request, now);
  }

  /** The peer's credentials are known: goes on with the checks that were only answered (RFC 8445 §7.3). */
  acceptEarly(remoteUfrag: string, now: Instant): void {
    for (const { request, path } of this.#early.take()) {
      const base = request.remoteUfrag === remoteUfrag ? this.#session.book.findBase(path) : undefined;
      const pair = base === undefined ? undefined : this.#pairOf(request, path, base);
      if (pair !== undefined) this.#accept(pair, request, now);
    }
  }

  /** RFC 8445 §7.3.1.1. False: the peer has to change its role, and is told so. */
  #settleRole(request: CheckRequest): boolean {
    const { role, tieBreaker, lite } = this.#session.host;
    // RFC 8445 §6.1.1: whoever checks is a full agent, and "MUST take the controlling role" towards a lite one, however
    // the two numbers compare. A 487 is what makes it.
    if (lite && role === 'controlling') this.#session.switchRole('controlled', false);
    if (lite) return request.role !== 'controlled';
    if (request.role !== role) return true;
    const weWin = tieBreaker >= request.tieBreaker;
    // Both controlling: the larger tie-breaker stays so. Both controlled: the larger becomes controlling.
    if (role === 'controlling') return !weWin && this.#session.switchRole('controlled', false);
    return weWin && this.#session.switchRole('controlling', false);
  }

  /** RFC 8445 §7.3.1.3 to §7.3.1.5. */
  #accept(pair: CandidatePair, request: CheckRequest, now: Instant): void {
    const { host } = this.#session;
    pair.requestsReceived++;
    pair.responsesSent++;
    pair.authenticated = true;
    pair.heardAt = now;
    if (host.lite) {
      this.#acceptLite(pair, request, now);
      return;
    }
    if (pair.consentLost) return; // RFC 7675 §5.1: not again with these credentials
    if (request.useCandidate && host.role === 'controlled') {
      pair.nominatedAt = now;
      if (pair.valid) this.#session.nominate(pair, now);
      else pair.nominateOnSuccess = true;
    }
    if (!pair.valid) this.#session.trigger(pair);
  }

  /**
   * RFC 8445 §7.3.2: a lite agent makes no checks; the peer's request is all it needs. Not only one that nominates, against
   * §12.1.1: a full peer begins its DTLS handshake before that, and its ClientHello would wait for the answer.
   */
  #acceptLite(pair: CandidatePair, request: CheckRequest, now: Instant): void {
    pair.state = 'succeeded';
    pair.validLocal = pair.local;
    renewConsentOfLite(pair, now);
    if (!request.useCandidate) return;
    pair.nominatedAt = now;
    this.#session.nominate(pair, now);
  }

  /** RFC 8445 §7.3.1.3 and §7.3.1.4: the pair of the request, made where it is new. Undefined at a bound. */
  #pairOf(request: CheckRequest, path: FiveTuple, local: LocalCandidate): CandidatePair | undefined {
    const { host, book, checklist } = this.#session;
    const existing = checklist.get(formatFiveTuple(path));
    if (existing !== undefined) return existing;
    if (book.remotes.length >= MAX_REMOTE_CANDIDATES) this.#forgetDeadSender();
    const remote = book.senderOf(path.remote, local.candidate.protocol, request);
    if (remote === undefined) return undefined;
    const pair = new CandidatePair(host.nextId(), local, remote, host.role);
    return checklist.add(pair) ? pair : undefined;
  }

  /** Makes room in a long session whose peer's NAT changes its mind: an address that led to nothing goes. */
  #forgetDeadSender(): void {
    const { book, checklist } = this.#session;
    const isDead = (remote: RemoteCandidate) =>
      remote.candidate.type === 'prflx' &&
      checklist.pairs.every((pair) => pair.remote !== remote || (pair.state === 'failed' && !pair.consentLost));
    const dead = book.remotes.find(isDead);
    if (dead === undefined) return;
    book.removeRemote(dead);
    for (const pair of checklist.pairs.filter(({ remote }) => remote === dead)) checklist.remove(pair);
  }
}
