import {
  DecodeError,
  DropCounters,
  type DropReason,
  type Instant,
  Ring,
  SILENT,
  type Trace,
  UsageError,
} from '../core/index.ts';
import type { SctpEvent } from '../sctp/index.ts';
import { Channel, type ChannelFailure, checkOptions, peerParameters } from './channel.ts';
import { DCEP_OPEN, type DcepOpen, decodeDcep, describeDcep, encodeDcep } from './dcep.ts';
import { PPID } from './ppid.ts';
import { MAX_STREAM_ID, parityOf } from './stream-ids.ts';
import { type Stream, StreamTable } from './streams.ts';
import {
  type ChannelHandle,
  type ChannelInfo,
  type ChannelOptions,
  type ChannelState,
  DataChannelError,
  type DataChannelEvent,
  type DtlsRole,
  type StreamCarrier,
} from './types.ts';
import { frameUserMessage } from './user-message.ts';

/** Largest message joined from deprecated partial messages; of such messages four may be held at once. */
export const DEFAULT_MAX_RECEIVE_MESSAGE_BYTES = 262_144;
/** What one channel may have buffered before `send` refuses: what Chrome allows. */
export const DEFAULT_MAX_BUFFERED_BYTES = 16_777_216;
/** Labels and protocols of all channels that the peer has open, together. */
export const DEFAULT_MAX_PEER_LABEL_BYTES = 16_777_216;

/** What `DataChannels` is made with. */
export interface DataChannelsOptions {
  readonly association: StreamCarrier;
  /** Known from the start, or set later with `setRole`. */
  readonly role?: DtlsRole | undefined;
  /** Largest message the peer accepts, from `a=max-message-size` (RFC 8841 §6); 0 is no limit. Default 65,536. */
  readonly maxSendMessageBytes?: number | undefined;
  /** Default {@link DEFAULT_MAX_RECEIVE_MESSAGE_BYTES}. */
  readonly maxReceiveMessageBytes?: number | undefined;
  /** Default {@link DEFAULT_MAX_BUFFERED_BYTES}. */
  readonly maxBufferedBytes?: number | undefined;
  /** Default {@link DEFAULT_MAX_PEER_LABEL_BYTES}. */
  readonly maxPeerLabelBytes?: number | undefined;
  /** User data on a stream without a channel: `reset` it as RFC 8832 §6 says (default), or `drop` it as browsers do. */
  readonly onUnknownStream?: 'reset' | 'drop' | undefined;
  readonly trace?: Trace | undefined;
}

/** The states of RTCDataChannelState and where each may lead. */
const MOVES: Record<ChannelState, readonly ChannelState[]> = {
  connecting: ['open', 'closed'],
  open: ['closing', 'closed'],
  closing: ['closed'],
  closed: [],
};

type AssociationState = 'connecting' | 'connected' | 'closed';

/**
 * The data channels of one SCTP association: RFC 8831 and, for channels opened in-band, RFC 8832.
 *
 * ```text
 *            open()                         association up                 close() / reset by the peer
 * connecting ──────► id by DTLS role ──────► open: OPEN sent ──────► closing: our stream reset, then
 *                    (even / odd)            ◄─ ACK or any message    theirs ──────► closed, id free again
 * ```
 *
 * It is no `SansIo` of its own: it has no datagrams and no timers. Hand it every event of the association, then poll its
 * events until there are none. Commands throw `DataChannelError`; the peer never makes it throw.
 *
 * @example
 * const channels = new DataChannels({ association, role: 'client' });
 * const chat = channels.open({ label: 'chat' }, now);
 * channels.handleSctpEvent(event, now); // for each event of the association
 * for (let e = channels.pollEvent(); e; e = channels.pollEvent()) if (e.type === 'open') channels.send(chat, 'hi', now);
 */
export class DataChannels {
  /** What the peer sent and was not acted on, by reason. */
  readonly drops: DropCounters = new DropCounters();
  readonly #carrier: StreamCarrier;
  readonly #trace: Trace;
  readonly #maxReceiveMessageBytes: number;
  readonly #maxBufferedBytes: number;
  readonly #maxPeerLabelBytes: number;
  readonly #resetUnknown: boolean;
  #maxSendMessageBytes: number;
  #association: AssociationState = 'connecting';
  #role: DtlsRole | undefined;
  #maxChannels: number | undefined;
  #nextHandle: ChannelHandle = 1;
  #opened = 0;
  #closed = 0;
  #peerLabelBytes = 0;
  #partialBytes = 0;
  /** Live channels in order of creation. */
  readonly #channels = new Map<ChannelHandle, Channel>();
  readonly #streams: StreamTable;
  /** DCEP messages that the carrier had no room for: at most an OPEN or an ACK a channel. */
  readonly #controlQueue: Ring<{ readonly channel: Channel; readonly bytes: Uint8Array }> = new Ring();
  readonly #events = new Ring<DataChannelEvent>();

  constructor(options: DataChannelsOptions) {
    this.#carrier = options.association;
    this.#streams = new StreamTable(options.association);
    this.#trace = options.trace ?? SILENT;
    this.#role = options.role;
    this.#maxSendMessageBytes = sendLimit(options.maxSendMessageBytes ?? 65_536);
    this.#maxReceiveMessageBytes = options.maxReceiveMessageBytes ?? DEFAULT_MAX_RECEIVE_MESSAGE_BYTES;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES;
    this.#maxPeerLabelBytes = options.maxPeerLabelBytes ?? DEFAULT_MAX_PEER_LABEL_BYTES;
    this.#resetUnknown = options.onUnknownStream !== 'drop';
  }

  /** The DTLS role is known: channels that wait for an id get theirs, in order of creation (RFC 8832 §6). */
  setRole(role: DtlsRole, now: Instant): void {
    if (this.#role !== undefined) {
      if (this.#role !== role) throw new UsageError('the DTLS role of an association does not change');
      return;
    }
    this.#role = role;
    for (const channel of [...this.#channels.values()]) {
      if (channel.state === 'connecting') this.#assignId(channel);
    }
    if (this.#association === 'connected') this.#announceAll(now);
  }

  /** The peer's `a=max-message-size` (RFC 8841 §6): bytes; 0 is no limit. */
  setMaxSendMessageBytes(bytes: number): void {
    this.#maxSendMessageBytes = sendLimit(bytes);
  }

  /** Most channels at once: the lesser of the streams each way; undefined until the association is up. */
  get maxChannels(): number | undefined {
    return this.#maxChannels;
  }

  /** Channels that became open, and of those how many are closed (webrtc-stats, RTCPeerConnectionStats). */
  get totals(): { readonly opened: number; readonly closed: number } {
    return { opened: this.#opened, closed: this.#closed };
  }

  /** Handles of all channels that are not closed, in order of creation. */
  handles(): ChannelHandle[] {
    return [...this.#channels.keys()];
  }

  /** A channel and its counters; undefined once it is closed (its last state is in the `closed` event). */
  info(handle: ChannelHandle): ChannelInfo | undefined {
    return this.#channels.get(handle)?.info();
  }

  /**
   * Creates a channel. It opens when the association is up; without a known DTLS role its id comes later, as an event.
   * @throws {DataChannelError} `bad-parameters`; `id-in-use`, `no-free-id`, `id-out-of-range`; `closed`.
   */
  open(options: ChannelOptions, now: Instant): ChannelHandle {
    if (this.#association === 'closed') throw new DataChannelError('closed', 'the association is closed');
    const parameters = checkOptions(options);
    const limit = this.#maxChannels ?? MAX_STREAM_ID + 1;
    if (this.#channels.size >= limit) throw new DataChannelError('no-free-id', `${limit} channels are open`);
    let id = parameters.id;
    if (id !== undefined) {
      if (id >= limit) throw new DataChannelError('id-out-of-range', `the association has ${limit} streams`);
      if (this.#streams.get(id) !== undefined) throw new DataChannelError('id-in-use', `stream ${id} is in use`);
      if (!parameters.negotiated && this.#isOurs(id) === false)
        throw new DataChannelError('bad-parameters', `stream ${id} belongs to the other side`);
    } else if (this.#role !== undefined) {
      id = this.#streams.nextFree(this.#role, limit);
      if (id === undefined) throw new DataChannelError('no-free-id', 'all streams are in use');
    }
    const channel = new Channel(this.#nextHandle++, { ...parameters, id });
    this.#channels.set(channel.handle, channel);
    if (id !== undefined) {
      this.#streams.claim(id, channel);
      if (parameters.id === undefined) this.#events.push({ type: 'id', handle: channel.handle, id });
    }
    if (this.#association === 'connected') this.#announce(channel, now);
    return channel.handle;
  }

  /**
   * Queues one message. Bytes are kept without copying until the peer has acknowledged them: they must not change.
   * Nothing is ever dropped for want of room; `send` refuses instead.
   * @throws {DataChannelError} `not-open`; `message-too-large`; `buffer-full` (try again after `buffered-amount-low`).
   */
  send(handle: ChannelHandle, data: string | Uint8Array, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel?.state !== 'open' || channel.id === undefined)
      throw new DataChannelError('not-open', 'the channel is not open');
    const { ppid, bytes, appBytes } = frameUserMessage(data);
    if (appBytes > Math.min(this.#maxSendMessageBytes, this.#maxBufferedBytes))
      throw new DataChannelError('message-too-large', `the peer takes ${this.#maxSendMessageBytes} bytes`);
    this.#flushControl(now);
    if (!channel.announced) throw new DataChannelError('buffer-full', 'DATA_CHANNEL_OPEN waits for room');
    if (this.bufferedAmount(handle) + appBytes > this.#maxBufferedBytes)
      throw new DataChannelError('buffer-full', `over ${this.#maxBufferedBytes} bytes are buffered`);
    const { ordered, maxRetransmits, maxPacketLifeTime: lifetimeMs } = channel.parameters;
    const inOrder = ordered || !channel.confirmed;
    try {
      this.#carrier.send({ streamId: channel.id, ppid, bytes, ordered: inOrder, maxRetransmits, lifetimeMs }, now);
    } catch (error) {
      if (error instanceof UsageError) throw new DataChannelError('buffer-full', error.message);
      throw error;
    }
    channel.ledger.wrote(bytes.length, appBytes);
    channel.messagesSent++;
    channel.bytesSent += appBytes;
    if (this.bufferedAmount(handle) > channel.lowThreshold) channel.aboveThreshold = true;
  }

  /**
   * Starts the closing procedure (RFC 8831 §6.7): what is queued is still sent, then our stream is reset, and when the
   * peer has reset its own, `closed` follows. Does nothing on a channel that is closing or closed.
   */
  close(handle: ChannelHandle, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel === undefined || channel.state === 'closing') return;
    this.#startClosing(channel, now, 'close()');
  }

  /** Application bytes that `send` took and that have not been sent (W3C `bufferedAmount`); 0 for closed channels. */
  bufferedAmount(handle: ChannelHandle): number {
    const channel = this.#lookUp(handle);
    if (channel?.id === undefined || channel.state === 'connecting') return 0;
    return channel.ledger.appBytes(this.#carrier.bufferedAmount(channel.id));
  }

  /** `buffered-amount-low` comes when `bufferedAmount` falls from above `bytes` to it or below. Initially 0. */
  setBufferedAmountLowThreshold(handle: ChannelHandle, bytes: number): void {
    const channel = this.#lookUp(handle);
    if (channel === undefined) return;
    channel.lowThreshold = bytes;
    if (channel.id === undefined || channel.state === 'connecting') return;
    this.#carrier.setBufferedAmountLowThreshold(channel.id, bytes);
    channel.aboveThreshold = this.bufferedAmount(handle) > bytes;
  }

  /** Every event of the association, in order. */
  handleSctpEvent(event: SctpEvent, now: Instant): void {
    if (this.#association === 'closed') return;
    switch (event.type) {
      case 'connected':
        this.#association = 'connected';
        this.#maxChannels = Math.min(event.inboundStreams, event.outboundStreams, MAX_STREAM_ID + 1);
        this.#announceAll(now);
        break;
      case 'message':
        this.#handleMessage(event.streamId, event.ppid, event.bytes, now);
        break;
      case 'buffered-amount-low':
        this.#bufferedAmountLow(event.streamId);
        break;
      case 'incoming-reset':
        // RFC 6525 §4.1: an empty list stands for all streams.
        for (const id of event.streamIds.length > 0 ? event.streamIds : this.#streams.ids())
          this.#incomingReset(id, now);
        break;
      case 'outgoing-reset':
        for (const id of event.streamIds) {
          const stream = this.#streams.outgoingReset(id, event.ok);
          if (stream !== undefined) this.#settle(id, stream);
        }
        break;
      case 'streams-added':
        this.#maxChannels = Math.min(event.inboundStreams, event.outboundStreams, MAX_STREAM_ID + 1);
        break;
      case 'restarted':
        // RFC 9260 §5.2: the peer lost its state, and with it its halves of all channels. New ones can be opened.
        this.#closeAll({
          message: 'the peer restarted the association',
          detail: 'sctp-failure',
          sctpCauseCode: undefined,
        });
        break;
      case 'closed':
        this.#association = 'closed';
        this.#closeAll(undefined);
        return;
      case 'aborted':
        this.#association = 'closed';
        this.#closeAll({ message: event.message, detail: 'sctp-failure', sctpCauseCode: event.cause });
        return;
      case 'failed':
        this.#association = 'closed';
        this.#closeAll({
          message: event.message,
          detail: 'sctp-failure',
          sctpCauseCode: undefined,
        });
        return;
    }
    this.#flushControl(now);
  }

  /**
   * With `hold`, what this channel has delivered counts against the receive window until {@link consume} gives it back, so
   * that a slow reader slows the sender instead of filling memory.
   */
  holdReceived(handle: ChannelHandle, hold: boolean, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel?.id === undefined || channel.state === 'connecting') return;
    channel.held = hold;
    this.#carrier.holdReceived(channel.id, hold, now);
  }

  /** The application is done with `bytes` of the messages of a channel under {@link holdReceived}. */
  consume(handle: ChannelHandle, bytes: number, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel?.id !== undefined && channel.held) this.#carrier.consume(channel.id, bytes, now);
  }

  /** The next event; undefined when there is none. */
  pollEvent(): DataChannelEvent | undefined {
    return this.#events.shift();
  }

  // Opening.

  #assignId(channel: Channel): void {
    const { id, negotiated } = channel.parameters;
    if (id !== undefined) {
      if (!negotiated && this.#isOurs(id) === false)
        this.#finish(channel, failure(`stream ${id} belongs to the other side`), 'wrong parity');
      return;
    }
    const free = this.#role && this.#streams.nextFree(this.#role, this.#maxChannels ?? MAX_STREAM_ID + 1);
    if (free === undefined) {
      this.#finish(channel, failure('no stream is free'), 'no free id');
      return;
    }
    channel.id = free;
    this.#streams.claim(free, channel);
    this.#events.push({ type: 'id', handle: channel.handle, id: free });
  }

  #announceAll(now: Instant): void {
    for (const channel of [...this.#channels.values()])
      if (channel.state === 'connecting') this.#announce(channel, now);
  }

  /** The W3C's "announce the channel as open": the association is up, and no ACK is waited for (RFC 8832 §6). */
  #announce(channel: Channel, now: Instant): void {
    const id = channel.id;
    if (id === undefined) return; // the DTLS role is not known yet
    if (this.#maxChannels !== undefined && id >= this.#maxChannels) {
      this.#finish(channel, failure(`the association has ${this.#maxChannels} streams`), 'id out of range');
      return;
    }
    this.#becomeOpen(channel, id, 'association up');
    this.#events.push({ type: 'open', handle: channel.handle });
    if (channel.parameters.negotiated) channel.announced = true;
    else this.#sendControl(channel, encodeDcep({ type: 'open', ...channel.parameters }), now);
  }

  #becomeOpen(channel: Channel, id: number, why: string): void {
    this.#move(channel, 'open', why);
    this.#opened++;
    this.#carrier.setStreamPriority(id, channel.parameters.priority);
    this.#carrier.setBufferedAmountLowThreshold(id, channel.lowThreshold);
  }

  /** RFC 8832 §6: DCEP messages are ordered and reliable, on the stream of the channel. */
  #sendControl(channel: Channel, bytes: Uint8Array, now: Instant): void {
    this.#controlQueue.push({ channel, bytes });
    this.#flushControl(now);
  }

  #flushControl(now: Instant): void {
    for (let next = this.#controlQueue.peek(); next !== undefined; next = this.#controlQueue.peek()) {
      const { channel, bytes } = next;
      if (channel.state === 'open' && channel.id !== undefined) {
        try {
          this.#carrier.send({ streamId: channel.id, ppid: PPID.dcep, bytes, ordered: true }, now);
        } catch (error) {
          if (error instanceof UsageError) return; // no room: again at the next event
          throw error;
        }
        channel.announced = true;
        channel.ledger.wrote(bytes.length, 0);
      }
      this.#controlQueue.shift();
    }
  }

  // Messages from the peer.

  #handleMessage(id: number, ppid: number, bytes: Uint8Array, now: Instant): void {
    if (ppid === PPID.dcep) {
      this.#handleDcep(id, bytes, now);
      return;
    }
    const stream = this.#streams.get(id);
    const channel = stream?.channel;
    if (stream === undefined) {
      this.#drop('bad-state', `user data on stream ${id}, which has no channel`);
      // RFC 8832 §6: "receiving a message containing user data on an unused stream indicates an error".
      if (this.#resetUnknown) this.#refuse(id, now);
    } else if (channel?.state !== 'open') this.#drop('closed', `user data on stream ${id}, which is being closed`);
    else this.#handleUserMessage(channel, ppid, bytes, now);
  }

  #handleUserMessage(channel: Channel, ppid: number, bytes: Uint8Array, now: Instant): void {
    channel.confirmed = true; // RFC 8832 §6: the ACK "or any other message"
    const held = channel.reader.heldBytes;
    const room = PARTIAL_BUDGET_MESSAGES * this.#maxReceiveMessageBytes - this.#partialBytes + held;
    const result = channel.reader.read(ppid, bytes, Math.min(this.#maxReceiveMessageBytes, room));
    this.#partialBytes += channel.reader.heldBytes - held;
    if (result.kind === 'error') {
      // RFC 8831 §6.6: with an unsupported PPID or another error "the receiver SHOULD close the corresponding channel".
      this.#drop(result.reason, `stream ${channel.id}: ${result.message}`);
      this.#fail(channel, result.message, now);
    } else if (result.kind === 'message') {
      if (result.bytes === 0 && channel.held && channel.id !== undefined)
        this.#carrier.consume(channel.id, bytes.length, now); // the placeholder byte, which the application never sees
      channel.messagesReceived++;
      channel.bytesReceived += result.bytes;
      this.#events.push({ type: 'message', handle: channel.handle, data: result.data });
    }
  }

  #handleDcep(id: number, bytes: Uint8Array, now: Instant): void {
    let message: ReturnType<typeof decodeDcep>;
    try {
      message = decodeDcep(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, `DCEP on stream ${id}: ${error.message}`);
      // RFC 8832 §6: an OPEN that is not well formed closes the channel. Unknown message types are left alone.
      if (bytes[0] === DCEP_OPEN) this.#refuse(id, now);
      return;
    }
    if (message.type === 'open') {
      this.#handleOpen(id, message, bytes.length, now);
      return;
    }
    const channel = this.#streams.get(id)?.channel;
    if (channel === undefined || channel.confirmed || channel.state === 'connecting')
      this.#drop('bad-state', `DATA_CHANNEL_ACK on stream ${id}, which waits for none`);
    else channel.confirmed = true;
  }

  /** RFC 8832 §6: acknowledged only on an unused stream of the peer's parity; else the stream is closed. */
  #handleOpen(id: number, open: DcepOpen, length: number, now: Instant): void {
    const stream = this.#streams.get(id);
    // Both halves are reset as the peer sees it, only our answer is late: the peer may use the stream again.
    const reopened = stream?.incoming === 'reset' && stream.outgoing === 'resetting';
    if (this.#isOurs(id) === true) {
      this.#drop('bad-value', `DATA_CHANNEL_OPEN on stream ${id}, which is ours to open`);
      this.#refuse(id, now);
    } else if (stream !== undefined && !reopened) {
      this.#drop('bad-state', `DATA_CHANNEL_OPEN on stream ${id}, which is in use`);
      this.#refuse(id, now);
    } else if (this.#peerLabelBytes + length > this.#maxPeerLabelBytes) {
      this.#drop('limit', `labels of over ${this.#maxPeerLabelBytes} bytes`);
      this.#refuse(id, now);
    } else {
      const channel = new Channel(this.#nextHandle++, peerParameters(open, id), length);
      if (reopened) {
        const old = stream.channel;
        this.#streams.reopen(id, channel);
        if (old !== undefined) this.#finish(old, undefined, 'stream opened again');
      } else this.#streams.claim(id, channel);
      this.#accept(channel, id, describeDcep(open), now);
    }
  }

  #accept(channel: Channel, id: number, why: string, now: Instant): void {
    this.#peerLabelBytes += channel.peerLabelBytes;
    channel.announced = true;
    channel.confirmed = true;
    this.#channels.set(channel.handle, channel);
    this.#becomeOpen(channel, id, why);
    this.#events.push({ type: 'channel', handle: channel.handle, parameters: channel.parameters });
    this.#events.push({ type: 'open', handle: channel.handle });
    this.#sendControl(channel, encodeDcep({ type: 'ack' }), now);
  }

  #bufferedAmountLow(id: number): void {
    const channel = this.#streams.get(id)?.channel;
    if (!channel?.aboveThreshold || this.bufferedAmount(channel.handle) > channel.lowThreshold) return;
    channel.aboveThreshold = false;
    this.#events.push({ type: 'buffered-amount-low', handle: channel.handle });
  }

  // Closing (RFC 8831 §6.7).

  /** Closes what is on a stream because of what the peer sent there; a stream without a channel is only reset. */
  #refuse(id: number, now: Instant): void {
    const stream = this.#streams.get(id);
    if (stream?.channel !== undefined) {
      this.#fail(stream.channel, 'the peer broke the rules of the channel', now);
      return;
    }
    if (stream === undefined) this.#streams.claim(id, undefined);
    this.#streams.reset(id, now);
  }

  #fail(channel: Channel, message: string, now: Instant): void {
    channel.failure ??= failure(message);
    if (channel.state === 'open') this.#events.push({ type: 'closing', handle: channel.handle });
    if (channel.state !== 'closing') this.#startClosing(channel, now, message);
  }

  #startClosing(channel: Channel, now: Instant, why: string): void {
    const id = channel.id;
    if (id === undefined || !channel.announced) {
      // Nothing went out on the stream, so there is nothing to reset.
      if (id !== undefined) this.#streams.free(id);
      this.#finish(channel, channel.failure, why);
      return;
    }
    this.#move(channel, 'closing', why);
    this.#streams.reset(id, now);
  }

  #incomingReset(id: number, now: Instant): void {
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.incoming === 'reset') return;
    stream.incoming = 'reset';
    const channel = stream.channel;
    if (channel?.state === 'open') {
      // RFC 8832 §6: a reset without an ACK before it tells that the setup of the channel failed.
      if (!channel.confirmed) channel.failure = failure('the peer refused the channel');
      this.#events.push({ type: 'closing', handle: channel.handle });
      this.#startClosing(channel, now, 'reset by the peer');
    }
    this.#settle(id, stream);
  }

  /** After each reset: a channel is closed when both halves are, or when the peer will never reset its half. */
  #settle(id: number, stream: Stream): void {
    const channel = stream.channel;
    if (stream.outgoing === 'stuck') stream.channel = undefined;
    else if (stream.outgoing === 'reset' && stream.incoming === 'reset') this.#streams.free(id);
    else return;
    if (channel !== undefined) this.#finish(channel, channel.failure, 'both streams reset');
  }

  #closeAll(reason: ChannelFailure | undefined): void {
    this.#streams.clear();
    this.#controlQueue.clear();
    for (const channel of [...this.#channels.values()]) this.#finish(channel, channel.failure ?? reason, 'association');
  }

  #finish(channel: Channel, reason: ChannelFailure | undefined, why: string): void {
    const wasOpen = channel.state !== 'connecting';
    this.#move(channel, 'closed', why);
    if (wasOpen) this.#closed++;
    this.#channels.delete(channel.handle);
    this.#peerLabelBytes -= channel.peerLabelBytes;
    this.#partialBytes -= channel.reader.heldBytes;
    channel.reader.reset();
    if (reason !== undefined) this.#events.push({ type: 'error', handle: channel.handle, ...reason });
    this.#events.push({ type: 'closed', handle: channel.handle, info: channel.info() });
  }

  // Helpers.

  #move(channel: Channel, next: ChannelState, why: string): void {
    if (!MOVES[channel.state].includes(next)) throw new Error(`illegal ${channel.state} -> ${next} (${why})`);
    this.#trace.state(`datachannel ${channel.handle}`, channel.state, next, why);
    channel.state = next;
  }

  /** Whether we may open channels on a stream (RFC 8832 §6); undefined while the role is not known. */
  #isOurs(id: number): boolean | undefined {
    return this.#role === undefined ? undefined : (id & 1) === parityOf(this.#role);
  }

  #lookUp(handle: ChannelHandle): Channel | undefined {
    if (!Number.isInteger(handle) || handle < 1 || handle >= this.#nextHandle)
      throw new UsageError(`there never was a channel ${handle}`);
    return this.#channels.get(handle);
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#trace.drop('datachannel', reason, detail);
  }
}

/** Incomplete partial messages of all channels may together hold this many messages of the largest size. */
const PARTIAL_BUDGET_MESSAGES = 4;

function failure(message: string): ChannelFailure {
  return { message, detail: 'data-channel-failure', sctpCauseCode: undefined };
}

function sendLimit(bytes: number): number {
  return bytes === 0 ? Number.POSITIVE_INFINITY : bytes;
}
