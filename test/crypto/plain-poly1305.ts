import { bytesToHex, hexToBytes } from '../../src/core/index.ts';

/** RFC 8439 §2.5.1, word for word, in whole numbers of any size: the plain form that the fast ones are compared with. */
export function plainPoly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const number = (bytes: Uint8Array): bigint => BigInt(`0x${bytesToHex(bytes.slice().reverse()) || '0'}`);
  const p = 2n ** 130n - 5n;
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let a = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    a = ((a + number(block) + 2n ** BigInt(8 * block.length)) * r) % p;
  }
  const sum = (a + number(key.subarray(16))) % 2n ** 128n;
  return hexToBytes(sum.toString(16).padStart(32, '0')).reverse();
}
