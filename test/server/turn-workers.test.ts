import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ByteWriter, type TransportAddress } from '../../src/core/index.ts';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import {
  type LogEntry,
  MAX_TURN_WORKERS,
  TurnServer,
  TurnWorkers,
  type TurnWorkersOptions,
} from '../../src/server/index.ts';
import {
  decodeStun,
  encodeStun,
  LongTermClient,
  newTransactionId,
  STUN_METHODS,
  type StunAttribute,
  type StunMessage,
  StunWriter,
} from '../../src/stun/index.ts';
import type { TurnClientOptions } from '../../src/turn/index.ts';
import { writeTrunkHeader } from '../../src/turn/server/fleet.ts';
import { Resident } from './resident-worker.ts';
import { freeAddress, type RunningClient, useTurnClients } from './turn-clients.ts';

/*
 * The workers here live in this very process, on the same sockets and with messages that are copied as they would be on the
 * way to another one; test/interop runs them as processes.
 */

const { closers, udpClient, streamClient, echoPeer } = useTurnClients();

const log: LogEntry[] = [];
let onLog: () => void = () => undefined;

async function logged(event: string, count = 1): Promise<LogEntry[]> {
  for (;;) {
    const found = log.filter((entry) => entry.event === event);
    if (found.length >= count) return found;
    await new Promise<void>((resolve) => {
      onLog = resolve;
    });
  }
}

let residents: Resident[] = [];

async function serve(options: Partial<TurnWorkersOptions> = {}): Promise<TurnWorkers> {
  log.length = 0;
  residents = [];
  const server = await TurnWorkers.start(
    {
      workers: 2,
      realm: 'example.org',
      users: { ada: 'lovelace', bob: 'builder' },
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
      log: (entry) => {
        log.push(entry);
        onLog();
      },
      ...options,
    },
    {
      spawn: (member) => {
        const resident = new Resident();
        residents[member] = resident;
        return resident;
      },
    },
  );
  closers.push(() => server.close());
  return server;
}

async function tcpClient(remote: TransportAddress, options: Partial<TurnClientOptions> = {}): Promise<RunningClient> {
  const socket = connect(remote.port, remote.ip);
  await new Promise((resolve) => socket.once('connect', resolve));
  return streamClient(socket, remote, 'tcp', options);
}

async function allocate({ client, driver, events }: RunningClient): Promise<TransportAddress> {
  driver.mutate((now) => client.allocate(now));
  return (await events.next('allocated')).relayed[0]!;
}

async function release({ client, driver, events }: RunningClient): Promise<void> {
  driver.mutate((now) => client.close(now));
  await events.next('closed');
}

async function echo(
  { client, driver, events }: RunningClient,
  peer: TransportAddress,
  ...data: number[]
): Promise<void> {
  driver.mutate((now) => client.send(peer, Uint8Array.from(data), now));
  expect([...(await events.next('data')).bytes]).toEqual(data);
}

const workersOf = (entries: LogEntry[]) => entries.map(({ worker }) => worker);

describe('workers', () => {
  it('share UDP clients; their data does not pass the process that listens', async () => {
    const server = await serve();
    const remote = await server.listen({ port: 0 });
    const { address: peer } = await echoPeer();
    const clients = [await udpClient(remote), await udpClient(remote), await udpClient(remote)];
    for (const one of clients) await allocate(one);
    expect(workersOf(await logged('allocated', 3))).toEqual([1, 2, 1]);
    const before = residents.map(({ sent }) => sent.length);
    for (const one of clients) {
      await echo(one, peer, 1, 2, 3);
      one.driver.mutate((now) => one.client.bindChannel(peer, now));
      await one.events.next('channel');
      await echo(one, peer, 4, 5);
    }
    expect(residents.map(({ sent }) => sent.length)).toEqual(before);
    const text = await server.metrics();
    expect(text).toContain('turn_allocations{transport="udp"} 3\n');
    expect(text).toContain('turn_relayed_packets_total{direction="to_peer"} 6\n');
    expect(text).toContain('turn_requests_total{method="ChannelBind"} 3\n');
    // An address is served by the listener again when its allocation has gone.
    for (const one of clients) await release(one);
    await logged('released', 3);
    expect((await server.stats()).core).toMatchObject({ allocations: 0, allocationsTotal: 3 });
    expect(JSON.stringify(log)).not.toContain('lovelace');
  });

  it('answer every client while others are handed over', async () => {
    const server = await serve({ unauthenticatedRate: { perSecond: 1e6, burst: 1e6 } });
    const remote = await server.listen({ port: 0 });
    const asked = 400;
    let answered = 0;
    let all: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      all = resolve;
    });
    const stranger = await platform.bindUdp(
      { ip: '127.0.0.1', port: 0 },
      {
        onDatagram: () => {
          if (++answered === asked) all();
        },
        onError: () => undefined,
      },
    );
    closers.push(() => stranger.close());
    const clients = await Promise.all(Array.from({ length: 20 }, () => udpClient(remote)));
    const allocated = clients.map((one) => allocate(one));
    for (let i = 0; i < asked; i++) {
      const { Binding: method } = STUN_METHODS;
      const request = encodeStun({ messageClass: 'request', method, transactionId: newTransactionId(platform.env) });
      stranger.send(request, 0, request.length, remote);
      if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([done, ...allocated]);
    expect(new Set(workersOf(await logged('allocated', 20)))).toEqual(new Set([1, 2]));
  });

  it('give back what comes to the socket of a client from somebody else', async () => {
    const server = await serve({ workers: 1 });
    const remote = await server.listen({ port: 0 });
    let answered: (bytes: Uint8Array) => void = () => undefined;
    const answer = new Promise<Uint8Array>((resolve) => {
      answered = (bytes) => resolve(Uint8Array.from(bytes));
    });
    const stranger = await platform.bindUdp(
      { ip: '127.0.0.1', port: 0 },
      { onDatagram: (bytes) => answered(bytes), onError: () => undefined },
    );
    closers.push(() => stranger.close());
    const transactionId = newTransactionId(platform.env);
    const request = encodeStun({ messageClass: 'request', method: STUN_METHODS.Binding, transactionId });
    residents[1]!.stray = { bytes: request, from: stranger.local };
    await allocate(await udpClient(remote));
    expect(decodeStun(await answer).transactionId).toEqual(transactionId);
  });

  it('carry data between clients of two workers, and to nothing else on this machine', async () => {
    const server = await serve({ peers: {} });
    const remote = await server.listen({ port: 0 });
    const [one, two] = [await udpClient(remote), await udpClient(remote)];
    const [oneAt, twoAt] = [await allocate(one), await allocate(two)];
    expect(workersOf(await logged('allocated', 2))).toEqual([1, 2]);
    one.driver.mutate((now) => one.client.createPermission(twoAt, now));
    await one.events.next('permission');
    two.driver.mutate((now) => two.client.send(oneAt, Uint8Array.of(1), now));
    expect(await one.events.next('data')).toMatchObject({ peer: twoAt, bytes: Uint8Array.of(1) });
    for (const [from, to, at] of [
      [one, two, twoAt],
      [two, one, oneAt],
    ] as const) {
      from.driver.mutate((now) => from.client.bindChannel(at, now));
      await from.events.next('channel');
      from.driver.mutate((now) => from.client.send(at, new Uint8Array(1200).fill(7), now));
      expect((await to.events.next('data')).bytes).toEqual(new Uint8Array(1200).fill(7));
    }
    // A socket in the other worker's range that is no relay gets nothing; what did arrive there would show here.
    let leaked = 0;
    const port = twoAt.port === 65_535 ? twoAt.port - 1 : twoAt.port + 1;
    const bystander = await platform.bindUdp(
      { ip: '127.0.0.1', port },
      { onDatagram: () => void leaked++, onError: () => undefined },
    );
    closers.push(() => bystander.close());
    one.driver.mutate((now) => one.client.send({ ip: '127.0.0.1', port }, Uint8Array.of(9), now));
    one.driver.mutate((now) => one.client.send(twoAt, Uint8Array.of(10), now));
    expect((await two.events.next('data')).bytes).toEqual(Uint8Array.of(10));
    expect(leaked).toBe(0);
    expect((await server.stats()).drops['unknown-peer']).toBe(1);
    // What another program sends where workers talk to each other is nobody's.
    const told = residents[2]!.sent.findLast((message) => message.type === 'trunks');
    const w = new ByteWriter(new Uint8Array(64));
    writeTrunkHeader(w, oneAt, twoAt);
    w.u8(66);
    bystander.send(w.buf, 0, w.pos, { ip: '127.0.0.1', port: told?.ports[2] ?? 0 });
    one.driver.mutate((now) => one.client.send(twoAt, Uint8Array.of(11), now));
    expect((await two.events.next('data')).bytes).toEqual(Uint8Array.of(11));
  });

  it('take a repeated Allocate for what it is, and leave an address that is free again to the listener', async () => {
    const server = await serve();
    const remote = await server.listen({ port: 0 });
    const credentials = new LongTermClient(platform.env.crypto, 'ada', 'lovelace');
    const waiting = new Map<string, (answer: StunMessage) => void>();
    const socket = await platform.bindUdp(
      { ip: '127.0.0.1', port: 0 },
      {
        onDatagram: (bytes) => {
          const answer = decodeStun(Uint8Array.from(bytes));
          waiting.get(answer.transactionId.join())?.(answer);
        },
        onError: () => undefined,
      },
    );
    closers.push(() => socket.close());
    const ask = (times: number, attribute: StunAttribute): Promise<StunMessage> => {
      const method = attribute[0] === 'LIFETIME' ? STUN_METHODS.Refresh : STUN_METHODS.Allocate;
      const id = newTransactionId(platform.env);
      const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', method, id);
      w.add(attribute[0], attribute[1]);
      credentials.sign(w);
      // At once: the second waits in the listening socket while the first is handed over.
      for (let i = 0; i < times; i++) socket.send(w.written(), 0, w.length, remote);
      return new Promise((resolve) => waiting.set(id.join(), resolve));
    };
    credentials.handleChallenge(await ask(1, ['REQUESTED-TRANSPORT', 17]), false);
    for (let round = 1; round <= 3; round++) {
      expect((await ask(2, ['REQUESTED-TRANSPORT', 17])).messageClass).toBe('success');
      expect((await ask(1, ['LIFETIME', 600])).messageClass).toBe('success');
      expect((await ask(1, ['LIFETIME', 0])).messageClass).toBe('success');
      await logged('released', round);
      expect((await ask(1, ['LIFETIME', 600])).require('ERROR-CODE').code).toBe(437);
      expect(residents[1]!.sockets + residents[2]!.sockets).toBe(0);
    }
    expect((await server.stats()).core).toMatchObject({ allocations: 0, allocationsTotal: 3 });
  });

  it('count quotas together, over UDP and TCP, for users and in all', async () => {
    const server = await serve({ userQuota: 2, totalQuota: 3 });
    const remote = await server.listen({ port: 0 });
    const stream = await server.listen({ port: 0, transport: 'tcp' });
    const first = await udpClient(remote);
    await allocate(first);
    await allocate(await tcpClient(stream));
    await expect(allocate(await udpClient(remote))).rejects.toThrow('486');
    await expect(allocate(await tcpClient(stream))).rejects.toThrow('486');
    await allocate(await tcpClient(stream, { username: 'bob', password: 'builder' }));
    await expect(allocate(await udpClient(remote, { username: 'bob', password: 'builder' }))).rejects.toThrow('486');
    await release(first);
    await logged('released');
    await allocate(await udpClient(remote));
    expect((await server.stats()).core.allocations).toBe(3);
  });

  it('take TCP and TLS connections, with a certificate that can be replaced', async () => {
    const pem = certificateToPem(generateCertificate(platform.env));
    const server = await serve({ certificate: { cert: pem, key: pem } });
    const stream = await server.listen({ port: 0, transport: 'tcp' });
    const one = await tcpClient(stream);
    await allocate(one);
    await echo(one, (await echoPeer()).address, 1, 2, 3);
    expect((await server.stats()).core.allocationsByTransport.tcp).toBe(1);
    expect(() => server.setCertificate({ cert: 'nonsense', key: pem })).toThrow();
    server.setCertificate({ cert: pem, key: pem });
    expect(residents[1]!.sent.at(-1)).toMatchObject({ type: 'certificate' });
  });

  it('find the owner of a reserved port by its token', async () => {
    const server = await serve();
    const remote = await server.listen({ port: 0 });
    const first = await udpClient(remote, { evenPort: 'reserve-next' });
    first.driver.mutate((now) => first.client.allocate(now));
    const { relayed, reservationToken } = await first.events.next('allocated');
    expect((await server.stats()).core.reservations).toBe(1);
    const second = await udpClient(remote, { reservationToken: reservationToken! });
    expect((await allocate(second)).port).toBe(relayed[0]!.port + 1);
    expect(workersOf(await logged('allocated', 2))).toEqual([1, 1]); // the other one has fewer clients
  });

  it('find the owner of an allocation that moves by its ticket (RFC 8016)', async () => {
    const server = await serve({ mobility: true });
    const remote = await server.listen({ port: 0 });
    const { address: peer } = await echoPeer();
    await allocate(await udpClient(remote));
    const one = await udpClient(remote, { mobility: true });
    await allocate(one);
    await echo(one, peer, 1);
    const local = await freeAddress();
    await one.shell.bind(local);
    one.driver.mutate((now) => one.client.moveTo({ protocol: 'udp', local, remote }, now));
    await one.events.next('moved');
    await echo(one, peer, 2);
    expect(workersOf(await logged('moved'))).toEqual([2]);
    await echo(one, peer, 3);
    await release(one);
    expect((await server.stats()).core.allocations).toBe(1);
  });

  it('are replaced when they die: their clients are told that nothing is left of their allocations', async () => {
    const server = await serve({ userQuota: 2 });
    const remote = await server.listen({ port: 0 });
    const [one, two] = [await udpClient(remote), await udpClient(remote)];
    await allocate(one);
    await allocate(two);
    residents[1]!.kill();
    expect(await logged('worker-ended')).toMatchObject([{ level: 'warn', worker: 1, how: 'SIGKILL' }]);
    one.driver.mutate((now) => one.client.createPermission({ ip: '127.0.0.1', port: 9 }, now));
    await expect(one.events.next('permission')).rejects.toThrow('failed: lost');
    await allocate(await udpClient(remote)); // its place in the quota is free
    await logged('worker-ready', 3);
    expect((await server.stats()).core.allocations).toBe(2);
    await echo(two, (await echoPeer()).address, 1);
  });

  it('are given no clients while they do not keep up; a client that repeats itself is served later', async () => {
    const server = await serve({ workers: 1 });
    const remote = await server.listen({ port: 0 });
    const stream = await server.listen({ port: 0, transport: 'tcp' });
    const [resident] = residents.slice(1);
    resident!.isBusy = true;
    const refused = connect(stream.port, stream.ip);
    await new Promise((resolve) => refused.once('close', resolve));
    expect((await server.stats()).drops['limit']).toBe(1);
    const allocated = allocate(await udpClient(remote));
    for (let dropped = 1; dropped === 1; ) dropped = (await server.stats()).drops['limit'] ?? 0;
    expect((await server.stats()).core.allocations).toBe(0);
    resident!.isBusy = false;
    await allocated;
    await allocate(await tcpClient(stream));
  });

  it('leave no socket behind for a client that ends while it is being opened, and whose address comes back', async () => {
    const server = await serve({ workers: 1 });
    const remote = await server.listen({ port: 0 });
    const resident = residents[1]!;
    let letGo: () => void = () => undefined;
    resident.hold = new Promise((resolve) => {
      letGo = resolve;
    });
    const local = await freeAddress();
    const one = await udpClient(remote, {}, local);
    await allocate(one);
    await release(one);
    one.shell.close();
    const two = await udpClient(remote, {}, local);
    await allocate(two);
    letGo();
    await expect.poll(() => resident.socketsTotal).toBe(2);
    await expect.poll(() => resident.sockets).toBe(1);
    await echo(two, (await echoPeer()).address, 1);
    await release(two);
    await expect.poll(() => resident.sockets).toBe(0);
  });

  it('drain together', async () => {
    const server = await serve();
    const remote = await server.listen({ port: 0 });
    const stream = await server.listen({ port: 0, transport: 'tcp' });
    const [one, two] = [await udpClient(remote), await tcpClient(stream)];
    await allocate(one);
    await allocate(two);
    let isDrained = false;
    const drained = server.drain().then(() => {
      isDrained = true;
    });
    await expect(allocate(await udpClient(remote))).rejects.toThrow('508');
    await expect(allocate(await tcpClient(stream))).rejects.toThrow('508');
    await release(one);
    expect(isDrained).toBe(false);
    await release(two);
    await drained;
    expect((await server.close()).core.allocationsTotal).toBe(2);
  });

  it('that are started while the server drains take nobody', async () => {
    const server = await serve({ workers: 1 });
    const stream = await server.listen({ port: 0, transport: 'tcp' });
    await allocate(await tcpClient(stream));
    const drained = server.drain();
    residents[1]!.kill();
    await drained;
    await logged('worker-ready', 2);
    await expect(allocate(await tcpClient(stream))).rejects.toThrow('508');
  });

  it('refuse a port that another server has, shared or not', async () => {
    const server = await serve();
    const remote = await server.listen({ port: 0 });
    await expect(server.listen({ port: remote.port })).rejects.toThrow('EADDRINUSE');
    const alone = new TurnServer({ realm: 'x', users: { a: 'b' }, relayAddresses: ['127.0.0.1'] });
    closers.push(() => alone.close());
    await expect(alone.listen({ port: remote.port })).rejects.toThrow('EADDRINUSE');
  });

  it.each([
    [{ workers: 0 }, `from 1 to ${MAX_TURN_WORKERS}`],
    [{ workers: MAX_TURN_WORKERS + 1 }, `from 1 to ${MAX_TURN_WORKERS}`],
    [{ minPort: 50_000, maxPort: 50_002 }, 'too few'],
    [{ relayAddresses: [] }, 'relay address'],
  ])('reject %j', async (options, message) => {
    await expect(serve(options)).rejects.toThrow(message);
  });

  it('reject what cannot be copied to another process, and systems other than Linux', async () => {
    const options = { workers: 1, realm: 'x', users: { a: 'b' }, findUser: () => undefined };
    await expect(TurnWorkers.start(options)).rejects.toThrow('findUser cannot be copied');
    const before = Object.getOwnPropertyDescriptor(process, 'platform');
    Object.defineProperty(process, 'platform', { ...before, value: 'darwin' });
    closers.push(() => Object.defineProperty(process, 'platform', { ...before }));
    await expect(TurnWorkers.start({ workers: 1, realm: 'x', users: { a: 'b' } })).rejects.toThrow('need Linux');
  });
});
