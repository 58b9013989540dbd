import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connect as connectTls } from 'node:tls';
import {
  Driver,
  type FiveTuple,
  type Host,
  type Instant,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import { DtlsClient, type DtlsEvent } from '../../src/dtls/index.ts';
import { UdpShell } from '../../src/io/index.ts';
import { StreamDeframer } from '../../src/stun/index.ts';
import { TurnClient, type TurnClientEvent, type TurnClientOptions } from '../../src/turn/index.ts';
import { ENV } from './dtls-peers.ts';

export type Transport = FiveTuple['protocol'];

/** Longer than anything on loopback takes; a test that waits longer fails with what it saw instead. */
const PATIENCE_MS = 15_000;

/** A running core, and how to end it. */
export interface Link<E> {
  readonly driver: Driver<E, FiveTuple>;
  close(): void;
}

/** A host with the process's clock, one timer, and a function for the wire. */
function hostOf<P>(send: (slot: TransmitSlot<P>) => void, wake: () => void): Host<P> {
  let timer: NodeJS.Timeout | undefined;
  return {
    now: () => performance.now(),
    send,
    wakeAt: (at: Instant) => {
      clearTimeout(timer);
      if (at !== Number.POSITIVE_INFINITY) timer = setTimeout(wake, Math.max(0, Math.ceil(at - performance.now())));
    },
  };
}

function addressesOf(socket: Socket): { local: TransportAddress; remote: TransportAddress } {
  return {
    local: { ip: socket.localAddress ?? '', port: socket.localPort ?? 0 },
    remote: { ip: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 },
  };
}

/** Opens a TCP or TLS connection. The certificate is the test's own, so nobody has signed it. */
export async function openStream(protocol: 'tcp' | 'tls', server: TransportAddress): Promise<Socket> {
  const socket =
    protocol === 'tcp'
      ? connectTcp(server.port, server.ip)
      : connectTls({ host: server.ip, port: server.port, rejectUnauthorized: false });
  await once(socket, protocol === 'tcp' ? 'connect' : 'secureConnect');
  socket.on('error', () => socket.destroy()); // coturn resets connections that it is done with
  return socket;
}

/** Runs a core on a stream; `framed` cuts it into messages, otherwise the core gets the chunks. */
export function runOnStream<E>(
  socket: Socket,
  protocol: 'tcp' | 'tls',
  make: (path: FiveTuple) => SansIo<E, FiveTuple>,
  onEvent: (event: E) => void,
  framed: boolean,
): Link<E> {
  const path: FiveTuple = { protocol, ...addressesOf(socket) };
  const deframer = new StreamDeframer({ channelData: true });
  const host = hostOf<FiveTuple>(
    (slot) => socket.write(Uint8Array.from(slot.buffer.subarray(slot.offset, slot.offset + slot.length))),
    () => driver.wake(),
  );
  const driver = new Driver(make(path), host, onEvent);
  socket.on('data', (chunk: Buffer) => {
    if (framed) deframer.push(chunk, (message) => driver.input(message, path));
    else driver.input(chunk, path);
  });
  return {
    driver,
    close: () => {
      driver.close();
      socket.destroy();
    },
  };
}

/** A TURN client over one of the four transports, with what it reported. */
export class TurnLink {
  readonly events: TurnClientEvent[] = [];
  /** Echoed data by content. */
  readonly data: string[] = [];
  #client: TurnClient | undefined;
  #link: Link<TurnClientEvent> | undefined;
  #look: () => void = () => undefined;

  static async open(
    protocol: Transport,
    server: TransportAddress,
    options: Omit<TurnClientOptions, 'env' | 'path'>,
  ): Promise<TurnLink> {
    const turn = new TurnLink();
    const make = (path: FiveTuple): TurnClient => {
      turn.#client = new TurnClient({ env: ENV, path, ...options });
      return turn.#client;
    };
    if (protocol === 'udp') turn.#link = await openUdp(server, make, (event) => turn.#take(event));
    else if (protocol === 'dtls') turn.#link = await openDtls(server, make, (event) => turn.#take(event));
    else {
      const socket = await openStream(protocol, server);
      turn.#link = runOnStream(socket, protocol, make, (event) => turn.#take(event), true);
    }
    return turn;
  }

  get client(): TurnClient {
    if (this.#client === undefined) throw new Error('not open');
    return this.#client;
  }

  does(command: (client: TurnClient, now: Instant) => void): void {
    this.#link?.driver.mutate((now) => command(this.client, now));
  }

  /** Resolves when `condition` holds, looking after each event. */
  until(what: string, condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const drops = JSON.stringify(this.client.drops);
        reject(new Error(`waited in vain for ${what}: ${JSON.stringify(this.events)} ${drops}`));
      }, PATIENCE_MS);
      this.#look = () => {
        if (!condition()) return;
        clearTimeout(timer);
        resolve();
      };
      this.#look();
    });
  }

  saw(type: TurnClientEvent['type']): Promise<void> {
    return this.until(type, () => this.events.some((event) => event.type === type));
  }

  close(): void {
    this.#link?.close();
  }

  #take(event: TurnClientEvent): void {
    if (event.type === 'data') this.data.push(Buffer.from(event.bytes).toString('hex'));
    else this.events.push(event);
    this.#look();
  }
}

async function openUdp(
  server: TransportAddress,
  make: (path: FiveTuple) => TurnClient,
  onEvent: (event: TurnClientEvent) => void,
): Promise<Link<TurnClientEvent>> {
  // The client wants to know its own address, so the port has to be found first.
  const socket = createSocket(server.ip.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, server.ip);
  await once(socket, 'listening');
  const local = { ip: server.ip, port: socket.address().port };
  socket.close();
  await once(socket, 'close');
  const core = make({ protocol: 'udp', local, remote: server });
  const shell = new UdpShell({ core, onEvent });
  await shell.bind(local);
  return { driver: shell.driver, close: () => shell.close() };
}

async function openDtls(
  server: TransportAddress,
  make: (path: FiveTuple) => TurnClient,
  onEvent: (event: TurnClientEvent) => void,
): Promise<Link<TurnClientEvent>> {
  const socket = createSocket(server.ip.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, server.ip);
  await once(socket, 'listening');
  const path: FiveTuple = { protocol: 'dtls', local: { ip: server.ip, port: socket.address().port }, remote: server };
  const dtls = new DtlsClient({ env: ENV, verifyPeer: () => undefined });
  const turnHost = hostOf<FiveTuple>(
    ({ buffer, offset, length }) =>
      records.mutate((now) => dtls.send(Uint8Array.from(buffer.subarray(offset, offset + length)), now)),
    () => driver.wake(),
  );
  const driver = new Driver<TurnClientEvent, FiveTuple>(make(path), turnHost, onEvent);
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const connected = new Promise<void>((onConnected, onFailed) => {
    resolve = onConnected;
    reject = onFailed;
  });
  const dtlsHost = hostOf<void>(
    ({ buffer, offset, length }) =>
      socket.send(Uint8Array.from(buffer.subarray(offset, offset + length)), server.port, server.ip),
    () => records.wake(),
  );
  const records = new Driver<DtlsEvent>(dtls, dtlsHost, (event) => {
    if (event.type === 'connected') resolve();
    else if (event.type === 'failed') reject(new Error(JSON.stringify(event.error)));
    else if (event.type === 'data') driver.input(event.bytes, path);
  });
  socket.on('message', (bytes) => records.input(new Uint8Array(bytes), undefined));
  records.mutate((now) => dtls.start(now));
  await connected;
  return {
    driver,
    close: () => {
      driver.close();
      records.close();
      socket.close();
    },
  };
}
