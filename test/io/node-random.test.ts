import { describe, expect, it } from 'vitest';
import { nodeRandom } from '../../src/io/node-random.ts';

function draw(length: number): string {
  const out = new Uint8Array(length);
  nodeRandom(out);
  return Buffer.from(out).toString('hex');
}

describe('nodeRandom', () => {
  it('gives every short request bytes of its own, across refills of its pool', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 2000; i++) seen.add(draw(8 + (i % 57)).slice(0, 16));
    expect(seen.size).toBe(2000);
  });

  it('fills every byte of requests of every length around the pool', () => {
    for (const length of [1, 7, 63, 64, 65, 4096, 5000]) {
      const ever = new Uint8Array(length);
      for (let i = 0; i < 40; i++) {
        const out = new Uint8Array(length);
        nodeRandom(out);
        out.forEach((byte, at) => {
          ever[at] = (ever[at] ?? 0) | byte;
        });
      }
      expect(ever.every((bits) => bits !== 0)).toBe(true); // 40 zero bytes in one place: 2^-320
    }
  });

  it('takes nothing for an empty request', () => {
    expect(draw(0)).toBe('');
  });
});
