import { ByteWriter, DecodeError } from '../../core/index.ts';
import { type CHUNK, PARAMETER, unknownAction } from './registry.ts';
import { buildChunk, readTlvs, TLV_HEADER_BYTES, type Tlv, u16, u32, writeTlv } from './tlv.ts';

/**
 * INIT and INIT ACK (RFC 9260 §3.3.2, §3.3.3); the latter must carry a State Cookie.
 *
 * ```text
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +---------------+---------------+-------------------------------+
 *  |  Type = 1 / 2 |   Flags = 0   |            Length             |
 *  +---------------+---------------+-------------------------------+
 *  |                         Initiate Tag                          |
 *  +---------------------------------------------------------------+
 *  |          Advertised Receiver Window Credit (a_rwnd)           |
 *  +-------------------------------+-------------------------------+
 *  |  Number of Outbound Streams   |   Number of Inbound Streams   |
 *  +-------------------------------+-------------------------------+
 *  |                          Initial TSN                          |
 *  +---------------------------------------------------------------+
 *  |             Optional/Variable-Length Parameters …             |
 * ```
 */
const FIXED_BYTES = 20;

/** What an INIT or INIT ACK says. */
export interface InitChunk {
  readonly initiateTag: number;
  readonly aRwnd: number;
  readonly outboundStreams: number;
  readonly inboundStreams: number;
  readonly initialTsn: number;
  readonly parameters: InitParameters;
}

/** The parameters that mean something to us. */
export interface InitParameters {
  /** State Cookie (RFC 9260 §3.3.3.1.1); borrowed when decoded. */
  readonly cookie?: Uint8Array | undefined;
  /** Chunk types of the Supported Extensions parameter (RFC 5061 §4.2.7). */
  readonly extensions?: readonly number[] | undefined;
  /** Forward-TSN-Supported (RFC 3758 §3.1). */
  readonly forwardTsn?: boolean | undefined;
  /** Error Detection Method Identifier of Zero Checksum Acceptable (RFC 9653 §4); 1 is DTLS. */
  readonly zeroChecksumMethod?: number | undefined;
  /** Parameters that we must report back (RFC 9260 §3.2.2), whole, padding excluded; borrowed when decoded. */
  readonly unrecognized?: readonly Uint8Array[] | undefined;
  /** A Host Name Address (RFC 9260 §3.3.2.1.4): the receiver must abort. */
  readonly hostName?: boolean | undefined;
}

/**
 * Decodes the INIT or INIT ACK in `bytes[at, end)`.
 * @throws {DecodeError} `too-short`; `bad-length`; `duplicate` for a second cookie.
 */
export function decodeInit(bytes: Uint8Array, at: number, end: number): InitChunk {
  if (end - at < FIXED_BYTES) throw new DecodeError('too-short', 'INIT', at);
  return {
    initiateTag: u32(bytes, at + 4),
    aRwnd: u32(bytes, at + 8),
    outboundStreams: u16(bytes, at + 12),
    inboundStreams: u16(bytes, at + 14),
    initialTsn: u32(bytes, at + 16),
    parameters: decodeParameters(readTlvs(bytes, at + FIXED_BYTES, end), at),
  };
}

function decodeParameters(list: readonly Tlv[], at: number): InitParameters {
  let cookie: Uint8Array | undefined;
  let extensions: number[] | undefined;
  let forwardTsn = false;
  let hostName = false;
  let zeroChecksumMethod: number | undefined;
  const unrecognized: Uint8Array[] = [];
  for (const { type, value } of list) {
    switch (type) {
      case PARAMETER.STATE_COOKIE:
        if (cookie !== undefined) throw new DecodeError('duplicate', 'state-cookie', at);
        cookie = value;
        continue;
      case PARAMETER.SUPPORTED_EXTENSIONS:
        extensions = [...value];
        continue;
      case PARAMETER.FORWARD_TSN_SUPPORTED:
        forwardTsn = true;
        continue;
      case PARAMETER.ZERO_CHECKSUM_ACCEPTABLE:
        if (value.length === 4) zeroChecksumMethod = u32(value, 0);
        continue;
      case PARAMETER.HOST_NAME_ADDRESS:
        hostName = true;
        continue;
      case PARAMETER.IPV4_ADDRESS:
      case PARAMETER.IPV6_ADDRESS: // over DTLS there are no addresses: RFC 8261 §6.1 has them ignored
      case PARAMETER.UNRECOGNIZED_PARAMETER: // what the peer did not understand simply stays off
      case PARAMETER.COOKIE_PRESERVATIVE:
      case PARAMETER.SUPPORTED_ADDRESS_TYPES:
      case PARAMETER.ECN_CAPABLE:
      case PARAMETER.PADDING:
        continue;
    }
    const action = unknownAction(type >>> 14);
    if (action.report) unrecognized.push(wholeParameter(type, value));
    if (!action.skip) break;
  }
  return { cookie, extensions, forwardTsn, zeroChecksumMethod, unrecognized, hostName };
}

function wholeParameter(type: number, value: Uint8Array): Uint8Array {
  const w = new ByteWriter(new Uint8Array(TLV_HEADER_BYTES + value.length));
  w.u16(type);
  w.u16(TLV_HEADER_BYTES + value.length);
  w.bytes(value);
  return w.written();
}

/** Encodes a whole INIT (`type` 1) or INIT ACK (2). */
export function encodeInit(type: typeof CHUNK.INIT | typeof CHUNK.INIT_ACK, init: InitChunk): Uint8Array {
  const p = init.parameters;
  const reports = (p.unrecognized ?? []).reduce((sum, bytes) => sum + bytes.length + 8, 0);
  return buildChunk(type, 0, 128 + (p.cookie?.length ?? 0) + (p.extensions?.length ?? 0) + reports, (w) => {
    w.u32(init.initiateTag);
    w.u32(init.aRwnd);
    w.u16(init.outboundStreams);
    w.u16(init.inboundStreams);
    w.u32(init.initialTsn);
    if (p.cookie !== undefined) writeTlv(w, PARAMETER.STATE_COOKIE, p.cookie);
    if (p.forwardTsn) writeTlv(w, PARAMETER.FORWARD_TSN_SUPPORTED, new Uint8Array(0));
    if (p.extensions !== undefined) writeTlv(w, PARAMETER.SUPPORTED_EXTENSIONS, Uint8Array.from(p.extensions));
    if (p.zeroChecksumMethod !== undefined) {
      w.pad4();
      w.u16(PARAMETER.ZERO_CHECKSUM_ACCEPTABLE);
      w.u16(8);
      w.u32(p.zeroChecksumMethod);
    }
    for (const bytes of p.unrecognized ?? []) writeTlv(w, PARAMETER.UNRECOGNIZED_PARAMETER, bytes);
  });
}
