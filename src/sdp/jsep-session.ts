import { UsageError } from '../core/index.ts';
import { readMid } from './attributes.ts';
import { checkAnswer, checkIceRestart, checkOffer } from './jsep-checks.ts';
import { nextSignalingState, type SdpType, type Side, type SignalingState } from './jsep-state.ts';
import type { SessionDescription } from './model.ts';
import { negotiatedDtlsRole } from './offer-answer.ts';
import { DEFAULT_SCTP_PORT } from './sections.ts';
import { isDataSection, isRejected, readTransportDescription, type TransportDescription } from './transport.ts';

/** A description that was applied. */
export interface JsepDescription {
  readonly type: 'offer' | 'pranswer' | 'answer';
  readonly model: SessionDescription;
}

/** Where a description carries its data channels, and what it says there. */
export interface DataSection {
  /** Index of the `m=` section. */
  readonly index: number;
  /** The section's mid; its index where it has none. */
  readonly mid: string;
  readonly transport: TransportDescription;
}

/** What an answer, provisional or final, has settled. */
export interface JsepAgreement {
  readonly local: DataSection;
  readonly remote: DataSection;
  /** Our side of the DTLS association. */
  readonly dtlsRole: 'client' | 'server';
  /** A new DTLS association is to be made (RFC 8842 §4): the first, or one that replaces the current. */
  readonly newDtlsAssociation: boolean;
  /**
   * A new SCTP association is to be made (RFC 8841 §9.3): the first, or because a port changed. False while a side says
   * port 0, which closes the association and lets DTLS be.
   */
  readonly newSctpAssociation: boolean;
}

/**
 * The signalling state and the four descriptions of RFC 9429 §4.1.13 to §4.1.16: a value, never changed. Functions of
 * this module take one and return the next, so that an apply that fails, and a rollback, cost nothing.
 */
export interface JsepSession {
  readonly state: SignalingState;
  readonly currentLocal: JsepDescription | undefined;
  readonly pendingLocal: JsepDescription | undefined;
  readonly currentRemote: JsepDescription | undefined;
  readonly pendingRemote: JsepDescription | undefined;
  /** What the last final answer settled; undefined before, and where it rejected the data section. */
  readonly agreement: JsepAgreement | undefined;
  /** What a provisional answer of the exchange under way settled. */
  readonly provisional: JsepAgreement | undefined;
}

/** What {@link applyDescription} did. */
export interface JsepChange {
  readonly session: JsepSession;
  /**
   * The ICE credentials differ from those of the side's description before, pending or current: an ICE restart
   * (RFC 8839 §4.4.1.1.1), or an answer that replaces a provisional one of somebody else.
   */
  readonly iceRestart: boolean;
  /** The data section of the applied description; undefined when there is none or it is rejected. */
  readonly data: DataSection | undefined;
  /** After an answer or provisional answer that accepts data. */
  readonly agreement: JsepAgreement | undefined;
}

/** Nothing negotiated yet. */
export const NEW_JSEP_SESSION: JsepSession = {
  state: 'stable',
  currentLocal: undefined,
  pendingLocal: undefined,
  currentRemote: undefined,
  pendingRemote: undefined,
  agreement: undefined,
  provisional: undefined,
};

/** The caller applied a description in a state that does not allow it (W3C InvalidStateError). */
export class JsepStateError extends UsageError {
  constructor(state: SignalingState, side: Side, type: SdpType) {
    super(`a ${side} ${type} cannot be applied in ${state}`);
  }
}

/** The data section in use of a description. */
export function dataSectionOf(model: SessionDescription | undefined): DataSection | undefined {
  return model && dataSectionAt(model, dataSectionIndex(model));
}

/** Where the data section in use is; -1 when there is none. */
export function dataSectionIndex(model: SessionDescription): number {
  return model.media.findIndex((media) => isDataSection(media) && !isRejected(media));
}

function dataSectionAt(model: SessionDescription, index: number): DataSection | undefined {
  const media = model.media[index];
  if (media === undefined || !isDataSection(media) || isRejected(media)) return undefined;
  return { index, mid: readMid(media) ?? `${index}`, transport: readTransportDescription(media, model) };
}

/**
 * Applies a description (RFC 9429 §5.5 to §5.11): checks it against what was negotiated, moves the state and the slots,
 * and tells what follows for ICE and DTLS. A `rollback` is {@link rollback}. On an error nothing has happened.
 *
 * @throws {JsepStateError} the state does not allow it.
 * @throws {SdpError} without a line: the content contradicts the exchange (W3C InvalidAccessError).
 */
export function applyDescription(
  session: JsepSession,
  side: Side,
  type: JsepDescription['type'],
  model: SessionDescription,
): JsepChange {
  const state = nextSignalingState(session.state, side, type);
  if (state === undefined) throw new JsepStateError(session.state, side, type);
  const data = dataSectionOf(model);
  const before =
    side === 'local'
      ? (session.pendingLocal ?? session.currentLocal)
      : (session.pendingRemote ?? session.currentRemote);
  const iceRestart = credentialsChanged(dataSectionOf(before?.model), data);
  if (type === 'offer') {
    checkOffer(session.currentLocal?.model, session.currentRemote?.model, model, side);
    checkOfferedIdentity(session, side, data);
    const description: JsepDescription = { type, model };
    const slots = side === 'local' ? { pendingLocal: description } : { pendingRemote: description };
    return { session: { ...session, ...slots, state }, iceRestart, data, agreement: undefined };
  }
  const offer = offerOf(session, side);
  checkAnswer(offer, model);
  const agreement = agree(session, side, offer, model);
  return { session: { ...answered(session, side, { type, model }, agreement), state }, iceRestart, data, agreement };
}

/** The offer that an answer of `side` answers. A legal state always has it. */
function offerOf(session: JsepSession, side: Side): SessionDescription {
  const offer = side === 'local' ? session.pendingRemote : session.pendingLocal;
  if (offer === undefined) throw new UsageError('there is no offer to answer');
  return offer.model;
}

/** A provisional answer is pending, like its offer; a final one makes both current (RFC 9429 §4.1.11, §4.1.12). */
function answered(
  session: JsepSession,
  side: Side,
  answer: JsepDescription,
  agreement: JsepAgreement | undefined,
): JsepSession {
  if (answer.type === 'pranswer') {
    const slots = side === 'local' ? { pendingLocal: answer } : { pendingRemote: answer };
    return { ...session, ...slots, provisional: agreement };
  }
  const [currentLocal, currentRemote] =
    side === 'local' ? [answer, session.pendingRemote] : [session.pendingLocal, answer];
  const settled = { pendingLocal: undefined, pendingRemote: undefined, provisional: undefined, agreement };
  return { ...session, currentLocal, currentRemote, ...settled };
}

/** What the two descriptions settle; undefined where the answer rejects the data section. */
function agree(
  session: JsepSession,
  side: Side,
  offerModel: SessionDescription,
  answerModel: SessionDescription,
): JsepAgreement | undefined {
  const answer = dataSectionOf(answerModel);
  const offer = answer && dataSectionAt(offerModel, answer.index);
  if (offer === undefined || answer === undefined) return undefined;
  const [local, remote] = side === 'local' ? [answer, offer] : [offer, answer];
  const dtlsRole = negotiatedDtlsRole(
    offer.transport.setup,
    answer.transport.setup,
    side === 'local' ? 'answerer' : 'offerer',
  );
  const { agreement } = session;
  if (agreement !== undefined) {
    const [lastOffer, lastAnswer] =
      side === 'local' ? [agreement.remote, agreement.local] : [agreement.local, agreement.remote];
    const replaced = needsNewDtls(agreement, local, remote, dtlsRole);
    checkIceRestart(credentialsChanged(lastOffer, offer), credentialsChanged(lastAnswer, answer), replaced);
  }
  // What runs is what the provisional answer before this one has begun, where there was one.
  const last = session.provisional ?? agreement;
  const newDtlsAssociation = last === undefined || needsNewDtls(last, local, remote, dtlsRole);
  const newSctpAssociation =
    hasSctp(local, remote) && (last === undefined || sctpPorts(last) !== sctpPorts({ local, remote }));
  return { local, remote, dtlsRole, newDtlsAssociation, newSctpAssociation };
}

/**
 * RFC 9429 §5.11: another identity comes only with an ICE restart. In an offer it is known at once, before anybody answers.
 * @throws {SdpError} without a line.
 */
function checkOfferedIdentity(session: JsepSession, side: Side, offered: DataSection | undefined): void {
  const last = side === 'local' ? session.agreement?.local : session.agreement?.remote;
  if (last === undefined || offered === undefined) return;
  const restarts = credentialsChanged(last, offered);
  if (identityChanged(last, offered)) checkIceRestart(restarts, restarts, true);
}

/** RFC 8841 §10.3: with port 0 on either side there is no association. A missing port means the usual one. */
function hasSctp(local: DataSection, remote: DataSection): boolean {
  return local.transport.sctpPort !== 0 && remote.transport.sctpPort !== 0;
}

function sctpPorts({ local, remote }: Pick<JsepAgreement, 'local' | 'remote'>): string {
  return `${local.transport.sctpPort ?? DEFAULT_SCTP_PORT} ${remote.transport.sctpPort ?? DEFAULT_SCTP_PORT}`;
}

/**
 * RFC 8842 §4: a changed tls-id asks for a new DTLS association; where a side writes none, as browsers do, a changed role
 * does. A changed set of fingerprints does in either case (RFC 9429 §5.11).
 */
function needsNewDtls(
  last: JsepAgreement,
  local: DataSection,
  remote: DataSection,
  dtlsRole: 'client' | 'server',
): boolean {
  if (identityChanged(last.local, local) || identityChanged(last.remote, remote)) return true;
  const identified = local.transport.tlsId !== undefined && remote.transport.tlsId !== undefined;
  return !identified && last.dtlsRole !== dtlsRole;
}

/** A tls-id that only one of two descriptions has tells nothing: an answer to an offer without one has none either. */
function identityChanged({ transport: a }: DataSection, { transport: b }: DataSection): boolean {
  const tlsIdChanged = a.tlsId !== undefined && b.tlsId !== undefined && a.tlsId !== b.tlsId;
  return tlsIdChanged || fingerprintSet(a) !== fingerprintSet(b);
}

function fingerprintSet(transport: TransportDescription): string {
  return transport.fingerprints
    .map(({ algorithm, value }) => `${algorithm} ${value}`)
    .sort()
    .join();
}

/** RFC 8839 §4.4.1.1.1: a change of ufrag or password asks for an ICE restart. The first credentials are none. */
function credentialsChanged(before: DataSection | undefined, now: DataSection | undefined): boolean {
  if (before === undefined || now === undefined) return false;
  return before.transport.ufrag !== now.transport.ufrag || before.transport.pwd !== now.transport.pwd;
}

/**
 * Drops the exchange under way (RFC 9429 §5.7): pending descriptions vanish, current ones and the agreement stay.
 * @throws {JsepStateError} in `stable`, in both pranswer states (as the W3C has it) and when closed.
 */
export function rollback(session: JsepSession, side: Side): JsepSession {
  const state = nextSignalingState(session.state, side, 'rollback');
  if (state === undefined) throw new JsepStateError(session.state, side, 'rollback');
  return { ...session, state, pendingLocal: undefined, pendingRemote: undefined };
}

/** Whether the pending remote offer asks for an ICE restart, so that an answer needs new credentials of ours. */
export function offerRestartsIce(session: JsepSession): boolean {
  return credentialsChanged(dataSectionOf(session.currentRemote?.model), dataSectionOf(session.pendingRemote?.model));
}

/**
 * Whether the pending remote offer asks for a new DTLS association, so that an answer needs a new tls-id of ours and is
 * free in its role (RFC 8842 §5.3).
 */
export function offerRestartsDtls(session: JsepSession): boolean {
  const offer = dataSectionOf(session.pendingRemote?.model);
  const last = session.agreement;
  return offer !== undefined && last !== undefined && identityChanged(last.remote, offer);
}
