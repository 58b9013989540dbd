import type { DropReason } from '../core/index.ts';
import { MAX_PLAINTEXT_BYTES, type RecordHeader } from './record.ts';
import type { RecordCipher } from './record-cipher.ts';
import { CONTENT_TLS12_CID } from './registry.ts';
import { ReplayWindow } from './replay-window.ts';

/**
 * Opens the records of one protected epoch: replay check, authentication, and only then the replay window moves
 * (RFC 6347 §4.1.2.6). Results stand in the fields until the next call; nothing is allocated per record.
 */
export class RecordReader {
  readonly epoch: number;
  /** Of the record opened last: its content type, and where its plaintext lies in the datagram. */
  type = 0;
  start = 0;
  end = 0;
  readonly #cipher: RecordCipher;
  readonly #window = new ReplayWindow();
  readonly #maxPlaintextBytes: number;

  /** @param maxPlaintextBytes - our own record_size_limit (RFC 8449 §4) or the 2^14 of RFC 5246 §6.2.1. */
  constructor(epoch: number, cipher: RecordCipher, maxPlaintextBytes: number = MAX_PLAINTEXT_BYTES) {
    this.epoch = epoch;
    this.#cipher = cipher;
    this.#maxPlaintextBytes = maxPlaintextBytes;
  }

  /** So many forgeries were seen that this key must not be used any longer (RFC 9147 §4.5.3). */
  get exhausted(): boolean {
    return this.#cipher.openingExhausted;
  }

  /** Whether the record is the peer's, also when it was here before. Nothing is committed; the bytes are destroyed. */
  authenticates(header: RecordHeader, bytes: Uint8Array): boolean {
    if (this.#wrongConnectionId(header, bytes) !== undefined) return false;
    const length = header.end - header.bodyStart;
    return this.#cipher.open(header.type, this.epoch, header.sequence, bytes, header.bodyStart, length) >= 0;
  }

  #wrongConnectionId(header: RecordHeader, bytes: Uint8Array): DropReason | undefined {
    const cid = this.#cipher.connectionId;
    // RFC 9146 §4: once negotiated every protected record carries it, and nobody else's.
    if ((header.type === CONTENT_TLS12_CID) !== cid.length > 0) return 'bad-type';
    const cidAt = header.start + 11;
    for (let i = 0; i < cid.length; i++) if (bytes[cidAt + i] !== cid[i]) return 'unknown-peer';
    return undefined;
  }

  /** @returns undefined when the record is authentic and new; its plaintext then lies at `start`..`end`. */
  open(header: RecordHeader, bytes: Uint8Array): DropReason | undefined {
    const wrong = this.#wrongConnectionId(header, bytes);
    if (wrong !== undefined) return wrong;
    const hasCid = header.type === CONTENT_TLS12_CID;
    const replay = this.#window.check(header.sequence);
    if (replay !== undefined) return replay;
    const length = header.end - header.bodyStart;
    let opened = this.#cipher.open(header.type, this.epoch, header.sequence, bytes, header.bodyStart, length);
    if (opened < 0) return 'decrypt-failed';
    this.#window.commit(header.sequence);
    this.start = header.bodyStart + this.#cipher.explicitNonceBytes;
    this.type = header.type;
    if (hasCid) {
      // RFC 9146 §4: content, its type, and zeros as padding. All zeros is no record.
      let last = this.start + opened - 1;
      while (last >= this.start && bytes[last] === 0) last--;
      if (last < this.start) return 'bad-padding';
      this.type = bytes[last]!;
      opened = last - this.start;
    }
    // Too long is `record_overflow` in TLS; DTLS discards bad records silently (RFC 6347 §4.1.2.7).
    if (opened > this.#maxPlaintextBytes) return 'bad-length';
    this.end = this.start + opened;
    return undefined;
  }
}
