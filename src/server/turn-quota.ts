import { DEFAULT_MAX_ALLOCATIONS } from '../turn/index.ts';

/** The allocations and reservations of all members of a fleet: by user for the quotas, by member for the day it dies. */
export class QuotaLedger {
  readonly #userQuota: number;
  readonly #totalQuota: number;
  readonly #perUser = new Map<string, number>();
  readonly #perMember = new Map<number, Map<string, number>>();
  #total = 0;

  /** @param quotas - as those of `TurnServerCoreOptions`, here with reservations in both. */
  constructor(quotas: { readonly userQuota?: number | undefined; readonly totalQuota?: number | undefined }) {
    this.#userQuota = quotas.userQuota ?? Number.POSITIVE_INFINITY;
    this.#totalQuota = quotas.totalQuota ?? DEFAULT_MAX_ALLOCATIONS;
  }

  get total(): number {
    return this.#total;
  }

  /** Whether one more would be too many (RFC 8656 §7.2: 486). */
  refuses(quotaKey: string): boolean {
    return this.#total >= this.#totalQuota || (this.#perUser.get(quotaKey) ?? 0) >= this.#userQuota;
  }

  add(member: number, quotaKey: string, change: number): void {
    const mine = this.#perMember.get(member) ?? new Map<string, number>();
    this.#perMember.set(member, mine);
    addTo(mine, quotaKey, change);
    addTo(this.#perUser, quotaKey, change);
    this.#total += change;
  }

  /** A member is gone, and with it all that it had. */
  forget(member: number): void {
    for (const [quotaKey, count] of [...(this.#perMember.get(member) ?? [])]) this.add(member, quotaKey, -count);
    this.#perMember.delete(member);
  }
}

function addTo(counts: Map<string, number>, key: string, change: number): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
