import { type CryptoBackend, utf8 } from '../../core/index.ts';
import type { StoredUser } from '../../stun/index.ts';

/** Name and password for a TURN client, good until `expiresAtS`. */
export interface RestCredentials {
  readonly username: string;
  readonly password: string;
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 with padding (RFC 4648 §4). */
function base64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let digit = 0; digit < 4; digit++) {
      text += i + digit > bytes.length ? '=' : BASE64[(group >> (18 - 6 * digit)) & 0x3f]!;
    }
  }
  return text;
}

function passwordOf(crypto: CryptoBackend, secret: string, username: string): string {
  return base64(crypto.createMac('sha-1', utf8(secret)).sign(utf8(username)));
}

/**
 * Makes ephemeral credentials from a secret that the web application and the TURN server share, as coturn's
 * `use-auth-secret` takes them: the name is `timestamp:user`, the password `base64(HMAC-SHA1(secret, name))`.
 * @param expiresAtS - seconds since 1970 until which new allocations and refreshes are allowed.
 */
export function makeRestCredentials(
  crypto: CryptoBackend,
  secret: string,
  user: string,
  expiresAtS: number,
): RestCredentials {
  const username = user === '' ? String(expiresAtS) : `${expiresAtS}:${user}`;
  return { username, password: passwordOf(crypto, secret, username) };
}

/**
 * The server's side: the user of such a name, undefined when it has expired or is no such name.
 * @param nowMs - wall clock.
 */
export function findRestUser(
  crypto: CryptoBackend,
  secret: string,
  username: string,
  nowMs: number,
): StoredUser | undefined {
  const match = /^(\d{1,12})(?::|$)/.exec(username);
  if (match === null || Number(match[1]) * 1000 < nowMs) return undefined;
  return { username, password: passwordOf(crypto, secret, username) };
}

/** Whom a quota counts: the user of `timestamp:user`, so that a new credential is no new quota; else the whole name. */
export function quotaKeyOf(username: string): string {
  return /^\d{1,12}:(.+)$/s.exec(username)?.[1] ?? username;
}
