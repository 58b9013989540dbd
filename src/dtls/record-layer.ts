import { type DropReason, Ring } from '../core/index.ts';
import { MAX_PLAINTEXT_BYTES, RecordHeader, readRecordHeader } from './record.ts';
import type { RecordCipher } from './record-cipher.ts';
import { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import { DTLS_1_2 } from './registry.ts';

/** Records of the next epoch that came before its keys, and data that came before Finished, held per connection. */
export const MAX_HELD_RECORDS = 16;
export const MAX_HELD_BYTES = 32_768;

/** A queue of copied byte strings, bounded by {@link MAX_HELD_RECORDS} and {@link MAX_HELD_BYTES}. */
export class HeldBytes {
  readonly #ring = new Ring<Uint8Array>(MAX_HELD_RECORDS);
  #bytes = 0;

  /** Copies `bytes`; false when a bound is reached. */
  push(bytes: Uint8Array): boolean {
    if (this.#bytes + bytes.length > MAX_HELD_BYTES || !this.#ring.push(bytes.slice())) return false;
    this.#bytes += bytes.length;
    return true;
  }

  shift(): Uint8Array | undefined {
    const bytes = this.#ring.shift();
    if (bytes !== undefined) this.#bytes -= bytes.length;
    return bytes;
  }

  get length(): number {
    return this.#ring.length;
  }

  clear(): void {
    this.#ring.clear();
    this.#bytes = 0;
  }
}

/**
 * The two epochs of a connection without renegotiation: 0 in the clear, 1 under the keys (RFC 6347 §4.1). Says what each
 * record of a datagram is; what a record read last holds stands in the fields.
 */
export class RecordLayer {
  /** Epoch 0, whose records nobody vouches for. */
  readonly plainWriter: RecordWriter = new RecordWriter(0, undefined);
  /** Of the record read last: its (inner) content type, epoch, number, plaintext range, and where the next one begins. */
  type = 0;
  epoch = 0;
  sequence = 0;
  start = 0;
  end = 0;
  next = 0;
  readonly #header = new RecordHeader();
  readonly #cidBytes: number;
  readonly #maxPlaintextBytes: number;
  readonly #held = new HeldBytes();
  #writer: RecordWriter = this.plainWriter;
  #protectedWriter: RecordWriter | undefined;
  #reader: RecordReader | undefined;
  #newestSequence = -1;

  /** @param cidBytes - length of our own connection ID. @param maxPlaintextBytes - our record_size_limit, if any. */
  constructor(cidBytes: number, maxPlaintextBytes: number = MAX_PLAINTEXT_BYTES) {
    this.#cidBytes = cidBytes;
    this.#maxPlaintextBytes = maxPlaintextBytes;
  }

  /** What we write with now. */
  get writer(): RecordWriter {
    return this.#writer;
  }

  /** A record of epoch 1 was authentic: from there on nothing in the clear is the peer's. */
  get peerProtected(): boolean {
    return this.#newestSequence >= 0;
  }

  /** The highest number of an authentic record; -1 before the first. */
  get newestSequence(): number {
    return this.#newestSequence;
  }

  /** Too many forgeries under the peer's key. */
  get readingExhausted(): boolean {
    return this.#reader?.exhausted ?? false;
  }

  /** From now on records of epoch 1 are opened; they are written after {@link changeWriter}. */
  installKeys(write: RecordCipher, read: RecordCipher): void {
    this.#protectedWriter = new RecordWriter(1, write);
    this.#reader = new RecordReader(1, read, this.#maxPlaintextBytes);
  }

  /** Behind our ChangeCipherSpec: what follows is protected. */
  changeWriter(): void {
    if (this.#protectedWriter === undefined) throw new Error('ChangeCipherSpec without keys');
    this.#writer = this.#protectedWriter;
  }

  /**
   * Reads, and if need be opens in place, the record at `at`.
   * @param mayHold - keep records of epoch 1 until there are keys for them: they may overtake the handshake.
   * @returns undefined when the fields hold its plaintext; `held`; or why it goes. When the framing is lost, `next` is the
   * end of the datagram.
   */
  read(bytes: Uint8Array, at: number, mayHold: boolean): DropReason | 'held' | undefined {
    const header = this.#header;
    const bad = readRecordHeader(bytes, at, this.#cidBytes, header);
    this.next = bad === undefined ? header.end : bytes.length;
    if (bad !== undefined) return bad;
    this.sequence = header.sequence;
    this.epoch = header.epoch;
    if (header.epoch === 0) {
      if (header.end - header.bodyStart > MAX_PLAINTEXT_BYTES) return 'bad-length';
      this.type = header.type;
      this.start = header.bodyStart;
      this.end = header.end;
      return undefined;
    }
    if (header.epoch !== 1) return 'stale';
    if (header.version !== DTLS_1_2) return 'bad-version';
    const reader = this.#reader;
    if (reader === undefined) {
      if (!mayHold) return 'bad-state';
      return this.#held.push(bytes.subarray(header.start, header.end)) ? 'held' : 'limit';
    }
    const refused = reader.open(header, bytes);
    if (refused !== undefined) return refused;
    if (header.sequence > this.#newestSequence) this.#newestSequence = header.sequence;
    this.type = reader.type;
    this.start = reader.start;
    this.end = reader.end;
    return undefined;
  }

  /**
   * Whether the datagram begins with a record of the peer's that is not older than `sequence`, seen before or not. Nothing is
   * committed; the bytes are destroyed.
   */
  authenticates(bytes: Uint8Array, sequence: number): boolean {
    const header = this.#header;
    if (bytes.length === 0 || readRecordHeader(bytes, 0, this.#cidBytes, header) !== undefined) return false;
    if (header.epoch !== 1 || header.sequence < sequence) return false;
    return this.#reader?.authenticates(header, bytes) ?? false;
  }

  /** The next held record, once there are keys to open it. */
  takeHeld(): Uint8Array | undefined {
    return this.#reader === undefined ? undefined : this.#held.shift();
  }

  clearHeld(): void {
    this.#held.clear();
  }
}
