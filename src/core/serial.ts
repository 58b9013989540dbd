/**
 * Serial number arithmetic (RFC 1982 §3.2) for the counters of the protocols that wrap around. They have no `<`: use
 * `after`, and unwrap to plain numbers only at the edge.
 */

/** `a` comes after `b` in 32-bit serial space (RFC 9260 §1.6 uses this for TSNs). Unordered at a distance of 2^31: false. */
export function after32(a: number, b: number): boolean {
  const distance = (a - b) >>> 0;
  return distance !== 0 && distance < 0x8000_0000;
}

/** `a` comes after or equals `b`. */
export function atOrAfter32(a: number, b: number): boolean {
  return a === b || after32(a, b);
}

/** `a + n` modulo 2^32; `n` may be negative. */
export function add32(a: number, n: number): number {
  return (a + n) >>> 0;
}

/** Signed distance from `b` to `a`, in [-2^31, 2^31). */
export function distance32(a: number, b: number): number {
  return (a - b) | 0;
}

/** `a` comes after `b` in 16-bit serial space (SSNs, DTLS message sequence numbers). */
export function after16(a: number, b: number): boolean {
  const distance = (a - b) & 0xffff;
  return distance !== 0 && distance < 0x8000;
}

/** `a + n` modulo 2^16. */
export function add16(a: number, n: number): number {
  return (a + n) & 0xffff;
}
