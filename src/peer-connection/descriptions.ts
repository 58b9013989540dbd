import { formatCandidate, type IceCandidate } from '../ice/index.ts';
import {
  type Attribute,
  attributeValue,
  type MediaDescription,
  parseSdp,
  readMid,
  SdpError,
  type SessionDescription,
  writeSdp,
} from '../sdp/index.ts';
import { RTCError } from './rtc-error.ts';
import { type RTCSdpType, RTCSessionDescription } from './rtc-session-description.ts';
import { domError } from './web-idl.ts';

/**
 * A description that was set, as the attributes `localDescription` and so on show it: candidates are added to it while
 * it is shown, and each reading gives the same object until it changes.
 */
export class AppliedDescription {
  readonly type: Exclude<RTCSdpType, 'rollback'>;
  #model: SessionDescription;
  #object: RTCSessionDescription | undefined;

  constructor(type: Exclude<RTCSdpType, 'rollback'>, model: SessionDescription) {
    this.type = type;
    this.#model = model;
  }

  get model(): SessionDescription {
    return this.#model;
  }

  get object(): RTCSessionDescription {
    this.#object ??= new RTCSessionDescription({ type: this.type, sdp: writeSdp(this.#model) });
    return this.#object;
  }

  /** Whether section `index` belongs to the ICE generation of `ufrag`. */
  represents(index: number, ufrag: string | null | undefined): boolean {
    const media = this.#model.media[index];
    if (media === undefined) return false;
    const own = attributeValue(media, 'ice-ufrag') ?? attributeValue(this.#model, 'ice-ufrag');
    return ufrag === undefined || ufrag === null || own === ufrag;
  }

  /** Adds a candidate, without `candidate:` in front of nothing: the text as RFC 8839 §5.1 has it. */
  addCandidate(index: number, candidate: string): void {
    const value = candidate.replace(/^(a=)?candidate:/, '');
    this.#addAttribute(index, { name: 'candidate', value });
  }

  addEndOfCandidates(index: number): void {
    this.#addAttribute(index, { name: 'end-of-candidates', value: undefined });
  }

  #addAttribute(index: number, attribute: Attribute): void {
    const media = this.#model.media.map((section, i) => (i === index ? insert(section, attribute) : section));
    this.#model = { ...this.#model, media };
    this.#object = undefined;
  }
}

/** Candidates stand in front of the other attributes, in their own order, as browsers write them; each once. */
function insert(section: MediaDescription, attribute: Attribute): MediaDescription {
  const { attributes } = section;
  if (attributes.some(({ name, value }) => name === attribute.name && value === attribute.value)) return section;
  const at = attributes.findIndex(({ name }) => name !== 'candidate' && name !== 'end-of-candidates');
  const position = at === -1 ? attributes.length : at;
  return { ...section, attributes: [...attributes.slice(0, position), attribute, ...attributes.slice(position)] };
}

/** The index of the section that a candidate names, by mid first (W3C `addIceCandidate` steps 4.2 and 4.3). */
export function findSection(model: SessionDescription, mid: string | null, index: number | null): number | undefined {
  if (mid !== null) {
    const found = model.media.findIndex((media) => readMid(media) === mid);
    return found === -1 ? undefined : found;
  }
  return index !== null && index < model.media.length ? index : undefined;
}

/**
 * @throws {RTCError} `sdp-syntax-error` with the line.
 * @throws {DOMException} `InvalidAccessError` where the text is well-formed and its content is not.
 */
export function readDescription(sdp: string): SessionDescription {
  try {
    return parseSdp(sdp);
  } catch (error) {
    throw toSdpException(error);
  }
}

/** W3C §4.4.1.5 "set a session description" step 4.3: what a wrong description rejects with. */
export function toSdpException(error: unknown): unknown {
  if (!(error instanceof SdpError)) return error;
  if (error.line === 0) return domError('InvalidAccessError', error.message);
  return new RTCError({ errorDetail: 'sdp-syntax-error', sdpLineNumber: error.line }, error.message);
}

/** `candidate:…` texts for a description. */
export function candidateTexts(candidates: readonly IceCandidate[]): string[] {
  return candidates.map(formatCandidate);
}
