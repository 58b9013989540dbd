import {
  type FiveTuple,
  formatAddress,
  type TransmitSlot,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';

/** Binds a socket to that address; rejects with the system's error. */
export type BindUdp = (local: TransportAddress, handlers: UdpHandlers) => Promise<UdpSocket>;

/** The UDP sockets of a TURN server: those that it listens on, those of relayed addresses, and those of single clients. */
export class UdpSockets {
  readonly #bind: BindUdp;
  readonly #input: (bytes: Uint8Array, path: FiveTuple) => void;
  readonly #onError: () => void;
  /** By the very object that paths carry as `local`, and by text for paths that were made elsewhere. */
  readonly #byLocal = new Map<TransportAddress, UdpSocket>();
  readonly #byKey = new Map<string, UdpSocket>();
  readonly #relays = new Map<number, { readonly socket: UdpSocket; readonly local: TransportAddress }>();
  /** Connected ones, by the path that they are alone on. */
  readonly #clients = new Map<FiveTuple, UdpSocket>();

  constructor(bind: BindUdp, input: (bytes: Uint8Array, path: FiveTuple) => void, onError: () => void) {
    this.#bind = bind;
    this.#input = input;
    this.#onError = onError;
  }

  /** A listening socket, which is read elsewhere. */
  add(socket: UdpSocket): void {
    this.#byLocal.set(socket.local, socket);
    this.#byKey.set(formatAddress(socket.local), socket);
  }

  /** The socket of one client, which stands in a fleet beside the one that listens there. */
  addClient(path: FiveTuple, socket: UdpSocket): void {
    this.#clients.set(path, socket);
  }

  closeClient(path: FiveTuple): void {
    this.#clients.get(path)?.close();
    this.#clients.delete(path);
  }

  /** @throws rejects with the system's error. */
  async openRelay(relay: number, local: TransportAddress): Promise<void> {
    const paths = pathsAt(() => local);
    // The port is never 0: the socket is bound to `local` itself, which paths then carry.
    const socket = await this.#bind(local, {
      onDatagram: (bytes, remote) => this.#input(bytes, paths(remote)),
      onError: this.#onError,
    });
    this.#relays.set(relay, { socket, local });
    this.#byLocal.set(local, socket);
    this.#byKey.set(formatAddress(local), socket);
  }

  closeRelay(relay: number): void {
    const opened = this.#relays.get(relay);
    if (opened === undefined) return;
    opened.socket.close();
    this.#relays.delete(relay);
    this.#byLocal.delete(opened.local);
    this.#byKey.delete(formatAddress(opened.local));
  }

  /** @returns false when no socket is there. */
  send({ buffer, offset, length }: TransmitSlot<FiveTuple>, path: FiveTuple): boolean {
    const socket =
      this.#clientSocket(path) ?? this.#byLocal.get(path.local) ?? this.#byKey.get(formatAddress(path.local));
    socket?.send(buffer, offset, length, path.remote);
    return socket !== undefined;
  }

  #clientSocket(path: FiveTuple): UdpSocket | undefined {
    return this.#clients.size === 0 ? undefined : this.#clients.get(path); // a server that is alone has none
  }

  closeAll(): void {
    for (const socket of [...this.#byLocal.values(), ...this.#clients.values()]) socket.close();
    this.#byLocal.clear();
    this.#byKey.clear();
    this.#relays.clear();
    this.#clients.clear();
  }
}

/** One path object for each sender, as `FiveTuple` asks. @param local - asked for each new one. */
export function pathsAt(local: () => TransportAddress): (remote: TransportAddress) => FiveTuple {
  // Most relays have one peer, and never need a map: thousands of weak ones are dear to the garbage collector.
  let last: FiveTuple | undefined;
  let paths: WeakMap<TransportAddress, FiveTuple> | undefined;
  return (remote) => {
    if (last?.remote === remote) return last;
    let path = paths?.get(remote);
    if (path === undefined) {
      path = { protocol: 'udp', local: local(), remote };
      if (last !== undefined && paths === undefined) paths = new WeakMap([[last.remote, last]]);
      paths?.set(remote, path);
    }
    last = path;
    return path;
  };
}
