/**
 * The STUN message type (RFC 8489 §5): a 12-bit method and a 2-bit class, interleaved so that the four types of RFC 3489
 * kept their numbers.
 *
 * ```text
 *   2   3  4 5 6 7 8 9 0 1 2 3 4 5
 * +---+---+-+-+-+-+-+-+-+-+-+-+-+-+
 * |M11|M10|M|M|M|C|M|M|M|C|M|M|M|M|
 * |   |   |9|8|7|1|6|5|4|0|3|2|1|0|
 * +---+---+-+-+-+-+-+-+-+-+-+-+-+-+
 * ```
 */

/** In network byte order behind type and length; RFC 8489 §5. */
export const MAGIC_COOKIE = 0x2112_a442;

/** Type, length, cookie and transaction ID. */
export const HEADER_BYTES = 20;

/** Bytes of a transaction ID; 16 in messages of RFC 3489 clients, where the cookie is a part of it. */
export const TRANSACTION_ID_BYTES = 12;

export type StunClass = 'request' | 'indication' | 'success' | 'error';

/** The IANA registry "STUN Methods" (RFC 8489 §18.2, RFC 8656 §17, RFC 6062 §6.1). */
export const STUN_METHODS = {
  Binding: 0x001,
  Allocate: 0x003,
  Refresh: 0x004,
  Send: 0x006,
  Data: 0x007,
  CreatePermission: 0x008,
  ChannelBind: 0x009,
  Connect: 0x00a,
  ConnectionBind: 0x00b,
  ConnectionAttempt: 0x00c,
  'GOOG-PING': 0x080,
} as const;

export type StunMethodName = keyof typeof STUN_METHODS;

const CLASSES: readonly StunClass[] = ['request', 'indication', 'success', 'error'];
const CLASS_BITS: Readonly<Record<StunClass, number>> = {
  request: 0x0000,
  indication: 0x0010,
  success: 0x0100,
  error: 0x0110,
};

/** Method and class to the 14-bit message type (RFC 8489 appendix A). */
export function encodeMessageType(messageClass: StunClass, method: number): number {
  return CLASS_BITS[messageClass] | ((method & 0x1f80) << 2) | ((method & 0x0070) << 1) | (method & 0x000f);
}

/** The class in a message type. */
export function classOfType(type: number): StunClass {
  return CLASSES[((type & 0x0100) >> 7) | ((type & 0x0010) >> 4)]!;
}

/** The 12-bit method in a message type. */
export function methodOfType(type: number): number {
  return ((type & 0x3e00) >> 2) | ((type & 0x00e0) >> 1) | (type & 0x000f);
}

const METHOD_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(STUN_METHODS).map(([name, method]) => [method, name]),
);

/** The IANA name of a method, or its number in hexadecimal: for logs. */
export function methodName(method: number): string {
  return METHOD_NAMES.get(method) ?? `0x${method.toString(16).padStart(3, '0')}`;
}
