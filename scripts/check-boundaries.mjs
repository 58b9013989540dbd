#!/usr/bin/env node
/**
 * Checks the house rules of docs/architecture.md: which room may import which, which outside packages a room may name,
 * which globals only the outer rooms may touch, and that no import cycle exists between files.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Another source folder may be given, for the checker's own test. */
const src = resolve(process.argv[2] ?? join(root, 'src'));
const protocols = ['stun', 'turn', 'ice', 'dtls', 'sctp', 'datachannel', 'sdp', 'signaling'];
const everything = ['core', 'crypto', ...protocols, 'peer-connection', 'io', 'server'];

/**
 * Room → the rooms it may import besides itself. A file straight under src/ is a composition root and may import all; the
 * polyfill is a room only because it has side effects to declare.
 */
const rooms = {
  core: [],
  crypto: ['core'],
  stun: ['core', 'crypto'],
  turn: ['stun', 'core', 'crypto'],
  ice: ['stun', 'core', 'crypto'],
  dtls: ['core', 'crypto'],
  sctp: ['core', 'crypto'],
  datachannel: ['sctp', 'core'],
  sdp: ['core'],
  signaling: ['sdp', 'core'],
  'peer-connection': ['core', 'crypto', ...protocols],
  io: ['core'],
  server: ['core', 'crypto', ...protocols, 'peer-connection', 'io'],
  cli: everything,
  polyfill: ['(root)'],
};
/** Room → outside packages it may import. `node:` stands for every node: module. */
const packages = {
  crypto: ['@noble/curves', '@noble/hashes', '@noble/ciphers', 'asn1js'],
  io: ['node:', 'ws', 'multicast-dns'],
  server: ['node:', 'ws', 'prom-client'],
  cli: ['node:', 'ws', 'commander', 'cli-progress'],
  // The façade's only way to the machine: a package import that names the runtime's sockets (package.json "imports").
  'peer-connection': ['#platform'],
};
const outerRooms = new Set(['io', 'server', 'cli']);
const forbiddenGlobals =
  /(?<![\w$.'"-])(Date|performance|setTimeout|setInterval|setImmediate|process|Buffer|__dirname|require)(?=\s*[.(;,)[]|\s*$)|(?<![\w$])new Date\b|(?<![\w$])Math\.random\b|(?<![\w$])(?:globalThis\.)?crypto\.(?:getRandomValues|subtle|randomUUID)/;

const problems = [];

function filesBelow(dir) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return path.endsWith(join('cli', 'demo', 'page')) ? [] : filesBelow(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** Blanks comments (keeping line numbers) so that prose may say "Date" and quote imports. */
function withoutComments(text) {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`\\])\/\/[^\n]*/g, (_, before) => before);
}

const imports = /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*'([^']+)'|import\(\s*'([^']+)'\s*\)/g;
const graph = new Map();

for (const file of filesBelow(src)) {
  const name = join('src', relative(src, file));
  const parts = relative(src, file).split(sep);
  const room = parts.length > 1 ? parts[0] : '(root)';
  const text = withoutComments(readFileSync(file, 'utf8'));
  if (room !== '(root)' && !(room in rooms)) problems.push(`${name}: no such room in ARCHITECTURE: ${room}`);

  const targets = [];
  graph.set(file, targets);
  for (const match of text.matchAll(imports)) {
    const specifier = match[1] ?? match[2];
    if (specifier.startsWith('.')) {
      const target = resolve(dirname(file), specifier);
      targets.push(target);
      const targetParts = relative(src, target).split(sep);
      const targetRoom = targetParts.length > 1 ? targetParts[0] : '(root)';
      if (room !== '(root)' && targetRoom !== room && !rooms[room]?.includes(targetRoom)) {
        problems.push(`${name}: ${room} may not import ${targetRoom} (${specifier})`);
      }
    } else if (room !== '(root)') {
      const allowed = (packages[room] ?? []).some(
        (p) => specifier === p || specifier.startsWith(`${p}/`) || (p === 'node:' && specifier.startsWith('node:')),
      );
      if (!allowed) problems.push(`${name}: ${room} may not import the package '${specifier}'`);
    } else if (specifier.startsWith('node:')) {
      problems.push(`${name}: the composition root reaches Node only through src/io`);
    }
  }

  if (!outerRooms.has(room)) {
    text.split('\n').forEach((line, index) => {
      const found = forbiddenGlobals.exec(line);
      if (found) problems.push(`${name}:${index + 1}: a core may not name ${found[0].trim()}`);
    });
  }
}

/** Depth-first search for a cycle of files; type-only imports count too: a cycle of types is a cycle of ideas. */
function reportCycles() {
  const done = new Set();
  const path = [];
  const onPath = new Set();
  const visit = (file) => {
    if (done.has(file) || !graph.has(file)) return;
    if (onPath.has(file)) {
      const cycle = [...path.slice(path.indexOf(file)), file].map((f) => relative(src, f));
      problems.push(`import cycle: ${cycle.join(' -> ')}`);
      return;
    }
    path.push(file);
    onPath.add(file);
    for (const target of graph.get(file)) visit(target);
    onPath.delete(file);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
}
reportCycles();

if (problems.length > 0) {
  console.error(problems.join('\n'));
  console.error(`\nboundaries: ${problems.length} problem(s). The rules are in scripts/check-boundaries.mjs.`);
  process.exit(1);
}
console.log(`boundaries: ${graph.size} files keep to their rooms`);
