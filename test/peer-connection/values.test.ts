import { describe, expect, it } from 'vitest';
import {
  RTCDataChannelEvent,
  RTCError,
  RTCErrorEvent,
  RTCIceCandidate,
  RTCPeerConnection,
  RTCPeerConnectionIceErrorEvent,
  RTCPeerConnectionIceEvent,
  RTCSessionDescription,
} from '../../src/index.ts';

const CANDIDATE =
  'candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.5 rport 9 generation 0 ufrag abcd network-cost 999';

describe('RTCIceCandidate', () => {
  it('shows the fields of its text', () => {
    const candidate = new RTCIceCandidate({ candidate: CANDIDATE, sdpMid: '0', usernameFragment: 'abcd' });
    expect({
      ...Object.fromEntries(
        [
          'foundation',
          'component',
          'priority',
          'address',
          'protocol',
          'port',
          'type',
          'tcpType',
          'relatedAddress',
          'relatedPort',
          'usernameFragment',
          'sdpMid',
          'sdpMLineIndex',
          'url',
          'relayProtocol',
        ].map((key) => [key, Reflect.get(candidate, key)]),
      ),
    }).toEqual({
      foundation: '842163049',
      component: 'rtp',
      priority: 1677729535,
      address: '203.0.113.7',
      protocol: 'udp',
      port: 46154,
      type: 'srflx',
      tcpType: null,
      relatedAddress: '10.0.0.5',
      relatedPort: 9,
      usernameFragment: 'abcd',
      sdpMid: '0',
      sdpMLineIndex: null,
      url: null,
      relayProtocol: null,
    });
    expect(JSON.parse(JSON.stringify(candidate))).toEqual({
      candidate: CANDIDATE,
      sdpMid: '0',
      sdpMLineIndex: null,
      usernameFragment: 'abcd',
    });
  });

  it('keeps text that it cannot read, with null fields', () => {
    const candidate = new RTCIceCandidate({ candidate: 'candidate:nonsense', sdpMLineIndex: 0 });
    expect(candidate.candidate).toBe('candidate:nonsense');
    expect([candidate.foundation, candidate.address, candidate.port, candidate.type]).toEqual([null, null, null, null]);
  });

  it('refuses to belong nowhere', () => {
    const nowhere = [
      undefined,
      null,
      {},
      { candidate: '' },
      { candidate: CANDIDATE },
      { sdpMid: null, sdpMLineIndex: null },
    ];
    for (const init of nowhere) expect(() => Reflect.construct(RTCIceCandidate, [init])).toThrow(TypeError);
  });

  it.each([
    [{ sdpMid: 'audio' }, { candidate: '', sdpMid: 'audio', sdpMLineIndex: null, usernameFragment: null }],
    [{ sdpMLineIndex: 0 }, { candidate: '', sdpMid: null, sdpMLineIndex: 0, usernameFragment: null }],
    [{ sdpMLineIndex: 65_536 }, { sdpMLineIndex: 0 }], // unsigned short without [EnforceRange] wraps
    [{ sdpMLineIndex: -1 }, { sdpMLineIndex: 65_535 }],
    [{ sdpMLineIndex: 'x' }, { sdpMLineIndex: 0 }],
    [
      { sdpMid: 7, candidate: null },
      { sdpMid: '7', candidate: 'null' },
    ],
    [{ sdpMid: '<any [text] at all>;' }, { sdpMid: '<any [text] at all>;' }],
    [
      { sdpMid: '', usernameFragment: '', url: '\ud800', relayProtocol: 'tls' },
      { usernameFragment: '', relayProtocol: 'tls' },
    ],
  ])('%j has %j', (init, expected) => {
    expect(Reflect.construct(RTCIceCandidate, [init])).toMatchObject(expected);
  });

  it('takes no other protocol than the three to a server', () => {
    expect(() => Reflect.construct(RTCIceCandidate, [{ sdpMid: '0', relayProtocol: 'sctp' }])).toThrow(TypeError);
    expect(() => Reflect.construct(RTCIceCandidate, ['candidate'])).toThrow(TypeError);
  });
});

describe('RTCSessionDescription', () => {
  it('is a pair of type and text', () => {
    const description = new RTCSessionDescription({ type: 'offer', sdp: 'v=0\r\n' });
    expect(JSON.stringify(description)).toBe('{"type":"offer","sdp":"v=0\\r\\n"}');
    expect(new RTCSessionDescription({ type: 'rollback' }).sdp).toBe('');
  });

  it('refuses a missing and an unknown type', () => {
    const construct = (init: unknown) => Reflect.construct(RTCSessionDescription, [init]);
    expect(() => construct({})).toThrow(TypeError);
    expect(() => construct(undefined)).toThrow(TypeError);
    expect(() => construct({ type: 'guess' })).toThrow(TypeError);
    expect(() => construct({ type: null, sdp: '' })).toThrow(TypeError);
    expect(() => construct('offer')).toThrow(TypeError);
  });

  it('converts the text', () => {
    const text = (sdp: unknown) => Reflect.construct(RTCSessionDescription, [{ type: 'answer', sdp }]).sdp;
    expect([text(undefined), text(null), text(1)]).toEqual(['', 'null', '1']);
    expect(() => text(Symbol('x'))).toThrow(TypeError);
  });
});

describe('RTCError and the events', () => {
  it('an RTCError is a DOMException with details', () => {
    const error = new RTCError({ errorDetail: 'sctp-failure', sctpCauseCode: 12 }, 'gone');
    expect(error).toBeInstanceOf(DOMException);
    expect([error.name, error.message, error.errorDetail]).toEqual(['OperationError', 'gone', 'sctp-failure']);
    expect([error.sctpCauseCode, error.sdpLineNumber, error.sentAlert, error.receivedAlert]).toEqual([
      12,
      null,
      null,
      null,
    ]);
    expect(error.code).toBe(0);
    for (const init of [{ errorDetail: 'bad luck' }, { errorDetail: null }, {}, null, undefined]) {
      expect(() => Reflect.construct(RTCError, [init])).toThrow(TypeError);
    }
    const wrapping = {
      errorDetail: 'dtls-failure',
      sdpLineNumber: null,
      sctpCauseCode: 2 ** 31,
      sentAlert: -1,
      receivedAlert: '7',
    };
    expect(Reflect.construct(RTCError, [wrapping])).toMatchObject({
      message: '',
      sdpLineNumber: 0,
      sctpCauseCode: -(2 ** 31),
      sentAlert: 2 ** 32 - 1,
      receivedAlert: 7,
    });
    expect(new RTCErrorEvent('error', { error }).error).toBe(error);
    expect(() => Reflect.construct(RTCErrorEvent, ['error', {}])).toThrow(TypeError);
  });

  it('icecandidate and icecandidateerror carry what they are given', () => {
    const candidate = new RTCIceCandidate({ candidate: CANDIDATE, sdpMid: '0' });
    expect(new RTCPeerConnectionIceEvent('icecandidate', { candidate }).candidate).toBe(candidate);
    expect(new RTCPeerConnectionIceEvent('icecandidate').candidate).toBeNull();
    expect(() => Reflect.construct(RTCPeerConnectionIceEvent, ['icecandidate', { candidate: {} }])).toThrow(TypeError);
    const error = new RTCPeerConnectionIceErrorEvent('icecandidateerror', { errorCode: 701, url: 'stun:x.example' });
    expect([error.errorCode, error.url, error.errorText, error.address, error.port]).toEqual([
      701,
      'stun:x.example',
      '',
      null,
      null,
    ]);
    expect(() => Reflect.construct(RTCPeerConnectionIceErrorEvent, ['icecandidateerror', {}])).toThrow(TypeError);
    const converted = { errorCode: 65_537, port: -1, address: 1, url: null, errorText: '\udfff' };
    expect(Reflect.construct(RTCPeerConnectionIceErrorEvent, ['icecandidateerror', converted])).toMatchObject({
      errorCode: 1,
      port: 65_535,
      address: '1',
      url: 'null',
      errorText: '\ufffd',
    });
    expect(Reflect.construct(RTCPeerConnectionIceEvent, ['icecandidate', null])).toMatchObject({
      candidate: null,
      url: null,
    });
  });

  it('a datachannel event has a channel, and is what its dictionary says', () => {
    const pc = new RTCPeerConnection();
    const channel = pc.createDataChannel('x');
    const event = new RTCDataChannelEvent('datachannel', { channel, bubbles: true, cancelable: true });
    expect([event.type, event.channel, event.bubbles, event.cancelable]).toEqual(['datachannel', channel, true, true]);
    for (const init of [undefined, null, {}, { channel: null }, { channel: undefined }, { channel: {} }]) {
      expect(() => Reflect.construct(RTCDataChannelEvent, ['datachannel', init])).toThrow(TypeError);
    }
    pc.close();
  });
});

describe('RTCCertificate', () => {
  it('is made, used by a connection, and shown in its description', async () => {
    const certificate = await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' });
    const [fingerprint] = certificate.getFingerprints();
    expect(fingerprint?.algorithm).toBe('sha-256');
    const pc = new RTCPeerConnection({ certificates: [certificate] });
    pc.createDataChannel('x');
    const { sdp } = await pc.createOffer();
    expect(sdp).toContain(`a=fingerprint:sha-256 ${fingerprint?.value?.toUpperCase()}`);
    const refused = expect.objectContaining({ name: 'InvalidModificationError' });
    expect(() => pc.setConfiguration({ certificates: [] })).toThrow(refused);
    pc.setConfiguration({ certificates: [certificate] });
    pc.close();
  });

  it('that has expired is refused', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', expires: 0 };
    const certificate = await RTCPeerConnection.generateCertificate(algorithm);
    expect(certificate.expires).toBeLessThanOrEqual(Date.now());
    await expect.poll(() => certificate.expires < Date.now(), { timeout: 3000 }).toBe(true);
    expect(() => new RTCPeerConnection({ certificates: [certificate] })).toThrow(
      expect.objectContaining({ name: 'InvalidAccessError' }),
    );
  });

  it('of an algorithm that is not supported rejects with NotSupportedError', async () => {
    const refused = expect.objectContaining({ name: 'NotSupportedError' });
    await expect(RTCPeerConnection.generateCertificate('HMAC')).rejects.toThrow(refused);
    await expect(RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-521' })).rejects.toThrow(
      refused,
    );
    const rsa = {
      name: 'RSASSA-PKCS1-v1_5',
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
      hash: 'SHA-256',
    };
    for (const other of [{ hash: 'SHA-1' }, { modulusLength: 1024 }, { publicExponent: Uint8Array.of(3) }]) {
      await expect(RTCPeerConnection.generateCertificate({ ...rsa, ...other })).rejects.toThrow(refused);
    }
  });

  it('of RSA, as the W3C wants it supported', async () => {
    const certificate = await RTCPeerConnection.generateCertificate({
      name: 'rsassa-pkcs1-v1_5',
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
      hash: { name: 'sha-256' },
    });
    expect(certificate.getFingerprints()).toMatchObject([
      { value: expect.stringMatching(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/) },
    ]);
  });

  it('lives as long as was asked for, at most a year', async () => {
    const made = async (expires: unknown) =>
      Reflect.apply(RTCPeerConnection.generateCertificate, undefined, [
        { name: 'ECDSA', namedCurve: 'P-256', expires },
      ]);
    const start = Date.now();
    expect(Math.abs((await made(2000)).expires - start - 2000)).toBeLessThan(1000);
    const year = 365 * 86_400_000;
    expect(Math.abs((await made(10 * year)).expires - start - year)).toBeLessThan(10_000);
    for (const expires of [-1, 'invalid', Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(made(expires)).rejects.toThrow(TypeError);
    }
    await expect(Reflect.apply(RTCPeerConnection.generateCertificate, undefined, [])).rejects.toThrow(TypeError);
    await expect(Reflect.apply(RTCPeerConnection.generateCertificate, undefined, [{}])).rejects.toThrow(TypeError);
  });
});
