import type { AeadContext, CryptoBackend } from '../core/index.ts';
import type { DirectionKeys } from './key-schedule.ts';
import { writeEpochAndSequence } from './record.ts';
import { type CipherSuite, CONTENT_TLS12_CID, DTLS_1_2 } from './registry.ts';

const NONCE_BYTES = 12;

/**
 * Blocks of 16 bytes sealed under one AES key: 2^34.5, which is what the 2^24.5 full-size records of RFC 8446 §5.5 come
 * to, and more data than 380 GB. ChaCha20 needs no such bound. DTLS 1.2 cannot change keys without renegotiation, so the
 * connection ends there.
 */
export const MAX_SEALED_BLOCKS_GCM: number = Math.floor(2 ** 34.5);
/** The same for CCM: 2^23 full-size records (RFC 9147 §4.5.3). */
export const MAX_SEALED_BLOCKS_CCM: number = 2 ** 33;
/** Records that failed to authenticate under one key (RFC 9147 §4.5.3), GCM and ChaCha20. */
export const MAX_FAILED_RECORDS: number = 2 ** 36;
/** The same for CCM; also for CCM_8, where the RFC's 2^7 would let anyone on the path end the connection. */
export const MAX_FAILED_RECORDS_CCM: number = Math.floor(2 ** 23.5);

/** Lowered bounds, for tests. */
export interface KeyLimits {
  readonly maxSealedBlocks?: number;
  readonly maxFailedRecords?: number;
}

function sealedBlocksLimit(suite: CipherSuite): number {
  if (suite.aead === 'chacha20-poly1305') return Number.POSITIVE_INFINITY;
  return suite.aead === 'aes-128-gcm' || suite.aead === 'aes-256-gcm' ? MAX_SEALED_BLOCKS_GCM : MAX_SEALED_BLOCKS_CCM;
}

function failedRecordsLimit(suite: CipherSuite): number {
  return suite.aead === 'aes-128-ccm' || suite.aead === 'aes-128-ccm-8' ? MAX_FAILED_RECORDS_CCM : MAX_FAILED_RECORDS;
}

/**
 * The AEAD of one direction: nonces and additional data of RFC 5288 §3 and RFC 6655 §3 (salt ‖ explicit nonce), RFC 7905
 * §2 (mask ⊕ number), RFC 5246 §6.2.3.3, and RFC 9146 §5.3 where a connection ID is used. Allocates nothing per record.
 */
export class RecordCipher {
  readonly explicitNonceBytes: number;
  readonly tagBytes: number;
  /** The connection ID in the header of each record; empty: ordinary records. */
  readonly connectionId: Uint8Array;
  readonly #aead: AeadContext;
  readonly #iv: Uint8Array;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #aad: Uint8Array;
  /** Where epoch ‖ sequence and the length lie in the additional data. */
  readonly #aadNumberAt: number;
  #lastSealed = -1;
  #blocksLeft: number;
  #failuresLeft: number;

  constructor(
    crypto: CryptoBackend,
    suite: CipherSuite,
    keys: DirectionKeys,
    connectionId: Uint8Array,
    limits: KeyLimits = {},
  ) {
    this.explicitNonceBytes = suite.explicitNonceBytes;
    this.tagBytes = suite.tagBytes;
    this.connectionId = connectionId;
    this.#aead = crypto.createAead(suite.aead, keys.key);
    this.#iv = keys.iv;
    this.#nonce.set(keys.iv);
    this.#blocksLeft = limits.maxSealedBlocks ?? sealedBlocksLimit(suite);
    this.#failuresLeft = limits.maxFailedRecords ?? failedRecordsLimit(suite);
    if (connectionId.length === 0) {
      // RFC 5246 §6.2.3.3: seq_num(8) type(1) version(2) length(2)
      this.#aad = new Uint8Array(13);
      this.#aadNumberAt = 0;
      this.#aad[9] = DTLS_1_2 >>> 8;
      this.#aad[10] = DTLS_1_2 & 0xff;
    } else {
      // RFC 9146 §5.3: placeholder(8) tls12_cid(1) cid_length(1) tls12_cid(1) version(2) epoch(2) sequence(6) cid length(2)
      this.#aad = new Uint8Array(23 + connectionId.length);
      this.#aadNumberAt = 13;
      this.#aad.fill(0xff, 0, 8);
      this.#aad[8] = CONTENT_TLS12_CID;
      this.#aad[9] = connectionId.length;
      this.#aad[10] = CONTENT_TLS12_CID;
      this.#aad[11] = DTLS_1_2 >>> 8;
      this.#aad[12] = DTLS_1_2 & 0xff;
      this.#aad.set(connectionId, 21);
    }
  }

  /** The bound of sealing under this key is reached: nothing more may be sealed. */
  get sealingExhausted(): boolean {
    return this.#blocksLeft <= 0;
  }

  /** The bound of forgeries under this key is reached: nothing more may be opened. */
  get openingExhausted(): boolean {
    return this.#failuresLeft <= 0;
  }

  /**
   * Encrypts `buffer[at, at + length)` in place: the explicit nonce goes in front of it, the tag behind.
   * The explicit nonce is epoch ‖ sequence number, so a number used twice would be a nonce used twice.
   */
  seal(type: number, epoch: number, sequence: number, buffer: Uint8Array, at: number, length: number): void {
    if (sequence <= this.#lastSealed)
      throw new Error(`nonce reuse: sequence number ${sequence} after ${this.#lastSealed}`);
    this.#lastSealed = sequence;
    this.#blocksLeft -= 1 + ((length + 15) >>> 4);
    if (this.explicitNonceBytes > 0) {
      writeEpochAndSequence(buffer, at - 8, epoch, sequence);
      writeEpochAndSequence(this.#nonce, 4, epoch, sequence);
    } else {
      this.#maskNonce(epoch, sequence);
    }
    this.#setAad(type, epoch, sequence, length);
    this.#aead.seal(this.#nonce, this.#aad, buffer, at, length);
  }

  /**
   * Authenticates and decrypts a record's fragment `buffer[at, at + length)`, explicit nonce and tag included, in place.
   * @returns the plaintext length, which begins behind the explicit nonce; -1 when it does not authenticate.
   */
  open(type: number, epoch: number, sequence: number, buffer: Uint8Array, at: number, length: number): number {
    const sealed = length - this.explicitNonceBytes;
    if (sealed < this.tagBytes) return this.#failed();
    if (this.explicitNonceBytes > 0) for (let i = 0; i < 8; i++) this.#nonce[4 + i] = buffer[at + i]!;
    else this.#maskNonce(epoch, sequence);
    this.#setAad(type, epoch, sequence, sealed - this.tagBytes);
    const opened = this.#aead.open(this.#nonce, this.#aad, buffer, at + this.explicitNonceBytes, sealed);
    return opened < 0 ? this.#failed() : opened;
  }

  #failed(): number {
    this.#failuresLeft--;
    return -1;
  }

  #maskNonce(epoch: number, sequence: number): void {
    const nonce = this.#nonce;
    writeEpochAndSequence(nonce, 4, epoch, sequence);
    for (let i = 4; i < NONCE_BYTES; i++) nonce[i]! ^= this.#iv[i]!;
  }

  #setAad(type: number, epoch: number, sequence: number, length: number): void {
    const aad = this.#aad;
    writeEpochAndSequence(aad, this.#aadNumberAt, epoch, sequence);
    if (this.connectionId.length === 0) aad[8] = type;
    aad[aad.length - 2] = length >>> 8;
    aad[aad.length - 1] = length;
  }
}
