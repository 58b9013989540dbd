import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { encodePem, generateCertificate } from '../../src/crypto/index.ts';
import { boundAddress, nodeEnv } from '../../src/io/index.ts';
import {
  formatLogLine,
  type LogEntry,
  SignalingConnection,
  type SignalingConnectionEvent,
  SignalingServer,
  type SignalingServerOptions,
} from '../../src/server/index.ts';
import { SUBPROTOCOL } from '../../src/signaling/index.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(options: SignalingServerOptions = {}) {
  const log: LogEntry[] = [];
  const server = new SignalingServer({ log: (entry) => log.push(entry), ...options });
  closers.push(() => server.close());
  const { port } = await server.listen({ port: 0 });
  return { server, log, port, url: `ws://127.0.0.1:${port}` };
}

function client(url: string, options: { maxAttempts?: number; backoffMs?: number; ca?: string } = {}) {
  const events: SignalingConnectionEvent[] = [];
  const waiting: (() => void)[] = [];
  const connection = new SignalingConnection({
    url,
    ...options,
    onEvent: (event) => {
      events.push(event);
      for (const wake of waiting.splice(0)) wake();
    },
  });
  closers.push(() => connection.close());
  const until = async <T extends SignalingConnectionEvent['type']>(
    type: T,
    matches: (event: Extract<SignalingConnectionEvent, { type: T }>) => boolean = () => true,
  ): Promise<Extract<SignalingConnectionEvent, { type: T }>> => {
    for (;;) {
      for (const event of events) if (isOf(event, type) && matches(event)) return event;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  return { connection, events, until };
}

function isOf<T extends SignalingConnectionEvent['type']>(
  event: SignalingConnectionEvent,
  type: T,
): event is Extract<SignalingConnectionEvent, { type: T }> {
  return event.type === type;
}

/** A connection from one of this machine's addresses. @returns what answered it. */
async function knock(port: number, localAddress: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, localAddress });
  closers.push(() => socket.destroy());
  socket.on('error', () => undefined);
  socket.write(
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
  );
  socket.write(`Sec-WebSocket-Key: ${'A'.repeat(22)}==\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`);
  return new Promise((resolve) => {
    socket.once('data', (chunk) => resolve(String(chunk).slice(9, 12)));
    socket.once('close', () => resolve('closed'));
  });
}

describe('bounds', () => {
  it('refuses more connections of one source than it may have, also those that say nothing', async () => {
    const { server, port } = await start({ maxConnectionsPerSource: 2 });
    const silent = connect({ host: '127.0.0.1', port });
    await new Promise((resolve) => silent.once('connect', resolve));
    expect([await knock(port, '127.0.0.1'), await knock(port, '127.0.0.1')]).toEqual(['101', 'closed']);
    expect(await knock(port, '127.0.0.2')).toBe('101');
    expect(server.drops.toJSON()).toEqual({ limit: 1 });
    silent.destroy();
    await expect.poll(() => knock(port, '127.0.0.1')).toBe('101');
  });

  it('counts IPv4 clients each for itself also on a socket for both families', async () => {
    const server = new SignalingServer({ maxConnectionsPerSource: 1 });
    closers.push(() => server.close());
    const { port } = await server.listen({ host: '::', port: 0 });
    const answers = [await knock(port, '127.0.0.1'), await knock(port, '127.0.0.2'), await knock(port, '127.0.0.1')];
    expect(answers).toEqual(['101', '101', 'closed']);
  });

  it('the same on the server of somebody else, which is told why', async () => {
    const server = new SignalingServer({ maxConnectionsPerSource: 1 });
    const http = createServer();
    closers.push(
      () => http.close(),
      () => server.close(),
    );
    server.attach(http, '/');
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const { port } = boundAddress(http);
    expect([await knock(port, '127.0.0.1'), await knock(port, '127.0.0.1')]).toEqual(['101', '429']);
    expect(await knock(port, '127.0.0.2')).toBe('101');
    expect(server.drops.toJSON()).toEqual({ limit: 1 });
  });
});

describe('SignalingServer and SignalingConnection', () => {
  it('two programs find each other and exchange a description and candidates', async () => {
    const { server, url } = await start();
    const [ada, bob] = [client(url), client(url)];
    ada.connection.join('garden', 'Ada');
    await ada.until('welcome');
    bob.connection.join('garden', 'Bob');
    const { peers } = await bob.until('welcome');
    expect(peers).toEqual([{ id: ada.connection.id, name: 'Ada' }]);
    const to = ada.connection.id!;
    bob.connection.sendDescription(to, { type: 'offer', sdp: 'v=0\r\n' });
    bob.connection.sendCandidate(to, { candidate: 'candidate:1', sdpMid: '0' });
    bob.connection.sendCandidate(to, null);
    await ada.until('candidate', (event) => event.candidate === null);
    expect(ada.events.slice(-4)).toEqual([
      { type: 'peer-joined', peer: { id: bob.connection.id, name: 'Bob' } },
      { type: 'description', from: bob.connection.id, description: { type: 'offer', sdp: 'v=0\r\n' } },
      { type: 'candidate', from: bob.connection.id, candidate: { candidate: 'candidate:1', sdpMid: '0' } },
      { type: 'candidate', from: bob.connection.id, candidate: null },
    ]);
    expect(server.rooms()).toEqual([{ name: 'garden', peers: [peers[0], { id: bob.connection.id, name: 'Bob' }] }]);
    bob.connection.close();
    expect(await ada.until('peer-left')).toMatchObject({ reason: 'left' });
    expect(server.drops.total).toBe(0);
  });

  it('closing from within an event still says leave', async () => {
    let left: (entry: LogEntry) => void = () => undefined;
    const departure = new Promise<LogEntry>((resolve) => {
      left = resolve;
    });
    const { url } = await start({ log: (entry) => entry.event === 'left' && left(entry) });
    const ada = new SignalingConnection({ url, onEvent: (event) => event.type === 'welcome' && ada.close() });
    ada.join('garden', 'Ada');
    expect(await departure).toMatchObject({ reason: 'left' });
  });

  it('a client comes back after the server was restarted, under a new id', async () => {
    const first = await start();
    const ada = client(first.url, { backoffMs: 20 });
    ada.connection.join('garden', 'Ada');
    const { id } = await ada.until('welcome');
    await first.server.close();
    await ada.until('state', (event) => event.state === 'waiting');
    const second = new SignalingServer();
    closers.push(() => second.close());
    await second.listen({ port: first.port });
    expect(await ada.until('welcome', (event) => event.id !== id)).toMatchObject({ room: 'garden' });
  });

  it('over TLS, with a certificate that the client was told to trust', async () => {
    const certificate = generateCertificate(nodeEnv(), { commonName: 'localhost', subjectAltNames: ['localhost'] });
    const cert = encodePem('CERTIFICATE', certificate.der);
    const key = encodePem('PRIVATE KEY', certificate.key.exportPkcs8());
    const server = new SignalingServer();
    closers.push(() => server.close());
    const { port } = await server.listen({ port: 0, tls: { cert, key } });
    const trusting = client(`wss://localhost:${port}`, { ca: cert, maxAttempts: 1 });
    trusting.connection.join('garden', 'Ada');
    await trusting.until('state', ({ state }) => state === 'joined' || state === 'closed');
    const reasons = trusting.events.flatMap((event) => (event.type === 'state' ? [event.reason] : []));
    expect(reasons).toEqual(['join', 'open', 'welcome']);
    const wary = client(`wss://localhost:${port}`, { maxAttempts: 1 });
    wary.connection.join('garden', 'Bob');
    const { reason } = await wary.until('state', (event) => event.state === 'closed');
    expect(reason).toMatch(/self.signed certificate/);
  });

  it('a client that gives up says why', async () => {
    const ada = client('ws://127.0.0.1:9', { maxAttempts: 2, backoffMs: 1 });
    const keepAlive = setInterval(() => undefined, 1000); // timers of the platform do not hold the process
    ada.connection.join('garden', 'Ada');
    const { reason } = await ada.until('state', (event) => event.state === 'closed');
    clearInterval(keepAlive);
    expect(reason).toMatch(/ECONNREFUSED.*; gave up after 2 attempts$/);
  });

  it('logs who comes and goes, and hang-ups as warnings', async () => {
    const { log, port, url } = await start({ limits: { messageBurst: 2, messagesPerSecond: 1 } });
    const ada = client(url, { backoffMs: 60_000 });
    ada.connection.join('garden', 'Ada "the first"\u202e');
    await ada.until('welcome');
    for (let i = 0; i < 3; i++) ada.connection.sendCandidate('0'.repeat(16), null);
    expect(await ada.until('error', (event) => event.code === 'rate-limited')).toBeDefined();
    await ada.until('state', (event) => event.state === 'waiting');
    expect(log.map(({ level, event }) => `${level} ${event}`)).toEqual([
      'info listening',
      'info joined',
      'info left',
      'warn hang-up',
    ]);
    expect(formatLogLine(log[0]!)).toBe(`listening service=signaling ip=127.0.0.1 port=${port} tls=false`);
    expect(formatLogLine(log[1]!)).toMatch(
      /^joined connection=1 room=garden peer=[0-9a-f]{16} name="Ada \\"the first\\"\\u\{202e\}" peers=1$/,
    );
    expect(formatLogLine(log[3]!)).toBe('warning: hang-up connection=1 reason=rate-limited');
  });
});
