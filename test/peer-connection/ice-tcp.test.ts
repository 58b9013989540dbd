import { describe, expect, it } from 'vitest';
import { createTransmitSlot, type FiveTuple } from '../../src/core/index.ts';
import { RTCPeerConnection } from '../../src/index.ts';
import {
  ACTIVE_PORT,
  IceTcp,
  MAX_ICE_TCP_CONNECTIONS,
  MAX_ICE_TCP_DATAGRAM_BYTES,
  MAX_WAITING_DATAGRAMS,
} from '../../src/peer-connection/ice-tcp.ts';
import { SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil } from './sim-platform.ts';
import { SimTcp, TcpPlatform } from './sim-tcp.ts';

function world() {
  const network = new SimNetwork(new SimWorld(9), { latencyMs: 10 });
  const tcp = new SimTcp();
  return { network, tcp, machine: (ip: string) => new TcpPlatform(network, tcp, [ip]) };
}

/** No UDP gets through. */
const tcpOnly = (sdp: string): string => sdp.replace(/a=candidate:\S+ 1 udp .*\r\n/g, '');

function gathered(pc: RTCPeerConnection): Promise<string> {
  return new Promise((resolve) => {
    const check = (): void => {
      if (pc.iceGatheringState === 'complete') resolve(pc.localDescription!.sdp);
    };
    pc.addEventListener('icegatheringstatechange', check);
    check();
  });
}

describe('TCP candidates', () => {
  it('carry the whole connection where no UDP gets through, and leave nothing behind', async () => {
    const { network, tcp, machine } = world();
    const [here, there] = [machine('10.0.0.1'), machine('10.0.0.2')];
    const a = new RTCPeerConnection({ purertc: { platform: here, iceTcp: true } });
    const b = new RTCPeerConnection({ purertc: { platform: there, iceTcp: true } });
    b.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(data as ArrayBuffer);
    };
    const channel = a.createDataChannel('x');
    channel.binaryType = 'arraybuffer';
    const heard: ArrayBuffer[] = [];
    channel.onmessage = ({ data }) => heard.push(data as ArrayBuffer);
    void (async () => {
      await a.setLocalDescription();
      await b.setRemoteDescription({ type: 'offer', sdp: tcpOnly(await gathered(a)) });
      await b.setLocalDescription();
      await a.setRemoteDescription({ type: 'answer', sdp: tcpOnly(await gathered(b)) });
    })();
    expect(await runUntil(network, () => channel.readyState === 'open')).toBe(true);
    const sent = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    channel.send(sent);
    expect(await runUntil(network, () => heard.length > 0)).toBe(true);
    expect(new Uint8Array(heard[0]!)).toEqual(sent);

    expect(a.localDescription?.sdp).toMatch(/1 tcp \d+ 10\.0\.0\.1 50000 typ host tcptype passive/);
    expect(a.localDescription?.sdp).toMatch(/1 tcp \d+ 10\.0\.0\.1 9 typ host tcptype active/);
    const pair = a.sctp?.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.protocol, pair?.remote.protocol]).toEqual(['tcp', 'tcp']);
    a.close();
    b.close();
    await runUntil(network, () => tcp.open === 0);
    expect([tcp.open, tcp.listeners.size, here.open, there.open, here.pendingTimers]).toEqual([0, 0, 0, 0, 0]);
  });

  it('are beside UDP ones, which win', async () => {
    const { network, machine } = world();
    const a = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.1'), iceTcp: true } });
    const b = new RTCPeerConnection({ purertc: { platform: machine('10.0.0.2'), iceTcp: true } });
    const channel = a.createDataChannel('x');
    void (async () => {
      await a.setLocalDescription();
      await b.setRemoteDescription({ type: 'offer', sdp: await gathered(a) });
      await b.setLocalDescription();
      await a.setRemoteDescription({ type: 'answer', sdp: await gathered(b) });
    })();
    await runUntil(network, () => channel.readyState === 'open');
    await runUntil(network, () => false, network.world.now + 5000);
    expect(a.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.protocol).toBe('udp');
    a.close();
    b.close();
  });
});

describe('IceTcp', () => {
  function endpoint(platform: TcpPlatform, proven: (path: FiveTuple) => boolean = () => false) {
    const received: { bytes: Uint8Array; path: FiveTuple }[] = [];
    const closed: FiveTuple[] = [];
    const tcp = new IceTcp(platform, {
      onDatagram: (bytes, path) => received.push({ bytes, path }),
      onClosed: (path) => closed.push(path),
      isProven: proven,
    });
    return { tcp, received, closed };
  }

  function send(tcp: IceTcp, path: FiveTuple, ...bytes: number[]): void {
    const slot = createTransmitSlot<FiveTuple>(2000);
    slot.buffer.set(bytes, slot.offset);
    slot.length = bytes.length;
    slot.path = path;
    tcp.send(slot);
  }

  async function listening(network: SimNetwork, machine: TcpPlatform, proven?: (path: FiveTuple) => boolean) {
    const server = endpoint(machine, proven);
    const base = await server.tcp.listen({ ip: '10.0.0.2', port: 4000 });
    const settle = (): Promise<boolean> => runUntil(network, () => false, network.world.now + 200);
    return { ...server, base: base!, settle };
  }

  const active = (ip: string, remote: { ip: string; port: number }): FiveTuple => ({
    protocol: 'tcp',
    local: { ip, port: ACTIVE_PORT },
    remote,
  });

  it('opens the connection with the first datagram; what waits meanwhile is bounded', async () => {
    const { network, machine } = world();
    const server = await listening(network, machine('10.0.0.2'));
    const client = endpoint(machine('10.0.0.1'));
    const path = active('10.0.0.1', server.base);
    for (let i = 0; i <= MAX_WAITING_DATAGRAMS; i++) send(client.tcp, path, i, i);
    expect(client.tcp.size).toBe(1);
    await server.settle();
    expect(server.received.map(({ bytes }) => bytes[0])).toEqual([...Array(MAX_WAITING_DATAGRAMS).keys()]);
    // Back over the same connection, and on with the one that stands.
    send(server.tcp, server.received[0]!.path, 9, 9, 9);
    send(client.tcp, { ...path }, 77);
    await server.settle();
    expect(client.received).toEqual([{ bytes: Uint8Array.of(9, 9, 9), path }]);
    expect(server.received.at(-1)?.bytes).toEqual(Uint8Array.of(77));
    expect([client.tcp.size, server.tcp.size]).toEqual([1, 1]);
  });

  it('tells of a connection that is refused, and of one that the other side closes; a passive side opens none', async () => {
    const { network, machine } = world();
    const server = await listening(network, machine('10.0.0.2'));
    const client = endpoint(machine('10.0.0.1'));
    const refused = active('10.0.0.1', { ip: '10.0.0.2', port: 1 });
    const path = active('10.0.0.1', server.base);
    send(client.tcp, refused, 1);
    send(client.tcp, path, 1);
    await server.settle();
    expect(client.closed).toEqual([refused]);
    const back = server.received[0]!.path;
    server.tcp.remove(server.base);
    await server.settle();
    expect(client.closed).toEqual([refused, path]);
    expect(server.closed).toEqual([]); // its own doing
    send(server.tcp, back, 1);
    expect(server.tcp.size).toBe(0);
  });

  it('a frame longer than any datagram of ours ends the connection', async () => {
    const { network, machine } = world();
    const server = await listening(network, machine('10.0.0.2'));
    const length = MAX_ICE_TCP_DATAGRAM_BYTES + 1;
    const stranger = await connectRaw(network, machine('10.0.0.1'), server.base);
    stranger.write(Uint8Array.of(length >> 8, length & 0xff), 0, 2);
    await server.settle();
    expect([server.tcp.size, server.closed.length, server.received]).toEqual([0, 1, []]);
  });

  it('strangers may connect as they like: the oldest unproven one makes room, proven ones stay', async () => {
    const { network, machine } = world();
    const proven = new Set<string>();
    const server = await listening(network, machine('10.0.0.2'), ({ remote }) => proven.has(remote.ip));
    proven.add('10.0.0.7');
    await connectRaw(network, machine('10.0.0.7'), server.base);
    const strangers = machine('10.0.0.1');
    for (let i = 0; i < MAX_ICE_TCP_CONNECTIONS + 3; i++) await connectRaw(network, strangers, server.base);
    expect(server.tcp.size).toBe(MAX_ICE_TCP_CONNECTIONS);
    expect(server.closed.map(({ remote }) => remote.ip)).toEqual(Array(4).fill('10.0.0.1'));
    // When all have proved themselves, a new one is refused.
    proven.add('10.0.0.1');
    await connectRaw(network, strangers, server.base);
    expect([server.tcp.size, server.closed.length]).toEqual([MAX_ICE_TCP_CONNECTIONS, 4]);
  });

  it('closing gives up what is being opened', async () => {
    const { network, tcp, machine } = world();
    const server = await listening(network, machine('10.0.0.2'));
    const client = endpoint(machine('10.0.0.1'));
    send(client.tcp, active('10.0.0.1', server.base), 1);
    client.tcp.close();
    await server.settle();
    expect([client.tcp.size, client.closed, tcp.open]).toEqual([0, [], 0]);
    expect(await client.tcp.listen({ ip: '10.0.0.1', port: 0 })).toBeUndefined();
    server.tcp.close();
    expect(tcp.listeners.size).toBe(0);
  });

  async function connectRaw(network: SimNetwork, from: TcpPlatform, to: { ip: string; port: number }) {
    const localIp = from.interfaces()[0]!.ip;
    const handlers = { onData: () => undefined, onClose: () => undefined };
    let stream: Awaited<ReturnType<TcpPlatform['connectTcp']>> | undefined;
    void from.connectTcp(to, handlers, { localIp }).then((connected) => {
      stream = connected;
    });
    await runUntil(network, () => stream !== undefined);
    return stream!;
  }
});
