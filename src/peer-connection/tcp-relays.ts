import { canonicalIp, formatAddress, type TransportAddress } from '../core/index.ts';
import type { IceCandidate } from '../ice/index.ts';
import { isListed, type ParsedIceServer } from './configuration.ts';
import type { GathererOptions } from './gathering-types.ts';
import type { IceServerUrl } from './ice-server-url.ts';
import { MAX_RELAYS, MAX_REMEMBERED_PEERS } from './relays.ts';
import { listenOnRelay, type TcpRelay } from './tcp-relay.ts';

/** One TCP allocation that stands. */
interface Standing {
  readonly relay: TcpRelay;
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** The TCP allocations of one connection, one for each base and server, and whom they let in. */
export class TcpRelays {
  readonly #given: GathererOptions;
  /** Made with the first relay: few peers have one, and an abort is not cheap. */
  #abort: AbortController | undefined;
  #closed = false;
  readonly #relays = new Map<string, Standing>();
  /** Those that an older ICE generation may still use, by relayed address. */
  readonly #withdrawn = new Map<string, TcpRelay>();
  /** Those of the current gathering phase; undefined before there was another. */
  #servers: readonly ParsedIceServer[] | undefined;
  /** Asked for, or there. */
  readonly #asked = new Set<string>();
  readonly #peers = new Set<string>();

  constructor(options: GathererOptions) {
    this.#given = options;
  }

  /** Resolves when there is an allocation and its candidate, or none. Never rejects. */
  async gather(url: IceServerUrl, server: ParsedIceServer, remote: TransportAddress, localIp: string): Promise<void> {
    const { platform, host, transport, options } = this.#given;
    const { username, credential: password } = server;
    const { iceTcp } = host;
    if (iceTcp === undefined || username === undefined || password === undefined) return;
    const key = JSON.stringify([url.transport, formatAddress(remote), localIp, username, password]);
    if (this.#asked.has(key) || this.#asked.size >= MAX_RELAYS || this.#closed) return;
    this.#asked.add(key);
    const ca = options.turn?.ca;
    const tls = url.transport === 'tls' && { tls: { serverName: url.host, ...(ca !== undefined && { ca }) } };
    const given = { remote, localIp, username, password, ...tls };
    this.#abort ??= new AbortController();
    const { signal } = this.#abort;
    let base: TransportAddress | undefined;
    const onLost = (): void => {
      this.#forget(key);
      if (base === undefined) return;
      const gone = base;
      this.#withdrawn.delete(formatAddress(gone));
      host.unbind(gone);
      host.driver.mutate((now) => transport.ice.removeLocalBase(gone, now));
    };
    try {
      base = await iceTcp.listenAt(async (accept) => {
        const relay = await listenOnRelay(platform, given, accept, onLost, signal);
        this.#relays.set(key, { relay, url: url.url, username, password });
        return relay;
      });
    } catch (error) {
      this.#forget(key); // an ICE restart asks again
      platform.env.trace.note('gatherer', `no TCP relay at ${formatAddress(remote)}: ${String(error)}`);
      return;
    }
    const standing = this.#relays.get(key);
    if (base === undefined || standing === undefined || transport.isClosed) return;
    if (!this.#isWanted(standing)) {
      this.#forget(key); // another gathering phase has begun meanwhile
      host.unbind(base);
      return;
    }
    const { relay } = standing;
    for (const ip of this.#peers) relay.permit(ip);
    const relayed = base;
    const related = transport.relays.hideAddresses
      ? { ip: localIp.includes(':') ? '::' : '0.0.0.0', port: 9 }
      : relay.mapped;
    host.driver.mutate((now) =>
      transport.ice.addRelayedCandidate(
        relayed,
        related,
        { relayProtocol: url.transport, url: url.url, tcpType: 'passive' },
        now,
      ),
    );
  }

  /** A candidate of the peer: each relay lets its address in, whatever protocol it is for. */
  addRemoteCandidate({ address }: IceCandidate): void {
    const ip = canonicalIp(address);
    if (ip === undefined || this.#peers.has(ip)) return;
    if (this.#peers.size < MAX_REMEMBERED_PEERS) this.#peers.add(ip);
    for (const { relay } of this.#relays.values()) relay.permit(ip);
    for (const relay of this.#withdrawn.values()) relay.permit(ip);
  }

  /** A gathering phase begins: relays of other servers are left to the generations before. */
  withdrawAllBut(servers: readonly ParsedIceServer[]): void {
    const { host, transport } = this.#given;
    this.#servers = servers;
    for (const [key, standing] of [...this.#relays]) {
      if (this.#isWanted(standing)) continue;
      const { relay } = standing;
      this.#forget(key);
      this.#withdrawn.set(formatAddress(relay.local), relay);
      host.driver.mutate((now) => transport.ice.withdrawBase(relay.local, now));
    }
  }

  /** Nothing uses the relayed address any more: one that was withdrawn is given back. */
  onUnusedBase(base: TransportAddress): void {
    if (this.#withdrawn.delete(formatAddress(base))) this.#given.host.unbind(base);
  }

  #isWanted({ url, username, password }: Standing): boolean {
    return this.#servers === undefined || isListed(this.#servers, url, username, password);
  }

  /** Gives all of them back. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#abort?.abort();
    this.#relays.clear();
    this.#withdrawn.clear();
  }

  #forget(key: string): void {
    this.#relays.delete(key);
    this.#asked.delete(key);
  }
}
