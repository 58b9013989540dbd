import { type Instant, NEVER, type Platform } from '../core/index.ts';

/** The one timer of a `Driver`'s host on a platform: moves it, and knows when it is there already. */
export class WakeTimer {
  readonly #platform: Platform;
  readonly #wake: () => void;
  #armedAt: Instant = NEVER;
  #cancel: () => void = () => undefined;

  constructor(platform: Platform, wake: () => void) {
    this.#platform = platform;
    this.#wake = wake;
  }

  /** `NEVER` disarms. */
  arm(at: Instant): void {
    if (at === this.#armedAt) return;
    this.#cancel();
    this.#armedAt = at;
    this.#cancel = this.#platform.setTimer(at, () => {
      this.#armedAt = NEVER;
      this.#wake();
    });
  }
}
