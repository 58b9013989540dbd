import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection, TcpMux, UdpMux, type UnknownCheck } from '../../src/index.ts';
import { platform } from '../../src/io/index.ts';
import { type Description, gathered } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

const CHROMIUM_PEERS = 10;
const NODE_PEERS = 40;
const ROUNDS = 20;

const isLoopback = ({ ip }: { readonly ip: string }): boolean => ip === '127.0.0.1';

describe('Chromium and Node peers behind one UDP port', () => {
  const chromium = useChromium();
  let page: Page;
  let mux: UdpMux;
  let servers: RTCPeerConnection[];
  let clients: RTCPeerConnection[];

  beforeEach(async () => {
    page = await chromium.openPage();
    mux = new UdpMux(platform, 0);
    servers = [];
    clients = [];
  });
  afterEach(() => {
    for (const pc of [...clients, ...servers]) pc.close();
    mux.close();
  });

  /** The server's end of a connection: echoes on every channel. */
  function serve(on: UdpMux | TcpMux = mux): RTCPeerConnection {
    const iceTcp = on instanceof TcpMux;
    const pc = new RTCPeerConnection({ purertc: { platform: on, iceTcp, interfaceFilter: isLoopback } });
    pc.addEventListener('datachannel', ({ channel }) => {
      channel.addEventListener('message', ({ data }) => channel.send(`${data} back`));
    });
    servers.push(pc);
    return pc;
  }

  /** The page's connection `n` offers a channel. */
  function offerOf(n: number): Promise<Description> {
    return page.evaluate<Description>(`(async () => {
      const pc = new RTCPeerConnection();
      const channel = pc.createDataChannel('mux');
      (window.peers ??= [])[${n}] = { pc, channel };
      await pc.setLocalDescription();
      await gathered(pc);
      return pc.localDescription.toJSON();
    })()`);
  }

  /** @returns what came back to each message that the page's connection `n` sent. */
  async function fromChromium(n: number): Promise<string[]> {
    const offer = await offerOf(n);
    const server = serve();
    await server.setRemoteDescription(offer);
    await server.setLocalDescription();
    const answer = await gathered(server);
    return page.evaluate<string[]>(`(async () => {
      const { pc, channel } = peers[${n}];
      await pc.setRemoteDescription(${JSON.stringify(answer)});
      await opened(channel);
      const heard = [];
      for (let i = 0; i < ${ROUNDS}; i++) {
        const answer = new Promise((resolve) => { channel.onmessage = ({ data }) => resolve(data); });
        channel.send('chromium ${n} ' + i);
        heard.push(await answer);
      }
      return heard;
    })()`);
  }

  async function fromNode(n: number): Promise<string[]> {
    const client = new RTCPeerConnection({ purertc: { interfaceFilter: isLoopback } });
    clients.push(client);
    const channel = client.createDataChannel('mux');
    await client.setLocalDescription();
    const server = serve();
    await server.setRemoteDescription(await gathered(client));
    await server.setLocalDescription();
    await client.setRemoteDescription(await gathered(server));
    await new Promise((resolve) => channel.addEventListener('open', resolve));
    const heard: string[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      const answer = new Promise<string>((resolve) => {
        channel.onmessage = ({ data }) => resolve(String(data));
      });
      channel.send(`node ${n} ${i}`);
      heard.push(await answer);
    }
    return heard;
  }

  const answersTo = (who: string): string[] => Array.from({ length: ROUNDS }, (_, i) => `${who} ${i} back`);

  it(`${CHROMIUM_PEERS} of Chromium's and ${NODE_PEERS} of Node's at once, each its own messages`, async () => {
    const heard = await Promise.all([
      ...Array.from({ length: CHROMIUM_PEERS }, (_, n) => fromChromium(n)),
      ...Array.from({ length: NODE_PEERS }, (_, n) => fromNode(n)),
    ]);
    expect(heard).toEqual([
      ...Array.from({ length: CHROMIUM_PEERS }, (_, n) => answersTo(`chromium ${n}`)),
      ...Array.from({ length: NODE_PEERS }, (_, n) => answersTo(`node ${n}`)),
    ]);
    const locals = servers.map((pc) => pc.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local);
    expect(new Set(locals.map((local) => `${local?.address}:${local?.port}`)).size).toBe(1);
    expect(servers).toHaveLength(CHROMIUM_PEERS + NODE_PEERS);
  });

  it('one port for both: over TCP where candidates say nothing else, over UDP beside it', async () => {
    const both = new TcpMux(mux, 0);
    /** What the clients are told: how to reach the server over one protocol. */
    const reachable = (sdp: string, protocol: 'udp' | 'tcp'): string =>
      sdp.replace(protocol === 'tcp' ? /a=candidate:\S+ 1 udp .*\r\n/g : /a=candidate:\S+ 1 tcp .*\r\n/g, '');
    const overTcp = async (n: number): Promise<string> => {
      const offer = await offerOf(n);
      const server = serve(both);
      const protocol = n % 2 === 0 ? 'tcp' : 'udp';
      await server.setRemoteDescription({ ...offer, sdp: offer.sdp.replace(/a=candidate:.*\r\n/g, '') });
      await server.setLocalDescription();
      const { type, sdp } = await gathered(server);
      return page.evaluate<string>(`(async () => {
        const { pc, channel } = peers[${n}];
        await pc.setRemoteDescription(${JSON.stringify({ type, sdp: reachable(sdp, protocol) })});
        await opened(channel);
        const answer = new Promise((resolve) => { channel.onmessage = ({ data }) => resolve(data); });
        channel.send('chromium ${n}');
        return answer;
      })()`);
    };
    expect(await Promise.all(Array.from({ length: 6 }, (_, n) => overTcp(n)))).toEqual(
      Array.from({ length: 6 }, (_, n) => `chromium ${n} back`),
    );
    const locals = servers.map((pc) => pc.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local);
    expect(locals.map((local) => local?.protocol)).toEqual(['tcp', 'udp', 'tcp', 'udp', 'tcp', 'udp']);
    expect(new Set(locals.map((local) => `${local?.protocol} ${local?.port}`)).size).toBe(2);
    for (const server of servers) server.close();
    both.close();
  });

  it('as libp2p’s webrtc-direct: Chromium dials by address and fingerprint alone, the server learns of it from the mux', async () => {
    const certificate = await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' });
    const fingerprint = certificate.getFingerprints()[0]!;
    const describe = (type: string, secret: string, print: string, rest: readonly string[]): Description => ({
      type: type as Description['type'],
      sdp: [
        'v=0',
        'o=- 0 0 IN IP4 127.0.0.1',
        's=-',
        't=0 0',
        'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
        'c=IN IP4 127.0.0.1',
        'a=mid:0',
        `a=ice-ufrag:${secret}`,
        `a=ice-pwd:${secret}`,
        `a=fingerprint:sha-256 ${print}`,
        'a=sctp-port:5000',
        'a=max-message-size:16384',
        ...rest,
        '',
      ].join('\r\n'),
    });
    const accept = async (secret: string): Promise<void> => {
      const purertc = { interfaceFilter: isLoopback, iceUfrag: secret, icePwd: secret, acceptAnyFingerprint: true };
      const pc = new RTCPeerConnection({
        certificates: [certificate],
        purertc: { ...purertc, platform: onDemand, answerSetup: 'passive' },
      });
      servers.push(pc);
      const channel = pc.createDataChannel('', { negotiated: true, id: 0 });
      channel.onmessage = ({ data }) => channel.send(`${data} back`);
      const unknown = Array.from({ length: 32 }, () => 'FF').join(':');
      await pc.setRemoteDescription(describe('offer', secret, unknown, ['a=setup:actpass']));
      await pc.setLocalDescription();
    };
    const seen = new Set<string>();
    const onUnknownUfrag = (check: UnknownCheck): void => {
      if (seen.has(check.ufrag) || !check.isProtectedBy(check.ufrag)) return;
      seen.add(check.ufrag);
      void accept(check.ufrag);
    };
    const onDemand = new UdpMux(platform, 0, { onUnknownUfrag });
    const { ip, port } = await onDemand.listen('127.0.0.1');
    const secret = 'libp2p+webrtc+v1/0123456789abcdef0123456789abcdef';
    const answer = describe('answer', secret, fingerprint.value!.toUpperCase(), [
      'a=setup:passive',
      `a=candidate:1 1 udp 1 ${ip} ${port} typ host`,
    ]);
    const heard = await page.evaluate<string>(`(async () => {
      const pc = new RTCPeerConnection();
      const channel = pc.createDataChannel('', { negotiated: true, id: 0 });
      const offer = await pc.createOffer();
      const sdp = offer.sdp.replace(/a=ice-ufrag:.*/, 'a=ice-ufrag:${secret}').replace(/a=ice-pwd:.*/, 'a=ice-pwd:${secret}');
      await pc.setLocalDescription({ type: 'offer', sdp });
      await pc.setRemoteDescription(${JSON.stringify(answer)});
      await opened(channel);
      const answer = new Promise((resolve) => { channel.onmessage = ({ data }) => resolve(data); });
      channel.send('hello');
      return answer;
    })()`);
    expect(heard).toBe('hello back');
    expect([...seen]).toEqual([secret]);
    for (const server of servers) server.close();
    onDemand.close();
  });
});
