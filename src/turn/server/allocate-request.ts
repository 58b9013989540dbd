import type { StunErrorCode, StunMessage } from '../../stun/index.ts';

/** IP protocol number of UDP in REQUESTED-TRANSPORT. */
const PROTOCOL_UDP = 17;

/** And of TCP (RFC 6062 §5.1). */
const PROTOCOL_TCP = 6;

/** What an Allocate request asks for, after the checks that need no state. */
export interface AllocateRequest {
  readonly transport: 'udp' | 'tcp';
  /** Families to allocate, IPv4 first; of two, one is enough (RFC 8656 §7.2 step 9). */
  readonly families: readonly (4 | 6)[];
  readonly evenPort: boolean;
  readonly reserveNext: boolean;
  /** Borrowed. */
  readonly reservationToken: Uint8Array | undefined;
  /** Seconds. */
  readonly lifetimeS: number | undefined;
}

/** What the server and the client's connection allow. */
export interface AllowedFeatures {
  readonly mobility: boolean;
  readonly tcpRelay: boolean;
  /** The request came over TCP or TLS. */
  readonly isStream: boolean;
}

/**
 * The checks 3 to 9 of RFC 8656 §7.2, as far as they concern the request alone, in their order.
 * @returns an error code where one fails.
 * @throws {DecodeError} for a malformed attribute: 400.
 */
export function readAllocateRequest(message: StunMessage, allowed: AllowedFeatures): AllocateRequest | StunErrorCode {
  const transport = message.get('REQUESTED-TRANSPORT');
  if (transport === undefined) return 400;
  const isTcp = transport === PROTOCOL_TCP && allowed.tcpRelay;
  if (transport !== PROTOCOL_UDP && !isTcp) return 442;
  const ticket = message.get('MOBILITY-TICKET');
  if (ticket !== undefined && ticket.length > 0) return 400; // RFC 8016 §3.1.2
  if (ticket !== undefined && !allowed.mobility) return 405;
  const reservationToken = message.get('RESERVATION-TOKEN');
  const evenPort = message.get('EVEN-PORT');
  const requested = message.get('REQUESTED-ADDRESS-FAMILY');
  const additional = message.get('ADDITIONAL-ADDRESS-FAMILY') ?? message.get('COTURN-ADDITIONAL-ADDRESS-FAMILY');
  // RFC 6062 §5.1: over TCP or TLS only, and without what a port for RTP would need.
  if (isTcp && (!allowed.isStream || evenPort !== undefined || reservationToken !== undefined)) return 400;
  if (message.get('DONT-FRAGMENT') === true && isTcp) return 400;
  const constrained = evenPort !== undefined || requested !== undefined || additional !== undefined;
  if (reservationToken !== undefined && constrained) return 400;
  if (requested !== undefined && additional !== undefined) return 400;
  if (additional !== undefined && evenPort === true) return 400;
  if (additional === 4) return 400;
  return {
    transport: isTcp ? 'tcp' : 'udp',
    families: additional === undefined ? [requested ?? 4] : [4, 6],
    evenPort: evenPort !== undefined,
    reserveNext: evenPort === true,
    reservationToken,
    lifetimeS: message.get('LIFETIME'),
  };
}

/** The lifetime that a request gets (RFC 8656 §7.2, §8.2): at least the default, at most the maximum. */
export function grantLifetimeS(requestedS: number | undefined, defaultS: number, maxS: number): number {
  return Math.max(defaultS, Math.min(requestedS ?? defaultS, maxS));
}
