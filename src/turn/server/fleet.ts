import {
  type ByteReader,
  type ByteWriter,
  DecodeError,
  decodeUtf8,
  type FiveTuple,
  formatIp,
  hexToBytes,
  ipFamily,
  parseIp,
  type TransportAddress,
} from '../../core/index.ts';

/** Counts the allocations and reservations of several servers together. */
export interface SharedQuota {
  /** Whether that user has as many as it may have, or all users together have. */
  refuses(quotaKey: string): boolean;
  /** An allocation or a reservation has come, or gone. */
  add(quotaKey: string, change: 1 | -1): void;
}

/**
 * A server that is one of several behind the same addresses, which share realm, users, `nonceSecret` and relay addresses, and
 * have disjoint port ranges. One hands UDP clients over as soon as they have proved who they are; the others serve them.
 */
export interface FleetOptions {
  /** 0 to 255. The first byte of reservation tokens and of tickets: whoever is shown one knows whose it is. */
  readonly member: number;
  /** Allocations asked for over UDP become `hand-over` events, as do moves (RFC 8016), which the ticket's owner judges. */
  readonly handsOver: boolean;
  /** An allocation waits for `admitted`, where its user is counted. Default: `quota` answers at once. */
  readonly asksAdmission: boolean;
  readonly quota: SharedQuota;
  /** Where data for a relayed address of another member goes; undefined when no other member has that port. */
  readonly trunkTo: (relayed: TransportAddress) => FiveTuple | undefined;
}

/** Whose a RESERVATION-TOKEN is. */
export function memberOfToken(token: Uint8Array): number | undefined {
  return token[0];
}

/** Whose a MOBILITY-TICKET is; undefined for what is none of ours. */
export function memberOfTicket(ticket: Uint8Array): number | undefined {
  const digits = decodeUtf8(ticket.subarray(0, 2)) ?? '';
  return /^[0-9a-f]{2}$/.test(digits) ? hexToBytes(digits)[0] : undefined;
}

/** Of two IPv6 addresses. */
export const MAX_TRUNK_HEADER_BYTES = 37;

/**
 * Begins a datagram between two members: data of a client whose relayed address is `from`, for the relayed address `to` of
 * another one. The data follows.
 *
 * ```text
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +---------------+-------------------------------+---------------+
 * | 4 or 6        |          port of `from`       |   port of …   |
 * +---------------+-------------------------------+---------------+
 * | … `to`        |   `from`, 4 or 16 bytes, then `to`, as many   |
 * +---------------+-----------------------------------------------+
 * ```
 */
export function writeTrunkHeader(w: ByteWriter, from: TransportAddress, to: TransportAddress): void {
  w.u8(ipFamily(from.ip));
  w.u16(from.port);
  w.u16(to.port);
  w.bytes(parseIp(from.ip) ?? new Uint8Array(4));
  w.bytes(parseIp(to.ip) ?? new Uint8Array(4));
}

/** Inverse of {@link writeTrunkHeader}; leaves the reader at the data. @throws {DecodeError} */
export function readTrunkHeader(r: ByteReader): { readonly from: TransportAddress; readonly to: TransportAddress } {
  const family = r.u8('family');
  if (family !== 4 && family !== 6) throw new DecodeError('bad-value', 'family', 0);
  const size = family === 4 ? 4 : 16;
  const fromPort = r.u16('from-port');
  const toPort = r.u16('to-port');
  const from = { ip: formatIp(r.bytes(size, 'from')), port: fromPort };
  return { from, to: { ip: formatIp(r.bytes(size, 'to')), port: toPort } };
}
