/**
 * A description that cannot be read, or that breaks the rules of its offer/answer exchange. The peer's (or the
 * application's) text is at fault; nothing was changed.
 */
export class SdpError extends Error {
  override readonly name = 'SdpError';
  /** 1-based line of the text; 0 where the fault is in the description as a whole and not in one of its lines. */
  readonly line: number;
  /** 1-based column, where one is to blame. */
  readonly column: number | undefined;

  constructor(message: string, line = 0, column?: number) {
    super(line === 0 ? message : `line ${line}${column === undefined ? '' : `, column ${column}`}: ${message}`);
    this.line = line;
    this.column = column;
  }
}

/** Most characters of one description: about ten times the largest that a conference of 200 video sections makes. */
export const MAX_SDP_LENGTH = 2_097_152;
/** Most lines of one description. */
export const MAX_SDP_LINES = 32_768;
/** Most characters of one line. */
export const MAX_SDP_LINE_LENGTH = 65_536;
/** Most `m=` sections. */
export const MAX_SDP_MEDIA = 1_024;
/** Most `a=candidate` lines of one section. Browsers on busy hosts write some 50. */
export const MAX_SDP_CANDIDATES = 512;
