/**
 * A sender that never stops and a reader that is slower: the receiver holds its thread for some milliseconds at every
 * message, so data comes faster than it is taken. What counts is that its memory stays where it is.
 */
import { Pair } from '../pair.mjs';
import { delay } from '../peer-process.mjs';

const MESSAGE_BYTES = 16_384;
/** At most 4 MB/s are read. */
const READER_MS = 4;
const WARM_UP_MS = 1500;
/** Far above the other suites: the sender has always more. */
const CEILING_BYTES = 1 << 23;
const PEAK = 'peak memory of the receiver, its reader too slow,';

export async function memory(report, subject, options) {
  const pair = await Pair.start(subject, options.wrappers);
  try {
    await pair.connect();
    // Compiled code, pools and windows first, with a reader that keeps up.
    await pair.a.callWithin(WARM_UP_MS, 'flood', MESSAGE_BYTES, WARM_UP_MS, CEILING_BYTES);
    await pair.a.callWithin(WARM_UP_MS, 'drain', WARM_UP_MS);
    const before = pair.b.peakBytes();
    await pair.b.call('readSlowly', READER_MS);
    const ms = Math.max(3000, options.milliseconds * 5);
    // Neither end need ever answer again: some hand everything to a reader that has no time for anything else.
    pair.a.callWithin(2 * ms, 'flood', MESSAGE_BYTES, 2 * ms, CEILING_BYTES).catch(() => undefined);
    await delay(ms / 2);
    const middle = pair.b.peakBytes();
    await delay(ms / 2);
    report.record('peak memory of the receiver, its reader keeping up, MB', subject, before / 1e6);
    report.record(`${PEAK} ${ms / 2000} s later, MB`, subject, middle / 1e6);
    report.record(`${PEAK} ${ms / 1000} s later, MB`, subject, pair.b.peakBytes() / 1e6);
  } finally {
    await pair.end();
  }
}
