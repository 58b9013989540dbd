import { ByteReader, concatBytes, DecodeError } from '../../core/index.ts';
import { type Extension, encodeExtensions, readExtensions } from '../extensions.ts';
import { opaque8, opaque16, readOpaque8, readU16List, u8, u16, u16s } from '../wire.ts';

export const RANDOM_BYTES = 32;
const MAX_SESSION_ID_BYTES = 32;

/** A ClientHello up to its extensions: the cookie, and all that a cookie is made of (RFC 6347 §4.2.1). */
export interface ClientHelloStart {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cookie: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly compressionMethods: Uint8Array;
}

/**
 * RFC 6347 §4.3.2:
 *
 * ```text
 * struct {
 *   ProtocolVersion client_version;            2
 *   Random random;                            32
 *   SessionID session_id;                      1 + 0..32
 *   opaque cookie<0..2^8-1>;                   1 + 0..255
 *   CipherSuite cipher_suites<2..2^16-1>;      2 + 2n
 *   CompressionMethod methods<1..2^8-1>;       1 + n
 *   Extension extensions<0..2^16-1>;           nothing, or 2 + n
 * } ClientHello;
 * ```
 */
export interface ClientHello extends ClientHelloStart {
  /** Undefined: the message ended before the block, which is not the same as an empty one. */
  readonly extensions: readonly Extension[] | undefined;
}

function readSessionId(r: ByteReader): Uint8Array {
  const at = r.pos;
  const sessionId = readOpaque8(r, 'session_id');
  if (sessionId.length > MAX_SESSION_ID_BYTES) throw new DecodeError('bad-length', 'session_id', at);
  return sessionId;
}

function readHelloStart(r: ByteReader): ClientHelloStart {
  const version = r.u16('client_version');
  const random = r.bytes(RANDOM_BYTES, 'random').slice();
  const sessionId = readSessionId(r);
  const cookie = readOpaque8(r, 'cookie');
  const suitesAt = r.pos;
  const suites = r.sub(r.u16('cipher_suites'), 'cipher_suites');
  if (suites.remaining === 0 || suites.remaining % 2 !== 0)
    throw new DecodeError('bad-length', 'cipher_suites', suitesAt);
  const cipherSuites = readU16List(suites, 'cipher_suite');
  const methodsAt = r.pos;
  const compressionMethods = readOpaque8(r, 'compression_methods');
  if (compressionMethods.length === 0) throw new DecodeError('bad-length', 'compression_methods', methodsAt);
  return { version, random, sessionId, cookie, cipherSuites, compressionMethods };
}

/**
 * Decodes the beginning of a ClientHello's body, which may be cut off anywhere behind the compression methods; everything is copied.
 * @throws {DecodeError} `too-short` when it is cut off earlier; otherwise as {@link decodeClientHello}.
 */
export function decodeClientHelloStart(body: Uint8Array): ClientHelloStart {
  return readHelloStart(new ByteReader(body));
}

/**
 * Decodes the body of a ClientHello (RFC 6347 §4.3.2); everything is copied.
 * @throws {DecodeError} `bad-length` for lists that are empty or odd, `duplicate` extensions, and the reader's own.
 */
export function decodeClientHello(body: Uint8Array): ClientHello {
  const r = new ByteReader(body);
  return { ...readHelloStart(r), extensions: readExtensions(r) };
}

/** Inverse of {@link decodeClientHello}. */
export function encodeClientHello(m: ClientHello): Uint8Array {
  return concatBytes(
    u16(m.version),
    m.random,
    opaque8(m.sessionId),
    opaque8(m.cookie),
    opaque16(u16s(m.cipherSuites)),
    opaque8(m.compressionMethods),
    encodeExtensions(m.extensions),
  );
}

/**
 * RFC 5246 §7.4.1.3:
 *
 * ```text
 * struct {
 *   ProtocolVersion server_version;    2
 *   Random random;                    32
 *   SessionID session_id;              1 + 0..32
 *   CipherSuite cipher_suite;          2
 *   CompressionMethod method;          1
 *   Extension extensions<0..2^16-1>;   nothing, or 2 + n
 * } ServerHello;
 * ```
 */
export interface ServerHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: readonly Extension[] | undefined;
}

/** Decodes the body of a ServerHello (RFC 5246 §7.4.1.3); everything is copied. @throws {DecodeError} */
export function decodeServerHello(body: Uint8Array): ServerHello {
  const r = new ByteReader(body);
  const version = r.u16('server_version');
  const random = r.bytes(RANDOM_BYTES, 'random').slice();
  const sessionId = readSessionId(r);
  const cipherSuite = r.u16('cipher_suite');
  const compressionMethod = r.u8('compression_method');
  const extensions = readExtensions(r);
  return { version, random, sessionId, cipherSuite, compressionMethod, extensions };
}

/** Inverse of {@link decodeServerHello}. */
export function encodeServerHello(m: ServerHello): Uint8Array {
  return concatBytes(
    u16(m.version),
    m.random,
    opaque8(m.sessionId),
    u16(m.cipherSuite),
    u8(m.compressionMethod),
    encodeExtensions(m.extensions),
  );
}

/** RFC 6347 §4.2.1: `server_version(2) cookie<0..2^8-1>`. */
export interface HelloVerifyRequest {
  /** SHOULD be DTLS 1.0 whatever is negotiated afterwards, so it says nothing. */
  readonly version: number;
  readonly cookie: Uint8Array;
}

/** @throws {DecodeError} `too-short`, `trailing-bytes`. */
export function decodeHelloVerifyRequest(body: Uint8Array): HelloVerifyRequest {
  const r = new ByteReader(body);
  const version = r.u16('server_version');
  const cookie = readOpaque8(r, 'cookie');
  r.expectEnd('HelloVerifyRequest');
  return { version, cookie };
}

/** Inverse of {@link decodeHelloVerifyRequest}. */
export function encodeHelloVerifyRequest(m: HelloVerifyRequest): Uint8Array {
  return concatBytes(u16(m.version), opaque8(m.cookie));
}
