/**
 * Far away: throughput of 16 KiB messages over links with delay and loss, and over one of 100 Mbit/s with a queue
 * (`emulator.mjs`), and the round trips until a channel is open.
 */
import { summarize } from '../datagrams.mjs';
import { Emulator } from '../emulator.mjs';
import { Pair } from '../pair.mjs';
import { delay } from '../peer-process.mjs';
import { throughput } from './channels.mjs';

const MESSAGE_BYTES = 16_384;
const LOSSY = [20, 100].flatMap((rttMs) => [0, 0.01, 0.05].map((loss) => ({ rttMs, loss })));
const LIMITED = [20, 100, 300].map((rttMs) => ({ rttMs, loss: 0, megabits: 100 }));
/** The queue of the bottleneck in bandwidth-delay products, and at least. */
const QUEUE_SHARE = 1;
const LEAST_QUEUE_BYTES = 64 * 1024;
/** Slow start needs about ten round trips to fill 100 Mbit/s at 300 ms. */
const WARM_UP_ROUND_TRIPS = 15;
const LEAST_WARM_UP_MS = 1500;
const MEASURED_ROUND_TRIPS = 20;
const LEAST_MEASURED_MS = 2000;
const FAILURES_IN_A_ROW = 3;
/** Where round trips are counted: long enough that computing does not matter. */
const COUNTED_RTT_MS = 100;

const nameOf = ({ rttMs, loss, megabits }) =>
  megabits === undefined ? `${rttMs} ms, ${loss * 100} % loss` : `${rttMs} ms, ${megabits} Mbit/s`;

export async function distance(report, subject, options) {
  const wanted = options.links?.split(';').map((name) => name.trim());
  const chosen = [...LOSSY, ...LIMITED].filter((link) => wanted?.includes(nameOf(link)) ?? true);
  let failures = 0;
  for (const link of chosen) {
    try {
      await overLink(report, subject, options, link);
      failures = 0;
    } catch (error) {
      report.fail(`${nameOf(link)}: MB/s`, subject, error);
      failures++;
    }
    // Somebody who cannot cope with the emulator at all.
    if (failures === FAILURES_IN_A_ROW) throw new Error(`gives up after ${failures} links`);
  }
}

async function overLink(report, subject, options, link) {
  const { rttMs, loss, megabits } = link;
  const queueBytes = Math.max(LEAST_QUEUE_BYTES, ((megabits ?? 0) * 125 * rttMs * QUEUE_SHARE) | 0);
  const settings = { delayMs: rttMs / 2, loss, mtuBytes: options.mtuBytes, megabits, queueBytes, seed: options.round };
  const emulator = await new Emulator(settings).start();
  const pair = await Pair.start(subject, options.wrappers).catch((error) => {
    emulator.close();
    throw error;
  });
  try {
    const name = nameOf(link);
    const counted = rttMs === COUNTED_RTT_MS && loss === 0 && megabits === undefined;
    if (counted) await countRoundTrips(report, subject, pair, emulator, rttMs);
    else await pair.connect(emulator);
    const warmUpMs = Math.max(LEAST_WARM_UP_MS, WARM_UP_ROUND_TRIPS * rttMs);
    const measuredMs = Math.max(LEAST_MEASURED_MS, 2 * options.milliseconds, MEASURED_ROUND_TRIPS * rttMs);
    let fill;
    const watch = () => {
      emulator.busy();
      const stop = emulator.fill();
      return () => {
        fill = stop();
      };
    };
    const { rate } = await throughput(pair, MESSAGE_BYTES, warmUpMs, measuredMs, watch);
    report.record(`${name}: MB/s`, subject, rate);
    if (fill !== undefined) report.record(`${name}: share of the link filled, %`, subject, fill * 100);
    report.record(`${name}: the emulator's own processor time, % of one`, subject, emulator.busy() * 100);
  } finally {
    await pair.end();
    emulator.close();
  }
}

/** The second connection of two processes: the first runs code that is not compiled yet. */
async function countRoundTrips(report, subject, pair, emulator, rttMs) {
  await pair.connect(emulator);
  await pair.disconnect();
  await delay(3 * rttMs); // what closes the first is not part of the second
  const log = emulator.log();
  const { ms, afterAnswerMs } = await pair.connect(emulator);
  report.note(subject, summarize(log, rttMs));
  report.record(`${rttMs} ms: time to open, ms`, subject, ms);
  report.record(`${rttMs} ms: round trips to open`, subject, afterAnswerMs / rttMs);
}
