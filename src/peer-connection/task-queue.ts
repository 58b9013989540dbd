import type { Platform } from '../core/index.ts';
import { beginTask } from './tasks.ts';

/**
 * "Queue a task" of the W3C's algorithms: events reach the application in tasks of their own, in the order in which
 * things happened, never inside the call that caused them. Closing it drops what has not run.
 */
export class TaskQueue {
  readonly #platform: Platform;
  #pending = 0;
  #closed = false;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Nothing is queued: what happens now may be told at once without overtaking anything. */
  get isIdle(): boolean {
    return this.#pending === 0;
  }

  queue(task: () => void): void {
    if (this.#closed) return;
    this.#pending++;
    this.#platform.queueTask(() => {
      this.#pending--;
      if (this.#closed) return;
      beginTask();
      task();
    });
  }

  /** A promise for the next task: what is behind `await` runs in it. Never settles once closed. */
  next(): Promise<void> {
    return new Promise((resolve) => this.queue(resolve));
  }

  close(): void {
    this.#closed = true;
  }
}
