import { ByteReader, concatBytes } from '../../core/index.ts';
import { opaque16, readOpaque16, u32 } from '../wire.ts';

/** RFC 5077 §3.3: `ticket_lifetime_hint(4) ticket<0..2^16-1>`. */
export interface NewSessionTicket {
  /** Seconds; 0 leaves it to the client. */
  readonly lifetimeHintS: number;
  /** Empty: the server changed its mind and gives none. */
  readonly ticket: Uint8Array;
}

/** @throws {DecodeError} the reader's own, `trailing-bytes`. */
export function decodeNewSessionTicket(body: Uint8Array): NewSessionTicket {
  const r = new ByteReader(body);
  const lifetimeHintS = r.u32('ticket_lifetime_hint');
  const ticket = readOpaque16(r, 'ticket');
  r.expectEnd('NewSessionTicket');
  return { lifetimeHintS, ticket };
}

/** Inverse of {@link decodeNewSessionTicket}. */
export function encodeNewSessionTicket(m: NewSessionTicket): Uint8Array {
  return concatBytes(u32(m.lifetimeHintS), opaque16(m.ticket));
}
