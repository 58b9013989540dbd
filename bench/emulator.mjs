/**
 * A link between two peers on this machine: a UDP relay with one-way delay and random loss, in a process of its own so
 * that its work is not counted as a peer's. Both peers see only the emulator's addresses.
 *
 *   A ──> socket "B" (what A takes for B) ──delay, loss──> socket "A" ──> B
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** Deliveries due at the same millisecond leave together: one timer, in order, however many datagrams are under way. */
class DelayLine {
  constructor(delayMs) {
    this.delayMs = delayMs;
    this.queue = [];
    this.head = 0;
    this.timer = undefined;
  }

  push(deliver) {
    this.queue.push({ at: performance.now() + this.delayMs, deliver });
    this.timer ??= setTimeout(() => this.#run(), this.delayMs);
  }

  /** Forgets what is under way. */
  clear() {
    clearTimeout(this.timer);
    this.queue = [];
  }

  #run() {
    this.timer = undefined;
    const now = performance.now();
    while (this.head < this.queue.length && this.queue[this.head].at <= now + 0.5) this.queue[this.head++].deliver();
    if (this.head > 4096) {
      this.queue.splice(0, this.head);
      this.head = 0;
    }
    if (this.head < this.queue.length) this.timer = setTimeout(() => this.#run(), this.queue[this.head].at - now);
  }
}

export class Emulator {
  constructor(options) {
    this.options = options;
    this.random = mulberry32(options.seed ?? 1);
  }

  async start() {
    this.asA = await this.#open();
    this.asB = await this.#open();
    this.toA = new DelayLine(this.options.delayMs);
    this.toB = new DelayLine(this.options.delayMs);
    this.#forward(this.asB, this.toB, this.asA, () => this.b);
    this.#forward(this.asA, this.toA, this.asB, () => this.a);
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

  close() {
    this.toA.clear();
    this.toB.clear();
    this.asA.close();
    this.asB.close();
  }

  async #open() {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return socket;
  }

  #forward(from, line, via, target) {
    from.on('message', (bytes) => {
      if (this.random() < this.options.loss) return;
      line.push(() => {
        const to = target();
        if (to !== undefined) via.send(bytes, to.port, to.address, () => undefined);
      });
    });
  }
}

function mulberry32(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
