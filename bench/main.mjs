#!/usr/bin/env node
/**
 * `npm run bench [-- --subjects a,b --rounds 3 --seconds 2 --json FILE]`
 *
 * Measures data channels between two processes on this machine, all subjects interleaved round by round, and prints
 * medians, spread and ratios to the fastest other subject. Figures are only comparable within one run.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Pair } from './pair.mjs';
import { isInstalled, subjects } from './subjects.mjs';

const { values: options } = parseArgs({
  options: {
    subjects: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '1024,16384,65536,262144' },
    json: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const milliseconds = Number(options.seconds) * 1000;
const sizes = options.sizes.split(',').map(Number);
const wanted = options.subjects?.split(',');
const chosen = subjects.filter((s) => (wanted === undefined ? isInstalled(s) : wanted.includes(s.name)));
const absent = subjects.filter((s) => !isInstalled(s)).map((s) => s.name);
if (absent.length > 0) console.log(`not installed (npm run bench:setup installs them): ${absent.join(', ')}`);

/** figure → subject → one value a round */
const results = new Map();
function record(figure, subject, value) {
  if (!results.has(figure)) results.set(figure, new Map());
  const row = results.get(figure);
  row.set(subject, [...(row.get(subject) ?? []), value]);
}

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const quantile = (numbers, q) => sorted(numbers)[Math.min(numbers.length - 1, Math.floor(numbers.length * q))];

async function throughput(pair, size, ms) {
  await pair.a.call('flood', size, 300); // warm-up: compiles the code and opens the window
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

async function measure(subject) {
  const pair = await Pair.start(subject);
  try {
    const times = [];
    for (let i = 0; i < 10; i++) {
      times.push(await pair.connect());
      await pair.disconnect();
    }
    record('time to open, p50, ms', subject, quantile(times, 0.5));
    record('time to open, p90, ms', subject, quantile(times, 0.9));
    await pair.connect();
    await pair.b.call('echo', true);
    await pair.a.call('ping', 500);
    const pings = await pair.a.call('ping', 2000);
    record('ping-pong of 32 bytes, p50, µs', subject, quantile(pings, 0.5));
    record('ping-pong of 32 bytes, p99, µs', subject, quantile(pings, 0.99));
    await pair.b.call('echo', false);
    for (const size of sizes) {
      const { rate, cpuMsPerMb, rssMb } = await throughput(pair, size, milliseconds);
      record(`throughput at ${size} bytes, MB/s`, subject, rate);
      record(`CPU of both peers at ${size} bytes, ms/MB`, subject, cpuMsPerMb);
      record(`memory of the larger peer at ${size} bytes, MB`, subject, rssMb);
    }
    await pair.disconnect();
  } finally {
    await pair.end();
  }
}

for (let round = 1; round <= rounds; round++) {
  for (const { name } of chosen) {
    process.stderr.write(`round ${round} of ${rounds}: ${name}\n`);
    try {
      await measure(name);
    } catch (error) {
      process.stderr.write(`  ${name} failed: ${error.message}\n`);
    }
  }
}

const format = (values) => {
  if (values === undefined) return 'failed';
  const digits = (n) => (n >= 100 ? n.toFixed(0) : n.toPrecision(3));
  return `${digits(quantile(values, 0.5))} (${digits(Math.min(...values))}-${digits(Math.max(...values))})`;
};
console.log(`\n| figure: median (min-max) of ${rounds} rounds | ${chosen.map((s) => s.name).join(' | ')} |`);
console.log(`|---|${chosen.map(() => '---').join('|')}|`);
for (const [figure, row] of results) {
  console.log(`| ${figure} | ${chosen.map((s) => format(row.get(s.name))).join(' | ')} |`);
}
if (options.json !== undefined) {
  const plain = Object.fromEntries([...results].map(([figure, row]) => [figure, Object.fromEntries(row)]));
  writeFileSync(options.json, `${JSON.stringify({ node: process.version, rounds, results: plain }, null, 2)}\n`);
}
