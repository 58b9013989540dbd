/** The part of the runtime's `WebAssembly` object that is used: `lib` of ES2023 and the types of Node 20 do not have it. */
export interface WebAssemblyEngine {
  /** Compiles. Throws for instructions that the runtime does not have, and where a Content Security Policy forbids it. */
  readonly Module: new (
    bytes: Uint8Array,
  ) => object;
  /** `Exports` is what the module exports: the caller, who wrote the module, knows. */
  readonly Instance: new <Exports>(
    module: object,
  ) => { readonly exports: Exports };
}

/** The global object, which may be missing. */
declare const WebAssembly: WebAssemblyEngine | undefined;

export function runtimeWebAssembly(): WebAssemblyEngine | undefined {
  return typeof WebAssembly === 'undefined' ? undefined : WebAssembly;
}

/** The memory of a module, exported as `memory`. */
export interface WebAssemblyMemory {
  readonly buffer: ArrayBuffer;
}

export type Compiled<Exports> =
  | { readonly exports: Exports }
  /** Why there is none: no WebAssembly, no SIMD in it, or a policy against compiling. */
  | { readonly exports: undefined; readonly reason: string };

/**
 * The one place that compiles, and where a refusal ends: it shows as a missing object or as an error of the constructors, and costs
 * nothing but speed, because whoever asks has a plain implementation beside it.
 * @param write - makes the module's bytes; called only when there is an engine.
 */
export function compileModule<Exports>(
  engine: WebAssemblyEngine | undefined,
  write: () => Uint8Array,
): Compiled<Exports> {
  if (engine === undefined) return { exports: undefined, reason: 'this runtime has no WebAssembly' };
  try {
    return { exports: new engine.Instance<Exports>(new engine.Module(write())).exports };
  } catch (error) {
    return { exports: undefined, reason: error instanceof Error ? error.message : String(error) };
  }
}
