import type { GroupName, KeyType } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import type { ClientHello } from './messages/index.ts';
import type { ResolvedOptions } from './options.ts';
import { type CipherSuite, DTLS_1_2 } from './registry.ts';
import type { ClientWishes } from './server-extensions.ts';
import { type DtlsSession, sessionExpired } from './session.ts';
import { chooseCertificate } from './signatures.ts';
import type { DtlsServerOptions } from './types.ts';

/** What a server decides from a ClientHello alone: suite, group and certificate, or the session to resume. */

/** RFC 6347 §4.2.1 with RFC 5246 appendix E.1: the client's highest version; ours is 1.2, and nothing below is spoken. */
export function checkVersion(version: number): void {
  if (version >>> 8 !== 0xfe || version > DTLS_1_2) {
    throw new HandshakeFault('protocol_version', 'bad-version', `the client offers version ${version.toString(16)}`);
  }
}

/** What a full handshake will use, decided from the ClientHello at once. */
export interface Choice {
  readonly suite: CipherSuite;
  readonly group: GroupName | undefined;
  readonly own: ReturnType<typeof chooseCertificate>;
}

/**
 * The first suite in our order that the client offers and that both can authenticate and agree keys for.
 * @throws {HandshakeFault} `handshake_failure` when there is none.
 */
export function chooseSuite(options: ResolvedOptions, hello: ClientHello, wishes: ClientWishes): Choice {
  // RFC 8422 §4: without supported_groups the server is free; P-256 is what every such client knows.
  const known: readonly GroupName[] = wishes.groups ?? ['secp256r1'];
  const group = options.groups.find((name) => known.includes(name));
  for (const suite of options.cipherSuites) {
    if (!hello.cipherSuites.includes(suite.code)) continue;
    if (suite.keyExchange !== 'psk' && group === undefined) continue;
    const usedGroup = suite.keyExchange === 'psk' ? undefined : group;
    if (suite.authentication === 'psk') return { suite, group: usedGroup, own: undefined };
    const usable = options.certificates.filter((c) => curveOffered(c.key.type, wishes.groups));
    const own = chooseCertificate(usable, wishes.signatureSchemes, (a) => a === suite.authentication);
    if (own !== undefined) return { suite, group: usedGroup, own };
  }
  throw new HandshakeFault('handshake_failure', 'unsupported', 'no common suite, group and signature scheme');
}

/** RFC 8422 §5.3: the key of an ECDSA certificate must lie on a curve that the client lists among its groups. */
function curveOffered(keyType: KeyType, groups: readonly GroupName[] | undefined): boolean {
  if (keyType !== 'ecdsa-p256' && keyType !== 'ecdsa-p384') return true;
  return groups === undefined || groups.includes(keyType === 'ecdsa-p256' ? 'secp256r1' : 'secp384r1');
}

/** Clients without a certificate are refused. */
export function certificateRequired(server: DtlsServerOptions): boolean {
  return server.requireClientCertificate ?? server.requestClientCertificate ?? false;
}

/**
 * The session a ClientHello asks to resume, if everything about it still holds; undefined: a full handshake.
 * @throws {HandshakeFault} `handshake_failure` for a client that would resume without extended_master_secret.
 */
export function findSession(
  server: DtlsServerOptions,
  options: ResolvedOptions,
  hello: ClientHello,
  wishes: ClientWishes,
): { readonly session: DtlsSession; readonly suite: CipherSuite } | undefined {
  const session =
    wishes.ticket !== undefined && wishes.ticket.length > 0
      ? server.ticketKeys?.open(wishes.ticket)
      : hello.sessionId.length > 0
        ? server.sessionCache?.get(hello.sessionId)
        : undefined;
  if (session === undefined || sessionExpired(session, options.env.wallClockMs())) return undefined;
  const suite = options.cipherSuites.find((s) => s.name === session.cipherSuite);
  if (suite === undefined || !hello.cipherSuites.includes(suite.code)) return undefined;
  // RFC 6066 §3: "MUST NOT accept the request to resume the session if the server_name extension contains a different name".
  if (session.serverName !== wishes.serverName) return undefined;
  if (certificateRequired(server) && suite.authentication !== 'psk' && session.peerCertificates.length === 0)
    return undefined;
  // RFC 7627 §5.3: all our sessions have the extended master secret; a client that resumes without it MUST be refused.
  if (!wishes.extendedMasterSecret) throw new HandshakeFault('handshake_failure', 'missing', 'resumption without EMS');
  return { session, suite };
}
