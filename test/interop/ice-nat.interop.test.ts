import { afterEach, describe, expect, it } from 'vitest';
import type { RTCConfiguration } from '../../src/index.ts';
import { Lab, type LabPeer, type NatKind, negotiate } from './netns.ts';

interface Description {
  readonly type: string;
  readonly sdp: string;
}

interface Pair {
  readonly local: { readonly type: string; readonly address: string };
  readonly remote: { readonly type: string; readonly address: string };
}

/** Public addresses of the two NATs, and of the server. */
const [WAN_A, WAN_B, SERVER] = ['198.51.100.1', '198.51.100.2', '198.51.100.100'];

describe('two peers behind real NATs (network namespaces, nftables)', () => {
  let lab: Lab | undefined;
  afterEach(async () => {
    await lab?.remove();
    lab = undefined;
  });

  async function connect(natA: NatKind, natB: NatKind): Promise<{ a: LabPeer; b: LabPeer; pairs: [Pair, Pair] }> {
    lab = Lab.behindNats(natA, natB);
    const iceServers = await lab.coturn();
    const [a, b] = [await lab.peer('a', { iceServers }), await lab.peer('b', { iceServers })];
    await negotiate(a, b, { channel: true });
    await Promise.all([a.call('open'), b.call('open')]);
    expect(await a.call('say', 'hello')).toBe('hello back');
    return { a, b, pairs: [await a.call<Pair>('pair'), await b.call<Pair>('pair')] };
  }

  it.each([
    ['cone', 'cone'],
    ['full-cone', 'symmetric'],
    ['symmetric', 'full-cone'],
  ] as const)('%s and %s: directly', async (natA, natB) => {
    const { a, b } = await connect(natA, natB);
    const pairs = async () => [await a.call<Pair>('pair'), await b.call<Pair>('pair')];
    // A relay may have been nominated first; the direct pair takes over when it has proved itself.
    const remotes = async () => (await pairs()).map(({ remote }) => remote.address);
    await expect.poll(remotes, { timeout: 10_000 }).toEqual([WAN_B, WAN_A]);
    for (const { local, remote } of await pairs()) expect([local.type, remote.type]).not.toContain('relay');
    expect(await a.call('say', 'hello again')).toBe('hello again back');
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });

  it('cone and cone, where no UDP gets through: by a simultaneous open of TCP, from ports that the STUN server has seen', async () => {
    lab = Lab.behindNats('cone', 'cone');
    const [stun] = await lab.coturn();
    const configuration: RTCConfiguration = { iceServers: [stun!], purertc: { iceTcp: ['so'] } };
    const [a, b] = [await lab.peer('a', configuration), await lab.peer('b', configuration)];
    const tcpOnly = ({ type, sdp }: Description) => ({
      type,
      sdp: sdp.replace(/a=candidate:\S+ 1 udp .*\r\n/g, ''),
    });
    const offer = tcpOnly(await a.call<Description>('offer', { channel: true }));
    expect(offer.sdp).toMatch(/1 tcp \d+ 198\.51\.100\.1 \d+ typ srflx raddr 10\.0\.1\.2 rport \d+ tcptype so/);
    await a.call('accept', tcpOnly(await b.call<Description>('answer', offer)));
    await Promise.all([a.call('open'), b.call('open')]);
    expect(await a.call('say', 'hello')).toBe('hello back');
    const pairs = [await a.call<Pair>('pair'), await b.call<Pair>('pair')];
    expect(pairs.map(({ remote }) => remote.address)).toEqual([WAN_B, WAN_A]);
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });

  it.each([
    ['symmetric', 'symmetric'],
    ['cone', 'symmetric'],
  ] as const)('%s and %s: through the TURN server', async (natA, natB) => {
    const { a, b, pairs } = await connect(natA, natB);
    const types = pairs.flatMap(({ local, remote }) => [local, remote]);
    expect(types.some(({ type, address }) => type === 'relay' && address === SERVER)).toBe(true);
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });
});
