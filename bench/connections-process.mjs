/**
 * Both ends of many connections in one process, for `suites/connections.mjs`: steps over IPC. No harness and no other
 * process is between the two ends, so times to open are those of the implementation alone, on one processor.
 */
import { createPeer } from './peer-commands.mjs';
import { delay, serveCommands, usage } from './peer-process.mjs';
import { loadSubject } from './subjects.mjs';

const OPEN_TIMEOUT_MS = 15_000;
/** Until what was released is really free: finalizers and pools take turns of the event loop. */
const SETTLE_MS = 150;

const { RTCPeerConnection, configuration, early } = await loadSubject(process.argv[2]);
const pairs = [];
/** One pair; everything of it is released by `close`. */
async function connect() {
  const [a, b] = [0, 1].map(() => createPeer(RTCPeerConnection, configuration, usage, early));
  const answer = await b.answer(await a.offer());
  await Promise.all([a.accept(answer), b.open()]);
  return { a, b };
}

function inTime(promise) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`a pair did not open within ${OPEN_TIMEOUT_MS} ms`)), OPEN_TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function close({ a, b }) {
  a.close();
  b.close();
}

function cpuUs() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Opens `count` pairs, `atOnce` of them under way; fewer when `ms` are over. */
async function openMany(count, atOnce, ms, onOpen) {
  const end = performance.now() + ms;
  let left = count;
  const worker = async () => {
    while (left-- > 0 && performance.now() < end) onOpen(await inTime(connect()));
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}

async function settled() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await delay(SETTLE_MS);
  }
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { rss, heap: heapUsed, external: external + arrayBuffers };
}

serveCommands({
  /**
   * Milliseconds of each of `count` openings, one after the other, closed again at once; fewer when `ms` are over, of which
   * the warm-up takes half at most.
   */
  async sequential(warmUp, count, ms) {
    const times = [];
    const from = performance.now();
    const end = from + ms;
    let measuring = false;
    for (let i = 0; i < warmUp + count && performance.now() < end; i++) {
      measuring ||= i >= warmUp || performance.now() > from + ms / 2;
      const start = performance.now();
      const pair = await inTime(connect());
      if (measuring) times.push(performance.now() - start);
      close(pair);
    }
    if (times.length === 0 && count > 0) throw new Error(`no pair opened within ${ms} ms`);
    return times;
  },
  /** Rate and processor time of opening, closing included. */
  async concurrent(count, atOnce, ms) {
    let opened = 0;
    const cpu = cpuUs();
    const start = performance.now();
    await openMany(count, atOnce, ms, (pair) => {
      opened++;
      close(pair);
    });
    return {
      perSecond: (opened * 1000) / (performance.now() - start),
      cpuMsPerPair: (cpuUs() - cpu) / 1000 / opened,
    };
  },
  settled,
  /** Goes on until so many pairs are open. */
  async growTo(count, atOnce, ms) {
    await openMany(count - pairs.length, atOnce, ms, (pair) => pairs.push(pair));
    if (pairs.length < count) throw new Error(`only ${pairs.length} of ${count} pairs were open after ${ms} ms`);
  },
  /** Share of one processor that the open pairs take in `ms` in which nothing is sent. */
  async idle(ms) {
    const cpu = cpuUs();
    const start = performance.now();
    await delay(ms);
    const share = (cpuUs() - cpu) / 1000 / (performance.now() - start);
    return { share, alive: pairs.filter(({ a, b }) => a.isOpen() && b.isOpen()).length };
  },
});
