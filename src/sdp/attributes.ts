import { SdpError } from './error.ts';
import { decimal, fields, isVisible, TOKEN, trimBlanks } from './grammar.ts';
import type { Attribute, AttributeScope } from './model.ts';

/** `a=setup` (RFC 4145 §4); `holdconn` is not used with DTLS (RFC 8842 §5.1). */
export type Setup = 'active' | 'passive' | 'actpass' | 'holdconn';

/** `a=fingerprint` (RFC 8122 §5): the hash in lower case, the bytes as upper-case hex pairs with colons. */
export interface Fingerprint {
  readonly algorithm: string;
  readonly value: string;
}

/** `a=group` (RFC 5888 §5). */
export interface Group {
  /** `BUNDLE` (RFC 9143 §5), `LS`, … */
  readonly semantics: string;
  readonly mids: readonly string[];
}

/** RFC 8841 §6.1: what a peer accepts that does not say. */
export const DEFAULT_MAX_MESSAGE_SIZE = 65_536;

/** Bytes of the hashes that a fingerprint may name (RFC 8122 §5); others are kept and cannot match. */
const HASH_BYTES = new Map([
  ['md2', 16],
  ['md5', 16],
  ['sha-1', 20],
  ['sha-224', 28],
  ['sha-256', 32],
  ['sha-384', 48],
  ['sha-512', 64],
]);

/** The first value of an attribute, blanks around it removed; undefined where it is absent, '' where it has no value. */
export function attributeValue(scope: AttributeScope, name: string): string | undefined {
  const found = findAttribute(scope, name);
  return found && trimBlanks(found.value ?? '');
}

/** The first of a name. Plain, because one negotiation asks some three hundred times. */
function findAttribute({ attributes }: AttributeScope, name: string): Attribute | undefined {
  for (let i = 0; i < attributes.length; i++) if (attributes[i]!.name === name) return attributes[i];
  return undefined;
}

/** All values of an attribute in order, blanks around them removed. */
export function attributeValues(scope: AttributeScope, name: string): string[] {
  const values: string[] = [];
  for (const attribute of scope.attributes) {
    if (attribute.name === name) values.push(trimBlanks(attribute.value ?? ''));
  }
  return values;
}

/** Whether the attribute is there, with or without a value. */
export function hasAttribute(scope: AttributeScope, name: string): boolean {
  return findAttribute(scope, name) !== undefined;
}

/** `a=mid` (RFC 5888 §4). */
export function readMid(scope: AttributeScope): string | undefined {
  return attributeValue(scope, 'mid');
}

/** All `a=group` lines. Group mids may name sections that do not exist. */
export function readGroups(scope: AttributeScope): Group[] {
  return attributeValues(scope, 'group').flatMap((value) => parseGroup(value) ?? []);
}

/** `semantics *(SP mid)`; undefined when malformed. */
export function parseGroup(value: string): Group | undefined {
  const [semantics, ...mids] = fields(value);
  return semantics !== undefined && TOKEN.test(semantics) ? { semantics, mids } : undefined;
}

/**
 * `hash-func SP fingerprint` (RFC 8122 §5), case ignored as the RFC wants for the hash and as peers need for the hex.
 * @returns undefined when malformed, or of the wrong length for its hash.
 */
export function parseFingerprint(value: string): Fingerprint | undefined {
  const [algorithm, hex, ...rest] = fields(value);
  if (algorithm === undefined || hex === undefined || rest.length > 0 || !TOKEN.test(algorithm)) return undefined;
  if (!/^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*$/.test(hex)) return undefined;
  const name = algorithm.toLowerCase();
  const bytes = HASH_BYTES.get(name);
  if (bytes !== undefined && hex.length !== 3 * bytes - 1) return undefined;
  return { algorithm: name, value: hex.toUpperCase() };
}

/** `active`, `passive`, `actpass` or `holdconn`; undefined for anything else. */
export function parseSetup(value: string): Setup | undefined {
  const setup = value.toLowerCase();
  return setup === 'active' || setup === 'passive' || setup === 'actpass' || setup === 'holdconn' ? setup : undefined;
}

/** A number of bytes (RFC 8841 §6.2), cut to the largest exact integer. */
export function parseMaxMessageSize(value: string): number | undefined {
  const bytes = decimal(value, Number.POSITIVE_INFINITY);
  return bytes === undefined ? undefined : Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

/** `sctpmap:<port> <app> [<streams>]`, from drafts of RFC 8841; aiortc and old browsers write it. */
export function parseSctpMap(value: string): { readonly port: number; readonly app: string } | undefined {
  const [portText, app] = fields(value);
  const port = decimal(portText ?? '', 65_535);
  return port === undefined || app === undefined ? undefined : { port, app };
}

type Level = 'session' | 'media' | 'both';
/** Attributes whose syntax is checked while parsing (RFC 9429 §5.8), with where they may stand. */
const CHECKS = new Map<string, { readonly level: Level; readonly valid: (value: string) => boolean }>([
  // RFC 8839 §5.4: 4*256ice-char and 22*256ice-char. Other visible characters occur and harm nobody.
  ['ice-ufrag', { level: 'both', valid: (v) => v.length >= 4 && v.length <= 256 && isVisible(v) }],
  ['ice-pwd', { level: 'both', valid: (v) => v.length >= 22 && v.length <= 256 && isVisible(v) }],
  ['ice-pacing', { level: 'both', valid: (v) => decimal(v, 9_999_999_999) !== undefined }],
  ['fingerprint', { level: 'both', valid: (v) => parseFingerprint(v) !== undefined }],
  ['setup', { level: 'both', valid: (v) => parseSetup(v) !== undefined }],
  ['tls-id', { level: 'both', valid: (v) => v.length <= 255 && isVisible(v) }],
  ['group', { level: 'session', valid: (v) => parseGroup(v) !== undefined }],
  ['mid', { level: 'media', valid: (v) => TOKEN.test(v) }],
  ['sctp-port', { level: 'media', valid: (v) => decimal(v, 65_535) !== undefined }],
  ['max-message-size', { level: 'media', valid: (v) => parseMaxMessageSize(v) !== undefined }],
  ['sctpmap', { level: 'media', valid: (v) => parseSctpMap(v) !== undefined }],
]);

/**
 * Refuses a malformed attribute that the stack depends on; all others pass, as RFC 8866 §5.13 wants. An attribute at the
 * wrong level is not read there and therefore passes too.
 * @throws {SdpError} naming `line`.
 */
export function checkAttribute(name: string, value: string | undefined, inMedia: boolean, line: number): void {
  const check = CHECKS.get(name);
  if (check === undefined || (check.level === 'session' && inMedia) || (check.level === 'media' && !inMedia)) return;
  if (!check.valid(trimBlanks(value ?? ''))) throw new SdpError(`malformed a=${name}`, line, 3);
}
