import { afterAll, describe, expect, it } from 'vitest';
import * as purertc from '../../src/index.ts';

const before = new Set(Object.getOwnPropertyNames(globalThis));
afterAll(() => {
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!before.has(name) && name.startsWith('RTC')) Reflect.deleteProperty(globalThis, name);
  }
});

describe('purertc/polyfill', () => {
  it('installs every W3C class, and leaves alone what is there', async () => {
    const own = class {};
    Object.defineProperty(globalThis, 'RTCCertificate', { configurable: true, value: own });
    await import('../../src/polyfill/index.ts');
    expect(Reflect.get(globalThis, 'RTCCertificate')).toBe(own);
    const classes = Object.entries(purertc).filter(([name]) => /^RTC/.test(name) && name !== 'RTCCertificate');
    expect(classes.length).toBe(14);
    for (const [name, value] of classes) expect(Reflect.get(globalThis, name)).toBe(value);
    expect(Object.keys(globalThis)).not.toContain('RTCPeerConnection');
  });
});
