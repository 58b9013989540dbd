import { afterEach, describe, expect, it } from 'vitest';
import { type RTCDataChannel, type RTCIceServer, RTCPeerConnection } from '../../src/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { TurnServerCore } from '../../src/turn/index.ts';
import { negotiate, openEcho } from '../e2e/support.ts';
import { type LinkOptions, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { SimTurnServer } from '../turn/sim-server.ts';
import { IPS, SimStreams } from './relay-support.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

const ACCOUNTS = { ada: 'lovelace', grace: 'hopper' } as const;
type Name = keyof typeof ACCOUNTS;

/** The URL of server 0 or 1 with an account there. */
function server(n: 0 | 1, username: Name = 'ada', more = ''): RTCIceServer {
  return { urls: `turn:203.0.113.${n + 1}${more}`, username, credential: ACCOUNTS[username] };
}

/** Two TURN servers that keep what they relay apart by address, and two machines that reach nothing but them. */
function makeWorld(seed = 1, link: LinkOptions = { latencyMs: 10 }) {
  const network = new SimNetwork(new SimWorld(seed), link);
  network.setLink(IPS[0], IPS[1], { latencyMs: 1, loss: 1 });
  network.setLink(IPS[1], IPS[0], { latencyMs: 1, loss: 1 });
  const servers = [1, 2].map((n) => {
    const core = new TurnServerCore({
      env: simEnv(network.world, nodeCrypto),
      realm: 'example.org',
      findUser: (username) => {
        const password = (ACCOUNTS as Record<string, string | undefined>)[username];
        return password === undefined ? undefined : { username, password };
      },
      relayAddresses: [{ ip: `203.0.113.${10 * n}` }],
    });
    const shell = new SimTurnServer(network, core, { ip: `203.0.113.${n}`, port: 3478 });
    return { core, shell };
  });
  const platforms = IPS.map((ip) => new SimPlatform(network, [ip])) as [SimPlatform, SimPlatform];
  return { network, servers, platforms, allocations: () => servers.map(({ core }) => core.stats.allocations) };
}

type World = ReturnType<typeof makeWorld>;

describe('setConfiguration with other TURN servers', () => {
  const made: { readonly pc: RTCPeerConnection; readonly platform: SimPlatform }[] = [];
  afterEach(() => {
    for (const { pc, platform } of made.splice(0)) {
      pc.close();
      expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
    }
  });

  /** A connection that has relayed candidates only, and where they are. */
  function makePeer(platform: SimPlatform, iceServers: RTCIceServer[], more = {}) {
    const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay', ...more, purertc: { platform } });
    const relays: string[] = [];
    const states: string[] = [];
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate?.candidate) relays.push(candidate.address ?? '');
    });
    pc.oniceconnectionstatechange = () => void states.push(pc.iceConnectionState);
    made.push({ pc, platform });
    return { pc, relays, states };
  }

  /** An exchange, run to its end. */
  async function exchanged(network: SimNetwork, a: RTCPeerConnection, b: RTCPeerConnection): Promise<void> {
    let done = false;
    void negotiate(a, b).then(() => {
      done = true;
    });
    expect(await runUntil(network, () => done, network.world.now + 20_000)).toBe(true);
  }

  /** Connected over server 0, with a channel whose messages come back. */
  async function connected({ network, platforms }: World) {
    const a = makePeer(platforms[0], [server(0)]);
    const b = makePeer(platforms[1], [server(0)]);
    const { channel, echoes } = openEcho(a.pc, b.pc);
    expect(await runUntil(network, () => channel.readyState === 'open')).toBe(true);
    return { a, b, channel, echoes };
  }

  async function echoesOnce(network: SimNetwork, channel: RTCDataChannel, echoes: unknown[]): Promise<void> {
    const count = echoes.length + 1;
    channel.send(`message ${count}`);
    expect(await runUntil(network, () => echoes.length === count, network.world.now + 20_000)).toBe(true);
  }

  const inUse = (pc: RTCPeerConnection) =>
    pc.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.address ?? undefined;

  it.each(seeds(8))(
    'seed %i: the new server is asked with the restart, the old relay carries data until then and is given back',
    async (seed) => {
      const world = makeWorld(seed, { latencyMs: 10, jitterMs: 20, loss: 0.05 });
      const { network, allocations } = world;
      const { a, b, channel, echoes } = await connected(world);
      a.pc.setConfiguration({ iceServers: [server(1)], iceTransportPolicy: 'relay' });
      await echoesOnce(network, channel, echoes);
      expect([allocations(), a.relays]).toEqual([[2, 0], ['203.0.113.10']]); // W3C: with the next gathering phase
      a.pc.restartIce();
      void negotiate(a.pc, b.pc);
      for (let n = 0; inUse(a.pc) !== '203.0.113.20' && n < 100; n++) await echoesOnce(network, channel, echoes);
      expect(inUse(a.pc)).toBe('203.0.113.20');
      expect(a.relays).toEqual(['203.0.113.10', '203.0.113.20']);
      expect(await runUntil(network, () => allocations()[0] === 1, network.world.now + 60_000)).toBe(true);
      await echoesOnce(network, channel, echoes);
      expect([allocations(), a.states.includes('disconnected')]).toEqual([[1, 1], false]); // b has kept its own
    },
  );

  it('an offer that nobody answers takes nothing away, and its rollback neither', async () => {
    const world = makeWorld();
    const { network, allocations } = world;
    const { a, b, channel, echoes } = await connected(world);
    a.pc.setConfiguration({ iceServers: [], iceTransportPolicy: 'relay' });
    a.pc.restartIce();
    void a.pc.setLocalDescription();
    await runUntil(network, () => false, network.world.now + 900_000); // the allocation is refreshed meanwhile
    await echoesOnce(network, channel, echoes);
    void a.pc.setLocalDescription({ type: 'rollback' });
    await echoesOnce(network, channel, echoes);
    expect([allocations(), a.relays]).toEqual([[2, 0], ['203.0.113.10']]);
    // With a server again, the restart that was wanted has a relay to offer.
    a.pc.setConfiguration({ iceServers: [server(0)], iceTransportPolicy: 'relay' });
    void negotiate(a.pc, b.pc);
    await runUntil(network, () => a.relays.length === 2, network.world.now + 20_000);
    await runUntil(network, () => false, network.world.now + 30_000);
    await echoesOnce(network, channel, echoes);
    expect([allocations(), a.relays]).toEqual([
      [2, 0],
      ['203.0.113.10', '203.0.113.10'],
    ]);
  });

  it('other credentials of the same server are another allocation, made with the restart', async () => {
    const world = makeWorld();
    const { network, servers, allocations } = world;
    const { a, b, channel, echoes } = await connected(world);
    a.pc.setConfiguration({ iceServers: [server(0, 'grace')], iceTransportPolicy: 'relay' });
    a.pc.restartIce();
    void negotiate(a.pc, b.pc);
    expect(await runUntil(network, () => allocations()[0] === 3, network.world.now + 10_000)).toBe(true);
    expect(await runUntil(network, () => allocations()[0] === 2, network.world.now + 60_000)).toBe(true);
    await echoesOnce(network, channel, echoes);
    expect(a.relays).toHaveLength(2);
    const users = servers[0]!.shell.events.flatMap((event) => (event.type === 'allocated' ? [event.username] : []));
    expect(users).toEqual(['ada', 'ada', 'grace']);
    // And the old account is not asked for anything any more.
    a.pc.restartIce();
    void negotiate(a.pc, b.pc);
    await runUntil(network, () => false, network.world.now + 60_000);
    expect([allocations(), a.relays.length]).toEqual([[2, 0], 3]);
    await echoesOnce(network, channel, echoes);
  });

  it('a server that is still being looked for when ICE restarts without it holds up nothing', async () => {
    const world = makeWorld();
    const { network, platforms } = world;
    const resolve = platforms[0].resolve.bind(platforms[0]);
    platforms[0].resolve = (name) => (name === 'slow.example.org' ? new Promise(() => undefined) : resolve(name));
    const a = makePeer(platforms[0], [{ ...server(0), urls: 'turn:slow.example.org' }]);
    const b = makePeer(platforms[1], [server(1)]);
    a.pc.createDataChannel('x');
    await exchanged(network, a.pc, b.pc);
    await runUntil(network, () => false, network.world.now + 60_000);
    expect(a.pc.iceGatheringState).toBe('gathering');
    a.pc.setConfiguration({ iceServers: [server(1)], iceTransportPolicy: 'relay' });
    a.pc.restartIce();
    await exchanged(network, a.pc, b.pc);
    const isComplete = () => a.pc.iceGatheringState === 'complete';
    expect(await runUntil(network, isComplete, network.world.now + 10_000)).toBe(true);
    expect(a.relays).toEqual(['203.0.113.20']);
  });

  it('what the candidate pool has allocated elsewhere is given back at once', async () => {
    const { network, platforms, allocations } = makeWorld();
    const { pc } = makePeer(platforms[0], [server(0)], { iceCandidatePoolSize: 1 });
    expect(await runUntil(network, () => allocations()[0] === 1)).toBe(true);
    await runUntil(network, () => false, network.world.now + 1000); // the answer has come
    pc.setConfiguration({ iceServers: [server(1)], iceTransportPolicy: 'relay', iceCandidatePoolSize: 1 });
    expect(await runUntil(network, () => `${allocations()}` === '0,1', network.world.now + 5000)).toBe(true);
  });

  it('an allocation that comes after the restart is given back and not told of', async () => {
    const world = makeWorld();
    const { network, platforms, allocations } = world;
    const a = makePeer(platforms[0], []);
    const b = makePeer(platforms[1], [server(1)]);
    a.pc.createDataChannel('x');
    await exchanged(network, a.pc, b.pc);
    a.pc.setConfiguration({ iceServers: [server(0)], iceTransportPolicy: 'relay' });
    a.pc.restartIce();
    await exchanged(network, a.pc, b.pc);
    await runUntil(network, () => allocations()[0] === 1); // its answer is on the way
    expect(a.relays).toEqual([]);
    a.pc.setConfiguration({ iceServers: [server(1)], iceTransportPolicy: 'relay' });
    a.pc.restartIce();
    await exchanged(network, a.pc, b.pc);
    expect(await runUntil(network, () => a.relays.length > 0, network.world.now + 10_000)).toBe(true);
    expect(await runUntil(network, () => allocations()[0] === 0, network.world.now + 10_000)).toBe(true);
    expect(a.relays).toEqual(['203.0.113.20']);
  });

  describe('when a relay is lost', () => {
    /** Gathered over TCP from server 0 as ada; `lose` ends its connection. */
    async function gathered() {
      const { network, servers, platforms } = makeWorld();
      const streams = new SimStreams(network.world, servers[0]!.shell);
      Object.assign(platforms[0], { connectTcp: streams.connectFrom(IPS[0]) });
      const { pc, relays } = makePeer(platforms[0], [server(0, 'ada', '?transport=tcp')]);
      pc.createDataChannel('x');
      void pc.setLocalDescription();
      expect(await runUntil(network, () => pc.iceGatheringState === 'complete')).toBe(true);
      return {
        network,
        shell: servers[0]!.shell,
        pc,
        relays,
        lose: () => streams.hangUp([...streams.open.values()][0]!),
      };
    }

    it('its server is asked again only if it is still in the list', async () => {
      const { network, pc, relays, lose } = await gathered();
      pc.setConfiguration({ iceServers: [], iceTransportPolicy: 'relay' });
      lose();
      await runUntil(network, () => false, network.world.now + 120_000);
      expect(relays).toHaveLength(1);
    });

    it('it is asked with the credentials that it has now', async () => {
      const { network, shell, pc, relays, lose } = await gathered();
      pc.setConfiguration({ iceServers: [server(0, 'grace', '?transport=tcp')], iceTransportPolicy: 'relay' });
      lose();
      expect(await runUntil(network, () => relays.length === 2, network.world.now + 10_000)).toBe(true);
      const users = shell.events.flatMap((event) => (event.type === 'allocated' ? [event.username] : []));
      expect(users).toEqual(['ada', 'grace']);
    });
  });
});
