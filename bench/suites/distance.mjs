/** Throughput of 16 KiB messages over a link with delay and loss (`emulator.mjs`). */
import { Emulator } from '../emulator.mjs';
import { Pair } from '../pair.mjs';
import { throughput } from './channels.mjs';

const MESSAGE_BYTES = 16_384;
const LINKS = [20, 100].flatMap((rttMs) => [0, 0.01, 0.05].map((loss) => ({ rttMs, loss })));

export async function distance(report, subject, options) {
  for (const { rttMs, loss } of LINKS) {
    const emulator = await new Emulator({ delayMs: rttMs / 2, loss, seed: options.round }).start();
    const pair = await Pair.start(subject);
    try {
      report.record(`${rttMs} ms, ${loss * 100} % loss: time to open, ms`, subject, await pair.connect(emulator));
      const { rate } = await throughput(pair, MESSAGE_BYTES, 1500, options.milliseconds * 2);
      report.record(`${rttMs} ms, ${loss * 100} % loss: MB/s`, subject, rate);
      await pair.disconnect();
    } finally {
      await pair.end();
      emulator.close();
    }
  }
}
