import { UsageError } from '../core/index.ts';
import { readMid } from './attributes.ts';
import { dataSectionOf, type JsepSession, JsepStateError, offerRestartsDtls } from './jsep-session.ts';
import type { MediaDescription, SessionDescription } from './model.ts';
import { createDataAnswer } from './offer-answer.ts';
import {
  DEFAULT_ICE_OPTIONS,
  DEFAULT_SCTP_PORT,
  idleSection,
  type LocalOrigin,
  type LocalTransport,
  newDescription,
  offerSection,
  rejectSection,
  withoutCandidates,
} from './sections.ts';
import { isDataSection, isRejected, readTransportDescription } from './transport.ts';

/** Parameters of {@link createOffer}. */
export interface JsepOfferParams {
  /** The session id stays for life; the version grows with each description made (RFC 9429 §5.2.2). */
  readonly origin: LocalOrigin;
  /** New `ufrag` and `pwd` ask for an ICE restart; a new `tlsId`, with them, for a new DTLS association. */
  readonly transport: LocalTransport;
  /** Whether there is, or ever was, a data channel. */
  readonly wantsData: boolean;
}

/** Parameters of {@link createAnswer}. */
export interface JsepAnswerParams {
  readonly origin: LocalOrigin;
  /** With new credentials where `offerRestartsIce`, with a new tls-id where `offerRestartsDtls`. */
  readonly transport: LocalTransport;
  /** Our wish for a new DTLS association; default `active`. One that continues keeps its roles. */
  readonly setup?: 'active' | 'passive' | undefined;
  /** See `createDataAnswer`. Default `balanced`. */
  readonly bundlePolicy?: 'balanced' | 'max-compat' | 'max-bundle' | undefined;
}

/**
 * An offer (RFC 9429 §5.2). Sections keep their places: the data section that is in use is written again with its mid;
 * sections that are rejected stay so; and where data is wanted and has none, it takes over the first rejected section
 * under a new mid (recycling, RFC 9429 §5.2.2), or else comes last. `a=setup` is `actpass` in later offers too
 * (RFC 8842 §5.5).
 * @throws {UsageError} when closed, or when a parameter cannot be written.
 */
export function createOffer(session: JsepSession, params: JsepOfferParams): SessionDescription {
  if (session.state === 'closed') throw new JsepStateError('closed', 'local', 'offer');
  const { origin, wantsData } = params;
  const transport = { ...params.transport, sctpPort: params.transport.sctpPort ?? ownSctpPort(session) };
  const iceOptions = transport.iceOptions ?? DEFAULT_ICE_OPTIONS;
  // An offer of ours that waits for its answer is the base of the next one; else what is negotiated is.
  const waiting = session.pendingLocal?.type === 'offer' ? session.pendingLocal.model.media : undefined;
  const base = waiting ?? session.currentLocal?.model.media ?? [];
  const rejectedByPeer = waiting === undefined ? session.currentRemote?.model.media : undefined;
  const free = base.map((media, i) => isRejected(media) || isRejectedAt(rejectedByPeer, i));
  const known = base.findIndex((media, i) => !free[i] && isDataSection(media));
  const recycled = known === -1 && wantsData ? free.indexOf(true) : -1;
  const knownSection = base[known];
  const mid = (knownSection && readMid(knownSection)) ?? freeMid(session);
  const carried = base.some((_, i) => i !== known && !free[i]);
  const own = offerSection(carried ? withoutCandidates(transport) : transport, mid, 'actpass');
  const media = base.map((section, i) => {
    if (i === known || i === recycled) return own;
    // Media of ours in use are there for their transport, which data shares: see createDataAnswer.
    return free[i] ? rejectSection(section) : idleSection(section, transport, 'actpass', iceOptions);
  });
  if (known === -1 && recycled === -1 && wantsData) media.push(own);
  const carriers = media.filter((section) => section !== own && !isRejected(section));
  const bundle = media.includes(own) ? [...carriers.flatMap((section) => readMid(section) ?? []), mid] : [];
  return newDescription(origin, transport.iceLite, bundle, media);
}

/**
 * The answer to the pending remote offer (RFC 9429 §5.3). As long as the DTLS association continues it keeps its roles
 * (RFC 8842 §5.3); otherwise the offer, and where that leaves the choice `params.setup`, decide.
 * @throws {JsepStateError} when there is no offer to answer.
 * @throws {SdpError} when the offer's `a=setup` leaves no answer.
 */
export function createAnswer(session: JsepSession, params: JsepAnswerParams): SessionDescription {
  const offer = session.pendingRemote;
  if (offer?.type !== 'offer' || (session.state !== 'have-remote-offer' && session.state !== 'have-local-pranswer'))
    throw new JsepStateError(session.state, 'local', 'answer');
  const last = session.agreement;
  const keeps = last !== undefined && !offerRestartsDtls(session);
  const setup = keeps ? (last.dtlsRole === 'client' ? 'active' : 'passive') : params.setup;
  const { origin, bundlePolicy, transport } = params;
  const sctpPort = transport.sctpPort ?? answeredSctpPort(session, offer.model);
  return createDataAnswer(offer.model, { ...transport, sctpPort, origin, setup, bundlePolicy });
}

/** The port of the association that there is, so that an exchange about something else leaves it alone. */
function ownSctpPort({ agreement }: JsepSession): number | undefined {
  const port = agreement?.local.transport.sctpPort;
  return port === 0 ? undefined : port;
}

/**
 * RFC 8841 §10.3: "If the offer contained a new (different than the one currently used) SCTP port value, the answerer MUST
 * also associate a new SCTP port value". The offered one, where that is new for us too.
 */
function answeredSctpPort(session: JsepSession, offer: SessionDescription): number | undefined {
  const own = ownSctpPort(session);
  const before = session.agreement?.remote.transport.sctpPort ?? DEFAULT_SCTP_PORT;
  const offered = dataSectionOf(offer)?.transport.sctpPort ?? DEFAULT_SCTP_PORT;
  if (own === undefined || before === 0 || offered === before || offered === 0) return own;
  if (offered !== own) return offered;
  return own === 0xffff ? DEFAULT_SCTP_PORT : own + 1;
}

function isRejectedAt(media: readonly MediaDescription[] | undefined, index: number): boolean {
  const section = media?.[index];
  return section !== undefined && isRejected(section);
}

/** The smallest number that is no mid of any description: a recycled section needs a new one. */
function freeMid(session: JsepSession): string {
  const used = new Set<string | undefined>();
  for (const description of [session.currentLocal, session.pendingLocal, session.currentRemote, session.pendingRemote])
    for (const media of description?.model.media ?? []) used.add(readMid(media));
  for (let i = 0; i <= used.size; i++) if (!used.has(`${i}`)) return `${i}`;
  throw new UsageError('unreachable: one of n + 1 numbers is not among n');
}

/**
 * Whether two local descriptions mean the same sections and transports. The W3C allows no change between `createOffer`
 * and `setLocalDescription`; browsers do, and libraries rely on it (simple-peer removes `a=ice-options:trickle`). Another
 * SCTP port is another association over the same transport: there is no other way to ask for it.
 */
export function sameTransports(a: SessionDescription, b: SessionDescription): boolean {
  return essence(a) === essence(b);
}

function essence(model: SessionDescription): string {
  const sections = model.media.map((media) => {
    const { ufrag, pwd, fingerprints, setup, tlsId, rejected } = readTransportDescription(media, model);
    return [media.media, media.proto, readMid(media), rejected, ufrag, pwd, fingerprints, setup, tlsId];
  });
  return JSON.stringify(sections);
}
