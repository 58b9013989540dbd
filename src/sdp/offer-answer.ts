import { UsageError } from '../core/index.ts';
import { type Fingerprint, hasAttribute, parseFingerprint, readGroups, readMid, type Setup } from './attributes.ts';
import { SdpError } from './error.ts';
import { TOKEN } from './grammar.ts';
import {
  type Attribute,
  type MediaDescription,
  type Origin,
  type SessionDescription,
  UNSPECIFIED_CONNECTION,
} from './model.ts';
import {
  DATA_CHANNEL_FORMAT,
  isDataSection,
  isRejected,
  readTransportDescription,
  type TransportDescription,
} from './transport.ts';

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

/** Parameters of {@link createDataOffer}. */
export interface DataOfferParams extends LocalTransport {
  readonly origin: LocalOrigin;
  /** Default `0`. */
  readonly mid?: string | undefined;
  /** Default `actpass`, which an initial offer MUST have (RFC 8842 §5.2). */
  readonly setup?: Setup | undefined;
}

/** Parameters of {@link createDataAnswer}. */
export interface DataAnswerParams extends LocalTransport {
  readonly origin: LocalOrigin;
  /** Our wish where the offer leaves the choice with `actpass`. Default `active` (RFC 9429 §5.3.1). */
  readonly setup?: 'active' | 'passive' | undefined;
}

/** 63 random bits as decimal digits (RFC 9429 §5.2.1). `random` fills its argument, as `Env.random` does. */
export function randomSessionId(random: (out: Uint8Array) => void): string {
  const bytes = new Uint8Array(8);
  random(bytes);
  let id = 0n;
  for (const byte of bytes) id = (id << 8n) | BigInt(byte);
  return (id & 0x7fff_ffff_ffff_ffffn).toString();
}

/**
 * An offer with one data section, as browsers write it today (RFC 8841 §10.2, RFC 9429 §5.2.1).
 * @throws {UsageError} when a parameter cannot be written.
 * @example
 * writeSdp(createDataOffer({ origin: { sessionId: '123', sessionVersion: 1 }, ufrag, pwd, fingerprints }));
 */
export function createDataOffer(params: DataOfferParams): SessionDescription {
  const mid = params.mid ?? '0';
  const section: MediaDescription = {
    ...emptySection('application', 'UDP/DTLS/SCTP', [DATA_CHANNEL_FORMAT]),
    ...dataSectionBody(params, {
      mid,
      setup: params.setup ?? 'actpass',
      iceOptions: params.iceOptions ?? DEFAULT_ICE_OPTIONS,
      sctpAttributes: sctpAttributes(params, params.sctpPort ?? DEFAULT_SCTP_PORT),
    }),
  };
  return newDescription(params.origin, params.iceLite, [mid], [section]);
}

/**
 * The answer to any offer (RFC 8841 §10.3, RFC 9429 §5.3.1): the first data section that can be used is accepted with the
 * offer's own `proto` and formats; every other section is rejected with port 0, keeping its media, proto, formats and
 * mid. The BUNDLE group is that of the offer reduced to the accepted mid (RFC 9143 §7.3), and absent if none was offered.
 * A data section is unusable without ICE credentials or fingerprint (RFC 9429 §5.3.1: affected sections are rejected).
 *
 * @throws {SdpError} when the offer's `a=setup` leaves no answer (`holdconn`).
 * @throws {UsageError} when a parameter cannot be written.
 */
export function createDataAnswer(offer: SessionDescription, params: DataAnswerParams): SessionDescription {
  const accepted = findUsableDataSection(offer);
  const sections = offer.media.map((media) =>
    media === accepted ? acceptSection(media, offer, params) : rejectSection(media),
  );
  const mid = accepted && readMid(accepted);
  const bundled = mid !== undefined && readGroups(offer).some((g) => g.semantics === 'BUNDLE' && g.mids.includes(mid));
  return newDescription(params.origin, params.iceLite, bundled ? [mid] : [], sections);
}

/** The data section of an offer that an answer will accept: see {@link createDataAnswer}. */
export function findUsableDataSection(offer: SessionDescription): MediaDescription | undefined {
  return offer.media.find((media) => {
    if (!isDataSection(media) || isRejected(media)) return false;
    const { ufrag, fingerprints } = readTransportDescription(media, offer);
    return ufrag !== undefined && fingerprints.length > 0;
  });
}

/**
 * `a=setup` of an answer (RFC 4145 §4.1, RFC 8842 §5.3). An offer without one means `active`, RFC 4145's default.
 * @throws {SdpError} for `holdconn`, which RFC 8842 §5.1 forbids.
 */
export function answerSetup(
  offered: Setup | undefined,
  preferred: 'active' | 'passive' = 'active',
): 'active' | 'passive' {
  switch (offered) {
    case 'actpass':
      return preferred;
    case 'passive':
      return 'active';
    case 'active':
    case undefined:
      return 'passive';
    case 'holdconn':
      throw new SdpError('a=setup:holdconn cannot be used with DTLS');
  }
}

/**
 * Our DTLS role from the two descriptions of one exchange: `active` is the client (RFC 8842 §5.3).
 * @throws {SdpError} when the answer does not fit the offer.
 */
export function negotiatedDtlsRole(
  offer: Setup | undefined,
  answer: Setup | undefined,
  side: 'offerer' | 'answerer',
): 'client' | 'server' {
  const answered = answer ?? answerSetup(offer);
  const legal = offer === 'actpass' || offer === undefined || answered === answerSetup(offer);
  if ((answered !== 'active' && answered !== 'passive') || !legal)
    throw new SdpError(`a=setup:${answered} does not answer a=setup:${offer ?? 'active'}`);
  return (answered === 'active') === (side === 'answerer') ? 'client' : 'server';
}

const DEFAULT_ICE_OPTIONS: readonly string[] = ['trickle', 'ice2'];

function acceptSection(media: MediaDescription, offer: SessionDescription, params: DataAnswerParams): MediaDescription {
  const remote = readTransportDescription(media, offer);
  // RFC 9429 §5.3.1: ice-options only "if such an option was present in the offer".
  const options = (params.iceOptions ?? DEFAULT_ICE_OPTIONS).filter((option) => remote.iceOptions.includes(option));
  return {
    ...emptySection(media.media, media.proto, media.formats),
    ...dataSectionBody(params, {
      mid: readMid(media),
      setup: answerSetup(remote.setup, params.setup),
      iceOptions: options,
      sctpAttributes: answeredSctpAttributes(media, remote, params),
    }),
  };
}

function answeredSctpAttributes(
  media: MediaDescription,
  remote: TransportDescription,
  params: DataAnswerParams,
): Attribute[] {
  // RFC 8841 §10.3: a zero port in the offer closes the association and MUST be answered with zero.
  if (remote.sctpPort === 0) return sctpAttributes(params, 0);
  const legacy = !media.formats.includes(DATA_CHANNEL_FORMAT);
  // The drafts of RFC 8841 put the port into the formats, which an answer repeats; so the port has to be the same.
  if (legacy)
    return [
      attribute('sctpmap', `${remote.sctpPort} ${DATA_CHANNEL_FORMAT} 65535`),
      attribute('max-message-size', `${params.maxMessageSize ?? OFFERED_MAX_MESSAGE_SIZE}`),
    ];
  return sctpAttributes(params, params.sctpPort ?? DEFAULT_SCTP_PORT);
}

function sctpAttributes(params: LocalTransport, sctpPort: number): Attribute[] {
  const size = params.maxMessageSize ?? OFFERED_MAX_MESSAGE_SIZE;
  demand(Number.isInteger(sctpPort) && sctpPort >= 0 && sctpPort <= 65_535, 'sctpPort');
  demand(Number.isSafeInteger(size) && size >= 0, 'maxMessageSize');
  return [attribute('sctp-port', `${sctpPort}`), attribute('max-message-size', `${size}`)];
}

interface SectionBody {
  readonly mid: string | undefined;
  readonly setup: Setup;
  readonly iceOptions: readonly string[];
  readonly sctpAttributes: readonly Attribute[];
}

/** The changing part of a data section of ours, attributes in the order in which Chrome writes them. */
function dataSectionBody(
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
  attributes.push(...body.sctpAttributes);
  const address = params.defaultAddress;
  const connection =
    address === undefined
      ? UNSPECIFIED_CONNECTION
      : { netType: 'IN', addrType: address.ip.includes(':') ? 'IP6' : 'IP4', address: address.ip };
  return { port: address?.port ?? DISCARD_PORT, connections: [connection], attributes };
}

/** RFC 8840 §4.1.1: the port of an `m=` line while no candidate is known. */
const DISCARD_PORT = 9;

/** RFC 3264 §6: a rejected stream has port zero and the offer's formats, which mean nothing. */
function rejectSection(media: MediaDescription): MediaDescription {
  const mid = readMid(media);
  const attributes: Attribute[] = mid === undefined ? [] : [attribute('mid', mid)];
  if (media.proto.includes('RTP') || hasAttribute(media, 'rtpmap')) attributes.push(attribute('inactive'));
  return { ...emptySection(media.media, media.proto, media.formats), port: 0, attributes };
}

function emptySection(media: string, proto: string, formats: readonly string[]): MediaDescription {
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

function newDescription(
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

function attribute(name: string, value?: string): Attribute {
  return { name, value };
}

function demand(valid: boolean, parameter: string): void {
  if (!valid) throw new UsageError(`not a legal ${parameter}`);
}
