import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { formatAddress, type TransportAddress } from '../../src/core/index.ts';
import { type RTCConfiguration, type RTCDataChannelEvent, RTCPeerConnection } from '../../src/index.ts';
import { connectTcp, platform } from '../../src/io/index.ts';
import { ForwardingPlatform } from '../../src/peer-connection/forwarding-platform.ts';
import { listenOnRelay, MAX_TCP_RELAY_CONNECTIONS } from '../../src/peer-connection/tcp-relay.ts';
import { TurnServer } from '../../src/server/index.ts';
import { once, untilState } from './support.ts';

const interfaceFilter = ({ ip }: { readonly ip: string }) => ip === '127.0.0.1';
const CREDENTIAL = { username: 'ada', credential: 'lovelace' };

const gathered = (pc: RTCPeerConnection) => expect.poll(() => pc.iceGatheringState).toBe('complete');

/** What is left of a description when only these candidates get through. */
const only = (sdp: string, wanted: RegExp): string =>
  sdp.replace(/a=candidate:.*\r\n/g, (line) => (wanted.test(line) ? line : ''));

describe('relayed TCP candidates (RFC 6544 §5.5, RFC 6062)', () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function serve(): Promise<{ server: TurnServer; address: TransportAddress }> {
    const server = new TurnServer({
      realm: 'example.org',
      users: { ada: 'lovelace' },
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
    });
    closers.push(() => server.close());
    return { server, address: await server.listen({ host: '127.0.0.1', port: 0, transport: 'tcp' }) };
  }

  function peer(purertc: RTCConfiguration['purertc'], urls?: string): RTCPeerConnection {
    const iceServers = urls === undefined ? [] : [{ urls, ...CREDENTIAL }];
    const pc = new RTCPeerConnection({ iceServers, purertc: { interfaceFilter, ...purertc } });
    closers.push(() => pc.close());
    return pc;
  }

  it('a peer that has nothing but TCP connects to the relayed address of the other', async () => {
    const { server, address } = await serve();
    const relayed = peer({ iceTcp: ['active'], tcpRelays: true }, `turn:${formatAddress(address)}?transport=tcp`);
    const bare = peer({ iceTcp: ['active'] });
    const channel = relayed.createDataChannel('tcp');
    await relayed.setLocalDescription();
    await gathered(relayed);
    const offer = relayed.localDescription!.sdp;
    const candidate =
      /a=candidate:\S+ 1 tcp \d+ 127\.0\.0\.1 (\d+) typ relay raddr 127\.0\.0\.1 rport \d+ tcptype passive/;
    expect(offer).toMatch(candidate);
    await bare.setRemoteDescription({ type: 'offer', sdp: only(offer, candidate) });
    const incoming = once<RTCDataChannelEvent>(bare, 'datachannel');
    await bare.setLocalDescription();
    await gathered(bare);
    await relayed.setRemoteDescription({ type: 'answer', sdp: only(bare.localDescription!.sdp, /tcptype active/) });
    await untilState(channel, 'open');
    const far = (await incoming).channel;
    far.onmessage = ({ data }) => far.send(data);
    const sent = Uint8Array.from({ length: 100_000 }, (_, i) => i * 7);
    channel.binaryType = 'arraybuffer';
    const answer = once<MessageEvent>(channel, 'message');
    channel.send(sent);
    expect(new Uint8Array((await answer).data)).toEqual(sent);
    const pair = relayed.sctp!.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.type, pair?.local.protocol, pair?.local.relayProtocol]).toEqual(['relay', 'tcp', 'tcp']);
    expect(server.stats.peerConnections).toBe(1);

    // Nothing is left at the server when both have gone.
    relayed.close();
    bare.close();
    await expect.poll(() => [server.stats.allocations, server.stats.peerConnections]).toEqual([0, 0]);
  });

  it('a relay that is made when the peer is known already lets it in from the beginning', async () => {
    const { address } = await serve();
    const bare = peer({ iceTcp: ['active'] });
    const channel = bare.createDataChannel('tcp');
    await bare.setLocalDescription();
    await gathered(bare);
    const relayed = peer({ iceTcp: ['active'], tcpRelays: true }, `turn:${formatAddress(address)}?transport=tcp`);
    await relayed.setRemoteDescription({ type: 'offer', sdp: only(bare.localDescription!.sdp, /tcptype active/) });
    await relayed.setLocalDescription();
    await gathered(relayed);
    const sdp = only(relayed.localDescription!.sdp, /typ relay .*tcptype passive/);
    await bare.setRemoteDescription({ type: 'answer', sdp });
    await untilState(channel, 'open');
    const pair = bare.sctp!.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.tcpType, pair?.remote.type]).toEqual(['active', 'relay']);
  });

  it('strangers from the peer’s address lead to a bounded number of connections', async () => {
    const { server, address } = await serve();
    const counting = new ForwardingPlatform(platform);
    let opened = 0;
    counting.connectTcp = (...given) => {
      opened++;
      return connectTcp(...given);
    };
    const relayed = peer(
      { platform: counting, iceTcp: ['passive'], tcpRelays: true },
      `turn:${formatAddress(address)}?transport=tcp`,
    );
    relayed.createDataChannel('tcp');
    await relayed.setLocalDescription();
    await gathered(relayed);
    const port = Number(/ (\d+) typ relay .*tcptype passive/.exec(relayed.localDescription!.sdp)?.[1]);
    const bare = peer({ iceTcp: ['active'] });
    await bare.setRemoteDescription({ type: 'offer', sdp: relayed.localDescription!.sdp });
    await bare.setLocalDescription();
    await gathered(bare);
    const answer = bare.localDescription!.sdp;
    bare.close();
    await relayed.setRemoteDescription({ type: 'answer', sdp: only(answer, /tcptype active/) }); // lets 127.0.0.1 in
    const sockets: Socket[] = [];
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    const dial = () => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      sockets.push(socket);
    };
    dial();
    // The permission is on its way: the server refuses until it stands.
    await expect
      .poll(() => {
        if (sockets.at(-1)!.closed) dial();
        return server.stats.peerConnections;
      })
      .toBeGreaterThan(0);
    for (let i = 0; i < 2 * MAX_TCP_RELAY_CONNECTIONS; i++) dial();
    // To the server: one for each allocation, of UDP and of TCP, and one for each connection that was let in.
    await expect.poll(() => server.stats.peerConnections).toBeGreaterThan(MAX_TCP_RELAY_CONNECTIONS);
    await expect.poll(() => opened).toBe(2 + MAX_TCP_RELAY_CONNECTIONS);
    relayed.close();
    await expect.poll(() => [server.stats.allocations, server.stats.peerConnections]).toEqual([0, 0]);
  });

  it.each(['hangs up', 'sends what is not STUN'] as const)('a server that %s takes the relay with it', async (what) => {
    const { server, address } = await serve();
    let toClient: Socket | undefined;
    const between = createServer((socket) => {
      toClient = socket;
      const onward = connect(address.port, address.ip).on('error', () => undefined);
      socket.on('error', () => undefined).on('close', () => onward.destroy());
      socket.pipe(onward);
      onward.pipe(socket);
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    closers.push(() => between.close());
    const remote = { ip: '127.0.0.1', port: (between.address() as AddressInfo).port };
    const given = { remote, localIp: '127.0.0.1', username: 'ada', password: 'lovelace' };
    let lost = 0;
    const accept = () => ({ onData: () => undefined, onClose: () => undefined });
    await listenOnRelay(platform, given, accept, () => void lost++, new AbortController().signal);
    expect(server.stats.allocations).toBe(1);
    if (what === 'hangs up') toClient!.destroy();
    else toClient!.write('SSH-2.0-server\r\n');
    await expect.poll(() => lost).toBe(1);
    await expect.poll(() => server.stats.allocations).toBe(0);
  });

  it('a server that refuses, is silent or is not there costs that candidate only', async () => {
    const { address } = await serve();
    for (const [credential, urls] of [
      ['wrong', `turn:${formatAddress(address)}?transport=tcp`],
      ['lovelace', 'turn:127.0.0.1:9?transport=tcp'],
    ] as const) {
      const iceServers = [{ urls, username: 'ada', credential }];
      const pc = new RTCPeerConnection({ iceServers, purertc: { interfaceFilter, iceTcp: true, tcpRelays: true } });
      closers.push(() => pc.close());
      pc.createDataChannel('x');
      await pc.setLocalDescription();
      await gathered(pc);
      expect(pc.localDescription!.sdp).not.toMatch(/typ relay/);
      expect(pc.localDescription!.sdp).toMatch(/typ host tcptype passive/);
    }
  });
});
