import type { WebAssemblyEngine } from '../../../src/core/index.ts';

/** An engine that refuses, as one without SIMD does, or one under a policy. */
export function refusing(error: unknown): WebAssemblyEngine {
  const refuse = class {
    constructor() {
      throw error;
    }

    get exports(): never {
      throw error;
    }
  };
  return { Module: refuse, Instance: refuse };
}

/** Ways in which there is no WebAssembly, the engine, and the reason that is given. */
export const REFUSALS: readonly (readonly [string, WebAssemblyEngine | undefined, string])[] = [
  ['there is no WebAssembly', undefined, 'this runtime has no WebAssembly'],
  ['an instruction is unknown', refusing(new Error('invalid opcode 0xfd')), 'invalid opcode 0xfd'],
  ['a policy forbids it', refusing(new Error('blocked by CSP')), 'blocked by CSP'],
  ['something else is thrown', refusing('no'), 'no'],
];
