import { type Crc32cKernel, crc32cKernel, MAX_KERNEL_BYTES } from './wasm/crc32c-kernel.ts';
import { runtimeWebAssembly } from './wasm/engine.ts';

/**
 * The two checksums of the house: CRC-32 (ISO 3309, the STUN FINGERPRINT, RFC 8489 §14.7) and CRC32c (Castagnoli, the
 * SCTP checksum, RFC 9260 appendix A). Both are reflected; only the polynomial differs.
 *
 * The fast form reads sixteen bytes a step from sixteen tables ("slicing-by-16"). `crcBitwise` is the plain reference
 * that the tests hold it against.
 */

const CRC32_POLYNOMIAL = 0xedb8_8320;
const CRC32C_POLYNOMIAL = 0x82f6_3b78;
const SLICES = 16;

/** One bit at a time, straight from the definition. For tests and for reading, not for packets. */
export function crcBitwise(polynomial: 'crc32' | 'crc32c', bytes: Uint8Array): number {
  const p = polynomial === 'crc32' ? CRC32_POLYNOMIAL : CRC32C_POLYNOMIAL;
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ p : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Table 0 advances by one byte; table k by one byte followed by k zero bytes. Laid out one behind the other. */
function buildTables(polynomial: number): Uint32Array {
  const tables = new Uint32Array(SLICES * 256);
  for (let n = 0; n < 256; n++) {
    let crc = n;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    tables[n] = crc;
  }
  for (let n = 256; n < tables.length; n++) {
    const previous = tables[n - 256]!;
    tables[n] = (previous >>> 8) ^ tables[previous & 0xff]!;
  }
  return tables;
}

function update(t: Uint32Array, initial: number, b: Uint8Array, start: number, end: number): number {
  let crc = initial;
  let i = start;
  for (; i + SLICES <= end; i += SLICES) {
    crc =
      t[3840 + (b[i]! ^ (crc & 0xff))]! ^
      t[3584 + (b[i + 1]! ^ ((crc >>> 8) & 0xff))]! ^
      t[3328 + (b[i + 2]! ^ ((crc >>> 16) & 0xff))]! ^
      t[3072 + (b[i + 3]! ^ (crc >>> 24))]! ^
      t[2816 + b[i + 4]!]! ^
      t[2560 + b[i + 5]!]! ^
      t[2304 + b[i + 6]!]! ^
      t[2048 + b[i + 7]!]! ^
      t[1792 + b[i + 8]!]! ^
      t[1536 + b[i + 9]!]! ^
      t[1280 + b[i + 10]!]! ^
      t[1024 + b[i + 11]!]! ^
      t[768 + b[i + 12]!]! ^
      t[512 + b[i + 13]!]! ^
      t[256 + b[i + 14]!]! ^
      t[b[i + 15]!]!;
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t[(crc ^ b[i]!) & 0xff]!;
  return crc;
}

let crc32Tables: Uint32Array | undefined;
let crc32cTables: Uint32Array | undefined;

/** CRC-32 of `bytes[start, end)`, unsigned. */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  crc32Tables ??= buildTables(CRC32_POLYNOMIAL);
  return ~update(crc32Tables, 0xffff_ffff, bytes, start, end) >>> 0;
}

/**
 * CRC32c of `bytes[start, end)`, unsigned. SCTP writes it in little-endian byte order and computes it with its own field
 * zero: `crc32cWithHole` does that without touching the packet.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  crc32cTables ??= buildTables(CRC32C_POLYNOMIAL);
  return ~update(crc32cTables, 0xffff_ffff, bytes, start, end) >>> 0;
}

const FOUR_ZEROS = new Uint8Array(4);

/** Shorter packets cost less in JavaScript than being copied for WebAssembly (Node 20; bytes). */
const KERNEL_FROM_BYTES = 128;
let kernel: Crc32cKernel | undefined;
let kernelAsked = false;

/**
 * CRC32c of `bytes[start, end)` as if the four bytes at `hole`, within it, were zero (RFC 9260 §6.8): in WebAssembly where the
 * runtime takes it, in two fifths of the time; compiled for the first packet that is not short.
 */
export function crc32cWithHole(bytes: Uint8Array, start: number, end: number, hole: number): number {
  const length = end - start;
  if (length >= KERNEL_FROM_BYTES && length <= MAX_KERNEL_BYTES) {
    if (!kernelAsked) {
      kernelAsked = true;
      crc32cTables ??= buildTables(CRC32C_POLYNOMIAL);
      kernel = crc32cKernel(runtimeWebAssembly(), crc32cTables);
    }
    if (kernel !== undefined) return kernel.withHole(bytes, start, end, hole);
  }
  return crc32cWithHoleInTables(bytes, start, end, hole);
}

/** The same in JavaScript: for short packets, for runtimes without WebAssembly, and for the tests to compare with. */
export function crc32cWithHoleInTables(bytes: Uint8Array, start: number, end: number, hole: number): number {
  crc32cTables ??= buildTables(CRC32C_POLYNOMIAL);
  let crc = update(crc32cTables, 0xffff_ffff, bytes, start, hole);
  crc = update(crc32cTables, crc, FOUR_ZEROS, 0, 4);
  return ~update(crc32cTables, crc, bytes, hole + 4, end) >>> 0;
}
