import { Ring } from '../core/index.ts';
import { type ChannelReader, channelControl, type RTCDataChannel, RTCDataChannelImpl } from './rtc-data-channel.ts';
import { domError } from './web-idl.ts';

/** A data channel as WHATWG streams see it. */
export interface ChannelStreams {
  /**
   * The messages that arrive: bytes as Uint8Array, text as string. Ends when the channel is closed; an error, or the end of
   * the whole connection by `close()`, is the stream's error. To cancel it closes the channel.
   */
  readonly readable: ReadableStream<Uint8Array | string>;
  /**
   * One message for each chunk, so no chunk may be longer than `RTCSctpTransport.maxMessageSize`. To close it closes the
   * channel once everything has been sent, and with it `readable`.
   */
  readonly writable: WritableStream<string | ArrayBuffer | ArrayBufferView>;
}

/** `writable` asks its source to wait while more than this waits to be transmitted, bytes; until a quarter of it is left. */
export const CHANNEL_STREAM_BUFFER_BYTES: number = 1024 * 1024;

/**
 * WHATWG streams over a data channel, with back-pressure both ways: the receive window of the association follows what
 * has been read from `readable`, so a slow reader slows the peer instead of filling memory, and `writable` takes no more
 * than the path carries. From then on there are no `message` events, and `bufferedAmountLowThreshold` belongs to `writable`.
 *
 * The window is that of all channels of the connection (RFC 9260 §6.2): one that nobody reads stops the others in the end.
 * @param channel - best before its first message: in the `datachannel` event, or at once where it was created.
 * @throws {TypeError} not a data channel of this package.
 * @throws {DOMException} `InvalidStateError` when it has streams already or is closed.
 *
 * @example
 * const { writable } = channelStreams(pc.createDataChannel('file'));
 * await (await openAsBlob('film.mkv')).stream().pipeTo(writable); // openAsBlob is in node:fs
 */
export function channelStreams(channel: RTCDataChannel): ChannelStreams {
  if (!(channel instanceof RTCDataChannelImpl)) throw new TypeError('not a data channel of this package');
  if (channel.readyState === 'closed') throw domError('InvalidStateError', 'the channel is closed');
  const sink = new MessageSink(channel);
  const source = new MessageSource(channel, (error) => sink.ended(error));
  return { readable: new ReadableStream(source, { highWaterMark: 0 }), writable: new WritableStream(sink) };
}

/** Under `readable`. With a high-water mark of 0 a message is handed over, and consumed, when somebody reads. */
class MessageSource implements ChannelReader {
  readonly #channel: RTCDataChannelImpl;
  readonly #onEnd: (error: Error | undefined) => void;
  readonly #consume: (bytes: number) => void;
  /** Bounded by the receive window: nothing in here has been consumed. */
  readonly #arrived = new Ring<{ readonly data: Uint8Array | string; readonly heldBytes: number }>();
  #end: { readonly error: Error | undefined } | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array | string> | undefined;
  /** A read is waiting for a message. */
  #resume: (() => void) | undefined;

  constructor(channel: RTCDataChannelImpl, onEnd: (error: Error | undefined) => void) {
    this.#channel = channel;
    this.#onEnd = onEnd;
    this.#consume = channelControl.read(channel, this);
  }

  start(controller: ReadableStreamDefaultController<Uint8Array | string>): void {
    this.#controller = controller;
  }

  pull(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#handOver();
    });
  }

  cancel(): void {
    this.#arrived.clear();
    this.#channel.close();
  }

  message(data: string | Uint8Array, heldBytes: number): void {
    this.#arrived.push({ data, heldBytes });
    this.#handOver();
  }

  closed(error: Error | undefined): void {
    this.#end = { error };
    this.#handOver();
    this.#onEnd(error); // second, so that a pipe from one to the other sees the end of its source first
  }

  /** One message, or the end behind the last one, to the read that waits for it. */
  #handOver(): void {
    const resume = this.#resume;
    if (resume === undefined) return;
    const message = this.#arrived.shift();
    if (message !== undefined) {
      this.#controller?.enqueue(message.data);
      this.#consume(message.heldBytes);
    } else if (this.#end?.error !== undefined) {
      this.#controller?.error(this.#end.error);
    } else if (this.#end !== undefined) {
      this.#controller?.close();
    } else {
      return;
    }
    this.#resume = undefined;
    resume();
  }
}

/** Under `writable`. The stream calls one method at a time, so at most one promise waits. */
class MessageSink {
  readonly #channel: RTCDataChannelImpl;
  #controller: WritableStreamDefaultController | undefined;
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  #closing = false;

  constructor(channel: RTCDataChannelImpl) {
    this.#channel = channel;
    channel.bufferedAmountLowThreshold = CHANNEL_STREAM_BUFFER_BYTES / 4;
    for (const event of ['open', 'bufferedamountlow']) channel.addEventListener(event, () => this.#settle());
  }

  start(controller: WritableStreamDefaultController): Promise<void> | undefined {
    this.#controller = controller;
    return this.#channel.readyState === 'connecting' ? this.#wait() : undefined;
  }

  /** What the channel refuses is the stream's error: the rules are those of `send()`. */
  write(chunk: string | ArrayBuffer | ArrayBufferView): Promise<void> | undefined {
    this.#channel.send(chunk);
    return this.#channel.bufferedAmount > CHANNEL_STREAM_BUFFER_BYTES ? this.#wait() : undefined;
  }

  close(): Promise<void> | undefined {
    this.#closing = true;
    this.#channel.close();
    return this.#channel.readyState === 'closing' ? this.#wait() : undefined;
  }

  abort(): void {
    this.#channel.close();
  }

  ended(error: Error | undefined): void {
    const reason = error ?? domError('InvalidStateError', 'the channel is closed');
    if (this.#closing && error === undefined) this.#settle();
    else if (this.#waiting !== undefined) this.#settle(reason);
    else this.#controller?.error(reason);
  }

  #wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #settle(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve();
    else waiting?.reject(error);
  }
}
