import {
  DropCounters,
  type DropReason,
  type FiveTuple,
  type Instant,
  NEVER,
  Ring,
  type SansIo,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { DataChannels } from '../datachannel/index.ts';
import { DtlsClient, type DtlsEndpoint, type DtlsEvent } from '../dtls/index.ts';
import { IceAgent, type IceCandidate, type IceEvent } from '../ice/index.ts';
import { DEFAULT_MTU_BYTES, type SctpAssociation, type SctpEvent } from '../sctp/index.ts';
import { classifyPacket } from './demux.ts';
import { EarlyDatagrams, isUnprotected } from './early-datagrams.ts';
import { createAssociation, createEndpoint, largestPacket } from './layers.ts';
import { PeerIdentity } from './peer-identity.ts';
import { Relays } from './relays.ts';
import type { PeerTransportEvent, PeerTransportOptions, RemoteTransport } from './transport-types.ts';

/** RFC 8841 §6.1: what a peer that does not say accepts, bytes. */
const UNSTATED_MAX_MESSAGE_SIZE = 65_536;

/**
 * One WebRTC transport without the façade: ICE, DTLS, SCTP and data channels in their order, none of their logic.
 *
 * ```text
 *   datagram in ──> demultiplex (RFC 7983) ──> ICE            SCTP ──> seal in place (DTLS) ──> selected path ──> out
 *                                     └──────> DTLS ──> SCTP ──> data channels
 *
 *   new ── connect(remote) ──> ICE finds a pair ──> DTLS handshake ──> SCTP association ──> channels open
 *   close() ──> SCTP ABORT ──> DTLS close_notify ──> ICE closes ──> 'transport-closed'
 * ```
 *
 * It binds no socket: whoever drives it adds host candidates for the addresses that it has bound. `ice` is the agent
 * itself: gathering, remote candidates and restarts are its commands, given between two drains like all others.
 *
 * @example
 * const transport = new PeerTransport({ env, certificate, iceRole: 'controlling' });
 * const driver = new Driver(transport, host, onEvent);
 * driver.mutate((now) => {
 *   transport.ice.addHostCandidate({ ip: '127.0.0.1', port: 4000 }, now);
 *   transport.ice.endOfLocalCandidates(now);
 *   transport.ice.setRemoteParameters({ ufrag, pwd }, now);
 *   transport.connect({ dtlsRole: 'client', fingerprints }, now);
 *   transport.channels.open({ label: 'chat' }, now);
 * });
 */
export class PeerTransport implements SansIo<PeerTransportEvent, FiveTuple> {
  readonly ice: IceAgent;
  /** Allocations on TURN servers: `add` one, and end with `endOfLocalCandidates` of the transport instead of ICE's own. */
  readonly relays: Relays;
  /** Datagrams that reached no layer; each layer counts its own besides. */
  readonly drops: DropCounters = new DropCounters();
  readonly #options: PeerTransportOptions;
  readonly #events = new Ring<PeerTransportEvent>();
  readonly #early = new EarlyDatagrams();
  #remote: RemoteTransport | undefined;
  #dtls: DtlsEndpoint | undefined;
  /** The endpoint is to be replaced at the next selected pair. */
  #replacing = false;
  #sctp: SctpAssociation | undefined;
  #channels: DataChannels | undefined;
  #phase: 'open' | 'closing-sctp' | 'closing-dtls' | 'closing-relays' | 'closed' = 'open';
  #sctpEnded = false;
  #identity: PeerIdentity;
  /** The driver's slot as the layers below the path see it; one object for as long as the driver uses one buffer. */
  #inner: TransmitSlot<void> | undefined;

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#identity = new PeerIdentity(options.env.crypto);
    this.ice = new IceAgent({ ...options.ice, env: options.env, role: options.iceRole });
    this.relays = new Relays({
      env: options.env,
      ice: this.ice,
      onData: (bytes, path, now) => this.#demultiplex(bytes, path, now),
      onEvent: (event) => this.#events.push(event),
    });
  }

  /** The endpoint, once `connect` was called and ICE has found a pair. */
  get dtls(): DtlsEndpoint | undefined {
    return this.#dtls;
  }

  get sctp(): SctpAssociation | undefined {
    return this.#sctp;
  }

  /** @throws {UsageError} before `connect`. */
  get channels(): DataChannels {
    if (this.#channels === undefined) throw new UsageError('connect() comes before the data channels');
    return this.#channels;
  }

  /** Whether `connect` was called: only then are there channels. */
  get isConnecting(): boolean {
    return this.#remote !== undefined;
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  /**
   * The remote description is known: from here on channels can be opened, and DTLS starts as soon as ICE has a pair.
   * A later call changes what may change while the association lives: the set of fingerprints and the largest message. With
   * `replacesDtls` the next pair that ICE selects gets a DTLS association of its own.
   * @throws {UsageError} when closed.
   */
  connect(remote: RemoteTransport, now: Instant): void {
    if (this.#phase !== 'open') throw new UsageError('the transport is closed');
    const first = this.#remote === undefined;
    this.#remote = remote;
    const maxSendMessageBytes = remote.maxMessageSize ?? UNSTATED_MAX_MESSAGE_SIZE;
    if (!first) {
      this.#channels?.setMaxSendMessageBytes(maxSendMessageBytes);
      if (this.#dtls === undefined) this.#channels?.setRole(remote.dtlsRole, now);
      this.#replacing ||= remote.replacesDtls === true && this.#dtls !== undefined;
      return;
    }
    this.#sctp = createAssociation(this.#options, remote);
    this.#channels = new DataChannels({
      ...this.#options.channels,
      association: this.#sctp,
      role: remote.dtlsRole,
      maxSendMessageBytes,
      trace: this.#options.env.trace,
    });
    this.#events.push({ type: 'sctp-state', state: 'connecting' });
    if (this.ice.selectedPath !== undefined) this.#startDtls(now);
  }

  /** Tells SCTP how large the packets of the selected path may at most be. */
  #limitPackets(): void {
    const path = this.ice.selectedPath;
    if (path === undefined || this.#dtls?.state !== 'connected') return; // asked again when both are there
    // The first hop of a relayed path is the one to the server, and behind that nobody knows: no search.
    const firstHop = this.relays.carries(path) ? undefined : this.#options.pathMtuBytes?.(path);
    const { negotiated } = this.#dtls;
    const bytes = largestPacket(this.#options, firstHop, negotiated);
    this.#sctp?.changePath(Math.min(bytes, negotiated?.maxSendRecordBytes ?? bytes));
  }

  /** A candidate of the peer, for ICE and for the relays that are to let its address in. */
  addRemoteCandidate(candidate: IceCandidate, now: Instant): void {
    this.relays.addRemoteCandidate(candidate, now);
    this.ice.addRemoteCandidate(candidate, now);
  }

  /** No more bases and servers will be added: gathering is complete when those that there are have answered. */
  endOfLocalCandidates(now: Instant): void {
    this.relays.endOfLocalCandidates(now);
  }

  /** A TCP or TLS connection to a TURN server has ended. */
  notePathClosed(path: FiveTuple, reason: string, now: Instant): void {
    this.relays.pathClosed(path, reason);
    this.#pump(now);
  }

  /** Ends everything in order; `transport-closed` follows when the last datagram is out. Idempotent. */
  close(now: Instant): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'closing-sctp';
    // RFC 8831 does not ask for a graceful end, and the W3C's close() wants an ABORT.
    if (this.#dtls?.state === 'connected' && !this.#sctpEnded) this.#sctp?.abort('closed by the application', now);
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (this.#phase === 'closed') {
      this.#drop('closed');
      return;
    }
    if (!this.relays.handleInput(bytes, path, now)) this.#demultiplex(bytes, path, now);
    this.#pump(now);
  }

  /** What a peer sent, directly or through a relay. */
  #demultiplex(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    switch (classifyPacket(bytes)) {
      case 'stun':
        this.ice.handleInput(bytes, path, now);
        break;
      case 'dtls':
        this.#handleDtls(bytes, path, now);
        break;
      case 'unknown':
        this.#drop(bytes.length === 0 ? 'too-short' : 'bad-type');
        break;
      default:
        this.#drop('unsupported'); // RTP, ZRTP and TURN channels: nothing here speaks them
        break;
    }
  }

  #handleDtls(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (this.#dtls === undefined || (this.#replacing && isUnprotected(bytes))) {
      const refused = this.#early.keep(bytes, path);
      if (refused !== undefined) this.#drop(refused);
    } else if (this.ice.acceptsData(path)) {
      const droppedBefore = this.#dtls.drops.total;
      const { length } = bytes;
      this.#dtls.handleInput(bytes, undefined, now);
      // A sign of life only if DTLS took it: anybody can write the peer's address into a datagram.
      if (this.#dtls.drops.total === droppedBefore) this.ice.noteDataReceived(path, length, now);
    } else {
      // Only a path whose other end has shown that it knows our password carries data.
      this.#drop('unknown-path');
    }
  }

  handleTimeout(now: Instant): void {
    if (this.#phase === 'closed') return;
    this.ice.handleTimeout(now);
    this.relays.handleTimeout(now);
    this.#dtls?.handleTimeout(now);
    this.#sctp?.handleTimeout(now);
    this.#pump(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    for (;;) {
      const { offset } = slot;
      if (this.relays.pollTransmit(slot, now)) return true;
      if (this.ice.pollTransmit(slot, now) || this.#pollSecured(slot, now)) {
        if (this.relays.route(slot, now)) return true;
        slot.offset = offset; // it waits at the relay
        continue;
      }
      // Commands of the layers are given from outside, so what they caused is looked for here, once a drain.
      if (!this.#pump(now) && !this.#continueClosing(now)) return false;
    }
  }

  /** DTLS's own records first, then SCTP packets, each sealed where it was written. */
  #pollSecured(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const dtls = this.#dtls;
    const path = this.ice.selectedPath;
    if (dtls === undefined || path === undefined) return false;
    const inner = this.#innerSlot(slot);
    if (!dtls.pollTransmit(inner, now)) {
      const sctp = this.#sctp;
      if (dtls.state !== 'connected' || sctp === undefined) return false;
      inner.offset = slot.offset + dtls.recordHeadroom;
      if (!sctp.pollTransmit(inner, now)) return false;
      dtls.sealInPlace(inner);
    }
    slot.offset = inner.offset;
    slot.length = inner.length;
    slot.path = path;
    this.ice.noteDataSent(path, inner.length, now);
    return true;
  }

  #innerSlot(slot: TransmitSlot<FiveTuple>): TransmitSlot<void> {
    let inner = this.#inner;
    if (inner === undefined || inner.buffer !== slot.buffer) {
      inner = { buffer: slot.buffer, offset: 0, length: 0, path: undefined };
      this.#inner = inner;
    }
    inner.offset = slot.offset;
    inner.length = 0;
    return inner;
  }

  pollEvent(): PeerTransportEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    if (this.#phase === 'closed') return NEVER;
    return Math.min(
      this.ice.nextTimeout(),
      this.relays.nextTimeout(),
      this.#dtls?.nextTimeout() ?? NEVER,
      this.#sctp?.nextTimeout() ?? NEVER,
    );
  }

  /** Carries events from each layer to the next above until all are quiet. @returns whether there were any. */
  #pump(now: Instant): boolean {
    let any = false;
    for (let more = true; more; any ||= more) {
      more = this.relays.pump(now);
      for (let e = this.ice.pollEvent(); e !== undefined; e = this.ice.pollEvent()) {
        more = true;
        this.#onIce(e, now);
      }
      const dtls = this.#dtls;
      for (let e = dtls?.pollEvent(); e !== undefined; e = dtls?.pollEvent()) {
        more = true;
        this.#onDtls(e, now);
      }
      const sctp = this.#sctp;
      for (let e = sctp?.pollEvent(); e !== undefined; e = sctp?.pollEvent()) {
        more = true;
        this.#onSctp(e, now);
      }
      const channels = this.#channels;
      for (let e = channels?.pollEvent(); e !== undefined; e = channels?.pollEvent()) {
        more = true;
        this.#events.push(e);
      }
    }
    return any;
  }

  #onIce(event: IceEvent, now: Instant): void {
    switch (event.type) {
      case 'connection-state':
        this.#events.push({ type: 'ice-state', state: event.state });
        break;
      case 'role':
        this.#events.push({ type: 'ice-role', role: event.role });
        break;
      case 'selected-pair':
        this.#events.push(event);
        if (event.path !== undefined) this.relays.select(event.path, now);
        this.#limitPackets();
        if (event.path === undefined) break;
        if (this.#replacing) this.#identity = new PeerIdentity(this.#options.env.crypto);
        if (this.#replacing || this.#dtls === undefined) this.#startDtls(now);
        break;
      case 'data':
        break; // only datagrams of STUN's kind were handed to the agent
      default:
        this.#events.push(event);
    }
  }

  #startDtls(now: Instant): void {
    const remote = this.#remote;
    if (remote === undefined || this.#phase !== 'open') return;
    const endpoint = createEndpoint(this.#options, this.ice, this.#identity, remote, () => this.#remote);
    this.#dtls = endpoint; // one that was there goes without a word: its path leads nowhere any more
    this.#replacing = false;
    if (endpoint instanceof DtlsClient) endpoint.start(now);
    this.#events.push({ type: 'dtls-state', state: 'connecting' });
    for (const { bytes, path } of this.#early.take()) this.#handleDtls(bytes, path, now);
  }

  #onDtls(event: DtlsEvent, now: Instant): void {
    switch (event.type) {
      case 'data':
        this.#sctp?.handleInput(event.bytes, undefined, now);
        break;
      case 'connected':
        this.#events.push({
          type: 'dtls-state',
          state: 'connected',
          cipherSuite: event.cipherSuite,
          remoteFingerprint: this.#identity.fingerprint,
        });
        if (event.maxSendRecordBytes < (this.#options.sctp?.mtuBytes ?? DEFAULT_MTU_BYTES)) {
          this.#refuse(`the peer takes records of ${event.maxSendRecordBytes} bytes only`, now);
          break;
        }
        this.#limitPackets();
        // RFC 8841 §9.3: both sides initiate; RFC 9260 §5.2 makes one association of it.
        if (this.#sctp?.state === 'closed' && !this.#sctpEnded) this.#sctp.connect(now);
        break;
      case 'alert':
        this.#identity.noteAlert(event.direction, event.description);
        break;
      case 'closed':
        this.#events.push({ type: 'dtls-state', state: 'closed' });
        this.#endSctp('the DTLS association was closed', now);
        break;
      case 'failed':
        this.#events.push({
          type: 'dtls-state',
          state: 'failed',
          failure: this.#identity.failure(event.error.message),
        });
        this.#endSctp(`DTLS failed: ${event.error.message}`, now);
        break;
      case 'state': // the events above say the same with more detail
      case 'session': // peers of a WebRTC session do not resume one
        break;
    }
  }

  /** The handshake is good, and the peer cannot be talked to all the same. */
  #refuse(why: string, now: Instant): void {
    this.#events.push({ type: 'dtls-state', state: 'failed', failure: this.#identity.failure(why) });
    this.#endSctp(`DTLS failed: ${why}`, now);
    this.#dtls?.close(now);
  }

  #onSctp(event: SctpEvent, now: Instant): void {
    if (event.type === 'streams-added') return; // nobody here asks for more than the 65,535 of RFC 8831 §6.2
    this.#channels?.handleSctpEvent(event, now);
    switch (event.type) {
      case 'restarted':
        // Under another DTLS association a peer that kept its state keeps to the ids of before; this one has none.
        if (this.#remote !== undefined) this.#channels?.setRole(this.#remote.dtlsRole, now);
        break;
      case 'connected': {
        const maxChannels = Math.min(event.inboundStreams, event.outboundStreams);
        this.#events.push({ type: 'sctp-state', state: 'connected', maxChannels });
        break;
      }
      case 'closed':
      case 'aborted':
      case 'failed':
        this.#sctpIsOver();
        break;
      default:
        break;
    }
  }

  /** DTLS is gone and with it the way to the peer: the association ends here without a datagram. */
  #endSctp(message: string, now: Instant): void {
    if (this.#sctpEnded) return;
    this.#sctp?.abort(message, now);
    this.#pump(now);
    if (this.#sctpEnded) return;
    // An association that had not begun has no end to report; the channels need one.
    this.#channels?.handleSctpEvent({ type: 'aborted', byPeer: false, cause: undefined, message }, now);
    this.#sctpIsOver();
  }

  #sctpIsOver(): void {
    if (this.#sctpEnded) return;
    this.#sctpEnded = true;
    this.#events.push({ type: 'sctp-state', state: 'closed' });
  }

  /** One step further after `close`, each when the layer above it has nothing left to send. @returns whether it moved. */
  #continueClosing(now: Instant): boolean {
    switch (this.#phase) {
      case 'closing-sctp':
        this.#phase = 'closing-dtls';
        this.#dtls?.close(now);
        return true;
      case 'closing-dtls':
        this.#phase = 'closing-relays';
        this.relays.close(now);
        return true;
      case 'closing-relays':
        this.ice.close(now);
        this.#pump(now);
        this.#phase = 'closed';
        this.#early.take();
        this.#events.push({ type: 'transport-closed' });
        return false;
      default:
        return false;
    }
  }

  #drop(reason: DropReason): void {
    this.drops.count(reason);
    this.#options.env.trace.drop('peer-transport', reason, '');
  }
}
