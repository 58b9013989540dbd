import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer, Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Instant, NEVER, type SansIo, type TransmitSlot } from '../../src/core/index.ts';
import { MAX_BUFFERED_BYTES, WebSocketClient } from '../../src/io/websocket.ts';
import {
  boundAddress,
  MAX_WEBSOCKET_STRANGERS,
  WebSocketServer,
  type WebSocketServerOptions,
} from '../../src/io/websocket-server.ts';

const SUBPROTOCOL = 'echo.test';
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type ServerEvent = { readonly type: 'open' | 'close' | 'message'; readonly connection: number; readonly text?: string };

/** Echoes every message to its connection, `copies` times. */
class EchoServer implements SansIo<ServerEvent, number> {
  readonly copies: number;
  /** Connections of which a sign of life was reported. */
  readonly alive = new Set<number>();
  readonly #out: { readonly to: number; readonly bytes: Uint8Array }[] = [];
  readonly #events: ServerEvent[] = [];

  constructor(copies = 1) {
    this.copies = copies;
  }

  handleOpen(connection: number): void {
    this.#events.push({ type: 'open', connection });
  }

  handleAlive(connection: number): void {
    this.alive.add(connection);
  }

  handleClose(connection: number): void {
    this.#events.push({ type: 'close', connection });
  }

  handleInput(bytes: Uint8Array, connection: number): void {
    this.#events.push({ type: 'message', connection, text: new TextDecoder().decode(bytes) });
    for (let i = 0; i < this.copies; i++) this.#out.push({ to: connection, bytes: bytes.slice() });
  }

  handleTimeout(): void {
    // no timers
  }

  pollTransmit(slot: TransmitSlot<number>): boolean {
    const next = this.#out.shift();
    if (next === undefined) return false;
    slot.buffer.set(next.bytes, slot.offset);
    slot.length = next.bytes.length;
    slot.path = next.to;
    return true;
  }

  pollEvent(): ServerEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return NEVER;
  }
}

type ClientEvent = { readonly type: 'open' | 'close' | 'message'; readonly text: string };

/** Says hello when it is connected, and reports what it hears. */
class HelloClient implements SansIo<ClientEvent, void> {
  readonly #events: ClientEvent[] = [];
  #hello = false;

  handleOpen(): void {
    this.#hello = true;
    this.#events.push({ type: 'open', text: '' });
  }

  handleClose(_now: Instant, reason: string): void {
    this.#events.push({ type: 'close', text: reason });
  }

  handleInput(bytes: Uint8Array): void {
    this.#events.push({ type: 'message', text: new TextDecoder().decode(bytes) });
  }

  handleTimeout(): void {
    // no timers
  }

  pollTransmit(slot: TransmitSlot<void>): boolean {
    if (!this.#hello) return false;
    this.#hello = false;
    slot.length = new TextEncoder().encodeInto('hello', slot.buffer.subarray(slot.offset)).written;
    return true;
  }

  pollEvent(): ClientEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return NEVER;
  }
}

/** Events in order; `next` waits for the one after those already taken. */
class Inbox<T> {
  readonly #items: T[] = [];
  #wake: () => void = () => undefined;

  readonly push = (item: T): void => {
    this.#items.push(item);
    this.#wake();
  };

  async next(): Promise<T> {
    while (this.#items.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#items.shift()!;
  }
}

async function serve(options: Partial<WebSocketServerOptions<ServerEvent>> = {}, core = new EchoServer()) {
  const inbox = new Inbox<ServerEvent>();
  const server = new WebSocketServer<ServerEvent>({
    core,
    subprotocol: SUBPROTOCOL,
    maxMessageBytes: 1000,
    onEvent: inbox.push,
    ...options,
  });
  closers.push(() => server.close());
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  return { server, inbox, port, url: `ws://127.0.0.1:${port}` };
}

function dial(url: string) {
  const inbox = new Inbox<ClientEvent>();
  const client = new WebSocketClient<ClientEvent>({
    core: new HelloClient(),
    url,
    subprotocol: SUBPROTOCOL,
    maxMessageBytes: 1000,
    onEvent: inbox.push,
  });
  closers.push(() => client.close());
  client.dial();
  return { client, inbox };
}

/** A bare socket of the library, for what the client shell never does. */
function bare(url: string, options: { origin?: string; autoPong?: boolean } = {}) {
  const socket = new WebSocket(url, SUBPROTOCOL, options);
  closers.push(() => socket.terminate());
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  const opened = new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return { socket, opened, closed };
}

describe('WebSocketServer and WebSocketClient', () => {
  it('carry messages of both cores, and each end learns of the close', async () => {
    const { inbox, url } = await serve();
    const { client, inbox: heard } = dial(url);
    expect(await heard.next()).toEqual({ type: 'open', text: '' });
    expect(await heard.next()).toEqual({ type: 'message', text: 'hello' });
    expect(await inbox.next()).toEqual({ type: 'open', connection: 1 });
    expect(await inbox.next()).toEqual({ type: 'message', connection: 1, text: 'hello' });
    client.hangUp();
    expect(await inbox.next()).toEqual({ type: 'close', connection: 1 });
  });

  it('hangUp of the server sends code and reason to the client, and the core hears no more of it', async () => {
    const { server, inbox, url } = await serve();
    const { inbox: heard } = dial(url);
    await heard.next();
    server.hangUp(1, 1008, 'enough');
    const seen: ClientEvent[] = [];
    do seen.push(await heard.next());
    while (seen.at(-1)?.type !== 'close');
    expect(seen.at(-1)).toEqual({ type: 'close', text: 'closed with 1008: enough' });
    await server.close();
    expect((await inbox.next()).type).toBe('open');
    inbox.push({ type: 'open', connection: -1 });
    const rest = [await inbox.next()];
    while (rest.at(-1)?.connection !== -1) rest.push(await inbox.next());
    expect(rest.some((event) => event.type === 'close')).toBe(false);
  });

  it('close ends every connection with 1001 and frees the port', async () => {
    const { server, port, url } = await serve();
    const { inbox: heard } = dial(url);
    await heard.next();
    await heard.next();
    await server.close();
    await server.close();
    expect(await heard.next()).toEqual({ type: 'close', text: 'closed with 1001: the server ends' });
    const again = createServer();
    closers.push(() => again.close());
    await new Promise<void>((resolve) => again.listen(port, '127.0.0.1', resolve));
  });

  it('go on when a connection could not be accepted', async () => {
    const { port, url } = await serve();
    const servers: Server[] = [];
    const seen = (message: unknown) => {
      if (message instanceof Object && 'server' in message && message.server instanceof Server)
        servers.push(message.server);
    };
    subscribe('http.server.request.start', seen);
    closers.push(() => unsubscribe('http.server.request.start', seen));
    await fetch(`http://127.0.0.1:${port}/`);
    // As Node does when the system has refused to accept one (ENOMEM, EPERM): without a listener it would throw.
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    expect(servers.map((server) => server.emit('error', new Error('accept')))).toEqual([true]);
    expect((await warned).message).toBe('the WebSocket server could not accept a connection: accept');
    await bare(url).opened;
  });

  it('a port in use is a rejection, and another one may be tried', async () => {
    const { port } = await serve();
    const second = new WebSocketServer<ServerEvent>({
      core: new EchoServer(),
      subprotocol: SUBPROTOCOL,
      maxMessageBytes: 1000,
      onEvent: () => undefined,
    });
    await expect(second.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    const { port: other } = await second.listen({ host: '127.0.0.1', port: 0 }); // as the message advises
    await bare(`ws://127.0.0.1:${other}`).opened;
    await expect(second.listen({ host: '127.0.0.1', port: 0 })).rejects.toThrow('listen is called once');
    await second.close();
  });

  it.each([
    ['no server', 'ws://127.0.0.1:9', /ECONNREFUSED/],
    ['no WebSocket URL', 'gopher://127.0.0.1', /URL/i],
    ['no URL at all', '%', /URL/i],
  ])('a client that cannot connect (%s) hears a reason', async (_name, url, reason) => {
    const { inbox } = dial(url);
    expect(await inbox.next()).toEqual({ type: 'close', text: expect.stringMatching(reason) });
  });
});

describe('WebSocketServer refuses', () => {
  it('pages of foreign origins, but not the allowed one, nor programs', async () => {
    const { url } = await serve({ allowedOrigins: ['https://good.example'] });
    await expect(bare(url, { origin: 'https://evil.example' }).opened).rejects.toThrow('403');
    await bare(url, { origin: 'https://good.example' }).opened;
    await bare(url).opened;
  });

  it('connections that do not offer the subprotocol', async () => {
    const { url } = await serve();
    const socket = new WebSocket(url, 'other.protocol');
    await expect(new Promise((_, reject) => socket.once('error', reject))).rejects.toThrow('400');
  });

  it('other paths than the one it is attached to, which it leaves to the HTTP server', async () => {
    const http = createServer((_request, response) => response.end('a page'));
    const others: string[] = [];
    http.on('upgrade', (request, socket) => {
      if (request.url !== '/signaling?x=1') {
        others.push(request.url ?? '');
        socket.end('HTTP/1.1 404 Not Found\r\n\r\n');
      }
    });
    const server = new WebSocketServer<ServerEvent>({
      core: new EchoServer(),
      subprotocol: SUBPROTOCOL,
      maxMessageBytes: 1000,
      onEvent: () => undefined,
    });
    server.attach(http, '/signaling');
    closers.push(
      () => http.close(),
      () => server.close(),
    );
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const origin = `ws://127.0.0.1:${boundAddress(http).port}`;
    await bare(`${origin}/signaling?x=1`).opened;
    await expect(bare(`${origin}/other`).opened).rejects.toThrow('404');
    expect(others).toEqual(['/other']);
  });

  it('plain HTTP with 426', async () => {
    const { port } = await serve();
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect([response.status, await response.text()]).toEqual([426, expect.stringContaining(SUBPROTOCOL)]);
  });

  it('a message over the limit with 1009, a binary one with 1003, and the core learns of both ends', async () => {
    const { inbox, url } = await serve();
    for (const [data, code] of [
      ['x'.repeat(1001), 1009],
      [new Uint8Array(10), 1003],
    ] as const) {
      const { socket, opened, closed } = bare(url);
      await opened;
      socket.send(data);
      expect(await closed).toBe(code);
      expect((await inbox.next()).type).toBe('open');
      expect((await inbox.next()).type).toBe('close');
    }
  });

  it('a connection that does not answer pings', async () => {
    const core = new EchoServer();
    const { inbox, url } = await serve({ heartbeatMs: 300 }, core);
    const lively = bare(url);
    await lively.opened;
    const silent = bare(url, { autoPong: false });
    await silent.opened;
    expect(await silent.closed).toBe(1006);
    expect([(await inbox.next()).type, (await inbox.next()).type]).toEqual(['open', 'open']);
    expect(await inbox.next()).toEqual({ type: 'close', connection: 2 });
    expect(lively.socket.readyState).toBe(WebSocket.OPEN);
    expect([...core.alive]).toEqual([1]);
  });

  it('nobody for a ping, which is a sign of life', async () => {
    const core = new EchoServer();
    const { inbox, url } = await serve({}, core);
    const { socket, opened } = bare(url);
    await opened;
    socket.ping();
    await new Promise((resolve) => socket.once('pong', resolve));
    expect(await inbox.next()).toEqual({ type: 'open', connection: 1 });
    expect([...core.alive]).toEqual([1]);
  });

  it.each([
    ['an option', 50_000],
    ['the default', MAX_BUFFERED_BYTES],
  ])('a connection that does not read, when more waits for it than %s', async (_name, maxBufferedBytes) => {
    const option = maxBufferedBytes === MAX_BUFFERED_BYTES ? {} : { maxBufferedBytes };
    const { inbox, url } = await serve(option, new EchoServer(1000));
    const { socket, opened } = bare(url);
    await opened;
    socket.pause();
    expect((await inbox.next()).type).toBe('open');
    // More than the buffers of the kernel hold: each of these comes back a thousand times.
    let event: ServerEvent | undefined;
    while (event?.type !== 'close') {
      if (socket.readyState === WebSocket.OPEN) socket.send('x'.repeat(1000));
      event = await inbox.next();
    }
    expect(event.connection).toBe(1);
  });

  it('a connection that asks for pongs and does not read them', async () => {
    const { inbox, url } = await serve();
    const { socket, opened } = bare(url);
    await opened;
    socket.pause();
    for (let i = 0; i < 1000; i++) socket.ping(new Uint8Array(125)); // `ws` lets 60 pongs wait (maxPendingAutoPongs)
    expect(await inbox.next()).toEqual({ type: 'open', connection: 1 });
    expect(await inbox.next()).toEqual({ type: 'close', connection: 1 });
  });

  it('keeps a bounded number of connections that are no WebSockets; the oldest makes room', async () => {
    const { port, url } = await serve();
    const upgraded = bare(url);
    await upgraded.opened;
    const dialled: Socket[] = [];
    const ended: Socket[] = [];
    for (let i = 0; i <= MAX_WEBSOCKET_STRANGERS; i++) {
      const socket = connect(port, '127.0.0.1');
      closers.push(() => socket.destroy());
      socket.resume().once('close', () => ended.push(socket));
      await new Promise((resolve) => socket.once('connect', resolve));
      dialled.push(socket);
    }
    await expect.poll(() => ended.length).toBe(1);
    expect(ended[0]).toBe(dialled[0]);
    await bare(url).opened; // at the cost of one more of them
    await expect.poll(() => ended.length).toBe(2);
    expect(upgraded.socket.readyState).toBe(WebSocket.OPEN);
  });

  it('bytes that are no WebSocket, without harm', async () => {
    const { port, url } = await serve();
    const socket = connect(port, '127.0.0.1');
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    socket.write('\0\xff garbage\r\n\r\n');
    await ended;
    await bare(url).opened;
  });
});
