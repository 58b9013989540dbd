import type { CryptoBackend, Env, Platform } from '../core/index.ts';
import { certificateFingerprint } from '../crypto/index.ts';
import {
  implicitDescriptionType,
  isRejected,
  type JsepAgreement,
  type JsepChange,
  type LocalTransport,
  maxSendMessageSize,
  needsImplicitRollback,
  offerRestartsIce,
  readTransportDescription,
  type Side,
} from '../sdp/index.ts';
import type { ChannelSettings } from './channel-settings.ts';
import type { ParsedConfiguration, PurertcOptions } from './configuration.ts';
import { RTCDataChannelEvent } from './data-channel-event.ts';
import { candidateTexts, defaultAddress, hasAssociation, isUsable, toSdpException } from './descriptions.ts';
import { RTCPeerConnectionIceErrorEvent } from './events.ts';
import type { GatheringError } from './gathering-types.ts';
import { type IceCredentials, randomIceCredentials } from './ice-credentials.ts';
import { IceNegotiation, parseRemoteCandidate } from './ice-negotiation.ts';
import { Negotiation } from './negotiation.ts';
import { NegotiationNeeded } from './negotiation-needed.ts';
import { OperationsChain } from './operations-chain.ts';
import { OwnIdentity } from './own-identity.ts';
import { PeerSession } from './peer-session.ts';
import { fromRtcCertificate } from './rtc-certificate.ts';
import type { RTCDataChannel } from './rtc-data-channel.ts';
import { type CandidateJson, withoutEmptyNames } from './rtc-ice-candidate.ts';
import type { RTCSdpType } from './rtc-session-description.ts';
import { NO_PAST, type PastSessions, withSession } from './stats.ts';
import { TaskQueue } from './task-queue.ts';
import { domError } from './web-idl.ts';

/**
 * Bytes that one channel may have waiting, and so the longest message that can be sent at all: what the W3C calls
 * canSendSize. 16 MiB as in browsers.
 */
const MAX_CHANNEL_BUFFER_BYTES = 16 * 1024 * 1024;

type Described = { readonly type: RTCSdpType; readonly sdp: string };

/**
 * The algorithms of RTCPeerConnection (W3C §4.4), without the interface: `RTCPeerConnection` converts arguments and
 * calls these. Step numbers in comments are those of the specification.
 */
export class Connection {
  readonly platform: Platform;
  /** The platform's, with the application's own cryptography where it has given some. */
  readonly env: Env;
  readonly negotiation: Negotiation;
  configuration: ParsedConfiguration;
  isClosed = false;
  readonly #options: PurertcOptions;
  readonly #fire: (event: Event) => void;
  readonly #tasks: TaskQueue;
  readonly #operations: OperationsChain;
  readonly #needed: NegotiationNeeded;
  #ice: IceNegotiation;
  readonly #identity: OwnIdentity;
  /** W3C "connection has created any RTCDataChannels". */
  #everCreated = false;
  #session: PeerSession | undefined;
  #pastSessions: PastSessions = NO_PAST;
  /** Whether [[SctpTransport]] is not null, and [[LastStableStateSctpTransport]]. */
  #hasSctp = false;
  #hadStableSctp = false;
  /** Whether the offer or answer that was created last "accurately represents the system state": nothing has changed since. */
  #isCreatedCurrent = false;

  constructor(
    platform: Platform,
    configuration: ParsedConfiguration,
    options: PurertcOptions,
    fire: (event: Event) => void,
  ) {
    this.platform = platform;
    this.env = options.crypto === undefined ? platform.env : withCrypto(platform.env, options.crypto);
    this.configuration = configuration;
    this.#options = options;
    this.#fire = fire;
    const [certificate] = configuration.certificates;
    const kept = certificate === undefined ? options.certificate : fromRtcCertificate(certificate);
    this.#identity = new OwnIdentity(this.env, kept);
    this.negotiation = new Negotiation(this.env);
    this.#tasks = new TaskQueue(platform);
    this.#ice = new IceNegotiation(this.negotiation, this.#tasks, fire);
    this.#operations = new OperationsChain(() => this.#needed.onEmptyChain());
    this.#needed = new NegotiationNeeded({
      negotiation: this.negotiation,
      tasks: this.#tasks,
      operations: () => this.#operations.length,
      hasChannels: () => this.#everCreated,
      fire,
    });
  }

  /** The running transport, once anything has asked for one. */
  get session(): PeerSession | undefined {
    return this.#session;
  }

  /** For statistics: the sessions that were done with. */
  get pastSessions(): PastSessions {
    return this.#pastSessions;
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
    const ice = this.#ice;
    const session = new PeerSession({
      platform: this.platform,
      env: this.env,
      options: this.#options,
      configuration: this.configuration,
      certificate: this.#identity.certificate,
      tasks: this.#tasks,
      hooks: {
        candidate: (candidate) => ice.onCandidate(session, candidate),
        endOfCandidates: (ufrag) => ice.onEndOfCandidates(ufrag),
        gatheringError: (error) => this.#onGatheringError(error),
        dataChannel: (channel) => {
          this.#everCreated = true;
          this.#fire(new RTCDataChannelEvent('datachannel', { channel }));
        },
        fire: this.#fire,
        section: () => ice.section,
      },
    });
    this.#session = session;
    return session;
  }

  /**
   * The transports of a session that has run are done with: its data section was rejected. The section may be recycled
   * (RFC 9429 §5.2.2), and then it is another transport's, with the same certificate.
   */
  #retire(session: PeerSession): void {
    const { gatheringState, state } = session.ice;
    const changed = { icegathering: gatheringState, iceconnection: state, connection: session.shown.connectionState };
    session.endData();
    this.#pastSessions = withSession(this.#pastSessions, session);
    this.#session = undefined;
    this.#identity.forgetAssociation();
    this.#ice = new IceNegotiation(this.negotiation, this.#tasks, this.#fire);
    // Behind what the channels have to say about it.
    this.#tasks.queue(() => {
      session.close();
      for (const [name, before] of Object.entries(changed)) {
        if (before !== 'new') this.#fire(new Event(`${name}statechange`));
      }
    });
  }

  /** W3C §4.4.1.6 "set a configuration", steps 6 to 9, once the members are checked. */
  configure(configuration: ParsedConfiguration): void {
    this.configuration = configuration;
    this.#session?.transport.ice.setPolicy(configuration.iceTransportPolicy); // step 6
    this.#session?.keepServers(configuration); // step 8
    if (configuration.iceCandidatePoolSize > 0) this.#ice.prefetch(this.#ensureSession(), configuration);
  }

  createDataChannel(settings: ChannelSettings): RTCDataChannel {
    const channel = this.#ensureSession().channels.create(settings);
    const first = !this.#everCreated;
    this.#everCreated = true;
    if (first) {
      this.#isCreatedCurrent = false;
      this.#needed.update(); // step 17
    }
    return channel;
  }

  /** W3C "create an offer". */
  async createOffer(iceRestart: boolean): Promise<Described> {
    const { state } = this.negotiation.session;
    if (state !== 'stable' && state !== 'have-local-offer') {
      throw domError('InvalidStateError', `no offer can be made in ${state}`);
    }
    await this.#tasks.next();
    const session = this.#ensureSession();
    const credentials = this.#offeredCredentials(session, iceRestart);
    const local = this.#localTransport(session, credentials, this.#identity.tlsId);
    const sdp = this.negotiation.createOffer(local, this.#everCreated);
    this.#isCreatedCurrent = true;
    return { type: 'offer', sdp };
  }

  #offeredCredentials(session: PeerSession, iceRestart: boolean): IceCredentials {
    const { ufrag, pwd } = session.transport.ice.localParameters;
    const replace = iceRestart || this.#needed.isToBeReplaced({ ufrag, pwd });
    const negotiated = this.negotiation.session.currentLocal !== undefined;
    return replace && negotiated ? randomIceCredentials(this.env) : { ufrag, pwd };
  }

  /** W3C "create an answer". */
  async createAnswer(): Promise<Described> {
    const { state } = this.negotiation.session;
    if (state !== 'have-remote-offer' && state !== 'have-local-pranswer') {
      throw domError('InvalidStateError', `no answer can be made in ${state}`);
    }
    await this.#tasks.next();
    const session = this.#ensureSession();
    // RFC 8445 §9: an offer with new credentials is answered with new ones.
    const restart = offerRestartsIce(this.negotiation.session);
    const credentials = restart ? randomIceCredentials(this.env) : session.transport.ice.localParameters;
    const tlsId = this.#identity.answeredTlsId(this.negotiation.session);
    const local = this.#localTransport(session, credentials, tlsId);
    try {
      const wishes = { setup: this.#options.answerSetup, bundlePolicy: this.configuration.bundlePolicy };
      const sdp = this.negotiation.createAnswer(local, wishes);
      this.#isCreatedCurrent = true;
      return { type: 'answer', sdp };
    } catch (error) {
      throw toSdpException(error);
    }
  }

  #localTransport(session: PeerSession, { ufrag, pwd }: IceCredentials, tlsId: string): LocalTransport {
    const sameGeneration = ufrag === session.transport.ice.localParameters.ufrag;
    const candidates = sameGeneration ? this.#ice.localCandidates(ufrag) : [];
    const complete = sameGeneration && session.ice.gatheringState === 'complete';
    const value = certificateFingerprint(this.env.crypto, 'sha-256', session.certificate.der);
    return {
      ufrag,
      pwd,
      fingerprints: [{ algorithm: 'sha-256', value }],
      tlsId,
      iceLite: this.#options.ice?.lite,
      candidates: candidateTexts(candidates),
      endOfCandidates: complete,
      defaultAddress: complete ? defaultAddress(candidates) : undefined,
      maxMessageSize: this.#options.maxMessageSize,
    };
  }

  /** W3C `setLocalDescription`, the steps that are chained. */
  async setLocalDescription(given: { readonly type?: RTCSdpType; readonly sdp: string }): Promise<void> {
    const { negotiation } = this;
    const type = given.type ?? implicitDescriptionType(negotiation.session.state) ?? 'offer'; // step 4.1
    let { sdp } = given;
    const created = type === 'offer' ? negotiation.lastCreatedOffer : negotiation.lastCreatedAnswer;
    // Steps 4.2 and 4.3, as browsers apply them: text may be changed where it does not matter.
    if (type !== 'rollback' && sdp !== '' && sdp !== created && !negotiation.isHarmlessChange(created, sdp)) {
      throw domError('InvalidModificationError', `the ${type} is not the one that was created`);
    }
    if (sdp === '' && type !== 'rollback') {
      // Steps 4.4 and 4.5. What was created last may hold a wish that is in no state: createOffer({ iceRestart: true }).
      if (this.#isCreatedCurrent) sdp = created;
      if (sdp === '') sdp = type === 'offer' ? (await this.createOffer(false)).sdp : (await this.createAnswer()).sdp;
    }
    await this.#setDescription(type, sdp, 'local');
  }

  /** W3C `setRemoteDescription`, the steps that are chained. */
  async setRemoteDescription({ type, sdp }: Described): Promise<void> {
    // Step 3.1: an offer that collides with ours takes its place.
    if (needsImplicitRollback(this.negotiation.session.state, 'remote', type)) {
      await this.#setDescription('rollback', '', 'local');
    }
    await this.#setDescription(type, sdp, 'remote');
  }

  /** W3C §4.4.1.5 "set a session description". */
  async #setDescription(type: RTCSdpType, sdp: string, side: Side): Promise<void> {
    await this.#tasks.next(); // steps 4.4 and 4.5: "queue a task"; never goes on once closed
    const before = this.negotiation.session.state;
    try {
      if (type === 'rollback') this.#rollback(side);
      else this.#apply(this.negotiation.evaluate(side, type, sdp), side, type);
    } catch (error) {
      throw toSdpException(error);
    }
    this.#isCreatedCurrent = false;
    const { state } = this.negotiation.session;
    if (state === 'stable') this.#needed.onStable(); // step 4.5.13
    if (state !== before) this.#fire(new Event('signalingstatechange')); // step 4.5.14
    if (side === 'local' && this.#session !== undefined) this.#ice.releaseEarlyCandidates(this.#session);
  }

  #rollback(side: Side): void {
    this.negotiation.rollback(side);
    this.#hasSctp = this.#hadStableSctp;
    if (this.#session !== undefined) this.#ice.rollback(this.#session);
  }

  #apply(change: JsepChange, side: Side, type: 'offer' | 'pranswer' | 'answer'): void {
    const { negotiation } = this;
    const { agreement } = change;
    const hasData = hasAssociation(agreement);
    const data = isUsable(change.data) ? change.data : undefined;
    const session = this.#ensureSession();
    if (type === 'offer' && negotiation.session.state === 'stable') this.#hadStableSctp = this.#hasSctp;
    negotiation.commit(change);
    if (type === 'offer') {
      const hasSctp = this.#hasSctp || (data !== undefined && data.transport.sctpPort !== 0);
      if (hasSctp && !this.#hasSctp) session.shown.renewSctp();
      this.#hasSctp = hasSctp;
      this.#ice.decideRole(session, side === 'remote' && data?.transport.iceLite !== true);
    } else if (type === 'answer' && !hasData) {
      this.#hasSctp = false;
      if (agreement === undefined && session.hasBegun) this.#retire(session);
      else session.endData(); // with SCTP port 0 ICE and DTLS go on (RFC 8841 §10.5)
    }
    if (side === 'local' && data !== undefined) this.#ice.applyLocal(session, this.configuration, type, data);
    if (side === 'remote' && data !== undefined && type === 'offer') {
      this.#ice.applyRemoteOffer(session, this.configuration, data);
    }
    if (agreement !== undefined && (hasData || session.transport.isConnecting)) this.#connect(session, agreement);
    if (type !== 'answer') return;
    this.#ice.settle(session);
    this.#needed.settle(session.transport.ice.localParameters);
  }

  /** An answer, also a provisional one: ICE, DTLS and SCTP go on with what was agreed. */
  #connect(session: PeerSession, { local, remote, dtlsRole, ...begins }: JsepAgreement): void {
    const { transport } = remote;
    const { sctpPort: localSctpPort, tlsId } = local.transport;
    this.#identity.settle(tlsId);
    this.#ice.applyRemote(session, this.configuration, remote);
    const limit = maxSendMessageSize(transport.maxMessageSize, MAX_CHANNEL_BUFFER_BYTES);
    session.connect({
      dtlsRole,
      replacesDtls: begins.newDtlsAssociation,
      replacesSctp: begins.newSctpAssociation,
      fingerprints: transport.fingerprints,
      acceptAnyCertificate: this.#options.acceptAnyFingerprint ?? false,
      maxMessageSize: limit,
      ...(transport.sctpPort !== undefined && { sctpPort: transport.sctpPort }),
      ...(localSctpPort !== undefined && { localSctpPort }),
    });
    session.shown.maxMessageSize = limit;
  }

  /** W3C `addIceCandidate`, the steps that are chained. */
  async addIceCandidate(init: CandidateJson): Promise<void> {
    const { negotiation } = this;
    const given = withoutEmptyNames(init);
    if (negotiation.remote === undefined) throw domError('InvalidStateError', 'there is no remote description'); // step 4.1
    const index = negotiation.findRemoteSection(given.sdpMid, given.sdpMLineIndex);
    if (index === undefined)
      throw domError('OperationError', 'the candidate names no section of the remote description');
    const media = negotiation.remote.model.media[index];
    if (media !== undefined && isRejected(media)) return; // step 4.4: nobody listens there
    const candidate = given.candidate === '' ? undefined : parseRemoteCandidate(given.candidate);
    if (candidate === undefined && given.candidate !== '')
      throw domError('OperationError', 'the candidate cannot be read');
    const ufrag = given.usernameFragment ?? candidate?.usernameFragment ?? null;
    // An end of candidates that names no section "applies to all media descriptions".
    const namesNone = given.sdpMid === null && given.sdpMLineIndex === null;
    const sections = namesNone ? negotiation.remote.model.media.map((_, i) => i) : [index];
    const isForAll = namesNone && ufrag === null; // also of no section at all
    if (!isForAll && !sections.some((section) => negotiation.represents('remote', section, ufrag))) {
      throw domError('OperationError', `no remote description has the ufrag ${ufrag}`); // step 4.5
    }
    await this.#tasks.next();
    if (candidate !== undefined && !negotiation.hasRoom(index)) {
      // As if it were prohibited: no program has erred.
      this.env.trace.drop('peer-connection', 'limit', 'remote candidates');
      this.#session?.transport.drops.count('limit');
      return;
    }
    if (candidate !== undefined) negotiation.addCandidate('remote', index, ufrag, given.candidate);
    else for (const section of sections) negotiation.addEndOfCandidates('remote', section, ufrag);
    this.#ice.trickle(this.#session, candidate, ufrag, index, given.sdpMid);
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
    this.#isCreatedCurrent = false;
    this.#needed.replaceCredentials();
  }

  /** W3C "close the connection". */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.negotiation.close();
    this.#operations.close();
    this.#tasks.close();
    this.#session?.close();
  }
}

function withCrypto(env: Env, crypto: CryptoBackend): Env {
  return {
    crypto,
    trace: env.trace,
    random: (out) => env.random(out),
    wallClockMs: () => env.wallClockMs(),
  };
}
