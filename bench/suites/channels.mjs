/** Data channels between two processes on loopback: time to open, ping-pong, throughput by message size. */
import { Pair } from '../pair.mjs';
import { delay } from '../peer-process.mjs';
import { quantile } from '../report.mjs';
import { enginesOf, subjectNamed } from '../subjects.mjs';

/** The first connections of a process run code that is not compiled yet. */
const WARM_UP_OPENINGS = 100;
const WARM_UP_OPENINGS_MS = 3000;
const OPENINGS = 50;
const LEAST_OPENINGS = 5;
const OPENINGS_MS = 5000;
const PINGS = 8000;
const PINGS_MS = 2000;
/** The first flood of a connection finds its way to the speed of the path. */
const FIRST_WARM_UP_MS = 1500;
/**
 * Before it, some round trips: the estimate of the round-trip time should be that of the path.
 */
const WARM_UP_PINGS_MS = 300;
const WARM_UP_MS = 300;
/** Between two sizes: what a slow subject still has to send. */
const DRAIN_MS = 1500;
/**
 * What may wait in a channel. Enough for every subject to be never without work, also far away: `bufferedAmount` is what has
 * not left yet. Given a MiB at once, Chromium on a busy machine loses its first windows and limps for seconds.
 */
const MAX_BUFFERED_BYTES = 1 << 18;

export async function channels(report, subject, options) {
  const isSocket = enginesOf(subjectNamed(subject)).includes('socket');
  await attempt(report, subject, 'ping-pong of 32 bytes, p50, µs', () => pingPong(report, subject, options));
  let pair = await Pair.start(subject, options.wrappers);
  try {
    if (!isSocket) await attempt(report, subject, 'time to open, p50, ms', () => openings(report, subject, pair));
    pair = await reopened(pair, subject, options);
    let warmUpMs = FIRST_WARM_UP_MS;
    for (const size of isSocket ? [1200] : options.sizes) {
      const figure = isSocket
        ? 'throughput of bare datagrams of 1,200 bytes, MB/s'
        : `throughput at ${size} bytes, MB/s`;
      const clean = await attempt(report, subject, figure, async () => {
        const result = await throughput(pair, size, warmUpMs, options.milliseconds);
        warmUpMs = WARM_UP_MS;
        report.record(figure, subject, result.rate);
        if (result.rate > 0) {
          report.record(`CPU of both peers at ${size} bytes, ms/MB`, subject, result.cpuMsPerMb);
        }
        report.record(`peak memory of the larger peer at ${size} bytes, MB`, subject, result.rssMb);
        return pair.a.callWithin(DRAIN_MS, 'drain', DRAIN_MS);
      });
      if (clean) continue;
      pair = await reopened(pair, subject, options, true);
      warmUpMs = FIRST_WARM_UP_MS;
    }
  } finally {
    await pair.end();
  }
}

/** @returns what `measure` gives, or undefined when it fails, which is noted. */
async function attempt(report, subject, figure, measure) {
  try {
    return await measure();
  } catch (error) {
    report.fail(figure, subject, error);
    return undefined;
  }
}

async function warmUp(pair) {
  await pair.connect();
  await pair.b.call('echo', true);
  await pair.a.callWithin(WARM_UP_PINGS_MS, 'ping', PINGS, WARM_UP_PINGS_MS);
  await pair.b.call('echo', false);
}

/** A connection without a past: in the same processes, or in new ones where the old may have got stuck. */
async function reopened(pair, subject, options, anew = false) {
  let fresh = pair;
  if (anew) {
    await pair.end();
    fresh = await Pair.start(subject, options.wrappers);
  }
  try {
    await warmUp(fresh);
  } catch {
    await fresh.end();
    fresh = await Pair.start(subject, options.wrappers);
    await warmUp(fresh);
  }
  return fresh;
}

async function openings(report, subject, pair) {
  const times = [];
  const begin = performance.now();
  for (let i = 0; i < WARM_UP_OPENINGS && performance.now() - begin < WARM_UP_OPENINGS_MS; i++) {
    await pair.connect();
    await pair.disconnect();
  }
  const end = performance.now() + OPENINGS_MS;
  while (times.length < OPENINGS && (times.length < LEAST_OPENINGS || performance.now() < end)) {
    const { ms } = await pair.connect();
    await pair.disconnect();
    times.push(ms);
  }
  report.record('time to open, p50, ms', subject, quantile(times, 0.5));
  report.record('time to open, p90, ms', subject, quantile(times, 0.9));
}

/** Each end on a processor of its own: side by side on one, a round trip takes a third of the time, on a whim of the system. */
async function pingPong(report, subject, options) {
  const pair = await Pair.start(subject);
  try {
    if (options.apart) for (const [i, end] of [pair.a, pair.b].entries()) end.pin?.(i);
    await pair.connect();
    await pair.b.call('echo', true);
    await pair.a.callWithin(PINGS_MS, 'ping', PINGS, PINGS_MS);
    const pings = await pair.a.callWithin(PINGS_MS, 'ping', PINGS, PINGS_MS);
    report.record('ping-pong of 32 bytes, p50, µs', subject, quantile(pings, 0.5));
    report.record('ping-pong of 32 bytes, p99, µs', subject, quantile(pings, 0.99));
  } finally {
    await pair.end();
  }
}

/**
 * Floods for `warmUpMs` unmeasured (the code compiles, the window opens), then for `ms` measured at the receiver.
 * @param during - called when the measured time begins; what it returns is called when that ends.
 */
export async function throughput(pair, size, warmUpMs, ms, during = () => undefined) {
  // A little longer than what is measured: the receiver's clock starts later.
  const flood = pair.a.callWithin(warmUpMs + ms, 'flood', size, warmUpMs + ms + 100, MAX_BUFFERED_BYTES);
  flood.catch(() => undefined); // awaited below, or something else has failed before
  await delay(warmUpMs);
  const stop = during();
  const [sender, receiver] = await Promise.all([pair.a, pair.b].map((peer) => peer.callWithin(ms, 'measure', ms)));
  stop?.();
  await flood;
  const megabytes = receiver.bytes / 1e6;
  return {
    rate: megabytes / (receiver.ms / 1000),
    cpuMsPerMb: (sender.cpuUs + receiver.cpuUs) / 1000 / megabytes,
    rssMb: Math.max(sender.rssBytes, receiver.rssBytes) / 1e6,
  };
}
