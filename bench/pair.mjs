/** Two peers of one subject, each in a process or a page of its own, joined by the harness. */
import { execFileSync, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { openPagePeer } from './chromium.mjs';
import { peakBytes } from './machine.mjs';
import { NoAnswer } from './no-answer.mjs';
import { enginesOf, subjectNamed } from './subjects.mjs';

/** More than a command takes, beside the time that it is told to take: what hangs costs no more than this. */
const COMMAND_TIMEOUT_MS = 8000;
const END_TIMEOUT_MS = 1000;
/** node-datachannel refuses some of its own descriptions, and takes the next one. */
const CONNECT_ATTEMPTS = 4;
/** A profile is written at the end. */
const PROFILED_END_TIMEOUT_MS = 10_000;
const SCRIPTS = { module: './peer.mjs', socket: './socket-peer.mjs' };

let profileFolder;

/** From now on every peer that runs in Node leaves a CPU profile in `folder` when it ends. */
export function profileTo(folder) {
  profileFolder = folder;
}

/** A peer in a Node process, commanded over IPC. */
export class ProcessPeer {
  /**
   * @param args - of the script.
   * @param wrapper - a program and its arguments that start the process, such as `taskset -c 0`.
   */
  constructor(script, args, wrapper = []) {
    const command = [...wrapper, process.execPath];
    const profile = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
    this.child = fork(fileURLToPath(new URL(script, import.meta.url)), args, {
      execPath: command[0],
      execArgv: [...command.slice(1), '--expose-gc', ...profile],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.waiting = new Map();
    this.nextId = 0;
    this.ready = this.#expect('ready', COMMAND_TIMEOUT_MS);
    this.child.on('message', ({ id, result, error }) => {
      if (error === undefined) this.waiting.get(id)?.resolve(result);
      else this.waiting.get(id)?.reject(new Error(error));
    });
    this.child.on('error', (error) => this.#fail(error));
    this.child.on('exit', (code, signal) => this.#fail(new Error(`the peer ended (${signal ?? code})`)));
  }

  call(command, ...args) {
    return this.callWithin(0, command, ...args);
  }

  /** @param ms - how long the command takes by itself. */
  callWithin(ms, command, ...args) {
    const id = ++this.nextId;
    const answer = this.#expect(id, ms + COMMAND_TIMEOUT_MS, command);
    if (this.child.connected) this.child.send({ id, command, args });
    return answer;
  }

  /**
   * Keeps the thread that runs the program on one processor. The threads that compile and collect garbage stay free, as they
   * are when nobody pins anything.
   */
  pin(processor) {
    execFileSync('taskset', ['-p', '-c', String(processor), String(this.child.pid)], { stdio: 'ignore' });
  }

  /** Bytes that it had at most, seen from outside: it need not answer. */
  peakBytes() {
    return peakBytes(this.child.pid);
  }

  /** Ends the process, also when it hangs: a subject that cannot be measured must not stop the others. */
  end() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return Promise.resolve();
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.connected) this.child.disconnect();
    const limitMs = profileFolder === undefined ? END_TIMEOUT_MS : PROFILED_END_TIMEOUT_MS;
    const killer = setTimeout(() => this.child.kill('SIGKILL'), limitMs);
    return exited.finally(() => clearTimeout(killer));
  }

  #expect(id, ms, what = id) {
    const answer = new Promise((resolve, reject) => {
      const settle = (done) => (value) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        done(value);
      };
      const late = () => this.waiting.get(id)?.reject(new NoAnswer(what, ms));
      const timer = setTimeout(late, ms);
      this.waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
    answer.catch(() => undefined); // whoever waits hears of it; a second answer that fails has nobody waiting any more
    return answer;
  }

  #fail(error) {
    for (const { reject } of [...this.waiting.values()]) reject(error);
  }
}

export class Pair {
  /** @param wrappers - what starts the process of each end. */
  static async start(subject, wrappers = [[], []], args = [[], []]) {
    const pair = new Pair();
    const open = async (side) => {
      const engine = enginesOf(subjectNamed(subject))[side];
      if (engine === 'page') return openPagePeer();
      const peer = new ProcessPeer(SCRIPTS[engine], [subject, ...args[side]], wrappers[side]);
      await peer.ready.catch(async (error) => {
        await peer.end();
        throw error;
      });
      return peer;
    };
    const opened = await Promise.allSettled([open(0), open(1)]);
    const failed = opened.find(({ status }) => status === 'rejected');
    if (failed !== undefined) {
      await Promise.all(opened.map(({ value }) => value?.end()));
      throw failed.reason;
    }
    [pair.a, pair.b] = opened.map(({ value }) => value);
    return pair;
  }

  /**
   * Connects anew.
   * @param emulator - a link to put between the two.
   * @returns `{ms, afterAnswerMs}`: from "make an offer" to "open on both sides", and of that what came after the answer was
   * made. Both without the time that the harness takes to carry descriptions, in which neither end waits for itself.
   */
  async connect(emulator) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#connectOnce(emulator);
      } catch (error) {
        if (attempt === CONNECT_ATTEMPTS || error instanceof NoAnswer) throw error;
        process.stderr.write(`  once more: ${String(error.message).split('\n')[0]}\n`);
      }
    }
  }

  async #connectOnce(emulator) {
    const standIn = (side, description) => emulator?.standIn(side, description) ?? description;
    const offer = await this.a.call('offer');
    const answer = await this.b.call('answer', standIn('a', offer));
    let acceptedAt;
    const accepted = this.a.call('accept', standIn('b', answer)).then((ms) => {
      acceptedAt = performance.now();
      return ms;
    });
    const [acceptMs] = await Promise.all([accepted, this.b.call('open')]);
    // The other end may be open a little later.
    const afterAnswerMs = acceptMs + performance.now() - acceptedAt;
    return { ms: offer.tookMs + answer.tookMs + afterAnswerMs, afterAnswerMs };
  }

  async disconnect() {
    await Promise.all([this.a.call('close'), this.b.call('close')]);
  }

  async end() {
    await Promise.all([this.a.end(), this.b.end()]);
  }
}
