#!/usr/bin/env node
/**
 * `npm run bench [-- SUITE … --subjects a,b --rounds 3 --seconds 0.5 --json FILE]`; bench/README.md lists suites and options.
 * All subjects are interleaved round by round and measured by the same code; figures are only comparable within one run.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { closeChromium } from './chromium.mjs';
import { Results } from './docs/results.mjs';
import { judgeTargets } from './docs/targets.mjs';
import { canPin, describeMachine, ForeignLoad } from './machine.mjs';
import { profileTo } from './pair.mjs';
import { Report } from './report.mjs';
import { benchFolder, enginesOf, isInstalled, subjects } from './subjects.mjs';
import { channels } from './suites/channels.mjs';
import { codecs } from './suites/codecs.mjs';
import { connections } from './suites/connections.mjs';
import { distance } from './suites/distance.mjs';
import { dtls } from './suites/dtls.mjs';
import { ice } from './suites/ice.mjs';
import { jumbo } from './suites/jumbo.mjs';
import { memory } from './suites/memory.mjs';
import { RELAY_SUBJECTS, relay } from './suites/relay.mjs';

const isModule = (subject) => enginesOf(subject).every((engine) => engine === 'module');
const hasChannels = (subject) => !enginesOf(subject).includes('socket');
const differsWhenIdle = (subject) => isModule(subject) && subject.sameWhenIdle !== true;
/** `ice-pairs.mjs` makes its connections without a configuration. */
const isPlain = (subject) => isModule(subject) && subject.configuration === undefined;
const noPage = (subject) => !enginesOf(subject).includes('page');

/**
 * `seconds` is about what one subject takes in one round, `s` being the measured seconds of each figure; `fits` says which
 * subjects a suite is for, `own` names its own (our own operations only, or servers).
 */
const SUITES = {
  channels: { run: channels, seconds: (s, sizes) => 4.5 + sizes * (s + 0.5), fits: () => true },
  distance: { run: distance, seconds: (s) => 35 + 9 * Math.max(2, 2 * s), fits: hasChannels },
  connections: { run: connections, seconds: () => 45, fits: differsWhenIdle },
  memory: { run: memory, seconds: (s) => 4 + 5 * s, fits: hasChannels },
  jumbo: { run: jumbo, seconds: (s) => 2 + 3 * (s + 0.6), fits: noPage },
  ice: { run: ice, seconds: () => 20, fits: isPlain },
  relay: { run: relay, seconds: (s) => 25 + 6 * s, own: RELAY_SUBJECTS },
  dtls: { run: dtls, seconds: (s) => 10 * s, own: ['purertc'] },
  codecs: { run: codecs, seconds: () => 6, own: ['purertc'] },
};

/** What starts the two ends: each on a processor of its own, or where the system likes. Chromium is always left to it. */
const APART = [0, 1].map((processor) => ['taskset', '-c', String(processor)]);
const TOGETHER = [[], []];

const OPTIONS = {
  subjects: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '0.5' },
  sizes: { type: 'string', default: '1024,16384,65536,262144' },
  counts: { type: 'string', default: '1,10,100,1000' },
  links: { type: 'string' },
  mtu: { type: 'string', default: '1500' },
  allocations: { type: 'string', default: '1000' },
  pin: { type: 'boolean', default: false },
  noise: { type: 'string', default: '0.1' },
  repeats: { type: 'string', default: '2' },
  save: { type: 'boolean', default: false },
  json: { type: 'string' },
  profile: { type: 'string' },
};

function fail(message) {
  console.error(`bench: ${message}`);
  process.exit(1);
}

function readArguments() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS });
  } catch (error) {
    return fail(
      `${error.message}. There are --${Object.keys(OPTIONS).join(', --')}; bench/README.md says what they do.`,
    );
  }
}

const { values, positionals } = readArguments();

if (values.profile !== undefined) profileTo(resolve(values.profile));
const unknown = positionals.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  fail(`no suite is called ${unknown.join(', ')}; there are: ${Object.keys(SUITES).join(', ')}`);
}
const suites = positionals.length > 0 ? positionals : ['channels'];
const rounds = Number(values.rounds);
const wanted = values.subjects?.split(',');
const options = {
  milliseconds: Number(values.seconds) * 1000,
  sizes: values.sizes.split(',').map(Number),
  counts: values.counts.split(',').map(Number),
  links: values.links,
  mtuBytes: Number(values.mtu),
  allocations: Number(values.allocations),
  wrappers: values.pin ? APART : TOGETHER,
  /** For what must not depend on where the system puts the two: how long one takes to wake the other. */
  apart: canPin(),
  round: 0,
};

const known = new Set([...subjects.map((s) => s.name), ...Object.values(SUITES).flatMap(({ own }) => own ?? [])]);
const strange = wanted?.filter((name) => !known.has(name)) ?? [];
if (strange.length > 0) fail(`no subject is called ${strange.join(', ')}; there are: ${[...known].join(', ')}`);

function subjectsOf(suite) {
  const { own, fits } = SUITES[suite];
  if (own !== undefined) return own.filter((name) => wanted?.includes(name) ?? true);
  const chosen = subjects.filter((s) => wanted?.includes(s.name) ?? (!s.extra && isInstalled(s)));
  return chosen.filter(fits).map((s) => s.name);
}

const absent = subjects.filter((s) => !isInstalled(s)).map((s) => s.name);
if (absent.length > 0) {
  process.stderr.write(`not installed (npm run bench:setup installs what npm has): ${absent.join(', ')}\n`);
}
const estimate = (suite) =>
  rounds * subjectsOf(suite).length * SUITES[suite].seconds(Number(values.seconds), options.sizes.length);
for (const suite of suites) process.stderr.write(`${suite}: about ${Math.ceil(estimate(suite) / 60)} min\n`);

const results = {};
const folder = join(benchFolder, 'results');
for (const suite of suites) {
  const names = subjectsOf(suite);
  const report = new Report(names);
  const foreignLoads = [];
  const startedAt = performance.now();
  for (options.round = 1; options.round <= rounds; options.round++) {
    for (const name of names) foreignLoads.push({ round: options.round, ...(await quietly(report, suite, name)) });
    results[suite] = {
      ...report.toJSON(),
      rounds: options.round,
      secondsPerFigure: Number(values.seconds),
      pinned: values.pin,
      mtuBytes: options.mtuBytes,
      minutes: (performance.now() - startedAt) / 60_000,
      foreignLoads,
    };
    // At once: a later round may be interrupted.
    if (values.save) save(join(folder, `${suite}.json`), { [suite]: results[suite] });
    if (values.json !== undefined) save(values.json, results);
  }
  console.log(`\n## ${suite}, ${rounds} round(s)\n\n${report.table()}\n`);
}
const verdicts = judgeTargets(new Results([{ machine: describeMachine(), suites: results }])).flatMap(
  ({ title, lines }) => {
    const measured = lines.filter(({ met }) => met !== undefined);
    const text = ({ what, wanted, measured, met }) =>
      `- ${what}: ${measured}, wanted ${wanted}${met ? '' : ': not met'}`;
    return measured.length === 0 ? [] : [`\n${title}\n`, ...measured.map(text)];
  },
);
if (verdicts.length > 0) console.log(`## Targets\n${verdicts.join('\n')}`);

/**
 * One subject in one round. A round in which others used much of the machine is taken again, `--repeats` times at most; of
 * several, the quietest counts.
 */
async function quietly(report, suite, name) {
  let best;
  for (let attempt = 0; attempt <= Number(values.repeats); attempt++) {
    process.stderr.write(`${suite}, round ${options.round} of ${rounds}: ${name} (load ${loadavg()[0].toFixed(1)})\n`);
    const load = new ForeignLoad();
    const round = new Report([name]);
    try {
      await SUITES[suite].run(round, name, options);
    } catch (error) {
      round.fail('all figures', name, error);
    } finally {
      await closeChromium(); // the next subject is measured without a browser beside it
    }
    const share = load.share();
    if (best === undefined || share < best.share) best = { round, share, attempt };
    if (share <= Number(values.noise)) break;
    process.stderr.write(`  others used ${(share * 100).toFixed(0)} % of the machine meanwhile\n`);
  }
  report.add(best.round);
  return { subject: name, share: best.share, noisy: best.share > Number(values.noise) };
}

function save(path, suites) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ machine: describeMachine(), suites }, null, 1)}\n`);
}
