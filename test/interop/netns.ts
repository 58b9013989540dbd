import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RTCConfiguration } from '../../src/index.ts';
import { PeerProcess } from './dtls-peers.ts';
import { requireProgram } from './peers.ts';

const script = fileURLToPath(new URL('../../scripts/netns-lab.sh', import.meta.url));
const peerProgram = fileURLToPath(new URL('./netns-peer.mjs', import.meta.url));
const built = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/** Longer than any of it takes, a lost path with its timers included. */
const PATIENCE_MS = 45_000;

export type NatKind = 'cone' | 'full-cone' | 'symmetric';

let count = 0;

/** A network of Linux network namespaces with names of its own; {@link remove} leaves nothing of it. */
export class Lab {
  readonly #prefix = `prtc${process.pid}-${++count}`;
  readonly #peers: LabPeer[] = [];
  readonly #programs: PeerProcess[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'purertc-netns-'));

  /** Peers `a` and `b` behind a NAT each, and `srv` on the internet between them. */
  static behindNats(a: NatKind, b: NatKind): Lab {
    const lab = new Lab();
    lab.#script('nat', a, b);
    return lab;
  }

  /** Two hosts on one link. */
  static onOneLink(): Lab {
    const lab = new Lab();
    lab.#script('link');
    return lab;
  }

  #script(command: string, ...args: readonly string[]): void {
    execFileSync(script, [command, this.#prefix, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** `ip` in one of the namespaces. */
  ip(host: string, ...args: readonly string[]): void {
    execFileSync(requireProgram('ip'), ['-n', `${this.#prefix}-${host}`, ...args]);
  }

  /** A program in one of the namespaces; ended by {@link remove}. */
  program(host: string, name: string, args: readonly string[]): PeerProcess {
    const command = ['netns', 'exec', `${this.#prefix}-${host}`, requireProgram(name), ...args];
    const program = new PeerProcess('ip', command);
    this.#programs.push(program);
    return program;
  }

  /** An executable that runs a program in one of the namespaces, for those who want to start it themselves. */
  wrapper(host: string, name: string): string {
    const path = join(this.#folder, `${name}-in-${host}`);
    const command = `${requireProgram('ip')} netns exec ${this.#prefix}-${host} ${requireProgram(name)}`;
    writeFileSync(path, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    return path;
  }

  /** A project peer in one of the namespaces. */
  async peer(host: string, configuration: RTCConfiguration = {}): Promise<LabPeer> {
    if (!existsSync(built)) throw new Error('dist/ is missing: run npm run build first');
    const command = ['netns', 'exec', `${this.#prefix}-${host}`, process.execPath, peerProgram];
    const peer = new LabPeer(
      spawn(requireProgram('ip'), command, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
      host,
    );
    this.#peers.push(peer);
    await peer.call('create', configuration);
    return peer;
  }

  /** Debian's coturn in `srv`, for STUN and TURN. */
  async coturn(): Promise<NonNullable<RTCConfiguration['iceServers']>> {
    const ip = '198.51.100.100';
    const server = this.program('srv', 'turnserver', [
      ...['-n', '--log-file=stdout', '--simple-log', '--no-cli', `--pidfile=${this.#folder}/turn.pid`, '--no-tls'],
      ...['--no-dtls', `--listening-ip=${ip}`, `--relay-ip=${ip}`, '--lt-cred-mech', '--user=ada:lovelace'],
      ...['--realm=example.org', `--userdb=${this.#folder}/turndb`, '-v'],
    ]);
    await server.printed(/Total General servers/);
    return [{ urls: [`stun:${ip}`] }, { urls: `turn:${ip}`, username: 'ada', credential: 'lovelace' }];
  }

  /** Ends every process that was started here, and removes the namespaces. */
  async remove(): Promise<void> {
    await Promise.all([...this.#peers, ...this.#programs].map((one) => one.stop()));
    execFileSync(script, ['down', this.#prefix]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What {@link LabPeer.call} can be asked for is in netns-peer.mjs. */
export class LabPeer {
  readonly #child: ChildProcess;
  readonly #host: string;
  readonly #waiting = new Map<number, (message: { readonly result?: unknown; readonly error?: string }) => void>();
  readonly #exited: Promise<void>;
  #nextId = 0;

  constructor(child: ChildProcess, host: string) {
    this.#child = child;
    this.#host = host;
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
    child.on('message', (message: { readonly id: number; readonly result?: unknown; readonly error?: string }) =>
      this.#waiting.get(message.id)?.(message),
    );
  }

  /** @throws (rejects) with the peer's error, or when there is no answer in time. */
  call<T = void>(command: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#nextId;
    return new Promise<T>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${this.#host}: ${command}: ${why}`));
      const timer = setTimeout(() => fail(`no answer in ${PATIENCE_MS} ms`), PATIENCE_MS);
      this.#child.once('exit', () => fail('the process has ended'));
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        if (error === undefined) resolve(result as T);
        else fail(error);
      });
      this.#child.send({ id, command, args });
    });
  }

  /** Closes the connection; resolves when the process has ended by itself, with its exit code. */
  async leave(): Promise<number | null> {
    await this.call('close');
    this.#child.disconnect();
    await this.#exited;
    return this.#child.exitCode;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** A full exchange of descriptions, all candidates in them. */
export async function negotiate(offerer: LabPeer, answerer: LabPeer, options: object = {}): Promise<void> {
  const offer = await offerer.call<object>('offer', options);
  await offerer.call('accept', await answerer.call('answer', offer));
}
