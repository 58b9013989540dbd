import { type Env, formatAddress, type Mac, type TransportAddress, utf8 } from '../core/index.ts';
import { constantTimeEqual } from '../crypto/index.ts';

/** What RFC 8489 §9.2 puts in front of the four characters of security features. */
const NONCE_COOKIE_PREFIX = 'obMatJos2';
/** Prefix and base64 of 24 bits. */
export const NONCE_COOKIE_LENGTH = 13;

/**
 * The "STUN Security Features" registry (RFC 8489 §18.1). RFC 8489 §9.2: "with bit 0 as the most significant bit of the
 * first byte" (the nonce of appendix B.1 counts from the other end; we follow the text).
 */
export interface SecurityFeatures {
  /** Bit 0: the server offers PASSWORD-ALGORITHMS. */
  readonly passwordAlgorithms: boolean;
  /** Bit 1: the server understands USERHASH. */
  readonly usernameAnonymity: boolean;
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 without padding (RFC 4648 §4). */
function base64(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let pending = 0;
  for (const byte of bytes) {
    pending = (pending << 8) | byte;
    for (bits += 8; bits >= 6; bits -= 6) text += BASE64[(pending >> (bits - 6)) & 0x3f]!;
    pending &= 0xff;
  }
  return bits > 0 ? text + BASE64[(pending << (6 - bits)) & 0x3f]! : text;
}

/** The 13 characters that a server of RFC 8489 begins its nonces with (RFC 8489 §9.2). */
export function nonceCookie(features: SecurityFeatures): string {
  const first = (features.passwordAlgorithms ? 0x80 : 0) | (features.usernameAnonymity ? 0x40 : 0);
  return NONCE_COOKIE_PREFIX + base64(Uint8Array.of(first, 0, 0));
}

/**
 * Reads a nonce's cookie; undefined when it has none, which means a server of RFC 5389. Bits that are not assigned yet
 * are ignored.
 */
export function readNonceCookie(nonce: Uint8Array): SecurityFeatures | undefined {
  if (nonce.length < NONCE_COOKIE_LENGTH) return undefined;
  const text = String.fromCharCode(...nonce.subarray(0, NONCE_COOKIE_LENGTH));
  if (!text.startsWith(NONCE_COOKIE_PREFIX)) return undefined;
  const features = text.slice(NONCE_COOKIE_PREFIX.length);
  const first = BASE64.indexOf(features[0]!);
  if (first < 0 || [...features].some((character) => !BASE64.includes(character))) return undefined;
  return { passwordAlgorithms: (first & 0x20) !== 0, usernameAnonymity: (first & 0x10) !== 0 };
}

/** Bytes of expiry and of MAC in a nonce. */
const EXPIRY_BYTES = 4;
const MAC_BYTES = 11;

/**
 * Makes and checks nonces without remembering any (RFC 8489 §9.2.4, RFC 7616 §5.4): the expiry, and a MAC over it and the
 * client's address, so that a nonce is good only for the client it was given to, and only for a while. The whole nonce is
 * 33 characters, because the unauthenticated answer that carries it should be small.
 */
export class NonceSource {
  readonly #env: Env;
  readonly #mac: Mac;
  readonly #cookie: string;
  readonly #lifetimeMs: number;

  /** @param secret - 32 bytes; share it among the workers of one server. Drawn from `env.random` by default. */
  constructor(env: Env, features: SecurityFeatures, lifetimeMs: number, secret?: Uint8Array) {
    const key = secret ?? new Uint8Array(32);
    if (secret === undefined) env.random(key);
    this.#env = env;
    this.#mac = env.crypto.createMac('sha-256', key);
    this.#cookie = nonceCookie(features);
    this.#lifetimeMs = lifetimeMs;
  }

  /** A new nonce for the client at `address`. */
  issue(address: TransportAddress): Uint8Array {
    const expiryS = Math.ceil((this.#env.wallClockMs() + this.#lifetimeMs) / 1000);
    return utf8(this.#cookie + base64(this.#body(expiryS, address)));
  }

  /** Whether this source issued the nonce to `address` and it has not expired. Constant time in the MAC. */
  isValid(nonce: Uint8Array, address: TransportAddress): boolean {
    const expiryS = this.#readExpiry(nonce);
    if (expiryS === undefined) return false;
    const expected = utf8(this.#cookie + base64(this.#body(expiryS, address)));
    return constantTimeEqual(nonce, expected) && this.#env.wallClockMs() < expiryS * 1000;
  }

  #body(expiryS: number, address: TransportAddress): Uint8Array {
    const body = new Uint8Array(EXPIRY_BYTES + MAC_BYTES);
    body[0] = expiryS >>> 24;
    body[1] = expiryS >>> 16;
    body[2] = expiryS >>> 8;
    body[3] = expiryS;
    const mac = this.#mac.sign(body.subarray(0, EXPIRY_BYTES), utf8(formatAddress(address)));
    body.set(mac.subarray(0, MAC_BYTES), EXPIRY_BYTES);
    return body;
  }

  /** The first 32 of the 36 bits that six characters carry. */
  #readExpiry(nonce: Uint8Array): number | undefined {
    let value = 0;
    for (let i = 0; i < 6; i++) {
      const digit = BASE64.indexOf(String.fromCharCode(nonce[NONCE_COOKIE_LENGTH + i] ?? 0));
      if (digit < 0) return undefined;
      value = value * 64 + digit;
    }
    return Math.floor(value / 16);
  }
}
