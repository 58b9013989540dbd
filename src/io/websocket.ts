import { WebSocket } from 'ws';
import { concatBytes, Driver, type Instant, type Platform, type SansIo, type TransmitSlot } from '../core/index.ts';
import { plainBytes } from './plain-bytes.ts';
import { platform as nodePlatform } from './platform.ts';
import { WakeTimer } from './wake-timer.ts';

/** A core at the client end of a message connection, such as the signaling client: one datagram is one text message. */
export interface DialingCore<E> extends SansIo<E, void> {
  handleOpen(now: Instant): void;
  handleClose(now: Instant, reason: string): void;
}

export interface WebSocketClientOptions<E> {
  readonly core: DialingCore<E>;
  /** `ws:` or `wss:`. */
  readonly url: string;
  readonly subprotocol: string;
  readonly onEvent: (event: E) => void;
  /** Longer messages from the server close the connection with 1009. */
  readonly maxMessageBytes: number;
  /** Sent as the Origin header (RFC 6454 §7); absent for a program that is no web page. */
  readonly origin?: string;
  /** Certificates to trust instead of the system's, PEM, for `wss:`. */
  readonly ca?: string;
  readonly platform?: Platform;
}

/** Longest wait for the other end's close frame before the connection is cut. */
export const CLOSE_TIMEOUT_MS = 2000;

/** Unsent bytes at which a connection is cut: its other end does not read. */
export const MAX_BUFFERED_BYTES: number = 1024 * 1024;

/**
 * Runs a client core on WebSocket connections of its own, one at a time. The core asks for them in events of its own
 * kind: the owner calls {@link dial} and {@link hangUp} for those.
 */
export class WebSocketClient<E> {
  readonly driver: Driver<E, void>;
  readonly #options: WebSocketClientOptions<E>;
  readonly #core: DialingCore<E>;
  #socket: WebSocket | undefined;

  constructor(options: WebSocketClientOptions<E>) {
    const platform = options.platform ?? nodePlatform;
    this.#options = options;
    this.#core = options.core;
    const timer = new WakeTimer(platform, () => this.driver.wake());
    const host = {
      now: () => platform.now(),
      send: (slot: TransmitSlot<void>) => this.#send(slot),
      wakeAt: (at: Instant) => timer.arm(at),
    };
    this.driver = new Driver(options.core, host, options.onEvent);
  }

  /** Opens a connection; the core hears of the outcome, never an exception. */
  dial(): void {
    this.hangUp();
    const { url, subprotocol, maxMessageBytes, origin, ca } = this.#options;
    let socket: WebSocket;
    try {
      socket = new WebSocket(url, subprotocol, {
        maxPayload: maxMessageBytes,
        perMessageDeflate: false,
        ...(origin === undefined ? {} : { origin }),
        ...(ca === undefined ? {} : { ca }),
      });
    } catch (error) {
      this.driver.mutate((now) => this.#core.handleClose(now, describe(error))); // not a URL of a WebSocket
      return;
    }
    this.#socket = socket;
    let reason = 'the connection was closed';
    const current = () => this.#socket === socket;
    socket.on('open', () => {
      if (current()) this.driver.mutate((now) => this.#core.handleOpen(now));
    });
    socket.on('message', (data, isBinary) => {
      if (!current()) return;
      if (isBinary) socket.close(1003, 'text only');
      else this.driver.input(toBytes(data), undefined);
    });
    socket.on('error', (error) => {
      reason = describe(error); // a close event follows
    });
    socket.on('close', (code, text) => {
      if (!current()) return;
      this.#socket = undefined;
      const why = text.length > 0 ? `closed with ${code}: ${text.toString()}` : reason;
      this.driver.mutate((now) => this.#core.handleClose(now, why));
    });
  }

  /** Ends the connection after what was sent; the core hears no more of it. */
  hangUp(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) closeSocket(socket, 1000, '');
  }

  /** Ends the connection and stops the core's timer. Idempotent. */
  close(): void {
    this.driver.close();
    this.hangUp();
  }

  #send(slot: TransmitSlot<void>): void {
    const socket = this.#socket;
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      socket.terminate();
      return;
    }
    sendText(socket, slot);
  }
}

/**
 * What the functions below need of a WebSocket. Spelt out, so that the declarations of this package name no types of `ws`, which
 * come in a package of their own that users of ours do not have.
 */
export interface MessageSocket {
  readonly readyState: number;
  close(code: number, reason: string): void;
  terminate(): void;
  once(event: 'close', handler: () => void): unknown;
  send(bytes: Uint8Array, options: { readonly binary: boolean }): void;
}

/** Closes politely, and cuts the connection when the other end does not answer. */
export function closeSocket(socket: MessageSocket, code: number, reason: string): void {
  if (socket.readyState === WebSocket.CONNECTING) {
    socket.terminate();
    return;
  }
  socket.close(code, reason);
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

/** One datagram of a core as one text message; copied, because the socket keeps it until it is written. */
export function sendText(socket: MessageSocket, slot: { buffer: Uint8Array; offset: number; length: number }): void {
  socket.send(slot.buffer.slice(slot.offset, slot.offset + slot.length), { binary: false });
}

/** What `ws` calls raw data, as one byte string. */
export function toBytes(data: Uint8Array | ArrayBuffer | readonly Uint8Array[]): Uint8Array {
  if (data instanceof Uint8Array) return plainBytes(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : concatBytes(...data);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node reports a refused connection to a name with two addresses as an AggregateError without a message.
  const inner = error instanceof AggregateError ? error.errors.map(describe).join(', ') : '';
  return error.message || inner || error.name;
}
