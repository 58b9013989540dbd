import type { TransportAddress } from '../core/index.ts';

/** A real port of a mux. */
export interface MuxPort {
  readonly local: TransportAddress;
  close(): void;
}

/** The real ports of a mux: one on each address, bound when it is first asked for. */
export class MuxPorts<P extends MuxPort> {
  readonly #port: number;
  readonly #bind: (local: TransportAddress) => Promise<P>;
  readonly #ports = new Map<string, Promise<P>>();
  #closed = false;

  /** @param port - the same on each address; 0 takes any free one. */
  constructor(port: number, bind: (local: TransportAddress) => Promise<P>) {
    this.#port = port;
    this.#bind = bind;
  }

  /** @throws with the system's reason, or since the mux is closed (the promise rejects). */
  async on(ip: string): Promise<P> {
    if (this.#closed) throw new Error('the mux is closed');
    let port = this.#ports.get(ip);
    if (port === undefined) {
      port = this.#bind({ ip, port: this.#port });
      this.#ports.set(ip, port);
      // A port that cannot be bound now may be free later.
      port.catch(() => this.#ports.delete(ip));
    }
    return port;
  }

  /** Closes them all, also those that are only being bound. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const port of this.#ports.values()) {
      port.then(
        (bound) => bound.close(),
        () => undefined, // it was never bound
      );
    }
    this.#ports.clear();
  }
}
