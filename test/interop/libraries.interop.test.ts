import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import SimplePeer from 'simple-peer';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RTCIceCandidate, RTCPeerConnection, RTCSessionDescription } from '../../src/index.ts';
import { installPeerJsGlobals, type PeerServer, startPeerServer } from '../e2e/peer-server.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { useChromium } from './chrome.ts';

const BULK_BYTES = 1_000_000;
const require = createRequire(import.meta.url);

const chromium = useChromium();
let page: Page;
beforeEach(async () => {
  page = await chromium.openPage();
});

describe('simple-peer here and simple-peer in Chromium', () => {
  const wrtc = { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate };
  let peer: SimplePeer.Instance;
  afterEach(() => void peer.destroy());

  const once = (event: string) =>
    new Promise<unknown>((resolve, reject) => {
      peer.once(event, resolve);
      peer.once('error', reject);
    });

  it.each([
    { initiator: true, trickle: true },
    { initiator: false, trickle: true },
    { initiator: true, trickle: false },
    { initiator: false, trickle: false },
  ])('%o: text and a stream both ways, and the end', async ({ initiator, trickle }) => {
    await page.addScriptTag({ path: require.resolve('simple-peer/simplepeer.min.js') });
    await page.exposeFunction('toNode', (text: string) => {
      if (!peer.destroyed) peer.signal(JSON.parse(text) as SimplePeer.SignalData);
    });
    peer = new SimplePeer({ wrtc, initiator, trickle, config: { iceServers: [], ...LOOPBACK } });
    const connected = once('connect');
    const ready = page.evaluate(`
      window.peer = new SimplePeer({ initiator: ${!initiator}, trickle: ${trickle}, config: { iceServers: [] } });
      window.closed = new Promise((resolve) => peer.on('close', resolve));
      peer.on('error', () => undefined);
      peer.on('data', (data) => peer.write(data)); // a stream in both directions: it echoes
      peer.on('signal', (data) => toNode(JSON.stringify(data)));
      undefined`);
    peer.on('signal', (data) => {
      // A page that is closing has nobody left to tell.
      void ready
        .then(() => page.evaluate(`peer.destroyed || peer.signal(${JSON.stringify(data)})`))
        .catch(() => undefined);
    });
    await connected;
    const text = once('data');
    peer.send('hello');
    expect(String(await text)).toBe('hello');

    const received: Buffer[] = [];
    let length = 0;
    const all = new Promise<void>((resolve) => {
      peer.on('data', (chunk: Buffer) => {
        received.push(chunk);
        length += chunk.length;
        if (length === BULK_BYTES) resolve();
      });
    });
    const sent = Buffer.from(Uint8Array.from({ length: BULK_BYTES }, (_, i) => (i * 31 + (i >>> 8)) & 255));
    for (let at = 0; at < BULK_BYTES; at += 50_000) peer.write(sent.subarray(at, at + 50_000));
    await all;
    expect(Buffer.concat(received).equals(sent)).toBe(true);
    peer.destroy();
    await page.evaluate('closed');
  });
});

describe('PeerJS here and PeerJS in Chromium', () => {
  let server: PeerServer;
  let removeGlobals: () => void;
  beforeAll(async () => {
    removeGlobals = await installPeerJsGlobals();
    server = await startPeerServer();
  });
  afterAll(() => {
    server.close();
    removeGlobals();
  });

  it.each(['Node', 'Chromium'] as const)('%s calls: objects and bytes there and back', async (caller) => {
    const { Peer } = await import('peerjs');
    const options = { host: '127.0.0.1', port: server.port, path: '/', secure: false };
    const ids = { node: `node-${caller}`, chrome: `chrome-${caller}` };
    const node = new Peer(ids.node, { ...options, config: { iceServers: [], ...LOOPBACK } });
    await new Promise<void>((resolve) => node.on('open', () => resolve()));
    await page.addScriptTag({ path: require.resolve('peerjs/dist/peerjs.min.js') });
    await page.evaluate(`new Promise((resolve) => {
      window.echo = (connection) => connection.on('data', (data) => connection.send({ echo: data }));
      window.peer = new Peer('${ids.chrome}', ${JSON.stringify({ ...options, config: { iceServers: [] } })});
      peer.on('connection', echo);
      peer.on('open', resolve);
    })`);
    const connection =
      caller === 'Node'
        ? node.connect(ids.chrome, { reliable: true })
        : await new Promise<ReturnType<typeof node.connect>>((resolve) => {
            node.on('connection', resolve);
            void page.evaluate(`echo(peer.connect('${ids.node}', { reliable: true }))`);
          });
    if (!connection.open) await new Promise<void>((resolve) => connection.on('open', () => resolve()));
    const answer = () =>
      new Promise<unknown>((resolve) => void connection.once('data', (data) => resolve(data as unknown)));
    const object = { hello: 'world', list: [1, 2, 3] };
    const first = answer();
    void connection.send(object);
    expect(await first).toEqual({ echo: object });
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 255);
    const second = answer();
    void connection.send(bytes);
    const { echo } = (await second) as { readonly echo: ArrayBuffer };
    expect(Buffer.from(echo).equals(bytes)).toBe(true);
    const closed = new Promise<void>((resolve) => connection.on('close', () => resolve()));
    await page.evaluate('peer.destroy()');
    await closed;
    node.destroy();
  });
});
