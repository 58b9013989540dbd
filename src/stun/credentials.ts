import { type CryptoBackend, utf8 } from '../core/index.ts';

/** How a long-term key is made of a password (RFC 8489 §18.5.1). */
export type LongTermAlgorithm = 'md5' | 'sha-256';

/** The registry "STUN Password Algorithms" (RFC 8489 §18.5). */
export const PASSWORD_ALGORITHM_NUMBERS: Readonly<Record<LongTermAlgorithm, number>> = {
  md5: 0x0001,
  'sha-256': 0x0002,
};

/**
 * The HMAC key of a short-term credential (RFC 8489 §9.1.1): the password itself. ICE passwords are ASCII, for which
 * OpaqueString changes nothing; prepare others with `opaqueString` first.
 */
export function shortTermKey(password: string): Uint8Array {
  return utf8(password);
}

/**
 * The HMAC key of a long-term credential (RFC 8489 §9.2.2): a hash of `username ":" realm ":" password`.
 * @param algorithm - `md5` unless the server offered PASSWORD-ALGORITHMS and SHA-256 was taken.
 */
export function longTermKey(
  crypto: CryptoBackend,
  username: string,
  realm: string,
  password: string,
  algorithm: LongTermAlgorithm = 'md5',
): Uint8Array {
  return crypto.hash(algorithm, utf8(`${username}:${realm}:${password}`));
}

/** USERHASH (RFC 8489 §14.4): SHA-256 of `username ":" realm`, 32 bytes. */
export function userHash(crypto: CryptoBackend, username: string, realm: string): Uint8Array {
  return crypto.hash('sha-256', utf8(`${username}:${realm}`));
}
