/**
 * A link between two peers on this machine: a UDP relay with one-way delay, random loss, an MTU, and, where wanted, a rate
 * with a queue before it. It runs in the harness's process, so that its work is not counted as a peer's, and forwards about
 * 100,000 datagrams a second at most; {@link Emulator.busy} says how much of a processor that took. Both peers see only the
 * emulator's addresses.
 *
 *   A ──> socket "B" (what A takes for B) ──MTU, loss, queue, delay──> socket "A" ──> B
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describeDatagram } from './datagrams.mjs';

/** IPv4 and UDP headers: what a datagram is longer on the wire. */
const HEADER_BYTES = 28;
/** setTimeout wakes at whole milliseconds, late rather than early: what is due so soon leaves now. */
const SLACK_MS = 0.5;
const COMPACT_AT = 8192;

/** One direction: first in, first out, so one timer is enough however many datagrams are under way. */
class Direction {
  constructor(options, random, send) {
    this.options = options;
    this.random = random;
    this.send = send;
    this.queue = [];
    this.dueAt = [];
    this.head = 0;
    this.timer = undefined;
    /** When the rate-limited link has sent everything that it has taken. */
    this.freeAt = 0;
    this.wireBytes = 0;
    this.drops = { loss: 0, mtu: 0, queue: 0 };
  }

  push(bytes, now) {
    const { delayMs, loss, mtuBytes, bitsPerMs, queueBytes } = this.options;
    const length = bytes.length + HEADER_BYTES;
    if (length > mtuBytes) return this.#drop('mtu');
    if (loss > 0 && this.random() < loss) return this.#drop('loss');
    let leavesAt = now;
    if (bitsPerMs !== undefined) {
      const from = Math.max(now, this.freeAt);
      if (((from - now) * bitsPerMs) / 8 + length > queueBytes) return this.#drop('queue');
      leavesAt = from + (length * 8) / bitsPerMs;
      this.freeAt = leavesAt;
    }
    this.queue.push(bytes);
    this.dueAt.push(leavesAt + delayMs);
    if (this.timer === undefined) this.#arm(now);
  }

  #drop(reason) {
    this.drops[reason]++;
  }

  #arm(now) {
    this.timer = setTimeout(() => this.#run(), Math.max(0, this.dueAt[this.head] - now));
  }

  #run() {
    const now = performance.now();
    for (; this.head < this.queue.length && this.dueAt[this.head] <= now + SLACK_MS; this.head++) {
      this.wireBytes += this.queue[this.head].length + HEADER_BYTES;
      this.send(this.queue[this.head]);
      this.queue[this.head] = undefined;
    }
    if (this.head >= COMPACT_AT || this.head === this.queue.length) {
      this.queue.splice(0, this.head);
      this.dueAt.splice(0, this.head);
      this.head = 0;
    }
    this.timer = undefined;
    if (this.head < this.queue.length) this.#arm(now);
  }
}

export class Emulator {
  #log;
  #cpu = process.cpuUsage();
  #busyAt = performance.now();

  /**
   * @param options - `delayMs` one way; `loss` 0 to 1; `mtuBytes` of an IP packet; `megabits` a second and `queueBytes`
   * before the bottleneck, both ways; `seed`.
   */
  constructor({ delayMs, loss = 0, mtuBytes = 65_535, megabits, queueBytes, seed = 1 }) {
    const bitsPerMs = megabits === undefined ? undefined : megabits * 1000;
    this.options = { delayMs, loss, mtuBytes, bitsPerMs, queueBytes };
    this.random = mulberry32(seed);
  }

  async start() {
    this.asA = await this.#open();
    this.asB = await this.#open();
    this.toB = this.#direct(this.asB, this.asA, 'b', '→');
    this.toA = this.#direct(this.asA, this.asB, 'a', '←');
    return this;
  }

  /** Replaces the candidates of A's (or B's) description by the emulator's stand-in, and notes where the peer really is. */
  standIn(side, description) {
    const candidates = [...description.sdp.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host.*\r\n/gim)];
    const ipv4 = candidates.filter(([, address]) => /^\d+\.\d+\.\d+\.\d+$/.test(address));
    const real = ipv4.find(([, address]) => address.startsWith('127.')) ?? ipv4[0];
    if (real === undefined) throw new Error(`no IPv4 host candidate in:\n${description.sdp}`);
    this[side] = { address: real[1], port: Number(real[2]) };
    const port = (side === 'a' ? this.asA : this.asB).address().port;
    const line = `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host\r\n`;
    const bare = description.sdp.replaceAll(/^a=(candidate|end-of-candidates).*\r\n/gm, '');
    return { type: description.type, sdp: `${bare}${line}` };
  }

  /** From now on every datagram that a peer sends is noted: `{atMs, direction, what}`. */
  log() {
    const start = performance.now();
    const entries = [];
    this.#log = (direction, bytes, now) =>
      entries.push({ atMs: now - start, direction, what: describeDatagram(bytes), bytes: bytes.length });
    return entries;
  }

  /** Starts counting what passes towards B; the answer is the share of the rate that was filled, undefined without a rate. */
  fill() {
    const { bitsPerMs } = this.options;
    const [bytes, at] = [this.toB.wireBytes, performance.now()];
    return () =>
      bitsPerMs === undefined ? undefined : ((this.toB.wireBytes - bytes) * 8) / (performance.now() - at) / bitsPerMs;
  }

  /** Share of one processor that this process took since the last call: near 1 the emulator is the limit, not the peers. */
  busy() {
    const [cpu, at] = [process.cpuUsage(), performance.now()];
    const usedMs = (cpu.user + cpu.system - this.#cpu.user - this.#cpu.system) / 1000;
    const share = usedMs / (at - this.#busyAt);
    [this.#cpu, this.#busyAt] = [cpu, at];
    return share;
  }

  close() {
    for (const direction of [this.toA, this.toB]) clearTimeout(direction.timer);
    this.asA.close();
    this.asB.close();
    this.closed = true;
  }

  async #open() {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return socket;
  }

  #direct(from, via, target, arrow) {
    const direction = new Direction(this.options, this.random, (bytes) => {
      const to = this[target];
      if (to !== undefined && !this.closed) via.send(bytes, to.port, to.address, ignore);
    });
    from.on('message', (bytes) => {
      const now = performance.now();
      this.#log?.(arrow, bytes, now);
      direction.push(bytes, now);
    });
    return direction;
  }
}

/** Nobody may listen there any more. */
const ignore = () => undefined;

function mulberry32(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
