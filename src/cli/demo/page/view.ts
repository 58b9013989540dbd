import type { TransferView } from './files.ts';
import type { StepName } from './link.ts';

/** Finds an element that the page has for certain. */
export function element<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

function create<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', text = ''): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** The most lines under a step, and entries of a conversation: the page may stay open for days. */
const MAX_STEP_LINES = 8;
const MAX_ENTRIES = 500;

/** What is shown of one peer: its steps and its conversation. Only the shown one is in the document. */
export class Conversation {
  readonly startedAt: number = performance.now();
  readonly #steps = new Map<
    StepName,
    { lines: string[]; state: 'active' | 'done' | 'failed'; doneAt: number | undefined }
  >();
  readonly #entries: HTMLElement[] = [];
  #shown = false;

  step(name: StepName, text: string, done: boolean): void {
    const step = this.#steps.get(name) ?? { lines: [], state: 'active', doneAt: undefined };
    this.#steps.set(name, step);
    if (step.lines.length < MAX_STEP_LINES) step.lines.push(text);
    if (done && step.doneAt === undefined) {
      step.doneAt = performance.now() - this.startedAt;
      step.state = 'done';
    }
    if (this.#shown) this.#renderSteps();
  }

  /** Marks the first step that is not done. */
  fail(reason: string): void {
    for (const name of ['signaling', 'connecting', 'securing', 'communicating'] as const) {
      const step = this.#steps.get(name);
      if (step?.state === 'done') continue;
      this.#steps.set(name, { lines: [...(step?.lines ?? []), reason], state: 'failed', doneAt: undefined });
      break;
    }
    if (this.#shown) this.#renderSteps();
  }

  message(text: string, who: 'mine' | 'theirs' | 'note'): void {
    this.#add(create('p', `message ${who}`, text));
  }

  transfer(name: string, size: number, mine: boolean): TransferView {
    const box = create('div', mine ? 'transfer mine' : 'transfer');
    const progress = create('progress');
    progress.max = Math.max(size, 1);
    progress.value = 0;
    progress.setAttribute('aria-label', `${mine ? 'Sending' : 'Receiving'} ${name}`);
    const detail = create('p', 'detail', formatBytes(size));
    box.append(create('p', 'name', name), progress, detail);
    this.#add(box);
    const startedAt = performance.now();
    const toEnd = () => {
      if (this.#shown) box.parentElement?.scrollTo({ top: box.parentElement.scrollHeight });
    };
    const rate = () => `${formatBytes((size / Math.max(performance.now() - startedAt, 1)) * 1000)}/s`;
    return {
      progress: (bytes) => {
        progress.value = bytes;
        detail.textContent = `${formatBytes(bytes)} of ${formatBytes(size)}`;
      },
      done: (text, blob) => {
        box.dataset['state'] = 'done';
        progress.value = progress.max;
        detail.textContent = `${formatBytes(size)}, ${rate()}. ${text}`;
        if (blob === undefined) return toEnd();
        const link = create('a', '', 'Save');
        link.href = URL.createObjectURL(blob);
        link.download = name;
        box.append(link);
        toEnd();
      },
      failed: (reason) => {
        box.dataset['state'] = 'failed';
        detail.textContent = `Failed: ${reason}`;
      },
    };
  }

  show(): void {
    this.#shown = true;
    const log = element('log', HTMLDivElement);
    log.replaceChildren(...this.#entries);
    log.scrollTop = log.scrollHeight;
    this.#renderSteps();
  }

  hide(): void {
    this.#shown = false;
  }

  #add(entry: HTMLElement): void {
    this.#entries.push(entry);
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift()?.remove();
    if (!this.#shown) return;
    const log = element('log', HTMLDivElement);
    log.append(entry);
    log.scrollTop = log.scrollHeight;
  }

  #renderSteps(): void {
    for (const item of element('steps', HTMLOListElement).querySelectorAll<HTMLElement>('li[data-step]')) {
      const step = this.#steps.get(item.dataset['step'] as StepName); // the page's own markup
      item.dataset['state'] = step?.state ?? 'waiting';
      item.querySelector('ul')?.replaceChildren(...(step?.lines ?? []).map((line) => create('li', '', line)));
      const time = item.querySelector('time');
      if (time !== null) time.textContent = step?.doneAt === undefined ? '' : `${Math.round(step.doneAt)} ms`;
    }
  }
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = Math.max(bytes, 0);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
