import { DataChannelError } from '../datachannel/index.ts';
import { messageSize, toArrayBuffer, toDomError, toMessage } from './channel-messages.ts';
import type { ChannelSettings } from './channel-settings.ts';
import { RTCErrorEvent } from './events.ts';
import { RTCError } from './rtc-error.ts';
import { currentTask } from './tasks.ts';
import {
  ConstructorGate,
  defineInterface,
  domError,
  domString,
  type EventHandler,
  enforceRange,
  requireArguments,
  TypedEventTarget,
} from './web-idl.ts';

/** W3C RTCDataChannelState. */
export type RTCDataChannelState = 'connecting' | 'open' | 'closing' | 'closed';

/** W3C BinaryType. */
export type BinaryType = 'arraybuffer' | 'blob';

export interface RTCDataChannelEventMap {
  open: Event;
  message: MessageEvent;
  bufferedamountlow: Event;
  error: RTCErrorEvent;
  closing: Event;
  close: Event;
}

/** What a channel asks of its connection. All but `queueTask` only once the transport knows the channel. */
export interface ChannelLink {
  /** @returns bytes that this message added to `bufferedAmount()`. @throws {DataChannelError} */
  send(data: string | Uint8Array): number;
  /**
   * Of a message that is sent later: its bytes, and what `bufferedAmount` would be with them.
   * @throws {DataChannelError}
   */
  check(bytes: number, amount: number): void;
  close(): void;
  /** Bytes given to `send` and not yet transmitted. */
  bufferedAmount(): number;
  setLowThreshold(bytes: number): void;
  /** From now on what arrives counts against the receive window until `consume`. */
  hold(): void;
  consume(bytes: number): void;
}

/** Takes what arrives in the place of `message` events, and is told when nothing more will. */
export interface ChannelReader {
  /** @param heldBytes - to consume when it has been read. */
  message(data: string | Uint8Array, heldBytes: number): void;
  /** Without an error the channel was closed in order: all that the peer sent has been here. */
  closed(error: Error | undefined): void;
}

interface ChannelInternals {
  readonly settings: ChannelSettings;
  readonly queueTask: (task: () => void) => void;
  /** The channel was closed before the transport knew it. */
  readonly forget: (channel: RTCDataChannelImpl) => void;
}

const gate = new ConstructorGate<ChannelInternals>();

/** Makes a channel in state `connecting`. */
export function createRtcDataChannel(internals: ChannelInternals): RTCDataChannelImpl {
  return gate.make(internals, () => new RTCDataChannelImpl());
}

/** What the connection does to its channels; not reachable from the objects themselves. */
interface ChannelControl {
  link(channel: RTCDataChannelImpl, link: ChannelLink): void;
  setId(channel: RTCDataChannelImpl, id: number): void;
  settings(channel: RTCDataChannelImpl): ChannelSettings;
  /** The peer's channel is open before its `open` event, so that a `datachannel` handler may send. */
  allowSending(channel: RTCDataChannelImpl): void;
  /** W3C "announce as open". */
  announceOpen(channel: RTCDataChannelImpl): void;
  deliver(channel: RTCDataChannelImpl, data: string | Uint8Array, heldBytes: number): void;
  bufferedAmountLow(channel: RTCDataChannelImpl): void;
  /** The peer has begun to close. */
  announceClosing(channel: RTCDataChannelImpl): void;
  /** W3C "announce as closed"; with an error where the end was not a graceful one. */
  announceClosed(channel: RTCDataChannelImpl, error: RTCError | undefined): void;
  /** `RTCPeerConnection.close()`: no events (W3C §4.4.1.13 "close the connection" step 5). */
  closeAbruptly(channel: RTCDataChannelImpl): void;
  /**
   * Messages go to `reader` from now on, and count against the receive window until they are consumed.
   * @returns gives window back for so many bytes of messages.
   * @throws {DOMException} `InvalidStateError` when there is a reader already.
   */
  read(channel: RTCDataChannelImpl, reader: ChannelReader): (bytes: number) => void;
}

export let channelControl: ChannelControl;

/** W3C RTCDataChannel: messages in both directions over one pair of SCTP streams (RFC 8831, RFC 8832). */
export class RTCDataChannelImpl extends TypedEventTarget<RTCDataChannelEventMap> {
  declare onopen: EventHandler;
  declare onmessage: EventHandler<MessageEvent>;
  declare onbufferedamountlow: EventHandler;
  declare onerror: EventHandler<RTCErrorEvent>;
  declare onclosing: EventHandler;
  declare onclose: EventHandler;

  readonly #settings: ChannelSettings;
  readonly #queueTask: (task: () => void) => void;
  readonly #forget: (channel: RTCDataChannelImpl) => void;
  #id: number | null;
  #readyState: RTCDataChannelState = 'connecting';
  #binaryType: BinaryType = 'arraybuffer';
  #link: ChannelLink | undefined;
  #lowThreshold = 0;
  /** Whether `bufferedamountlow` is due when the amount falls to the threshold. */
  #aboveThreshold = false;
  /** `bufferedAmount` as it stays for the rest of `#heldIn`, while a refresh is queued. */
  #heldAmount: number | undefined;
  #heldIn = 0;
  /** What it was when the channel closed. */
  #finalAmount: number | undefined;
  /** Messages behind a Blob that is still being read, in order. */
  #waiting: (Blob | string | Uint8Array)[] = [];
  #waitingBytes = 0;
  #reader: ChannelReader | undefined;

  constructor() {
    const internals = gate.take();
    super();
    this.#settings = internals.settings;
    this.#id = internals.settings.id;
    this.#queueTask = internals.queueTask;
    this.#forget = internals.forget;
  }

  get label(): string {
    return this.#settings.label;
  }

  get ordered(): boolean {
    return this.#settings.ordered;
  }

  get maxPacketLifeTime(): number | null {
    return this.#settings.maxPacketLifeTime;
  }

  get maxRetransmits(): number | null {
    return this.#settings.maxRetransmits;
  }

  get protocol(): string {
    return this.#settings.protocol;
  }

  get negotiated(): boolean {
    return this.#settings.negotiated;
  }

  /** The SCTP stream; null until it is chosen. */
  get id(): number | null {
    return this.#id;
  }

  get readyState(): RTCDataChannelState {
    return this.#readyState;
  }

  /** Bytes queued by `send` and not yet transmitted; does not fall within the task that called `send`. */
  get bufferedAmount(): number {
    if (this.#finalAmount !== undefined) return this.#finalAmount;
    // The refresh may come behind events of another connection, in whose tasks the amount may have fallen.
    const held = this.#heldIn === currentTask() ? this.#heldAmount : undefined;
    return held ?? this.#currentAmount();
  }

  get bufferedAmountLowThreshold(): number {
    return this.#lowThreshold;
  }

  set bufferedAmountLowThreshold(value: number) {
    this.#lowThreshold = enforceRange(value, 0xffff_ffff, 'bufferedAmountLowThreshold');
    this.#aboveThreshold = this.bufferedAmount > this.#lowThreshold;
    this.#link?.setLowThreshold(this.#lowThreshold);
  }

  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(value: BinaryType) {
    // Web IDL: a value outside the enumeration leaves the attribute as it is.
    const text = domString(value);
    this.#binaryType = text === 'blob' || text === 'arraybuffer' ? text : this.#binaryType;
  }

  /**
   * W3C "send() algorithm". What is given is copied; it may be changed afterwards.
   * @throws {DOMException} `InvalidStateError` unless open; `OperationError` when the send buffer is full.
   * @throws {TypeError} longer than `RTCSctpTransport.maxMessageSize`.
   */
  send(data: string | Blob | ArrayBuffer | ArrayBufferView): void {
    // biome-ignore lint/complexity/noArguments: nothing is an error, undefined is text
    requireArguments(arguments.length, 1);
    const message = toMessage(data);
    // Step 3.
    if (this.#readyState !== 'open' || this.#link === undefined) {
      throw domError('InvalidStateError', `the channel is ${this.#readyState}`);
    }
    // Step 4: a Blob is read later, and nothing may overtake it.
    if (message instanceof Blob || this.#waiting.length > 0) {
      this.#sendLater(message, this.#link);
      return;
    }
    this.#sendNow(message, this.#link);
  }

  #sendNow(message: string | Uint8Array, link: ChannelLink): void {
    const before = this.bufferedAmount;
    let added: number;
    try {
      added = link.send(message);
    } catch (error) {
      if (!(error instanceof DataChannelError)) throw error;
      // The peer has closed it, and the event that says so is still to come: what is sent now is lost, and no error.
      if (error.code !== 'not-open') throw toDomError(error);
      added = messageSize(message);
    }
    this.#hold(before + added);
  }

  /** Keeps `bufferedAmount` at what it rose to until this task is over (W3C §6.2, "bufferedAmount"). */
  #hold(amount: number): void {
    if (this.#heldAmount === undefined) this.#queueTask(() => this.#release());
    this.#heldAmount = amount;
    this.#heldIn = currentTask();
    if (amount > this.#lowThreshold) this.#aboveThreshold = true;
  }

  #release(): void {
    this.#heldAmount = undefined;
    this.#checkLow();
  }

  #checkLow(): void {
    if (!this.#aboveThreshold || this.#heldAmount !== undefined || this.#currentAmount() > this.#lowThreshold) return;
    this.#aboveThreshold = false;
    this.dispatchEvent(new Event('bufferedamountlow'));
  }

  #currentAmount(): number {
    return (this.#link?.bufferedAmount() ?? 0) + this.#waitingBytes;
  }

  #sendLater(message: Blob | string | Uint8Array, link: ChannelLink): void {
    const size = messageSize(message);
    const before = this.bufferedAmount;
    try {
      link.check(size, before + size); // steps 5 and 6 are of the call, not of when it is read
    } catch (error) {
      throw error instanceof DataChannelError ? toDomError(error) : error;
    }
    this.#waiting.push(message instanceof Uint8Array ? message.slice() : message);
    this.#waitingBytes += size;
    this.#hold(before + size);
    if (this.#waiting.length === 1) void this.#readWaiting();
  }

  async #readWaiting(): Promise<void> {
    try {
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        const message = next instanceof Blob ? new Uint8Array(await next.arrayBuffer()) : next;
        this.#waiting.shift();
        this.#waitingBytes -= messageSize(next);
        this.#link?.send(message);
      }
      if (this.#readyState === 'closing') this.#link?.close();
    } catch (error) {
      this.#failLater(error);
    }
  }

  /** send() has returned, and the message cannot be sent: a Blob whose file is gone, a buffer that is full meanwhile. */
  #failLater(reason: unknown): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.#link === undefined) return;
    const error = new RTCError(
      { errorDetail: 'data-channel-failure' },
      `a message could not be sent: ${String(reason)}`,
    );
    this.#queueTask(() => this.dispatchEvent(new RTCErrorEvent('error', { error })));
    if (this.#readyState === 'open') this.#readyState = 'closing';
    this.#link.close();
  }

  /** Begins to close; messages queued before are still sent (W3C "closing procedure"). */
  close(): void {
    if (this.#readyState === 'closing' || this.#readyState === 'closed') return;
    this.#readyState = 'closing';
    if (this.#link === undefined) {
      this.#forget(this);
      this.#queueTask(() => this.#announceClosed(undefined));
    } else if (this.#waiting.length === 0) {
      this.#link.close();
    }
  }

  #announceClosed(error: RTCError | undefined): void {
    if (this.#readyState === 'closed') return;
    this.#finalAmount = this.bufferedAmount; // stays as it is: "does not reset to zero once the channel closes"
    this.#readyState = 'closed';
    this.#link = undefined;
    if (error !== undefined) this.dispatchEvent(new RTCErrorEvent('error', { error }));
    this.dispatchEvent(new Event('close'));
    this.#reader?.closed(error);
  }

  #deliver(data: string | Uint8Array, heldBytes: number): void {
    if (this.#readyState !== 'open') return;
    if (this.#reader !== undefined) {
      this.#reader.message(data, heldBytes);
      return;
    }
    const value =
      typeof data === 'string' ? data : this.#binaryType === 'blob' ? new Blob([data.slice()]) : toArrayBuffer(data);
    this.dispatchEvent(new MessageEvent('message', { data: value }));
  }

  static {
    defineInterface(RTCDataChannelImpl, 'RTCDataChannel', [
      'open',
      'message',
      'bufferedamountlow',
      'error',
      'closing',
      'close',
    ]);
    channelControl = {
      link(channel, link) {
        channel.#link = link;
        if (channel.#lowThreshold > 0) link.setLowThreshold(channel.#lowThreshold);
        if (channel.#reader !== undefined) link.hold();
      },
      setId(channel, id) {
        channel.#id = id;
      },
      settings: (channel) => channel.#settings,
      allowSending(channel) {
        channel.#readyState = 'open';
      },
      announceOpen(channel) {
        if (channel.#readyState === 'closing' || channel.#readyState === 'closed') return;
        channel.#readyState = 'open';
        channel.dispatchEvent(new Event('open'));
      },
      deliver: (channel, data, heldBytes) => channel.#deliver(data, heldBytes),
      bufferedAmountLow: (channel) => channel.#checkLow(),
      announceClosing(channel) {
        if (channel.#readyState === 'closing' || channel.#readyState === 'closed') return;
        channel.#readyState = 'closing';
        channel.dispatchEvent(new Event('closing'));
      },
      announceClosed: (channel, error) => channel.#announceClosed(error),
      closeAbruptly(channel) {
        channel.#finalAmount = channel.bufferedAmount;
        channel.#readyState = 'closed';
        channel.#link = undefined;
        channel.#reader?.closed(domError('InvalidStateError', 'the connection was closed'));
      },
      read(channel, reader) {
        if (channel.#reader !== undefined) throw domError('InvalidStateError', 'the channel is being read as a stream');
        channel.#reader = reader;
        channel.#link?.hold();
        return (bytes) => channel.#link?.consume(bytes);
      },
    };
  }
}

/** {@link RTCDataChannelImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCDataChannel = Pick<RTCDataChannelImpl, keyof RTCDataChannelImpl>;

export const RTCDataChannel: {
  readonly prototype: RTCDataChannel;
  new (): RTCDataChannel;
} = RTCDataChannelImpl;
