/** What a server reports: one entry per thing that happened, with fields instead of prose. No secret is ever in one. */
export interface LogEntry {
  readonly level: 'info' | 'warn';
  /** What happened, in one or two words: `listening`, `joined`, `hang-up`. */
  readonly event: string;
  readonly [field: string]: string | number | boolean | undefined;
}

export type Log = (entry: LogEntry) => void;

/** Forgets everything: the default. */
export const NO_LOG: Log = () => undefined;

/** `joined room=garden peer=0123456789abcdef`: for people. Values with spaces or quotes are written as JSON strings. */
export function formatLogLine(entry: LogEntry): string {
  const fields = Object.entries(entry)
    .filter(([key, value]) => key !== 'level' && key !== 'event' && value !== undefined)
    .map(([key, value]) => `${key}=${quote(value)}`);
  return [entry.level === 'warn' ? `warning: ${entry.event}` : entry.event, ...fields].join(' ');
}

function quote(value: string | number | boolean | undefined): string {
  const text = String(value);
  // Names come from the network: control characters must not reach a terminal, nor start a line of their own.
  return /^[^\s"\\\p{C}]+$/u.test(text) ? text : JSON.stringify(text).replace(/\p{C}/gu, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
