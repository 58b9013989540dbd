import type { Env } from '../core/index.ts';
import type { DtlsRole } from '../datachannel/index.ts';
import {
  answerSetup,
  createDataAnswer,
  createDataOffer,
  findUsableDataSection,
  isDataSection,
  isRejected,
  type LocalTransport,
  type MediaDescription,
  negotiatedDtlsRole,
  parseSdp,
  randomSessionId,
  readMid,
  readTransportDescription,
  SdpError,
  type SessionDescription,
  type TransportDescription,
  writeSdp,
} from '../sdp/index.ts';
import type { RTCSignalingState } from './connection-state.ts';
import type { AppliedDescription } from './descriptions.ts';

/** The data section of a description: where it is and what it says. */
export interface DataSection {
  readonly index: number;
  readonly mid: string;
  readonly transport: TransportDescription;
}

/** The data section that is in use, or undefined where there is none or it is rejected. */
export function dataSectionOf(model: SessionDescription | undefined): DataSection | undefined {
  if (model === undefined) return undefined;
  const index = model.media.findIndex((media) => isDataSection(media) && !isRejected(media));
  const media = model.media[index];
  if (media === undefined) return undefined;
  return { index, mid: readMid(media) ?? `${index}`, transport: readTransportDescription(media, model) };
}

/**
 * The description slots of W3C §4.4 and what JSEP (RFC 9429) makes of them: which offer and which answer come next, and
 * what both descriptions together have agreed on. No promise and no transport in it.
 */
export class Negotiation {
  signalingState: RTCSignalingState = 'stable';
  currentLocal: AppliedDescription | null = null;
  pendingLocal: AppliedDescription | null = null;
  currentRemote: AppliedDescription | null = null;
  pendingRemote: AppliedDescription | null = null;
  /** W3C [[LastCreatedOffer]] and [[LastCreatedAnswer]]. */
  lastCreatedOffer = '';
  lastCreatedAnswer = '';
  /** Of the DTLS association that exists; a later exchange has to keep it (RFC 8842 §5.3). */
  dtlsRole: DtlsRole | undefined;
  readonly #sessionId: string;
  #version = 1;

  constructor(env: Env) {
    this.#sessionId = randomSessionId((out) => env.random(out));
  }

  get local(): AppliedDescription | null {
    return this.pendingLocal ?? this.currentLocal;
  }

  get remote(): AppliedDescription | null {
    return this.pendingRemote ?? this.currentRemote;
  }

  /** Moves all slots as W3C §4.4.1.5 step 4.5 says for a description that was applied. */
  apply(description: AppliedDescription, remote: boolean, next: RTCSignalingState): void {
    const { type } = description;
    if (type === 'answer') {
      if (remote) {
        this.currentLocal = this.pendingLocal;
        this.currentRemote = description;
      } else {
        this.currentRemote = this.pendingRemote;
        this.currentLocal = description;
      }
      this.pendingLocal = null;
      this.pendingRemote = null;
      this.lastCreatedOffer = '';
      this.lastCreatedAnswer = '';
    } else if (remote) {
      this.pendingRemote = description;
    } else {
      this.pendingLocal = description;
    }
    this.signalingState = next;
  }

  /** W3C §4.4.1.5 step 4.5.11: a rollback. */
  rollback(): void {
    this.pendingLocal = null;
    this.pendingRemote = null;
    this.signalingState = 'stable';
  }

  /**
   * RFC 9429 §5.2: sections keep their places; those that are not ours stay rejected.
   * @param wantsData - whether there is or was a data channel.
   */
  createOffer(local: LocalTransport, wantsData: boolean): string {
    const before = (this.currentLocal ?? this.pendingLocal)?.model;
    const known = dataSectionOf(before);
    const mid = known?.mid ?? freeMid(before);
    const origin = { sessionId: this.#sessionId, sessionVersion: this.#version++ };
    const fresh = createDataOffer({ ...local, origin, mid });
    const own = wantsData || known !== undefined ? fresh.media : [];
    const kept = before?.media ?? [];
    const media =
      known === undefined
        ? [...kept, ...own]
        : kept.map((section, i) => (i === known.index && own[0] !== undefined ? own[0] : section));
    const attributes = own.length > 0 ? fresh.attributes : fresh.attributes.filter(({ name }) => name !== 'group');
    return writeSdp({ ...fresh, attributes, media });
  }

  /**
   * RFC 9429 §5.3 to the pending remote offer.
   * @throws {SdpError} when the offer leaves no answer.
   */
  createAnswer(local: LocalTransport, preferredSetup: 'active' | 'passive'): string {
    const offer = this.pendingRemote?.model;
    if (offer === undefined) throw new SdpError('there is no offer to answer');
    const origin = { sessionId: this.#sessionId, sessionVersion: this.#version++ };
    const setup = this.dtlsRole === undefined ? preferredSetup : this.dtlsRole === 'client' ? 'active' : 'passive';
    return writeSdp(createDataAnswer(offer, { ...local, origin, setup }));
  }

  /**
   * Whether an application may set `given` where `created` was made. The W3C allows no change at all; browsers do, and
   * libraries rely on it (simple-peer takes `a=ice-options:trickle` out). What the transport is made of must not differ.
   */
  isHarmlessChange(created: string, given: string): boolean {
    if (created === '') return false;
    try {
      return essence(parseSdp(created)) === essence(parseSdp(given));
    } catch (error) {
      if (error instanceof SdpError) return false;
      throw error;
    }
  }

  /**
   * RFC 9429 §5.8 to §5.10, as far as they concern us: what a remote description must have.
   * @throws {SdpError} without a line for content that cannot be used.
   */
  validateRemote(type: 'offer' | 'pranswer' | 'answer', model: SessionDescription): void {
    const data = dataSectionOf(model);
    if (type === 'offer') {
      const usable = findUsableDataSection(model);
      if (data !== undefined && usable === undefined)
        throw new SdpError('the data section has no ICE credentials or no fingerprint');
      if (data !== undefined) answerSetup(data.transport.setup);
      this.#validateOrder(this.currentRemote?.model.media, model.media);
      return;
    }
    const offer = this.pendingLocal?.model;
    if (offer === undefined) return;
    if (offer.media.length !== model.media.length)
      throw new SdpError('the answer has another number of sections than the offer');
    this.#validateOrder(offer.media, model.media);
    if (data === undefined) return;
    if (data.transport.ufrag === undefined || data.transport.fingerprints.length === 0) {
      throw new SdpError('the data section has no ICE credentials or no fingerprint');
    }
    negotiatedDtlsRole(dataSectionOf(offer)?.transport.setup, data.transport.setup, 'offerer');
  }

  /** RFC 3264 §8: sections are never removed, and keep their place, media and mid while in use. */
  #validateOrder(before: readonly MediaDescription[] | undefined, after: readonly MediaDescription[]): void {
    if (before === undefined) return;
    if (after.length < before.length) throw new SdpError('a section has been removed');
    before.forEach((section, i) => {
      const now = after[i];
      if (now === undefined || isRejected(section) || isRejected(now)) return;
      if (now.media !== section.media) throw new SdpError(`section ${i} changed from ${section.media} to ${now.media}`);
      const [a, b] = [readMid(section), readMid(now)];
      if (a !== undefined && b !== undefined && a !== b)
        throw new SdpError(`section ${i} changed its mid from ${a} to ${b}`);
    });
  }

  /**
   * What an exchange has agreed on, once an answer or provisional answer is there; undefined while data is not accepted.
   * @throws {SdpError} where the answer's `a=setup` does not fit the offer's.
   */
  agreed(answerIsRemote: boolean): { readonly remote: DataSection; readonly dtlsRole: DtlsRole } | undefined {
    const local = dataSectionOf(this.local?.model);
    const remote = dataSectionOf(this.remote?.model);
    if (local === undefined || remote === undefined) return undefined;
    const [offer, answer] = answerIsRemote ? [local, remote] : [remote, local];
    const side = answerIsRemote ? 'offerer' : 'answerer';
    return { remote, dtlsRole: negotiatedDtlsRole(offer.transport.setup, answer.transport.setup, side) };
  }
}

function freeMid(model: SessionDescription | undefined): string {
  const used = new Set(model?.media.map(readMid));
  for (let i = 0; ; i++) if (!used.has(`${i}`)) return `${i}`;
}

/** What two descriptions must have in common to describe the same sections and transport. */
function essence(model: SessionDescription): string {
  const sections = model.media.map((media) => {
    const { ufrag, pwd, fingerprints, setup, sctpPort, rejected } = readTransportDescription(media, model);
    return [media.media, media.proto, readMid(media), rejected, ufrag, pwd, fingerprints, setup, sctpPort];
  });
  return JSON.stringify(sections);
}
