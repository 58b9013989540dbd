import { type AeadContext, compileModule, runtimeWebAssembly, type WebAssemblyEngine } from '../core/index.ts';
import { ChaCha20Poly1305 } from './chacha20-poly1305.ts';
import { type AeadKernel, aeadModule } from './wasm/aead-kernel.ts';
import { WasmChaCha20Poly1305, WasmRecordKernel } from './wasm/wasm-chacha20-poly1305.ts';

/** Our own ChaCha20-Poly1305, in the faster of its two forms that this runtime takes. */
export interface OwnCipher {
  readonly implementation: 'webassembly' | 'javascript';
  /** Why it is not WebAssembly; empty when it is. For a log: nothing else depends on it. */
  readonly reason: string;
  /** @throws {CryptoError} `invalid-key` unless the key has 32 bytes. */
  createAead(key: Uint8Array): AeadContext;
}

/**
 * The one place that decides. Nothing depends on it but speed.
 * @param engine - the runtime's `WebAssembly`, or none.
 */
export function chooseOwnCipher(engine: WebAssemblyEngine | undefined): OwnCipher {
  const compiled = compileModule<AeadKernel>(engine, aeadModule);
  if (compiled.exports === undefined) return inJavaScript(compiled.reason);
  const kernel = new WasmRecordKernel(compiled.exports);
  return { implementation: 'webassembly', reason: '', createAead: (key) => new WasmChaCha20Poly1305(kernel, key) };
}

function inJavaScript(reason: string): OwnCipher {
  return { implementation: 'javascript', reason, createAead: (key) => new ChaCha20Poly1305(key) };
}

let chosen: OwnCipher | undefined;

/**
 * What `withRecordCipher` uses in this process: chosen, and compiled, when it is first asked for.
 *
 * @example
 * if (ownCipher().implementation === 'javascript') console.warn(`slow record cipher: ${ownCipher().reason}`);
 */
export function ownCipher(): OwnCipher {
  chosen ??= chooseOwnCipher(runtimeWebAssembly());
  return chosen;
}
