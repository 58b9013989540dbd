import { type FunctionReference, FunctionWriter, type Local } from '../../core/wasm/module-writer.ts';
import { H_AT, ONE_TIME_KEY_AT, PAD_AT, TAG_AT } from './layout.ts';

/**
 * Poly1305 (RFC 8439 §2.5): a polynomial in r over the 16-byte blocks of the message, modulo 2^130 - 5, plus s.
 *
 * Numbers are limbs of 32 bits, one a 64-bit local, so that a block needs no cutting up:
 *
 *   limb   h0        h1        h2        h3        h4
 *   bits   0-31      32-63     64-95     96-127    128 and up
 *
 * 2^130 is 5 modulo the prime, so what wraps around at 2^128 counts 5/4 times. r1, r2 and r3 are multiples of four, as clamping
 * leaves them, hence s_i = 5/4 · r_i is a whole number, and
 *
 *   d0 = h0·r0 + h1·s3 + h2·s2 + h3·s1
 *   d1 = h0·r1 + h1·r0 + h2·s3 + h3·s2 + h4·s1
 *   d2 = h0·r2 + h1·r1 + h2·r0 + h3·s3 + h4·s2
 *   d3 = h0·r3 + h1·r2 + h2·r1 + h3·r0 + h4·s3
 *   d4 = h4·r0
 *
 * Nothing overflows: between blocks h0, h2, h3 < 2^32, h1 <= 2^32 + 1 and h4 < 4; with a block added every h_i <= 2^33, and h4 <= 4;
 * r_i < 2^28 and s_i < 5/4 · 2^28; so a row is below 4 · 2^33 · 5/4 · 2^28 + 2^31, and with the carry of the row below under 2^63.4.
 */
const WORDS = 4;
const WORD_BITS = 32;
/** r's cleared bits (RFC 8439 §2.5), as words. */
const CLAMP = [0x0fff_ffff, 0x0fff_fffc, 0x0fff_fffc, 0x0fff_fffc] as const;
const R_AT: number = ONE_TIME_KEY_AT;
const S_AT: number = ONE_TIME_KEY_AT + 16;
export const POLY1305_BLOCK_BYTES = 16;

/** Puts the low 32 bits of `local` on the stack. */
function lowWord(code: FunctionWriter, local: Local): void {
  code.get(local).op('i32.wrap_i64').op('i64.extend_i32_u');
}

/** What `from` has above its 32 bits is added to `to`. */
function carry(code: FunctionWriter, from: Local, to: Local): void {
  code.get(to).get(from).i64(WORD_BITS).op('i64.shr_u').op('i64.add').set(to);
}

/** The function () → (): h is zero. */
export function startFunction(): FunctionWriter {
  const code = new FunctionWriter([], []);
  const zero = code.local('i64');
  for (let i = 0; i <= WORDS; i++) {
    code.i32(0).get(zero);
    code.memory('i64.store', H_AT + 8 * i);
  }
  return code;
}

/** The locals of a function that multiplies. */
export interface Poly1305Locals {
  /** The sum so far. */
  readonly h: readonly Local[];
  readonly r: readonly Local[];
  /** 5/4 of r; the first is never needed. */
  readonly s: readonly Local[];
  readonly d: readonly Local[];
}

export function poly1305Locals(code: FunctionWriter): Poly1305Locals {
  return {
    h: code.locals('i64', WORDS + 1),
    r: code.locals('i64', WORDS),
    s: code.locals('i64', WORDS),
    d: code.locals('i64', WORDS),
  };
}

/** h from memory, r and s from the one-time key. */
export function loadPoly1305(code: FunctionWriter, { h, r, s }: Poly1305Locals): void {
  h.forEach((limb, i) => {
    code.load('i64.load', H_AT + 8 * i).set(limb);
  });
  CLAMP.forEach((mask, i) => {
    code.load('i64.load32_u', R_AT + 4 * i);
    code.i64(mask).op('i64.and').set(r[i]!);
    if (i > 0) code.get(r[i]!).get(r[i]!).i64(2).op('i64.shr_u').op('i64.add').set(s[i]!);
  });
}

export function storePoly1305(code: FunctionWriter, { h }: Poly1305Locals): void {
  h.forEach((limb, i) => {
    code.i32(0).get(limb);
    code.memory('i64.store', H_AT + 8 * i);
  });
}

/** The rows above, then what each has above its 32 bits carried into the next: h = h · r. */
function multiply(code: FunctionWriter, { h, r, s, d }: Poly1305Locals): void {
  const h4 = h[WORDS]!;
  d.forEach((sum, k) => {
    // From the top limb down: the low limbs are the last ones to be carried into, and so the last ones ready.
    for (let i = WORDS - 1; i >= 0; i--) {
      const factor = i <= k ? r[k - i]! : s[WORDS + k - i]!;
      code.get(h[i]!).get(factor).op('i64.mul');
      if (i < WORDS - 1) code.op('i64.add');
    }
    if (k > 0) code.get(h4).get(s[k]!).op('i64.mul').op('i64.add');
    code.set(sum);
  });
  code.get(h4).get(r[0]!).op('i64.mul').set(h4);
  for (let k = 0; k < WORDS; k++) carry(code, d[k]!, d[k + 1] ?? h4);
  // d4 is 4q and a rest below 4: q wraps around five times, and 5q = q + 4q.
  lowWord(code, d[0]!);
  code.get(h4).i64(2).op('i64.shr_u').op('i64.add').get(h4).i64(-4).op('i64.and').op('i64.add').set(d[0]!);
  code.get(h4).i64(3).op('i64.and').set(h4);
  lowWord(code, d[1]!);
  code.set(d[1]!);
  carry(code, d[0]!, d[1]!);
  code.get(d[1]!).set(h[1]!);
  for (const i of [0, 2, 3]) {
    lowWord(code, d[i]!);
    code.set(h[i]!);
  }
}

/** Adds the block at the address in `at`, and steps over it: h = (h + block) · r. */
export function writeBlock(code: FunctionWriter, at: Local, locals: Poly1305Locals): void {
  const { h } = locals;
  for (let i = 0; i < WORDS; i++) {
    code.get(at).memory('i64.load32_u', 4 * i);
    code.get(h[i]!).op('i64.add').set(h[i]!);
  }
  // The byte 0x01 behind each block.
  code.get(h[WORDS]!).i64(1).op('i64.add').set(h[WORDS]!);
  code.get(at).i32(POLY1305_BLOCK_BYTES).op('i32.add').set(at);
  multiply(code, locals);
}

/** The function (address, blocks) → (): adds whole blocks; nothing when there are none. */
export function blocksFunction(): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32'], []);
  const [at, blocks] = [code.parameters[0]!, code.parameters[1]!];
  const locals = poly1305Locals(code);
  code.get(blocks).when(() => {
    loadPoly1305(code, locals);
    code.repeatWhile(() => {
      writeBlock(code, at, locals);
      code.get(blocks).i32(1).op('i32.sub').tee(blocks);
    });
    storePoly1305(code, locals);
  });
  return code;
}

/** Lane i is i: compared with a length it makes the mask of the bytes that count. */
const LANE_NUMBERS = Array.from({ length: 16 }, (_, i) => i);

/** The function (address, bytes) → (): adds any number of bytes, the last block padded with zeros (RFC 8439 §2.8). */
export function paddedFunction(blocks: FunctionReference): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32'], []);
  const [at, length] = [code.parameters[0]!, code.parameters[1]!];
  const rest = code.local('i32');
  code.get(at).get(length).i32(4).op('i32.shr_u').call(blocks);
  code.get(length).i32(15).op('i32.and').tee(rest);
  code.when(() => {
    code.i32(0);
    code.get(at).get(length).op('i32.add').get(rest).op('i32.sub').memory('v128.load', 0);
    code.v128(LANE_NUMBERS).get(rest).op('i8x16.splat').op('i8x16.lt_s').op('v128.and');
    code.memory('v128.store', PAD_AT);
    code.i32(PAD_AT).i32(1).call(blocks);
  });
  return code;
}

/** The function () → (): writes the tag, (h mod 2^130 - 5) + s modulo 2^128. */
export function finishFunction(): FunctionWriter {
  const code = new FunctionWriter([], []);
  const h = code.locals('i64', WORDS + 1);
  const g = code.locals('i64', WORDS + 1);
  const keepG = code.local('i64');
  const sum = code.local('i64');
  h.forEach((limb, i) => {
    code.load('i64.load', H_AT + 8 * i).set(limb);
  });
  // h1 may be 2^32 + 1, and the carry may go all the way up: h is then below 2^130 + 2^34, less than twice the prime.
  for (let i = 1; i < WORDS; i++) {
    carry(code, h[i]!, h[i + 1]!);
    lowWord(code, h[i]!);
    code.set(h[i]!);
  }
  // g = h + 5; where that reaches 2^130, its low 130 bits are the reduced number. Selected without a branch.
  code.get(h[0]!).i64(5).op('i64.add').set(g[0]!);
  for (let i = 1; i <= WORDS; i++) {
    const below = g[i - 1]!;
    code.get(below).i64(WORD_BITS).op('i64.shr_u');
    code.get(h[i]!).op('i64.add').set(g[i]!);
  }
  code.i64(0).get(g[WORDS]!).i64(2).op('i64.shr_u').op('i64.sub').set(keepG); // all ones: h was not reduced
  for (let i = 0; i < WORDS; i++) {
    const limb = h[i]!;
    code.get(limb).get(g[i]!).op('i64.xor').get(keepG).op('i64.and').get(limb).op('i64.xor').set(limb);
    // The word, the word of s, and what was carried out of the word below.
    lowWord(code, limb);
    code.get(sum).i64(WORD_BITS).op('i64.shr_u').op('i64.add');
    code.load('i64.load32_u', S_AT + 4 * i);
    code.op('i64.add').set(sum);
    code.i32(0).get(sum);
    code.memory('i64.store32', TAG_AT + 4 * i);
  }
  return code;
}
