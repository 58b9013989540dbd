/**
 * Exit codes of `purertc`: 0 done, 1 failed (the reason is on standard error), 2 wrong usage, 128 + n ended by signal n, or as if by
 * SIGPIPE.
 */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;
/** 128 + SIGPIPE: what a shell shows for a program that nobody reads any more, as in `purertc demo | head`. */
const EXIT_OUTPUT_LOST = 141;

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
      if (code === 'ENOTFOUND' && 'hostname' in error)
        return `${error.hostname} has no address: is the name right, and is there a network?`;
      return error.message || error.name;
  }
}

/** Where signals come from: the process. */
export interface SignalSource {
  once(signal: string, handler: () => void): unknown;
  off(signal: string, handler: () => void): unknown;
}

/** Where output that cannot be written is reported: standard output. */
export interface OutputErrors {
  on(event: 'error', handler: (error: Error) => void): unknown;
  off(event: 'error', handler: (error: Error) => void): unknown;
}

/**
 * Runs `work` until it ends, SIGINT or SIGTERM comes, or nobody reads the output any more (EPIPE) or it finds no room
 * (ENOSPC); then `close`, then sets the exit code. A second signal ends the process at once.
 * @param isService - whether it runs until it is stopped, as a server does: then a signal is its normal end, the exit
 *   code is 0, and it serves on without its output. Asked when the signal comes, or the output is lost.
 */
export async function untilSignal(
  work: Promise<void>,
  close: () => Promise<void>,
  isService: () => boolean,
  signals: SignalSource = process,
  output: OutputErrors = process.stdout,
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
  const onOutputLost = (error: Error) => {
    if (!isService()) signalled(exitCodeOfLostOutput(error));
  };
  output.on('error', onOutputLost);
  try {
    const code = await Promise.race([work.then(() => undefined), signal]);
    if (code !== undefined) process.exitCode = isService() ? 0 : code;
  } finally {
    await close();
    for (const { name, handler } of handlers) signals.off(name, handler);
    output.off('error', onOutputLost);
  }
}

/**
 * Lets no write to a closed pipe or a full disk end the process with a stack, as Node would: it is told once, on `errors`, and is in
 * the exit code. What it means to what is running is decided by {@link untilSignal}.
 */
export function outliveLostOutput(
  output: OutputErrors = process.stdout,
  errors: OutputErrors & { write(text: string): unknown } = process.stderr,
): void {
  let told = false;
  output.on('error', (error) => {
    if (told) return;
    told = true;
    process.exitCode ??= exitCodeOfLostOutput(error);
    errors.write(`purertc: nothing more is printed: ${describeError(error)}\n`);
  });
  errors.on('error', () => undefined); // there is nobody left to tell
}

function exitCodeOfLostOutput(error: Error): number {
  return 'code' in error && error.code === 'EPIPE' ? EXIT_OUTPUT_LOST : EXIT_FAILURE;
}

/** For servers: runs until SIGINT or SIGTERM, closes, and ends with 0. */
export async function runUntilStopped(close: () => Promise<void>): Promise<void> {
  await untilSignal(new Promise(() => undefined), close, () => true);
}
