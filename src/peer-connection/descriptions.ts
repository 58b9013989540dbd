import { formatCandidate, type IceCandidate } from '../ice/index.ts';
import { type DataSection, type JsepAgreement, JsepStateError, SdpError } from '../sdp/index.ts';
import { RTCError } from './rtc-error.ts';
import { domError } from './web-idl.ts';

/** W3C §4.4.1.5 "set a session description" step 4.4: what an operation on descriptions rejects with. */
export function toSdpException(error: unknown): unknown {
  if (error instanceof JsepStateError) return domError('InvalidStateError', error.message);
  if (!(error instanceof SdpError)) return error;
  if (error.line === 0) return domError('InvalidAccessError', error.message);
  return new RTCError({ errorDetail: 'sdp-syntax-error', sdpLineNumber: error.line }, error.message);
}

/** `candidate:…` texts for a description. */
export function candidateTexts(candidates: readonly IceCandidate[]): string[] {
  return candidates.map(formatCandidate);
}

const DEFAULT_ORDER = ['relay', 'srflx', 'prflx', 'host'];

/**
 * The candidate for the `m=` and `c=` lines: the one that most likely works with a peer that knows no ICE (RFC 8839
 * §4.2.1.2: relayed before reflexive before host), IPv4 first. Undefined where no candidate has an address of its own.
 */
export function defaultAddress(
  candidates: readonly IceCandidate[],
): { readonly ip: string; readonly port: number } | undefined {
  const rank = (c: IceCandidate): number => DEFAULT_ORDER.indexOf(c.type) * 2 + (c.address.includes(':') ? 1 : 0);
  const usable = candidates.filter((c) => c.protocol === 'udp' && !c.address.endsWith('.local'));
  const best = usable.sort((a, b) => rank(a) - rank(b))[0];
  return best && { ip: best.address, port: best.port };
}

/** RFC 9429 §5.3.1: a section without ICE credentials or fingerprint is answered as rejected. */
export function isUsable(data: DataSection | undefined): boolean {
  return data?.transport.ufrag !== undefined && data.transport.fingerprints.length > 0;
}

/** RFC 8841 §10.3, §10.4: port 0 on either side ends the association, and the data section without one is of no use. */
export function hasAssociation(agreement: JsepAgreement | undefined): boolean {
  const ports = [agreement?.local.transport.sctpPort, agreement?.remote.transport.sctpPort];
  return agreement !== undefined && !ports.includes(0);
}
