/**
 * Poly1305 (RFC 8439 §2.5): a polynomial in r over the 16-byte blocks of the message, modulo 2^130 - 5, plus s.
 *
 * Numbers are six signed limbs of 22 bits in doubles. With the message added, a limb is below 1.6 · 2^22, so the sum of a
 * row (one factor below 2^22 and up to five below 20 · 2^22, for the limbs that wrap around) is below 2^52, and exact: 36
 * multiplications a block, where limbs of 13 bits in 32-bit arithmetic need 100. 2^132 is four times 2^130, hence
 * 4 · 5 = 20 as the factor of what wraps around.
 *
 *   limb   h0        h1        h2        h3        h4        h5
 *   bits   0-21      22-43     44-65     66-87     88-109    110-131
 */

const LIMB = 2 ** 22;
/**
 * Added and taken away again, it rounds a double of up to 2^72 to a multiple of 2^22: what is carried, with its weight. The rest
 * lies between -2^21 and 2^21.
 */
const ROUND = 3 * 2 ** 73;
const LIMB_INVERSE = 2 ** -22;
/** What is carried out of the top limb comes back at the bottom. */
const WRAP = 20 * LIMB_INVERSE;
const LIMB_MASK = 0x3f_ffff;
/** Bits of the top limb below 2^130. */
const TOP_LIMB = 2 ** 20;
/** The byte 0x01 behind each full block: bit 128, which is bit 18 of the top limb. */
const BLOCK_BIT = 0x4_0000;
const TWO_32 = 0x1_0000_0000;

/** One authenticator, used again for each record: `init`, updates of whole blocks, `finish`. */
export class Poly1305 {
  readonly #r = new Float64Array(6);
  readonly #h = new Float64Array(6);
  readonly #s = new Uint32Array(4);
  readonly #block = new Int32Array(4);
  readonly #blockBytes: Uint8Array = new Uint8Array(this.#block.buffer);

  /** @param key - eight words: r, clamped here (RFC 8439 §2.5), and s. */
  init(key: Int32Array): void {
    const w0 = key[0]! & 0x0fff_ffff;
    const w1 = key[1]! & 0x0fff_fffc;
    const w2 = key[2]! & 0x0fff_fffc;
    const w3 = key[3]! & 0x0fff_fffc;
    const r = this.#r;
    r[0] = w0 & LIMB_MASK;
    r[1] = ((w0 >>> 22) | (w1 << 10)) & LIMB_MASK;
    r[2] = ((w1 >>> 12) | (w2 << 20)) & LIMB_MASK;
    r[3] = (w2 >>> 2) & LIMB_MASK;
    r[4] = ((w2 >>> 24) | (w3 << 8)) & LIMB_MASK;
    r[5] = w3 >>> 14;
    for (let i = 0; i < 4; i++) this.#s[i] = key[4 + i]!;
    this.#h.fill(0);
  }

  /** Any bytes, the last block padded with zeros. For short input such as AAD. */
  updateBytes(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += 16) {
      this.#blockBytes.fill(0);
      this.#blockBytes.set(bytes.subarray(at, at + 16));
      this.updateWords(this.#block, 1);
    }
  }

  /** The closing block of an AEAD: both lengths as 64-bit numbers (RFC 8439 §2.8). */
  updateLengths(aadLength: number, textLength: number): void {
    this.#block[0] = aadLength;
    this.#block[1] = 0;
    this.#block[2] = textLength;
    this.#block[3] = 0;
    this.updateWords(this.#block, 1);
  }

  /** Whole blocks of four little-endian words, from `words[0]`. */
  updateWords(words: Int32Array, blocks: number): void {
    const h = this.#h;
    const r = this.#r;
    const r0 = r[0]!;
    const r1 = r[1]!;
    const r2 = r[2]!;
    const r3 = r[3]!;
    const r4 = r[4]!;
    const r5 = r[5]!;
    const s1 = 20 * r1;
    const s2 = 20 * r2;
    const s3 = 20 * r3;
    const s4 = 20 * r4;
    const s5 = 20 * r5;
    let h0 = h[0]!;
    let h1 = h[1]!;
    let h2 = h[2]!;
    let h3 = h[3]!;
    let h4 = h[4]!;
    let h5 = h[5]!;
    const end = 4 * blocks;
    for (let i = 0; i < end; i += 4) {
      const w0 = words[i]!;
      const w1 = words[i + 1]!;
      const w2 = words[i + 2]!;
      const w3 = words[i + 3]!;
      h0 += w0 & LIMB_MASK;
      h1 += ((w0 >>> 22) | (w1 << 10)) & LIMB_MASK;
      h2 += ((w1 >>> 12) | (w2 << 20)) & LIMB_MASK;
      h3 += (w2 >>> 2) & LIMB_MASK;
      h4 += ((w2 >>> 24) | (w3 << 8)) & LIMB_MASK;
      h5 += (w3 >>> 14) | BLOCK_BIT;
      const d0 = h0 * r0 + h1 * s5 + h2 * s4 + h3 * s3 + h4 * s2 + h5 * s1;
      const d1 = h0 * r1 + h1 * r0 + h2 * s5 + h3 * s4 + h4 * s3 + h5 * s2;
      const d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s5 + h4 * s4 + h5 * s3;
      const d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s5 + h5 * s4;
      const d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * s5;
      const d5 = h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0;
      // All limbs carry at once, twice, instead of one behind the other: the processor works on the six side by side. The
      // first pass leaves up to 2^35 in a limb, the second at most 2^21 + 2^13.
      let c0 = d0 + ROUND - ROUND;
      let c1 = d1 + ROUND - ROUND;
      let c2 = d2 + ROUND - ROUND;
      let c3 = d3 + ROUND - ROUND;
      let c4 = d4 + ROUND - ROUND;
      let c5 = d5 + ROUND - ROUND;
      h0 = d0 - c0 + c5 * WRAP;
      h1 = d1 - c1 + c0 * LIMB_INVERSE;
      h2 = d2 - c2 + c1 * LIMB_INVERSE;
      h3 = d3 - c3 + c2 * LIMB_INVERSE;
      h4 = d4 - c4 + c3 * LIMB_INVERSE;
      h5 = d5 - c5 + c4 * LIMB_INVERSE;
      c0 = h0 + ROUND - ROUND;
      c1 = h1 + ROUND - ROUND;
      c2 = h2 + ROUND - ROUND;
      c3 = h3 + ROUND - ROUND;
      c4 = h4 + ROUND - ROUND;
      c5 = h5 + ROUND - ROUND;
      h0 += c5 * WRAP - c0;
      h1 += c0 * LIMB_INVERSE - c1;
      h2 += c1 * LIMB_INVERSE - c2;
      h3 += c2 * LIMB_INVERSE - c3;
      h4 += c3 * LIMB_INVERSE - c4;
      h5 += c4 * LIMB_INVERSE - c5;
    }
    h[0] = h0;
    h[1] = h1;
    h[2] = h2;
    h[3] = h3;
    h[4] = h4;
    h[5] = h5;
  }

  /** Writes the 16-byte tag: (h mod 2^130 - 5) + s, modulo 2^128. */
  finish(tag: Uint8Array): void {
    const h = this.#h;
    this.#carryFully();
    const h0 = h[0]! | 0;
    const h1 = h[1]! | 0;
    const h2 = h[2]! | 0;
    const h3 = h[3]! | 0;
    const h4 = h[4]! | 0;
    const h5 = h[5]! | 0;
    // h - (2^130 - 5) = h + 5 - 2^130; where that is not negative it is the reduced number. Selected without a branch.
    const g0 = h0 + 5;
    const g1 = h1 + (g0 >>> 22);
    const g2 = h2 + (g1 >>> 22);
    const g3 = h3 + (g2 >>> 22);
    const g4 = h4 + (g3 >>> 22);
    const g5 = h5 + (g4 >>> 22) - TOP_LIMB;
    const keep = g5 >> 31; // all ones when h was below the modulus
    const x0 = select(h0, g0, keep);
    const x1 = select(h1, g1, keep);
    const x2 = select(h2, g2, keep);
    const x3 = select(h3, g3, keep);
    const x4 = select(h4, g4, keep);
    const x5 = select(h5, g5, keep);
    const s = this.#s;
    let sum = ((x0 | (x1 << 22)) >>> 0) + s[0]!;
    putWord(tag, 0, sum);
    sum = (((x1 >>> 10) | (x2 << 12)) >>> 0) + s[1]! + Math.floor(sum / TWO_32);
    putWord(tag, 4, sum);
    sum = (((x2 >>> 20) | (x3 << 2) | (x4 << 24)) >>> 0) + s[2]! + Math.floor(sum / TWO_32);
    putWord(tag, 8, sum);
    sum = (((x4 >>> 8) | (x5 << 14)) >>> 0) + s[3]! + Math.floor(sum / TWO_32);
    putWord(tag, 12, sum);
  }

  /** Brings every limb into 0 to 2^22 - 1 and the whole below 2^130 + 5: three passes, as each may carry over the top. */
  #carryFully(): void {
    const h = this.#h;
    for (let pass = 0; pass < 3; pass++) {
      const over = Math.floor(h[5]! / TOP_LIMB);
      h[5]! -= over * TOP_LIMB;
      h[0]! += over * 5;
      for (let i = 0; i < 5; i++) {
        const carry = Math.floor(h[i]! * LIMB_INVERSE);
        h[i]! -= carry * LIMB;
        h[i + 1]! += carry;
      }
    }
  }
}

function select(whenKept: number, otherwise: number, keep: number): number {
  return (whenKept & keep) | (otherwise & LIMB_MASK & ~keep);
}

/** The low 32 bits of a sum, little-endian. */
function putWord(out: Uint8Array, at: number, sum: number): void {
  out[at] = sum;
  out[at + 1] = sum >>> 8;
  out[at + 2] = sum >>> 16;
  out[at + 3] = sum >>> 24;
}
