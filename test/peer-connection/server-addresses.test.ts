import { describe, expect, it } from 'vitest';
import type { Platform, SrvRecord } from '../../src/core/index.ts';
import { parseIceServerUrl } from '../../src/index.ts';
import { locateServer, SRV_PATIENCE_MS } from '../../src/peer-connection/server-addresses.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { SimPlatform } from './sim-platform.ts';

function machine() {
  const world = new SimWorld(1);
  const platform = new SimPlatform(new SimNetwork(world, { latencyMs: 1 }), ['10.0.0.1']);
  platform.names.set('example.org', ['192.0.2.1']);
  platform.names.set('turn1.example.org', ['192.0.2.11']);
  return { world, platform };
}

const locate = (platform: Platform, url: string) => locateServer(platform, parseIceServerUrl(url));
const record = (target: string, port: number, priority = 0): SrvRecord => ({ target, port, priority, weight: 0 });

describe('where an ICE server is (RFC 8489 §8, RFC 5928 §3)', () => {
  it.each([
    ['stun:example.org', '_stun._udp.example.org'],
    ['turn:example.org', '_turn._udp.example.org'],
    ['turn:example.org?transport=tcp', '_turn._tcp.example.org'],
    ['turns:example.org', '_turns._tcp.example.org'],
    ['turns:example.org?transport=udp', '_turns._udp.example.org'],
  ])('%s asks for the SRV records of %s', async (url, name) => {
    const { platform } = machine();
    platform.services.set(name, [record('turn1.example.org', 443)]);
    expect(await locate(platform, url)).toEqual({ ips: ['192.0.2.11'], port: 443 });
    expect(platform.pendingTimers).toBe(0);
  });

  it('the host and the default port where there are no records, or the URL has a port or an address', async () => {
    const { platform } = machine();
    platform.services.set('_turn._udp.example.org', [record('turn1.example.org', 443)]);
    expect(await locate(platform, 'turns:example.org')).toEqual({ ips: ['192.0.2.1'], port: 5349 });
    expect(await locate(platform, 'turn:example.org:1000')).toEqual({ ips: ['192.0.2.1'], port: 1000 });
    expect(await locate(platform, 'turn:198.51.100.1')).toEqual({ ips: ['198.51.100.1'], port: 3478 });
  });

  it('the next record where a target does not resolve, by priority', async () => {
    const { platform } = machine();
    platform.services.set('_turn._udp.example.org', [
      record('turn1.example.org', 2, 20),
      record('gone.example', 1, 10),
    ]);
    expect(await locate(platform, 'turn:example.org')).toEqual({ ips: ['192.0.2.11'], port: 2 });
  });

  it('the records alone where the name itself has no address', async () => {
    const { platform } = machine();
    platform.services.set('_turn._udp.only.example', [record('turn1.example.org', 443)]);
    expect(await locate(platform, 'turn:only.example')).toEqual({ ips: ['192.0.2.11'], port: 443 });
  });

  it('rejects where the service is declared absent, no target resolves, or nothing is known', async () => {
    const { platform } = machine();
    platform.services.set('_turn._udp.example.org', [record('.', 0)]);
    await expect(locate(platform, 'turn:example.org')).rejects.toThrow('no such service');
    platform.services.set('_turn._udp.example.org', [record('gone.example', 1)]);
    await expect(locate(platform, 'turn:example.org')).rejects.toThrow('gone.example does not exist');
    await expect(locate(platform, 'turn:nowhere.example')).rejects.toThrow('nowhere.example does not exist');
  });

  it('does not wait long for a resolver that never answers about SRV, nor fall with one that fails', async () => {
    const { world, platform } = machine();
    platform.resolveSrv = () => new Promise(() => undefined);
    const found = locate(platform, 'turn:example.org');
    for (let i = 0; i < 8; i++) await Promise.resolve();
    world.run();
    expect(await found).toEqual({ ips: ['192.0.2.1'], port: 3478 });
    expect(world.now).toBe(SRV_PATIENCE_MS);
    platform.resolveSrv = () => Promise.reject(new Error('SERVFAIL'));
    expect(await locate(platform, 'turn:example.org')).toEqual({ ips: ['192.0.2.1'], port: 3478 });
  });
});
