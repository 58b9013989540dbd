import { describe, expect, it } from 'vitest';
import {
  allowsMixedExtMaps,
  parseSdp,
  readDirection,
  readExtMaps,
  readFormatParameters,
  readMsidSemantic,
  readMsids,
  readRemoteCandidates,
  readRids,
  readRtpMaps,
  readSsrcs,
  usesRtcpMux,
} from '../../src/sdp/index.ts';
import { VECTORS, vector } from './vectors.ts';

const chrome = parseSdp(vector('Chrome: offer with audio, video and a data channel (codec lists shortened)'));
const audio = chrome.media[0]!;
const scope = (...lines: string[]) =>
  parseSdp(`v=0\r\nm=audio 9 RTP/AVP 0\r\n${lines.map((line) => `a=${line}\r\n`).join('')}`).media[0]!;

describe('typed reading of media sections', () => {
  it('rtpmap and fmtp', () => {
    expect(readRtpMaps(audio)[0]).toEqual({ payloadType: 111, encoding: 'opus', clockRate: 48_000, parameters: '2' });
    expect(readRtpMaps(audio)).toHaveLength(8);
    expect(readFormatParameters(audio).get('111')).toBe('minptime=10;useinbandfec=1');
    expect(
      readRtpMaps(scope('rtpmap:x opus/1', 'rtpmap:1', 'rtpmap:1 opus', 'rtpmap:128 a/1', 'rtpmap:1 /8000')),
    ).toEqual([]);
    expect(readFormatParameters(scope('fmtp:1')).size).toBe(0);
  });

  it('extmap and its directions', () => {
    expect(readExtMaps(audio)[0]).toEqual({
      id: 1,
      direction: undefined,
      uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level',
      attributes: undefined,
    });
    expect(
      readExtMaps(scope('extmap:2/sendonly urn:x  a b', 'extmap:3/up urn:x', 'extmap:x urn:x', 'extmap:4')),
    ).toEqual([{ id: 2, direction: 'sendonly', uri: 'urn:x', attributes: 'a b' }]);
    expect(allowsMixedExtMaps(audio, chrome)).toBe(true);
    expect(allowsMixedExtMaps(audio, { attributes: [] })).toBe(false);
  });

  it('msid, msid-semantic and ssrc', () => {
    expect(readMsids(audio)).toEqual([
      { id: '6f0b5ec2-0f6b-4b5f-8b3d-1d0ab4b0f1aa', appData: '0c4a1a1c-9a4e-4f0e-8f59-2d2b0f3b8c11' },
    ]);
    expect(readMsidSemantic(chrome)).toEqual({ semantic: 'WMS', ids: ['6f0b5ec2-0f6b-4b5f-8b3d-1d0ab4b0f1aa'] });
    expect(readMsidSemantic({ attributes: [] })).toBeUndefined();
    expect(readSsrcs(audio)[0]).toEqual({ ssrc: 1_732_843_919, attribute: 'cname', value: '7sVZ1q0x0w3nXhQm' });
    expect(readSsrcs(scope('ssrc:1 flag', 'ssrc:x a:b', 'ssrc:1'))).toEqual([
      { ssrc: 1, attribute: 'flag', value: undefined },
    ]);
  });

  it('direction: the section, the session, sendrecv', () => {
    const rfc = parseSdp(vector('RFC 8866 §6.7, inactive at the session level'));
    expect(rfc.media.map((media) => readDirection(media, rfc))).toEqual(['sendrecv', 'inactive', 'inactive']);
    expect(readDirection({ attributes: [] }, { attributes: [] })).toBe('sendrecv');
  });

  it('rid and remote-candidates', () => {
    expect(readRids(scope('rid:hi send max-width=1280', 'rid:lo recv', 'rid:x both', 'rid:y'))).toEqual([
      { id: 'hi', direction: 'send', restrictions: 'max-width=1280' },
      { id: 'lo', direction: 'recv', restrictions: undefined },
    ]);
    expect(readRemoteCandidates(scope('remote-candidates:1 192.0.2.3 45664 2 192.0.2.3 45665 3 x'))).toEqual([
      { component: 1, ip: '192.0.2.3', port: 45_664 },
      { component: 2, ip: '192.0.2.3', port: 45_665 },
    ]);
    expect(readRemoteCandidates(scope('remote-candidates:x 192.0.2.3 1'))).toEqual([]);
  });

  it('rtcp-mux is asked of RTP sections in use, and inherited in a bundle', () => {
    expect(usesRtcpMux(chrome)).toBe(true);
    const without = (text: string) => parseSdp(text.replace('a=rtcp-mux\r\n', ''));
    expect(usesRtcpMux(without(vector('Asterisk: audio offer, no mid and no bundle')))).toBe(false);
    const second = vector('Chrome: offer with audio, video and a data channel (codec lists shortened)');
    const [head, tail] = [second.slice(0, second.indexOf('m=video')), second.slice(second.indexOf('m=video'))];
    expect(usesRtcpMux(parseSdp(head + tail.replace('a=rtcp-mux\r\n', '')))).toBe(true);
    expect(usesRtcpMux(parseSdp(vector('RFC 4317 §3.2, second offer')))).toBe(false);
    expect(usesRtcpMux(parseSdp(vector('Chrome: offer with a data channel')))).toBe(true);
  });

  it.each(VECTORS)('every reader takes $name', ({ sdp }) => {
    const session = parseSdp(sdp);
    for (const media of session.media) {
      expect(readRtpMaps(media)).toHaveLength(media.attributes.filter((a) => a.name === 'rtpmap').length);
      expect(readExtMaps(media)).toHaveLength(media.attributes.filter((a) => a.name === 'extmap').length);
      expect(readSsrcs(media)).toHaveLength(media.attributes.filter((a) => a.name === 'ssrc').length);
      expect(readMsids(media)).toHaveLength(media.attributes.filter((a) => a.name === 'msid').length);
    }
  });
});
