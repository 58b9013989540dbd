import { privateSlot } from '../core/index.ts';
import {
  attributeValue,
  attributeValues,
  DEFAULT_MAX_MESSAGE_SIZE,
  type Fingerprint,
  hasAttribute,
  parseFingerprint,
  parseMaxMessageSize,
  parseSctpMap,
  parseSetup,
  readGroups,
  readMid,
  type Setup,
} from './attributes.ts';
import { decimal, fields } from './grammar.ts';
import type { AttributeScope, MediaDescription, SessionDescription } from './model.ts';

/** What one section says about its ICE, DTLS and SCTP transports, after inheritance. */
export interface TransportDescription {
  readonly mid: string | undefined;
  /** Port 0 without `a=bundle-only`: rejected or disabled (RFC 3264 §6). */
  readonly rejected: boolean;
  /** Present together or not at all; from one level (RFC 8839 §5.4). */
  readonly ufrag: string | undefined;
  readonly pwd: string | undefined;
  readonly iceLite: boolean;
  readonly iceOptions: readonly string[];
  /** Milliseconds wished between checks; 50 when absent (RFC 8839 §5.5). */
  readonly icePacingMs: number;
  /** Each as RFC 8839 §5.1 text without `a=`: `candidate:1 1 udp …`. Not parsed here; bad ones are to be ignored. */
  readonly candidates: readonly string[];
  readonly endOfCandidates: boolean;
  readonly setup: Setup | undefined;
  readonly tlsId: string | undefined;
  readonly fingerprints: readonly Fingerprint[];
  /** RFC 8841 §5, or the port of `a=sctpmap` in descriptions of old stacks. */
  readonly sctpPort: number | undefined;
  /** Bytes that the sender of this description accepts (RFC 8841 §6): 65,536 when absent; 0 is no limit. */
  readonly maxMessageSize: number;
}

/** The levels at which a section's transport attributes may stand, nearest first. */
function transportScopes(media: MediaDescription, session: SessionDescription): AttributeScope[] {
  if (session.media.length === 1) return [media, session]; // alone in its group, if in any
  const tagged = bundleTaggedSection(media, session);
  return tagged === undefined || tagged === media ? [media, session] : [media, tagged, session];
}

/** For each description, its BUNDLE-tagged sections by the mids of their groups: a model never changes. */
const tagged = privateSlot<SessionDescription, ReadonlyMap<string, MediaDescription>>();

function taggedSections(session: SessionDescription): ReadonlyMap<string, MediaDescription> {
  const known = tagged.get(session);
  if (known !== undefined) return known;
  const byMid = new Map<string, MediaDescription>();
  for (const media of session.media) byMid.set(readMid(media) ?? '', media);
  const sections = new Map<string, MediaDescription>();
  for (const { semantics, mids } of readGroups(session)) {
    const tag = semantics === 'BUNDLE' ? byMid.get(mids[0] ?? '') : undefined;
    if (tag === undefined) continue;
    // A section is in one group (RFC 9143 §7); the first counts where a peer does otherwise.
    for (const mid of mids) if (!sections.has(mid)) sections.set(mid, tag);
  }
  tagged.set(session, sections);
  return sections;
}

/**
 * The section whose transport `media` shares: the one that the first mid of its BUNDLE group names (RFC 9143 §7.1.3).
 * Undefined where the section is in no group.
 */
export function bundleTaggedSection(
  media: MediaDescription,
  session: SessionDescription,
): MediaDescription | undefined {
  const mid = readMid(media);
  return mid === undefined ? undefined : taggedSections(session).get(mid);
}

/** Whether a section is rejected or disabled: port 0, unless it is bundle-only (RFC 9143 §6). */
export function isRejected(media: MediaDescription): boolean {
  return media.port === 0 && !hasAttribute(media, 'bundle-only');
}

/** The ICE credentials of a section: present together or not at all, from one level (RFC 8839 §5.4). */
export function readIceCredentials(
  media: MediaDescription,
  session: SessionDescription,
): Pick<TransportDescription, 'ufrag' | 'pwd'> {
  return credentialsIn(transportScopes(media, session));
}

function credentialsIn(scopes: readonly AttributeScope[]): Pick<TransportDescription, 'ufrag' | 'pwd'> {
  const scope = scopes.find((s) => hasAttribute(s, 'ice-ufrag') && hasAttribute(s, 'ice-pwd'));
  return { ufrag: scope && attributeValue(scope, 'ice-ufrag'), pwd: scope && attributeValue(scope, 'ice-pwd') };
}

/** What has been read of each section: a model never changes, and one negotiation asks a dozen times. */
const read = privateSlot<
  MediaDescription,
  { readonly session: SessionDescription; readonly transport: TransportDescription }
>();

/**
 * Reads the transport of one section. What the section does not say is taken from the BUNDLE-tagged section of its group
 * (RFC 9143 §7.1.3: attributes of categories IDENTICAL and TRANSPORT stand only there) and then from the session level.
 */
export function readTransportDescription(media: MediaDescription, session: SessionDescription): TransportDescription {
  const known = read.get(media);
  if (known?.session === session) return known.transport;
  const transport = readAnew(media, session);
  read.set(media, { session, transport });
  return transport;
}

function readAnew(media: MediaDescription, session: SessionDescription): TransportDescription {
  const scopes = transportScopes(media, session);
  const first = (name: string): string | undefined => {
    for (const scope of scopes) {
      const value = attributeValue(scope, name);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const { ufrag, pwd } = credentialsIn(scopes);
  const prints = scopes.find((s) => hasAttribute(s, 'fingerprint'));
  const candidates = scopes.find((s) => s !== session && hasAttribute(s, 'candidate'));
  const setup = first('setup');
  const options = scopes.flatMap((scope) => iceOptionTags(attributeValue(scope, 'ice-options') ?? ''));
  return {
    mid: readMid(media),
    rejected: isRejected(media),
    ufrag,
    pwd,
    iceLite: hasAttribute(session, 'ice-lite') || hasAttribute(media, 'ice-lite'),
    iceOptions: [...new Set(options)],
    icePacingMs: decimal(first('ice-pacing') ?? '', 9_999_999_999) ?? 50,
    candidates: candidates === undefined ? [] : attributeValues(candidates, 'candidate').map((c) => `candidate:${c}`),
    endOfCandidates: scopes.some((scope) => hasAttribute(scope, 'end-of-candidates')),
    setup: setup === undefined ? undefined : parseSetup(setup),
    tlsId: first('tls-id'),
    fingerprints:
      prints === undefined ? [] : attributeValues(prints, 'fingerprint').flatMap((v) => parseFingerprint(v) ?? []),
    sctpPort: readSctpPort(media),
    maxMessageSize: parseMaxMessageSize(attributeValue(media, 'max-message-size') ?? '') ?? DEFAULT_MAX_MESSAGE_SIZE,
  };
}

/** ice-option-tag *(SP ice-option-tag) (RFC 8839 §5.6); libdatachannel puts commas between them. */
function iceOptionTags(value: string): string[] {
  return fields(value.replaceAll(',', ' '));
}

/** `a=sctp-port` (RFC 8841 §5.2), or what its drafts had: `DTLS/SCTP <port>` with `a=sctpmap:<port> …`. */
function readSctpPort(media: MediaDescription): number | undefined {
  const port = attributeValue(media, 'sctp-port');
  if (port !== undefined) return decimal(port, 65_535);
  const map = attributeValue(media, 'sctpmap');
  return map === undefined ? undefined : parseSctpMap(map)?.port;
}

const SCTP_PROTOS = ['UDP/DTLS/SCTP', 'TCP/DTLS/SCTP', 'DTLS/SCTP'];
/** RFC 8841 §15.3: the association usage of data channels. */
export const DATA_CHANNEL_FORMAT = 'webrtc-datachannel';

/** Whether a section carries data channels (RFC 8841 §4), also in the form of its drafts. */
export function isDataSection(media: MediaDescription): boolean {
  if (media.media !== 'application' || !SCTP_PROTOS.includes(media.proto.toUpperCase())) return false;
  if (media.formats.includes(DATA_CHANNEL_FORMAT)) return true;
  return attributeValues(media, 'sctpmap').some((v) => parseSctpMap(v)?.app === DATA_CHANNEL_FORMAT);
}

/** The section of a description that carries its data channels: the first that is not rejected. */
export function findDataSection(session: SessionDescription): MediaDescription | undefined {
  return session.media.find((media) => isDataSection(media) && !isRejected(media));
}

/**
 * The largest message that may be sent (the W3C's "update the data max message size"): the lesser of what the peer
 * accepts and what we can send, where 0 stands for no limit on either side; Infinity when both are 0.
 */
export function maxSendMessageSize(remoteMaxMessageSize: number, canSendSize: number): number {
  if (remoteMaxMessageSize === 0 && canSendSize === 0) return Number.POSITIVE_INFINITY;
  if (remoteMaxMessageSize === 0 || canSendSize === 0) return Math.max(remoteMaxMessageSize, canSendSize);
  return Math.min(remoteMaxMessageSize, canSendSize);
}
