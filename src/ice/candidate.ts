import { canonicalIp, type FiveTuple, ipFamily, type TransportAddress, type TransportProtocol } from '../core/index.ts';

/** RFC 8445 §4: host, server-reflexive, peer-reflexive and relayed, in the words of RFC 8839 §5.1. */
export type IceCandidateType = 'host' | 'srflx' | 'prflx' | 'relay';

/** What RFC 8445 and RFC 6544 define candidates for. */
export type IceTransport = 'udp' | 'tcp';

/** RFC 6544 §4.5: who opens the connection. */
export type IceTcpType = 'active' | 'passive' | 'so';

/** A candidate as signalling carries it (RFC 8839 §5.1). */
export interface IceCandidate {
  /** 1–32 ice-chars. Equal for candidates of the same type, base IP address, protocol and server (RFC 8445 §5.1.1.3). */
  readonly foundation: string;
  /** 1–256; this agent uses component 1 only (one component: data channels, or RTP with rtcp-mux). */
  readonly component: number;
  readonly protocol: IceTransport;
  /** 1 to 2^31 − 1. */
  readonly priority: number;
  /** Canonical IP text, or a host name: a `.local` name hides a host address behind mDNS. */
  readonly address: string;
  readonly port: number;
  readonly type: IceCandidateType;
  /** The base of a reflexive candidate, the mapped address of a relayed one; `0.0.0.0`/`::` where it is kept private. */
  readonly relatedAddress?: string | undefined;
  readonly relatedPort?: number | undefined;
  readonly tcpType?: IceTcpType | undefined;
  /** The ICE generation it belongs to: browsers write `ufrag` as an extension. */
  readonly usernameFragment?: string | undefined;
  /** Every `name value` pair behind the related address, in its order, unknown ones too. */
  readonly extensions?: readonly (readonly [name: string, value: string])[] | undefined;
  /** Local server-reflexive and relayed candidates: the server's URL or address. Never on the wire. */
  readonly url?: string | undefined;
  /** Local relayed candidates: the protocol between client and TURN server. Never on the wire. */
  readonly relayProtocol?: TransportProtocol | undefined;
}

/** RFC 8445 §5.1.2.2: recommended type preferences. */
export const TYPE_PREFERENCE: Readonly<Record<IceCandidateType, number>> = {
  host: 126,
  prflx: 110,
  srflx: 100,
  relay: 0,
};

/**
 * RFC 6544 §4.2 wants TCP candidates below all UDP ones of the same kind: 36 lower is what libwebrtc uses (host 90), so
 * that a direct TCP path still comes before any relay.
 */
const TCP_TYPE_PENALTY = 36;

/** Highest priority of the wire (RFC 8839 §5.1: 2^31 − 1). */
export const MAX_PRIORITY = 0x7fff_ffff;

/** Type preference as used in the formula: lower for TCP, never below zero. */
export function typePreference(type: IceCandidateType, protocol: IceTransport): number {
  return Math.max(0, TYPE_PREFERENCE[type] - (protocol === 'tcp' ? TCP_TYPE_PENALTY : 0));
}

/**
 * RFC 8445 §5.1.2.1: `2^24 · type + 2^8 · local + (256 − component)`. Multiplications, not shifts: the result has 31
 * bits and must not wrap.
 * @param localPreference - 0–65535.
 */
export function candidatePriority(type: number, localPreference: number, component = 1): number {
  return 0x100_0000 * type + 0x100 * localPreference + (256 - component);
}

/**
 * RFC 6544 §4.2: local preference of a TCP candidate, `2^13 · direction + other`. Direction preferences as recommended
 * there: host and relayed 6, 4, 2 for active, passive, so; reflexive the other way round for so.
 */
export function tcpLocalPreference(type: IceCandidateType, tcpType: IceTcpType, other: number): number {
  const reflexive = type === 'srflx' || type === 'prflx';
  const direction = reflexive ? { so: 6, active: 4, passive: 2 }[tcpType] : { active: 6, passive: 4, so: 2 }[tcpType];
  return 0x2000 * direction + (other & 0x1fff);
}

/** RFC 6544 §6.2: the types that may be paired with a local type. */
function tcpTypesMatch(local: IceTcpType | undefined, remote: IceTcpType | undefined): boolean {
  if (local === 'active') return remote === 'passive';
  if (local === 'passive') return remote === 'active';
  return local === 'so' && remote === 'so';
}

/** RFC 4291 §2.5.6: fe80::/10. */
function isLinkLocalIpv6(ip: string): boolean {
  return /^fe[89ab][0-9a-f]:/.test(ip);
}

/** RFC 8445 §5.1.1.1: deprecated IPv6 forms (RFC 4291 §2.5.5, RFC 3879) and unspecified addresses make no candidates. */
export function isUsableHostAddress(ip: string): boolean {
  if (canonicalIp(ip) !== ip) return false;
  if (ipFamily(ip) === 4) return ip !== '0.0.0.0' && ip !== '255.255.255.255';
  const deprecated = /^::(\d+\.\d+\.\d+\.\d+$|ffff:)/.test(ip) || /^fe[c-f][0-9a-f]:/.test(ip);
  // `::a.b.c.d` has the canonical text of two hex groups behind `::`.
  const ipv4Compatible = /^::[0-9a-f]{1,4}:[0-9a-f]{1,4}$/.test(ip);
  return ip !== '::' && !deprecated && !ipv4Compatible;
}

/** An mDNS name that stands for a host address (draft-ietf-mmusic-mdns-ice-candidates). */
export function isMdnsName(address: string): boolean {
  return /^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.local$/i.test(address) && address.length <= 255;
}

/** A candidate of ours: what is signalled, and what a check is sent from. */
export interface LocalCandidate {
  readonly candidate: IceCandidate;
  /** The socket's address: equal to the candidate's own for host and relayed ones (RFC 8445 §4 "base"). */
  readonly base: TransportAddress;
  /** The `protocol` of five-tuples from this base. */
  readonly protocol: FiveTuple['protocol'];
  /** Priority that a peer-reflexive candidate of this base would have: the PRIORITY attribute of its checks (RFC 8445 §7.1.1). */
  readonly prflxPriority: number;
  /** Number in `stats()`. */
  readonly id: number;
}

/** A candidate of the peer, its address known. Peer-reflexive ones are replaced when the peer signals them. */
export interface RemoteCandidate {
  candidate: IceCandidate;
  readonly address: TransportAddress;
  readonly id: number;
}

/** RFC 8445 §6.1.2.2 and RFC 6544 §6.2: whether a local base and a remote candidate form a pair. */
export function canPair(local: LocalCandidate, remote: RemoteCandidate): boolean {
  const l = local.candidate;
  const r = remote.candidate;
  if (l.component !== r.component || l.protocol !== r.protocol) return false;
  if (l.protocol === 'tcp' && !tcpTypesMatch(l.tcpType, r.tcpType)) return false;
  if (ipFamily(local.base.ip) !== ipFamily(remote.address.ip)) return false;
  return isLinkLocalIpv6(local.base.ip) === isLinkLocalIpv6(remote.address.ip);
}
