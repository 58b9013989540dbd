import { type Instant, NEVER } from './sans-io.ts';

/**
 * Named timers of one core, all in one place: what is armed can be listed, and `nextTimeout()` is one call.
 * A name can be armed once; arming it again moves it.
 *
 * @example
 * const timers = new TimerTable<'t1-init' | 't3-rtx'>();
 * timers.arm('t3-rtx', now + rtoMs);
 * for (let t = timers.due(now); t !== undefined; t = timers.due(now)) this.fire(t.name, t.deadline);
 */
export class TimerTable<Name extends string> {
  readonly #at = new Map<Name, Instant>();
  #next: Instant = NEVER;

  /** @param at - absolute; for a repeating timer compute it from the old deadline, not from `now`. */
  arm(name: Name, at: Instant): void {
    this.#at.set(name, at);
    this.#refresh();
  }

  cancel(name: Name): void {
    if (this.#at.delete(name)) this.#refresh();
  }

  cancelAll(): void {
    this.#at.clear();
    this.#next = NEVER;
  }

  isArmed(name: Name): boolean {
    return this.#at.has(name);
  }

  /** The deadline of a timer, or `NEVER`. */
  deadline(name: Name): Instant {
    return this.#at.get(name) ?? NEVER;
  }

  /** The earliest deadline, or `NEVER`. */
  next(): Instant {
    return this.#next;
  }

  /**
   * Takes the earliest timer that is due, disarming it; undefined when none is. Equal deadlines fire in arming order.
   * The deadline it had is returned too, so that a schedule can go on from it.
   */
  due(now: Instant): { readonly name: Name; readonly deadline: Instant } | undefined {
    if (this.#next > now) return undefined;
    for (const [name, deadline] of this.#at) {
      if (deadline === this.#next) {
        this.cancel(name);
        return { name, deadline };
      }
    }
    return undefined;
  }

  #refresh(): void {
    let next = NEVER;
    for (const at of this.#at.values()) if (at < next) next = at;
    this.#next = next;
  }
}
