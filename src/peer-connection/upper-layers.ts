import type { DropReason, FiveTuple, Instant, TransmitSlot } from '../core/index.ts';
import { NEVER } from '../core/index.ts';
import { DataChannels } from '../datachannel/index.ts';
import { DtlsClient, type DtlsEndpoint, type DtlsEvent } from '../dtls/index.ts';
import type { IceAgent } from '../ice/index.ts';
import { DEFAULT_MTU_BYTES, type SctpAssociation, type SctpEvent } from '../sctp/index.ts';
import { EarlyDatagrams, isUnprotected } from './early-datagrams.ts';
import { createAssociation, createEndpoint, largestPacket } from './layers.ts';
import { PeerIdentity } from './peer-identity.ts';
import type { PeerTransportEvent, PeerTransportOptions, RemoteTransport, TransportTraffic } from './transport-types.ts';

/** RFC 8841 §6.1: what a peer that does not say accepts, bytes. */
const UNSTATED_MAX_MESSAGE_SIZE = 65_536;

interface UpperLayersOptions {
  readonly transport: PeerTransportOptions;
  readonly ice: IceAgent;
  /** Whether a TURN server relays a path: nobody knows what is behind its first hop. */
  readonly isRelayed: (path: FiveTuple) => boolean;
  readonly onEvent: (event: PeerTransportEvent) => void;
  /** A datagram was dropped before DTLS saw it. */
  readonly onDrop: (reason: DropReason) => void;
}

/**
 * What runs on the path that ICE has selected: DTLS, SCTP on it, and the data channels on that. It begins with the first
 * selected path after `connect`; a later one with `replacesDtls` before it gets another DTLS association below the same
 * SCTP association. The other way round, `replacesSctp` gives the same DTLS association another one above it.
 */
export class UpperLayers {
  readonly #options: PeerTransportOptions;
  readonly #ice: IceAgent;
  readonly #isRelayed: (path: FiveTuple) => boolean;
  readonly #onEvent: (event: PeerTransportEvent) => void;
  readonly #onDrop: (reason: DropReason) => void;
  readonly #early = new EarlyDatagrams();
  #remote: RemoteTransport | undefined;
  #identity: PeerIdentity;
  #dtls: DtlsEndpoint | undefined;
  /** The endpoint is to be replaced at the next selected pair. */
  #replacing = false;
  #sctp: SctpAssociation | undefined;
  #sctpEnded = false;
  #dataEnded = false;
  #channels: DataChannels | undefined;
  readonly #traffic: TransportTraffic = { packetsSent: 0, packetsReceived: 0, bytesSent: 0, bytesReceived: 0 };
  /** The driver's slot as the layers below the path see it; one object for as long as the driver uses one buffer. */
  #inner: TransmitSlot<void> | undefined;

  constructor({ transport, ice, isRelayed, onEvent, onDrop }: UpperLayersOptions) {
    this.#options = transport;
    this.#ice = ice;
    this.#isRelayed = isRelayed;
    this.#onEvent = onEvent;
    this.#onDrop = onDrop;
    this.#identity = new PeerIdentity(transport.env.crypto);
  }

  get dtls(): DtlsEndpoint | undefined {
    return this.#dtls;
  }

  get sctp(): SctpAssociation | undefined {
    return this.#sctp;
  }

  get channels(): DataChannels | undefined {
    return this.#channels;
  }

  /** What is known of the peer; undefined before `connect`. */
  get remote(): RemoteTransport | undefined {
    return this.#remote;
  }

  /** Whether channels can be opened: there is an association, or one is to come. */
  get takesChannels(): boolean {
    return this.#remote !== undefined && !this.#dataEnded;
  }

  get traffic(): Readonly<TransportTraffic> {
    return this.#traffic;
  }

  /** See `PeerTransport.connect`. */
  connect(remote: RemoteTransport, now: Instant): void {
    const first = this.#remote === undefined;
    this.#remote = remote;
    const maxSendMessageBytes = remote.maxMessageSize ?? UNSTATED_MAX_MESSAGE_SIZE;
    if (!first) {
      this.#channels?.setMaxSendMessageBytes(maxSendMessageBytes);
      if (this.#dtls === undefined) this.#channels?.setRole(remote.dtlsRole, now);
      this.#replacing ||= remote.replacesDtls === true && this.#dtls !== undefined;
      if (remote.replacesSctp === true) this.#replaceSctp(remote, now);
      return;
    }
    this.#sctp = createAssociation(this.#options, remote);
    this.#channels = new DataChannels(
      Object.assign({}, this.#options.channels, {
        association: this.#sctp,
        role: remote.dtlsRole,
        maxSendMessageBytes,
        trace: this.#options.env.trace,
      }),
    );
    this.#onEvent({ type: 'sctp-state', state: 'connecting' });
    if (this.#ice.selectedPath !== undefined) this.#startDtls(now);
  }

  /**
   * RFC 8841 §10.3, §10.4: the association is closed and another one established. No ABORT: the descriptions tell the peer,
   * and in an ABORT that overtakes the answer its channels would see a failure.
   */
  #replaceSctp(remote: RemoteTransport, now: Instant): void {
    const channels = this.#channels;
    if (channels === undefined) return;
    this.#pumpSctp(now);
    if (!this.#sctpEnded) this.#sctpIsOver();
    this.#sctpEnded = false;
    this.#dataEnded = false;
    this.#sctp = createAssociation(this.#options, remote);
    channels.replaceAssociation(this.#sctp);
    this.#onEvent({ type: 'sctp-state', state: 'connecting' });
    const dtls = this.#dtls?.state;
    if (dtls === 'closed' || dtls === 'failed') this.#endSctp('the DTLS association is over', now);
    else if (dtls === 'connected' && !this.#replacing) this.#connectSctp(now);
  }

  #connectSctp(now: Instant): void {
    this.#limitPackets();
    // RFC 8841 §9.3: both sides initiate; RFC 9260 §5.2 makes one association of it.
    if (this.#sctp?.state === 'closed' && !this.#sctpEnded) this.#sctp.connect(now);
  }

  /** See `PeerTransport.endData`. */
  endData(message: string, now: Instant): void {
    if (!this.takesChannels) return;
    this.#dataEnded = true;
    this.#endSctp(message, now);
  }

  /** ICE has selected a path, the first or another. */
  onSelectedPath(now: Instant): void {
    this.#limitPackets();
    if (this.#remote === undefined) return;
    if (this.#replacing || this.#dtls === undefined) this.#startDtls(now);
  }

  /** Tells SCTP how large the packets of the selected path may at most be. */
  #limitPackets(): void {
    const path = this.#ice.selectedPath;
    if (path === undefined || this.#dtls?.state !== 'connected') return; // asked again when both are there
    // The first hop of a relayed path is the one to the server, and behind that nobody knows: no search.
    const firstHop = this.#isRelayed(path) ? undefined : this.#options.pathMtuBytes?.(path);
    const { negotiated } = this.#dtls;
    const bytes = largestPacket(this.#options, firstHop, negotiated);
    this.#sctp?.changePath(Math.min(bytes, negotiated?.maxSendRecordBytes ?? bytes));
  }

  #startDtls(now: Instant): void {
    const remote = this.#remote;
    if (remote === undefined) return;
    this.#identity = new PeerIdentity(this.#options.env.crypto);
    const endpoint = createEndpoint(this.#options, this.#ice, this.#identity, remote, () => this.#remote);
    this.#dtls = endpoint; // one that was there goes without a word: its path leads nowhere any more
    this.#replacing = false;
    if (endpoint instanceof DtlsClient) endpoint.start(now);
    this.#onEvent({ type: 'dtls-state', state: 'connecting' });
    for (const { bytes, path } of this.#early.take()) this.handleInput(bytes, path, now);
  }

  /** One DTLS datagram. */
  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    const dtls = this.#dtls;
    if (dtls === undefined || (this.#replacing && isUnprotected(bytes))) {
      const refused = this.#early.keep(bytes, path);
      if (refused !== undefined) this.#onDrop(refused);
      return;
    }
    // Only a path whose other end has shown that it knows our password carries data.
    if (!this.#ice.acceptsData(path)) {
      this.#onDrop('unknown-path');
      return;
    }
    const droppedBefore = dtls.drops.total;
    const { length } = bytes;
    dtls.handleInput(bytes, undefined, now);
    // A sign of life only if DTLS took it: anybody can write the peer's address into a datagram.
    if (dtls.drops.total !== droppedBefore) return;
    this.#ice.noteDataReceived(path, length, now);
    this.#traffic.packetsReceived++;
    this.#traffic.bytesReceived += length;
  }

  handleTimeout(now: Instant): void {
    this.#dtls?.handleTimeout(now);
    this.#sctp?.handleTimeout(now);
  }

  nextTimeout(): Instant {
    return Math.min(this.#dtls?.nextTimeout() ?? NEVER, this.#sctp?.nextTimeout() ?? NEVER);
  }

  /** DTLS's own records first, then SCTP packets, each sealed where it was written. */
  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const dtls = this.#dtls;
    const path = this.#ice.selectedPath;
    if (dtls === undefined || path === undefined) return false;
    const inner = this.#innerSlot(slot);
    if (!dtls.pollTransmit(inner, now)) {
      const sctp = this.#sctp;
      if (dtls.state !== 'connected' || sctp === undefined) return false;
      // SCTP keeps its packets to what a record takes. Should one be longer all the same, it is lost, and the process is not.
      const limit = dtls.negotiated?.maxSendRecordBytes ?? 0;
      for (let fits = false; !fits; ) {
        inner.offset = slot.offset + dtls.recordHeadroom;
        if (!sctp.pollTransmit(inner, now)) return false;
        fits = inner.length <= limit;
        if (!fits) this.#onDrop('bad-length');
      }
      dtls.sealInPlace(inner);
    }
    slot.offset = inner.offset;
    slot.length = inner.length;
    slot.path = path;
    this.#ice.noteDataSent(path, inner.length, now);
    this.#traffic.packetsSent++;
    this.#traffic.bytesSent += inner.length;
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

  /** Carries events from each layer to the next above. @returns whether there were any. */
  pump(now: Instant): boolean {
    let any = false;
    const dtls = this.#dtls;
    for (let e = dtls?.pollEvent(); e !== undefined; e = dtls?.pollEvent()) {
      any = true;
      this.#onDtls(e, now);
    }
    return this.#pumpSctp(now) || any;
  }

  #pumpSctp(now: Instant): boolean {
    let any = false;
    const sctp = this.#sctp;
    for (let e = sctp?.pollEvent(); e !== undefined; e = sctp?.pollEvent()) {
      any = true;
      this.#onSctp(e, now);
    }
    const channels = this.#channels;
    for (let e = channels?.pollEvent(); e !== undefined; e = channels?.pollEvent()) {
      any = true;
      this.#onEvent(e);
    }
    return any;
  }

  #onDtls(event: DtlsEvent, now: Instant): void {
    switch (event.type) {
      case 'data':
        this.#sctp?.handleInput(event.bytes, undefined, now);
        break;
      case 'connected':
        this.#onEvent({
          type: 'dtls-state',
          state: 'connected',
          cipherSuite: event.cipherSuite,
          remoteFingerprint: this.#identity.fingerprint,
        });
        if (event.maxSendRecordBytes < (this.#options.sctp?.mtuBytes ?? DEFAULT_MTU_BYTES)) {
          this.#refuse(`the peer takes records of ${event.maxSendRecordBytes} bytes only`, now);
          break;
        }
        this.#connectSctp(now);
        break;
      case 'alert':
        this.#identity.noteAlert(event.direction, event.description);
        break;
      case 'closed':
        this.#onEvent({ type: 'dtls-state', state: 'closed' });
        this.#endSctp('the DTLS association was closed', now);
        break;
      case 'failed':
        this.#fail(event.error.message, now);
        break;
      case 'state': // the events above say the same with more detail
      case 'session': // peers of a WebRTC session do not resume one
        break;
    }
  }

  /** The handshake is good, and the peer cannot be talked to all the same. */
  #refuse(why: string, now: Instant): void {
    this.#fail(why, now);
    this.#dtls?.close(now);
  }

  #fail(message: string, now: Instant): void {
    this.#onEvent({ type: 'dtls-state', state: 'failed', failure: this.#identity.failure(message) });
    this.#endSctp(`DTLS failed: ${message}`, now);
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
        this.#onEvent({ type: 'sctp-state', state: 'connected', maxChannels });
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

  /** The association ends at once. Where DTLS is gone the ABORT has no way to the peer. */
  #endSctp(message: string, now: Instant): void {
    if (this.#sctpEnded) return;
    this.#sctp?.abort(message, now);
    this.#pumpSctp(now);
    if (this.#sctpEnded) return;
    // An association that had not begun has no end to report; the channels need one.
    this.#channels?.handleSctpEvent({ type: 'aborted', byPeer: false, cause: undefined, message }, now);
    this.#sctpIsOver();
  }

  #sctpIsOver(): void {
    if (this.#sctpEnded) return;
    this.#sctpEnded = true;
    this.#onEvent({ type: 'sctp-state', state: 'closed' });
  }

  /** The first step of the end. RFC 8831 does not ask for a graceful one, and the W3C's close() wants an ABORT. */
  abort(now: Instant): void {
    if (this.#dtls?.state === 'connected' && !this.#sctpEnded) this.#sctp?.abort('closed by the application', now);
  }

  /** The second, when the ABORT is out. */
  closeDtls(now: Instant): void {
    this.#dtls?.close(now);
  }

  /** The last: what came too early for DTLS is not waited for any more. */
  forget(): void {
    this.#early.take();
  }
}
