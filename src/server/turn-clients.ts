import type { FiveTuple } from '../core/index.ts';
import { ConnectionsPerSource } from '../io/index.ts';
import type { Connection } from './turn-connections.ts';

/** Open TCP, TLS and DTLS connections together, by default; more are refused. */
export const DEFAULT_MAX_CONNECTIONS = 20_000;

/** And of one source, by default: an office or a school behind one NAT, and a twentieth of all. */
export const DEFAULT_MAX_CONNECTIONS_PER_SOURCE = 1000;

/** A connection that has had no allocation for that long is closed. */
export const IDLE_CONNECTION_MS = 60_000;

/** What the connections' bounds need of their server. */
export interface TurnClientsHost {
  hasAllocation(path: FiveTuple): boolean;
  /** One was not taken, because of either bound. */
  refused(): void;
  /** Asks for one call later. @returns a cancel function, idempotent. */
  setTimer(delayMs: number, fire: () => void): () => void;
}

/** The TCP, TLS and DTLS connections of a TURN server: how many there may be, of each source too, and how long without use. */
export class TurnClients {
  readonly #host: TurnClientsHost;
  readonly #max: number;
  readonly #perSource: ConnectionsPerSource;
  readonly #connections = new Map<FiveTuple, Connection>();
  /** Cancels the timer of each: one that is over must not be kept by it. */
  readonly #idleTimers = new Map<FiveTuple, () => void>();
  /** Not taken since construction, because there were too many in all, or of their source. */
  refusedTotal = 0;
  refusedPerSourceTotal = 0;

  /** @param maxPerSource - as of `TurnServerOptions.maxConnectionsPerSource`. */
  constructor(host: TurnClientsHost, max: number | undefined, maxPerSource: number | undefined) {
    this.#host = host;
    this.#max = max ?? DEFAULT_MAX_CONNECTIONS;
    this.#perSource = new ConnectionsPerSource(maxPerSource, DEFAULT_MAX_CONNECTIONS_PER_SOURCE);
  }

  get size(): number {
    return this.#connections.size;
  }

  get(path: FiveTuple): Connection | undefined {
    return this.#connections.get(path);
  }

  /** A connection begins, of which nothing has been read. @param ip - its source. @returns false: refuse it. */
  arrive(ip: string): boolean {
    if (this.#perSource.add(ip)) return true;
    this.refusedPerSourceTotal++;
    this.#host.refused();
    return false;
  }

  /** One that was let in is over, also as a TCP relay's (RFC 6062 §5.4). */
  leave(ip: string): void {
    this.#perSource.remove(ip);
  }

  /** Its other end has shown what it wants. @returns false: refuse it. */
  add(connection: Connection): boolean {
    if (this.#connections.size >= this.#max) {
      this.refusedTotal++;
      this.#host.refused();
      return false;
    }
    this.#connections.set(connection.path, connection);
    this.#watchIdle(connection);
    return true;
  }

  /** It has ended, or is something else now. Idempotent. */
  forget(path: FiveTuple): void {
    this.#connections.delete(path);
    this.#idleTimers.get(path)?.();
    this.#idleTimers.delete(path);
  }

  /** Strangers do not keep a connection for longer than it takes to authenticate. */
  #watchIdle(connection: Connection): void {
    const cancel = this.#host.setTimer(IDLE_CONNECTION_MS, () => {
      if (this.#host.hasAllocation(connection.path)) this.#watchIdle(connection);
      else connection.close();
    });
    this.#idleTimers.set(connection.path, cancel);
  }
}
