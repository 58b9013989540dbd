import { describe, expect, it } from 'vitest';
import { classifyPacket, type PacketKind } from '../../src/peer-connection/index.ts';

/** RFC 7983 §7, figure 3. */
const RANGES: readonly (readonly [number, number, PacketKind])[] = [
  [0, 3, 'stun'],
  [4, 15, 'unknown'],
  [16, 19, 'zrtp'],
  [20, 63, 'dtls'],
  [64, 79, 'turn-channel'],
  [80, 127, 'unknown'],
  [128, 191, 'rtp'],
  [192, 255, 'unknown'],
];

describe('classifyPacket', () => {
  it.each(RANGES)('%i to %i is %s', (first, last, kind) => {
    for (let byte = first; byte <= last; byte++) expect(classifyPacket(Uint8Array.of(byte, 0))).toBe(kind);
  });

  it('covers every first byte', () => {
    const covered = RANGES.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    expect(covered).toBe(256);
  });

  it('an empty datagram is nothing', () => {
    expect(classifyPacket(new Uint8Array(0))).toBe('unknown');
  });
});
