import { hasAttribute, readGroups, readMid } from './attributes.ts';
import { SdpError } from './error.ts';
import type { MediaDescription, SessionDescription } from './model.ts';
import { answerSetup } from './offer-answer.ts';
import { bundleTaggedSection, isDataSection, isRejected, readTransportDescription } from './transport.ts';

/**
 * RFC 3264 §8 and RFC 9429 §5.2.2: in a later offer, sections are never removed and keep their place; media and mid of
 * one that is in use stay. A section that was rejected may be recycled for anything.
 * @throws {SdpError} without a line.
 */
export function checkOffer(
  currentLocal: SessionDescription | undefined,
  currentRemote: SessionDescription | undefined,
  offer: SessionDescription,
  side: 'local' | 'remote',
): void {
  const count = Math.max(currentLocal?.media.length ?? 0, currentRemote?.media.length ?? 0);
  if (offer.media.length < count) throw new SdpError(`the offer has ${offer.media.length} sections after ${count}`);
  for (let i = 0; i < count; i++) {
    const before = [currentLocal?.media[i], currentRemote?.media[i]];
    const now = offer.media[i];
    if (now === undefined || isRejected(now) || before.some((m) => m === undefined || isRejected(m))) continue;
    for (const media of before) if (media !== undefined) checkSameSection(media, now, i);
  }
  if (side === 'remote') for (const media of offer.media) checkOfferedData(media, offer);
}

/**
 * RFC 9429 §5.8.3: an answer has the sections of its offer, one for one.
 * @throws {SdpError} without a line.
 */
export function checkAnswer(offer: SessionDescription, answer: SessionDescription): void {
  if (offer.media.length !== answer.media.length)
    throw new SdpError(`the answer has ${answer.media.length} sections to an offer of ${offer.media.length}`);
  answer.media.forEach((media, i) => {
    const offered = offer.media[i];
    if (offered === undefined) return;
    checkSameSection(offered, media, i);
    // The protos of data name the transport of the default candidate (RFC 8841 §12.2), or are those of the drafts, in which old
    // servers answer whatever was asked: browsers mind neither.
    const isData = isDataSection(offered) && isDataSection(media);
    if (!isData && media.proto.toUpperCase() !== offered.proto.toUpperCase())
      throw new SdpError(`section ${i} is ${offered.proto} in the offer and ${media.proto} in the answer`);
    if (!isRejected(media)) checkAcceptedSection(offered, media, answer, i);
  });
  checkBundle(offer, answer);
}

function checkSameSection(before: MediaDescription, now: MediaDescription, index: number): void {
  if (before.media !== now.media) throw new SdpError(`section ${index} was ${before.media} and is ${now.media}`);
  const [was, is] = [readMid(before), readMid(now)];
  if (was !== undefined && is !== undefined && was !== is)
    throw new SdpError(`section ${index} had the mid ${was} and has ${is}`);
}

/** What cannot be answered but with an error; what is only missing gets its section rejected (RFC 9429 §5.3.1). */
function checkOfferedData(media: MediaDescription, offer: SessionDescription): void {
  if (!isDataSection(media) || isRejected(media)) return;
  answerSetup(readTransportDescription(media, offer).setup);
}

function checkAcceptedSection(
  offered: MediaDescription,
  media: MediaDescription,
  answer: SessionDescription,
  index: number,
): void {
  if (isRejected(offered)) throw new SdpError(`section ${index} was not offered and is accepted`);
  if (!isDataSection(media)) return;
  const { ufrag, fingerprints } = readTransportDescription(media, answer);
  if (ufrag === undefined) throw new SdpError(`section ${index} has no ICE credentials`);
  if (fingerprints.length === 0) throw new SdpError(`section ${index} has no fingerprint`);
}

/** RFC 9143 §7.3: the groups of an answer are those of the offer, less what is rejected. */
function checkBundle(offer: SessionDescription, answer: SessionDescription): void {
  const offered = readGroups(offer).filter((group) => group.semantics === 'BUNDLE');
  for (const group of readGroups(answer)) {
    if (group.semantics !== 'BUNDLE' || group.mids.length === 0) continue;
    if (!offered.some((o) => group.mids.every((mid) => o.mids.includes(mid))))
      throw new SdpError(`the answer bundles ${group.mids.join(' ')}, which was not offered`);
  }
}

/**
 * Whether every RTP section in use multiplexes RTCP, itself or through its BUNDLE group. With `rtcpMuxPolicy: 'require'` a
 * remote description that does not is refused (W3C InvalidAccessError, RFC 9429 §5.8.3).
 */
export function usesRtcpMux(description: SessionDescription): boolean {
  return description.media.every((media) => {
    if (!media.proto.includes('RTP/') || isRejected(media)) return true;
    const tagged = bundleTaggedSection(media, description);
    return hasAttribute(media, 'rtcp-mux') || (tagged !== undefined && hasAttribute(tagged, 'rtcp-mux'));
  });
}

/**
 * RFC 9429 §5.10 and §5.11: both sides restart ICE or none, and a DTLS association is replaced only together with an ICE
 * restart, without which old and new packets could not be told apart (RFC 8842 §6).
 * @throws {SdpError} without a line.
 */
export function checkIceRestart(offerRestarts: boolean, answerRestarts: boolean, newDtlsAssociation: boolean): void {
  if (offerRestarts && !answerRestarts)
    throw new SdpError('the offer restarts ICE and the answer keeps its credentials');
  if (!offerRestarts && answerRestarts)
    throw new SdpError('the answer changes its ICE credentials without a restart in the offer');
  if (newDtlsAssociation && !answerRestarts) throw new SdpError('a new DTLS association without an ICE restart');
}
