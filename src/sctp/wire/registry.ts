/** Numbers of the IANA SCTP registries that this module knows. */

/** Chunk types (RFC 9260 §3.2, RFC 3758 §3.2, RFC 6525 §3, RFC 8260 §2, RFC 4820 §3). */
export const CHUNK = {
  DATA: 0,
  INIT: 1,
  INIT_ACK: 2,
  SACK: 3,
  HEARTBEAT: 4,
  HEARTBEAT_ACK: 5,
  ABORT: 6,
  SHUTDOWN: 7,
  SHUTDOWN_ACK: 8,
  ERROR: 9,
  COOKIE_ECHO: 10,
  COOKIE_ACK: 11,
  ECNE: 12,
  CWR: 13,
  SHUTDOWN_COMPLETE: 14,
  I_DATA: 64,
  RE_CONFIG: 130,
  PAD: 132,
  FORWARD_TSN: 192,
  I_FORWARD_TSN: 194,
} as const;

/** Parameter types of INIT and INIT ACK (RFC 9260 §3.3.2.1, §3.3.3.1 and the extensions). */
export const PARAMETER = {
  IPV4_ADDRESS: 5,
  IPV6_ADDRESS: 6,
  STATE_COOKIE: 7,
  UNRECOGNIZED_PARAMETER: 8,
  COOKIE_PRESERVATIVE: 9,
  HOST_NAME_ADDRESS: 11,
  SUPPORTED_ADDRESS_TYPES: 12,
  ECN_CAPABLE: 0x8000,
  ZERO_CHECKSUM_ACCEPTABLE: 0x8001, // RFC 9653 §4
  SUPPORTED_EXTENSIONS: 0x8008, // RFC 5061 §4.2.7
  PADDING: 0x8005, // RFC 4820 §4
  FORWARD_TSN_SUPPORTED: 0xc000, // RFC 3758 §3.1
} as const;

/** Error causes (RFC 9260 §3.3.10). */
export const CAUSE = {
  INVALID_STREAM_IDENTIFIER: 1,
  MISSING_MANDATORY_PARAMETER: 2,
  STALE_COOKIE: 3,
  OUT_OF_RESOURCE: 4,
  UNRESOLVABLE_ADDRESS: 5,
  UNRECOGNIZED_CHUNK_TYPE: 6,
  INVALID_MANDATORY_PARAMETER: 7,
  UNRECOGNIZED_PARAMETERS: 8,
  NO_USER_DATA: 9,
  COOKIE_RECEIVED_WHILE_SHUTTING_DOWN: 10,
  RESTART_WITH_NEW_ADDRESSES: 11,
  USER_INITIATED_ABORT: 12,
  PROTOCOL_VIOLATION: 13,
} as const;

const chunkNames = new Map<number, string>(
  Object.entries(CHUNK).map(([name, type]) => [type, name.replaceAll('_', ' ')]),
);

/** A chunk type in the RFCs' words, for logs and messages. */
export function chunkName(type: number): string {
  return chunkNames.get(type) ?? `chunk type ${type}`;
}

/** What to do with a type that we do not know: the two highest bits say it (RFC 9260 §3.2, §3.2.1). */
export interface UnknownAction {
  /** Go on behind it; otherwise nothing after it in the packet (chunk) or chunk (parameter) is processed. */
  readonly skip: boolean;
  /** Tell the peer about it. */
  readonly report: boolean;
}

/** @param highBits - the two highest bits of the chunk or parameter type. */
export function unknownAction(highBits: number): UnknownAction {
  return { skip: (highBits & 2) !== 0, report: (highBits & 1) !== 0 };
}
