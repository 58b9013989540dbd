import { UsageError } from '../core/index.ts';
import { type Fingerprint, hasAttribute, parseFingerprint, readMid, type Setup } from './attributes.ts';
import { TOKEN } from './grammar.ts';
import {
  type Attribute,
  type MediaDescription,
  type Origin,
  type SessionDescription,
  UNSPECIFIED_CONNECTION,
} from './model.ts';
import { DATA_CHANNEL_FORMAT } from './transport.ts';

/** RFC 8841 §5: the port that every WebRTC stack uses. */
export const DEFAULT_SCTP_PORT = 5000;
/** Bytes: what Chrome and Firefox of today accept and what we say by default. */
export const OFFERED_MAX_MESSAGE_SIZE = 262_144;

/** Our side of a data section. */
export interface LocalTransport {
  /** 4 to 256 ice-chars (RFC 8839 §5.4). */
  readonly ufrag: string;
  /** 22 to 256 ice-chars. */
  readonly pwd: string;
  readonly fingerprints: readonly Fingerprint[];
  /** Default `trickle` and `ice2` (RFC 9429 §5.2.1); an answer writes those that were offered too. */
  readonly iceOptions?: readonly string[] | undefined;
  readonly iceLite?: boolean | undefined;
  /** 20 to 255 characters of 120 random bits or more (RFC 8842 §4); left out when undefined, as browsers do. */
  readonly tlsId?: string | undefined;
  /** Candidates known by now, each `candidate:…` without `a=`. */
  readonly candidates?: readonly string[] | undefined;
  readonly endOfCandidates?: boolean | undefined;
  /** The default candidate for the `m=` and `c=` lines (RFC 8839 §4.2.1.2); `9` and `0.0.0.0` while there is none. */
  readonly defaultAddress?: { readonly ip: string; readonly port: number } | undefined;
  /** Default 5000. */
  readonly sctpPort?: number | undefined;
  /** Bytes that we accept; 0 is no limit. Default 262,144. */
  readonly maxMessageSize?: number | undefined;
}

/** The `o=` line of our descriptions: the id stays, the version grows. */
export interface LocalOrigin {
  /** Digits below 2^63, random: see {@link randomSessionId}. */
  readonly sessionId: string;
  readonly sessionVersion: number;
}

/** RFC 9429 §5.2.1: both MUST be offered. */
export const DEFAULT_ICE_OPTIONS: readonly string[] = ['trickle', 'ice2'];

/** A data section of an offer (RFC 8841 §10.2). */
export function offerSection(params: LocalTransport, mid: string, setup: Setup): MediaDescription {
  return Object.assign(
    emptySection('application', 'UDP/DTLS/SCTP', [DATA_CHANNEL_FORMAT]),
    sectionBody(params, {
      mid,
      setup,
      iceOptions: params.iceOptions ?? DEFAULT_ICE_OPTIONS,
      own: sctpAttributes(params, params.sctpPort ?? DEFAULT_SCTP_PORT),
    }),
  );
}

export function sctpAttributes(params: LocalTransport, sctpPort: number): Attribute[] {
  const size = params.maxMessageSize ?? OFFERED_MAX_MESSAGE_SIZE;
  demand(Number.isInteger(sctpPort) && sctpPort >= 0 && sctpPort <= 65_535, 'sctpPort');
  demand(Number.isSafeInteger(size) && size >= 0, 'maxMessageSize');
  return [attribute('sctp-port', `${sctpPort}`), attribute('max-message-size', `${size}`)];
}

/** What differs between the sections that have a transport of ours. */
export interface SectionBody {
  readonly mid: string | undefined;
  readonly setup: Setup;
  readonly iceOptions: readonly string[];
  /** What follows: the attributes of SCTP, or of media. */
  readonly own: readonly Attribute[];
}

/** The changing part of a section of ours, attributes in the order in which Chrome writes them. */
export function sectionBody(
  params: LocalTransport,
  body: SectionBody,
): Pick<MediaDescription, 'port' | 'connections' | 'attributes'> {
  demand(/^[A-Za-z0-9+/]{4,256}$/.test(params.ufrag), 'ufrag');
  demand(/^[A-Za-z0-9+/]{22,256}$/.test(params.pwd), 'pwd');
  demand(params.fingerprints.length > 0, 'fingerprints');
  demand(body.mid === undefined || TOKEN.test(body.mid), 'mid');
  demand(params.tlsId === undefined || /^[A-Za-z0-9+/\-_]{20,255}$/.test(params.tlsId), 'tlsId');
  const attributes: Attribute[] = [];
  for (const candidate of params.candidates ?? []) {
    demand(candidate.startsWith('candidate:'), 'candidates');
    attributes.push(attribute('candidate', candidate.slice('candidate:'.length)));
  }
  if (params.endOfCandidates) attributes.push(attribute('end-of-candidates'));
  attributes.push(attribute('ice-ufrag', params.ufrag), attribute('ice-pwd', params.pwd));
  if (body.iceOptions.length > 0) attributes.push(attribute('ice-options', body.iceOptions.join(' ')));
  for (const { algorithm, value } of params.fingerprints) {
    demand(parseFingerprint(`${algorithm} ${value}`) !== undefined, 'fingerprints');
    attributes.push(attribute('fingerprint', `${algorithm} ${value}`));
  }
  attributes.push(attribute('setup', body.setup));
  if (params.tlsId !== undefined) attributes.push(attribute('tls-id', params.tlsId));
  if (body.mid !== undefined) attributes.push(attribute('mid', body.mid));
  attributes.push(...body.own);
  const address = params.defaultAddress;
  const connection =
    address === undefined
      ? UNSPECIFIED_CONNECTION
      : { netType: 'IN', addrType: address.ip.includes(':') ? 'IP6' : 'IP4', address: address.ip };
  return { port: address?.port ?? DISCARD_PORT, connections: [connection], attributes };
}

/** RFC 9429 §5.2.2, §5.3.2: a bundled section leaves its candidates to the one it is bundled into. */
export function withoutCandidates<T extends LocalTransport>(params: T): T {
  return { ...params, candidates: undefined, endOfCandidates: undefined };
}

/** RFC 8840 §4.1.1: the port of an `m=` line while no candidate is known. */
const DISCARD_PORT = 9;

/** RFC 3264 §6: a rejected stream has port zero and the offer's formats, which mean nothing. */
export function rejectSection(media: MediaDescription): MediaDescription {
  const mid = readMid(media);
  const attributes: Attribute[] = mid === undefined ? [] : [attribute('mid', mid)];
  if (media.proto.includes('RTP') || hasAttribute(media, 'rtpmap')) attributes.push(attribute('inactive'));
  return { ...emptySection(media.media, media.proto, media.formats), port: 0, attributes };
}

/**
 * A section of media that is accepted and idle: one format, `a=inactive`. It is there for its transport, which a data
 * section shares: see `createDataAnswer`.
 */
export function idleSection(
  media: MediaDescription,
  params: LocalTransport,
  setup: Setup,
  iceOptions: readonly string[],
): MediaDescription {
  const format = media.formats[0] ?? '0';
  const kept = media.attributes.filter(
    ({ name, value }) =>
      name === 'rtcp-mux' || ((name === 'rtpmap' || name === 'fmtp') && value?.split(/[ \t]/, 1)[0] === format),
  );
  return {
    ...emptySection(media.media, media.proto, [format]),
    ...sectionBody(params, { mid: readMid(media), setup, iceOptions, own: [attribute('inactive'), ...kept] }),
  };
}

export function emptySection(media: string, proto: string, formats: readonly string[]): MediaDescription {
  return {
    media,
    port: DISCARD_PORT,
    portCount: undefined,
    proto,
    formats,
    information: undefined,
    connections: [UNSPECIFIED_CONNECTION],
    bandwidths: [],
    key: undefined,
    attributes: [],
  };
}

export function newDescription(
  local: LocalOrigin,
  iceLite: boolean | undefined,
  bundle: readonly string[],
  media: readonly MediaDescription[],
): SessionDescription {
  demand(/^[0-9]{1,19}$/.test(local.sessionId), 'origin.sessionId');
  demand(Number.isSafeInteger(local.sessionVersion) && local.sessionVersion >= 0, 'origin.sessionVersion');
  const origin: Origin = {
    username: '-',
    sessionId: local.sessionId,
    sessionVersion: `${local.sessionVersion}`,
    netType: 'IN',
    addrType: 'IP4',
    // RFC 9429 §5.2.1: a non-meaningful address, so that none leaks.
    address: '0.0.0.0',
  };
  const attributes: Attribute[] = [];
  if (bundle.length > 0) attributes.push(attribute('group', `BUNDLE ${bundle.join(' ')}`));
  if (iceLite) attributes.push(attribute('ice-lite'));
  return {
    origin,
    sessionName: '-',
    information: undefined,
    uri: undefined,
    emails: [],
    phones: [],
    connection: undefined,
    bandwidths: [],
    times: [{ start: '0', stop: '0', repeats: [], zones: [] }],
    key: undefined,
    attributes,
    media,
  };
}

export function attribute(name: string, value?: string): Attribute {
  return { name, value };
}

function demand(valid: boolean, parameter: string): void {
  if (!valid) throw new UsageError(`not a legal ${parameter}`);
}
