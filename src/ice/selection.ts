import { type Instant, NEVER } from '../core/index.ts';
import type { Checklist } from './checklist.ts';
import { PROBE_SHARE } from './limits.ts';
import {
  bestValid,
  isAlive,
  isBetterKind,
  isRelayed,
  nominationDue,
  replacesNomination,
  silentAt,
} from './nomination.ts';
import type { CandidatePair } from './pair.ts';
import type { IceRole } from './types.ts';

/** What selecting needs to know of the agent. */
export interface SelectionHost {
  readonly role: IceRole;
  readonly disconnectedMs: number;
  readonly useValidPairs: boolean;
  /** Local candidates may still come. */
  readonly gathering: boolean;
  /** Our candidates are relayed ones only: no direct pair can come. */
  readonly relayOnly: boolean;
}

/**
 * Which pair carries data, which is nominated, and what is to be done about silence.
 *
 * ```text
 * nothing valid --success--> best valid pair carries data --nominated--> the nominated pair carries data
 *                                                                            |        ^
 *                              another living pair carries data <---silent---+        |
 *                                   (controlling: nominates it) ----------------------+
 * ```
 */
export class PairSelection {
  readonly #host: SelectionHost;
  readonly #checklist: Checklist;
  /** Where data goes. */
  selected: CandidatePair | undefined;
  nominated: CandidatePair | undefined;
  /** The check with USE-CANDIDATE of this pair is under way. */
  nominating: CandidatePair | undefined;
  /** No more candidates of the peer (RFC 8838 §14). */
  remoteEnded = false;
  /** A nomination has ended the forming of pairs (RFC 8445 §8.1.2); one of a relayed pair has not. */
  concluded = false;
  #firstValidAt: Instant = NEVER;
  /** When a nomination that is held back will be due. */
  #nominationAt: Instant = NEVER;
  #probing = false;
  #recovering = false;

  constructor(host: SelectionHost, checklist: Checklist) {
    this.#host = host;
    this.#checklist = checklist;
  }

  noteSuccess(now: Instant): void {
    this.#firstValidAt = Math.min(this.#firstValidAt, now);
  }

  /** A pair failed or left. */
  forget(pair: CandidatePair): void {
    if (this.nominating === pair) this.nominating = undefined;
    if (this.nominated === pair) this.nominated = undefined;
    pair.nominated = false;
  }

  /** RFC 8445 §7.2.5.3.4 and §7.3.1.5. False: an earlier nomination stands. */
  nominate(pair: CandidatePair, now: Instant): boolean {
    const current = this.nominated;
    if (current === pair) return false;
    const alive = current !== undefined && isAlive(current, now, this.#host.disconnectedMs);
    if (this.#host.role === 'controlled' && !replacesNomination(current, pair, alive, now)) return false;
    if (current !== undefined) current.nominated = false;
    pair.nominated = true;
    this.nominated = pair;
    this.concluded = !isRelayed(pair);
    return true;
  }

  /**
   * Controlling side: the pair to nominate now (RFC 8445 §8.1.1, regular nomination); again for another pair only when the
   * nominated one is dead or silent, or a relayed one where a direct one has come late. Undefined: none, or not yet (`nextTimeout` says when).
   */
  due(now: Instant): CandidatePair | undefined {
    const best = this.#toNominate(now);
    const directMayCome = !this.#host.relayOnly && (this.#host.gathering || !this.remoteEnded);
    if (best === undefined) this.#nominationAt = NEVER;
    else if (this.concluded) this.#nominationAt = -NEVER;
    else this.#nominationAt = nominationDue(this.#checklist, best, this.#firstValidAt, directMayCome);
    if (best === undefined || now < this.#nominationAt) return undefined;
    this.#nominationAt = NEVER;
    this.nominating = best;
    return best;
  }

  #toNominate(now: Instant): CandidatePair | undefined {
    if (this.#host.role !== 'controlling' || this.nominating !== undefined) return undefined;
    const alive = (pair: CandidatePair) => isAlive(pair, now, this.#host.disconnectedMs);
    const best = bestValid(this.#checklist, (pair) => alive(pair) && pair.state === 'succeeded');
    const { nominated } = this;
    if (nominated?.valid && alive(nominated) && !isBetterKind(best, nominated)) return undefined;
    return best === nominated ? undefined : best;
  }

  /** Chooses where data goes; called after everything that may change it. */
  select(now: Instant): void {
    const { disconnectedMs, useValidPairs } = this.#host;
    const alive = (pair: CandidatePair) => isAlive(pair, now, disconnectedMs);
    const { nominated } = this;
    let choice = nominated;
    if (useValidPairs && (nominated === undefined || !alive(nominated))) {
      const current = this.selected?.valid ? this.selected : undefined;
      choice = bestValid(this.#checklist, alive) ?? nominated ?? current ?? bestValid(this.#checklist, () => true);
    }
    if (choice !== undefined) {
      choice.wasSelected = true;
      if (alive(choice)) this.#recovering = false;
      if (isAlive(choice, now, PROBE_SHARE * disconnectedMs)) this.#probing = false;
    }
    this.selected = choice;
  }

  /**
   * What the silence of the selected pair asks for, each once per silence: first a `probe` of it, later to `recover`, that
   * is to check again everything that could carry data.
   */
  silence(now: Instant): 'none' | 'probe' | 'recover' {
    const { selected } = this;
    const { disconnectedMs } = this.#host;
    if (selected === undefined) return 'none';
    if (!this.#recovering && !isAlive(selected, now, disconnectedMs)) {
      this.#recovering = true; // until `select` finds the pair alive
      this.#probing = true;
      this.concluded = false;
      return 'recover';
    }
    if (this.#probing || isAlive(selected, now, PROBE_SHARE * disconnectedMs)) return 'none';
    this.#probing = true;
    return 'probe';
  }

  nextTimeout(): Instant {
    if (this.selected === undefined || this.#recovering) return this.#nominationAt;
    const share = this.#probing ? 1 : PROBE_SHARE;
    return Math.min(this.#nominationAt, silentAt(this.selected, share * this.#host.disconnectedMs));
  }
}
