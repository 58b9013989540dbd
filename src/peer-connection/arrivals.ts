import type { ByteStream, DropReason, Instant, Platform, StreamHandlers } from '../core/index.ts';

/** TCP connections on one port of a mux that belong to nobody yet. At the bound the oldest makes room. */
export const MAX_ARRIVALS = 256;

/** How long a connection may belong to nobody, from when it arrives: for its first frame, and for its owner to be made. */
export const ARRIVAL_TIMEOUT_MS = 10_000;

/** The first frame: a Binding request, whose longest attribute is a USERNAME of 513 bytes (RFC 8489 §14.3). */
export const MAX_FIRST_FRAME_BYTES = 1280;

/** Bytes kept of a connection that belongs to nobody: the first frame, and its repetitions while the owner is being made. */
export const MAX_ARRIVAL_BYTES = 8192;

/** Pieces that they are kept in: one that sends byte by byte costs no more than its bytes. */
const MAX_ARRIVAL_CHUNKS = 32;

const LENGTH_BYTES = 2;

/** A TCP connection whose owner is not known. */
export class Arrival {
  readonly stream: ByteStream;
  /** To whom the bytes go once it has one. */
  owner: StreamHandlers | undefined;
  /** The datagram of the first frame, once it is complete. */
  request: Uint8Array | undefined;
  /** Whom it is for, while the application makes that connection. */
  ufrag: string | undefined;
  deadline: Instant = 0;
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor(stream: ByteStream) {
    this.stream = stream;
  }

  /** @returns why the connection is to be closed, if it is. */
  push(bytes: Uint8Array): DropReason | undefined {
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_ARRIVAL_BYTES) return 'limit';
    this.#chunks.push(bytes.slice());
    if (this.#chunks.length >= MAX_ARRIVAL_CHUNKS) this.#joined();
    if (this.request !== undefined || this.#bytes < LENGTH_BYTES) return undefined;
    const all = this.#joined();
    const length = (all[0]! << 8) | all[1]!; // RFC 4571 §2
    if (length > MAX_FIRST_FRAME_BYTES) return 'bad-length';
    if (all.length >= LENGTH_BYTES + length) this.request = all.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
    return undefined;
  }

  /** Everything that came so far, as it came: for the owner. */
  take(): Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  /** Small pieces become one. */
  #joined(): Uint8Array {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only !== undefined) return only;
    const all = new Uint8Array(this.#bytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    this.#chunks = [all];
    return all;
  }
}

/** Those of one port, bounded in number and time. */
export class Arrivals {
  readonly #platform: Platform;
  readonly #onRefused: (arrival: Arrival, reason: DropReason) => void;
  /** In the order of their deadlines. */
  readonly #all = new Set<Arrival>();
  #cancelTimer: (() => void) | undefined;

  constructor(platform: Platform, onRefused: (arrival: Arrival, reason: DropReason) => void) {
    this.#platform = platform;
    this.#onRefused = onRefused;
  }

  has(arrival: Arrival): boolean {
    return this.#all.has(arrival);
  }

  all(): Arrival[] {
    return [...this.#all];
  }

  add(arrival: Arrival): void {
    const [oldest] = this.#all;
    if (oldest !== undefined && this.#all.size >= MAX_ARRIVALS) this.#onRefused(oldest, 'limit');
    arrival.deadline = this.#platform.now() + ARRIVAL_TIMEOUT_MS;
    this.#all.add(arrival);
    this.#arm();
  }

  delete(arrival: Arrival): void {
    this.#all.delete(arrival);
    if (this.#all.size === 0) this.#disarm();
  }

  #arm(): void {
    const [oldest] = this.#all;
    if (oldest === undefined || this.#cancelTimer !== undefined) return;
    this.#cancelTimer = this.#platform.setTimer(oldest.deadline, () => {
      this.#cancelTimer = undefined;
      const now = this.#platform.now();
      for (const arrival of this.all()) if (arrival.deadline <= now) this.#onRefused(arrival, 'stale');
      this.#arm();
    });
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
