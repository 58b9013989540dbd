import { type FiveTuple, formatAddress, ipFamily, type TransportAddress, type UdpSocket } from '../core/index.ts';
import { bindUdpSocket } from '../io/index.ts';
import type { IcmpError } from '../stun/index.ts';
import { pathsAt } from './turn-udp-sockets.ts';

/** Peers of one relayed address whose ICMP errors are listened for; the oldest is forgotten. Each costs a socket. */
export const MAX_WATCHED_PEERS = 32;

/**
 * The ICMP error behind a connected socket's error, as near as that tells: Linux reports a firewall's refusal as an unreachable
 * host or network, and nothing of hosts that are really unreachable, which may come back.
 */
const ICMP_OF_ERROR: Readonly<Record<4 | 6, Readonly<Record<string, readonly [type: number, code: number]>>>> = {
  4: { ECONNREFUSED: [3, 3], EMSGSIZE: [3, 4], ENOPROTOOPT: [3, 2], EHOSTUNREACH: [3, 1], ENETUNREACH: [3, 0] },
  6: { ECONNREFUSED: [1, 4], EMSGSIZE: [2, 0], EACCES: [1, 1], EHOSTUNREACH: [1, 3], ENETUNREACH: [1, 0] },
};

/** The ICMP error that a socket's error stands for; its 32 bits of data are not known, and 0. Undefined for other errors. */
export function icmpOf(error: Error, family: 4 | 6): IcmpError | undefined {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = ICMP_OF_ERROR[family][code];
  return known && { type: known[0], code: known[1], data: 0 };
}

/** What comes to the sockets of {@link PeerWatches}. */
export interface PeerWatchHandlers {
  /** A datagram, from the peer mostly: the system prefers these sockets. `path.local` is the relay's. */
  datagram(bytes: Uint8Array, path: FiveTuple): void;
  icmp(local: TransportAddress, peer: TransportAddress, icmp: IcmpError): void;
}

/** One watched peer. It may be forgotten while its socket is being opened, and even be watched anew by then. */
class Watch {
  #socket: UdpSocket | undefined;
  #isOver = false;

  opened(socket: UdpSocket): void {
    if (this.#isOver) socket.close();
    else this.#socket = socket;
  }

  end(): void {
    this.#isOver = true;
    this.#socket?.close();
  }
}

/**
 * Learns of ICMP errors that datagrams of relayed addresses meet (RFC 8656 §11.5). A socket that sends to many peers is not
 * told of them; one that is connected to a peer is, also of what another socket of the same address has sent there. So each
 * watched peer gets a connected socket beside the relay's own.
 */
export class PeerWatches {
  readonly #handlers: PeerWatchHandlers;
  /** By the relay's address, then by the peer's. */
  readonly #relays = new Map<string, Map<string, Watch>>();

  constructor(handlers: PeerWatchHandlers) {
    this.#handlers = handlers;
  }

  /** Listens for errors of one peer. Never rejects: without a socket there are no reports. */
  async watch(local: TransportAddress, peer: TransportAddress): Promise<void> {
    const [relayKey, key] = [formatAddress(local), formatAddress(peer)];
    const watched = this.#relays.get(relayKey) ?? new Map<string, Watch>();
    this.#relays.set(relayKey, watched);
    if (watched.has(key)) return;
    if (watched.size >= MAX_WATCHED_PEERS) {
      const [oldest] = watched.keys();
      if (oldest !== undefined) {
        watched.get(oldest)?.end();
        watched.delete(oldest);
      }
    }
    const watch = new Watch();
    watched.set(key, watch);
    const paths = pathsAt(() => local);
    const handlers = {
      onDatagram: (bytes: Uint8Array, remote: TransportAddress) => this.#handlers.datagram(bytes, paths(remote)),
      onError: (error: Error) => {
        const icmp = icmpOf(error, ipFamily(peer.ip));
        if (icmp !== undefined) this.#handlers.icmp(local, peer, icmp);
      },
    };
    const socket = await bindUdpSocket(local, handlers, { shared: true, remote: peer }).catch(() => undefined);
    if (socket !== undefined) watch.opened(socket);
  }

  /** The relay is closed. */
  close(local: TransportAddress): void {
    const key = formatAddress(local);
    for (const watch of this.#relays.get(key)?.values() ?? []) watch.end();
    this.#relays.delete(key);
  }

  closeAll(): void {
    for (const watched of this.#relays.values()) for (const watch of watched.values()) watch.end();
    this.#relays.clear();
  }
}
