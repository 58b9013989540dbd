import { afterEach, describe, expect, it } from 'vitest';
import { Lab, negotiate } from './netns.ts';

describe('a link that goes down (network namespaces)', () => {
  let lab: Lab | undefined;
  afterEach(async () => {
    await lab?.remove();
    lab = undefined;
  });

  it('and comes back with another address: the connection survives by an ICE restart', async () => {
    lab = Lab.behindNats('cone', 'cone');
    const iceServers = await lab.coturn();
    const [a, b] = [
      await lab.peer('a', { iceServers, purertc: { watchInterfaces: true } }),
      await lab.peer('b', { iceServers }),
    ];
    await negotiate(a, b, { channel: true });
    await Promise.all([a.call('open'), b.call('open')]);
    expect(await a.call('say', 'before')).toBe('before back');

    lab.ip('a', 'link', 'set', 'lan', 'down');
    await a.call('waitFor', 'disconnected', 'connecting');
    lab.ip('a', 'address', 'flush', 'dev', 'lan');
    lab.ip('a', 'address', 'add', '10.0.1.77/24', 'dev', 'lan');
    lab.ip('a', 'link', 'set', 'lan', 'up');
    lab.ip('a', 'route', 'add', 'default', 'via', '10.0.1.1');
    await a.call('candidate', '10.0.1.77');

    await negotiate(a, b, { restart: true });
    expect(await a.call('say', 'after')).toBe('after back');
    await a.call('waitFor', 'connected');
    expect(await a.call('pair')).toMatchObject({
      local: { address: expect.stringMatching(/^10\.0\.1\.77$|^198\.51/) },
    });
    expect(await a.call('states')).not.toContain('failed');
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });

  it('for ten seconds: the connection comes back without anybody doing anything', async () => {
    lab = Lab.behindNats('cone', 'cone');
    const iceServers = await lab.coturn();
    const [a, b] = [await lab.peer('a', { iceServers }), await lab.peer('b', { iceServers })];
    await negotiate(a, b, { channel: true });
    await Promise.all([a.call('open'), b.call('open')]);
    lab.ip('nata', 'link', 'set', 'lan', 'down');
    await b.call('waitFor', 'disconnected');
    lab.ip('nata', 'link', 'set', 'lan', 'up');
    expect(await b.call('say', 'still there?')).toBe('still there? back');
    await b.call('waitFor', 'connected');
    expect([await a.leave(), await b.leave()]).toEqual([0, 0]);
  });
});
