import { BmpString, IA5String, PrintableString, TeletexString, UniversalString, Utf8String } from 'asn1js';
import { DecodeError } from '../core/index.ts';
import { type DerElement, elementBytes, oid, readOid, readSequence, readSet, sequence, set } from './der.ts';

/** Distinguished names (RFC 5280 §4.1.2.4): who a certificate is about, and who says so. */

const OID_COMMON_NAME = '2.5.4.3';

/** RFC 4519 §2 short names, for people. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  [OID_COMMON_NAME]: 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.25': 'DC',
};

/** Longest `DistinguishedName.text`. */
export const MAX_NAME_TEXT = 256;

export interface DistinguishedName {
  /** The encoding, by which names are compared: RFC 5280 §7.1 lets an issuer repeat its subject octet for octet. */
  readonly der: Uint8Array;
  /**
   * For logs, in the order of the certificate: `C=DE, O=Example, CN=host`. The peer chose it: it proves nothing, control
   * characters are shown as `?`, and at most {@link MAX_NAME_TEXT} characters are kept.
   */
  readonly text: string;
  /** The last common name, if there is one. */
  readonly commonName?: string;
}

/** @throws {DecodeError} */
export function readName(element: DerElement, field: string): DistinguishedName {
  const parts: string[] = [];
  let commonName: string | undefined;
  const names = readSequence(element, field);
  while (!names.done) {
    const attributes = readSet(names.next(field), field);
    while (!attributes.done) {
      const attribute = readSequence(attributes.next(field), field);
      const type = readOid(attribute.next('attribute type'), 'attribute type');
      const value = readText(attribute.next('attribute value'));
      attribute.expectEnd();
      if (type === OID_COMMON_NAME) commonName = value;
      parts.push(`${SHORT_NAMES[type] ?? type}=${value ?? '?'}`);
    }
  }
  const text = parts
    .join(', ')
    .replace(/\p{Cc}/gu, '?')
    .slice(0, MAX_NAME_TEXT);
  const name = { der: elementBytes(element), text };
  return commonName === undefined ? name : { ...name, commonName };
}

/** RFC 5280 §4.1.2.4 `DirectoryString` and IA5String; other types have no text. */
function readText(element: DerElement): string | undefined {
  if (
    element instanceof Utf8String ||
    element instanceof PrintableString ||
    element instanceof IA5String ||
    element instanceof TeletexString ||
    element instanceof BmpString ||
    element instanceof UniversalString
  ) {
    const value: unknown = element.getValue();
    if (typeof value !== 'string') throw new DecodeError('bad-value', 'attribute value', 0);
    return value;
  }
  return undefined;
}

/** A name of one common name, as self-signed certificates have it. */
export function commonNameOnly(commonName: string): DerElement {
  return sequence(set(sequence(oid(OID_COMMON_NAME), new Utf8String({ value: commonName }))));
}
