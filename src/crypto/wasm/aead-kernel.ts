import type { WebAssemblyMemory } from '../../core/index.ts';
import { type FunctionReference, FunctionWriter, ModuleWriter } from '../../core/wasm/module-writer.ts';
import { keystreamFunction, NEVER_READY } from './chacha20-kernel.ts';
import {
  AAD_AT,
  BATCH_BYTES,
  BLOCK_BYTES,
  INPUT_AT,
  KEY_AT,
  MEMORY_PAGES,
  ONE_TIME_KEY_AT,
  OUTPUT_AT,
  PAD_AT,
  TAG_AT,
} from './layout.ts';
import { blocksFunction, finishFunction, paddedFunction, startFunction } from './poly1305-kernel.ts';

/** What the module exports. Lengths are in bytes; they are the caller's to check. */
export interface AeadKernel {
  readonly memory: WebAssemblyMemory;
  /** Input, associated data, key and nonce lie in their places; leaves ciphertext and tag in the output, and no key. */
  seal(aadBytes: number, textBytes: number): void;
  /** The same with ciphertext and tag as input. @returns 1: the output is the plaintext; 0: the tag is wrong. */
  open(aadBytes: number, textBytes: number): number;
}

interface Parts {
  readonly keystream: FunctionReference;
  readonly start: FunctionReference;
  readonly padded: FunctionReference;
  readonly finish: FunctionReference;
}

/** Text in the first batch: its block 0 is the one-time key. */
const FIRST_TEXT_BYTES: number = BATCH_BYTES - BLOCK_BYTES;

/**
 * The function (AAD's bytes, text's bytes, ciphertext's address) → (): all of RFC 8439 §2.8 but where the tag goes. It branches on
 * lengths only.
 */
function recordFunction(parts: Parts): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32', 'i32'], []);
  const [aadBytes, textBytes, ciphertext] = [code.parameters[0]!, code.parameters[1]!, code.parameters[2]!];
  /** Bytes of text that the first batch leaves to the others. */
  const left = code.local('i32');
  const authenticated = code.local('i32');
  // The first batch alone: it makes the one-time key.
  code.i32(0).i32(BATCH_BYTES).i32(0).i32(NEVER_READY).call(parts.keystream).op('drop');
  code.call(parts.start);
  code.i32(AAD_AT).get(aadBytes).call(parts.padded);
  // The others together with the ciphertext of those before.
  code.get(ciphertext).set(authenticated);
  code.get(textBytes).i32(FIRST_TEXT_BYTES).op('i32.sub').set(left);
  code.get(left).i32(0).op('i32.gt_s');
  code.when(() => {
    code.i32(BATCH_BYTES).get(left).get(ciphertext);
    code.get(ciphertext).i32(FIRST_TEXT_BYTES).op('i32.add');
    code.call(parts.keystream).set(authenticated);
  });
  // What is left of the ciphertext.
  code.get(authenticated);
  code.get(ciphertext).get(textBytes).op('i32.add').get(authenticated).op('i32.sub');
  code.call(parts.padded);
  // Both lengths, as 64-bit numbers.
  code.i32(0).get(aadBytes).op('i64.extend_i32_u').memory('i64.store', PAD_AT);
  code.i32(0).get(textBytes).op('i64.extend_i32_u');
  code.memory('i64.store', PAD_AT + 8);
  code.i32(PAD_AT).i32(16).call(parts.padded).call(parts.finish);
  // Neither key outlives the record.
  const zeros = code.local('v128');
  for (const at of [KEY_AT, KEY_AT + 16, ONE_TIME_KEY_AT, ONE_TIME_KEY_AT + 16]) {
    code.i32(0).get(zeros).memory('v128.store', at);
  }
  return code;
}

function sealFunction(record: FunctionReference): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32'], []);
  const [aadBytes, textBytes] = [code.parameters[0]!, code.parameters[1]!];
  code.get(aadBytes).get(textBytes).i32(OUTPUT_AT).call(record);
  code.get(textBytes).load('v128.load', TAG_AT).memory('v128.store', OUTPUT_AT);
  return code;
}

function openFunction(record: FunctionReference): FunctionWriter {
  const code = new FunctionWriter(['i32', 'i32'], ['i32']);
  const [aadBytes, textBytes] = [code.parameters[0]!, code.parameters[1]!];
  code.get(aadBytes).get(textBytes).i32(INPUT_AT).call(record);
  for (const half of [0, 8]) {
    code.get(textBytes).memory('i64.load', INPUT_AT + half);
    code.load('i64.load', TAG_AT + half).op('i64.xor');
  }
  return code.op('i64.or').op('i64.eqz');
}

/** The module's bytes. */
export function aeadModule(): Uint8Array {
  const module = new ModuleWriter(MEMORY_PAGES);
  const blocks = module.add(blocksFunction());
  const parts: Parts = {
    keystream: module.add(keystreamFunction()),
    start: module.add(startFunction()),
    padded: module.add(paddedFunction(blocks)),
    finish: module.add(finishFunction()),
  };
  const record = module.add(recordFunction(parts));
  module.add(sealFunction(record), 'seal');
  module.add(openFunction(record), 'open');
  return module.encode();
}
