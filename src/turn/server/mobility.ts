import { bytesToHex, decodeUtf8, type Env, utf8 } from '../../core/index.ts';
import type { Allocation } from './allocation.ts';

/**
 * A ticket is a random name: 128 bits, so that it cannot be guessed, and opaque to the client (RFC 8016 §3.3). It is written
 * in hexadecimal, because coturn's client keeps it as a string that ends at the first zero byte.
 */
const RANDOM_BYTES = 16;
const TICKET_BYTES: number = 2 * RANDOM_BYTES;

/** Which allocation a MOBILITY-TICKET names. */
export type TicketVerdict =
  | { readonly type: 'current'; readonly allocation: Allocation }
  /** Good for a retransmission of the move that used it up, and for nothing else (RFC 8016 §3.2.2). */
  | { readonly type: 'used'; readonly allocation: Allocation }
  | { readonly type: 'unknown' }
  | { readonly type: 'malformed' };

interface Tickets {
  current: string;
  used: string | undefined;
}

/**
 * The tickets of RFC 8016: two for each allocation at most, gone with it. The RFC's example encrypts state into the ticket
 * for servers that take over from each other; ours remember, and a ticket is worth nothing elsewhere.
 */
export class TicketTable {
  readonly #env: Env;
  readonly #member: number | undefined;
  readonly #byTicket = new Map<string, Allocation>();
  readonly #byAllocation = new Map<Allocation, Tickets>();

  /** @param member - of a fleet: the first byte of its tickets. */
  constructor(env: Env, member?: number) {
    this.#env = env;
    this.#member = member;
  }

  get size(): number {
    return this.#byTicket.size;
  }

  has(allocation: Allocation): boolean {
    return this.#byAllocation.has(allocation);
  }

  /** A fresh ticket; the one before is used up, the one before that forgotten. */
  issue(allocation: Allocation): Uint8Array {
    const random = new Uint8Array(RANDOM_BYTES);
    this.#env.random(random);
    if (this.#member !== undefined) random[0] = this.#member;
    const key = bytesToHex(random);
    const known = this.#byAllocation.get(allocation);
    if (known?.used !== undefined) this.#byTicket.delete(known.used);
    this.#byAllocation.set(allocation, { current: key, used: known?.current });
    this.#byTicket.set(key, allocation);
    return utf8(key);
  }

  find(ticket: Uint8Array): TicketVerdict {
    if (ticket.length !== TICKET_BYTES) return { type: 'malformed' };
    const key = decodeUtf8(ticket) ?? '';
    const allocation = this.#byTicket.get(key);
    if (allocation === undefined) return { type: 'unknown' };
    const isCurrent = this.#byAllocation.get(allocation)?.current === key;
    return { type: isCurrent ? 'current' : 'used', allocation };
  }

  forget(allocation: Allocation): void {
    const known = this.#byAllocation.get(allocation);
    if (known === undefined) return;
    this.#byAllocation.delete(allocation);
    this.#byTicket.delete(known.current);
    if (known.used !== undefined) this.#byTicket.delete(known.used);
  }
}
