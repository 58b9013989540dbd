/** Data channels between two processes on loopback: time to open, ping-pong, throughput by message size. */
import { Pair } from '../pair.mjs';
import { quantile } from '../report.mjs';

const OPENINGS = 10;
const PINGS = 2000;

export async function channels(report, subject, options) {
  const pair = await Pair.start(subject);
  try {
    const times = [];
    for (let i = 0; i < OPENINGS; i++) {
      times.push(await pair.connect());
      await pair.disconnect();
    }
    report.record('time to open, p50, ms', subject, quantile(times, 0.5));
    report.record('time to open, p90, ms', subject, quantile(times, 0.9));
    await pair.connect();
    await pair.b.call('echo', true);
    await pair.a.call('ping', PINGS / 4);
    const pings = await pair.a.call('ping', PINGS);
    report.record('ping-pong of 32 bytes, p50, µs', subject, quantile(pings, 0.5));
    report.record('ping-pong of 32 bytes, p99, µs', subject, quantile(pings, 0.99));
    await pair.b.call('echo', false);
    for (const size of options.sizes) {
      const { rate, cpuMsPerMb, rssMb } = await throughput(pair, size, 300, options.milliseconds);
      report.record(`throughput at ${size} bytes, MB/s`, subject, rate);
      report.record(`CPU of both peers at ${size} bytes, ms/MB`, subject, cpuMsPerMb);
      report.record(`memory of the larger peer at ${size} bytes, MB`, subject, rssMb);
    }
    await pair.disconnect();
  } finally {
    await pair.end();
  }
}

/** Floods for `warmUpMs` unmeasured (the code compiles, the window opens), then for `ms` measured at the receiver. */
export async function throughput(pair, size, warmUpMs, ms) {
  await pair.a.call('flood', size, warmUpMs);
  const before = await Promise.all([pair.a.call('sample'), pair.b.call('sample')]);
  await pair.a.call('flood', size, ms);
  const after = await Promise.all([pair.a.call('sample'), pair.b.call('sample')]);
  const megabytes = (after[1].bytes - before[1].bytes) / 1e6;
  return {
    rate: megabytes / ((after[1].atMs - before[1].atMs) / 1000),
    cpuMsPerMb: (after[0].cpuUs - before[0].cpuUs + after[1].cpuUs - before[1].cpuUs) / 1000 / megabytes,
    rssMb: Math.max(after[0].rssBytes, after[1].rssBytes) / 1e6,
  };
}
