import type { Env } from '../core/index.ts';
import { randomTieBreaker } from './credentials.ts';
import { MAX_ROLE_SWITCHES } from './limits.ts';
import type { Outbox } from './outbox.ts';
import type { IceRole } from './types.ts';

/** Our role and tie-breaker (RFC 8445 §6.1.1, §7.3.1.1), for all generations. */
export class RoleKeeper {
  readonly #env: Env;
  readonly #outbox: Outbox;
  role: IceRole;
  tieBreaker: bigint;
  #switches = 0;

  constructor(env: Env, role: IceRole, outbox: Outbox) {
    this.#env = env;
    this.#outbox = outbox;
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
    if (this.#switches >= MAX_ROLE_SWITCHES) {
      this.#outbox.drop('limit', 'role switches');
      return false;
    }
    this.#switches++;
    this.role = role;
    if (newTieBreaker) this.tieBreaker = randomTieBreaker(this.#env);
    this.#env.trace.note('ice', `role conflict: now ${role}`);
    this.#outbox.emit({ type: 'role', role });
    return true;
  }
}
