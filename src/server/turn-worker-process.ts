import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { FromWorker, ToWorker, TurnMemberStats } from './turn-worker-messages.ts';

/** A process that has become a worker, or will. */
export interface WorkerProcess {
  onMessage: (message: FromWorker) => void;
  /** Once, with how it ended. */
  onExit: (how: string) => void;
  /** It does not keep up with what it is sent: what can be repeated must not be added to that. */
  readonly isBusy: boolean;
  /** @param socket - goes along, and is closed here. */
  send(message: ToWorker, socket?: Socket): void;
  /** It ends then, when it has sent all it has. */
  disconnect(): void;
  kill(): void;
}

export type SpawnWorker = (member: number) => WorkerProcess;

/** Starts a child process. @param entry - default: `turn-worker-main.js` beside this file. */
export function spawnProcess(entry: URL | undefined): WorkerProcess {
  const script = fileURLToPath(entry ?? new URL('./turn-worker-main.js', import.meta.url));
  return new Child(fork(script, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));
}

/**
 * Messages that wait for a worker, datagrams and connections alike. Node hands over one connection at a time and waits for the worker to
 * say that it has it: those that come at once must not be refused for that.
 */
export const MAX_WAITING_MESSAGES = 256;

class Child implements WorkerProcess {
  onMessage: (message: FromWorker) => void = () => undefined;
  onExit: (how: string) => void = () => undefined;
  readonly #child: ChildProcess;
  #waiting = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    let ended = false;
    const end = (how: string) => {
      if (ended) return;
      ended = true;
      this.onExit(how);
    };
    child.on('message', (message: unknown) => {
      if (isMessage<FromWorker>(message)) this.onMessage(message);
    });
    child.on('exit', (code, signal) => end(signal ?? `code ${code}`));
    child.on('error', (error) => {
      if (child.pid === undefined) end(error.message); // it was never there; else a message was not sent, and `exit` follows
    });
  }

  send(message: ToWorker, socket?: Socket): void {
    if (!this.#child.connected) {
      socket?.destroy();
      return;
    }
    this.#waiting++;
    // An error in the callback means that it is about to exit.
    this.#child.send(message, socket, undefined, () => this.#waiting--);
  }

  get isBusy(): boolean {
    return this.#waiting >= MAX_WAITING_MESSAGES;
  }

  disconnect(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Both ends are this program, and nobody else has the channel: the tag is enough to keep Node's own messages out. */
export function isMessage<M extends { readonly type: string }>(message: unknown): message is M {
  return typeof message === 'object' && message !== null && 'type' in message && typeof message.type === 'string';
}

/** A worker as the process that started it sees it, whatever process it has at the moment. */
export class WorkerHandle {
  /** 1 and up; 0 is the process that listens. */
  readonly member: number;
  /** Where it takes data from the others; undefined while it is not ready. */
  trunkPort: number | undefined;
  startedAt = 0;
  /** UDP clients of its own. */
  clients = 0;
  isDrained = false;
  #process: WorkerProcess | undefined;
  readonly #questions = new Map<number, (stats: TurnMemberStats | undefined) => void>();
  #lastQuestion = 0;

  constructor(member: number) {
    this.member = member;
  }

  get isAlive(): boolean {
    return this.#process !== undefined;
  }

  /** It can be given clients. */
  get isReady(): boolean {
    return this.#process !== undefined && this.trunkPort !== undefined;
  }

  get isBusy(): boolean {
    return this.#process?.isBusy === true;
  }

  start(process: WorkerProcess, onMessage: (message: FromWorker) => void, onExit: (how: string) => void): void {
    this.#process = process;
    this.isDrained = false;
    process.onMessage = (message) => {
      if (message.type === 'ready') this.trunkPort = message.trunkPort;
      else if (message.type === 'drained') this.isDrained = true;
      else if (message.type === 'stats') this.#answer(message.question, message.stats);
      onMessage(message);
    };
    process.onExit = (how) => {
      this.#process = undefined;
      for (const question of [...this.#questions.keys()]) this.#answer(question, undefined);
      onExit(how);
      this.trunkPort = undefined;
      this.clients = 0;
    };
  }

  send(message: ToWorker, socket?: Socket): void {
    if (this.#process === undefined) socket?.destroy();
    else this.#process.send(message, socket);
  }

  /** @param last - it ends after that. @returns undefined when it does not live to answer. */
  stats(last: boolean): Promise<TurnMemberStats | undefined> {
    return new Promise((resolve) => {
      if (this.#process === undefined) {
        resolve(undefined);
        return;
      }
      const question = ++this.#lastQuestion;
      this.#questions.set(question, resolve);
      this.#process.send({ type: last ? 'close' : 'ask-stats', question });
    });
  }

  disconnect(): void {
    this.#process?.disconnect();
  }

  kill(): void {
    this.#process?.kill();
  }

  #answer(question: number, stats: TurnMemberStats | undefined): void {
    this.#questions.get(question)?.(stats);
    this.#questions.delete(question);
  }
}
