import { DecodeError } from '../core/index.ts';
import { decodeDer } from './der.ts';
import { checkFraming } from './der-framing.ts';
import { type KeyUsage, readExtensions } from './x509-extensions.ts';

/**
 * What a peer whose certificate is known by its fingerprint needs of it: the public key, and whether it may sign. Framing and
 * order of all fields are checked as {@link parseCertificate} does; names and dates, which nobody looks at then, are not read, as
 * that costs more than the key exchange.
 */
export interface CertificateKey {
  /** DER `SubjectPublicKeyInfo`; a view into the certificate. */
  readonly spki: Uint8Array;
  /** Absent means unrestricted (RFC 5280 §4.2.1.3). */
  readonly keyUsage?: readonly KeyUsage[];
}

const TAG_INTEGER = 0x02;
const TAG_BIT_STRING = 0x03;
const TAG_SEQUENCE = 0x30;
const TAG_VERSION = 0xa0;
/** `[1]` and `[2]` IMPLICIT BIT STRING, and `[3]` EXPLICIT SEQUENCE OF Extension. */
const TAG_ISSUER_ID = 0x81;
const TAG_SUBJECT_ID = 0x82;
const TAG_EXTENSIONS = 0xa3;

/**
 * @param der - one certificate, borrowed; at most 65,536 bytes.
 * @throws {DecodeError} and nothing else.
 */
export function readCertificateKey(der: Uint8Array): CertificateKey {
  checkFraming(der, 'certificate');
  const outer = new Elements(der, 'certificate').inside(TAG_SEQUENCE, 'certificate');
  const tbs = outer.inside(TAG_SEQUENCE, 'tbsCertificate');
  const algorithm = outer.take(TAG_SEQUENCE, 'signatureAlgorithm');
  outer.take(TAG_BIT_STRING, 'signatureValue');
  outer.expectEnd();

  const version = readVersion(tbs.takeIf(TAG_VERSION));
  tbs.take(TAG_INTEGER, 'serialNumber');
  // RFC 5280 §4.1.1.2: the algorithm inside the signed part is the one outside.
  const inner = tbs.take(TAG_SEQUENCE, 'signature');
  if (inner.length !== algorithm.length || !inner.every((byte, i) => byte === algorithm[i])) {
    throw new DecodeError('bad-value', 'signature', 0);
  }
  tbs.take(TAG_SEQUENCE, 'issuer');
  tbs.take(TAG_SEQUENCE, 'validity');
  tbs.take(TAG_SEQUENCE, 'subject');
  const spki = tbs.take(TAG_SEQUENCE, 'subjectPublicKeyInfo');
  tbs.takeIf(TAG_ISSUER_ID);
  tbs.takeIf(TAG_SUBJECT_ID);
  const extensions = tbs.takeIf(TAG_EXTENSIONS);
  tbs.expectEnd();
  if (extensions === undefined) return { spki };
  if (version !== 3) throw new DecodeError('bad-version', 'extensions', 0); // RFC 5280 §4.1.2.9
  const list = new Elements(extensions, 'extensions').inside(TAG_EXTENSIONS, 'extensions');
  const { keyUsage } = readExtensions(decodeDer(list.take(TAG_SEQUENCE, 'extensions'), 'extensions'));
  list.expectEnd();
  return keyUsage === undefined ? { spki } : { spki, keyUsage };
}

/** `[0] EXPLICIT INTEGER`, absent for v1 (RFC 5280 §4.1.2.1). */
function readVersion(element: Uint8Array | undefined): number {
  if (element === undefined) return 1;
  const explicit = new Elements(element, 'version').inside(TAG_VERSION, 'version');
  const [, length, value = 0] = explicit.take(TAG_INTEGER, 'version');
  explicit.expectEnd();
  if (length !== 1 || value > 2) throw new DecodeError('bad-version', 'version', 0);
  return value + 1;
}

/** A cursor over elements whose framing has been checked, as views. */
class Elements {
  readonly #bytes: Uint8Array;
  readonly #field: string;
  #at: number;

  constructor(bytes: Uint8Array, field: string, at = 0) {
    this.#bytes = bytes;
    this.#field = field;
    this.#at = at;
  }

  /** The element, tag and length included. @throws {DecodeError} `missing`, or `bad-type` for another tag. */
  take(tag: number, field: string): Uint8Array {
    const element = this.takeIf(tag);
    if (element !== undefined) return element;
    throw new DecodeError(this.#at < this.#bytes.length ? 'bad-type' : 'missing', field, this.#at);
  }

  takeIf(tag: number): Uint8Array | undefined {
    if (this.#bytes[this.#at] !== tag) return undefined;
    const start = this.#at;
    this.#at = this.#contentAt(start) + this.#contentLength(start);
    return this.#bytes.subarray(start, this.#at);
  }

  /** What is inside the next element. */
  inside(tag: number, field: string): Elements {
    const start = this.#at;
    return new Elements(this.take(tag, field), field, this.#contentAt(start) - start);
  }

  expectEnd(): void {
    if (this.#at < this.#bytes.length) throw new DecodeError('trailing-bytes', this.#field, this.#at);
  }

  #contentAt(start: number): number {
    const first = this.#bytes[start + 1]!;
    return start + 2 + (first < 0x80 ? 0 : first & 0x7f);
  }

  #contentLength(start: number): number {
    const first = this.#bytes[start + 1]!;
    if (first < 0x80) return first;
    let length = 0;
    for (let i = start + 2; i < start + 2 + (first & 0x7f); i++) length = (length << 8) | this.#bytes[i]!;
    return length;
  }
}
