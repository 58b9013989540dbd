import { UsageError } from '../core/index.ts';
import { DIGITS, isText, isVisible, PROTO, SIGNED_TYPED_TIME, TOKEN, TYPED_TIME } from './grammar.ts';
import type {
  Attribute,
  Bandwidth,
  Connection,
  MediaDescription,
  SessionDescription,
  TimeDescription,
} from './model.ts';

/**
 * Writes a description in the order of RFC 8866 §9, each line ended by CRLF. Strict: what would not be valid SDP, such as
 * a value with a line break in it (which would smuggle lines in), is refused.
 * @throws {UsageError} naming the line.
 */
export function writeSdp(session: SessionDescription): string {
  const out: string[] = ['v=0'];
  const o = session.origin;
  check(isVisible(o.username), 'o=: username');
  check(/^-?[0-9]+$/.test(o.sessionId), 'o=: sess-id');
  check(/^-?[0-9]+$/.test(o.sessionVersion), 'o=: sess-version');
  out.push(`o=${o.username} ${o.sessionId} ${o.sessionVersion} ${connectionText(o, 'o=')}`);
  pushText(out, 's', session.sessionName);
  pushText(out, 'i', session.information);
  pushText(out, 'u', session.uri);
  for (const email of session.emails) pushText(out, 'e', email);
  for (const phone of session.phones) pushText(out, 'p', phone);
  if (session.connection !== undefined) out.push(`c=${connectionText(session.connection, 'c=')}`);
  pushBandwidths(out, session.bandwidths);
  check(session.times.length > 0, 't=: at least one is needed');
  for (const time of session.times) pushTime(out, time);
  pushText(out, 'k', session.key);
  pushAttributes(out, session.attributes);
  for (const media of session.media) {
    // RFC 8866 §5.7: a description MUST contain c= at the session level or in each media description.
    check(session.connection !== undefined || media.connections.length > 0, 'c=: missing');
    pushMedia(out, media);
  }
  out.push('');
  return out.join('\r\n');
}

function pushMedia(out: string[], media: MediaDescription): void {
  check(TOKEN.test(media.media), 'm=: media');
  check(Number.isInteger(media.port) && media.port >= 0 && media.port <= 65_535, 'm=: port');
  check(PROTO.test(media.proto), 'm=: proto');
  check(media.formats.length > 0 && media.formats.every((format) => TOKEN.test(format)), 'm=: fmt');
  const count = media.portCount;
  check(count === undefined || (Number.isInteger(count) && count > 0 && count <= 65_535), 'm=: number of ports');
  const port = count === undefined ? `${media.port}` : `${media.port}/${count}`;
  out.push(`m=${media.media} ${port} ${media.proto} ${media.formats.join(' ')}`);
  pushText(out, 'i', media.information);
  for (const connection of media.connections) out.push(`c=${connectionText(connection, 'c=')}`);
  pushBandwidths(out, media.bandwidths);
  pushText(out, 'k', media.key);
  pushAttributes(out, media.attributes);
}

function pushText(out: string[], type: string, value: string | undefined): void {
  if (value === undefined) return;
  check(value !== '' && isText(value), `${type}=: text`);
  out.push(`${type}=${value}`);
}

function pushBandwidths(out: string[], bandwidths: readonly Bandwidth[]): void {
  for (const { type, value } of bandwidths) {
    check(TOKEN.test(type), 'b=: bwtype');
    check(Number.isSafeInteger(value) && value >= 0, 'b=: bandwidth');
    out.push(`b=${type}:${value}`);
  }
}

function pushTime(out: string[], time: TimeDescription): void {
  check(DIGITS.test(time.start) && DIGITS.test(time.stop), 't=: time');
  out.push(`t=${time.start} ${time.stop}`);
  for (const { interval, duration, offsets } of time.repeats) {
    check(offsets.length > 0 && [interval, duration, ...offsets].every((t) => TYPED_TIME.test(t)), 'r=: time');
    out.push(`r=${interval} ${duration} ${offsets.join(' ')}`);
  }
  if (time.zones.length === 0) return;
  check(time.repeats.length > 0, 'z=: without r=');
  const zones = time.zones.map(({ time: at, offset }) => {
    check(DIGITS.test(at) && SIGNED_TYPED_TIME.test(offset), 'z=: adjustment');
    return `${at} ${offset}`;
  });
  out.push(`z=${zones.join(' ')}`);
}

function pushAttributes(out: string[], attributes: readonly Attribute[]): void {
  for (const { name, value } of attributes) {
    check(TOKEN.test(name), 'a=: attribute-name');
    if (value === undefined) {
      out.push(`a=${name}`);
      continue;
    }
    check(isText(value), `a=${name}: attribute-value`);
    out.push(`a=${name}:${value}`);
  }
}

function connectionText(c: Connection, line: string): string {
  check(TOKEN.test(c.netType) && TOKEN.test(c.addrType), `${line}: network or address type`);
  check(isVisible(c.address), `${line}: address`);
  return `${c.netType} ${c.addrType} ${c.address}`;
}

function check(valid: boolean, what: string): void {
  if (!valid) throw new UsageError(`not valid SDP: ${what}`);
}
