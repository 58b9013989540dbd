/**
 * The instructions that the kernels use, by the names and with the codes of the WebAssembly specification (core, version 2,
 * §5.4). Vector instructions have the prefix 0xfd and a number in LEB128, here 0xfd00 + the number.
 */
export const OPCODES = {
  drop: 0x1a,
  'local.get': 0x20,
  'local.set': 0x21,
  'local.tee': 0x22,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br_if: 0x0d,
  call: 0x10,
  'i32.load': 0x28,
  'i64.load': 0x29,
  'i32.load8_u': 0x2d,
  'i64.load32_u': 0x35,
  'i64.store': 0x37,
  'i64.store32': 0x3e,
  'i32.const': 0x41,
  'i64.const': 0x42,
  'i32.lt_s': 0x48,
  'i32.gt_s': 0x4a,
  'i64.eqz': 0x50,
  'i32.add': 0x6a,
  'i32.sub': 0x6b,
  'i32.and': 0x71,
  'i32.xor': 0x73,
  'i32.shl': 0x74,
  'i32.shr_u': 0x76,
  'i64.add': 0x7c,
  'i64.sub': 0x7d,
  'i64.mul': 0x7e,
  'i64.and': 0x83,
  'i64.or': 0x84,
  'i64.xor': 0x85,
  'i64.shr_u': 0x88,
  'i32.wrap_i64': 0xa7,
  'i64.extend_i32_u': 0xad,
  'v128.load': 0xfd00,
  'v128.store': 0xfd0b,
  'v128.const': 0xfd0c,
  'i8x16.shuffle': 0xfd0d,
  'i8x16.swizzle': 0xfd0e,
  'i8x16.splat': 0xfd0f,
  'i32x4.splat': 0xfd11,
  'i8x16.lt_s': 0xfd25,
  'v128.and': 0xfd4e,
  'v128.or': 0xfd50,
  'v128.xor': 0xfd51,
  'i32x4.shl': 0xfdab,
  'i32x4.shr_u': 0xfdad,
  'i32x4.add': 0xfdae,
} as const;

export type Instruction = keyof typeof OPCODES;

/** Value types (§5.3.1, §5.3.2). */
export const VALUE_TYPES = { i32: 0x7f, i64: 0x7e, v128: 0x7b } as const;

export type ValueType = keyof typeof VALUE_TYPES;
