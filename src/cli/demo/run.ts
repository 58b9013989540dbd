import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { formatAddress, type TransportAddress } from '../../core/index.ts';
import { SignalingServer, TurnServer } from '../../server/index.ts';
import { CliError, untilSignal } from '../exit.ts';
import { formatBytes } from './format.ts';
import { type FromPeer, STEPS } from './messages.ts';
import { PageServer } from './page-server.ts';
import { PeerProcess } from './peer-process-handle.ts';
import { Printer, processTerminal } from './printer.ts';

export interface DemoOptions {
  /** Stay up after the run, for browsers. */
  readonly serve: boolean;
  /** Everything between Ada and Bob goes through the TURN server. */
  readonly relay: boolean;
  /** Where the page, signaling, STUN and TURN listen. */
  readonly host: string;
  readonly port: number;
  readonly room: string;
  readonly fileMiB: number;
  /** Keeps the files that browsers send; undefined: they go when the demo ends. */
  readonly saveTo: string | undefined;
  /** The run must be over by then. */
  readonly timeoutS: number;
}

const MIB = 1024 * 1024;

/**
 * The demo: signaling, STUN, TURN and the page in this process, Ada and Bob in one each.
 * @throws {CliError} with the reason when a step fails or the time is over.
 */
export async function runDemo(options: DemoOptions): Promise<void> {
  const demo = new Demo(options);
  await untilSignal(
    demo.run(),
    () => demo.close(),
    () => demo.isServing,
  );
}

class Demo {
  readonly #options: DemoOptions;
  readonly #printer = new Printer(processTerminal(), Date.now());
  /** Of this run alone. */
  readonly #user = { username: 'demo', credential: randomBytes(16).toString('hex') };
  readonly #turn: TurnServer;
  readonly #processes: PeerProcess[] = [];
  /** What ends the run before its time: a peer that fails, the watchdog, or close(). */
  readonly #abort = new AbortController();
  /** The run, which close() waits for: it must not start anything behind its back. */
  #work: Promise<void> = Promise.resolve();
  #signaling: SignalingServer | undefined;
  #page: PageServer | undefined;
  #folder: string | undefined;
  #lines: Interface | undefined;
  #ada: PeerProcess | undefined;
  #pageUrl = '';
  #serving = false;
  #closed = false;

  constructor(options: DemoOptions) {
    this.#options = options;
    const { username, credential } = this.#user;
    const { host } = options;
    this.#turn = new TurnServer({
      realm: 'purertc demo',
      users: { [username]: credential },
      // It relays between relayed addresses and to global ones; a service of this machine is out of its reach.
      ...(isLoopback(host) ? { relayAddresses: [host] } : {}),
    });
  }

  run(): Promise<void> {
    this.#work = this.#run();
    return this.#work;
  }

  async #run(): Promise<void> {
    const { timeoutS } = this.#options;
    const watchdog = setTimeout(() => {
      const next = STEPS.find((step) => !this.#printer.done.has(step)) ?? 'the end';
      this.#fail(`not done within ${timeoutS} s; still waiting for: ${next}`);
    }, timeoutS * 1000);
    try {
      await this.#converse();
    } finally {
      clearTimeout(watchdog);
    }
    if (this.#options.serve) await this.#serve();
  }

  #fail(reason: string): void {
    this.#abort.abort(new CliError(reason));
  }

  /** Waits for `promise`, or throws the reason why the run ends before. */
  #unlessAborted<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#abort;
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener('abort', abort, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
  }

  /** The run is over, and it stays up for browsers. */
  get isServing(): boolean {
    return this.#serving;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#fail('closed');
    await this.#work.catch(() => undefined); // whoever called run() has its reason
    this.#printer.endProgress();
    if (this.#lines !== undefined) {
      this.#lines.close();
      process.stdin.destroy(); // reading stopped, but an open pipe would keep the process alive all the same
    }
    await Promise.all(this.#processes.map((peer) => peer.stop()));
    this.#turn.close();
    await this.#signaling?.close();
    await this.#page?.close();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }

  async #converse(): Promise<void> {
    const { serve, room } = this.#options;
    const printer = this.#printer;
    printer.title('purertc demo: signaling, STUN and TURN in this process, two peers in two others');
    const addresses = await this.#startServers();
    if (this.#options.saveTo !== undefined) await mkdir(this.#options.saveTo, { recursive: true });
    this.#folder = await mkdtemp(join(tmpdir(), 'purertc-demo-'));
    const file = await this.#makeFile(this.#folder);
    printer.line(`  signaling  ${addresses.signalingUrl}`);
    printer.line(`  STUN, TURN ${addresses.turn}`);
    this.#pageUrl = addresses.pageUrl;
    printer.line(`  page       ${addresses.pageUrl}`);
    printer.line();

    const common = {
      room,
      signalingUrl: addresses.signalingUrl,
      iceServers: [{ urls: `stun:${addresses.turn}` }, { urls: `turn:${addresses.turn}`, ...this.#user }],
      relayOnly: this.#options.relay,
      attempts: 5,
      folder: this.#folder,
      saveTo: this.#options.saveTo ?? this.#folder,
    };
    const ada = this.#startPeer('Ada');
    const bob = this.#startPeer('Bob');
    ada.process.start({ ...common, name: 'Ada', sendFile: undefined, greet: serve });
    await this.#unlessAborted(ada.ready);
    bob.process.start({ ...common, name: 'Bob', sendFile: file, greet: false });
    await this.#unlessAborted(bob.finished);
    await bob.process.stop();
    this.#ada = ada.process;
    printer.summary();
    printer.line();
    const { bindingRequestsTotal, traffic } = this.#turn.stats;
    const served =
      traffic.toPeerBytes > 0
        ? `The TURN server relayed ${formatBytes(traffic.toPeerBytes)}.`
        : `The STUN server answered ${bindingRequestsTotal} requests.`;
    printer.line(`All four steps work. ${served}`);
  }

  /** Stays up for browsers until a signal comes or Ada fails. */
  async #serve(): Promise<void> {
    this.#serving = true;
    this.#printer.line();
    this.#printer.title(`Open ${this.#pageUrl} in a browser: Ada is in the room.`);
    this.#printer.line('What you type here goes to everybody connected; /send PATH sends a file; Ctrl-C ends it.');
    const { saveTo } = this.#options;
    this.#printer.line(
      saveTo === undefined
        ? 'Files from browsers are deleted when it ends; --save-to FOLDER keeps them.'
        : `Files from browsers are kept in ${saveTo}.`,
    );
    this.#readTerminal();
    await this.#unlessAborted(new Promise(() => undefined));
  }

  async #startServers(): Promise<{ signalingUrl: string; turn: string; pageUrl: string }> {
    const { host, port, room } = this.#options;
    const turn = await this.#turn.listen({ host, port: 0 });
    if (turn.ip === '127.0.0.1') {
      // `localhost` may mean ::1 to the browser; a machine without IPv6 is no reason to fail.
      await this.#turn.listen({ host: '::1', port: turn.port }).catch(() => undefined);
    }
    this.#page = await PageServer.create({ room, turnPort: turn.port, ...this.#user });
    const page = await this.#page.listen(host, port);
    this.#signaling = new SignalingServer({ allowedOrigins: this.#page.origins() });
    this.#signaling.attach(this.#page.http, '/signaling');
    return {
      signalingUrl: `ws://${formatAddress(reachable(page))}/signaling`,
      turn: formatAddress(reachable(turn)),
      pageUrl: `http://${formatAddress(reachable(page))}/`,
    };
  }

  /** Random bytes: nothing on the way can compress them or guess them. */
  async #makeFile(folder: string): Promise<string> {
    const { fileMiB } = this.#options;
    const path = join(folder, `${fileMiB}-MiB.bin`);
    const file = await open(path, 'w');
    try {
      for (let i = 0; i < fileMiB; i++) {
        this.#abort.signal.throwIfAborted();
        await file.write(randomBytes(MIB));
      }
    } finally {
      await file.close();
    }
    return path;
  }

  #startPeer(name: string): { process: PeerProcess; ready: Promise<void>; finished: Promise<void> } {
    let onReady: () => void = () => undefined;
    let onFinished: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => {
      onReady = resolve;
    });
    const finished = new Promise<void>((resolve) => {
      onFinished = resolve;
    });
    const onMessage = (message: FromPeer) => {
      if (this.#closed) return;
      switch (message.type) {
        case 'step':
          return this.#printer.step(message.step, name, message.text, message.done, message.atMs);
        case 'progress':
          return this.#printer.progress(message.file, message.bytes, message.total);
        case 'ready':
          return onReady();
        case 'finished':
          return onFinished();
        case 'failed':
          return this.#fail(`${name}: ${message.reason}`);
      }
    };
    const process = new PeerProcess(name, onMessage, (reason) => this.#fail(`${name}: ${reason}`));
    this.#processes.push(process);
    return { process, ready, finished };
  }

  #readTerminal(): void {
    this.#lines = createInterface({ input: process.stdin });
    this.#lines.on('line', (line) => {
      const file = /^\/send\s+(.+)$/.exec(line);
      if (file?.[1] !== undefined) this.#ada?.send({ type: 'send-file', path: file[1].trim() });
      else if (line.trim() !== '') this.#ada?.send({ type: 'say', text: line });
    });
  }
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1';
}

/** Where to reach a server that listens on everything. */
function reachable(bound: TransportAddress): TransportAddress {
  if (bound.ip === '0.0.0.0') return { ip: '127.0.0.1', port: bound.port };
  return bound.ip === '::' ? { ip: '::1', port: bound.port } : bound;
}
