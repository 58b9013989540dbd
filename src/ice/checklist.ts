import type { CandidatePair } from './pair.ts';
import type { IceRole } from './types.ts';

/**
 * The checklist (RFC 8445 §6.1.2) with its triggered-check queue (§6.1.4.1): which pair is checked next.
 *
 * ```text
 *            add                unfreeze                 next                success
 *   (pair) -------> Frozen ----------------> Waiting -----------> In-Progress -------> Succeeded
 *            \---- first of its foundation ---^  ^                     |
 *                                                 \--- triggered ------+---- failure -> Failed
 * ```
 *
 * There is one data stream with one component, so the checklist set is this checklist.
 */
export class Checklist {
  readonly #limit: number;
  /** In order of falling priority. */
  #pairs: CandidatePair[] = [];
  readonly #byKey = new Map<string, CandidatePair>();
  #triggered: CandidatePair[] = [];

  /** @param limit - most pairs at a time (RFC 8445 §6.1.2.5). */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get pairs(): readonly CandidatePair[] {
    return this.#pairs;
  }

  /** By `formatFiveTuple(path)`. */
  get(key: string): CandidatePair | undefined {
    return this.#byKey.get(key);
  }

  /**
   * Inserts a pair whose path is not in the list yet, its state as RFC 8838 §12 says: Waiting when it is the topmost
   * of its foundation or one of its foundation succeeded, else Frozen.
   * @returns false when the list is full of pairs that are better or in use (RFC 8838 §10 provisos 5 and 6).
   */
  add(pair: CandidatePair): boolean {
    if (this.#byKey.has(pair.key)) return false;
    if (this.#pairs.length >= this.#limit && !this.#makeRoom(pair)) return false;
    const at = this.#pairs.findIndex((other) => pair.comparePriority(other) > 0);
    this.#pairs.splice(at < 0 ? this.#pairs.length : at, 0, pair);
    this.#byKey.set(pair.key, pair);
    const foundation = pair.foundation;
    const column = this.#pairs.filter((other) => other.foundation === foundation);
    const first = column[0] === pair;
    pair.state = first || column.some((other) => other.state === 'succeeded') ? 'waiting' : 'frozen';
    return true;
  }

  remove(pair: CandidatePair): void {
    pair.removed = true;
    this.#byKey.delete(pair.key);
    this.#pairs = this.#pairs.filter((other) => other !== pair);
    this.#triggered = this.#triggered.filter((other) => other !== pair);
  }

  /** RFC 8838 §10 proviso 6: a failed pair goes first, else the lowest that is not checked yet and lower than the new one. */
  #makeRoom(pair: CandidatePair): boolean {
    const unused = (other: CandidatePair) => !other.valid && !other.nominateOnSuccess && !other.consentLost;
    const victim =
      this.#pairs.findLast((other) => other.state === 'failed' && unused(other)) ??
      this.#pairs.findLast(
        (other) =>
          (other.state === 'frozen' || other.state === 'waiting') && unused(other) && other.comparePriority(pair) < 0,
      );
    if (victim === undefined) return false;
    this.remove(victim);
    return true;
  }

  /** RFC 8445 §7.3.1.4: puts a pair into the triggered-check queue, once, and into the Waiting state. */
  trigger(pair: CandidatePair): void {
    pair.state = 'waiting';
    if (!this.#triggered.includes(pair)) this.#triggered.push(pair);
  }

  /** After a role change or a changed candidate (RFC 8445 §7.2.5.1). */
  reorder(role: IceRole): void {
    for (const pair of this.#pairs) pair.refresh(role);
    this.#pairs.sort((a, b) => b.comparePriority(a));
  }

  /** RFC 8445 §7.2.5.3.3: frozen pairs of the foundation become Waiting. */
  unfreeze(foundation: string): void {
    for (const pair of this.#pairs) {
      if (pair.state === 'frozen' && pair.foundation === foundation) pair.state = 'waiting';
    }
  }

  /** RFC 8445 §6.1.4.2 steps 1 to 3. Takes the pair from the queue; the caller sends its check. */
  next(): CandidatePair | undefined {
    for (let pair = this.#triggered.shift(); pair !== undefined; pair = this.#triggered.shift()) {
      if (pair.state === 'waiting' || pair.useCandidate) return pair; // else it has succeeded meanwhile
    }
    const waiting = this.#firstWaiting();
    if (waiting !== undefined) return waiting;
    this.#unfreezeIdleFoundations();
    return this.#firstWaiting();
  }

  /** Whether `next` would return a pair. Pure. */
  get hasNext(): boolean {
    return (
      this.#triggered.some((pair) => pair.state === 'waiting' || pair.useCandidate) ||
      this.#firstWaiting() !== undefined ||
      this.#pairs.some((pair) => pair.state === 'frozen' && !this.#foundationBusy(pair.foundation))
    );
  }

  /** Pairs that are Waiting or In-Progress: the load that the RTO grows with (RFC 8445 §14.3). */
  get load(): number {
    let load = 0;
    for (const pair of this.#pairs) if (pair.state === 'waiting' || pair.state === 'in-progress') load++;
    return load;
  }

  #firstWaiting(): CandidatePair | undefined {
    return this.#pairs.find((pair) => pair.state === 'waiting');
  }

  /** RFC 8445 §6.1.4.2 step 2. */
  #unfreezeIdleFoundations(): void {
    for (const pair of this.#pairs) {
      if (pair.state === 'frozen' && !this.#foundationBusy(pair.foundation)) pair.state = 'waiting';
    }
  }

  #foundationBusy(foundation: string): boolean {
    return this.#pairs.some(
      (pair) => (pair.state === 'waiting' || pair.state === 'in-progress') && pair.foundation === foundation,
    );
  }
}
