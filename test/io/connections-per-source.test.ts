import { describe, expect, it } from 'vitest';
import { ConnectionsPerSource } from '../../src/io/index.ts';

describe('ConnectionsPerSource', () => {
  it('counts an IPv4 address, and the /64 of an IPv6 address, each to its bound', () => {
    const counts = new ConnectionsPerSource(2, 1000);
    for (const ip of ['203.0.113.1', '203.0.113.1', '203.0.113.2']) expect(counts.add(ip)).toBe(true);
    expect(counts.add('203.0.113.1')).toBe(false);
    for (const ip of ['2001:db8::1', '2001:db8:0:0:f::2', '2001:db8:0:1::1']) expect(counts.add(ip)).toBe(true);
    expect(counts.add('2001:db8::3')).toBe(false);
    counts.remove('2001:db8::1');
    expect(counts.add('2001:db8::3')).toBe(true);
  });

  it('tells the IPv4 clients of a socket for both families apart (RFC 4291 §2.5.5.2)', () => {
    const counts = new ConnectionsPerSource(undefined, 1);
    expect(['::ffff:203.0.113.1', '::ffff:203.0.113.2'].map((ip) => counts.add(ip))).toEqual([true, true]);
    expect([counts.add('::ffff:203.0.113.1'), counts.add('203.0.113.2')]).toEqual([false, false]);
    expect([1, 2, 3].filter(() => counts.add('::ffff:127.0.0.1'))).toHaveLength(3);
    counts.remove('203.0.113.1');
    expect(counts.add('::ffff:203.0.113.1')).toBe(true);
  });

  it('keeps nothing of a source without connections', () => {
    const counts = new ConnectionsPerSource(2, 1000);
    for (const ip of ['203.0.113.1', '203.0.113.1', '2001:db8::1']) counts.add(ip);
    expect(counts.add('203.0.113.1')).toBe(false);
    expect(counts.size).toBe(2);
    for (const ip of ['203.0.113.1', '203.0.113.1', '2001:db8::2']) counts.remove(ip);
    expect(counts.size).toBe(0);
  });

  it.each([
    [
      'the default spares this machine, where a proxy may be',
      undefined,
      { '127.0.0.1': 3, '::1': 3, '203.0.113.1': 1 },
    ],
    ['a number holds for everybody', 2, { '127.0.0.1': 2, '::1': 2, '203.0.113.1': 2 }],
    ['0 is no bound', 0, { '127.0.0.1': 3, '::1': 3, '203.0.113.1': 3 }],
  ])('%s', (_, max, expected) => {
    const counts = new ConnectionsPerSource(max, 1);
    for (const [ip, count] of Object.entries(expected)) {
      expect([1, 2, 3].filter(() => counts.add(ip))).toHaveLength(count);
    }
  });
});
