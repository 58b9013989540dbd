import { type FiveTuple, formatFiveTuple } from '../core/index.ts';
import { transactionKey } from '../stun/index.ts';
import type { CheckRequest } from './binding.ts';
import { MAX_EARLY_CHECKS, MAX_SEEN_REQUESTS } from './limits.ts';

/** An authenticated check that came before the peer's credentials. */
export interface EarlyCheck {
  readonly request: CheckRequest;
  readonly path: FiveTuple;
}

/**
 * Checks that are answered before the peer's credentials are known (RFC 8445 §7.3: "the agent MUST immediately generate a
 * response"), kept until they are: one per path, the newest, with the nomination of any of them.
 */
export class EarlyChecks {
  #checks = new Map<string, EarlyCheck>();

  /** False: the bound is reached. */
  keep(request: CheckRequest, path: FiveTuple): boolean {
    const key = formatFiveTuple(path);
    const before = this.#checks.get(key);
    if (before === undefined && this.#checks.size >= MAX_EARLY_CHECKS) return false;
    const useCandidate = request.useCandidate || before?.request.useCandidate === true;
    this.#checks.set(key, { request: { ...request, useCandidate }, path });
    return true;
  }

  /** By `formatFiveTuple(path)`. */
  has(key: string): boolean {
    return this.#checks.has(key);
  }

  take(): EarlyCheck[] {
    const checks = [...this.#checks.values()];
    this.#checks = new Map();
    return checks;
  }
}

/**
 * A request is authentic wherever it comes from, so who captured one could make us believe in any address. A transaction
 * belongs to one path; on a second path it is a replay. Remembers the latest transactions.
 */
export class ReplayFilter {
  readonly #paths = new Map<string, string>();

  isReplay(request: CheckRequest, path: FiveTuple): boolean {
    const id = transactionKey(request.transactionId);
    const key = formatFiveTuple(path);
    const first = this.#paths.get(id);
    if (first !== undefined) return first !== key;
    if (this.#paths.size >= MAX_SEEN_REQUESTS) {
      const oldest = this.#paths.keys().next();
      if (oldest.done !== true) this.#paths.delete(oldest.value);
    }
    this.#paths.set(id, key);
    return false;
  }
}
