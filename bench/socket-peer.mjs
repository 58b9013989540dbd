/**
 * The floor: the commands of a peer over a bare UDP socket, datagrams of 1,200 bytes, nothing sealed, nothing numbered. The
 * sender keeps a window that fits the receiver's socket buffer, and the receiver says how far it is at every sixteenth
 * datagram, so that nothing is lost.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { serveCommands, usage } from './peer-process.mjs';

const LOOPBACK = '127.0.0.1';
const DATAGRAM_BYTES = 1200;
const WINDOW_DATAGRAMS = 64;
const ACK_EVERY = 16;
/** A lost acknowledgement must not stop the run. */
const STALL_MS = 100;
const SOCKET_BUFFER_BYTES = 1 << 22;

let socket;
let onDatagram;
const received = { bytes: 0, messages: 0 };
const noError = () => undefined;
const sample = () => ({ ...received, ...usage(), atMs: performance.now() });

/** Counts what comes, and acknowledges. */
function receive(bytes) {
  received.bytes += bytes.length;
  received.messages++;
  if (received.messages % ACK_EVERY === 0) {
    const ack = Buffer.alloc(8);
    ack.writeDoubleLE(received.messages);
    socket.send(ack, noError);
  }
}

async function open() {
  const address = process.argv[3] ?? LOOPBACK;
  socket = createSocket({ type: 'udp4', recvBufferSize: SOCKET_BUFFER_BYTES, sendBufferSize: SOCKET_BUFFER_BYTES });
  socket.bind(0, address);
  await once(socket, 'listening');
  onDatagram = receive;
  socket.on('message', (bytes) => onDatagram(bytes));
  // In the words of SDP, so that the link emulator and the harness need not know the difference.
  return { type: 'socket', tookMs: 0, sdp: `a=candidate:1 1 udp 1 ${address} ${socket.address().port} typ host\r\n` };
}

async function connect({ sdp }) {
  const [, address, port] = /^a=candidate:\S+ 1 udp \d+ (\S+) (\d+)/m.exec(sdp);
  socket.connect(Number(port), address);
  await once(socket, 'connect');
}

serveCommands({
  offer: open,
  async answer(offer) {
    const own = await open();
    await connect(offer);
    return own;
  },
  async accept(answer) {
    await connect(answer);
    return 0;
  },
  open: () => undefined,
  flood(_size, ms) {
    const datagram = Buffer.alloc(DATAGRAM_BYTES);
    let sent = 0;
    let acknowledged = 0;
    let heardAt = performance.now();
    const end = heardAt + ms;
    return new Promise((resolve) => {
      const fill = () => {
        for (; sent - acknowledged < WINDOW_DATAGRAMS; sent++) socket.send(datagram, noError);
      };
      const clock = setInterval(() => {
        const now = performance.now();
        if (now >= end) {
          clearInterval(clock);
          onDatagram = receive;
          resolve();
        } else if (now - heardAt > STALL_MS) {
          acknowledged = sent;
          fill();
        }
      }, 10);
      let base;
      onDatagram = (bytes) => {
        if (bytes.length !== 8 || performance.now() >= end) return;
        const count = bytes.readDoubleLE();
        base ??= count - ACK_EVERY; // what the receiver had before this flood
        acknowledged = Math.max(acknowledged, Math.min(sent, count - base));
        heardAt = performance.now();
        fill();
      };
      fill();
    });
  },
  drain: () => true,
  async measure(ms) {
    const before = sample();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const after = sample();
    const since = (key) => after[key] - before[key];
    return {
      ms: since('atMs'),
      bytes: since('bytes'),
      messages: since('messages'),
      cpuUs: since('cpuUs'),
      rssBytes: after.rssBytes,
    };
  },
  ping(count, ms) {
    const message = Buffer.alloc(32);
    const times = [];
    const end = performance.now() + ms;
    return new Promise((resolve) => {
      let start;
      const next = () => {
        start = performance.now();
        socket.send(message, noError);
      };
      onDatagram = () => {
        const now = performance.now();
        times.push((now - start) * 1000);
        if (times.length < count && now < end) return next();
        onDatagram = receive;
        resolve(times);
      };
      next();
    });
  },
  echo(on) {
    onDatagram = on ? (bytes) => socket.send(bytes, noError) : receive;
  },
  sample,
  close() {
    socket.close();
  },
});
