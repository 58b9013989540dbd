import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../../src/core/index.ts';
import { ByteSink, FunctionWriter, ModuleWriter } from '../../../src/core/wasm/module-writer.ts';

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  run(a: number, b: number): number;
}

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Exports };
  readonly validate: (bytes: Uint8Array) => boolean;
};

function written(write: (sink: ByteSink) => void): string {
  const sink = new ByteSink();
  write(sink);
  return bytesToHex(sink.view());
}

/** A module whose function `run` of two numbers is written by `body`. */
function running(body: (code: FunctionWriter) => void): Exports {
  const code = new FunctionWriter(['i32', 'i32'], ['i32']);
  body(code);
  const module = new ModuleWriter(1);
  module.add(code, 'run');
  return new WebAssembly.Instance(new WebAssembly.Module(module.encode())).exports;
}

describe('LEB128', () => {
  it.each([
    [0, '00'],
    [0x7f, '7f'],
    [0x80, '8001'],
    [624_485, 'e58e26'], // the example of the DWARF standard, which WebAssembly took the encoding from
    [0xffff_ffff, 'ffffffff0f'],
  ])('unsigned %i is %s', (value, hex) => {
    expect(written((sink) => sink.unsigned(value))).toBe(hex);
  });

  it.each([
    [0, '00'],
    [0x3f, '3f'],
    [0x40, 'c000'],
    [-1, '7f'],
    [-0x40, '40'],
    [-0x41, 'bf7f'],
    [-123_456, 'c0bb78'],
    [0x7fff_ffff, 'ffffffff07'],
    [-0x8000_0000, '8080808078'],
  ])('signed %i is %s', (value, hex) => {
    expect(written((sink) => sink.signed(value))).toBe(hex);
  });

  it.each([0, 1, -1, 63, 64, -64, -65, 8191, 8192, -8192, -8193, 0x7fff_ffff, -0x8000_0000])(
    'the engine reads %i back',
    (value) => {
      expect(running((code) => code.i32(value)).run(0, 0)).toBe(value);
    },
  );
});

describe('a module', () => {
  it('of one function that adds two numbers is these bytes', () => {
    const code = new FunctionWriter(['i32', 'i32'], ['i32']);
    code.get(code.parameters[0]!).get(code.parameters[1]!).op('i32.add');
    const module = new ModuleWriter(1);
    module.add(code, 'run');
    expect(bytesToHex(module.encode())).toBe(
      [
        '0061736d01000000', // magic, version
        '01070160027f7f017f', // type: one function of two i32 to one
        '03020100', // function 0 has type 0
        '050401010101', // memory of one page, at least and at most
        '07100206', // export: 'memory', memory 0; 'run', function 0
        '6d656d6f72790200',
        '0372756e0000',
        '0a09010700200020016a0b', // code: no locals, local.get 0, local.get 1, i32.add, end
      ].join(''),
    );
  });

  it('is refused by the engine when a byte of its code is not an instruction', () => {
    const code = new FunctionWriter([], []);
    const module = new ModuleWriter(1);
    module.add(code.i32(0).op('drop'));
    const bytes = module.encode();
    expect(WebAssembly.validate(bytes)).toBe(true);
    bytes[bytes.length - 2] = 0xff;
    expect(WebAssembly.validate(bytes)).toBe(false);
  });

  it('grows past the first size of its buffer', () => {
    const times = 3000;
    const { run } = running((code) => {
      code.i32(0);
      for (let i = 0; i < times; i++) code.i32(1).op('i32.add');
    });
    expect(run(0, 0)).toBe(times);
  });
});

describe('a function', () => {
  it('has locals of several types, zero at first', () => {
    const { run } = running((code) => {
      const [a, b] = [code.parameters[0]!, code.parameters[1]!];
      const long = code.local('i64');
      code.local('v128');
      const [sum, other] = [code.local('i32'), code.local('i64')];
      code.get(a).op('i64.extend_i32_u').get(long).op('i64.add').set(long);
      code.get(b).op('i64.extend_i32_u').get(other).op('i64.add').tee(other).get(long).op('i64.mul').op('i32.wrap_i64');
      code.get(sum).op('i32.add');
    });
    expect(run(6, 7)).toBe(42);
  });

  it('repeats a body as often as it is told, and runs another only when it is told', () => {
    const { run } = running((code) => {
      const [a, b] = [code.parameters[0]!, code.parameters[1]!];
      const [count, sum] = [code.local('i32'), code.local('i32')];
      code.repeat(10, count, () => code.get(sum).get(a).op('i32.add').set(sum));
      code.get(b).when(() => code.get(sum).i32(1000).op('i32.add').set(sum));
      code.get(sum);
    });
    expect([run(3, 0), run(3, 1)]).toEqual([30, 1030]);
  });

  it('calls what was added before, and reads and writes memory', () => {
    const store = new FunctionWriter(['i32'], []);
    store.i32(8).get(store.parameters[0]!).op('i64.extend_i32_u').memory('i64.store', 200);
    const code = new FunctionWriter(['i32', 'i32'], ['i32']);
    const module = new ModuleWriter(1);
    const reference = module.add(store);
    code.get(code.parameters[0]!).call(reference).i32(200).memory('i64.load', 8).op('i32.wrap_i64');
    module.add(code, 'run');
    const { run, memory } = new WebAssembly.Instance(new WebAssembly.Module(module.encode())).exports;
    expect(run(0x1234_5678, 0)).toBe(0x1234_5678);
    expect([...new Uint8Array(memory.buffer, 208, 4)]).toEqual([0x78, 0x56, 0x34, 0x12]);
  });

  it('works on vectors: constants, shuffles, lanes', () => {
    const { run, memory } = running((code) => {
      const lanes = Array.from({ length: 16 }, (_, i) => i);
      code
        .i32(0)
        .v128(lanes)
        .v128(lanes.map((i) => 100 + i));
      code.shuffle(lanes.map((i) => (i % 2 === 0 ? i : 16 + i))).memory('v128.store', 64);
      code.i32(0);
    });
    run(0, 0);
    expect([...new Uint8Array(memory.buffer, 64, 4)]).toEqual([0, 101, 2, 103]);
  });
});
