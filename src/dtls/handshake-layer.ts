import { ByteReader, DecodeError, type DropReason, type Instant, type TransmitSlot } from '../core/index.ts';
import { type AlertDescription, alertForDecodeError, HandshakeFault } from './alert.ts';
import { Flight, type FlightOptions } from './flight.ts';
import type { Handshake, HandshakeHost, HandshakeResult } from './handshake.ts';
import { type HandshakeFragment, readHandshakeFragment } from './handshake-fragment.ts';
import { HandshakeReassembler, MAX_UNPROVED_HELLO_BYTES } from './reassembly.ts';
import { HELLO_SEQUENCE_LIMIT } from './record.ts';
import type { RecordLayer } from './record-layer.ts';
import { CLIENT_HELLO, FINISHED, HELLO_REQUEST, HELLO_VERIFY_REQUEST } from './registry.ts';
import type { DtlsEvent, DtlsState } from './types.ts';

/** What the layer asks of the connection around it. */
export interface HandshakeOwner {
  state(): DtlsState;
  /** Server: a ClientHello was taken; there is an association from now on. */
  accepted(): void;
  complete(result: HandshakeResult): void;
  setPeerCertificates(chain: readonly Uint8Array[]): void;
  emit(event: DtlsEvent): void;
  fail(alert: AlertDescription, reason: DropReason, message: string): void;
  warn(alert: AlertDescription): void;
  drop(reason: DropReason, detail: string): void;
}

/**
 * Handshake records in and out (RFC 6347 §4.2): fragments put together and given to the role's state machine in order, its flights
 * kept and sent, and what comes after the handshake answered or not.
 */
export class HandshakeLayer {
  readonly #owner: HandshakeOwner;
  readonly #records: RecordLayer;
  readonly #handshake: Handshake;
  readonly #flight: Flight;
  readonly #reassembler = new HandshakeReassembler();
  #nextMessageSeq = 0;
  #peerFinishedSeq = -1;

  constructor(
    owner: HandshakeOwner,
    records: RecordLayer,
    options: FlightOptions,
    makeHandshake: (host: HandshakeHost) => Handshake,
  ) {
    this.#owner = owner;
    this.#records = records;
    this.#flight = new Flight(options);
    this.#handshake = makeHandshake(this.#makeHost());
  }

  get clientRandom(): Uint8Array {
    return this.#handshake.clientRandom;
  }

  /** Parts of a ClientHello are held, and more is awaited. */
  get holdsFragments(): boolean {
    return this.#reassembler.holding;
  }

  /** Client only. */
  start(now: Instant): void {
    this.#handshake.start(now);
  }

  /** Nothing is sent or awaited any more. @param failed - nothing of it may be resumed either. */
  end(failed: boolean): void {
    if (failed) this.#handshake.abandon();
    this.#flight.clear();
    this.#reassembler.clear();
  }

  limitDatagramBytes(bytes: number, now: Instant): void {
    this.#flight.limitMtu(bytes, now);
  }

  /** A datagram of so many bytes has come. */
  received(bytes: number): void {
    this.#flight.received(bytes);
  }

  /** @returns true when the peer has not answered often enough. */
  handleTimeout(now: Instant): boolean {
    return this.#flight.handleTimeout(now) === 'exhausted';
  }

  nextTimeout(): Instant {
    return this.#flight.deadline;
  }

  pollTransmit(slot: TransmitSlot<unknown>): boolean {
    return this.#flight.pending && this.#flight.fill(slot);
  }

  /** The record that the record layer has read last. */
  handleRecord(bytes: Uint8Array, now: Instant): void {
    const { epoch, sequence, start, end } = this.#records;
    try {
      const r = new ByteReader(bytes, start, end);
      if (r.remaining === 0) throw new DecodeError('too-short', 'handshake record', start);
      while (r.remaining > 0) {
        const fragment = readHandshakeFragment(r);
        // RFC 6347 §4.2.3 does not forbid empty fragments. There is nothing of the message in them, but others may follow.
        if (fragment.body.length < 1 && fragment.length > 0) {
          this.#owner.drop('bad-length', 'empty fragment');
          continue;
        }
        // One answer a record: what comes after the handshake has no need of more, and 1,000 fragments fit into one.
        if (this.#owner.state() === 'connected') {
          this.#handleLateFragment(fragment, now);
          return;
        }
        this.#handleFragment(fragment, epoch, sequence, now);
      }
    } catch (error) {
      // A fragment that is no fragment tells nothing about the peer's state: dropped, as bad records are.
      if (!(error instanceof DecodeError)) throw error;
      this.#owner.drop(error.reason, error.message);
    }
  }

  #handleFragment(fragment: HandshakeFragment, epoch: number, recordSequence: number, now: Instant) {
    const state = this.#owner.state();
    if (state === 'closed' || state === 'failed') return this.#owner.drop('closed', 'handshake fragment');
    // Finished is the one message under the new keys; anything else there, or a Finished in the clear, is out of place.
    if ((fragment.type === FINISHED) !== (epoch === 1))
      return this.#owner.drop('unauthenticated', 'handshake message in the wrong epoch');
    if (state === 'new' && fragment.type !== CLIENT_HELLO) return this.#owner.drop('bad-state', 'handshake fragment');
    if (fragment.type === CLIENT_HELLO && recordSequence >= HELLO_SEQUENCE_LIMIT)
      return this.#owner.drop('out-of-window', 'record number of a ClientHello');
    if (this.#handshake.stateless && !this.#mayAddUnproved(fragment, recordSequence, now)) return;
    const refused = this.#reassembler.add(fragment, recordSequence);
    if (refused === 'stale' && fragment.messageSeq === this.#reassembler.next - 1) {
      this.#flight.handlePeerRetransmission(now, epoch === 1);
    }
    if (refused !== undefined) return this.#owner.drop(refused, 'handshake fragment');
    this.#flight.answered(now, fragment.type === HELLO_VERIFY_REQUEST);
    this.#handleMessages(now);
  }

  /**
   * A fragment of a ClientHello whose sender has not proved its address (RFC 6347 §4.2.1). The first one mostly is enough for an answer,
   * or shows the cookie. Where it is too short the hello is put together, within a bound, and the newest only: what is held proves nothing
   * about who sent it, and must not keep another out. More of a hello that did not begin here is nothing.
   */
  #mayAddUnproved(fragment: HandshakeFragment, recordSequence: number, now: Instant): boolean {
    const { body, length, messageSeq, offset } = fragment;
    const continued = this.#reassembler.holdsMessageOf(fragment);
    if (offset > 0) {
      if (!continued) this.#owner.drop('bad-state', 'the rest of a ClientHello');
      return continued;
    }
    if (!continued) this.#reassembler.clear();
    if (body.length === length) return true;
    try {
      const outcome = this.#handshake.handleHelloStart(body, { messageSeq, recordSequence }, now);
      if (outcome !== 'too-short') this.#reassembler.clear();
      if (outcome === 'accepted') this.#flight.awaitRest(now);
      if (outcome !== 'too-short' || length <= MAX_UNPROVED_HELLO_BYTES) return outcome !== 'answered';
      this.#owner.drop('limit', 'a long ClientHello in short fragments');
    } catch (error) {
      this.#handleFault(error);
    }
    return false;
  }

  #handleMessages(now: Instant) {
    for (;;) {
      const message = this.#handshake.awaitsFirstHello ? this.#reassembler.takeAny() : this.#reassembler.take();
      if (message === undefined) return;
      if (message.type === FINISHED) this.#peerFinishedSeq = message.messageSeq;
      try {
        this.#handshake.handleMessage(message, now);
      } catch (error) {
        return this.#handleFault(error);
      }
      const state = this.#owner.state();
      if (state !== 'connecting' && state !== 'new') return;
    }
  }

  #handleFault(error: unknown) {
    const isPeers = error instanceof HandshakeFault || error instanceof DecodeError;
    // Before the cookie anybody may have sent what led to this: nothing changes, not even for what ought not to happen.
    if (this.#handshake.stateless)
      return this.#owner.drop(isPeers ? error.reason : 'bad-state', isPeers ? error.message : String(error));
    if (error instanceof HandshakeFault) return this.#owner.fail(error.alert, error.reason, error.message);
    if (error instanceof DecodeError) return this.#owner.fail(alertForDecodeError(error), error.reason, error.message);
    // The backend cannot do what was negotiated, or a bug: the connection ends, and whoever drives it learns why.
    this.#owner.fail('internal_error', 'bad-state', String(error));
  }

  /** After the handshake, under its keys. */
  #handleLateFragment(fragment: HandshakeFragment, now: Instant): void {
    if (fragment.type === FINISHED && fragment.messageSeq === this.#peerFinishedSeq) {
      // RFC 6347 §4.2.4: a retransmitted Finished means that our last flight was lost.
      if (!this.#flight.handlePeerRetransmission(now, true)) this.#owner.drop('stale', 'Finished');
    } else if (fragment.type === HELLO_REQUEST || fragment.type === CLIENT_HELLO) {
      // RFC 5746 §4: renegotiation is refused, with a warning (RFC 5246 §7.2.2).
      this.#owner.warn('no_renegotiation');
      this.#owner.drop('unsupported', 'renegotiation');
    } else {
      this.#owner.drop('bad-state', 'handshake message after the handshake');
    }
  }

  // What the role's state machine may do.

  #makeHost(): HandshakeHost {
    return {
      beginFlight: () => this.#flight.begin(),
      addMessage: (type, body) => {
        const messageSeq = this.#nextMessageSeq++;
        this.#flight.addMessage(this.#records.writer, type, messageSeq, body);
        return messageSeq;
      },
      addChangeCipherSpec: () => {
        this.#flight.addChangeCipherSpec(this.#records.plainWriter);
        this.#records.changeWriter();
      },
      launchFlight: (now, awaitsReply) => this.#flight.launch(now, awaitsReply),
      continueFrom: (hello) => {
        this.#records.plainWriter.continueFrom(hello.recordSequence);
        this.#nextMessageSeq = hello.messageSeq;
      },
      accept: (messageSeq) => {
        this.#reassembler.beginWith(messageSeq);
        this.#owner.accepted();
      },
      forgetAhead: () => this.#reassembler.clear(),
      installKeys: (write, read) => this.#records.installKeys(write, read),
      setPeerCertificates: (chain) => this.#owner.setPeerCertificates(chain),
      emit: (event) => this.#owner.emit(event),
      complete: (result) => {
        this.#flight.acknowledge();
        this.#reassembler.clear();
        this.#owner.complete(result);
      },
    };
  }
}
