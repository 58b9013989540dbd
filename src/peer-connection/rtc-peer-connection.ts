import { type RTCDataChannelInit, readChannelSettings } from './channel-settings.ts';
import { checkModification, parseConfiguration, type RTCConfiguration, toConfiguration } from './configuration.ts';
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
    const parsed = parseConfiguration(configuration);
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
    return promised(async () => generateRtcCertificate(defaultPlatform.env, keygenAlgorithm));
  }

  createOffer(options?: RTCOfferOptions): Promise<RTCSessionDescriptionInit>;
  createOffer(
    successCallback: RTCSessionDescriptionCallback,
    failureCallback: RTCPeerConnectionErrorCallback,
    options?: RTCOfferOptions,
  ): Promise<void>;
  createOffer(
    first: RTCOfferOptions | RTCSessionDescriptionCallback | undefined = undefined,
    failure?: RTCPeerConnectionErrorCallback,
    options?: RTCOfferOptions,
  ): Promise<unknown> {
    if (isCallback(first)) return legacy(this.createOffer(options), first, failure);
    return promised(() => {
      const iceRestart = Boolean(dictionary(first, 'RTCOfferOptions')['iceRestart']);
      return this.#connection.chain(() => this.#connection.createOffer(iceRestart));
    });
  }

  createAnswer(options?: RTCAnswerOptions): Promise<RTCSessionDescriptionInit>;
  createAnswer(
    successCallback: RTCSessionDescriptionCallback,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  createAnswer(
    first: RTCAnswerOptions | RTCSessionDescriptionCallback | undefined = undefined,
    failure?: RTCPeerConnectionErrorCallback,
  ): Promise<unknown> {
    if (isCallback(first)) return legacy(this.createAnswer(), first, failure);
    return promised(() => {
      dictionary(first, 'RTCAnswerOptions');
      return this.#connection.chain(() => this.#connection.createAnswer());
    });
  }

  setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void>;
  setLocalDescription(
    description: RTCLocalSessionDescriptionInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  setLocalDescription(
    description: RTCLocalSessionDescriptionInit = {},
    success?: () => void,
    failure?: RTCPeerConnectionErrorCallback,
  ): Promise<void> {
    if (success !== undefined) return legacy(this.setLocalDescription(description), success, failure);
    return promised(() => {
      const given = readLocalDescriptionInit(description);
      return this.#connection.chain(() => this.#connection.setLocalDescription(given));
    });
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>;
  setRemoteDescription(
    description: RTCSessionDescriptionInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  setRemoteDescription(
    description: RTCSessionDescriptionInit,
    success: (() => void) | undefined = undefined,
    failure?: RTCPeerConnectionErrorCallback,
  ): Promise<void> {
    if (success !== undefined) return legacy(this.setRemoteDescription(description), success, failure);
    return promised(() => {
      const given = readDescriptionInit(description);
      return this.#connection.chain(() => this.#connection.setRemoteDescription(given));
    });
  }

  addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void>;
  addIceCandidate(
    candidate: RTCIceCandidateInit,
    successCallback: () => void,
    failureCallback: RTCPeerConnectionErrorCallback,
  ): Promise<void>;
  addIceCandidate(
    candidate: RTCIceCandidateInit | null = {},
    success?: () => void,
    failure?: RTCPeerConnectionErrorCallback,
  ): Promise<void> {
    if (success !== undefined) return legacy(this.addIceCandidate(candidate), success, failure);
    return promised(() => {
      const given = readCandidateInit(candidate);
      // Step 3.
      if (given.candidate !== '' && given.sdpMid === null && given.sdpMLineIndex === null) {
        throw new TypeError('sdpMid and sdpMLineIndex are both null');
      }
      return this.#connection.chain(() => this.#connection.addIceCandidate(given));
    });
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
    if (this.#connection.isClosed) throw domError('InvalidStateError', 'the connection is closed');
    const parsed = parseConfiguration(configuration);
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

  /** W3C webrtc-stats dictionaries, and `sctp-transport`. There are no tracks to select. */
  getStats(_selector: Media = undefined): Promise<RTCStatsReport> {
    return promised(async () => {
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

/** The callback forms of createOffer and createAnswer are told by their first argument. */
function isCallback(value: object | undefined): value is RTCSessionDescriptionCallback {
  return typeof value === 'function';
}

/** Web IDL: what an operation with a promise throws becomes a rejection. */
function promised<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return operation();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** W3C §4.4.3: the callback forms resolve with undefined and tell the callbacks. */
function legacy<T>(
  promise: Promise<T>,
  success: (value: T) => void,
  failure: RTCPeerConnectionErrorCallback | undefined,
): Promise<void> {
  promise.then(success, failure);
  return Promise.resolve();
}
