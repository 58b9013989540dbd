import { Ring } from '../core/index.ts';

/**
 * Tells application bytes from framing in what a stream has buffered. The carrier counts whole SCTP user messages; the
 * W3C's `bufferedAmount` "does not include framing overhead": DCEP messages and the zero byte that stands for an empty
 * message (RFC 8831 §6.6) do not count. A stream is a queue, so what is buffered is always the tail of what was written.
 */
export class BufferLedger {
  #written = 0;
  #overhead = 0;
  /** Framing bytes still in the queue, with the position in the stream of bytes where each ends. */
  readonly #framing: Ring<{ readonly end: number; readonly bytes: number }> = new Ring();

  /** A message was queued: `wireBytes` in the carrier, `appBytes` of them (all or none) the application's. */
  wrote(wireBytes: number, appBytes: number): void {
    this.#written += wireBytes;
    if (appBytes === wireBytes) return;
    this.#framing.push({ end: this.#written, bytes: wireBytes - appBytes });
    this.#overhead += wireBytes - appBytes;
  }

  /** Application bytes among the `bufferedBytes` that the carrier still holds. */
  appBytes(bufferedBytes: number): number {
    const sent = this.#written - bufferedBytes;
    let first = this.#framing.peek();
    while (first !== undefined && first.end <= sent) {
      this.#overhead -= first.bytes;
      this.#framing.shift();
      first = this.#framing.peek();
    }
    // The first framing message may be half sent.
    const sentOfFirst = first === undefined ? 0 : Math.max(0, first.bytes - (first.end - sent));
    return Math.max(0, bufferedBytes - (this.#overhead - sentOfFirst));
  }
}
