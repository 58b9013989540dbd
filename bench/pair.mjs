/** Two peer processes of one subject, joined over IPC. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./peer.mjs', import.meta.url));
const COMMAND_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 3000;

class Peer {
  constructor(subject) {
    this.child = fork(script, [subject], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.waiting = new Map();
    this.nextId = 0;
    this.ready = this.#expect('ready');
    this.child.on('message', ({ id, result, error }) => {
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.child.on('exit', (code, signal) => {
      for (const { reject } of this.waiting.values())
        reject(new Error(`the ${subject} peer ended (${signal ?? code})`));
    });
  }

  #expect(id) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no answer to ${id} within ${COMMAND_TIMEOUT_MS} ms`)),
        COMMAND_TIMEOUT_MS,
      );
      const settle = (done) => (value) => {
        clearTimeout(timer);
        done(value);
      };
      this.waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  call(command, ...args) {
    const id = ++this.nextId;
    const answer = this.#expect(id);
    this.child.send({ id, command, args });
    return answer;
  }

  /** Ends the process, also when it hangs: a subject that cannot be measured must not stop the others. */
  end() {
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.connected) this.child.disconnect();
    else if (this.child.exitCode !== null || this.child.signalCode !== null) return Promise.resolve();
    const killer = setTimeout(() => this.child.kill('SIGKILL'), END_TIMEOUT_MS);
    return exited.finally(() => clearTimeout(killer));
  }
}

export class Pair {
  static async start(subject) {
    const pair = new Pair();
    pair.a = new Peer(subject);
    pair.b = new Peer(subject);
    await Promise.all([pair.a.ready, pair.b.ready]);
    return pair;
  }

  /**
   * Connects anew; returns the milliseconds from "make an offer" to "open on both sides".
   * @param emulator - a link to put between the two.
   */
  async connect(emulator) {
    const start = performance.now();
    const standIn = (side, description) => emulator?.standIn(side, description) ?? description;
    const offer = standIn('a', await this.a.call('offer'));
    const answer = standIn('b', await this.b.call('answer', offer));
    await this.a.call('accept', answer);
    await Promise.all([this.a.call('open'), this.b.call('open')]);
    return performance.now() - start;
  }

  async disconnect() {
    await Promise.all([this.a.call('close'), this.b.call('close')]);
  }

  async end() {
    await Promise.all([this.a.end(), this.b.end()]);
  }
}
