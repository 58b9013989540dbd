import {
  DecodeError,
  DropCounters,
  type DropReason,
  type Instant,
  NEVER,
  Ring,
  type SansIo,
  SLOT_TAILROOM,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { ControlQueue, DropReporter } from './control-queue.ts';
import { Handshake } from './handshake.ts';
import {
  DEFAULT_MAX_INIT_RETRANSMISSIONS,
  DEFAULT_MAX_MESSAGE_BYTES,
  DEFAULT_MTU_BYTES,
  DEFAULT_PORT,
  DEFAULT_RECEIVE_WINDOW_BYTES,
  MAX_GROWN_RECEIVE_WINDOW_BYTES,
  MAX_MTU_BYTES,
  MIN_MTU_BYTES,
  MIN_RECEIVE_WINDOW_BYTES,
} from './limits.ts';
import { RttEstimator } from './rtt.ts';
import { Session } from './session.ts';
import type { Tcb } from './tcb.ts';
import { MOVES } from './transitions.ts';
import type { SctpEvent, SctpMessage, SctpOptions, SctpState, SctpStats } from './types.ts';
import {
  decodeCauses,
  type ErrorCause,
  encodeAbort,
  encodeError,
  FLAG_T,
  missingMandatoryParameter,
  staleCookie,
  textCause,
  unrecognizedChunk,
  unrecognizedParameters,
} from './wire/causes.ts';
import { decodeInit } from './wire/init.ts';
import {
  COMMON_HEADER_BYTES,
  checkPacket,
  checksumIsZero,
  checksumMatches,
  portsMatch,
  verificationTag,
  writeChecksum,
  writePacketHeader,
} from './wire/packet.ts';
import { CAUSE, CHUNK, chunkName, PARAMETER, unknownAction } from './wire/registry.ts';
import {
  decodeShutdown,
  encodeCookieAck,
  encodeShutdown,
  encodeShutdownAck,
  encodeShutdownComplete,
} from './wire/simple.ts';
import { nextTlv, padded, TLV_HEADER_BYTES, u16 } from './wire/tlv.ts';

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
  readonly #options: SctpOptions;
  readonly #localPort: number;
  readonly #remotePort: number;
  readonly #mtuBytes: number;
  readonly #windowBytes: number;
  readonly #maxWindowBytes: number;
  readonly #maxMessageSize: number;
  readonly #handshake: Handshake;
  readonly #events: Ring<SctpEvent> = new Ring();
  readonly #reporter: DropReporter;
  readonly #control: ControlQueue;
  #rtt: RttEstimator = new RttEstimator();
  #state: SctpState = 'closed';
  #session: Session | undefined;
  /** The association is over: this object will not have another. */
  #ended = false;
  #t2At: Instant = NEVER;
  #packetsSent = 0;
  #packetsReceived = 0;
  #bytesSent = 0;
  #bytesReceived = 0;

  /** @throws {UsageError} for options out of range. */
  constructor(options: SctpOptions) {
    this.#options = options;
    this.#localPort = checkRange('localPort', options.localPort ?? DEFAULT_PORT, 1, 0xffff);
    this.#remotePort = checkRange('remotePort', options.remotePort ?? DEFAULT_PORT, 1, 0xffff);
    this.#mtuBytes = checkRange('mtuBytes', options.mtuBytes ?? DEFAULT_MTU_BYTES, MIN_MTU_BYTES, MAX_MTU_BYTES);
    this.#maxMessageSize = options.maxMessageSize || DEFAULT_MAX_MESSAGE_BYTES;
    // A message has to fit into the window, or it could never be put together.
    this.#windowBytes = Math.max(
      options.receiveWindowBytes ?? DEFAULT_RECEIVE_WINDOW_BYTES,
      MIN_RECEIVE_WINDOW_BYTES,
      2 * this.#maxMessageSize,
    );
    const grows = options.receiveWindowBytes === undefined;
    this.#maxWindowBytes = grows ? Math.max(this.#windowBytes, MAX_GROWN_RECEIVE_WINDOW_BYTES) : this.#windowBytes;
    checkRange('outboundStreams', options.outboundStreams ?? 1, 1, 0xffff);
    checkRange('inboundStreams', options.inboundStreams ?? 1, 1, 0xffff);
    this.#reporter = new DropReporter(this.drops, options.env.trace);
    this.#control = new ControlQueue(this.#reporter);
    this.#handshake = new Handshake(options, this.#windowBytes);
  }

  get state(): SctpState {
    return this.#state;
  }

  /** Streams in each direction; undefined until connected. */
  get inboundStreams(): number | undefined {
    return this.#session?.receiver.inboundStreams;
  }

  get outboundStreams(): number | undefined {
    return this.#session?.reset.outboundStreams;
  }

  /** Bytes queued and not yet sent for the first time, over all streams. */
  get totalBuffered(): number {
    return this.#session?.sender.streams.totalBytes ?? 0;
  }

  /** Everything sent is acknowledged or given up, and no stream reset waits for its answer. */
  get isIdle(): boolean {
    const session = this.#session;
    return session === undefined || (session.sender.isDone && session.reset.isDone && this.#control.isEmpty);
  }

  // ---- commands -------------------------------------------------------------------------------------------------

  /**
   * Begins the handshake (RFC 9260 §5.1). Both sides may call it; a side that does not only has to be fed packets.
   * Nothing happens when a handshake is under way or done. @throws {UsageError} once the association has ended.
   */
  connect(now: Instant): void {
    if (this.#ended) throw new UsageError('the association has ended');
    if (this.#state !== 'closed') return;
    this.#handshake.connect(now);
    this.#move('cookie-wait', 'connect');
  }

  /**
   * Queues one message (RFC 9260 §6). `bytes` is kept without copying until it is acknowledged or given up.
   * @throws {UsageError} not connected, shutting down, no such stream, empty, or the send buffer is full.
   */
  send(message: SctpMessage, now: Instant): void {
    const session = this.#connected('send');
    if (message.bytes.length === 0) throw new UsageError('a message has at least one byte');
    this.#checkStream(session, message.streamId);
    session.sender.streams.enqueue(message, now);
  }

  /** Bytes of a stream that are queued and not yet sent for the first time. */
  bufferedAmount(streamId: number): number {
    return this.#session?.sender.streams.bufferedAmount(streamId) ?? 0;
  }

  /** `buffered-amount-low` is reported when `bufferedAmount` falls from above to `bytes` or below. Default 0. */
  setBufferedAmountLowThreshold(streamId: number, bytes: number): void {
    this.#connected('setBufferedAmountLowThreshold').sender.streams.stream(streamId).lowThreshold = bytes;
  }

  /** Weight of a stream for the schedulers `priority` and `weighted-fair`: 1 to 65,535, default 256 (RFC 8831 §6.4). */
  setStreamPriority(streamId: number, priority: number): void {
    const session = this.#connected('setStreamPriority');
    session.sender.streams.stream(streamId).priority = checkRange('priority', priority || 1, 1, 0xffff);
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
   * `streams-added`. @throws {UsageError} not connected, more than 65,536, or the peer does not know how.
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
    this.#session?.receiver.hold(streamId, hold);
  }

  /** Gives back window for `bytes` of a stream under `holdReceived`. */
  consume(streamId: number, bytes: number, _now: Instant): void {
    this.#session?.receiver.consume(streamId, bytes);
  }

  /** Graceful end (RFC 9260 §9.2): everything queued is delivered first. Nothing happens when it is under way. */
  shutdown(now: Instant): void {
    if (this.#state === 'established') {
      this.#move('shutdown-pending', 'shutdown');
      this.#continueShutdown(now);
    } else if (this.#state === 'cookie-wait' || this.#state === 'cookie-echoed') this.abort('closed early', now);
    else if (this.#state === 'closed') this.#ended = true;
  }

  /** Ends the association at once with an ABORT that carries `reason` (RFC 9260 §9.1). Idempotent. */
  abort(reason: string, _now: Instant): void {
    if (this.#state === 'closed') {
      this.#ended = true;
      return;
    }
    this.#abortWith(textCause(CAUSE.USER_INITIATED_ABORT, reason), reason);
  }

  #connected(what: string): Session {
    if (this.#session === undefined || this.#state !== 'established') {
      throw new UsageError(`${what}: the association is ${this.#ended ? 'over' : this.#state}`);
    }
    return this.#session;
  }

  #checkStream(session: Session, streamId: number): void {
    checkRange('streamId', streamId, 0, session.reset.outboundStreams - 1);
  }

  // ---- input ----------------------------------------------------------------------------------------------------

  handleInput(bytes: Uint8Array, _path: unknown, now: Instant): void {
    this.#packetsReceived++;
    this.#bytesReceived += bytes.length;
    try {
      checkPacket(bytes);
      const refused = this.#refuse(bytes);
      if (refused !== undefined)
        this.#drop(refused, `packet that begins with ${chunkName(bytes[COMMON_HEADER_BYTES]!)}`);
      else this.#handleChunks(bytes, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
    }
    this.#session?.endOfPacket(now);
    this.#continueShutdown(now);
  }

  /** Ports, checksum (RFC 9260 §6.8) and verification tag (§8.5). @returns why the packet is not looked at. */
  #refuse(bytes: Uint8Array): DropReason | undefined {
    const first = bytes[COMMON_HEADER_BYTES]!;
    if (!portsMatch(bytes, this.#remotePort, this.#localPort)) return 'unknown-peer';
    // RFC 9653 §5.3: an INIT is always checked.
    const unchecked = this.#options.zeroChecksum === true && first !== CHUNK.INIT && checksumIsZero(bytes);
    if (!unchecked && !checksumMatches(bytes)) return 'bad-checksum';
    const tag = verificationTag(bytes);
    const local = this.#session?.tcb.localTag ?? this.#handshake.localTag;
    const peer = (this.#session?.tcb ?? this.#handshake.tcb)?.peerTag;
    switch (first) {
      case CHUNK.INIT: // §8.5.1 A, and alone in its packet (§6.10)
        return tag === 0 && nextTlv(bytes, COMMON_HEADER_BYTES) >= bytes.length ? undefined : 'bad-tag';
      case CHUNK.COOKIE_ECHO:
        return undefined; // §8.5.1 D: the tag is compared with the one in the cookie
      case CHUNK.ABORT: // §8.5.1 B
      case CHUNK.SHUTDOWN_COMPLETE: {
        // §8.5.1 C
        const reflected = (bytes[COMMON_HEADER_BYTES + 1]! & FLAG_T) !== 0;
        return tag === (reflected ? peer : local) ? undefined : 'bad-tag';
      }
      case CHUNK.SHUTDOWN_ACK: // §8.5.1 E: before we are established it belongs to an earlier life of the peer's
        if (this.#session === undefined) break;
        return tag === local ? undefined : 'bad-tag';
      default:
        if (tag === local) return undefined;
    }
    if (local !== undefined && first !== CHUNK.SHUTDOWN_ACK) return 'bad-tag';
    return this.#answerOutOfTheBlue(first, tag);
  }

  /** RFC 9260 §8.4: a packet for an association that we do not have. */
  #answerOutOfTheBlue(first: number, tag: number): DropReason {
    if (first === CHUNK.SHUTDOWN_ACK) this.#control.pushLone(tag, encodeShutdownComplete(FLAG_T));
    else if (first !== CHUNK.COOKIE_ACK && first !== CHUNK.ERROR && first !== CHUNK.INIT_ACK) {
      this.#control.pushLone(tag, encodeAbort([], true));
    }
    return this.#ended ? 'closed' : 'bad-state';
  }

  #handleChunks(bytes: Uint8Array, now: Instant): void {
    const total = bytes.length;
    for (let at = COMMON_HEADER_BYTES; at < total; at = nextTlv(bytes, at)) {
      const end = at + u16(bytes, at + 2);
      const type = bytes[at]!;
      try {
        if (!this.#handleChunk(type, bytes, at, end, now)) return;
      } catch (error) {
        // One malformed chunk does not void the others: its framing was right.
        if (!(error instanceof DecodeError)) throw error;
        this.#drop(error.reason, error.message);
      }
    }
  }

  /** @returns false to leave the rest of the packet alone. */
  #handleChunk(type: number, bytes: Uint8Array, at: number, end: number, now: Instant): boolean {
    const session = this.#session;
    switch (type) {
      case CHUNK.INIT:
        this.#handleInit(bytes, at, end, now);
        return false;
      case CHUNK.INIT_ACK:
        this.#handleInitAck(bytes, at, end, now);
        return false;
      case CHUNK.COOKIE_ECHO:
        return this.#handleCookieEcho(bytes, at, end, now);
      case CHUNK.COOKIE_ACK:
        this.#handleCookieAck(now);
        return true;
      case CHUNK.ABORT:
        this.#handleAbort(bytes, at, end);
        return false;
      case CHUNK.ERROR:
        this.#handleError(bytes, at, end, now);
        return true;
      case CHUNK.ECNE: // ECN is not negotiated: RFC 9260 has no text for it any more
      case CHUNK.CWR:
      case CHUNK.PAD: // RFC 4820 §3
        return true;
    }
    if (session === undefined) {
      this.#drop('bad-state', chunkName(type));
      return true;
    }
    return this.#handleSessionChunk(session, type, bytes, at, end, now);
  }

  #handleSessionChunk(
    session: Session,
    type: number,
    bytes: Uint8Array,
    at: number,
    end: number,
    now: Instant,
  ): boolean {
    let fatal: ErrorCause | undefined;
    switch (type) {
      case CHUNK.DATA:
      case CHUNK.I_DATA:
        if (!this.#receivesData()) this.#drop('bad-state', chunkName(type));
        else fatal = session.handleData(bytes, at, end);
        if (this.#state === 'shutdown-sent') this.#sendShutdown(now); // RFC 9260 §9.2
        break;
      case CHUNK.SACK:
        session.handleSack(bytes, at, end, now);
        break;
      case CHUNK.FORWARD_TSN:
      case CHUNK.I_FORWARD_TSN:
        if (!this.#receivesData()) this.#drop('bad-state', chunkName(type));
        else fatal = session.handleForwardTsn(bytes, at, end);
        break;
      case CHUNK.RE_CONFIG:
        session.handleReConfig(bytes, at, end);
        break;
      case CHUNK.HEARTBEAT:
        session.handleHeartbeat(bytes, at, end);
        break;
      case CHUNK.HEARTBEAT_ACK:
        session.handleHeartbeatAck(bytes, at, end, now);
        break;
      case CHUNK.SHUTDOWN:
        this.#handleShutdown(session, decodeShutdown(bytes, at, end), now);
        break;
      case CHUNK.SHUTDOWN_ACK:
        this.#handleShutdownAck(session);
        break;
      case CHUNK.SHUTDOWN_COMPLETE:
        if (this.#state === 'shutdown-ack-sent') this.#end({ type: 'closed' }, 'SHUTDOWN COMPLETE');
        else this.#drop('bad-state', 'SHUTDOWN COMPLETE');
        break;
      default:
        return this.#handleUnknown(type, bytes, at, end);
    }
    if (fatal !== undefined) {
      this.#drop('bad-value', chunkName(type));
      this.#abortWith(fatal, new TextDecoder().decode(fatal.value));
    }
    return this.#session === session;
  }

  /** RFC 9260 §3.2: the two highest bits of the type say what to do. */
  #handleUnknown(type: number, bytes: Uint8Array, at: number, end: number): boolean {
    const action = unknownAction(type >>> 6);
    this.#drop('unsupported', chunkName(type));
    if (action.report) this.#control.push(encodeError([unrecognizedChunk(bytes.subarray(at, end))]));
    return action.skip;
  }

  #receivesData(): boolean {
    return this.#state === 'established' || this.#state === 'shutdown-pending' || this.#state === 'shutdown-sent';
  }

  // ---- handshake ------------------------------------------------------------------------------------------------

  /** RFC 9260 §5.1 B, §5.2.1, §5.2.2; answered without changing anything. */
  #handleInit(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    const init = decodeInit(bytes, at, end);
    if (this.#ended) {
      this.#drop('closed', 'INIT');
      return;
    }
    if (init.initiateTag === 0) {
      this.#drop('bad-value', 'INIT: initiate tag 0'); // §3.3.2: silently
      return;
    }
    if (this.#state === 'shutdown-ack-sent') {
      this.#control.push(encodeShutdownAck()); // §9.2
      return;
    }
    const bad = this.#badInit(init.outboundStreams, init.inboundStreams, init.parameters.hostName === true);
    if (bad !== undefined) {
      this.#control.pushLone(init.initiateTag, encodeAbort([bad]));
      this.#drop('bad-value', 'INIT');
      return;
    }
    this.#control.pushLone(init.initiateTag, this.#handshake.answerInit(init, this.#session?.tcb, now));
  }

  /** RFC 9260 §3.3.2, §3.3.3: no streams in a direction, or a host name. */
  #badInit(outbound: number, inbound: number, hostName: boolean): ErrorCause | undefined {
    if (outbound === 0 || inbound === 0) return { type: CAUSE.INVALID_MANDATORY_PARAMETER, value: new Uint8Array(0) };
    return hostName ? { type: CAUSE.UNRESOLVABLE_ADDRESS, value: new Uint8Array(0) } : undefined;
  }

  /** RFC 9260 §5.1 C; in any other state it is discarded (§5.2.3). */
  #handleInitAck(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    if (this.#state !== 'cookie-wait') {
      this.#drop('bad-state', 'INIT ACK');
      return;
    }
    const ack = decodeInit(bytes, at, end);
    const { cookie, hostName, unrecognized } = ack.parameters;
    const bad =
      cookie === undefined
        ? missingMandatoryParameter(PARAMETER.STATE_COOKIE)
        : this.#badInit(ack.outboundStreams, ack.inboundStreams, hostName === true);
    if (ack.initiateTag === 0 || bad !== undefined || cookie === undefined) {
      const cause = bad ?? textCause(CAUSE.PROTOCOL_VIOLATION, 'initiate tag 0');
      this.#control.pushLone(ack.initiateTag, encodeAbort([cause]));
      this.#drop('bad-value', 'INIT ACK');
      this.#end({ type: 'aborted', byPeer: false, cause: cause.type, message: 'bad INIT ACK' }, 'INIT ACK');
      return;
    }
    const rttMs = this.#handshake.handleInitAck(ack, cookie, now);
    if (rttMs >= 0) this.#rtt.sample(rttMs, now);
    if (unrecognized !== undefined && unrecognized.length > 0) {
      this.#control.push(encodeError([unrecognizedParameters(unrecognized)])); // §3.2.2
    }
    this.#move('cookie-echoed', 'INIT ACK');
  }

  /** RFC 9260 §5.1 D, §5.2.4. @returns false to leave the rest of the packet alone. */
  #handleCookieEcho(bytes: Uint8Array, at: number, end: number, now: Instant): boolean {
    if (this.#ended) {
      this.#drop('closed', 'COOKIE ECHO');
      return false;
    }
    const cookie = bytes.subarray(at + TLV_HEADER_BYTES, end);
    const { resolution, tcb, staleMs } = this.#handshake.judgeCookie(cookie, this.#session?.tcb, now);
    if (tcb === undefined) {
      this.#drop('bad-cookie', 'COOKIE ECHO');
      return false;
    }
    if (tcb.localTag !== verificationTag(bytes)) {
      this.#drop('bad-tag', 'COOKIE ECHO');
      return false;
    }
    switch (resolution) {
      case 'stale':
        this.#control.pushLone(tcb.peerTag, encodeError([staleCookie(staleMs * 1000)]));
        this.#drop('stale', 'COOKIE ECHO');
        return false;
      case 'restart':
        if (this.#state === 'shutdown-ack-sent') {
          const cause = { type: CAUSE.COOKIE_RECEIVED_WHILE_SHUTTING_DOWN, value: new Uint8Array(0) };
          this.#control.pushLone(tcb.peerTag, encodeError([cause]));
          this.#control.push(encodeShutdownAck());
          return false;
        }
        this.#rtt = new RttEstimator();
        this.#startSession(tcb, now);
        if (this.#state !== 'established') this.#move('established', 'COOKIE ECHO of a restarted peer');
        this.#events.push({ type: 'restarted' });
        break;
      case 'collision':
        if (this.#session !== undefined) {
          // The peer forgot the tag that it had first, before it sent anything under it.
          if (this.#session.receiver.tsns.highest >= 0) {
            this.#drop('bad-state', 'COOKIE ECHO with another tag after DATA');
            return false;
          }
          this.#startSession(tcb, now);
          break;
        }
        this.#establish(tcb, 'COOKIE ECHO', now);
        break;
      case 'establish':
        this.#establish(tcb, 'COOKIE ECHO', now);
        break;
      case 'duplicate':
        if (this.#session === undefined) this.#establish(tcb, 'COOKIE ECHO', now);
        break;
      default:
        this.#drop('bad-state', `COOKIE ECHO: ${resolution}`);
        return false;
    }
    this.#control.push(encodeCookieAck());
    return true;
  }

  /** RFC 9260 §5.1 E; in any other state it is discarded (§5.2.5). */
  #handleCookieAck(now: Instant): void {
    const tcb = this.#handshake.tcb;
    if (this.#state !== 'cookie-echoed' || tcb === undefined) {
      this.#drop('bad-state', 'COOKIE ACK');
      return;
    }
    this.#establish(tcb, 'COOKIE ACK', now);
  }

  #establish(tcb: Tcb, why: string, now: Instant): void {
    this.#startSession(tcb, now);
    this.#move('established', why);
    const { inboundStreams, outboundStreams } = tcb;
    this.#events.push({ type: 'connected', inboundStreams, outboundStreams });
  }

  #startSession(tcb: Tcb, now: Instant): void {
    this.#handshake.stop();
    this.#t2At = NEVER;
    this.#session = new Session(
      {
        tcb,
        options: this.#options,
        mtuBytes: this.#mtuBytes,
        maxMtuBytes: checkRange(
          'maxMtuBytes',
          this.#options.maxMtuBytes ?? this.#mtuBytes,
          this.#mtuBytes,
          MAX_MTU_BYTES,
        ),
        windowBytes: this.#windowBytes,
        maxWindowBytes: this.#maxWindowBytes,
        maxMessageSize: this.#maxMessageSize,
        rtt: this.#rtt,
        events: this.#events,
        control: this.#control,
        reporter: this.#reporter,
      },
      now,
    );
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  /** RFC 9260 §9.1. */
  #handleAbort(bytes: Uint8Array, at: number, end: number): void {
    if (this.#state === 'closed') {
      this.#drop('bad-state', 'ABORT');
      return;
    }
    const cause = decodeCauses(bytes, at, end)[0];
    const carriesText = cause?.type === CAUSE.USER_INITIATED_ABORT || cause?.type === CAUSE.PROTOCOL_VIOLATION;
    const message = carriesText ? new TextDecoder().decode(cause.value) : '';
    this.#end({ type: 'aborted', byPeer: true, cause: cause?.type, message }, 'ABORT');
  }

  /** RFC 9260 §3.3.10: only a stale cookie makes us act (§5.2.6). */
  #handleError(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    for (const { type } of decodeCauses(bytes, at, end)) {
      this.#options.env.trace.note('sctp', `the peer reports error cause ${type}`);
      if (type !== CAUSE.STALE_COOKIE || this.#state !== 'cookie-echoed') continue;
      this.#handshake.connect(now);
      this.#move('cookie-wait', 'stale cookie');
    }
  }

  /** RFC 9260 §9.2. */
  #handleShutdown(session: Session, cumulativeTsnAck: number, now: Instant): void {
    switch (this.#state) {
      case 'established':
      case 'shutdown-pending':
        this.#move('shutdown-received', 'SHUTDOWN');
        break;
      case 'shutdown-sent': // both at once: the same as when we had only received it
        this.#t2At = NEVER;
        this.#move('shutdown-received', 'SHUTDOWN');
        break;
      case 'shutdown-received':
        break;
      default:
        this.#drop('bad-state', 'SHUTDOWN');
        return;
    }
    session.sender.handleCumulativeAck(cumulativeTsnAck, now);
  }

  #handleShutdownAck(session: Session): void {
    if (this.#state !== 'shutdown-sent' && this.#state !== 'shutdown-ack-sent') {
      this.#drop('bad-state', 'SHUTDOWN ACK');
      return;
    }
    this.#control.pushLone(session.tcb.peerTag, encodeShutdownComplete(0));
    this.#end({ type: 'closed' }, 'SHUTDOWN ACK');
  }

  /** Takes the next step of a shutdown once everything of ours is acknowledged. */
  #continueShutdown(now: Instant): void {
    const session = this.#session;
    if (this.#state === 'established' || session === undefined || !session.sender.isDone) return;
    if (this.#state === 'shutdown-pending') {
      this.#move('shutdown-sent', 'all is acknowledged');
      this.#sendShutdown(now);
    } else if (this.#state === 'shutdown-received') {
      this.#move('shutdown-ack-sent', 'all is acknowledged');
      this.#sendShutdown(now);
    }
  }

  #sendShutdown(now: Instant): void {
    const session = this.#session;
    if (session === undefined) return;
    const ack = this.#state === 'shutdown-ack-sent';
    this.#control.push(ack ? encodeShutdownAck() : encodeShutdown(session.receiver.tsns.cumulativeOnWire));
    this.#t2At = now + this.#rtt.rtoMs;
  }

  #abortWith(cause: ErrorCause, message: string): void {
    const peerTag = (this.#session?.tcb ?? this.#handshake.tcb)?.peerTag;
    if (peerTag !== undefined) this.#control.pushLone(peerTag, encodeAbort([cause]));
    this.#end({ type: 'aborted', byPeer: false, cause: cause.type, message }, 'abort');
  }

  #end(event: SctpEvent, why: string): void {
    this.#ended = true;
    this.#session = undefined;
    this.#handshake.stop();
    this.#control.clear();
    this.#t2At = NEVER;
    this.#move('closed', why);
    this.#events.push(event);
  }

  #move(next: SctpState, why: string): void {
    if (!MOVES[this.#state].includes(next)) throw new Error(`illegal ${this.#state} -> ${next} (${why})`);
    this.#options.env.trace.state('sctp', this.#state, next, why);
    this.#state = next;
  }

  #drop(reason: DropReason, detail: string): void {
    this.#reporter.drop(reason, detail);
  }

  // ---- time and output ------------------------------------------------------------------------------------------

  nextTimeout(): Instant {
    return Math.min(this.#handshake.t1At, this.#t2At, this.#session?.nextTimeout() ?? NEVER);
  }

  handleTimeout(now: Instant): void {
    if (now >= this.#handshake.t1At) {
      const limit = this.#options.maxInitRetransmissions ?? DEFAULT_MAX_INIT_RETRANSMISSIONS;
      if (!this.#handshake.handleT1(this.#handshake.t1At, limit)) {
        this.#end({ type: 'failed', message: 'the peer does not answer the handshake' }, 'T1');
        return;
      }
    }
    const session = this.#session;
    if (session === undefined) return;
    if (now >= this.#t2At) {
      session.noteError();
      this.#rtt.backOff();
      this.#sendShutdown(now);
    }
    if (!session.handleTimeout(now) || session.hasFailed) {
      this.#end({ type: 'failed', message: 'the peer does not answer any more' }, 'retransmission limit');
      return;
    }
    this.#continueShutdown(now);
  }

  pollTransmit(slot: TransmitSlot, now: Instant): boolean {
    const lone = this.#control.takeLone() ?? this.#handshake.takeChunk();
    if (lone !== undefined) return this.#writeLone(slot, lone.tag, lone.chunk);
    const session = this.#session;
    if (session === undefined) return false;
    const mayReset = this.#state === 'established';
    const start = slot.offset + COMMON_HEADER_BYTES;
    const limit = slot.buffer.length - SLOT_TAILROOM;
    const probeEnd = session.writeProbe(slot.buffer, slot.offset, start, limit, now);
    if (probeEnd > start) {
      this.#finish(slot, probeEnd, session.tcb.peerTag, session.tcb.extensions.zeroChecksum);
      return true;
    }
    if (!session.hasPacket(mayReset, now)) return false;
    const end = Math.min(slot.offset + session.sender.mtuBytes, limit);
    const pos = session.write(slot.buffer, start, end, mayReset, this.#state !== 'established', now);
    if (pos === start) return false;
    this.#finish(slot, pos, session.tcb.peerTag, session.tcb.extensions.zeroChecksum);
    return true;
  }

  #writeLone(slot: TransmitSlot, tag: number, chunk: Uint8Array): boolean {
    const start = slot.offset + COMMON_HEADER_BYTES;
    const end = start + padded(chunk.length);
    slot.buffer.set(chunk, start);
    slot.buffer.fill(0, start + chunk.length, end);
    this.#finish(slot, end, tag, false);
    return true;
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
    const sender = this.#session?.sender;
    return {
      packetsSent: this.#packetsSent,
      packetsReceived: this.#packetsReceived,
      bytesSent: this.#bytesSent,
      bytesReceived: this.#bytesReceived,
      retransmissions: sender?.retransmissions ?? 0,
      timeouts: sender?.timeouts ?? 0,
      probes: sender?.probes ?? 0,
      smoothedRttMs: this.#rtt.smoothedMs,
      rtoMs: this.#rtt.rtoMs,
      congestionWindowBytes: sender?.congestion.windowBytes ?? 0,
      slowStartThresholdBytes: sender?.congestion.slowStartThresholdBytes ?? 0,
      flightBytes: sender?.outstanding.flightBytes ?? 0,
      peerReceiveWindowBytes: sender?.peerWindowBytes ?? 0,
      receiveWindowBytes: this.#session?.receiver.windowBytes ?? 0,
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
