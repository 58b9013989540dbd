/** Any order of exchanges that change ICE credentials, SCTP ports and channels leaves a connection that works. */
import { expect, it } from 'vitest';
import { type RTCDataChannel, RTCPeerConnection } from '../../src/index.ts';
import { SimNetwork, SimWorld, seeds } from '../sim/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

const IPS = ['10.0.0.1', '10.0.0.2'] as const;

/** Two connections on a link that loses a little, trickling both ways. */
function makePair(seed: number) {
  const network = new SimNetwork(new SimWorld(seed), { latencyMs: 10, jitterMs: 10, loss: 0.02 });
  const platforms = IPS.map((ip) => new SimPlatform(network, [ip]));
  const peers = platforms.map((platform) => new RTCPeerConnection({ purertc: { platform } }));
  for (const [i, peer] of peers.entries()) {
    // Candidates of an offer that is rolled back are refused.
    peer.onicecandidate = ({ candidate }) =>
      void peers[1 - i]!.addIceCandidate(candidate ?? undefined).catch(() => undefined);
    peer.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(data as string);
    };
  }
  return { network, platforms, peers };
}

const withPort = (sdp: string, port: number): string => sdp.replace(/a=sctp-port:\d+/, `a=sctp-port:${port}`);

// The last three restart ICE again before the restart before has a pair, and roll that back.
it.each([...seeds(12), 126, 144, 237])(
  'seed %i: channels open and echo both ways after twelve of them',
  async (seed) => {
    const { network, platforms, peers } = makePair(seed);
    const random = new SeededRandom(seed);
    const pick = (count: number) => random.below(count);
    const settle = async (action: () => Promise<unknown>): Promise<void> => {
      const outcome: { value?: unknown; error?: unknown; done: boolean } = { done: false };
      action().then(
        () => {
          outcome.done = true;
        },
        (error: unknown) => {
          Object.assign(outcome, { error, done: true });
        },
      );
      expect(await runUntil(network, () => outcome.done, network.world.now + 10_000)).toBe(true);
      expect(outcome.error).toBeUndefined();
    };
    const exchange = async (from: number, port?: number, iceRestart = false): Promise<void> => {
      const [a, b] = [peers[from]!, peers[1 - from]!];
      const { sdp = '' } = await a.createOffer({ iceRestart });
      await a.setLocalDescription({ type: 'offer', sdp: port === undefined ? sdp : withPort(sdp, port) });
      await b.setRemoteDescription(a.localDescription!);
      await b.setLocalDescription();
      await a.setRemoteDescription(b.localDescription!);
    };
    const channels: RTCDataChannel[] = [peers[0]!.createDataChannel('first')];
    await settle(() => exchange(0));
    for (let step = 0; step < 12; step++) {
      const from = pick(2);
      const peer = peers[from]!;
      const what = pick(8);
      if (what === 0) await settle(() => exchange(from));
      else if (what === 1) await settle(() => exchange(from, undefined, true));
      else if (what <= 3) await settle(() => exchange(from, 5000 + pick(3), pick(2) === 0));
      else if (what === 4) await settle(() => exchange(from, 0));
      else if (what === 5) {
        await settle(async () => {
          const { sdp = '' } = await peer.createOffer({ iceRestart: pick(2) === 0 });
          await peer.setLocalDescription({ type: 'offer', sdp: withPort(sdp, 7000) });
          await peer.setLocalDescription({ type: 'rollback' });
        });
      } else if (what === 6 && peer.sctp !== null) channels.push(peer.createDataChannel(`${step}`));
      else channels[pick(channels.length)]!.close();
      await runUntil(network, () => false, network.world.now + pick(4) * 100);
    }
    await settle(() => exchange(pick(2)));
    const echoed: string[] = [];
    const last = peers.map((peer, i) => {
      const channel = peer.createDataChannel(`last ${i}`);
      channel.onopen = () => channel.send(`echo ${i}`);
      channel.onmessage = ({ data }) => void echoed.push(data as string);
      return channel;
    });
    expect(await runUntil(network, () => echoed.length === 2, network.world.now + 60_000)).toBe(true);
    expect(echoed.sort()).toEqual(['echo 0', 'echo 1']);
    expect(last.map(({ readyState }) => readyState)).toEqual(['open', 'open']);
    expect(peers.map(({ sctp, connectionState }) => [sctp?.state, connectionState])).toEqual([
      ['connected', 'connected'],
      ['connected', 'connected'],
    ]);
    for (const peer of peers) peer.close();
    await runUntil(network, () => false, network.world.now + 1000);
    for (const { open, pendingTimers } of platforms) expect([open, pendingTimers]).toEqual([0, 0]);
  },
);
