import type { Env, Instant, Ring } from '../core/index.ts';
import type { ControlQueue, DropReporter } from './control-queue.ts';
import { DataReceiver, type DataVerdict } from './data-receiver.ts';
import { DataSender } from './data-sender.ts';
import { Heartbeat } from './heartbeat.ts';
import {
  ASSUMED_RTT_MS,
  DEFAULT_HEARTBEAT_INTERVAL_MS,
  DEFAULT_MAX_RETRANSMISSIONS,
  DEFAULT_MAX_SEND_BUFFER_BYTES,
} from './limits.ts';
import { PathMtu } from './path-mtu.ts';
import type { RttEstimator } from './rtt.ts';
import { StreamReset } from './stream-reset.ts';
import type { Tcb } from './tcb.ts';
import type { SctpEvent, SctpOptions } from './types.ts';
import { type ErrorCause, encodeError, invalidStreamIdentifier, noUserData, textCause } from './wire/causes.ts';
import { createDataFields, type DataFields, readData } from './wire/data.ts';
import { decodeForwardTsn } from './wire/forward-tsn.ts';
import { decodeReConfig } from './wire/re-config.ts';
import { CAUSE, CHUNK } from './wire/registry.ts';
import { createSackFields, readSack, type SackFields } from './wire/sack.ts';
import { decodeHeartbeat, encodeHeartbeat, writePad } from './wire/simple.ts';
import { buildChunk, TLV_HEADER_BYTES } from './wire/tlv.ts';

/** What all sessions of one association share. */
export interface SessionSettings {
  readonly options: SctpOptions;
  readonly mtuBytes: number;
  /** Changes with the path; sessions begin with what it is then. */
  maxMtuBytes: number;
  readonly windowBytes: number;
  readonly maxWindowBytes: number;
  readonly maxMessageSize: number;
}

/** What a session is made with. */
export interface SessionParts extends SessionSettings {
  readonly tcb: Tcb;
  readonly rtt: RttEstimator;
  readonly events: Ring<SctpEvent>;
  readonly control: ControlQueue;
  readonly reporter: DropReporter;
}

/** Everything that lives as long as one TCB: made when the handshake is done, made anew when the peer restarts. */
export class Session {
  readonly tcb: Tcb;
  readonly sender: DataSender;
  readonly receiver: DataReceiver;
  readonly reset: StreamReset;
  readonly #env: Env;
  readonly #heartbeat: Heartbeat;
  #pathMtu: PathMtu;
  readonly #baseMtuBytes: number;
  readonly #control: ControlQueue;
  readonly #reporter: DropReporter;
  readonly #maxRetransmissions: number;
  readonly #rtt: RttEstimator;
  readonly #data: DataFields = createDataFields();
  readonly #sack: SackFields = createSackFields();
  #errorCount = 0;

  constructor(parts: SessionParts, now: Instant) {
    const { tcb, options, mtuBytes, rtt, events } = parts;
    this.tcb = tcb;
    this.#rtt = rtt;
    this.#env = options.env;
    this.#control = parts.control;
    this.#reporter = parts.reporter;
    const maxBuffer = options.maxSendBufferBytes ?? DEFAULT_MAX_SEND_BUFFER_BYTES;
    this.sender = new DataSender(tcb, options, mtuBytes, maxBuffer, rtt, events);
    this.receiver = new DataReceiver(parts);
    const { sender, receiver } = this;
    this.reset = new StreamReset({ tcb, sender, receiver, rtt, events, reporter: parts.reporter });
    this.#heartbeat = new Heartbeat(this.#env, options.heartbeatIntervalMs ?? DEFAULT_HEARTBEAT_INTERVAL_MS, rtt, now);
    this.#baseMtuBytes = mtuBytes;
    this.#pathMtu = new PathMtu(this.#env, mtuBytes, parts.maxMtuBytes);
    this.#maxRetransmissions = options.maxRetransmissions ?? DEFAULT_MAX_RETRANSMISSIONS;
  }

  /** One DATA or I-DATA chunk. @returns why the association must end, if so. */
  handleData(bytes: Uint8Array, at: number, end: number): ErrorCause | undefined {
    const data = this.#data;
    readData(bytes, at, end, data);
    if (data.interleaved !== this.tcb.extensions.interleaving) {
      return textCause(CAUSE.PROTOCOL_VIOLATION, 'DATA and I-DATA do not mix'); // RFC 8260 §2.2.1
    }
    if (data.userStart === data.userEnd) return noUserData(data.tsn); // RFC 9260 §6.2
    const verdict = this.receiver.handleData(data, bytes);
    return verdict === 'ok' ? undefined : this.#handleVerdict(verdict, data);
  }

  #handleVerdict(verdict: Exclude<DataVerdict, 'ok'>, data: DataFields): ErrorCause | undefined {
    switch (verdict) {
      case 'violation':
        return textCause(CAUSE.PROTOCOL_VIOLATION, `fragments do not fit together at TSN ${data.tsn}`);
      case 'too-big':
        return textCause(CAUSE.OUT_OF_RESOURCE, 'message larger than max-message-size');
      case 'invalid-stream':
        this.#control.push(encodeError([invalidStreamIdentifier(data.streamId)])); // RFC 9260 §6.5
        this.#reporter.drop('bad-value', `DATA on stream ${data.streamId}`);
        return undefined;
      case 'duplicate':
        this.#reporter.drop('duplicate', 'TSN');
        return undefined;
      case 'out-of-window':
      case 'limit':
        this.#reporter.drop(verdict, 'DATA');
        return undefined;
    }
  }

  /** @returns why the association must end, if so. */
  handleSack(bytes: Uint8Array, at: number, end: number, now: Instant): ErrorCause | undefined {
    const sack = this.#sack;
    readSack(bytes, at, end, sack);
    const before = this.sender.outstanding.deliveredBytes;
    const verdict = this.sender.handleSack(sack, now);
    if (verdict === 'out-of-window') {
      return textCause(CAUSE.PROTOCOL_VIOLATION, 'SACK for a TSN that was never sent'); // RFC 9260 §12.4
    }
    if (verdict !== 'ok') {
      this.#reporter.drop(verdict, 'SACK');
      return undefined;
    }
    // RFC 9260 §8.1: progress clears the count; so does a closed window whose owner is alive (§6.1 A).
    const delivered = this.sender.outstanding.deliveredBytes;
    if (delivered > before || sack.aRwnd < this.sender.mtuBytes) this.#errorCount = 0;
    if (delivered > before) this.#pathMtu.noteProgress(delivered, now);
    this.#heartbeat.noteTraffic(now);
    this.reset.noteProgress();
    return undefined;
  }

  /** FORWARD TSN or I-FORWARD-TSN. */
  handleForwardTsn(bytes: Uint8Array, at: number, end: number): ErrorCause | undefined {
    const chunk = decodeForwardTsn(bytes, at, end);
    const { forwardTsn, interleaving } = this.tcb.extensions;
    if (!forwardTsn || chunk.interleaved !== interleaving) {
      return textCause(CAUSE.PROTOCOL_VIOLATION, 'FORWARD TSN was not agreed on'); // RFC 3758 §3.3.1, RFC 8260 §2.3.1
    }
    if (!this.receiver.handleForwardTsn(chunk)) this.#reporter.drop('stale', 'FORWARD TSN');
    return undefined;
  }

  handleReConfig(bytes: Uint8Array, at: number, end: number): void {
    const parameters = decodeReConfig(bytes, at, end);
    if (!this.tcb.extensions.reConfig) {
      this.#reporter.drop('unsupported', 'RE-CONFIG was not agreed on');
      return;
    }
    this.reset.handle(parameters);
    if (parameters.some(({ type }) => type !== 'response')) this.receiver.requestSack(); // RFC 6525 §5.2.1
  }

  handleHeartbeat(bytes: Uint8Array, at: number, end: number): void {
    decodeHeartbeat(bytes, at, end); // only looked at: all that there is goes back unchanged (RFC 9260 §8.3)
    this.#control.push(
      buildChunk(CHUNK.HEARTBEAT_ACK, 0, end - at, (w) => w.bytes(bytes.subarray(at + TLV_HEADER_BYTES, end))),
    );
  }

  handleHeartbeatAck(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    const info = decodeHeartbeat(bytes, at, end);
    if (this.#heartbeat.handleAck(info, now)) this.#errorCount = 0;
    else if (this.#pathMtu.handleAck(info, now)) this.sender.setMtu(this.#pathMtu.currentBytes);
    else this.#reporter.drop('unknown-transaction', 'HEARTBEAT ACK');
  }

  /** All chunks of a packet were handled. */
  endOfPacket(now: Instant): void {
    this.receiver.endOfPacket(this.#rtt.smoothedMs ?? ASSUMED_RTT_MS, now);
  }

  nextTimeout(): Instant {
    return Math.min(this.sender.nextTimeout(), this.receiver.sackAt, this.reset.timerAt, this.#heartbeat.dueAt);
  }

  /** What was learnt about the old path says nothing about this one (RFC 8899 §5.2): down to the base, and search anew. */
  changePath(maxMtuBytes: number): void {
    this.#pathMtu = new PathMtu(this.#env, this.#baseMtuBytes, maxMtuBytes);
    this.sender.setMtu(this.#baseMtuBytes);
  }

  /** @returns false when the peer does not answer any more (RFC 9260 §8.1). */
  handleTimeout(now: Instant): boolean {
    this.receiver.handleTimeout(now);
    if (this.sender.handleTimeout(now)) {
      this.noteError();
      if (this.#pathMtu.noteTimeout(now)) this.sender.setMtu(this.#pathMtu.currentBytes);
    }
    if (this.reset.handleTimeout(now)) this.noteError();
    if (now >= this.#heartbeat.dueAt) {
      const { chunk, unanswered } = this.#heartbeat.fire(now);
      if (unanswered) this.noteError();
      this.#control.push(chunk);
    }
    return !this.hasFailed;
  }

  /** The peer is alive, although it has answered nothing. */
  forgiveErrors(): void {
    this.#errorCount = 0;
  }

  /** Something was not answered in time. */
  noteError(): void {
    this.#errorCount++;
  }

  get hasFailed(): boolean {
    return this.#errorCount > this.#maxRetransmissions;
  }

  /**
   * Writes a path-MTU probe at `at` when one is due: a HEARTBEAT and a PAD (RFC 8899 §6.2.1.1, RFC 4820).
   * @param packetStart - where the packet begins; `limit` is the end of the room there is.
   * @returns the position behind it; `at` when there is none.
   */
  writeProbe(bytes: Uint8Array, packetStart: number, at: number, limit: number, now: Instant): number {
    if (now < this.#pathMtu.dueAt) return at;
    const probe = this.#pathMtu.takeProbe(this.#rtt.rtoMs, now);
    if (probe === undefined || packetStart + probe.sizeBytes > limit) return at;
    const heartbeat = encodeHeartbeat(CHUNK.HEARTBEAT, probe.info);
    bytes.set(heartbeat, at);
    const end = packetStart + probe.sizeBytes;
    writePad(bytes, at + heartbeat.length, end - at - heartbeat.length);
    return end;
  }

  /** Whether {@link write} would produce chunks. */
  hasPacket(now: Instant): boolean {
    return (
      this.receiver.sackIsDue ||
      !this.#control.isEmpty ||
      this.sender.forwardTsnIsDue ||
      this.reset.hasChunk ||
      this.sender.canSend(now)
    );
  }

  /**
   * Bundles what is to be sent into `bytes[at, end)` (RFC 9260 §6.10): control chunks, the SACK, FORWARD TSN, then DATA.
   * @param urgent - ask for an immediate SACK.
   */
  write(bytes: Uint8Array, at: number, end: number, urgent: boolean, now: Instant): number {
    let pos = this.#control.write(bytes, at, end, at);
    if (this.receiver.sackIsPending) pos = this.receiver.writeSack(bytes, pos, end);
    if (this.reset.hasChunk) {
      const chunk = this.reset.takeChunk(now);
      if (chunk !== undefined) this.#control.push(chunk);
      pos = this.#control.write(bytes, pos, end, at);
    }
    if (this.sender.forwardTsnIsDue) pos = this.sender.writeForwardTsn(bytes, pos, end, now);
    if (this.sender.canSend(now)) pos = this.sender.writeData(bytes, pos, end, urgent, now);
    return pos;
  }
}
