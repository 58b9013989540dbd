import type { InterfaceAddress } from '../core/index.ts';

/** How often the system's list is looked at, ms: Node has no notice of changes. One look costs about 0.1 ms. */
export const INTERFACE_POLL_MS = 1000;

export interface InterfaceMonitorOptions {
  /** What there is now. */
  readonly interfaces: () => readonly InterfaceAddress[];
  /** Calls `look` every {@link INTERFACE_POLL_MS}; returns what ends it. Must not keep the process alive. */
  readonly repeat: (look: () => void) => () => void;
}

/** Notices addresses that appear and vanish, for any number of watchers with one timer; without any it does nothing. */
export class InterfaceMonitor {
  readonly #options: InterfaceMonitorOptions;
  readonly #watchers = new Set<{ readonly onChange: () => void }>();
  #known = '';
  #stop: () => void = () => undefined;

  constructor(options: InterfaceMonitorOptions) {
    this.#options = options;
  }

  /** @returns ends it; idempotent. */
  watch(onChange: () => void): () => void {
    const watcher = { onChange };
    if (this.#watchers.size === 0) {
      this.#known = this.#fingerprint();
      this.#stop = this.#options.repeat(() => this.#look());
    }
    this.#watchers.add(watcher);
    return () => {
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#stop();
    };
  }

  #look(): void {
    const found = this.#fingerprint();
    if (found === this.#known) return;
    this.#known = found;
    for (const { onChange } of [...this.#watchers]) onChange();
  }

  /** The same for the same addresses, in whatever order the system lists them. */
  #fingerprint(): string {
    return this.#options
      .interfaces()
      .map(({ name, ip }) => `${name} ${ip}`)
      .sort()
      .join('\n');
  }
}
