import { compileModule, type WebAssemblyEngine, type WebAssemblyMemory } from './engine.ts';
import { FunctionWriter, type Local, ModuleWriter } from './module-writer.ts';

/**
 * CRC32c in WebAssembly, the same slicing-by-16 as in JavaScript without its checks of each index: the tables lie in linear memory
 * in front of the packet.
 *
 *   0             16,384            65,536
 *   | 16 tables   | PACKET, zeros   |
 */
const SLICES = 16;
const TABLE_BYTES = 4 * 256;
const PACKET_AT: number = SLICES * TABLE_BYTES;
const MEMORY_PAGES = 1;
/** The longest packet that fits. */
export const MAX_KERNEL_BYTES: number = MEMORY_PAGES * 65_536 - PACKET_AT;

interface CrcExports {
  readonly memory: WebAssemblyMemory;
  /** The CRC of the first `length` bytes of the packet, before the final inversion. */
  crc32c(length: number): number;
}

/** Puts an entry of a table on the stack: the one of byte `byte` of `word`. */
function lookUp(code: FunctionWriter, word: Local, byte: number, table: number): void {
  code.get(word);
  // Times four, which an entry takes.
  if (byte === 0) code.i32(2).op('i32.shl');
  else code.i32(8 * byte - 2).op('i32.shr_u');
  code.i32(0xff << 2).op('i32.and');
  code.memory('i32.load', table * TABLE_BYTES);
}

/** The function (bytes) → (CRC). */
function crc32cFunction(): FunctionWriter {
  const code = new FunctionWriter(['i32'], ['i32']);
  const left = code.parameters[0]!;
  const [at, crc, count] = [code.local('i32'), code.local('i32'), code.local('i32')];
  const words = code.locals('i32', SLICES / 4);
  code.i32(-1).set(crc);
  code.get(left).i32(4).op('i32.shr_u').tee(count);
  code.when(() => {
    code.repeatWhile(() => {
      words.forEach((word, i) => {
        code.get(at).memory('i32.load', PACKET_AT + 4 * i);
        if (i === 0) code.get(crc).op('i32.xor');
        code.set(word);
      });
      // The first word waits for the CRC so far, so it comes last.
      for (let i = SLICES - 1; i >= 0; i--) {
        lookUp(code, words[i >> 2]!, i & 3, SLICES - 1 - i);
        if (i < SLICES - 1) code.op('i32.xor');
      }
      code.set(crc);
      code.get(at).i32(SLICES).op('i32.add').set(at);
      code.get(count).i32(1).op('i32.sub').tee(count);
    });
  });
  code.get(left).i32(SLICES - 1);
  code.op('i32.and').tee(count);
  code.when(() => {
    code.repeatWhile(() => {
      code.get(at).memory('i32.load8_u', PACKET_AT).get(crc).op('i32.xor').set(words[0]!);
      lookUp(code, words[0]!, 0, 0);
      code.get(crc).i32(8).op('i32.shr_u').op('i32.xor').set(crc);
      code.get(at).i32(1).op('i32.add').set(at);
      code.get(count).i32(1).op('i32.sub').tee(count);
    });
  });
  return code.get(crc);
}

function crc32cModule(): Uint8Array {
  const module = new ModuleWriter(MEMORY_PAGES);
  module.add(crc32cFunction(), 'crc32c');
  return module.encode();
}

export class Crc32cKernel {
  readonly #crc32c: CrcExports['crc32c'];
  readonly #packet: Uint8Array;

  /** @param tables - sixteen of 256 entries, as `crc.ts` builds them. */
  constructor(exports: CrcExports, tables: Uint32Array) {
    const bytes = new Uint8Array(exports.memory.buffer);
    bytes.set(new Uint8Array(tables.buffer, tables.byteOffset, tables.byteLength));
    this.#crc32c = exports.crc32c;
    this.#packet = bytes.subarray(PACKET_AT);
  }

  /** CRC32c of `bytes[start, end)`, at most {@link MAX_KERNEL_BYTES}, as if the four bytes at `hole` were zero. Unsigned. */
  withHole(bytes: Uint8Array, start: number, end: number, hole: number): number {
    const packet = this.#packet;
    packet.set(bytes.subarray(start, end));
    const at = hole - start;
    packet[at] = 0;
    packet[at + 1] = 0;
    packet[at + 2] = 0;
    packet[at + 3] = 0;
    return ~this.#crc32c(end - start) >>> 0;
  }
}

/** @returns undefined where the runtime refuses WebAssembly: the tables in JavaScript do as well. */
export function crc32cKernel(engine: WebAssemblyEngine | undefined, tables: Uint32Array): Crc32cKernel | undefined {
  const { exports } = compileModule<CrcExports>(engine, crc32cModule);
  return exports === undefined ? undefined : new Crc32cKernel(exports, tables);
}
