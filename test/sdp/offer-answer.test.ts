import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import {
  answerSetup,
  attributeValue,
  attributeValues,
  bundleTaggedSection,
  createDataAnswer,
  createDataOffer,
  findDataSection,
  findUsableDataSection,
  hasAttribute,
  maxSendMessageSize,
  negotiatedDtlsRole,
  parseSdp,
  randomSessionId,
  readTransportDescription,
  SdpError,
  type Setup,
  writeSdp,
} from '../../src/sdp/index.ts';
import stacks from '../vectors/sdp/stacks.json' with { type: 'json' };
import { FINGERPRINT, LOCAL } from './local.ts';
import { VECTORS, vector } from './vectors.ts';

const parsed = (name: string) => parseSdp(vector(name));
const answerTo = (name: string, change: object = {}) => createDataAnswer(parsed(name), { ...LOCAL, ...change });

describe('createDataOffer (RFC 8841 §10.2, RFC 9429 §5.2.1)', () => {
  it('writes what browsers write', () => {
    expect(writeSdp(createDataOffer(LOCAL)).split('\r\n')).toEqual([
      'v=0',
      'o=- 4962303333179871722 1 IN IP4 0.0.0.0',
      's=-',
      't=0 0',
      'a=group:BUNDLE 0',
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP4 0.0.0.0',
      'a=ice-ufrag:Aa+/',
      'a=ice-pwd:abcdefghijklmnopqrstuv',
      'a=ice-options:trickle ice2',
      `a=fingerprint:sha-256 ${FINGERPRINT.value}`,
      'a=setup:actpass',
      'a=mid:0',
      'a=sctp-port:5000',
      'a=max-message-size:262144',
      '',
    ]);
  });

  it('writes everything that is given', () => {
    const offer = createDataOffer({
      ...LOCAL,
      mid: 'data',
      setup: 'active',
      tlsId: '91bbf309c0990a6bec11e38ba2933cee',
      iceLite: true,
      iceOptions: [],
      candidates: ['candidate:1 1 udp 2130706431 2001:db8::1 5000 typ host'],
      endOfCandidates: true,
      defaultAddress: { ip: '2001:db8::1', port: 5000 },
      sctpPort: 5001,
      maxMessageSize: 0,
    });
    expect(hasAttribute(offer, 'ice-lite')).toBe(true);
    expect(offer.media[0]).toMatchObject({ port: 5000, connections: [{ addrType: 'IP6', address: '2001:db8::1' }] });
    expect(readTransportDescription(offer.media[0]!, offer)).toEqual({
      mid: 'data',
      rejected: false,
      ufrag: LOCAL.ufrag,
      pwd: LOCAL.pwd,
      iceLite: true,
      iceOptions: [],
      icePacingMs: 50,
      candidates: ['candidate:1 1 udp 2130706431 2001:db8::1 5000 typ host'],
      endOfCandidates: true,
      setup: 'active',
      tlsId: '91bbf309c0990a6bec11e38ba2933cee',
      fingerprints: [FINGERPRINT],
      sctpPort: 5001,
      maxMessageSize: 0,
    });
  });

  it.each([
    ['ufrag', { ufrag: 'abc' }],
    ['ufrag', { ufrag: 'ab\r\nc' }],
    ['pwd', { pwd: 'short' }],
    ['fingerprints', { fingerprints: [] }],
    ['fingerprints', { fingerprints: [{ algorithm: 'sha-256', value: '00' }] }],
    ['mid', { mid: 'a b' }],
    ['tlsId', { tlsId: 'short' }],
    ['candidates', { candidates: ['1 1 udp …'] }],
    ['sctpPort', { sctpPort: 65_536 }],
    ['maxMessageSize', { maxMessageSize: 1.5 }],
    ['origin.sessionId', { origin: { sessionId: '-1', sessionVersion: 0 } }],
    ['origin.sessionVersion', { origin: { sessionId: '1', sessionVersion: -1 } }],
  ])('refuses an illegal %s', (name, change) => {
    expect(() => createDataOffer({ ...LOCAL, ...change })).toThrow(UsageError);
    expect(() => createDataOffer({ ...LOCAL, ...change })).toThrow(name);
  });

  it('session ids are positive and fit into 63 bits', () => {
    expect(randomSessionId((out) => out.fill(0xff))).toBe('9223372036854775807');
    expect(randomSessionId((out) => out.fill(0))).toBe('0');
  });
});

describe('reading the transport of real descriptions', () => {
  it.each(stacks.cases.filter((c) => 'data' in c))('$name', ({ name, data }) => {
    const description = parsed(name);
    const media = findDataSection(description);
    expect(media).toBeDefined();
    const transport = readTransportDescription(media!, description);
    expect({ ...transport, candidates: transport.candidates.length }).toMatchObject(data ?? {});
    expect(transport.fingerprints).toHaveLength(1);
    expect(transport.pwd?.length).toBeGreaterThanOrEqual(22);
    for (const candidate of transport.candidates) expect(candidate).toMatch(/^candidate:\S+ [12] /);
  });

  it('a bundled section takes what it does not say from the BUNDLE-tagged one (RFC 9143 §7.1.3)', () => {
    const answer = parsed('answer-B2');
    const media = findDataSection(answer)!;
    expect(bundleTaggedSection(media, answer)).toBe(answer.media[0]);
    expect(readTransportDescription(media, answer)).toMatchObject({
      mid: 'd1',
      ufrag: 'ATEn',
      setup: 'passive',
      tlsId: '17f0f4ba8a5f1213faca591b58ba52a7',
      iceOptions: ['trickle', 'ice2'],
      endOfCandidates: true,
      sctpPort: 5000,
      maxMessageSize: 65_536,
    });
    expect(readTransportDescription(media, answer).candidates).toHaveLength(3);
  });

  it('credentials come from one level only, ice-options from all', () => {
    const text = vector('Firefox: offer with a data channel');
    const description = parseSdp(
      text
        .replace('a=group', 'a=ice-ufrag:SESS\r\na=ice-pwd:ssssssssssssssssssssss\r\na=group')
        .replace('a=ice-ufrag:25549086\r\n', ''),
    );
    expect(readTransportDescription(description.media[0]!, description)).toMatchObject({
      ufrag: 'SESS',
      pwd: 's'.repeat(22),
      iceOptions: ['trickle'],
    });
  });

  it.each([
    [262_144, 0, 262_144],
    [0, 1_000, 1_000],
    [65_536, 262_144, 65_536],
    [0, 0, Number.POSITIVE_INFINITY],
  ])('peer accepts %i, we can send %i: messages of at most %i bytes', (remote, local, expected) => {
    expect(maxSendMessageSize(remote, local)).toBe(expected);
  });
});

describe('createDataAnswer (RFC 8841 §10.3, RFC 9429 §5.3.1)', () => {
  it('to Chrome', () => {
    expect(writeSdp(answerTo('Chrome: offer with a data channel')).split('\r\n')).toEqual([
      'v=0',
      'o=- 4962303333179871722 1 IN IP4 0.0.0.0',
      's=-',
      't=0 0',
      'a=group:BUNDLE 0',
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP4 0.0.0.0',
      'a=ice-ufrag:Aa+/',
      'a=ice-pwd:abcdefghijklmnopqrstuv',
      'a=ice-options:trickle',
      `a=fingerprint:sha-256 ${FINGERPRINT.value}`,
      'a=setup:active',
      'a=mid:0',
      'a=sctp-port:5000',
      'a=max-message-size:262144',
      '',
    ]);
  });

  it('audio and video are rejected with port 0, the data channel works and is alone in the bundle', () => {
    const answer = answerTo('Chrome: offer with audio, video and a data channel (codec lists shortened)');
    const text = writeSdp(answer).split('\r\n');
    expect(attributeValues(answer, 'group')).toEqual(['BUNDLE 2']);
    expect(text).toContain('m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126');
    expect(text).toContain('m=video 0 UDP/TLS/RTP/SAVPF 96 97 103 104');
    expect(answer.media.map((m) => attributeValue(m, 'mid'))).toEqual(['0', '1', '2']);
    expect(answer.media.map((m) => m.port)).toEqual([0, 0, 9]);
    expect(answer.media.map((m) => hasAttribute(m, 'inactive'))).toEqual([true, true, false]);
    expect(readTransportDescription(answer.media[2]!, answer)).toMatchObject({ setup: 'active', ufrag: LOCAL.ufrag });
  });

  it('a bundle-only data section is accepted with the media section whose transport it has, which is idle', () => {
    const answer = answerTo('Firefox: offer under bundlePolicy max-bundle, data channel bundle-only');
    expect(answer.media.map((m) => m.port)).toEqual([9, 9]);
    expect(answer.media.map((m) => hasAttribute(m, 'bundle-only'))).toEqual([false, false]);
    expect(attributeValues(answer, 'group')).toEqual(['BUNDLE 0 1']);
    expect(answer.media[0]?.formats).toEqual(['109']);
    expect(answer.media[0]?.attributes.slice(-4)).toEqual([
      { name: 'inactive', value: undefined },
      { name: 'fmtp', value: '109 maxplaybackrate=48000;stereo=1;useinbandfec=1' },
      { name: 'rtcp-mux', value: undefined },
      { name: 'rtpmap', value: '109 opus/48000/2' },
    ]);
    const [media, data] = answer.media.map((m) => readTransportDescription(m, answer));
    expect(media).toMatchObject({ ufrag: LOCAL.ufrag, setup: 'active', fingerprints: [FINGERPRINT] });
    expect(data).toMatchObject({ ufrag: LOCAL.ufrag, setup: 'active', sctpPort: 5000 });
  });

  it('offers that bundle everything over one transport: rejected media, or an idle one under max-bundle', () => {
    const name = 'Chromium 156: offer with audio, video and a data channel under max-bundle';
    const ports = (bundlePolicy: 'balanced' | 'max-compat' | 'max-bundle') => {
      const answer = answerTo(name, { bundlePolicy });
      return [...answer.media.map((m) => m.port), ...attributeValues(answer, 'group')];
    };
    expect(ports('balanced')).toEqual([0, 0, 9, 'BUNDLE 2']);
    expect(ports('max-compat')).toEqual([0, 0, 9, 'BUNDLE 2']);
    expect(ports('max-bundle')).toEqual([9, 0, 9, 'BUNDLE 0 2']);
  });

  it('the syntax of the drafts is answered in kind', () => {
    const answer = writeSdp(answerTo('aiortc: offer with a data channel, draft syntax'));
    expect(answer).toContain('m=application 9 DTLS/SCTP 5000\r\n');
    expect(answer).toContain('a=sctpmap:5000 webrtc-datachannel 65535\r\n');
    expect(answer).toContain('a=max-message-size:262144\r\n');
    expect(answer).not.toContain('a=sctp-port');
  });

  it('no BUNDLE group where none was offered; no mid where none was', () => {
    const answer = answerTo('RFC 8841 §13.1, offer, completed to a description');
    expect(answer.attributes).toEqual([]);
    // Without ICE credentials the section cannot be used (RFC 9429 §5.3.1).
    expect(answer.media.map((m) => m.port)).toEqual([0]);
    const text = vector('Chrome: offer with a data channel');
    const bare = createDataAnswer(parseSdp(text.replace('a=mid:0\r\n', '').replace('a=group:BUNDLE 0\r\n', '')), LOCAL);
    expect(bare.attributes).toEqual([]);
    expect(bare.media[0]?.port).toBe(9);
    expect(hasAttribute(bare.media[0]!, 'mid')).toBe(false);
  });

  it('only the first data section is accepted', () => {
    const text = vector('Chrome: offer with a data channel');
    const second = text.slice(text.indexOf('m=')).replace('a=mid:0', 'a=mid:1');
    const answer = createDataAnswer(parseSdp(text.replace('BUNDLE 0', 'BUNDLE 0 1') + second), LOCAL);
    expect(answer.media.map((m) => m.port)).toEqual([9, 0]);
    expect(attributeValues(answer, 'group')).toEqual(['BUNDLE 0']);
  });

  it('an offered sctp-port of 0 is answered with 0 (RFC 8841 §10.3)', () => {
    const text = vector('Chrome: offer with a data channel').replace('sctp-port:5000', 'sctp-port:0');
    expect(attributeValue(createDataAnswer(parseSdp(text), LOCAL).media[0]!, 'sctp-port')).toBe('0');
  });

  it.each([
    ['without a fingerprint', /a=fingerprint[^\r]*\r\n/],
    ['without ICE credentials', /a=ice-pwd[^\r]*\r\n/],
  ])('a data section %s is rejected', (_, pattern) => {
    const offer = parseSdp(vector('Chrome: offer with a data channel').replace(pattern, ''));
    expect(findUsableDataSection(offer)).toBeUndefined();
    expect(createDataAnswer(offer, LOCAL).media[0]?.port).toBe(0);
    expect(createDataAnswer(offer, LOCAL).attributes).toEqual([]);
  });

  it.each(VECTORS.filter((v) => !v.name.includes('answer')))(
    'to $name: section by section, same media and proto',
    ({ sdp }) => {
      const offer = parseSdp(sdp);
      const answer = createDataAnswer(offer, LOCAL);
      expect(answer.media.map(({ media, proto }) => [media, proto])).toEqual(
        offer.media.map(({ media, proto }) => [media, proto]),
      );
      answer.media.forEach(({ formats }, i) => {
        expect(offer.media[i]?.formats).toEqual(expect.arrayContaining([...formats]));
      });
      const live = answer.media.filter((m) => m.port !== 0 && !hasAttribute(m, 'inactive'));
      expect(live).toHaveLength(findUsableDataSection(offer) === undefined ? 0 : 1);
      expect(parseSdp(writeSdp(answer))).toEqual(answer);
    },
  );
});

describe('a=setup (RFC 4145 §4.1, RFC 8842 §5.3)', () => {
  it.each<[Setup | undefined, 'active' | 'passive', 'active' | 'passive']>([
    ['actpass', 'active', 'active'],
    ['actpass', 'passive', 'passive'],
    ['active', 'active', 'passive'],
    ['passive', 'passive', 'active'],
    [undefined, 'active', 'passive'],
  ])('offer %s, wish %s: answer %s', (offered, wish, answer) => {
    expect(answerSetup(offered, wish)).toBe(answer);
    expect(negotiatedDtlsRole(offered, answer, 'answerer')).toBe(answer === 'active' ? 'client' : 'server');
    expect(negotiatedDtlsRole(offered, answer, 'offerer')).toBe(answer === 'active' ? 'server' : 'client');
  });

  it('an answer without a=setup is what RFC 4145 implies', () => {
    expect(negotiatedDtlsRole('actpass', undefined, 'offerer')).toBe('client');
    expect(negotiatedDtlsRole('active', undefined, 'offerer')).toBe('client');
    expect(negotiatedDtlsRole('passive', undefined, 'offerer')).toBe('server');
  });

  it.each<[Setup, Setup]>([
    ['actpass', 'actpass'],
    ['actpass', 'holdconn'],
    ['active', 'active'],
    ['passive', 'passive'],
  ])('offer %s, answer %s do not fit', (offer, answer) => {
    expect(() => negotiatedDtlsRole(offer, answer, 'offerer')).toThrow(SdpError);
  });

  it('holdconn cannot be answered', () => {
    const text = vector('Chrome: offer with a data channel').replace('setup:actpass', 'setup:holdconn');
    expect(() => createDataAnswer(parseSdp(text), LOCAL)).toThrow(SdpError);
  });

  it('the chosen role goes into the answer', () => {
    const text = vector('Chrome: offer with a data channel');
    const setup = (offered: string, wish: 'active' | 'passive') =>
      attributeValue(
        createDataAnswer(parseSdp(text.replace('actpass', offered)), { ...LOCAL, setup: wish }).media[0]!,
        'setup',
      );
    expect([setup('actpass', 'passive'), setup('active', 'active'), setup('passive', 'passive')]).toEqual([
      'passive',
      'passive',
      'active',
    ]);
  });
});
