import { UsageError } from '../core/index.ts';
import type { IceMux, MuxOwner } from '../ice/index.ts';

/** Connections of a mux, on each address. */
export const MAX_MUX_CONNECTIONS = 16_384;

/** One connection's part of a port. */
export interface PortShare extends MuxOwner {
  /** Whose connectivity checks are for it. */
  ufrags: readonly string[];
}

/** The connections that share one real port, and their ufrags in its {@link IceMux}. */
export class PortShares<S extends PortShare> {
  readonly #mux: IceMux<S>;
  readonly #shares = new Set<S>();

  constructor(mux: IceMux<S>) {
    this.#mux = mux;
  }

  has(share: S): boolean {
    return this.#shares.has(share);
  }

  all(): Iterable<S> {
    return this.#shares;
  }

  /** @throws {Error} when {@link MAX_MUX_CONNECTIONS} share the port. */
  add(share: S): S {
    if (this.#shares.size >= MAX_MUX_CONNECTIONS) {
      throw new Error(
        `a mux carries ${MAX_MUX_CONNECTIONS} connections on one address: make another, with a port of its own`,
      );
    }
    this.#shares.add(share);
    return share;
  }

  /**
   * The share answers to these ufrags, in the place of those before.
   * @throws {UsageError} when another one has one of them, or the share was closed.
   */
  answerTo(share: S, ufrags: readonly string[]): void {
    if (!this.#shares.has(share)) throw new UsageError('this share of the port is closed: it answers to no ufrag');
    for (const ufrag of ufrags) this.#mux.add(ufrag, share);
    for (const ufrag of share.ufrags) if (!ufrags.includes(ufrag)) this.#mux.removeUfrag(ufrag);
    share.ufrags = ufrags;
  }

  remove(share: S): void {
    this.#shares.delete(share);
    this.#mux.remove(share);
  }

  clear(): void {
    for (const share of this.#shares) this.#mux.remove(share);
    this.#shares.clear();
  }
}
