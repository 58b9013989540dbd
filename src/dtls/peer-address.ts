import type { FiveTuple, Instant } from '../core/index.ts';

/** Records, each the newest and none from the old address between them, that prove a new address. */
export const MIGRATION_RECORDS = 3;
/** And the time between the first and the last of them, ms: a copy may overtake a whole burst, but not the next one too. */
export const MIGRATION_MS = 250;
/** Bytes sent to an address on trial, for each that came from it: as RFC 9000 §8.1 allows before an address is proved. */
export const AMPLIFICATION_LIMIT = 3;

/** What a record told of the peer's address. */
export type AddressChange = 'none' | 'trial' | 'moved' | 'returned';

interface Trial {
  readonly path: FiveTuple;
  readonly key: string;
  readonly since: Instant;
  /** The first record that came from there. */
  readonly firstSequence: number;
  records: number;
  receivedBytes: number;
  sentBytes: number;
}

/**
 * The address of a peer with a connection ID, and its change (RFC 9146 §6). That a record is authentic and the newest shows that
 * the peer sent it, not where from: anyone on the path can copy or hold back a record and give it another source address, to
 * cut the peer off or to have its traffic sent to a victim. So a new address is on trial first:
 *
 * ```text
 * settled ── newest record from elsewhere → trial: answers go there, up to 3 bytes for each that came; the rest, as before
 *    ↑         │ 3 newest records, over 250 ms at least → settled there
 *    └─────────┤ the newest record from the settled address, or an authentic copy of one that came in the trial: the peer is
 *              │ where it was; from now on nothing goes to an address on trial until one has settled
 * ```
 *
 * The peer has to know nothing of this. Who can keep the peer's own records from arriving, and goes on sending them from
 * elsewhere, does get the answers, which it could take from the path as well.
 */
export class PeerAddress {
  #path: FiveTuple;
  #key: string;
  #trial: Trial | undefined;
  #distrustful = false;

  /** @param key - the path as text, by which two are the same. */
  constructor(path: FiveTuple, key: string) {
    this.#path = path;
    this.#key = key;
  }

  /** Where the peer has been shown to be. */
  get path(): FiveTuple {
    return this.#path;
  }

  get key(): string {
    return this.#key;
  }

  /** An address is on trial: copies of its records from the settled one are of interest. */
  get onTrial(): boolean {
    return this.#trial !== undefined;
  }

  /** The first record of the trial; older copies tell nothing. */
  get trialSequence(): number {
    return this.#trial?.firstSequence ?? Number.POSITIVE_INFINITY;
  }

  /** An authentic datagram whose record is the newest. @param sequence - the record's. */
  heard(path: FiveTuple, key: string, bytes: number, sequence: number, now: Instant): AddressChange {
    if (key === this.#key) return this.returned();
    let trial = this.#trial;
    if (trial === undefined || trial.key !== key) {
      if (trial !== undefined) this.#distrustful = true; // two new addresses at a time: at least one is not the peer's
      trial = { path, key, since: now, firstSequence: sequence, records: 0, receivedBytes: 0, sentBytes: 0 };
      this.#trial = trial;
    }
    trial.records++;
    trial.receivedBytes += bytes;
    if (trial.records < MIGRATION_RECORDS || now - trial.since < MIGRATION_MS) return 'trial';
    this.#path = trial.path;
    this.#key = trial.key;
    this.#trial = undefined;
    this.#distrustful = false;
    return 'moved';
  }

  /** The peer is at the settled address after all. */
  returned(): AddressChange {
    if (this.#trial === undefined) return 'none';
    this.#trial = undefined;
    this.#distrustful = true;
    return 'returned';
  }

  /** Where a datagram of so many bytes goes; it counts as sent. */
  route(bytes: number): FiveTuple {
    const trial = this.#trial;
    if (trial === undefined || this.#distrustful) return this.#path;
    if (trial.sentBytes + bytes > AMPLIFICATION_LIMIT * trial.receivedBytes) return this.#path;
    trial.sentBytes += bytes;
    return trial.path;
  }
}
