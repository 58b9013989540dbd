/**
 * Many connections in one process, both ends of each: how fast they open, what they hold in memory, and what they cost
 * when nothing is sent but the checks of consent (RFC 7675 §5.1: one every 4 to 6 seconds from each end).
 */
import { ProcessPeer } from '../pair.mjs';
import { quantile } from '../report.mjs';

const WARM_UP_OPENINGS = 20;
const OPENINGS = 50;
const OPENINGS_MS = 8000;
const AT_ONCE = 20;
const CONCURRENT_OPENINGS = 400;
const CONCURRENT_MS = 5000;
/** What a thousand pairs may take to open: 25 a second. */
const GROW_MS = 40_000;
const IDLE_MS = 10_000;
/** Fewer say little about their processor time. */
const LEAST_IDLE_PAIRS = 100;

export async function connections(report, subject, options) {
  // Two processes: what the first part leaves behind must not count as memory of the second.
  const opener = new ProcessPeer('./connections-process.mjs', [subject], options.wrappers[0]);
  try {
    await opener.ready;
    // One opening more may be under way when the time is up.
    const call = (ms, ...args) => opener.callWithin(2 * ms, ...args);
    const times = await call(OPENINGS_MS, 'sequential', WARM_UP_OPENINGS, OPENINGS, OPENINGS_MS);
    report.record('time to open in one process, p50, ms', subject, quantile(times, 0.5));
    report.record('time to open in one process, p90, ms', subject, quantile(times, 0.9));
    const rate = await call(CONCURRENT_MS, 'concurrent', CONCURRENT_OPENINGS, AT_ONCE, CONCURRENT_MS);
    report.record(`connections opened a second, ${AT_ONCE} at once`, subject, rate.perSecond);
    report.record('processor time to open a pair, ms', subject, rate.cpuMsPerPair);
  } catch (error) {
    report.fail('time to open in one process, p50, ms', subject, error);
  } finally {
    await opener.end();
  }
  await hold(report, subject, options);
}

async function hold(report, subject, options) {
  const holder = new ProcessPeer('./connections-process.mjs', [subject], options.wrappers[0]);
  let figure = 'memory per pair';
  try {
    await holder.ready;
    await holder.callWithin(2 * OPENINGS_MS, 'sequential', WARM_UP_OPENINGS, 0, OPENINGS_MS);
    const before = await holder.call('settled');
    for (const count of options.counts) {
      figure = `resident memory per pair with ${count}, kB`;
      await holder.callWithin(2 * GROW_MS, 'growTo', count, AT_ONCE, GROW_MS);
      const after = await holder.call('settled');
      const perPair = (key) => (after[key] - before[key]) / 1000 / count;
      report.record(figure, subject, perPair('rss'));
      report.record(`JavaScript heap per pair with ${count}, kB`, subject, perPair('heap'));
      report.record(`buffers outside the heap per pair with ${count}, kB`, subject, perPair('external'));
      if (count < LEAST_IDLE_PAIRS) continue;
      figure = `idle processor time of ${count} pairs, % of one`;
      const { share, alive } = await holder.callWithin(IDLE_MS, 'idle', IDLE_MS);
      if (alive < count) throw new Error(`only ${alive} of ${count} pairs were still open`);
      report.record(figure, subject, share * 100);
    }
  } catch (error) {
    report.fail(figure, subject, error);
  } finally {
    await holder.end();
  }
}
