import { type Instruction, OPCODES, VALUE_TYPES, type ValueType } from './opcodes.ts';

/**
 * A small writer of WebAssembly's binary format (core specification, version 2, §5): just what the kernels of this folder
 * need. A module is a magic number, a version and sections; a section is a code, a length and a vector of entries; every
 * count and length is in LEB128.
 *
 *   00 61 73 6d  01 00 00 00   type(1)  function(3)  memory(5)  export(7)  code(10)
 */
const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const SECTION = { type: 1, function: 3, memory: 5, export: 7, code: 10 } as const;
const FUNCTION_TYPE = 0x60;
const EXPORT_KIND = { function: 0x00, memory: 0x02 } as const;
/** Limits with a minimum and a maximum (§5.3.8). */
const MINIMUM_AND_MAXIMUM = 0x01;
/** A block without parameters and results (§5.4.1). */
const EMPTY_BLOCK = 0x40;
/** In front of the number of a vector instruction (§5.4.8). */
const VECTOR_PREFIX = 0xfd;

/**
 * Bytes that grow. Written for code that runs once, before any compiler of JavaScript has looked at it: plain loops, no iterators,
 * each byte written once or twice.
 */
export class ByteSink {
  #bytes: Uint8Array = new Uint8Array(512);
  #length = 0;

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    if (this.#length + values.length > this.#bytes.length) this.#grow(values.length);
    this.#bytes.set(values, this.#length);
    this.#length += values.length;
  }

  /** LEB128 of a number below 2^32 (§5.2.2). */
  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** LEB128 of a signed number of 32 bits (§5.2.2): bit 6 of the last byte is the sign. */
  signed(value: number): void {
    let rest = value | 0;
    while (rest < -0x40 || rest > 0x3f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  /** A length and the bytes (§5.1.3). */
  sized(content: ByteSink): void {
    this.unsigned(content.#length);
    this.bytes(content.view());
  }

  /** What was written so far; borrowed. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(atLeast: number): void {
    const larger = new Uint8Array(2 * (this.#bytes.length + atLeast));
    larger.set(this.view());
    this.#bytes = larger;
  }
}

/** A local variable or parameter of one function. */
export interface Local {
  readonly type: ValueType;
  readonly index: number;
}

/** A function of the module, for calls to it. */
export interface FunctionReference {
  readonly index: number;
}

/**
 * One function, written instruction by instruction in the order of the stack machine, so that it reads like the text format:
 * `code.get(a).get(b).op('i32x4.add').set(a)` is a = a + b.
 */
export class FunctionWriter {
  readonly parameters: readonly Local[];
  readonly results: readonly ValueType[];
  readonly #locals: ValueType[] = [];
  readonly #code = new ByteSink();

  constructor(parameters: readonly ValueType[], results: readonly ValueType[]) {
    this.parameters = parameters.map((type, index) => ({ type, index }));
    this.results = results;
  }

  /** A new local, zero when the function begins. */
  local(type: ValueType): Local {
    return { type, index: this.parameters.length + this.#locals.push(type) - 1 };
  }

  locals(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  /** An instruction without immediates. */
  op(instruction: Instruction): this {
    const opcode = OPCODES[instruction];
    if (opcode < VECTOR_PREFIX << 8) {
      this.#code.byte(opcode);
    } else {
      this.#code.byte(VECTOR_PREFIX);
      this.#code.unsigned(opcode & 0xff);
    }
    return this;
  }

  get(local: Local): this {
    return this.#indexed('local.get', local.index);
  }

  set(local: Local): this {
    return this.#indexed('local.set', local.index);
  }

  /** Sets the local and leaves the value on the stack. */
  tee(local: Local): this {
    return this.#indexed('local.tee', local.index);
  }

  call(target: FunctionReference): this {
    return this.#indexed('call', target.index);
  }

  i32(value: number): this {
    this.op('i32.const').#code.signed(value);
    return this;
  }

  /** @param value - of 32 bits, extended by its sign. */
  i64(value: number): this {
    this.op('i64.const').#code.signed(value);
    return this;
  }

  /** @param bytes - 16, lane 0 first. */
  v128(bytes: readonly number[]): this {
    this.op('v128.const').#code.bytes(bytes);
    return this;
  }

  /** @param lanes - 16 numbers of bytes: 0 to 15 of the first operand, 16 to 31 of the second. */
  shuffle(lanes: readonly number[]): this {
    this.op('i8x16.shuffle').#code.bytes(lanes);
    return this;
  }

  /**
   * A load or store at the address on the stack plus `offset`. Alignment is promised to be that of bytes: it is a hint, and
   * processors with vectors do not need it.
   */
  memory(instruction: Instruction, offset: number): this {
    this.op(instruction).#code.byte(0);
    this.#code.unsigned(offset);
    return this;
  }

  /** A load at a fixed address. */
  load(instruction: Instruction, address: number): this {
    return this.i32(0).memory(instruction, address);
  }

  /** Runs `body` again and again while the number that it leaves on the stack is not zero; at least once. */
  repeatWhile(body: () => void): this {
    this.op('loop').#code.byte(EMPTY_BLOCK);
    body();
    return this.#indexed('br_if', 0).op('end');
  }

  /** Runs `body` `times` times, at least once. @param counter - a number of the function that is free for it. */
  repeat(times: number, counter: Local, body: () => void): this {
    this.i32(times).set(counter);
    return this.repeatWhile(() => {
      body();
      this.get(counter).i32(1).op('i32.sub').tee(counter);
    });
  }

  /** Runs `body` when the number on the stack is not zero. */
  when(body: () => void): this {
    this.op('if').#code.byte(EMPTY_BLOCK);
    body();
    return this.op('end');
  }

  /** The entry of the type section (§5.3.6). */
  writeType(out: ByteSink): void {
    out.byte(FUNCTION_TYPE);
    out.unsigned(this.parameters.length);
    for (const { type } of this.parameters) out.byte(VALUE_TYPES[type]);
    out.unsigned(this.results.length);
    for (const type of this.results) out.byte(VALUE_TYPES[type]);
  }

  /** The entry of the code section (§5.5.13): its length, the locals in runs of one type, the instructions. */
  writeCode(out: ByteSink): void {
    const runs: { type: ValueType; count: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    const entry = new ByteSink();
    entry.unsigned(runs.length);
    for (const { type, count } of runs) {
      entry.unsigned(count);
      entry.byte(VALUE_TYPES[type]);
    }
    entry.bytes(this.#code.view());
    entry.byte(OPCODES.end);
    out.sized(entry);
  }

  #indexed(instruction: Instruction, index: number): this {
    this.#code.byte(OPCODES[instruction]);
    this.#code.unsigned(index);
    return this;
  }
}

/** A module of functions over one memory of fixed size. */
export class ModuleWriter {
  readonly #memoryPages: number;
  readonly #functions: FunctionWriter[] = [];
  readonly #exports: { readonly name: string; readonly kind: number; readonly index: number }[];

  /** @param memoryPages - of 64 KiB, all there from the start; exported as `memory`. */
  constructor(memoryPages: number) {
    this.#memoryPages = memoryPages;
    this.#exports = [{ name: 'memory', kind: EXPORT_KIND.memory, index: 0 }];
  }

  /** Functions are numbered in the order in which they are added, and may call what was added before. */
  add(writer: FunctionWriter, exportName?: string): FunctionReference {
    const index = this.#functions.push(writer) - 1;
    if (exportName !== undefined) this.#exports.push({ name: exportName, kind: EXPORT_KIND.function, index });
    return { index };
  }

  encode(): Uint8Array {
    const out = new ByteSink();
    out.bytes(MAGIC_AND_VERSION);
    const section = (code: number, entries: number, write: (content: ByteSink) => void): void => {
      const content = new ByteSink();
      content.unsigned(entries);
      write(content);
      out.byte(code);
      out.sized(content);
    };
    const functions = this.#functions;
    section(SECTION.type, functions.length, (content) => {
      for (const writer of functions) writer.writeType(content);
    });
    // Each function has a type of its own, of the same number.
    section(SECTION.function, functions.length, (content) => {
      for (let index = 0; index < functions.length; index++) content.unsigned(index);
    });
    section(SECTION.memory, 1, (content) => {
      content.byte(MINIMUM_AND_MAXIMUM);
      content.unsigned(this.#memoryPages);
      content.unsigned(this.#memoryPages);
    });
    section(SECTION.export, this.#exports.length, (content) => {
      for (const { name, kind, index } of this.#exports) {
        content.unsigned(name.length);
        for (let i = 0; i < name.length; i++) content.byte(name.charCodeAt(i));
        content.byte(kind);
        content.unsigned(index);
      }
    });
    section(SECTION.code, functions.length, (content) => {
      for (const writer of functions) writer.writeCode(content);
    });
    return out.view();
  }
}
