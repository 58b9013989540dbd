import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../bench/write-docs.mjs', import.meta.url));

const AT_1_KIB = 'throughput at 1024 bytes, MB/s';
const AT_16_KIB = 'throughput at 16384 bytes, MB/s';
const BARE = 'throughput of bare datagrams of 1,200 bytes, MB/s';

/** Three rounds: the machine was half as fast in the second, for everybody. */
const figures = {
  [BARE]: { 'bare-socket': [250, 125, 250] },
  [AT_1_KIB]: { 'purertc-1200': [60, 30, 60], 'node-datachannel': [56, 28, 56], werift: [5, 2.5, 5] },
  [AT_16_KIB]: { 'purertc-1200': [90, 45, 90], 'node-datachannel': [80, 40, 80] },
};

const results = {
  machine: { processor: 'a processor', cores: 2, system: 'linux x64', versions: { node: 'v20.0.0' } },
  suites: {
    channels: {
      subjects: ['bare-socket', 'purertc-1200', 'node-datachannel', 'werift'],
      figures,
      failures: [{ figure: AT_16_KIB, subject: 'werift', reason: 'too large <for it>' }],
      notes: {},
      rounds: 3,
      secondsPerFigure: 1,
      pinned: false,
      foreignLoads: [
        { round: 1, subject: 'purertc-1200', share: 0.02, noisy: false },
        { round: 2, subject: 'purertc-1200', share: 0.4, noisy: true },
      ],
    },
  },
};

let docs: string;
beforeEach(() => {
  docs = mkdtempSync(join(tmpdir(), 'bench-report-'));
  writeFileSync(join(docs, 'results.json'), JSON.stringify(results));
  execFileSync(process.execPath, [script, join(docs, 'results.json'), '--docs', docs], { stdio: 'pipe' });
});
afterEach(() => rmSync(docs, { recursive: true, force: true }));

const lines = (): string[] => readFileSync(join(docs, 'performance.md'), 'utf8').split('\n');
const lineWith = (text: string): string | undefined => lines().find((line) => line.includes(text));

it('judges each target by the ratio of the rounds, and says so where it is not met', () => {
  expect(lineWith('1 KiB: over node-datachannel, the fastest native stack')).toMatch(
    /at least 1 times \| 1\.07 times \| met/,
  );
  expect(lineWith('| 1 KiB: over node-datachannel |')).toMatch(/at least 1\.2 times \| 1\.07 times \| \*\*not met\*\*/);
  expect(lineWith('16 KiB: over the bytes of the bare socket')).toMatch(/0\.360 times \| \*\*not met\*\*/);
  expect(lineWith('1 KiB: over werift')).toMatch(/12\.0 times \| met/);
  expect(lineWith('16 KiB: over werift')).toMatch(/the other moves nothing \| met/);
});

it('leaves the verdict on what was not measured empty', () => {
  expect(lineWith('ping-pong of 32 bytes, p99')).toMatch(/not measured \| *\|/);
});

it('tells medians with their spread, failures and noisy rounds', () => {
  expect(lineWith('| purertc-1200 | 60.0 (30.0-60.0) | 90.0 (45.0-90.0) |')).toBeDefined();
  expect(lineWith('| werift | 5.00 (2.50-5.00) | fails |')).toBeDefined();
  expect(lineWith('- channels, werift,')).toContain('too large');
  expect(lineWith('| channels | 3 |')).toContain('1 of 2 | 40 %');
});

it('draws plots that follow the reader’s colour scheme, and links every one of them', () => {
  const plots = readdirSync(join(docs, 'performance'));
  expect(plots).toEqual(['throughput.svg']);
  expect(lineWith('](performance/throughput.svg)')).toBeDefined();
  const svg = readFileSync(join(docs, 'performance/throughput.svg'), 'utf8');
  expect(svg).toContain('prefers-color-scheme: dark');
  // The floor is in both panels; in the second, one subject has no bar.
  expect(svg.match(/<rect class="(ours|peer|floor)"/g)).toHaveLength(7);
  expect(svg).toContain('>fails</text>');
});
