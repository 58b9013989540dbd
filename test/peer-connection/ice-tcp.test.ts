import { describe, expect, it } from 'vitest';
import { type ByteStream, createTransmitSlot, type FiveTuple, type TransportAddress } from '../../src/core/index.ts';
import { RTCPeerConnection, TcpMux } from '../../src/index.ts';
import { ForwardingPlatform } from '../../src/peer-connection/forwarding-platform.ts';
import {
  ACTIVE_PORT,
  IceTcp,
  MAX_ACTIVE_ATTEMPTS,
  MAX_ICE_TCP_CONNECTIONS,
  MAX_ICE_TCP_DATAGRAM_BYTES,
  MAX_SIMULTANEOUS_ATTEMPTS,
  MAX_WAITING_DATAGRAMS,
} from '../../src/peer-connection/ice-tcp.ts';
import { MAX_TCP_STUN_CONNECTIONS, TcpReflexive } from '../../src/peer-connection/tcp-reflexive.ts';
import { responseBytes } from '../ice/messages.ts';
import type { SimNetwork } from '../sim/index.ts';
import { gathered, tcpOnly } from './descriptions.ts';
import { runUntil } from './sim-platform.ts';
import { makeTcpWorld, type TcpPlatform } from './sim-tcp.ts';

const world = () => makeTcpWorld(9);

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
      await b.setRemoteDescription(tcpOnly(await gathered(a)));
      await b.setLocalDescription();
      await a.setRemoteDescription(tcpOnly(await gathered(b)));
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
      await b.setRemoteDescription(await gathered(a));
      await b.setLocalDescription();
      await a.setRemoteDescription(await gathered(b));
    })();
    await runUntil(network, () => channel.readyState === 'open');
    await runUntil(network, () => false, network.world.now + 5000);
    expect(a.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.protocol).toBe('udp');
    a.close();
    b.close();
  });
});

describe('simultaneous-open candidates (RFC 6544)', () => {
  /** Two peers that have nothing else. */
  async function connect(drops: boolean) {
    const w = world();
    w.tcp.drops = drops;
    const purertc = { iceTcp: ['so'] as const };
    const a = new RTCPeerConnection({ purertc: { ...purertc, platform: w.machine('10.0.0.1') } });
    const b = new RTCPeerConnection({ purertc: { ...purertc, platform: w.machine('10.0.0.2') } });
    const channel = a.createDataChannel('x');
    void (async () => {
      await a.setLocalDescription();
      await b.setRemoteDescription(tcpOnly(await gathered(a)));
      await b.setLocalDescription();
      await a.setRemoteDescription(tcpOnly(await gathered(b)));
    })();
    await runUntil(w.network, () => channel.readyState === 'open');
    return { ...w, a, b, channel };
  }

  it.each([
    ['drops what comes too early, so that it is repeated', true],
    ['refuses it, so that it is begun anew', false],
  ])('carry a connection where the other side %s', async (_, drops) => {
    const { network, tcp, a, b, channel } = await connect(drops);
    expect(channel.readyState).toBe('open');
    expect(a.localDescription?.sdp).toMatch(/1 tcp \d+ 10\.0\.0\.1 50000 typ host tcptype so/);
    expect(a.localDescription?.sdp).not.toMatch(/passive|active 1/);
    const pair = a.sctp?.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.tcpType, pair?.remote.tcpType]).toEqual(['so', 'so']);
    expect([pair?.local.port, pair?.remote.port]).toEqual([50_000, 50_000]);
    a.close();
    b.close();
    await runUntil(network, () => tcp.open === 0);
    expect([tcp.open, tcp.requests.size, tcp.listeners.size]).toEqual([0, 0, 0]);
  });

  it('an attempt is repeated a bounded number of times, and given up when the base goes', async () => {
    const { network, tcp, machine } = world();
    const platform = machine('10.0.0.1');
    let attempts = 0;
    const counting = new ForwardingPlatform(platform);
    counting.connectTcp = (...given) => {
      attempts++;
      return platform.connectTcp(...given);
    };
    const closed: FiveTuple[] = [];
    const ice = new IceTcp(counting, {
      onDatagram: () => undefined,
      onClosed: (path) => closed.push(path),
      isProven: () => false,
    });
    const base = await ice.reserve({ ip: '10.0.0.1', port: 0 });
    const slot = createTransmitSlot<FiveTuple>(100);
    slot.length = 1;
    slot.path = { protocol: 'tcp', local: base!, remote: { ip: '10.0.0.2', port: 7 } };
    ice.send(slot);
    await runUntil(network, () => closed.length > 0);
    expect([attempts, closed]).toEqual([MAX_SIMULTANEOUS_ATTEMPTS, [slot.path]]);
    slot.path = { ...slot.path };
    ice.send(slot);
    await runUntil(network, () => attempts > MAX_SIMULTANEOUS_ATTEMPTS + 2);
    ice.remove(base!);
    await runUntil(network, () => false);
    expect([ice.size, tcp.requests.size, closed.length, platform.pendingTimers]).toEqual([0, 0, 1, 0]);
    expect(attempts).toBeLessThan(MAX_SIMULTANEOUS_ATTEMPTS + 5);
    ice.send(slot); // the base is gone
    expect(ice.size).toBe(0);
  });

  it('behind a mux, where all listen on one port, there are none', async () => {
    const { network, machine } = world();
    const mux = new TcpMux(machine('10.0.0.1'), 3478);
    const pc = new RTCPeerConnection({ purertc: { platform: mux, iceTcp: ['so', 'passive'] } });
    pc.createDataChannel('x');
    void pc.setLocalDescription();
    await runUntil(network, () => pc.iceGatheringState === 'complete');
    expect(pc.localDescription?.sdp.match(/tcptype \w+/g)).toEqual(['tcptype passive']);
    pc.close();
    mux.close();
  });

  it('a base has connections to a bounded number of STUN servers; closing gives up what waits for an answer', async () => {
    const { network, tcp, machine } = world();
    const server = machine('10.0.9.9');
    const none = { onData: () => undefined, onClose: () => undefined };
    const ports = Array.from({ length: MAX_TCP_STUN_CONNECTIONS + 1 }, (_, i) => 3000 + i);
    for (const port of ports) await server.listenTcp({ ip: '10.0.9.9', port }, () => none);
    const reflexive = new TcpReflexive(machine('10.0.0.1'));
    const base = { ip: '10.0.0.1', port: 50_000 };
    const answers: (TransportAddress | undefined)[] = [];
    const ask = (port: number) =>
      void reflexive.ask(base, { ip: '10.0.9.9', port }).then((mapped) => answers.push(mapped));
    for (const port of ports) ask(port);
    await runUntil(network, () => tcp.open === 2 * MAX_TCP_STUN_CONNECTIONS);
    expect(answers).toEqual([undefined]); // one too many
    reflexive.close();
    await runUntil(network, () => tcp.open === 0);
    expect(answers).toEqual(ports.map(() => undefined));
    expect(tcp.open).toBe(0);
  });

  it('have server-reflexive ones where a STUN server is asked from their port over TCP', async () => {
    const { network, tcp, machine } = world();
    const mapped = { ip: '192.0.2.1', port: 777 };
    const asked: ByteStream[] = [];
    let silent = false;
    const server = machine('10.0.9.9');
    await server.listenTcp({ ip: '10.0.9.9', port: 3478 }, (stream) => {
      asked.push(stream);
      return {
        onData: (bytes) => {
          if (silent || bytes.length < 19) return; // the rest of the request's first byte
          const answer = responseBytes({ transactionId: bytes.slice(7, 19), mapped });
          stream.write(answer, 0, answer.length);
        },
        onClose: () => undefined,
      };
    });
    const gather = async (pc: RTCPeerConnection): Promise<string[]> => {
      const found: string[] = [];
      pc.onicecandidate = ({ candidate }) => candidate?.type === 'srflx' && found.push(candidate.candidate);
      pc.createDataChannel('x');
      void pc.setLocalDescription();
      await runUntil(network, () => pc.iceGatheringState === 'complete');
      return found;
    };
    const make = (url: string) =>
      new RTCPeerConnection({
        iceServers: [{ urls: url }],
        purertc: { platform: machine('10.0.0.1'), iceTcp: ['so'] },
      });
    const pc = make('stun:10.0.9.9:3478');
    const found = await gather(pc);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/1 tcp \d+ 192\.0\.2\.1 777 typ srflx raddr 10\.0\.0\.1 rport 50000 tcptype so/);
    expect(asked[0]?.remote).toEqual({ ip: '10.0.0.1', port: 50_000 }); // from the port of the candidate
    expect(tcp.open).toBe(2); // the connection keeps the binding
    pc.close();
    await runUntil(network, () => tcp.open === 0);

    silent = true;
    const other = make('stun:10.0.9.9:3478');
    expect(await gather(other)).toEqual([]); // complete all the same
    other.close();
    const third = make('stun:10.0.9.8:3478'); // nobody there
    expect(await gather(third)).toEqual([]);
    third.close();
    await runUntil(network, () => tcp.open === 0);
    expect(tcp.open).toBe(0);
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
    const back = server.received[0]!.path;
    send(server.tcp, back, 1);
    await server.settle();
    server.tcp.remove(server.base);
    await runUntil(network, () => client.closed.length > 0);
    expect(client.closed).toEqual([path]); // it had been heard over
    await runUntil(network, () => client.closed.length > 1);
    expect(client.closed).toEqual([path, refused]);
    expect(server.closed).toEqual([]); // its own doing
    send(server.tcp, back, 1);
    expect(server.tcp.size).toBe(0);
  });

  it('begins anew, with all that was sent, where nothing has come back: a relay lets nobody in before its owner says so', async () => {
    const { network, machine } = world();
    const platform = machine('10.0.0.2');
    const seen: number[][] = [];
    const base = { ip: '10.0.0.2', port: 4000 };
    await platform.listenTcp(base, (stream) => {
      const bytes: number[] = [];
      seen.push(bytes);
      if (seen.length < 3) stream.close();
      return { onData: (data) => bytes.push(...data), onClose: () => undefined };
    });
    const client = endpoint(machine('10.0.0.1'));
    send(client.tcp, active('10.0.0.1', base), 1, 2);
    send(client.tcp, active('10.0.0.1', base), 3);
    await runUntil(network, () => seen[2]?.length === 7);
    expect(seen[2]).toEqual([0, 2, 1, 2, 0, 1, 3]);
    expect([client.tcp.size, client.closed]).toEqual([1, []]);
    client.tcp.close();

    // A bounded number of times.
    const other = endpoint(machine('10.0.0.1'));
    let connections = 0;
    await platform.listenTcp({ ip: '10.0.0.2', port: 4001 }, (stream) => {
      connections++;
      stream.close();
      return { onData: () => undefined, onClose: () => undefined };
    });
    send(other.tcp, active('10.0.0.1', { ip: '10.0.0.2', port: 4001 }), 1);
    await runUntil(network, () => other.closed.length > 0);
    expect([connections, other.closed.length, other.tcp.size]).toEqual([MAX_ACTIVE_ATTEMPTS, 1, 0]);
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
