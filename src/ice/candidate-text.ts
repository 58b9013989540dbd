import { canonicalIp, DecodeError } from '../core/index.ts';
import { type IceCandidate, type IceCandidateType, type IceTcpType, MAX_PRIORITY } from './candidate.ts';

/**
 * The text of a candidate (RFC 8839 §5.1):
 *
 * ```text
 * candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>
 *     [raddr <address>] [rport <port>] *(<name> <value>)
 * ```
 *
 * `tcptype` is the extension of RFC 6544 §4.5; browsers append `generation`, `ufrag`, `network-id`, `network-cost`.
 */

/** Longest line that is read: a candidate has under 200 characters; RFC 8839 sets no bound. */
export const MAX_CANDIDATE_TEXT = 1024;

/** Extension pairs that are kept; more is refused. */
export const MAX_CANDIDATE_EXTENSIONS = 32;

const TYPES: readonly string[] = ['host', 'srflx', 'prflx', 'relay'] satisfies IceCandidateType[];
const TCP_TYPES: readonly string[] = ['active', 'passive', 'so'] satisfies IceTcpType[];

/**
 * Reads `candidate:…` or `a=candidate:…`. Addresses come back in canonical form; a host name (`….local`) as it is.
 * Unknown extensions are kept (RFC 8839 §5.1: "MUST ignore any name/value pairs it doesn't understand").
 * @throws {DecodeError} `too-short` a field is missing; `bad-value` a field outside its grammar; `unsupported` a
 * transport other than UDP and TCP, or an unknown candidate type; `trailing-bytes` an extension without a value;
 * `too-many` extensions; `bad-length` text over {@link MAX_CANDIDATE_TEXT} characters.
 */
export function parseCandidate(text: string): IceCandidate {
  if (text.length > MAX_CANDIDATE_TEXT) throw new DecodeError('bad-length', 'candidate', MAX_CANDIDATE_TEXT);
  const body = /^(?:a=)?candidate:(.*?)(?:\r?\n)?$/i.exec(text)?.[1];
  if (body === undefined) throw new DecodeError('bad-type', 'candidate', 0);
  // Some peers leave a blank at the end of the line; libwebrtc does not mind either.
  const fields = new FieldReader(body.trimEnd().split(' '), text.length - body.length);
  // RFC 8839 §5.1 has 1 to 32 ice-chars; some peers write a UUID, and browsers take any token.
  const foundation = fields.match('foundation', /^[!-~]{1,64}$/);
  const component = fields.integer('component-id', 1, 256);
  const transport = fields.match('transport', /^[!-~]{1,32}$/).toLowerCase();
  const priority = fields.integer('priority', 0, 0xffff_ffff);
  const address = readAddress(fields, 'connection-address');
  const port = fields.integer('port', 0, 65_535);
  fields.keyword('typ');
  const type = fields.match('cand-type', /^[!-~]{1,32}$/);
  if (transport !== 'udp' && transport !== 'tcp') throw new DecodeError('unsupported', 'transport', 0);
  if (!isType(type)) throw new DecodeError('unsupported', 'cand-type', 0);
  // Some stacks write the whole unsigned 32-bit range; the formula of RFC 8445 §6.1.2.3 needs the 31 bits of RFC 8839.
  const bounded = Math.min(Math.max(priority, 1), MAX_PRIORITY);

  const relatedAddress = fields.optionalKeyword('raddr') ? readAddress(fields, 'rel-addr') : undefined;
  const relatedPort = fields.optionalKeyword('rport') ? fields.integer('rel-port', 0, 65_535) : undefined;
  const extensions = readExtensions(fields);
  const tcpType = transport === 'tcp' ? extensions.find(([name]) => name === 'tcptype')?.[1] : undefined;
  if (tcpType !== undefined && !isTcpType(tcpType)) throw new DecodeError('bad-value', 'tcptype', 0);
  const usernameFragment = extensions.find(([name]) => name === 'ufrag')?.[1];
  return {
    foundation,
    component,
    protocol: transport,
    priority: bounded,
    address,
    port,
    type,
    ...(relatedAddress !== undefined && { relatedAddress }),
    ...(relatedPort !== undefined && { relatedPort }),
    ...(tcpType !== undefined && { tcpType }),
    ...(usernameFragment !== undefined && { usernameFragment }),
    ...(extensions.length > 0 && { extensions }),
  };
}

/**
 * Writes `candidate:…` without `a=`, as browsers hand it to `addIceCandidate`. Extensions keep their order; `tcptype`
 * and `ufrag` are added when the candidate has them and the extensions do not.
 */
export function formatCandidate(candidate: IceCandidate): string {
  const c = candidate;
  let text = `candidate:${c.foundation} ${c.component} ${c.protocol} ${c.priority} ${c.address} ${c.port} typ ${c.type}`;
  if (c.relatedAddress !== undefined) text += ` raddr ${c.relatedAddress}`;
  if (c.relatedPort !== undefined) text += ` rport ${c.relatedPort}`;
  const names = new Set(c.extensions?.map(([name]) => name));
  if (c.tcpType !== undefined && !names.has('tcptype')) text += ` tcptype ${c.tcpType}`;
  for (const [name, value] of c.extensions ?? []) text += ` ${name} ${value}`;
  if (c.usernameFragment !== undefined && !names.has('ufrag')) text += ` ufrag ${c.usernameFragment}`;
  return text;
}

function isType(text: string): text is IceCandidateType {
  return TYPES.includes(text);
}

function isTcpType(text: string): text is IceTcpType {
  return TCP_TYPES.includes(text);
}

/** An IP address in canonical form, or a name: RFC 8839 §5.1 tells IPv6 by its colon. */
function readAddress(fields: FieldReader, field: string): string {
  const text = fields.match(field, /^[A-Za-z0-9.:-]{1,255}$/);
  const ip = canonicalIp(text);
  if (ip !== undefined) return ip;
  // A name: not something that only looks like a broken address.
  if (text.includes(':') || !/[A-Za-z]$/.test(text)) throw new DecodeError('bad-value', field, 0);
  return text;
}

function readExtensions(fields: FieldReader): (readonly [string, string])[] {
  const extensions: (readonly [string, string])[] = [];
  while (!fields.done) {
    if (extensions.length === MAX_CANDIDATE_EXTENSIONS) throw new DecodeError('too-many', 'cand-extension', 0);
    const name = fields.match('extension-att-name', /^[!-~]+$/);
    if (fields.done) throw new DecodeError('trailing-bytes', 'extension-att-value', 0);
    extensions.push([name, fields.match('extension-att-value', /^[!-~]*$/)]);
  }
  return extensions;
}

/** Fields between single spaces; each read names its field and knows the column. */
class FieldReader {
  readonly #fields: readonly string[];
  #next = 0;
  #column: number;

  constructor(fields: readonly string[], column: number) {
    this.#fields = fields;
    this.#column = column;
  }

  get done(): boolean {
    return this.#next >= this.#fields.length;
  }

  match(field: string, grammar: RegExp): string {
    const text = this.#fields[this.#next];
    if (text === undefined) throw new DecodeError('too-short', field, this.#column);
    if (!grammar.test(text)) throw new DecodeError('bad-value', field, this.#column);
    this.#next++;
    this.#column += text.length + 1;
    return text;
  }

  integer(field: string, least: number, most: number): number {
    const at = this.#column;
    const value = Number(this.match(field, /^\d{1,10}$/));
    if (value < least || value > most) throw new DecodeError('bad-value', field, at);
    return value;
  }

  keyword(word: string): void {
    this.match(word, new RegExp(`^${word}$`));
  }

  optionalKeyword(word: string): boolean {
    if (this.#fields[this.#next] !== word) return false;
    this.keyword(word);
    return true;
  }
}
