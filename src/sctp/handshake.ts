import { type Env, type Instant, NEVER } from '../core/index.ts';
import { CookieJar } from './cookie.ts';
import { type CookieResolution, resolveCookie } from './cookie-resolution.ts';
import { COOKIE_LIFE_MS, DEFAULT_STREAMS, RTO_INITIAL_MS, RTO_MAX_INIT_MS } from './limits.ts';
import type { Extensions, Tcb } from './tcb.ts';
import type { SctpOptions } from './types.ts';
import { encodeInit, type InitChunk, type InitParameters } from './wire/init.ts';
import { COMMON_HEADER_BYTES } from './wire/packet.ts';
import { CHUNK } from './wire/registry.ts';
import { encodeCookieEcho } from './wire/simple.ts';
import { padded, TLV_HEADER_BYTES } from './wire/tlv.ts';

/** RFC 9653 §4: the carrier is DTLS. */
const EDMID_DTLS = 1;

/** What of the handshake is under way; each state owns its data. */
type Phase =
  | { readonly name: 'idle' }
  | { readonly name: 'cookie-wait'; readonly init: InitChunk }
  | { readonly name: 'cookie-echoed'; readonly init: InitChunk; readonly tcb: Tcb; readonly cookieEcho: Uint8Array };

/** What came of a COOKIE ECHO. */
export interface CookieVerdict {
  readonly resolution: CookieResolution | 'forged' | 'stale';
  readonly tcb: Tcb | undefined;
  readonly staleMs: number;
  /** Time since the cookie was made: a round trip, or more when a packet was lost. */
  readonly ageMs: number;
}

/**
 * The four-way handshake (RFC 9260 §5):
 *
 * ```text
 *  closed ── connect ──► cookie-wait ── INIT ACK ──► cookie-echoed ── COOKIE ACK ──► (established)
 *     │                       └────────── COOKIE ECHO ───────┴──────── COOKIE ECHO ──────►
 *     └─ INIT: answered from a cookie, no state ─ COOKIE ECHO ─────────────────────────►
 * ```
 *
 * Both sides of a WebRTC pair connect, so that an INIT meeting an INIT (§5.2.1) is the normal case, not the odd one.
 */
export class Handshake {
  readonly #env: Env;
  readonly #options: SctpOptions;
  readonly #windowBytes: number;
  readonly #mtuBytes: number;
  readonly #jar: CookieJar;
  #phase: Phase = { name: 'idle' };
  #attempts = 0;
  /** Cookies that the peer gave us and then called stale. */
  #staleCookies = 0;
  #rtoMs: number = RTO_INITIAL_MS;
  #t1At: Instant = NEVER;
  #sendPending = false;
  /** When the first INIT of this attempt went out. */
  #startedAt: Instant = 0;

  /** @param mtuBytes - no packet of the handshake is longer, whatever the peer asks to hear again. */
  constructor(options: SctpOptions, windowBytes: number, mtuBytes: number) {
    this.#env = options.env;
    this.#options = options;
    this.#windowBytes = windowBytes;
    this.#mtuBytes = mtuBytes;
    const secret = new Uint8Array(32);
    this.#env.random(secret);
    this.#jar = new CookieJar(this.#env.crypto, secret);
  }

  get phase(): 'idle' | 'cookie-wait' | 'cookie-echoed' {
    return this.#phase.name;
  }

  /** Our Initiate Tag while a handshake of ours is under way. */
  get localTag(): number | undefined {
    return this.#phase.name === 'idle' ? undefined : this.#phase.init.initiateTag;
  }

  /** The TCB that the peer's INIT ACK made. */
  get tcb(): Tcb | undefined {
    return this.#phase.name === 'cookie-echoed' ? this.#phase.tcb : undefined;
  }

  get t1At(): Instant {
    return this.#t1At;
  }

  /** RFC 9260 §5.1 A. */
  connect(now: Instant): void {
    this.#attempts = 0;
    this.#rtoMs = RTO_INITIAL_MS;
    this.#phase = { name: 'cookie-wait', init: this.#makeInit(this.#randomTag(), this.#initialTsn()) };
    this.#startT1(now);
  }

  /**
   * Begins anew because the peer calls its cookie stale (RFC 9260 §5.2.6).
   * @returns false when it has done so too often: with every INIT answered, T1 alone would let it go on for ever.
   */
  retry(maxRetransmissions: number, now: Instant): boolean {
    if (++this.#staleCookies > maxRetransmissions) return false;
    this.connect(now);
    return true;
  }

  /** Ends whatever was under way. */
  stop(): void {
    this.#phase = { name: 'idle' };
    this.#t1At = NEVER;
    this.#sendPending = false;
  }

  #startT1(now: Instant): void {
    this.#sendPending = true;
    this.#startedAt = now;
    this.#t1At = now + this.#rtoMs;
  }

  /** T1-init or T1-cookie expired (RFC 9260 §5.1 notes 3 and 4). @returns false when the attempts are used up. */
  handleT1(deadline: Instant, maxRetransmissions: number): boolean {
    this.#attempts++;
    if (this.#attempts > maxRetransmissions) {
      this.stop();
      return false;
    }
    this.#rtoMs = Math.min(RTO_MAX_INIT_MS, this.#rtoMs * 2);
    this.#t1At = deadline + this.#rtoMs;
    this.#sendPending = true;
    return true;
  }

  /** The chunk to send now, if one is due: INIT (verification tag 0, alone) or COOKIE ECHO (first of its packet). */
  takeChunk(): { readonly chunk: Uint8Array; readonly tag: number } | undefined {
    const phase = this.#phase;
    if (!this.#sendPending || phase.name === 'idle') return undefined;
    this.#sendPending = false;
    if (phase.name === 'cookie-echoed') return { chunk: phase.cookieEcho, tag: phase.tcb.peerTag };
    return { chunk: encodeInit(CHUNK.INIT, phase.init), tag: 0 };
  }

  /**
   * Answers an INIT (RFC 9260 §5.1 B, §5.2.1, §5.2.2) without keeping anything of it.
   * @param existing - the TCB of an association that is up.
   * @returns the INIT ACK chunk.
   */
  answerInit(init: InitChunk, existing: Tcb | undefined, now: Instant): Uint8Array {
    const phase = this.#phase;
    // While we are connecting, our own INIT's tag and TSN stand (§5.2.1); otherwise fresh ones (§5.1 B, §5.2.2).
    const mine = phase.name === 'idle' ? this.#makeInit(this.#randomTag(), this.#initialTsn()) : phase.init;
    const tcb = existing ?? this.tcb;
    const ties = { localTieTag: tcb?.localTieTag ?? 0, peerTieTag: tcb?.peerTieTag ?? 0 };
    const cookie = this.#jar.make({ ...this.#negotiate(mine, init), ...ties }, now);
    const ack: InitChunk = { ...mine, parameters: { ...mine.parameters, cookie } };
    const bytes = encodeInit(CHUNK.INIT_ACK, ack);
    const unrecognized = this.#reportable(init.parameters.unrecognized ?? [], bytes.length);
    if (unrecognized.length === 0) return bytes;
    return encodeInit(CHUNK.INIT_ACK, { ...ack, parameters: { ...ack.parameters, unrecognized } });
  }

  /** The first of the parameters that an INIT ACK of `usedBytes` has room to report (RFC 9260 §3.2.2): each gets a header. */
  #reportable(parameters: readonly Uint8Array[], usedBytes: number): Uint8Array[] {
    let room = this.#mtuBytes - COMMON_HEADER_BYTES - padded(usedBytes);
    return parameters.filter((bytes) => {
      room -= padded(TLV_HEADER_BYTES + bytes.length);
      return room >= 0;
    });
  }

  /** RFC 9260 §5.1 C. @returns ms since the first INIT; the caller has checked the tag, the state and `ack`. */
  handleInitAck(ack: InitChunk, now: Instant): number {
    const phase = this.#phase;
    const { cookie } = ack.parameters;
    if (phase.name !== 'cookie-wait' || cookie === undefined) return 0;
    const elapsedMs = now - this.#startedAt;
    this.#phase = {
      name: 'cookie-echoed',
      init: phase.init,
      tcb: this.#withFreshTies(this.#negotiate(phase.init, ack)),
      cookieEcho: encodeCookieEcho(cookie),
    };
    this.#attempts = 0;
    this.#rtoMs = RTO_INITIAL_MS;
    this.#startT1(now);
    return elapsedMs;
  }

  /** Judges a COOKIE ECHO (RFC 9260 §5.1.5, §5.2.4); changes nothing. */
  judgeCookie(cookie: Uint8Array, existing: Tcb | undefined, now: Instant): CookieVerdict {
    const check = this.#jar.check(cookie, now);
    if (check.result === 'forged') return { resolution: 'forged', tcb: undefined, staleMs: 0, ageMs: 0 };
    const current = existing ?? this.tcb;
    const resolution = resolveCookie(check.tcb, {
      localTag: current?.localTag ?? this.localTag,
      peerTag: current?.peerTag,
      localTieTag: current?.localTieTag,
      peerTieTag: current?.peerTieTag,
    });
    // §5.2.4 step 3: a cookie for exactly this association is good however old it is.
    if (check.result === 'stale' && resolution !== 'duplicate') {
      return { resolution: 'stale', tcb: check.tcb, staleMs: check.staleMs, ageMs: 0 };
    }
    const ageMs = check.result === 'valid' ? check.ageMs : COOKIE_LIFE_MS;
    return { resolution, tcb: this.#withFreshTies(check.tcb), staleMs: 0, ageMs };
  }

  /** Tie-tags are random (RFC 9260 §5.2.2), so that only who saw our cookie can claim to be the restarted peer. */
  #withFreshTies(tcb: Tcb): Tcb {
    return { ...tcb, localTieTag: this.#randomTag(), peerTieTag: this.#randomTag() };
  }

  #negotiate(mine: InitChunk, peer: InitChunk): Tcb {
    return {
      localTag: mine.initiateTag,
      peerTag: peer.initiateTag,
      localTieTag: 0,
      peerTieTag: 0,
      localInitialTsn: mine.initialTsn,
      peerInitialTsn: peer.initialTsn,
      peerRwnd: peer.aRwnd,
      outboundStreams: Math.min(mine.outboundStreams, peer.inboundStreams),
      inboundStreams: Math.min(mine.inboundStreams, peer.outboundStreams),
      extensions: this.#extensions(peer.parameters),
    };
  }

  #extensions(peer: InitParameters): Extensions {
    const types = peer.extensions ?? [];
    const interleaving = (this.#options.interleaving ?? true) && types.includes(CHUNK.I_DATA);
    return {
      // RFC 8260 §2.3: with I-DATA, I-FORWARD-TSN takes the place of FORWARD TSN.
      forwardTsn: interleaving
        ? types.includes(CHUNK.I_FORWARD_TSN)
        : peer.forwardTsn === true || types.includes(CHUNK.FORWARD_TSN),
      reConfig: types.includes(CHUNK.RE_CONFIG),
      interleaving,
      zeroChecksum: this.#options.zeroChecksum === true && peer.zeroChecksumMethod === EDMID_DTLS,
    };
  }

  #makeInit(tag: number, tsn: number): InitChunk {
    const interleaving = this.#options.interleaving ?? true;
    const extensions: number[] = [CHUNK.RE_CONFIG, CHUNK.FORWARD_TSN];
    if (interleaving) extensions.push(CHUNK.I_DATA, CHUNK.I_FORWARD_TSN);
    return {
      initiateTag: tag,
      aRwnd: this.#windowBytes,
      outboundStreams: this.#options.outboundStreams ?? DEFAULT_STREAMS,
      inboundStreams: this.#options.inboundStreams ?? DEFAULT_STREAMS,
      initialTsn: tsn,
      parameters: {
        forwardTsn: true,
        extensions,
        zeroChecksumMethod: this.#options.zeroChecksum === true ? EDMID_DTLS : undefined,
      },
    };
  }

  #random32(): number {
    const bytes = new Uint8Array(4);
    this.#env.random(bytes);
    return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
  }

  /** RFC 9260 §5.3.1: anything but 0. */
  #randomTag(): number {
    return this.#random32() || 1;
  }

  #initialTsn(): number {
    return this.#options.initialTsn ?? this.#random32();
  }
}
