import { describe, expect, it } from 'vitest';
import {
  defaultPort,
  formatStunUri,
  orderSrvRecords,
  parseStunUri,
  srvName,
  transportOf,
} from '../../src/stun/index.ts';
import { SeededRandom } from '../sim/index.ts';

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

describe('SRV records (RFC 2782, RFC 8489 §8.1)', () => {
  const random = new SeededRandom(1);
  const env = { random: (out: Uint8Array) => random.fill(out) };
  const record = (target: string, priority: number, weight: number) => ({ target, priority, weight, port: 3478 });

  it('lower priorities come first, whatever their weights', () => {
    const records = [record('c', 20, 100), record('b', 10, 0), record('a', 5, 1)];
    for (let i = 0; i < 50; i++)
      expect(orderSrvRecords(records, env).map(({ target }) => target)).toEqual(['a', 'b', 'c']);
  });

  it('equal priorities share in proportion to their weights, and weight 0 is seldom first', () => {
    const records = [record('heavy', 1, 60), record('light', 1, 20), record('none', 1, 0)];
    const first = { heavy: 0, light: 0, none: 0 };
    for (let i = 0; i < 4000; i++) {
      const ordered = orderSrvRecords(records, env).map(({ target }) => target);
      expect([...ordered].sort()).toEqual(['heavy', 'light', 'none']);
      first[ordered[0] as keyof typeof first]++;
    }
    expect(first.heavy / first.light).toBeGreaterThan(2.5);
    expect(first.heavy / first.light).toBeLessThan(3.5);
    expect(first.none).toBeGreaterThan(0);
    expect(first.none).toBeLessThan(200);
  });

  it('the root as the only target says that there is no such service', () => {
    expect(orderSrvRecords([record('.', 0, 0)], env)).toEqual([]);
    expect(orderSrvRecords([], env)).toEqual([]);
  });
});
