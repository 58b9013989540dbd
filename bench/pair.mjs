/** Two peer processes of one subject, joined over IPC. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./peer.mjs', import.meta.url));
const COMMAND_TIMEOUT_MS = 60_000;

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

  end() {
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.disconnect();
    return exited;
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

  /** Connects anew; returns the milliseconds from "make an offer" to "open on both sides". */
  async connect() {
    const start = performance.now();
    await this.a.call('accept', await this.b.call('answer', await this.a.call('offer')));
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
