import { styleText } from 'node:util';
import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import { formatBytes, printable } from './format.ts';
import { STEPS, type StepName } from './messages.ts';

type Style = Parameters<typeof styleText>[0];

/** What the printer needs of standard output. */
export interface Terminal {
  readonly isTTY: boolean;
  readonly color: boolean;
  readonly write: (line: string) => void;
}

export function processTerminal(): Terminal {
  const isTTY = process.stdout.isTTY === true;
  return { isTTY, color: isTTY && process.env['NO_COLOR'] === undefined, write: (line) => console.log(line) };
}

/** Prints the demo: one line per thing that happens, with its time and step, a progress bar, and a summary. */
export class Printer {
  readonly #terminal: Terminal;
  readonly #startedAtMs: number;
  /** When each step was first complete, in ms from the start. */
  readonly #done = new Map<StepName, number>();
  #bars: MultiBar | undefined;
  #bar: SingleBar | undefined;
  #tenths = -1;

  /** @param startedAtMs - since 1970: where the times count from. */
  constructor(terminal: Terminal, startedAtMs: number) {
    this.#terminal = terminal;
    this.#startedAtMs = startedAtMs;
  }

  /** The steps that are complete. */
  get done(): ReadonlySet<StepName> {
    return new Set(this.#done.keys());
  }

  line(text = ''): void {
    if (this.#bars === undefined) this.#terminal.write(text);
    else this.#bars.log(`${text}\n`);
  }

  title(text: string): void {
    this.line(this.#style('bold', text));
  }

  step(step: StepName, who: string, text: string, done: boolean, atMs: number): void {
    const elapsed = atMs - this.#startedAtMs;
    if (done && !this.#done.has(step)) this.#done.set(step, elapsed);
    const time = this.#style('dim', formatSeconds(elapsed).padStart(9));
    const label = this.#style(done ? 'green' : 'cyan', `${STEPS.indexOf(step) + 1} ${step}`.padEnd(15));
    this.line(`${time}  ${label}  ${who.padEnd(4)}  ${printable(text)}`);
  }

  /** A bar on a terminal, a line every tenth elsewhere. */
  progress(file: string, bytes: number, total: number): void {
    if (!this.#terminal.isTTY) {
      const tenths = total === 0 ? 10 : Math.floor((bytes * 10) / total);
      if (tenths > this.#tenths)
        this.line(`           file ${file}: ${tenths * 10} %, ${formatBytes(bytes)} of ${formatBytes(total)}`);
      this.#tenths = Math.max(tenths, this.#tenths);
      return;
    }
    if (this.#bars === undefined) {
      const format = '           {file} [{bar}] {percentage} % of {size}, {rate}/s';
      this.#bars = new MultiBar({ format, hideCursor: true, barsize: 24, stream: process.stdout }, Presets.rect);
      this.#bar = this.#bars.create(total, 0, { file, size: formatBytes(total), rate: '' });
      this.#progressFrom = performance.now();
    }
    const seconds = (performance.now() - this.#progressFrom) / 1000;
    this.#bar?.update(bytes, { rate: seconds > 0 ? formatBytes(bytes / seconds) : '' });
    if (bytes >= total) this.endProgress();
  }
  #progressFrom = 0;

  endProgress(): void {
    this.#bars?.stop();
    this.#bars = undefined;
    this.#bar = undefined;
  }

  summary(): void {
    this.line();
    for (const [index, step] of STEPS.entries()) {
      const at = this.#done.get(step);
      const state =
        at === undefined ? this.#style('red', 'not reached') : this.#style('green', `done after ${formatSeconds(at)}`);
      this.line(`  ${index + 1} ${step.padEnd(14)} ${state}`);
    }
  }

  #style(style: Style, text: string): string {
    return this.#terminal.color ? styleText(style, text) : text;
  }
}

function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`;
}
