import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ENDED_STREAM_MS, MAX_ENDED_STREAMS, TcpRelays } from '../../src/server/turn-tcp-relays.ts';

const closers: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** A listener, and both ends of each connection to it; the far end does not close by itself. @param allowHalfOpen - nor does the near one. */
async function listener(allowHalfOpen = false) {
  const waiting: ((socket: Socket) => void)[] = [];
  const server = createServer({ allowHalfOpen }, (socket) => {
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
  const closed: number[] = [];
  const waiting: (() => void)[] = [];
  const peers = await listener(true);
  const clients = await listener();
  const server = new TcpRelays({
    accepted: () => undefined,
    connected: () => true,
    passed: () => {
      for (const resolve of waiting.splice(0)) resolve();
      return 0;
    },
    closed: (connection) => closed.push(connection),
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
    return { peer, client, far, passed: () => new Promise<void>((resolve) => waiting.push(resolve)) };
  };
  return { server, timers, closed, join };
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
    await expect.poll(() => [...timers.values()]).toEqual([ENDED_STREAM_MS]);
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

  it(`keeps ${MAX_ENDED_STREAMS} such clients; the oldest is cut off for one more`, async () => {
    const { server, timers, join } = await relays();
    const clients: Socket[] = [];
    for (let i = 0; i <= MAX_ENDED_STREAMS; i++) {
      const { peer, client, far } = await join();
      clients.push(client);
      const ended = event(far.resume(), 'end');
      peer.destroy();
      await ended;
    }
    await expect.poll(() => clients.filter((client) => client.destroyed)).toEqual([clients[0]]);
    await expect.poll(() => timers.size).toBe(MAX_ENDED_STREAMS);
    const closed = clients.slice(1).map((client) => event(client, 'close'));
    server.closeAll();
    await Promise.all(closed);
    expect(timers.size).toBe(0);
  });
});

describe('TcpRelays, when a client hangs up', () => {
  const PIECE = new Uint8Array(4096);

  it('hands on to a peer that reads later what came before the end', async () => {
    const { timers, closed, join } = await relays();
    /** Sends piece by piece to a peer that does not read, until the relay takes no more. */
    const fill = async (maxPieces: number) => {
      const connection = await join();
      const { peer, client, far, passed } = connection;
      peer.pause();
      let pieces = 0;
      for (; pieces < maxPieces && !client.isPaused(); pieces++) {
        const handedOn = passed();
        far.write(PIECE);
        await handedOn;
      }
      return { ...connection, pieces };
    };
    const { pieces } = await fill(Number.POSITIVE_INFINITY);
    // The systems take about as much again; of a few pieces more the first wait in the process, and the end is behind them.
    for (const fewer of [1, 2, 3, 4]) {
      const { peer, client, far, pieces: sent } = await fill(pieces - fewer);
      const ends = [event(client, 'close'), event(peer, 'end')];
      far.resume().end();
      if (!client.isPaused()) await ends[0];
      let received = 0;
      peer.on('data', (chunk: Uint8Array) => {
        received += chunk.length;
      });
      peer.resume();
      await Promise.all(ends);
      peer.end();
      expect(received).toBe(sent * PIECE.length);
    }
    await expect.poll(() => timers.size).toBe(0);
    expect(closed).toEqual([2, 3, 4, 5]);
  });

  it('cuts a peer off that does not close for so long', async () => {
    const { timers, closed, join } = await relays();
    const { peer, far } = await join();
    const ended = event(peer.resume(), 'end');
    far.resume().end(PIECE);
    await ended;
    expect([...timers.values()]).toEqual([ENDED_STREAM_MS]);
    expect(closed).toEqual([1]); // it is nothing to the core any more
    peer.write(PIECE); // to nobody
    for (const fire of [...timers.keys()]) fire();
    await expect.poll(() => timers.size).toBe(0); // given up with the socket
  });
});
