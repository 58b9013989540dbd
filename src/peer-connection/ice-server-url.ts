import { canonicalIp, type TransportProtocol } from '../core/index.ts';
import { domError } from './web-idl.ts';

/** One URL of `RTCIceServer.urls`, taken apart. */
export interface IceServerUrl {
  /** As the application wrote it; candidates and errors name it. */
  readonly url: string;
  readonly scheme: 'stun' | 'stuns' | 'turn' | 'turns';
  /** A name, or canonical IP text. */
  readonly host: string;
  readonly port: number;
  /** The URL has none: DNS may name another (RFC 7065 §3.2). */
  readonly portIsDefault: boolean;
  /** How to reach the server: `tls` and `dtls` for `turns` and `stuns`, over TCP unless `?transport=udp` says otherwise. */
  readonly transport: TransportProtocol;
}

/** RFC 7064 §3.2, RFC 7065 §3.2. */
const DEFAULT_PORT = { stun: 3478, turn: 3478, stuns: 5349, turns: 5349 } as const;

/**
 * W3C §4.4.1.6 "validate an ICE server URL", with the grammar of RFC 7064 §3.1 and RFC 7065 §3.1:
 *
 * ```text
 *   stunURI = ("stun" / "stuns") ":" host [ ":" port ]
 *   turnURI = ("turn" / "turns") ":" host [ ":" port ] [ "?transport=" ("udp" / "tcp") ]
 * ```
 * @throws {DOMException} `SyntaxError`.
 */
export function parseIceServerUrl(url: string): IceServerUrl {
  const fail = (why: string): DOMException => domError('SyntaxError', `'${url}' is not an ICE server URL: ${why}`);
  const parts = /^([a-z]+):([^?#]*)(\?[^#]*)?(#.*)?$/i.exec(url.trim());
  const scheme = parts?.[1]?.toLowerCase();
  if (parts === null || (scheme !== 'stun' && scheme !== 'stuns' && scheme !== 'turn' && scheme !== 'turns')) {
    throw fail('its scheme is none of stun, stuns, turn and turns');
  }
  const [, , path = '', query, fragment] = parts;
  if (/[/@]/.test(path)) throw fail('it has "/" or "@"');
  if (fragment !== undefined) throw fail('it has a fragment');
  if (query !== undefined && scheme.startsWith('stun')) throw fail('stun has no query');
  if (query !== undefined && query !== '?transport=udp' && query !== '?transport=tcp') {
    throw fail('its query is neither transport=udp nor transport=tcp');
  }
  const authority = /^(\[[^\]]*\]|[^:[\]]+)(?::(\d*))?$/.exec(path);
  const written = authority?.[1];
  if (written === undefined) throw fail('it has no host');
  const host = readHost(written);
  if (host === undefined) throw fail('its host is no name and no address');
  const portText = authority?.[2] ?? '';
  const port = portText === '' ? DEFAULT_PORT[scheme] : Number(portText);
  if (port < 1 || port > 65_535) throw fail('its port is outside 1 to 65535');
  // RFC 7065 §3.1, RFC 7064 §3.2: without a transport the plain schemes mean UDP and the secure ones TLS over TCP.
  const secure = scheme === 'turns' || scheme === 'stuns';
  const overTcp = query === undefined ? secure : query === '?transport=tcp';
  const transport = overTcp ? (secure ? 'tls' : 'tcp') : secure ? 'dtls' : 'udp';
  return { url, scheme, host, port, portIsDefault: portText === '', transport };
}

function readHost(written: string): string | undefined {
  if (written.startsWith('[')) {
    const inner = written.slice(1, -1);
    return inner.includes(':') ? canonicalIp(inner) : undefined;
  }
  const ip = canonicalIp(written);
  if (ip !== undefined) return ip;
  // Digits and dots only, and not an address: some resolvers would make a surprising address of it.
  if (/^[\d.]+$/.test(written)) return undefined;
  return /^[^\s%<>\\^`{|}"]{1,253}$/.test(written) ? written : undefined;
}
