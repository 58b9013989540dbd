import { type FiveTuple, formatAddress, ipFamily, type TransportAddress } from '../core/index.ts';
import {
  candidatePriority,
  type IceCandidate,
  type IceCandidateType,
  type IceTcpType,
  type IceTransport,
  type LocalCandidate,
  tcpLocalPreference,
  typePreference,
} from './candidate.ts';
import type { HostCandidateOptions, RelayedCandidateOptions } from './types.ts';

/** RFC 8839 §5.1: what stands for a related address that is kept private. */
const PRIVATE_PORT = 9;

/** Steps between relayed candidates of different transports, so that UDP comes first, then TCP, then TLS. */
const RELAY_STEP = 0x4000;

/** Steps between server-reflexive candidates of one base, so that priorities stay unique (RFC 8445 §5.1.2). */
const SERVER_STEP = 0x80;

/** What one relay step leaves of the 13 bits that a TCP candidate has: more than all servers take together. */
const TCP_RELAY_STEP = 0x800;

/**
 * Makes our candidates: foundations (RFC 8445 §5.1.1.3) and priorities (§5.1.2). One for the life of an agent, so that
 * foundations stay equal across generations.
 */
export class LocalCandidateFactory {
  readonly #nextId: () => number;
  readonly #foundations = new Map<string, string>();
  readonly #preferences = new Map<string, number>();
  readonly #familyCounts = { 4: 0, 6: 0 };
  readonly #servers: string[] = [];

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  host(base: TransportAddress, options: HostCandidateOptions, ufrag: string): LocalCandidate {
    const protocol: IceTransport = options.tcpType === undefined ? 'udp' : 'tcp';
    const preference = options.localPreference ?? this.#ownPreference(base, 0, options.tcpType);
    return this.#make(base, protocol, preference, options.tcpType, {
      foundation: this.#foundation('host', base.ip, protocol, ''),
      component: 1,
      protocol,
      priority: this.#priority('host', protocol, options.tcpType, preference),
      address: options.hostname ?? base.ip,
      port: base.port,
      type: 'host',
      tcpType: options.tcpType,
      usernameFragment: ufrag,
    });
  }

  /** @param host - the candidate whose base asked `server` and learned `mapped`. */
  serverReflexive(host: LocalCandidate, mapped: TransportAddress, server: string, url?: string): LocalCandidate {
    const { base, candidate } = host;
    if (!this.#servers.includes(server)) this.#servers.push(server);
    const { protocol, tcpType } = candidate;
    const preference = this.#ownPreference(base, SERVER_STEP * this.#servers.indexOf(server), tcpType);
    const hidden = candidate.address !== base.ip; // behind an mDNS name: the base must not show here either
    return this.#make(base, protocol, preference, tcpType, {
      foundation: this.#foundation('srflx', base.ip, protocol, server),
      component: 1,
      protocol,
      priority: this.#priority('srflx', protocol, tcpType, preference),
      address: mapped.ip,
      port: mapped.port,
      type: 'srflx',
      relatedAddress: hidden ? (ipFamily(base.ip) === 4 ? '0.0.0.0' : '::') : base.ip,
      relatedPort: hidden ? PRIVATE_PORT : base.port,
      tcpType,
      usernameFragment: candidate.usernameFragment,
      url: url ?? server,
    });
  }

  /** A relayed candidate is its own base (RFC 8445 §4). */
  relayed(
    relayed: TransportAddress,
    related: TransportAddress,
    options: RelayedCandidateOptions,
    ufrag: string,
  ): LocalCandidate {
    const relayProtocol = options.relayProtocol ?? 'udp';
    const rank = relayProtocol === 'udp' ? 0 : relayProtocol === 'tcp' ? 1 : 2;
    const { tcpType } = options;
    const preference = options.localPreference ?? this.#ownPreference(relayed, RELAY_STEP * rank, tcpType);
    const protocol: IceTransport = tcpType === undefined ? 'udp' : 'tcp';
    return this.#make(relayed, protocol, preference, tcpType, {
      foundation: this.#foundation('relay', relayed.ip, `${relayProtocol} ${protocol}`, options.url ?? ''),
      component: 1,
      protocol,
      priority: this.#priority('relay', protocol, tcpType, preference),
      address: relayed.ip,
      port: relayed.port,
      type: 'relay',
      relatedAddress: related.ip,
      relatedPort: related.port,
      tcpType,
      usernameFragment: ufrag,
      url: options.url,
      relayProtocol,
    });
  }

  #make(
    base: TransportAddress,
    protocol: FiveTuple['protocol'],
    preference: number,
    tcpType: IceTcpType | undefined,
    candidate: IceCandidate,
  ): LocalCandidate {
    const prflxPriority = this.#priority('prflx', candidate.protocol, tcpType, preference);
    return { candidate, base, protocol, prflxPriority, id: this.#nextId() };
  }

  #priority(
    type: IceCandidateType,
    protocol: IceTransport,
    tcpType: IceTcpType | undefined,
    preference: number,
  ): number {
    const local = tcpType === undefined ? preference : tcpLocalPreference(type, tcpType, preference >>> 3);
    return candidatePriority(typePreference(type, protocol), local);
  }

  /**
   * The local preference where the caller has none, `below` under the best of its base. Of a TCP candidate's only the upper
   * 13 bits count (`#priority`), in which candidates of one type and direction "MUST have a unique other-pref" (RFC 6544
   * §4.2): neighbours are moved that far apart.
   */
  #ownPreference(base: TransportAddress, below: number, tcpType: IceTcpType | undefined): number {
    const preference = Math.max(0, this.#preferenceOf(base) - below);
    if (tcpType === undefined) return preference;
    const under = 0xffff - preference;
    const relaySteps = Math.floor(under / RELAY_STEP);
    return (0x1fff - TCP_RELAY_STEP * relaySteps - Math.min(under % RELAY_STEP, TCP_RELAY_STEP - 1)) << 3;
  }

  /**
   * RFC 8421 §4: one base after the other gets the next lower preference, families taking turns with IPv6 first, so that
   * a host with many addresses of one family does not starve the other.
   */
  #preferenceOf(base: TransportAddress): number {
    const key = formatAddress(base);
    let preference = this.#preferences.get(key);
    if (preference === undefined) {
      const family = ipFamily(base.ip);
      preference = 0xffff - 2 * this.#familyCounts[family]++ - (family === 4 ? 1 : 0);
      this.#preferences.set(key, Math.max(0, preference));
    }
    return Math.max(0, preference);
  }

  /** RFC 8445 §5.1.1.3: equal for the same type, base IP address, server and protocol. */
  #foundation(type: IceCandidateType, baseIp: string, protocol: string, server: string): string {
    const key = `${type} ${baseIp} ${protocol} ${server}`;
    let foundation = this.#foundations.get(key);
    if (foundation === undefined) {
      foundation = String(this.#foundations.size + 1);
      this.#foundations.set(key, foundation);
    }
    return foundation;
  }
}
