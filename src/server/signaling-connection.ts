import type { Env, Platform } from '../core/index.ts';
import { platform as nodePlatform, WebSocketClient } from '../io/index.ts';
import {
  MAX_SERVER_MESSAGE_BYTES,
  type RelayedCandidate,
  type RelayedDescription,
  SignalingClient,
  type SignalingClientEvent,
  type SignalingClientOptions,
  type SignalingClientState,
  SUBPROTOCOL,
} from '../signaling/index.ts';

/** What happens on a connection, without the parts that it does by itself. */
export type SignalingConnectionEvent = Exclude<SignalingClientEvent, { readonly type: 'dial' | 'hang-up' }>;

export interface SignalingConnectionOptions extends Omit<SignalingClientOptions, 'env'> {
  /** `ws:` or `wss:`. */
  readonly url: string;
  /** Certificates to trust instead of the system's, PEM, for `wss:` to a server with a certificate of its own making. */
  readonly ca?: string;
  readonly onEvent: (event: SignalingConnectionEvent) => void;
  readonly platform?: Platform;
  readonly env?: Env;
}

/** Of a timer that has nothing to do but to be there. */
const KEEP_ALIVE_MS = 60_000;

/**
 * A client of a signaling server for programs on Node: the core of `purertc/signaling` with a WebSocket. It dials again
 * by itself and enters its room again; give up after a number of failures with `maxAttempts`. The process stays alive until
 * {@link close}, also while there is no server.
 *
 * @example
 * const signaling = new SignalingConnection({ url: 'ws://127.0.0.1:8080', onEvent: (event) => console.log(event) });
 * signaling.join('garden', 'Ada');
 */
export class SignalingConnection {
  readonly #core: SignalingClient;
  readonly #shell: WebSocketClient<SignalingClientEvent>;
  /** While it waits to dial again: it has no socket then, and timers of a platform keep no process alive. */
  #waiting: ReturnType<typeof setInterval> | undefined;

  constructor(options: SignalingConnectionOptions) {
    const platform = options.platform ?? nodePlatform;
    const { url, onEvent, env, ca } = options;
    this.#core = new SignalingClient({ ...options, env: env ?? platform.env });
    this.#shell = new WebSocketClient({
      core: this.#core,
      url,
      subprotocol: SUBPROTOCOL,
      maxMessageBytes: MAX_SERVER_MESSAGE_BYTES,
      platform,
      ...(ca === undefined ? {} : { ca }),
      onEvent: (event) => {
        if (event.type === 'dial') this.#shell.dial();
        else if (event.type === 'hang-up') this.#shell.hangUp();
        else {
          if (event.type === 'state') this.#keepAlive(event.state === 'waiting');
          onEvent(event);
        }
      },
    });
  }

  get state(): SignalingClientState {
    return this.#core.state;
  }

  /** Own peer id; undefined outside a room. */
  get id(): string | undefined {
    return this.#core.id;
  }

  /** @throws {UsageError} in a room or on the way into one, and for names that docs/signaling.md does not allow. */
  join(room: string, name: string): void {
    this.#shell.driver.mutate((now) => this.#core.join(room, name, now));
  }

  /** @throws {UsageError} outside a room. */
  leave(): void {
    this.#shell.driver.mutate((now) => this.#core.leave(now));
  }

  /** @throws {UsageError} outside a room. */
  sendDescription(to: string, description: RelayedDescription): void {
    this.#shell.driver.mutate(() => this.#core.sendDescription(to, description));
  }

  /** @param candidate - null: there are no more. @throws {UsageError} outside a room. */
  sendCandidate(to: string, candidate: RelayedCandidate | null): void {
    this.#shell.driver.mutate(() => this.#core.sendCandidate(to, candidate));
  }

  /** Leaves the room and ends the connection for good. Idempotent; no event comes after it but `closed`. */
  close(): void {
    // The core says when to hang up: behind its last message, also when this is called from within an event.
    this.#shell.driver.mutate((now) => this.#core.close(now));
  }

  #keepAlive(isWaiting: boolean): void {
    clearInterval(this.#waiting);
    this.#waiting = isWaiting ? setInterval(() => undefined, KEEP_ALIVE_MS) : undefined;
  }
}
