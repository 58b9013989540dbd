import type { Env } from '../core/index.ts';

/** One side's ICE username fragment and password (RFC 8445 §5.3). */
export interface IceCredentials {
  readonly ufrag: string;
  readonly pwd: string;
}

const ICE_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** RFC 8445 §5.3 wants at least 24 and 128 bits; each character has 6. */
const UFRAG_LENGTH = 8;
const PWD_LENGTH = 24;

/** RFC 8842 §4: "at least 120 bits of randomness", and 20 characters or more. */
const TLS_ID_LENGTH = 24;

/** Our name for a DTLS association (RFC 8842 §4); ice-chars are tls-id-chars too. */
export function randomTlsId(env: Env): string {
  return randomIceChars(env, TLS_ID_LENGTH);
}

/** New credentials for an offer or answer that restarts ICE (RFC 8445 §9). */
export function randomIceCredentials(env: Env): IceCredentials {
  return { ufrag: randomIceChars(env, UFRAG_LENGTH), pwd: randomIceChars(env, PWD_LENGTH) };
}

function randomIceChars(env: Env, length: number): string {
  const draw = new Uint8Array(length);
  env.random(draw);
  return Array.from(draw, (byte) => ICE_CHARS[byte & 63]).join('');
}
