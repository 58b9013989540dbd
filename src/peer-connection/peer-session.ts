import type { Env, InterfaceAddress, Platform } from '../core/index.ts';
import type { Certificate } from '../crypto/index.ts';
import type { IceCandidate, IceGatheringState, IceParameters } from '../ice/index.ts';
import type { ParsedConfiguration, PurertcOptions } from './configuration.ts';
import { RTCPeerConnectionIceEvent } from './events.ts';
import { Gatherer } from './gatherer.ts';
import type { GatheringError } from './gathering-types.ts';
import { IceNames } from './ice-names.ts';
import { usableAddresses } from './local-bases.ts';
import { firstHopMtu } from './path-mtu.ts';
import { PeerTransport } from './peer-transport.ts';
import type { RTCDataChannel } from './rtc-data-channel.ts';
import { RTCIceCandidate } from './rtc-ice-candidate.ts';
import type { IceTransportSlots } from './rtc-ice-transport.ts';
import { SessionChannels } from './session-channels.ts';
import { ShownTransports, type ShownTransportsHooks } from './shown-transports.ts';
import { SocketHost, type SocketUser } from './socket-host.ts';
import type { TaskQueue } from './task-queue.ts';
import type { PeerTransportEvent, RemoteTransport } from './transport-types.ts';

/** What the session tells its connection; each is called in a task of its own. */
export interface SessionHooks extends ShownTransportsHooks {
  /** A local candidate is available: to be surfaced, or kept until there is a local description. */
  candidate(candidate: IceCandidate): void;
  /** All candidates of this generation have been. */
  endOfCandidates(ufrag: string): void;
  gatheringError(error: GatheringError): void;
  dataChannel(channel: RTCDataChannel): void;
}

interface SessionOptions {
  readonly platform: Platform;
  /** The platform's, but for the cryptography. */
  readonly env: Env;
  readonly options: PurertcOptions;
  readonly configuration: ParsedConfiguration;
  readonly certificate: Certificate;
  readonly tasks: TaskQueue;
  readonly hooks: SessionHooks;
}

/**
 * The running part of an RTCPeerConnection: one `PeerTransport` on its sockets, what shows its state, and its data channels.
 * Turns transport events into tasks.
 */
export class PeerSession {
  readonly platform: Platform;
  readonly env: Env;
  readonly transport: PeerTransport;
  readonly host: SocketHost<PeerTransportEvent>;
  readonly certificate: Certificate;
  readonly channels: SessionChannels;
  readonly shown: ShownTransports;
  readonly #gatherer: Gatherer;
  readonly #names: IceNames;
  readonly #tasks: TaskQueue;
  readonly #hooks: SessionHooks;
  #gatheringTold: IceGatheringState = 'new';
  /** Counts what was rolled back to nothing, so that tasks of before say nothing of what comes after. */
  #generation = 0;
  /** Of the candidate pool, until there is a local description. */
  #held: PeerTransportEvent[] | undefined;
  /** Listed once: it costs the system more than all else that a selected pair leads to. */
  #interfaces: readonly InterfaceAddress[] | undefined;
  #closed = false;

  constructor(given: SessionOptions) {
    const { platform, options, configuration } = given;
    this.platform = platform;
    this.env = given.env;
    this.certificate = given.certificate;
    this.#tasks = given.tasks;
    this.#hooks = given.hooks;
    this.transport = new PeerTransport({
      env: given.env,
      certificate: given.certificate,
      iceRole: 'controlling', // until the first description says otherwise
      ice: {
        ...options.ice,
        policy: configuration.iceTransportPolicy,
        ...(options.iceUfrag !== undefined && { ufrag: options.iceUfrag }),
        ...(options.icePwd !== undefined && { pwd: options.icePwd }),
      },
      dtls: { ...(options.keyLog !== undefined && { keyLog: options.keyLog }), ...options.dtls },
      ...(options.sctp !== undefined && { sctp: options.sctp }),
      pathMtuBytes: (path) => {
        this.#interfaces ??= platform.interfaces();
        return firstHopMtu(path, this.#interfaces);
      },
      channels: { onUnknownStream: 'drop', ...options.channels },
      ...(options.maxMessageSize !== undefined && { maxMessageSize: options.maxMessageSize }),
    });
    const user: SocketUser<PeerTransportEvent> = {
      onEvent: (event) => this.#onEvent(event),
      onStreamClosed: (path, reason) =>
        this.host.driver.mutate((now) => this.transport.notePathClosed(path, reason, now)),
      isProven: (path) => this.transport.ice.acceptsData(path),
    };
    this.host = new SocketHost(platform, this.transport, user, options.onDatagram);
    this.channels = new SessionChannels(this.transport, this.host, this.#tasks, this.#hooks.dataChannel);
    this.shown = new ShownTransports(this.#tasks, this.#hooks, () => this.transport.dtls?.peerCertificates ?? []);
    this.answerToUfrags();
    this.#names = new IceNames(platform, () => usableAddresses(platform.interfaces(), options.interfaceFilter));
    this.#gatherer = new Gatherer({
      platform,
      transport: this.transport,
      host: this.host,
      options,
      names: this.#names,
      onError: (error) => this.#tasks.queue(() => this.#hooks.gatheringError(error)),
    });
  }

  get ice(): IceTransportSlots {
    return this.shown.ice;
  }

  /** A candidate of the peer, for ICE and for all relays. */
  addRemoteCandidate(candidate: IceCandidate): void {
    this.#gatherer.addRemoteCandidate(candidate);
    this.host.driver.mutate((now) => this.transport.addRemoteCandidate(candidate, now));
  }

  /** After each change of our ICE credentials, for sockets that are shared with other connections. */
  answerToUfrags(): void {
    this.host.answerTo(this.transport.ice.localUfrags);
  }

  /** Starts gathering for the current ICE generation. Errors of single servers and sockets are told, never thrown. */
  gather(configuration: ParsedConfiguration): void {
    void this.#gatherer.gather(configuration);
  }

  /**
   * W3C ICE candidate pool: gathers ahead of time and keeps what it finds to itself until `release` (RFC 9429 §3.5.4).
   * With one transport there is one pool, whatever its size.
   */
  prefetch(configuration: ParsedConfiguration): void {
    this.#held = [];
    this.gather(configuration);
  }

  /** What the pool has found is of other servers than are wanted now. */
  discardPool(): void {
    this.restartIce(this.transport.ice.localParameters);
  }

  /** Begins another ICE generation, without the relays of servers that have left the configuration; to be gathered for. */
  restartIce(parameters: IceParameters): void {
    this.#gatherer.beginGeneration();
    this.host.driver.mutate((now) => this.transport.ice.restart(now, parameters));
    this.answerToUfrags();
  }

  /** ICE servers that a new configuration has not are not asked again. */
  keepServers(configuration: ParsedConfiguration): void {
    this.#gatherer.keepServers(configuration);
  }

  /** The first local description is there: what the pool has is told now. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) this.#onEvent(event);
  }

  /** The only description was rolled back: gathering begins anew with the next one, and until then has not begun. */
  startOver(): void {
    this.restartIce(this.transport.ice.localParameters);
    this.#generation++;
    this.#gatheringTold = 'new';
    this.ice.localCandidates = [];
    this.ice.localParameters = null;
    if (this.ice.gatheringState === 'new') return;
    this.ice.gatheringState = 'new';
    this.#tasks.queue(() => this.#hooks.fire(new Event('icegatheringstatechange')));
  }

  /** Whether DTLS has begun: from then on its association cannot be exchanged for another (RFC 8842 §4). */
  get hasBegun(): boolean {
    return this.transport.dtls !== undefined;
  }

  /** An answer rejects the data section, or has SCTP port 0: the association ends and with it all channels (RFC 8841 §10.4). */
  endData(): void {
    this.host.driver.mutate((now) => this.transport.endData('data was rejected', now));
  }

  /** An exchange is complete: the layers above ICE may begin, and all channels so far get their streams. */
  connect(remote: RemoteTransport): void {
    const before = this.transport.takesChannels;
    this.host.driver.mutate((now) => this.transport.connect(remote, now));
    if (!before && this.transport.takesChannels) this.channels.openAll();
  }

  /** W3C "close the connection" steps 6 to 10: everything ends at once, the farewells still leave. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gatherer.close();
    this.#names.close();
    this.channels.closeAbruptly();
    this.shown.close();
    // 'transport-closed' closes the sockets: within this call, or when the drain that we are inside of goes on.
    this.host.driver.mutate((now) => this.transport.close(now));
  }

  #onEvent(event: PeerTransportEvent): void {
    if (this.#held !== undefined && (event.type === 'candidate' || event.type === 'gathering-state')) {
      this.#held.push(event);
      return;
    }
    switch (event.type) {
      case 'transport-closed':
        this.host.close();
        return;
      case 'resolve':
        void this.#resolve(event.hostname);
        return;
      case 'candidate':
        // W3C §5.6: gathering has begun before there is anything to show for it. An address that appears later has its
        // candidate while all is complete.
        if (this.transport.ice.gatheringState !== 'complete' || this.#gatheringTold === 'new')
          this.#onGathering('gathering');
        this.#tasks.queue(() => this.#hooks.candidate(event.candidate));
        return;
      case 'gathering-state':
        this.#onGathering(event.state);
        return;
      case 'relay-allocated':
      case 'relay-failed':
      case 'relay-released':
        this.#gatherer.onRelayEvent(event);
        return;
      case 'base-unused':
        this.#gatherer.onUnusedBase(event.base);
        return;
      case 'server-error': {
        const { base, url = '', code, reason } = event;
        if (/^turn/i.test(url)) return; // it is asked for a relay too, and that has errors of its own
        this.#tasks.queue(() => this.#hooks.gatheringError({ url, code, text: reason, local: base }));
        return;
      }
      case 'ice-role':
        this.#tasks.queue(() => {
          this.ice.role = event.role;
        });
        return;
      case 'selected-pair':
        if (event.pair !== undefined) this.shown.changeIce({ pair: event.pair });
        return;
      case 'ice-state':
        this.shown.changeIce({ state: event.state });
        return;
      case 'dtls-state':
        this.shown.onDtls(event);
        return;
      case 'sctp-state':
        this.shown.onSctp(event);
        return;
      default:
        if (!this.#closed) this.channels.handle(event);
    }
  }

  /** A `.local` name in a candidate of the peer's: one that does not resolve costs that candidate only. */
  async #resolve(hostname: string): Promise<void> {
    // W3C §4.4.2: under "relay" candidates that require external resolution "MUST be prohibited": the question would tell.
    const addresses = this.transport.ice.policy === 'relay' ? [] : await this.#names.resolve(hostname);
    if (addresses === undefined || this.transport.isClosed) return;
    this.host.driver.mutate((now) => this.transport.ice.addResolved(hostname, addresses, now));
  }

  /** W3C §5.6, the three tasks about gathering. */
  #onGathering(state: IceGatheringState): void {
    if (state === this.#gatheringTold) return;
    this.#gatheringTold = state;
    const { ufrag } = this.transport.ice.localParameters;
    const generation = this.#generation;
    if (state === 'complete') this.#tasks.queue(() => this.#hooks.endOfCandidates(ufrag));
    this.#tasks.queue(() => {
      if (generation !== this.#generation) return;
      this.shown.changeGathering(state);
      this.#hooks.fire(new Event('icegatheringstatechange'));
      if (state === 'complete') this.#hooks.fire(new RTCPeerConnectionIceEvent('icecandidate', { candidate: null }));
    });
  }
}

/** W3C: what `icecandidate` carries when a generation is complete. */
export function endOfGatheringCandidate(mid: string, index: number, ufrag: string): RTCIceCandidate {
  return new RTCIceCandidate({ candidate: '', sdpMid: mid, sdpMLineIndex: index, usernameFragment: ufrag });
}
