import { type Instant, NEVER, type Ring, UsageError } from '../core/index.ts';
import type { ControlQueue, DropReporter } from './control-queue.ts';
import { EarlyData } from './early-data.ts';
import type { Handshake } from './handshake.ts';
import { initAckFault, initFault } from './init-fault.ts';
import { DEFAULT_MAX_INIT_RETRANSMISSIONS, LEAST_OFFERED_WINDOW_BYTES } from './limits.ts';
import { RttEstimator } from './rtt.ts';
import { Session, type SessionSettings } from './session.ts';
import type { Tcb } from './tcb.ts';
import { MOVES } from './transitions.ts';
import type { SctpEvent, SctpState } from './types.ts';
import {
  decodeCauses,
  type ErrorCause,
  encodeAbort,
  encodeError,
  staleCookie,
  textCause,
  unrecognizedParameters,
} from './wire/causes.ts';
import { decodeInit } from './wire/init.ts';
import { COMMON_HEADER_BYTES, verificationTag } from './wire/packet.ts';
import { CAUSE } from './wire/registry.ts';
import { encodeCookieAck, encodeShutdown, encodeShutdownAck, encodeShutdownComplete } from './wire/simple.ts';
import { TLV_HEADER_BYTES } from './wire/tlv.ts';

/** What a life cycle is made with. */
export interface LifecycleParts {
  readonly settings: SessionSettings;
  readonly handshake: Handshake;
  readonly events: Ring<SctpEvent>;
  readonly control: ControlQueue;
  readonly reporter: DropReporter;
}

/**
 * The state machine of an association (RFC 9260 §4):
 *
 * ```text
 *  closed ─ connect ─► cookie-wait ─ INIT ACK ─► cookie-echoed ─ COOKIE ACK or ECHO ─► established
 *  established ─ shutdown ─► shutdown-pending ─ all acknowledged ─► shutdown-sent ─ SHUTDOWN ACK ─► closed
 *  established ─ SHUTDOWN ─► shutdown-received ─ all acknowledged ─► shutdown-ack-sent ─ SHUTDOWN COMPLETE ─► closed
 * ```
 *
 * It decides when a {@link Session} begins and ends; what happens inside one is the session's own business.
 */
export class Lifecycle {
  readonly #settings: SessionSettings;
  readonly #handshake: Handshake;
  readonly #events: Ring<SctpEvent>;
  readonly #control: ControlQueue;
  readonly #reporter: DropReporter;
  #rtt: RttEstimator = new RttEstimator();
  #state: SctpState = 'closed';
  #session: Session | undefined;
  /** The association is over: this object will not have another. */
  #ended = false;
  #t2At: Instant = NEVER;
  /** Messages that ride with the COOKIE ECHO. */
  readonly early: EarlyData = new EarlyData();

  constructor(parts: LifecycleParts) {
    this.#settings = parts.settings;
    this.#handshake = parts.handshake;
    this.#events = parts.events;
    this.#control = parts.control;
    this.#reporter = parts.reporter;
  }

  get state(): SctpState {
    return this.#state;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get rtt(): RttEstimator {
    return this.#rtt;
  }

  /** The tags of the association that is up or under way. */
  get localTag(): number | undefined {
    return this.#session?.tcb.localTag ?? this.#handshake.localTag;
  }

  get peerTag(): number | undefined {
    return (this.#session?.tcb ?? this.#handshake.tcb)?.peerTag;
  }

  get #maxInitRetransmissions(): number {
    return this.#settings.options.maxInitRetransmissions ?? DEFAULT_MAX_INIT_RETRANSMISSIONS;
  }

  /** RFC 9260 §9.2: in the later states of a shutdown nothing new is expected. */
  get receivesData(): boolean {
    return this.#state === 'established' || this.#state === 'shutdown-pending' || this.#state === 'shutdown-sent';
  }

  connect(now: Instant): void {
    if (this.#ended) throw new UsageError('the association has ended');
    if (this.#state !== 'closed') return;
    this.#handshake.connect(now);
    this.#move('cookie-wait', 'connect');
  }

  shutdown(now: Instant): void {
    if (this.#state === 'established') {
      this.#move('shutdown-pending', 'shutdown');
      this.continueShutdown(now);
    } else if (this.#state === 'cookie-wait' || this.#state === 'cookie-echoed') this.abort('closed early');
    else if (this.#state === 'closed') this.#ended = true;
  }

  abort(reason: string): void {
    if (this.#state === 'closed') this.#ended = true;
    else this.abortWith(textCause(CAUSE.USER_INITIATED_ABORT, reason), reason);
  }

  /** RFC 9260 §5.1 B, §5.2.1, §5.2.2; answered without changing anything. */
  handleInit(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    const init = decodeInit(bytes, at, end);
    if (this.#ended) {
      this.#reporter.drop('closed', 'INIT');
      return;
    }
    if (init.initiateTag === 0) {
      this.#reporter.drop('bad-value', 'INIT: initiate tag 0'); // §3.3.2: silently
      return;
    }
    if (this.#state === 'shutdown-ack-sent') {
      this.#control.push(encodeShutdownAck()); // §9.2
      return;
    }
    const fault = initFault(init);
    if (fault !== undefined) {
      this.#control.pushLone(init.initiateTag, encodeAbort([fault]));
      this.#reporter.drop('bad-value', 'INIT');
      return;
    }
    this.#control.pushLone(init.initiateTag, this.#handshake.answerInit(init, this.#session?.tcb, now));
  }

  /** RFC 9260 §5.1 C; in any other state it is discarded (§5.2.3). */
  handleInitAck(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    if (this.#state !== 'cookie-wait') {
      this.#reporter.drop('bad-state', 'INIT ACK');
      return;
    }
    const ack = decodeInit(bytes, at, end);
    const fault = initAckFault(ack, this.#settings.mtuBytes - COMMON_HEADER_BYTES);
    if (fault !== undefined) {
      const { initiateTag } = ack;
      // §3.3.3: who has no tag gets the one back that it used.
      this.#control.pushLone(initiateTag || (this.localTag ?? 0), encodeAbort([fault], initiateTag === 0));
      this.#reporter.drop('bad-value', 'INIT ACK');
      if (ack.aRwnd < LEAST_OFFERED_WINDOW_BYTES) return; // the one fault that changes no state (§3.3.3)
      this.end({ type: 'aborted', byPeer: false, cause: fault.type, message: 'bad INIT ACK' }, 'INIT ACK');
      return;
    }
    this.#rtt.noteHandshake(this.#handshake.handleInitAck(ack, now), now);
    const { unrecognized } = ack.parameters;
    if (unrecognized !== undefined && unrecognized.length > 0) {
      this.#control.push(encodeError([unrecognizedParameters(unrecognized)])); // §3.2.2
    }
    this.#move('cookie-echoed', 'INIT ACK');
    const { tcb } = this.#handshake;
    if (this.#settings.options.earlyData !== true || tcb === undefined) return;
    const { inboundStreams, outboundStreams } = tcb;
    if (this.early.begin(this.#makeSession(tcb, now), now))
      this.#events.push({ type: 'sendable', inboundStreams, outboundStreams });
  }

  /** RFC 9260 §5.1 D, §5.2.4. @returns false to leave the rest of the packet alone. */
  handleCookieEcho(bytes: Uint8Array, at: number, end: number, now: Instant): boolean {
    if (this.#ended) {
      this.#reporter.drop('closed', 'COOKIE ECHO');
      return false;
    }
    const cookie = bytes.subarray(at + TLV_HEADER_BYTES, end);
    const { resolution, tcb, staleMs, ageMs } = this.#handshake.judgeCookie(cookie, this.#session?.tcb, now);
    if (tcb === undefined) {
      this.#reporter.drop('bad-cookie', 'COOKIE ECHO');
      return false;
    }
    if (tcb.localTag !== verificationTag(bytes)) {
      this.#reporter.drop('bad-tag', 'COOKIE ECHO');
      return false;
    }
    switch (resolution) {
      case 'stale':
        this.#control.pushLone(tcb.peerTag, encodeError([staleCookie(staleMs * 1000)]));
        this.#reporter.drop('stale', 'COOKIE ECHO');
        return false;
      case 'restart':
        if (this.#state === 'shutdown-ack-sent') {
          const cause = { type: CAUSE.COOKIE_RECEIVED_WHILE_SHUTTING_DOWN, value: new Uint8Array(0) };
          this.#control.pushLone(tcb.peerTag, encodeError([cause]));
          this.#control.push(encodeShutdownAck());
          return false;
        }
        if (this.#session === undefined) {
          this.#establish(tcb, 'COOKIE ECHO', now); // it restarted before it had become known to be up
          break;
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
            this.#reporter.drop('bad-state', 'COOKIE ECHO with another tag after DATA');
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
        this.#reporter.drop('bad-state', `COOKIE ECHO: ${resolution}`);
        return false;
    }
    this.#rtt.noteHandshake(ageMs, now);
    this.#control.push(encodeCookieAck());
    return true;
  }

  /** RFC 9260 §5.1 E; in any other state it is discarded (§5.2.5). */
  handleCookieAck(now: Instant): void {
    const tcb = this.#handshake.tcb;
    if (this.#state !== 'cookie-echoed' || tcb === undefined) {
      this.#reporter.drop('bad-state', 'COOKIE ACK');
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
    let session = this.early.take(tcb, now);
    if (session === undefined) {
      session = this.#makeSession(tcb, now);
      this.early.handOver(session, now);
    }
    this.#session = session;
  }

  #makeSession(tcb: Tcb, now: Instant): Session {
    const parts = { rtt: this.#rtt, events: this.#events, control: this.#control, reporter: this.#reporter };
    return new Session({ tcb, ...parts, ...this.#settings }, now);
  }

  /** RFC 9260 §9.1. */
  handleAbort(bytes: Uint8Array, at: number, end: number): void {
    if (this.#state === 'closed') {
      this.#reporter.drop('bad-state', 'ABORT');
      return;
    }
    if (this.#state === 'shutdown-ack-sent') {
      // Everything was acknowledged both ways and the peer is gone: it has answered a straggler of ours instead of the
      // SHUTDOWN ACK whose SHUTDOWN COMPLETE was lost (RFC 9260 §8.4 rule 8).
      this.end({ type: 'closed' }, 'ABORT');
      return;
    }
    const cause = decodeCauses(bytes, at, end)[0];
    const carriesText = cause?.type === CAUSE.USER_INITIATED_ABORT || cause?.type === CAUSE.PROTOCOL_VIOLATION;
    const message = carriesText ? new TextDecoder().decode(cause.value) : '';
    this.end({ type: 'aborted', byPeer: true, cause: cause?.type, message }, 'ABORT');
  }

  /** RFC 9260 §3.3.10: only a stale cookie makes us act (§5.2.6). */
  handleError(bytes: Uint8Array, at: number, end: number, now: Instant): void {
    for (const { type } of decodeCauses(bytes, at, end)) {
      this.#settings.options.env.trace.note('sctp', `the peer reports error cause ${type}`);
      if (type !== CAUSE.STALE_COOKIE || this.#state !== 'cookie-echoed') continue;
      if (!this.#handshake.retry(this.#maxInitRetransmissions, now)) {
        this.end({ type: 'failed', message: 'the peer takes no cookie of its own' }, 'stale cookie');
        return;
      }
      this.early.suspend();
      this.#move('cookie-wait', 'stale cookie');
    }
  }

  /** RFC 9260 §9.2. */
  handleShutdown(session: Session, cumulativeTsnAck: number, now: Instant): void {
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
        this.#reporter.drop('bad-state', 'SHUTDOWN');
        return;
    }
    session.sender.handleCumulativeAck(cumulativeTsnAck, now);
  }

  handleShutdownAck(session: Session): void {
    if (this.#state !== 'shutdown-sent' && this.#state !== 'shutdown-ack-sent') {
      this.#reporter.drop('bad-state', 'SHUTDOWN ACK');
      return;
    }
    this.#control.pushLone(session.tcb.peerTag, encodeShutdownComplete(0));
    this.end({ type: 'closed' }, 'SHUTDOWN ACK');
  }

  /** Takes the next step of a shutdown once everything of ours is acknowledged. */
  continueShutdown(now: Instant): void {
    const session = this.#session;
    if (this.#state === 'established' || session === undefined || !session.sender.isDone) return;
    if (this.#state === 'shutdown-pending') this.#move('shutdown-sent', 'all is acknowledged');
    else if (this.#state === 'shutdown-received') this.#move('shutdown-ack-sent', 'all is acknowledged');
    else return;
    session.reset.endRequests();
    this.#sendShutdown(now);
  }

  /**
   * A packet with DATA came. In SHUTDOWN-SENT it is answered with a SHUTDOWN, and the peer gets all the time that it takes to
   * send what it has queued (RFC 9260 §9.2).
   */
  answerData(now: Instant): void {
    if (this.#state !== 'shutdown-sent') return;
    this.#session?.forgiveErrors();
    this.#sendShutdown(now);
  }

  #sendShutdown(now: Instant): void {
    const session = this.#session;
    if (session === undefined) return;
    const ack = this.#state === 'shutdown-ack-sent';
    this.#control.push(ack ? encodeShutdownAck() : encodeShutdown(session.receiver.tsns.cumulativeOnWire));
    this.#t2At = now + this.#rtt.rtoMs;
  }

  abortWith(cause: ErrorCause, message: string): void {
    const peerTag = (this.#session?.tcb ?? this.#handshake.tcb)?.peerTag;
    if (peerTag !== undefined) this.#control.pushLone(peerTag, encodeAbort([cause]));
    this.end({ type: 'aborted', byPeer: false, cause: cause.type, message }, 'abort');
  }

  end(event: SctpEvent, why: string): void {
    this.#ended = true;
    this.#session = undefined;
    this.#handshake.stop();
    this.early.clear();
    this.#control.clear();
    this.#t2At = NEVER;
    this.#move('closed', why);
    this.#events.push(event);
  }

  #move(next: SctpState, why: string): void {
    if (!MOVES[this.#state].includes(next)) throw new Error(`illegal ${this.#state} -> ${next} (${why})`);
    this.#settings.options.env.trace.state('sctp', this.#state, next, why);
    this.#state = next;
  }

  nextTimeout(): Instant {
    return Math.min(this.#handshake.t1At, this.#t2At, this.#session?.nextTimeout() ?? NEVER);
  }

  handleTimeout(now: Instant): void {
    if (now >= this.#handshake.t1At) {
      if (!this.#handshake.handleT1(this.#handshake.t1At, this.#maxInitRetransmissions)) {
        this.end({ type: 'failed', message: 'the peer does not answer the handshake' }, 'T1');
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
    if (!session.handleTimeout(now)) {
      this.end({ type: 'failed', message: 'the peer does not answer any more' }, 'retransmission limit');
      return;
    }
    this.continueShutdown(now);
  }
}
