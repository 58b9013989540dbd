import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { platform } from '../../src/io/index.ts';
import { requireProgram } from './peers.ts';

/* `purertc turn-server --workers 2` as processes, and coturn's client. Needs `npm run build`. */

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const uclient = requireProgram('turnutils_uclient');
const CLIENTS = 100;
const MESSAGES = 5;
const CONNECTIONS = 200;

let server: ChildProcess;
let peer: ChildProcess;
let peerPort = 0;
let port = 0;
let metricsPort = 0;
let text = '';
let wake: () => void = () => undefined;

async function found(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
  for (;;) {
    const match = pattern.exec(text.slice(from));
    if (match !== null) return match;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

async function freePort(): Promise<number> {
  const handlers = { onDatagram: () => undefined, onError: () => undefined };
  const socket = await platform.bindUdp({ ip: '127.0.0.1', port: 0 }, handlers);
  socket.close();
  return socket.local.port;
}

beforeAll(async () => {
  [peerPort, port] = [await freePort(), await freePort()];
  peer = spawn(requireProgram('turnutils_peer'), ['-L', '127.0.0.1', '-p', String(peerPort)]);
  server = spawn(process.execPath, [
    ...[main, 'turn-server', '--workers=2', '--listening-ip=127.0.0.1', `--listening-port=${port}`],
    ...['--relay-ip=127.0.0.1', '--allow-loopback-peers', '--realm=example.org', '--user=ada:lovelace'],
    ...['--min-port=20000', '--max-port=32767', '--prometheus', '--prometheus-port=0', '--drain-timeout=20'],
  ]);
  for (const stream of [server.stdout, server.stderr]) {
    stream?.on('data', (chunk: Uint8Array) => {
      text += new TextDecoder().decode(chunk);
      wake();
    });
  }
  metricsPort = Number((await found(/service=metrics ip=\S+ port=(\d+)/))[1]);
});
afterAll(() => {
  server.kill('SIGKILL');
  peer.kill('SIGKILL');
});

/** @returns lost, received and sent messages by the client's own count. */
function relay(...flags: string[]): Promise<{ sent: number; received: number; lost: number }> {
  const credentials = ['-u', 'ada', '-w', 'lovelace', '-p', String(port)];
  const load = ['-n', String(MESSAGES), '-e', '127.0.0.1', '-r', String(peerPort)];
  return new Promise((resolve, reject) => {
    execFile(
      uclient,
      [...credentials, ...load, ...flags, '127.0.0.1'],
      { timeout: 50_000 },
      (_error, stdout, stderr) => {
        const output = stdout + stderr;
        const totals = /tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\s*\n(?![\s\S]*tot_send_msgs)/.exec(output);
        const lost = /Total lost packets (\d+)/.exec(output);
        if (totals === null || lost === null) reject(new Error(`uclient did not finish:\n${output}`));
        else resolve({ sent: Number(totals[1]), received: Number(totals[2]), lost: Number(lost[1]) });
      },
    );
  });
}

/** How many allocations each worker has logged. */
function allocations(transport: string, from: number): number[] {
  const lines = text.slice(from).split('\n');
  const made = lines.filter((line) => line.includes(' allocated ') && line.includes(`transport=${transport}`));
  return [1, 2].map((worker) => made.filter((line) => line.endsWith(`worker=${worker}`)).length);
}

async function metric(pattern: RegExp): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  return Number(pattern.exec(await response.text())?.[1]);
}

// Each run is mostly the client's own waiting.
describe.concurrent('turnutils_uclient', () => {
  it(`${CLIENTS} clients over UDP: 0 lost packets, in both workers`, async () => {
    const from = text.length;
    const { sent, received, lost } = await relay('-m', String(CLIENTS));
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    expect(sent).toBeGreaterThanOrEqual(CLIENTS * MESSAGES);
    for (const count of allocations('udp', from)) expect(count).toBeGreaterThanOrEqual(CLIENTS / 4);
    expect(await metric(/turn_allocations_total (\d+)/)).toBeGreaterThanOrEqual(CLIENTS);
    expect(await metric(/turn_relayed_packets_total\{direction="to_peer"\} (\d+)/)).toBeGreaterThanOrEqual(sent);
  });

  it(`${CLIENTS} clients over TCP from two addresses: 0 lost packets, in both workers`, async () => {
    const from = text.length;
    // Connections go to a worker by their address; these two go to different ones.
    const half = String(CLIENTS / 2);
    const runs = await Promise.all(['127.0.0.1', '127.0.0.2'].map((ip) => relay('-t', '-m', half, '-L', ip)));
    for (const { sent, received, lost } of runs) expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    for (const count of allocations('tcp', from)) expect(count).toBeGreaterThanOrEqual(CLIENTS / 4);
  });

  it('client to client, over the workers: 0 lost packets', async () => {
    const { sent, received, lost } = await relay('-y', '-m', '20');
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
  });
});

it(`serves ${CONNECTIONS} TCP connections that come at once, all for one worker`, async () => {
  const request = Uint8Array.from([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Array<number>(12).fill(7)]); // Binding
  const sockets = Array.from({ length: CONNECTIONS }, () => connect(port, '127.0.0.1'));
  const answers = sockets.map(async (socket) => {
    socket.write(request);
    const [answer] = (await once(socket, 'data')) as [Uint8Array];
    return [answer[0], answer[1]];
  });
  try {
    for (const answer of await Promise.all(answers)) expect(answer).toEqual([1, 1]);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

it('replaces a worker that is killed, and serves on', async () => {
  const from = text.length;
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'latin1').trim().split(' ');
  expect(children).toHaveLength(2);
  process.kill(Number(children[0]), 'SIGKILL');
  await found(/worker-ended worker=\d how=SIGKILL/, from);
  await found(/worker-ready worker=\d/, from);
  const { sent, received, lost } = await relay('-m', '4');
  expect({ received, lost }).toEqual({ received: sent, lost: 0 });
});

it('drains on SIGTERM, and ends with its workers', async () => {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'latin1').trim().split(' ');
  server.kill('SIGTERM');
  await found(/ draining /);
  server.kill('SIGTERM'); // what uclient has left behind would live for ten minutes
  expect(await exited).toBe(0);
  expect(text).toMatch(/ closed allocations=\d+/);
  for (const pid of children) expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH');
});
