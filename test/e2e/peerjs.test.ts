import { afterAll, beforeAll, expect, it } from 'vitest';
import { installPeerJsGlobals, type PeerServer, startPeerServer } from './peer-server.ts';
import { LOOPBACK } from './support.ts';

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

it('PeerJS, unchanged, on the polyfill: objects and bytes there and back', async () => {
  const { Peer } = await import('peerjs');
  const options = {
    host: '127.0.0.1',
    port: server.port,
    path: '/',
    secure: false,
    config: { iceServers: [], ...LOOPBACK },
  };
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
