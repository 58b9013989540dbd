import { type FiveTuple, formatFiveTuple, type Instant, NEVER, UsageError } from '../core/index.ts';
import { RETIRE_MS } from './limits.ts';
import type { CandidatePair } from './pair.ts';
import { IceSession, type SessionHost } from './session.ts';
import type { IceParameters } from './types.ts';

/**
 * The current generation, and the one before a restart for as long as its pair carries the data (RFC 8445 §9) and a little
 * longer, until what is under way has arrived.
 */
export class Generations {
  readonly #host: SessionHost;
  #current: IceSession;
  #previous: IceSession | undefined;
  /** Agreed on, but without a pair yet when the next restart began: what a rollback of that goes back to. */
  #setAside: IceSession | undefined;
  /** When the previous one is over. NEVER while it is still needed. */
  #retireAt: Instant = NEVER;
  /** Paths as the shell hands them in, and as pairs hold them: both by identity, for the data path. */
  readonly #pairOfPath = new WeakMap<FiveTuple, CandidatePair>();

  constructor(host: SessionHost, local: IceParameters) {
    this.#host = host;
    this.#current = new IceSession(host, local);
  }

  get current(): IceSession {
    return this.#current;
  }

  /** Those that are asked and answered, the current one first. */
  get all(): readonly IceSession[] {
    if (this.#previous === undefined) return [this.#current];
    const older = [this.#previous];
    return this.#setAside === undefined ? [this.#current, ...older] : [this.#current, this.#setAside, ...older];
  }

  /** Where data goes: the old pair until the new generation has one. */
  get selected(): CandidatePair | undefined {
    const older = this.#setAside?.selection.selected ?? this.#previous?.selection.selected;
    return this.#current.selection.selected ?? older;
  }

  /**
   * RFC 8445 §9. Of two restarts in a row, the generation that carries the data is kept. One that begins anew with the same
   * credentials before it has met the peer's is of no use to anybody.
   */
  restart(local: IceParameters): void {
    const old = this.#current;
    const older = this.#previous;
    const sameAgain = old.remote === undefined && old.local.ufrag === local.ufrag && old.local.pwd === local.pwd;
    const keepOlder = sameAgain || (older !== undefined && old.selection.selected === undefined);
    if (keepOlder && old.remote !== undefined) this.#setAside = old;
    else (keepOlder ? old : older)?.stop();
    this.#previous = keepOlder ? older : old;
    this.#retireAt = NEVER;
    this.#current = new IceSession(this.#host, local);
  }

  /** @throws {UsageError} when there is nothing to go back to, or the peer has answered. */
  rollback(): void {
    if (this.#previous === undefined || this.#current.remote !== undefined) {
      throw new UsageError('no restart to roll back');
    }
    this.#current.stop();
    this.#retireAt = NEVER;
    if (this.#setAside === undefined) {
      this.#current = this.#previous;
      this.#previous = undefined;
    } else {
      this.#current = this.#setAside;
      this.#setAside = undefined;
    }
  }

  /** Chooses pairs anew, and lets the previous generation go when it has served. */
  select(now: Instant): void {
    if (this.#current.remote !== undefined) this.#dropSetAside(); // the peer has answered: no rollback any more
    for (const session of this.all) session.selection.select(now);
    if (this.#previous === undefined || this.#current.selection.selected === undefined) {
      this.#retireAt = NEVER; // also when the new pair is lost again: then the old one is needed as before
      return;
    }
    this.#retireAt = Math.min(this.#retireAt, now + RETIRE_MS);
    if (now >= this.#retireAt) this.retirePrevious();
  }

  retirePrevious(): void {
    this.#previous?.stop();
    this.#previous = undefined;
    this.#retireAt = NEVER;
  }

  #dropSetAside(): void {
    this.#setAside?.stop();
    this.#setAside = undefined;
  }

  stop(): void {
    this.#current.stop();
    this.#dropSetAside();
    this.retirePrevious();
  }

  /** The pair of a path in any generation. Quick for path objects that were seen before. */
  pairOf(path: FiveTuple): CandidatePair | undefined {
    const cached = this.#pairOfPath.get(path);
    if (cached !== undefined && !cached.removed) return cached;
    const key = formatFiveTuple(path);
    const pairs = this.all.flatMap(({ checklist }) => checklist.get(key) ?? []);
    // A restart mostly checks the same paths again: until the new pair has proved itself the old one speaks for them.
    const pair = pairs.find(({ authenticated }) => authenticated) ?? pairs.at(-1);
    if (pair !== undefined) this.#pairOfPath.set(path, pair);
    return pair;
  }

  /** Whether the peer has proved itself over the path. */
  acceptsData(path: FiveTuple): boolean {
    const pair = this.pairOf(path);
    if (pair !== undefined) return pair.authenticated;
    // Before its credentials are known a peer may send already: it has our answer to its check.
    return this.#current.knowsPath(formatFiveTuple(path));
  }

  nextTimeout(): Instant {
    let at = this.#retireAt;
    for (const session of this.all) at = Math.min(at, session.nextTimeout());
    return at;
  }
}
