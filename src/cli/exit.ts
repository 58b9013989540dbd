/** Exit codes of `purertc`: 0 done, 1 failed (the reason is on standard error), 2 wrong usage, 128 + n ended by signal n. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** An error whose message is meant for the person at the terminal, without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

/** The same for a command line that cannot be meant: exit code {@link EXIT_USAGE}. */
export class CliUsageError extends CliError {}

/** One line for a person: what failed, and what to do about the usual causes. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describeError).join('; ');
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  const isPort = 'syscall' in error && (error.syscall === 'bind' || error.syscall === 'listen');
  switch (isPort ? code : undefined) {
    case 'EADDRINUSE':
      return `${error.message}: another program uses that port; choose another, or 0 for any free one`;
    case 'EACCES':
      return `${error.message}: ports below 1024 need the right to bind them`;
    case 'EADDRNOTAVAIL':
      return `${error.message}: this machine does not have that address`;
    default:
      return error.message || error.name;
  }
}

/** Where signals come from: the process. */
export interface SignalSource {
  once(signal: string, handler: () => void): unknown;
  off(signal: string, handler: () => void): unknown;
}

/**
 * Runs `work` until it ends or SIGINT or SIGTERM comes; then `close`, then sets the exit code. A second signal ends the
 * process at once.
 * @param isService - whether it runs until it is stopped, as a server does: then a signal is its normal end, and the exit
 *   code is 0. Asked when the signal comes.
 */
export async function untilSignal(
  work: Promise<void>,
  close: () => Promise<void>,
  isService: () => boolean,
  signals: SignalSource = process,
): Promise<void> {
  let signalled: (code: number) => void = () => undefined;
  const signal = new Promise<number>((resolve) => {
    signalled = resolve;
  });
  const handlers = Object.entries(SIGNALS).map(([name, code]) => {
    const handler = () => {
      signals.once(name, () => process.exit(code));
      signalled(code);
    };
    signals.once(name, handler);
    return { name, handler };
  });
  try {
    const code = await Promise.race([work.then(() => undefined), signal]);
    if (code !== undefined) process.exitCode = isService() ? 0 : code;
  } finally {
    await close();
    for (const { name, handler } of handlers) signals.off(name, handler);
  }
}

/** For servers: runs until SIGINT or SIGTERM, closes, and ends with 0. */
export async function runUntilStopped(close: () => Promise<void>): Promise<void> {
  await untilSignal(new Promise(() => undefined), close, () => true);
}
