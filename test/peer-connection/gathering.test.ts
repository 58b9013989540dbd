import { describe, expect, it } from 'vitest';
import { RTCPeerConnection, type RTCPeerConnectionIceErrorEvent, usableAddresses } from '../../src/index.ts';
import { StunServer } from '../../src/stun/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

function machine(ips: readonly string[]) {
  const network = new SimNetwork(new SimWorld(1), { latencyMs: 10 });
  return { network, platform: new SimPlatform(network, ips) };
}

/** A STUN server at 203.0.113.1, behind a NAT in one line: it sees everybody as 198.51.100.7. */
function stunServer(network: SimNetwork, platform: SimPlatform) {
  const server = { ip: '203.0.113.1', port: 3478 };
  const core = new StunServer({ env: platform.env });
  const asked = { times: 0 };
  const unbind = network.bind(server, (bytes, from) => {
    asked.times++;
    const remote = { ip: '198.51.100.7', port: from.port };
    core.handleInput(bytes, { protocol: 'udp', local: server, remote }, network.world.now);
    const slot = { buffer: new Uint8Array(2000), offset: 0, length: 0, path: undefined };
    while (core.pollTransmit(slot)) network.send(slot.buffer.subarray(0, slot.length), server, from);
  });
  return { asked, unbind };
}

async function gather(pc: RTCPeerConnection, network: SimNetwork) {
  const candidates: { type: string | null; address: string | null; url: string | null }[] = [];
  const errors: RTCPeerConnectionIceErrorEvent[] = [];
  pc.onicecandidate = ({ candidate }) => {
    if (candidate?.candidate)
      candidates.push({ type: candidate.type, address: candidate.address, url: candidate.url ?? null });
  };
  pc.onicecandidateerror = (event) => errors.push(event);
  pc.createDataChannel('x');
  void pc.setLocalDescription();
  await runUntil(network, () => pc.iceGatheringState === 'complete');
  return { candidates, errors };
}

describe('gathering', () => {
  it('one socket and one candidate for each usable address', async () => {
    const { network, platform } = machine(['10.0.0.5', '192.168.1.5', '2001:db8::5', 'fe80::5']);
    const pc = new RTCPeerConnection({ purertc: { platform } });
    const { candidates } = await gather(pc, network);
    expect(candidates.map(({ address }) => address).sort()).toEqual(['10.0.0.5', '192.168.1.5', '2001:db8::5']);
    expect(pc.localDescription?.sdp).toMatch(/m=application 4\d{4} UDP\/DTLS\/SCTP webrtc-datachannel\r\nc=IN IP4 /);
    expect(platform.open).toBe(3);
    pc.close();
    expect([platform.open, platform.pendingTimers]).toEqual([0, 0]);
  });

  it('asks a STUN server by name and shows the mapped address with the URL', async () => {
    const { network, platform } = machine(['10.0.0.5']);
    platform.names.set('stun.example.org', ['203.0.113.1', '2001:db8::1']);
    const { unbind } = stunServer(network, platform);
    const url = 'stun:stun.example.org';
    const pc = new RTCPeerConnection({ iceServers: [{ urls: url }], purertc: { platform } });
    const { candidates, errors } = await gather(pc, network);
    expect(candidates).toEqual([
      { type: 'host', address: '10.0.0.5', url: null },
      { type: 'srflx', address: '198.51.100.7', url },
    ]);
    expect(errors).toEqual([]);
    expect(pc.localDescription?.sdp).toContain('c=IN IP4 198.51.100.7\r\n');
    pc.close();
    unbind();
  });

  it('a server that does not resolve or does not answer is icecandidateerror 701, and gathering still ends', async () => {
    const { network, platform } = machine(['10.0.0.5']);
    const servers = ['stun:nowhere.example', 'stun:203.0.113.9:3479'];
    const pc = new RTCPeerConnection({ iceServers: [{ urls: servers }], purertc: { platform } });
    const { candidates, errors } = await gather(pc, network);
    expect(candidates).toHaveLength(1);
    expect(errors.map(({ url, errorCode }) => [url, errorCode])).toEqual(servers.map((url) => [url, 701]));
    expect([errors[1]?.address, errors[0]?.address]).toEqual(['10.0.0.5', null]);
    expect(pc.iceGatheringState).toBe('complete');
    pc.close();
  });

  it('keeps to a port range, and goes on without a socket that cannot be bound', async () => {
    const { network, platform } = machine(['10.0.0.5', '10.0.0.6']);
    const taken = network.bind({ ip: '10.0.0.5', port: 5000 }, () => undefined);
    const pc = new RTCPeerConnection({ purertc: { platform, portRange: { min: 5000, max: 5000 } } });
    const { candidates } = await gather(pc, network);
    expect(candidates.map(({ address }) => address)).toEqual(['10.0.0.6']);
    pc.close();
    taken();
  });

  it('a pool is filled again for other servers, and not for the same', async () => {
    const { network, platform } = machine(['10.0.0.5']);
    platform.names.set('stun.example.org', ['203.0.113.1']);
    const { asked, unbind } = stunServer(network, platform);
    const pc = new RTCPeerConnection({ iceCandidatePoolSize: 1, purertc: { platform } });
    await runUntil(network, () => platform.open === 1);
    const configuration = { iceServers: [{ urls: 'stun:stun.example.org' }], iceCandidatePoolSize: 1 };
    pc.setConfiguration(configuration);
    await runUntil(network, () => false, 1000);
    expect(asked.times).toBe(1);
    pc.setConfiguration(configuration);
    await runUntil(network, () => false, 2000);
    expect(asked.times).toBe(1);
    const { candidates } = await gather(pc, network);
    expect(candidates.map(({ type }) => type)).toEqual(['host', 'srflx']);
    expect([asked.times, platform.open]).toEqual([1, 1]);
    pc.close();
    unbind();
  });

  it('a candidate pool gathers ahead of time and tells nothing before there is a local description', async () => {
    const { network, platform } = machine(['10.0.0.5']);
    const pc = new RTCPeerConnection({ iceCandidatePoolSize: 1, purertc: { platform } });
    const seen: string[] = [];
    pc.onicegatheringstatechange = () => seen.push(pc.iceGatheringState);
    pc.onicecandidate = ({ candidate }) =>
      seen.push(candidate === null ? 'null' : candidate.candidate === '' ? 'end' : 'candidate');
    await runUntil(network, () => platform.open === 1);
    await runUntil(network, () => false, 1000);
    expect([seen, pc.iceGatheringState]).toEqual([[], 'new']);
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    await runUntil(network, () => seen.includes('null'));
    expect(seen).toEqual(['gathering', 'candidate', 'end', 'complete', 'null']);
    expect(platform.open).toBe(1);
    pc.close();
  });

  it('closing while sockets are being bound leaves none', async () => {
    const { network, platform } = machine(['10.0.0.5']);
    const pc = new RTCPeerConnection({ purertc: { platform } });
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    await runUntil(network, () => pc.signalingState === 'have-local-offer');
    pc.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(platform.open).toBe(0);
  });
});

describe('usableAddresses', () => {
  const at = (ip: string, internal = false) => ({ name: 'x', ip, internal });

  it('leaves out loopback unless there is nothing else, and IPv6 link-local always', () => {
    expect(usableAddresses([at('127.0.0.1', true), at('10.0.0.1'), at('fe80::1'), at('10.0.0.1')], undefined)).toEqual([
      at('10.0.0.1'),
    ]);
    expect(usableAddresses([at('127.0.0.1', true), at('fe80::1')], undefined)).toEqual([at('127.0.0.1', true)]);
  });

  it('a filter alone decides', () => {
    expect(usableAddresses([at('127.0.0.1', true), at('10.0.0.1')], (a) => a.internal)).toEqual([
      at('127.0.0.1', true),
    ]);
  });
});
