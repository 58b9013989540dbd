import type { Outstanding } from './outstanding.ts';
import type { Tcb } from './tcb.ts';
import { DATA_FLAG, DATA_HEADER_BYTES, I_DATA_HEADER_BYTES, writeDataHeader, writeIDataHeader } from './wire/data.ts';
import { COMMON_HEADER_BYTES } from './wire/packet.ts';

/** Below this a loop is faster than making a view. */
const SMALL_BYTES = 32;

/** Writes DATA or I-DATA chunks, whichever the association uses, straight into a packet. */
export class ChunkWriter {
  /** Of one chunk, in front of the user data. */
  readonly headerBytes: number;
  /**
   * User data of one chunk. Fragments keep fitting the smallest packet we ever fall back to: a TSN cannot be split again
   * (RFC 9260 §6.9), so larger packets carry several fragments instead of larger ones.
   */
  readonly maxFragmentBytes: number;
  readonly #outstanding: Outstanding;
  readonly #interleaved: boolean;
  readonly #initialTsn: number;

  /** @param baseMtuBytes - the smallest packet size that may be in use. */
  constructor(outstanding: Outstanding, tcb: Tcb, baseMtuBytes: number) {
    this.#outstanding = outstanding;
    this.#interleaved = tcb.extensions.interleaving;
    this.#initialTsn = tcb.localInitialTsn;
    this.headerBytes = this.#interleaved ? I_DATA_HEADER_BYTES : DATA_HEADER_BYTES;
    this.maxFragmentBytes = (baseMtuBytes - COMMON_HEADER_BYTES - this.headerBytes) & ~3;
  }

  /** Writes the chunk with that TSN and its padding at `at`. @returns the position behind it. */
  write(bytes: Uint8Array, at: number, tsn: number): number {
    const out = this.#outstanding;
    const message = out.message(tsn)!;
    const offset = out.offset(tsn);
    const length = out.length(tsn);
    const begins = offset === 0;
    const flags =
      (begins ? DATA_FLAG.BEGIN : 0) |
      (offset + length === message.bytes.length ? DATA_FLAG.END : 0) |
      (message.unordered ? DATA_FLAG.UNORDERED : 0);
    const wire = (this.#initialTsn + tsn) >>> 0;
    const number = message.messageNumber;
    if (this.#interleaved) {
      const word = begins ? message.ppid : out.fsn(tsn);
      writeIDataHeader(bytes, at, flags, length, wire, message.stream.id, number, word);
    } else writeDataHeader(bytes, at, flags, length, wire, message.stream.id, number, message.ppid);
    const start = at + this.headerBytes;
    const source = message.bytes;
    if (length < SMALL_BYTES) for (let i = 0; i < length; i++) bytes[start + i] = source[offset + i]!;
    else bytes.set(begins && length === source.length ? source : source.subarray(offset, offset + length), start);
    let pos = start + length;
    while ((pos - start) & 3) bytes[pos++] = 0;
    return pos;
  }
}
