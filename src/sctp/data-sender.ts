import { type Instant, NEVER, type Ring } from '../core/index.ts';
import { AbandonedMessages } from './abandoned.ts';
import { AckReporter } from './ack-reporter.ts';
import { ChunkWriter } from './chunk-writer.ts';
import type { CongestionControl } from './congestion.ts';
import { createCongestionControl } from './congestion-choice.ts';
import { Fragmenter, MIN_FRAGMENT_BYTES } from './fragmenter.ts';
import { MAX_BURST_PACKETS, SACK_ASK_PACKETS } from './limits.ts';
import { LossDetection } from './loss-detection.ts';
import { OutboundStreams } from './outbound-streams.ts';
import { CHUNK_STATE, Outstanding } from './outstanding.ts';
import { Pacer } from './pacer.ts';
import type { RttEstimator } from './rtt.ts';
import { TailLossProbe } from './tail-loss-probe.ts';
import type { Tcb } from './tcb.ts';
import type { SctpEvent, SctpOptions } from './types.ts';
import { WindowProbe } from './window-probe.ts';
import { DATA_FLAG } from './wire/data.ts';
import { duplicateTsn, gapEnd, gapStart, type SackFields } from './wire/sack.ts';
import { padded } from './wire/tlv.ts';

/** What came of a SACK. */
export type SackVerdict = 'ok' | 'stale' | 'out-of-window';

/**
 * The sending half of an association: transmission under the congestion window and the peer's window (RFC 9260 §6.1),
 * acknowledgements (§6.2.1), T3-rtx (§6.3), loss recovery. It decides when what leaves; {@link Fragmenter} cuts messages
 * up, {@link AckReporter} tells the congestion control what a SACK means, {@link AbandonedMessages} gives up.
 */
export class DataSender {
  readonly streams: OutboundStreams;
  readonly outstanding: Outstanding = new Outstanding();
  readonly rtt: RttEstimator;
  readonly congestion: CongestionControl;
  readonly #chunks: ChunkWriter;
  readonly #partialReliability: boolean;
  readonly #initialTsn: number;
  readonly #loss: LossDetection = new LossDetection();
  readonly #pacer: Pacer;
  readonly #abandoned: AbandonedMessages;
  readonly #reporter: AckReporter;
  readonly #fragmenter: Fragmenter;
  #mtuBytes: number;
  /** The peer's a_rwnd as of its last SACK. */
  #peerWindow: number;
  /** TSN that ends the current recovery; -1 outside. */
  #recoveryEnd = -1;
  #retransmitNow = false;
  #t3At: Instant = NEVER;
  readonly #probe: TailLossProbe = new TailLossProbe();
  readonly #windowProbe: WindowProbe = new WindowProbe();
  #pacedAt: Instant = NEVER;
  #lastSentAt: Instant = 0;
  /** Since the last packet with the I bit. */
  #packetsSinceAsked = 0;
  retransmissions = 0;
  timeouts = 0;

  constructor(
    tcb: Tcb,
    options: SctpOptions,
    mtuBytes: number,
    maxBufferBytes: number,
    rtt: RttEstimator,
    events: Ring<SctpEvent>,
  ) {
    const { interleaving } = tcb.extensions;
    this.#partialReliability = tcb.extensions.forwardTsn;
    this.streams = new OutboundStreams(options.scheduler ?? 'weighted-fair', interleaving, maxBufferBytes, events);
    this.rtt = rtt;
    this.#initialTsn = tcb.localInitialTsn;
    this.#chunks = new ChunkWriter(this.outstanding, tcb, mtuBytes);
    this.#mtuBytes = mtuBytes;
    this.#peerWindow = tcb.peerRwnd;
    this.congestion = createCongestionControl(options.congestionControl ?? 'cubic', mtuBytes);
    this.#pacer = new Pacer(options.pacing ?? true);
    const { outstanding, streams } = this;
    this.#abandoned = new AbandonedMessages(outstanding, streams, tcb.extensions, tcb.localInitialTsn);
    this.#reporter = new AckReporter(outstanding, rtt, this.congestion);
    this.#fragmenter = new Fragmenter(outstanding, streams, this.#chunks, this.#abandoned, this.#partialReliability);
  }

  /** Everything accepted by `send` is acknowledged or given up. */
  get isDone(): boolean {
    return this.streams.isEmpty && this.outstanding.base === this.outstanding.next;
  }

  get abandonedMessages(): number {
    return this.#abandoned.count + this.streams.expired;
  }

  /** Tail loss probes sent. */
  get probes(): number {
    return this.#probe.count;
  }

  get peerWindowBytes(): number {
    return Math.max(0, this.#peerWindow - this.outstanding.unackedBytes);
  }

  /** The last TSN that was assigned, wire form (RFC 6525 §4.1). */
  get lastAssignedTsn(): number {
    return (this.#initialTsn + this.outstanding.next - 1) >>> 0;
  }

  /** All TSNs up to this one, unwrapped, have been acknowledged. */
  get cumulativeAck(): number {
    return this.outstanding.base - 1;
  }

  get mtuBytes(): number {
    return this.#mtuBytes;
  }

  setMtu(mtuBytes: number): void {
    this.#mtuBytes = mtuBytes;
    this.congestion.setMtu(mtuBytes);
  }

  // ---- receiving acknowledgements -------------------------------------------------------------------------------

  /** RFC 9260 §6.2.1. */
  handleSack(sack: SackFields, now: Instant): SackVerdict {
    const out = this.outstanding;
    const cumulative = this.#unwrap(sack.cumulativeTsnAck);
    if (cumulative < out.base - 1) return 'stale'; // overtaken by a later SACK
    const highest = sack.gapBlocks === 0 ? cumulative : cumulative + gapEnd(sack, sack.gapBlocks - 1);
    if (highest >= out.next) return 'out-of-window'; // acknowledges what was never sent
    const advanced = cumulative >= out.base;
    const flightBefore = out.flightBytes;
    out.beginAck();
    out.ackCumulative(cumulative, now, this.rtt.minMs);
    for (let i = 0; i < sack.gapBlocks; i++) {
      out.ackRange(cumulative + gapStart(sack, i), cumulative + gapEnd(sack, i), now, this.rtt.minMs);
    }
    if (out.state(out.base) === CHUNK_STATE.ACKED) {
      // The head is missing by definition: the peer dropped what it had reported before (RFC 9260 §6.2.1 D iii).
      out.markAllLost(true);
      this.#abandoned.rewind();
    }
    this.#peerWindow = sack.aRwnd;
    if (this.#windowProbe.handleSack(out, sack.aRwnd, this.rtt, now)) this.#abandoned.considerLost(now);
    this.#afterAck(sack, highest, advanced, flightBefore, now);
    return 'ok';
  }

  /** The cumulative ack of a SHUTDOWN (RFC 9260 §9.2). */
  handleCumulativeAck(onWire: number, now: Instant): void {
    const out = this.outstanding;
    const cumulative = this.#unwrap(onWire);
    if (cumulative < out.base || cumulative >= out.next) return;
    const flightBefore = out.flightBytes;
    out.beginAck();
    out.ackCumulative(cumulative, now, this.rtt.minMs);
    this.#afterAck(undefined, cumulative, true, flightBefore, now);
  }

  #afterAck(
    sack: SackFields | undefined,
    highest: number,
    advanced: boolean,
    flightBefore: number,
    now: Instant,
  ): void {
    const out = this.outstanding;
    const ack = out.ack;
    if (ack.rttMs >= 0) this.rtt.sample(ack.rttMs, now);
    if (this.#recoveryEnd >= 0 && out.base > this.#recoveryEnd) {
      this.#recoveryEnd = -1;
      this.#loss.noteRecovered();
    }
    if (sack !== undefined && sack.duplicates > 0) this.#noteDuplicates(sack);
    this.#loss.noteAck(out, sack?.gapBlocks ?? 0, highest, now);
    const report = this.#reporter.report(flightBefore, this.#recoveryEnd >= 0, this.#loss.sackMayBeFull, now);
    if (ack.bytes > 0) this.congestion.onAck(report);
    this.#detectLosses(now);
    if (sack !== undefined && this.#probe.repeatedTsn >= 0) this.#judgeProbe(sack, highest, now);
    this.#abandoned.advance(now, this.rtt.smoothedMs ?? this.rtt.rtoMs);
    this.#pace();
    if (!advanced && ack.bytes === 0) return;
    this.#probe.noteProgress();
    if (out.base === out.next) this.#stopTimers();
    else {
      this.#t3At = now + this.rtt.rtoMs; // RFC 9260 §6.3.2 R3
      this.#armProbe(now);
    }
  }

  /** Duplicates of what we sent more than once were sent too hastily. */
  #noteDuplicates(sack: SackFields): void {
    for (let i = 0; i < sack.duplicates; i++) {
      const tsn = this.#unwrap(duplicateTsn(sack, i));
      const known = tsn >= this.outstanding.base && tsn < this.outstanding.next;
      if (known ? this.outstanding.sends(tsn) > 1 : this.retransmissions > 0) {
        this.#loss.noteSpurious(tsn);
        return; // one step a SACK
      }
    }
  }

  /** RFC 8985 §7.4. A recovery that is going on has answered already. */
  #judgeProbe(sack: SackFields, highest: number, now: Instant): void {
    let isDuplicate = false;
    for (let i = 0; i < sack.duplicates && !isDuplicate; i++)
      isDuplicate = this.#unwrap(duplicateTsn(sack, i)) === this.#probe.repeatedTsn;
    const lost = this.#probe.takeRepaired(highest, isDuplicate);
    if (lost === 0 || this.#recoveryEnd >= 0) return;
    this.congestion.onLoss(this.#reporter.lossReport(now, now), lost, true);
  }

  #detectLosses(now: Instant): void {
    const out = this.outstanding;
    const lost = this.#loss.detect(out, this.rtt, this.#recoveryEnd >= 0, now);
    if (lost === 0) return;
    const newEpisode = this.#recoveryEnd < 0;
    if (newEpisode) {
      // RFC 9260 §7.2.4: once per window of data; the first retransmission leaves whatever the window says.
      this.#recoveryEnd = out.next - 1;
      this.#retransmitNow = true;
    }
    this.congestion.onLoss(this.#reporter.lossReport(this.#loss.newestLostSentAt, now), lost, newEpisode);
    this.#abandoned.considerLost(now);
  }

  #unwrap(onWire: number): number {
    const base = this.outstanding.base;
    return base - 1 + ((onWire - (this.#initialTsn + base - 1)) | 0);
  }

  // ---- timers ---------------------------------------------------------------------------------------------------

  nextTimeout(): Instant {
    return Math.min(this.#t3At, this.#probe.at, this.#loss.timerAt, this.#pacedAt);
  }

  /** @returns true when T3-rtx expired, which counts against the association (RFC 9260 §8.1). */
  handleTimeout(now: Instant): boolean {
    if (now >= this.#pacedAt) this.#pacedAt = NEVER; // canSend looks at the time itself
    if (now >= this.#loss.timerAt) {
      this.#detectLosses(now);
      this.#abandoned.advance(now, this.rtt.rtoMs);
    }
    this.#probe.handleTimeout(now);
    if (now < this.#t3At) return false;
    this.#timeOut(now);
    return true;
  }

  /** RFC 9260 §6.3.3. */
  #timeOut(now: Instant): void {
    this.timeouts++;
    this.congestion.onTimeout(this.outstanding.flightBytes, now);
    this.rtt.backOff();
    this.#recoveryEnd = -1; // slow start, not recovery
    this.#loss.timerAt = NEVER;
    this.outstanding.markAllLost(false);
    this.#abandoned.considerLost(now);
    this.#abandoned.advance(now, 0);
    this.#probe.cancel();
    this.#retransmitNow = true;
    this.#t3At = this.outstanding.base === this.outstanding.next ? NEVER : now + this.rtt.rtoMs;
    this.#pace();
  }

  /** No probe while something is known to be lost. */
  #armProbe(now: Instant): void {
    if (this.#recoveryEnd >= 0) this.#probe.disarm();
    else this.#probe.arm(this.outstanding, this.rtt.smoothedMs, this.#mtuBytes, this.#t3At, now);
  }

  /** The association is up: the timers of what was sent with the COOKIE ECHO, which its own timer guarded, begin. */
  resume(now: Instant): void {
    if (this.outstanding.base === this.outstanding.next) return;
    this.#t3At = now + this.rtt.rtoMs;
    this.#armProbe(now);
  }

  #stopTimers(): void {
    this.#t3At = NEVER;
    this.#probe.disarm();
  }

  #pace(): void {
    const srtt = this.rtt.smoothedMs;
    if (srtt === undefined) return;
    this.#pacer.update(this.congestion.windowBytes, srtt, this.congestion.pacingGain, this.#mtuBytes);
  }

  // ---- sending --------------------------------------------------------------------------------------------------

  /** A FORWARD TSN is due (RFC 3758 §3.5). */
  get forwardTsnIsDue(): boolean {
    return this.#abandoned.isDue;
  }

  /** Writes it. @returns the position behind it; `at` when it does not fit. */
  writeForwardTsn(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const pos = this.#abandoned.write(bytes, at, end, now);
    if (pos !== at && this.#t3At === NEVER) this.#t3At = now + this.rtt.rtoMs; // RFC 3758 §3.5 F3
    return pos;
  }

  #peerHasRoom(): boolean {
    const out = this.outstanding;
    if (out.isFull) return false;
    // RFC 9260 §6.1 A: with nothing in flight one chunk may always go, as a zero-window probe.
    return out.unackedBytes === 0 || out.unackedBytes + MIN_FRAGMENT_BYTES <= this.#peerWindow;
  }

  /** Whether a packet with DATA may leave now; otherwise what holds it back is noted. */
  canSend(now: Instant): boolean {
    if (this.#probe.isPending || this.#retransmitNow) return true;
    const lost = this.outstanding.firstLost() >= 0;
    if (!lost && this.streams.isEmpty) return false;
    if (this.outstanding.flightBytes >= this.congestion.windowBytes) {
      this.#reporter.noteWindowFull();
      return false;
    }
    if (!lost && !this.#peerHasRoom()) return false;
    if (this.#pacer.allows(now)) return true;
    this.#pacedAt = this.#pacer.nextAt;
    return false;
  }

  /**
   * Fills `bytes[at, end)` with DATA chunks: retransmissions first, then new ones. Call only when {@link canSend}.
   * @param urgent - sets the I bit (RFC 7053 §5.1), for example while shutting down.
   * @returns the position behind the last; `at` when there was nothing after all.
   */
  writeData(bytes: Uint8Array, at: number, end: number, urgent: boolean, now: Instant): number {
    const out = this.outstanding;
    if (out.flightBytes === 0 && now - this.#lastSentAt > this.rtt.rtoMs) this.congestion.onIdle();
    let immediate = urgent;
    let pos = this.#writeLost(bytes, at, end, now);
    if (this.#probe.isPending || out.flightBytes < this.congestion.windowBytes) {
      const isAlone = out.unackedBytes === 0;
      pos = this.#fragmenter.write(bytes, pos, end, this.#peerWindow, now);
      if (isAlone) this.#windowProbe.noteSent(out, out.next - 1, this.#peerWindow);
    }
    if (pos === at && this.#probe.isPending) pos = this.#writeProbe(bytes, at, end, now);
    if (this.#probe.isPending) {
      immediate = true;
      this.#probe.noteSent();
      this.#t3At = now + this.rtt.rtoMs; // RFC 8985 §7.3: the timeout counts from the probe
    }
    this.#retransmitNow = false;
    if (pos === at) return at;
    this.#reporter.noteSent();
    // A window of one or two packets must not wait for the peer's delayed SACK (RFC 7053 §4).
    if (out.flightBytes >= this.congestion.windowBytes && this.congestion.windowBytes <= 2 * this.#mtuBytes)
      immediate = true;
    if (this.#asksForSack(immediate)) bytes[at + 1]! |= DATA_FLAG.IMMEDIATE;
    this.#lastSentAt = now;
    this.#pacer.sent(pos - at, now);
    if (this.#t3At === NEVER) this.#t3At = now + this.rtt.rtoMs; // RFC 9260 §6.3.2 R1
    this.#armProbe(now);
    return pos;
  }

  /** Now and then also while more is in flight than Max.Burst lets others send: so the peer may hold SACKs back (`sack-frequency.ts`). */
  #asksForSack(immediate: boolean): boolean {
    this.#packetsSinceAsked++;
    const due = this.#packetsSinceAsked >= SACK_ASK_PACKETS;
    if (!immediate && !(due && this.outstanding.flightBytes > MAX_BURST_PACKETS * this.#mtuBytes)) return false;
    this.#packetsSinceAsked = 0;
    return true;
  }

  #writeLost(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const out = this.outstanding;
    let pos = at;
    for (let tsn = out.firstLost(); tsn >= 0; tsn = out.firstLost()) {
      const message = out.message(tsn)!;
      if (message.expiresAt <= now && this.#abandoned.inUse) {
        this.#abandoned.abandon(message, now);
        continue;
      }
      if (pos + padded(this.#chunks.headerBytes + out.length(tsn)) > end) break;
      pos = this.#chunks.write(bytes, pos, tsn);
      out.resend(tsn, now);
      if (tsn === out.base) this.#t3At = now + this.rtt.rtoMs; // RFC 9260 §7.2.4 step 4
      this.retransmissions++;
    }
    return pos;
  }

  /** RFC 8985 §7.3: nothing new to send, so the chunk sent last is sent once more. */
  #writeProbe(bytes: Uint8Array, at: number, end: number, now: Instant): number {
    const tsn = this.outstanding.newestInFlight();
    // A message that must not be sent again is left to T3-rtx, which gives it up (RFC 7496 §3.2).
    const { outstanding: out } = this;
    if (tsn < 0 || (this.#partialReliability && out.sends(tsn) > out.message(tsn)!.maxRetransmits)) return at;
    if (at + padded(this.#chunks.headerBytes + this.outstanding.length(tsn)) > end) return at;
    const pos = this.#chunks.write(bytes, at, tsn);
    this.outstanding.resend(tsn, now);
    this.#probe.noteRepeated(tsn, this.outstanding.length(tsn), this.outstanding.next);
    this.retransmissions++;
    return pos;
  }
}
