import type { DropReason, FiveTuple } from '../core/index.ts';
import { MAX_EARLY_DATAGRAM_BYTES, MAX_EARLY_DATAGRAMS } from './transport-types.ts';

interface EarlyDatagram {
  readonly bytes: Uint8Array;
  readonly path: FiveTuple;
}

/** Whether the first record is of epoch 0 (RFC 6347 §4.1), the beginning of a handshake. */
export function isUnprotected(bytes: Uint8Array): boolean {
  return bytes[3] === 0 && bytes[4] === 0;
}

/**
 * DTLS that comes before its endpoint exists: an answerer sends its ClientHello as soon as it has a pair, and its answer
 * may take longer through the signalling than that through the network. Kept copied and bounded; whether a path may carry
 * data is asked when they are taken.
 */
export class EarlyDatagrams {
  #kept: EarlyDatagram[] = [];

  /** @returns why it was not kept. */
  keep(bytes: Uint8Array, path: FiveTuple): DropReason | undefined {
    if (this.#kept.length >= MAX_EARLY_DATAGRAMS) return 'limit';
    if (bytes.length > MAX_EARLY_DATAGRAM_BYTES) return 'bad-length';
    this.#kept.push({ bytes: bytes.slice(), path });
    return undefined;
  }

  /** All of them in their order; none are left. */
  take(): readonly EarlyDatagram[] {
    const kept = this.#kept;
    this.#kept = [];
    return kept;
  }
}
