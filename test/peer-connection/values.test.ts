import { describe, expect, it } from 'vitest';
import {
  MAX_ICE_SERVERS,
  parseIceServerUrl,
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

  it('refuses to belong nowhere, and an index outside unsigned short', () => {
    expect(() => new RTCIceCandidate()).toThrow(TypeError);
    expect(() => new RTCIceCandidate({ candidate: CANDIDATE })).toThrow(TypeError);
    expect(() => new RTCIceCandidate({ candidate: '', sdpMLineIndex: 65_536 })).toThrow(TypeError);
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
    expect(() => Reflect.construct(RTCError, [{ errorDetail: 'bad luck' }])).toThrow(TypeError);
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
  });
});

describe('ICE server URLs (RFC 7064 §3.1, RFC 7065 §3.1)', () => {
  it.each([
    ['stun:stun.example.org', { scheme: 'stun', host: 'stun.example.org', port: 3478, transport: 'udp' }],
    ['STUN:stun.example.org:19302', { scheme: 'stun', host: 'stun.example.org', port: 19302 }],
    ['stuns:[2001:DB8::1]', { scheme: 'stuns', host: '2001:db8::1', port: 5349 }],
    ['turn:192.0.2.1:443?transport=tcp', { scheme: 'turn', host: '192.0.2.1', port: 443, transport: 'tcp' }],
    ['turns:turn.example.org', { scheme: 'turns', port: 5349, transport: 'tls' }],
    ['turns:turn.example.org?transport=udp', { scheme: 'turns', port: 5349, transport: 'dtls' }],
  ])('%s is read', (url, expected) => {
    expect(parseIceServerUrl(url)).toMatchObject({ url, ...expected });
  });

  it.each([
    'stun:',
    'http://example.org',
    'stun://example.org',
    'stun:user@example.org',
    'stun:example.org?transport=udp',
    'turn:example.org?transport=sctp',
    'turn:example.org?transport=udp#fragment',
    'stun:example.org:0',
    'stun:example.org:65536',
    'stun:[::1',
    'stun:[1.2.3.4]',
    'stun:1.2.3',
    'stun:exa mple.org',
    '',
  ])('%s is a SyntaxError', (url) => {
    expect(() => parseIceServerUrl(url)).toThrow(expect.objectContaining({ name: 'SyntaxError' }));
  });
});

describe('RTCConfiguration', () => {
  const construct = (configuration: unknown) => Reflect.construct(RTCPeerConnection, [configuration]);

  it.each([
    [{ iceServers: [{}] }, 'TypeError'],
    [{ iceServers: [{ urls: [] }] }, 'SyntaxError'],
    [{ iceServers: [{ urls: 'turn:turn.example.org' }] }, 'InvalidAccessError'],
    [
      { iceServers: [{ urls: 'turn:turn.example.org', username: 'u'.repeat(509), credential: 'c' }] },
      'InvalidAccessError',
    ],
    [{ iceServers: 'stun:x' }, 'TypeError'],
    [{ iceTransportPolicy: 'some' }, 'TypeError'],
    [{ bundlePolicy: 'loose' }, 'TypeError'],
    [{ rtcpMuxPolicy: 'negotiate' }, 'TypeError'],
    [{ iceCandidatePoolSize: 256 }, 'TypeError'],
    [{ certificates: [{}] }, 'TypeError'],
    ['nonsense', 'TypeError'],
  ])('%j is refused with %s', (configuration, name) => {
    expect(() => construct(configuration)).toThrow(expect.objectContaining({ name }));
  });

  it('null and undefined are the empty configuration', () => {
    for (const configuration of [null, undefined]) {
      const pc = construct(configuration) as RTCPeerConnection;
      expect(pc.getConfiguration().iceServers).toEqual([]);
      pc.close();
    }
  });

  it('uses a bounded number of servers and leaves out the rest', () => {
    const iceServers = Array.from({ length: MAX_ICE_SERVERS + 4 }, (_, i) => ({ urls: `stun:s${i}.example` }));
    const pc = new RTCPeerConnection({ iceServers });
    const kept = pc.getConfiguration().iceServers;
    expect(kept).toHaveLength(MAX_ICE_SERVERS);
    expect(kept?.at(-1)).toEqual({ urls: [`stun:s${MAX_ICE_SERVERS - 1}.example`] });
    pc.close();
  });

  it('setConfiguration replaces servers, and not what may not change', () => {
    const pc = new RTCPeerConnection({ iceServers: [{ urls: ['stun:a.example', 'stun:b.example'] }] });
    pc.setConfiguration({ iceServers: [{ urls: 'stun:c.example' }], iceTransportPolicy: 'relay' });
    expect(pc.getConfiguration().iceServers).toEqual([{ urls: ['stun:c.example'] }]);
    const refused = expect.objectContaining({ name: 'InvalidModificationError' });
    expect(() => pc.setConfiguration({ bundlePolicy: 'max-bundle' })).toThrow(refused);
    expect(() => pc.setConfiguration({ iceServers: [{ urls: 'nonsense' }] })).toThrow(
      expect.objectContaining({ name: 'SyntaxError' }),
    );
    expect(pc.getConfiguration().iceTransportPolicy).toBe('relay');
    pc.close();
    expect(() => pc.setConfiguration()).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
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
    expect(certificate.expires).toBeLessThan(Date.now() + 1000);
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
  });
});
