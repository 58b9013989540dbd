import { formatAddress, type InterfaceAddress, ipFamily, type Platform, type TransportAddress } from '../core/index.ts';
import type { ParsedConfiguration, ParsedIceServer, PurertcOptions } from './configuration.ts';
import { type GathererOptions, SERVER_UNREACHABLE } from './gathering-types.ts';
import type { IceServerUrl } from './ice-server-url.ts';
import { RelayGatherer, type RelayStateEvent } from './relay-gatherer.ts';
import { locateServer, type ServerAddresses } from './server-addresses.ts';

/** Ports tried before a port range counts as used up. */
const MAX_PORT_TRIES = 64;

/**
 * Finds what the ICE agent gathers from: binds a socket on each usable interface address and resolves the STUN servers.
 * Everything else about candidates is the agent's.
 */
export class Gatherer {
  readonly #given: GathererOptions;
  #bases: TransportAddress[] | undefined;
  /** Servers that the agent has: it asks them again itself after a restart. */
  readonly #asked = new Set<string>();

  readonly #relays: RelayGatherer;

  constructor(options: GathererOptions) {
    this.#given = options;
    this.#relays = new RelayGatherer(options);
  }

  /** The transport's events about relays. */
  onRelayEvent(event: RelayStateEvent): void {
    this.#relays.onRelayEvent(event);
  }

  /** Gathers once for each ICE generation; the sockets are bound the first time and stay. */
  async gather(configuration: ParsedConfiguration): Promise<void> {
    const { host, transport } = this.#given;
    if (this.#bases === undefined) {
      this.#bases = [];
      await this.#bindAll(this.#bases);
    }
    if (transport.isClosed) return;
    const servers = configuration.iceServers.flatMap((server) => server.urls.map((url) => ({ url, server })));
    await Promise.all(servers.map(({ url, server }) => this.#addServer(url, server)));
    if (!transport.isClosed) host.driver.mutate((now) => transport.endOfLocalCandidates(now));
  }

  async #bindAll(bases: TransportAddress[]): Promise<void> {
    const { platform, host, transport, options, names } = this.#given;
    const addresses = usableAddresses(platform.interfaces(), options.interfaceFilter);
    const bound = await Promise.all(addresses.map(({ ip }) => this.#bind(ip)));
    for (const [i, address] of addresses.entries()) {
      const base = bound[i];
      if (base === undefined || transport.isClosed) continue;
      bases.push(base);
      const hostname = options.mdns === true ? names.hide(address) : undefined;
      host.driver.mutate((now) => transport.ice.addHostCandidate(base, now, { hostname }));
    }
  }

  /** One socket on an address; undefined where it cannot be bound (an interface that is just going away). */
  async #bind(ip: string): Promise<TransportAddress | undefined> {
    const { host, platform, options } = this.#given;
    const ports = portsToTry(options.portRange, platform);
    for (const port of ports) {
      try {
        return await host.bind({ ip, port });
      } catch (error) {
        platform.env.trace.note('gatherer', `cannot bind ${formatAddress({ ip, port })}: ${String(error)}`);
      }
    }
    return undefined;
  }

  async #addServer(url: IceServerUrl, server: ParsedIceServer): Promise<void> {
    const { platform, host, transport, onError } = this.#given;
    const fail = (text: string): void => onError({ url: url.url, code: SERVER_UNREACHABLE, text, local: undefined });
    if (url.scheme === 'stuns') {
      fail('a server that is reached over TLS cannot see the address of a UDP socket');
      return;
    }
    let located: ServerAddresses;
    try {
      located = await locateServer(platform, url);
    } catch (error) {
      fail(`not resolved: ${String(error)}`);
      return;
    }
    if (transport.isClosed) return;
    const wantsIpv6 = this.#bases?.some((base) => ipFamily(base.ip) === 6) ?? false;
    const relays = ([4, 6] as const).map((family) => {
      const bases = this.#bases?.filter((base) => ipFamily(base.ip) === family) ?? [];
      // One address of each family that there is a socket for: asking a server twice finds nothing new.
      const ip = located.ips.find((address) => ipFamily(address) === family);
      if (ip === undefined || bases.length === 0) return undefined;
      const address = { ip, port: located.port };
      if (url.transport === 'udp' && !this.#asked.has(formatAddress(address))) {
        this.#asked.add(formatAddress(address));
        // A TURN server answers Binding requests too (RFC 8656 §4): the mapped address of each base.
        host.driver.mutate((now) => transport.ice.addStunServer(address, now, { url: url.url }));
      }
      return url.scheme === 'stun' ? undefined : this.#relays.gather(url, server, address, bases, wantsIpv6);
    });
    await Promise.all(relays);
  }
}

/**
 * The addresses that get a socket. IPv6 link-local ones need a zone, which candidates cannot say; loopback only serves
 * where there is nothing else (RFC 8445 §5.1.1.1 leaves it out).
 */
export function usableAddresses(
  all: readonly InterfaceAddress[],
  filter: ((address: InterfaceAddress) => boolean) | undefined,
): InterfaceAddress[] {
  const unique = all.filter((address, i) => all.findIndex(({ ip }) => ip === address.ip) === i);
  if (filter !== undefined) return unique.filter(filter);
  const candidates = unique.filter(({ ip }) => !/^fe[89ab]/i.test(ip));
  const outside = candidates.filter(({ internal }) => !internal);
  return outside.length > 0 ? outside : candidates;
}

function portsToTry(range: PurertcOptions['portRange'], platform: Platform): number[] {
  if (range === undefined) return [0];
  const size = range.max - range.min + 1;
  // From a random place on, so that many connections do not all knock at the same ports first.
  const draw = new Uint8Array(4);
  platform.env.random(draw);
  const start = draw.reduce((value, byte) => value * 256 + byte, 0);
  const count = Math.min(size, MAX_PORT_TRIES);
  return Array.from({ length: count }, (_, i) => range.min + ((start + i) % size));
}
