import { type RTCDataChannelInit, readChannelSettings } from './channel-settings.ts';
import {
  checkConfiguration,
  checkModification,
  type RTCConfiguration,
  readConfiguration,
  toConfiguration,
} from './configuration.ts';
import { Connection } from './connection.ts';
import type {
  RTCIceConnectionState,
  RTCIceGatheringState,
  RTCPeerConnectionState,
  RTCSignalingState,
} from './connection-state.ts';
import type { RTCDataChannelEvent } from './data-channel-event.ts';
import { defaultPlatform } from './default-platform.ts';
import type { RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent } from './events.ts';
import { promised, withCallbacks } from './legacy-callbacks.ts';
import { type CertificateAlgorithm, generateRtcCertificate, type RTCCertificate } from './rtc-certificate.ts';
import type { RTCDataChannel } from './rtc-data-channel.ts';
import { type RTCIceCandidateInit, readCandidateInit } from './rtc-ice-candidate.ts';
import type { RTCSctpTransport } from './rtc-sctp-transport.ts';
import {
  type RTCLocalSessionDescriptionInit,
  type RTCSessionDescription,
  type RTCSessionDescriptionInit,
  readDescriptionInit,
  readLocalDescriptionInit,
} from './rtc-session-description.ts';
import { connectionPlatform } from './shared-ports.ts';
import { collectStats, type RTCStatsReport } from './stats.ts';
import {
  defineInterface,
  dictionary,
  domError,
  type EventHandler,
  requireArguments,
  TypedEventTarget,
} from './web-idl.ts';

/** W3C RTCOfferOptions. */
export interface RTCOfferOptions {
  iceRestart?: boolean;
  /** Legacy; there is no media to receive, so they change nothing. */
  offerToReceiveAudio?: boolean;
  offerToReceiveVideo?: boolean;
}

/** W3C RTCAnswerOptions. */
export type RTCAnswerOptions = Record<never, never>;

// biome-ignore lint/suspicious/noExplicitAny: media types are those of TypeScript's DOM library, which nobody here needs
type Media = any;

export type RTCPeerConnectionErrorCallback = (error: DOMException) => void;
export type RTCSessionDescriptionCallback = (description: RTCSessionDescriptionInit) => void;

export interface RTCPeerConnectionEventMap {
  negotiationneeded: Event;
  icecandidate: RTCPeerConnectionIceEvent;
  icecandidateerror: RTCPeerConnectionIceErrorEvent;
  signalingstatechange: Event;
  iceconnectionstatechange: Event;
  icegatheringstatechange: Event;
  connectionstatechange: Event;
  datachannel: RTCDataChannelEvent;
  track: Media;
}

/**
 * W3C RTCPeerConnection for data channels. `configuration.purertc` has what only a program outside of a browser can
 * choose; everything else is as in a browser.
 *
 * @example
 * const pc = new RTCPeerConnection({ iceServers: [{ urls: 'stun:stun.example.org' }] });
 * const channel = pc.createDataChannel('chat');
 * channel.onopen = () => channel.send('hello');
 * pc.onicecandidate = ({ candidate }) => signal({ candidate });
 * await pc.setLocalDescription();
 * signal({ description: pc.localDescription });
 */
export class RTCPeerConnectionImpl extends TypedEventTarget<RTCPeerConnectionEventMap> {
  declare onnegotiationneeded: EventHandler;
  declare onicecandidate: EventHandler<RTCPeerConnectionIceEvent>;
  declare onicecandidateerror: EventHandler<RTCPeerConnectionIceErrorEvent>;
  declare onsignalingstatechange: EventHandler;
  declare oniceconnectionstatechange: EventHandler;
  declare onicegatheringstatechange: EventHandler;
  declare onconnectionstatechange: EventHandler;
  declare ondatachannel: EventHandler<RTCDataChannelEvent>;
  /** Never called: there is no media. */
  declare ontrack: EventHandler<Media>;

  readonly #connection: Connection;

  /**
   * @throws {TypeError} malformed configuration.
   * @throws {DOMException} `SyntaxError` (server URL), `InvalidAccessError` (missing credentials, expired certificate).
   */
  constructor(configuration: RTCConfiguration = {}) {
    super();
    const parsed = checkConfiguration(readConfiguration(configuration));
    const options = configuration?.purertc ?? {};
    const platform = connectionPlatform(options, defaultPlatform);
    // Step 5.1.
    const expires = parsed.certificates.map((certificate) => certificate.expires);
    if (Math.min(...expires, options.certificate?.notAfterMs ?? Infinity) < platform.env.wallClockMs()) {
      throw domError('InvalidAccessError', 'a certificate has expired');
    }
    this.#connection = new Connection(platform, parsed, options, (event) => void this.dispatchEvent(event));
    this.#connection.configure(parsed);
  }

  /** @throws {DOMException} (rejects) `NotSupportedError`. */
  static generateCertificate(keygenAlgorithm: CertificateAlgorithm): Promise<RTCCertificate> {
    // biome-ignore lint/complexity/noArguments: nothing at all is a TypeError, undefined is a name
    const given = arguments.length;
    return promised(async () => {
      requireArguments(given, 1);
      return generateRtcCertificate(defaultPlatform.env, keygenAlgorithm);
    });
  }

  createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit>;
  createOffer(
    successCallback: RTCSessionDescriptionCallback,
    failureCallback: RTCPeerConnectionErrorCallback,
    options?: RTCOfferOptions,
  ): Promise<void>;
  createOffer(...given: unknown[]): Promise<unknown> {
    const [first, failure, options] = given;
    if (given.length > 1) return withCallbacks(first, failure, false, () => this.#createOffer(options));
    return promised(() => this.#createOffer(first));
  }

  #createOffer(options: unknown): Promise<RTCSessionDescriptionInit> {
    const iceRestart = Boolean(dictionary(options, 'RTCOfferOptions')['iceRestart']);
    return this.#connection.chain(() => this.#connection.createOffer(iceRestart));
  }

  createAnswer(options?: RTCAnswerOptions): Promise<RTCSessionDescriptionInit>;
  createAnswer(
    successCallback: RTCSessionDescriptionCallback,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  createAnswer(...given: unknown[]): Promise<unknown> {
    const [first, failure] = given;
    const create = (): Promise<unknown> => this.#connection.chain(() => this.#connection.createAnswer());
    if (given.length > 1) return withCallbacks(first, failure, false, create);
    return promised(() => {
      dictionary(first, 'RTCAnswerOptions');
      return create();
    });
  }

  setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void>;
  setLocalDescription(
    description: RTCLocalSessionDescriptionInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  setLocalDescription(...given: unknown[]): Promise<void> {
    const [description, success, failure] = given;
    const set = (): Promise<void> => {
      const read = readLocalDescriptionInit(description);
      return this.#connection.chain(() => this.#connection.setLocalDescription(read));
    };
    return success === undefined ? promised(set) : withCallbacks(success, failure, true, set);
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(
    description: RTCSessionDescriptionInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  setRemoteDescription(description: unknown, ...callbacks: unknown[]): Promise<void> {
    const [success, failure] = callbacks;
    const set = (): Promise<void> => {
      const read = readDescriptionInit(description);
      return this.#connection.chain(() => this.#connection.setRemoteDescription(read));
    };
    return success === undefined ? promised(set) : withCallbacks(success, failure, true, set);
  }

  addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void>;
  addIceCandidate(
    candidate: RTCIceCandidateInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  addIceCandidate(...given: unknown[]): Promise<void> {
    const [candidate, success, failure] = given;
    const add = (): Promise<void> => {
      const read = readCandidateInit(candidate);
      // Step 3.
      if (read.candidate !== '' && read.sdpMid === null && read.sdpMLineIndex === null) {
        throw new TypeError('sdpMid and sdpMLineIndex are both null');
      }
      return this.#connection.chain(() => this.#connection.addIceCandidate(read));
    };
    return success === undefined ? promised(add) : withCallbacks(success, failure, true, add);
  }

  get localDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.local);
  }

  get currentLocalDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.session.currentLocal);
  }

  get pendingLocalDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.session.pendingLocal);
  }

  get remoteDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.remote);
  }

  get currentRemoteDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.session.currentRemote);
  }

  get pendingRemoteDescription(): RTCSessionDescription | null {
    const { negotiation } = this.#connection;
    return negotiation.object(negotiation.session.pendingRemote);
  }

  get signalingState(): RTCSignalingState {
    return this.#connection.negotiation.session.state;
  }

  get iceGatheringState(): RTCIceGatheringState {
    return this.#connection.session?.ice.gatheringState ?? 'new';
  }

  get iceConnectionState(): RTCIceConnectionState {
    if (this.#connection.isClosed) return 'closed';
    return this.#connection.session?.ice.state ?? 'new';
  }

  get connectionState(): RTCPeerConnectionState {
    if (this.#connection.isClosed) return 'closed';
    return this.#connection.session?.shown.connectionState ?? 'new';
  }

  /** Whether the peer takes candidates one by one; null before there is a remote description. */
  get canTrickleIceCandidates(): boolean | null {
    return this.#connection.canTrickle;
  }

  get sctp(): RTCSctpTransport | null {
    return this.#connection.hasSctp ? (this.#connection.session?.shown.rtcSctp ?? null) : null;
  }

  restartIce(): void {
    this.#connection.restartIce();
  }

  getConfiguration(): RTCConfiguration {
    return toConfiguration(this.#connection.configuration);
  }

  /** @throws {DOMException} `InvalidStateError`, `InvalidModificationError`, and as the constructor. */
  setConfiguration(configuration: RTCConfiguration = {}): void {
    const given = readConfiguration(configuration);
    if (this.#connection.isClosed) throw domError('InvalidStateError', 'the connection is closed');
    const parsed = checkConfiguration(given);
    checkModification(this.#connection.configuration, parsed, this.#connection.negotiation.local !== undefined);
    this.#connection.configure(parsed);
  }

  /**
   * @throws {TypeError} malformed parameters.
   * @throws {DOMException} `InvalidStateError` when closed; `OperationError` when the id is taken or none is left.
   */
  createDataChannel(label: string, dataChannelDict: RTCDataChannelInit = {}): RTCDataChannel {
    // biome-ignore lint/complexity/noArguments: without a label is an error, undefined is text
    requireArguments(arguments.length, 1);
    if (this.#connection.isClosed) throw domError('InvalidStateError', 'the connection is closed');
    return this.#connection.createDataChannel(readChannelSettings(label, dataChannelDict));
  }

  /**
   * W3C webrtc-stats dictionaries, and `sctp-transport`.
   * @param selector - null: there are no tracks to select. @throws {TypeError} (rejects) anything else.
   */
  getStats(selector: Media = null): Promise<RTCStatsReport> {
    return promised(async () => {
      if (selector !== null) throw new TypeError('the selector is not a track of this connection');
      const { session, pastSessions, platform } = this.#connection;
      return collectStats(session, pastSessions, platform.env.wallClockMs());
    });
  }

  /** Ends everything at once; the peer is told. Nothing is left running, and no event comes after it. */
  close(): void {
    this.#connection.close();
  }

  // The media part of the interface: present, so that programs may ask, and empty.

  #noMedia(): Media[] {
    return [];
  }

  getSenders(): Media[] {
    return this.#noMedia();
  }

  getReceivers(): Media[] {
    return this.#noMedia();
  }

  getTransceivers(): Media[] {
    return this.#noMedia();
  }

  #refuseMedia(given: number): never {
    requireArguments(given, 1);
    throw domError('NotSupportedError', 'purertc has data channels and no media');
  }

  /** @throws {DOMException} `NotSupportedError`, always. */
  addTrack(_track: Media, ..._streams: Media[]): Media {
    // biome-ignore lint/complexity/noArguments: nothing at all is a TypeError
    this.#refuseMedia(arguments.length);
  }

  /** @throws {DOMException} `NotSupportedError`, always. */
  addTransceiver(_trackOrKind: Media, _init: Media = undefined): Media {
    // biome-ignore lint/complexity/noArguments: nothing at all is a TypeError
    this.#refuseMedia(arguments.length);
  }

  /** @throws {DOMException} `NotSupportedError`, always. */
  removeTrack(_sender: Media): void {
    // biome-ignore lint/complexity/noArguments: nothing at all is a TypeError
    this.#refuseMedia(arguments.length);
  }

  static {
    defineInterface(RTCPeerConnectionImpl, 'RTCPeerConnection', [
      'negotiationneeded',
      'icecandidate',
      'icecandidateerror',
      'signalingstatechange',
      'iceconnectionstatechange',
      'icegatheringstatechange',
      'connectionstatechange',
      'datachannel',
      'track',
    ]);
  }
}

/** {@link RTCPeerConnectionImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCPeerConnection = Pick<RTCPeerConnectionImpl, keyof RTCPeerConnectionImpl>;

export const RTCPeerConnection: {
  readonly prototype: RTCPeerConnection;
  new (configuration?: RTCConfiguration): RTCPeerConnection;
  /** @throws {DOMException} (rejects) `NotSupportedError`. */
  generateCertificate(keygenAlgorithm: CertificateAlgorithm): Promise<RTCCertificate>;
} = RTCPeerConnectionImpl;
