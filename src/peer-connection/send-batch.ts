/** Messages sent in one turn are joined into packets up to here: the largest datagram that any path takes. */
export const BATCH_BYTES = 65_536;

const settled = Promise.resolve();

/**
 * When the messages that an application sends leave. The first one of a turn leaves at once: a lone message never waits. Those
 * behind it in the same turn are kept back until they fill a packet or the turn ends, so that many small messages share few
 * packets (RFC 9260 §6.1 calls it bundling, and lets the sender wait for it).
 */
export class SendBatch {
  readonly #drain: () => void;
  #turnHasBegun = false;
  /** Whether messages are kept back, and their bytes: empty ones have none. */
  #keeps = false;
  #keptBytes = 0;

  /** @param drain - lets everything leave that waits. */
  constructor(drain: () => void) {
    this.#drain = drain;
  }

  /** A message of so many bytes has been queued. */
  noteSent(bytes: number): void {
    if (this.#turnHasBegun) {
      this.#keeps = true;
      this.#keptBytes += bytes;
      if (this.#keptBytes >= BATCH_BYTES) this.#letGo();
      return;
    }
    this.#turnHasBegun = true;
    void settled.then(this.#endTurn); // a microtask: Node's `queueMicrotask` makes an object more for each
    this.#drain();
  }

  #letGo(): void {
    this.#keeps = false;
    this.#keptBytes = 0;
    this.#drain();
  }

  readonly #endTurn = (): void => {
    this.#turnHasBegun = false;
    if (this.#keeps) this.#letGo();
  };
}
