import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  canonicalIp,
  ipFamily,
  LastView,
  MAX_KEPT_DATAGRAMS,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';
import { plainBytes } from './plain-bytes.ts';

/** Asked of the system for each direction; it may give less. A burst of one congestion window must fit. */
export const SOCKET_BUFFER_BYTES: number = 4 * 1024 * 1024;

/** Remote address objects kept per socket; the oldest half is forgotten beyond it. */
export const MAX_CACHED_REMOTES = 4096;

/** Datagrams handed to the system and not yet taken by it, per socket; more are dropped, as a full queue in a router. */
export const MAX_SENDS_IN_FLIGHT = 8192;

/** Recycled send buffers kept by the process, of {@link SEND_BUFFER_BYTES} each. */
const MAX_POOLED_BUFFERS = 256;

/** Longer datagrams (path MTUs above Ethernet's) get a buffer of their own. */
const SEND_BUFFER_BYTES = 2048;

/** How often, and how far apart, a port is asked for again that a socket of ours has just had. */
const RELEASE_POLLS = 20;
const RELEASE_POLL_MS = 10;

/** How a socket shares its address with others. */
export interface UdpSocketOptions {
  /**
   * Lets other sockets, also of other processes and users, be bound to the same address (SO_REUSEADDR of Linux). All of them
   * must ask for it.
   */
  readonly shared?: boolean;
  /** Connects it: datagrams go there only, and the system hands out those that come from there, before any other socket. */
  readonly remote?: TransportAddress;
}

/**
 * Binds a UDP socket. An IPv6 socket carries IPv6 only, so that `::` and `0.0.0.0` can be bound side by side.
 * @param local - port 0 asks for a free one. A link-local IPv6 address is bound on the interface that has it.
 * @throws rejects with the system's error (`EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`) when it cannot be bound.
 */
export function bindUdpSocket(
  local: TransportAddress,
  handlers: UdpHandlers,
  options: UdpSocketOptions = {},
): Promise<UdpSocket> {
  const { shared = false, remote } = options;
  return new Promise((resolve, reject) => {
    const family = ipFamily(local.ip);
    const zone = isLinkLocal(local.ip) ? zoneOf(local.ip) : '';
    const type = family === 4 ? 'udp4' : 'udp6';
    const socket = createSocket({ type, ipv6Only: family === 6, lookup: literal, reuseAddr: shared });
    const failed = (error: Error) => {
      socket.close();
      reject(error);
    };
    const succeeded = () => {
      socket.off('error', failed);
      const bound = { ip: local.ip, port: local.port === 0 ? socket.address().port : local.port };
      resolve(new NodeUdpSocket(socket, bound, zone, remote !== undefined, handlers));
    };
    socket.once('error', failed);
    // Both at once: what arrives in between, from anybody, waits in this socket.
    socket.bind({ port: local.port, address: local.ip + zone, exclusive: true }, () => {
      if (remote === undefined) {
        succeeded();
        return;
      }
      socket.once('connect', succeeded); // a callback would be called with a failure too
      socket.connect(remote.port, zone !== '' && isLinkLocal(remote.ip) ? remote.ip + zone : remote.ip);
    });
  });
}

/**
 * Binds an address that is nobody's yet, to be shared later. SO_REUSEADDR lets a second server bind the same port without an error:
 * whether there is one is asked first, by binding without it.
 * @throws rejects as {@link bindUdpSocket}.
 */
export async function bindSharedUdpSocket(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
  const probe = await bindUdpSocket(local, GONE);
  probe.close();
  for (let left = RELEASE_POLLS; ; left--) {
    try {
      return await bindUdpSocket(probe.local, handlers, { shared: true });
    } catch (error) {
      // Deno gives the port of a closed socket back on a later turn of the event loop; Node and Bun have done so already.
      if (left === 0 || asError(error).code !== 'EADDRINUSE') throw error;
    }
    await sleep(RELEASE_POLL_MS);
  }
}

/**
 * The own address that the system would send from to `remoteIp`. Sends nothing: a connected UDP socket is only a route.
 * @throws rejects when there is no route (`ENETUNREACH`).
 */
export function localAddressTowards(remoteIp: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: ipFamily(remoteIp) === 4 ? 'udp4' : 'udp6', lookup: literal });
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.connect(9, remoteIp, () => {
      const { address } = socket.address();
      socket.close();
      resolve(canonicalIp(address.split('%', 1)[0] ?? address) ?? address);
    });
  });
}

/** Addresses here are literals: answering at once keeps `send` synchronous down to the system call. */
function literal(
  address: string,
  _options: unknown,
  done: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  done(null, address, ipFamily(address));
}

/** Who hears of a socket that is closed. */
const GONE: UdpHandlers = { onDatagram: () => undefined, onError: () => undefined };

class NodeUdpSocket implements UdpSocket {
  readonly local: TransportAddress;
  readonly #socket: Socket;
  readonly #zone: string;
  readonly #isConnected: boolean;
  #handlers: UdpHandlers;
  readonly #remotes = new RemoteCache();
  readonly #kept: PendingSend[] = [];
  #inFlight = 0;
  #closed = false;

  constructor(socket: Socket, local: TransportAddress, zone: string, isConnected: boolean, handlers: UdpHandlers) {
    this.#isConnected = isConnected;
    this.local = local;
    this.#socket = socket;
    this.#zone = zone;
    this.#handlers = handlers;
    for (const grow of [
      () => socket.setRecvBufferSize(SOCKET_BUFFER_BYTES),
      () => socket.setSendBufferSize(SOCKET_BUFFER_BYTES),
    ]) {
      try {
        grow();
      } catch (error) {
        // Some systems refuse what exceeds their limit instead of giving less; the default size works too.
        handlers.onError(asError(error), undefined);
      }
    }
    socket.on('message', (bytes: Uint8Array, info: RemoteInfo) => {
      this.#handlers.onDatagram(plainBytes(bytes), this.#remotes.get(info.address, info.port));
    });
    socket.on('error', (error) => this.#report(error, undefined));
  }

  send(buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): void {
    const pending = this.#prepare(buffer, offset, length, remote);
    if (pending === undefined) return;
    this.flush(); // nothing overtakes what was kept
    this.#submit(pending);
  }

  sendSoon(buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): void {
    const pending = this.#prepare(buffer, offset, length, remote);
    if (pending !== undefined && this.#kept.push(pending) >= MAX_KEPT_DATAGRAMS) this.flush();
  }

  flush(): void {
    for (const pending of this.#kept) this.#submit(pending);
    this.#kept.length = 0;
  }

  #prepare(buffer: Uint8Array, offset: number, length: number, remote: TransportAddress): PendingSend | undefined {
    if (this.#closed) return undefined;
    if (this.#inFlight >= MAX_SENDS_IN_FLIGHT) {
      this.#report(new Error('the send queue is full'), remote);
      return undefined;
    }
    const pending = takeSend(length);
    pending.bytes.set(borrowed.get(buffer, offset, length));
    if (pending.datagram.length !== length) pending.datagram = pending.bytes.subarray(0, length);
    pending.owner = this;
    pending.remote = remote;
    this.#inFlight++;
    return pending;
  }

  #submit({ datagram, remote, done }: PendingSend): void {
    try {
      if (this.#isConnected || remote === undefined) {
        this.#socket.send(datagram, done);
      } else {
        const ip = this.#zone !== '' && isLinkLocal(remote.ip) ? remote.ip + this.#zone : remote.ip;
        this.#socket.send(datagram, remote.port, ip, done);
      }
    } catch (error) {
      done(asError(error)); // port 0, or a socket that the system has closed
    }
  }

  /** The system has taken the datagram, or refused it. */
  sent(error: Error | null, remote: TransportAddress | undefined): void {
    this.#inFlight--;
    if (error !== null) this.#report(error, remote);
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    // Until the next full collection of garbage the native handle holds this object: the connection must not hang on it.
    this.#handlers = GONE;
    this.#socket.close();
  }

  #report(error: Error, remote: TransportAddress | undefined): void {
    this.#handlers.onError(error, remote);
  }
}

/**
 * One `TransportAddress` object per sender, so that the cores can look a path up by identity, and so that no string is
 * made for each datagram.
 */
export class RemoteCache {
  /** Made for the second sender: many sockets hear of one only. */
  #byKey: Map<string, TransportAddress> | undefined;
  #lastIp = '';
  #lastPort = 0;
  #last: TransportAddress = { ip: '', port: 0 };

  get size(): number {
    return this.#byKey?.size ?? (this.#lastIp === '' ? 0 : 1);
  }

  /** @param rawIp - as the system writes it, perhaps with a zone. */
  get(rawIp: string, port: number): TransportAddress {
    if (port === this.#lastPort && rawIp === this.#lastIp) return this.#last;
    const remote = this.#lastIp === '' ? toRemote(rawIp, port) : this.#find(rawIp, port);
    this.#lastIp = rawIp;
    this.#lastPort = port;
    this.#last = remote;
    return remote;
  }

  #find(rawIp: string, port: number): TransportAddress {
    this.#byKey ??= new Map([[`${this.#lastIp} ${this.#lastPort}`, this.#last]]);
    const key = `${rawIp} ${port}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const remote = toRemote(rawIp, port);
    if (this.#byKey.size >= MAX_CACHED_REMOTES) this.#forgetOldest(this.#byKey);
    this.#byKey.set(key, remote);
    return remote;
  }

  /** A flood from forged addresses must not grow the map; halving keeps the cost per datagram constant. */
  #forgetOldest(byKey: Map<string, TransportAddress>): void {
    let excess = MAX_CACHED_REMOTES / 2;
    for (const key of byKey.keys()) {
      if (excess-- <= 0) break;
      byKey.delete(key);
    }
  }
}

function toRemote(rawIp: string, port: number): TransportAddress {
  const zone = rawIp.indexOf('%');
  const ip = zone < 0 ? rawIp : rawIp.slice(0, zone);
  return { ip: canonicalIp(ip) ?? ip, port };
}

/**
 * One datagram on its way into the system. Node keeps a reference to the bytes until it calls back (it queues when the
 * socket's buffer is full), hence the copy; the buffer and the callback are made once and recycled.
 */
interface PendingSend {
  readonly bytes: Uint8Array;
  /** The part of `bytes` that is sent; kept, as the next datagram is often as long. */
  datagram: Uint8Array;
  readonly done: (error: Error | null) => void;
  owner: NodeUdpSocket | undefined;
  remote: TransportAddress | undefined;
}

const freeSends: PendingSend[] = [];

/** Of the slot that is sent from. */
const borrowed = new LastView();

function takeSend(length: number): PendingSend {
  const free = length <= SEND_BUFFER_BYTES ? freeSends.pop() : undefined;
  if (free !== undefined) return free;
  const bytes = new Uint8Array(Math.max(length, SEND_BUFFER_BYTES));
  const pending: PendingSend = {
    bytes,
    datagram: bytes,
    owner: undefined,
    remote: undefined,
    done: (error) => {
      const { owner, remote } = pending;
      if (owner === undefined) return; // Node never calls back twice; a recycled buffer in use twice would be silent corruption
      pending.owner = undefined;
      pending.remote = undefined;
      if (pending.bytes.length === SEND_BUFFER_BYTES && freeSends.length < MAX_POOLED_BUFFERS) freeSends.push(pending);
      owner.sent(error, remote);
    },
  };
  return pending;
}

/** RFC 4291 §2.5.6: fe80::/10. */
function isLinkLocal(ip: string): boolean {
  return /^fe[89ab][0-9a-f]:/.test(ip);
}

/** `%eth0`: which interface a link-local address belongs to (RFC 4007 §11); empty when no interface has it. */
function zoneOf(ip: string): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const address of addresses ?? []) {
      if (canonicalIp(address.address) === ip) {
        return `%${process.platform === 'win32' && address.family === 'IPv6' ? address.scopeid : name}`;
      }
    }
  }
  return '';
}

function asError(thrown: unknown): NodeJS.ErrnoException {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
