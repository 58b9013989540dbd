import { createTransmitSlot, type Instant, resetTransmitSlot, type SansIo, type TransmitSlot } from './sans-io.ts';

/** What a `Driver` needs of its surroundings: sockets and one timer. The UDP shell and the simulator each have one. */
export interface Host<P> {
  now(): Instant;
  /** Sends `slot.buffer[offset, offset + length)` to `slot.path`. The buffer is reused after the call returns. */
  send(slot: TransmitSlot<P>): void;
  /** No datagram follows for now: what `send` has kept back, to give the system several at once, leaves. */
  flush?(): void;
  /** Arms the host's one timer; `NEVER` disarms it. The host calls `driver.wake()` then. */
  wakeAt(at: Instant): void;
}

/** The largest UDP payload over IPv4, so that no core is ever short of room. */
const MAX_DATAGRAM_BYTES = 65_507;

/**
 * Owns the loop *mutate → drain → re-arm* of one core. The only place that polls.
 *
 * @example
 * const driver = new Driver(core, host, (event) => console.log(event));
 * socket.on('message', (bytes) => driver.input(bytes, undefined));
 * driver.mutate(() => core.connect());
 */
export class Driver<E, P = void> {
  readonly #core: SansIo<E, P>;
  readonly #host: Host<P>;
  readonly #onEvent: (event: E) => void;
  readonly #slot: TransmitSlot<P>;
  #draining = false;
  #calledBack = false;
  #closed = false;

  /** @param slot - lets many drivers of one socket share a buffer: it is in use only inside `drain`. */
  constructor(core: SansIo<E, P>, host: Host<P>, onEvent: (event: E) => void, slot?: TransmitSlot<P>) {
    this.#core = core;
    this.#host = host;
    this.#onEvent = onEvent;
    this.#slot = slot ?? createTransmitSlot(MAX_DATAGRAM_BYTES);
  }

  /** One datagram from the network. */
  input(bytes: Uint8Array, path: P): void {
    if (this.#closed) return;
    this.#core.handleInput(bytes, path, this.#host.now());
    this.drain();
  }

  /** The host's timer fired (early is harmless). */
  wake(): void {
    if (this.#closed) return;
    this.#core.handleTimeout(this.#host.now());
    this.drain();
  }

  /** Runs a command of the core and drains after it, also when it throws. */
  mutate<T>(command: (now: Instant) => T): T {
    try {
      return command(this.#host.now());
    } finally {
      this.drain();
    }
  }

  /** Sends and reports all that the core has ready, then re-arms the timer. Re-entrant calls leave it to the outer one. */
  drain(): void {
    if (this.#closed) return;
    if (this.#draining) {
      this.#calledBack = true; // a handler called back in: the outer loop will see its effect
      return;
    }
    this.#draining = true;
    try {
      for (;;) {
        resetTransmitSlot(this.#slot);
        while (this.#core.pollTransmit(this.#slot, this.#host.now())) {
          this.#host.send(this.#slot);
          resetTransmitSlot(this.#slot);
        }
        this.#host.flush?.();
        if (!this.#report()) break;
      }
    } finally {
      // Also when a handler throws: an un-armed timer is a silent hang.
      this.#draining = false;
      if (!this.#closed) this.#host.wakeAt(this.#core.nextTimeout());
    }
  }

  /**
   * Hands on events, up to one whose handler has called back in: what that has caused to be sent leaves before the next.
   * @returns whether there may be more to drain.
   */
  #report(): boolean {
    let event = this.#core.pollEvent();
    if (event === undefined) return false;
    this.#calledBack = false;
    for (; event !== undefined; event = this.#core.pollEvent()) {
      this.#onEvent(event);
      if (this.#closed) return false;
      if (this.#calledBack) break;
    }
    return true;
  }

  /** Stops polling for good and disarms the timer. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.wakeAt(Number.POSITIVE_INFINITY);
  }
}
