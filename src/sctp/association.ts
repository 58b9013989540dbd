import {
  DropCounters,
  type Instant,
  Ring,
  type SansIo,
  SLOT_TAILROOM,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { ControlQueue, DropReporter } from './control-queue.ts';
import { Handshake } from './handshake.ts';
import { Lifecycle } from './lifecycle.ts';
import {
  DEFAULT_MAX_MESSAGE_BYTES,
  DEFAULT_MTU_BYTES,
  DEFAULT_PORT,
  DEFAULT_RECEIVE_WINDOW_BYTES,
  MAX_GROWN_RECEIVE_WINDOW_BYTES,
  MAX_MTU_BYTES,
  MIN_MTU_BYTES,
  MIN_RECEIVE_WINDOW_BYTES,
} from './limits.ts';
import { PacketInput } from './packet-input.ts';
import type { Session, SessionSettings } from './session.ts';
import type { SctpEvent, SctpMessage, SctpOptions, SctpState, SctpStats } from './types.ts';
import { COMMON_HEADER_BYTES, writeChecksum, writePacketHeader } from './wire/packet.ts';
import { CHUNK } from './wire/registry.ts';
import { padded } from './wire/tlv.ts';

/**
 * One SCTP association (RFC 9260) over any datagram carrier; over DTLS it is RFC 8261.
 *
 * @example
 * const association = new SctpAssociation({ env });
 * const driver = new Driver(association, host, (event) => {
 *   if (event.type === 'connected') {
 *     driver.mutate((now) => association.send({ streamId: 0, ppid: 53, bytes: hello, ordered: true }, now));
 *   }
 * });
 * driver.mutate((now) => association.connect(now)); // both sides may
 */
export class SctpAssociation implements SansIo<SctpEvent> {
  readonly drops: DropCounters = new DropCounters();
  readonly #localPort: number;
  readonly #remotePort: number;
  readonly #settings: SessionSettings;
  readonly #mtuBytes: number;
  readonly #handshake: Handshake;
  readonly #lifecycle: Lifecycle;
  readonly #input: PacketInput;
  readonly #events: Ring<SctpEvent> = new Ring();
  readonly #control: ControlQueue;
  #packetsSent = 0;
  #packetsReceived = 0;
  #bytesSent = 0;
  #bytesReceived = 0;

  /** @throws {UsageError} for options out of range. */
  constructor(options: SctpOptions) {
    const settings = checkOptions(options);
    this.#localPort = checkRange('localPort', options.localPort ?? DEFAULT_PORT, 1, 0xffff);
    this.#remotePort = checkRange('remotePort', options.remotePort ?? DEFAULT_PORT, 1, 0xffff);
    this.#mtuBytes = settings.mtuBytes;
    this.#settings = settings;
    const reporter = new DropReporter(this.drops, options.env.trace);
    const control = new ControlQueue(reporter);
    this.#control = control;
    this.#handshake = new Handshake(options, settings.windowBytes, settings.mtuBytes);
    this.#lifecycle = new Lifecycle({ settings, handshake: this.#handshake, events: this.#events, control, reporter });
    this.#input = new PacketInput({
      lifecycle: this.#lifecycle,
      control,
      reporter,
      localPort: this.#localPort,
      remotePort: this.#remotePort,
      acceptsZeroChecksum: options.zeroChecksum === true,
    });
  }

  get state(): SctpState {
    return this.#lifecycle.state;
  }

  /** Streams in each direction; undefined until connected. */
  get inboundStreams(): number | undefined {
    return this.#lifecycle.session?.receiver.inboundStreams;
  }

  get outboundStreams(): number | undefined {
    return this.#lifecycle.session?.reset.outboundStreams;
  }

  /** Bytes queued and not yet sent for the first time, over all streams. */
  get totalBuffered(): number {
    return this.#lifecycle.session?.sender.streams.totalBytes ?? 0;
  }

  /** Everything sent is acknowledged or given up, and no stream reset waits for its answer. */
  get isIdle(): boolean {
    const session = this.#lifecycle.session;
    return session === undefined || (session.sender.isDone && session.reset.isDone && this.#control.isEmpty);
  }

  // ---- commands -------------------------------------------------------------------------------------------------

  /**
   * Begins the handshake (RFC 9260 §5.1). Both sides may call it; a side that does not only has to be fed packets.
   * Nothing happens when a handshake is under way or done. @throws {UsageError} once the association has ended.
   */
  connect(now: Instant): void {
    this.#lifecycle.connect(now);
  }

  /**
   * Queues one message (RFC 9260 §6). `bytes` is kept without copying until it is acknowledged or given up. With `earlyData`
   * it may be called from `sendable` on.
   * @throws {UsageError} not connected, shutting down, no such stream, empty, or the send buffer is full.
   */
  send(message: SctpMessage, now: Instant): void {
    const { early } = this.#lifecycle;
    const earlyStreams = early.outboundStreams;
    const session = earlyStreams === undefined ? this.#connected('send') : undefined;
    if (message.bytes.length === 0) throw new UsageError('a message has at least one byte');
    checkRange('streamId', message.streamId, 0, (session?.reset.outboundStreams ?? earlyStreams ?? 0) - 1);
    if (session === undefined) early.send(message, now);
    else session.sender.streams.enqueue(message, now);
  }

  /** Bytes of a stream that are queued and not yet sent for the first time. */
  bufferedAmount(streamId: number): number {
    return this.#lifecycle.session?.sender.streams.bufferedAmount(streamId) ?? 0;
  }

  /**
   * `buffered-amount-low` is reported when `bufferedAmount` falls from above to `bytes` or below. Default 0; a restart of
   * the peer sets it back. @throws {UsageError} not connected, or shutting down.
   */
  setBufferedAmountLowThreshold(streamId: number, bytes: number): void {
    this.#connected('setBufferedAmountLowThreshold').sender.streams.stream(streamId).lowThreshold = bytes;
  }

  /**
   * Weight of a stream for the schedulers `priority` and `weighted-fair`: 1 to 65,535, default 256 (RFC 8831 §6.4); 0
   * counts as 1. A restart of the peer sets it back. @throws {UsageError} out of range, not connected, or shutting down.
   */
  setStreamPriority(streamId: number, priority: number): void {
    const session = this.#connected('setStreamPriority');
    session.sender.streams.stream(streamId).priority = checkRange('priority', priority || 1, 1, 0xffff);
  }

  /**
   * Packets go another way from now on, where up to `maxMtuBytes` may pass: the size in use falls back to `mtuBytes`, and
   * the search for a larger one begins anew (RFC 8899 §5.2).
   * @param maxMtuBytes - `mtuBytes` or less switches the search off; above 16,384, which is one DTLS record, counts as that.
   */
  changePath(maxMtuBytes: number): void {
    const bytes = Math.min(Math.max(maxMtuBytes, this.#mtuBytes), MAX_MTU_BYTES);
    this.#settings.maxMtuBytes = bytes;
    this.#lifecycle.session?.changePath(bytes);
    this.#lifecycle.early.changePath(bytes);
  }

  /**
   * Resets the outgoing half of streams (RFC 6525 §5.1.2) once what is queued on them is sent; what is sent on them
   * afterwards waits for the peer's answer, `outgoing-reset`.
   * A peer without RFC 6525 answers nothing: the event comes at once and says `ok: false`.
   * @throws {UsageError} not connected, or no such stream.
   */
  resetStreams(streamIds: readonly number[], _now: Instant): void {
    const session = this.#connected('resetStreams');
    for (const id of streamIds) this.#checkStream(session, id);
    if (!session.reset.isSupported) {
      this.#events.push({ type: 'outgoing-reset', streamIds: [...streamIds], ok: false });
      return;
    }
    session.reset.reset(streamIds);
  }

  /**
   * Asks for more streams: outgoing ones of ours (RFC 6525 §5.1.5), or incoming ones (§5.1.6). The answer is
   * `streams-added`; a peer that refuses, as usrsctp does while a request of its own is under way, brings none. @throws {UsageError} not connected, more than 65,536, or the peer does not know how.
   */
  addStreams(outbound: number, inbound: number, _now: Instant): void {
    const session = this.#connected('addStreams');
    if (!session.reset.isSupported) throw new UsageError('the peer does not support adding streams');
    checkRange('outbound', session.reset.outboundStreams + outbound, 0, 0x1_0000);
    checkRange('inbound', session.receiver.inboundStreams + inbound, 0, 0x1_0000);
    session.reset.addStreams(outbound, inbound);
  }

  /**
   * With `hold`, messages of this stream count against the receive window after they were delivered, until `consume`
   * says that the application is done with them: a slow reader slows the sender.
   */
  holdReceived(streamId: number, hold: boolean, _now: Instant): void {
    this.#lifecycle.session?.receiver.hold(streamId, hold);
  }

  /** Gives back window for `bytes` of a stream under `holdReceived`. */
  consume(streamId: number, bytes: number, _now: Instant): void {
    this.#lifecycle.session?.receiver.consume(streamId, bytes);
  }

  /** Graceful end (RFC 9260 §9.2): everything queued is delivered first. Nothing happens when it is under way. */
  shutdown(now: Instant): void {
    this.#lifecycle.shutdown(now);
  }

  /** Ends the association at once with an ABORT that carries `reason` (RFC 9260 §9.1). Idempotent. */
  abort(reason: string, _now: Instant): void {
    this.#lifecycle.abort(reason);
  }

  #connected(what: string): Session {
    if (this.#lifecycle.session === undefined || this.#lifecycle.state !== 'established') {
      throw new UsageError(`${what}: the association is ${this.#lifecycle.hasEnded ? 'over' : this.#lifecycle.state}`);
    }
    return this.#lifecycle.session;
  }

  #checkStream(session: Session, streamId: number): void {
    checkRange('streamId', streamId, 0, session.reset.outboundStreams - 1);
  }

  // ---- packets and time ------------------------------------------------------------------------------------------

  handleInput(bytes: Uint8Array, _path: unknown, now: Instant): void {
    this.#packetsReceived++;
    this.#bytesReceived += bytes.length;
    this.#input.handle(bytes, now);
  }

  nextTimeout(): Instant {
    return this.#lifecycle.nextTimeout();
  }

  handleTimeout(now: Instant): void {
    this.#lifecycle.handleTimeout(now);
  }

  pollTransmit(slot: TransmitSlot, now: Instant): boolean {
    const lone = this.#control.takeLone();
    if (lone !== undefined) {
      this.#finish(slot, this.#writeLone(slot, lone.chunk), lone.tag, false);
      return true;
    }
    // Whoever may send early is asked first what there is.
    const handshake = this.#events.peek()?.type === 'sendable' ? undefined : this.#handshake.takeChunk();
    if (handshake !== undefined) {
      const at = this.#writeLone(slot, handshake.chunk);
      const room = Math.min(slot.offset + this.#mtuBytes, slot.buffer.length - SLOT_TAILROOM);
      const isEcho = handshake.chunk[0] === CHUNK.COOKIE_ECHO;
      const end = isEcho ? this.#lifecycle.early.write(slot.buffer, at, room, now) : at;
      this.#finish(slot, end, handshake.tag, false); // RFC 9653 §5.2: these have a checksum
      return true;
    }
    const session = this.#lifecycle.session;
    if (session === undefined) return false;
    const start = slot.offset + COMMON_HEADER_BYTES;
    const limit = slot.buffer.length - SLOT_TAILROOM;
    const probeEnd = session.writeProbe(slot.buffer, slot.offset, start, limit, now);
    if (probeEnd > start) {
      this.#finish(slot, probeEnd, session.tcb.peerTag, session.tcb.extensions.zeroChecksum);
      return true;
    }
    if (!session.hasPacket(now)) return false;
    const end = Math.min(slot.offset + session.sender.mtuBytes, limit);
    const pos = session.write(slot.buffer, start, end, this.#lifecycle.state !== 'established', now);
    if (pos === start) return false;
    this.#finish(slot, pos, session.tcb.peerTag, session.tcb.extensions.zeroChecksum);
    return true;
  }

  /** @returns the position behind the chunk. */
  #writeLone(slot: TransmitSlot, chunk: Uint8Array): number {
    const start = slot.offset + COMMON_HEADER_BYTES;
    const end = start + padded(chunk.length);
    slot.buffer.set(chunk, start);
    slot.buffer.fill(0, start + chunk.length, end);
    return end;
  }

  #finish(slot: TransmitSlot, end: number, tag: number, zeroChecksum: boolean): void {
    const { buffer, offset } = slot;
    writePacketHeader(buffer, offset, this.#localPort, this.#remotePort, tag);
    if (!zeroChecksum) writeChecksum(buffer, offset, end);
    slot.length = end - offset;
    this.#packetsSent++;
    this.#bytesSent += slot.length;
  }

  pollEvent(): SctpEvent | undefined {
    return this.#events.shift();
  }

  /** A snapshot; all zero before the association is up. */
  stats(): SctpStats {
    const sender = this.#lifecycle.session?.sender;
    return {
      packetsSent: this.#packetsSent,
      packetsReceived: this.#packetsReceived,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      retransmissions: sender?.retransmissions ?? 0,
      timeouts: sender?.timeouts ?? 0,
      probes: sender?.probes ?? 0,
      smoothedRttMs: this.#lifecycle.rtt.smoothedMs,
      rtoMs: this.#lifecycle.rtt.rtoMs,
      congestionWindowBytes: sender?.congestion.windowBytes ?? 0,
      slowStartThresholdBytes: sender?.congestion.slowStartThresholdBytes ?? 0,
      flightBytes: sender?.outstanding.flightBytes ?? 0,
      peerReceiveWindowBytes: sender?.peerWindowBytes ?? 0,
      receiveWindowBytes: this.#lifecycle.session?.receiver.windowBytes ?? 0,
      mtuBytes: sender?.mtuBytes ?? this.#mtuBytes,
      abandonedMessages: sender?.abandonedMessages ?? 0,
    };
  }
}

function checkRange(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new UsageError(`${name} must be an integer from ${least} to ${most}, not ${value}`);
  }
  return value;
}

function checkOptions(options: SctpOptions): SessionSettings {
  const mtuBytes = checkRange('mtuBytes', options.mtuBytes ?? DEFAULT_MTU_BYTES, MIN_MTU_BYTES, MAX_MTU_BYTES);
  const maxMessageSize = options.maxMessageSize || DEFAULT_MAX_MESSAGE_BYTES;
  // A message has to fit into the window, or it could never be put together.
  const least = Math.max(MIN_RECEIVE_WINDOW_BYTES, 2 * maxMessageSize);
  const windowBytes = Math.max(options.receiveWindowBytes ?? DEFAULT_RECEIVE_WINDOW_BYTES, least);
  const grows = options.receiveWindowBytes === undefined;
  checkRange('outboundStreams', options.outboundStreams ?? 1, 1, 0xffff);
  checkRange('inboundStreams', options.inboundStreams ?? 1, 1, 0xffff);
  return {
    options,
    mtuBytes,
    maxMtuBytes: checkRange('maxMtuBytes', options.maxMtuBytes ?? mtuBytes, mtuBytes, MAX_MTU_BYTES),
    windowBytes,
    maxWindowBytes: grows ? Math.max(windowBytes, MAX_GROWN_RECEIVE_WINDOW_BYTES) : windowBytes,
    maxMessageSize,
  };
}
