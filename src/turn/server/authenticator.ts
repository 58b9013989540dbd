import type { Instant, TransportAddress } from '../../core/index.ts';
import {
  type Authenticated,
  LongTermServer,
  type LongTermSession,
  type Rejected,
  type StunMessage,
} from '../../stun/index.ts';
import { OauthVerifier } from './oauth.ts';
import { canonicalOrigin, originsOf } from './origins.ts';
import { SourceRateLimit } from './rate-limits.ts';
import { findRestUser } from './rest-credentials.ts';
import type { Rate, TurnServerCoreOptions } from './types.ts';

/**
 * Answers to requests that prove nothing, per source. The burst lets a hundred clients behind one NAT start together; the
 * rate is what a reflector would be worth to somebody who forges addresses.
 */
export const DEFAULT_UNAUTHENTICATED_RATE: Rate = { perSecond: 100, burst: 1000 };

/**
 * Who may do something: long-term users, ephemeral REST credentials, and sessions that began with either. Nothing is kept
 * for a client that has not authenticated, but for the bounded count of what it was answered.
 */
export class Authenticator {
  readonly #options: TurnServerCoreOptions;
  readonly #longTerm: LongTermServer;
  readonly #byRealm = new Map<string, LongTermServer>();
  readonly #byOrigin = new Map<string, LongTermServer>();
  readonly #limit: SourceRateLimit;
  readonly #secrets: readonly string[];
  readonly #oauth: OauthVerifier | undefined;
  /** Whose password is being tried; `findUser` has no other way to say "another one too". */
  #secret: string | undefined;

  /** @throws {UsageError} for a realm that cannot be prepared. */
  constructor(options: TurnServerCoreOptions) {
    this.#options = options;
    this.#secrets = options.authSecrets ?? [];
    this.#oauth = options.oauth === undefined ? undefined : new OauthVerifier(options.env, options.oauth);
    const rate = options.unauthenticatedRate ?? DEFAULT_UNAUTHENTICATED_RATE;
    this.#limit = new SourceRateLimit(rate.perSecond, rate.burst);
    this.#longTerm = this.#addRealm(options.realm);
    for (const [origin, realm] of Object.entries(options.realmsByOrigin ?? {})) {
      this.#byOrigin.set(canonicalOrigin(origin), this.#addRealm(realm));
    }
  }

  #addRealm(realm: string): LongTermServer {
    const { env, findUserByHash, nonceLifetimeMs, nonceSecret, passwordAlgorithms } = this.#options;
    // A user of REST credentials cannot be found by hash: the name is made up by somebody else.
    const anonymity = findUserByHash !== undefined && this.#secrets.length === 0;
    const server: LongTermServer = new LongTermServer({
      env,
      realm,
      findUser: (username) => this.#findUser(username, server.realm),
      ...(anonymity ? { findUserByHash: (hash) => findUserByHash(hash, server.realm) } : {}),
      ...(nonceLifetimeMs === undefined ? {} : { nonceLifetimeMs }),
      ...(nonceSecret === undefined ? {} : { nonceSecret }),
      ...(passwordAlgorithms === undefined ? {} : { passwordAlgorithms }),
    });
    const known = this.#byRealm.get(server.realm);
    if (known === undefined) this.#byRealm.set(server.realm, server);
    return known ?? server;
  }

  /** Of several origins the first that has a realm, else the last, as in coturn; empty for none. @throws {DecodeError} */
  originOf(message: StunMessage): string {
    const origins = originsOf(message);
    return origins.find((origin) => this.#byOrigin.has(origin)) ?? origins.at(-1) ?? '';
  }

  /** Whose credentials a request needs: those of its session's realm, of its origin's, or of the one that it names itself. */
  #serverFor(message: StunMessage, session: LongTermSession | undefined): LongTermServer {
    if (this.#byRealm.size === 1) return this.#longTerm;
    const held = session?.realm === undefined ? undefined : this.#byRealm.get(session.realm);
    if (held !== undefined) return held;
    const origin = this.originOf(message);
    // Only the challenge needs the origin, and not all clients repeat it: the signed request says which one it had.
    if (origin !== '') return this.#byOrigin.get(origin) ?? this.#longTerm;
    const named = message.get('REALM');
    return (named === undefined ? undefined : this.#byRealm.get(named)) ?? this.#longTerm;
  }

  /** Of clients whose origin has none of its own. */
  get realm(): string {
    return this.#longTerm.realm;
  }

  /** Whether a source that has proved nothing may have one more answer, or one more HMAC computed. */
  mayAsk(source: TransportAddress, now: Instant): boolean {
    return this.#limit.allows(source.ip, now);
  }

  /** RFC 8489 §9.2.4. @throws {DecodeError} when an attribute that this needs is malformed: answer 400. */
  authenticate(
    message: StunMessage,
    client: TransportAddress,
    session: LongTermSession | undefined,
  ): Authenticated | Rejected {
    if (this.#oauth === undefined) return this.#authenticate(message, client, session);
    for (const token of message.has('ACCESS-TOKEN') ? this.#oauth.open(message) : []) {
      const result = this.#authenticate(message, client, token);
      // A wrong nonce is wrong under any key.
      if (result.type === 'authenticated') return { ...result, maxLifetimeS: token.maxLifetimeS };
      if (result.code !== 401) return result;
    }
    const result = this.#authenticate(message, client, session);
    if (result.type === 'authenticated') return result;
    // RFC 7635 §4: the attribute in a 401 says that a token would do.
    if (result.code === 401) result.attributes.push(['THIRD-PARTY-AUTHORIZATION', this.#oauth.serverName]);
    return result;
  }

  #authenticate(
    message: StunMessage,
    client: TransportAddress,
    session: LongTermSession | undefined,
  ): Authenticated | Rejected {
    const server = this.#serverFor(message, session);
    this.#secret = this.#secrets[0];
    let result = server.authenticate(message, client, session);
    for (let i = 1; i < this.#secrets.length && result.type === 'rejected' && result.code === 401; i++) {
      this.#secret = this.#secrets[i];
      result = server.authenticate(message, client, session);
    }
    return result;
  }

  #findUser(username: string, realm: string): ReturnType<NonNullable<TurnServerCoreOptions['findUser']>> {
    const user = this.#options.findUser?.(username, realm);
    if (user !== undefined || this.#secret === undefined) return user;
    const { crypto } = this.#options.env;
    return findRestUser(crypto, this.#secret, username, this.#options.env.wallClockMs());
  }
}
