import type { DropReason } from './errors.ts';

/**
 * Where cores report what they do. Nothing is printed unless a sink is given; a sink must not throw and must not call
 * back into the core. No secret and no user data is ever passed here.
 */
export interface Trace {
  /** A state machine moved; `why` names the message, timer or command. */
  state(module: string, from: string, to: string, why: string): void;
  /** A datagram, or a part of one, was not acted on. */
  drop(module: string, reason: DropReason, detail: string): void;
  /** Anything else worth a line in a log. */
  note(module: string, text: string): void;
}

/** The default sink: forgets everything. */
export const SILENT: Trace = {
  state: () => undefined,
  drop: () => undefined,
  note: () => undefined,
};

/** A sink that turns every report into one line of text. */
export function lineTrace(write: (line: string) => void): Trace {
  return {
    state: (module, from, to, why) => write(`${module}: ${from} -> ${to} (${why})`),
    drop: (module, reason, detail) => write(`${module}: dropped, ${reason}: ${detail}`),
    note: (module, text) => write(`${module}: ${text}`),
  };
}
