import { type AeadContext, checkAeadKey, checkAeadRange, LastView } from '../../core/index.ts';
import { ChaCha20Poly1305 } from '../chacha20-poly1305.ts';
import type { AeadKernel } from './aead-kernel.ts';
import { AAD_AT, INPUT_AT, KEY_AT, MAX_AAD_BYTES, MAX_TEXT_BYTES, NONCE_AT, OUTPUT_AT } from './layout.ts';

const TAG_BYTES = 16;
const KEY_WORDS_AT: number = KEY_AT / 4;

/**
 * The compiled kernels with their memory: key, nonce, associated data and text are copied in, worked on, and copied out. One for
 * the whole process (and one for each worker) is enough, as it is in use only inside one synchronous call.
 */
export class WasmRecordKernel {
  /** As `AeadKernel` has them; taken out of the exports, because a call to a property of theirs is slower. */
  readonly seal: AeadKernel['seal'];
  readonly open: AeadKernel['open'];
  /** Records are sealed in the buffer that they are sent from; received ones come in buffers of their own. */
  readonly plaintext: LastView = new LastView();
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;

  constructor(exports: AeadKernel) {
    this.seal = exports.seal;
    this.open = exports.open;
    this.#bytes = new Uint8Array(exports.memory.buffer);
    this.#words = new Int32Array(exports.memory.buffer);
  }

  /** @param key - eight words in the machine's own order, which is the order of the bytes. */
  load(key: Int32Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array): void {
    const bytes = this.#bytes;
    const words = this.#words;
    for (let i = 0; i < key.length; i++) words[KEY_WORDS_AT + i] = key[i]!;
    for (let i = 0; i < nonce.length; i++) bytes[NONCE_AT + i] = nonce[i]!;
    for (let i = 0; i < aad.length; i++) bytes[AAD_AT + i] = aad[i]!;
    bytes.set(text, INPUT_AT);
  }

  /** A view of what the last call has left; good until the next one. */
  output(length: number): Uint8Array {
    return this.#bytes.subarray(OUTPUT_AT, OUTPUT_AT + length);
  }
}

/**
 * The record cipher of the house in WebAssembly: the same contract, results and errors as {@link ChaCha20Poly1305}, its reference,
 * at a third of the cost. Records of more than 16 KiB and associated data of more than 512 bytes, which DTLS does not have, are
 * left to the reference.
 */
export class WasmChaCha20Poly1305 implements AeadContext {
  readonly tagLength: number = TAG_BYTES;
  readonly #kernel: WasmRecordKernel;
  readonly #key: Int32Array;
  /** The output as long as the last record: many of one length follow each other, and a view costs as much as a copy. */
  #output: Uint8Array;

  /**
   * @param key - 32 bytes, copied.
   * @throws {CryptoError} `invalid-key` for another length.
   */
  constructor(kernel: WasmRecordKernel, key: Uint8Array) {
    checkAeadKey('chacha20-poly1305', key);
    this.#kernel = kernel;
    this.#key = new Int32Array(key.slice().buffer);
    this.#output = kernel.output(0);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    checkAeadRange(nonce, buffer, offset, length, TAG_BYTES);
    if (length > MAX_TEXT_BYTES || aad.length > MAX_AAD_BYTES) {
      this.#reference().seal(nonce, aad, buffer, offset, length);
      return;
    }
    const kernel = this.#kernel;
    kernel.load(this.#key, nonce, aad, kernel.plaintext.get(buffer, offset, length));
    kernel.seal(aad.length, length);
    this.#copyOutput(buffer, offset, length + TAG_BYTES);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number {
    checkAeadRange(nonce, buffer, offset, length, 0);
    const textLength = length - TAG_BYTES;
    if (textLength < 0) return -1;
    if (textLength > MAX_TEXT_BYTES || aad.length > MAX_AAD_BYTES) {
      return this.#reference().open(nonce, aad, buffer, offset, length);
    }
    const kernel = this.#kernel;
    kernel.load(this.#key, nonce, aad, buffer.subarray(offset, offset + length));
    if (kernel.open(aad.length, textLength) === 0) return -1;
    this.#copyOutput(buffer, offset, textLength);
    return textLength;
  }

  #copyOutput(buffer: Uint8Array, offset: number, length: number): void {
    if (this.#output.length !== length) this.#output = this.#kernel.output(length);
    buffer.set(this.#output, offset);
  }

  /** Made anew each time: so rare that it is not worth a second copy of the key. */
  #reference(): ChaCha20Poly1305 {
    return new ChaCha20Poly1305(new Uint8Array(this.#key.buffer));
  }
}
