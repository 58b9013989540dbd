import { type Env, equalBytes, type TransportAddress, UsageError } from '../core/index.ts';
import type { StunAttribute } from './attributes.ts';
import { type LongTermAlgorithm, longTermKey, PASSWORD_ALGORITHM_NUMBERS } from './credentials.ts';
import { stunError } from './error-codes.ts';
import { type IntegrityAlgorithm, IntegrityKey, integrityAlgorithm, verifyIntegrity } from './integrity.ts';
import type { StunMessage } from './message.ts';
import { NonceSource, readNonceCookie } from './nonce.ts';
import { opaqueString } from './opaque-string.ts';
import type { PasswordAlgorithm } from './values.ts';

/** How long a nonce is good by default: coturn's `stale-nonce` default, 600 s. */
export const NONCE_LIFETIME_MS = 600_000;

const EMPTY_PARAMETERS = new Uint8Array(0);

/** Keys that a server keeps ready, of users in its store; the oldest is made anew when it is needed. */
export const MAX_CACHED_KEYS = 1024;

/** A user as the store knows it: by password, or by `H(A1)`, the MD5 key that SIP systems keep (RFC 8489 §9.2.2). */
export type StoredUser =
  | { readonly username: string; readonly password: string }
  | { readonly username: string; readonly md5Key: Uint8Array };

export interface LongTermServerOptions {
  readonly env: Env;
  /** RFC 8489 §9.2.4 recommends the provider's domain name. */
  readonly realm: string;
  /** Synchronous; undefined for an unknown or expired user. The name is prepared with OpaqueString. */
  findUser(username: string): StoredUser | undefined;
  /** Finds the user of a USERHASH; given, the server announces "username anonymity". */
  findUserByHash?(hash: Uint8Array): StoredUser | undefined;
  readonly nonceLifetimeMs?: number;
  /** 32 bytes, the same in all workers of one server. */
  readonly nonceSecret?: Uint8Array;
  /** In order of preference; default SHA-256, then MD5. An empty list sends none, as a server of RFC 5389 does. */
  readonly passwordAlgorithms?: readonly LongTermAlgorithm[];
}

/**
 * What an earlier request of the same session proved. It spares the look-up, and lets a session go on whose user has
 * expired meanwhile, as those of ephemeral credentials do.
 */
export interface LongTermSession {
  /** As `Authenticated.username`. */
  readonly username: string;
  readonly keyAlgorithm: LongTermAlgorithm;
  readonly key: IntegrityKey;
  /** Where a server has several. */
  readonly realm?: string;
}

/** A user who proved the password. */
export interface Authenticated {
  readonly type: 'authenticated';
  readonly username: string;
  readonly realm: string;
  /** How `key` was made of the password. */
  readonly keyAlgorithm: LongTermAlgorithm;
  /** Signs the response, with `algorithm`. */
  readonly key: IntegrityKey;
  readonly algorithm: IntegrityAlgorithm;
  /** How long what is granted may last, where the credential itself ends (RFC 7635 §9). */
  readonly maxLifetimeS?: number;
}

/** What to answer instead: attributes of an unsigned error response. */
export interface Rejected {
  readonly type: 'rejected';
  readonly code: 400 | 401 | 438;
  readonly attributes: StunAttribute[];
}

/**
 * The server's half of the long-term credential mechanism (RFC 8489 §9.2.4). Keeps nothing for a client that has not
 * authenticated: nonces are computed, not stored.
 */
export class LongTermServer {
  readonly realm: string;
  readonly #options: LongTermServerOptions;
  readonly #nonces: NonceSource;
  readonly #algorithms: readonly LongTermAlgorithm[];
  readonly #offer: readonly PasswordAlgorithm[];
  readonly #keys = new KeyCache();

  constructor(options: LongTermServerOptions) {
    const realm = opaqueString(options.realm);
    if (realm === undefined) throw new UsageError('the realm holds characters that RFC 8265 does not allow');
    this.realm = realm;
    this.#options = options;
    this.#algorithms = options.passwordAlgorithms ?? ['sha-256', 'md5'];
    this.#offer = this.#algorithms.map((name) => ({
      algorithm: PASSWORD_ALGORITHM_NUMBERS[name],
      parameters: EMPTY_PARAMETERS,
    }));
    const features = {
      passwordAlgorithms: this.#offer.length > 0,
      usernameAnonymity: options.findUserByHash !== undefined,
    };
    const lifetimeMs = options.nonceLifetimeMs ?? NONCE_LIFETIME_MS;
    this.#nonces = new NonceSource(options.env, features, lifetimeMs, options.nonceSecret);
  }

  /**
   * The checks of RFC 8489 §9.2.4 in their order.
   * @param client - the request's source: nonces are bound to it.
   * @param session - where the request names its user, its key is used in place of the store's.
   * @throws {DecodeError} when an attribute that the checks need is malformed: answer 400.
   */
  authenticate(message: StunMessage, client: TransportAddress, session?: LongTermSession): Authenticated | Rejected {
    const algorithm = integrityAlgorithm(message);
    if (algorithm === undefined) return this.challenge(401, client);
    const nonce = message.get('NONCE');
    const hasName = message.has('USERNAME') || message.has('USERHASH');
    if (!hasName || nonce === undefined || !message.has('REALM')) return badRequest();
    const keyAlgorithm = this.#keyAlgorithm(message, nonce);
    if (keyAlgorithm === undefined) return badRequest();
    const known = this.#keyFor(message, keyAlgorithm, session);
    if (known === undefined || message.get('REALM') !== this.realm) return this.challenge(401, client);
    const { username, key } = known;
    if (!verifyIntegrity(message, key)) return this.challenge(401, client);
    if (!this.#nonces.isValid(nonce, client)) return this.challenge(438, client);
    // RFC 8489 §9.2.4 has the response's algorithm follow from PASSWORD-ALGORITHM(S). A client that keeps to §9.2.5 signs with
    // the same; another can verify only what it signs with itself.
    return { type: 'authenticated', username, realm: this.realm, keyAlgorithm, key, algorithm };
  }

  /** 401 or 438 with a fresh nonce. Needs no state, and is as small as the RFC lets it be. */
  challenge(code: 401 | 438, client: TransportAddress): Rejected {
    const attributes: StunAttribute[] = [
      ['ERROR-CODE', stunError(code)],
      ['REALM', this.realm],
      ['NONCE', this.#nonces.issue(client)],
    ];
    if (this.#offer.length > 0) attributes.push(['PASSWORD-ALGORITHMS', this.#offer]);
    return { type: 'rejected', code, attributes };
  }

  /**
   * Bid-down protection: with the "password algorithms" bit in the nonce, PASSWORD-ALGORITHMS must be what was offered and
   * PASSWORD-ALGORITHM one of it, or both absent (MD5). Undefined is a 400.
   */
  #keyAlgorithm(message: StunMessage, nonce: Uint8Array): LongTermAlgorithm | undefined {
    const offered = message.get('PASSWORD-ALGORITHMS');
    const chosen = message.get('PASSWORD-ALGORITHM');
    if (offered === undefined && chosen === undefined) return 'md5';
    if (readNonceCookie(nonce)?.passwordAlgorithms !== true) return 'md5';
    if (offered === undefined || chosen === undefined || !sameAlgorithms(offered, this.#offer)) return undefined;
    return this.#algorithms.find((name) => PASSWORD_ALGORITHM_NUMBERS[name] === chosen.algorithm);
  }

  #keyFor(
    message: StunMessage,
    keyAlgorithm: LongTermAlgorithm,
    session: LongTermSession | undefined,
  ): { readonly username: string; readonly key: IntegrityKey } | undefined {
    const name = session?.keyAlgorithm === keyAlgorithm ? message.get('USERNAME') : undefined;
    if (session !== undefined && name !== undefined && opaqueString(name) === session.username) return session;
    const user = this.#findUser(message);
    const key = user === undefined ? undefined : this.#keyOf(user, keyAlgorithm);
    return user === undefined || key === undefined ? undefined : { username: user.username, key };
  }

  #findUser(message: StunMessage): StoredUser | undefined {
    const username = message.get('USERNAME');
    if (username !== undefined) {
      const prepared = opaqueString(username);
      return prepared === undefined ? undefined : this.#options.findUser(prepared);
    }
    const hash = message.get('USERHASH');
    return hash === undefined ? undefined : this.#options.findUserByHash?.(hash);
  }

  #keyOf(user: StoredUser, algorithm: LongTermAlgorithm): IntegrityKey | undefined {
    const { crypto } = this.#options.env;
    if ('md5Key' in user) return algorithm === 'md5' ? new IntegrityKey(crypto, user.md5Key) : undefined;
    const password = opaqueString(user.password);
    if (password === undefined) return undefined;
    const cached = this.#keys.find(user.username, password, algorithm);
    if (cached !== undefined) return cached;
    const key = new IntegrityKey(crypto, longTermKey(crypto, user.username, this.realm, password, algorithm));
    this.#keys.add(user.username, password, algorithm, key);
    return key;
  }
}

/** Keys of users that have been asked for lately; a user with another password gets another key. */
class KeyCache {
  readonly #byUser = new Map<string, { readonly password: string; readonly key: IntegrityKey }>();

  find(username: string, password: string, algorithm: LongTermAlgorithm): IntegrityKey | undefined {
    const found = this.#byUser.get(`${algorithm} ${username}`);
    return found?.password === password ? found.key : undefined;
  }

  /** The user is in the store: strangers fill nothing. The oldest goes first. */
  add(username: string, password: string, algorithm: LongTermAlgorithm, key: IntegrityKey): void {
    const name = `${algorithm} ${username}`;
    this.#byUser.delete(name);
    if (this.#byUser.size >= MAX_CACHED_KEYS) {
      for (const oldest of this.#byUser.keys()) {
        this.#byUser.delete(oldest);
        break;
      }
    }
    this.#byUser.set(name, { password, key });
  }
}

function badRequest(): Rejected {
  return { type: 'rejected', code: 400, attributes: [['ERROR-CODE', stunError(400)]] };
}

function sameAlgorithms(a: readonly PasswordAlgorithm[], b: readonly PasswordAlgorithm[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((entry, i) => {
    const other = b[i];
    return other !== undefined && entry.algorithm === other.algorithm && equalBytes(entry.parameters, other.parameters);
  });
}
