/**
 * The load generator of the suite `relay`: plain UDP sockets and the STUN codec, no TURN client of any subject. Measures one
 * server and reports `[figure, value]` pairs over IPC. Closed loops: so many requests or messages are in flight, each answer
 * lets the next one go, and a stall (a lost datagram) primes the loop again.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { ByteWriter } from 'purertc/core';
import { nodeCrypto } from 'purertc/io';
import { decodeStun, encodeStun, LongTermClient, STUN_METHODS, StunWriter } from 'purertc/stun';

const settings = JSON.parse(process.argv[2]);
const { server, serverPid, milliseconds } = settings;
const IN_FLIGHT = 64;
const STALL_MS = 100;
/** A server runs for weeks: the seconds in which its code is still being compiled are not what is measured. */
const WARM_MS = 2000;
const MAX_WARM_MS = 20_000;
const WARM_ALLOCATIONS = 6000;
const WARM_DATAGRAMS = 30_000;
const REQUEST_TIMEOUT_MS = 500;
const REQUEST_TRIES = 20;
const PAYLOADS = [160, 1200];
const PAIRS = 4;
const BINDING_SOURCES = 256;
const CHANNEL = 0x4000;
/** Clock ticks a second in /proc/PID/stat. */
const TICKS = 100;

/** The server and its workers. */
function serverPids() {
  const children = readFileSync(`/proc/${serverPid}/task/${serverPid}/children`, 'latin1').trim();
  return [serverPid, ...(children === '' ? [] : children.split(' '))];
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function cpuSeconds() {
  return sum(
    serverPids().map((pid) => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS;
    }),
  );
}

function residentBytes() {
  const kilobytes = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
  return sum(serverPids().map(kilobytes)) * 1024;
}

let nextSource = 0;
/** Sources that come from everywhere, so that no limit on one of them is what is measured. */
async function openSocket() {
  const socket = createSocket('udp4');
  const source = nextSource++ % 60_000;
  socket.bind(0, `127.1.${source >> 8}.${source & 0xff}`);
  await once(socket, 'listening');
  return socket;
}

let nextId = 0;
function transactionId() {
  const id = new Uint8Array(12);
  new DataView(id.buffer).setUint32(8, ++nextId);
  return id;
}

/** A 5-tuple towards the server with its own nonce. */
class Client {
  constructor(socket) {
    this.socket = socket;
    this.credentials = new LongTermClient(nodeCrypto, settings.username, settings.password);
    this.waiting = new Map();
    socket.on('message', (bytes) => {
      if (bytes[0] >= 0x40) return;
      const message = decodeStun(new Uint8Array(bytes));
      this.waiting.get(Buffer.from(message.transactionId).toString('hex'))?.(message);
    });
  }

  static async open() {
    return new Client(await openSocket());
  }

  /** One request with its retransmissions; answers a challenge by itself. @throws for an error response. */
  async request(method, attributes) {
    for (let challenges = 0; challenges < 3; challenges++) {
      const signed = this.credentials.isReady;
      const answer = await this.#send(method, attributes);
      if (answer.messageClass === 'success') return answer;
      const { code } = answer.require('ERROR-CODE');
      if (code !== 401 && code !== 438) throw new Error(`${method}: ${code}`);
      if (this.credentials.handleChallenge(answer, signed) !== 'retry') throw new Error(`${method}: rejected`);
    }
    throw new Error(`${method}: challenged for ever`);
  }

  async #send(method, attributes) {
    const id = transactionId();
    const w = new StunWriter(new ByteWriter(new Uint8Array(1000)), 'request', STUN_METHODS[method], id);
    for (const [name, value] of attributes) w.add(name, value);
    this.credentials.sign(w, STUN_METHODS[method]);
    const key = Buffer.from(id).toString('hex');
    try {
      for (let tries = 0; tries < REQUEST_TRIES; tries++) {
        this.socket.send(w.written(), server.port, server.ip);
        const answer = await new Promise((resolve) => {
          const timer = setTimeout(resolve, REQUEST_TIMEOUT_MS);
          this.waiting.set(key, (message) => {
            clearTimeout(timer);
            resolve(message);
          });
        });
        if (answer !== undefined) return answer;
      }
    } finally {
      this.waiting.delete(key);
    }
    throw new Error(`${method}: no answer`);
  }

  allocate() {
    return this.request('Allocate', [['REQUESTED-TRANSPORT', 17]]);
  }

  release() {
    return this.request('Refresh', [['LIFETIME', 0]]);
  }
}

/**
 * Runs a closed loop for the measured time.
 * @param prime - starts it, and again after a stall.
 * @param warmCount - so many operations come before, on a busy machine too, unless that takes too long.
 */
async function measure(prime, counter, duration, warmCount) {
  prime();
  let seen = counter.count;
  const watch = setInterval(() => {
    if (counter.count === seen) prime();
    seen = counter.count;
  }, STALL_MS);
  const warmFrom = performance.now();
  const isWarm = () => {
    const elapsed = performance.now() - warmFrom;
    return (elapsed >= WARM_MS && counter.count >= warmCount) || elapsed >= MAX_WARM_MS;
  };
  while (!isWarm()) await new Promise((resolve) => setTimeout(resolve, 50));
  const start = { count: counter.count, at: performance.now(), cpu: cpuSeconds() };
  await new Promise((resolve) => setTimeout(resolve, duration));
  const count = counter.count - start.count;
  const seconds = (performance.now() - start.at) / 1000;
  const cpu = cpuSeconds() - start.cpu;
  clearInterval(watch);
  return { perSecond: count / seconds, cpuMicroseconds: (cpu / count) * 1e6 };
}

async function bindings(figures) {
  const sockets = await Promise.all(Array.from({ length: BINDING_SOURCES }, openSocket));
  const counter = { count: 0 };
  const request = encodeStun({ messageClass: 'request', method: STUN_METHODS.Binding, transactionId: transactionId() });
  let running = true;
  let next = 0;
  const send = () => {
    request[19]++;
    sockets[next++ % sockets.length].send(request, server.port, server.ip);
  };
  for (const socket of sockets) {
    socket.on('message', () => {
      counter.count++;
      if (running) send();
    });
  }
  const prime = () => {
    for (let i = 0; i < IN_FLIGHT; i++) send();
  };
  const { perSecond, cpuMicroseconds } = await measure(prime, counter, milliseconds, WARM_DATAGRAMS);
  running = false;
  for (const socket of sockets) socket.close();
  figures.push(['bindings a second', perSecond], ['CPU for a binding, µs', cpuMicroseconds]);
}

async function allocations(figures) {
  const counter = { count: 0 };
  let running = true;
  // A 5-tuple of its own for each, as in life: challenged, allocated, released.
  const loops = Array.from({ length: IN_FLIGHT }, async () => {
    while (running) {
      const client = await Client.open();
      await client.allocate();
      counter.count++;
      await client.release();
      client.socket.close();
    }
  });
  const { perSecond, cpuMicroseconds } = await measure(() => undefined, counter, milliseconds, WARM_ALLOCATIONS);
  running = false;
  await Promise.all(loops);
  figures.push(['allocations a second', perSecond], ['CPU for an allocation and its end, µs', cpuMicroseconds]);
}

async function messages(figures, size) {
  const counter = { count: 0 };
  let running = true;
  const frame = new Uint8Array(4 + size).fill(7);
  frame.set([CHANNEL >> 8, CHANNEL & 0xff, size >> 8, size & 0xff]);
  const pairs = [];
  for (let i = 0; i < PAIRS; i++) {
    const [client, peer] = [await Client.open(), await openSocket()];
    await client.allocate();
    await client.request('ChannelBind', [
      ['CHANNEL-NUMBER', CHANNEL],
      ['XOR-PEER-ADDRESS', { ip: peer.address().address, port: peer.address().port }],
    ]);
    peer.on('message', () => {
      counter.count++;
      if (running) client.socket.send(frame, server.port, server.ip);
    });
    pairs.push({ client, peer });
  }
  const prime = () => {
    for (let i = 0; i < IN_FLIGHT; i++) pairs[i % PAIRS].client.socket.send(frame, server.port, server.ip);
  };
  const { perSecond, cpuMicroseconds } = await measure(prime, counter, milliseconds, WARM_DATAGRAMS);
  running = false;
  for (const { client, peer } of pairs) {
    await client.release();
    client.socket.close();
    peer.close();
  }
  figures.push(
    [`messages of ${size} bytes a second`, perSecond],
    [`CPU for a message of ${size} bytes, µs`, cpuMicroseconds],
  );
}

async function memory(figures) {
  const count = settings.allocations;
  const before = residentBytes();
  const clients = [];
  while (clients.length < count) {
    const batch = await Promise.all(
      Array.from({ length: Math.min(IN_FLIGHT, count - clients.length) }, () => Client.open()),
    );
    await Promise.all(batch.map((client) => client.allocate()));
    clients.push(...batch);
  }
  const after = residentBytes();
  figures.push([`memory of an allocation (${count} live), KiB`, (after - before) / count / 1024]);
  figures.push([`memory with ${count} live, MiB`, after / 1024 / 1024]);
}

const figures = [];
await bindings(figures);
await allocations(figures);
for (const size of PAYLOADS) await messages(figures, size);
await memory(figures);
process.send(figures, () => process.exit(0));
