import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { Driver, type FiveTuple, type TransportAddress } from '../../src/core/index.ts';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import {
  DEFAULT_MAX_CONNECTIONS,
  DtlsSocket,
  type DtlsSocketOptions,
  type LogEntry,
  TurnServer,
  type TurnServerOptions,
} from '../../src/server/index.ts';
import {
  MAX_STRANGER_CONNECTIONS,
  MAX_STRANGER_MESSAGE_BYTES,
  MAX_UNSENT_BYTES,
} from '../../src/server/turn-connections.ts';
import { IDLE_CONNECTION_MS } from '../../src/server/turn-server.ts';
import { encodeStun, newTransactionId, STUN_METHODS } from '../../src/stun/index.ts';
import type { TurnDataConnectionEvent } from '../../src/turn/index.ts';
import { freeAddress, type RunningClient, useTurnClients } from './turn-clients.ts';

const { closers, udpClient, streamClient, echoPeer } = useTurnClients();

const log: LogEntry[] = [];
let onLog: (entry: LogEntry) => void = () => undefined;

/** Resolves with the next entry of that name. */
function logged(event: string): Promise<LogEntry> {
  return new Promise((resolve) => {
    onLog = (entry) => {
      if (entry.event === event) resolve(entry);
    };
  });
}

function serve(options: Partial<TurnServerOptions> = {}): TurnServer {
  log.length = 0;
  const server = new TurnServer({
    realm: 'example.org',
    users: { ada: 'lovelace' },
    relayAddresses: ['127.0.0.1'],
    peers: { allowLoopback: true },
    log: (entry) => {
      log.push(entry);
      onLog(entry);
    },
    ...options,
  });
  closers.push(() => server.close());
  return server;
}

/** A TCP peer that sends back what it gets, whoever dialled. */
async function tcpEcho(): Promise<{ port: number; dial(to: TransportAddress): void; hangUp(): void }> {
  const sockets: Socket[] = [];
  const echo = (socket: Socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  };
  const listener = createServer(echo);
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  closers.push(() => {
    hangUp();
    listener.close();
  });
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    dial: (to) => echo(connect(to.port, to.ip)),
    hangUp,
  };
}

/** On which nobody listens, nor has had a connection lately (its TIME-WAIT keeps the port). */
async function freeTcpAddress(): Promise<TransportAddress> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return { ip: '127.0.0.1', port: typeof address === 'object' && address !== null ? address.port : 0 };
}

async function relayOnce({ client, driver, events }: RunningClient): Promise<void> {
  const { address: peer } = await echoPeer();
  driver.mutate((now) => client.allocate(now));
  await events.next('allocated');
  driver.mutate((now) => client.send(peer, Uint8Array.of(1, 2, 3), now));
  expect((await events.next('data')).bytes).toEqual(Uint8Array.of(1, 2, 3));
  driver.mutate((now) => client.bindChannel(peer, now));
  await events.next('channel');
  driver.mutate((now) => client.send(peer, Uint8Array.of(4, 5, 6, 7, 8), now));
  expect((await events.next('data')).bytes).toEqual(Uint8Array.of(4, 5, 6, 7, 8));
}

describe('relays', () => {
  it('over UDP, and says so in log and metrics', async () => {
    const server = serve();
    const one = await udpClient(await server.listen({ port: 0 }));
    await relayOnce(one);
    expect(server.stats.traffic).toMatchObject({ toPeerPackets: 2, toPeerBytes: 8, toClientPackets: 2 });
    expect(await server.metrics()).toContain('turn_allocations{transport="udp"} 1\n');
    expect(await server.metrics()).toContain('turn_relayed_bytes_total{direction="to_peer"} 8\n');
    expect(await server.metrics()).toContain('turn_errors_total{code="401"} 1\n');
    one.driver.mutate((now) => one.client.close(now));
    await one.events.next('closed');
    expect(log.map(({ event }) => event)).toEqual(['listening', 'allocated', 'released']);
    expect(JSON.stringify(log)).not.toContain('lovelace');
  });

  it('over TCP; the allocation ends with the connection', async () => {
    const server = serve();
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const socket = connect(remote.port, remote.ip);
    await new Promise((resolve) => socket.once('connect', resolve));
    await relayOnce(streamClient(socket, remote, 'tcp'));
    expect(server.stats.allocationsByTransport.tcp).toBe(1);
    const released = logged('released');
    socket.destroy();
    await released;
    expect(log.at(-1)).toMatchObject({ event: 'released', reason: 'disconnected' });
  });

  it('over TLS on the TCP port, with a certificate that can be replaced', async () => {
    const pems = ['first', 'second'].map((commonName) =>
      certificateToPem(generateCertificate(platform.env, { commonName })),
    );
    const server = serve({ certificate: { cert: pems[0]!, key: pems[0]! } });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const dial = async () => {
      const socket = connectTls({ port: remote.port, host: remote.ip, rejectUnauthorized: false });
      closers.push(() => socket.destroy());
      await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
      return socket;
    };
    const socket = await dial();
    expect(socket.getPeerCertificate().subject.CN).toBe('first');
    await relayOnce(streamClient(socket, remote, 'tls'));
    server.setCertificate({ cert: pems[1]!, key: pems[1]! });
    expect((await dial()).getPeerCertificate().subject.CN).toBe('second');
    expect(() => server.setCertificate({ cert: 'nonsense', key: pems[0]! })).toThrow();
    expect((await dial()).getPeerCertificate().subject.CN).toBe('second');
  });

  it('over DTLS drops what is longer than the client takes in a record, and goes on', async () => {
    const pem = certificateToPem(generateCertificate(platform.env));
    const server = serve({ certificate: { cert: pem, key: pem } });
    const { port } = await server.listen({ port: 0 });
    const heard: Uint8Array[] = [];
    const dial = async (more: Partial<DtlsSocketOptions>): Promise<DtlsSocket> => {
      const insecure = { verifyPeer: () => undefined };
      const onMessage = (bytes: Uint8Array) => void heard.push(bytes);
      const socket = await DtlsSocket.connect({ host: '127.0.0.1', port, ...insecure, onMessage, ...more });
      closers.push(() => socket.close());
      return socket;
    };
    const challengeMe = encodeStun({
      messageClass: 'request',
      method: STUN_METHODS.Allocate,
      transactionId: newTransactionId(platform.env),
    });
    (await dial({ recordSizeLimitBytes: 64 })).send(challengeMe); // the 401 has more
    await expect.poll(() => server.shellStats.sendErrorsTotal).toBe(1);
    (await dial({})).send(challengeMe);
    await expect.poll(() => heard.length).toBe(1);
  });

  it('over DTLS forgets a client whose hello it refuses', async () => {
    const pem = certificateToPem(generateCertificate(platform.env));
    const server = serve({ certificate: { cert: pem, key: pem } });
    const { port } = await server.listen({ port: 0 });
    const psk = { identity: 'ada', key: new Uint8Array(16) }; // the server has certificates only
    await expect(DtlsSocket.connect({ host: '127.0.0.1', port, psk })).rejects.toThrow('handshake_failure');
    expect(server.shellStats.connections).toBe(0);
  });

  it('over TLS gives each of a few messages a record of its own, as coturn has it', async () => {
    const pem = certificateToPem(generateCertificate(platform.env));
    const server = serve({ certificate: { cert: pem, key: pem } });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    // Between the two, somebody who counts the records of application data (RFC 8446 §5.1) on their way to the client.
    let records = 0;
    const between = createServer((socket) => {
      const onward = connect(remote.port, remote.ip);
      closers.push(() => onward.destroy());
      socket.pipe(onward);
      let held: Uint8Array = new Uint8Array(0);
      onward.on('data', (chunk: Uint8Array) => {
        socket.write(chunk);
        held = Uint8Array.of(...held, ...chunk);
        for (;;) {
          const end = 5 + ((held[3]! << 8) | held[4]!);
          if (held.length < 5 || held.length < end) break;
          if (held[0] === 23) records++;
          held = held.subarray(end);
        }
      });
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    closers.push(() => between.close());
    const address = between.address();
    if (typeof address !== 'object' || address === null) throw new Error('no port');
    const socket = connectTls({ port: address.port, host: '127.0.0.1', rejectUnauthorized: false });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    const { client, driver, events } = streamClient(socket, remote, 'tls');
    driver.mutate((now) => client.allocate(now));
    const { relayed } = await events.next('allocated');
    driver.mutate((now) => client.createPermission({ ip: '127.0.0.1', port: 0 }, now));
    await events.next('permission');
    const { address: peer } = await echoPeer();
    const before = records;
    for (let i = 0; i < 5; i++) driver.mutate((now) => client.send(peer, Uint8Array.of(i), now));
    for (let i = 0; i < 5; i++) await events.next('data');
    expect(relayed).toHaveLength(1);
    expect(records - before).toBe(5);
  });

  it.each(['dialled', 'accepted'] as const)('over TCP to a peer, %s (RFC 6062)', async (side) => {
    const server = serve();
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const socket = connect(remote.port, remote.ip);
    await new Promise((resolve) => socket.once('connect', resolve));
    const { client, driver, events } = streamClient(socket, remote, 'tcp', { relayTransport: 'tcp' });
    driver.mutate((now) => client.allocate(now));
    const { relayed } = await events.next('allocated');
    const peer = await tcpEcho();
    if (side === 'dialled') {
      driver.mutate((now) => client.connect({ ip: '127.0.0.1', port: peer.port }, now));
    } else {
      driver.mutate((now) => client.createPermission({ ip: '127.0.0.1', port: 0 }, now));
      await events.next('permission');
      peer.dial(relayed[0]!);
    }
    const { connectionId, incoming } = await events.next('connection');
    expect(incoming).toBe(side === 'accepted');

    const second = connect(remote.port, remote.ip);
    closers.push(() => second.destroy());
    await new Promise((resolve) => second.once('connect', resolve));
    const path: FiveTuple = { protocol: 'tcp', local: { ip: '127.0.0.1', port: second.localPort ?? 0 }, remote };
    const data = driver.mutate((now) => client.createDataConnection(connectionId, path, now));
    const received: number[] = [];
    let enough: () => void = () => undefined;
    const echoed = new Promise<void>((resolve) => {
      enough = resolve;
    });
    const dataDriver: Driver<TurnDataConnectionEvent, FiveTuple> = new Driver<TurnDataConnectionEvent, FiveTuple>(
      data,
      {
        now: () => platform.now(),
        send: (slot) =>
          void second.write(Uint8Array.from(slot.buffer.subarray(slot.offset, slot.offset + slot.length))),
        wakeAt: () => undefined,
      },
      (event) => {
        if (event.type === 'data') received.push(...event.bytes);
        if (received.length === 5) enough();
      },
    );
    second.on('data', (chunk) => dataDriver.input(Uint8Array.from(chunk), path));
    dataDriver.mutate(() => data.send(Uint8Array.of(1, 2, 3, 4, 5)));
    await echoed;
    expect(received).toEqual([1, 2, 3, 4, 5]);
    expect(await server.metrics()).toContain('turn_peer_connections 1\n');
    expect(server.stats.traffic).toMatchObject({ toPeerBytes: 5, toClientBytes: 5, toPeerPackets: 0 });
    // One ends with the other.
    const closed = new Promise((resolve) => second.once('close', resolve));
    peer.hangUp();
    await closed;
    expect(server.stats.peerConnections).toBe(0);
  });

  it('over TCP to a peer, all bytes and no faster than the limit allows', async () => {
    const rate = { perSecond: 1_000_000, burst: 1000 };
    const server = serve({ sessionRate: rate });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const socket = connect(remote.port, remote.ip);
    await new Promise((resolve) => socket.once('connect', resolve));
    const { client, driver, events } = streamClient(socket, remote, 'tcp', { relayTransport: 'tcp' });
    driver.mutate((now) => client.allocate(now));
    await events.next('allocated');
    const peer = await tcpEcho();
    driver.mutate((now) => client.connect({ ip: '127.0.0.1', port: peer.port }, now));
    const { connectionId } = await events.next('connection');
    const second = connect(remote.port, remote.ip);
    closers.push(() => second.destroy());
    await new Promise((resolve) => second.once('connect', resolve));
    const path: FiveTuple = { protocol: 'tcp', local: { ip: '127.0.0.1', port: second.localPort ?? 0 }, remote };
    const data = driver.mutate((now) => client.createDataConnection(connectionId, path, now));
    const bytes = 300_000;
    let received = 0;
    const startedAt = platform.now();
    await new Promise<void>((resolve) => {
      const dataDriver: Driver<TurnDataConnectionEvent, FiveTuple> = new Driver<TurnDataConnectionEvent, FiveTuple>(
        data,
        {
          now: () => platform.now(),
          send: (slot) => void second.write(slot.buffer.slice(slot.offset, slot.offset + slot.length)),
          wakeAt: () => undefined,
        },
        (event) => {
          if (event.type === 'bound') second.write(new Uint8Array(bytes));
          if (event.type === 'data') received += event.bytes.length;
          if (received === bytes) resolve();
        },
      );
      second.on('data', (chunk) => dataDriver.input(Uint8Array.from(chunk), path));
      dataDriver.drain();
    });
    // What the last read of 64 KiB brought is not waited for, on each of the two ways.
    expect(platform.now() - startedAt).toBeGreaterThan(((bytes - rate.burst - 65_536) / rate.perSecond) * 1000 - 5);
    expect(server.stats.traffic).toMatchObject({ toPeerBytes: bytes, toClientBytes: bytes });
  });

  it('refuses TLS without a certificate, and what is neither TLS nor STUN', async () => {
    const server = serve();
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    for (const first of [Uint8Array.of(22, 3, 1, 0), Uint8Array.of(255, 255), Uint8Array.of(0, 1, 0, 3)]) {
      const socket = connect(remote.port, remote.ip, () => socket.write(first));
      socket.on('error', () => undefined); // a reset is as good as an end
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect(server.stats.allocations).toBe(0);
  });
});

describe('bounds', () => {
  it('refuses more connections than maxConnections', async () => {
    expect(DEFAULT_MAX_CONNECTIONS).toBe(20_000); // too many for a test; the same code with a smaller number:
    const server = serve({ maxConnections: 1 });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const ask = () => {
      const socket = connect(remote.port, remote.ip);
      closers.push(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.write(
        encodeStun({
          messageClass: 'request',
          method: STUN_METHODS.Binding,
          transactionId: newTransactionId(platform.env),
        }),
      );
      return new Promise<'answered' | 'closed'>((resolve) => {
        socket.once('data', () => resolve('answered'));
        socket.once('close', () => resolve('closed'));
      });
    };
    expect(await ask()).toBe('answered');
    expect(await ask()).toBe('closed');
    expect(await server.metrics()).toContain('turn_connections 1\n');
  });

  it('refuses more connections of one source than it may have, whatever they are', async () => {
    const pem = certificateToPem(generateCertificate(platform.env));
    const server = serve({ maxConnectionsPerSource: 3, certificate: { cert: pem, key: pem } });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const { port } = await server.listen({ port: 0 });
    const dial = async (localAddress: string) => {
      const socket = connect({ port: remote.port, host: remote.ip, localAddress });
      closers.push(() => socket.destroy());
      await new Promise((resolve) => socket.once('connect', resolve));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      return { socket: socket.resume(), closed };
    };
    const [silent] = [await dial('127.0.0.1'), await dial('127.0.0.1')]; // one that says nothing has its place too
    const insecure = { verifyPeer: () => undefined, onMessage: () => undefined };
    const dtls = await DtlsSocket.connect({ host: '127.0.0.1', port, ...insecure });
    await (await dial('127.0.0.1')).closed;
    await expect(DtlsSocket.connect({ host: '127.0.0.1', port, ...insecure, timeoutMs: 300 })).rejects.toThrow();
    const other = await dial('127.0.0.2');
    await relayOnce(streamClient(other.socket, remote, 'tcp'));
    const refused = server.drops.toJSON().limit ?? 0;
    expect(refused).toBeGreaterThanOrEqual(2); // the hello of DTLS comes several times
    const metrics = await server.metrics();
    expect(metrics).toContain(`turn_refused_connections_total{bound="source"} ${refused}\n`);
    expect(metrics).toContain('turn_refused_connections_total{bound="all"} 0\n');
    // Each that ends makes room for one.
    silent?.socket.destroy();
    dtls.close();
    for (let i = 0; i < 2; i++) {
      const served = async () => {
        const { socket } = await dial('127.0.0.1');
        socket.write(
          encodeStun({
            messageClass: 'request',
            method: STUN_METHODS.Binding,
            transactionId: newTransactionId(platform.env),
          }),
        );
        return new Promise<boolean>((resolve) =>
          socket.once('data', () => resolve(true)).once('close', () => resolve(false)),
        );
      };
      await expect.poll(served).toBe(true);
    }
  });

  it('closes a connection without an allocation after a while, and keeps no timer of one that is over', async () => {
    const idle = new Set<() => void>();
    const setTimer = (at: number, fire: () => void) => {
      if (Math.abs(at - platform.now() - IDLE_CONNECTION_MS) > 1000) return platform.setTimer(at, fire);
      idle.add(fire);
      return () => idle.delete(fire);
    };
    const server = serve({ platform: { ...platform, setTimer } });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const dial = async () => {
      const socket = connect(remote.port, remote.ip);
      await new Promise((resolve) => socket.once('connect', resolve));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      return { socket, closed, ...streamClient(socket, remote, 'tcp') };
    };
    const [busy, silent, gone] = [await dial(), await dial(), await dial()];
    busy.driver.mutate((now) => busy.client.allocate(now));
    await busy.events.next('allocated');
    for (const { socket } of [silent, gone]) socket.write(Uint8Array.of(0));
    await expect.poll(() => idle.size).toBe(3);
    gone.socket.destroy();
    await expect.poll(() => idle.size).toBe(2);
    for (const fire of [...idle]) {
      idle.delete(fire);
      fire();
    }
    await silent.closed;
    await expect.poll(() => server.shellStats.connections).toBe(1);
    expect(idle.size).toBe(1); // it is watched on
    server.close();
    await busy.closed;
    await expect.poll(() => idle.size).toBe(0);
  });

  it.each(['silent', 'half-way through TLS'] as const)(
    'keeps a bounded number of connections that are %s; the oldest makes room',
    async (how) => {
      const pem = certificateToPem(generateCertificate(platform.env));
      const server = serve({ certificate: { cert: pem, key: pem } });
      const remote = await server.listen({ port: 0, transport: 'tcp' });
      const strangers: Socket[] = [];
      const dial = async (): Promise<Socket> => {
        const socket = connect(remote.port, remote.ip);
        closers.push(() => socket.destroy());
        await new Promise((resolve) => socket.once('connect', resolve));
        return socket;
      };
      const client = await dial();
      const served = relayOnce(streamClient(client, remote, 'tcp'));
      await served;
      for (let i = 0; i < MAX_STRANGER_CONNECTIONS; i++) {
        const socket = await dial();
        if (how !== 'silent') socket.write(Uint8Array.of(22, 3, 1)); // a record that does not go on
        strangers.push(socket);
      }
      const closed = new Promise((resolve) => strangers[0]!.once('close', resolve));
      strangers[0]!.resume();
      await dial();
      await closed;
      expect(strangers.filter(({ destroyed }) => destroyed)).toHaveLength(1);
      expect(client.destroyed).toBe(false); // who has said something is no stranger
    },
  );

  it('keeps the beginning of a long message for a client with an allocation only', async () => {
    const server = serve();
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const peer = await echoPeer();
    const dial = async () => {
      const socket = connect(remote.port, remote.ip);
      await new Promise((resolve) => socket.once('connect', resolve));
      return { socket, ...streamClient(socket, remote, 'tcp') };
    };
    const [known, stranger] = [await dial(), await dial()];
    known.driver.mutate((now) => known.client.allocate(now));
    await known.events.next('allocated');
    known.driver.mutate((now) => known.client.bindChannel(peer.address, now));
    const { channel } = await known.events.next('channel');
    const length = 50_000;
    const message = new Uint8Array(4 + length).fill(7);
    message.set([channel >>> 8, channel, length >>> 8, length & 0xff]);
    const closed = new Promise((resolve) => stranger.socket.once('close', resolve));
    for (const { socket } of [known, stranger]) {
      socket.write(message.subarray(0, MAX_STRANGER_MESSAGE_BYTES)); // no more than that is kept
      await new Promise((resolve) => socket.write(message.subarray(MAX_STRANGER_MESSAGE_BYTES, -1), resolve));
    }
    await closed;
    expect(server.drops.toJSON()).toEqual({ limit: 1 });
    known.socket.write(message.subarray(-1));
    expect((await known.events.next('data')).bytes).toEqual(message.subarray(4));
  });

  it('drops data for a client that does not read', async () => {
    const server = serve();
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const socket = connect(remote.port, remote.ip);
    await new Promise((resolve) => socket.once('connect', resolve));
    const { client, driver, events } = streamClient(socket, remote, 'tcp');
    driver.mutate((now) => client.allocate(now));
    const { relayed } = await events.next('allocated');
    driver.mutate((now) => client.createPermission({ ip: '127.0.0.1', port: 0 }, now));
    await events.next('permission');
    socket.pause();
    const handlers = { onDatagram: () => undefined, onError: () => undefined };
    const peer = await platform.bindUdp({ ip: '127.0.0.1', port: 0 }, handlers);
    closers.push(() => peer.close());
    const datagram = new Uint8Array(60_000);
    const dropped = async () => Number(/turn_send_errors_total (\d+)/.exec(await server.metrics())?.[1]);
    // The system's own buffers, then MAX_UNSENT_BYTES of ours, then drops.
    expect(MAX_UNSENT_BYTES).toBe(1024 * 1024);
    for (let i = 0; i < 2000 && (await dropped()) === 0; i++) {
      peer.send(datagram, 0, datagram.length, relayed[0]!);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await dropped()).toBeGreaterThan(0);
  });
});

describe('ends', () => {
  it('drains: waits for the last allocation, then resolves', async () => {
    const server = serve();
    const remote = await server.listen({ port: 0 });
    const one = await udpClient(remote);
    one.driver.mutate((now) => one.client.allocate(now));
    await one.events.next('allocated');
    let drained = false;
    const draining = server.drain().then(() => {
      drained = true;
    });
    const two = await udpClient(remote);
    two.driver.mutate((now) => two.client.allocate(now));
    await expect(two.events.next('allocated')).rejects.toThrow('508');
    expect(drained).toBe(false);
    one.driver.mutate((now) => one.client.close(now));
    await one.events.next('closed');
    await draining;
    expect(log.at(-1)).toEqual({ level: 'info', event: 'drained' });
    await server.drain(); // nothing to wait for
  });

  it('closes its sockets: the port is free again', async () => {
    const server = serve();
    const { port } = await server.listen({ port: 0 });
    await expect(serve().listen({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    server.close();
    server.close();
    await expect(serve().listen({ port })).resolves.toMatchObject({ port });
    await expect(server.listen({ port: 0 })).rejects.toThrow('closed');
  });

  it.each(['udp', 'tcp'] as const)('closes a %s relay too that is just being opened', async (relayTransport) => {
    const { port } = relayTransport === 'tcp' ? await freeTcpAddress() : await freeAddress();
    const findUser = (username: string) => {
      process.nextTick(() => server.close()); // before the system has answered
      return { username, password: 'lovelace' };
    };
    const server: TurnServer = new TurnServer({
      realm: 'example.org',
      findUser,
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
      minPort: port,
      maxPort: port,
    });
    const remote = await server.listen({ port: 0, transport: 'tcp' });
    const socket = connect(remote.port, remote.ip);
    await new Promise((resolve) => socket.once('connect', resolve));
    const { client, driver } = streamClient(socket, remote, 'tcp', { relayTransport });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    driver.mutate((now) => client.allocate(now));
    await closed;
    const again = relayTransport === 'tcp' ? ({ port, transport: 'tcp' } as const) : { port };
    await expect(serve().listen(again)).resolves.toMatchObject({ port });
  });
});
