export * from './address.ts';
export * from './aead-range.ts';
export * from './bytes.ts';
export * from './crc.ts';
export * from './crypto-backend.ts';
export * from './deadlines.ts';
export * from './driver.ts';
export * from './errors.ts';
export * from './platform.ts';
export * from './private-slot.ts';
export * from './ring.ts';
export * from './sans-io.ts';
export * from './serial.ts';
export * from './source.ts';
export * from './timers.ts';
export * from './trace.ts';
export {
  type Compiled,
  compileModule,
  runtimeWebAssembly,
  type WebAssemblyEngine,
  type WebAssemblyMemory,
} from './wasm/engine.ts';
