import type { Socket } from 'node:net';
import { afterEach } from 'vitest';
import { Driver, type FiveTuple, ipFamily, type TransportAddress } from '../../src/core/index.ts';
import { platform, UdpShell } from '../../src/io/index.ts';
import { StreamDeframer } from '../../src/stun/index.ts';
import { TurnClient, type TurnClientEvent, type TurnClientOptions } from '../../src/turn/index.ts';

/** Events of a client, each waited for in its order. */
export class ClientEvents {
  readonly #seen: TurnClientEvent[] = [];
  #wake: () => void = () => undefined;

  readonly push = (event: TurnClientEvent): void => {
    this.#seen.push(event.type === 'data' ? { ...event, bytes: Uint8Array.from(event.bytes) } : event); // borrowed
    this.#wake();
  };

  /** The next event of that type; those before it are passed over. @throws when the client has failed. */
  async next<T extends TurnClientEvent['type']>(type: T): Promise<Extract<TurnClientEvent, { type: T }>> {
    const isWanted = (event: TurnClientEvent): event is Extract<TurnClientEvent, { type: T }> => event.type === type;
    for (;;) {
      for (let event = this.#seen.shift(); event !== undefined; event = this.#seen.shift()) {
        if (isWanted(event)) return event;
        if (event.type === 'failed') throw new Error(`failed: ${event.reason} ${event.error?.code}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A client on a real socket, with the credentials that the tests' servers know. */
export interface RunningClient {
  readonly client: TurnClient;
  readonly driver: Driver<TurnClientEvent, FiveTuple>;
  readonly events: ClientEvents;
}

export interface UdpClient extends RunningClient {
  readonly shell: UdpShell<TurnClientEvent>;
}

export interface TurnClients {
  /** More to close after the test, in reverse order. */
  readonly closers: (() => unknown)[];
  /** @param at - where; default: somewhere. */
  udpClient(remote: TransportAddress, options?: Partial<TurnClientOptions>, at?: TransportAddress): Promise<UdpClient>;
  /** On a socket that is connected. */
  streamClient(
    socket: Socket,
    remote: TransportAddress,
    protocol: 'tcp' | 'tls',
    options?: Partial<TurnClientOptions>,
  ): RunningClient;
  /** A UDP peer that sends back what it gets, until it is closed. */
  echoPeer(ip?: string): Promise<{ readonly address: TransportAddress; close(): void }>;
}

/** A UDP address on which nobody listens now. */
export async function freeAddress(ip = '127.0.0.1'): Promise<TransportAddress> {
  const probe = await platform.bindUdp({ ip, port: 0 }, { onDatagram: () => undefined, onError: () => undefined });
  probe.close();
  return probe.local;
}

/** TURN clients and peers on loopback that last as long as a test. */
export function useTurnClients(): TurnClients {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });
  const make = (path: FiveTuple, options: Partial<TurnClientOptions> = {}): TurnClient => {
    const family = ipFamily(path.remote.ip) === 6 ? { requestedFamily: 6 as const } : {};
    return new TurnClient({ env: platform.env, path, username: 'ada', password: 'lovelace', ...family, ...options });
  };
  return {
    closers,
    udpClient: async (remote, options, at) => {
      const local = at ?? (await freeAddress(remote.ip));
      const client = make({ protocol: 'udp', local, remote }, options);
      const events = new ClientEvents();
      const shell = new UdpShell<TurnClientEvent>({ core: client, onEvent: events.push });
      closers.push(() => shell.close());
      await shell.bind(local);
      return { client, driver: shell.driver, events, shell };
    },
    streamClient: (socket, remote, protocol, options) => {
      closers.push(() => socket.destroy());
      const path: FiveTuple = { protocol, local: { ip: '127.0.0.1', port: socket.localPort ?? 0 }, remote };
      const client = make(path, options);
      const events = new ClientEvents();
      const host = {
        now: () => platform.now(),
        send: ({ buffer, offset, length }: { buffer: Uint8Array; offset: number; length: number }): void =>
          void socket.write(buffer.slice(offset, offset + length)),
        wakeAt: () => undefined,
      };
      const driver = new Driver<TurnClientEvent, FiveTuple>(client, host, events.push);
      const deframer = new StreamDeframer({ channelData: true });
      socket.on('data', (chunk) => deframer.push(chunk, (message) => driver.input(message, path)));
      return { client, driver, events };
    },
    echoPeer: async (ip = '127.0.0.1') => {
      const socket = await platform.bindUdp(
        { ip, port: 0 },
        { onDatagram: (bytes, from) => socket.send(bytes, 0, bytes.length, from), onError: () => undefined },
      );
      closers.push(() => socket.close());
      return { address: socket.local, close: () => socket.close() };
    },
  };
}
