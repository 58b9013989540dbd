import { UsageError } from '../core/index.ts';
import { type ClientCredentials, LongTermClient, type StunMessage, ThirdPartyClient } from '../stun/index.ts';
import type { TurnClientOptions } from './client-types.ts';
import { MAX_TICKET_BYTES, REFRESH_MARGIN_MS } from './limits.ts';

/** @throws {UsageError} when there is no credential, or one that cannot be prepared. */
export function makeCredentials(o: TurnClientOptions): ClientCredentials {
  if (o.accessToken !== undefined) return new ThirdPartyClient(o.env.crypto, o.accessToken);
  if (o.username === undefined || o.password === undefined) {
    throw new UsageError('a TURN client needs a user name and a password, or an access token');
  }
  return new LongTermClient(o.env.crypto, o.username, o.password, { preferSha256: true });
}

/** A copy; undefined for none, and for one that is too long to be sent back. */
export function ticketOf(message: StunMessage): Uint8Array | undefined {
  const ticket = message.get('MOBILITY-TICKET');
  return ticket === undefined || ticket.length > MAX_TICKET_BYTES ? undefined : ticket.slice();
}

/** One minute before the end (RFC 8656 §8), or half-way for what lives less than two. */
export function refreshDelayMs(lifetimeMs: number): number {
  return lifetimeMs > 2 * REFRESH_MARGIN_MS ? lifetimeMs - REFRESH_MARGIN_MS : lifetimeMs / 2;
}

/** RFC 8656 §7.4: how long to leave the server alone. */
export const RETRY_AFTER_MS: Readonly<Record<number, number>> = { 437: 120_000, 486: 60_000, 508: 60_000 };
