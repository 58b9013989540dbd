import { describe, expect, it } from 'vitest';
import { bytesToHex, hexToBytes } from '../../../src/core/index.ts';
import { NEVER_READY } from '../../../src/crypto/wasm/chacha20-kernel.ts';
import {
  BATCH_BYTES,
  INPUT_AREA_AT,
  INPUT_AT,
  KEY_AT,
  NONCE_AT,
  ONE_TIME_KEY_AT,
  OUTPUT_AREA_AT,
  OUTPUT_AT,
  TAG_AT,
} from '../../../src/crypto/wasm/layout.ts';
import { SeededRandom, seeds } from '../../sim/index.ts';
import { plainPoly1305 } from '../plain-poly1305.ts';
import { aeadKernel, kernelParts } from './kernel-module.ts';

const hex = bytesToHex;
const kernel = kernelParts();

/** Keystream of `blocks` blocks from block `first` on: what zeros become. */
function keystream(key: Uint8Array, nonce: Uint8Array, first: number, blocks: number): Uint8Array {
  kernel.bytes.set(key, KEY_AT);
  kernel.bytes.set(nonce, NONCE_AT);
  kernel.bytes.fill(0, INPUT_AREA_AT, OUTPUT_AREA_AT);
  expect(kernel.keystream(64 * first, 64 * blocks, 0, NEVER_READY)).toBe(0);
  return kernel.bytes.slice(OUTPUT_AREA_AT + 64 * first, OUTPUT_AREA_AT + 64 * (first + blocks));
}

describe('ChaCha20 in WebAssembly', () => {
  // RFC 8439 §2.3.2 and appendix A.1, as (key, nonce, counter, keystream).
  it.each([
    [
      '§2.3.2',
      '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
      '000000090000004a00000000',
      1,
      '10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e',
    ],
    [
      'A.1 #1',
      '00'.repeat(32),
      '00'.repeat(12),
      0,
      '76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586',
    ],
    [
      'A.1 #2',
      '00'.repeat(32),
      '00'.repeat(12),
      1,
      '9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f',
    ],
    [
      'A.1 #4',
      `00ff${'00'.repeat(30)}`,
      '00'.repeat(12),
      2,
      '72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096',
    ],
  ])('RFC 8439 %s', (_name, key, nonce, first, expected) => {
    expect(hex(keystream(hexToBytes(key), hexToBytes(nonce), first, 1))).toBe(expected);
  });

  it('makes the same blocks wherever it begins', () => {
    const random = new SeededRandom(3);
    const [key, nonce] = [random.bytes(32), random.bytes(12)];
    const whole = keystream(key, nonce, 0, 20);
    for (let first = 0; first < 20; first++) {
      expect(hex(keystream(key, nonce, first, 20 - first))).toBe(hex(whole.subarray(64 * first)));
    }
  });
});

describe('Poly1305 in WebAssembly', () => {
  // The largest and the smallest limbs, over so many blocks that a lost bit would show.
  const fills = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
  it.each(fills.flatMap((r) => fills.map((text) => [r, text] as const)))('key of %i, text of %i', (r, text) => {
    const key = new Uint8Array(32).fill(r);
    for (const length of [0, 1, 15, 16, 17, 32, 48, 1200, 16_000]) {
      const message = new Uint8Array(length).fill(text);
      // A padded message is the message with zeros up to a whole block (RFC 8439 §2.8).
      const padded = new Uint8Array((length + 15) & ~15);
      padded.set(message);
      expect(hex(kernel.poly1305(key, message))).toBe(hex(plainPoly1305(key, padded)));
    }
  });

  it.each(seeds(8))('seed %i: limbs of 32 bits that are all ones, all zeros, or nearly', (seed) => {
    const random = new SeededRandom(seed);
    const words = (bytes: Uint8Array): void => {
      for (let at = 0; at < bytes.length; at += 4) {
        const kind = random.below(5);
        if (kind < 2) bytes.fill(kind === 0 ? 0 : 0xff, at, at + 4);
        if (kind < 3 && random.chance(0.5)) bytes[at + random.below(4)]! ^= 1 << random.below(8);
      }
    };
    for (let i = 0; i < 250; i++) {
      const key = random.bytes(32);
      words(key);
      const message = random.bytes(16 * (1 + random.below(i % 25 === 0 ? 600 : 12)));
      words(message);
      expect(hex(kernel.poly1305(key, message))).toBe(hex(plainPoly1305(key, message)));
    }
  });

  // RFC 8439 appendix A.3: made to catch wrong carries and reductions, as (key, message, tag).
  it.each([
    ['#7', `02${'00'.repeat(31)}`, 'ff'.repeat(16), `03${'00'.repeat(15)}`],
    ['#8', `02${'00'.repeat(15)}${'ff'.repeat(16)}`, `02${'00'.repeat(15)}`, `03${'00'.repeat(15)}`],
    [
      '#9',
      `01${'00'.repeat(31)}`,
      `${'ff'.repeat(16)}f0${'ff'.repeat(15)}11${'00'.repeat(15)}`,
      `05${'00'.repeat(15)}`,
    ],
    ['#10', `01${'00'.repeat(31)}`, `${'ff'.repeat(16)}fb${'fe'.repeat(15)}${'01'.repeat(16)}`, '00'.repeat(16)],
    ['#11', `02${'00'.repeat(31)}`, `fd${'ff'.repeat(15)}`, `fa${'ff'.repeat(15)}`],
  ])('RFC 8439 A.3 %s', (_name, key, message, tag) => {
    expect(hex(kernel.poly1305(hexToBytes(key), hexToBytes(message)))).toBe(tag);
  });

  it('every sum around the prime is reduced once: r = 1 leaves the message, so tag = (message + 2^128) mod p', () => {
    const key = new Uint8Array(32);
    key[0] = 1;
    // Two blocks of which the second is all ones reach p; the first takes every small value on both sides.
    for (let low = 0; low < 256; low++) {
      for (const high of [0xff, 0xfe]) {
        const message = new Uint8Array(48).fill(0xff);
        message[0] = low;
        message.fill(high, 33);
        expect(hex(kernel.poly1305(key, message))).toBe(hex(plainPoly1305(key, message)));
      }
    }
  });

  it('beside ChaCha20 it is the same as alone', () => {
    const random = new SeededRandom(5);
    const [key, message] = [random.bytes(32), random.bytes(10 * BATCH_BYTES)];
    const at = 0xc000;
    for (let batches = 1; batches <= 10; batches++) {
      // Into the batches behind block 0, which holds the one-time key.
      kernel.bytes.set(message, at);
      kernel.bytes.set(key, ONE_TIME_KEY_AT);
      kernel.start();
      expect(kernel.keystream(BATCH_BYTES, batches * BATCH_BYTES, at, at + BATCH_BYTES)).toBe(
        at + batches * BATCH_BYTES,
      );
      kernel.finish();
      const expected = plainPoly1305(key, message.subarray(0, batches * BATCH_BYTES));
      expect(hex(kernel.bytes.slice(TAG_AT, TAG_AT + 16))).toBe(hex(expected));
    }
  });
});

describe('the whole record in WebAssembly', () => {
  it.each([0, 60, 1200])('leaves neither key in memory: %i bytes sealed, opened, and not opened', (length) => {
    const { kernel: whole, bytes } = aeadKernel();
    const random = new SeededRandom(length + 1);
    const [key, nonce] = [random.bytes(32), random.bytes(12)];
    const secrets = hex(key) + hex(keystream(key, nonce, 0, 1).subarray(0, 32));
    const record = <T>(from: Uint8Array, run: () => T): T => {
      bytes.set(key, KEY_AT);
      bytes.set(nonce, NONCE_AT);
      bytes.set(from, INPUT_AT);
      const result = run();
      const left = hex(bytes);
      // Eight bytes of a key in a row are no accident.
      for (let at = 0; at + 16 <= secrets.length; at += 16) expect(left).not.toContain(secrets.slice(at, at + 16));
      return result;
    };
    record(random.bytes(length), () => whole.seal(0, length));
    const sealed = bytes.slice(OUTPUT_AT, OUTPUT_AT + length + 16);
    expect(record(sealed, () => whole.open(0, length))).toBe(1);
    sealed[length]! ^= 1;
    expect(record(sealed, () => whole.open(0, length))).toBe(0);
  });
});
