#!/usr/bin/env node
/** Builds `dist/`: the library with declarations, then the demo page (its own tsconfig: DOM library, no Node). */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin/tsc');
const quiet = process.argv.includes('--quiet');

function compile(project) {
  try {
    execFileSync(process.execPath, [tsc, '-p', join(root, project)], { cwd: root, stdio: 'inherit' });
  } catch {
    console.error(`build: ${project} does not compile; the errors are above.`);
    process.exit(1);
  }
}

rmSync(join(root, 'dist'), { recursive: true, force: true });
compile('tsconfig.build.json');
// Importing the polyfill is its effect: a package.json of its own tells bundlers to keep it, where the rest has none.
cpSync(join(root, 'src/polyfill/package.json'), join(root, 'dist/polyfill/package.json'));
const page = 'src/cli/demo/page';
if (existsSync(join(root, page, 'tsconfig.json'))) {
  compile(`${page}/tsconfig.json`);
  for (const asset of ['index.html', 'page.css']) {
    cpSync(join(root, page, asset), join(root, 'dist/cli/demo/page', asset));
  }
}
if (!quiet) console.log('build: dist/ is ready');
