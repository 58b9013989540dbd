/** Short messages are copied into shared blocks of memory: to allocate each by itself takes longer than to send it. */
const BLOCK_BYTES = 16_384;
/** The longest of them. A message that waits for long keeps its block, so eight at least share one. */
const SHORT_BYTES = BLOCK_BYTES / 8;

/**
 * Longer messages than this are copied into buffers that are used again: for each new one of that size the system would hand out
 * fresh pages and take them back, which costs as much as sending a sixth of the message.
 */
const LONG_BYTES = 32_768;
/** The lengths of those buffers; longer messages get memory of their own. */
const BUFFER_BYTES: readonly number[] = [65_536, 131_072, 262_144];
/** Buffers of each length that wait for the next message: 3.5 MiB for the whole process. */
export const MAX_SPARE_BUFFERS = 8;

let block = new Uint8Array(BLOCK_BYTES);
let used = 0;
const spare: readonly Uint8Array<ArrayBuffer>[][] = BUFFER_BYTES.map(() => []);

/** A copy of a message, for {@link recycleMessage}; one that is not given back is garbage some day. */
export function copyMessage(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length <= SHORT_BYTES) return copyIntoBlock(bytes);
  const size = length <= LONG_BYTES ? -1 : BUFFER_BYTES.findIndex((most) => length <= most);
  if (size < 0) return bytes.slice();
  const buffer = spare[size]?.pop() ?? new Uint8Array(BUFFER_BYTES[size]!);
  buffer.set(bytes);
  return length === buffer.length ? buffer : buffer.subarray(0, length);
}

/** Takes a copy back that nobody will read any more. @param copy - made by {@link copyMessage}, given back once. */
export function recycleMessage(copy: Uint8Array): void {
  if (copy.length <= LONG_BYTES) return;
  const { buffer } = copy;
  const buffers = spare[BUFFER_BYTES.indexOf(buffer.byteLength)];
  if (buffer instanceof ArrayBuffer && buffers !== undefined && buffers.length < MAX_SPARE_BUFFERS)
    buffers.push(new Uint8Array(buffer));
}

function copyIntoBlock(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (used + length > BLOCK_BYTES) {
    block = new Uint8Array(BLOCK_BYTES);
    used = 0;
  }
  const copy = block.subarray(used, used + length);
  copy.set(bytes);
  used += length;
  return copy;
}
