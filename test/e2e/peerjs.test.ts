import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { LOOPBACK } from './support.ts';

/** PeerJS finds WebRTC, WebSocket and the browser's name among its globals. */
const GLOBALS = {
  WebSocket,
  navigator: { userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0', platform: 'Linux' },
  window: globalThis,
  location: { protocol: 'http:' },
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
};

let http: Server;
let port = 0;

/** PeerServer in a few lines: says OPEN, and passes messages on to who they are for. */
function startServer(): Promise<void> {
  http = createServer();
  const sockets = new Map<string, WebSocket>();
  new WebSocketServer({ server: http }).on('connection', (socket, request) => {
    const id = new URL(request.url ?? '', 'http://localhost').searchParams.get('id') ?? '';
    sockets.set(id, socket);
    socket.send(JSON.stringify({ type: 'OPEN' }));
    socket.on('message', (text) => {
      const message = JSON.parse(String(text)) as { type: string; dst?: string };
      if (message.dst !== undefined) sockets.get(message.dst)?.send(JSON.stringify({ ...message, src: id }));
    });
  });
  return new Promise((resolve) => {
    http.listen(0, '127.0.0.1', () => {
      port = (http.address() as AddressInfo).port;
      resolve();
    });
  });
}

beforeAll(async () => {
  for (const [name, value] of Object.entries(GLOBALS)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { configurable: true, writable: true, value });
  }
  await import('../../src/polyfill/index.ts');
  await startServer();
});

afterAll(() => {
  http.closeAllConnections();
  http.close();
  for (const name of Object.keys(GLOBALS)) Reflect.deleteProperty(globalThis, name);
});

it('PeerJS, unchanged, on the polyfill: objects and bytes there and back', async () => {
  const { Peer } = await import('peerjs');
  const options = { host: '127.0.0.1', port, path: '/', secure: false, config: { iceServers: [], ...LOOPBACK } };
  const [alice, bob] = [new Peer('alice', options), new Peer('bob', options)];
  const opened = (on: (event: 'open' | 'error', handler: () => void) => unknown) =>
    new Promise<void>((resolve, reject) => {
      on('open', resolve);
      on('error', () => reject(new Error('PeerJS reports an error')));
    });
  await Promise.all([opened((e, f) => alice.on(e, f)), opened((e, f) => bob.on(e, f))]);
  bob.on('connection', (connection) => connection.on('data', (data) => void connection.send({ echo: data })));
  const connection = alice.connect('bob', { reliable: true });
  await opened((e, f) => connection.on(e, f));
  const answer = () =>
    new Promise<{ echo: unknown }>((resolve) => connection.once('data', (data) => resolve(data as never)));
  const object = { hello: 'world', list: [1, 2, 3] };
  const first = answer();
  connection.send(object);
  expect(await first).toEqual({ echo: object });
  const second = answer();
  connection.send(new Uint8Array(300_000).fill(7));
  expect(new Uint8Array((await second).echo as ArrayBuffer)).toEqual(new Uint8Array(300_000).fill(7));
  alice.destroy();
  bob.destroy();
});
