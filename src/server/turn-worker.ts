import type { Socket } from 'node:net';
import {
  type FiveTuple,
  formatFiveTuple,
  sameAddress,
  type TransmitSlot,
  type UdpSocket,
  UsageError,
} from '../core/index.ts';
import { bindUdpSocket, platform } from '../io/index.ts';
import type { TurnServerEvent } from '../turn/index.ts';
import type { LogEntry } from './log.ts';
import { planTurnServer } from './turn-config.ts';
import { TurnServer, type TurnServerOptions, type TurnServerParts } from './turn-server.ts';
import { Trunk } from './turn-trunk.ts';
import {
  type CarriedDatagram,
  type FromWorker,
  shareOfRate,
  type ToWorker,
  type TurnMemberStats,
  type TurnWorkerSource,
  type WorkerReport,
} from './turn-worker-messages.ts';

/** The way back to the process that listens. */
export interface WorkerChannel {
  /** It does not keep up with what it is sent. */
  readonly isBusy: boolean;
  send(message: FromWorker): void;
}

type Start = Extract<ToWorker, { type: 'start' }>;

/** A client on UDP: its path, and whether datagrams come through a socket of its own. */
interface Client {
  readonly path: FiveTuple;
  hasSocket: boolean;
}

/**
 * One of the processes of `TurnWorkers`. It listens nowhere. What comes to it: UDP clients, from the process that listens,
 * with the datagram that proves who they are; from then on through a socket that is bound to the same address and connected to
 * that client, which the system prefers to the one that listens. And TCP connections, unread.
 */
export class TurnWorker {
  readonly #server: TurnServer;
  readonly #parts: TurnServerParts;
  readonly #trunk: Trunk;
  readonly #channel: WorkerChannel;
  readonly #bind: typeof bindUdpSocket;
  readonly #clients = new Map<string, Client>();
  /** Those whose allocation is not open yet, or that are moving: they may come to nothing without an event. */
  readonly #unsettled = new Set<Client>();
  /** Allocations that are counted already, by the client's path. */
  readonly #grants = new Map<FiveTuple, string>();
  #report: { log: LogEntry[]; quota: [string, 1 | -1][]; gone: WorkerReport['gone'][number][] } = emptyReport();
  #reportDue = false;

  /**
   * @param bind - opens the socket of a client.
   * @throws {UsageError} for options that cannot work.
   */
  constructor(start: Start, channel: WorkerChannel, bind: typeof bindUdpSocket = bindUdpSocket) {
    this.#channel = channel;
    this.#bind = bind;
    const { member, slices } = start;
    const slice = slices[member];
    if (slice === undefined) throw new UsageError('a worker needs ports');
    this.#trunk = new Trunk(member, slices);
    let parts: TurnServerParts | undefined;
    const given = optionsOf(start.source);
    const options: TurnServerOptions = {
      ...given,
      ...slice,
      ...shareOfRate(given, slices),
      nonceSecret: start.nonceSecret,
      ...(start.certificate === undefined ? {} : { certificate: start.certificate }),
      log: (entry) => {
        this.#report.log.push({ ...entry, worker: member });
        this.#reportSoon();
      },
    };
    this.#server = new TurnServer(options, {
      options: {
        member,
        handsOver: false,
        asksAdmission: true,
        quota: {
          refuses: () => false, // the other process knows, and is asked
          add: (quotaKey, change) => this.#count(quotaKey, change),
        },
        trunkTo: (relayed) => this.#trunk.pathTo(relayed),
      },
      attach: (made) => {
        parts = made;
      },
      onEvent: (event) => this.#onEvent(event),
      sends: (slot, path) => this.#sendThere(slot, path),
    });
    if (parts === undefined) throw new Error('the server has not been made');
    this.#parts = parts;
    for (const ip of start.ownAddresses) this.#server.addOwnAddress(ip);
  }

  /** Opens what leads to the other members. @throws rejects with the system's error. */
  async open(): Promise<void> {
    const trunkPort = await this.#trunk.open(this.#parts);
    this.#channel.send({ type: 'ready', trunkPort });
  }

  /** A message of the other process. @param socket - came with it. */
  handle(message: ToWorker, socket: Socket | undefined): void {
    switch (message.type) {
      case 'start':
        break; // that was the first
      case 'trunks':
        this.#trunk.setPorts(message.ports);
        break;
      case 'client':
        this.#handleClient(message, message.quotaKey);
        break;
      case 'stream':
        if (socket !== undefined) this.#server.adopt(socket); // undefined: it was reset on its way here
        break;
      case 'admitted':
        this.#parts.driver.mutate((now) => this.#parts.core.admitted(message.admission, message.allowed, now));
        break;
      case 'own-address':
        this.#server.addOwnAddress(message.ip);
        break;
      case 'certificate':
        this.#server.setCertificate(message.certificate);
        break;
      case 'ask-stats':
        this.#channel.send({ type: 'stats', question: message.question, stats: this.#stats() });
        break;
      case 'drain':
        void this.#server.drain().then(() => this.#channel.send({ type: 'drained' }));
        break;
      case 'close':
        this.close();
        this.#channel.send({ type: 'stats', question: message.question, stats: this.#stats() });
        break;
    }
  }

  /** Ends every allocation; the last report goes to the other process. Idempotent. */
  close(): void {
    this.#server.close();
    this.#trunk.close();
    this.#flush();
  }

  #handleClient({ local, remote, bytes }: CarriedDatagram, quotaKey: string | undefined): void {
    const wanted: FiveTuple = { protocol: 'udp', local, remote };
    const key = formatFiveTuple(wanted);
    const client = this.#clients.get(key) ?? { path: wanted, hasSocket: false };
    const { path } = client;
    if (quotaKey !== undefined) this.#grants.set(path, quotaKey);
    this.#parts.driver.input(bytes, path);
    if (this.#grants.delete(path) && quotaKey !== undefined) this.#count(quotaKey, -1); // it was not to be
    if (!this.#parts.core.hasAllocation(path)) {
      this.#forget(client);
    } else if (!client.hasSocket) {
      this.#clients.set(key, client);
      this.#unsettled.add(client);
      client.hasSocket = true;
      void this.#openSocket(client);
    }
  }

  /** Until it is open, or when it cannot be, datagrams come and go through the process that listens. */
  async #openSocket(client: Client): Promise<void> {
    const { path } = client;
    const { local, remote } = path;
    let socket: UdpSocket;
    try {
      socket = await this.#bind(
        local,
        {
          onDatagram: (bytes, from) => {
            if (sameAddress(from, remote)) this.#parts.driver.input(bytes, path);
            else this.#carry({ type: 'stray', local, remote: from, bytes: Uint8Array.from(bytes) });
          },
          onError: () => undefined, // such as an ICMP error: the client will be back, or its allocation expires
        },
        { shared: true, remote },
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#report.log.push({ level: 'warn', event: 'client-socket-failed', reason });
      this.#reportSoon();
      client.hasSocket = false;
      return;
    }
    // Meanwhile it may have gone, and another one have come from the same address.
    if (this.#clients.get(formatFiveTuple(path)) === client) this.#parts.udp.addClient(path, socket);
    else socket.close();
  }

  #onEvent(event: TurnServerEvent): void {
    if (event.type === 'ask-admission') {
      const { admission, quotaKey, path } = event;
      if (this.#grants.delete(path))
        this.#parts.driver.mutate((now) => this.#parts.core.admitted(admission, true, now));
      else this.#channel.send({ type: 'ask-admission', admission, quotaKey });
    } else if (event.type === 'allocated') {
      const client = this.#clients.get(formatFiveTuple(event.path));
      if (client !== undefined) this.#unsettled.delete(client);
    } else if (event.type === 'moved') {
      this.#leave(event.from);
      const client = this.#clients.get(formatFiveTuple(event.path));
      if (client !== undefined) this.#unsettled.delete(client);
    } else if (event.type === 'released') {
      this.#leave(event.path);
    }
  }

  #leave(path: FiveTuple): void {
    const client = this.#clients.get(formatFiveTuple(path));
    if (client !== undefined) this.#forget(client);
  }

  /** The process that listens serves that client's address again. */
  #forget(client: Client): void {
    const { local, remote } = client.path;
    this.#clients.delete(formatFiveTuple(client.path));
    this.#unsettled.delete(client);
    this.#parts.udp.closeClient(client.path);
    this.#report.gone.push({ local, remote });
    this.#reportSoon();
  }

  #sendThere({ buffer, offset, length }: TransmitSlot<FiveTuple>, { local, remote }: FiveTuple): boolean {
    const bytes = buffer.slice(offset, offset + length); // copy: the slot is reused
    this.#carry({ type: 'send', local, remote, bytes });
    return true;
  }

  #carry(message: Extract<FromWorker, CarriedDatagram>): void {
    if (this.#channel.isBusy) this.#server.drops.count('limit');
    else this.#channel.send(message);
  }

  #count(quotaKey: string, change: 1 | -1): void {
    this.#report.quota.push([quotaKey, change]);
    this.#reportSoon();
  }

  #reportSoon(): void {
    if (this.#reportDue) return;
    this.#reportDue = true;
    platform.queueTask(() => this.#flush());
  }

  #flush(): void {
    this.#reportDue = false;
    for (const client of [...this.#unsettled]) {
      if (!this.#parts.core.hasAllocation(client.path)) this.#forget(client);
    }
    const report = this.#report;
    if (report.log.length + report.quota.length + report.gone.length === 0) return;
    this.#report = emptyReport();
    this.#reportDue = false;
    this.#channel.send({ type: 'report', ...report });
  }

  #stats(): TurnMemberStats {
    const { stats, shellStats, drops } = this.#server;
    return { core: stats, shell: shellStats, drops: drops.toJSON() };
  }
}

function emptyReport(): { log: LogEntry[]; quota: [string, 1 | -1][]; gone: WorkerReport['gone'][number][] } {
  return { log: [], quota: [], gone: [] };
}

function optionsOf(source: TurnWorkerSource): TurnServerOptions {
  if (source.type === 'options') return source.options;
  const { settings, addresses, hostName } = source;
  return planTurnServer(new Map(settings), { addresses, hostName }).options;
}
