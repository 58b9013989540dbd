import { ModuleWriter } from '../../../src/core/wasm/module-writer.ts';
import { type AeadKernel, aeadModule } from '../../../src/crypto/wasm/aead-kernel.ts';
import { keystreamFunction } from '../../../src/crypto/wasm/chacha20-kernel.ts';
import { H_AT, ONE_TIME_KEY_AT, TAG_AT } from '../../../src/crypto/wasm/layout.ts';
import {
  blocksFunction,
  finishFunction,
  paddedFunction,
  startFunction,
} from '../../../src/crypto/wasm/poly1305-kernel.ts';

/** The parts of the record cipher, each exported, where the cipher itself exports only the whole. */
interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  keystream(from: number, bytes: number, authenticate: number, ready: number): number;
  start(): void;
  blocks(at: number, blocks: number): void;
  padded(at: number, bytes: number): void;
  finish(): void;
}

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: KernelExports & AeadKernel };
};

/** The module as the cipher uses it, with its memory open to the test. */
export function aeadKernel(): { readonly kernel: AeadKernel; readonly bytes: Uint8Array } {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(aeadModule()));
  return { kernel: exports, bytes: new Uint8Array(exports.memory.buffer) };
}

export interface KernelParts extends KernelExports {
  readonly bytes: Uint8Array;
  /** Poly1305 of `message`, padded with zeros, under a one-time key. */
  poly1305(key: Uint8Array, message: Uint8Array): Uint8Array;
}

const MESSAGE_AT = 0xc000;

export function kernelParts(): KernelParts {
  const module = new ModuleWriter(1);
  const blocks = module.add(blocksFunction(), 'blocks');
  module.add(keystreamFunction(), 'keystream');
  module.add(startFunction(), 'start');
  module.add(paddedFunction(blocks), 'padded');
  module.add(finishFunction(), 'finish');
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode()));
  const bytes = new Uint8Array(exports.memory.buffer);
  return {
    ...exports,
    bytes,
    poly1305(key, message) {
      bytes.set(key, ONE_TIME_KEY_AT);
      bytes.fill(0x77, H_AT, H_AT + 40);
      bytes.set(message, MESSAGE_AT);
      exports.start();
      exports.padded(MESSAGE_AT, message.length);
      exports.finish();
      return bytes.slice(TAG_AT, TAG_AT + 16);
    },
  };
}
