import type { CryptoBackend } from '../core/index.ts';
import { IntegrityKey, verifyIntegrity } from './integrity.ts';
import { type ChallengeResult, type ClientCredentials, checkRepeatable } from './long-term-client.ts';
import type { StunMessage } from './message.ts';
import { STUN_METHODS } from './message-type.ts';
import { errorCodeOf } from './transaction.ts';
import type { StunWriter } from './writer.ts';

/** What an authorization server hands out (RFC 7635 §4, §6.2). */
export interface AccessToken {
  /** Names the key that the token is encrypted with; goes into USERNAME. */
  readonly kid: string;
  /** The session key, 20 bytes for HMAC-SHA-1. */
  readonly macKey: Uint8Array;
  /** Opaque; goes into ACCESS-TOKEN. */
  readonly token: Uint8Array;
}

/**
 * The client's half of third-party authorization (RFC 7635 §8, §9): a token instead of a password. When the server
 * refuses the token, as it does once that has expired, the challenge is `rejected`: make a new client with a new token.
 */
export class ThirdPartyClient implements ClientCredentials {
  readonly #crypto: CryptoBackend;
  readonly #token: AccessToken;
  readonly #key: IntegrityKey;
  #challenge: { readonly realm: string; readonly nonce: Uint8Array } | undefined;

  constructor(crypto: CryptoBackend, token: AccessToken) {
    this.#crypto = crypto;
    this.#token = token;
    this.#key = new IntegrityKey(crypto, token.macKey);
  }

  get isReady(): boolean {
    return this.#challenge !== undefined;
  }

  handleChallenge(message: StunMessage, wasSigned: boolean): ChallengeResult {
    const code = errorCodeOf(message);
    const realm = message.get('REALM') ?? this.#challenge?.realm;
    const nonce = message.get('NONCE');
    if ((code !== 401 && code !== 438) || realm === undefined || nonce === undefined) return 'no-challenge';
    // RFC 7635 §4: the attribute "signals the STUN client that the STUN server supports third-party authorization".
    if (code === 401 && (wasSigned || !message.has('THIRD-PARTY-AUTHORIZATION'))) return 'rejected';
    checkRepeatable(message);
    this.#challenge = { realm, nonce: nonce.slice() };
    return 'retry';
  }

  /** RFC 7635 §9: "MUST include the ACCESS-TOKEN attribute only in Allocate and Refresh requests". */
  sign(w: StunWriter, method: number): void {
    if (this.#challenge === undefined) return;
    w.add('USERNAME', this.#token.kid).add('REALM', this.#challenge.realm).add('NONCE', this.#challenge.nonce);
    if (method === STUN_METHODS.Allocate || method === STUN_METHODS.Refresh) w.add('ACCESS-TOKEN', this.#token.token);
    w.addIntegrity(this.#key, 'sha-1');
  }

  verify(message: StunMessage): boolean {
    return this.#challenge !== undefined && verifyIntegrity(message, this.#key, 'sha-1');
  }

  fork(): ThirdPartyClient {
    const copy = new ThirdPartyClient(this.#crypto, this.#token);
    copy.#challenge = this.#challenge;
    return copy;
  }
}
