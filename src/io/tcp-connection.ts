import { connect as connectSocket, type Socket } from 'node:net';
import { connect as connectTlsSocket } from 'node:tls';
import {
  type ByteStream,
  canonicalIp,
  type StreamHandlers,
  type StreamOptions,
  type TlsOptions,
  type TransportAddress,
} from '../core/index.ts';
import { plainBytes } from './plain-bytes.ts';
import { socketIp } from './socket-ip.ts';

/** Longest wait for a connection, and for the TLS handshake on it, each. */
export const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Unsent bytes of one connection; what exceeds it is dropped. What travels here are datagrams whose senders count on a
 * queue that overflows: a longer one would only make them late.
 */
export const MAX_UNSENT_STREAM_BYTES: number = 256 * 1024;

/**
 * Opens a TCP connection.
 * @throws rejects with the system's error (`ECONNREFUSED`, `EADDRNOTAVAIL`), or after {@link CONNECT_TIMEOUT_MS}.
 */
export async function connectTcp(
  remote: TransportAddress,
  handlers: StreamHandlers,
  options: StreamOptions,
): Promise<ByteStream> {
  const socket = connectSocket({ host: remote.ip, port: remote.port, ...from(options) });
  await established(socket, 'connect', options.signal);
  return new NodeStream(socket, handlers);
}

/**
 * Opens a TCP connection and runs TLS 1.2 or 1.3 on it. The certificate is verified against `options.ca`, else against
 * the authorities that Node trusts, and must be for `options.serverName`.
 * @throws rejects as `connectTcp` does, or with the reason why the handshake failed.
 */
export async function connectTls(
  remote: TransportAddress,
  handlers: StreamHandlers,
  options: TlsOptions,
): Promise<ByteStream> {
  const { serverName, ca } = options;
  const tcp = connectSocket({ host: remote.ip, port: remote.port, ...from(options) });
  await established(tcp, 'connect', options.signal);
  // RFC 6066 §3: a literal address is no server name; Node then compares the certificate with `host`.
  const name = canonicalIp(serverName) === undefined ? { servername: serverName } : { host: serverName };
  const trusted = ca === undefined ? {} : { ca: [...ca] };
  const socket = connectTlsSocket({ socket: tcp, ...name, ...trusted, minVersion: 'TLSv1.2' });
  await established(socket, 'secureConnect', options.signal);
  return new NodeStream(socket, handlers);
}

function from({ localIp, localPort }: StreamOptions): { readonly localAddress?: string; readonly localPort?: number } {
  return { ...(localIp !== undefined && { localAddress: localIp }), ...(localPort !== undefined && { localPort }) };
}

/** Resolves with the event; a socket that does not get there is destroyed. */
function established(socket: Socket, event: 'connect' | 'secureConnect', signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.setTimeout(0);
      socket.off(event, succeed).off('error', fail).off('close', closed).off('timeout', timeout);
      signal?.removeEventListener('abort', abort);
    };
    const succeed = (): void => {
      settle();
      resolve();
    };
    const fail = (error: Error): void => {
      settle();
      socket.on('error', () => undefined); // a second one, on a socket that nobody waits for any more
      socket.destroy();
      reject(error);
    };
    const closed = (): void => fail(new Error('the connection was closed before it was established'));
    const timeout = (): void => fail(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`));
    const abort = (): void => fail(new Error('connecting was given up'));
    socket.once(event, succeed).once('error', fail).once('close', closed).once('timeout', timeout);
    socket.setTimeout(CONNECT_TIMEOUT_MS);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
  });
}

/** A connected socket as a {@link ByteStream}. */
export class NodeStream implements ByteStream {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  readonly #socket: Socket;
  #closed = false;

  constructor(socket: Socket, handlers: StreamHandlers) {
    this.#socket = socket;
    this.local = { ip: socketIp(socket.localAddress), port: socket.localPort ?? 0 };
    this.remote = { ip: socketIp(socket.remoteAddress), port: socket.remotePort ?? 0 };
    socket.setNoDelay(true); // each write is a datagram that somebody waits for
    let broken: Error | undefined;
    socket.on('error', (error) => {
      broken = error;
    });
    socket.on('data', (bytes: Uint8Array) => {
      if (!this.#closed) handlers.onData(plainBytes(bytes));
    });
    // Half-open connections are of no use here: Node ends our side when the other has ended, and 'close' follows.
    socket.on('close', () => {
      if (this.#closed) return;
      this.#closed = true;
      handlers.onClose(broken);
    });
  }

  write(buffer: Uint8Array, offset: number, length: number): boolean {
    const socket = this.#socket;
    if (this.#closed || !socket.writable || socket.writableLength + length > MAX_UNSENT_STREAM_BYTES) return false;
    socket.write(Uint8Array.from(buffer.subarray(offset, offset + length))); // Node keeps what it is given
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.end();
    // A server that does not read would hold the rest, and the process, for ever.
    this.#socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#socket.destroy());
    this.#socket.resume();
  }
}
