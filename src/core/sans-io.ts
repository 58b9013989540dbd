import type { CryptoBackend } from './crypto-backend.ts';
import type { Trace } from './trace.ts';

/** Absolute milliseconds on the driver's monotonic clock. Fractions are allowed; the origin means nothing. */
export type Instant = number;

/** "No timer armed": later than every instant, so `Math.min` just works. */
export const NEVER: Instant = Number.POSITIVE_INFINITY;

/**
 * Bytes a slot's creator leaves free in front of `offset`, so that each lower layer can write its header there instead
 * of copying: the DTLS record header with connection ID and explicit nonce (13 + 20 + 8), and a TURN ChannelData or
 * Send-indication header (36 + 24), rounded up.
 */
export const SLOT_HEADROOM = 128;

/** Bytes a slot's creator leaves free behind the largest datagram, for an AEAD tag (16) and stream padding (3). */
export const SLOT_TAILROOM = 32;

/**
 * Caller-owned and reused: the core writes `buffer[offset, offset + length)`; `path` says where it goes.
 * On entry `offset` is where the outermost header of the writing layer may start, at least the headroom that the layer
 * below asked for. A layer that wraps another moves `offset` down and `length` up.
 */
export interface TransmitSlot<P = void> {
  readonly buffer: Uint8Array;
  offset: number;
  length: number;
  path: P | undefined;
}

/** Makes a slot for datagrams of up to `maxDatagramBytes`, with head and tail room around them. */
export function createTransmitSlot<P>(maxDatagramBytes: number): TransmitSlot<P> {
  const buffer = new Uint8Array(SLOT_HEADROOM + maxDatagramBytes + SLOT_TAILROOM);
  return { buffer, offset: SLOT_HEADROOM, length: 0, path: undefined };
}

/** Puts a slot back to "empty, full headroom" before the next `pollTransmit`. */
export function resetTransmitSlot<P>(slot: TransmitSlot<P>): void {
  slot.offset = SLOT_HEADROOM;
  slot.length = 0;
  slot.path = undefined;
}

/**
 * The contract of every protocol module. A core touches no socket, timer, clock, random source, promise or emitter.
 *
 * Drain after each mutation: whoever calls `handleInput`, `handleTimeout` or a command of the core must then poll
 * `pollTransmit` and `pollEvent` until both are drained, and re-arm its one timer to `nextTimeout()`. `Driver` does
 * exactly this and nothing else should.
 */
export interface SansIo<E, P = void> {
  /**
   * One whole datagram. `bytes` is borrowed: copy what outlives the call, except that a core that decrypts in place may
   * overwrite it. Bad input is a counted drop, never a throw.
   */
  handleInput(bytes: Uint8Array, path: P, now: Instant): void;
  /** Fires every timer due at or before `now`. Early calls do nothing; a late call does not stretch the schedule. */
  handleTimeout(now: Instant): void;
  /** Fills `slot` with the next datagram; false means drained. */
  pollTransmit(slot: TransmitSlot<P>, now: Instant): boolean;
  /** Next event in the order it happened; undefined means drained. Bytes in an event are borrowed until the next call. */
  pollEvent(): E | undefined;
  /** When `handleTimeout` next has work. Pure. */
  nextTimeout(): Instant;
}

/** Everything a core may not obtain by itself. */
export interface Env {
  /** Fills `out` from a cryptographically secure source (or, in the simulator, from the printed seed). */
  random(out: Uint8Array): void;
  /** Milliseconds since 1970, for certificate validity and nonce expiry only; never for timers. */
  wallClockMs(): number;
  readonly crypto: CryptoBackend;
  readonly trace: Trace;
}
