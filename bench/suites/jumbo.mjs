/**
 * A link with an MTU of 9,000 bytes: two network namespaces and a cable between them, one process in each. Needs Linux and
 * root. What is larger than 1,500 bytes on it says who looks for the MTU of a path.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Pair } from '../pair.mjs';
import { enginesOf, subjectNamed } from '../subjects.mjs';
import { throughput } from './channels.mjs';

const lab = fileURLToPath(new URL('../../scripts/netns-lab.sh', import.meta.url));
const MTU_BYTES = 9000;
const ADDRESSES = ['10.0.0.1', '10.0.0.2']; // as scripts/netns-lab.sh gives them
const SIZES = [16_384, 65_536];
const WARM_UP_MS = 1000;

let count = 0;

export async function jumbo(report, subject, options) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error('network namespaces need Linux and root: run as root, or leave the suite out');
  }
  const prefix = `bench${process.pid}-${++count}`;
  execFileSync(lab, ['link', prefix], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const namespaces = ['a', 'b'].map((host) => `${prefix}-${host}`);
    for (const namespace of namespaces) {
      execFileSync('ip', ['-n', namespace, 'link', 'set', 'lan', 'mtu', String(MTU_BYTES)]);
    }
    const wrappers = namespaces.map((namespace, i) => [...options.wrappers[i], 'ip', 'netns', 'exec', namespace]);
    await overCable(report, subject, options, wrappers);
  } finally {
    execFileSync(lab, ['down', prefix]);
  }
}

async function overCable(report, subject, options, wrappers) {
  const isSocket = enginesOf(subjectNamed(subject)).includes('socket');
  const pair = await Pair.start(
    subject,
    wrappers,
    ADDRESSES.map((address) => [address]),
  );
  try {
    await pair.connect();
    for (const size of isSocket ? [1200] : SIZES) {
      const { rate } = await throughput(pair, size, WARM_UP_MS, options.milliseconds);
      const what = isSocket ? 'bare datagrams of 1,200 bytes' : `messages of ${size} bytes`;
      report.record(`MTU ${MTU_BYTES}: ${what}, MB/s`, subject, rate);
    }
  } finally {
    await pair.end();
  }
}
