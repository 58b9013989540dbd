import { DecodeError, type DropReason, type Instant } from '../core/index.ts';
import type { ControlQueue, DropReporter } from './control-queue.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Session } from './session.ts';
import { type ErrorCause, encodeAbort, encodeError, FLAG_T, unrecognizedChunk } from './wire/causes.ts';
import {
  COMMON_HEADER_BYTES,
  checkPacket,
  checksumIsZero,
  checksumMatches,
  portsMatch,
  verificationTag,
} from './wire/packet.ts';
import { CAUSE, CHUNK, chunkName, unknownAction } from './wire/registry.ts';
import { decodeShutdown, encodeShutdownComplete } from './wire/simple.ts';
import { nextTlv, TLV_HEADER_BYTES, u16 } from './wire/tlv.ts';

/** What the input side is made with. */
export interface PacketInputParts {
  readonly lifecycle: Lifecycle;
  readonly control: ControlQueue;
  readonly reporter: DropReporter;
  readonly localPort: number;
  readonly remotePort: number;
  readonly acceptsZeroChecksum: boolean;
}

/**
 * The way in: framing, ports, checksum and verification tag of a packet (check, authenticate), then its chunks one by one
 * (commit).
 */
export class PacketInput {
  readonly #life: Lifecycle;
  readonly #control: ControlQueue;
  readonly #reporter: DropReporter;
  readonly #localPort: number;
  readonly #remotePort: number;
  readonly #acceptsZeroChecksum: boolean;
  /** The packet at hand had DATA that was looked at. */
  #hadData = false;

  constructor(parts: PacketInputParts) {
    this.#life = parts.lifecycle;
    this.#control = parts.control;
    this.#reporter = parts.reporter;
    this.#localPort = parts.localPort;
    this.#remotePort = parts.remotePort;
    this.#acceptsZeroChecksum = parts.acceptsZeroChecksum;
  }

  /** One packet. Bad input is a counted drop, never a throw. */
  handle(bytes: Uint8Array, now: Instant): void {
    try {
      checkPacket(bytes);
      const refused = this.#refuse(bytes);
      if (refused !== undefined)
        this.#reporter.drop(refused, `packet that begins with ${chunkName(bytes[COMMON_HEADER_BYTES]!)}`);
      else this.#handleChunks(bytes, now);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#reporter.drop(error.reason, error.message);
    }
    this.#life.session?.endOfPacket(now);
    if (this.#hadData) this.#life.answerData(now);
    this.#hadData = false;
    this.#life.continueShutdown(now);
  }

  /** Ports, checksum (RFC 9260 §6.8) and verification tag (§8.5). @returns why the packet is not looked at. */
  #refuse(bytes: Uint8Array): DropReason | undefined {
    const first = bytes[COMMON_HEADER_BYTES]!;
    if (!portsMatch(bytes, this.#remotePort, this.#localPort)) return 'unknown-peer';
    // RFC 9653 §5.3: an INIT is always checked.
    const unchecked = this.#acceptsZeroChecksum && first !== CHUNK.INIT && checksumIsZero(bytes);
    if (!unchecked && !checksumMatches(bytes)) return 'bad-checksum';
    const tag = verificationTag(bytes);
    const local = this.#life.localTag;
    const peer = this.#life.peerTag;
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
        if (this.#life.session === undefined) break;
        return tag === local ? undefined : 'bad-tag';
      default:
        if (tag === local) return undefined;
    }
    if (local !== undefined && first !== CHUNK.SHUTDOWN_ACK) return 'bad-tag';
    return this.#answerOutOfTheBlue(bytes, tag);
  }

  /** RFC 9260 §8.4: a packet for an association that we do not have. */
  #answerOutOfTheBlue(bytes: Uint8Array, tag: number): DropReason {
    const answer = outOfTheBlueAnswer(bytes);
    if (answer === 'SHUTDOWN COMPLETE') this.#control.pushLone(tag, encodeShutdownComplete(FLAG_T));
    else if (answer === 'ABORT') this.#control.pushLone(tag, encodeAbort([], true));
    return this.#life.hasEnded ? 'closed' : 'bad-state';
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
        this.#reporter.drop(error.reason, error.message);
      }
    }
  }

  /** @returns false to leave the rest of the packet alone. */
  #handleChunk(type: number, bytes: Uint8Array, at: number, end: number, now: Instant): boolean {
    const session = this.#life.session;
    switch (type) {
      case CHUNK.INIT:
        // RFC 9260 §12.3: where it is bundled, it and all behind it are discarded in silence.
        if (at !== COMMON_HEADER_BYTES) this.#reporter.drop('bad-order', 'INIT behind other chunks');
        else this.#life.handleInit(bytes, at, end, now);
        return false;
      case CHUNK.INIT_ACK:
        this.#life.handleInitAck(bytes, at, end, now);
        return false;
      case CHUNK.COOKIE_ECHO:
        return this.#life.handleCookieEcho(bytes, at, end, now);
      case CHUNK.COOKIE_ACK:
        this.#life.handleCookieAck(now);
        return true;
      case CHUNK.ABORT:
        this.#life.handleAbort(bytes, at, end);
        return false;
      case CHUNK.ERROR:
        this.#life.handleError(bytes, at, end, now);
        return true;
      case CHUNK.ECNE: // ECN is not negotiated: RFC 9260 has no text for it any more
      case CHUNK.CWR:
      case CHUNK.PAD: // RFC 4820 §3
        return true;
    }
    if (session === undefined) {
      this.#reporter.drop('bad-state', chunkName(type));
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
        if (!this.#life.receivesData) this.#reporter.drop('bad-state', chunkName(type));
        else {
          this.#hadData = true;
          fatal = session.handleData(bytes, at, end);
        }
        break;
      case CHUNK.SACK:
        fatal = session.handleSack(bytes, at, end, now);
        break;
      case CHUNK.FORWARD_TSN:
      case CHUNK.I_FORWARD_TSN:
        if (!this.#life.receivesData) this.#reporter.drop('bad-state', chunkName(type));
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
        this.#life.handleShutdown(session, decodeShutdown(bytes, at, end), now);
        break;
      case CHUNK.SHUTDOWN_ACK:
        this.#life.handleShutdownAck(session);
        break;
      case CHUNK.SHUTDOWN_COMPLETE:
        if (this.#life.state === 'shutdown-ack-sent') this.#life.end({ type: 'closed' }, 'SHUTDOWN COMPLETE');
        else this.#reporter.drop('bad-state', 'SHUTDOWN COMPLETE');
        break;
      default:
        return this.#handleUnknown(type, bytes, at, end);
    }
    if (fatal !== undefined) {
      this.#reporter.drop('bad-value', chunkName(type));
      this.#life.abortWith(fatal, new TextDecoder().decode(fatal.value));
    }
    return this.#life.session === session;
  }

  /** RFC 9260 §3.2: the two highest bits of the type say what to do. */
  #handleUnknown(type: number, bytes: Uint8Array, at: number, end: number): boolean {
    const action = unknownAction(type >>> 6);
    this.#reporter.drop('unsupported', chunkName(type));
    if (action.report) this.#control.push(encodeError([unrecognizedChunk(bytes.subarray(at, end))]));
    return action.skip;
  }
}

/**
 * What a packet for an association that we do not have is answered with (RFC 9260 §8.4); undefined is silence. The rules
 * come in the order in which that section has them.
 */
function outOfTheBlueAnswer(bytes: Uint8Array): 'ABORT' | 'SHUTDOWN COMPLETE' | undefined {
  let answer: 'ABORT' | 'SHUTDOWN COMPLETE' | undefined = 'ABORT';
  for (let at = COMMON_HEADER_BYTES; at < bytes.length; at = nextTlv(bytes, at)) {
    switch (bytes[at]) {
      case CHUNK.ABORT:
        return undefined;
      case CHUNK.SHUTDOWN_ACK:
        answer = 'SHUTDOWN COMPLETE';
        break;
      case CHUNK.INIT_ACK: // §5.2.3
      case CHUNK.COOKIE_ACK:
      case CHUNK.SHUTDOWN_COMPLETE:
        if (answer === 'ABORT') answer = undefined;
        break;
      case CHUNK.ERROR:
        if (answer === 'ABORT' && saysStaleCookie(bytes, at)) answer = undefined;
    }
  }
  return answer;
}

/** Whether the first cause of the ERROR at `at` is a stale cookie: it is the only one of the chunks that carry it. */
function saysStaleCookie(bytes: Uint8Array, at: number): boolean {
  return u16(bytes, at + 2) > TLV_HEADER_BYTES && u16(bytes, at + TLV_HEADER_BYTES) === CAUSE.STALE_COOKIE;
}
