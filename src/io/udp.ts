import {
  Driver,
  type FiveTuple,
  type Instant,
  type Platform,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  type UdpSocket,
} from '../core/index.ts';
import { platform as nodePlatform } from './platform.ts';
import { WakeTimer } from './wake-timer.ts';

export interface UdpShellOptions<E> {
  readonly core: SansIo<E, FiveTuple>;
  readonly onEvent: (event: E) => void;
  /** A send that failed, or a socket's own error; nothing is thrown. Default: ignored, as the protocols retransmit. */
  readonly onError?: (error: Error, remote: TransportAddress | undefined) => void;
  readonly platform?: Platform;
}

/**
 * Runs one core on real UDP sockets: the counterpart of the simulator's `SimNetwork.attach`. Hands out one `FiveTuple`
 * object per path, as `FiveTuple` asks.
 *
 * @example
 * const shell = new UdpShell({ core: new StunServer({ env: platform.env }), onEvent: () => {} });
 * const local = await shell.bind({ ip: '127.0.0.1', port: 0 });
 */
export class UdpShell<E> {
  readonly driver: Driver<E, FiveTuple>;
  readonly #platform: Platform;
  readonly #onError: (error: Error, remote: TransportAddress | undefined) => void;
  readonly #sockets = new Map<string, UdpSocket>();
  #closed = false;

  constructor(options: UdpShellOptions<E>) {
    this.#platform = options.platform ?? nodePlatform;
    this.#onError = options.onError ?? (() => undefined);
    const timer = new WakeTimer(this.#platform, () => this.driver.wake());
    const host = {
      now: () => this.#platform.now(),
      send: (slot: TransmitSlot<FiveTuple>) => this.#send(slot),
      wakeAt: (at: Instant) => timer.arm(at),
    };
    this.driver = new Driver(options.core, host, options.onEvent);
  }

  /**
   * Opens one more socket for the core.
   * @returns the address it is bound to; paths carry it as `local`.
   * @throws rejects with the system's reason, and with an error when the shell was closed meanwhile.
   */
  async bind(local: TransportAddress): Promise<TransportAddress> {
    // Paths of one sender share an object because the socket hands out one object per sender.
    const paths = new WeakMap<TransportAddress, FiveTuple>();
    let bound: TransportAddress = local;
    const socket = await this.#platform.bindUdp(local, {
      onDatagram: (bytes, remote) => {
        let path = paths.get(remote);
        if (path === undefined) {
          path = { protocol: 'udp', local: bound, remote };
          paths.set(remote, path);
        }
        this.driver.input(bytes, path);
      },
      onError: this.#onError,
    });
    if (this.#closed) {
      socket.close();
      throw new Error('the shell was closed');
    }
    bound = socket.local;
    this.#sockets.set(key(bound), socket);
    return bound;
  }

  /** Closes every socket and disarms the timer. Idempotent; no event comes after it. */
  close(): void {
    this.#closed = true;
    this.driver.close();
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #send(slot: TransmitSlot<FiveTuple>): void {
    const path = slot.path;
    const socket = path === undefined ? undefined : this.#sockets.get(key(path.local));
    if (path === undefined || socket === undefined) {
      this.#onError(new Error('a datagram for a socket that is not bound'), path?.remote);
      return;
    }
    socket.send(slot.buffer, slot.offset, slot.length, path.remote);
  }
}

function key(address: TransportAddress): string {
  return `${address.ip} ${address.port}`;
}
