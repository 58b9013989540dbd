import { afterEach, describe, expect, it } from 'vitest';
import type { RTCConfiguration } from '../../src/index.ts';
import { Lab } from './netns.ts';

interface Description {
  readonly type: string;
  readonly sdp: string;
}

interface Pair {
  readonly local: { readonly address: string };
  readonly remote: { readonly address: string };
}

/** Loopback routes no IPv6 multicast, so that this needs a link of its own. */
describe('mDNS names on a link without IPv4', () => {
  let lab: Lab | undefined;
  afterEach(async () => {
    await lab?.remove();
    lab = undefined;
  });

  it('are resolved and answered for over IPv6 by two project peers', async () => {
    lab = Lab.onOneLink();
    for (const [host, address] of [
      ['a', 'fd00::1/64'],
      ['b', 'fd00::2/64'],
    ] as const) {
      lab.ip(host, '-4', 'address', 'flush', 'dev', 'lan');
      lab.ip(host, 'address', 'add', address, 'dev', 'lan', 'nodad');
    }
    const configuration: RTCConfiguration = { purertc: { mdns: true } };
    const [a, b] = [await lab.peer('a', configuration), await lab.peer('b', configuration)];
    const offer = await a.call<Description>('offer', { channel: true });
    // One side learns no candidate, so that only the other's resolving can lead to a connection.
    const bare = { ...offer, sdp: offer.sdp.replace(/a=(?:candidate:.*|end-of-candidates)\r\n/g, '') };
    const answer = await b.call<Description>('answer', bare);
    for (const { sdp } of [offer, answer]) {
      expect(sdp).toMatch(/a=candidate:\S+ 1 udp \d+ [0-9a-f-]{36}\.local \d+ typ host/);
      expect(sdp).not.toContain('fd00::');
    }
    await a.call('accept', answer);
    await Promise.all([a.call('open'), b.call('open')]);
    expect(await a.call('say', 'hello')).toBe('hello back');
    // The other side's address, and nobody's IPv4: what one's own candidate says is its name.
    const pairs = [await a.call<Pair>('pair'), await b.call<Pair>('pair')];
    expect(pairs.map(({ remote }) => remote.address)).toEqual(['fd00::2', 'fd00::1']);
    expect(pairs.every(({ local }) => local.address.endsWith('.local'))).toBe(true);
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });
});
