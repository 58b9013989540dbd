#!/usr/bin/env node
/** Installs the peers that `npm run bench` compares with into the ignored folder `.bench/`. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { benchFolder, subjects } from './subjects.mjs';

mkdirSync(benchFolder, { recursive: true });
writeFileSync(join(benchFolder, 'package.json'), '{ "private": true, "type": "module" }\n');
const packages = subjects.flatMap((s) => (s.package === undefined ? [] : [s.package]));
execFileSync('npm', ['install', '--no-audit', '--no-fund', ...packages], { cwd: benchFolder, stdio: 'inherit' });
