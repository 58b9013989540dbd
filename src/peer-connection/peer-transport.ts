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
import type { DataChannels } from '../datachannel/index.ts';
import type { DtlsEndpoint } from '../dtls/index.ts';
import { IceAgent, type IceCandidate, type IceEvent } from '../ice/index.ts';
import type { SctpAssociation } from '../sctp/index.ts';
import { classifyPacket } from './demux.ts';
import { Relays } from './relays.ts';
import type { PeerTransportEvent, PeerTransportOptions, RemoteTransport, TransportTraffic } from './transport-types.ts';
import { UpperLayers } from './upper-layers.ts';

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
  readonly #upper: UpperLayers;
  #phase: 'open' | 'closing-sctp' | 'closing-dtls' | 'closing-relays' | 'closed' = 'open';

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.ice = new IceAgent(Object.assign({}, options.ice, { env: options.env, role: options.iceRole }));
    this.relays = new Relays({
      env: options.env,
      ice: this.ice,
      onData: (bytes, path, now) => this.#demultiplex(bytes, path, now),
      onEvent: (event) => this.#events.push(event),
    });
    this.#upper = new UpperLayers({
      transport: options,
      ice: this.ice,
      isRelayed: (path) => this.relays.carries(path),
      onEvent: (event) => this.#events.push(event),
      onDrop: (reason) => this.#drop(reason),
    });
  }

  /** The endpoint, once `connect` was called and ICE has found a pair. */
  get dtls(): DtlsEndpoint | undefined {
    return this.#upper.dtls;
  }

  get sctp(): SctpAssociation | undefined {
    return this.#upper.sctp;
  }

  /** @throws {UsageError} before `connect`. */
  get channels(): DataChannels {
    const { channels } = this.#upper;
    if (channels === undefined) throw new UsageError('connect() comes before the data channels');
    return channels;
  }

  /** Whether `connect` was called: only then are there channels. */
  get isConnecting(): boolean {
    return this.#upper.remote !== undefined;
  }

  /** Grows for as long as the transport lives; those of candidate pairs go with them. */
  get traffic(): Readonly<TransportTraffic> {
    return this.#upper.traffic;
  }

  /** Whether channels can be opened: not before `connect`, and not from `endData` to the next association. */
  get takesChannels(): boolean {
    return this.#upper.takesChannels;
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  /**
   * The remote description is known: from here on channels can be opened, and DTLS starts as soon as ICE has a pair.
   * A later call changes what may change while the association lives: the set of fingerprints and the largest message. With
   * `replacesDtls` the next pair that ICE selects gets a DTLS association of its own, and with `replacesSctp` another SCTP
   * association begins over the one that there is.
   * @throws {UsageError} when closed.
   */
  connect(remote: RemoteTransport, now: Instant): void {
    if (this.#phase !== 'open') throw new UsageError('the transport is closed');
    this.#upper.connect(remote, now);
  }

  /**
   * There is to be no data any more: SCTP ends with an ABORT and so do all channels, while ICE and DTLS go on (RFC 8841 §10.3:
   * port 0). `connect` with `replacesSctp` begins anew. Does nothing before `connect`.
   */
  endData(message: string, now: Instant): void {
    this.#upper.endData(message, now);
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
    this.#upper.abort(now);
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
        this.#upper.handleInput(bytes, path, now);
        break;
      case 'unknown':
        this.#drop(bytes.length === 0 ? 'too-short' : 'bad-type');
        break;
      default:
        this.#drop('unsupported'); // RTP, ZRTP and TURN channels: nothing here speaks them
        break;
    }
  }

  handleTimeout(now: Instant): void {
    if (this.#phase === 'closed') return;
    this.ice.handleTimeout(now);
    this.relays.handleTimeout(now);
    this.#upper.handleTimeout(now);
    this.#pump(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    for (;;) {
      const { offset } = slot;
      if (this.relays.pollTransmit(slot, now)) return true;
      if (this.ice.pollTransmit(slot, now) || this.#upper.pollTransmit(slot, now)) {
        if (this.relays.route(slot, now)) return true;
        slot.offset = offset; // it waits at the relay
        continue;
      }
      // Commands of the layers are given from outside, so what they caused is looked for here, once a drain.
      if (!this.#pump(now) && !this.#continueClosing(now)) return false;
    }
  }

  pollEvent(): PeerTransportEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    if (this.#phase === 'closed') return NEVER;
    return Math.min(this.ice.nextTimeout(), this.relays.nextTimeout(), this.#upper.nextTimeout());
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
      if (this.#upper.pump(now)) more = true;
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
        if (event.path !== undefined && this.#phase === 'open') this.#upper.onSelectedPath(now);
        break;
      case 'base-unused':
        this.relays.onUnusedBase(event.base, now);
        this.#events.push(event);
        break;
      case 'data':
        break; // only datagrams of STUN's kind were handed to the agent
      default:
        this.#events.push(event);
    }
  }

  /** One step further after `close`, each when the layer above it has nothing left to send. @returns whether it moved. */
  #continueClosing(now: Instant): boolean {
    switch (this.#phase) {
      case 'closing-sctp':
        this.#phase = 'closing-dtls';
        this.#upper.closeDtls(now);
        return true;
      case 'closing-dtls':
        this.#phase = 'closing-relays';
        this.relays.close(now);
        return true;
      case 'closing-relays':
        this.ice.close(now);
        this.#pump(now);
        this.#phase = 'closed';
        this.#upper.forget();
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
