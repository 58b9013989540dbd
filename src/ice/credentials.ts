import { type Env, UsageError } from '../core/index.ts';
import { MAX_CREDENTIAL_LENGTH, MIN_PASSWORD_LENGTH, MIN_UFRAG_LENGTH } from './limits.ts';
import type { IceParameters } from './types.ts';

const ICE_CHARS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

const ICE_CHAR = /^[A-Za-z0-9+/]*$/;
/** What peers write is wider than RFC 8839 §5.4: libwebrtc takes `-`, `_`, `=` and `#` too, for servers that write base64url. */
const VISIBLE_CHAR = /^[!-~]*$/;

/** 48 bits: RFC 8445 §5.3 asks for 24, and a server that demultiplexes by ufrag wants no collisions. */
const UFRAG_LENGTH = 8;
/** 144 bits: RFC 8445 §5.3 asks for 128. */
const PASSWORD_LENGTH = 24;

function randomIceChars(env: Env, length: number): string {
  const bytes = new Uint8Array(length);
  env.random(bytes);
  let text = '';
  for (const byte of bytes) text += ICE_CHARS[byte & 63]; // 64 characters: no bias
  return text;
}

/**
 * Our credentials: the caller's, or random ones. RFC 8839 §5.4 also says that a ufrag that is sent has at most 32
 * characters; those of libp2p's webrtc-direct have 49, and every receiver takes 256, so the caller decides.
 * @throws {UsageError} outside the grammar of RFC 8839 §5.4.
 */
export function makeLocalParameters(
  env: Env,
  given: { ufrag?: string | undefined; pwd?: string | undefined },
): IceParameters {
  const parameters = {
    ufrag: given.ufrag ?? randomIceChars(env, UFRAG_LENGTH),
    pwd: given.pwd ?? randomIceChars(env, PASSWORD_LENGTH),
  };
  checkParameters(parameters, ICE_CHAR);
  return parameters;
}

/** The peer's credentials. @throws {UsageError} for another length than RFC 8839 §5.4 allows, or blanks. */
export function checkRemoteParameters(parameters: IceParameters): void {
  checkParameters(parameters, VISIBLE_CHAR);
}

function checkParameters(parameters: IceParameters, characters: RegExp): void {
  const { ufrag, pwd } = parameters;
  const ufragFits = ufrag.length >= MIN_UFRAG_LENGTH && ufrag.length <= MAX_CREDENTIAL_LENGTH;
  const pwdFits = pwd.length >= MIN_PASSWORD_LENGTH && pwd.length <= MAX_CREDENTIAL_LENGTH;
  // The values themselves are secrets and stay out of the message.
  if (!ufragFits || !characters.test(ufrag)) throw new UsageError('ufrag: 4 to 256 ice-chars (RFC 8839 §5.4)');
  if (!pwdFits || !characters.test(pwd)) throw new UsageError('pwd: 22 to 256 ice-chars (RFC 8839 §5.4)');
}

/** A random 64-bit tie-breaker (RFC 8445 §16.1). */
export function randomTieBreaker(env: Env): bigint {
  const bytes = new Uint8Array(8);
  env.random(bytes);
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}
