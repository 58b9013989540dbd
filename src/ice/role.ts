import type { Env } from '../core/index.ts';
import { randomTieBreaker } from './credentials.ts';
import { MAX_ROLE_SWITCHES } from './limits.ts';
import type { IceRole } from './types.ts';

/** Our role and tie-breaker (RFC 8445 §6.1.1, §7.3.1.1), for all generations. */
export class RoleKeeper {
  readonly #env: Env;
  role: IceRole;
  tieBreaker: bigint;
  #switches = 0;

  constructor(env: Env, role: IceRole) {
    this.#env = env;
    this.role = role;
    this.tieBreaker = randomTieBreaker(env);
  }

  /** A restart: conflicts are counted anew. */
  begin(): void {
    this.#switches = 0;
  }

  /**
   * Repairs a conflict.
   * @param newTieBreaker - a 487 response asked for it: "The agent MUST change the tiebreaker value" (RFC 8445 §7.2.5.1).
   * @returns false when the bound on switches is reached.
   */
  switch(role: IceRole, newTieBreaker: boolean): boolean {
    if (this.#switches >= MAX_ROLE_SWITCHES) return false;
    this.#switches++;
    this.role = role;
    if (newTieBreaker) this.tieBreaker = randomTieBreaker(this.#env);
    return true;
  }
}
