import { checkAttribute } from './attributes.ts';
import {
  MAX_SDP_CANDIDATES,
  MAX_SDP_LENGTH,
  MAX_SDP_LINE_LENGTH,
  MAX_SDP_LINES,
  MAX_SDP_MEDIA,
  SdpError,
} from './error.ts';
import {
  DIGITS,
  decimal,
  fields,
  isVisible,
  PROTO,
  SIGNED_TYPED_TIME,
  TOKEN,
  TYPED_TIME,
  trimBlanks,
} from './grammar.ts';
import {
  type Attribute,
  type Bandwidth,
  type Connection,
  type MediaDescription,
  type Origin,
  type Repeat,
  type SessionDescription,
  UNSPECIFIED_CONNECTION,
  type ZoneAdjustment,
} from './model.ts';

type Draft<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer U)[] ? U[] : T[K] };

/**
 * Reads a description (RFC 8866 §5). Strict about what a line says, lenient about what real peers get wrong in how it is
 * laid out: LF or CR alone as line ends, blank lines, blanks before a line or between fields, lines out of order, and
 * missing `o=`, `s=`, `t=` and `c=` lines, which read as `o=- 0 0 IN IP4 0.0.0.0`, `s=-`, `t=0 0` and
 * `c=IN IP4 0.0.0.0`. Unknown attributes are kept as they are (RFC 8866 §5.13); an unknown line type is an error (§5).
 *
 * What a browser writes comes out of {@link writeSdp} character for character.
 *
 * @throws {SdpError} with the 1-based line; also when one of the bounds `MAX_SDP_*` is passed.
 * @example
 * const offer = parseSdp(message.sdp);
 * offer.media.map((m) => m.media); // ['application']
 */
export function parseSdp(text: string): SessionDescription {
  return new Parser().parse(text);
}

class Parser {
  #line = 0;
  #session: Draft<SessionDescription> | undefined;
  #media: Draft<MediaDescription> | undefined;
  readonly #sections: Draft<MediaDescription>[] = [];
  #time: { start: string; stop: string; repeats: Repeat[]; zones: ZoneAdjustment[] } | undefined;
  readonly #mids = new Set<string>();
  #candidates = 0;
  readonly #seen = new Set<string>();

  parse(text: string): SessionDescription {
    if (text.length > MAX_SDP_LENGTH) throw new SdpError(`over ${MAX_SDP_LENGTH} characters`, 1);
    const lines = text.split(/\r\n|\n|\r/, MAX_SDP_LINES + 1);
    if (lines.length > MAX_SDP_LINES) throw new SdpError(`over ${MAX_SDP_LINES} lines`, MAX_SDP_LINES + 1);
    for (const raw of lines) {
      this.#line++;
      if (raw.length > MAX_SDP_LINE_LENGTH) throw this.#error(`over ${MAX_SDP_LINE_LENGTH} characters`);
      const nul = raw.indexOf('\u0000');
      if (nul >= 0) throw this.#error('a NUL character', nul + 1);
      const line = raw.replace(/^[ \t\ufeff]+/, '');
      if (line !== '') this.#readLine(line);
    }
    return this.#finish();
  }

  #readLine(line: string): void {
    const type = line.charAt(0);
    if (line.charAt(1) !== '=') throw this.#error('not of the form <type>=<value>', 1);
    const value = line.slice(2);
    if (this.#session === undefined) {
      if (type !== 'v') throw this.#error('a description starts with v=', 1);
      if (trimBlanks(value) !== '0') throw this.#error('only version 0 is known', 3);
      this.#session = newSession();
    } else if (type === 'm') this.#startMedia(value);
    else if (this.#media === undefined) this.#sessionLine(this.#session, type, value);
    else this.#mediaLine(this.#media, type, value);
  }

  #sessionLine(session: Draft<SessionDescription>, type: string, value: string): void {
    switch (type) {
      case 'o':
        this.#once(type);
        session.origin = this.#origin(value);
        return;
      case 's':
        this.#once(type);
        session.sessionName = value === '' ? '-' : value;
        return;
      case 'u':
        this.#once(type);
        session.uri = this.#text(value);
        return;
      case 'e':
        session.emails.push(this.#text(value));
        return;
      case 'p':
        session.phones.push(this.#text(value));
        return;
      case 'c':
        this.#once(type);
        session.connection = this.#connection(value);
        return;
      case 't':
        this.#startTime(session, value);
        return;
      case 'r':
        this.#repeat(value);
        return;
      case 'z':
        this.#zones(value);
        return;
      default:
        this.#commonLine(session, type, value);
    }
  }

  #mediaLine(media: Draft<MediaDescription>, type: string, value: string): void {
    if (type === 'c') media.connections.push(this.#connection(value));
    else this.#commonLine(media, type, value);
  }

  /** The line types that stand at both levels: i= b= k= a=. */
  #commonLine(scope: Draft<SessionDescription> | Draft<MediaDescription>, type: string, value: string): void {
    switch (type) {
      case 'i':
        this.#once(type);
        scope.information = this.#text(value);
        return;
      case 'b':
        scope.bandwidths.push(this.#bandwidth(value));
        return;
      case 'k':
        this.#once(type);
        scope.key = this.#text(value);
        return;
      case 'a':
        scope.attributes.push(this.#attribute(value));
        return;
      default:
        // RFC 8866 §5: a parser must ignore a description with a type letter that it does not understand.
        throw this.#error(`a line of type ${JSON.stringify(type)} does not belong here`, 1);
    }
  }

  #startMedia(value: string): void {
    if (this.#sections.length === MAX_SDP_MEDIA) throw this.#error(`over ${MAX_SDP_MEDIA} m= sections`);
    this.#media = newMedia(this.#mediaField(value));
    this.#sections.push(this.#media);
    this.#candidates = 0;
    this.#seen.clear();
  }

  #mediaField(value: string): Pick<MediaDescription, 'media' | 'port' | 'portCount' | 'proto' | 'formats'> {
    const [media, portText, proto, ...formats] = fields(value);
    if (media === undefined || portText === undefined || proto === undefined)
      throw this.#error('m= needs media, port, proto and formats');
    if (!TOKEN.test(media)) throw this.#error('malformed media', 3);
    const slash = portText.indexOf('/');
    const port = decimal(slash < 0 ? portText : portText.slice(0, slash), 65_535);
    if (port === undefined) throw this.#error(`not a port: ${quote(portText)}`);
    const portCount = slash < 0 ? undefined : decimal(portText.slice(slash + 1), 65_535);
    if (slash >= 0 && !portCount) throw this.#error(`not a number of ports: ${quote(portText)}`);
    if (!PROTO.test(proto)) throw this.#error(`malformed proto ${quote(proto)}`);
    for (const format of formats) if (!TOKEN.test(format)) throw this.#error(`malformed format ${quote(format)}`);
    // Sections that are rejected with no format at all occur; RFC 8866 §9 wants one, and `0` is what browsers put there.
    if (formats.length === 0) formats.push('0');
    return { media, port, portCount, proto, formats };
  }

  #origin(value: string): Origin {
    const [username, sessionId, sessionVersion, netType, addrType, address, ...rest] = fields(value);
    if (
      username === undefined ||
      sessionId === undefined ||
      sessionVersion === undefined ||
      netType === undefined ||
      addrType === undefined ||
      address === undefined ||
      rest.length > 0
    )
      throw this.#error('o= needs six fields');
    // Negative session ids come from signed 64-bit bugs that RFC 9429 §5.2.1 warns of.
    if (!/^-?[0-9]+$/.test(sessionId)) throw this.#error('malformed sess-id');
    if (!/^-?[0-9]+$/.test(sessionVersion)) throw this.#error('malformed sess-version');
    if (!isVisible(username)) throw this.#error('malformed username');
    this.#checkAddress(netType, addrType, address);
    return { username, sessionId, sessionVersion, netType, addrType, address };
  }

  #connection(value: string): Connection {
    const [netType, addrType, address, ...rest] = fields(value);
    if (netType === undefined || addrType === undefined || address === undefined || rest.length > 0)
      throw this.#error('c= needs three fields');
    this.#checkAddress(netType, addrType, address);
    return { netType, addrType, address };
  }

  #checkAddress(netType: string, addrType: string, address: string): void {
    if (!TOKEN.test(netType) || !TOKEN.test(addrType)) throw this.#error('malformed network or address type');
    if (!isVisible(address)) throw this.#error('malformed address');
  }

  #bandwidth(value: string): Bandwidth {
    const colon = value.indexOf(':');
    const type = trimBlanks(value.slice(0, Math.max(colon, 0)));
    const amount = decimal(trimBlanks(value.slice(colon + 1)), Number.MAX_SAFE_INTEGER);
    if (!TOKEN.test(type) || amount === undefined) throw this.#error('b= is <bwtype>:<number>');
    return { type, value: amount };
  }

  #startTime(session: Draft<SessionDescription>, value: string): void {
    const [start, stop, ...rest] = fields(value);
    if (start === undefined || stop === undefined || rest.length > 0 || !DIGITS.test(start) || !DIGITS.test(stop))
      throw this.#error('t= needs a start and a stop time');
    this.#time = { start, stop, repeats: [], zones: [] };
    session.times.push(this.#time);
  }

  #repeat(value: string): void {
    const [interval, duration, ...offsets] = fields(value);
    if (this.#time === undefined) throw this.#error('r= without a t= line before it', 1);
    if (interval === undefined || duration === undefined || offsets.length === 0)
      throw this.#error('r= needs an interval, a duration and offsets');
    for (const time of [interval, duration, ...offsets])
      if (!TYPED_TIME.test(time)) throw this.#error(`malformed time ${quote(time)}`);
    this.#time.repeats.push({ interval, duration, offsets });
  }

  /** RFC 8866 §5.11: z= modifies the r= lines before it, and without one it is a syntax error. */
  #zones(value: string): void {
    const time = this.#time;
    if (time === undefined || time.repeats.length === 0) throw this.#error('z= without an r= line before it', 1);
    if (time.zones.length > 0) throw this.#error('a second z= line', 1);
    const parts = fields(value);
    if (parts.length === 0 || parts.length % 2 !== 0) throw this.#error('z= needs pairs of time and offset');
    for (let i = 0; i < parts.length; i += 2) {
      const at = parts[i] ?? '';
      const offset = parts[i + 1] ?? '';
      if (!DIGITS.test(at) || !SIGNED_TYPED_TIME.test(offset)) throw this.#error('malformed z= adjustment');
      time.zones.push({ time: at, offset });
    }
  }

  #attribute(text: string): Attribute {
    const colon = text.indexOf(':');
    const name = trimBlanks(colon < 0 ? text : text.slice(0, colon));
    const value = colon < 0 ? undefined : text.slice(colon + 1);
    if (!TOKEN.test(name)) throw this.#error('malformed attribute name', 3);
    checkAttribute(name, value, this.#media !== undefined, this.#line);
    if (this.#media !== undefined && name === 'mid') this.#mid(trimBlanks(value ?? ''));
    if (name === 'candidate' && ++this.#candidates > MAX_SDP_CANDIDATES)
      throw this.#error(`over ${MAX_SDP_CANDIDATES} candidates`);
    return { name, value };
  }

  /** RFC 5888 §4: an identification tag is unique within the description. */
  #mid(mid: string): void {
    this.#once('a=mid');
    if (this.#mids.has(mid)) throw this.#error(`a second section with mid ${quote(mid)}`);
    this.#mids.add(mid);
  }

  #once(what: string): void {
    if (this.#seen.has(what)) throw this.#error(`a second ${what.length === 1 ? `${what}=` : what} line`, 1);
    this.#seen.add(what);
  }

  #text(value: string): string {
    if (value === '') throw this.#error('an empty line value', 3);
    return value;
  }

  #finish(): SessionDescription {
    const session = this.#session;
    if (session === undefined) throw new SdpError('an empty description', 1);
    if (session.times.length === 0) session.times.push({ start: '0', stop: '0', repeats: [], zones: [] });
    for (const media of this.#sections) {
      if (media.connections.length === 0 && session.connection === undefined)
        media.connections.push(UNSPECIFIED_CONNECTION);
      session.media.push(media);
    }
    return session;
  }

  #error(message: string, column?: number): SdpError {
    return new SdpError(message, this.#line, column);
  }
}

function newSession(): Draft<SessionDescription> {
  return {
    origin: {
      username: '-',
      sessionId: '0',
      sessionVersion: '0',
      netType: 'IN',
      addrType: 'IP4',
      address: '0.0.0.0',
    },
    sessionName: '-',
    information: undefined,
    uri: undefined,
    emails: [],
    phones: [],
    connection: undefined,
    bandwidths: [],
    times: [],
    key: undefined,
    attributes: [],
    media: [],
  };
}

function newMedia(
  field: Pick<MediaDescription, 'media' | 'port' | 'portCount' | 'proto' | 'formats'>,
): Draft<MediaDescription> {
  return {
    // In the order of `emptySection`: then V8 has one shape for theirs and ours.
    media: field.media,
    port: field.port,
    portCount: field.portCount,
    proto: field.proto,
    formats: [...field.formats],
    information: undefined,
    connections: [],
    bandwidths: [],
    key: undefined,
    attributes: [],
  };
}

/** Quotes a field for a message, cut so that a hostile line does not flood a log. */
function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
