/** ICE on this machine: time to a pair, and what an idle connection costs while its consent is kept fresh. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { quantile } from '../report.mjs';

const script = fileURLToPath(new URL('../ice-pairs.mjs', import.meta.url));
const OPENINGS = 30;
const IDLE_PAIRS = 50;
/** At least; consent checks come every 4 to 6 seconds (RFC 7675 §5.1), so a shorter look would see only some of them. */
const LEAST_IDLE_MS = 15_000;

export async function ice(report, subject, options) {
  const idleMs = Math.max(LEAST_IDLE_MS, options.milliseconds * 5);
  const result = await run(subject, { openings: OPENINGS, idlePairs: IDLE_PAIRS, idleMs });
  if (result.alive < IDLE_PAIRS) throw new Error(`only ${result.alive} of ${IDLE_PAIRS} idle pairs stayed connected`);
  report.record('time to a selected pair, p50, ms', subject, quantile(result.pairingMs, 0.5));
  report.record('time to a selected pair, p90, ms', subject, quantile(result.pairingMs, 0.9));
  report.record('CPU of an idle connection, µs/s', subject, result.idleCpuUsPerSecond);
  report.record('memory of an idle connection, KB', subject, result.idleBytes / 1000);
}

/** In a process of its own: memory can only be told apart by processes. */
function run(subject, order) {
  return new Promise((resolve, reject) => {
    const child = fork(script, [subject], {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const limit = setTimeout(() => child.kill('SIGKILL'), order.idleMs + 120_000);
    child.once('message', ({ result, error }) => {
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    child.once('exit', (code, signal) => {
      clearTimeout(limit);
      reject(new Error(`the ${subject} process ended (${signal ?? code})`));
    });
    child.send(order);
  });
}
