import { describe, expect, it } from 'vitest';
import { type RTCDataChannel, RTCPeerConnection, type RTCPeerConnectionIceErrorEvent } from '../../src/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { TurnServerCore, type TurnServerCoreOptions } from '../../src/turn/index.ts';
import { negotiate, trickle } from '../e2e/support.ts';
import { type LinkOptions, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { SimTurnServer } from '../turn/sim-server.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

const SERVER = { ip: '203.0.113.1', port: 3478 };
const RELAY_IP = '203.0.113.2';
const URL = `turn:${SERVER.ip}`;
const IPS = ['10.1.0.5', '10.2.0.6'] as const;

/** A TURN server, and two machines that reach nothing but it. */
function makeNetwork(seed = 1, link: LinkOptions = { latencyMs: 10 }, options: Partial<TurnServerCoreOptions> = {}) {
  const network = new SimNetwork(new SimWorld(seed), link);
  network.setLink(IPS[0], IPS[1], { latencyMs: 1, loss: 1 });
  network.setLink(IPS[1], IPS[0], { latencyMs: 1, loss: 1 });
  const core = new TurnServerCore({
    env: simEnv(network.world, nodeCrypto),
    realm: 'example.org',
    findUser: (username) => (username === 'ada' ? { username, password: 'lovelace' } : undefined),
    relayAddresses: [{ ip: RELAY_IP }],
    ...options,
  });
  const server = new SimTurnServer(network, core, SERVER);
  const platforms = IPS.map((ip) => new SimPlatform(network, [ip])) as [SimPlatform, SimPlatform];
  return { network, core, server, platforms };
}

function makePeer(platform: SimPlatform, credential = 'lovelace'): RTCPeerConnection {
  const iceServers = [{ urls: URL, username: 'ada', credential }];
  return new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay', purertc: { platform } });
}

/** Trickles both ways, and answers. */
async function connect(offerer: RTCPeerConnection, answerer: RTCPeerConnection): Promise<void> {
  trickle(offerer, answerer);
  await negotiate(offerer, answerer);
}

/** The other side of a channel, and what came in on both. */
function watch(channel: RTCDataChannel, answerer: RTCPeerConnection) {
  const seen = { open: false, echoes: [] as (string | ArrayBuffer)[] };
  channel.binaryType = 'arraybuffer';
  channel.onopen = () => {
    seen.open = true;
  };
  channel.onmessage = ({ data }) => void seen.echoes.push(data as string | ArrayBuffer);
  answerer.ondatachannel = ({ channel: other }) => {
    other.binaryType = 'arraybuffer';
    other.onmessage = ({ data }) => other.send(data as string);
  };
  return seen;
}

describe('TURN through the façade', () => {
  it('relay only: each side announces its relayed address, the channel opens, text and binary come back', async () => {
    const { network, core, server, platforms } = makeNetwork();
    const [a, b] = [makePeer(platforms[0]), makePeer(platforms[1])];
    const channel = a.createDataChannel('relayed');
    const seen = watch(channel, b);
    const candidates: {
      type: string | null;
      address: string | null;
      relayProtocol: string | null;
      url: string | null;
    }[] = [];
    a.addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate?.candidate) return;
      const { type, address, relayProtocol, url } = candidate;
      candidates.push({ type, address, relayProtocol: relayProtocol ?? null, url: url ?? null });
    });
    void connect(a, b);
    expect(await runUntil(network, () => seen.open)).toBe(true);
    expect(candidates).toEqual([{ type: 'relay', address: RELAY_IP, relayProtocol: 'udp', url: URL }]);
    const big = new Uint8Array(100_000).fill(7);
    channel.send('text');
    channel.send(big);
    expect(await runUntil(network, () => seen.echoes.length === 2)).toBe(true);
    expect(seen.echoes[0]).toBe('text');
    expect(new Uint8Array(seen.echoes[1] as ArrayBuffer)).toEqual(big);
    expect(core.stats.allocations).toBe(2);

    a.close();
    b.close();
    await runUntil(network, () => core.stats.allocations === 0, network.world.now + 5_000);
    expect(core.stats.allocations).toBe(0); // Refresh with lifetime 0, not expiry
    expect(server.relays.size).toBe(0);
    for (const platform of platforms) expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it('nothing but relayed candidates is announced or used', async () => {
    const { network, platforms } = makeNetwork();
    network.setLink(IPS[0], IPS[1], { latencyMs: 1 });
    network.setLink(IPS[1], IPS[0], { latencyMs: 1 });
    const [a, b] = [makePeer(platforms[0]), makePeer(platforms[1])];
    const seen = watch(a.createDataChannel('x'), b);
    void connect(a, b);
    await runUntil(network, () => seen.open && a.iceGatheringState === 'complete');
    for (const pc of [a, b]) {
      expect(pc.localDescription?.sdp).not.toMatch(/ typ (?:host|srflx)/);
      const pair = pc.sctp?.transport.iceTransport.getSelectedCandidatePair();
      expect([pair?.local?.type, pair?.local?.address]).toEqual(['relay', RELAY_IP]);
      pc.close();
    }
  });

  it.each([
    ['a wrong password', 'guess', {}, 401],
    ['a full server', 'lovelace', { totalQuota: 1 }, 486],
  ] as const)('%s is an icecandidateerror with the code and the URL', async (_name, credential, options, code) => {
    const { network, platforms } = makeNetwork(1, { latencyMs: 10 }, options);
    if (code === 486) {
      const other = makePeer(platforms[1]);
      other.createDataChannel('x');
      void other.setLocalDescription();
      await runUntil(network, () => other.iceGatheringState === 'complete');
    }
    const pc = makePeer(platforms[0], credential);
    const errors: RTCPeerConnectionIceErrorEvent[] = [];
    pc.onicecandidateerror = (event) => void errors.push(event);
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    expect(await runUntil(network, () => pc.iceGatheringState === 'complete')).toBe(true);
    expect(errors.map(({ errorCode, url }) => [errorCode, url])).toEqual([[code, URL]]);
    expect(pc.localDescription?.sdp).not.toMatch(/^a=candidate/m);
    pc.close();
  });

  it('a server that does not answer is error 701, and gathering ends', async () => {
    const { network, platforms } = makeNetwork();
    network.setLink(IPS[0], SERVER.ip, { latencyMs: 1, loss: 1 });
    const pc = makePeer(platforms[0]);
    const errors: number[] = [];
    pc.onicecandidateerror = ({ errorCode }) => void errors.push(errorCode);
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    expect(await runUntil(network, () => pc.iceGatheringState === 'complete')).toBe(true);
    expect(errors).toEqual([701]);
    pc.close();
    expect([platforms[0].open, platforms[0].pendingTimers]).toEqual([0, 0]);
  });

  it('stays open for half an hour: allocations, permissions and consent are renewed', async () => {
    const { network, core, platforms } = makeNetwork();
    const [a, b] = [makePeer(platforms[0]), makePeer(platforms[1])];
    const channel = a.createDataChannel('x');
    const seen = watch(channel, b);
    void connect(a, b);
    await runUntil(network, () => seen.open);
    await runUntil(network, () => false, network.world.now + 1_800_000);
    channel.send('still here');
    expect(await runUntil(network, () => seen.echoes.length === 1, network.world.now + 10_000)).toBe(true);
    expect(core.stats.allocations).toBe(2);
    a.close();
    b.close();
  });

  it.each(seeds(10))('seed %i: a loss of 0.1, duplication and jitter', async (seed) => {
    const { network, platforms } = makeNetwork(seed, { latencyMs: 30, jitterMs: 60, loss: 0.1, duplicate: 0.05 });
    const [a, b] = [makePeer(platforms[0]), makePeer(platforms[1])];
    const channel = a.createDataChannel('x');
    const seen = watch(channel, b);
    void connect(a, b);
    expect(await runUntil(network, () => seen.open)).toBe(true);
    for (let i = 0; i < 20; i++) channel.send(`message ${i}`);
    expect(await runUntil(network, () => seen.echoes.length === 20)).toBe(true);
    expect(seen.echoes).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`));
    a.close();
    b.close();
  });
});
