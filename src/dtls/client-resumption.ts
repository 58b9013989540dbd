import { EMPTY } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import { type NewSessionTicket, RANDOM_BYTES, type ServerHello } from './messages/index.ts';
import type { ResolvedOptions } from './options.ts';
import type { CipherSuiteName } from './registry.ts';
import { DEFAULT_SESSION_LIFETIME_S, type DtlsSession, sessionExpired } from './session.ts';
import type { DtlsClientOptions } from './types.ts';

/** What a client does with sessions, and with signs that the server could do better than it is made to. */

/** Whether a session is worth offering. */
export function resumable(session: DtlsSession, client: DtlsClientOptions, options: ResolvedOptions): boolean {
  return (
    (session.id.length > 0 || session.ticket !== undefined) &&
    !sessionExpired(session, options.env.wallClockMs()) &&
    session.serverName === client.serverName &&
    options.cipherSuites.some((s) => s.name === session.cipherSuite)
  );
}

/** What a handshake has left of the session that it made or resumed. */
export interface SessionParts {
  readonly sessionId: Uint8Array;
  readonly masterSecret: Uint8Array;
  readonly cipherSuite: CipherSuiteName;
  readonly peerCertificates: readonly Uint8Array[];
  /** NewSessionTicket, where one came. */
  readonly ticket: NewSessionTicket | undefined;
  /** The session that was offered, when the server took it. */
  readonly resumed: DtlsSession | undefined;
}

/** The session for a later connection; undefined when the server gave nothing to name it by. */
export function newSession(
  client: DtlsClientOptions,
  options: ResolvedOptions,
  parts: SessionParts,
): DtlsSession | undefined {
  const ticket = parts.ticket?.ticket.length ? parts.ticket.ticket : parts.resumed?.ticket;
  const id = ticket === undefined ? parts.sessionId : EMPTY;
  if (ticket === undefined && id.length === 0) return undefined;
  const { serverName } = client;
  // Resumed without a new ticket it is as old as it was.
  const old = parts.ticket === undefined ? parts.resumed : undefined;
  return {
    id,
    masterSecret: parts.masterSecret,
    cipherSuite: parts.cipherSuite,
    peerCertificates: parts.peerCertificates,
    createdAtMs: old?.createdAtMs ?? options.env.wallClockMs(),
    lifetimeS: Math.min(parts.ticket?.lifetimeHintS || DEFAULT_SESSION_LIFETIME_S, 7 * DEFAULT_SESSION_LIFETIME_S),
    ...(ticket === undefined ? {} : { ticket }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

export function sameId(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * RFC 8446 §4.1.3: a server that can do better marks its random when it is made to answer with less. "DOWNGRD" 00 stands
 * for TLS 1.1 or below, which we never accept, so in a DTLS 1.2 hello it contradicts itself. 01 (a 1.3 server answering
 * with 1.2) is what a client that offers nothing above 1.2 must expect.
 */
export function checkDowngrade(hello: ServerHello): void {
  const mark = [0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x00];
  if (mark.every((byte, i) => hello.random[RANDOM_BYTES - 8 + i] === byte)) {
    throw new HandshakeFault('illegal_parameter', 'bad-value', 'the server random carries the downgrade mark');
  }
}
