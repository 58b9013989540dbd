/**
 * Our TURN server beside Debian's coturn with one relay thread, on loopback, under the same load generator
 * (`relay-load.mjs`, a process of its own). Rates are bounded by the generator too, which receives and sends as much as the
 * server; the CPU time of the server for one message says how far a core would go.
 */
import { fork, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LOOPBACK = '127.0.0.1';
const USER = { username: 'bench', password: 'bench', realm: 'bench.example' };
const START_TIMEOUT_MS = 10_000;
const LOAD_TIMEOUT_MS = 300_000;

/** coturn first: the others of a round are compared with it. */
export const RELAY_SUBJECTS = ['coturn', 'purertc', 'purertc --workers 2'];

async function freePort() {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

/** Options that both servers know by the same names. */
function commonOptions(port) {
  return [
    ...[`--listening-port=${port}`, `--listening-ip=${LOOPBACK}`, `--relay-ip=${LOOPBACK}`, '--allow-loopback-peers'],
    ...['--lt-cred-mech', `--realm=${USER.realm}`, `--user=${USER.username}:${USER.password}`],
    ...['--no-tls', '--no-dtls', '--min-port=10000', '--max-port=65535'],
  ];
}

function start(subject, port, folder) {
  const [name, ...flags] = subject.split(' ');
  if (name === 'purertc') {
    const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    return spawn(process.execPath, [cli, 'turn-server', ...flags, ...commonOptions(port)], { stdio: 'ignore' });
  }
  const own = ['-n', '--log-file=/dev/null', '--no-cli', '--relay-threads=1', '--no-stdout-log'];
  const files = [`--pidfile=${join(folder, 'pid')}`, `--userdb=${join(folder, 'turndb')}`];
  return spawn('turnserver', [...own, ...files, ...commonOptions(port)], { stdio: 'ignore' });
}

/** Resolves when a Binding request is answered. */
async function answering(port) {
  const socket = createSocket('udp4');
  const request = Buffer.from(`000100002112a442${'00'.repeat(12)}`, 'hex');
  try {
    await new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error('the server does not answer')), START_TIMEOUT_MS);
      const again = setInterval(() => socket.send(request, port, LOOPBACK), 100);
      socket.once('message', () => {
        clearTimeout(deadline);
        clearInterval(again);
        resolve();
      });
      socket.on('error', () => undefined); // nobody listens yet
    });
  } finally {
    socket.close();
  }
}

function runLoad(settings) {
  const script = fileURLToPath(new URL('../relay-load.mjs', import.meta.url));
  const child = fork(script, [JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), LOAD_TIMEOUT_MS);
    let figures;
    child.on('message', (message) => {
      figures = message;
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (figures === undefined) reject(new Error(`the load generator ended (${signal ?? code})`));
      else resolve(figures);
    });
  });
}

/** Figures of this round. */
let coturn = new Map();

function printRatios(subject, figures) {
  for (const [figure, value] of figures) {
    const other = coturn.get(figure);
    if (other > 0) process.stderr.write(`  ${figure}: ${subject} ${(value / other).toFixed(2)} of coturn\n`);
  }
}

/** @param options.allocations - live allocations for the memory figure; 20,000 need `ulimit -n` of more than that. */
export async function relay(report, subject, options) {
  const folder = mkdtempSync(join(tmpdir(), 'purertc-relay-'));
  const port = await freePort();
  const server = start(subject, port, folder);
  try {
    await answering(port);
    const figures = await runLoad({
      server: { ip: LOOPBACK, port },
      serverPid: server.pid,
      milliseconds: options.milliseconds,
      allocations: options.allocations,
      ...USER,
    });
    for (const [figure, value] of figures) report.record(figure, subject, value);
    if (subject === 'coturn') coturn = new Map(figures);
    else printRatios(subject, figures);
  } finally {
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}
