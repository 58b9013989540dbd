import { EMPTY } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import {
  decodeAlpn,
  decodeConnectionId,
  decodePointFormats,
  decodeRecordSizeLimit,
  decodeRenegotiationInfo,
  decodeUseSrtp,
  type Extension,
  encodeAlpn,
  encodeCodeList,
  encodeConnectionId,
  encodePointFormats,
  encodeRecordSizeLimit,
  encodeRenegotiationInfo,
  encodeServerName,
  encodeUseSrtp,
  expectEmpty,
  findExtension,
} from './extensions.ts';
import type { HandshakeContext } from './handshake.ts';
import type { ResolvedOptions } from './options.ts';
import {
  EXT_ALPN,
  EXT_CONNECTION_ID,
  EXT_EC_POINT_FORMATS,
  EXT_EXTENDED_MASTER_SECRET,
  EXT_RECORD_SIZE_LIMIT,
  EXT_RENEGOTIATION_INFO,
  EXT_SERVER_NAME,
  EXT_SESSION_TICKET,
  EXT_SIGNATURE_ALGORITHMS,
  EXT_SUPPORTED_GROUPS,
  EXT_USE_SRTP,
  groupCode,
} from './registry.ts';
import type { DtlsSession } from './session.ts';
import { VERIFIED_SCHEME_CODES } from './signatures.ts';
import type { DtlsClientOptions } from './types.ts';

/** What a ClientHello offered, to hold the answer against. */
export interface ClientOffer {
  readonly extensions: readonly Extension[];
  readonly requireRenegotiationInfo: boolean;
}

/** The extensions of our ClientHello. */
export function makeClientExtensions(
  options: ResolvedOptions,
  client: DtlsClientOptions,
  session: DtlsSession | undefined,
): ClientOffer {
  const extensions: Extension[] = [];
  const add = (type: number, data: Uint8Array): void => void extensions.push({ type, data });
  if (client.serverName !== undefined) add(EXT_SERVER_NAME, encodeServerName(client.serverName));
  add(EXT_EXTENDED_MASTER_SECRET, EMPTY);
  add(EXT_RENEGOTIATION_INFO, encodeRenegotiationInfo(EMPTY));
  if (options.cipherSuites.some((s) => s.keyExchange !== 'psk')) {
    add(EXT_SUPPORTED_GROUPS, encodeCodeList(options.groups.map(groupCode)));
    add(EXT_EC_POINT_FORMATS, encodePointFormats([0]));
  }
  if (options.cipherSuites.some((s) => s.authentication !== 'psk')) {
    add(EXT_SIGNATURE_ALGORITHMS, encodeCodeList(VERIFIED_SCHEME_CODES));
  }
  if (options.srtpProfiles.length > 0) {
    add(EXT_USE_SRTP, encodeUseSrtp({ profiles: options.srtpProfiles, mki: EMPTY }));
  }
  if (options.alpn.length > 0) add(EXT_ALPN, encodeAlpn(options.alpn));
  // RFC 5077 §3.2: empty asks for a ticket, otherwise it is the ticket.
  if (client.tickets || session?.ticket !== undefined) add(EXT_SESSION_TICKET, session?.ticket ?? EMPTY);
  if (options.recordSizeLimitBytes !== undefined) {
    add(EXT_RECORD_SIZE_LIMIT, encodeRecordSizeLimit(options.recordSizeLimitBytes));
  }
  if (options.connectionId !== undefined) add(EXT_CONNECTION_ID, encodeConnectionId(options.connectionId));
  return { extensions, requireRenegotiationInfo: client.requireRenegotiationInfo ?? true };
}

/**
 * Checks the extensions of a ServerHello against the offer and takes what they say.
 * @throws {HandshakeFault} `unsupported_extension` for one that was not offered (RFC 5246 §7.4.1.4), and what each
 * extension's RFC names. @throws {DecodeError}
 */
export function applyServerExtensions(
  context: HandshakeContext,
  offer: ClientOffer,
  extensions: readonly Extension[] | undefined,
): { readonly ticketPromised: boolean } {
  for (const { type } of extensions ?? []) {
    if (findExtension(offer.extensions, type) === undefined) {
      throw new HandshakeFault('unsupported_extension', 'bad-type', `extension ${type} was not offered`);
    }
  }
  checkRenegotiationInfo(findExtension(extensions, EXT_RENEGOTIATION_INFO), offer.requireRenegotiationInfo);
  const { options } = context;
  const ems = findExtension(extensions, EXT_EXTENDED_MASTER_SECRET);
  if (ems !== undefined) expectEmpty(ems, 'extended_master_secret');
  context.extendedMasterSecret = ems !== undefined;
  if (ems === undefined && options.requireExtendedMasterSecret) {
    throw new HandshakeFault('handshake_failure', 'missing', 'the server lacks extended_master_secret'); // RFC 7627 §5.2
  }
  const formats = findExtension(extensions, EXT_EC_POINT_FORMATS);
  if (formats !== undefined && !decodePointFormats(formats).includes(0)) {
    throw new HandshakeFault('illegal_parameter', 'bad-value', 'no uncompressed points'); // RFC 8422 §5.1.2
  }
  const name = findExtension(extensions, EXT_SERVER_NAME);
  if (name !== undefined) expectEmpty(name, 'server_name'); // RFC 6066 §3
  const alpn = findExtension(extensions, EXT_ALPN);
  if (alpn !== undefined) context.alpn = chosenAlpn(decodeAlpn(alpn), options.alpn);
  const srtp = findExtension(extensions, EXT_USE_SRTP);
  if (srtp !== undefined) context.srtpProfile = chosenSrtpProfile(srtp, options.srtpProfiles);
  const limit = findExtension(extensions, EXT_RECORD_SIZE_LIMIT);
  if (limit !== undefined) {
    context.recordSizeLimitBytes = decodeRecordSizeLimit(limit);
    context.maxSendRecordBytes = Math.min(context.recordSizeLimitBytes, context.maxSendRecordBytes);
  }
  const cid = findExtension(extensions, EXT_CONNECTION_ID);
  if (cid !== undefined) {
    context.sendConnectionId = decodeConnectionId(cid);
    context.receiveConnectionId = options.connectionId ?? EMPTY;
    context.connectionIdNegotiated = true;
  }
  const ticket = findExtension(extensions, EXT_SESSION_TICKET);
  if (ticket !== undefined) expectEmpty(ticket, 'session_ticket');
  return { ticketPromised: ticket !== undefined };
}

/** RFC 5746 §3.4: empty in an initial handshake; its absence is the old, attackable protocol. */
function checkRenegotiationInfo(data: Uint8Array | undefined, required: boolean): void {
  if (data === undefined) {
    if (required) throw new HandshakeFault('handshake_failure', 'missing', 'the server lacks renegotiation_info');
  } else if (decodeRenegotiationInfo(data).length > 0) {
    throw new HandshakeFault('handshake_failure', 'bad-value', 'renegotiation_info is not empty');
  }
}

/** RFC 7301 §3.1: exactly one, of those offered. */
function chosenAlpn(names: readonly string[], offered: readonly string[]): string {
  const name = names[0];
  if (names.length !== 1 || name === undefined || !offered.includes(name)) {
    throw new HandshakeFault('illegal_parameter', 'bad-value', 'the chosen application protocol was not offered');
  }
  return name;
}

/** RFC 5764 §4.1.1: exactly one profile of those offered, and our MKI, which is empty, or none. */
function chosenSrtpProfile(data: Uint8Array, offered: readonly number[]): number {
  const { profiles, mki } = decodeUseSrtp(data);
  const profile = profiles[0];
  if (profiles.length !== 1 || profile === undefined || !offered.includes(profile) || mki.length > 0) {
    throw new HandshakeFault('illegal_parameter', 'bad-value', 'the chosen SRTP profile or MKI was not offered');
  }
  return profile;
}
