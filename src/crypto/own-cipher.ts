import type { AeadContext } from '../core/index.ts';
import { ChaCha20Poly1305 } from './chacha20-poly1305.ts';
import { WasmChaCha20Poly1305, WasmRecordKernel, type WebAssemblyEngine } from './wasm/wasm-chacha20-poly1305.ts';

/** Our own ChaCha20-Poly1305, in the faster of its two forms that this runtime takes. */
export interface OwnCipher {
  readonly implementation: 'webassembly' | 'javascript';
  /** Why it is not WebAssembly; empty when it is. For a log: nothing else depends on it. */
  readonly reason: string;
  /** @throws {CryptoError} `invalid-key` unless the key has 32 bytes. */
  createAead(key: Uint8Array): AeadContext;
}

/** The global object of the runtime, which may be missing. */
declare const WebAssembly: WebAssemblyEngine | undefined;

/**
 * The one place that decides. JavaScript is used where there is no WebAssembly, no SIMD in it, or a policy against compiling; each
 * shows as a missing object or an error of the constructors, and costs nothing but speed.
 * @param engine - the runtime's `WebAssembly`, or none.
 */
export function chooseOwnCipher(engine: WebAssemblyEngine | undefined): OwnCipher {
  if (engine === undefined) return inJavaScript('this runtime has no WebAssembly');
  try {
    const kernel = new WasmRecordKernel(engine);
    return { implementation: 'webassembly', reason: '', createAead: (key) => new WasmChaCha20Poly1305(kernel, key) };
  } catch (error) {
    return inJavaScript(error instanceof Error ? error.message : String(error));
  }
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
  chosen ??= chooseOwnCipher(typeof WebAssembly === 'undefined' ? undefined : WebAssembly);
  return chosen;
}
