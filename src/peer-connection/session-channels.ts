import {
  type ChannelHandle,
  type ChannelParameters,
  DataChannelError,
  type DataChannelEvent,
} from '../datachannel/index.ts';
import { type ChannelSettings, toChannelOptions } from './channel-settings.ts';
import type { PeerTransport } from './peer-transport.ts';
import {
  type ChannelLink,
  channelControl,
  createRtcDataChannel,
  type RTCDataChannel,
  type RTCDataChannelImpl,
} from './rtc-data-channel.ts';
import { RTCError } from './rtc-error.ts';
import { SendBatch } from './send-batch.ts';
import type { SocketHost } from './socket-host.ts';
import type { TaskQueue } from './task-queue.ts';
import { beginTask } from './tasks.ts';
import type { PeerTransportEvent } from './transport-types.ts';
import { domError } from './web-idl.ts';

export interface ListedChannel {
  readonly channel: RTCDataChannel;
  readonly handle: ChannelHandle | undefined;
  /** Its own for as long as the connection lives. */
  readonly number: number;
}

/** The RTCDataChannels of one connection and the handles that its transport knows them by. */
export class SessionChannels {
  readonly #transport: PeerTransport;
  readonly #host: SocketHost<PeerTransportEvent>;
  readonly #tasks: TaskQueue;
  /** W3C [[DataChannels]], in order of creation. */
  readonly #channels = new Set<RTCDataChannelImpl>();
  readonly #byHandle = new Map<ChannelHandle, RTCDataChannelImpl>();
  /** Errors that were reported for a channel whose end is still to come. */
  readonly #errors = new Map<ChannelHandle, RTCError>();
  readonly #onDataChannel: (channel: RTCDataChannelImpl) => void;
  readonly #batch: SendBatch;
  readonly #numbers = new WeakMap<RTCDataChannelImpl, number>();
  #created = 0;

  constructor(
    transport: PeerTransport,
    host: SocketHost<PeerTransportEvent>,
    tasks: TaskQueue,
    onDataChannel: (channel: RTCDataChannelImpl) => void,
  ) {
    this.#transport = transport;
    this.#host = host;
    this.#tasks = tasks;
    this.#onDataChannel = onDataChannel;
    this.#batch = new SendBatch(() => host.driver.drain());
  }

  /** How many there have been. */
  get created(): number {
    return this.#created;
  }

  /** All that are not closed, in order of creation: those that the transport does not know yet have no handle. */
  list(): readonly ListedChannel[] {
    const known = Array.from(this.#byHandle, ([handle, channel]) => ({ handle, channel }));
    const handled = new Set(this.#byHandle.values());
    const waiting = Array.from(this.#channels, (channel) => ({ handle: undefined, channel }));
    return [...known, ...waiting.filter(({ channel }) => !handled.has(channel))]
      .map((entry) => ({ ...entry, number: this.#numbers.get(entry.channel) ?? 0 }))
      .sort((a, b) => a.number - b.number);
  }

  /**
   * W3C `createDataChannel` from step 15 on.
   * @throws {DOMException} `OperationError` when the id is in use or none is free.
   */
  create(settings: ChannelSettings): RTCDataChannelImpl {
    const taken = settings.id !== null && Array.from(this.#channels).some((channel) => channel.id === settings.id);
    if (taken) throw domError('OperationError', `id ${settings.id} is in use`);
    const channel = this.#make(settings);
    if (this.#transport.takesChannels) {
      try {
        this.#open(channel);
      } catch (error) {
        if (error instanceof DataChannelError) throw domError('OperationError', error.message);
        throw error;
      }
    }
    this.#channels.add(channel);
    return channel;
  }

  #make(settings: ChannelSettings): RTCDataChannelImpl {
    const channel = createRtcDataChannel({
      settings,
      queueTask: (task) => this.#tasks.queue(task),
      forget: (forgotten) => this.#channels.delete(forgotten),
    });
    this.#numbers.set(channel, ++this.#created);
    return channel;
  }

  /** The transport is about to exist for the peer: all channels so far get their streams. */
  openAll(): void {
    for (const channel of this.#channels) {
      try {
        this.#open(channel);
      } catch (error) {
        if (!(error instanceof DataChannelError)) throw error;
        // W3C §4.4.1.5 "set a session description", errorList: no id was left for it.
        this.#channels.delete(channel);
        const failure = new RTCError({ errorDetail: 'data-channel-failure' }, error.message);
        this.#tasks.queue(() => channelControl.announceClosed(channel, failure));
      }
    }
  }

  #open(channel: RTCDataChannelImpl): void {
    const { driver } = this.#host;
    const options = toChannelOptions(channelControl.settings(channel));
    const handle = driver.mutate((now) => this.#transport.channels.open(options, now));
    this.#bind(handle, channel);
    const id = this.#transport.channels.info(handle)?.id;
    if (id !== undefined) channelControl.setId(channel, id);
  }

  #bind(handle: ChannelHandle, channel: RTCDataChannelImpl): void {
    this.#byHandle.set(handle, channel);
    channelControl.link(channel, new HandleLink(handle, this.#transport, this.#host, this.#batch));
  }

  /** Messages are the hot path: told at once where nothing is queued before them. */
  handle(event: DataChannelEvent): void {
    if (event.type === 'message' && this.#tasks.isIdle) {
      beginTask();
      this.#apply(event);
    } else this.#tasks.queue(() => this.#apply(event));
  }

  #apply(event: DataChannelEvent): void {
    if (event.type === 'channel') {
      this.#announce(event.handle, event.parameters);
      return;
    }
    const channel = this.#byHandle.get(event.handle);
    if (channel === undefined) return;
    switch (event.type) {
      case 'message':
        channelControl.deliver(channel, event.data, event.heldBytes ?? 0);
        break;
      case 'id':
        channelControl.setId(channel, event.id);
        break;
      case 'open':
        channelControl.announceOpen(channel);
        break;
      case 'buffered-amount-low':
        channelControl.bufferedAmountLow(channel);
        break;
      case 'closing':
        this.#channels.delete(channel);
        channelControl.announceClosing(channel);
        break;
      case 'error':
        this.#errors.set(event.handle, toRtcError(event));
        break;
      case 'closed':
        this.#channels.delete(channel);
        this.#byHandle.delete(event.handle);
        channelControl.announceClosed(channel, this.#errors.get(event.handle));
        this.#errors.delete(event.handle);
        break;
    }
  }

  /** W3C §6.2.3 "announcing a data channel instance". */
  #announce(handle: ChannelHandle, parameters: ChannelParameters): void {
    const channel = this.#make({
      label: parameters.label,
      protocol: parameters.protocol,
      ordered: parameters.ordered,
      maxPacketLifeTime: unsignedShort(parameters.maxPacketLifeTime),
      maxRetransmits: unsignedShort(parameters.maxRetransmits),
      negotiated: false,
      id: parameters.id ?? null,
    });
    this.#channels.add(channel);
    this.#bind(handle, channel);
    channelControl.allowSending(channel); // step 8: open, the event comes later
    this.#onDataChannel(channel);
  }

  /** W3C "close the connection" step 6: no events. */
  closeAbruptly(): void {
    for (const channel of [...this.#channels, ...this.#byHandle.values()]) channelControl.closeAbruptly(channel);
    this.#channels.clear();
    this.#byHandle.clear();
  }
}

/** One channel of the transport, as its object uses it. */
class HandleLink implements ChannelLink {
  readonly #handle: ChannelHandle;
  readonly #transport: PeerTransport;
  readonly #host: SocketHost<PeerTransportEvent>;
  readonly #batch: SendBatch;

  constructor(handle: ChannelHandle, transport: PeerTransport, host: SocketHost<PeerTransportEvent>, batch: SendBatch) {
    this.#handle = handle;
    this.#transport = transport;
    this.#host = host;
    this.#batch = batch;
  }

  send(data: string | Uint8Array): number {
    const { channels } = this.#transport;
    const before = channels.bufferedAmount(this.#handle);
    channels.send(this.#handle, data, this.#host.now(), true);
    const bytes = channels.bufferedAmount(this.#handle) - before;
    this.#batch.noteSent(bytes);
    return bytes;
  }

  check(bytes: number, amount: number): void {
    this.#transport.channels.checkLength(bytes);
    this.#transport.channels.checkRoom(amount);
  }

  close(): void {
    this.#host.driver.mutate((now) => this.#transport.channels.close(this.#handle, now));
  }

  bufferedAmount(): number {
    return this.#transport.channels.bufferedAmount(this.#handle);
  }

  setLowThreshold(bytes: number): void {
    this.#transport.channels.setBufferedAmountLowThreshold(this.#handle, bytes);
  }

  hold(): void {
    this.#host.driver.mutate((now) => this.#transport.channels.holdReceived(this.#handle, true, now));
  }

  consume(bytes: number): void {
    this.#host.driver.mutate((now) => this.#transport.channels.consume(this.#handle, bytes, now));
  }
}

/** RFC 8832 §5.1 has 32 bits for what the W3C's attributes have 16. */
function unsignedShort(value: number | undefined): number | null {
  return value === undefined ? null : Math.min(value, 0xffff);
}

function toRtcError(event: DataChannelEvent & { readonly type: 'error' }): RTCError {
  const { detail, sctpCauseCode, message } = event;
  return new RTCError({ errorDetail: detail, ...(sctpCauseCode !== undefined && { sctpCauseCode }) }, message);
}
