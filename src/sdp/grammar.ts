/** Rules of RFC 8866 §9 that more than one line type uses. All patterns are linear: no nested repetition. */

/** token = 1*(token-char) */
export const TOKEN: RegExp = /^[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+$/;
/** proto = token *("/" token) */
export const PROTO: RegExp = /^[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+(?:\/[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+)*$/;
export const DIGITS: RegExp = /^[0-9]+$/;
/** typed-time = 1*DIGIT [fixed-len-time-unit] */
export const TYPED_TIME: RegExp = /^[0-9]+[dhms]?$/;
/** A zone offset: ["-"] typed-time */
export const SIGNED_TYPED_TIME: RegExp = /^-?[0-9]+[dhms]?$/;

/** non-ws-string: one or more visible characters, everything above ASCII included. */
export function isVisible(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) return false;
  }
  return text !== '';
}

/** Without NUL, CR and LF, as byte-string = 1*(%x01-09/%x0B-0C/%x0E-FF) wants; may be empty. */
export function isText(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x00 || code === 0x0a || code === 0x0d) return false;
  }
  return true;
}

/** Splits on runs of spaces and tabs, as lenient readers must; leading and trailing blanks vanish. */
export function fields(text: string): string[] {
  return text.replaceAll('\t', ' ').split(' ').filter(isFilled);
}

function isFilled(field: string): boolean {
  return field !== '';
}

/** Removes spaces and tabs at both ends. Not `trim()`, which eats other characters that SDP allows in a value. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A decimal number of at most `max`, or undefined. */
export function decimal(text: string, max: number): number | undefined {
  if (!DIGITS.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}
