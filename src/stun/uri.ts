import { canonicalIp } from '../core/index.ts';

/** Default ports (RFC 8489 §18.6, RFC 8656 §4): plain, and over TLS or DTLS. */
export const DEFAULT_PORT = 3478;
export const DEFAULT_SECURE_PORT = 5349;

/** A parsed `stun:`, `stuns:`, `turn:` or `turns:` URI (RFC 7064 §3.1, RFC 7065 §3.1). */
export interface StunUri {
  readonly scheme: 'stun' | 'stuns' | 'turn' | 'turns';
  /** Host name in lower case, or canonical address text without brackets. */
  readonly host: string;
  /** Whether `host` is an IP address. */
  readonly isIp: boolean;
  /** Undefined when the URI has none: then DNS SRV may decide, and otherwise the default port. */
  readonly port: number | undefined;
  /** `?transport=`, in `turn:` and `turns:` only. */
  readonly transport: 'udp' | 'tcp' | undefined;
}

/** The text is not one of these URIs; `message` says what is wrong with it. */
export class StunUriError extends Error {
  override readonly name = 'StunUriError';
}

const URI = /^(stuns?|turns?):(\[[^\]]*\]|[^:?#[\]/]*)(?::([^?#]*))?(?:\?(.*))?$/i;
const HOST_NAME =
  /^(?=.{1,253}\.?$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/;

/**
 * Parses a URI (RFC 7064 §3.1, RFC 7065 §3.1). They have no `//`: `stun://host` is an error, as in browsers.
 * @throws {StunUriError}
 */
export function parseStunUri(text: string): StunUri {
  const match = URI.exec(text);
  if (match === null) throw new StunUriError(`not a stun: or turn: URI: ${text}`);
  const scheme = schemeOf(match[1]!);
  const { host, isIp } = parseHost(match[2]!);
  const port = match[3] === undefined ? undefined : parsePort(match[3]);
  const transport = match[4] === undefined ? undefined : parseQuery(scheme, match[4]);
  return { scheme, host, isIp, port, transport };
}

function schemeOf(text: string): StunUri['scheme'] {
  const scheme = text.toLowerCase();
  if (scheme === 'stun' || scheme === 'stuns' || scheme === 'turn' || scheme === 'turns') return scheme;
  throw new StunUriError(`unknown scheme ${text}`);
}

function parseHost(text: string): { host: string; isIp: boolean } {
  if (text.startsWith('[')) {
    const ip = canonicalIp(text.slice(1, -1));
    if (ip === undefined || !text.includes(':')) throw new StunUriError(`not an IPv6 address: ${text}`);
    return { host: ip, isIp: true };
  }
  const ip = canonicalIp(text);
  if (ip !== undefined) return { host: ip, isIp: true };
  const host = text.toLowerCase();
  if (!HOST_NAME.test(host)) throw new StunUriError(text === '' ? 'the host is missing' : `not a host name: ${text}`);
  // All digits and dots, but no IPv4 address: some resolver would read it as one that we did not see.
  if (/^[\d.]+$/.test(host)) throw new StunUriError(`not an IPv4 address: ${text}`);
  return { host, isIp: false };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535) throw new StunUriError(`not a port: ${text}`);
  return port;
}

function parseQuery(scheme: StunUri['scheme'], text: string): 'udp' | 'tcp' {
  if (scheme === 'stun' || scheme === 'stuns') throw new StunUriError(`a ${scheme}: URI has no query`);
  const match = /^transport=(.*)$/i.exec(text);
  const transport = match?.[1]?.toLowerCase();
  if (transport === 'udp' || transport === 'tcp') return transport;
  throw new StunUriError(`expected ?transport=udp or ?transport=tcp, not ?${text}`);
}

/** Inverse of {@link parseStunUri}; the text is normalised. */
export function formatStunUri(uri: StunUri): string {
  const host = uri.host.includes(':') ? `[${uri.host}]` : uri.host;
  const port = uri.port === undefined ? '' : `:${uri.port}`;
  const query = uri.transport === undefined ? '' : `?transport=${uri.transport}`;
  return `${uri.scheme}:${host}${port}${query}`;
}

/** Whether the URI asks for TLS, or for DTLS over UDP (RFC 7350 §4). */
export function isSecureUri(uri: StunUri): boolean {
  return uri.scheme.endsWith('s');
}

/** The port to use where neither the URI nor DNS SRV gives one. */
export function defaultPort(uri: StunUri): number {
  return uri.port ?? (isSecureUri(uri) ? DEFAULT_SECURE_PORT : DEFAULT_PORT);
}

/** How to reach the server: below TURN's framing, one of four transports. */
export function transportOf(uri: StunUri): 'udp' | 'tcp' | 'tls' | 'dtls' {
  const secure = isSecureUri(uri);
  // RFC 7064 §3.2: `stuns:` without more is TLS over TCP; RFC 7065 §3.2 says the same of `turns:`.
  const base = uri.transport ?? (secure ? 'tcp' : 'udp');
  if (base === 'tcp') return secure ? 'tls' : 'tcp';
  return secure ? 'dtls' : 'udp';
}

/**
 * The DNS SRV name to look up first (RFC 8489 §8, RFC 5928 §3), such as `_turns._tcp.example.org`; undefined where a port
 * or an address is given, because then there is nothing to find out.
 */
export function srvName(uri: StunUri): string | undefined {
  if (uri.isIp || uri.port !== undefined) return undefined;
  const transport = transportOf(uri);
  return `_${uri.scheme}._${transport === 'udp' || transport === 'dtls' ? 'udp' : 'tcp'}.${uri.host}`;
}
