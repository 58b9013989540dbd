import { describe, expect, it } from 'vitest';
import { type ByteStream, concatBytes, type TransportAddress } from '../../src/core/index.ts';
import { frameDatagram } from '../../src/ice/index.ts';
import { MAX_MUX_CONNECTIONS, RTCPeerConnection, TcpMux, UdpMux, type UnknownCheck } from '../../src/index.ts';
import {
  ARRIVAL_TIMEOUT_MS,
  Arrival,
  MAX_ARRIVAL_BYTES,
  MAX_ARRIVALS,
  MAX_FIRST_FRAME_BYTES,
} from '../../src/peer-connection/arrivals.ts';
import { checkBytes } from '../ice/messages.ts';
import { SeededRandom } from '../sim/index.ts';
import { type Description, gathered, tcpOnly } from './descriptions.ts';
import { runUntil } from './sim-platform.ts';
import { makeTcpWorld } from './sim-tcp.ts';

function world() {
  const simulated = makeTcpWorld(7);
  return { ...simulated, server: simulated.machine('10.0.0.1'), random: new SeededRandom(3) };
}

/** A client that nobody can connect to. */
const activeOnly = (description: Description): Description => {
  const { type, sdp } = tcpOnly(description);
  return { type, sdp: sdp.replace(/a=candidate:.*tcptype passive.*\r\n/g, '') };
};
type World = ReturnType<typeof world>;

/** Somebody connects. */
async function dial({ network, machine }: World, to: TransportAddress, ip = '10.0.9.9') {
  const heard: Uint8Array[] = [];
  const ends = { closed: false };
  let stream: ByteStream | undefined;
  const handlers = {
    onData: (bytes: Uint8Array) => heard.push(bytes.slice()),
    onClose: () => {
      ends.closed = true;
    },
  };
  void machine(ip)
    .connectTcp(to, handlers, { localIp: ip })
    .then((connected) => {
      stream = connected;
    });
  await runUntil(network, () => stream !== undefined);
  const write = (bytes: Uint8Array) => stream!.write(bytes, 0, bytes.length);
  return { write, heard, ends, close: () => stream!.close() };
}

/** Some time passes, and no more than that. */
function pass({ network }: World, ms = 200): Promise<boolean> {
  let over = false;
  network.world.schedule(network.world.now + ms, () => {
    over = true;
  });
  return runUntil(network, () => over);
}

/** One share of the port that notes what it is given. */
async function share(mux: TcpMux, ufrags: readonly string[], ip = '10.0.0.1') {
  const streams: ByteStream[] = [];
  const bytes: number[] = [];
  const ended: unknown[] = [];
  const listener = await mux.listenTcp({ ip, port: 0 }, (stream) => {
    streams.push(stream);
    return { onData: (data) => bytes.push(...data), onClose: () => ended.push(stream) };
  });
  listener.answerTo?.(ufrags);
  return { listener, streams, bytes, ended };
}

describe('TcpMux', () => {
  it('carries many connections over one port, each its own, and leaves nothing behind', async () => {
    const w = world();
    const mux = new TcpMux(new UdpMux(w.server, 3478), 3478);
    const answers: unknown[] = [];
    const pcs: RTCPeerConnection[] = [];
    for (let n = 1; n <= 5; n++) {
      const client = new RTCPeerConnection({ purertc: { platform: w.machine(`10.0.1.${n}`), iceTcp: true } });
      const server = new RTCPeerConnection({ purertc: { platform: mux, iceTcp: true } });
      pcs.push(client, server);
      server.ondatachannel = ({ channel }) => {
        channel.onmessage = ({ data }) => channel.send(`${data} back`);
      };
      const channel = client.createDataChannel('x');
      channel.onopen = () => channel.send(`hello ${n}`);
      channel.onmessage = ({ data }) => {
        answers[n - 1] = data;
      };
      void (async () => {
        await client.setLocalDescription();
        await server.setRemoteDescription(activeOnly(await gathered(client)));
        await server.setLocalDescription();
        const answer = await gathered(server);
        expect(answer.sdp.match(/ tcp \d+ 10\.0\.0\.1 3478 typ host tcptype passive/g)).toHaveLength(1);
        await client.setRemoteDescription(tcpOnly(answer));
      })();
    }
    await runUntil(w.network, () => answers.filter((answer) => answer !== undefined).length === 5);
    expect(answers).toEqual([1, 2, 3, 4, 5].map((n) => `hello ${n} back`));
    expect(w.tcp.listeners.has('10.0.0.1:3478')).toBe(true);
    const pair = pcs[1]!.sctp?.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.protocol, pair?.local.port]).toEqual(['tcp', 3478]);
    for (const pc of pcs) pc.close();
    await runUntil(w.network, () => w.tcp.open === 0);
    expect(w.tcp.listeners.size).toBe(1); // the mux outlives its connections
    mux.close();
    await Promise.resolve();
    expect([w.tcp.open, w.tcp.listeners.size, w.server.pendingTimers]).toEqual([0, 0, 0]);
    await expect(mux.listen('10.0.0.1')).rejects.toThrow('closed');
  });

  it('hands a connection over with all that came, by the ufrag of its first frame', async () => {
    const w = world();
    const mux = new TcpMux(w.server, 3478);
    const [one, two] = [await share(mux, ['one']), await share(mux, ['two'])];
    const first = frameDatagram(checkBytes(w.random, { to: { ufrag: 'two', pwd: 'p'.repeat(22) } }));
    const dialer = await dial(w, two.listener.local);
    for (const byte of first) dialer.write(Uint8Array.of(byte));
    dialer.write(Uint8Array.of(0, 1, 77));
    await pass(w);
    expect([one.streams.length, two.streams.length]).toEqual([0, 1]);
    expect(two.bytes).toEqual([...first, 0, 1, 77]);
    two.streams[0]!.write(Uint8Array.of(1, 2, 3), 0, 3);
    await pass(w);
    expect(dialer.heard.flatMap((bytes) => [...bytes])).toEqual([1, 2, 3]);
    await pass(w, 2 * ARRIVAL_TIMEOUT_MS);
    expect([dialer.ends.closed, two.ended.length, w.server.pendingTimers]).toEqual([false, 0, 0]);
    dialer.close();
    await pass(w);
    expect(two.ended).toEqual(two.streams);

    // A share that has left gets no more, and may leave its ufrag to another.
    two.listener.close();
    const late = await dial(w, two.listener.local);
    late.write(first);
    await pass(w);
    expect([late.ends.closed, mux.drops.get('unknown-peer')]).toEqual([true, 1]);
    one.listener.answerTo?.(['two']);
    const next = await dial(w, two.listener.local);
    next.write(first);
    await pass(w);
    expect(one.streams).toHaveLength(1);
    mux.close();
  });

  it.each([
    ['no STUN', frameDatagram(Uint8Array.of(22, 254, 253)), 'unknown-path'],
    [
      'a frame longer than any check',
      Uint8Array.of((MAX_FIRST_FRAME_BYTES + 1) >> 8, (MAX_FIRST_FRAME_BYTES + 1) & 255),
      'bad-length',
    ],
    ['an empty frame', Uint8Array.of(0, 0), 'unknown-path'],
    [
      'a request to nobody',
      frameDatagram(checkBytes(new SeededRandom(1), { to: { ufrag: 'nobody', pwd: 'p'.repeat(22) } })),
      'unknown-peer',
    ],
  ] as const)('%s ends a connection at once', async (_, bytes, reason) => {
    const w = world();
    const mux = new TcpMux(w.server, 3478);
    const { listener, streams } = await share(mux, ['one']);
    const dialer = await dial(w, listener.local);
    dialer.write(bytes);
    await pass(w);
    expect([dialer.ends.closed, streams.length]).toEqual([true, 0]);
    expect(mux.drops.toJSON()).toEqual({ [reason]: 1 });
    expect([w.tcp.open, w.server.pendingTimers]).toEqual([0, 0]);
    mux.close();
  });

  it('strangers are bounded in number and time', async () => {
    const w = world();
    const mux = new TcpMux(w.server, 3478);
    const { listener } = await share(mux, ['one']);
    const strangers = [];
    for (let i = 0; i < MAX_ARRIVALS + 2; i++) strangers.push(await dial(w, listener.local));
    await pass(w);
    expect(strangers.map(({ ends }) => ends.closed)).toEqual(strangers.map((_, i) => i < 2));
    expect(mux.drops.toJSON()).toEqual({ limit: 2 });
    await pass(w, ARRIVAL_TIMEOUT_MS);
    expect(strangers.every(({ ends }) => ends.closed)).toBe(true);
    expect(mux.drops.toJSON()).toEqual({ limit: 2, stale: MAX_ARRIVALS });
    expect([w.tcp.open, w.server.pendingTimers]).toEqual([0, 0]);
    mux.close();
  });

  it('tells of checks for ufrags that nobody has: the connection waits, bounded, for its owner', async () => {
    const w = world();
    const told: UnknownCheck[] = [];
    const mux = new TcpMux(w.server, 3478, { onUnknownUfrag: (check) => told.push(check) });
    const local = await mux.listen('10.0.0.1');
    const to = { ufrag: 'made-on-demand', pwd: 'the password of nobody' };
    const request = frameDatagram(checkBytes(w.random, { to, from: 'dialer' }));
    const [waits, babbles, forgets] = [await dial(w, local), await dial(w, local), await dial(w, local)];
    for (const dialer of [waits, babbles, forgets]) dialer.write(request);
    await pass(w);
    expect(told).toHaveLength(3);
    expect(told[0]).toMatchObject({ ufrag: 'made-on-demand', remoteUfrag: 'dialer', path: { protocol: 'tcp', local } });
    expect(told[0]!.isProtectedBy(to.pwd)).toBe(true);
    waits.write(request); // a repetition
    babbles.write(new Uint8Array(MAX_ARRIVAL_BYTES));
    forgets.close();
    await pass(w);
    expect([told.length, waits.ends.closed, babbles.ends.closed]).toEqual([3, false, true]);
    expect(mux.drops.toJSON()).toEqual({ 'unknown-peer': 3, limit: 1 });
    const owner = await share(mux, [to.ufrag]);
    await pass(w);
    expect(owner.streams).toHaveLength(1);
    expect(owner.bytes).toEqual([...request, ...request]);
    mux.close();
  });

  it('has room for a bounded number of connections', async () => {
    const { server } = world();
    const mux = new TcpMux(server, 3478);
    const none = () => ({ onData: () => undefined, onClose: () => undefined });
    for (let i = 0; i < MAX_MUX_CONNECTIONS; i++) await mux.listenTcp({ ip: '10.0.0.1', port: 0 }, none);
    await expect(mux.listenTcp({ ip: '10.0.0.1', port: 0 }, none)).rejects.toThrow('connections');
    mux.close();
  });

  it('a connection that comes byte by byte while its owner is being made is kept in few pieces', () => {
    const nobody: TransportAddress = { ip: '10.0.0.1', port: 1 };
    const arrival = new Arrival({ local: nobody, remote: nobody, write: () => true, close: () => undefined });
    const sent = Uint8Array.from({ length: MAX_ARRIVAL_BYTES }, (_, i) => i & 0xff);
    sent.set([0, 20]);
    for (const byte of sent) expect(arrival.push(Uint8Array.of(byte))).toBeUndefined();
    expect(arrival.request).toEqual(sent.subarray(2, 22));
    const pieces = arrival.take();
    expect(pieces.length).toBeLessThanOrEqual(32);
    expect(concatBytes(...pieces)).toEqual(sent);
  });
});
