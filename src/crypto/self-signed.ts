import { concatBytes, hexToBytes, type KeyType, utf8 } from '../core/index.ts';
import { timeText } from './x509-time.ts';

/**
 * The certificate that WebRTC makes for every connection (RFC 8827 §6.5): self-signed, one common name, no extensions. It is put
 * together from ready pieces, because building the tree of it with asn1js costs five times as much as its key and signature
 * do. The tests compare the two byte by byte.
 */

const TAG_SEQUENCE = 0x30;
const TAG_SET = 0x31;
const TAG_INTEGER = 0x02;
const TAG_BIT_STRING = 0x03;
const TAG_UTF8_STRING = 0x0c;
const TAG_UTC_TIME = 0x17;
const TAG_GENERALIZED_TIME = 0x18;

/** `[0] EXPLICIT INTEGER 2`: v3. */
const VERSION_3: Uint8Array = hexToBytes('a003020102');
/** `OBJECT IDENTIFIER 2.5.4.3`. */
const COMMON_NAME: Uint8Array = hexToBytes('0603550403');
/** `AlgorithmIdentifier` of the signature (RFC 5758 §3.2, RFC 8410 §3, RFC 4055 §5). */
const ALGORITHMS: Readonly<Record<KeyType, Uint8Array>> = {
  'ecdsa-p256': hexToBytes('300a06082a8648ce3d040302'),
  'ecdsa-p384': hexToBytes('300a06082a8648ce3d040303'),
  ed25519: hexToBytes('300506032b6570'),
  rsa: hexToBytes('300d06092a864886f70d01010b0500'),
};

export interface SelfSignedFields {
  readonly keyType: KeyType;
  readonly spki: Uint8Array;
  /** Positive: the first bit is 0, and the first octet is not. */
  readonly serial: Uint8Array;
  readonly commonName: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The part that is signed (RFC 5280 §4.1). */
export function selfSignedTbs(fields: SelfSignedFields): Uint8Array {
  const name = element(
    TAG_SEQUENCE,
    element(TAG_SET, element(TAG_SEQUENCE, COMMON_NAME, element(TAG_UTF8_STRING, utf8(fields.commonName)))),
  );
  return element(
    TAG_SEQUENCE,
    VERSION_3,
    element(TAG_INTEGER, fields.serial),
    ALGORITHMS[fields.keyType],
    name,
    element(TAG_SEQUENCE, time(fields.notBeforeMs), time(fields.notAfterMs)),
    name,
    fields.spki,
  );
}

/** The certificate around it. */
export function selfSignedCertificate(tbs: Uint8Array, keyType: KeyType, signature: Uint8Array): Uint8Array {
  return element(
    TAG_SEQUENCE,
    tbs,
    ALGORITHMS[keyType],
    element(TAG_BIT_STRING, Uint8Array.of(0), signature), // no unused bits
  );
}

function time(atMs: number): Uint8Array {
  const { text, generalized } = timeText(atMs);
  return element(generalized ? TAG_GENERALIZED_TIME : TAG_UTC_TIME, utf8(text));
}

/** Tag, length in the fewest octets (X.690 §10.1), content. */
function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of content) length += part.length;
  const head =
    length < 0x80
      ? Uint8Array.of(tag, length)
      : length < 0x100
        ? Uint8Array.of(tag, 0x81, length)
        : Uint8Array.of(tag, 0x82, length >>> 8, length);
  return concatBytes(head, ...content);
}
