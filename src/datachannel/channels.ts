import { DecodeError, type DropCounters, type Instant, SILENT, type Trace, UsageError } from '../core/index.ts';
import type { SctpEvent } from '../sctp/index.ts';
import { Channel, checkOptions, peerParameters } from './channel.ts';
import { DCEP_OPEN, type DcepOpen, decodeDcep, describeDcep } from './dcep.ts';
import { ChannelLifecycle } from './lifecycle.ts';
import { PPID } from './ppid.ts';
import { MAX_STREAM_ID } from './stream-ids.ts';
import {
  type ChannelHandle,
  type ChannelInfo,
  type ChannelOptions,
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
  readonly drops: DropCounters;
  #carrier: StreamCarrier;
  readonly #life: ChannelLifecycle;
  readonly #maxReceiveMessageBytes: number;
  readonly #maxBufferedBytes: number;
  readonly #maxPeerLabelBytes: number;
  readonly #resetUnknown: boolean;
  #maxSendMessageBytes: number;
  #association: AssociationState = 'connecting';
  #nextHandle: ChannelHandle = 1;

  constructor(options: DataChannelsOptions) {
    this.#carrier = options.association;
    this.#life = new ChannelLifecycle(options.association, options.trace ?? SILENT, options.role);
    this.drops = this.#life.drops;
    this.#maxSendMessageBytes = sendLimit(options.maxSendMessageBytes ?? 65_536);
    this.#maxReceiveMessageBytes = options.maxReceiveMessageBytes ?? DEFAULT_MAX_RECEIVE_MESSAGE_BYTES;
    this.#maxBufferedBytes = options.maxBufferedBytes ?? DEFAULT_MAX_BUFFERED_BYTES;
    this.#maxPeerLabelBytes = options.maxPeerLabelBytes ?? DEFAULT_MAX_PEER_LABEL_BYTES;
    this.#resetUnknown = options.onUnknownStream !== 'drop';
  }

  /**
   * The DTLS role is known: channels that wait for an id get theirs, in order of creation (RFC 8832 §6). A peer that
   * restarts over another DTLS association may have another role (RFC 8842 §5): it holds for ids that are yet to be chosen.
   */
  setRole(role: DtlsRole, now: Instant): void {
    if (this.#life.role === role) return;
    if (this.#life.role !== undefined) {
      this.#life.role = role;
      return;
    }
    this.#life.assignIds(role);
    if (this.#association === 'connected') this.#life.announceAll(now);
  }

  /** The peer's `a=max-message-size` (RFC 8841 §6): bytes; 0 is no limit. */
  setMaxSendMessageBytes(bytes: number): void {
    this.#maxSendMessageBytes = sendLimit(bytes);
  }

  /**
   * Another association takes the place of the one below (RFC 8841 §9.3); its events are the ones to hand in from now on.
   * Both sides have agreed on it, so that open channels end without an error. Those that were not open yet keep their
   * identifiers and open on the new one.
   */
  replaceAssociation(association: StreamCarrier): void {
    this.#carrier = association;
    this.#association = 'connecting';
    this.#life.moveTo(association);
  }

  /** Most channels at once: the lesser of the streams each way; undefined until the association is up. */
  get maxChannels(): number | undefined {
    return this.#life.maxChannels;
  }

  /** Channels that became open, and of those how many are closed (webrtc-stats, RTCPeerConnectionStats). */
  get totals(): { readonly opened: number; readonly closed: number } {
    return { opened: this.#life.opened, closed: this.#life.closed };
  }

  /** Handles of all channels that are not closed, in order of creation. */
  handles(): ChannelHandle[] {
    return [...this.#life.channels.keys()];
  }

  /** A channel and its counters; undefined once it is closed (its last state is in the `closed` event). */
  info(handle: ChannelHandle): ChannelInfo | undefined {
    return this.#life.channels.get(handle)?.info();
  }

  /**
   * Creates a channel. It opens when the association is up; without a known DTLS role its id comes later, as an event.
   * @throws {DataChannelError} `bad-parameters`; `id-in-use`, `no-free-id`, `id-out-of-range`; `closed`.
   */
  open(options: ChannelOptions, now: Instant): ChannelHandle {
    if (this.#association === 'closed') throw new DataChannelError('closed', 'the association is closed');
    const parameters = checkOptions(options);
    const limit = this.#life.maxChannels ?? MAX_STREAM_ID + 1;
    if (this.#life.channels.size >= limit) throw new DataChannelError('no-free-id', `${limit} channels are open`);
    let id = parameters.id;
    if (id !== undefined) {
      if (id >= limit) throw new DataChannelError('id-out-of-range', `the association has ${limit} streams`);
      if (this.#life.streams.get(id) !== undefined) throw new DataChannelError('id-in-use', `stream ${id} is in use`);
      if (!parameters.negotiated && this.#life.isOurs(id) === false)
        throw new DataChannelError('bad-parameters', `stream ${id} belongs to the other side`);
    } else if (this.#life.role !== undefined) {
      id = this.#life.streams.nextFree(this.#life.role, limit);
      if (id === undefined) throw new DataChannelError('no-free-id', 'all streams are in use');
    }
    const channel = new Channel(this.#nextHandle++, { ...parameters, id });
    this.#life.add(channel);
    if (id !== undefined && parameters.id === undefined)
      this.#life.events.push({ type: 'id', handle: channel.handle, id });
    if (this.#association === 'connected') this.#life.announce(channel, now);
    return channel.handle;
  }

  /**
   * Queues one message. Bytes are kept without copying until the peer has acknowledged them: they must not change.
   * Nothing is ever dropped for want of room; `send` refuses instead.
   * @param borrowed - the bytes are copied instead, and may change once this returns.
   * @throws {DataChannelError} `not-open`; `message-too-large`; `buffer-full` (try again after `buffered-amount-low`).
   */
  send(handle: ChannelHandle, data: string | Uint8Array, now: Instant, borrowed = false): void {
    const channel = this.#lookUp(handle);
    if (channel?.state !== 'open' || channel.id === undefined)
      throw new DataChannelError('not-open', 'the channel is not open');
    const { ppid, bytes, appBytes } = frameUserMessage(data);
    this.checkLength(appBytes);
    this.#life.flushControl(now);
    if (!channel.announced) throw new DataChannelError('buffer-full', 'DATA_CHANNEL_OPEN waits for room');
    this.checkRoom(this.bufferedAmount(handle) + appBytes);
    const { ordered, maxRetransmits, maxPacketLifeTime: lifetimeMs } = channel.parameters;
    const inOrder = ordered || !channel.confirmed;
    try {
      this.#carrier.send(
        {
          streamId: channel.id,
          ppid,
          bytes,
          borrowed: borrowed && bytes === data,
          ordered: inOrder,
          maxRetransmits,
          lifetimeMs,
        },
        now,
      );
    } catch (error) {
      if (error instanceof UsageError) throw new DataChannelError('buffer-full', error.message);
      throw error;
    }
    channel.ledger.wrote(bytes.length, appBytes);
    channel.messagesSent++;
    channel.bytesSent += appBytes;
    if (this.bufferedAmount(handle) > channel.lowThreshold) channel.aboveThreshold = true;
  }

  /** For messages that are yet to be handed in. @throws {DataChannelError} `message-too-large`. */
  checkLength(bytes: number): void {
    if (bytes > Math.min(this.#maxSendMessageBytes, this.#maxBufferedBytes))
      throw new DataChannelError('message-too-large', `the peer takes ${this.#maxSendMessageBytes} bytes`);
  }

  /** @param amount - what would be buffered on one channel, bytes. @throws {DataChannelError} `buffer-full`. */
  checkRoom(amount: number): void {
    if (amount > this.#maxBufferedBytes)
      throw new DataChannelError('buffer-full', `over ${this.#maxBufferedBytes} bytes are buffered`);
  }

  /**
   * Starts the closing procedure (RFC 8831 §6.7): what is queued is still sent, then our stream is reset, and when the
   * peer has reset its own, `closed` follows. Does nothing on a channel that is closing or closed.
   */
  close(handle: ChannelHandle, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel === undefined || channel.state === 'closing') return;
    this.#life.startClosing(channel, now, 'close()');
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
    const { id } = channel;
    if (id === undefined || channel.state === 'connecting') return;
    this.#life.tune(() => this.#carrier.setBufferedAmountLowThreshold(id, bytes));
    channel.aboveThreshold = this.bufferedAmount(handle) > bytes;
  }

  /** Every event of the association, in order. */
  handleSctpEvent(event: SctpEvent, now: Instant): void {
    if (this.#association === 'closed') return;
    switch (event.type) {
      case 'sendable':
        this.#life.announceEarly(Math.min(event.inboundStreams, event.outboundStreams, MAX_STREAM_ID + 1), now);
        return;
      case 'connected':
        this.#association = 'connected';
        this.#life.maxChannels = Math.min(event.inboundStreams, event.outboundStreams, MAX_STREAM_ID + 1);
        this.#life.announceAll(now);
        break;
      case 'message':
        this.#handleMessage(event.streamId, event.ppid, event.bytes, now);
        break;
      case 'buffered-amount-low':
        this.#bufferedAmountLow(event.streamId);
        break;
      case 'incoming-reset':
        // RFC 6525 §4.1: an empty list stands for all streams.
        for (const id of event.streamIds.length > 0 ? event.streamIds : this.#life.streams.receiving())
          this.#life.incomingReset(id, now);
        break;
      case 'outgoing-reset':
        for (const id of event.streamIds) this.#life.outgoingReset(id, event.ok, now);
        break;
      case 'streams-added':
        this.#life.maxChannels = Math.min(event.inboundStreams, event.outboundStreams, MAX_STREAM_ID + 1);
        break;
      case 'restarted':
        // RFC 9260 §5.2: the peer lost its state, and with it its halves of all channels. New ones can be opened.
        this.#life.closeAll({
          message: 'the peer restarted the association',
          detail: 'sctp-failure',
          sctpCauseCode: undefined,
        });
        break;
      case 'closed':
        this.#association = 'closed';
        this.#life.closeAll(undefined);
        return;
      case 'aborted':
        this.#association = 'closed';
        this.#life.closeAll({ message: event.message, detail: 'sctp-failure', sctpCauseCode: event.cause });
        return;
      case 'failed':
        this.#association = 'closed';
        this.#life.closeAll({
          message: event.message,
          detail: 'sctp-failure',
          sctpCauseCode: undefined,
        });
        return;
    }
    this.#life.flushControl(now);
  }

  /**
   * With `hold`, what this channel has delivered counts against the receive window until {@link consume} gives it back, so
   * that a slow reader slows the sender instead of filling memory. Before the channel is open it is a wish for then.
   */
  holdReceived(handle: ChannelHandle, hold: boolean, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel === undefined) return;
    channel.held = hold;
    if (channel.id !== undefined && channel.state === 'open') this.#carrier.holdReceived(channel.id, hold, now);
  }

  /** The application is done with `bytes` of the messages of a channel under {@link holdReceived}: their `heldBytes`. */
  consume(handle: ChannelHandle, bytes: number, now: Instant): void {
    const channel = this.#lookUp(handle);
    if (channel?.id !== undefined && channel.held) this.#carrier.consume(channel.id, bytes, now);
  }

  /** The next event; undefined when there is none. */
  pollEvent(): DataChannelEvent | undefined {
    return this.#life.events.shift();
  }

  #handleMessage(id: number, ppid: number, bytes: Uint8Array, now: Instant): void {
    if (ppid === PPID.dcep) {
      if (this.#life.streams.get(id)?.channel?.held === true) this.#carrier.consume(id, bytes.length, now);
      this.#handleDcep(id, bytes, now);
      return;
    }
    const stream = this.#life.streams.get(id);
    const channel = stream?.channel;
    if (stream === undefined) {
      this.#life.drop('bad-state', `user data on stream ${id}, which has no channel`);
      // RFC 8832 §6: "receiving a message containing user data on an unused stream indicates an error".
      if (this.#resetUnknown) this.#life.refuse(id, now);
    } else if (channel?.state !== 'open') this.#life.drop('closed', `user data on stream ${id}, which is being closed`);
    else this.#handleUserMessage(channel, ppid, bytes, now);
  }

  #handleUserMessage(channel: Channel, ppid: number, bytes: Uint8Array, now: Instant): void {
    channel.confirmed = true; // RFC 8832 §6: the ACK "or any other message"
    const held = channel.reader.heldBytes;
    const room = PARTIAL_BUDGET_MESSAGES * this.#maxReceiveMessageBytes - this.#life.partialBytes + held;
    const result = channel.reader.read(ppid, bytes, Math.min(this.#maxReceiveMessageBytes, room));
    this.#life.partialBytes += channel.reader.heldBytes - held;
    if (result.kind === 'error') {
      // RFC 8831 §6.6: with an unsupported PPID or another error "the receiver SHOULD close the corresponding channel".
      this.#life.drop(result.reason, `stream ${channel.id}: ${result.message}`);
      this.#life.fail(channel, result.message, now);
    } else if (result.kind === 'message') {
      channel.messagesReceived++;
      channel.bytesReceived += result.bytes;
      const heldBytes = result.bytes === 0 ? bytes.length : result.bytes;
      const { handle } = channel;
      this.#life.events.push({ type: 'message', handle, data: result.data, ...(channel.held && { heldBytes }) });
    }
  }

  #handleDcep(id: number, bytes: Uint8Array, now: Instant): void {
    let message: ReturnType<typeof decodeDcep>;
    try {
      message = decodeDcep(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#life.drop(error.reason, `DCEP on stream ${id}: ${error.message}`);
      // RFC 8832 §6: an OPEN that is not well formed closes the channel. Unknown message types are left alone.
      if (bytes[0] === DCEP_OPEN) this.#life.refuse(id, now);
      return;
    }
    if (message.type === 'open') {
      this.#handleOpen(id, message, bytes.length, now);
      return;
    }
    const channel = this.#life.streams.get(id)?.channel;
    if (channel?.awaitsAck) {
      channel.awaitsAck = false;
      channel.confirmed = true;
    } else this.#life.drop('bad-state', `DATA_CHANNEL_ACK on stream ${id}, which waits for none`);
  }

  /** RFC 8832 §6: acknowledged only on an unused stream of the peer's parity; else the stream is closed. */
  #handleOpen(id: number, open: DcepOpen, length: number, now: Instant): void {
    const stream = this.#life.streams.get(id);
    // Both halves are reset as the peer sees it, only our answer is late: the peer may use the stream again.
    const reopened = stream !== undefined && this.#life.streams.canReopen(stream);
    if (this.#life.isOurs(id) === true) {
      this.#life.drop('bad-value', `DATA_CHANNEL_OPEN on stream ${id}, which is ours to open`);
      this.#life.refuse(id, now);
    } else if (stream !== undefined && !reopened) {
      this.#life.drop('bad-state', `DATA_CHANNEL_OPEN on stream ${id}, which is in use`);
      this.#life.refuse(id, now);
    } else if (id >= (this.#life.maxChannels ?? 0)) {
      this.#life.drop('bad-value', `DATA_CHANNEL_OPEN on stream ${id}, to which we have no counterpart`);
    } else if (this.#life.peerLabelBytes + length > this.#maxPeerLabelBytes) {
      this.#life.drop('limit', `labels of over ${this.#maxPeerLabelBytes} bytes`);
      this.#life.refuse(id, now);
    } else {
      const channel = new Channel(this.#nextHandle++, peerParameters(open, id), length);
      if (reopened) {
        const old = stream.channel;
        this.#life.streams.reopen(id, channel);
        if (old !== undefined) this.#life.finish(old, undefined, 'stream opened again');
      } else this.#life.streams.claim(id, channel);
      this.#life.accept(channel, id, describeDcep(open), now);
    }
  }

  #bufferedAmountLow(id: number): void {
    const channel = this.#life.streams.get(id)?.channel;
    if (!channel?.aboveThreshold || this.bufferedAmount(channel.handle) > channel.lowThreshold) return;
    channel.aboveThreshold = false;
    this.#life.events.push({ type: 'buffered-amount-low', handle: channel.handle });
  }

  #lookUp(handle: ChannelHandle): Channel | undefined {
    if (!Number.isInteger(handle) || handle < 1 || handle >= this.#nextHandle)
      throw new UsageError(`there never was a channel ${handle}`);
    return this.#life.channels.get(handle);
  }
}

/** Incomplete partial messages of all channels may together hold this many messages of the largest size. */
const PARTIAL_BUDGET_MESSAGES = 4;

function sendLimit(bytes: number): number {
  return bytes === 0 ? Number.POSITIVE_INFINITY : bytes;
}
