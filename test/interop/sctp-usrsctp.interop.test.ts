import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Driver, type Host, NEVER, SILENT, type TransmitSlot } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import { SctpAssociation, type SctpEvent } from '../../src/sctp/index.ts';
import { pattern } from '../sctp/helpers.ts';
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
class Ours implements Host<void> {
  readonly core: SctpAssociation;
  readonly driver: Driver<SctpEvent, void>;
  readonly events: SctpEvent[] = [];
  readonly #socket: Socket;
  readonly #loss: number;
  #waiting: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #peerPort = 0;

  constructor(socket: Socket, loss: number) {
    const env = {
      random: (out: Uint8Array) => nodeCrypto.random(out),
      wallClockMs: () => Date.now(),
      crypto: nodeCrypto,
      trace: SILENT,
    };
    this.#socket = socket;
    this.#loss = loss;
    this.core = new SctpAssociation({ env });
    this.driver = new Driver<SctpEvent, void>(this.core, this, (event) => {
      this.events.push(event);
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

  close(): void {
    this.driver.close();
    clearTimeout(this.#timer);
    this.#socket.close();
  }
}

let peer: ChildProcess | undefined;
let ours: Ours | undefined;

afterEach(() => {
  peer?.stdin?.end();
  peer?.kill();
  ours?.close();
});

/** Starts usrsctp in the other role and connects. */
async function connect(role: 'client' | 'server', loss: number): Promise<Ours> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const us = new Ours(socket, loss);
  ours = us;
  const child = spawn(program, [role === 'client' ? 'server' : 'client', String(socket.address().port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  peer = child;
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  us.peerPort = Number(line);
  child.stdin.write('go\n');
  if (role === 'client') us.driver.mutate((now) => us.core.connect(now));
  await us.until(() => us.core.state === 'established');
  return us;
}

// At 10 % loss both sides back off now and then; a run takes seconds, and rarely half a minute.
vi.setConfig({ testTimeout: 150_000 });

describe.each([0, 0.02, 0.1])('usrsctp over plain UDP with %f loss', (loss) => {
  it.each(['client', 'server'] as const)(
    'we are the %s: every size comes back, ordered and unordered',
    async (role) => {
      const us = await connect(role, loss);
      const sizes = [1, 2, 3, 4, 1000, 1163, 1164, 5000, 65_535, 262_144];
      for (const [i, size] of sizes.entries()) {
        for (const ordered of [true, false]) {
          us.driver.mutate((now) => us.core.send({ streamId: i, ppid: 53, bytes: pattern(size, i), ordered }, now));
        }
      }
      await us.until(() => us.messages.length === 2 * sizes.length);
      for (const message of us.messages) {
        expect(Buffer.compare(message.bytes, pattern(sizes[message.streamId]!, message.streamId))).toBe(0);
        expect(message.ppid).toBe(53);
      }
      expect(us.messages.filter((m) => m.unordered).length).toBe(sizes.length);
      expect(us.core.drops.get('bad-checksum') + us.core.drops.get('bad-tag') + us.core.drops.get('bad-value')).toBe(0);
    },
  );

  it('many ordered messages stay in order, and unreliable ones do not block them', async () => {
    const us = await connect('client', loss);
    const count = loss > 0.05 ? 200 : 1000; // usrsctp's echo is what takes the time
    for (let i = 0; i < count; i++) {
      const limits = i % 5 === 4 ? { maxRetransmits: 0 } : {};
      const bytes = new Uint8Array(2000);
      new DataView(bytes.buffer).setUint32(0, i);
      us.driver.mutate((now) => us.core.send({ streamId: 1, ppid: 53, bytes, ordered: true, ...limits }, now));
    }
    const numbers = () => us.messages.map((m) => new DataView(m.bytes.buffer, m.bytes.byteOffset).getUint32(0));
    const reliable = () => numbers().filter((n) => n % 5 !== 4).length;
    await us.until(() => reliable() === (count * 4) / 5);
    expect(numbers()).toEqual([...numbers()].sort((x, y) => x - y));
    if (loss === 0) expect(us.messages.length).toBeGreaterThan(count - 10);
  });

  it('streams are reset both ways and used again', async () => {
    const us = await connect('server', loss);
    const say = (ppid: number) =>
      us.driver.mutate((now) => us.core.send({ streamId: 3, ppid, bytes: pattern(100, ppid), ordered: true }, now));
    for (let round = 1; round <= 5; round++) {
      // usrsctp refuses to send on a stream while our answer to its own reset is still on the way: then say it again.
      const echoed = () => us.messages.some((m) => m.ppid === round);
      const again = setInterval(() => say(round), 500);
      say(round);
      await us.until(echoed);
      clearInterval(again);
      us.driver.mutate((now) => us.core.resetStreams([3], now));
      const count = (type: string) => us.events.filter((event) => event.type === type).length;
      await us.until(() => count('outgoing-reset') === round && count('incoming-reset') === round);
    }
    expect(us.events.filter((event) => event.type === 'outgoing-reset')).toEqual(
      new Array(5).fill({ type: 'outgoing-reset', streamIds: [3], ok: true }),
    );
  });

  it('shuts down gracefully', async () => {
    const us = await connect('client', loss);
    us.driver.mutate((now) => us.core.send({ streamId: 0, ppid: 53, bytes: pattern(50_000, 1), ordered: true }, now));
    us.driver.mutate((now) => us.core.shutdown(now));
    await us.until(() => us.core.state === 'closed');
    expect(us.events.at(-1)).toEqual({ type: 'closed' });
  });
});
