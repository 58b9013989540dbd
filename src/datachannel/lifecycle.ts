import { DropCounters, type DropReason, type Instant, Ring, type Trace, UsageError } from '../core/index.ts';
import type { Channel, ChannelFailure } from './channel.ts';
import { encodeDcep } from './dcep.ts';
import { PPID } from './ppid.ts';
import { MAX_STREAM_ID, parityOf } from './stream-ids.ts';
import { StreamTable } from './streams.ts';
import type { ChannelHandle, ChannelState, DataChannelEvent, DtlsRole, StreamCarrier } from './types.ts';

/** The states of RTCDataChannelState and where each may lead. */
const MOVES: Record<ChannelState, readonly ChannelState[]> = {
  connecting: ['open', 'closing', 'closed'], // closing: announced with the COOKIE ECHO, and closed before the answer
  open: ['closing', 'closed'],
  closing: ['closed'],
  closed: [],
};

/**
 * The life of channels between creation and end: identifiers, announcing (RFC 8832 §6), and the closing procedure
 * (RFC 8831 §6.7). `DataChannels` puts commands and messages in front of it.
 */
export class ChannelLifecycle {
  readonly drops: DropCounters = new DropCounters();
  readonly events: Ring<DataChannelEvent> = new Ring();
  /** Live channels in order of creation. */
  readonly channels: Map<ChannelHandle, Channel> = new Map();
  readonly streams: StreamTable;
  role: DtlsRole | undefined;
  /** Undefined until the association is up. */
  maxChannels: number | undefined;
  opened = 0;
  closed = 0;
  /** Bytes of the OPEN messages of channels that the peer has open. */
  peerLabelBytes = 0;
  /** Bytes held in incomplete partial messages. */
  partialBytes = 0;
  #carrier: StreamCarrier;
  readonly #trace: Trace;
  /** Channels that were announced early and closed before the association was up: there is a stream to reset then. */
  readonly #closedEarly: number[] = [];
  /**
   * DCEP messages that the carrier had no room for, in their order: the OPEN or the ACK of a channel that is open. With its
   * channel it goes: a peer that opens and resets a stream again and again, and takes nothing meanwhile, makes nothing grow.
   */
  readonly #waitingControl: Map<Channel, Uint8Array> = new Map();

  constructor(carrier: StreamCarrier, trace: Trace, role: DtlsRole | undefined) {
    this.#carrier = carrier;
    this.#trace = trace;
    this.role = role;
    this.streams = new StreamTable(carrier);
  }

  /** A channel of ours, on `id` if it has one already. */
  add(channel: Channel): void {
    this.channels.set(channel.handle, channel);
    if (channel.id !== undefined) this.streams.claim(channel.id, channel);
  }

  /** Channels that wait for an id get theirs, in order of creation (RFC 8832 §6). */
  assignIds(role: DtlsRole): void {
    this.role = role;
    for (const channel of [...this.channels.values()]) if (channel.state === 'connecting') this.#assignId(channel);
  }

  #assignId(channel: Channel): void {
    const { id, negotiated } = channel.parameters;
    if (id !== undefined) {
      if (!negotiated && this.isOurs(id) === false) this.#abandon(channel, `stream ${id} belongs to the other side`);
      return;
    }
    const free = this.role && this.streams.nextFree(this.role, this.maxChannels ?? MAX_STREAM_ID + 1);
    if (free === undefined) {
      this.#abandon(channel, 'no stream is free');
      return;
    }
    channel.id = free;
    this.streams.claim(free, channel);
    this.events.push({ type: 'id', handle: channel.handle, id: free });
  }

  /**
   * Before the association is up: the OPENs of the channels that there are ride with the COOKIE ECHO (RFC 9260 §5.1 C), so
   * that the peer knows them as soon as it is up. For the application they open later.
   * @param limit - identifiers that the association will have.
   */
  announceEarly(limit: number, now: Instant): void {
    for (const channel of this.channels.values()) {
      const { id } = channel;
      if (channel.state !== 'connecting' || channel.parameters.negotiated) continue;
      if (id === undefined || id >= limit || this.isOurs(id) !== true) continue;
      const bytes = encodeDcep({ type: 'open', ...channel.parameters });
      if (!this.#send(channel, id, bytes, now)) return; // no room: when the association is up
      channel.awaitsAck = true;
    }
  }

  announceAll(now: Instant): void {
    for (const id of this.#closedEarly.splice(0)) this.#reset(id, now);
    for (const channel of [...this.channels.values()]) if (channel.state === 'connecting') this.announce(channel, now);
  }

  /** The W3C's "announce the channel as open": the association is up, and no ACK is waited for (RFC 8832 §6). */
  announce(channel: Channel, now: Instant): void {
    const id = channel.id;
    if (id === undefined) return; // the DTLS role is not known yet
    if (this.maxChannels !== undefined && id >= this.maxChannels) {
      this.#abandon(channel, `the association has ${this.maxChannels} streams`);
      return;
    }
    this.#becomeOpen(channel, id, 'association up', now);
    this.events.push({ type: 'open', handle: channel.handle });
    if (channel.announced) return; // with the COOKIE ECHO
    channel.awaitsAck = !channel.parameters.negotiated;
    if (channel.parameters.negotiated) channel.announced = true;
    else this.#sendControl(channel, encodeDcep({ type: 'open', ...channel.parameters }), now);
  }

  /** The W3C's "error on creating data channels": nothing has been sent for the channel. */
  #abandon(channel: Channel, message: string): void {
    if (channel.id !== undefined) this.streams.free(channel.id);
    this.finish(channel, failure(message), message);
  }

  #becomeOpen(channel: Channel, id: number, why: string, now: Instant): void {
    this.#move(channel, 'open', why);
    channel.wasOpen = true;
    this.opened++;
    // A weight of 0 would never be served: the peer may name any 16 bits.
    this.tune(() => {
      this.#carrier.setStreamPriority(id, Math.max(1, channel.parameters.priority));
      this.#carrier.setBufferedAmountLowThreshold(id, channel.lowThreshold);
      if (channel.held) this.#carrier.holdReceived(id, true, now);
    });
  }

  /**
   * Sets something at the carrier. An association that is ending refuses that, while events of before are still on their
   * way here (the peer may put an OPEN and an ABORT into one packet): then there is nothing left to set.
   */
  tune(set: () => void): void {
    try {
      set();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
    }
  }

  /** RFC 8832 §6: DCEP messages are ordered and reliable, on the stream of the channel. */
  #sendControl(channel: Channel, bytes: Uint8Array, now: Instant): void {
    this.#waitingControl.set(channel, bytes);
    this.flushControl(now);
  }

  flushControl(now: Instant): void {
    if (this.#waitingControl.size === 0) return; // on the way of every message
    for (const [channel, bytes] of this.#waitingControl) {
      if (channel.id !== undefined && !this.#send(channel, channel.id, bytes, now)) return; // again at the next event
      this.#waitingControl.delete(channel);
    }
  }

  /** @returns false when the carrier has no room. */
  #send(channel: Channel, streamId: number, bytes: Uint8Array, now: Instant): boolean {
    try {
      this.#carrier.send({ streamId, ppid: PPID.dcep, bytes, ordered: true }, now);
    } catch (error) {
      if (error instanceof UsageError) return false;
      throw error;
    }
    channel.announced = true;
    channel.ledger.wrote(bytes.length, 0);
    return true;
  }

  accept(channel: Channel, id: number, why: string, now: Instant): void {
    this.peerLabelBytes += channel.peerLabelBytes;
    channel.announced = true;
    channel.confirmed = true;
    this.channels.set(channel.handle, channel);
    this.#becomeOpen(channel, id, why, now);
    this.events.push({ type: 'channel', handle: channel.handle, parameters: channel.parameters });
    this.events.push({ type: 'open', handle: channel.handle });
    this.#sendControl(channel, encodeDcep({ type: 'ack' }), now);
  }

  /** Closes what is on a stream because of what the peer sent there; a stream without a channel is only reset. */
  refuse(id: number, now: Instant): void {
    const stream = this.streams.get(id);
    if (stream?.channel !== undefined) {
      this.fail(stream.channel, 'the peer broke the rules of the channel', now);
      return;
    }
    if (this.maxChannels !== undefined && id >= this.maxChannels) return; // we have no such outgoing stream to reset
    if (stream === undefined) this.streams.claim(id, undefined);
    this.#reset(id, now);
  }

  fail(channel: Channel, message: string, now: Instant): void {
    channel.failure ??= failure(message);
    if (channel.state === 'open') this.events.push({ type: 'closing', handle: channel.handle });
    if (channel.state !== 'closing') this.startClosing(channel, now, message);
  }

  startClosing(channel: Channel, now: Instant, why: string): void {
    const id = channel.id;
    if (id === undefined || !channel.announced) {
      // Nothing went out on the stream, so there is nothing to reset.
      if (id !== undefined) this.streams.free(id);
      this.finish(channel, channel.failure, why);
      return;
    }
    this.#move(channel, 'closing', why);
    if (channel.held) this.#carrier.holdReceived(id, false, now); // nobody will consume what is left
    channel.held = false;
    if (this.maxChannels === undefined) this.#closedEarly.push(id);
    else this.#reset(id, now);
  }

  incomingReset(id: number, now: Instant): void {
    const stream = this.streams.incomingReset(id);
    if (stream === undefined) return;
    const channel = stream.channel;
    if (channel?.state === 'open') {
      // RFC 8832 §6: a reset without an ACK before it tells that the setup of the channel failed.
      if (!channel.confirmed) channel.failure = failure('the peer refused the channel');
      this.events.push({ type: 'closing', handle: channel.handle });
      this.startClosing(channel, now, 'reset by the peer');
    }
    this.#settle(id);
  }

  outgoingReset(id: number, ok: boolean, now: Instant): void {
    this.streams.outgoingReset(id, ok, now);
    this.#settle(id);
  }

  /** Resets our half of a stream; where the peer cannot, that is the end of the channel here. */
  #reset(id: number, now: Instant): void {
    this.streams.reset(id, now);
    this.#settle(id);
  }

  /** After each reset: a channel is closed when both halves are, or when the peer will never reset its half. */
  #settle(id: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    const { channel } = stream;
    if (stream.outgoing === 'stuck') stream.channel = undefined;
    else if (stream.outgoing === 'reset' && stream.incoming === 'reset') this.streams.free(id);
    else return;
    if (channel !== undefined) this.finish(channel, channel.failure, 'both streams reset');
  }

  closeAll(reason: ChannelFailure | undefined): void {
    this.streams.clear();
    this.#waitingControl.clear();
    this.#closedEarly.length = 0;
    for (const channel of [...this.channels.values()]) this.finish(channel, channel.failure ?? reason, 'association');
  }

  /** Another association, not yet up: channels that were open end with the one before, those that wait go on to wait. */
  moveTo(carrier: StreamCarrier): void {
    this.#carrier = carrier;
    this.streams.moveTo(carrier);
    this.#waitingControl.clear();
    this.#closedEarly.length = 0;
    this.maxChannels = undefined;
    for (const channel of [...this.channels.values()]) {
      if (channel.state === 'connecting') {
        channel.unannounce();
        if (channel.id !== undefined) this.streams.claim(channel.id, channel);
      } else this.finish(channel, channel.failure, 'another association');
    }
  }

  finish(channel: Channel, reason: ChannelFailure | undefined, why: string): void {
    this.#move(channel, 'closed', why);
    if (channel.wasOpen) this.closed++;
    this.channels.delete(channel.handle);
    this.peerLabelBytes -= channel.peerLabelBytes;
    this.partialBytes -= channel.reader.heldBytes;
    channel.reader.reset();
    if (reason !== undefined) this.events.push({ type: 'error', handle: channel.handle, ...reason });
    this.events.push({ type: 'closed', handle: channel.handle, info: channel.info() });
  }

  #move(channel: Channel, next: ChannelState, why: string): void {
    if (!MOVES[channel.state].includes(next)) throw new Error(`illegal ${channel.state} -> ${next} (${why})`);
    this.#trace.state(`datachannel ${channel.handle}`, channel.state, next, why);
    channel.state = next;
    if (next !== 'open') this.#waitingControl.delete(channel);
  }

  /** Whether we may open channels on a stream (RFC 8832 §6); undefined while the role is not known. */
  isOurs(id: number): boolean | undefined {
    return this.role === undefined ? undefined : (id & 1) === parityOf(this.role);
  }

  drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#trace.drop('datachannel', reason, detail);
  }
}

/** A failure that is the channel's own and not the association's. */
export function failure(message: string): ChannelFailure {
  return { message, detail: 'data-channel-failure', sctpCauseCode: undefined };
}
