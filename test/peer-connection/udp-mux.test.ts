import { describe, expect, it } from 'vitest';
import type { Platform, TransportAddress, UdpHandlers, UdpSocket } from '../../src/core/index.ts';
import { MAX_MUX_CONNECTIONS, MAX_MUX_REMOTES, RTCPeerConnection, UdpMux } from '../../src/index.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

function world() {
  const network = new SimNetwork(new SimWorld(7), { latencyMs: 5 });
  return { network, server: new SimPlatform(network, ['10.0.0.1']) };
}

/** Connects a client of its own to the mux. @returns the message that came back. */
async function connect(network: SimNetwork, mux: UdpMux, n: number) {
  const client = new RTCPeerConnection({ purertc: { platform: new SimPlatform(network, [`10.0.1.${n}`]) } });
  const server = new RTCPeerConnection({ purertc: { platform: mux } });
  // The client's candidates stay at home: the server learns its address from its checks, as behind a NAT.
  server.onicecandidate = ({ candidate }) => void client.addIceCandidate(candidate ?? undefined);
  server.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(`${data} back`);
  };
  const channel = client.createDataChannel('x');
  let answer: unknown;
  channel.onopen = () => channel.send(`hello ${n}`);
  channel.onmessage = ({ data }) => {
    answer = data;
  };
  const exchange = (async () => {
    await client.setLocalDescription();
    await server.setRemoteDescription({
      type: 'offer',
      sdp: client.localDescription!.sdp.replace(/a=candidate.*\r\n/g, ''),
    });
    await server.setLocalDescription();
    await client.setRemoteDescription(server.localDescription!);
  })();
  await runUntil(network, () => answer !== undefined);
  await exchange;
  return { client, server, answer };
}

describe('UdpMux', () => {
  it('carries many connections over one socket, each its own', async () => {
    const { network, server } = world();
    const mux = new UdpMux(server, 3478);
    const peers = [];
    for (let n = 1; n <= 5; n++) peers.push(await connect(network, mux, n));
    expect(peers.map(({ answer }) => answer)).toEqual([1, 2, 3, 4, 5].map((n) => `hello ${n} back`));
    expect(server.open).toBe(1);
    const port = peers[0]!.server.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.port;
    expect(port).toBe(3478);

    // One leaves, the others stay.
    peers[0]!.server.close();
    const { client } = peers[1]!;
    const channel = client.createDataChannel('later');
    await runUntil(network, () => channel.readyState === 'open');
    expect(channel.readyState).toBe('open');
    for (const { client, server } of peers) {
      client.close();
      server.close();
    }
    expect(server.open).toBe(1); // the mux outlives its connections
    mux.close();
    await Promise.resolve();
    expect(server.open).toBe(0);
    await expect(
      mux.bindUdp({ ip: '10.0.0.1', port: 0 }, { onDatagram: () => undefined, onError: () => undefined }),
    ).rejects.toThrow('closed');
  });

  it('drops what no connection has asked for: only connectivity checks come from unknown addresses', async () => {
    const { network, server } = world();
    const mux = new UdpMux(server, 3478);
    const seen: number[] = [];
    const socket = await mux.bindUdp(
      { ip: '10.0.0.1', port: 0 },
      { onDatagram: (bytes) => seen.push(bytes[0]!), onError: () => undefined },
    );
    const stranger = { ip: '10.9.9.9', port: 9 };
    for (const first of [22, 128, 255, 0]) network.send(Uint8Array.of(first, 1, 0, 0), stranger, socket.local);
    network.world.run({ until: 100 });
    expect(seen).toEqual([0]);
    socket.send(Uint8Array.of(1), 0, 1, stranger);
    network.send(Uint8Array.of(22), stranger, socket.local);
    network.world.run({ until: 200 });
    expect(seen).toEqual([0, 22]);
    mux.close();
  });

  it('has room for a bounded number of connections', async () => {
    const { server } = world();
    const mux = new UdpMux(server, 3478);
    const handlers = () => ({ onDatagram: () => undefined, onError: () => undefined });
    for (let i = 0; i < MAX_MUX_CONNECTIONS; i++) await mux.bindUdp({ ip: '10.0.0.1', port: 0 }, handlers());
    await expect(mux.bindUdp({ ip: '10.0.0.1', port: 0 }, handlers())).rejects.toThrow('connections');
    mux.close();
  });

  it('remembers a bounded number of remote addresses, the oldest goes first', async () => {
    const { server } = world();
    let arrive: (remote: TransportAddress) => void = () => undefined;
    const wire: Platform = Object.assign(Object.create(server), {
      bindUdp: async (local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> => {
        arrive = (remote) => handlers.onDatagram(Uint8Array.of(22), remote);
        return { local, send: () => undefined, close: () => undefined };
      },
    });
    const mux = new UdpMux(wire, 3478);
    const seen: string[] = [];
    const handlers = (name: string) => ({ onDatagram: () => seen.push(name), onError: () => undefined });
    const one = await mux.bindUdp({ ip: '10.0.0.1', port: 0 }, handlers('one'));
    const address = (i: number) => ({ ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 1000 });
    for (let i = 0; i <= MAX_MUX_REMOTES; i++) one.send(Uint8Array.of(1), 0, 1, address(i));
    arrive(address(0)); // forgotten: not a connectivity check, so it is nobody's
    expect(seen).toEqual([]);
    arrive(address(1));
    arrive(address(MAX_MUX_REMOTES));
    expect(seen).toEqual(['one', 'one']);
    mux.close();
  });
});
