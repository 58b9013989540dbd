import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection, UdpMux } from '../../src/index.ts';
import { platform } from '../../src/io/index.ts';
import { ChromeHost } from './chrome.ts';

const CHROMIUM_PEERS = 10;
const NODE_PEERS = 40;
const ROUNDS = 20;

interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

const isLoopback = ({ ip }: { readonly ip: string }): boolean => ip === '127.0.0.1';

/** Trickles nothing: resolves with all candidates. */
function gathered(pc: RTCPeerConnection): Promise<Description> {
  return new Promise((resolve) => {
    const check = (): void => {
      const { localDescription } = pc;
      if (pc.iceGatheringState !== 'complete' || localDescription === null) return;
      resolve({ type: localDescription.type as Description['type'], sdp: localDescription.sdp });
    };
    pc.addEventListener('icegatheringstatechange', check);
    check();
  });
}

describe('Chromium and Node peers behind one UDP port', () => {
  let chrome: ChromeHost;
  let page: Page;
  let mux: UdpMux;
  let servers: RTCPeerConnection[];
  let clients: RTCPeerConnection[];

  beforeAll(async () => {
    chrome = await ChromeHost.start();
  });
  afterAll(async () => {
    await chrome.close();
  });
  beforeEach(async () => {
    page = await chrome.openPage();
    mux = new UdpMux(platform, 0);
    servers = [];
    clients = [];
  });
  afterEach(async () => {
    for (const pc of [...clients, ...servers]) pc.close();
    mux.close();
    await page.close();
  });

  /** The server's end of a connection: echoes on every channel. */
  function serve(): RTCPeerConnection {
    const pc = new RTCPeerConnection({ purertc: { platform: mux, interfaceFilter: isLoopback } });
    pc.addEventListener('datachannel', ({ channel }) => {
      channel.addEventListener('message', ({ data }) => channel.send(`${data} back`));
    });
    servers.push(pc);
    return pc;
  }

  /** @returns what came back to each message that the page's connection `n` sent. */
  async function fromChromium(n: number): Promise<string[]> {
    const offer = await page.evaluate<Description>(`(async () => {
      const pc = new RTCPeerConnection();
      const channel = pc.createDataChannel('mux');
      (window.peers ??= [])[${n}] = { pc, channel };
      await pc.setLocalDescription();
      await gathered(pc);
      return pc.localDescription.toJSON();
    })()`);
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
});
