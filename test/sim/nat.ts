import { formatAddress, type Instant, type TransportAddress } from '../../src/core/index.ts';
import type { LinkOptions } from './link.ts';
import { SimNetwork } from './network.ts';
import type { SimWorld } from './world.ts';

/** RFC 4787 §4.1 and §5: what a mapping, or a filter, depends on. */
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

export interface NatOptions {
  readonly mapping: Dependence;
  readonly filtering: Dependence;
  /** RFC 4787 §6: inside hosts reach each other by their outside addresses. Default false. */
  readonly hairpin?: boolean;
  /** RFC 4787 §4.2.1: the outside port is the inside one where it is free. Default false: ports are drawn. */
  readonly portPreservation?: boolean;
  /** RFC 4787 §4.3: a mapping that sends nothing for this long is forgotten. Default: never. */
  readonly timeoutMs?: number;
}

/** What a site's datagrams leave through. */
export interface Gateway {
  forward(bytes: Uint8Array, from: TransportAddress, to: TransportAddress): void;
}

/**
 * A network of some hosts with one way out. Addresses that start with one of its prefixes are inside; everything else goes
 * to the gateway, or nowhere. What is sent from the local end of a TCP connection travels on that (see {@link SimStream}).
 */
export class SimSite extends SimNetwork {
  gateway: Gateway | undefined;
  readonly streams: Map<string, Gateway> = new Map();
  readonly #prefixes: readonly string[];

  constructor(world: SimWorld, prefixes: readonly string[], link: LinkOptions = { latencyMs: 0.2 }) {
    super(world, link);
    this.#prefixes = prefixes;
  }

  isInside(ip: string): boolean {
    return this.#prefixes.some((prefix) => ip.startsWith(prefix));
  }

  override send(bytes: Uint8Array, from: TransportAddress, to: TransportAddress): void {
    const stream = this.streams.get(formatAddress(from));
    if (stream !== undefined) stream.forward(bytes, from, to);
    else if (this.isInside(to.ip)) super.send(bytes, from, to);
    else this.gateway?.forward(bytes, from, to);
  }
}

/** A site whose hosts have public addresses: what they are is known in front. */
export function openToInternet(site: SimSite, internet: SimNetwork, addresses: readonly TransportAddress[]): void {
  site.gateway = { forward: (bytes, from, to) => internet.send(bytes, from, to) };
  for (const address of addresses) internet.bind(address, (bytes, from, to) => site.send(bytes, from, to));
}

interface Mapping {
  readonly inside: TransportAddress;
  readonly outside: TransportAddress;
  /** Whom it has sent to: addresses, and addresses with ports. */
  readonly peers: Set<string>;
  readonly unbind: () => void;
  usedAt: Instant;
}

/** A NAT between a site and another network (the internet, or one more site: double NAT). */
export class SimNat implements Gateway {
  readonly options: NatOptions;
  readonly publicIp: string;
  /** Datagrams that the filter, or the lack of a hairpin, has stopped. */
  filtered = 0;
  readonly #inside: SimSite;
  readonly #outside: SimNetwork;
  readonly #mappings = new Map<string, Mapping>();
  readonly #ports = new Map<number, Mapping>();

  constructor(inside: SimSite, outside: SimNetwork, publicIp: string, options: NatOptions) {
    this.#inside = inside;
    this.#outside = outside;
    this.publicIp = publicIp;
    this.options = options;
    inside.gateway = this;
  }

  get mappings(): number {
    return this.#mappings.size;
  }

  forward(bytes: Uint8Array, from: TransportAddress, to: TransportAddress): void {
    const mapping = this.#mappingFor(from, to);
    mapping.usedAt = this.#now;
    mapping.peers.add(to.ip).add(formatAddress(to));
    if (to.ip !== this.publicIp) this.#outside.send(bytes, mapping.outside, to);
    else if (this.options.hairpin !== true) this.filtered++;
    else this.#inbound(this.#ports.get(to.port), bytes, mapping.outside);
  }

  get #now(): Instant {
    return this.#outside.world.now;
  }

  #mappingFor(from: TransportAddress, to: TransportAddress): Mapping {
    const { mapping: dependence } = this.options;
    const rest =
      dependence === 'endpoint-independent' ? '' : dependence === 'address-dependent' ? to.ip : formatAddress(to);
    const key = `${formatAddress(from)} ${rest}`;
    const known = this.#mappings.get(key);
    if (known !== undefined) {
      if (!this.#expired(known)) return known;
      this.#forget(key, known);
    }
    const outside = { ip: this.publicIp, port: this.#freePort(from.port) };
    const unbind = this.#outside.bind(outside, (bytes, sender) =>
      this.#inbound(this.#ports.get(outside.port), bytes, sender),
    );
    const mapping: Mapping = { inside: from, outside, peers: new Set(), unbind, usedAt: this.#now };
    this.#mappings.set(key, mapping);
    this.#ports.set(outside.port, mapping);
    return mapping;
  }

  #expired(mapping: Mapping): boolean {
    return this.#now - mapping.usedAt > (this.options.timeoutMs ?? Number.POSITIVE_INFINITY);
  }

  #forget(key: string, mapping: Mapping): void {
    mapping.unbind();
    this.#mappings.delete(key);
    this.#ports.delete(mapping.outside.port);
  }

  #freePort(wanted: number): number {
    if (this.options.portPreservation === true && !this.#ports.has(wanted)) return wanted;
    for (;;) {
      const port = 20_000 + this.#outside.world.random.below(40_000);
      if (!this.#ports.has(port)) return port;
    }
  }

  #inbound(mapping: Mapping | undefined, bytes: Uint8Array, from: TransportAddress): void {
    if (mapping === undefined || this.#expired(mapping) || !this.#passes(mapping, from)) {
      this.filtered++;
      return;
    }
    this.#inside.send(bytes, from, mapping.inside);
  }

  #passes(mapping: Mapping, from: TransportAddress): boolean {
    if (this.options.filtering === 'endpoint-independent') return true;
    return mapping.peers.has(this.options.filtering === 'address-dependent' ? from.ip : formatAddress(from));
  }
}

/** A firewall that lets no UDP out: hosts behind it have their relay only (over TCP). */
export const BLOCKED: Gateway = { forward: () => undefined };

/**
 * A TCP connection to a server, as its client sees it: messages whole, in order, none lost, through every NAT and firewall.
 * Datagrams that a host of the site sends from `local` travel on it.
 */
export class SimStream implements Gateway {
  readonly #world: SimWorld;
  readonly #latencyMs: number;
  /** Where what is sent arrives, and where what comes back does: set by the two ends. */
  toServer: (bytes: Uint8Array) => void = () => undefined;
  toClient: (bytes: Uint8Array) => void = () => undefined;

  constructor(site: SimSite, local: TransportAddress, latencyMs: number) {
    this.#world = site.world;
    this.#latencyMs = latencyMs;
    site.streams.set(formatAddress(local), this);
  }

  forward(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.#world.schedule(this.#world.now + this.#latencyMs, () => this.toServer(copy));
  }

  back(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.#world.schedule(this.#world.now + this.#latencyMs, () => this.toClient(copy));
  }
}
