import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * The connections of a listener whose other ends have not shown yet what they want: a bounded number of them. The oldest makes
 * room for a new one, because who means it is faster.
 *
 * TLS has a socket of its own for the same connection, so they are told apart by their addresses.
 */
export class Strangers {
  readonly #max: number;
  /** Oldest first. */
  readonly #sockets = new Map<string, Socket>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** A connection that was just accepted. Forgotten when it closes. */
  add(socket: Socket): void {
    const key = keyOf(socket);
    if (this.#sockets.size >= this.#max) this.#dropOldest();
    this.#sockets.set(key, socket);
    socket.once('close', () => {
      if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
    });
  }

  /** It has said what it wants: it may stay. @param socket - that was added, or TLS's over it. */
  settle(socket: Socket | TLSSocket): void {
    this.#sockets.delete(keyOf(socket));
  }

  #dropOldest(): void {
    for (const [key, socket] of this.#sockets) {
      this.#sockets.delete(key);
      socket.destroy();
      return;
    }
  }
}

function keyOf({ localAddress, remoteAddress, remotePort }: Socket | TLSSocket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
