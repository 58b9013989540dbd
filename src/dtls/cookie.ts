import { type Env, type Instant, type Mac, utf8 } from '../core/index.ts';
import { constantTimeEqual } from '../crypto/index.ts';
import type { ClientHelloStart } from './messages/index.ts';
import { opaque8, opaque16, u16, u16s } from './wire.ts';

/** A cookie's secret is used this long, and taken for as long again; ms. */
export const COOKIE_ROTATION_MS = 60_000;

const SECRET_BYTES = 32;

/**
 * Makes and checks the stateless cookies of RFC 6347 §4.2.1: `HMAC(Secret, Client-IP, Client-Parameters)`. The secret
 * rotates; the one before is still taken, so that a handshake is not cut off by the change.
 */
export class CookieJar {
  readonly #env: Env;
  #current: Mac;
  #previous: Mac | undefined;
  #rotateAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(env: Env) {
    this.#env = env;
    this.#current = this.#newSecret();
  }

  /** @param clientIdentity - address and port of the client, as bytes. */
  make(hello: ClientHelloStart, clientIdentity: Uint8Array, now: Instant): Uint8Array {
    this.#rotate(now);
    return sign(this.#current, hello, clientIdentity);
  }

  check(hello: ClientHelloStart, clientIdentity: Uint8Array, now: Instant): boolean {
    this.#rotate(now);
    if (constantTimeEqual(hello.cookie, sign(this.#current, hello, clientIdentity))) return true;
    return this.#previous !== undefined && constantTimeEqual(hello.cookie, sign(this.#previous, hello, clientIdentity));
  }

  #rotate(now: Instant): void {
    if (now < this.#rotateAt) return;
    const first = this.#rotateAt === Number.NEGATIVE_INFINITY;
    // Idle for a whole rotation more: the secret in use is older than any cookie may get.
    const stale = !first && now >= this.#rotateAt + COOKIE_ROTATION_MS;
    this.#rotateAt = now + COOKIE_ROTATION_MS;
    if (first) return;
    this.#previous = stale ? undefined : this.#current;
    this.#current = this.#newSecret();
  }

  #newSecret(): Mac {
    const secret = new Uint8Array(SECRET_BYTES);
    this.#env.random(secret);
    return this.#env.crypto.createMac('sha-256', secret);
  }
}

/**
 * RFC 6347 §4.2.1: the client MUST repeat "the same parameter values (version, random, session_id, cipher_suites,
 * compression_method)"; each with its length, so that no two different hellos give the same bytes.
 */
function sign(mac: Mac, hello: ClientHelloStart, clientIdentity: Uint8Array): Uint8Array {
  return mac.sign(
    utf8('purertc dtls cookie'),
    opaque16(clientIdentity),
    u16(hello.version),
    hello.random,
    opaque8(hello.sessionId),
    opaque16(u16s(hello.cipherSuites)),
    opaque8(hello.compressionMethods),
  );
}
