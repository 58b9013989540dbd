import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FromPeer, PeerConfig, ToPeer } from './messages.ts';

/** How long a peer process may take to end after it was told to. */
const STOP_TIMEOUT_MS = 3000;

/** A peer in a process of its own, as its parent sees it. */
export class PeerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #stopping = false;

  /** @param onFailure - it could not be started, or ended without being told to. */
  constructor(name: string, onMessage: (message: FromPeer) => void, onFailure: (reason: string) => void) {
    this.name = name;
    this.#child = fork(fileURLToPath(new URL('./peer-process.js', import.meta.url)), [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: FromPeer) => onMessage(message));
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        resolve();
        onFailure(`its process cannot be started: ${error.message}`);
      });
      this.#child.once('exit', (code, signal) => {
        resolve();
        if (!this.#stopping) onFailure(`its process ended unexpectedly (${signal ?? `exit code ${code}`})`);
      });
    });
  }

  start(config: PeerConfig): void {
    this.send({ type: 'start', config });
  }

  send(message: ToPeer): void {
    if (this.#child.connected) this.#child.send(message);
  }

  /** Tells it to end, and sees to it that it does. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.send({ type: 'stop' });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}
