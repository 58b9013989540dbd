import type { Env } from '../core/index.ts';
import {
  applyDescription,
  candidateSection,
  createAnswer,
  createOffer,
  dataSectionOf,
  isDataSection,
  isRejected,
  type JsepAnswerParams,
  type JsepChange,
  type JsepDescription,
  type JsepSession,
  JsepStateError,
  type LocalTransport,
  MAX_SDP_CANDIDATES,
  NEW_JSEP_SESSION,
  nextSignalingState,
  parseSdp,
  randomSessionId,
  readIceCredentials,
  readMid,
  readTransportDescription,
  rollback,
  SdpError,
  type SessionDescription,
  type Side,
  sameTransports,
  usesRtcpMux,
  withCandidate,
  withDefaultCandidate,
  withEndOfCandidates,
  writeSdp,
} from '../sdp/index.ts';
import { RTCSessionDescription } from './rtc-session-description.ts';

/** The slots of descriptions that one side's candidates can belong to. */
const SLOTS = {
  local: ['pendingLocal', 'currentLocal'],
  remote: ['pendingRemote', 'currentRemote'],
} as const;

type Slot = (typeof SLOTS)[Side][number];
type Draft<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The descriptions of a connection: the JSEP session (RFC 9429), which is a value, with what the W3C keeps beside it. No
 * promise and no transport in it.
 */
export class Negotiation {
  /** W3C [[LastCreatedOffer]] and [[LastCreatedAnswer]]. */
  lastCreatedOffer = '';
  lastCreatedAnswer = '';
  #session: JsepSession = NEW_JSEP_SESSION;
  readonly #sessionId: string;
  #version = 1;
  /** What was created last, with its text: mostly the next that is applied, and shown, with no change in it. */
  #created: { readonly sdp: string; readonly model: SessionDescription } | undefined;
  /** One W3C object for each description as it was; a candidate makes another. */
  readonly #objects = new WeakMap<JsepDescription, RTCSessionDescription>();

  constructor(env: Env) {
    this.#sessionId = randomSessionId((out) => env.random(out));
  }

  get session(): JsepSession {
    return this.#session;
  }

  get local(): JsepDescription | undefined {
    return this.#session.pendingLocal ?? this.#session.currentLocal;
  }

  get remote(): JsepDescription | undefined {
    return this.#session.pendingRemote ?? this.#session.currentRemote;
  }

  /** What the description attributes return. */
  object(description: JsepDescription | undefined): RTCSessionDescription | null {
    if (description === undefined) return null;
    let object = this.#objects.get(description);
    if (object === undefined) {
      const { type, model } = description;
      const sdp = model === this.#created?.model ? this.#created.sdp : writeSdp(model);
      object = new RTCSessionDescription({ type, sdp });
      this.#objects.set(description, object);
    }
    return object;
  }

  /**
   * What applying a description would do; {@link commit} does it.
   * @throws {JsepStateError} the state does not allow it. @throws {SdpError} what is wrong with it.
   */
  evaluate(side: Side, type: JsepDescription['type'], sdp: string): JsepChange {
    // W3C step 4.4: what the state does not allow is InvalidStateError, whatever the text.
    const { state } = this.#session;
    if (nextSignalingState(state, side, type) === undefined) throw new JsepStateError(state, side, type);
    const model = side === 'local' && sdp === this.#created?.sdp ? this.#created.model : parseSdp(sdp);
    // rtcpMuxPolicy has one value, "require" (W3C step 4.4.3): also sections that are rejected must have been offered so.
    if (side === 'remote' && !usesRtcpMux(model)) throw new SdpError('RTCP is not multiplexed with RTP');
    if (side === 'remote') checkCredentials(model);
    return applyDescription(this.#session, side, type, model);
  }

  commit({ session }: JsepChange): void {
    this.#session = session;
    if (session.state !== 'stable') return;
    this.lastCreatedOffer = '';
    this.lastCreatedAnswer = '';
  }

  /** @throws {JsepStateError} */
  rollback(side: Side): void {
    this.#session = rollback(this.#session, side);
  }

  close(): void {
    this.#session = { ...this.#session, state: 'closed' };
  }

  /** @throws {UsageError} a parameter that cannot be written. */
  createOffer(transport: LocalTransport, wantsData: boolean): string {
    this.lastCreatedOffer = this.#write(createOffer(this.#session, { origin: this.#origin(), transport, wantsData }));
    return this.lastCreatedOffer;
  }

  /** @throws {SdpError} when the offer leaves no answer. */
  createAnswer(transport: LocalTransport, wishes: Pick<JsepAnswerParams, 'setup' | 'bundlePolicy'>): string {
    this.lastCreatedAnswer = this.#write(createAnswer(this.#session, { origin: this.#origin(), transport, ...wishes }));
    return this.lastCreatedAnswer;
  }

  #write(model: SessionDescription): string {
    const sdp = writeSdp(model);
    this.#created = { sdp, model };
    return sdp;
  }

  #origin(): { readonly sessionId: string; readonly sessionVersion: number } {
    return { sessionId: this.#sessionId, sessionVersion: this.#version++ };
  }

  /**
   * Whether an application may set `given` where `created` was made. The W3C allows no change at all; browsers do, and
   * libraries rely on it: simple-peer takes `a=ice-options:trickle` out, and libp2p's webrtc-direct writes ICE credentials
   * of its own. Sections, certificate and DTLS role must stay; another SCTP port asks for another association.
   */
  isHarmlessChange(created: string, given: string): boolean {
    if (created === '' || !hasUsableCredentials(given)) return false;
    try {
      return sameTransports(parseSdp(withoutCredentials(created)), parseSdp(withoutCredentials(given)));
    } catch (error) {
      if (error instanceof SdpError) return false;
      throw error;
    }
  }

  /** The section that a candidate names, by mid first (W3C `addIceCandidate` steps 4.2 and 4.3). */
  findRemoteSection(mid: string | null, index: number | null): number | undefined {
    const media = this.remote?.model.media ?? [];
    if (mid !== null) {
      const found = media.findIndex((section) => readMid(section) === mid);
      if (found !== -1) return found;
      // RFC 9429 §5.10: a section without a mid has one that is made up; what the candidate calls it nobody can know here.
      const placed = index === null ? undefined : media[index];
      return placed !== undefined && readMid(placed) === undefined ? (index ?? undefined) : undefined;
    }
    if (index !== null) return index < media.length ? index : undefined;
    return dataSectionOf(this.remote?.model)?.index ?? 0; // an end of candidates for all sections
  }

  /** Whether a description of `side` has a section of this ICE generation. Null is the most recent one. */
  represents(side: Side, index: number, ufrag: string | null): boolean {
    return this.#slotsOf(side, index, ufrag).length > 0;
  }

  /** Whether the remote description takes a candidate more in this section: what a peer trickles has the bound of what it writes. */
  hasRoom(index: number): boolean {
    const model = this.remote?.model;
    const media = model?.media[model === undefined ? index : candidateSection(model, index)];
    return (
      media === undefined || media.attributes.filter(({ name }) => name === 'candidate').length < MAX_SDP_CANDIDATES
    );
  }

  /** W3C "add candidate to …Description.sdp": to each description that represents its generation. */
  addCandidate(side: Side, index: number, ufrag: string | null, candidate: string): void {
    this.#change(side, index, ufrag, (model) => withCandidate(model, index, candidate));
  }

  /** @param defaultAddress - for the `m=` and `c=` lines, where there is one. */
  addEndOfCandidates(
    side: Side,
    index: number,
    ufrag: string | null,
    defaultAddress?: { readonly ip: string; readonly port: number } | undefined,
  ): void {
    this.#change(side, index, ufrag, (model) => {
      const ended = withEndOfCandidates(model, index);
      return defaultAddress === undefined ? ended : withDefaultCandidate(ended, index, defaultAddress);
    });
  }

  #change(side: Side, index: number, ufrag: string | null, change: (model: SessionDescription) => SessionDescription) {
    for (const slot of this.#slotsOf(side, index, ufrag)) {
      const description = this.#session[slot];
      if (description === undefined) continue;
      const session: Draft<JsepSession> = { ...this.#session };
      session[slot] = { ...description, model: change(description.model) };
      this.#session = session;
      if (side === 'local') this.#created = undefined;
    }
  }

  #slotsOf(side: Side, index: number, ufrag: string | null): Slot[] {
    const fitting: Slot[] = [];
    for (const slot of SLOTS[side]) {
      const model = this.#session[slot]?.model;
      const media = model?.media[index];
      if (model === undefined || media === undefined || isRejected(media)) continue;
      if (ufrag === null) return [slot];
      if (readIceCredentials(media, model).ufrag === ufrag) fitting.push(slot);
    }
    return fitting;
  }
}

/**
 * RFC 8839 §5.4: what an agent accepts of its peer. Some servers write base64url, with `-`, `_` and `=`, which are no
 * ice-chars; browsers take them, and so do we. A section without credentials is answered as rejected instead.
 */
function checkCredentials(model: SessionDescription): void {
  for (const media of model.media.filter(isDataSection)) {
    const { ufrag = 'none', pwd = 'none'.repeat(6) } = readTransportDescription(media, model);
    if (!/^[!-~]{4,256}$/.test(ufrag)) throw new SdpError('ice-ufrag is not 4 to 256 characters');
    if (!/^[!-~]{22,256}$/.test(pwd)) throw new SdpError('ice-pwd is not 22 to 256 characters');
  }
}

const CREDENTIALS = /^a=ice-(ufrag|pwd):(.*?)\r?$/gm;

function withoutCredentials(sdp: string): string {
  return sdp.replace(CREDENTIALS, (_, name: string) => `a=ice-${name}:${'x'.repeat(22)}`);
}

/** What an agent takes for its own (RFC 8839 §5.4): ice-chars, the ufrag 4 to 32 of them, the password 22 to 256. */
function hasUsableCredentials(sdp: string): boolean {
  return Array.from(sdp.matchAll(CREDENTIALS)).every(([, name, value = '']) =>
    name === 'ufrag' ? /^[A-Za-z0-9+/]{4,32}$/.test(value) : /^[A-Za-z0-9+/]{22,256}$/.test(value),
  );
}
