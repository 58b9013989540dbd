import { DecodeError, type Platform } from '../core/index.ts';
import { certificateFingerprint, generateCertificate } from '../crypto/index.ts';
import { type IceCandidate, parseCandidate } from '../ice/index.ts';
import { type LocalTransport, maxSendMessageSize, readTransportDescription } from '../sdp/index.ts';
import type { ParsedConfiguration, PurertcOptions } from './configuration.ts';
import { nextSignalingState } from './connection-state.ts';
import { RTCDataChannelEvent } from './data-channel-event.ts';
import { AppliedDescription, candidateTexts, findSection, readDescription, toSdpException } from './descriptions.ts';
import { RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent } from './events.ts';
import type { GatheringError } from './gatherer.ts';
import { type IceCredentials, randomIceCredentials } from './ice-credentials.ts';
import { type DataSection, dataSectionOf, Negotiation } from './negotiation.ts';
import { OperationsChain } from './operations-chain.ts';
import { endOfGatheringCandidate, PeerSession } from './peer-session.ts';
import { fromRtcCertificate } from './rtc-certificate.ts';
import type { ChannelSettings, RTCDataChannel } from './rtc-data-channel.ts';
import { type CandidateJson, toRtcCandidate } from './rtc-ice-candidate.ts';
import type { RTCSdpType } from './rtc-session-description.ts';
import { TaskQueue } from './task-queue.ts';
import { domError } from './web-idl.ts';

/**
 * Bytes that one channel may have waiting, and so the longest message that can be sent at all: what the W3C calls
 * canSendSize. 16 MiB as in browsers.
 */
export const MAX_CHANNEL_BUFFER_BYTES: number = 16 * 1024 * 1024;

type Described = { readonly type: RTCSdpType; readonly sdp: string };

/**
 * The algorithms of RTCPeerConnection (W3C §4.4), without the interface: `RTCPeerConnection` converts arguments and
 * calls these. Step numbers in comments are those of the specification.
 */
export class Connection {
  readonly platform: Platform;
  readonly negotiation: Negotiation;
  configuration: ParsedConfiguration;
  isClosed = false;
  readonly #options: PurertcOptions;
  readonly #fire: (event: Event) => void;
  readonly #tasks: TaskQueue;
  readonly #operations: OperationsChain;
  #session: PeerSession | undefined;
  #negotiationNeeded = false;
  #updateOnEmptyChain = false;
  /** W3C [[EarlyCandidates]]. */
  #earlyCandidates: IceCandidate[] = [];
  /** All of the current generation, for descriptions that are made later. */
  #localCandidates: IceCandidate[] = [];
  /** W3C [[LocalIceCredentialsToReplace]], as `ufrag pwd`. */
  #credentialsToReplace = new Set<string>();
  #remoteIce: IceCredentials | undefined;
  #gathered = false;
  /** The local offer that is pending has restarted ICE: a rollback takes that back. */
  #restartPending = false;
  /** Whether [[SctpTransport]] is not null, and [[LastStableStateSctpTransport]]. */
  #hasSctp = false;
  #hadStableSctp = false;

  constructor(
    platform: Platform,
    configuration: ParsedConfiguration,
    options: PurertcOptions,
    fire: (event: Event) => void,
  ) {
    this.platform = platform;
    this.configuration = configuration;
    this.#options = options;
    this.#fire = fire;
    this.negotiation = new Negotiation(platform.env);
    this.#tasks = new TaskQueue(platform);
    this.#operations = new OperationsChain(() => this.#onEmptyChain());
  }

  /** The running transport, once anything has asked for one. */
  get session(): PeerSession | undefined {
    return this.#session;
  }

  get hasSctp(): boolean {
    return this.#hasSctp;
  }

  /** W3C canTrickleIceCandidates (RFC 9429 §4.1.17). */
  get canTrickle(): boolean | null {
    const model = this.negotiation.remote?.model;
    if (model === undefined) return null;
    return model.media.some((media) => readTransportDescription(media, model).iceOptions.includes('trickle'));
  }

  /** W3C "chain an asynchronous operation". */
  chain<T>(operation: () => Promise<T>): Promise<T> {
    if (this.isClosed) return Promise.reject(domError('InvalidStateError', 'the connection is closed'));
    return this.#operations.chain(operation);
  }

  #ensureSession(): PeerSession {
    if (this.#session !== undefined) return this.#session;
    const own = this.configuration.certificates[0];
    const certificate = own === undefined ? generateCertificate(this.platform.env) : fromRtcCertificate(own);
    this.#session = new PeerSession({
      platform: this.platform,
      options: this.#options,
      configuration: this.configuration,
      certificate,
      tasks: this.#tasks,
      hooks: {
        candidate: (candidate) => this.#onCandidate(candidate),
        endOfCandidates: (ufrag) => this.#onEndOfCandidates(ufrag),
        gatheringError: (error) => this.#onGatheringError(error),
        dataChannel: (channel) => this.#fire(new RTCDataChannelEvent('datachannel', { channel })),
        fire: this.#fire,
        section: () => this.#localSection(),
      },
    });
    return this.#session;
  }

  #localSection(): { readonly mid: string; readonly index: number } {
    return dataSectionOf(this.negotiation.local?.model) ?? { mid: '0', index: 0 };
  }

  createDataChannel(settings: ChannelSettings): RTCDataChannel {
    const { channels } = this.#ensureSession();
    const first = !channels.everCreated;
    const channel = channels.create(settings);
    if (first) this.updateNegotiationNeeded(); // step 17
    return channel;
  }

  /** W3C "create an offer". */
  async createOffer(iceRestart: boolean): Promise<Described> {
    const { signalingState } = this.negotiation;
    if (signalingState !== 'stable' && signalingState !== 'have-local-offer') {
      throw domError('InvalidStateError', `no offer can be made in ${signalingState}`);
    }
    await this.#tasks.next();
    return this.#finalOffer(iceRestart);
  }

  #finalOffer(iceRestart: boolean): Described {
    const session = this.#ensureSession();
    const credentials = this.#offeredCredentials(session, iceRestart);
    const sdp = this.negotiation.createOffer(this.#localTransport(session, credentials), session.channels.everCreated);
    this.negotiation.lastCreatedOffer = sdp;
    return { type: 'offer', sdp };
  }

  #offeredCredentials(session: PeerSession, iceRestart: boolean): IceCredentials {
    const { ufrag, pwd } = session.transport.ice.localParameters;
    const replace = this.#credentialsToReplace.has(`${ufrag} ${pwd}`) || iceRestart;
    return replace && this.negotiation.currentLocal !== null ? randomIceCredentials(this.platform.env) : { ufrag, pwd };
  }

  /** W3C "create an answer". */
  async createAnswer(): Promise<Described> {
    const { signalingState } = this.negotiation;
    if (signalingState !== 'have-remote-offer' && signalingState !== 'have-local-pranswer') {
      throw domError('InvalidStateError', `no answer can be made in ${signalingState}`);
    }
    await this.#tasks.next();
    return this.#finalAnswer();
  }

  #finalAnswer(): Described {
    const session = this.#ensureSession();
    const local = this.#localTransport(session, this.#answeredCredentials(session));
    try {
      const sdp = this.negotiation.createAnswer(local, this.#options.answerSetup ?? 'active');
      this.negotiation.lastCreatedAnswer = sdp;
      return { type: 'answer', sdp };
    } catch (error) {
      throw toSdpException(error);
    }
  }

  /** RFC 8445 §9: an offer with new credentials is answered with new ones. */
  #answeredCredentials(session: PeerSession): IceCredentials {
    const current = session.transport.ice.localParameters;
    const offered = dataSectionOf(this.negotiation.pendingRemote?.model)?.transport;
    const restart = this.#remoteIce !== undefined && offered !== undefined && offered.ufrag !== this.#remoteIce.ufrag;
    return restart ? randomIceCredentials(this.platform.env) : current;
  }

  #localTransport(session: PeerSession, { ufrag, pwd }: IceCredentials): LocalTransport {
    const { env } = this.platform;
    const sameGeneration = ufrag === session.transport.ice.localParameters.ufrag;
    const value = certificateFingerprint(env.crypto, 'sha-256', session.certificate.der);
    const { maxMessageSize, ice } = this.#options;
    return {
      ufrag,
      pwd,
      fingerprints: [{ algorithm: 'sha-256', value }],
      iceLite: ice?.lite,
      candidates: sameGeneration ? candidateTexts(this.#localCandidates) : [],
      endOfCandidates: sameGeneration && session.ice.gatheringState === 'complete',
      maxMessageSize,
    };
  }

  /** W3C `setLocalDescription`, the steps that are chained. */
  async setLocalDescription(given: { readonly type?: RTCSdpType; readonly sdp: string }): Promise<void> {
    const { negotiation } = this;
    const state = negotiation.signalingState;
    const offers = state === 'stable' || state === 'have-local-offer' || state === 'have-remote-pranswer';
    const type = given.type ?? (offers ? 'offer' : 'answer'); // step 4.1
    let { sdp } = given;
    const created = type === 'offer' ? negotiation.lastCreatedOffer : negotiation.lastCreatedAnswer;
    // Steps 4.2 and 4.3, as browsers apply them: text may be changed where it does not matter.
    if (type !== 'rollback' && sdp !== '' && sdp !== created && !negotiation.isHarmlessChange(created, sdp)) {
      throw domError('InvalidModificationError', `the ${type} is not the one that was created`);
    }
    if (sdp === '' && type !== 'rollback') {
      // Steps 4.4 and 4.5. What was created last may be out of date, and to make it anew costs little.
      sdp = type === 'offer' ? (await this.createOffer(false)).sdp : (await this.createAnswer()).sdp;
    }
    await this.#setDescription(type, sdp, false);
  }

  /** W3C `setRemoteDescription`, the steps that are chained. */
  async setRemoteDescription({ type, sdp }: Described): Promise<void> {
    const state = this.negotiation.signalingState;
    // Step 3.1: an offer that collides with ours takes its place.
    if (type === 'offer' && nextSignalingState(state, 'remote', 'offer') === undefined) {
      await this.#setDescription('rollback', '', false);
    }
    await this.#setDescription(type, sdp, true);
  }

  /** W3C §4.4.1.5 "set a session description". */
  async #setDescription(type: RTCSdpType, sdp: string, remote: boolean): Promise<void> {
    const { negotiation } = this;
    const before = negotiation.signalingState;
    const next = nextSignalingState(before, remote ? 'remote' : 'local', type);
    if (next === undefined) throw domError('InvalidStateError', `a ${type} cannot be set in ${before}`);
    const description = type === 'rollback' ? undefined : this.#validate(type, sdp, remote);
    await this.#tasks.next(); // step 4.5: "queue a task"; never goes on once closed
    if (description === undefined) this.#rollback();
    else this.#apply(description, remote, next);
    if (next === 'stable') {
      // Step 4.5.13.
      this.#negotiationNeeded = false;
      this.updateNegotiationNeeded();
    }
    if (next !== before) this.#fire(new Event('signalingstatechange')); // step 4.5.14
    if (!remote) this.#releaseEarlyCandidates();
  }

  /** @throws what step 4.4 rejects with. */
  #validate(type: 'offer' | 'pranswer' | 'answer', sdp: string, remote: boolean): AppliedDescription {
    const model = readDescription(sdp);
    try {
      if (remote) this.negotiation.validateRemote(type, model);
    } catch (error) {
      throw toSdpException(error);
    }
    return new AppliedDescription(type, model);
  }

  #rollback(): void {
    this.negotiation.rollback();
    this.#hasSctp = this.#hadStableSctp;
    const session = this.#session;
    if (this.#restartPending && session !== undefined) {
      this.#restartPending = false;
      session.host.driver.mutate((now) => session.transport.ice.rollbackRestart(now));
    }
    // Nothing was ever agreed on: who offers first decides about the role again.
    if (this.negotiation.currentLocal === null && session !== undefined) session.ice.role = 'unknown';
  }

  #apply(description: AppliedDescription, remote: boolean, next: ReturnType<typeof nextSignalingState> & string): void {
    const { negotiation } = this;
    const { type } = description;
    if (type === 'offer' && negotiation.signalingState === 'stable') this.#hadStableSctp = this.#hasSctp;
    negotiation.apply(description, remote, next);
    const session = this.#ensureSession();
    const section = dataSectionOf(description.model);
    if (type === 'offer') {
      if (section !== undefined) this.#hasSctp = true;
      this.#decideRole(session, remote && section?.transport.iceLite !== true);
    }
    if (!remote && section !== undefined)
      this.#restartPending = this.#applyLocalIce(session, section) && type === 'offer';
    else if (type !== 'offer') this.#restartPending = false;
    if (remote && section !== undefined && this.#remoteIce === undefined) this.#applyRemoteIce(session, section);
    if (type !== 'offer') this.#connect(session, type, remote);
  }

  /** The rules of RFC 8445 §6.1.1 as W3C step 4.5.10 lists them. */
  #decideRole(session: PeerSession, controlled: boolean): void {
    if (session.ice.role !== 'unknown') return;
    const role = controlled ? 'controlled' : 'controlling';
    session.ice.role = role;
    session.host.driver.mutate(() => session.transport.ice.setRole(role));
  }

  /**
   * Gathers for a new generation: the first, or one that new credentials begin (RFC 9429 §5.9).
   * @returns whether ICE was restarted.
   */
  #applyLocalIce(session: PeerSession, { transport: { ufrag = '', pwd = '' } }: DataSection): boolean {
    const { ice } = session.transport;
    session.ice.localParameters = { usernameFragment: ufrag, password: pwd };
    const restart = ice.localParameters.ufrag !== ufrag || ice.localParameters.pwd !== pwd;
    if (restart) {
      this.#localCandidates = [];
      session.host.driver.mutate((now) => ice.restart(now, { ufrag, pwd }));
    }
    if (restart || !this.#gathered) {
      this.#gathered = true;
      session.gather(this.configuration);
    }
    return restart;
  }

  #applyRemoteIce(session: PeerSession, { index, mid, transport }: DataSection): void {
    const { ufrag = '', pwd = '', iceLite: lite, icePacingMs: pacingMs } = transport;
    if (this.#remoteIce?.ufrag === ufrag && this.#remoteIce.pwd === pwd) return;
    this.#remoteIce = { ufrag, pwd };
    session.ice.remoteParameters = { usernameFragment: ufrag, password: pwd };
    const { ice } = session.transport;
    if (ice.remoteParameters !== undefined) {
      // Another peer answers than the one whose provisional answer came (a forking call): its checks start anew.
      session.host.driver.mutate((now) => ice.restart(now, ice.localParameters));
      session.gather(this.configuration);
    }
    session.host.driver.mutate((now) => ice.setRemoteParameters({ ufrag, pwd, lite, pacingMs }, now));
    for (const text of transport.candidates) {
      const candidate = parseRemoteCandidate(text);
      // RFC 8839 §5.1: what is not understood is ignored.
      if (candidate !== undefined) this.#addToAgent(session, candidate, mid, index);
    }
    if (transport.endOfCandidates)
      session.host.driver.mutate((now) => session.transport.ice.endOfRemoteCandidates(now));
  }

  /** An answer, also a provisional one: ICE, DTLS and SCTP go on with what was agreed. */
  #connect(session: PeerSession, type: 'pranswer' | 'answer', answerIsRemote: boolean): void {
    const { negotiation } = this;
    const agreed = negotiation.agreed(answerIsRemote);
    if (agreed === undefined) {
      if (type === 'answer') this.#hasSctp = false;
    } else {
      const { transport } = agreed.remote;
      this.#applyRemoteIce(session, agreed.remote);
      negotiation.dtlsRole ??= agreed.dtlsRole;
      const limit = maxSendMessageSize(transport.maxMessageSize, MAX_CHANNEL_BUFFER_BYTES);
      session.sctp.maxMessageSize = limit;
      session.connect({
        dtlsRole: negotiation.dtlsRole,
        fingerprints: transport.fingerprints,
        acceptAnyCertificate: this.#options.acceptAnyFingerprint ?? false,
        maxMessageSize: limit,
        ...(transport.sctpPort !== undefined && { sctpPort: transport.sctpPort }),
      });
    }
    if (type !== 'answer') return;
    const { ufrag, pwd } = session.transport.ice.localParameters;
    if (!this.#credentialsToReplace.has(`${ufrag} ${pwd}`)) this.#credentialsToReplace.clear();
  }

  /** W3C `addIceCandidate`, the steps that are chained. */
  async addIceCandidate(given: CandidateJson): Promise<void> {
    const { negotiation } = this;
    const remote = negotiation.remote;
    if (remote === null) throw domError('InvalidStateError', 'there is no remote description'); // step 4.1
    const everywhere = given.sdpMid === null && given.sdpMLineIndex === null;
    const index = everywhere
      ? (dataSectionOf(remote.model)?.index ?? 0)
      : findSection(remote.model, given.sdpMid, given.sdpMLineIndex);
    if (index === undefined)
      throw domError('OperationError', 'the candidate names no section of the remote description');
    const candidate = given.candidate === '' ? undefined : parseRemoteCandidate(given.candidate);
    if (candidate === undefined && given.candidate !== '')
      throw domError('OperationError', 'the candidate cannot be read');
    const ufrag = given.usernameFragment ?? candidate?.usernameFragment ?? null;
    const targets = [negotiation.pendingRemote, negotiation.currentRemote].filter(
      (description) => description?.represents(index, ufrag) === true,
    );
    if (targets.length === 0) throw domError('OperationError', `no remote description has the ufrag ${ufrag}`); // step 4.5
    await this.#tasks.next();
    for (const target of targets) {
      if (candidate === undefined) target?.addEndOfCandidates(index);
      else target?.addCandidate(index, given.candidate);
      if (ufrag === null) break; // "the most recent ICE generation"
    }
    this.#trickle(candidate, ufrag, index, given.sdpMid);
  }

  /** To the agent, unless it belongs to a generation that is not applied yet: then it comes with its description. */
  #trickle(candidate: IceCandidate | undefined, ufrag: string | null, index: number, mid: string | null): void {
    const session = this.#session;
    const section = dataSectionOf(this.negotiation.remote?.model);
    if (session === undefined || section?.index !== index || this.#remoteIce === undefined) return;
    if ((ufrag ?? section.transport.ufrag) !== this.#remoteIce.ufrag) return;
    if (candidate !== undefined) this.#addToAgent(session, candidate, mid ?? section.mid, index);
    else session.host.driver.mutate((now) => session.transport.ice.endOfRemoteCandidates(now));
  }

  #addToAgent(session: PeerSession, candidate: IceCandidate, mid: string, index: number): void {
    session.ice.remoteCandidates.push(toRtcCandidate(candidate, mid, index));
    session.host.driver.mutate((now) => session.transport.ice.addRemoteCandidate(candidate, now));
  }

  #onCandidate(candidate: IceCandidate): void {
    this.#localCandidates.push(candidate);
    const { pendingLocal, currentLocal } = this.negotiation;
    const { index } = this.#localSection();
    const shown = [pendingLocal, currentLocal].some((d) => d?.represents(index, candidate.usernameFragment));
    if (shown) this.#surface(candidate);
    else this.#earlyCandidates.push(candidate);
  }

  #releaseEarlyCandidates(): void {
    const early = this.#earlyCandidates;
    this.#earlyCandidates = [];
    for (const candidate of early) this.#tasks.queue(() => this.#surface(candidate));
  }

  /** W3C "surface a candidate". */
  #surface(candidate: IceCandidate): void {
    const { mid, index } = this.#localSection();
    const rtcCandidate = toRtcCandidate(candidate, mid, index);
    const { pendingLocal, currentLocal } = this.negotiation;
    for (const description of [pendingLocal, currentLocal]) {
      if (description?.represents(index, candidate.usernameFragment)) {
        description.addCandidate(index, rtcCandidate.candidate);
      }
    }
    this.#session?.ice.localCandidates.push(rtcCandidate);
    this.#fire(new RTCPeerConnectionIceEvent('icecandidate', { candidate: rtcCandidate, url: candidate.url ?? null }));
  }

  #onEndOfCandidates(ufrag: string): void {
    const { mid, index } = this.#localSection();
    const { pendingLocal, currentLocal } = this.negotiation;
    for (const description of [pendingLocal, currentLocal]) {
      if (description?.represents(index, ufrag)) description.addEndOfCandidates(index);
    }
    const candidate = endOfGatheringCandidate(mid, index, ufrag);
    this.#fire(new RTCPeerConnectionIceEvent('icecandidate', { candidate }));
  }

  #onGatheringError({ url, code, text, local }: GatheringError): void {
    this.#fire(
      new RTCPeerConnectionIceErrorEvent('icecandidateerror', {
        address: local?.ip ?? null,
        port: local?.port ?? null,
        url,
        errorCode: code,
        errorText: text,
      }),
    );
  }

  /** W3C `restartIce`. */
  restartIce(): void {
    this.#credentialsToReplace.clear();
    for (const description of [this.negotiation.currentLocal, this.negotiation.pendingLocal]) {
      const transport = dataSectionOf(description?.model)?.transport;
      if (transport !== undefined) this.#credentialsToReplace.add(`${transport.ufrag} ${transport.pwd}`);
    }
    this.updateNegotiationNeeded();
  }

  /** W3C §4.7.3 "update the negotiation-needed flag". */
  updateNegotiationNeeded(): void {
    if (this.#operations.length > 0) {
      this.#updateOnEmptyChain = true;
      return;
    }
    this.#tasks.queue(() => {
      if (this.#operations.length > 0) {
        this.#updateOnEmptyChain = true;
        return;
      }
      if (this.negotiation.signalingState !== 'stable') return;
      if (!this.#isNegotiationNeeded()) {
        this.#negotiationNeeded = false;
        return;
      }
      if (this.#negotiationNeeded) return;
      this.#negotiationNeeded = true;
      this.#fire(new Event('negotiationneeded'));
    });
  }

  #onEmptyChain(): void {
    if (!this.#updateOnEmptyChain) return;
    this.#updateOnEmptyChain = false;
    this.updateNegotiationNeeded();
  }

  #isNegotiationNeeded(): boolean {
    if (this.#credentialsToReplace.size > 0) return true;
    const created = this.#session?.channels.everCreated === true;
    return created && dataSectionOf(this.negotiation.currentLocal?.model) === undefined;
  }

  /** W3C "close the connection". */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.negotiation.signalingState = 'closed';
    this.#operations.close();
    this.#tasks.close();
    this.#session?.close();
  }
}

function parseRemoteCandidate(text: string): IceCandidate | undefined {
  try {
    return parseCandidate(text);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
