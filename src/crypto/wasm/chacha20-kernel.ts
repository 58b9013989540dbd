import { FunctionWriter, type Local } from '../../core/wasm/module-writer.ts';
import { BATCH_BLOCKS, BATCH_BYTES, BLOCK_BYTES, INPUT_AREA_AT, OUTPUT_AREA_AT, STATE_AT } from './layout.ts';
import { loadPoly1305, POLY1305_BLOCK_BYTES, poly1305Locals, storePoly1305, writeBlock } from './poly1305-kernel.ts';

/** "expand 32-byte k" as four little-endian words (RFC 8439 §2.3). */
const CONSTANTS: readonly number[] = fourWords(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
const DOUBLE_ROUNDS = 10;
const ROW_BYTES = 16;

/** The sixteen words of one block as four rows of a vector each (RFC 8439 §2.3). */
interface Rows {
  readonly a: Local;
  readonly b: Local;
  readonly c: Local;
  readonly d: Local;
}

function fourWords(...values: readonly number[]): number[] {
  return values.flatMap((word) => [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24]);
}

/** Rotating all words left by whole bytes: the numbers of the bytes that take the places. */
const ROTATE_16 = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
const ROTATE_8 = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14];

function add(code: FunctionWriter, sum: Local, term: Local): void {
  code.get(sum).get(term).op('i32x4.add').set(sum);
}

/** value = (value ^ other) <<< bits. Whole bytes by a swizzle, which V8 does faster than by shifts, or by a shuffle. */
function xorRotate(code: FunctionWriter, value: Local, other: Local, bits: 16 | 12 | 8 | 7): void {
  code.get(value).get(other).op('v128.xor');
  if (bits === 16) code.v128(ROTATE_16).op('i8x16.swizzle').set(value);
  else if (bits === 8) code.v128(ROTATE_8).op('i8x16.swizzle').set(value);
  else {
    code.tee(value).i32(bits).op('i32x4.shl');
    code.get(value).i32(32 - bits);
    code.op('i32x4.shr_u').op('v128.or').set(value);
  }
}

/** Four quarter rounds at once (RFC 8439 §2.1), one in each lane. */
function quarterRounds(code: FunctionWriter, { a, b, c, d }: Rows): void {
  add(code, a, b);
  xorRotate(code, d, a, 16);
  add(code, c, d);
  xorRotate(code, b, c, 12);
  add(code, a, b);
  xorRotate(code, d, a, 8);
  add(code, c, d);
  xorRotate(code, b, c, 7);
}

/** The shuffles that give lane i what lane i + n had. */
const TURNS: readonly (readonly number[])[] = [0, 1, 2, 3].map((n) =>
  Array.from({ length: 16 }, (_, i) => (i + 4 * n) % 16),
);

function turn(code: FunctionWriter, row: Local, n: 1 | 2 | 3): void {
  code.get(row).get(row).shuffle(TURNS[n]!).set(row);
}

/** RFC 8439 §2.3: the column round, then the diagonals, which are columns of the rows turned by 1, 2 and 3. */
function doubleRound(code: FunctionWriter, blocks: readonly Rows[]): void {
  for (const rows of blocks) quarterRounds(code, rows);
  for (const { b, c, d } of blocks) {
    turn(code, b, 1);
    turn(code, c, 2);
    turn(code, d, 3);
  }
  for (const rows of blocks) quarterRounds(code, rows);
  for (const { b, c, d } of blocks) {
    turn(code, b, 3);
    turn(code, c, 2);
    turn(code, d, 1);
  }
}

/** Puts a row of a block's initial state on the stack. @param block - within the batch. */
function initialRow(code: FunctionWriter, row: keyof Rows, block: number, counter: Local): void {
  switch (row) {
    case 'a':
      code.v128(CONSTANTS);
      break;
    case 'b':
      code.load('v128.load', STATE_AT + ROW_BYTES);
      break;
    case 'c':
      code.load('v128.load', STATE_AT + 2 * ROW_BYTES);
      break;
    case 'd':
      code.get(counter);
      if (block > 0) code.v128(fourWords(block, 0, 0, 0)).op('i32x4.add');
  }
}

/** The place of the counter in its row. */
const FIRST_WORD: readonly number[] = fourWords(-1, 0, 0, 0);
const ROW_NAMES = ['a', 'b', 'c', 'd'] as const;

/** Adds the initial state, and XORs the text with the block. */
function writeBlockOfText(code: FunctionWriter, at: Local, rows: Rows, block: number, counter: Local): void {
  ROW_NAMES.forEach((row, i) => {
    const offset = BLOCK_BYTES * block + ROW_BYTES * i;
    code.get(at).get(rows[row]);
    initialRow(code, row, block, counter);
    code.op('i32x4.add');
    code.get(at).memory('v128.load', INPUT_AREA_AT + offset);
    code.op('v128.xor').memory('v128.store', OUTPUT_AREA_AT + offset);
  });
}

/** Below every address, however many batches add to it. */
export const NEVER_READY = -0x4000_0000;

/** Each double round is done beside one block of Poly1305; more blocks than rounds follow behind them. */
const BLOCKS_BEHIND_ROUNDS: number = BATCH_BYTES / POLY1305_BLOCK_BYTES - DOUBLE_ROUNDS;

/**
 * The function (from, bytes, authenticate, ready) → (authenticated): the keystream of RFC 8439 §2.4 from byte `from` on, a multiple of 64,
 * XORed with the input area and written to the output area, until `bytes` are done and the batch is full. `bytes` is at least 1.
 *
 * A batch is three blocks, because their twelve rows stay in the sixteen registers of the processor, and three chains of
 * operations are enough to keep it busy.
 *
 * Beside, what lies between the addresses `authenticate` and `ready` is authenticated, whole blocks; a batch adds its length to
 * `ready`. The result is the address behind. Vectors and integers are worked on by different parts of the processor: side by side
 * they take hardly longer than ChaCha20 alone. Without a one-time key yet, `authenticate` is 0 and `ready` is {@link NEVER_READY}.
 */
export function keystreamFunction(): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32', 'i32', 'i32'], ['i32']);
  const [at, left] = [code.parameters[0]!, code.parameters[1]!];
  const [authenticate, ready] = [code.parameters[2]!, code.parameters[3]!];
  const count = code.local('i32');
  /** The last row of the batch's first block: counter and nonce. */
  const counter = code.local('v128');
  const blocks = Array.from({ length: BATCH_BLOCKS }, (): Rows => {
    const local = () => code.local('v128');
    return { a: local(), b: local(), c: local(), d: local() };
  });
  const poly1305 = poly1305Locals(code);
  const authenticateBlock = () => {
    code.get(authenticate).get(ready).op('i32.lt_s');
    code.when(() => writeBlock(code, authenticate, poly1305));
  };
  code.get(authenticate).when(() => loadPoly1305(code, poly1305));
  code.get(at).i32(Math.log2(BLOCK_BYTES));
  code.op('i32.shr_u').op('i32x4.splat').v128(FIRST_WORD).op('v128.and');
  code.load('v128.load', STATE_AT + 3 * ROW_BYTES);
  code.op('i32x4.add').set(counter);
  code.repeatWhile(() => {
    blocks.forEach((rows, block) => {
      for (const row of ROW_NAMES) {
        initialRow(code, row, block, counter);
        code.set(rows[row]);
      }
    });
    code.repeat(DOUBLE_ROUNDS, count, () => {
      authenticateBlock();
      doubleRound(code, blocks);
    });
    code.repeat(BLOCKS_BEHIND_ROUNDS, count, authenticateBlock);
    for (const [block, rows] of blocks.entries()) writeBlockOfText(code, at, rows, block, counter);
    code.get(counter).v128(fourWords(BATCH_BLOCKS, 0, 0, 0));
    code.op('i32x4.add').set(counter);
    code.get(at).i32(BATCH_BYTES).op('i32.add').set(at);
    code.get(ready).i32(BATCH_BYTES).op('i32.add').set(ready);
    code.get(left).i32(BATCH_BYTES).op('i32.sub').tee(left).i32(0).op('i32.gt_s');
  });
  code.get(authenticate).when(() => storePoly1305(code, poly1305));
  return code.get(authenticate);
}
