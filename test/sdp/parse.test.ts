import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import {
  attributeValue,
  attributeValues,
  MAX_SDP_CANDIDATES,
  MAX_SDP_LENGTH,
  MAX_SDP_LINE_LENGTH,
  MAX_SDP_LINES,
  MAX_SDP_MEDIA,
  parseSdp,
  SdpError,
  type SessionDescription,
  writeSdp,
} from '../../src/sdp/index.ts';
import { VECTORS, vector } from './vectors.ts';

const HEAD = 'v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n';
const DATA = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n';

describe('what real stacks and the RFCs write (RFC 8866)', () => {
  it.each(VECTORS)('$name comes back character for character', ({ sdp }) => {
    expect(writeSdp(parseSdp(sdp))).toBe(sdp);
  });

  it.each(VECTORS)('$name reads the same with LF, CR, blank lines and indentation', ({ sdp }) => {
    const model = parseSdp(sdp);
    expect(parseSdp(sdp.replaceAll('\r\n', '\n'))).toEqual(model);
    expect(parseSdp(sdp.replaceAll('\r\n', '\r'))).toEqual(model);
    expect(parseSdp(`\n\n${sdp.replaceAll('\r\n', '\n\n  \t')}\n`)).toEqual(model);
    expect(parseSdp(sdp.trimEnd())).toEqual(model);
  });

  it('every line type has its place in the model', () => {
    const sdp = parseSdp(vector('RFC 8866 §5.7 to §5.12, every line type in one description'));
    expect(sdp).toMatchObject({
      origin: { username: '-', sessionId: '3724394400', sessionVersion: '3724394405', addrType: 'IP6' },
      sessionName: ' ',
      information: 'A seminar on the session description protocol',
      uri: 'http://www.example.com/seminars/sdp.pdf',
      emails: ['j.doe@example.com (Jane Doe)', 'Jane Doe <j.doe@example.com>'],
      phones: ['+1 617 555-6011', '+44 171 380 7777 (office)'],
      connection: { netType: 'IN', addrType: 'IP4', address: '233.252.0.1/127/3' },
      bandwidths: [
        { type: 'X-YZ', value: 128 },
        { type: 'AS', value: 512 },
      ],
      key: 'prompt',
    });
    expect(sdp.times).toEqual([
      { start: '3724394400', stop: '3724398000', repeats: [], zones: [] },
      {
        start: '3723148800',
        stop: '3724394400',
        repeats: [
          { interval: '7d', duration: '1h', offsets: ['0', '25h'] },
          { interval: '604800', duration: '3600', offsets: ['0', '90000'] },
        ],
        zones: [
          { time: '3724394400', offset: '-1h' },
          { time: '3729000000', offset: '0' },
        ],
      },
    ]);
    expect(sdp.media[0]).toMatchObject({
      media: 'video',
      port: 49170,
      portCount: 2,
      proto: 'RTP/AVP',
      formats: ['31'],
      information: 'the camera',
      connections: [{ address: '233.252.0.1/127' }, { address: '233.252.0.2/127' }],
      bandwidths: [{ type: 'TIAS', value: 50_780 }],
      key: 'clear:geheim',
      attributes: [{ name: 'orient', value: 'portrait' }],
    });
  });
});

describe('lenient reading of what peers get wrong', () => {
  it('fills in missing o=, s=, t= and c= lines', () => {
    const sdp = parseSdp('v=0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n');
    expect(writeSdp(sdp)).toBe(`v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n${DATA}`);
  });

  it('an empty s= is a dash, a section without formats has format 0', () => {
    const sdp = parseSdp('v=0\r\ns=\r\nm=audio 0 UDP/TLS/RTP/SAVPF\r\n');
    expect(sdp.sessionName).toBe('-');
    expect(sdp.media[0]?.formats).toEqual(['0']);
  });

  it('blanks between and around fields, a byte order mark, lines out of order', () => {
    const odd =
      '\ufeffv=0 \n  t= 0  0\ns=x\n o=-   1 2\tIN IP4  0.0.0.0 \na= group: BUNDLE  0\nm=application  9  UDP/DTLS/SCTP webrtc-datachannel \n' +
      'a= mid : 0 \na=sctp-port: 5000\nc= IN  IP4 0.0.0.0\nb= AS : 5\n';
    const sdp = parseSdp(odd);
    expect(sdp.origin).toMatchObject({ sessionId: '1', address: '0.0.0.0' });
    expect(attributeValue(sdp, 'group')).toBe('BUNDLE  0');
    const media = sdp.media[0]!;
    expect([attributeValue(media, 'mid'), attributeValue(media, 'sctp-port')]).toEqual(['0', '5000']);
    expect(media.connections).toHaveLength(1);
    expect(media.bandwidths).toEqual([{ type: 'AS', value: 5 }]);
    expect(parseSdp(writeSdp(sdp))).toEqual(sdp);
  });

  it('keeps attribute values exactly, blanks included, and unknown attributes too', () => {
    const text = `${HEAD}a=msid-semantic: WMS\r\na=x-none:\r\na=x-flag\r\na=x-text:  a:b = ü 👋 \r\n`;
    const sdp = parseSdp(text);
    expect(sdp.attributes).toEqual([
      { name: 'msid-semantic', value: ' WMS' },
      { name: 'x-none', value: '' },
      { name: 'x-flag', value: undefined },
      { name: 'x-text', value: '  a:b = ü 👋 ' },
    ]);
    expect(writeSdp(sdp)).toBe(text);
    expect([attributeValue(sdp, 'x-none'), attributeValue(sdp, 'x-flag'), attributeValue(sdp, 'x')]).toEqual([
      '',
      '',
      undefined,
    ]);
    expect(attributeValues(sdp, 'msid-semantic')).toEqual(['WMS']);
  });

  it('hashes and hex in either case, setup in upper case', () => {
    const text = `${HEAD}${DATA}a=fingerprint:SHA-1 ${'ab:'.repeat(19)}CD\r\na=setup:ACTPASS\r\n`;
    expect(writeSdp(parseSdp(text))).toBe(text);
  });
});

describe('errors name the line', () => {
  const print = (bytes: number) => new Array<string>(bytes).fill('00').join(':');
  it.each([
    ['', 1, 'empty'],
    ['\r\n\r\n', 1, 'empty'],
    ['hello', 1, 'not of the form <type>=<value>'],
    ['o=- 1 2 IN IP4 0.0.0.0', 1, 'starts with v='],
    ['v=1', 1, 'version 0'],
    ['v=0\nv=0', 2, 'type "v"'],
    ['v=0\n\n\nhello', 4, 'not of the form'],
    ['v=0\n=', 2, 'not of the form'],
    ['v=0\nx=1', 2, 'type "x"'],
    ['v=0\nA=1', 2, 'type "A"'],
    ['v=0\nn\u0000=1', 2, 'NUL'],
    ['v=0\no=- 1 2 IN IP4', 2, 'six fields'],
    ['v=0\no=- 1 2 IN IP4 a b', 2, 'six fields'],
    ['v=0\no=- x 2 IN IP4 0.0.0.0', 2, 'sess-id'],
    ['v=0\no=- 1 x IN IP4 0.0.0.0', 2, 'sess-version'],
    ['v=0\no=- 1 2 IN/ IP4 0.0.0.0', 2, 'address type'],
    ['v=0\no=- 1 2 IN IP4 0.0.0.0\no=- 1 2 IN IP4 0.0.0.0', 3, 'second o='],
    ['v=0\ns=a\ns=b', 3, 'second s='],
    ['v=0\ni=a\ni=b', 3, 'second i='],
    ['v=0\ni=', 2, 'empty'],
    ['v=0\nc=IN IP4', 2, 'three fields'],
    ['v=0\nc=IN IP4 1 2', 2, 'three fields'],
    ['v=0\nb=AS', 2, 'b='],
    ['v=0\nb=AS:x', 2, 'b='],
    ['v=0\nb=:1', 2, 'b='],
    ['v=0\nb=AS:9007199254740992', 2, 'b='],
    ['v=0\nt=0', 2, 't='],
    ['v=0\nt=0 x', 2, 't='],
    ['v=0\nr=7d 1h 0', 2, 'without a t='],
    ['v=0\nt=0 0\nr=7d 1h', 3, 'r='],
    ['v=0\nt=0 0\nr=7w 1h 0', 3, 'malformed time'],
    ['v=0\nt=0 0\nz=1 2', 3, 'without an r='],
    ['v=0\nt=0 0\nr=1 1 0\nz=1', 4, 'pairs'],
    ['v=0\nt=0 0\nr=1 1 0\nz=1 x', 4, 'z='],
    ['v=0\nt=0 0\nr=1 1 0\nz=1 2\nz=1 2', 5, 'second z='],
    ['v=0\nm=audio', 2, 'm= needs'],
    ['v=0\nm=audio 9', 2, 'm= needs'],
    ['v=0\nm=audio x RTP/AVP 0', 2, 'port'],
    ['v=0\nm=audio 65536 RTP/AVP 0', 2, 'port'],
    ['v=0\nm=audio -1 RTP/AVP 0', 2, 'port'],
    ['v=0\nm=audio 9/0 RTP/AVP 0', 2, 'number of ports'],
    ['v=0\nm=audio 9/x RTP/AVP 0', 2, 'number of ports'],
    ['v=0\nm=audio 9 RTP//AVP 0', 2, 'proto'],
    ['v=0\nm=audio 9 RTP/AVP 0(', 2, 'format'],
    ['v=0\nm=a@b 9 RTP/AVP 0', 2, 'media'],
    ['v=0\nm=audio 9 RTP/AVP 0\no=- 1 2 IN IP4 0.0.0.0', 3, 'type "o"'],
    ['v=0\nm=audio 9 RTP/AVP 0\nt=0 0', 3, 'type "t"'],
    ['v=0\na=', 2, 'attribute name'],
    ['v=0\na=:x', 2, 'attribute name'],
    ['v=0\na=a b', 2, 'attribute name'],
    ['v=0\na=group', 2, 'a=group'],
    ['v=0\na=ice-ufrag:abc', 2, 'a=ice-ufrag'],
    ['v=0\na=ice-ufrag:ab cd', 2, 'a=ice-ufrag'],
    [`v=0\na=ice-ufrag:${'a'.repeat(257)}`, 2, 'a=ice-ufrag'],
    [`v=0\na=ice-pwd:${'a'.repeat(21)}`, 2, 'a=ice-pwd'],
    ['v=0\na=setup:both', 2, 'a=setup'],
    ['v=0\na=fingerprint:sha-256', 2, 'a=fingerprint'],
    [`v=0\na=fingerprint:sha-256 ${print(31)}`, 2, 'a=fingerprint'],
    [`v=0\na=fingerprint:sha-256 ${print(32)}:0`, 2, 'a=fingerprint'],
    ['v=0\na=fingerprint:other 0g', 2, 'a=fingerprint'],
    ['v=0\na=tls-id:', 2, 'a=tls-id'],
    ['v=0\nm=application 9 UDP/DTLS/SCTP x\na=sctp-port:65536', 3, 'a=sctp-port'],
    ['v=0\nm=application 9 UDP/DTLS/SCTP x\na=max-message-size:-1', 3, 'a=max-message-size'],
    ['v=0\nm=application 9 DTLS/SCTP 5000\na=sctpmap:5000', 3, 'a=sctpmap'],
    ['v=0\nm=audio 9 RTP/AVP 0\na=mid:', 3, 'a=mid'],
    ['v=0\nm=audio 9 RTP/AVP 0\na=mid:0\na=mid:1', 4, 'second a=mid'],
    ['v=0\nm=audio 9 RTP/AVP 0\na=mid:0\nm=video 9 RTP/AVP 0\na=mid:0', 5, 'second section with mid'],
  ])('%j: line %i, %s', (text, line, message) => {
    let thrown: unknown;
    try {
      parseSdp(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(SdpError);
    expect(thrown).toMatchObject({ name: 'SdpError', line });
    expect(String(thrown)).toContain(`line ${line}`);
    expect(String(thrown)).toContain(message);
  });
});

describe('bounds', () => {
  const text = (body: string) => HEAD + DATA + body;
  it('length', () => {
    const pad = (length: number) => text('').padEnd(length, '\n');
    expect(() => parseSdp(`${HEAD}${'a=x:'.padEnd(60_000, 'x')}\r\n`.padEnd(MAX_SDP_LENGTH + 1, '\n'))).toThrow(
      'characters',
    );
    expect(parseSdp(pad(30_000)).media).toHaveLength(1);
  });

  it('lines', () => {
    const lines = (count: number) => text('a=x\r\n'.repeat(count - 6)).trimEnd();
    expect(parseSdp(lines(MAX_SDP_LINES)).media[0]?.attributes).toHaveLength(MAX_SDP_LINES - 6);
    expect(() => parseSdp(lines(MAX_SDP_LINES + 1))).toThrow(expect.objectContaining({ line: MAX_SDP_LINES + 1 }));
  });

  it('characters of a line', () => {
    const line = (length: number) => text('a=x:'.padEnd(length, 'x'));
    expect(writeSdp(parseSdp(line(MAX_SDP_LINE_LENGTH)))).toBe(`${line(MAX_SDP_LINE_LENGTH)}\r\n`);
    expect(() => parseSdp(line(MAX_SDP_LINE_LENGTH + 1))).toThrow(expect.objectContaining({ line: 7 }));
  });

  it('sections', () => {
    expect(parseSdp(HEAD + DATA.repeat(MAX_SDP_MEDIA)).media).toHaveLength(MAX_SDP_MEDIA);
    expect(() => parseSdp(HEAD + DATA.repeat(MAX_SDP_MEDIA + 1))).toThrow(
      expect.objectContaining({ line: 5 + 2 * MAX_SDP_MEDIA }),
    );
  });

  it('candidates of a section', () => {
    const candidates = (count: number) => text('a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n'.repeat(count));
    const twice = candidates(MAX_SDP_CANDIDATES) + DATA + candidates(MAX_SDP_CANDIDATES).slice((HEAD + DATA).length);
    expect(parseSdp(twice).media).toHaveLength(2);
    expect(() => parseSdp(candidates(MAX_SDP_CANDIDATES + 1))).toThrow(
      expect.objectContaining({ line: 7 + MAX_SDP_CANDIDATES }),
    );
  });

  it('a message quotes only the beginning of a hostile field', () => {
    expect(() => parseSdp(`v=0\nm=audio ${'9'.repeat(60_000)} RTP/AVP 0`)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{1,100}$/) }),
    );
  });
});

describe('strict writing', () => {
  const model = parseSdp(HEAD + DATA);
  const media = model.media[0]!;
  const bad: [string, Partial<SessionDescription>][] = [
    ['line break in s=', { sessionName: 'x\r\na=injected' }],
    ['empty s=', { sessionName: '' }],
    ['NUL in i=', { information: 'a\u0000b' }],
    ['sess-id', { origin: { ...model.origin, sessionId: 'x' } }],
    ['sess-version', { origin: { ...model.origin, sessionVersion: '' } }],
    ['blank in username', { origin: { ...model.origin, username: 'a b' } }],
    ['line break in address', { connection: { netType: 'IN', addrType: 'IP4', address: '1\n2' } }],
    ['net type', { connection: { netType: 'I N', addrType: 'IP4', address: '1' } }],
    ['no t=', { times: [] }],
    ['time', { times: [{ start: '-1', stop: '0', repeats: [], zones: [] }] }],
    [
      'r= without offsets',
      { times: [{ start: '0', stop: '0', repeats: [{ interval: '1', duration: '1', offsets: [] }], zones: [] }] },
    ],
    ['z= without r=', { times: [{ start: '0', stop: '0', repeats: [], zones: [{ time: '1', offset: '1' }] }] }],
    ['bandwidth', { bandwidths: [{ type: 'AS', value: -1 }] }],
    ['bandwidth type', { bandwidths: [{ type: 'A:S', value: 1 }] }],
    ['attribute name', { attributes: [{ name: 'a:b', value: undefined }] }],
    ['empty attribute name', { attributes: [{ name: '', value: 'x' }] }],
    ['line break in an attribute', { attributes: [{ name: 'x', value: 'a\r\nm=audio 9 RTP/AVP 0' }] }],
    ['no c= anywhere', { media: [{ ...media, connections: [] }] }],
    ['port', { media: [{ ...media, port: 65_536 }] }],
    ['port count', { media: [{ ...media, portCount: 0 }] }],
    ['proto', { media: [{ ...media, proto: 'UDP /x' }] }],
    ['no format', { media: [{ ...media, formats: [] }] }],
    ['format', { media: [{ ...media, formats: ['a b'] }] }],
    ['media', { media: [{ ...media, media: '' }] }],
  ];
  it.each(bad)('refuses %s', (_, change) => {
    expect(() => writeSdp({ ...model, ...change })).toThrow(UsageError);
  });
});
