import type { CryptoBackend, InterfaceAddress, Platform } from '../core/index.ts';
import { utf8 } from '../core/index.ts';
import type { Certificate } from '../crypto/index.ts';
import { type AccessToken, MAX_USERNAME_BYTES } from '../stun/index.ts';
import { type IceServerUrl, parseIceServerUrl } from './ice-server-url.ts';
import type { TurnServer } from './relay.ts';
import { RTCCertificate } from './rtc-certificate.ts';
import type { RTCIceTcpCandidateType } from './rtc-ice-candidate.ts';
import type { DatagramObserver } from './socket-host.ts';
import type { TcpMux } from './tcp-mux.ts';
import type { PeerTransportOptions } from './transport-types.ts';
import type { UdpMux } from './udp-mux.ts';
import {
  dictionary,
  domError,
  domString,
  enforceRange,
  enumeration,
  instanceOf,
  isIterable,
  member,
  sequence,
  usvString,
} from './web-idl.ts';

const POLICIES = ['relay', 'all'] as const;
const BUNDLE = ['balanced', 'max-compat', 'max-bundle'] as const;
const MUX = ['require'] as const;

export type RTCIceTransportPolicy = (typeof POLICIES)[number];
export type RTCBundlePolicy = (typeof BUNDLE)[number];
export type RTCRtcpMuxPolicy = (typeof MUX)[number];

/** W3C RTCIceServer. */
export interface RTCIceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

/**
 * What a Node program may want that a browser does not let it choose: one extra member of the configuration. Read when
 * the connection is made; `setConfiguration` does not change it.
 *
 * @example
 * const udpMux = new UdpMux(platform, 3478);
 * const certificate = certificateFromPem(platform.env.crypto, readFileSync('server.pem', 'utf8'));
 * new RTCPeerConnection({ purertc: { udpMux, certificate, interfaceFilter: ({ name }) => name === 'eth0' } });
 */
export interface PurertcOptions {
  /** Sockets, clock, names, randomness and cryptography instead of the runtime's own. */
  readonly platform?: Platform;
  /** Cryptography instead of the platform's: `nobleCrypto` of `purertc/crypto`, or the application's own. */
  readonly crypto?: CryptoBackend;
  /**
   * Which interface addresses get a socket and a candidate; given, it alone decides. Default: all that are not loopback
   * and not IPv6 link-local, or loopback where there is nothing else.
   */
  readonly interfaceFilter?: (address: InterfaceAddress) => boolean;
  /**
   * Host candidates carry a random `.local` name in the place of the address, as browsers write them, and multicast DNS
   * answers for it (draft-ietf-mmusic-mdns-ice-candidates). Default false.
   */
  readonly mdns?: boolean;
  /**
   * Interface addresses that appear later get candidates too, and the candidates of those that vanish are given up at
   * once. Default false: the sockets are those of the first gathering.
   */
  readonly watchInterfaces?: boolean;
  /**
   * TCP candidates too, for networks that let no UDP through (RFC 6544): for each address an active and a passive one, or
   * the kinds that are named. Simultaneous-open ones (`so`) are for peers that both are behind NATs; `stun:` and `turn:`
   * servers are asked over TCP for their mapped addresses. Default false, and true with `tcpMux`.
   */
  readonly iceTcp?: boolean | readonly RTCIceTcpCandidateType[];
  /**
   * Relayed TCP candidates too (RFC 6544 §5.5): TURN servers that are reached over TCP or TLS are asked for a TCP allocation
   * (RFC 6062), which peers without UDP and without a relay of their own can connect to. Default false; needs `iceTcp`.
   */
  readonly tcpRelays?: boolean;
  /** One UDP port for many connections: `new UdpMux(platform, 3478)`, with the `platform` of `purertc/io`. */
  readonly udpMux?: UdpMux;
  /** One port for the passive TCP candidates of many connections: `new TcpMux(platform, 3478)`. */
  readonly tcpMux?: TcpMux;
  /** UDP ports, and those of passive TCP candidates, both included; default: any. */
  readonly portRange?: { readonly min: number; readonly max: number };
  /** Fixed ICE credentials (RFC 8839 §5.4) instead of random ones, for the first generation. */
  readonly iceUfrag?: string;
  readonly icePwd?: string;
  /**
   * A certificate with its key, made or kept by the application, in the place of a generated one: `certificateFromPem` of
   * `purertc/crypto` reads it. `RTCConfiguration.certificates`, where given, comes first.
   */
  readonly certificate?: Certificate;
  /** Called with each line of an NSS key log, for Wireshark: secrets that open the traffic. As `dtls.keyLog`. */
  readonly keyLog?: (line: string) => void;
  /** Leave the check of the peer's certificate to the application (libp2p's webrtc-direct proves identities later). */
  readonly acceptAnyFingerprint?: boolean;
  /** Which DTLS role to take where the offer leaves the choice. Default `active`, the client (RFC 9429 §5.3.1). */
  readonly answerSetup?: 'active' | 'passive';
  /** Largest message to accept, bytes; announced to the peer. Default 262,144. */
  readonly maxMessageSize?: number;
  /** Anything else of the layers. */
  readonly ice?: PeerTransportOptions['ice'];
  readonly dtls?: PeerTransportOptions['dtls'];
  readonly sctp?: PeerTransportOptions['sctp'];
  readonly channels?: PeerTransportOptions['channels'];
  /** What TURN servers over TLS and DTLS are trusted by, and wishes to all TURN servers. */
  readonly turn?: Omit<NonNullable<TurnServer['turn']>, 'accessToken'> & {
    /** PEM certificates to trust instead of the authorities that the runtime trusts. */
    readonly ca?: readonly string[];
    /**
     * An OAuth token for the server of that URL (RFC 7635), in the place of its `username` and `credential`, which W3C wants
     * all the same: they may be empty. Asked for each allocation, so that a token can be renewed; undefined for none.
     */
    readonly accessTokenFor?: (url: string) => AccessToken | undefined;
  };
  /**
   * Called with every datagram sent and received, as it is on the wire. `at` is the platform's clock, `bytes` is borrowed.
   * For captures: `openPcap` of `purertc/io` makes a file for Wireshark of them, and `dtls.keyLog` the keys.
   */
  readonly onDatagram?: DatagramObserver;
}

/** W3C RTCConfiguration, and `purertc`. */
export interface RTCConfiguration {
  iceServers?: RTCIceServer[];
  iceTransportPolicy?: RTCIceTransportPolicy;
  bundlePolicy?: RTCBundlePolicy;
  rtcpMuxPolicy?: RTCRtcpMuxPolicy;
  certificates?: RTCCertificate[];
  iceCandidatePoolSize?: number;
  purertc?: PurertcOptions;
}

/** One server with its URLs taken apart. */
export interface ParsedIceServer {
  readonly urls: readonly IceServerUrl[];
  readonly username: string | undefined;
  readonly credential: string | undefined;
}

/** Whether the list has the URL with these credentials. Others are another account: its allocations are others too. */
export function isListed(
  servers: readonly ParsedIceServer[],
  url: string,
  username: string,
  password: string,
): boolean {
  return servers.some(
    (server) =>
      server.username === username && server.credential === password && server.urls.some((known) => known.url === url),
  );
}

/** A configuration after validation, every member present. */
export interface ParsedConfiguration {
  readonly iceServers: readonly ParsedIceServer[];
  readonly iceTransportPolicy: RTCIceTransportPolicy;
  readonly bundlePolicy: RTCBundlePolicy;
  readonly rtcpMuxPolicy: RTCRtcpMuxPolicy;
  readonly certificates: readonly RTCCertificate[];
  readonly iceCandidatePoolSize: number;
}

/** ICE servers that are used; W3C: "truncate iceServers to the maximum number of supported elements". */
export const MAX_ICE_SERVERS = 16;

/** A configuration whose members have their types and nothing more. */
interface GivenConfiguration extends Omit<ParsedConfiguration, 'iceServers'> {
  readonly iceServers: readonly GivenIceServer[];
}

interface GivenIceServer extends Omit<ParsedIceServer, 'urls'> {
  readonly urls: readonly string[];
}

/** Web IDL conversion of an RTCConfiguration. @throws {TypeError} for a malformed dictionary. */
export function readConfiguration(configuration: unknown): GivenConfiguration {
  const given = dictionary(configuration, 'RTCConfiguration');
  return {
    iceServers: list(given, 'iceServers').map(readIceServer),
    iceTransportPolicy: member(given, 'iceTransportPolicy', toPolicy, 'all'),
    bundlePolicy: member(given, 'bundlePolicy', toBundlePolicy, 'balanced'),
    rtcpMuxPolicy: member(given, 'rtcpMuxPolicy', toMuxPolicy, 'require'),
    certificates: list(given, 'certificates').map(instanceOf(RTCCertificate, 'an element of certificates')),
    iceCandidatePoolSize: member(given, 'iceCandidatePoolSize', (v) => enforceRange(v, 255, 'iceCandidatePoolSize'), 0),
  };
}

/**
 * The checks of W3C §4.4.1.6 "set a configuration" steps 4 and 5.
 * @throws {DOMException} `SyntaxError` for a URL, `InvalidAccessError` for missing TURN credentials.
 */
export function checkConfiguration(given: GivenConfiguration): ParsedConfiguration {
  return { ...given, iceServers: given.iceServers.slice(0, MAX_ICE_SERVERS).map(checkIceServer) };
}

const toPolicy = enumeration(POLICIES, 'RTCIceTransportPolicy');
const toBundlePolicy = enumeration(BUNDLE, 'RTCBundlePolicy');
const toMuxPolicy = enumeration(MUX, 'RTCRtcpMuxPolicy');

function list(given: Readonly<Record<string, unknown>>, name: string): unknown[] {
  return member(given, name, (value) => sequence(value, name), []);
}

function readIceServer(value: unknown): GivenIceServer {
  const given = dictionary(value, 'RTCIceServer');
  // `url` is what the attribute was called before 2014; node libraries still write it.
  const urls = given['urls'] === undefined ? given['url'] : given['urls'];
  if (urls === undefined) throw new TypeError('an ICE server has no urls');
  return {
    urls: (isIterable(urls) ? Array.from(urls) : [urls]).map(usvString),
    username: member(given, 'username', domString, undefined),
    credential: member(given, 'credential', domString, undefined),
  };
}

function checkIceServer({ urls, username, credential }: GivenIceServer): ParsedIceServer {
  if (urls.length === 0) throw domError('SyntaxError', 'an ICE server has no urls');
  const parsed = urls.map(parseIceServerUrl);
  if (parsed.some(({ scheme }) => scheme === 'turn' || scheme === 'turns')) {
    if (username === undefined || credential === undefined) {
      throw domError('InvalidAccessError', 'a TURN server needs username and credential');
    }
    if (utf8(username).length > MAX_USERNAME_BYTES) {
      throw domError('InvalidAccessError', 'username is longer than 508 bytes');
    }
  }
  return { urls: parsed, username, credential };
}

/**
 * W3C §4.4.1.6 "set a configuration" step 3: what may not change any more.
 * @param localDescriptionSet - whether `setLocalDescription` has been called.
 * @throws {DOMException} `InvalidModificationError`.
 */
export function checkModification(
  before: ParsedConfiguration,
  after: ParsedConfiguration,
  localDescriptionSet: boolean,
): void {
  const fail = (what: string): DOMException => domError('InvalidModificationError', `${what} cannot be changed`);
  const same =
    after.certificates.length === before.certificates.length &&
    after.certificates.every((certificate, i) => certificate === before.certificates[i]);
  if (!same) throw fail('certificates');
  if (after.bundlePolicy !== before.bundlePolicy) throw fail('bundlePolicy');
  if (after.rtcpMuxPolicy !== before.rtcpMuxPolicy) throw fail('rtcpMuxPolicy');
  if (after.iceCandidatePoolSize !== before.iceCandidatePoolSize && localDescriptionSet) {
    throw fail('iceCandidatePoolSize');
  }
}

/** What `getConfiguration` returns: a copy, every member present, in the order that Web IDL gives to dictionaries. */
export function toConfiguration(parsed: ParsedConfiguration): RTCConfiguration {
  return {
    bundlePolicy: parsed.bundlePolicy,
    certificates: [...parsed.certificates],
    iceCandidatePoolSize: parsed.iceCandidatePoolSize,
    iceServers: parsed.iceServers.map(({ urls, username, credential }) => ({
      ...(credential !== undefined && { credential }),
      urls: urls.map(({ url }) => url),
      ...(username !== undefined && { username }),
    })),
    iceTransportPolicy: parsed.iceTransportPolicy,
    rtcpMuxPolicy: parsed.rtcpMuxPolicy,
  };
}
