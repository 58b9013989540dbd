import type { Socket } from 'node:net';
import { type FiveTuple, formatFiveTuple, sourceOf, type TransportAddress, UsageError } from '../core/index.ts';
import { bindSharedUdpSocket, platform } from '../io/index.ts';
import { DEFAULT_MAX_PORT, DEFAULT_MIN_PORT, type TurnServerEvent } from '../turn/index.ts';
import { type Log, NO_LOG } from './log.ts';
import type { PemCertificate } from './turn-connections.ts';
import { prometheusText } from './turn-metrics.ts';
import { QuotaLedger } from './turn-quota.ts';
import { TurnServer, type TurnServerOptions, type TurnServerParts } from './turn-server.ts';
import { sumStats } from './turn-stats.ts';
import { Trunk } from './turn-trunk.ts';
import {
  type FromWorker,
  MAX_TURN_WORKERS,
  type PortSlice,
  shareOfRate,
  slicePorts,
  type TurnMemberStats,
  type TurnWorkerOptions,
  type TurnWorkerSource,
} from './turn-worker-messages.ts';
import { type SpawnWorker, spawnProcess, WorkerHandle } from './turn-worker-process.ts';

/** A worker that ends sooner than that after its start is started again only then: it may do so for ever. */
export const WORKER_RESTART_MS = 1000;

/** Longest wait for the last words of the workers. */
export const WORKER_CLOSE_MS = 2000;

export interface TurnWorkersOptions extends TurnWorkerOptions {
  /** Processes to start, 1 to {@link MAX_TURN_WORKERS}: as many as there are cores, usually. */
  readonly workers: number;
  readonly certificate?: PemCertificate;
  readonly log?: Log;
  /** For bundles: where `turn-worker-main.js` of this package has gone. */
  readonly workerEntry?: URL;
}

/** Beside the options: where they come from in each process, and what a process is. */
export interface TurnWorkersParts {
  /** Default: the options as they are. */
  readonly source?: TurnWorkerSource;
  /** Users of this process, where the source makes them. */
  readonly findUser?: TurnServerOptions['findUser'];
  /** Default: a child process. */
  readonly spawn?: SpawnWorker;
}

/**
 * A TURN server of several processes behind the same addresses, so that it uses every core; Linux only.
 *
 * This process listens. What needs no state it answers itself: Binding, challenges, refusals. A UDP client whose Allocate
 * proves who it is goes to the worker with the fewest, and the system delivers its datagrams there from then on (see
 * `TurnWorker`). TCP connections go to a worker unread, those of one address all to the same one, so that the connections of
 * RFC 6062 and their limits stay together. DTLS is served by this process. Quotas are counted here.
 *
 * The sockets are bound with SO_REUSEADDR: on Linux any other program of this machine can bind them too, and take what
 * arrives. Do not use workers beside users who are not trusted.
 *
 * @example
 * const server = await TurnWorkers.start({ workers: 4, realm: 'example.org', users: { ada: 'lovelace' }, relayAddresses: ['203.0.113.7'] });
 * await server.listen({ host: '203.0.113.7', port: 3478 });
 * // …
 * await server.close();
 */
export class TurnWorkers {
  readonly #source: TurnWorkerSource;
  readonly #spawn: SpawnWorker;
  readonly #log: Log;
  readonly #nonceSecret: Uint8Array = new Uint8Array(32);
  readonly #slices: readonly (PortSlice | undefined)[];
  readonly #ledger: QuotaLedger;
  readonly #workers: readonly WorkerHandle[];
  /** Whose a UDP client is, for what still comes to the socket that listens. */
  readonly #owners = new Map<string, WorkerHandle>();
  readonly #server: TurnServer;
  readonly #trunk: Trunk;
  readonly #parts: TurnServerParts;
  #trunkPort: number | undefined;
  #certificate: PemCertificate | undefined;
  readonly #ownAddresses: string[] = [];
  #state: 'serving' | 'draining' | 'closing' = 'serving';
  readonly #waiting = new Set<{ readonly condition: () => boolean; readonly resolve: () => void }>();

  private constructor(options: TurnWorkersOptions, parts: TurnWorkersParts) {
    const { workers, log, certificate, workerEntry, ...shared } = options;
    this.#source = parts.source ?? { type: 'options', options: cloneable(shared) };
    this.#spawn = parts.spawn ?? (() => spawnProcess(workerEntry));
    this.#log = log ?? NO_LOG;
    this.#certificate = certificate;
    platform.env.random(this.#nonceSecret);
    const servesDtls = certificate !== undefined && options.noDtls !== true;
    this.#slices = portsOf(options, servesDtls);
    this.#trunk = new Trunk(0, this.#slices);
    this.#ledger = new QuotaLedger(options);
    this.#workers = Array.from({ length: workers }, (_, i) => new WorkerHandle(i + 1));
    let given: TurnServerParts | undefined;
    const own: TurnServerOptions = {
      ...shared,
      ...this.#slices[0],
      ...shareOfRate(shared, this.#slices),
      nonceSecret: this.#nonceSecret,
      ...(certificate === undefined ? {} : { certificate }),
      ...(parts.findUser === undefined ? {} : { findUser: parts.findUser }),
      log: this.#log,
    };
    this.#server = new TurnServer(own, {
      options: {
        member: 0,
        handsOver: true,
        asksAdmission: false,
        quota: {
          refuses: (quotaKey) => this.#ledger.refuses(quotaKey),
          add: (quotaKey, change) => this.#ledger.add(0, quotaKey, change),
        },
        trunkTo: (relayed) => this.#trunk.pathTo(relayed),
      },
      attach: (made) => {
        given = made;
      },
      bindListener: bindSharedUdpSocket,
      onEvent: (event) => this.#onEvent(event),
      takes: (bytes, path) => this.#takes(bytes, path),
      giveStream: (socket) => this.#giveStream(socket),
    });
    if (given === undefined) throw new Error('the server has not been made');
    this.#parts = given;
  }

  /**
   * Starts the workers; `listen` comes next.
   * @throws {UsageError} for options that cannot work, such as one that cannot be copied to another process, or a system that
   *   is not Linux; rejects when a worker does not start.
   */
  static async start(options: TurnWorkersOptions, parts: TurnWorkersParts = {}): Promise<TurnWorkers> {
    const { workers } = options;
    if (process.platform !== 'linux') {
      throw new UsageError(`workers need Linux: ${process.platform} does not deliver to connected UDP sockets first`);
    }
    if (!Number.isInteger(workers) || workers < 1 || workers > MAX_TURN_WORKERS) {
      throw new UsageError(`workers must be a whole number from 1 to ${MAX_TURN_WORKERS}, not ${workers}`);
    }
    const server = new TurnWorkers(options, parts);
    try {
      await server.#open();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** As `TurnServer.listen`. */
  async listen(address: Parameters<TurnServer['listen']>[0]): Promise<TransportAddress> {
    const bound = await this.#server.listen(address);
    this.#ownAddresses.push(bound.ip);
    for (const worker of this.#workers) worker.send({ type: 'own-address', ip: bound.ip });
    return bound;
  }

  /** As `TurnServer.setCertificate`. */
  setCertificate(certificate: PemCertificate): void {
    this.#server.setCertificate(certificate); // throws for a bad one, before anybody else has it
    this.#certificate = certificate;
    for (const worker of this.#workers) worker.send({ type: 'certificate', certificate });
  }

  /** As `TurnServer.drain`. */
  async drain(): Promise<void> {
    if (this.#state === 'serving') this.#state = 'draining';
    for (const worker of this.#workers) worker.send({ type: 'drain' });
    await this.#server.drain();
    await this.#until(() => this.#workers.every((worker) => worker.isDrained || !worker.isAlive));
  }

  /** What all processes have done and are doing, in sum; a worker that has died takes its figures along. */
  async stats(): Promise<TurnMemberStats> {
    return this.#sum(false);
  }

  /** Everything countable, in the text format of Prometheus. */
  async metrics(): Promise<string> {
    const { core, shell, drops } = await this.stats();
    return prometheusText(core, shell, drops);
  }

  /** Ends every allocation and every worker. @returns what they have done. */
  async close(): Promise<TurnMemberStats> {
    this.#state = 'closing';
    const cancel = platform.setTimer(platform.now() + WORKER_CLOSE_MS, () => {
      for (const worker of this.#workers) worker.kill();
    });
    const sum = await this.#sum(true);
    this.#server.close();
    this.#trunk.close();
    for (const worker of this.#workers) worker.disconnect();
    await this.#until(() => this.#workers.every((worker) => !worker.isAlive));
    cancel();
    return sum;
  }

  async #sum(last: boolean): Promise<TurnMemberStats> {
    const { stats, shellStats, drops } = this.#server;
    const own = { core: stats, shell: shellStats, drops: drops.toJSON() };
    const theirs = await Promise.all(this.#workers.map((worker) => worker.stats(last)));
    return sumStats([own, ...theirs.filter((answer) => answer !== undefined)]);
  }

  async #open(): Promise<void> {
    this.#trunkPort = await this.#trunk.open(this.#parts);
    let failure: string | undefined;
    for (const worker of this.#workers) {
      this.#startWorker(worker, (reason) => {
        failure ??= reason;
      });
    }
    await this.#until(() => failure !== undefined || this.#workers.every((worker) => worker.isReady));
    if (failure !== undefined) throw new Error(`a worker does not start: ${failure}`);
  }

  /** @param onFailure - it cannot start, for that reason. */
  #startWorker(worker: WorkerHandle, onFailure: (reason: string) => void): void {
    const { member } = worker;
    worker.startedAt = platform.now();
    worker.start(
      this.#spawn(member),
      (message) => {
        if (message.type === 'failed') onFailure(message.reason);
        else this.#handle(worker, message);
        this.#settle();
      },
      (how) => {
        if (worker.trunkPort === undefined) onFailure(how);
        this.#lose(worker, how);
        this.#settle();
      },
    );
    worker.send({
      type: 'start',
      member,
      slices: this.#slices,
      source: this.#source,
      nonceSecret: this.#nonceSecret,
      certificate: this.#certificate,
      ownAddresses: this.#ownAddresses,
    });
  }

  /** Its clients find this process at their server's address, and are told that they have no allocation (437). */
  #lose(worker: WorkerHandle, how: string): void {
    this.#ledger.forget(worker.member);
    for (const [key, owner] of this.#owners) if (owner === worker) this.#owners.delete(key);
    if (this.#state === 'closing') return;
    this.#log({ level: 'warn', event: 'worker-ended', worker: worker.member, how });
    this.#tellTrunks();
    const restartAt = Math.max(platform.now(), worker.startedAt + WORKER_RESTART_MS);
    platform.setTimer(restartAt, () => {
      if (this.#state === 'closing' || worker.isAlive) return;
      this.#startWorker(worker, (reason) => {
        this.#log({ level: 'warn', event: 'worker-not-started', worker: worker.member, reason });
      });
    });
  }

  #handle(worker: WorkerHandle, message: FromWorker): void {
    if (message.type === 'ready') {
      if (this.#state === 'draining') worker.send({ type: 'drain' });
      this.#log({ level: 'info', event: 'worker-ready', worker: worker.member });
      this.#tellTrunks();
    } else if (message.type === 'report') {
      for (const [quotaKey, change] of message.quota) this.#ledger.add(worker.member, quotaKey, change);
      for (const { local, remote } of message.gone) {
        const key = formatFiveTuple({ protocol: 'udp', local, remote });
        if (this.#owners.get(key) === worker && this.#owners.delete(key)) worker.clients--;
      }
      for (const entry of message.log) this.#log(entry);
    } else if (message.type === 'ask-admission') {
      const { admission, quotaKey } = message;
      const allowed = !this.#ledger.refuses(quotaKey);
      if (allowed) this.#ledger.add(worker.member, quotaKey, 1);
      worker.send({ type: 'admitted', admission, allowed });
    } else if (message.type === 'send') {
      const { local, remote, bytes } = message;
      const slot = { buffer: bytes, offset: 0, length: bytes.length, path: undefined };
      this.#parts.udp.send(slot, { protocol: 'udp', local, remote });
    } else if (message.type === 'stray') {
      const { local, remote, bytes } = message;
      const path: FiveTuple = { protocol: 'udp', local, remote };
      if (!this.#takes(bytes, path)) this.#parts.driver.input(bytes, path);
    }
  }

  #onEvent(event: TurnServerEvent): void {
    if (event.type !== 'hand-over') return;
    const { path, bytes, member, quotaKey } = event;
    const worker = this.#workers.find((one) => one.member === member && one.isReady) ?? this.#idlest();
    if (worker === undefined || worker.isBusy) {
      this.#server.drops.count('limit'); // the client will repeat itself
      return;
    }
    if (quotaKey !== undefined) this.#ledger.add(worker.member, quotaKey, 1);
    this.#owners.set(formatFiveTuple(path), worker);
    worker.clients++;
    worker.send({ type: 'client', local: path.local, remote: path.remote, bytes, quotaKey });
  }

  #idlest(): WorkerHandle | undefined {
    const ready = this.#workers.filter((worker) => worker.isReady);
    return ready.reduce<WorkerHandle | undefined>(
      (best, one) => (best && best.clients <= one.clients ? best : one),
      undefined,
    );
  }

  /** A datagram that was under way when its client was handed over, or whose worker could open no socket for it. */
  #takes(bytes: Uint8Array, path: FiveTuple): boolean {
    const owner = this.#owners.size === 0 ? undefined : this.#owners.get(formatFiveTuple(path));
    if (owner?.isBusy === true) this.#server.drops.count('limit');
    else owner?.send({ type: 'client', local: path.local, remote: path.remote, bytes: Uint8Array.from(bytes) }); // copy: borrowed
    return owner !== undefined;
  }

  /** All connections of one source to one worker, so that what belongs together stays together, and is counted together. */
  #giveStream(socket: Socket): void {
    const worker = this.#workers[hash(sourceOf(socket.remoteAddress ?? '')) % this.#workers.length];
    socket.on('error', () => socket.destroy());
    if (worker?.isReady && !worker.isBusy) {
      worker.send({ type: 'stream' }, socket);
      return;
    }
    this.#server.drops.count('limit');
    socket.destroy();
  }

  #tellTrunks(): void {
    const ports = [this.#trunkPort, ...this.#workers.map((worker) => (worker.isAlive ? worker.trunkPort : undefined))];
    this.#trunk.setPorts(ports);
    for (const worker of this.#workers) worker.send({ type: 'trunks', ports });
  }

  /** Resolves when it is so; looked at whenever a worker has said something, or ended. */
  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ condition, resolve });
      this.#settle();
    });
  }

  #settle(): void {
    for (const waiting of this.#waiting) {
      if (!waiting.condition()) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }
}

/** @throws {UsageError} when an option is a function. */
function cloneable(options: TurnWorkerOptions): TurnWorkerOptions {
  for (const [name, value] of Object.entries(options)) {
    try {
      structuredClone(value);
    } catch {
      throw new UsageError(`${name} cannot be copied to a worker process`);
    }
  }
  return options;
}

/** Ports by member. Without DTLS the process that listens relays nothing. @throws {UsageError} for too few. */
function portsOf(options: TurnWorkersOptions, servesDtls: boolean): (PortSlice | undefined)[] {
  const { workers, minPort = DEFAULT_MIN_PORT, maxPort = DEFAULT_MAX_PORT } = options;
  const slices = slicePorts(minPort, maxPort, servesDtls ? workers + 1 : workers);
  if (slices === undefined)
    throw new UsageError(`relay ports ${minPort} to ${maxPort} are too few for ${workers} workers`);
  return servesDtls ? slices : [undefined, ...slices];
}

/** FNV-1a: an even spread, and the same each time. */
function hash(text: string): number {
  let value = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x0100_0193) >>> 0;
  return value;
}
