import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FiveTuple, TransportAddress } from '../../src/core/index.ts';
import { UdpShell } from '../../src/io/index.ts';
import {
  makeRestCredentials,
  TurnClient,
  type TurnClientEvent,
  type TurnDataConnectionEvent,
} from '../../src/turn/index.ts';
import { Coturn, COTURN_USER as USER } from './coturn.ts';
import { Credentials, ENV, freePort } from './dtls-peers.ts';
import { openStream, runOnStream, type Transport, TurnLink } from './turn-links.ts';

const SECRET = 'shared by two servers';

/** Sends back what it gets. */
async function udpEcho(ip: string): Promise<{ socket: UdpSocket; address: TransportAddress }> {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
  socket.bind(0, ip);
  await once(socket, 'listening');
  return { socket, address: { ip, port: socket.address().port } };
}

describe('the TURN client against coturn', () => {
  const credentials = new Credentials();
  const echoes = new Map<string, { socket: UdpSocket; address: TransportAddress }>();
  let coturn: Coturn;

  beforeAll(async () => {
    coturn = await Coturn.start(credentials);
    for (const ip of ['127.0.0.1', '::1']) echoes.set(ip, await udpEcho(ip));
  });

  afterAll(async () => {
    await coturn.stop();
    for (const { socket } of echoes.values()) socket.close();
    credentials.remove();
  });

  const transports: Transport[] = ['udp', 'tcp', 'tls', 'dtls'];
  const cases = transports.flatMap((transport) =>
    ['127.0.0.1', '::1'].map((ip) => ({ transport, ip, family: ip.includes(':') ? (6 as const) : (4 as const) })),
  );

  it.each(cases)(
    '$transport over IPv$family: indications and channels echo every size',
    async ({ transport, ip, family }) => {
      const peer = echoes.get(ip)!.address;
      const turn = await TurnLink.open(transport, coturn.address(transport, ip), { ...USER, requestedFamily: family });
      turn.does((client, now) => client.allocate(now));
      await turn.saw('allocated');
      expect(turn.client.relayedAddresses[0]?.ip).toBe(ip);
      const sizes = [1, 2, 3, 4, 160, 1200];
      const payloads = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
      for (const bytes of payloads) turn.does((client, now) => client.send(peer, bytes, now));
      await turn.until('six echoes', () => turn.data.length >= 6);
      turn.does((client, now) => client.bindChannel(peer, now));
      await turn.saw('channel');
      for (const bytes of payloads) turn.does((client, now) => client.send(peer, bytes, now));
      await turn.until('twelve echoes', () => turn.data.length >= 12);
      const hex = payloads.map((bytes) => Buffer.from(bytes).toString('hex'));
      expect([...turn.data].sort()).toEqual([...hex, ...hex].sort());
      turn.does((client, now) => client.close(now));
      await turn.saw('closed');
      expect(turn.client.drops.total).toBe(0);
      turn.close();
    },
  );

  it('an IPv6 address beside the IPv4 one', async () => {
    const turn = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), { ...USER, additionalFamily: true });
    turn.does((client, now) => client.allocate(now));
    await turn.saw('allocated');
    expect(turn.client.relayedAddresses.map(({ ip }) => ip)).toEqual(['127.0.0.1', '::1']);
    for (const { address } of echoes.values()) turn.does((client, now) => client.send(address, Uint8Array.of(1), now));
    await turn.until('two echoes', () => turn.data.length >= 2);
    turn.close();
  });

  it('an even port, and its neighbour under a token', async () => {
    const even = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), { ...USER, evenPort: 'reserve-next' });
    even.does((client, now) => client.allocate(now));
    await even.saw('allocated');
    const event = even.events[0];
    if (event?.type !== 'allocated' || event.reservationToken === undefined) throw new Error('no token');
    const { port } = event.relayed[0]!;
    expect(port % 2).toBe(0);
    const next = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), {
      ...USER,
      reservationToken: event.reservationToken,
    });
    next.does((client, now) => client.allocate(now));
    await next.saw('allocated');
    expect(next.client.relayedAddresses[0]?.port).toBe(port + 1);
    for (const turn of [even, next]) turn.close();
  });

  it('a wrong password is reported as such', async () => {
    const wrong = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), { ...USER, password: 'guess' });
    wrong.does((client, now) => client.allocate(now));
    await wrong.saw('failed');
    expect(wrong.events).toMatchObject([{ type: 'failed', reason: 'wrong-credentials' }]);
    wrong.close();
  });

  it('a peer that coturn does not relay to is reported as refused', async () => {
    const turn = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), USER);
    turn.does((client, now) => client.allocate(now));
    await turn.saw('allocated');
    turn.does((client, now) => client.createPermission({ ip: '0.0.0.0', port: 1 }, now));
    await turn.saw('permission-failed');
    expect(turn.events.at(-1)).toMatchObject({ type: 'permission-failed', error: { code: 403 } });
    turn.close();
  });

  it.each(['tcp', 'tls'] as const)('relays a TCP stream over %s (RFC 6062)', async (transport) => {
    const peer: Server = createServer((socket) => {
      socket.on('error', () => socket.destroy()); // coturn resets it when we are done
      socket.pipe(socket);
    });
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const address = peer.address();
    if (address === null || typeof address === 'string') throw new Error('no address');
    const server = coturn.address(transport, '127.0.0.1');
    const turn = await TurnLink.open(transport, server, { ...USER, relayTransport: 'tcp' });
    turn.does((client, now) => client.allocate(now));
    await turn.saw('allocated');
    turn.does((client, now) => client.connect({ ip: '127.0.0.1', port: address.port }, now));
    await turn.saw('connection');
    const connection = turn.events.find((event) => event.type === 'connection');
    if (connection?.type !== 'connection') throw new Error('no connection');
    const socket = await openStream(transport, server);
    const received: Buffer[] = [];
    const content = Buffer.alloc(100_000, 'purertc ');
    await new Promise<void>((resolve, reject) => {
      const link = runOnStream<TurnDataConnectionEvent>(
        socket,
        transport,
        (path) => {
          const core = turn.client.createDataConnection(connection.connectionId, path, performance.now());
          for (let at = 0; at < content.length; at += 10_000) core.send(content.subarray(at, at + 10_000));
          return core;
        },
        (event) => {
          if (event.type === 'failed') reject(new Error(JSON.stringify(event)));
          if (event.type === 'data') received.push(Buffer.from(event.bytes));
          if (Buffer.concat(received).length >= content.length) {
            link.close();
            resolve();
          }
        },
        false,
      );
      link.driver.drain();
    });
    expect(Buffer.concat(received).equals(content)).toBe(true);
    turn.close();
    peer.close();
  });
});

describe('the TURN client against coturn, otherwise configured', () => {
  const credentials = new Credentials();
  afterAll(() => credentials.remove());

  it('ephemeral REST credentials', async () => {
    const coturn = await Coturn.start(credentials, ['--use-auth-secret', `--static-auth-secret=${SECRET}`]);
    try {
      const expiresAtS = Math.floor(Date.now() / 1000) + 60;
      const rest = makeRestCredentials(ENV.crypto, SECRET, 'ada', expiresAtS);
      const turn = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), rest);
      turn.does((client, now) => client.allocate(now));
      await turn.saw('allocated');
      turn.close();
    } finally {
      await coturn.stop();
    }
  });

  it('an allocation moves to another port and back, with its channel (RFC 8016)', async () => {
    const coturn = await Coturn.start(credentials, [`--user=${USER.username}:${USER.password}`, '--mobility']);
    const echo = await udpEcho('127.0.0.1');
    const seen: string[] = [];
    const remote = coturn.address('udp', '127.0.0.1');
    const pathFrom = (port: number): FiveTuple => ({ protocol: 'udp', local: { ip: '127.0.0.1', port }, remote });
    const [here, there] = [pathFrom(await freePort()), pathFrom(await freePort())];
    const core = new TurnClient({ env: ENV, path: here, ...USER, mobility: true });
    const shell = new UdpShell<TurnClientEvent>({
      core,
      onEvent: (event) => seen.push(event.type === 'data' ? `data ${event.bytes[0]}` : event.type),
    });
    try {
      for (const { local } of [here, there]) await shell.bind(local);
      const sawAfter = (what: string, command: (now: number) => void) => {
        shell.driver.mutate(command);
        return expect.poll(() => seen.at(-1), { timeout: 10_000 }).toBe(what);
      };
      await sawAfter('allocated', (now) => core.allocate(now));
      await sawAfter('permission', (now) => core.createPermission(echo.address, now));
      await sawAfter('channel', (now) => core.bindChannel(echo.address, now));
      for (const [i, path] of [there, here].entries()) {
        await sawAfter('moved', (now) => core.moveTo(path, now));
        await sawAfter(`data ${i}`, (now) => core.send(echo.address, Uint8Array.of(i), now));
      }
      await sawAfter('closed', (now) => core.close(now));
      expect(core.drops.total).toBe(0);
    } finally {
      shell.close();
      echo.socket.close();
      await coturn.stop();
    }
  });

  it('an allocation lives past three lifetimes, with nonces that expire meanwhile', async () => {
    const coturn = await Coturn.start(credentials, [
      ...[`--user=${USER.username}:${USER.password}`, '--max-allocate-lifetime=4', '--stale-nonce=5'],
      '--permission-lifetime=30',
    ]);
    const echo = await udpEcho('127.0.0.1');
    try {
      // Coturn shortens what is asked for, and grants its default of 600 s where nothing is.
      const options = { ...USER, lifetimeS: 3600 };
      const turn = await TurnLink.open('udp', coturn.address('udp', '127.0.0.1'), options);
      turn.does((client, now) => client.allocate(now));
      await turn.saw('allocated');
      expect(turn.events[0]).toMatchObject({ lifetimeS: 4 });
      // A refresh comes at half of so short a lifetime: seven of them are more than three lifetimes.
      for (let i = 1; i <= 7; i++) {
        await coturn.logged(new RegExp(`(?:REFRESH processed, success[^]*){${i}}`));
        turn.does((client, now) => client.send(echo.address, Uint8Array.of(i), now));
        await turn.until(`echo ${i}`, () => turn.data.length >= i);
      }
      expect(turn.client.state).toBe('allocated');
      turn.close();
    } finally {
      echo.socket.close();
      await coturn.stop();
    }
  });
});
