import { type CryptoBackend, DecodeError, UsageError, utf8 } from '../core/index.ts';
import { type LongTermAlgorithm, longTermKey, PASSWORD_ALGORITHM_NUMBERS, userHash } from './credentials.ts';
import { type IntegrityAlgorithm, IntegrityKey, verifyIntegrity } from './integrity.ts';
import type { StunMessage } from './message.ts';
import { readNonceCookie } from './nonce.ts';
import { opaqueString } from './opaque-string.ts';
import { errorCodeOf } from './transaction.ts';
import { MAX_TEXT_BYTES, type PasswordAlgorithm } from './values.ts';
import type { StunWriter } from './writer.ts';

/** RFC 8489 §14.3: "fewer than 509 bytes" are sent, though receivers take more; coturn and libwebrtc end there too. */
export const MAX_USERNAME_BYTES = 508;

/** What a server's challenge fixed; all requests until the next one use it. */
interface Challenge {
  readonly realm: string;
  readonly nonce: Uint8Array;
  readonly algorithms: readonly PasswordAlgorithm[] | undefined;
  readonly algorithm: LongTermAlgorithm;
  readonly anonymous: boolean;
  readonly key: IntegrityKey;
}

/** What a client does with a 401 or 438: ask again with the new challenge, or stop, and why. */
export type ChallengeResult = 'retry' | 'no-challenge' | 'bid-down' | 'no-common-algorithm' | 'rejected';

/** A client's half of an authentication mechanism with challenges, towards one server. */
export interface ClientCredentials {
  /** Whether requests are signed by now. */
  readonly isReady: boolean;
  /** Takes a 401 or 438. @throws {DecodeError} for malformed attributes. */
  handleChallenge(message: StunMessage, wasSigned: boolean): ChallengeResult;
  /** Adds credentials and integrity behind all other attributes; nothing before the first challenge. */
  sign(w: StunWriter, method: number): void;
  verify(message: StunMessage): boolean;
  /** A copy for another connection to the same server: nonces are bound to addresses. */
  fork(): ClientCredentials;
}

/**
 * The client's half of the long-term credential mechanism (RFC 8489 §9.2): takes challenges, signs requests, verifies
 * responses. One for each server.
 *
 * @example
 * const credentials = new LongTermClient(env.crypto, 'user', 'secret');
 * // first request: nothing is added; on 401: credentials.handleChallenge(response, false) === 'retry'
 * credentials.sign(writer);
 */
export class LongTermClient implements ClientCredentials {
  readonly #crypto: CryptoBackend;
  readonly #username: string;
  readonly #password: string;
  readonly #preferSha256: boolean;
  #challenge: Challenge | undefined;

  /**
   * @param options - `preferSha256`: where MD5 and SHA-256 are both offered, take SHA-256 (RFC 8656 §6 for TURN) and not
   *   the first on the list (RFC 8489 §9.2.5).
   * @throws {UsageError} for a user name or password that OpaqueString does not allow (RFC 8265 §4.2), and for a user name
   *   of more than 508 bytes.
   */
  constructor(
    crypto: CryptoBackend,
    username: string,
    password: string,
    options: { readonly preferSha256?: boolean } = {},
  ) {
    this.#preferSha256 = options.preferSha256 === true;
    const prepared = { username: opaqueString(username), password: opaqueString(password) };
    if (prepared.username === undefined || prepared.password === undefined) {
      throw new UsageError('the user name or the password holds characters that RFC 8265 does not allow');
    }
    if (utf8(prepared.username).length > MAX_USERNAME_BYTES) {
      throw new UsageError(`a user name is ${MAX_USERNAME_BYTES} bytes at most (RFC 8489 §14.3)`);
    }
    this.#crypto = crypto;
    this.#username = prepared.username;
    this.#password = prepared.password;
  }

  /** The server's realm, once it has sent a challenge. */
  get realm(): string | undefined {
    return this.#challenge?.realm;
  }

  /** Whether requests are signed by now. */
  get isReady(): boolean {
    return this.#challenge !== undefined;
  }

  /**
   * Takes the challenge in a 401 or 438 response (RFC 8489 §9.2.5).
   * @param wasSigned - whether the request had been signed: a 401 then means that the server refuses the password.
   * @throws {DecodeError} for malformed attributes.
   */
  handleChallenge(message: StunMessage, wasSigned: boolean): ChallengeResult {
    const code = errorCodeOf(message);
    const realm = message.get('REALM') ?? (code === 438 ? this.#challenge?.realm : undefined);
    const nonce = message.get('NONCE');
    if ((code !== 401 && code !== 438) || realm === undefined || nonce === undefined) return 'no-challenge';
    checkRepeatable(message);
    const features = readNonceCookie(nonce);
    const offered = message.get('PASSWORD-ALGORITHMS');
    // "If so … but no PASSWORD-ALGORITHMS attribute is present, then the client MUST NOT retry": it was taken out.
    if (features?.passwordAlgorithms === true && offered === undefined) return 'bid-down';
    const algorithm = offered === undefined ? 'md5' : chooseAlgorithm(offered, this.#preferSha256);
    if (algorithm === undefined) return 'no-common-algorithm';
    const anonymous = features?.usernameAnonymity === true;
    const before = this.#challenge;
    if (code === 401 && wasSigned && before !== undefined) {
      // "MUST NOT perform this retry if it is not changing the USERNAME, USERHASH, REALM, or its associated password".
      if (before.realm === realm && before.anonymous === anonymous && before.algorithm === algorithm) return 'rejected';
    }
    const same = before !== undefined && before.realm === realm && before.algorithm === algorithm;
    this.#challenge = {
      realm,
      nonce: nonce.slice(),
      algorithms: offered?.map((entry) => ({ algorithm: entry.algorithm, parameters: entry.parameters.slice() })),
      algorithm,
      anonymous,
      key: same ? before.key : this.#makeKey(realm, algorithm),
    };
    return 'retry';
  }

  /**
   * Adds the credential attributes and the integrity to a request, behind all its other attributes; adds nothing before
   * the first challenge (RFC 8489 §9.2.3).
   */
  sign(w: StunWriter): void {
    const c = this.#challenge;
    if (c === undefined) return;
    if (c.anonymous) w.add('USERHASH', userHash(this.#crypto, this.#username, preparedRealm(c.realm)));
    else w.add('USERNAME', this.#username);
    w.add('REALM', c.realm);
    w.add('NONCE', c.nonce);
    if (c.algorithms !== undefined) {
      w.add('PASSWORD-ALGORITHMS', c.algorithms);
      w.add('PASSWORD-ALGORITHM', {
        algorithm: PASSWORD_ALGORITHM_NUMBERS[c.algorithm],
        parameters: new Uint8Array(0),
      });
    }
    w.addIntegrity(c.key, this.#integrity(c));
  }

  /** Whether a response is signed with our credential and the algorithm of our requests. False before a challenge. */
  verify(message: StunMessage): boolean {
    const c = this.#challenge;
    return c !== undefined && !isBidDown(message) && verifyIntegrity(message, c.key, this.#integrity(c));
  }

  fork(): LongTermClient {
    const copy = new LongTermClient(this.#crypto, this.#username, this.#password, { preferSha256: this.#preferSha256 });
    copy.#challenge = this.#challenge;
    return copy;
  }

  /**
   * A server that offered algorithms is answered with SHA-256 only (RFC 8489 §9.2.5: "all the subsequent requests MUST be
   * authenticated using MESSAGE-INTEGRITY-SHA256 only").
   */
  #integrity(c: Challenge): IntegrityAlgorithm {
    return c.algorithms === undefined ? 'sha-1' : 'sha-256';
  }

  #makeKey(realm: string, algorithm: LongTermAlgorithm): IntegrityKey {
    return new IntegrityKey(
      this.#crypto,
      longTermKey(this.#crypto, this.#username, preparedRealm(realm), this.#password, algorithm),
    );
  }
}

/** As it is hashed (RFC 8489 §9.2.2, §14.4). One that OpaqueString refuses is used as it came: the server hashed it so. */
function preparedRealm(realm: string): string {
  return opaqueString(realm) ?? realm;
}

/**
 * RFC 8489 §9.2.5: where the nonce promises PASSWORD-ALGORITHMS and there are none, "the response MUST be ignored". 401 and
 * 438 are `handleChallenge`'s.
 */
function isBidDown(message: StunMessage): boolean {
  const nonce = message.valueBytes('NONCE');
  if (nonce === undefined || message.has('PASSWORD-ALGORITHMS')) return false;
  const code = errorCodeOf(message);
  return code !== 401 && code !== 438 && readNonceCookie(nonce)?.passwordAlgorithms === true;
}

/** More than any list of algorithms takes that there is. */
const MAX_ALGORITHMS_BYTES = 256;

/**
 * What a challenge brings goes back with every request, so that a server could make those as long as it likes.
 * @throws {DecodeError} for a NONCE beyond RFC 8489 §14.10, or a list of algorithms that is out of all proportion.
 */
export function checkRepeatable(message: StunMessage): void {
  if ((message.valueBytes('NONCE')?.length ?? 0) > MAX_TEXT_BYTES) throw new DecodeError('bad-length', 'NONCE', 0);
  if ((message.valueBytes('PASSWORD-ALGORITHMS')?.length ?? 0) > MAX_ALGORITHMS_BYTES)
    throw new DecodeError('too-many', 'PASSWORD-ALGORITHMS', 0);
}

function chooseAlgorithm(offered: readonly PasswordAlgorithm[], preferSha256: boolean): LongTermAlgorithm | undefined {
  const sha256 = PASSWORD_ALGORITHM_NUMBERS['sha-256'];
  if (preferSha256 && offered.some(({ algorithm }) => algorithm === sha256)) return 'sha-256';
  for (const { algorithm } of offered) {
    if (algorithm === PASSWORD_ALGORITHM_NUMBERS['sha-256']) return 'sha-256';
    if (algorithm === PASSWORD_ALGORITHM_NUMBERS.md5) return 'md5';
  }
  return undefined;
}
