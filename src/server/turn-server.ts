import type { Socket } from 'node:net';
import {
  Driver,
  type DropCounters,
  type Env,
  type FiveTuple,
  type Platform,
  type TransmitSlot,
  type TransportAddress,
  type UdpSocket,
} from '../core/index.ts';
import { bindUdpSocket, platform as nodePlatform, systemSetsDontFragment, WakeTimer } from '../io/index.ts';
import {
  type FleetOptions,
  type RelayAddress,
  TurnServerCore,
  type TurnServerEvent,
  type TurnServerStats,
} from '../turn/index.ts';
import { type Log, NO_LOG } from './log.ts';
import { TurnClients } from './turn-clients.ts';
import { type ConnectionHandlers, type PemCertificate, StreamListener } from './turn-connections.ts';
import { DtlsClients, dtlsCertificate, isDtls } from './turn-dtls.ts';
import { PeerWatches } from './turn-icmp.ts';
import { logEntryOf } from './turn-log.ts';
import { prometheusText, type TurnShellStats } from './turn-metrics.ts';
import { defaultRelayAddresses, type TurnServerOptions, userStore } from './turn-server-options.ts';
import { TcpRelays } from './turn-tcp-relays.ts';
import { type BindUdp, pathsAt, UdpSockets } from './turn-udp-sockets.ts';

/** Ports of TURN, and of TURN over TLS and DTLS (RFC 8656 §5). */
export const TURN_PORT = 3478;
export const TURNS_PORT = 5349;

export { DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_CONNECTIONS_PER_SOURCE, IDLE_CONNECTION_MS } from './turn-clients.ts';
export type { TurnServerOptions } from './turn-server-options.ts';

/** What a fleet gets to work with. */
export interface TurnServerParts {
  readonly core: TurnServerCore;
  readonly driver: Driver<TurnServerEvent, FiveTuple>;
  readonly udp: UdpSockets;
}

/** What is different in a server that is one of several behind the same addresses. */
export interface TurnFleetShell {
  readonly options: FleetOptions;
  /** Called once, when the server has been made. */
  attach(parts: TurnServerParts): void;
  /** For the sockets that it listens on. */
  readonly bindListener?: BindUdp;
  /** Sees every event first; `hand-over` and `ask-admission` are its own. */
  onEvent(event: TurnServerEvent): void;
  /** Takes a datagram away, whose sender another member serves. Borrowed. */
  takes?(bytes: Uint8Array, path: FiveTuple): boolean;
  /** Sends what none of the server's sockets can. */
  sends?(slot: TransmitSlot<FiveTuple>, path: FiveTuple): boolean;
  /** Takes each new TCP connection away, unread. */
  readonly giveStream?: (socket: Socket) => void;
}

/**
 * A TURN server (RFC 8656) that also answers STUN: over UDP and TCP, and with a certificate over TLS and DTLS on the same
 * ports.
 *
 * @example
 * const server = new TurnServer({ realm: 'example.org', users: { ada: 'lovelace' }, relayAddresses: ['203.0.113.7'] });
 * await server.listen({ host: '203.0.113.7', port: 3478 });
 * await server.listen({ host: '203.0.113.7', port: 3478, transport: 'tcp' });
 * // … new RTCPeerConnection({ iceServers: [{ urls: 'turn:203.0.113.7', username: 'ada', credential: 'lovelace' }] })
 * server.close();
 */
export class TurnServer {
  readonly #core: TurnServerCore;
  readonly #driver: Driver<TurnServerEvent, FiveTuple>;
  readonly #platform: Platform;
  readonly #env: Env;
  readonly #log: Log;
  #certificate: PemCertificate | undefined;
  readonly #noTls: boolean;
  readonly #noDtls: boolean;
  readonly #udp: UdpSockets;
  readonly #fleet: TurnFleetShell | undefined;
  readonly #clients: TurnClients;
  readonly #streams: StreamListener[] = [];
  #adopted: StreamListener | undefined;
  readonly #dtls: DtlsClients[] = [];
  #sendErrors = 0;
  #closed = false;
  #drained: (() => void)[] = [];

  /**
   * @param fleet - for a server that is one of several, see `TurnWorkers`.
   * @throws {UsageError} for options that cannot work; see `TurnServerCore`.
   */
  constructor(options: TurnServerOptions, fleet?: TurnFleetShell) {
    const platform = options.platform ?? nodePlatform;
    this.#platform = platform;
    this.#env = options.env ?? platform.env;
    this.#log = options.log ?? NO_LOG;
    this.#certificate = options.certificate;
    this.#noTls = options.noTls === true;
    this.#noDtls = options.noDtls === true;
    this.#clients = new TurnClients(
      {
        hasAllocation: (path) => this.#core.hasAllocation(path),
        refused: () => this.drops.count('limit'),
        setTimer: (delayMs, fire) => platform.setTimer(platform.now() + delayMs, fire),
      },
      options.maxConnections,
      options.maxConnectionsPerSource,
    );
    const interfaces = platform.interfaces();
    const relayAddresses = (options.relayAddresses ?? defaultRelayAddresses(platform)).map((address) => {
      const given: RelayAddress = typeof address === 'string' ? { ip: address } : address;
      const mtuBytes = interfaces.find(({ ip }) => ip === given.ip)?.mtuBytes;
      return mtuBytes === undefined ? given : { mtuBytes, ...given };
    });
    // Fragments cannot be kept from leaving an interface whose MTU is not known.
    const mtusKnown = relayAddresses.every(({ mtuBytes }) => mtuBytes !== undefined);
    this.#core = new TurnServerCore({
      dontFragment: mtusKnown && systemSetsDontFragment(),
      ...options,
      ...userStore(this.#env, options),
      ...(fleet === undefined ? {} : { fleet: fleet.options }),
      env: this.#env,
      tcpRelay: options.noTcpRelay !== true,
      reportsIcmp: options.icmp === true,
      relayAddresses,
      ownAddresses: [...interfaces.map(({ ip }) => ip), ...(options.ownAddresses ?? [])],
    });
    const timer = new WakeTimer(platform, () => this.#driver.wake());
    const host = {
      now: () => platform.now(),
      send: (slot: TransmitSlot<FiveTuple>) => this.#send(slot),
      wakeAt: (at: number) => timer.arm(at),
    };
    this.#driver = new Driver(this.#core, host, (event) => this.#onEvent(event));
    const bindRelay: BindUdp =
      options.icmp === true
        ? (local, handlers) => bindUdpSocket(local, handlers, { shared: true })
        : (local, handlers) => platform.bindUdp(local, handlers);
    const input = (bytes: Uint8Array, path: FiveTuple) => this.#driver.input(bytes, path);
    this.#udp = new UdpSockets(bindRelay, input, () => this.#countSendError());
    this.#fleet = fleet;
    fleet?.attach({ core: this.#core, driver: this.#driver, udp: this.#udp });
  }

  get stats(): TurnServerStats {
    return this.#core.stats;
  }

  /** Input that was not acted on, by reason. */
  get drops(): DropCounters {
    return this.#core.drops;
  }

  /** What the shell counts beside. */
  get shellStats(): TurnShellStats {
    const { size, refusedTotal, refusedPerSourceTotal } = this.#clients;
    return { connections: size, refusedTotal, refusedPerSourceTotal, sendErrorsTotal: this.#sendErrors };
  }

  /** Everything countable, in the text format of Prometheus. @throws rejects where `prom-client` is not installed. */
  metrics(): Promise<string> {
    return prometheusText(this.stats, this.shellStats, this.drops.toJSON());
  }

  /**
   * Listens on one more address.
   * @param address - `host` is an IP address and defaults to 127.0.0.1, so that nothing is open to the network unless asked;
   *   port 0 asks for a free port. `udp` (the default) takes DTLS too, `tcp` takes TLS, where there is a certificate.
   * @returns what it is bound to.
   * @throws rejects with the system's error, such as `EADDRINUSE`.
   */
  async listen(address: {
    readonly host?: string;
    readonly port: number;
    readonly transport?: 'udp' | 'tcp';
  }): Promise<TransportAddress> {
    const wanted = { ip: address.host ?? '127.0.0.1', port: address.port };
    const transport = address.transport ?? 'udp';
    const bound = transport === 'udp' ? await this.#listenUdp(wanted) : await this.#listenTcp(wanted);
    this.addOwnAddress(bound.ip);
    this.#log({ level: 'info', event: 'listening', service: 'turn', transport, ip: bound.ip, port: bound.port });
    return bound;
  }

  /** One more address of this machine that clients must not reach, canonical text. */
  addOwnAddress(ip: string): void {
    this.#core.addOwnAddress(ip);
  }

  /**
   * Another certificate for new connections; those that stand keep theirs.
   * @throws for one that cannot be read: nothing has changed then.
   */
  setCertificate(certificate: PemCertificate): void {
    const forDtls = dtlsCertificate(this.#env, certificate);
    if (!this.#noTls) for (const listener of this.#streams) listener.setCertificate(certificate);
    for (const clients of this.#dtls) clients.certificate = forDtls;
    this.#certificate = certificate;
  }

  /** No new allocations; resolves when the last one has ended. The server keeps serving until `close`. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#log({ level: 'info', event: 'draining', allocations: this.#core.stats.allocations });
      this.#driver.mutate(() => this.#core.drain());
      if (this.#core.stats.allocations === 0) this.#settleDrained();
    });
  }

  /** Ends every allocation and closes every socket. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#driver.mutate((now) => this.#core.close(now));
    this.#closed = true;
    this.#driver.close();
    for (const clients of this.#dtls) clients.close();
    for (const listener of this.#streams) listener.close();
    this.#udp.closeAll();
    this.#tcpRelays.closeAll();
    this.#watches.closeAll();
    this.#settleDrained();
  }

  async #listenUdp(wanted: TransportAddress): Promise<TransportAddress> {
    let local = wanted;
    const paths = pathsAt(() => local);
    const clients =
      this.#certificate === undefined || this.#noDtls
        ? undefined
        : new DtlsClients(
            this.#env,
            this.#platform,
            dtlsCertificate(this.#env, this.#certificate),
            this.#handlers,
            (buffer, offset, length, remote) => socket.send(buffer, offset, length, remote),
          );
    const bind: BindUdp = this.#fleet?.bindListener ?? ((local, handlers) => this.#platform.bindUdp(local, handlers));
    const socket: UdpSocket = await bind(wanted, {
      onDatagram: (bytes, remote) => {
        if (clients !== undefined && isDtls(bytes[0])) {
          clients.handleDatagram(bytes, local, remote);
          return;
        }
        const path = paths(remote);
        if (this.#fleet?.takes?.(bytes, path) !== true) this.#driver.input(bytes, path);
      },
      onError: () => this.#countSendError(),
    });
    this.#refuseWhenClosed(() => socket.close());
    local = socket.local;
    if (clients !== undefined) this.#dtls.push(clients);
    this.#udp.add(socket);
    return local;
  }

  async #listenTcp(wanted: TransportAddress): Promise<TransportAddress> {
    const listener = this.#newStreamListener();
    const bound = await listener.listen(wanted);
    this.#refuseWhenClosed(() => listener.close());
    this.#streams.push(listener);
    return bound;
  }

  #newStreamListener(): StreamListener {
    return new StreamListener(this.#handlers, this.#noTls ? undefined : this.#certificate, this.#fleet?.giveStream);
  }

  /** Takes a TCP connection that another process has accepted, and of which nothing was read. */
  adopt(socket: Socket): void {
    if (this.#adopted === undefined) {
      this.#adopted = this.#newStreamListener();
      this.#streams.push(this.#adopted);
    }
    this.#adopted.adopt(socket);
  }

  #refuseWhenClosed(undo: () => void): void {
    if (!this.#closed) return;
    undo();
    throw new Error('the server was closed');
  }

  readonly #handlers: ConnectionHandlers = {
    arrived: (ip) => !this.#closed && this.#clients.arrive(ip),
    left: (ip) => this.#clients.leave(ip),
    opened: (connection) => !this.#closed && this.#clients.add(connection),
    message: (bytes, path) => this.#driver.input(bytes, path),
    mayBeLong: (path) => {
      const isKnown = this.#core.hasAllocation(path);
      if (!isKnown) this.drops.count('limit');
      return isKnown;
    },
    closed: ({ path }) => {
      this.#clients.forget(path);
      if (!this.#closed) this.#driver.mutate((now) => this.#core.pathClosed(path, now));
    },
  };

  #send(slot: TransmitSlot<FiveTuple>): void {
    const { path } = slot;
    if (path === undefined) return;
    if (path.protocol === 'udp') {
      if (!this.#udp.send(slot, path) && this.#fleet?.sends?.(slot, path) !== true) this.#countSendError();
    } else if (this.#clients.get(path)?.send(slot) !== true) {
      this.#countSendError();
    }
  }

  #onEvent(event: TurnServerEvent): void {
    this.#fleet?.onEvent(event);
    const entry = logEntryOf(event);
    if (entry !== undefined) this.#log(entry);
    switch (event.type) {
      case 'open-relay':
        void this.#openRelay(event.relay, event.local, event.transport);
        break;
      case 'connect-peer':
        this.#tcpRelays.dial(event.connection, event.local, event.peer);
        break;
      case 'bind-connection': {
        const client = this.#clients.get(event.path)?.release();
        this.#clients.forget(event.path);
        if (client === undefined) this.#tcpRelays.close(event.connection);
        else this.#tcpRelays.bind(event.connection, client);
        break;
      }
      case 'close-connection':
        this.#tcpRelays.close(event.connection);
        break;
      case 'close-relay':
        this.#closeRelay(event.relay);
        this.#watches.close(event.local);
        break;
      case 'watch-peer':
        void this.#watches.watch(event.local, event.peer);
        break;
      case 'drained':
        this.#settleDrained();
        break;
    }
  }

  readonly #watches = new PeerWatches({
    datagram: (bytes, path) => this.#driver.input(bytes, path),
    icmp: (local, peer, icmp) => this.#driver.mutate((now) => this.#core.handleIcmp(local, peer, icmp, now)),
  });

  readonly #tcpRelays = new TcpRelays({
    accepted: (local, peer) => this.#driver.mutate((now) => this.#core.peerAccepted(local, peer, now)),
    connected: (connection) => this.#driver.mutate((now) => this.#core.peerConnected(connection, now)),
    passed: (connection, direction, bytes) => {
      const now = this.#platform.now();
      return this.#core.connectionPassed(connection, direction, bytes, now) - now;
    },
    closed: (connection) => {
      if (!this.#closed) this.#driver.mutate(() => this.#core.peerClosed(connection));
    },
    setTimer: (delayMs, fire) => this.#platform.setTimer(this.#platform.now() + delayMs, fire),
  });

  async #openRelay(relay: number, local: TransportAddress, transport: 'udp' | 'tcp'): Promise<void> {
    try {
      if (transport === 'tcp') await this.#tcpRelays.open(relay, local);
      else await this.#udp.openRelay(relay, local);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log({ level: 'warn', event: 'relay-failed', transport, ip: local.ip, port: local.port, reason });
      if (!this.#closed) this.#driver.mutate((now) => this.#core.relayFailed(relay, now));
      return;
    }
    if (this.#closed) this.#closeRelay(relay);
    else this.#driver.mutate((now) => this.#core.relayOpened(relay, local, now));
  }

  #closeRelay(relay: number): void {
    if (!this.#tcpRelays.closeRelay(relay)) this.#udp.closeRelay(relay);
  }

  #countSendError(): void {
    this.#sendErrors++;
  }

  #settleDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}
