import { EMPTY, type GroupName } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import {
  decodeAlpn,
  decodeCodeList,
  decodeConnectionId,
  decodePointFormats,
  decodeRecordSizeLimit,
  decodeRenegotiationInfo,
  decodeServerName,
  decodeSupportedVersions,
  decodeUseSrtp,
  type Extension,
  encodeAlpn,
  encodeConnectionId,
  encodePointFormats,
  encodeRecordSizeLimit,
  encodeRenegotiationInfo,
  encodeUseSrtp,
  expectEmpty,
  findExtension,
} from './extensions.ts';
import type { HandshakeContext } from './handshake.ts';
import type { ClientHello } from './messages/index.ts';
import { MAX_PLAINTEXT_BYTES } from './record.ts';
import {
  DTLS_1_2,
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
  EXT_SUPPORTED_VERSIONS,
  EXT_USE_SRTP,
  groupByCode,
  RENEGOTIATION_INFO_SCSV,
} from './registry.ts';

/** What a ClientHello's extensions say, decoded; everything unknown is ignored (RFC 5246 §7.4.1.4, RFC 8701 §3.1). */
export interface ClientWishes {
  /** The client's groups that we know too; undefined: it did not say. */
  readonly groups: readonly GroupName[] | undefined;
  /** Code points of signature schemes; empty when it did not say, because the default of RFC 5246 §7.4.1.4.1 is SHA-1. */
  readonly signatureSchemes: readonly number[];
  readonly pointFormatsSent: boolean;
  readonly secureRenegotiation: boolean;
  readonly extendedMasterSecret: boolean;
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
  readonly srtpProfiles: readonly number[];
  /** Undefined: no session_ticket extension. */
  readonly ticket: Uint8Array | undefined;
  readonly connectionId: Uint8Array | undefined;
  readonly recordSizeLimitBytes: number | undefined;
}

function optional<T>(hello: ClientHello, type: number, decode: (data: Uint8Array) => T): T | undefined {
  const data = findExtension(hello.extensions, type);
  return data === undefined ? undefined : decode(data);
}

/**
 * Decodes and checks the extensions of a ClientHello.
 * @throws {HandshakeFault} with the alert of each extension's RFC. @throws {DecodeError}
 */
export function readClientWishes(hello: ClientHello): ClientWishes {
  const versions = optional(hello, EXT_SUPPORTED_VERSIONS, decodeSupportedVersions);
  // A peer of 1.3 lists what it speaks; without 1.2 in the list there is nothing to agree on (RFC 8446 §4.2.1).
  if (versions !== undefined && !versions.includes(DTLS_1_2)) {
    throw new HandshakeFault('protocol_version', 'bad-version', 'the client does not offer DTLS 1.2');
  }
  const formats = optional(hello, EXT_EC_POINT_FORMATS, decodePointFormats);
  if (formats !== undefined && !formats.includes(0)) {
    throw new HandshakeFault('illegal_parameter', 'bad-value', 'no uncompressed points'); // RFC 8422 §5.1.2
  }
  const renegotiation = optional(hello, EXT_RENEGOTIATION_INFO, decodeRenegotiationInfo);
  if (renegotiation !== undefined && renegotiation.length > 0) {
    throw new HandshakeFault('handshake_failure', 'bad-value', 'renegotiation_info is not empty'); // RFC 5746 §3.6
  }
  const groups = optional(hello, EXT_SUPPORTED_GROUPS, (data) => decodeCodeList(data, 'supported_groups'));
  return {
    groups: groups?.map(groupByCode).filter((group) => group !== undefined),
    signatureSchemes:
      optional(hello, EXT_SIGNATURE_ALGORITHMS, (data) => decodeCodeList(data, 'signature_algorithms')) ?? [],
    pointFormatsSent: formats !== undefined,
    secureRenegotiation: renegotiation !== undefined || hello.cipherSuites.includes(RENEGOTIATION_INFO_SCSV),
    extendedMasterSecret:
      optional(hello, EXT_EXTENDED_MASTER_SECRET, (data) => expectEmpty(data, 'extended_master_secret') ?? true) ??
      false,
    serverName: optional(hello, EXT_SERVER_NAME, decodeServerName),
    alpn: optional(hello, EXT_ALPN, decodeAlpn) ?? [],
    srtpProfiles: optional(hello, EXT_USE_SRTP, decodeUseSrtp)?.profiles ?? [],
    ticket: findExtension(hello.extensions, EXT_SESSION_TICKET),
    connectionId: optional(hello, EXT_CONNECTION_ID, decodeConnectionId),
    recordSizeLimitBytes: optional(hello, EXT_RECORD_SIZE_LIMIT, decodeRecordSizeLimit),
  };
}

/**
 * Settles what both sides have in common and makes the extensions of the ServerHello; each answers one of the client's.
 * @throws {HandshakeFault} `no_application_protocol` (RFC 7301 §3.2).
 */
export function settleExtensions(
  context: HandshakeContext,
  wishes: ClientWishes,
  promiseTicket: boolean,
): readonly Extension[] {
  const { options } = context;
  const extensions: Extension[] = [];
  const add = (type: number, data: Uint8Array): void => void extensions.push({ type, data });
  if (wishes.secureRenegotiation) add(EXT_RENEGOTIATION_INFO, encodeRenegotiationInfo(EMPTY));
  context.extendedMasterSecret = wishes.extendedMasterSecret;
  if (wishes.extendedMasterSecret) add(EXT_EXTENDED_MASTER_SECRET, EMPTY);
  if (wishes.pointFormatsSent && context.suite.keyExchange !== 'psk')
    add(EXT_EC_POINT_FORMATS, encodePointFormats([0]));
  if (options.alpn.length > 0 && wishes.alpn.length > 0) {
    const chosen = options.alpn.find((name) => wishes.alpn.includes(name));
    if (chosen === undefined) throw new HandshakeFault('no_application_protocol', 'unsupported', 'no common ALPN name');
    context.alpn = chosen;
    add(EXT_ALPN, encodeAlpn([chosen]));
  }
  // RFC 5764 §4.1.1: without a common profile the extension is left out. An MKI is never used.
  context.srtpProfile = options.srtpProfiles.find((profile) => wishes.srtpProfiles.includes(profile));
  if (context.srtpProfile !== undefined) {
    add(EXT_USE_SRTP, encodeUseSrtp({ profiles: [context.srtpProfile], mki: EMPTY }));
  }
  if (promiseTicket) add(EXT_SESSION_TICKET, EMPTY);
  if (wishes.recordSizeLimitBytes !== undefined) {
    context.recordSizeLimitBytes = wishes.recordSizeLimitBytes;
    context.maxSendRecordBytes = Math.min(wishes.recordSizeLimitBytes, MAX_PLAINTEXT_BYTES);
    add(EXT_RECORD_SIZE_LIMIT, encodeRecordSizeLimit(options.recordSizeLimitBytes ?? MAX_PLAINTEXT_BYTES));
  }
  if (wishes.connectionId !== undefined && options.connectionId !== undefined) {
    context.sendConnectionId = wishes.connectionId;
    context.receiveConnectionId = options.connectionId;
    context.connectionIdNegotiated = true;
    add(EXT_CONNECTION_ID, encodeConnectionId(options.connectionId));
  }
  return extensions;
}
