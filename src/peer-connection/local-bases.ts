import {
  type FiveTuple,
  formatAddress,
  type InterfaceAddress,
  type Platform,
  type TransportAddress,
} from '../core/index.ts';
import type { IceTcpType } from '../ice/index.ts';
import type { PurertcOptions } from './configuration.ts';
import type { GathererOptions } from './gathering-types.ts';
import { ACTIVE_PORT, IceTcp } from './ice-tcp.ts';

/** Undefined where there is none. */
type Base = TransportAddress | undefined;

/** Ports tried before a port range counts as used up. */
const MAX_PORT_TRIES = 64;

/**
 * The sockets of one connection, one on each usable interface address (RFC 8445 §5.1.1.1), and the host candidates that
 * come of them. With `watchInterfaces` they follow the machine: an address that appears gets a socket, one that vanishes
 * loses it, and its pairs fail at once.
 */
export class LocalBases {
  readonly #given: GathererOptions;
  readonly #onAppeared: () => void;
  /** UDP ones: what servers are asked from. */
  #bases: TransportAddress[] = [];
  #tcpBases: TransportAddress[] = [];
  /** Those of simultaneous-open candidates, which are among them. */
  #soBases: TransportAddress[] = [];
  readonly #tcpTypes: readonly IceTcpType[];
  #opened: Promise<void> | undefined;
  #unwatch: (() => void) | undefined;

  /** @param onAppeared - there are more bases than before, some time after `open`. */
  constructor(options: GathererOptions, onAppeared: () => void) {
    this.#given = options;
    this.#onAppeared = onAppeared;
    const { host, transport, platform } = options;
    const { tcpMux, iceTcp = tcpMux !== undefined } = options.options;
    this.#tcpTypes = typeof iceTcp !== 'boolean' ? iceTcp : iceTcp ? ['passive', 'active'] : [];
    if (this.#tcpTypes.length === 0) return;
    const user = {
      onDatagram: (bytes: Uint8Array, path: FiveTuple): void => host.input(bytes, path),
      onClosed: (path: FiveTuple): void => host.driver.mutate((now) => transport.ice.notePathClosed(path, now)),
      isProven: (path: FiveTuple): boolean => transport.ice.acceptsData(path),
    };
    host.iceTcp = new IceTcp(platform, user, host.ufrags);
  }

  get all(): readonly TransportAddress[] {
    return this.#bases;
  }

  /** What servers are asked from over TCP. */
  get simultaneousOpen(): readonly TransportAddress[] {
    return this.#soBases;
  }

  /** Binds the sockets, the first time; resolves when all are bound that can be. */
  open(): Promise<void> {
    if (this.#opened !== undefined) return this.#opened;
    const { platform, options } = this.#given;
    this.#opened = this.#bindAll(usableAddresses(platform.interfaces(), options.interfaceFilter));
    if (options.watchInterfaces === true) {
      let work = this.#opened;
      // One change after the other: two at once would bind the same address twice.
      this.#unwatch = platform.watchInterfaces?.(() => (work = work.then(() => this.#follow())));
    }
    return this.#opened;
  }

  close(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
  }

  async #bindAll(addresses: readonly InterfaceAddress[]): Promise<void> {
    const { host, transport, options, names } = this.#given;
    const { iceTcp } = host;
    const tcp = (type: IceTcpType, bind: (tcp: IceTcp, address: TransportAddress) => Promise<Base>): Promise<Base[]> =>
      Promise.all(
        addresses.map(({ ip }) =>
          iceTcp !== undefined && this.#tcpTypes.includes(type)
            ? this.#bind(ip, (address) => bind(iceTcp, address))
            : undefined,
        ),
      );
    const [bound, listening, reserved] = await Promise.all([
      Promise.all(addresses.map(({ ip }) => this.#bind(ip, (address) => host.bind(address)))),
      tcp('passive', (iceTcp, address) => iceTcp.listen(address)),
      tcp('so', (iceTcp, address) => iceTcp.reserve(address)),
    ]);
    for (const [i, address] of addresses.entries()) {
      if (transport.isClosed) return;
      const hostname = options.mdns === true ? names.hide(address) : undefined;
      const add = (bases: TransportAddress[], base: Base, tcpType?: IceTcpType): void => {
        if (base === undefined) return;
        bases.push(base);
        host.driver.mutate((now) => transport.ice.addHostCandidate(base, now, { hostname, tcpType }));
      };
      add(this.#bases, bound[i]);
      add(this.#tcpBases, listening[i], 'passive');
      if (this.#tcpTypes.includes('active')) add(this.#tcpBases, { ip: address.ip, port: ACTIVE_PORT }, 'active');
      const so = reserved[i];
      add(this.#tcpBases, so, 'so');
      if (so !== undefined) this.#soBases.push(so);
    }
  }

  /** One socket on an address; undefined where it cannot be bound (an interface that is just going away). */
  async #bind(
    ip: string,
    bind: (address: TransportAddress) => Promise<TransportAddress | undefined>,
  ): Promise<TransportAddress | undefined> {
    const { platform, options } = this.#given;
    const ports = portsToTry(options.portRange, platform);
    for (const port of ports) {
      try {
        return await bind({ ip, port });
      } catch (error) {
        platform.env.trace.note('gatherer', `cannot bind ${formatAddress({ ip, port })}: ${String(error)}`);
      }
    }
    return undefined;
  }

  /** Makes the sockets those that the machine's addresses ask for now. */
  async #follow(): Promise<void> {
    const { platform, transport, options } = this.#given;
    if (transport.isClosed) return;
    const known = (ip: string): boolean => this.#bases.some((base) => base.ip === ip);
    // While every other link is down, loopback is all there is; a connection to somewhere else has no use for it.
    const usable = usableAddresses(platform.interfaces(), options.interfaceFilter).filter(
      ({ ip, internal }) => !internal || options.interfaceFilter !== undefined || known(ip),
    );
    for (const base of [...this.#bases, ...this.#tcpBases]) {
      if (!usable.some(({ ip }) => ip === base.ip)) this.#remove(base);
    }
    const fresh = usable.filter(({ ip }) => !known(ip));
    await this.#bindAll(fresh);
    if (fresh.length > 0 && !transport.isClosed) this.#onAppeared();
  }

  #remove(base: TransportAddress): void {
    const { host, transport, names } = this.#given;
    this.#bases = this.#bases.filter((other) => other !== base);
    this.#tcpBases = this.#tcpBases.filter((other) => other !== base);
    this.#soBases = this.#soBases.filter((other) => other !== base);
    names.forget(base.ip);
    host.unbind(base);
    host.driver.mutate((now) => transport.ice.removeLocalBase(base, now));
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
