import { UsageError } from '../core/index.ts';
import { RECORD_HEADER_BYTES, SEQUENCE_LIMIT, writeRecordHeader } from './record.ts';
import type { RecordCipher } from './record-cipher.ts';
import { CONTENT_TLS12_CID } from './registry.ts';

/** Sequence numbers kept back for alerts when data has used up the others. */
const RESERVED_FOR_ALERTS = 16;

/**
 * Writes the records of one epoch. Each record, a retransmitted one too, takes the next sequence number: here is the
 * only place that hands them out.
 */
export class RecordWriter {
  readonly epoch: number;
  /** Bytes in front of the plaintext: header, connection ID, explicit nonce. */
  readonly headroom: number;
  /** Bytes behind the plaintext: inner content type (RFC 9146 §4) and tag. */
  readonly tailroom: number;
  readonly #cipher: RecordCipher | undefined;
  readonly #hasConnectionId: boolean;
  #next = 0;

  /** @param cipher - absent in epoch 0, whose records are in the clear. */
  constructor(epoch: number, cipher: RecordCipher | undefined) {
    this.epoch = epoch;
    this.#cipher = cipher;
    const cidBytes = cipher?.connectionId.length ?? 0;
    this.#hasConnectionId = cidBytes > 0;
    this.headroom = RECORD_HEADER_BYTES + cidBytes + (cipher?.explicitNonceBytes ?? 0);
    this.tailroom = (this.#hasConnectionId ? 1 : 0) + (cipher?.tagBytes ?? 0);
  }

  /** Bytes by which a record is longer than its plaintext. */
  get overhead(): number {
    return this.headroom + this.tailroom;
  }

  /** The key has reached its bound of use: no more data, only the alerts that end the connection. */
  get exhausted(): boolean {
    return this.#next >= SEQUENCE_LIMIT - RESERVED_FOR_ALERTS || (this.#cipher?.sealingExhausted ?? false);
  }

  /**
   * Goes on from the sequence number of a ClientHello: RFC 6347 §4.2.1 wants it repeated in HelloVerifyRequest and in the
   * initial ServerHello. Only in the clear, where no nonce hangs on it.
   */
  continueFrom(sequence: number): void {
    if (this.#cipher !== undefined) throw new Error('sequence numbers of a protected epoch only count up');
    this.#next = sequence;
  }

  /**
   * Makes a record around the plaintext `buffer[at, at + length)`, in place.
   * @returns the length of the record, which begins at `at - headroom`.
   * @throws {UsageError} no room around the plaintext, or all 2^48 numbers are used.
   */
  write(type: number, buffer: Uint8Array, at: number, length: number): number {
    const start = at - this.headroom;
    if (start < 0 || at + length + this.tailroom > buffer.length) throw new UsageError('no room around the plaintext');
    // RFC 6347 §4.1: sequence numbers never wrap.
    if (this.#next >= SEQUENCE_LIMIT) throw new UsageError('every sequence number of this epoch is used');
    const sequence = this.#next++;
    const cipher = this.#cipher;
    let inner = length;
    let outerType = type;
    if (this.#hasConnectionId && cipher !== undefined) {
      buffer[at + length] = type; // RFC 9146 §4: the real type travels encrypted, behind the content
      inner++;
      outerType = CONTENT_TLS12_CID;
      buffer.set(cipher.connectionId, start + 11);
    }
    writeRecordHeader(buffer, start, outerType, this.epoch, sequence);
    const nonceBytes = cipher?.explicitNonceBytes ?? 0;
    const fragmentLength = nonceBytes + inner + (cipher?.tagBytes ?? 0);
    const lengthAt = at - nonceBytes - 2;
    buffer[lengthAt] = fragmentLength >>> 8;
    buffer[lengthAt + 1] = fragmentLength;
    cipher?.seal(outerType, this.epoch, sequence, buffer, at, inner);
    return this.headroom + length + this.tailroom;
  }
}
