import { describe, expect, it } from 'vitest';
import { compileModule, runtimeWebAssembly } from '../../../src/core/index.ts';
import { crc32cKernel } from '../../../src/core/wasm/crc32c-kernel.ts';
import { FunctionWriter, ModuleWriter } from '../../../src/core/wasm/module-writer.ts';
import { REFUSALS, refusing } from './refusing-engine.ts';

function answering(value: number): Uint8Array {
  const module = new ModuleWriter(1);
  module.add(new FunctionWriter([], ['i32']).i32(value), 'answer');
  return module.encode();
}

describe('compiling', () => {
  it('gives what the module exports', () => {
    const { exports } = compileModule<{ answer(): number }>(runtimeWebAssembly(), () => answering(42));
    expect(exports?.answer()).toBe(42);
  });

  it.each(REFUSALS)('says why not where %s', (_name, engine, reason) => {
    expect(compileModule(engine, () => answering(1))).toEqual({ exports: undefined, reason });
  });

  it('a module that the real engine refuses is a reason too', () => {
    const compiled = compileModule(runtimeWebAssembly(), () => answering(1).fill(0xff, 8));
    expect(compiled).toEqual({ exports: undefined, reason: expect.stringContaining('WebAssembly.Module()') });
  });

  it.each([undefined, refusing(new Error('no'))])('without an engine there is no kernel of CRC32c', (engine) => {
    expect(crc32cKernel(engine, new Uint32Array(4096))).toBeUndefined();
  });
});
