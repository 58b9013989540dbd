import type { FiveTuple, TransportAddress, UdpSocket } from '../core/index.ts';
import { platform } from '../io/index.ts';
import type { TurnServerParts } from './turn-server.ts';
import { memberOfPort, type PortSlice } from './turn-worker-messages.ts';

const LOOPBACK = '127.0.0.1';

/**
 * Data between clients of two members of a fleet, over sockets on the loopback address: it does not leave the machine, and
 * reaches nothing but relayed addresses. A datagram counts only when it comes from another member's socket; loopback senders
 * cannot be forged by programs without privileges.
 */
export class Trunk {
  readonly #member: number;
  readonly #slices: readonly (PortSlice | undefined)[];
  readonly #paths: (FiveTuple | undefined)[] = [];
  #ports: ReadonlySet<number> = new Set();
  #socket: UdpSocket | undefined;

  /** @param slices - relayed ports by member. */
  constructor(member: number, slices: readonly (PortSlice | undefined)[]) {
    this.#member = member;
    this.#slices = slices;
  }

  /** @returns the port that the other members must know. @throws rejects with the system's error. */
  async open({ core, driver, udp }: TurnServerParts): Promise<number> {
    this.#socket = await platform.bindUdp(
      { ip: LOOPBACK, port: 0 },
      {
        onDatagram: (bytes, remote) => {
          if (remote.ip !== LOOPBACK || !this.#ports.has(remote.port)) return;
          core.handleTrunk(bytes, platform.now());
          driver.drain();
        },
        onError: () => undefined, // a member that has just died
      },
    );
    udp.add(this.#socket);
    return this.#socket.local.port;
  }

  /** @param ports - by member; undefined for one that does not live. */
  setPorts(ports: readonly (number | undefined)[]): void {
    const local = this.#socket?.local;
    if (local === undefined) return;
    this.#ports = new Set(ports.filter((port) => port !== undefined));
    for (const [member, port] of ports.entries()) {
      this.#paths[member] = port === undefined ? undefined : { protocol: 'udp', local, remote: { ip: LOOPBACK, port } };
    }
  }

  /** Towards the member that has that relayed port; undefined when it is this one's, or nobody's. */
  pathTo({ port }: TransportAddress): FiveTuple | undefined {
    const member = memberOfPort(this.#slices, port);
    return member === undefined || member === this.#member ? undefined : this.#paths[member];
  }

  close(): void {
    this.#socket?.close();
  }
}
