import { describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { negotiate, trickle } from '../e2e/support.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

function connections() {
  const network = new SimNetwork(new SimWorld(3), { latencyMs: 20 });
  const [left, right] = [new SimPlatform(network, ['10.0.0.1']), new SimPlatform(network, ['10.0.0.2'])];
  const a = new RTCPeerConnection({ purertc: { platform: left } });
  const b = new RTCPeerConnection({ purertc: { platform: right } });
  trickle(a, b);
  const cut = (loss: number): void => {
    network.setLink('10.0.0.1', '10.0.0.2', { latencyMs: 20, loss });
    network.setLink('10.0.0.2', '10.0.0.1', { latencyMs: 20, loss });
  };
  return { network, a, b, cut, platforms: [left, right] };
}

describe('a network that goes away, in virtual time', () => {
  it('disconnected, then failed; an ICE restart brings the same channel back', async () => {
    const { network, a, b, cut, platforms } = connections();
    const channel = a.createDataChannel('x');
    const received: unknown[] = [];
    b.ondatachannel = ({ channel: other }) => {
      other.onmessage = ({ data }) => received.push(data);
    };
    const states: string[] = [];
    a.onconnectionstatechange = () => states.push(a.connectionState);
    void negotiate(a, b);
    expect(await runUntil(network, () => a.connectionState === 'connected' && channel.readyState === 'open')).toBe(
      true,
    );

    cut(1);
    channel.send('sent into the dark');
    expect(await runUntil(network, () => a.connectionState === 'failed', 300_000)).toBe(true);
    expect(states).toEqual(['connecting', 'connected', 'disconnected', 'failed']);
    expect(channel.readyState).toBe('open');

    cut(0);
    a.restartIce();
    void negotiate(a, b);
    expect(await runUntil(network, () => received.length === 1, 600_000)).toBe(true);
    expect(received).toEqual(['sent into the dark']);
    expect(a.connectionState).toBe('connected');
    a.close();
    b.close();
    expect(platforms.map(({ open, pendingTimers }) => [open, pendingTimers])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('a short cut is only a disconnection, and heals by itself', async () => {
    const { network, a, b, cut } = connections();
    const channel = a.createDataChannel('x');
    void negotiate(a, b);
    await runUntil(network, () => channel.readyState === 'open');
    cut(1);
    expect(await runUntil(network, () => a.connectionState === 'disconnected', 60_000)).toBe(true);
    cut(0);
    expect(await runUntil(network, () => a.connectionState === 'connected', 120_000)).toBe(true);
    a.close();
    b.close();
  });

  it('a peer that vanishes without a word fails in the end', async () => {
    const { network, a, b, cut } = connections();
    const channel = a.createDataChannel('x');
    void negotiate(a, b);
    await runUntil(network, () => channel.readyState === 'open');
    cut(1);
    b.close(); // nothing of it arrives
    expect(await runUntil(network, () => a.connectionState === 'failed', 300_000)).toBe(true);
    expect(a.iceConnectionState).toBe('failed');
    a.close();
  });
});
