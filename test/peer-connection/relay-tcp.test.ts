import { describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { MAX_RELAY_RENEWALS, RELAY_STABLE_MS } from '../../src/peer-connection/relay-gatherer.ts';
import { openEcho } from '../e2e/support.ts';
import { gather, IPS, makePeer, makeRelayWorld, RELAY_IP, SERVER, SimStreams, TCP, UDP } from './relay-support.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

/** Two machines whose TCP reaches the server. */
function streamWorld() {
  const { network, core, server } = makeRelayWorld(1, { latencyMs: 10 });
  const streams = new SimStreams(network.world, server);
  const machine = (ip: string): SimPlatform =>
    Object.assign(new SimPlatform(network, [ip]), { connectTcp: streams.connectFrom(ip) });
  return { network, core, streams, platforms: [machine(IPS[0]), machine(IPS[1])] as const };
}

describe('TURN over TCP through the façade', () => {
  it.each([1, 7, 100, 65_536])(
    'a channel opens and echoes; the stream comes in chunks of %i bytes',
    async (chunkBytes) => {
      const { network, core, streams, platforms } = streamWorld();
      streams.chunkBytes = chunkBytes;
      const [a, b] = [makePeer(platforms[0], { urls: TCP }), makePeer(platforms[1], { urls: TCP })];
      const { channel, echoes } = openEcho(a.pc, b.pc);
      await runUntil(network, () => channel.readyState === 'open');
      channel.send('over two connections'.repeat(100));
      expect(await runUntil(network, () => echoes.length === 1)).toBe(true);
      expect(echoes).toEqual(['over two connections'.repeat(100)]);
      expect(a.candidates).toEqual([{ type: 'relay', address: RELAY_IP, relayProtocol: 'tcp', url: TCP }]);
      expect(core.stats.allocationsByTransport.tcp).toBe(2);
      a.pc.close();
      b.pc.close();
      await runUntil(network, () => streams.open.size === 0, network.world.now + 1000);
      expect([streams.open.size, core.stats.allocations]).toEqual([0, 0]);
      for (const platform of platforms) expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
    },
  );

  it('a connection that is refused is error 701, and UDP of the same server still works', async () => {
    const { network, streams, platforms } = streamWorld();
    streams.refuse = true;
    const { pc, candidates, errors } = makePeer(platforms[0], { urls: [TCP, UDP] });
    await gather(pc, network);
    expect(errors.map(({ url, errorCode, errorText }) => [url, errorCode, errorText])).toEqual([
      [TCP, 701, 'ECONNREFUSED'],
    ]);
    expect(candidates.map(({ relayProtocol }) => relayProtocol)).toEqual(['udp']);
    pc.close();
  });

  it('a platform without TCP says so', async () => {
    const { network } = makeRelayWorld(1, { latencyMs: 10 });
    const { pc, errors } = makePeer(new SimPlatform(network, [IPS[0]]), { urls: [TCP, `turns:${SERVER.ip}`] });
    await gather(pc, network);
    expect(errors.map(({ errorText }) => errorText).sort()).toEqual([
      'this platform has no TCP',
      'this platform has no TLS',
    ]);
    pc.close();
  });

  it.each(['hangs up', 'sends what is not STUN'] as const)(
    'a server that %s takes the relay with it; an ICE restart makes another',
    async (what) => {
      const { network, streams, platforms } = streamWorld();
      const { pc, candidates, errors } = makePeer(platforms[0], { urls: TCP });
      await gather(pc, network);
      const [accepted] = streams.open.values();
      if (what === 'hangs up') streams.hangUp(accepted!);
      else streams.send(accepted!, new TextEncoder().encode('SSH-2.0-server\r\n'));
      await runUntil(network, () => streams.open.size === 0);
      expect(errors).toEqual([]); // gathering is over
      const answerer = new RTCPeerConnection({ purertc: { platform: platforms[1] } });
      void answerer
        .setRemoteDescription(pc.localDescription!)
        .then(() => answerer.setLocalDescription())
        .then(() => pc.setRemoteDescription(answerer.localDescription!));
      await runUntil(network, () => pc.signalingState === 'stable');
      pc.restartIce();
      void pc.setLocalDescription();
      await runUntil(network, () => candidates.length === 2 && pc.iceGatheringState === 'complete');
      expect(candidates.map(({ relayProtocol }) => relayProtocol)).toEqual(['tcp', 'tcp']);
      expect(streams.open.size).toBe(1);
      pc.close();
      answerer.close();
    },
  );

  it('a connection that breaks is made anew, with its relay, and data goes on over the new candidate', async () => {
    const { network, core, streams, platforms } = streamWorld();
    const [a, b] = [makePeer(platforms[0], { urls: TCP }), makePeer(platforms[1], { urls: TCP })];
    const { channel, echoes } = openEcho(a.pc, b.pc);
    await runUntil(network, () => channel.readyState === 'open');
    const [accepted] = [...streams.open.values()].filter(({ path }) => path.remote.ip === IPS[0]);
    streams.hangUp(accepted!);
    core.pathClosed(accepted!.path, network.world.now);
    expect(await runUntil(network, () => a.candidates.length === 2)).toBe(true);
    channel.send('again');
    expect(await runUntil(network, () => echoes.length === 1)).toBe(true);
    expect(['connected', 'completed']).toContain(a.pc.iceConnectionState);
    expect([a.errors, b.errors]).toEqual([[], []]);
    a.pc.close();
    b.pc.close();
    for (const platform of platforms) expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it(`a relay that is lost is asked for ${MAX_RELAY_RENEWALS} times more, ever more slowly, and in silence`, async () => {
    const { network, streams, platforms } = streamWorld();
    const { pc, errors } = makePeer(platforms[0], { urls: TCP });
    await gather(pc, network);
    const lostAt = network.world.now;
    const askedAt: number[] = [];
    const connectTcp = streams.connectFrom(IPS[0]);
    Object.assign(platforms[0], {
      connectTcp: (...given: Parameters<typeof connectTcp>) => {
        askedAt.push(Math.round((network.world.now - lostAt) / 100) / 10);
        return connectTcp(...given);
      },
    });
    streams.refuse = true;
    streams.hangUp([...streams.open.values()][0]!);
    await runUntil(network, () => false, lostAt + 120_000);
    expect(askedAt).toEqual([1, 3, 7, 15, 31]);
    expect(errors).toEqual([]);
    pc.close();
    expect([platforms[0].open, platforms[0].pendingTimers]).toEqual([0, 0]);
  });

  it('one that goes at once, time and again, is given up too', async () => {
    const { network, streams, platforms } = streamWorld();
    const { pc, candidates } = makePeer(platforms[0], { urls: TCP });
    await gather(pc, network);
    for (let n = 0; n <= MAX_RELAY_RENEWALS; n++) {
      expect(await runUntil(network, () => streams.open.size === 1 && candidates.length === n + 1)).toBe(true);
      streams.hangUp([...streams.open.values()][0]!);
    }
    await runUntil(network, () => false, network.world.now + 120_000);
    expect(candidates).toHaveLength(MAX_RELAY_RENEWALS + 1);
    pc.close();
    expect([platforms[0].open, platforms[0].pendingTimers]).toEqual([0, 0]);
  });

  it('one that lasted is asked for again each time', async () => {
    const { network, streams, platforms } = streamWorld();
    const { pc, candidates } = makePeer(platforms[0], { urls: TCP });
    await gather(pc, network);
    for (let n = 0; n <= MAX_RELAY_RENEWALS + 1; n++) {
      const stands = () => streams.open.size === 1 && candidates.length === n + 1;
      expect(await runUntil(network, stands, network.world.now + 10_000)).toBe(true);
      await runUntil(network, () => false, network.world.now + RELAY_STABLE_MS);
      streams.hangUp([...streams.open.values()][0]!);
    }
    pc.close();
  });

  it('closing while the connection is being made leaves none', async () => {
    const { network, streams, platforms } = streamWorld();
    const { pc } = makePeer(platforms[0], { urls: TCP });
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    await runUntil(network, () => pc.iceGatheringState === 'gathering', 5);
    pc.close();
    await runUntil(network, () => false, 1000);
    expect([streams.open.size, platforms[0].open, platforms[0].pendingTimers]).toEqual([0, 0, 0]);
  });
});
