import { hasAttribute, readMid, type Setup } from './attributes.ts';
import { SdpError } from './error.ts';
import type { Attribute, MediaDescription, SessionDescription } from './model.ts';
import {
  attribute,
  DEFAULT_ICE_OPTIONS,
  DEFAULT_SCTP_PORT,
  emptySection,
  idleSection,
  type LocalOrigin,
  type LocalTransport,
  newDescription,
  OFFERED_MAX_MESSAGE_SIZE,
  offerSection,
  rejectSection,
  sctpAttributes,
  sectionBody,
  withoutCandidates,
} from './sections.ts';
import {
  bundleTaggedSection,
  DATA_CHANNEL_FORMAT,
  isDataSection,
  isRejected,
  readTransportDescription,
  type TransportDescription,
} from './transport.ts';

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
  /** W3C RTCBundlePolicy of our side; what it does here is said at {@link createDataAnswer}. Default `balanced`. */
  readonly bundlePolicy?: 'balanced' | 'max-compat' | 'max-bundle' | undefined;
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
  const section = offerSection(params, mid, params.setup ?? 'actpass');
  return newDescription(params.origin, params.iceLite, [mid], [section]);
}

/**
 * The answer to any offer (RFC 8841 §10.3, RFC 9429 §5.3.1): the first data section that can be used is accepted with the
 * offer's own `proto` and formats; every other section is rejected with port 0, keeping its media, proto, formats and
 * mid. The BUNDLE group is that of the offer reduced to the accepted mid (RFC 9143 §7.3), and absent if none was offered.
 * A data section is unusable without ICE credentials or fingerprint (RFC 9429 §5.3.1: affected sections are rejected).
 *
 * One media section may be accepted after all, as `a=inactive`: the BUNDLE-tagged one, where the data section has nothing
 * but its transport. To reject it would reject the whole group (RFC 9429 §5.3.1). So it is for a data section that is
 * bundle-only. Chrome's offers under `max-bundle` look like those under `balanced`, but only the latter let the tagged
 * section be rejected; our own `bundlePolicy: 'max-bundle'` says that such offers are expected.
 *
 * @throws {SdpError} when the offer's `a=setup` leaves no answer (`holdconn`).
 * @throws {UsageError} when a parameter cannot be written.
 */
export function createDataAnswer(offer: SessionDescription, params: DataAnswerParams): SessionDescription {
  const accepted = findUsableDataSection(offer);
  const carrier = accepted && carrierSection(accepted, offer, params.bundlePolicy);
  const sections = offer.media.map((media) => {
    if (media === accepted)
      return acceptSection(media, offer, carrier === undefined ? params : withoutCandidates(params));
    return media === carrier ? acceptCarrier(media, offer, params) : rejectSection(media);
  });
  const tagged = accepted && bundleTaggedSection(accepted, offer);
  const bundled = tagged === undefined ? [] : [carrier, accepted].flatMap((media) => (media && readMid(media)) ?? []);
  return newDescription(params.origin, params.iceLite, bundled, sections);
}

/** The media section whose transport the data section cannot do without; undefined where it stands alone. */
function carrierSection(
  data: MediaDescription,
  offer: SessionDescription,
  bundlePolicy: DataAnswerParams['bundlePolicy'],
): MediaDescription | undefined {
  const tagged = bundleTaggedSection(data, offer);
  if (tagged === undefined || tagged === data || isDataSection(tagged) || isRejected(tagged)) return undefined;
  if (hasAttribute(data, 'bundle-only')) return tagged;
  const shared = readTransportDescription(tagged, offer).ufrag === readTransportDescription(data, offer).ufrag;
  return shared && bundlePolicy === 'max-bundle' ? tagged : undefined;
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
  // RFC 4145 §4.1: the default is `active` in the offer and `passive` in the answer.
  const answered = answer ?? answerSetup(offer, 'passive');
  const legal = offer === 'actpass' || offer === undefined || answered === answerSetup(offer);
  if ((answered !== 'active' && answered !== 'passive') || !legal)
    throw new SdpError(`a=setup:${answered} does not answer a=setup:${offer ?? 'active'}`);
  return (answered === 'active') === (side === 'answerer') ? 'client' : 'server';
}

function acceptSection(media: MediaDescription, offer: SessionDescription, params: DataAnswerParams): MediaDescription {
  const remote = readTransportDescription(media, offer);
  return Object.assign(
    emptySection(media.media, media.proto, media.formats),
    sectionBody(answeredTransport(params, remote), {
      mid: readMid(media),
      setup: answerSetup(remote.setup, params.setup),
      iceOptions: answeredIceOptions(params, remote),
      own: answeredSctpAttributes(media, remote, params),
    }),
  );
}

function acceptCarrier(media: MediaDescription, offer: SessionDescription, params: DataAnswerParams): MediaDescription {
  const remote = readTransportDescription(media, offer);
  const setup = answerSetup(remote.setup, params.setup);
  return idleSection(media, answeredTransport(params, remote), setup, answeredIceOptions(params, remote));
}

/** RFC 8842 §5.3: to an offer without tls-id "the answerer MUST NOT insert a tls-id attribute". */
function answeredTransport(params: LocalTransport, remote: TransportDescription): LocalTransport {
  return remote.tlsId === undefined ? { ...params, tlsId: undefined } : params;
}

/** RFC 9429 §5.3.1: ice-options only "if such an option was present in the offer". */
function answeredIceOptions(params: LocalTransport, remote: TransportDescription): string[] {
  return (params.iceOptions ?? DEFAULT_ICE_OPTIONS).filter((option) => remote.iceOptions.includes(option));
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
