import type { Instant } from '../core/index.ts';
import type { Session } from './session.ts';
import type { Tcb } from './tcb.ts';
import type { SctpMessage } from './types.ts';

/**
 * What is sent before the association is up: "the COOKIE ECHO chunk MAY be bundled with any pending outbound DATA chunks,
 * but it MUST be the first chunk in the packet", and until the COOKIE ACK nothing else may be sent (RFC 9260 §5.1 C). It
 * saves a round trip.
 *
 * The session that the INIT ACK describes sends it ahead of its time. It becomes the association's if the handshake ends as
 * the INIT ACK said; where INITs crossed or the peer restarted it may end otherwise, and then the messages move on.
 */
export class EarlyData {
  #session: Session | undefined;
  #messages: SctpMessage[] = [];
  #announced = false;

  /** Streams to send on; undefined while nothing can be sent early. */
  get outboundStreams(): number | undefined {
    return this.#session?.tcb.outboundStreams;
  }

  /** An INIT ACK made `session`. @returns true for the first one: the application may send from here on. */
  begin(session: Session, now: Instant): boolean {
    this.#session = session;
    this.#requeue(session, now);
    const first = !this.#announced;
    this.#announced = true;
    return first;
  }

  /** @throws {UsageError} the send buffer is full. */
  send(message: SctpMessage, now: Instant): void {
    this.#session?.sender.streams.enqueue(message, now);
    this.#messages.push(message);
  }

  /**
   * Writes what fits of it behind a COOKIE ECHO; all of it again when that is sent again.
   * @returns the position behind it; `at` when there is nothing.
   */
  write(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const sender = this.#session?.sender;
    if (sender === undefined || this.#messages.length === 0) return at;
    sender.outstanding.markAllLost(false);
    return sender.canSend(now) ? sender.writeData(bytes, at, end, false, now) : at;
  }

  /** See `SctpAssociation.changePath`. */
  changePath(maxMtuBytes: number): void {
    this.#session?.changePath(maxMtuBytes);
  }

  /** The handshake begins anew: what was to be sent waits for the next INIT ACK. */
  suspend(): void {
    this.#session = undefined;
  }

  /** The handshake ended with `tcb`. @returns the session that sent early, if it is that one's; else see {@link handOver}. */
  take(tcb: Tcb, now: Instant): Session | undefined {
    const session = this.#session;
    if (session === undefined || !isSame(session.tcb, tcb)) return undefined;
    session.sender.resume(now);
    this.clear();
    return session;
  }

  /** Another session came of the handshake: it sends what was queued, which nobody has accepted. */
  handOver(session: Session, now: Instant): void {
    this.#requeue(session, now);
    this.clear();
  }

  clear(): void {
    this.#session = undefined;
    this.#messages = [];
  }

  #requeue(session: Session, now: Instant): void {
    for (const message of this.#messages) {
      if (message.streamId < session.tcb.outboundStreams) session.sender.streams.enqueue(message, now);
    }
  }
}

/** Whether two TCBs, one from an INIT ACK and one from a cookie, describe the same association. */
function isSame(a: Tcb, b: Tcb): boolean {
  return (
    a.localTag === b.localTag &&
    a.peerTag === b.peerTag &&
    a.localInitialTsn === b.localInitialTsn &&
    a.peerInitialTsn === b.peerInitialTsn &&
    a.outboundStreams === b.outboundStreams &&
    a.inboundStreams === b.inboundStreams &&
    a.extensions.forwardTsn === b.extensions.forwardTsn &&
    a.extensions.reConfig === b.extensions.reConfig &&
    a.extensions.interleaving === b.extensions.interleaving &&
    a.extensions.zeroChecksum === b.extensions.zeroChecksum
  );
}
