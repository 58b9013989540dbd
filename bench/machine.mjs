/** What runs the benchmark, and what else it is doing: Linux's /proc, where there is one. */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { benchFolder, findProgram, subjects } from './subjects.mjs';

/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

/** Filled in by whoever starts the browser. */
export const browserVersion = {};

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // another system, or a process that has ended meanwhile
  }
}

/** Whether processes can be given processors of their own. */
export function canPin() {
  return cpus().length > 1 && findProgram('taskset') !== undefined;
}

/** Versions and kind of processor; no names of hosts, no paths. */
export function describeMachine() {
  const versions = { node: process.version, v8: process.versions.v8, openssl: process.versions.openssl };
  for (const { package: name } of subjects) {
    const text = name === undefined ? undefined : read(join(benchFolder, 'node_modules', name, 'package.json'));
    if (text !== undefined) versions[name] = JSON.parse(text).version;
  }
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    system: `${process.platform} ${release().split('-')[0]} ${process.arch}`,
    versions: { ...versions, ...browserVersion },
  };
}

/** Fields of /proc/PID/stat behind the name, which may hold anything. */
function statOf(pid) {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = (from) => Number(fields[from]) + Number(fields[from + 1]);
  return { pid, parent: Number(fields[1]), own: ticks(11), reaped: ticks(13) };
}

/** A process and everything below it. */
function tree(root) {
  const all = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(name);
    if (stat !== undefined) all.set(Number(name), stat);
  }
  const found = [];
  for (const [pid, stat] of all) {
    for (let at = pid; at > 1; at = all.get(at)?.parent ?? 0) {
      if (at !== root) continue;
      found.push(stat);
      break;
    }
  }
  return found;
}

const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);

/** Processor time of a process and everything below it, microseconds; 0 without /proc. */
export function treeCpuUs(pid) {
  if (process.platform !== 'linux') return 0;
  return sum(tree(pid).map(({ own, reaped }) => own + reaped)) * TICK_US;
}

/** Memory of a process and everything below it, what they share counted once; 0 without /proc. */
export function treeBytes(pid) {
  if (process.platform !== 'linux') return 0;
  const proportional = (one) => /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${one}/smaps_rollup`) ?? '')?.[1] ?? 0;
  return sum(tree(pid).map((stat) => Number(proportional(stat.pid)))) * 1024;
}

/** The most memory that a process ever had; 0 without /proc. */
export function peakBytes(pid) {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0) * 1024;
}

/** All processors: ticks spent in programs, and ticks taken by the host of a virtual machine. */
function busyTicks() {
  const fields = read('/proc/stat')?.split('\n')[0]?.trim().split(/\s+/).slice(1).map(Number);
  if (fields === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = fields;
  return user + nice + system + steal;
}

/** How much of the machine others took, from its making until {@link share}. */
export class ForeignLoad {
  #busy = busyTicks();
  #own = treeCpuUs(process.pid);
  #at = performance.now();

  /** Of all processors together, 0 to 1; 0 where the system does not tell. */
  share() {
    const busy = busyTicks();
    if (busy === undefined) return 0;
    const foreignUs = (busy - this.#busy) * TICK_US - (treeCpuUs(process.pid) - this.#own);
    return Math.max(0, foreignUs / 1000 / (performance.now() - this.#at) / cpus().length);
  }
}
