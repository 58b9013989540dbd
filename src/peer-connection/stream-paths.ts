import {
  type ByteStream,
  DecodeError,
  type FiveTuple,
  type Platform,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { StreamDeframer } from '../stun/index.ts';

/** How to reach a TURN server by TCP or TLS. */
export interface StreamTarget {
  readonly protocol: 'tcp' | 'tls';
  readonly remote: TransportAddress;
  /** Own address to connect from. */
  readonly localIp: string;
  /** For TLS: the name or address that the certificate must be for. */
  readonly serverName: string;
  /** For TLS: PEM certificates to trust instead of the runtime's. */
  readonly ca?: readonly string[] | undefined;
}

/** Who uses the connections. */
export interface StreamUser {
  /** One whole STUN or ChannelData message; borrowed. */
  onMessage(bytes: Uint8Array, path: FiveTuple): void;
  /** The other end has closed it, or it broke. */
  onClosed(path: FiveTuple, reason: string): void;
}

/**
 * TCP and TLS connections to TURN servers, each with the path that stands for it: what is written for a path are whole
 * messages, and what is read is cut into them (RFC 8489 §6.2.2, RFC 8656 §12.5).
 */
export class StreamPaths {
  readonly #platform: Platform;
  readonly #user: StreamUser;
  readonly #streams = new Map<FiveTuple, ByteStream>();
  /** Made with the first connection: most peers have no use for any, and an abort is not cheap. */
  #abort: AbortController | undefined;
  #closed = false;

  constructor(platform: Platform, user: StreamUser) {
    this.#platform = platform;
    this.#user = user;
  }

  /**
   * Opens a connection.
   * @returns its path, one object for as long as it stands; undefined when everything was closed meanwhile.
   * @throws (rejects) with the reason why there is none.
   */
  async connect(target: StreamTarget): Promise<FiveTuple | undefined> {
    if (this.#closed) return undefined;
    const { remote, localIp, serverName, ca } = target;
    const deframer = new StreamDeframer({ channelData: true });
    let path: FiveTuple | undefined;
    const handlers = {
      onData: (bytes: Uint8Array): void => {
        if (path !== undefined) this.#push(deframer, bytes, path);
      },
      onClose: (error: Error | undefined): void => {
        if (path !== undefined) this.#end(path, error?.message ?? 'the server closed the connection');
      },
    };
    this.#abort ??= new AbortController();
    const options = { localIp, signal: this.#abort.signal };
    const { connectTcp, connectTls } = this.#platform;
    const connecting =
      target.protocol === 'tcp'
        ? connectTcp?.call(this.#platform, remote, handlers, options)
        : connectTls?.call(this.#platform, remote, handlers, {
            ...options,
            serverName,
            ...(ca !== undefined && { ca }),
          });
    if (connecting === undefined) throw new Error(`this platform has no ${target.protocol.toUpperCase()}`);
    const stream = await connecting;
    if (this.#closed) {
      stream.close();
      return undefined;
    }
    path = { protocol: target.protocol, local: stream.local, remote: stream.remote };
    this.#streams.set(path, stream);
    return path;
  }

  /**
   * Writes the slot's message. What does not fit any more is lost, as a datagram would be.
   * @returns false for a path that is none of ours.
   */
  send(slot: TransmitSlot<FiveTuple>): boolean {
    const stream = slot.path && this.#streams.get(slot.path);
    stream?.write(slot.buffer, slot.offset, slot.length);
    return stream !== undefined;
  }

  /** Idempotent. */
  closePath(path: FiveTuple): void {
    this.#streams.get(path)?.close();
    this.#streams.delete(path);
  }

  /** What was written still leaves; what is being connected is given up. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#abort?.abort();
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  #push(deframer: StreamDeframer, bytes: Uint8Array, path: FiveTuple): void {
    try {
      deframer.push(bytes, (message) => {
        if (this.#streams.has(path)) this.#user.onMessage(message, path); // the message before may have ended it
      });
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end(path, `not STUN: ${error.message}`); // there is no way to find the next message
    }
  }

  #end(path: FiveTuple, reason: string): void {
    const stream = this.#streams.get(path);
    if (stream === undefined) return;
    this.#streams.delete(path);
    stream.close();
    this.#user.onClosed(path, reason);
  }
}
