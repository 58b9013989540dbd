import { type FiveTuple, formatFiveTuple } from '../core/index.ts';
import type { CheckRequest } from './binding.ts';
import { MAX_EARLY_CHECKS, MAX_SEEN_REQUESTS } from './limits.ts';

/** Room for transactions in the beginning. */
const FIRST_SEEN_REQUESTS = 16;

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
 * belongs to one path; on a second path it is a replay. Remembers the latest transactions: each consent check of the peer is
 * one, for as long as the connection lives, so that they are kept small.
 */
export class ReplayFilter {
  /** 48 of the 96 random bits of each transaction ID: none of the peer's own will ever meet another. */
  #ids: Float64Array = new Float64Array(FIRST_SEEN_REQUESTS);
  /** Beside each, its path. */
  readonly #paths: string[] = [];
  #next = 0;

  /** @param key - `formatFiveTuple` of the path; the same string for the same path costs no memory. */
  isReplay(request: CheckRequest, key: string): boolean {
    const id = readId(request.transactionId);
    const at = this.#ids.subarray(0, this.#paths.length).indexOf(id);
    if (at >= 0) return this.#paths[at] !== key;
    if (this.#next === this.#ids.length) this.#grow();
    this.#ids[this.#next] = id;
    this.#paths[this.#next++] = key;
    return false;
  }

  /** Doubles, and at the bound begins anew with the oldest. */
  #grow(): void {
    if (this.#next < MAX_SEEN_REQUESTS) {
      const larger = new Float64Array(2 * this.#next);
      larger.set(this.#ids);
      this.#ids = larger;
    } else this.#next = 0;
  }
}

function readId(transactionId: Uint8Array): number {
  let id = 0;
  for (let i = 0; i < 6; i++) id = id * 256 + transactionId[i]!;
  return id;
}
