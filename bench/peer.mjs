/**
 * One peer in a process of its own, commanded over IPC: `{id, command, args}` in, `{id, result | error}` out.
 * Uses only what every W3C implementation has, through `on…` handlers, which all subjects support.
 */
import { loadPeerConnection } from './subjects.mjs';

const HIGH_WATER_BYTES = 1 << 20;
const LOW_WATER_BYTES = 1 << 18;

const RTCPeerConnection = await loadPeerConnection(process.argv[2]);
let pc;
let channel;
let whenOpen;
const received = { bytes: 0, messages: 0 };
let onMessage = () => undefined;

function adopt(next) {
  channel = next;
  channel.binaryType = 'arraybuffer';
  whenOpen = new Promise((resolve) => {
    if (channel.readyState === 'open') resolve();
    channel.onopen = () => resolve();
  });
  channel.onmessage = ({ data }) => {
    received.messages++;
    received.bytes += typeof data === 'string' ? data.length : data.byteLength;
    onMessage(data);
  };
}

function gathered() {
  return new Promise((resolve) => {
    const check = () => {
      if (pc.iceGatheringState === 'complete') resolve();
    };
    pc.onicegatheringstatechange = check;
    pc.onicecandidate = check;
    check();
  });
}

const describe = () => ({ type: pc.localDescription.type, sdp: pc.localDescription.sdp });

const commands = {
  async offer() {
    pc = new RTCPeerConnection({ iceServers: [] });
    adopt(pc.createDataChannel('bench'));
    await pc.setLocalDescription(await pc.createOffer());
    await gathered();
    return describe();
  },
  async answer(offer) {
    pc = new RTCPeerConnection({ iceServers: [] });
    const incoming = new Promise((resolve) => {
      pc.ondatachannel = (event) => resolve(event.channel);
    });
    whenOpen = incoming.then((next) => {
      adopt(next);
      return whenOpen;
    });
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription(await pc.createAnswer());
    await gathered();
    return describe();
  },
  accept: (answer) => pc.setRemoteDescription(answer),
  open: () => whenOpen,
  /** Sends messages of `size` for `ms`, as fast as `bufferedAmount` backpressure lets it. */
  async flood(size, ms) {
    const message = new Uint8Array(size);
    const end = performance.now() + ms;
    channel.bufferedAmountLowThreshold = LOW_WATER_BYTES;
    while (performance.now() < end) {
      while (channel.bufferedAmount < HIGH_WATER_BYTES) channel.send(message);
      await new Promise((resolve) => {
        channel.onbufferedamountlow = resolve;
        if (channel.bufferedAmount <= LOW_WATER_BYTES) setImmediate(resolve);
      });
    }
  },
  /** Round trips of a 32-byte message, in microseconds. */
  async ping(count) {
    const message = new Uint8Array(32);
    const times = [];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      await new Promise((resolve) => {
        onMessage = resolve;
        channel.send(message);
      });
      times.push((performance.now() - start) * 1000);
    }
    onMessage = () => undefined;
    return times;
  },
  echo(on) {
    onMessage = on ? (data) => channel.send(data) : () => undefined;
  },
  sample: () => ({ ...received, atMs: performance.now(), cpuUs: cpu(), rssBytes: process.memoryUsage().rss }),
  close() {
    pc.close();
  },
};

function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

process.on('message', async ({ id, command, args }) => {
  let answer;
  try {
    answer = { id, result: await commands[command](...args) };
  } catch (error) {
    answer = { id, error: String(error?.stack ?? error) };
  }
  if (process.connected) process.send(answer);
});
process.on('disconnect', () => process.exit());
process.send({ id: 'ready' });
