import { type Deadline, type Instant, NEVER } from '../../core/index.ts';

/** A deadline that knows what happens then. Called once, when it is due and out of the heap; it may be set again. */
export interface Expiry extends Deadline {
  readonly expire: (now: Instant) => void;
}

export function createExpiry(expire: (now: Instant) => void): Expiry {
  return { at: NEVER, order: 0, heapIndex: -1, expire };
}
