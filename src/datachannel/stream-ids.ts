import type { DtlsRole } from './types.ts';

/** RFC 8831 §6.4 leaves 65,535 unused: SCTP counts streams in 16 bits, so that 65,534 is the last identifier. */
export const MAX_STREAM_ID = 65_534;

/** First identifier of a side: the DTLS client uses even ones, the server odd ones (RFC 8832 §6). */
export function parityOf(role: DtlsRole): 0 | 1 {
  return role === 'client' ? 0 : 1;
}

/**
 * Gives out the lowest free identifier of one parity, as browsers do, so that ids are reused after a reset. Looking for it
 * starts where the last one was found; a release moves that point back.
 */
export class StreamIdAllocator {
  readonly #inUse: (streamId: number) => boolean;
  readonly #lowest: [number, number] = [0, 1];

  constructor(inUse: (streamId: number) => boolean) {
    this.#inUse = inUse;
  }

  /** @param limit - identifiers must be below it. @returns undefined when all are in use. */
  next(role: DtlsRole, limit: number): number | undefined {
    const parity = parityOf(role);
    for (let id = this.#lowest[parity]; id < limit && id <= MAX_STREAM_ID; id += 2) {
      this.#lowest[parity] = id;
      if (!this.#inUse(id)) return id;
    }
    return undefined;
  }

  /** To be called whenever an identifier becomes free. */
  release(streamId: number): void {
    const parity = (streamId & 1) as 0 | 1;
    if (streamId < this.#lowest[parity]) this.#lowest[parity] = streamId;
  }
}
