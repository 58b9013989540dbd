import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import { writeChecksum, writePacketHeader } from '../../src/sctp/wire/packet.ts';

/** A packet with a right checksum around chunks given as bytes or hex; chunks are padded. */
export function packet(tag: number, ...chunks: readonly (Uint8Array | string)[]): Uint8Array {
  const body = chunks.map((chunk) => {
    const bytes = typeof chunk === 'string' ? hexToBytes(chunk) : chunk;
    return concatBytes(bytes, new Uint8Array((4 - (bytes.length & 3)) & 3));
  });
  return rawPacket(tag, concatBytes(...body));
}

/** The same without padding anything. */
export function rawPacket(tag: number, body: Uint8Array): Uint8Array {
  const bytes = concatBytes(new Uint8Array(12), body);
  writePacketHeader(bytes, 0, 5000, 5000, tag);
  writeChecksum(bytes, 0, bytes.length);
  return bytes;
}

/** Verification tag of a packet. */
export function tagOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
}

/** Types of all chunks of a packet, and their bytes. */
export function chunksOf(bytes: Uint8Array): { readonly type: number; readonly bytes: Uint8Array }[] {
  const list: { type: number; bytes: Uint8Array }[] = [];
  for (let at = 12; at + 4 <= bytes.length; ) {
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    list.push({ type: bytes[at]!, bytes: bytes.slice(at, at + length) });
    at += (length + 3) & ~3;
  }
  return list;
}

/** 32 bits as eight hexadecimal digits. */
export function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
