import { describe, expect, it } from 'vitest';
import { MAX_ICE_SERVERS, parseIceServerUrl, RTCPeerConnection } from '../../src/index.ts';

describe('ICE server URLs (RFC 7064 §3.1, RFC 7065 §3.1)', () => {
  it.each([
    ['stun:stun.example.org', { scheme: 'stun', host: 'stun.example.org', port: 3478, transport: 'udp' }],
    ['STUN:stun.example.org:19302', { scheme: 'stun', host: 'stun.example.org', port: 19302 }],
    ['stuns:[2001:DB8::1]', { scheme: 'stuns', host: '2001:db8::1', port: 5349, transport: 'udp' }],
    ['turn:192.0.2.1:443?transport=tcp', { scheme: 'turn', host: '192.0.2.1', port: 443, transport: 'tcp' }],
    ['turns:turn.example.org', { scheme: 'turns', port: 5349, transport: 'tls' }],
    ['turns:turn.example.org?transport=udp', { scheme: 'turns', port: 5349, transport: 'dtls' }],
    ['turn:turn.example.org:443', { port: 443, portIsDefault: false }],
    ['turn:turn.example.org:80', { port: 80, portIsDefault: false }],
    // The URL standard's host and port parsing:
    ['stun:example.net:', { port: 3478, portIsDefault: true }],
    ['stun:example.net:0000000000065535', { port: 65_535 }],
    ['stun:ex%61mple.net', { host: 'example.net' }],
    ['stun:example\t.\norg', { host: 'example.org' }],
    ['\u0000 stun:example.com\u001f ', { host: 'example.com' }],
    ['stun:192.168.257', { host: '192.168.1.1' }],
    ['stun:0xffffffff', { host: '255.255.255.255' }],
    ['stun:Ｇｏ.com', { host: 'go.com' }],
    ['stun:你好你好', { host: 'xn--6qqa088eba' }],
    ['stun:www.foo。bar.com', { host: 'www.foo.bar.com' }],
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
    'stun:example.org:65536',
    'stun:[::1',
    'stun:[1.2.3.4]',
    'stun:exa mple.org',
    '',
    'relative-url',
    'stun:example.net/foo',
    'stun:example.net?',
    'stun:example.net#',
    'turn:example.net?transport=UDP',
    'turn:example.net?',
    'stun:example.net:b',
    'stun:example.net:-21',
    'stun:[61:24:74]:98',
    'stun:[example.net]',
    'stun:[::1.2.3.]',
    'stun:192.168.0.257',
    'stun:256.256.256.256',
    'stun:0xffffffff1',
    'stun:%25',
    'stun:hello%00',
    'stun:a<b',
    'stun:a^b',
    'stun:a\\b',
    'stun:\ufffd',
    'stun:10.0.0.XN--pokxncvks',
    'stun:x x:12',
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
    [{ iceServers: null }, 'TypeError'],
    [{ iceServers: [null] }, 'TypeError'],
    [{ iceServers: [undefined] }, 'TypeError'],
    [{ iceServers: { length: 0 } }, 'TypeError'],
    [{ iceServers: [{ urls: null }] }, 'SyntaxError'],
    [{ iceServers: [{ urls: ['stun:example.net', ''] }] }, 'SyntaxError'],
    [{ iceServers: [{ urls: 'turns:turn.example.org', username: 'u' }] }, 'InvalidAccessError'],
    [{ iceServers: [{ urls: 'turns:turn.example.org', credential: 'c' }] }, 'InvalidAccessError'],
    [{ iceTransportPolicy: null }, 'TypeError'],
    [{ iceTransportPolicy: 'none' }, 'TypeError'],
    [{ bundlePolicy: null }, 'TypeError'],
    [{ rtcpMuxPolicy: null }, 'TypeError'],
    [{ iceCandidatePoolSize: -1 }, 'TypeError'],
    [{ iceCandidatePoolSize: Number.NaN }, 'TypeError'],
    [{ certificates: null }, 'TypeError'],
    [{ certificates: [undefined] }, 'TypeError'],
    [{ iceTransportPolicy: 'some' }, 'TypeError'],
    [{ bundlePolicy: 'loose' }, 'TypeError'],
    [{ rtcpMuxPolicy: 'negotiate' }, 'TypeError'],
    [{ iceCandidatePoolSize: 256 }, 'TypeError'],
    [{ certificates: [{}] }, 'TypeError'],
    ['nonsense', 'TypeError'],
  ])('%j is refused with %s', (configuration, name) => {
    expect(() => construct(configuration)).toThrow(expect.objectContaining({ name }));
  });

  it('null, undefined and undefined members are the empty configuration', () => {
    const unset = {
      iceServers: undefined,
      bundlePolicy: undefined,
      iceCandidatePoolSize: undefined,
      certificates: undefined,
    };
    for (const configuration of [null, undefined, unset]) {
      const pc = construct(configuration) as RTCPeerConnection;
      expect(pc.getConfiguration().iceServers).toEqual([]);
      pc.close();
    }
  });

  it('takes any iterable for a list, and empty credentials', () => {
    const server = { urls: new Set(['turn:turn.example.org']), username: '', credential: null };
    const pc = construct({ iceServers: new Set([server]), iceTransports: 'relay' }) as RTCPeerConnection;
    expect(pc.getConfiguration().iceServers).toEqual([
      { urls: ['turn:turn.example.org'], username: '', credential: 'null' },
    ]);
    expect(pc.getConfiguration().iceTransportPolicy).toBe('all');
    expect(pc.getConfiguration()).not.toBe(pc.getConfiguration());
    pc.close();
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
