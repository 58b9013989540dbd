import { describe, expect, it } from 'vitest';
import { defaultPort, formatStunUri, parseStunUri, srvName, transportOf } from '../../src/stun/index.ts';

describe('stun: and turn: URIs (RFC 7064, RFC 7065)', () => {
  it.each([
    ['stun:example.org', 'example.org', 3478, 'udp', '_stun._udp.example.org'],
    ['stuns:example.org', 'example.org', 5349, 'tls', '_stuns._tcp.example.org'],
    ['stun:example.org:8000', 'example.org', 8000, 'udp', undefined],
    ['turn:example.org', 'example.org', 3478, 'udp', '_turn._udp.example.org'],
    ['turns:example.org', 'example.org', 5349, 'tls', '_turns._tcp.example.org'],
    ['turn:example.org?transport=udp', 'example.org', 3478, 'udp', '_turn._udp.example.org'],
    ['turn:example.org?transport=tcp', 'example.org', 3478, 'tcp', '_turn._tcp.example.org'],
    ['turns:example.org?transport=tcp', 'example.org', 5349, 'tls', '_turns._tcp.example.org'],
    ['turns:example.org?transport=udp', 'example.org', 5349, 'dtls', '_turns._udp.example.org'],
    ['turn:192.0.2.1:8000?transport=tcp', '192.0.2.1', 8000, 'tcp', undefined],
    ['stun:[2001:db8::1]', '2001:db8::1', 3478, 'udp', undefined],
    ['turn:[2001:db8::1]:443?transport=tcp', '2001:db8::1', 443, 'tcp', undefined],
  ])('%s', (text, host, port, transport, srv) => {
    const uri = parseStunUri(text);
    expect(uri.host).toBe(host);
    expect(defaultPort(uri)).toBe(port);
    expect(transportOf(uri)).toBe(transport);
    expect(srvName(uri)).toBe(srv);
    expect(formatStunUri(uri)).toBe(text);
  });

  it('is normalised: case, IPv6 spelling', () => {
    expect(formatStunUri(parseStunUri('TURN:Example.ORG?Transport=TCP'))).toBe('turn:example.org?transport=tcp');
    expect(formatStunUri(parseStunUri('stun:[2001:0DB8:0:0::1]:03478'))).toBe('stun:[2001:db8::1]:3478');
  });

  it.each([
    '',
    'http://example.org',
    'stun://example.org',
    'stun:',
    'stun::3478',
    'stun:example.org:',
    'stun:example.org:0',
    'stun:example.org:65536',
    'stun:example.org:34x8',
    'stun:example.org?transport=udp',
    'turn:example.org?transport=',
    'turn:example.org?transport=sctp',
    'turn:example.org?port=1',
    'turn:example.org?transport=udp&transport=tcp',
    'turn:user@example.org',
    'turn:exa mple.org',
    'turn:-example.org',
    'turn:example..org',
    'turn:[example.org]',
    'turn:[192.0.2.1]',
    'turn:[2001:db8::1',
    'turn:2001:db8::1',
    'turn:192.0.2.256',
    'turn:192.0.2',
    'turn:01.2.3.4',
    'turn:example.org#x',
    'turn:example.org/path',
  ])('%j is refused, and the message says why', (text) => {
    expect(() => parseStunUri(text)).toThrow(expect.objectContaining({ name: 'StunUriError' }));
  });
});
