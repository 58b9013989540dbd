import { isStun, STUN_METHODS, transactionKey } from '../stun/index.ts';

/** Requests of all connections of a shared socket that are remembered until their answer comes. The oldest goes first. */
export const MAX_REMEMBERED_REQUESTS = 16_384;

const HEADER_BYTES = 20;
/** RFC 8489 §5: the class is bits 4 and 8 of the type. */
const CLASS_HIGH = 0x01;
const CLASS_LOW = 0x10;

/**
 * Who has sent which STUN request over a socket that several share: its answer is for him, wherever others have sent
 * requests too (all ask the same STUN server). Transaction IDs have 96 random bits, so what matches is no accident.
 */
export class SentRequests<Owner> {
  readonly #owners = new Map<string, Owner>();

  /** Requests that are waited for. */
  get size(): number {
    return this.#owners.size;
  }

  /**
   * Remembers `buffer[offset, offset + length)` if it is a STUN request.
   * @returns whether it is a Binding request: one that says nothing about whom the receiver belongs to.
   */
  note(buffer: Uint8Array, offset: number, length: number, owner: Owner): boolean {
    if (length < HEADER_BYTES || buffer[offset]! > 3) return false; // the quick way out, for data
    const datagram = buffer.subarray(offset, offset + length);
    if (!isStun(datagram) || (datagram[0]! & CLASS_HIGH) !== 0 || (datagram[1]! & CLASS_LOW) !== 0) return false;
    const key = keyOf(datagram);
    this.#owners.delete(key); // a retransmission goes to the end of the line
    this.#owners.set(key, owner);
    if (this.#owners.size > MAX_REMEMBERED_REQUESTS) {
      const oldest = this.#owners.keys().next();
      if (oldest.done !== true) this.#owners.delete(oldest.value);
    }
    return datagram[0] === 0 && datagram[1] === STUN_METHODS.Binding;
  }

  /** Whose request the datagram answers, once; undefined when it answers none. */
  take(datagram: Uint8Array): Owner | undefined {
    if (datagram.length < HEADER_BYTES || datagram[0]! > 3 || (datagram[0]! & CLASS_HIGH) === 0) return undefined;
    if (!isStun(datagram)) return undefined;
    const key = keyOf(datagram);
    const owner = this.#owners.get(key);
    this.#owners.delete(key);
    return owner;
  }

  /** An owner has left. */
  forget(owner: Owner): void {
    for (const [key, other] of this.#owners) if (other === owner) this.#owners.delete(key);
  }
}

function keyOf(datagram: Uint8Array): string {
  return transactionKey(datagram.subarray(8, HEADER_BYTES));
}
