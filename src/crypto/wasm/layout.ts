/**
 * Where things lie in the one page of linear memory that the kernels share. Both texts have a block of ChaCha20 in front, whose
 * keystream (block 0) is the one-time key of Poly1305 (RFC 8439 §2.6), and room for a whole batch of blocks behind.
 *
 *   0       64    80        128         256    768     1024                    17,728
 *   | STATE | TAG | H       | PAD | ... | AAD  | ...   | block 0 | INPUT ...   | block 0 | OUTPUT ...
 */
export const MEMORY_PAGES = 1;

/** The sixteen words of RFC 8439 §2.3, as four rows of 16 bytes. Only key and nonce are ever written; the counter stays zero. */
export const STATE_AT = 0;
export const KEY_AT: number = STATE_AT + 16;
export const NONCE_AT: number = STATE_AT + 52;
/** The tag that was computed. */
export const TAG_AT = 64;
/** Poly1305's five limbs, 8 bytes each. */
export const H_AT = 80;
/** A block of Poly1305 that is put together: a padded one, or both lengths. */
export const PAD_AT = 128;

export const AAD_AT = 256;
/** More associated data than any record has: RFC 9146 §5.3 makes 23 bytes and a connection ID of up to 255. */
export const MAX_AAD_BYTES = 512;
/** The longest fragment of a record (RFC 5246 §6.2.1). */
export const MAX_TEXT_BYTES = 16_384;

export const BLOCK_BYTES = 64;
/** Blocks of keystream that are made at once. */
export const BATCH_BLOCKS = 3;
export const BATCH_BYTES: number = BATCH_BLOCKS * BLOCK_BYTES;

const AREA_BYTES: number = BLOCK_BYTES + MAX_TEXT_BYTES + BATCH_BYTES;
export const INPUT_AREA_AT = 1024;
export const OUTPUT_AREA_AT: number = INPUT_AREA_AT + AREA_BYTES;
/** Plaintext to be sealed; or ciphertext and tag to be opened. */
export const INPUT_AT: number = INPUT_AREA_AT + BLOCK_BYTES;
/** Block 0 of the keystream: r, then s (RFC 8439 §2.6). */
export const ONE_TIME_KEY_AT: number = OUTPUT_AREA_AT;
/** Ciphertext and tag; or plaintext, which nobody may read before the tag was found right. */
export const OUTPUT_AT: number = OUTPUT_AREA_AT + BLOCK_BYTES;
