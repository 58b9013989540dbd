import { formatAddress, ipFamily, sameAddress, type TransportAddress } from '../core/index.ts';
import type { IceCandidate, TcpReflexiveAddress } from '../ice/index.ts';
import type { ParsedConfiguration, ParsedIceServer } from './configuration.ts';
import { type GathererOptions, SERVER_UNREACHABLE } from './gathering-types.ts';
import type { IceServerUrl } from './ice-server-url.ts';
import { LocalBases } from './local-bases.ts';
import { RelayGatherer, type RelayStateEvent } from './relay-gatherer.ts';
import { locateServer, type ServerAddresses } from './server-addresses.ts';
import { TcpReflexive } from './tcp-reflexive.ts';
import { TcpRelays } from './tcp-relays.ts';

/**
 * Finds what the ICE agent gathers from: binds a socket on each usable interface address and resolves the STUN servers.
 * Everything else about candidates is the agent's.
 */
export class Gatherer {
  readonly #given: GathererOptions;
  readonly #bases: LocalBases;
  /** Of the current gathering phase. */
  #configuration: ParsedConfiguration | undefined;
  /** What the next phase is to gather from, where it is known before it. */
  #next: ParsedConfiguration | undefined;
  /** Servers that the agent has, by address, with the URL that named them: it asks them again itself after a restart. */
  readonly #asked = new Map<string, { readonly address: TransportAddress; readonly url: string }>();
  /** The same over TCP, by base and server, with what they have said. The agent knows it, but for what was taken back. */
  readonly #askedOverTcp = new Map<string, { learned: TcpReflexiveAddress | undefined; takenBack: boolean }>();
  /** Of the current generation: rounds of questions that have not ended. Those of one that is over end nothing. */
  #phase = { rounds: 0 };
  readonly #tcpReflexive: TcpReflexive;
  readonly #tcpRelays: TcpRelays;

  readonly #relays: RelayGatherer;

  constructor(options: GathererOptions) {
    this.#given = options;
    this.#tcpReflexive = new TcpReflexive(options.platform);
    this.#tcpRelays = new TcpRelays(options);
    this.#relays = new RelayGatherer(options);
    this.#bases = new LocalBases(options, () => void this.#askServers());
  }

  /** The transport's events about relays. */
  onRelayEvent(event: RelayStateEvent): void {
    this.#relays.onRelayEvent(event);
  }

  /** Gathers once for each ICE generation; the sockets are bound the first time and stay. */
  async gather(configuration: ParsedConfiguration): Promise<void> {
    this.#configuration = configuration;
    this.#relays.renewFrom(configuration.iceServers);
    await this.#bases.open();
    await this.#askServers();
  }

  /** W3C "set a configuration", step 8: what is no longer in the list is not asked in the next gathering phase. */
  keepServers(configuration: ParsedConfiguration): void {
    const { iceServers } = configuration;
    this.#next = configuration;
    this.#relays.renewFrom(iceServers);
    const urls = new Set(iceServers.flatMap((server) => server.urls.map(({ url }) => url)));
    for (const [key, { address, url }] of [...this.#asked]) {
      if (urls.has(url)) continue;
      this.#asked.delete(key);
      this.#given.transport.ice.removeStunServer(address);
      for (const asked of this.#askedOverTcp.values()) {
        if (asked.learned !== undefined && sameAddress(asked.learned.server, address)) asked.takenBack = true;
      }
    }
  }

  /** Another generation is about to begin: relays of servers that have left the list are not offered in it. */
  beginGeneration(): void {
    this.#phase = { rounds: 0 };
    const configuration = this.#next ?? this.#configuration;
    if (configuration === undefined) return;
    this.#relays.withdrawAllBut(configuration.iceServers);
    this.#tcpRelays.withdrawAllBut(configuration.iceServers);
  }

  /** What was withdrawn is used no longer. */
  onUnusedBase(base: TransportAddress): void {
    this.#tcpRelays.onUnusedBase(base);
  }

  close(): void {
    this.#relays.close();
    this.#bases.close();
    this.#tcpReflexive.close();
    this.#tcpRelays.close();
  }

  /** For relays that let peers in by address. */
  addRemoteCandidate(candidate: IceCandidate): void {
    this.#tcpRelays.addRemoteCandidate(candidate);
  }

  /** Asks every server from every base that it was not yet asked from. */
  async #askServers(): Promise<void> {
    const { host, transport } = this.#given;
    if (transport.isClosed) return;
    const iceServers = this.#configuration?.iceServers ?? [];
    const servers = iceServers.flatMap((server) => server.urls.map((url) => ({ url, server })));
    const phase = this.#phase;
    phase.rounds++;
    await Promise.all(servers.map(({ url, server }) => this.#addServer(url, server)));
    phase.rounds--;
    const isLast = phase.rounds === 0 && phase === this.#phase;
    if (isLast && !transport.isClosed) host.driver.mutate((now) => transport.endOfLocalCandidates(now));
  }

  async #addServer(url: IceServerUrl, server: ParsedIceServer): Promise<void> {
    const { platform, host, transport, onError } = this.#given;
    const fail = (text: string): void => onError({ url: url.url, code: SERVER_UNREACHABLE, text, local: undefined });
    let located: ServerAddresses;
    try {
      located = await locateServer(platform, url);
    } catch (error) {
      fail(`not resolved: ${String(error)}`);
      return;
    }
    if (transport.isClosed) return;
    const wantsIpv6 = this.#bases.all.some((base) => ipFamily(base.ip) === 6);
    const overTcp = [this.#askOverTcp(url, located), this.#gatherTcpRelays(url, server, located)];
    const relays = ([4, 6] as const).map((family) => {
      const bases = this.#bases.all.filter((base) => ipFamily(base.ip) === family);
      // One address of each family that there is a socket for: asking a server twice finds nothing new.
      const ip = located.ips.find((address) => ipFamily(address) === family);
      if (ip === undefined || bases.length === 0) return undefined;
      const address = { ip, port: located.port };
      if (url.transport === 'udp' && !this.#asked.has(formatAddress(address))) {
        this.#asked.set(formatAddress(address), { address, url: url.url });
        // A TURN server answers Binding requests too (RFC 8656 §4): the mapped address of each base.
        host.driver.mutate((now) => transport.ice.addStunServer(address, now, { url: url.url }));
      }
      if (url.scheme === 'stun' || url.scheme === 'stuns') return undefined;
      return this.#relays.gather(url, server, address, bases, wantsIpv6);
    });
    await Promise.all([...relays, ...overTcp]);
  }

  /** TCP allocations (RFC 6062), where they are wanted: such servers are reached over TCP or TLS. */
  async #gatherTcpRelays(url: IceServerUrl, server: ParsedIceServer, located: ServerAddresses): Promise<void> {
    const wanted = this.#given.options.tcpRelays === true && url.scheme !== 'stun';
    if (!wanted || (url.transport !== 'tcp' && url.transport !== 'tls')) return;
    const questions = this.#bases.all.map(async ({ ip: localIp }) => {
      const ip = located.ips.find((address) => ipFamily(address) === ipFamily(localIp));
      if (ip !== undefined) await this.#tcpRelays.gather(url, server, { ip, port: located.port }, localIp);
    });
    await Promise.all(questions);
  }

  /** Mapped addresses of simultaneous-open candidates (RFC 6544 §5.2): servers listen on the same port of both protocols. */
  async #askOverTcp({ transport: protocol, url }: IceServerUrl, { ips, port }: ServerAddresses): Promise<void> {
    const { host, transport } = this.#given;
    if (protocol !== 'udp' && protocol !== 'tcp') return;
    const questions = this.#bases.simultaneousOpen.map(async (base) => {
      const ip = ips.find((address) => ipFamily(address) === ipFamily(base.ip));
      if (ip === undefined) return;
      const server = { ip, port };
      const key = `${formatAddress(base)} ${formatAddress(server)}`;
      const tell = (learned: TcpReflexiveAddress): void =>
        host.driver.mutate((now) => transport.ice.addTcpReflexiveCandidate(base, learned, now));
      const asked = this.#askedOverTcp.get(key);
      if (asked !== undefined) {
        // The agent announces again what it knows; the connection and its mapped address are still there.
        if (asked.takenBack && asked.learned !== undefined) tell(asked.learned);
        asked.takenBack = false;
        return;
      }
      const asking: { learned: TcpReflexiveAddress | undefined; takenBack: boolean } = {
        learned: undefined,
        takenBack: false,
      };
      this.#askedOverTcp.set(key, asking);
      const mapped = await this.#tcpReflexive.ask(base, server);
      if (mapped === undefined || transport.isClosed) return;
      asking.learned = { mapped, server, url };
      tell(asking.learned);
    });
    await Promise.all(questions);
  }
}
