import { describe, expect, it } from 'vitest';
import { RTCPeerConnection, UdpMux } from '../../src/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { MAX_RELAY_ATTEMPTS } from '../../src/peer-connection/relay-gatherer.ts';
import { STUN_METHODS, StunServer } from '../../src/stun/index.ts';
import { makeAccessToken } from '../../src/turn/index.ts';
import { openEcho } from '../e2e/support.ts';
import { SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { FakeTurnServer, failWith } from '../turn/fake-server.ts';
import {
  gather,
  IPS,
  makePeer,
  makeRelayWorld,
  SERVER,
  SimStreams,
  streamServer,
  TCP,
  UDP,
  USER,
} from './relay-support.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

describe('relays through the façade', () => {
  function fakeWorld() {
    const world = new SimWorld(1);
    const network = new SimNetwork(world, { latencyMs: 10 });
    const fake = (address: typeof SERVER) => {
      const core = new FakeTurnServer({ env: simEnv(world, nodeCrypto), realm: 'example.org', findUser: () => USER });
      network.attach(core, [address], () => undefined);
      return core;
    };
    return { network, fake, platform: new SimPlatform(network, [IPS[0]]) };
  }

  it('ask again from another port when this one still has an allocation (437)', async () => {
    const { network, fake, platform } = fakeWorld();
    const server = fake(SERVER);
    const ports = new Set<number>();
    server.answer = ({ method, path }) => {
      if (method !== STUN_METHODS.Allocate) return undefined;
      ports.add(path.remote.port);
      return ports.size === 1 ? failWith(437) : undefined;
    };
    const { pc, candidates, errors } = makePeer(platform);
    await gather(pc, network);
    expect([ports.size, candidates.length, errors.length]).toEqual([2, 1, 0]);
    pc.close();
    expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it('are asked for again when the server has forgotten them (437 to Refresh), but not after a wrong password', async () => {
    const { network, fake, platform } = fakeWorld();
    const server = fake(SERVER);
    let allocations = 0;
    let refusal: ReturnType<typeof failWith> | undefined = failWith(437);
    server.answer = ({ method }) => {
      if (method === STUN_METHODS.Allocate) allocations++;
      return method === STUN_METHODS.Refresh ? refusal : undefined;
    };
    const { pc, candidates, errors } = makePeer(platform);
    await gather(pc, network);
    expect(await runUntil(network, () => candidates.length === 2, network.world.now + 600_000)).toBe(true);
    expect(allocations).toBe(2);
    refusal = failWith(441);
    await runUntil(network, () => false, network.world.now + 1_800_000);
    expect([allocations, candidates.length, errors.length]).toEqual([2, 2, 0]);
    pc.close();
    expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it.each([
    ['486, which asks for a minute of patience', 486, [1, 61, 121]],
    ['508, which asks for one too', 508, [1, 61, 121]],
    ['403, which is final', 403, [1]],
    ['442, which is final', 442, [1]],
    ['400, which says nothing of that', 400, [1, 3, 7]],
  ] as const)('lost, are asked for again at the times that the answer allows: %s', async (_, code, expected) => {
    const { network, fake, platform } = fakeWorld();
    const server = fake(SERVER);
    const askedAt: number[] = [];
    let lostAt: number | undefined;
    server.answer = ({ method }) => {
      if (method === STUN_METHODS.Refresh) {
        lostAt ??= network.world.now;
        return failWith(437);
      }
      if (method !== STUN_METHODS.Allocate || lostAt === undefined) return undefined;
      askedAt.push(Math.round((network.world.now - lostAt) / 1000));
      return failWith(code);
    };
    const { pc, candidates } = makePeer(platform);
    await gather(pc, network);
    await runUntil(network, () => false, network.world.now + 540_000 + 150_000);
    expect(askedAt.slice(0, 3)).toEqual(expected);
    expect(candidates).toHaveLength(1);
    pc.close();
    expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it('tell of a refusal in the words of the server, without the padding that coturn counts to them', async () => {
    const { network, fake, platform } = fakeWorld();
    fake(SERVER).answer = () => ({
      error: [['ERROR-CODE', { code: 442, reason: 'UDP Transport is not allowed\0\0' }]],
    });
    const { pc, errors } = makePeer(platform);
    await gather(pc, network);
    expect(errors).toMatchObject([{ errorCode: 442, errorText: 'UDP Transport is not allowed' }]);
    pc.close();
  });

  it('bring an OAuth token for the servers that have one (RFC 7635)', async () => {
    const key = { kid: 'north', key: new Uint8Array(32).fill(7) };
    const options = { oauth: { serverName: 'turn.example', keys: [key] } };
    const { network, core } = makeRelayWorld(1, { latencyMs: 10 }, options);
    const platform = new SimPlatform(network, [IPS[0]]);
    const asked: string[] = [];
    const pc = new RTCPeerConnection({
      iceServers: [{ urls: UDP, username: '', credential: '' }],
      iceTransportPolicy: 'relay',
      purertc: {
        platform,
        turn: {
          accessTokenFor: (url) => {
            asked.push(url);
            return makeAccessToken(platform.env, key, 'turn.example', 3600);
          },
        },
      },
    });
    await gather(pc, network);
    expect(asked).toEqual([UDP]);
    expect(core.stats.allocations).toBe(1);
    pc.close();
    const accessTokenFor = () => {
      throw new Error('the token service is down');
    };
    const without = new RTCPeerConnection({
      iceServers: [{ urls: UDP, username: '', credential: '' }],
      purertc: { platform, turn: { accessTokenFor } },
    });
    const errors: string[] = [];
    without.onicecandidateerror = ({ errorText }) => void errors.push(errorText);
    await gather(without, network);
    expect(errors).toEqual(['no access token: Error: the token service is down']);
    without.close();
    expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it('of two connections behind one mux have a port each, and carry data', async () => {
    const { network, core } = makeRelayWorld(1, { latencyMs: 10 });
    const inner = new SimPlatform(network, [IPS[0]]);
    const mux = new UdpMux(inner, 3478);
    const peers = [1, 2].map((n) => {
      const [server, client] = [makePeer(mux), makePeer(new SimPlatform(network, [`10.2.0.${n}`]))];
      network.setLink(IPS[0], `10.2.0.${n}`, { latencyMs: 1, loss: 1 });
      network.setLink(`10.2.0.${n}`, IPS[0], { latencyMs: 1, loss: 1 });
      const [a, b] = [client.pc, server.pc];
      const { channel, echoes } = openEcho(a, b);
      channel.onopen = () => channel.send(String(n));
      return { a, b, echoes, errors: server.errors };
    });
    expect(await runUntil(network, () => peers.every(({ echoes }) => echoes.length === 1))).toBe(true);
    expect(peers.map(({ echoes, errors }) => [echoes, errors])).toEqual([
      [['1'], []],
      [['2'], []],
    ]);
    expect(core.stats.allocations).toBe(4);
    expect(inner.open).toBe(3); // the shared one, and two
    for (const { a, b } of peers) {
      a.close();
      b.close();
    }
    expect(inner.open).toBe(1);
    mux.close();
  });

  it(`give up after ${MAX_RELAY_ATTEMPTS} ports`, async () => {
    const { network, fake, platform } = fakeWorld();
    const server = fake(SERVER);
    const ports = new Set<number>();
    server.answer = ({ method, path }) => {
      ports.add(path.remote.port);
      return method === STUN_METHODS.Allocate ? failWith(437) : undefined;
    };
    const { pc, errors } = makePeer(platform);
    await gather(pc, network);
    expect(errors.map(({ errorCode, errorText }) => [errorCode, errorText])).toEqual([[437, 'Allocation Mismatch']]);
    expect(ports.size).toBe(MAX_RELAY_ATTEMPTS);
    pc.close();
  });

  it('follow a redirection that is signed (300)', async () => {
    const { network, fake, platform } = fakeWorld();
    const other = { ip: '203.0.113.40', port: 3479 };
    fake(SERVER).answer = ({ method }) =>
      method === STUN_METHODS.Allocate ? failWith(300, ['ALTERNATE-SERVER', other]) : undefined;
    const target = fake(other);
    const { pc, candidates, errors } = makePeer(platform);
    await gather(pc, network);
    expect([candidates.length, errors.length, target.allocated]).toEqual([1, 0, true]);
    pc.close();
    await runUntil(network, () => !target.allocated, network.world.now + 1000);
    expect(target.allocated).toBe(false); // it was given back there
  });

  it('follow a redirection over TCP on another connection', async () => {
    const { network, platform } = fakeWorld();
    const other = { ip: '203.0.113.40', port: 3479 };
    const core = new FakeTurnServer({
      env: simEnv(network.world, nodeCrypto),
      realm: 'example.org',
      findUser: () => USER,
    });
    core.answer = ({ method, path }) =>
      method === STUN_METHODS.Allocate && path.local.ip === SERVER.ip
        ? failWith(300, ['ALTERNATE-SERVER', other])
        : undefined;
    const streams = new SimStreams(network.world, streamServer(network.world, core));
    Object.assign(platform, { connectTcp: streams.connectFrom(IPS[0]) });
    const { pc, candidates, errors } = makePeer(platform, { urls: TCP });
    await gather(pc, network);
    expect([candidates.length, errors.length]).toEqual([1, 0]);
    await runUntil(network, () => streams.open.size === 1, network.world.now + 100);
    expect([...streams.open.keys()].map(({ local }) => local)).toEqual([other]); // the first one was closed
    pc.close();
  });

  it('with all candidates: host, mapped and relayed ones, and an error names the local address', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const good = makePeer(new SimPlatform(network, [IPS[0]]), { iceTransportPolicy: 'all' });
    await gather(good.pc, network);
    expect(good.candidates.map(({ type }) => type)).toEqual(['host', 'relay']); // there is no NAT
    expect(good.pc.localDescription?.sdp).toContain(`raddr ${IPS[0]} rport`);
    good.pc.close();

    const platform = new SimPlatform(network, [IPS[1]]);
    const wrong = makePeer(platform, { iceTransportPolicy: 'all', credential: 'guess' });
    await gather(wrong.pc, network);
    expect(wrong.errors.map(({ errorCode, address, port }) => [errorCode, address, port])).toEqual([
      [401, IPS[1], expect.any(Number)],
    ]);
    wrong.pc.close();
  });

  it('relayed only: neither candidates nor errors name a local address', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const good = makePeer(new SimPlatform(network, [IPS[0]]));
    await gather(good.pc, network);
    expect(good.pc.localDescription?.sdp).toContain('raddr 0.0.0.0 rport 9');
    expect(good.pc.localDescription?.sdp).not.toContain(IPS[0]);
    good.pc.close();
    const wrong = makePeer(new SimPlatform(network, [IPS[1]]), { credential: 'guess' });
    await gather(wrong.pc, network);
    expect(wrong.errors.map(({ errorCode, address, port }) => [errorCode, address, port])).toEqual([[401, null, null]]);
    wrong.pc.close();
  });

  it('a password that OpaqueString does not allow is an error, not an exception', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const { pc, errors } = makePeer(new SimPlatform(network, [IPS[0]]), { credential: '\u0000' });
    await gather(pc, network);
    expect(errors.map(({ url, errorCode }) => [url, errorCode])).toEqual([[UDP, 701]]);
    pc.close();
  });

  it('one allocation for each server, however often it is named', async () => {
    const { network, core } = makeRelayWorld(1, { latencyMs: 10 });
    const { pc, candidates } = makePeer(new SimPlatform(network, [IPS[0]]), { urls: [UDP, UDP, `${UDP}:3478`] });
    await gather(pc, network);
    expect([candidates.length, core.stats.allocations]).toEqual([1, 1]);
    pc.close();
  });

  it('two servers at once, one of which does not answer', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const silent = 'turn:203.0.113.99';
    const { pc, candidates, errors } = makePeer(new SimPlatform(network, [IPS[0]]), { urls: [silent, UDP] });
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    await runUntil(network, () => candidates.length === 1);
    expect(network.world.now).toBeLessThan(1000);
    await runUntil(network, () => pc.iceGatheringState === 'complete');
    expect(errors.map(({ url, errorCode }) => [url, errorCode])).toEqual([[silent, 701]]);
    pc.close();
  });

  it('stuns: is asked over UDP at the secure port, as Chromium does, and silence is error 701', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const address = { ip: '203.0.113.7', port: 5349 };
    const stun = new StunServer({ env: simEnv(network.world, nodeCrypto) });
    network.attach(stun, [address], () => undefined);
    const urls = [`stuns:${address.ip}`, 'stuns:203.0.113.8'];
    const { pc, errors } = makePeer(new SimPlatform(network, [IPS[0]]), { urls, iceTransportPolicy: 'all' });
    await gather(pc, network);
    expect(stun.counters.successes).toBe(1);
    expect(errors.map(({ url, errorCode }) => [url, errorCode])).toEqual([[urls[1], 701]]);
    pc.close();
  });
});
