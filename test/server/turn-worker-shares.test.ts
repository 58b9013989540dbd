import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter } from '../../src/core/index.ts';
import { QuotaLedger } from '../../src/server/turn-quota.ts';
import { memberOfPort, shareOfRate, slicePorts } from '../../src/server/turn-worker-messages.ts';
import { readTrunkHeader, writeTrunkHeader } from '../../src/turn/server/fleet.ts';

describe('what workers share', () => {
  it.each([
    [
      49_152,
      65_535,
      2,
      [
        [49_152, 57_343],
        [57_344, 65_535],
      ],
    ],
    [
      1025,
      1031,
      3,
      [
        [1025, 1027],
        [1028, 1029],
        [1030, 1031],
      ],
    ],
  ])('ports %i to %i in %i slices that begin even', (min, max, count, expected) => {
    const slices = slicePorts(min, max, count) ?? [];
    expect(slices.map(({ minPort, maxPort }) => [minPort, maxPort])).toEqual(expected);
    const ports = Array.from({ length: max - min + 1 }, (_, i) => min + i);
    expect(ports.every((port) => memberOfPort(slices, port) !== undefined)).toBe(true);
    expect(memberOfPort([undefined, ...slices], min)).toBe(1);
    expect(memberOfPort(slices, max + 1)).toBeUndefined();
  });

  it('bandwidth, in shares of which each lets the largest datagram through', () => {
    const slices = [undefined, ...(slicePorts(2000, 3000, 2) ?? [])];
    expect(shareOfRate({}, slices)).toEqual({});
    expect(shareOfRate({ totalRate: { perSecond: 1e6, burst: 1e6 } }, slices)).toEqual({
      totalRate: { perSecond: 5e5, burst: 5e5 },
    });
    expect(shareOfRate({ totalRate: { perSecond: 10, burst: 1e5 } }, slices)).toEqual({
      totalRate: { perSecond: 5, burst: 65_507 },
    });
  });

  it('a ledger that forgets what a member had', () => {
    const ledger = new QuotaLedger({ userQuota: 2, totalQuota: 3 });
    ledger.add(1, 'ada', 1);
    ledger.add(2, 'ada', 1);
    expect([ledger.refuses('ada'), ledger.refuses('bob')]).toEqual([true, false]);
    ledger.add(2, 'bob', 1);
    expect(ledger.refuses('carl')).toBe(true);
    ledger.forget(2);
    expect([ledger.total, ledger.refuses('ada'), ledger.refuses('carl')]).toEqual([1, false, false]);
    ledger.forget(2);
    expect(ledger.total).toBe(1);
  });

  it.each([
    ['192.0.2.1', '198.51.100.2', '04c0011388c0000201c6336402'],
    ['2001:db8::1', '2001:db8::2', '06c001138820010db800000000000000000000000120010db8000000000000000000000002'],
  ])('the header of data between members, from %s to %s', (from, to, hex) => {
    const w = new ByteWriter(new Uint8Array(64));
    const addresses = { from: { ip: from, port: 49_153 }, to: { ip: to, port: 5000 } };
    writeTrunkHeader(w, addresses.from, addresses.to);
    expect(Buffer.from(w.buf.subarray(0, w.pos)).toString('hex')).toBe(hex);
    expect(readTrunkHeader(new ByteReader(w.buf.subarray(0, w.pos)))).toEqual(addresses);
    for (let length = 0; length < w.pos; length++) {
      expect(() => readTrunkHeader(new ByteReader(w.buf.subarray(0, length)))).toThrow(
        expect.objectContaining({ reason: 'too-short' }),
      );
    }
    const other = Uint8Array.from(w.buf).fill(5, 0, 1);
    expect(() => readTrunkHeader(new ByteReader(other))).toThrow(expect.objectContaining({ reason: 'bad-value' }));
  });
});
