import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bytesToHex,
  canonicalIp,
  equalBytes,
  formatAddress,
  formatFiveTuple,
  formatIp,
  fromWireAddress,
  hexToBytes,
  ipFamily,
  parseIp,
  sameAddress,
  toWireAddress,
} from '../../src/core/index.ts';
import vectors from '../vectors/core/ip.json' with { type: 'json' };

describe('IP addresses', () => {
  it.each(vectors.cases)('$name', (v) => {
    const bytes = parseIp(v.text);
    expect(bytes && bytesToHex(bytes)).toBe(v.hex);
    expect(formatIp(hexToBytes(v.hex))).toBe(v.canonical);
    expect(canonicalIp(v.text)).toBe(v.canonical);
  });

  it.each(vectors.illegal)('rejects %j', (text) => {
    expect(parseIp(text)).toBeUndefined();
    expect(canonicalIp(text)).toBeUndefined();
  });

  it('every 4 or 16 bytes have one text that leads back to them', () => {
    const ip = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), sparseIpv6());
    fc.assert(
      fc.property(ip, (bytes) => {
        const text = formatIp(bytes);
        const parsed = parseIp(text);
        expect(parsed && equalBytes(parsed, bytes)).toBe(true);
        expect(ipFamily(text)).toBe(bytes.length === 4 ? 4 : 6);
      }),
    );
  });

  it('any text gives an address that round-trips, or undefined', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f:.]{0,24}$/), (text) => {
        const bytes = parseIp(text);
        if (bytes !== undefined) expect(parseIp(formatIp(bytes))).toEqual(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});

/** IPv6 addresses with many zero groups, where compression matters. */
function sparseIpv6(): fc.Arbitrary<Uint8Array> {
  const group = fc.oneof(fc.constant([0, 0]), fc.tuple(fc.nat(255), fc.nat(255)));
  return fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => Uint8Array.from(groups.flat()));
}

describe('transport addresses', () => {
  it('are formatted with brackets for IPv6', () => {
    expect(formatAddress({ ip: '192.0.2.1', port: 3478 })).toBe('192.0.2.1:3478');
    expect(formatAddress({ ip: '::1', port: 1 })).toBe('[::1]:1');
  });

  it('convert to wire form and back', () => {
    const address = { ip: '2001:db8::1', port: 5000 };
    expect(fromWireAddress(toWireAddress(address))).toEqual(address);
    expect(() => toWireAddress({ ip: 'example.com', port: 1 })).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: 'bad-value' }),
    );
  });

  it('compare by value, and paths have a key', () => {
    const a = { ip: '127.0.0.1', port: 1 };
    expect(sameAddress(a, { ...a })).toBe(true);
    expect(sameAddress(a, { ip: '127.0.0.1', port: 2 })).toBe(false);
    expect(formatFiveTuple({ protocol: 'udp', local: a, remote: { ip: '::1', port: 2 } })).toBe(
      'udp 127.0.0.1:1 [::1]:2',
    );
  });
});
