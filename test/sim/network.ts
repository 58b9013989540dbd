import {
  Driver,
  type FiveTuple,
  formatAddress,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import { type LinkOptions, SimLink } from './link.ts';
import { SimHost } from './pair.ts';
import type { SimWorld } from './world.ts';

/** What receives datagrams at an address: `from` is the sender as the receiver sees it. */
export type Receiver = (bytes: Uint8Array, from: TransportAddress, to: TransportAddress) => void;

/**
 * An addressed network: sockets are bound to addresses, and each ordered pair of IP addresses has its own link with its
 * own impairments. Middleboxes (NATs, firewalls) are receivers that forward. Datagrams to nobody vanish.
 */
export class SimNetwork {
  readonly world: SimWorld;
  /** Options of links that `setLink` was not told about. */
  defaultLink: LinkOptions;
  readonly #sockets = new Map<string, Receiver>();
  readonly #links = new Map<string, SimLink>();
  readonly #options = new Map<string, LinkOptions>();
  /** Datagrams to addresses where nobody listens. */
  unreachable = 0;

  constructor(world: SimWorld, defaultLink: LinkOptions) {
    this.world = world;
    this.defaultLink = defaultLink;
  }

  /** @returns unbind */
  bind(address: TransportAddress, receiver: Receiver): () => void {
    const key = formatAddress(address);
    if (this.#sockets.has(key)) throw new Error(`${key} is already bound`);
    this.#sockets.set(key, receiver);
    return () => void this.#sockets.delete(key);
  }

  /** Impairments from one IP address to another; may change at any time (a cut link is `loss: 1`). */
  setLink(fromIp: string, toIp: string, options: LinkOptions): void {
    const key = `${fromIp} ${toIp}`;
    this.#options.set(key, options);
    const link = this.#links.get(key);
    if (link !== undefined) link.options = options;
  }

  /** `bytes` is borrowed. */
  send(bytes: Uint8Array, from: TransportAddress, to: TransportAddress): void {
    const key = `${from.ip} ${to.ip}`;
    const options = this.#options.get(key) ?? this.defaultLink;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new SimLink(this.world, options);
      this.#links.set(key, link);
    }
    link.send(bytes, (copy) => this.#route(copy, from, to));
  }

  #route(bytes: Uint8Array, from: TransportAddress, to: TransportAddress): void {
    const receiver = this.#sockets.get(formatAddress(to));
    if (receiver === undefined) this.unreachable++;
    else receiver(bytes, from, to);
  }

  /**
   * Runs a core whose path is a five-tuple on `locals`, all bound here.
   * @returns its driver and `close`, which unbinds and disarms.
   */
  attach<E>(
    core: SansIo<E, FiveTuple>,
    locals: readonly TransportAddress[],
    onEvent: (event: E) => void,
  ): { readonly driver: Driver<E, FiveTuple>; readonly close: () => void } {
    const host = new SimHost<FiveTuple>(this.world, (slot: TransmitSlot<FiveTuple>) => {
      const path = slot.path;
      if (path === undefined) throw new Error('a datagram without a path');
      this.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), path.local, path.remote);
    });
    const driver = new Driver(core, host, onEvent);
    host.onWake = () => driver.wake();
    const paths = new Map<string, FiveTuple>(); // one object a path, as the shells do
    const unbind = locals.map((local) =>
      this.bind(local, (bytes, remote) => {
        const key = `${formatAddress(local)} ${formatAddress(remote)}`;
        let path = paths.get(key);
        if (path === undefined) {
          path = { protocol: 'udp', local, remote };
          paths.set(key, path);
        }
        driver.input(bytes, path);
      }),
    );
    const close = () => {
      for (const release of unbind) release();
      driver.close();
    };
    return { driver, close };
  }
}
