import { DecodeError } from '../../core/index.ts';
import type { StunMessage } from '../../stun/index.ts';

/** What browsers leave out of an origin (RFC 6454 §4). */
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' };

/**
 * An origin in the one form that origins are compared in: scheme and host in lower case, with the port, where there is
 * one or the scheme has a default. Text that is no origin stands for itself.
 */
export function canonicalOrigin(text: string): string {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^:/?#@]+)(?::(\d{1,5}))?(?:[/?#].*)?$/is.exec(text);
  if (match === null) return text;
  const scheme = match[1]!.toLowerCase();
  const port = match[3] ?? DEFAULT_PORTS[scheme];
  return `${scheme}://${match[2]!.toLowerCase()}${port === undefined ? '' : `:${port}`}`;
}

/**
 * The origins that a request names, canonical, without empty ones: of web pages, which ORIGIN
 * (draft-johnston-tram-stun-origin) tells a server that serves several realms. Nobody vouches for them.
 * @throws {DecodeError} for one that is not UTF-8: answer 400.
 */
export function originsOf(message: StunMessage): string[] {
  if (!message.has('ORIGIN')) return [];
  const origins = message.getAll('ORIGIN').filter((text) => text !== '');
  if (origins.length > MAX_ORIGINS) throw new DecodeError('too-many', 'ORIGIN', 0);
  return origins.map(canonicalOrigin);
}

/** Origins of one request: a page has one, and those that it stands in are a handful. */
export const MAX_ORIGINS = 16;
