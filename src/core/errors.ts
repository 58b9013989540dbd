/**
 * Why something from the network was not acted on. One closed union for the whole house, so that a drop can be counted
 * in an array, asserted in a test and read in a log without a dictionary per module.
 */
export const DROP_REASONS = [
  // Framing and values: what a decoder throws.
  'too-short', // fewer bytes than the field needs
  'trailing-bytes', // bytes left over behind a complete structure
  'bad-length', // a length field that contradicts its surroundings
  'bad-padding',
  'bad-value', // a field outside its set
  'bad-type', // not the kind of message that belongs here
  'bad-version',
  'bad-order', // a legal element in an illegal place
  'duplicate', // an element that may stand once stands twice
  'missing', // a mandatory element is absent
  'unsupported', // legal, but not implemented or switched off
  'too-many', // more elements than the bound
  // Authentication: check, authenticate, then commit.
  'bad-checksum',
  'bad-fingerprint',
  'bad-integrity', // MESSAGE-INTEGRITY, Finished or a signature does not verify
  'bad-tag', // SCTP verification tag
  'bad-cookie',
  'decrypt-failed',
  'replayed',
  'unauthenticated', // would change state but proves nothing
  // State: a well-formed message at the wrong time.
  'bad-state',
  'stale', // belongs to an earlier generation, epoch or window
  'out-of-window',
  'unknown-transaction',
  'unknown-path',
  'unknown-peer',
  'closed',
  // Bounds.
  'limit', // a documented bound was reached
  'rate-limited',
] as const;

/** See {@link DROP_REASONS}. */
export type DropReason = (typeof DROP_REASONS)[number];

/** Thrown by decoders only; the owning `handleInput` turns it into a counted drop. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly reason: DropReason;
  /** The field that could not be read, in the RFC's words. */
  readonly field: string;
  /** Byte in the datagram where decoding stopped. */
  readonly offset: number;

  constructor(reason: DropReason, field: string, offset: number) {
    super(`${field} at byte ${offset}: ${reason}`);
    this.reason = reason;
    this.field = field;
    this.offset = offset;
  }
}

/** The caller did something that the API does not allow. Never caused by a peer. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A `ByteWriter` ran out of room: the caller's buffer is too small for the message. */
export class BufferTooSmall extends UsageError {
  /** Bytes that the buffer would have needed up to the failing write. */
  readonly needed: number;

  constructor(needed: number, available: number) {
    super(`the buffer holds ${available} bytes and ${needed} are needed`);
    this.needed = needed;
  }
}

/** Counts drops by reason; cheap enough for every packet, and what tests assert. */
export class DropCounters {
  readonly #counts = new Map<DropReason, number>();
  #total = 0;

  count(reason: DropReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    this.#total++;
  }

  get(reason: DropReason): number {
    return this.#counts.get(reason) ?? 0;
  }

  get total(): number {
    return this.#total;
  }

  /** Only the reasons that occurred. */
  toJSON(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(this.#counts);
  }
}
