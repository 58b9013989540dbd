import { randomFillSync } from 'node:crypto';

/** Bytes that the system's generator is asked for at once. A call costs 5 µs, whatever it is for. */
const POOL_BYTES = 4096;
/** Longest request that is served from the pool. */
const SMALL_BYTES = 64;

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/**
 * Fills `out` from the system's cryptographic generator. Short requests (transaction ids, tags, nonces: a hundred for each
 * connection) take their bytes from a pool; what is taken is erased, so that no byte is given twice or stays readable.
 */
export function nodeRandom(out: Uint8Array): void {
  const { length } = out;
  if (length > SMALL_BYTES) {
    randomFillSync(out);
    return;
  }
  if (used + length > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  for (let i = 0; i < length; i++, used++) {
    out[i] = pool[used] ?? 0;
    pool[used] = 0;
  }
}
