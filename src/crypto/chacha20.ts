/** "expand 32-byte k" as four little-endian words (RFC 8439 §2.3). */
const C0 = 0x61707865;
const C1 = 0x3320646e;
const C2 = 0x79622d32;
const C3 = 0x6b206574;

function wordAt(nonce: Uint8Array, at: number): number {
  return nonce[at]! | (nonce[at + 1]! << 8) | (nonce[at + 2]! << 16) | (nonce[at + 3]! << 24);
}

/**
 * XORs the ChaCha20 keystream (RFC 8439 §2.4) into whole blocks of `out`, in place.
 *
 * The sixteen words of the state live in local variables, and the quarter rounds (RFC 8439 §2.1) are written out: an array and a
 * function call a quarter round take three times as long. The comments say which words each line mixes.
 * @param key - eight words. @param nonce - 12 bytes. @param words - a multiple of 16, from `out[0]`.
 */
export function chacha20Xor(
  key: Int32Array,
  firstCounter: number,
  nonce: Uint8Array,
  out: Int32Array,
  words: number,
): void {
  const k0 = key[0]!;
  const k1 = key[1]!;
  const k2 = key[2]!;
  const k3 = key[3]!;
  const k4 = key[4]!;
  const k5 = key[5]!;
  const k6 = key[6]!;
  const k7 = key[7]!;
  const n0 = wordAt(nonce, 0);
  const n1 = wordAt(nonce, 4);
  const n2 = wordAt(nonce, 8);
  let counter = firstCounter;
  for (let at = 0; at < words; at += 16) {
    let x0 = C0;
    let x1 = C1;
    let x2 = C2;
    let x3 = C3;
    let x4 = k0;
    let x5 = k1;
    let x6 = k2;
    let x7 = k3;
    let x8 = k4;
    let x9 = k5;
    let x10 = k6;
    let x11 = k7;
    let x12 = counter;
    let x13 = n0;
    let x14 = n1;
    let x15 = n2;
    for (let round = 0; round < 20; round += 2) {
      // column: 0 4 8 12
      x0 = (x0 + x4) | 0;
      x12 ^= x0;
      x12 = (x12 << 16) | (x12 >>> 16);
      x8 = (x8 + x12) | 0;
      x4 ^= x8;
      x4 = (x4 << 12) | (x4 >>> 20);
      x0 = (x0 + x4) | 0;
      x12 ^= x0;
      x12 = (x12 << 8) | (x12 >>> 24);
      x8 = (x8 + x12) | 0;
      x4 ^= x8;
      x4 = (x4 << 7) | (x4 >>> 25);
      // column: 1 5 9 13
      x1 = (x1 + x5) | 0;
      x13 ^= x1;
      x13 = (x13 << 16) | (x13 >>> 16);
      x9 = (x9 + x13) | 0;
      x5 ^= x9;
      x5 = (x5 << 12) | (x5 >>> 20);
      x1 = (x1 + x5) | 0;
      x13 ^= x1;
      x13 = (x13 << 8) | (x13 >>> 24);
      x9 = (x9 + x13) | 0;
      x5 ^= x9;
      x5 = (x5 << 7) | (x5 >>> 25);
      // column: 2 6 10 14
      x2 = (x2 + x6) | 0;
      x14 ^= x2;
      x14 = (x14 << 16) | (x14 >>> 16);
      x10 = (x10 + x14) | 0;
      x6 ^= x10;
      x6 = (x6 << 12) | (x6 >>> 20);
      x2 = (x2 + x6) | 0;
      x14 ^= x2;
      x14 = (x14 << 8) | (x14 >>> 24);
      x10 = (x10 + x14) | 0;
      x6 ^= x10;
      x6 = (x6 << 7) | (x6 >>> 25);
      // column: 3 7 11 15
      x3 = (x3 + x7) | 0;
      x15 ^= x3;
      x15 = (x15 << 16) | (x15 >>> 16);
      x11 = (x11 + x15) | 0;
      x7 ^= x11;
      x7 = (x7 << 12) | (x7 >>> 20);
      x3 = (x3 + x7) | 0;
      x15 ^= x3;
      x15 = (x15 << 8) | (x15 >>> 24);
      x11 = (x11 + x15) | 0;
      x7 ^= x11;
      x7 = (x7 << 7) | (x7 >>> 25);
      // diagonal: 0 5 10 15
      x0 = (x0 + x5) | 0;
      x15 ^= x0;
      x15 = (x15 << 16) | (x15 >>> 16);
      x10 = (x10 + x15) | 0;
      x5 ^= x10;
      x5 = (x5 << 12) | (x5 >>> 20);
      x0 = (x0 + x5) | 0;
      x15 ^= x0;
      x15 = (x15 << 8) | (x15 >>> 24);
      x10 = (x10 + x15) | 0;
      x5 ^= x10;
      x5 = (x5 << 7) | (x5 >>> 25);
      // diagonal: 1 6 11 12
      x1 = (x1 + x6) | 0;
      x12 ^= x1;
      x12 = (x12 << 16) | (x12 >>> 16);
      x11 = (x11 + x12) | 0;
      x6 ^= x11;
      x6 = (x6 << 12) | (x6 >>> 20);
      x1 = (x1 + x6) | 0;
      x12 ^= x1;
      x12 = (x12 << 8) | (x12 >>> 24);
      x11 = (x11 + x12) | 0;
      x6 ^= x11;
      x6 = (x6 << 7) | (x6 >>> 25);
      // diagonal: 2 7 8 13
      x2 = (x2 + x7) | 0;
      x13 ^= x2;
      x13 = (x13 << 16) | (x13 >>> 16);
      x8 = (x8 + x13) | 0;
      x7 ^= x8;
      x7 = (x7 << 12) | (x7 >>> 20);
      x2 = (x2 + x7) | 0;
      x13 ^= x2;
      x13 = (x13 << 8) | (x13 >>> 24);
      x8 = (x8 + x13) | 0;
      x7 ^= x8;
      x7 = (x7 << 7) | (x7 >>> 25);
      // diagonal: 3 4 9 14
      x3 = (x3 + x4) | 0;
      x14 ^= x3;
      x14 = (x14 << 16) | (x14 >>> 16);
      x9 = (x9 + x14) | 0;
      x4 ^= x9;
      x4 = (x4 << 12) | (x4 >>> 20);
      x3 = (x3 + x4) | 0;
      x14 ^= x3;
      x14 = (x14 << 8) | (x14 >>> 24);
      x9 = (x9 + x14) | 0;
      x4 ^= x9;
      x4 = (x4 << 7) | (x4 >>> 25);
    }
    out[at] = out[at]! ^ (x0 + C0);
    out[at + 1] = out[at + 1]! ^ (x1 + C1);
    out[at + 2] = out[at + 2]! ^ (x2 + C2);
    out[at + 3] = out[at + 3]! ^ (x3 + C3);
    out[at + 4] = out[at + 4]! ^ (x4 + k0);
    out[at + 5] = out[at + 5]! ^ (x5 + k1);
    out[at + 6] = out[at + 6]! ^ (x6 + k2);
    out[at + 7] = out[at + 7]! ^ (x7 + k3);
    out[at + 8] = out[at + 8]! ^ (x8 + k4);
    out[at + 9] = out[at + 9]! ^ (x9 + k5);
    out[at + 10] = out[at + 10]! ^ (x10 + k6);
    out[at + 11] = out[at + 11]! ^ (x11 + k7);
    out[at + 12] = out[at + 12]! ^ (x12 + counter);
    out[at + 13] = out[at + 13]! ^ (x13 + n0);
    out[at + 14] = out[at + 14]! ^ (x14 + n1);
    out[at + 15] = out[at + 15]! ^ (x15 + n2);
    counter = (counter + 1) | 0;
  }
}
