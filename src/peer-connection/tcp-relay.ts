import {
  type ByteStream,
  createTransmitSlot,
  DecodeError,
  Driver,
  type FiveTuple,
  type Host,
  type Instant,
  NEVER,
  type Platform,
  type StreamHandlers,
  type StreamListener,
  type StreamOptions,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { StreamDeframer } from '../stun/index.ts';
import { TurnClient, type TurnClientEvent, type TurnDataConnectionEvent } from '../turn/index.ts';

/** Connections through one TCP allocation, those being joined included. */
export const MAX_TCP_RELAY_CONNECTIONS = 32;

/** The longest message that is sent to the server: a signed request. */
const MAX_MESSAGE_BYTES = 4096;

export interface TcpRelayOptions {
  readonly remote: TransportAddress;
  /** Own address to connect from. */
  readonly localIp: string;
  readonly username: string;
  readonly password: string;
  /** TLS to the server. */
  readonly tls?: { readonly serverName: string; readonly ca?: readonly string[] };
}

/** A relayed address as a place where TCP connections arrive. */
export interface TcpRelay extends StreamListener {
  /** Our address as the server sees it. */
  readonly mapped: TransportAddress;
  /** Lets connections from the address in (RFC 8656 §9). */
  permit(ip: string): void;
}

/**
 * A TCP allocation on a TURN server (RFC 6062), for a relayed passive candidate (RFC 6544 §5.5): each connection of a peer to
 * the relayed address becomes a second connection of ours to the server, on which the two are joined.
 * @param accept - takes each such connection.
 * @param onLost - the allocation has ended by itself.
 * @throws (rejects) when there is no allocation.
 */
export async function listenOnRelay(
  platform: Platform,
  options: TcpRelayOptions,
  accept: (stream: ByteStream) => StreamHandlers,
  onLost: () => void,
  signal: AbortSignal,
): Promise<TcpRelay> {
  const relay = new Allocation(platform, options, accept, onLost);
  signal.addEventListener('abort', () => relay.close(), { once: true });
  return relay.open(signal);
}

class Allocation {
  readonly #platform: Platform;
  readonly #options: TcpRelayOptions;
  readonly #accept: (stream: ByteStream) => StreamHandlers;
  readonly #onLost: () => void;
  readonly #connections = new Set<ByteStream>();
  /** Second connections that are being opened. */
  #joining = 0;
  #client: TurnClient | undefined;
  #driver: Driver<TurnClientEvent, FiveTuple> | undefined;
  #control: ByteStream | undefined;
  #relayed: TransportAddress | undefined;
  #settle: (outcome: TcpRelay | Error) => void = () => undefined;
  #closed = false;

  constructor(
    platform: Platform,
    options: TcpRelayOptions,
    accept: (stream: ByteStream) => StreamHandlers,
    onLost: () => void,
  ) {
    this.#platform = platform;
    this.#options = options;
    this.#accept = accept;
    this.#onLost = onLost;
  }

  async open(signal: AbortSignal): Promise<TcpRelay> {
    const { username, password } = this.#options;
    const deframer = new StreamDeframer();
    const handlers: StreamHandlers = {
      onData: (bytes) => deframer.push(bytes, (message) => this.#input(message)),
      onClose: () => this.#end(new Error('the server has closed the connection')),
    };
    const control = await this.#connect(
      guarded(handlers, (error) => this.#end(error)),
      { signal },
    );
    if (this.#closed) {
      control.close();
      throw new Error('closed');
    }
    const path = this.#pathOf(control);
    const client = new TurnClient({ env: this.#platform.env, path, username, password, relayTransport: 'tcp' });
    const host = new StreamHost(this.#platform, control);
    const driver = new Driver<TurnClientEvent, FiveTuple>(
      client,
      host,
      (event) => this.#onEvent(event),
      createTransmitSlot<FiveTuple>(MAX_MESSAGE_BYTES),
    );
    host.onWake = () => driver.wake();
    this.#control = control;
    this.#client = client;
    this.#driver = driver;
    const settled = new Promise<TcpRelay | Error>((resolve) => {
      this.#settle = resolve;
    });
    driver.mutate((now) => client.allocate(now));
    const outcome = await settled;
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  #input(message: Uint8Array): void {
    if (this.#control !== undefined) this.#driver?.input(message, this.#pathOf(this.#control));
  }

  #onEvent(event: TurnClientEvent): void {
    switch (event.type) {
      case 'allocated': {
        const [local] = event.relayed;
        if (local === undefined) return;
        this.#relayed = local;
        const permit = (ip: string): void => this.#permit(ip);
        this.#settle({ local, mapped: event.mapped, permit, close: () => this.close() });
        return;
      }
      case 'connection':
        if (event.incoming) void this.#join(event.connectionId, event.peer);
        return;
      case 'failed':
        this.#end(new Error(`no TCP relay: ${event.reason} ${event.error?.code ?? ''}`));
        return;
      default:
        return;
    }
  }

  #permit(ip: string): void {
    const client = this.#client;
    if (client === undefined || this.#closed) return;
    try {
      this.#driver?.mutate((now) => client.createPermission({ ip, port: 0 }, now));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error; // another family, or a peer too many
    }
  }

  /** RFC 6062 §4.4: a peer has connected; a connection of our own takes it. */
  async #join(connectionId: number, remote: TransportAddress): Promise<void> {
    const { client, relayed } = { client: this.#client, relayed: this.#relayed };
    if (client === undefined || relayed === undefined) return;
    if (this.#connections.size + this.#joining >= MAX_TCP_RELAY_CONNECTIONS) return; // the server forgets it in 30 s
    this.#joining++;
    let owner: StreamHandlers | undefined;
    let joined: Driver<TurnDataConnectionEvent, FiveTuple> | undefined;
    let path: FiveTuple | undefined;
    let stream: ByteStream | undefined;
    const handlers: StreamHandlers = {
      onData: (bytes) => {
        if (owner !== undefined) owner.onData(bytes);
        else if (path !== undefined) joined?.input(bytes, path);
      },
      onClose: (error) => {
        if (stream !== undefined) this.#connections.delete(stream);
        joined?.close();
        owner?.onClose(error);
      },
    };
    try {
      stream = await this.#connect(handlers, {});
    } catch (error) {
      this.#platform.env.trace.note('tcp-relay', `not joined: ${String(error)}`);
      return;
    } finally {
      this.#joining--;
    }
    const own = stream;
    if (this.#closed) {
      own.close();
      return;
    }
    this.#connections.add(own);
    path = this.#pathOf(own);
    const data = client.createDataConnection(connectionId, path, this.#platform.now());
    const host = new StreamHost(this.#platform, own);
    const close = (): void => {
      this.#connections.delete(own);
      joined?.close();
      host.wakeAt(NEVER);
      own.close();
    };
    joined = new Driver<TurnDataConnectionEvent, FiveTuple>(
      data,
      host,
      (event) => {
        if (event.type === 'bound') {
          const write = (buffer: Uint8Array, offset: number, length: number): boolean =>
            own.write(buffer, offset, length);
          owner = this.#accept({ local: relayed, remote, write, close });
        } else if (event.type === 'data') owner?.onData(event.bytes);
        else close();
      },
      createTransmitSlot<FiveTuple>(MAX_MESSAGE_BYTES),
    );
    host.onWake = () => joined?.wake();
    joined.drain();
  }

  #connect(handlers: StreamHandlers, more: Pick<StreamOptions, 'signal'>): Promise<ByteStream> {
    const { remote, localIp, tls } = this.#options;
    const { connectTcp, connectTls } = this.#platform;
    const connecting =
      tls === undefined
        ? connectTcp?.call(this.#platform, remote, handlers, { localIp, ...more })
        : connectTls?.call(this.#platform, remote, handlers, { localIp, ...more, ...tls });
    return connecting ?? Promise.reject(new Error('this platform has no streams'));
  }

  #pathOf({ local, remote }: ByteStream): FiveTuple {
    return { protocol: this.#options.tls === undefined ? 'tcp' : 'tls', local, remote };
  }

  /** Not by our doing. */
  #end(error: Error): void {
    if (this.#closed) return;
    const stood = this.#relayed !== undefined;
    this.close();
    this.#settle(error);
    if (stood) this.#onLost();
  }

  /** Gives the allocation back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const client = this.#client;
    if (client !== undefined) this.#driver?.mutate((now) => client.close(now)); // the request still leaves
    this.#driver?.close();
    this.#control?.close();
    for (const stream of [...this.#connections]) stream.close();
    this.#connections.clear();
    this.#settle(new Error('closed'));
  }
}

/** What a `Driver` needs, over one stream. */
class StreamHost implements Host<FiveTuple> {
  onWake: () => void = () => undefined;
  readonly #platform: Platform;
  readonly #stream: ByteStream;
  #cancel: () => void = () => undefined;

  constructor(platform: Platform, stream: ByteStream) {
    this.#platform = platform;
    this.#stream = stream;
  }

  now(): Instant {
    return this.#platform.now();
  }

  send({ buffer, offset, length }: TransmitSlot<FiveTuple>): void {
    this.#stream.write(buffer, offset, length);
  }

  wakeAt(at: Instant): void {
    this.#cancel();
    this.#cancel = at === NEVER ? () => undefined : this.#platform.setTimer(at, () => this.onWake());
  }
}

/** A server that sends what is no STUN has lost its way: the connection ends. */
function guarded(handlers: StreamHandlers, end: (error: DecodeError) => void): StreamHandlers {
  return {
    onData: (bytes) => {
      try {
        handlers.onData(bytes);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        end(error);
      }
    },
    onClose: handlers.onClose,
  };
}
