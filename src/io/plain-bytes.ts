/**
 * The same bytes without the `Buffer` prototype, sharing the memory. A `Buffer` must not reach a core: its `slice` is a
 * view where that of a `Uint8Array` is a copy, so what a core keeps of a borrowed datagram would change under it.
 */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
