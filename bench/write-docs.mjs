#!/usr/bin/env node
/**
 * `npm run bench:report [-- FILE.json … --docs FOLDER]`: docs/performance.md and its plots out of the results that
 * `npm run bench -- … --save` left in `.bench/results/`, one file a suite, or out of the files that are named.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writePage } from './docs/page.mjs';
import { Results } from './docs/results.mjs';
import { benchFolder } from './subjects.mjs';

const { values, positionals: named } = parseArgs({
  allowPositionals: true,
  options: { docs: { type: 'string', default: fileURLToPath(new URL('../docs/', import.meta.url)) } },
});
const { docs } = values;
const folder = join(benchFolder, 'results');
const found = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
const files = named.length > 0 ? named : found.filter((name) => name.endsWith('.json'));
if (files.length === 0) {
  console.error('bench:report: there are no results yet; run npm run bench -- SUITE … --save first');
  process.exit(1);
}
const { markdown, plots } = writePage(new Results(files.map((file) => JSON.parse(readFileSync(file, 'utf8')))));
const plotFolder = join(docs, 'performance');
rmSync(plotFolder, { recursive: true, force: true });
mkdirSync(plotFolder, { recursive: true });
for (const [name, svg] of plots) writeFileSync(join(plotFolder, name), svg);
writeFileSync(join(docs, 'performance.md'), markdown.replaceAll(/\n{3,}/g, '\n\n'));
console.log(`performance.md and ${plots.size} plots, from ${files.length} results`);
