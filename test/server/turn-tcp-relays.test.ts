import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ENDED_CLIENT_MS, MAX_ENDED_CLIENTS, TcpRelays } from '../../src/server/turn-tcp-relays.ts';

const closers: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** A listener, and both ends of each connection to it; the far end does not close by itself. */
async function listener() {
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer((socket) => {
    closers.push(() => socket.destroy());
    socket.on('error', () => socket.destroy());
    waiting.shift()?.(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const accepted = () => new Promise<Socket>((resolve) => waiting.push(resolve));
  return {
    port,
    accepted,
    pair: async () => {
      const near = accepted();
      const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      closers.push(() => far.destroy());
      far.on('error', () => far.destroy());
      return { near: await near, far };
    },
  };
}

/** Relays whose timers fire when the test says so. */
async function relays() {
  const timers = new Map<() => void, number>();
  const peers = await listener();
  const clients = await listener();
  const server = new TcpRelays({
    accepted: () => undefined,
    connected: () => true,
    passed: () => 0,
    closed: () => undefined,
    setTimer: (delayMs, fire) => {
      timers.set(fire, delayMs);
      return () => timers.delete(fire);
    },
  });
  closers.push(() => server.closeAll());
  let connections = 0;
  /** A peer's connection that is joined with a client's. */
  const join = async () => {
    const connection = ++connections;
    const accepted = peers.accepted();
    server.dial(connection, { ip: '127.0.0.1', port: 0 }, { ip: '127.0.0.1', port: peers.port });
    const peer = await accepted;
    const { near: client, far } = await clients.pair();
    server.bind(connection, client);
    return { peer, client, far };
  };
  return { server, timers, join };
}

const event = (socket: Socket, name: 'close' | 'end') => new Promise<void>((resolve) => socket.once(name, resolve));

describe('TcpRelays, when a peer hangs up', () => {
  it('lets the client read what came last, and cuts it off when it does not close for so long', async () => {
    const { timers, join } = await relays();
    const { peer, client, far } = await join();
    let received = 0;
    far.on('data', (chunk) => {
      received += chunk.length;
    });
    const ended = event(far, 'end');
    peer.end(new Uint8Array(200_000));
    await ended;
    expect(received).toBe(200_000);
    await expect.poll(() => [...timers.values()]).toEqual([ENDED_CLIENT_MS]);
    expect(client.destroyed).toBe(false);
    const closed = event(client, 'close');
    for (const fire of [...timers.keys()]) fire();
    await closed;
    expect(timers.size).toBe(0);
  });

  it('reads to the end of a client that still sends, and is done with it', async () => {
    const { timers, join } = await relays();
    const { peer, client, far } = await join();
    const ended = event(far.resume(), 'end');
    peer.destroy();
    await ended;
    const closed = event(client, 'close');
    far.end(new Uint8Array(500_000));
    await closed;
    expect(timers.size).toBe(0);
  });

  it(`keeps ${MAX_ENDED_CLIENTS} such clients; the oldest is cut off for one more`, async () => {
    const { server, timers, join } = await relays();
    const clients: Socket[] = [];
    for (let i = 0; i <= MAX_ENDED_CLIENTS; i++) {
      const { peer, client, far } = await join();
      clients.push(client);
      const ended = event(far.resume(), 'end');
      peer.destroy();
      await ended;
    }
    await expect.poll(() => clients.filter((client) => client.destroyed)).toEqual([clients[0]]);
    await expect.poll(() => timers.size).toBe(MAX_ENDED_CLIENTS);
    const closed = clients.slice(1).map((client) => event(client, 'close'));
    server.closeAll();
    await Promise.all(closed);
    expect(timers.size).toBe(0);
  });
});
