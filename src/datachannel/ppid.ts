/** SCTP payload protocol identifiers of WebRTC (RFC 8831 §8, RFC 8832 §8.1). */
export const PPID = {
  dcep: 50,
  string: 51,
  /** Deprecated: a part of a binary message that `binary` ends. */
  binaryPartial: 52,
  binary: 53,
  /** Deprecated: a part of a text message that `string` ends. */
  stringPartial: 54,
  stringEmpty: 56,
  binaryEmpty: 57,
} as const;
