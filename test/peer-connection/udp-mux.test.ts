import { describe, expect, it } from 'vitest';
import type { TransportAddress, UdpSocket } from '../../src/core/index.ts';
import {
  MAX_MUX_CONNECTIONS,
  MAX_UNKNOWN_CHECKS_PER_SECOND,
  RTCPeerConnection,
  UdpMux,
  type UnknownCheck,
} from '../../src/index.ts';
import { MAX_REMEMBERED_REQUESTS, SentRequests } from '../../src/peer-connection/sent-requests.ts';
import { encodeStun, STUN_METHODS } from '../../src/stun/index.ts';
import { checkBytes, responseBytes } from '../ice/messages.ts';
import { SeededRandom, SimNetwork, SimWorld } from '../sim/index.ts';
import { runUntil, SimPlatform } from './sim-platform.ts';

function world() {
  const network = new SimNetwork(new SimWorld(7), { latencyMs: 5 });
  return { network, server: new SimPlatform(network, ['10.0.0.1']) };
}

const ANY = { ip: '10.0.0.1', port: 0 };

/** A machine whose sockets keep datagrams back, as those of Node do; notes what is asked of them. */
class KeepingPlatform extends SimPlatform {
  readonly #calls: string[];

  constructor(network: SimNetwork, ips: readonly string[], calls: string[]) {
    super(network, ips);
    this.#calls = calls;
  }

  override async bindUdp(...given: Parameters<SimPlatform['bindUdp']>): Promise<UdpSocket> {
    const socket = await super.bindUdp(...given);
    const noting =
      (what: string): UdpSocket['send'] =>
      (buffer, offset, length, remote) => {
        this.#calls.push(`${what} ${buffer.subarray(offset, offset + length)}`);
        socket.send(buffer, offset, length, remote);
      };
    return { ...socket, send: noting('send'), sendSoon: noting('soon'), flush: () => this.#calls.push('flush') };
  }
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
    // Nobody has signalled the client's candidate: only the text is missing.
    const { remote } = peers[0]!.server.sctp!.transport.iceTransport.getSelectedCandidatePair()!;
    expect(remote).toMatchObject({
      candidate: '',
      sdpMid: '0',
      type: 'prflx',
      address: '10.0.1.1',
      port: 40_000,
      protocol: 'udp',
      component: 'rtp',
      usernameFragment: peers[0]!.client.localDescription!.sdp.match(/ice-ufrag:(\S+)/)![1],
    });
    expect([typeof remote.foundation, typeof remote.priority]).toEqual(['string', 'number']);

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

  it('gives checks to whose ufrag they name, answers to who asked, and drops what nobody has asked for', async () => {
    const { network, server } = world();
    const mux = new UdpMux(server, 3478);
    const seen: string[] = [];
    const bind = (name: string, proven?: string) =>
      mux.bindUdp(
        { ip: '10.0.0.1', port: 0 },
        {
          onDatagram: (bytes) => seen.push(`${name} ${bytes[0]}`),
          onError: () => undefined,
          isProven: ({ ip }) => ip === proven,
        },
      );
    const [one, two] = [await bind('one'), await bind('two', '10.7.7.7')];
    one.answerTo?.(['one']);
    two.answerTo?.(['two', 'before']);
    const heard = (bytes: Uint8Array, from: TransportAddress): string[] => {
      seen.length = 0;
      network.send(bytes, from, one.local);
      network.world.run({ until: network.world.now + 100 });
      return [...seen];
    };
    const random = new SeededRandom(1);
    const check = (ufrag: string) => checkBytes(random, { to: { ufrag, pwd: 'p'.repeat(22) } });
    const stranger = { ip: '10.9.9.9', port: 9 };
    for (const first of [22, 128, 255, 0]) expect(heard(Uint8Array.of(first, 1, 0, 0), stranger)).toEqual([]);
    expect(heard(check('one'), stranger)).toEqual(['one 0']);
    expect(heard(check('before'), stranger)).toEqual(['two 0']);
    two.answerTo?.(['two']);
    expect(heard(check('before'), stranger)).toEqual([]);
    expect(mux.drops.toJSON()).toEqual({ 'unknown-path': 4, 'unknown-peer': 1 });
    expect(() => one.answerTo?.(['two'])).toThrow('in use');

    // Both ask the same STUN server; each gets the answer to its own request, once.
    const stunServer = { ip: '10.8.8.8', port: 3478 };
    const requests = [one, two].map((socket) => {
      const bytes = encodeStun({
        messageClass: 'request',
        method: STUN_METHODS.Binding,
        transactionId: random.bytes(12),
        fingerprint: true,
      });
      socket.send(bytes, 0, bytes.length, stunServer);
      return bytes;
    });
    const answers = requests.map((bytes) => responseBytes({ transactionId: bytes.slice(8, 20), mapped: stranger }));
    expect(answers.map((answer) => heard(answer, stunServer))).toEqual([['one 1'], ['two 1']]);
    expect(heard(answers[0]!, stunServer)).toEqual([]);

    // Who has sent something else to an address gets what comes from there, but not what is proved to be another's.
    const peer = { ip: '10.7.7.7', port: 7 };
    one.send(Uint8Array.of(22), 0, 1, peer);
    expect(heard(Uint8Array.of(23), peer)).toEqual(['one 23']);
    expect(heard(check('two'), peer)).toEqual(['two 0']);
    expect(heard(Uint8Array.of(23), peer)).toEqual(['two 23']);
    one.send(Uint8Array.of(22), 0, 1, peer);
    expect(heard(Uint8Array.of(23), peer)).toEqual(['two 23']);
    two.close();
    expect(heard(Uint8Array.of(23), peer)).toEqual([]);
    mux.close();
  });

  it('passes bursts on: what a share keeps back leaves with the flush or when it closes, and is noted like all it sends', async () => {
    const { network, server } = world();
    const calls: string[] = [];
    const keeping = new KeepingPlatform(network, ['10.0.0.1'], calls);
    const mux = new UdpMux(keeping, 3478);
    const heard: number[] = [];
    const handlers = { onDatagram: (bytes: Uint8Array) => heard.push(bytes[0]!), onError: () => undefined };
    const [one, two] = [await mux.bindUdp(ANY, handlers), await mux.bindUdp(ANY, handlers)];
    const peer = { ip: '10.7.7.7', port: 7 };
    one.answerTo?.(['one']);
    one.sendSoon?.(Uint8Array.of(0, 21, 22), 1, 2, peer);
    one.flush?.();
    one.send(Uint8Array.of(23), 0, 1, peer);
    expect(calls).toEqual(['soon 21,22', 'flush', 'send 23']);
    network.send(Uint8Array.of(99), peer, one.local); // from where the share has sent to
    network.world.run({ until: 100 });
    expect(heard).toEqual([99]);

    calls.length = 0;
    one.sendSoon?.(Uint8Array.of(24), 0, 1, peer);
    one.close();
    one.sendSoon?.(Uint8Array.of(25), 0, 1, peer);
    two.sendSoon?.(Uint8Array.of(26), 0, 1, peer);
    expect(calls).toEqual(['soon 24', 'flush', 'soon 26']);
    mux.close();

    // A system that keeps nothing back: a burst goes out by `send`.
    const plain = await new UdpMux(server, 0).bindUdp(ANY, handlers);
    expect([plain.sendSoon, plain.flush]).toEqual([undefined, undefined]);
  });

  it('carries the bursts of a connection to the system as bursts', async () => {
    const { network } = world();
    const calls: string[] = [];
    const mux = new UdpMux(new KeepingPlatform(network, ['10.0.0.1'], calls), 3478);
    const { client, server, answer } = await connect(network, mux, 1);
    expect(answer).toBe('hello 1 back');
    const kinds = calls.map((call) => call.split(' ')[0]);
    expect(kinds).not.toContain('send');
    expect(kinds).toContain('soon');
    expect(kinds.at(-1)).toBe('flush');
    client.close();
    server.close();
    mux.close();
  });

  it('tells of checks for ufrags that nobody has, at a bounded rate, and remembers nothing of them', async () => {
    const { network, server } = world();
    const told: UnknownCheck[] = [];
    const mux = new UdpMux(server, 3478, { onUnknownUfrag: (check) => told.push(check) });
    const local = await mux.listen('10.0.0.1');
    const random = new SeededRandom(1);
    const peer = { ip: '10.9.9.9', port: 9 };
    const to = { ufrag: 'not-here', pwd: 'the password of nobody' };
    network.send(checkBytes(random, { to, from: 'dialer' }), peer, local);
    network.send(checkBytes(random, { to, integrity: false }), peer, local);
    network.send(checkBytes(random, { to, fingerprint: false }), peer, local);
    network.world.run({ until: 100 });
    expect(told).toMatchObject([
      { ufrag: 'not-here', remoteUfrag: 'dialer', path: { protocol: 'udp', local, remote: peer } },
    ]);
    expect([told[0]!.isProtectedBy(to.pwd), told[0]!.isProtectedBy('another password than that')]).toEqual([
      true,
      false,
    ]);

    for (let i = 0; i < 3 * MAX_UNKNOWN_CHECKS_PER_SECOND; i++) {
      network.send(checkBytes(random, { to: { ...to, ufrag: `ufrag${i}` } }), { ip: '10.9.9.9', port: i }, local);
    }
    network.world.run({ until: 900 });
    expect(told).toHaveLength(MAX_UNKNOWN_CHECKS_PER_SECOND);
    expect(mux.drops.get('rate-limited')).toBe(2 * MAX_UNKNOWN_CHECKS_PER_SECOND + 1);
    network.world.run({ until: 1100 });
    network.send(checkBytes(random, { to }), peer, local);
    network.world.run({ until: 1200 });
    expect(told).toHaveLength(MAX_UNKNOWN_CHECKS_PER_SECOND + 1);
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

  it('remembers a bounded number of requests, the oldest goes first, and none of a share that has left', () => {
    const requests = new SentRequests<string>();
    const transaction = (i: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, i >> 24, i >> 16, i >> 8, i);
    const request = (i: number): Uint8Array =>
      encodeStun({ messageClass: 'request', method: STUN_METHODS.Binding, transactionId: transaction(i) });
    const answer = (i: number): Uint8Array => responseBytes({ transactionId: transaction(i) });
    for (let i = 0; i <= MAX_REMEMBERED_REQUESTS; i++) requests.note(request(i), 0, 20, i % 2 === 0 ? 'even' : 'odd');
    expect(requests.size).toBe(MAX_REMEMBERED_REQUESTS);
    expect([requests.take(answer(0)), requests.take(answer(1)), requests.take(answer(1))]).toEqual([
      undefined,
      'odd',
      undefined,
    ]);
    requests.forget('even');
    expect(requests.size).toBe(MAX_REMEMBERED_REQUESTS / 2 - 1);
    expect(requests.take(answer(2))).toBeUndefined();
    expect(
      requests.note(
        Uint8Array.from({ length: 40 }, () => 22),
        0,
        40,
        'data',
      ),
    ).toBe(false);
  });

  it('two connections may not have one ufrag: the second gets no candidate', async () => {
    const { network, server } = world();
    const mux = new UdpMux(server, 3478);
    const make = () => new RTCPeerConnection({ purertc: { platform: mux, iceUfrag: 'same', icePwd: 'p'.repeat(22) } });
    const pcs = [make(), make()];
    const found = pcs.map(() => [] as string[]);
    for (const [i, pc] of pcs.entries()) {
      pc.onicecandidate = ({ candidate }) => candidate?.candidate && found[i]!.push(candidate.candidate);
      pc.createDataChannel('x');
      void pc.setLocalDescription();
      await runUntil(network, () => pc.iceGatheringState === 'complete');
    }
    expect(found.map((candidates) => candidates.length)).toEqual([1, 0]);
    for (const pc of pcs) pc.close();
    mux.close();
  });

  it('a restart changes the ufrag, and the connection goes on', async () => {
    const { network, server } = world();
    const mux = new UdpMux(server, 3478);
    const { client, server: pc } = await connect(network, mux, 1);
    const before = pc.localDescription!.sdp.match(/ice-ufrag:(\S+)/)![1];
    client.restartIce();
    let done = false;
    void (async () => {
      await client.setLocalDescription();
      await pc.setRemoteDescription({
        type: 'offer',
        sdp: client.localDescription!.sdp.replace(/a=candidate.*\r\n/g, ''),
      });
      await pc.setLocalDescription();
      await client.setRemoteDescription(pc.localDescription!);
      done = true;
    })();
    await runUntil(network, () => done);
    await runUntil(network, () => false, network.world.now + 60_000); // the old generation is over, consent is asked
    const pair = pc.sctp!.transport.iceTransport.getSelectedCandidatePair();
    expect(pair?.local.usernameFragment).not.toBe(before);
    expect([client.connectionState, pc.connectionState]).toEqual(['connected', 'connected']);
    client.close();
    pc.close();
    mux.close();
  });
});
