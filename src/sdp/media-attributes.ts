import { attributeValue, attributeValues, hasAttribute } from './attributes.ts';
import { decimal, fields, trimBlanks } from './grammar.ts';
import type { AttributeScope } from './model.ts';

/*
 * Typed reading of what sections of media say. Data channels need none of it: it is for those who inspect or relay
 * descriptions. Malformed values are left out, as unknown ones are; the attributes themselves stay as they were.
 */

/** RFC 8866 §6.7. */
export type Direction = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

/** `a=rtpmap` (RFC 8866 §6.6). */
export interface RtpMap {
  readonly payloadType: number;
  readonly encoding: string;
  readonly clockRate: number;
  /** Such as the number of channels. */
  readonly parameters: string | undefined;
}

/** `a=extmap` (RFC 8285 §8). */
export interface ExtMap {
  readonly id: number;
  readonly direction: Direction | undefined;
  readonly uri: string;
  readonly attributes: string | undefined;
}

/** `a=msid` (RFC 8830 §2). */
export interface Msid {
  readonly id: string;
  readonly appData: string | undefined;
}

/** `a=ssrc` (RFC 5576 §4.1). */
export interface Ssrc {
  readonly ssrc: number;
  readonly attribute: string;
  readonly value: string | undefined;
}

/** `a=rid` (RFC 8851 §10). */
export interface Rid {
  readonly id: string;
  readonly direction: 'send' | 'recv';
  readonly restrictions: string | undefined;
}

/** One of `a=remote-candidates` (RFC 8839 §5.2). */
export interface RemoteCandidate {
  readonly component: number;
  readonly ip: string;
  readonly port: number;
}

const DIRECTIONS: readonly Direction[] = ['sendrecv', 'sendonly', 'recvonly', 'inactive'];

/** The section's own direction, the session's, or `sendrecv` (RFC 8866 §6.7). */
export function readDirection(media: AttributeScope, session: AttributeScope): Direction {
  for (const scope of [media, session])
    for (const direction of DIRECTIONS) if (hasAttribute(scope, direction)) return direction;
  return 'sendrecv';
}

/** `<payload type> <encoding name>/<clock rate>[/<encoding parameters>]` */
export function readRtpMaps(media: AttributeScope): RtpMap[] {
  return attributeValues(media, 'rtpmap').flatMap((text) => {
    const [type, map] = fields(text);
    const [encoding, rate, parameters] = (map ?? '').split('/');
    const payloadType = decimal(type ?? '', 127);
    const clockRate = decimal(rate ?? '', 0xffff_ffff);
    return payloadType === undefined || clockRate === undefined || !encoding
      ? []
      : [{ payloadType, encoding, clockRate, parameters }];
  });
}

/** `a=fmtp` parameters by format (RFC 8866 §6.15), as written. */
export function readFormatParameters(media: AttributeScope): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const text of attributeValues(media, 'fmtp')) {
    const [format, rest] = cut(text);
    if (rest !== undefined) parameters.set(format, rest);
  }
  return parameters;
}

/** `a=extmap:<id>["/"<direction>] <URI> [attributes]` */
export function readExtMaps(scope: AttributeScope): ExtMap[] {
  return attributeValues(scope, 'extmap').flatMap((text) => {
    const [key, rest] = cut(text);
    const [idText, directionText] = key.split('/');
    const id = decimal(idText ?? '', 0xffff);
    const direction = DIRECTIONS.find((d) => d === directionText);
    if (id === undefined || rest === undefined || (directionText !== undefined && direction === undefined)) return [];
    const [uri, attributes] = cut(rest);
    return [{ id, direction, uri, attributes }];
  });
}

/** Whether one- and two-byte header extensions may be mixed (RFC 8285 §6), at either level. */
export function allowsMixedExtMaps(media: AttributeScope, session: AttributeScope): boolean {
  return hasAttribute(media, 'extmap-allow-mixed') || hasAttribute(session, 'extmap-allow-mixed');
}

/** The stream identifiers of a section. */
export function readMsids(media: AttributeScope): Msid[] {
  return attributeValues(media, 'msid').flatMap((text) => {
    const [id, appData] = fields(text);
    return id === undefined ? [] : [{ id, appData }];
  });
}

/** `a=msid-semantic`, from drafts of RFC 8830: the token, usually `WMS`, and stream ids or `*`. */
export function readMsidSemantic(
  session: AttributeScope,
): { readonly semantic: string; readonly ids: readonly string[] } | undefined {
  const [semantic, ...ids] = fields(attributeValue(session, 'msid-semantic') ?? '');
  return semantic === undefined ? undefined : { semantic, ids };
}

/** `a=ssrc:<ssrc-id> <attribute>[:<value>]` */
export function readSsrcs(media: AttributeScope): Ssrc[] {
  return attributeValues(media, 'ssrc').flatMap((text): Ssrc[] => {
    const [id, rest] = cut(text);
    const ssrc = decimal(id, 0xffff_ffff);
    if (ssrc === undefined || rest === undefined) return [];
    const colon = rest.indexOf(':');
    return colon < 0
      ? [{ ssrc, attribute: rest, value: undefined }]
      : [{ ssrc, attribute: rest.slice(0, colon), value: rest.slice(colon + 1) }];
  });
}

/** `a=rid:<id> <direction> [restrictions]` */
export function readRids(media: AttributeScope): Rid[] {
  return attributeValues(media, 'rid').flatMap((text) => {
    const [id, rest] = cut(text);
    const [direction, restrictions] = cut(rest ?? '');
    return direction === 'send' || direction === 'recv' ? [{ id, direction, restrictions }] : [];
  });
}

/** `a=remote-candidates`: what a controlling agent of RFC 8839 §5.2 has chosen. JSEP ignores it. */
export function readRemoteCandidates(media: AttributeScope): RemoteCandidate[] {
  const candidates: RemoteCandidate[] = [];
  const parts = fields(attributeValue(media, 'remote-candidates') ?? '');
  for (let i = 0; i + 2 < parts.length; i += 3) {
    const component = decimal(parts[i] ?? '', 256);
    const port = decimal(parts[i + 2] ?? '', 65_535);
    const ip = parts[i + 1];
    if (component !== undefined && port !== undefined && ip !== undefined) candidates.push({ component, ip, port });
  }
  return candidates;
}

/** Splits at the first run of blanks. */
function cut(text: string): [string, string | undefined] {
  const at = text.search(/[ \t]/);
  return at < 0 ? [text, undefined] : [text.slice(0, at), trimBlanks(text.slice(at))];
}
