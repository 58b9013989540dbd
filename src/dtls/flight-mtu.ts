/**
 * Datagram sizes that an unanswered flight falls back to (RFC 6347 §4.1.1.1): what nearly every path carries, what every
 * IPv4 host must take (576 minus IP and UDP headers), then less than that for tunnels in tunnels.
 */
const SMALLER_MTUS = [1200, 548, 256] as const;
/** RFC 6347 §4.1.1.1: "This standard does not specify an exact number of retransmits … but 2-3 seems appropriate." */
const SENDINGS_PER_STEP = 2;
/** Room for a record with connection ID, a fragment header and some bytes of fragment. */
export const MIN_MTU_BYTES = 64;

/**
 * The size of the handshake's datagrams, where nobody knows the path MTU (RFC 6347 §4.1.1.1).
 *
 * ```text
 * in use ── sent twice without an answer, in larger datagrams than the next size → the next size
 *   ↑────── the peer's datagrams are larger: the path carries that much → that size again, with the next flight
 *   └────── the system says what the path carries (EMSGSIZE, ICMP) → that, for good
 * ```
 */
export class FlightMtu {
  /** Never more than this: the option, or what the system has said since. */
  #mostBytes: number;
  #bytes: number;
  /** The largest datagram that has come. */
  #carriedBytes = 0;
  /** The largest datagram of the flight as it was sent last, and how often that went unanswered. */
  #largestSent = 0;
  #unanswered = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
    this.#bytes = mostBytes;
  }

  /** The size in use. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A new flight: what the path has been seen to carry since, it may be sent. */
  beginFlight(): void {
    this.#bytes = Math.min(Math.max(this.#bytes, this.#carriedBytes), this.#mostBytes);
    this.#largestSent = 0;
    this.#unanswered = 0;
  }

  sent(bytes: number): void {
    if (bytes > this.#largestSent) this.#largestSent = bytes;
  }

  received(bytes: number): void {
    if (bytes > this.#carriedBytes) this.#carriedBytes = bytes;
  }

  /** The flight has to be sent again. */
  unanswered(): void {
    this.#unanswered++;
    const smaller = SMALLER_MTUS.find((step) => step < this.#bytes);
    // A flight of short datagrams was not lost for being long.
    const tooLong = smaller !== undefined && this.#largestSent > smaller;
    if (tooLong && this.#unanswered % SENDINGS_PER_STEP === 0) this.#bytes = smaller;
    this.#largestSent = 0;
  }

  /** @returns whether the flight as it was sent last had datagrams that are too long. */
  limit(mostBytes: number): boolean {
    this.#mostBytes = Math.max(Math.min(mostBytes, this.#mostBytes), MIN_MTU_BYTES);
    this.#bytes = Math.min(this.#bytes, this.#mostBytes);
    const tooLong = this.#largestSent > this.#mostBytes;
    if (tooLong) this.#largestSent = 0;
    return tooLong;
  }
}
