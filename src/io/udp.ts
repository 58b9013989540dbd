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
  /** The same sockets by the object that paths carry as `local`: no string is made for each datagram. */
  readonly #byLocal = new Map<TransportAddress, UdpSocket>();
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
   * For a core that needs to know its socket's address when it is made: binds first, then calls `makeCore`.
   * @throws rejects with the system's reason when the address cannot be bound.
   */
  static async open<E>(
    local: TransportAddress,
    makeCore: (bound: TransportAddress, now: Instant) => SansIo<E, FiveTuple>,
    options: Omit<UdpShellOptions<E>, 'core'>,
  ): Promise<UdpShell<E>> {
    const platform = options.platform ?? nodePlatform;
    let shell: UdpShell<E> | undefined;
    const paths = new Paths();
    const socket = await platform.bindUdp(local, {
      onDatagram: (bytes, remote) => shell?.driver.input(bytes, paths.get(socket.local, remote)),
      onError: options.onError ?? (() => undefined),
    });
    shell = new UdpShell({ ...options, core: makeCore(socket.local, platform.now()) });
    shell.#adopt(socket);
    shell.driver.drain();
    return shell;
  }

  /**
   * Opens one more socket for the core.
   * @returns the address it is bound to; paths carry it as `local`.
   * @throws rejects with the system's reason, and with an error when the shell was closed meanwhile.
   */
  async bind(local: TransportAddress): Promise<TransportAddress> {
    const paths = new Paths();
    const socket = await this.#platform.bindUdp(local, {
      onDatagram: (bytes, remote) => this.driver.input(bytes, paths.get(socket.local, remote)),
      onError: this.#onError,
    });
    if (this.#closed) {
      socket.close();
      throw new Error('the shell was closed');
    }
    this.#adopt(socket);
    return socket.local;
  }

  /** Closes every socket and disarms the timer. Idempotent; no event comes after it. */
  close(): void {
    this.#closed = true;
    this.driver.close();
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
    this.#byLocal.clear();
  }

  #adopt(socket: UdpSocket): void {
    this.#sockets.set(key(socket.local), socket);
    this.#byLocal.set(socket.local, socket);
  }

  #send(slot: TransmitSlot<FiveTuple>): void {
    const path = slot.path;
    const socket =
      path === undefined ? undefined : (this.#byLocal.get(path.local) ?? this.#sockets.get(key(path.local)));
    if (path === undefined || socket === undefined) {
      this.#onError(new Error('a datagram for a socket that is not bound'), path?.remote);
      return;
    }
    socket.send(slot.buffer, slot.offset, slot.length, path.remote);
  }
}

/** One path object per sender: found by the sender's object, of which the socket hands out one each. */
class Paths {
  readonly #byRemote = new WeakMap<TransportAddress, FiveTuple>();
  #last: FiveTuple | undefined;

  get(local: TransportAddress, remote: TransportAddress): FiveTuple {
    if (this.#last?.remote === remote) return this.#last;
    let path = this.#byRemote.get(remote);
    if (path === undefined) {
      path = { protocol: 'udp', local, remote };
      this.#byRemote.set(remote, path);
    }
    this.#last = path;
    return path;
  }
}

function key(address: TransportAddress): string {
  return `${address.ip} ${address.port}`;
}
