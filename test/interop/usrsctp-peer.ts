import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { Driver, type Host, NEVER, SILENT, type TransmitSlot } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import { SctpAssociation, type SctpEvent, type SctpOptions } from '../../src/sctp/index.ts';
import { requireProgram } from './peers.ts';

const SOURCE = fileURLToPath(new URL('usrsctp-echo.c', import.meta.url));
let folder: string;
let program: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-usrsctp-'));
  program = join(folder, 'usrsctp-echo');
  // libusrsctp-dev: scripts/install-interop-peers.sh
  execFileSync(requireProgram('gcc'), ['-O2', '-o', program, SOURCE, '-lusrsctp', '-lpthread']);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Our side: one association on one UDP socket, with `loss` both ways. */
export class Ours implements Host<void> {
  readonly core: SctpAssociation;
  readonly driver: Driver<SctpEvent, void>;
  readonly events: SctpEvent[] = [];
  onSendable: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #loss: number;
  #waiting: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #peerPort = 0;

  constructor(socket: Socket, loss: number, options: Partial<SctpOptions>) {
    const env = {
      random: (out: Uint8Array) => nodeCrypto.random(out),
      wallClockMs: () => Date.now(),
      crypto: nodeCrypto,
      trace: SILENT,
    };
    this.#socket = socket;
    this.#loss = loss;
    this.core = new SctpAssociation({ env, ...options });
    this.driver = new Driver<SctpEvent, void>(this.core, this, (event) => {
      this.events.push(event);
      if (event.type === 'sendable') this.onSendable();
      this.#waiting?.();
    });
    socket.on('message', (bytes) => {
      if (Math.random() >= this.#loss) this.driver.input(bytes, undefined);
    });
  }

  set peerPort(port: number) {
    this.#peerPort = port;
  }

  now(): number {
    return performance.now();
  }

  send(slot: TransmitSlot): void {
    if (Math.random() < this.#loss) return;
    this.#socket.send(slot.buffer.slice(slot.offset, slot.offset + slot.length), this.#peerPort, '127.0.0.1');
  }

  wakeAt(at: number): void {
    clearTimeout(this.#timer);
    if (at !== NEVER) this.#timer = setTimeout(() => this.driver.wake(), Math.max(0, at - this.now()));
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }

  get messages(): (SctpEvent & { readonly type: 'message' })[] {
    return this.events.filter((event) => event.type === 'message');
  }

  count(type: SctpEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }

  close(): void {
    this.driver.close();
    clearTimeout(this.#timer);
    this.#socket.close();
  }
}

/** What a test may say of the connection. */
export interface ConnectOptions {
  readonly role: 'client' | 'server';
  readonly loss: number;
  /** Both offer I-DATA (RFC 8260); ours always does. */
  readonly interleaving?: boolean;
  readonly options?: Partial<SctpOptions>;
  /** What rides with the COOKIE ECHO; only with `earlyData`. */
  readonly onSendable?: (us: Ours) => void;
}

let peer: ChildProcess | undefined;
let ours: Ours | undefined;

afterEach(() => {
  peer?.stdin?.end();
  peer?.kill();
  ours?.close();
});

/** Starts usrsctp in the other role and connects; both end with the test. */
export async function connectUsrsctp({ role, loss, interleaving, options, onSendable }: ConnectOptions): Promise<Ours> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const us = new Ours(socket, loss, options ?? {});
  ours = us;
  us.onSendable = () => onSendable?.(us);
  const args = [role === 'client' ? 'server' : 'client', String(socket.address().port)];
  const child = spawn(program, interleaving ? [...args, 'i-data'] : args, { stdio: ['pipe', 'pipe', 'inherit'] });
  peer = child;
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  us.peerPort = Number(line);
  tellUsrsctp('go');
  if (role === 'client') us.driver.mutate((now) => us.core.connect(now));
  await us.until(() => us.core.state === 'established');
  return us;
}

/** A command for usrsctp; usrsctp-echo.c lists them. */
export function tellUsrsctp(command: string): void {
  peer?.stdin?.write(`${command}\n`);
}
