import { describe, expect, it } from 'vitest';
import type { InterfaceAddress, MulticastNames } from '../../src/core/index.ts';
import { RTCPeerConnection, UdpMux } from '../../src/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { gathered } from './descriptions.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

const NAME = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.local$/;

/** One link that everybody is on. */
class SimNames implements MulticastNames {
  readonly published = new Map<string, string>();
  asked: string[] = [];
  open = 0;
  isFull = false;

  async resolve(hostname: string, _interfaces: readonly InterfaceAddress[], signal?: AbortSignal): Promise<string[]> {
    this.asked.push(hostname);
    const ip = this.published.get(hostname);
    if (ip !== undefined) return [ip];
    this.open++;
    // Nobody knows it: silence, until the connection loses interest.
    return new Promise((resolve) =>
      signal?.addEventListener('abort', () => {
        this.open--;
        resolve([]);
      }),
    );
  }

  publish(hostname: string, { ip }: InterfaceAddress): () => void {
    if (this.isFull) throw new Error('no more names');
    this.published.set(hostname, ip);
    return () => this.published.delete(hostname);
  }
}

class NamedPlatform extends SimPlatform {
  readonly mdns: SimNames;
  constructor(network: SimNetwork, ips: readonly string[], names: SimNames) {
    super(network, ips);
    this.mdns = names;
  }
}

function world() {
  const network = new SimNetwork(new SimWorld(5), { latencyMs: 10 });
  const names = new SimNames();
  return { network, names, machine: (ip: string) => new NamedPlatform(network, [ip], names) };
}

/** Full candidates both ways; `edit` may change the offer on its way. */
async function connect(
  network: SimNetwork,
  a: RTCPeerConnection,
  b: RTCPeerConnection,
  edit = (sdp: string): string => sdp,
): Promise<boolean> {
  const channel = a.createDataChannel('x');
  void (async () => {
    await a.setLocalDescription();
    await gathered(a);
    await b.setRemoteDescription({ type: 'offer', sdp: edit(a.localDescription!.sdp) });
    await b.setLocalDescription();
    await gathered(b);
    await a.setRemoteDescription(b.localDescription!);
  })();
  return runUntil(network, () => channel.readyState === 'open', 30_000);
}

describe('.local names', () => {
  it('are not asked for where candidates are relayed ones only: the question would show our address', async () => {
    const { network, names, machine } = world();
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), mdns: true } });
    const b = new RTCPeerConnection({ iceTransportPolicy: 'relay', purertc: { platform: machine('10.0.0.2') } });
    expect(await connect(network, a, b)).toBe(false);
    expect([names.published.size, names.asked]).toEqual([1, []]);
    a.close();
    b.close();
  });

  it('stand for our addresses when asked to, and are resolved by the peer; closing withdraws them', async () => {
    const { network, names, machine } = world();
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), mdns: true } });
    const b = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.2') } });
    expect(await connect(network, a, b)).toBe(true);
    const [name, ip] = [...names.published][0]!;
    expect([name, ip]).toEqual([expect.stringMatching(NAME), '10.0.0.1']);
    expect(a.localDescription?.sdp).toContain(` ${name} `);
    expect(a.localDescription?.sdp).not.toContain('10.0.0.1');
    expect(names.asked).toEqual([name]);
    a.close();
    b.close();
    expect([names.published.size, names.open]).toEqual([0, 0]);
  });

  it('of which there are as many as can be answered for: another resolves to nothing, and hides its address all the same', async () => {
    const { network, names, machine } = world();
    names.isFull = true;
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), mdns: true } });
    const b = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.2') } });
    expect(await connect(network, a, b)).toBe(true); // a asks b, who learns the address of a from that
    expect([names.published.size, names.asked]).toEqual([0, [expect.stringMatching(NAME)]]);
    expect(a.localDescription?.sdp).not.toContain('10.0.0.1');
    a.close();
    b.close();
    expect(names.open).toBe(0);
  });

  it('keep their address over an ICE restart', async () => {
    const { network, names, machine } = world();
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), mdns: true } });
    const b = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.2') } });
    await connect(network, a, b);
    const before = [...names.published.keys()];
    a.restartIce();
    void a.setLocalDescription();
    const restarted = (): boolean =>
      a.signalingState === 'have-local-offer' && a.localDescription?.sdp.includes('end-of-candidates') === true;
    expect(await runUntil(network, restarted, 30_000)).toBe(true);
    expect(a.localDescription?.sdp).toContain(` ${before[0]} `);
    expect([...names.published.keys()]).toEqual(before);
    a.close();
    b.close();
  });

  it('one that nobody knows costs its candidate only, and its question ends with the connection', async () => {
    const { network, names, machine } = world();
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1') } });
    const b = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.2') } });
    const unknown = 'a=candidate:9 1 udp 2130706431 no-such-name.local 5000 typ host\r\n';
    expect(await connect(network, a, b, (sdp) => sdp.replace(/(?=a=candidate)/, unknown))).toBe(true);
    expect([names.asked, names.open]).toEqual([['no-such-name.local'], 1]);
    a.close();
    b.close();
    expect(names.open).toBe(0);
  });

  it('are asked for by connections behind a mux too', async () => {
    const { network, names, machine } = world();
    const mux = new UdpMux(machine('10.0.0.2'), 3478);
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), mdns: true } });
    const b = new RTCPeerConnection({ purertc: { platform: mux, mdns: true } });
    expect(await connect(network, a, b)).toBe(true);
    expect(names.asked).toHaveLength(2);
    a.close();
    b.close();
    mux.close();
    expect(names.published.size).toBe(0);
  });

  it('without multicast DNS the system is asked, and own addresses stay as they are', async () => {
    const network = new SimNetwork(new SimWorld(5), { latencyMs: 10 });
    const platform = new SimPlatform(network, ['10.0.0.2']);
    platform.names.set('someone.local', ['10.0.0.1']);
    const a = new RTCPeerConnection({ purertc: { platform: new SimPlatform(network, ['10.0.0.1']), mdns: true } });
    const b = new RTCPeerConnection({ purertc: { platform } });
    expect(await connect(network, a, b, (sdp) => sdp.replaceAll(/ 10\.0\.0\.1 (?=\d+ typ)/g, ' someone.local '))).toBe(
      true,
    );
    expect(a.localDescription?.sdp).toContain('10.0.0.1');
    a.close();
    b.close();
  });
});
