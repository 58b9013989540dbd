/**
 * The W3C's operations chain (§4.4.1.2 "chain an asynchronous operation"): one asynchronous operation at a time, in the
 * order of the calls. After `close` nothing in it settles any more, as the specification has it.
 */
export class OperationsChain {
  readonly #operations: (() => void)[] = [];
  readonly #onEmpty: () => void;
  #closed = false;

  /** @param onEmpty - called whenever the last operation has settled. */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  get length(): number {
    return this.#operations.length;
  }

  /** No step of any operation in the chain takes effect from here on. */
  close(): void {
    this.#closed = true;
  }

  /** Steps 3 to 8; the caller has checked [[IsClosed]]. */
  chain<T>(operation: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const execute = (): void => {
        operation().then(
          (value) => this.#settle(() => resolve(value)),
          (reason: unknown) => this.#settle(() => reject(reason)),
        );
      };
      this.#operations.push(execute); // step 5
      if (this.#operations.length === 1) execute(); // step 6
    });
  }

  #settle(settle: () => void): void {
    if (this.#closed) return; // step 7.1
    settle(); // steps 7.2 and 7.3
    // Step 8 reacts to the promise that was just settled: a microtask later.
    queueMicrotask(() => {
      if (this.#closed) return; // step 8.1
      this.#operations.shift(); // step 8.2
      const next = this.#operations[0];
      if (next !== undefined)
        next(); // step 8.3
      else this.#onEmpty(); // steps 8.4 to 8.6
    });
  }
}
