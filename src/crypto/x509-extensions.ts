import { DecodeError, decodeUtf8, formatIp, parseIp, utf8 } from '../core/index.ts';
import {
  bitString,
  boolean,
  contextTagOf,
  type DerElement,
  decodeDer,
  encodeDer,
  implicit,
  isBoolean,
  isInteger,
  octetString,
  oid,
  readBits,
  readBoolean,
  readOctetString,
  readOid,
  readPrimitive,
  readSequence,
  readSmallInteger,
  sequence,
  smallInteger,
} from './der.ts';

/** The certificate extensions that decide what a key may do and whom it belongs to (RFC 5280 §4.2.1). */

/** RFC 5280 §4.2.1.3, in bit order. */
const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

export type KeyUsage = (typeof KEY_USAGES)[number];

/** RFC 5280 §4.2.1.9. */
export interface BasicConstraints {
  readonly ca: boolean;
  /** The most intermediate certificates that may follow in a chain. */
  readonly pathLength?: number;
}

/** RFC 5280 §4.2.1.6; kinds that name no host are kept by their tag only. */
export type GeneralName =
  | { readonly type: 'dns'; readonly value: string }
  /** Canonical text. */
  | { readonly type: 'ip'; readonly value: string }
  | { readonly type: 'other'; readonly tag: number };

/** RFC 5280 §4.2.1.12 purposes by their usual names; others stay dotted numbers. */
export type ExtendedKeyUsage = 'serverAuth' | 'clientAuth' | 'anyExtendedKeyUsage' | (string & Record<never, never>);

export interface Extensions {
  readonly keyUsage?: readonly KeyUsage[];
  readonly extendedKeyUsage?: readonly ExtendedKeyUsage[];
  readonly basicConstraints?: BasicConstraints;
  readonly subjectAltNames?: readonly GeneralName[];
  /** Critical extensions that nobody here understands: the certificate must be rejected (RFC 5280 §4.2). */
  readonly unknownCritical: readonly string[];
}

const OID_KEY_USAGE = '2.5.29.15';
const OID_SUBJECT_ALT_NAME = '2.5.29.17';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const OID_NAME_CONSTRAINTS = '2.5.29.30';
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';
const PURPOSES: Readonly<Record<string, string>> = {
  '1.3.6.1.5.5.7.3.1': 'serverAuth',
  '1.3.6.1.5.5.7.3.2': 'clientAuth',
  '2.5.29.37.0': 'anyExtendedKeyUsage',
};

/** Most extensions read from one certificate. */
export const MAX_EXTENSIONS = 64;

const TAG_DNS = 2;
const TAG_IP = 7;

/** @throws {DecodeError} also `duplicate` for an extension that stands twice (RFC 5280 §4.2). */
export function readExtensions(element: DerElement): Extensions {
  const extensions = readSequence(element, 'extensions');
  const seen = new Set<string>();
  const unknownCritical: string[] = [];
  const found: { -readonly [K in keyof Extensions]?: Extensions[K] } = {};
  while (!extensions.done) {
    const extension = readSequence(extensions.next('extension'), 'extension');
    const id = readOid(extension.next('extnID'), 'extnID');
    const criticalElement = extension.optional(isBoolean);
    const critical = criticalElement !== undefined && readBoolean(criticalElement, 'critical');
    const value = readOctetString(extension.next('extnValue'), 'extnValue');
    extension.expectEnd();
    if (seen.has(id)) throw new DecodeError('duplicate', 'extension', 0);
    seen.add(id);
    if (seen.size > MAX_EXTENSIONS) throw new DecodeError('too-many', 'extensions', 0);
    if (id === OID_KEY_USAGE) found.keyUsage = readKeyUsage(value);
    else if (id === OID_EXTENDED_KEY_USAGE) found.extendedKeyUsage = readExtendedKeyUsage(value);
    else if (id === OID_BASIC_CONSTRAINTS) found.basicConstraints = readBasicConstraints(value);
    else if (id === OID_SUBJECT_ALT_NAME) found.subjectAltNames = readGeneralNames(value);
    // RFC 5280 §4.2.1.10: name constraints MUST be critical; where a CA forgot, they are not to be overlooked either.
    else if (critical || id === OID_NAME_CONSTRAINTS) unknownCritical.push(id);
  }
  return { ...found, unknownCritical };
}

function readKeyUsage(value: Uint8Array): KeyUsage[] {
  const { bits } = readBits(decodeDer(value, 'keyUsage'), 'keyUsage');
  return KEY_USAGES.filter((_, i) => ((bits[i >> 3] ?? 0) & (0x80 >> (i & 7))) !== 0);
}

function readExtendedKeyUsage(value: Uint8Array): ExtendedKeyUsage[] {
  const purposes = readSequence(decodeDer(value, 'extKeyUsage'), 'extKeyUsage');
  const usages: ExtendedKeyUsage[] = [];
  while (!purposes.done) {
    const id = readOid(purposes.next('purpose'), 'purpose');
    usages.push(PURPOSES[id] ?? id);
  }
  return usages;
}

function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const fields = readSequence(decodeDer(value, 'basicConstraints'), 'basicConstraints');
  const caElement = fields.optional(isBoolean);
  const ca = caElement !== undefined && readBoolean(caElement, 'cA');
  const pathElement = fields.optional(isInteger);
  fields.expectEnd();
  return pathElement === undefined ? { ca } : { ca, pathLength: readSmallInteger(pathElement, 'pathLenConstraint') };
}

function readGeneralNames(value: Uint8Array): GeneralName[] {
  const elements = readSequence(decodeDer(value, 'subjectAltName'), 'subjectAltName');
  const names: GeneralName[] = [];
  while (!elements.done) {
    const element = elements.next('GeneralName');
    const tag = contextTagOf(element);
    if (tag === undefined) throw new DecodeError('bad-type', 'GeneralName', 0);
    if (tag === TAG_DNS) names.push(readDnsName(readPrimitive(element, 'dNSName')));
    else if (tag === TAG_IP) names.push(readIpName(readPrimitive(element, 'iPAddress')));
    else names.push({ type: 'other', tag });
  }
  return names;
}

function readDnsName(bytes: Uint8Array): GeneralName {
  const value = decodeUtf8(bytes);
  // RFC 5280 §4.2.1.6: an IA5String; a NUL inside has fooled C readers about where the name ends.
  if (value === undefined || !/^[\x21-\x7e]+$/.test(value)) throw new DecodeError('bad-value', 'dNSName', 0);
  return { type: 'dns', value };
}

function readIpName(bytes: Uint8Array): GeneralName {
  if (bytes.length !== 4 && bytes.length !== 16) throw new DecodeError('bad-length', 'iPAddress', 0);
  return { type: 'ip', value: formatIp(bytes) };
}

/** What {@link writeExtensions} is given; absent means that the extension is not written. */
export interface ExtensionOptions {
  readonly keyUsage?: readonly KeyUsage[];
  readonly extendedKeyUsage?: readonly ExtendedKeyUsage[];
  readonly basicConstraints?: BasicConstraints;
  /** Host names and IP addresses. */
  readonly subjectAltNames?: readonly string[];
}

/** Undefined when there is nothing to write. */
export function writeExtensions(options: ExtensionOptions): DerElement | undefined {
  const extensions: DerElement[] = [];
  const { basicConstraints, keyUsage, extendedKeyUsage, subjectAltNames } = options;
  if (basicConstraints !== undefined) {
    const { ca, pathLength } = basicConstraints;
    const fields = [...(ca ? [boolean(true)] : []), ...(pathLength === undefined ? [] : [smallInteger(pathLength)])];
    extensions.push(extension(OID_BASIC_CONSTRAINTS, true, sequence(...fields)));
  }
  if (keyUsage !== undefined) extensions.push(extension(OID_KEY_USAGE, true, writeKeyUsage(keyUsage)));
  if (extendedKeyUsage !== undefined) {
    const purposes = extendedKeyUsage.map((usage) => oid(purposeOid(usage)));
    extensions.push(extension(OID_EXTENDED_KEY_USAGE, false, sequence(...purposes)));
  }
  if (subjectAltNames !== undefined) {
    extensions.push(extension(OID_SUBJECT_ALT_NAME, false, sequence(...subjectAltNames.map(writeGeneralName))));
  }
  return extensions.length === 0 ? undefined : sequence(...extensions);
}

function extension(id: string, critical: boolean, value: DerElement): DerElement {
  // X.690 §11.5: a DEFAULT value, here FALSE, is left out.
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(encodeDer(value)));
}

/** X.690 §11.2.2: a named bit list ends at its last one bit. */
function writeKeyUsage(usages: readonly KeyUsage[]): DerElement {
  const bits = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const count = Math.max(-1, ...bits) + 1;
  const bytes = new Uint8Array(Math.ceil(count / 8));
  for (const bit of bits) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
  return bitString(bytes, 8 * bytes.length - count);
}

function purposeOid(usage: ExtendedKeyUsage): string {
  return Object.keys(PURPOSES).find((id) => PURPOSES[id] === usage) ?? usage;
}

function writeGeneralName(name: string): DerElement {
  const ip = parseIp(name);
  return ip === undefined ? implicit(TAG_DNS, utf8(name)) : implicit(TAG_IP, ip);
}
