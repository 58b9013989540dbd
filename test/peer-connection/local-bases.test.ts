import { describe, expect, it } from 'vitest';
import { RTCPeerConnection, UdpMux } from '../../src/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

/** A machine whose addresses come and go. */
class MovingPlatform extends SimPlatform {
  watchers = new Set<() => void>();
  #now: readonly string[];

  constructor(network: SimNetwork, ips: readonly string[]) {
    super(network, ips);
    this.#now = ips;
  }

  override interfaces(): ReturnType<SimPlatform['interfaces']> {
    return this.#now.map((ip) => ({ name: 'sim0', ip, internal: ip.startsWith('127.') }));
  }

  watchInterfaces(onChange: () => void): () => void {
    this.watchers.add(onChange);
    return () => this.watchers.delete(onChange);
  }

  move(...ips: readonly string[]): void {
    this.#now = ips;
    for (const onChange of [...this.watchers]) onChange();
  }
}

/** A moving peer and one that stays, connected, candidates trickling both ways. */
async function connected(...ips: readonly string[]) {
  const network = new SimNetwork(new SimWorld(3), { latencyMs: 20 });
  const platform = new MovingPlatform(network, ips);
  const mover = new RTCPeerConnection({ purertc: { platform, watchInterfaces: true } });
  const stayer = new RTCPeerConnection({ purertc: { platform: new SimPlatform(network, ['10.0.0.2']) } });
  const addresses: string[] = [];
  const gathering: string[] = [];
  mover.onicegatheringstatechange = () => gathering.push(mover.iceGatheringState);
  mover.onicecandidate = ({ candidate }) => {
    if (candidate?.address) addresses.push(candidate.address);
    void stayer.addIceCandidate(candidate ?? undefined);
  };
  stayer.onicecandidate = ({ candidate }) => void mover.addIceCandidate(candidate ?? undefined);
  stayer.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(`${data} back`);
  };
  const channel = mover.createDataChannel('x');
  const heard: unknown[] = [];
  channel.onmessage = ({ data }) => heard.push(data);
  void (async () => {
    await mover.setLocalDescription();
    await stayer.setRemoteDescription(mover.localDescription!);
    await stayer.setLocalDescription();
    await mover.setRemoteDescription(stayer.localDescription!);
  })();
  expect(await runUntil(network, () => channel.readyState === 'open')).toBe(true);
  const say = async (text: string): Promise<boolean> => {
    channel.send(text);
    return runUntil(network, () => heard.includes(`${text} back`), network.world.now + 60_000);
  };
  const close = (): void => {
    mover.close();
    stayer.close();
  };
  return { network, platform, mover, stayer, addresses, gathering, say, close };
}

describe('watchInterfaces', () => {
  it('an address that is exchanged for another: a new candidate, and the same connection over it', async () => {
    const { network, platform, mover, addresses, gathering, say, close } = await connected('10.0.0.1');
    expect(await say('before')).toBe(true);
    platform.move('10.0.0.9');
    expect(await say('after')).toBe(true);
    expect(addresses).toEqual(['10.0.0.1', '10.0.0.9']);
    expect(mover.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.address).toBe('10.0.0.9');
    // A candidate that comes late does not leave gathering open.
    await runUntil(network, () => false, network.world.now + 1000);
    expect([mover.iceGatheringState, gathering.at(-1)]).toEqual(['complete', 'complete']);
    expect(platform.open).toBe(1);
    close();
    expect([platform.open, platform.watchers.size, platform.pendingTimers]).toEqual([0, 0, 0]);
  });

  it('one of two that vanishes: the other takes over', async () => {
    const { platform, mover, say, close } = await connected('10.0.0.1', '10.0.0.5');
    const used = mover.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.address;
    const other = used === '10.0.0.1' ? '10.0.0.5' : '10.0.0.1';
    platform.move(other);
    expect(await say('still here')).toBe(true);
    expect(mover.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.address).toBe(other);
    expect(platform.open).toBe(1);
    close();
  });

  it('all links down and up again, with loopback in between: the connection comes back', async () => {
    const { network, platform, mover, addresses, say, close } = await connected('10.0.0.1');
    platform.move('127.0.0.1');
    expect(await runUntil(network, () => mover.connectionState !== 'connected')).toBe(true);
    expect(platform.open).toBe(0);
    platform.move('127.0.0.1', '10.0.0.1');
    expect(await say('back again')).toBe(true);
    expect([mover.connectionState, addresses]).toEqual(['connected', ['10.0.0.1', '10.0.0.1']]);
    close();
  });

  it('without the option nothing is watched; a mux watches what is below it', async () => {
    const network = new SimNetwork(new SimWorld(3), { latencyMs: 20 });
    const platform = new MovingPlatform(network, ['10.0.0.1']);
    const idle = new RTCPeerConnection({ purertc: { platform } });
    idle.createDataChannel('x');
    void idle.setLocalDescription();
    expect(await runUntil(network, () => idle.iceGatheringState === 'complete')).toBe(true);
    expect(platform.watchers.size).toBe(0);
    idle.close();
    const mux = new UdpMux(platform, 3478);
    const end = mux.watchInterfaces(() => undefined);
    expect(platform.watchers.size).toBe(1);
    end();
    mux.close();
    expect(platform.watchers.size).toBe(0);
  });
});
