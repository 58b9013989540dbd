import { DecodeError } from '../core/index.ts';
import { type IceCandidate, parseCandidate } from '../ice/index.ts';
import { candidateSection, type DataSection, dataSectionIndex, readIceCredentials, readMid } from '../sdp/index.ts';
import type { ParsedConfiguration } from './configuration.ts';
import { defaultAddress } from './descriptions.ts';
import { RTCPeerConnectionIceEvent } from './events.ts';
import type { IceCredentials } from './ice-credentials.ts';
import type { Negotiation } from './negotiation.ts';
import { endOfGatheringCandidate, type PeerSession } from './peer-session.ts';
import { toRtcCandidate } from './rtc-ice-candidate.ts';
import type { TaskQueue } from './task-queue.ts';

/**
 * How descriptions and candidates reach the ICE agent and come from it: roles, generations, restarts, trickling, and the
 * W3C's procedures around a candidate (§5.6 "surface a candidate").
 */
export class IceNegotiation {
  readonly #negotiation: Negotiation;
  readonly #tasks: TaskQueue;
  readonly #fire: (event: Event) => void;
  /** W3C [[EarlyCandidates]]. */
  #earlyCandidates: IceCandidate[] = [];
  /** For descriptions that are made later; of more than one generation while a restart can be rolled back. */
  #localCandidates: IceCandidate[] = [];
  #remoteIce: IceCredentials | undefined;
  #gathered = false;
  /** What the candidate pool was filled with. */
  #pooled: ParsedConfiguration | undefined;
  /** The local offer that is pending has restarted ICE: a rollback takes that back. */
  #restartPending = false;

  constructor(negotiation: Negotiation, tasks: TaskQueue, fire: (event: Event) => void) {
    this.#negotiation = negotiation;
    this.#tasks = tasks;
    this.#fire = fire;
  }

  /** Ours of one generation. */
  localCandidates(ufrag: string): readonly IceCandidate[] {
    return this.#localCandidates.filter(({ usernameFragment }) => usernameFragment === ufrag);
  }

  /** Where the transport's section is, as candidates name it. */
  get section(): { readonly mid: string; readonly index: number } {
    const model = this.#negotiation.local?.model;
    const data = model === undefined ? -1 : dataSectionIndex(model);
    if (model === undefined || data === -1) return { mid: '0', index: 0 };
    // The BUNDLE-tagged section where the transport is shared: Chromium overlooks candidates of the others.
    const index = candidateSection(model, data);
    const media = model.media[index];
    return { index, mid: (media && readMid(media)) ?? `${index}` };
  }

  /** The rules of RFC 8445 §6.1.1 as W3C step 4.5.10 lists them. */
  decideRole(session: PeerSession, controlled: boolean): void {
    if (session.ice.role !== 'unknown') return;
    const role = controlled ? 'controlled' : 'controlling';
    session.ice.role = role;
    session.host.driver.mutate(() => session.transport.ice.setRole(role));
  }

  /**
   * Fills the candidate pool (RFC 9429 §3.5.4), unless gathering has begun anyway. One that was filled with other servers is
   * thrown away (RFC 9429 §4.1.18).
   */
  prefetch(session: PeerSession, configuration: ParsedConfiguration): void {
    if (this.#gathered || (this.#pooled !== undefined && isSamePool(this.#pooled, configuration))) return;
    if (this.#pooled !== undefined) session.discardPool();
    this.#pooled = configuration;
    session.prefetch(configuration);
  }

  /** Gathers for a new generation: the first, or one that new credentials begin (RFC 9429 §5.9). */
  applyLocal(
    session: PeerSession,
    configuration: ParsedConfiguration,
    type: 'offer' | 'pranswer' | 'answer',
    { transport: { ufrag = '', pwd = '' } }: DataSection,
  ): void {
    const { ice } = session.transport;
    session.ice.localParameters = { usernameFragment: ufrag, password: pwd };
    const restart = ice.localParameters.ufrag !== ufrag || ice.localParameters.pwd !== pwd;
    if (restart) {
      session.restartIce({ ufrag, pwd });
    }
    if (restart || !(this.#gathered || this.#pooled)) session.gather(configuration);
    if (!this.#gathered) session.release();
    this.#gathered = true;
    // Also where the same offer is set again: a rollback takes back what the first of them began.
    this.#restartPending = type === 'offer' && (restart || this.#restartPending);
  }

  /** A remote offer: its ICE side applies at once if it is the first, and with its answer if it changes anything. */
  applyRemoteOffer(session: PeerSession, configuration: ParsedConfiguration, section: DataSection): void {
    if (this.#remoteIce === undefined) this.applyRemote(session, configuration, section);
  }

  /** The peer's credentials and the candidates of its description. */
  applyRemote(session: PeerSession, configuration: ParsedConfiguration, { index, mid, transport }: DataSection): void {
    const { ufrag = '', pwd = '', iceLite: lite, icePacingMs: pacingMs } = transport;
    if (this.#remoteIce?.ufrag === ufrag && this.#remoteIce.pwd === pwd) return;
    this.#remoteIce = { ufrag, pwd };
    session.ice.remoteCandidates = [];
    session.ice.remoteParameters = { usernameFragment: ufrag, password: pwd };
    const { ice } = session.transport;
    if (ice.remoteParameters !== undefined) {
      // Another peer answers than the one whose provisional answer came (a forking call): its checks start anew.
      session.restartIce(ice.localParameters);
      session.gather(configuration);
    }
    session.host.driver.mutate((now) => ice.setRemoteParameters({ ufrag, pwd, lite, pacingMs }, now));
    for (const text of transport.candidates) {
      const candidate = parseRemoteCandidate(text);
      // RFC 8839 §5.1: what is not understood is ignored.
      if (candidate !== undefined) this.#addToAgent(session, candidate, mid, index);
    }
    if (transport.endOfCandidates) session.host.driver.mutate((now) => ice.endOfRemoteCandidates(now));
  }

  /** An answer has ended the exchange: nothing can be rolled back any more, and the generation before has no candidates. */
  settle({ transport, ice }: PeerSession): void {
    this.#restartPending = false;
    const { ufrag } = transport.ice.localParameters;
    const isCurrent = ({ usernameFragment }: { readonly usernameFragment?: string | null | undefined }): boolean =>
      usernameFragment === ufrag;
    this.#localCandidates = this.#localCandidates.filter(isCurrent);
    ice.localCandidates = ice.localCandidates.filter(isCurrent);
  }

  rollback(session: PeerSession): void {
    if (this.#restartPending) {
      this.#restartPending = false;
      session.host.driver.mutate((now) => session.transport.ice.rollbackRestart(now));
      session.answerToUfrags();
      const { ufrag, pwd } = session.transport.ice.localParameters;
      session.ice.localParameters = { usernameFragment: ufrag, password: pwd };
      this.settle(session); // what the generation that is gone has gathered
    }
    if (this.#negotiation.session.currentLocal !== undefined) return;
    // Nothing was ever agreed on: who offers first decides about the role again, and no transport is left to show.
    session.ice.role = 'unknown';
    if (!this.#gathered) return;
    this.#gathered = false;
    this.#pooled = undefined;
    this.#remoteIce = undefined;
    this.#localCandidates = [];
    this.#earlyCandidates = [];
    session.startOver();
  }

  /** To the agent, unless it belongs to a generation that is not applied yet: then it comes with its description. */
  trickle(
    session: PeerSession | undefined,
    candidate: IceCandidate | undefined,
    ufrag: string | null,
    index: number,
    mid: string | null,
  ): void {
    const model = this.#negotiation.remote?.model;
    if (session === undefined || model === undefined || this.#remoteIce === undefined) return;
    // Not all of the section's transport is read: each candidate makes another description.
    const data = dataSectionIndex(model);
    const media = model.media[data];
    if (media === undefined || (index !== data && index !== candidateSection(model, data))) return;
    if ((ufrag ?? readIceCredentials(media, model).ufrag) !== this.#remoteIce.ufrag) return;
    if (candidate !== undefined) this.#addToAgent(session, candidate, mid ?? readMid(media) ?? `${data}`, index);
    else session.host.driver.mutate((now) => session.transport.ice.endOfRemoteCandidates(now));
  }

  #addToAgent(session: PeerSession, candidate: IceCandidate, mid: string, index: number): void {
    session.ice.remoteCandidates.push(toRtcCandidate(candidate, mid, index));
    session.addRemoteCandidate(candidate);
  }

  onCandidate(session: PeerSession, candidate: IceCandidate): void {
    this.#localCandidates.push(candidate);
    const { index } = this.section;
    const shown = this.#negotiation.represents('local', index, candidate.usernameFragment ?? null);
    if (shown) this.#surface(session, candidate);
    else this.#earlyCandidates.push(candidate);
  }

  releaseEarlyCandidates(session: PeerSession): void {
    const early = this.#earlyCandidates;
    this.#earlyCandidates = [];
    for (const candidate of early) this.#tasks.queue(() => this.#surface(session, candidate));
  }

  /** W3C "surface a candidate". */
  #surface(session: PeerSession, candidate: IceCandidate): void {
    const { mid, index } = this.section;
    const rtcCandidate = toRtcCandidate(candidate, mid, index);
    this.#negotiation.addCandidate('local', index, candidate.usernameFragment ?? null, rtcCandidate.candidate);
    session.ice.localCandidates.push(rtcCandidate);
    this.#fire(new RTCPeerConnectionIceEvent('icecandidate', { candidate: rtcCandidate, url: candidate.url ?? null }));
  }

  onEndOfCandidates(ufrag: string): void {
    const { mid, index } = this.section;
    this.#negotiation.addEndOfCandidates('local', index, ufrag, defaultAddress(this.localCandidates(ufrag)));
    const candidate = endOfGatheringCandidate(mid, index, ufrag);
    this.#fire(new RTCPeerConnectionIceEvent('icecandidate', { candidate }));
  }
}

function isSamePool(a: ParsedConfiguration, b: ParsedConfiguration): boolean {
  const asked = ({ iceServers, iceTransportPolicy }: ParsedConfiguration): string =>
    JSON.stringify([iceServers, iceTransportPolicy]);
  return asked(a) === asked(b);
}

/** undefined for what cannot be read. */
export function parseRemoteCandidate(text: string): IceCandidate | undefined {
  try {
    return parseCandidate(text);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
