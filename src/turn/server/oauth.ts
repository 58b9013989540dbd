import { ByteReader, ByteWriter, DecodeError, type Env, utf8 } from '../../core/index.ts';
import { type AccessToken, IntegrityKey, type LongTermSession, type StunMessage } from '../../stun/index.ts';

/*
 * The self-contained token of ACCESS-TOKEN (RFC 7635 §6.2); what is encrypted stands in the box:
 *
 * +--------------+-------+----------------+---------+-----------------+--------------+-----+
 * | nonce length | nonce ‖ mac_key length | mac_key | timestamp 48.16 | lifetime (s) ‖ tag |
 * |      16      |  96   ‖       16       |         |       64        |      32      ‖ 128 |
 * +--------------+-------+----------------+---------+-----------------+--------------+-----+
 */

/** RFC 5116: what AES-GCM takes. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** RFC 7635 §7: "The RECOMMENDED value for the allowed Delta is 5 seconds." */
const DELTA_S = 5;
/** Fractions of a second in a timestamp (RFC 7635 §6.2). */
const FRACTIONS = 64_000;
/**
 * RFC 7635 §7 signs with `mac_key`, 20 bytes. coturn and its clients sign with as many of them as an MD5 key has, and both
 * ends of a session are seldom ours.
 */
const COTURN_KEY_BYTES = 16;
/** The longest session key that is taken: nothing needs more than a SHA-512. */
const MAX_MAC_KEY_BYTES = 64;

/** A key that the authorization server and this one share (RFC 7635 §4.1). */
export interface OauthKey {
  /** What the client sends as USERNAME. */
  readonly kid: string;
  /** 16 bytes for AES-128-GCM, 32 for AES-256-GCM. */
  readonly key: Uint8Array;
}

/** Third-party authorization (RFC 7635). */
export interface OauthOptions {
  /** The name that tokens are made for, and that THIRD-PARTY-AUTHORIZATION carries. */
  readonly serverName: string;
  readonly keys: readonly OauthKey[];
}

/** Who a token speaks for: a session with a key of its own, for a while. */
export interface TokenSession extends LongTermSession {
  /** The longest lifetime that an allocation may get now (RFC 7635 §9). */
  readonly maxLifetimeS: number;
}

/** The server's half of RFC 7635: opens tokens. The key inside then verifies the request's integrity. */
export class OauthVerifier {
  readonly serverName: string;
  readonly #env: Env;
  readonly #keys: ReadonlyMap<string, Uint8Array>;

  constructor(env: Env, options: OauthOptions) {
    this.serverName = options.serverName;
    this.#env = env;
    this.#keys = new Map(options.keys.map(({ kid, key }) => [kid, key]));
  }

  /**
   * The session that a request's token stands for, with each key that may have signed the request; none for an unknown
   * `kid`, a token that does not authenticate, is for another server, or is outside its lifetime.
   * @throws {DecodeError} when USERNAME is malformed.
   */
  open(message: StunMessage): TokenSession[] {
    const token = message.get('ACCESS-TOKEN');
    const kid = message.get('USERNAME');
    const key = kid === undefined ? undefined : this.#keys.get(kid);
    if (token === undefined || kid === undefined || key === undefined) return [];
    const plaintext = openToken(this.#env, key, this.serverName, token);
    if (plaintext === undefined) return [];
    const ageS = Math.abs(this.#env.wallClockMs() / 1000 - plaintext.timestampS);
    const maxLifetimeS = Math.floor(plaintext.lifetimeS + DELTA_S - ageS);
    if (maxLifetimeS <= 0) return []; // RFC 7635 §7: lifetime + Delta > abs(RDnew - TS)
    const { macKey } = plaintext;
    const keys = macKey.length > COTURN_KEY_BYTES ? [macKey, macKey.slice(0, COTURN_KEY_BYTES)] : [macKey];
    return keys.map((bytes) => ({
      username: kid,
      keyAlgorithm: 'md5', // none of a password, so no PASSWORD-ALGORITHM goes with it: as with an MD5 key
      key: new IntegrityKey(this.#env.crypto, bytes),
      maxLifetimeS,
    }));
  }
}

interface TokenContent {
  readonly macKey: Uint8Array;
  readonly timestampS: number;
  readonly lifetimeS: number;
}

function aeadOf(env: Env, key: Uint8Array): ReturnType<Env['crypto']['createAead']> {
  return env.crypto.createAead(key.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm', key);
}

/** Undefined for whatever does not authenticate or does not parse: the answer is 401 to all of it. */
function openToken(env: Env, key: Uint8Array, serverName: string, token: Uint8Array): TokenContent | undefined {
  try {
    const r = new ByteReader(token);
    if (r.u16('nonce length') !== NONCE_BYTES) return undefined;
    const nonce = r.bytes(NONCE_BYTES, 'nonce');
    const block = r.rest().slice(); // copy: it is decrypted in place
    const length = aeadOf(env, key).open(nonce, utf8(serverName), block, 0, block.length);
    return length < 0 ? undefined : readContent(new ByteReader(block, 0, length));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

/** @throws {DecodeError} */
function readContent(r: ByteReader): TokenContent {
  const at = r.pos;
  const size = r.u16('mac_key length');
  if (size === 0 || size > MAX_MAC_KEY_BYTES) throw new DecodeError('bad-length', 'mac_key length', at);
  const macKey = r.bytes(size, 'mac_key');
  const seconds = r.u48('timestamp');
  const timestampS = seconds + r.u16('timestamp fraction') / FRACTIONS;
  const lifetimeS = r.u32('lifetime');
  r.expectEnd('token');
  return { macKey, timestampS, lifetimeS };
}

/**
 * Makes a token as an authorization server does (RFC 7635 §6.2), for tests and for applications that are their own
 * authorization server.
 * @param lifetimeS - seconds from now.
 * @returns what a client needs; `macKey` is 20 random bytes.
 */
export function makeAccessToken(env: Env, key: OauthKey, serverName: string, lifetimeS: number): AccessToken {
  const macKey = new Uint8Array(20);
  const nonce = new Uint8Array(NONCE_BYTES);
  env.random(macKey);
  env.random(nonce);
  const now = env.wallClockMs();
  const w = new ByteWriter(new Uint8Array(2 + NONCE_BYTES + 2 + macKey.length + 12 + TAG_BYTES));
  w.u16(NONCE_BYTES);
  w.bytes(nonce);
  const start = w.pos;
  w.u16(macKey.length);
  w.bytes(macKey);
  w.u48(Math.floor(now / 1000));
  w.u16(Math.floor(((now % 1000) * FRACTIONS) / 1000));
  w.u32(lifetimeS);
  aeadOf(env, key.key).seal(nonce, utf8(serverName), w.buf, start, w.pos - start);
  return { kid: key.kid, macKey, token: w.buf };
}
