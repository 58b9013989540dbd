import {
  ByteReader,
  ByteWriter,
  DecodeError,
  DropCounters,
  type DropReason,
  type Env,
  type Instant,
  Ring,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { ALERT_CODES, type Alert, type AlertDescription, alertName, readAlert, writeAlert } from './alert.ts';
import type { Handshake, HandshakeHost, HandshakeResult, Role } from './handshake.ts';
import { HandshakeLayer, type HandshakeOwner } from './handshake-layer.ts';
import { exportKeyingMaterial, RESERVED_LABELS } from './key-schedule.ts';
import type { ResolvedOptions } from './options.ts';
import { HeldBytes, RecordLayer } from './record-layer.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE } from './registry.ts';
import type { DtlsEndpoint, DtlsEvent, DtlsState, Negotiated } from './types.ts';

/** Records waiting in `send` between two drains. */
export const MAX_QUEUED_RECORDS = 1024;

const MODULE = 'dtls';

/** Legal moves; anything else is a bug here, not of the peer. */
const MOVES: Readonly<Record<DtlsState, readonly DtlsState[]>> = {
  new: ['connecting', 'closed', 'failed'],
  connecting: ['connected', 'closed', 'failed'],
  connected: ['closed', 'failed'],
  closed: [],
  failed: [],
};

/**
 * One DTLS 1.2 connection without its role: records in and out, epochs, alerts, data. Handshake records are the
 * `HandshakeLayer`'s, which calls the role's state machine (`ClientHandshake`, `ServerHandshake`).
 *
 * ```text
 * datagram → records → epoch 0: plaintext      ┐→ handshake fragments → reassembly → role
 *                    → epoch 1: open in place  ┘→ alert, application data
 * ```
 */
export abstract class Connection implements DtlsEndpoint {
  readonly role: Role;
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #handshake: HandshakeLayer;
  readonly #records: RecordLayer;
  readonly #events = new Ring<DtlsEvent>();
  readonly #outgoing = new Ring<{ readonly type: number; readonly bytes: Uint8Array }>(MAX_QUEUED_RECORDS);
  /** Authentic data that came before Finished. */
  readonly #heldData = new HeldBytes();
  #state: DtlsState = 'new';
  #result: HandshakeResult | undefined;
  #peerCertificates: readonly Uint8Array[] = [];

  protected constructor(role: Role, options: ResolvedOptions, makeHandshake: (host: HandshakeHost) => Handshake) {
    this.role = role;
    this.#env = options.env;
    this.#records = new RecordLayer(options.connectionId?.length ?? 0, options.recordSizeLimitBytes);
    this.#handshake = new HandshakeLayer(this.#makeOwner(), this.#records, options.flight, makeHandshake);
  }

  get state(): DtlsState {
    return this.#state;
  }

  get negotiated(): Negotiated | undefined {
    return this.#result?.negotiated;
  }

  get peerCertificates(): readonly Uint8Array[] {
    return this.#peerCertificates;
  }

  /**
   * The highest sequence number that was authentic; -1 before the first. That it grew tells that a datagram was the
   * peer's and its newest, which a change of address must wait for (RFC 9146 §6).
   */
  get newestSequence(): number {
    return this.#records.newestSequence;
  }

  /** Whether the datagram begins with a record of the peer's, a copy or not, of this number or later. It is destroyed. */
  authenticates(bytes: Uint8Array, sequence: number): boolean {
    return this.#records.authenticates(bytes, sequence);
  }

  /** The random of the ClientHello, which names this handshake; empty before it. */
  get clientRandom(): Uint8Array {
    return this.#handshake.clientRandom;
  }

  /** Parts of a ClientHello are held, and more is awaited. */
  get holdsFragments(): boolean {
    return this.#handshake.holdsFragments;
  }

  get recordHeadroom(): number {
    return this.#records.writer.headroom;
  }

  get recordOverhead(): number {
    return this.#records.writer.overhead;
  }

  // Commands.

  /** Client only. */
  protected begin(now: Instant): void {
    if (this.#state !== 'new') throw new UsageError('the handshake has been started already');
    this.#move('connecting', 'start');
    this.#handshake.start(now);
  }

  send(bytes: Uint8Array, _now: Instant): void {
    this.#checkSendable(bytes.length);
    if (!this.#outgoing.push({ type: CONTENT_APPLICATION_DATA, bytes: bytes.slice() })) {
      throw new UsageError('too many records are waiting: poll the transmits');
    }
  }

  sealInPlace(slot: TransmitSlot<unknown>): void {
    this.#checkSendable(slot.length);
    const length = this.#records.writer.write(CONTENT_APPLICATION_DATA, slot.buffer, slot.offset, slot.length);
    slot.offset -= this.#records.writer.headroom;
    slot.length = length;
    this.#endAtKeyBound();
  }

  /**
   * RFC 8446 §5.5: the record just written was the last that the key may seal. Noticed here and not at the next one, so
   * that whoever looks at `state` before sealing, as a driver's loop does, is never thrown at.
   */
  #endAtKeyBound(): void {
    if (this.#records.writer.exhausted) {
      this.#fail('internal_error', 'limit', 'the key has reached its bound of use');
    }
  }

  exportKeyingMaterial(label: string, context: Uint8Array | undefined, lengthBytes: number): Uint8Array {
    const result = this.#result;
    if (result === undefined) throw new UsageError('not connected');
    if (RESERVED_LABELS.has(label)) throw new UsageError(`the label ${JSON.stringify(label)} is reserved`);
    const randoms = { client: result.clientRandom, server: result.serverRandom };
    return exportKeyingMaterial(
      this.#env.crypto,
      result.suite.hash,
      result.masterSecret,
      randoms,
      label,
      context,
      lengthBytes,
    );
  }

  close(_now: Instant): void {
    if (this.#state === 'closed' || this.#state === 'failed') return;
    if (this.#state !== 'new') this.#queueAlert('warning', 'close_notify');
    this.#finish('closed', 'close()');
    this.#events.push({ type: 'closed' });
  }

  limitDatagramBytes(bytes: number, now: Instant): void {
    if (this.#state === 'new' || this.#state === 'connecting' || this.#state === 'connected') {
      this.#handshake.limitDatagramBytes(bytes, now);
    }
  }

  #checkSendable(length: number): void {
    const negotiated = this.#result?.negotiated;
    if (this.#state !== 'connected' || negotiated === undefined) throw new UsageError(`cannot send: ${this.#state}`);
    if (length > negotiated.maxSendRecordBytes) {
      throw new UsageError(`a record holds ${negotiated.maxSendRecordBytes} bytes, not ${length}`);
    }
    if (this.#records.writer.exhausted) {
      this.#fail('internal_error', 'limit', 'the key has reached its bound of use');
      throw new UsageError('the key has reached its bound of use: the connection is closed');
    }
  }

  // Sans-IO.

  handleInput(bytes: Uint8Array, _path: undefined, now: Instant): void {
    this.#handshake.received(bytes.length);
    this.#handleDatagram(bytes, now);
    this.#replayHeld(now);
  }

  handleTimeout(now: Instant): void {
    if (this.#state !== 'connecting') return;
    if (this.#handshake.handleTimeout(now)) {
      this.#finish('failed', 'time-out');
      const error = { by: 'timeout', message: 'the peer does not answer the handshake' } as const;
      this.#events.push({ type: 'failed', error });
    }
  }

  pollTransmit(slot: TransmitSlot<unknown>, _now: Instant): boolean {
    if (this.#handshake.pollTransmit(slot)) return true;
    const next = this.#outgoing.shift();
    if (next === undefined) return false;
    const at = slot.offset + this.#records.writer.headroom;
    slot.buffer.set(next.bytes, at);
    slot.length = this.#records.writer.write(next.type, slot.buffer, at, next.bytes.length);
    return true;
  }

  pollEvent(): DtlsEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#handshake.nextTimeout();
  }

  // Records.

  #handleDatagram(bytes: Uint8Array, now: Instant) {
    const records = this.#records;
    for (let at = 0; at < bytes.length; at = records.next) {
      if (this.#state === 'closed' || this.#state === 'failed') return this.#drop('closed', 'record');
      const outcome = records.read(bytes, at, this.#state !== 'new');
      if (outcome === 'held') continue;
      if (outcome !== undefined) {
        this.#drop(outcome, 'record');
        if (records.readingExhausted) this.#fail('bad_record_mac', 'limit', 'too many forged records');
      } else if (records.epoch === 0) {
        this.#handlePlainRecord(bytes, now);
      } else {
        this.#handleProtectedRecord(bytes, now);
      }
    }
  }

  #handleProtectedRecord(bytes: Uint8Array, now: Instant) {
    const { type, start, end } = this.#records;
    switch (type) {
      case CONTENT_APPLICATION_DATA:
        return this.#handleData(bytes.subarray(start, end));
      case CONTENT_HANDSHAKE:
        return this.#handshake.handleRecord(bytes, now);
      case CONTENT_ALERT:
        return this.#handleAlert(bytes, start, end);
      default:
        return this.#drop('bad-type', `record type ${type}`);
    }
  }

  #handlePlainRecord(bytes: Uint8Array, now: Instant) {
    const { type, start, end } = this.#records;
    // RFC 6347 §4.2.8: after the handshake nothing in the clear may change an association, a ClientHello neither.
    if (this.#state === 'connected') return this.#drop('unauthenticated', `plaintext record of type ${type}`);
    switch (type) {
      case CONTENT_HANDSHAKE:
        return this.#handshake.handleRecord(bytes, now);
      case CONTENT_CHANGE_CIPHER_SPEC:
        // The epoch in each record says what a ChangeCipherSpec would: it may be lost or overtaken without harm.
        if (end - start !== 1 || bytes[start] !== 1) this.#drop('bad-value', 'ChangeCipherSpec');
        return;
      case CONTENT_ALERT:
        if (this.#state === 'new') return this.#drop('bad-state', 'alert');
        // A peer whose Finished we have opened does not speak in the clear any more.
        if (this.#records.peerProtected) return this.#drop('unauthenticated', 'plaintext alert');
        return this.#handleAlert(bytes, start, end);
      default:
        return this.#drop('bad-type', `plaintext record of type ${type}`);
    }
  }

  #replayHeld(now: Instant): void {
    for (let held = this.#records.takeHeld(); held !== undefined; held = this.#records.takeHeld()) {
      this.#handleDatagram(held, now);
    }
  }

  #handleData(bytes: Uint8Array): void {
    if (this.#state === 'connected') {
      if (bytes.length > 0) this.#events.push({ type: 'data', bytes });
    } else if (!this.#heldData.push(bytes)) {
      // Authentic, but Finished has not come yet: it may tell that the handshake was tampered with.
      this.#drop('limit', 'early data');
    }
  }

  // Alerts and ends.

  #handleAlert(bytes: Uint8Array, start: number, end: number) {
    let alert: Alert;
    try {
      alert = readAlert(new ByteReader(bytes, start, end));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.#drop(error.reason, error.message);
    }
    const description = alertName(alert.code) ?? alert.code;
    this.#events.push({ type: 'alert', direction: 'received', level: alert.level, description });
    if (description === 'close_notify') {
      // RFC 5246 §7.2.1: "MUST respond with a close_notify alert of its own and close down the connection immediately".
      this.#queueAlert('warning', 'close_notify');
      this.#finish('closed', 'close_notify');
      this.#events.push({ type: 'closed' });
    } else if (alert.level === 'fatal') {
      this.#finish('failed', `alert ${description}`);
      this.#events.push({
        type: 'failed',
        error: { alert: description, by: 'remote', message: `the peer sent ${description}` },
      });
    }
  }

  #fail(alert: AlertDescription, reason: DropReason, message: string): void {
    this.#drop(reason, message);
    this.#outgoing.clear();
    this.#queueAlert('fatal', alert);
    this.#finish('failed', message);
    this.#events.push({ type: 'failed', error: { alert, by: 'local', message } });
  }

  #queueAlert(level: Alert['level'], description: AlertDescription) {
    const w = new ByteWriter(new Uint8Array(2));
    writeAlert(w, { level, code: ALERT_CODES[description] });
    if (!this.#outgoing.push({ type: CONTENT_ALERT, bytes: w.buf })) return this.#drop('limit', 'alert to send');
    this.#events.push({ type: 'alert', direction: 'sent', level, description });
  }

  /** Everything ends here; what is queued (data before close_notify, an alert) still leaves. */
  #finish(state: 'closed' | 'failed', why: string): void {
    this.#handshake.end(state === 'failed');
    this.#records.clearHeld();
    this.#heldData.clear();
    this.#move(state, why);
  }

  #move(next: DtlsState, why: string): void {
    if (!MOVES[this.#state].includes(next)) throw new Error(`illegal ${this.#state} -> ${next} (${why})`);
    this.#env.trace.state(MODULE, this.#state, next, why);
    this.#state = next;
    this.#events.push({ type: 'state', state: next, reason: why });
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop(MODULE, reason, detail);
  }

  // What the handshake may do.

  #makeOwner(): HandshakeOwner {
    return {
      state: () => this.#state,
      accepted: () => this.#move('connecting', 'ClientHello'),
      complete: (result) => this.#complete(result),
      setPeerCertificates: (chain) => {
        this.#peerCertificates = chain;
      },
      emit: (event) => void this.#events.push(event),
      fail: (alert, reason, message) => this.#fail(alert, reason, message),
      warn: (alert) => this.#queueAlert('warning', alert),
      drop: (reason, detail) => this.#drop(reason, detail),
    };
  }

  #complete(result: HandshakeResult): void {
    this.#result = result;
    this.#move('connected', 'Finished');
    this.#events.push({ type: 'connected', ...result.negotiated });
    for (let early = this.#heldData.shift(); early !== undefined; early = this.#heldData.shift()) {
      this.#events.push({ type: 'data', bytes: early });
    }
  }
}
