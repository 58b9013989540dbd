#!/usr/bin/env node
/**
 * Generates docs/rfc-map.md: every `RFC nnnn §x.y` in the comments of src/, by RFC and section, with the places that name
 * it. `--check` fails when the file is not what the code says.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'docs/rfc-map.md');

function sources(dir) {
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(dir, entry.name);
      return entry.isDirectory() ? sources(path) : entry.name.endsWith('.ts') ? [path] : [];
    })
    .sort();
}

/** RFC number → section → places. "RFC 9260 §5.2.4, §5.2.3" names two sections of one RFC. */
const map = new Map();
const reference = /RFC\s(\d{3,5})((?:,?\s(?:and\s)?§\s?[A-Z0-9][\w.]*)+|\sappendix\s[A-Z][\w.]*)/g;

for (const file of sources(join(root, 'src'))) {
  const name = relative(root, file).split(sep).join('/');
  const lines = readFileSync(file, 'utf8').split('\n');
  for (const line of lines) {
    for (const [, rfc, tail] of line.matchAll(reference)) {
      for (const [, section] of tail.matchAll(/(§\s?[A-Z0-9][\w.]*|appendix\s[A-Z][\w.]*)/g)) {
        const sections = map.get(Number(rfc)) ?? new Map();
        map.set(Number(rfc), sections);
        const key = section.replace(/^§\s?/, '§').replace(/\.$/, '');
        const places = sections.get(key) ?? new Set();
        sections.set(key, places.add(name));
      }
    }
  }
}

/** §2 before §10, §5.1 before §5.1.1, appendices last. */
function bySection(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}

const out = [
  '# RFC map',
  '',
  'Which file implements which section: generated from the comments of `src/` by `npm run docs:rfc-map`.',
  '',
];
for (const [rfc, sections] of [...map].sort(([a], [b]) => a - b)) {
  out.push(`## RFC ${rfc}`, '', '| section | where |', '|---|---|');
  for (const [section, places] of [...sections].sort(([a], [b]) => bySection(a, b))) {
    const links = [...places].map((place) => `[${place.replace(/^src\//, '')}](../${place})`).join(', ');
    out.push(`| ${section} | ${links} |`);
  }
  out.push('');
}
const text = `${out.join('\n').trimEnd()}\n`;

if (process.argv.includes('--check')) {
  let current = '';
  try {
    current = readFileSync(target, 'utf8');
  } catch {
    current = ''; // not written yet: the comparison below reports it
  }
  if (current !== text) {
    console.error('docs/rfc-map.md is out of date: run npm run docs:rfc-map');
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
