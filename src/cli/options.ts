import { InvalidArgumentError } from 'commander';
import { canonicalIp } from '../core/index.ts';
import { formatLogLine, type Log, type LogEntry } from '../server/index.ts';
import { isLabel, MAX_ROOM_CHARACTERS } from '../signaling/index.ts';

/** A commander parser for whole numbers in a range. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** A commander parser for ports; 0 asks for a free one. */
export const port: (text: string) => number = integer(0, 65_535);

/** A commander parser for an IP address to listen on. */
export function ipAddress(text: string): string {
  const ip = canonicalIp(text);
  if (ip === undefined) throw new InvalidArgumentError('It must be an IP address, such as 127.0.0.1 or ::.');
  return ip;
}

/** A commander parser for the name of a room (docs/signaling.md). */
export function roomName(text: string): string {
  if (!isLabel(text, 1, MAX_ROOM_CHARACTERS)) {
    throw new InvalidArgumentError(`It must have 1 to ${MAX_ROOM_CHARACTERS} characters, none of control.`);
  }
  return text;
}

/** A commander parser for options that may stand several times. */
export function collect<T>(parse: (text: string) => T): (text: string, previous: readonly T[] | undefined) => T[] {
  return (text, previous) => [...(previous ?? []), parse(text)];
}

export const LOG_FORMATS = ['text', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

let pendingLines = '';

function flushLines(): void {
  const lines = pendingLines;
  pendingLines = '';
  if (lines !== '') process.stdout.write(lines);
}

/** All lines of one turn of the event loop in one write: a busy server spent a tenth of its time on `console.log`. */
export function writeLine(line: string): void {
  if (pendingLines === '') {
    if (!process.listeners('exit').includes(flushLines)) process.on('exit', flushLines);
    setImmediate(flushLines).unref();
  }
  pendingLines += `${line}\n`;
}

/** Writes log entries to standard output, one a line, with the time in front (RFC 3339). */
export function consoleLog(format: LogFormat, write: (line: string) => void = writeLine): Log {
  return (entry: LogEntry) => {
    const time = new Date().toISOString();
    write(format === 'json' ? JSON.stringify({ time, ...entry }) : `${time} ${formatLogLine(entry)}`);
  };
}
