/**
 * Both ends of many connections in one process, for `suites/ice.mjs`: one order over IPC (`{openings, idlePairs, idleMs}`),
 * one answer. Uses only what every W3C implementation has.
 */
import { loadPeerConnection } from './subjects.mjs';

const WARM_UP = 5;
const STEP_TIMEOUT_MS = 20_000;
const SETTLE_MS = 12_000;

const RTCPeerConnection = await loadPeerConnection(process.argv[2]);

/** Resolves when `look` says so; `listen` sets the handler that looks again. */
function until(what, look, listen) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), STEP_TIMEOUT_MS);
    const check = () => {
      if (!look()) return;
      clearTimeout(timer);
      resolve();
    };
    listen(check);
    check();
  });
}

const gathered = (pc) =>
  until(
    'candidates',
    () => pc.iceGatheringState === 'complete',
    (check) => {
      pc.onicegatheringstatechange = check;
      pc.onicecandidate = check;
    },
  );

const paired = (pc) =>
  until(
    'a pair',
    () => ['connected', 'completed'].includes(pc.iceConnectionState),
    (check) => {
      pc.oniceconnectionstatechange = check;
    },
  );

const plain = ({ type, sdp }) => ({ type, sdp });

/** Milliseconds from "both sides know everything" to "both sides have a pair"; all candidates are in the descriptions. */
async function connect() {
  const [a, b] = [new RTCPeerConnection({ iceServers: [] }), new RTCPeerConnection({ iceServers: [] })];
  const channel = a.createDataChannel('ice');
  const open = until(
    'a channel',
    () => channel.readyState === 'open',
    (check) => {
      channel.onopen = check;
    },
  );
  await a.setLocalDescription(await a.createOffer());
  await gathered(a);
  await b.setRemoteDescription(plain(a.localDescription));
  await b.setLocalDescription(await b.createAnswer());
  await gathered(b);
  const both = Promise.all([paired(a), paired(b)]);
  const start = performance.now();
  await a.setRemoteDescription(plain(b.localDescription));
  await both;
  const ms = performance.now() - start;
  await open;
  return { a, b, channel, ms };
}

function close({ a, b }) {
  a.close();
  b.close();
}

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function settledRss() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return process.memoryUsage().rss;
}

async function measure({ openings, idlePairs, idleMs }) {
  for (let i = 0; i < WARM_UP; i++) close(await connect());
  const pairingMs = [];
  for (let i = 0; i < openings; i++) {
    const pair = await connect();
    pairingMs.push(pair.ms);
    close(pair);
  }
  const rssBefore = await settledRss();
  const pairs = [];
  for (let i = 0; i < idlePairs; i++) pairs.push(await connect());
  const rssAfter = await settledRss();
  // The first consent checks still run in the interpreter, and what connecting has left behind is being collected.
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const before = cpuUs();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const seconds = (performance.now() - start) / 1000;
  const connections = 2 * idlePairs;
  const result = {
    pairingMs,
    idleCpuUsPerSecond: (cpuUs() - before) / seconds / connections,
    idleBytes: (rssAfter - rssBefore) / connections,
    alive: pairs.filter(({ a, b }) => [a, b].every((pc) => ['connected', 'completed'].includes(pc.iceConnectionState)))
      .length,
  };
  for (const pair of pairs) close(pair);
  return result;
}

process.once('message', async (order) => {
  let answer;
  try {
    answer = { result: await measure(order) };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.send(answer, () => process.exit());
});
