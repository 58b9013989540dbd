#!/usr/bin/env node
/**
 * `npm run bench [-- SUITE … --subjects a,b --rounds 3 --seconds 2 --json FILE]`
 *
 * Suites: `channels` (default), `distance`, `codecs`, `relay`, `dtls`, `ice`. All subjects are interleaved round by round and measured by the same
 * code; figures are only comparable within one run.
 */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Report } from './report.mjs';
import { isInstalled, subjects } from './subjects.mjs';
import { channels } from './suites/channels.mjs';
import { codecs } from './suites/codecs.mjs';
import { distance } from './suites/distance.mjs';
import { dtls } from './suites/dtls.mjs';
import { ice } from './suites/ice.mjs';
import { RELAY_SUBJECTS, relay } from './suites/relay.mjs';

const SUITES = { channels, distance, codecs, relay, dtls, ice };
/** Suites with subjects of their own: our own operations only, or servers. */
const OWN_SUBJECTS = { codecs: ['purertc'], dtls: ['purertc'], relay: RELAY_SUBJECTS };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    subjects: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '1024,16384,65536,262144' },
    allocations: { type: 'string', default: '1000' },
    json: { type: 'string' },
  },
});
const unknown = positionals.filter((name) => !(name in SUITES));
if (unknown.length > 0) {
  console.error(`bench: no suite is called ${unknown.join(', ')}; there are: ${Object.keys(SUITES).join(', ')}`);
  process.exit(1);
}
const rounds = Number(values.rounds);
const options = {
  milliseconds: Number(values.seconds) * 1000,
  sizes: values.sizes.split(',').map(Number),
  allocations: Number(values.allocations),
  round: 0,
};
const wanted = values.subjects?.split(',');
const chosen = subjects
  .filter((s) => (wanted === undefined ? isInstalled(s) : wanted.includes(s.name)))
  .map((s) => s.name);
const absent = subjects.filter((s) => !isInstalled(s)).map((s) => s.name);
if (absent.length > 0) console.log(`not installed (npm run bench:setup installs them): ${absent.join(', ')}`);

const results = {};
for (const suite of positionals.length > 0 ? positionals : ['channels']) {
  const own = OWN_SUBJECTS[suite];
  const names = own === undefined ? chosen : own.filter((name) => wanted?.includes(name) ?? true);
  const report = new Report(names);
  for (options.round = 1; options.round <= rounds; options.round++) {
    for (const name of names) {
      process.stderr.write(
        `${suite}, round ${options.round} of ${rounds}: ${name} (load ${loadavg()[0].toFixed(1)})\n`,
      );
      try {
        await SUITES[suite](report, name, options);
      } catch (error) {
        process.stderr.write(`  ${name} failed: ${error.message}\n`);
      }
    }
  }
  console.log(`\n## ${suite}, ${rounds} round(s)\n\n${report.table()}`);
  results[suite] = report;
}
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ node: process.version, rounds, results }, null, 2)}\n`);
}
