import { type FiveTuple, formatFiveTuple, type Instant, NEVER } from '../core/index.ts';
import type { LocalCandidate, RemoteCandidate } from './candidate.ts';
import type { IceCandidatePairStats, IceRole, PairState } from './types.ts';

/**
 * A local base and a remote candidate (RFC 8445 §6.1.2.2). Its local candidate is always a base (a host or a relayed
 * candidate): reflexive ones are replaced by their base before pruning (§6.1.2.4), so `path` identifies the pair.
 *
 * The entry of the valid list that its check produced (§7.2.5.3.2) is `validLocal`: the local candidate with the mapped
 * address of the response. One pair has at most one.
 */
export class CandidatePair {
  readonly id: number;
  readonly local: LocalCandidate;
  readonly remote: RemoteCandidate;
  /** Where its checks and its data go. One object for the life of the pair. */
  readonly path: FiveTuple;
  readonly key: string;
  /** RFC 8445 §6.1.2.6: combination of both foundations. */
  foundation = '';
  state: PairState = 'frozen';
  /** Defined: the pair is valid. */
  validLocal: LocalCandidate | undefined = undefined;
  /** Nominated flag (RFC 8445 §7.2.5.3.4). */
  nominated = false;
  /** Controlled side: USE-CANDIDATE came before our own check succeeded (RFC 8445 §7.3.1.5). */
  nominateOnSuccess = false;
  /** Controlled side: when USE-CANDIDATE last came for it. */
  nominatedAt: Instant = -NEVER;
  /** Controlling side: the next check carries USE-CANDIDATE. */
  useCandidate = false;
  /** A check of the peer, or a response, has proved that the peer knows our password: its data is accepted. */
  authenticated = false;
  /** Taken out of the checklist; kept only by those who hold it. */
  removed = false;

  /** RFC 7675: next consent check, and when consent ends. NEVER while not valid. */
  consentAt: Instant = NEVER;
  consentExpiresAt: Instant = NEVER;
  /** Consent was lost after data had been sent: never used again in this generation (RFC 7675 §5.1). */
  consentLost = false;
  /** Whether it has been the selected pair. */
  wasSelected = false;
  /** When anything authenticated, or data, last came over it. */
  heardAt: Instant = -NEVER;
  /** When a request of ours was last answered over it. */
  answeredAt: Instant = -NEVER;

  packetsSent = 0;
  packetsReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  lastPacketSentAt: Instant | undefined = undefined;
  lastPacketReceivedAt: Instant | undefined = undefined;
  totalRttMs = 0;
  rttMs: number | undefined = undefined;
  requestsReceived = 0;
  requestsSent = 0;
  responsesReceived = 0;
  responsesSent = 0;
  consentRequestsSent = 0;

  #priorityMin = 0;
  #priorityRest = 0;

  constructor(id: number, local: LocalCandidate, remote: RemoteCandidate, role: IceRole) {
    this.id = id;
    this.local = local;
    this.remote = remote;
    this.path = { protocol: local.protocol, local: local.base, remote: remote.address };
    this.key = formatFiveTuple(this.path);
    this.refresh(role);
  }

  get valid(): boolean {
    return this.validLocal !== undefined;
  }

  /** A result is still to come from it: it stands in the way of the verdict that ICE failed. */
  get pending(): boolean {
    return this.state === 'frozen' || this.state === 'waiting' || this.state === 'in-progress';
  }

  /**
   * Computes foundation and priority again, after a role change or a change of one of the candidates.
   *
   * RFC 8445 §6.1.2.3: `2^32·MIN(G,D) + 2·MAX(G,D) + (G>D?1:0)`. Kept in two numbers, because 63 bits do not fit in a
   * double: with priorities of 31 bits the second is below 2^32, so comparing one after the other is exact.
   */
  refresh(role: IceRole): void {
    this.foundation = `${this.local.candidate.foundation} ${this.remote.candidate.foundation}`;
    const ours = (this.validLocal ?? this.local).candidate.priority;
    const theirs = this.remote.candidate.priority;
    const g = role === 'controlling' ? ours : theirs;
    const d = role === 'controlling' ? theirs : ours;
    this.#priorityMin = Math.min(g, d);
    this.#priorityRest = 2 * Math.max(g, d) + (g > d ? 1 : 0);
  }

  /** Positive when this pair has the higher priority. */
  comparePriority(other: CandidatePair): number {
    return this.#priorityMin - other.#priorityMin || this.#priorityRest - other.#priorityRest;
  }

  /** Of a request sent once: which transmission an answer belongs to is unknown else (RFC 8489 §6.2.1, Karn). */
  noteRoundTrip(rttMs: number): void {
    this.rttMs = rttMs;
    this.totalRttMs += rttMs;
  }

  /** Data of ours went over it. */
  noteSent(bytes: number, now: Instant | undefined): void {
    this.packetsSent++;
    this.bytesSent += bytes;
    if (now !== undefined) this.lastPacketSentAt = now;
  }

  /** Data of the peer came over it; with `now` that is a sign of life. */
  noteReceived(bytes: number, now: Instant | undefined): void {
    this.packetsReceived++;
    this.bytesReceived += bytes;
    if (now === undefined) return;
    this.lastPacketReceivedAt = now;
    this.heardAt = now;
  }

  /** RFC 8445 §6.1.2.3 as one exact number; for tests and logs. */
  get priority(): bigint {
    return (BigInt(this.#priorityMin) << 32n) + BigInt(this.#priorityRest);
  }

  stats(): IceCandidatePairStats {
    return {
      id: `pair-${this.id}`,
      type: 'candidate-pair',
      localCandidateId: `local-${(this.validLocal ?? this.local).id}`,
      remoteCandidateId: `remote-${this.remote.id}`,
      state: this.state,
      nominated: this.nominated,
      packetsSent: this.packetsSent,
      packetsReceived: this.packetsReceived,
      bytesSent: this.bytesSent,
      bytesReceived: this.bytesReceived,
      lastPacketSentTimestamp: this.lastPacketSentAt,
      lastPacketReceivedTimestamp: this.lastPacketReceivedAt,
      totalRoundTripTime: this.totalRttMs / 1000,
      currentRoundTripTime: this.rttMs === undefined ? undefined : this.rttMs / 1000,
      requestsReceived: this.requestsReceived,
      requestsSent: this.requestsSent,
      responsesReceived: this.responsesReceived,
      responsesSent: this.responsesSent,
      consentRequestsSent: this.consentRequestsSent,
    };
  }
}
