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
  /** How to reach the server: `tls` and `dtls` for `turns`, over TCP unless `?transport=udp` says otherwise. */
  readonly transport: TransportProtocol;
}

/** RFC 7064 §3.2, RFC 7065 §3.2. */
const DEFAULT_PORT = { stun: 3478, turn: 3478, stuns: 5349, turns: 5349 } as const;

/**
 * W3C §4.4.1.6 "validate an ICE server URL", which leaves the parsing to the URL standard; the grammar is that of RFC 7064
 * §3.1 and RFC 7065 §3.1:
 *
 * ```text
 *   stunURI = ("stun" / "stuns") ":" host [ ":" port ]
 *   turnURI = ("turn" / "turns") ":" host [ ":" port ] [ "?transport=" ("udp" / "tcp") ]
 * ```
 * @throws {DOMException} `SyntaxError`.
 */
export function parseIceServerUrl(url: string): IceServerUrl {
  const fail = (why: string): DOMException => domError('SyntaxError', `'${url}' is not an ICE server URL: ${why}`);
  const parsed = parseUrl(url); // step 1
  const scheme = parsed?.protocol.slice(0, -1);
  // Step 2. `href` shows also a query and a fragment that are empty.
  if (parsed === undefined || (scheme !== 'stun' && scheme !== 'stuns' && scheme !== 'turn' && scheme !== 'turns')) {
    throw fail('its scheme is none of stun, stuns, turn and turns');
  }
  if (/[/@]/.test(parsed.pathname)) throw fail('it has "/" or "@"');
  if (parsed.href.includes('#')) throw fail('it has a fragment');
  const hasQuery = parsed.href.includes('?');
  if (hasQuery && scheme.startsWith('stun')) throw fail('stun has no query');
  // Steps 4 to 6. `http` too: its default port is another, so that one of the two shows every port.
  const [overHttps, overHttp] = ['https', 'http'].map((name) => parseUrl(`${name}://${parsed.pathname}`));
  if (overHttps === undefined || overHttp === undefined)
    throw fail('its host is no name and no address, or its port none');
  if (overHttps.pathname !== '/') throw fail('it has a path'); // step 6: `\\` is a "/" too
  if (hasQuery && parsed.search !== '?transport=udp' && parsed.search !== '?transport=tcp') {
    throw fail('its query is neither transport=udp nor transport=tcp');
  }
  const portText = overHttps.port || overHttp.port;
  // RFC 7065 §3.1: without a transport `turn` means UDP and `turns` TLS over TCP. RFC 7064 §3.2 says the same of `stuns`, but
  // over TLS a server cannot see the address of a UDP socket, which is all it is asked for: as Chromium does, it is asked
  // over UDP, at the port of the secure service. The question holds nothing that is secret.
  const secure = scheme === 'turns';
  const overTcp = hasQuery ? parsed.search === '?transport=tcp' : secure;
  const transport = overTcp ? (secure ? 'tls' : 'tcp') : secure ? 'dtls' : 'udp';
  const name = overHttps.hostname.replace(/^\[(.*)\]$/, '$1'); // IPv6
  return {
    url,
    scheme,
    host: canonicalIp(name) ?? name,
    port: portText === '' ? DEFAULT_PORT[scheme] : Number(portText),
    portIsDefault: portText === '',
    transport,
  };
}

/** The URL standard's parser; undefined for a failure. */
function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
