import { describe, expect, it } from 'vitest';
import {
  ByteWriter,
  bytesToHex,
  concatBytes,
  createTransmitSlot,
  type FiveTuple,
  resetTransmitSlot,
  utf8,
} from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  type AccessToken,
  decodeStun,
  encodeStun,
  IntegrityKey,
  LongTermServer,
  STUN_METHODS,
  type StunAttribute,
  type StunMessage,
  StunWriter,
  stunError,
  verifyIntegrity,
} from '../../src/stun/index.ts';
import {
  MAX_DATA_CONNECTION_QUEUE,
  MAX_TICKET_BYTES,
  TurnClient,
  type TurnClientEvent,
  type TurnClientOptions,
  type TurnDataConnection,
} from '../../src/turn/index.ts';
import { PERFECT, SeededRandom, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { FakeTurnServer, failWith } from './fake-server.ts';

const CLIENT = { ip: '198.51.100.7', port: 40_000 };
const MOVED = { ip: '198.51.100.77', port: 41_000 };
const SERVER = { ip: '203.0.113.1', port: 3478 };
const RELAYED = { ip: '203.0.113.50', port: 50_000 };
const PEER = { ip: '192.0.2.9', port: 9000 };
const UDP: FiveTuple = { protocol: 'udp', local: CLIENT, remote: SERVER };
const TCP: FiveTuple = { protocol: 'tcp', local: CLIENT, remote: SERVER };
const findUser = () => ({ username: 'alice', password: 'secret' });

function setUp(options: Partial<TurnClientOptions>) {
  const world = new SimWorld(1);
  const network = new SimNetwork(world, PERFECT);
  const env = simEnv(world, nobleCrypto);
  const server = new FakeTurnServer({ env, realm: 'example.org', findUser });
  const attached = network.attach(server, [SERVER], () => undefined);
  const client = new TurnClient({ env, path: UDP, username: 'alice', password: 'secret', ...options });
  const events: TurnClientEvent[] = [];
  const { driver } = network.attach(client, [CLIENT, MOVED], (event) => {
    events.push(event.type === 'data' ? { ...event, bytes: event.bytes.slice() } : event);
  });
  const run = (ms: number, command?: (now: number) => void) => {
    if (command !== undefined) driver.mutate(command);
    world.run({ until: world.now + ms });
  };
  return { world, env, server, client, events, run, serverDriver: attached.driver };
}

describe('mobility (RFC 8016)', () => {
  const moved = { ...UDP, local: MOVED };
  const success = (...more: StunAttribute[]) => ({
    success: [
      ['XOR-RELAYED-ADDRESS', RELAYED],
      ['LIFETIME', 600],
      ['XOR-MAPPED-ADDRESS', CLIENT],
      ...more,
    ] as StunAttribute[],
  });

  function mobile() {
    const all = setUp({ mobility: true });
    let tickets = 0;
    all.server.answer = ({ message }) =>
      message.has('MOBILITY-TICKET') ? success(['MOBILITY-TICKET', Uint8Array.of(++tickets)]) : undefined;
    all.run(1000, (now) => all.client.allocate(now));
    expect(all.server.seen[1]!.message.get('MOBILITY-TICKET')).toEqual(new Uint8Array(0));
    expect(all.client.canMove).toBe(true);
    all.events.length = 0;
    all.server.seen.length = 0;
    return all;
  }

  it('moves with the ticket from the new address, through a fresh nonce, and keeps the new ticket', () => {
    const { client, run, server, events } = mobile();
    run(1000, (now) => client.moveTo(moved, now));
    expect(server.seen.map((request) => [request.method, request.path.remote])).toEqual([
      [STUN_METHODS.Refresh, MOVED], // 438: nonces are bound to addresses
      [STUN_METHODS.Refresh, MOVED],
    ]);
    expect(server.seen[1]!.message.get('MOBILITY-TICKET')).toEqual(Uint8Array.of(1));
    expect(events).toEqual([{ type: 'moved', path: moved }]);
    expect(client.path).toBe(moved);
    run(1000, (now) => client.moveTo({ ...UDP }, now));
    expect(server.seen.at(-1)!.message.get('MOBILITY-TICKET')).toEqual(Uint8Array.of(2));
    run(600_000);
    expect(server.seen.at(-1)!.message.has('MOBILITY-TICKET')).toBe(false); // an ordinary refresh must not carry it
  });

  it('data goes the old way until the server has agreed', () => {
    const { client, run, server } = mobile();
    run(100, (now) => client.createPermission(PEER, now));
    const slot = createTransmitSlot<FiveTuple>(100);
    const pathOf = () => {
      resetTransmitSlot(slot);
      client.wrapInPlace(slot, PEER);
      return slot.path?.local;
    };
    run(0, (now) => client.moveTo(moved, now));
    expect(pathOf()).toEqual(CLIENT);
    run(1000);
    expect(pathOf()).toEqual(MOVED);
    expect(server.allocated).toBe(false); // the scripted answers kept no state: nothing else was asked
  });

  it.each([405, 400] as const)('%i leaves it where it is', (code) => {
    const { client, run, server, events } = mobile();
    server.answer = () => failWith(code);
    run(1000, (now) => client.moveTo(moved, now));
    expect(events).toEqual([{ type: 'move-failed', error: stunError(code) }]);
    expect(client.path).toBe(UDP);
    expect(client.state).toBe('allocated');
  });

  it('437 means that it is gone', () => {
    const { client, run, server, events } = mobile();
    server.answer = () => failWith(437);
    run(1000, (now) => client.moveTo(moved, now));
    expect(events).toMatchObject([{ type: 'failed', reason: 'lost' }]);
  });

  it.each([
    [MAX_TICKET_BYTES, true],
    [MAX_TICKET_BYTES + 1, false],
  ])('a ticket of %i bytes is kept: %s', (length, kept) => {
    const { client, server, run } = setUp({ mobility: true });
    server.answer = () => success(['MOBILITY-TICKET', new Uint8Array(length)]);
    run(1000, (now) => client.allocate(now));
    expect([client.state, client.canMove]).toEqual(['allocated', kept]);
    if (kept) expect(() => run(1000, (now) => client.moveTo(moved, now))).not.toThrow();
  });

  it('without a ticket there is nothing to move', () => {
    const { client, run } = setUp({});
    run(1000, (now) => client.allocate(now));
    expect(client.canMove).toBe(false);
    expect(() => client.moveTo(moved, 0)).toThrow('nothing that could be moved');
  });
});

describe('third-party authorization (RFC 7635)', () => {
  const accessToken: AccessToken = {
    kid: 'kid-1',
    macKey: new SeededRandom(1).bytes(20),
    token: new SeededRandom(2).bytes(60),
  };
  const key = new IntegrityKey(nobleCrypto, accessToken.macKey);
  const challenge = (code: 401 | 438, nonce: string): StunAttribute[] => [
    ['ERROR-CODE', stunError(code)],
    ['REALM', 'example.org'],
    ['NONCE', utf8(nonce)],
    ['THIRD-PARTY-AUTHORIZATION', 'turn.example.org'],
  ];

  /** A server that believes the token, as one that shares a key with the authorization server does. */
  function converse(client: TurnClient, answer: (message: StunMessage) => StunAttribute[] | undefined) {
    const slot = createTransmitSlot<FiveTuple>(2000);
    const seen: StunMessage[] = [];
    while (client.pollTransmit(slot)) {
      const message = decodeStun(slot.buffer.slice(slot.offset, slot.offset + slot.length));
      seen.push(message);
      const attributes = answer(message);
      const signed = message.has('MESSAGE-INTEGRITY');
      const failed = attributes?.[0]?.[0] === 'ERROR-CODE';
      const response = encodeStun({
        messageClass: failed ? 'error' : 'success',
        method: message.method,
        transactionId: message.transactionId,
        attributes: attributes ?? [],
        integrity: signed && !failed ? [{ key, algorithm: 'sha-1' }] : [],
      });
      client.handleInput(response, UDP, 1);
      resetTransmitSlot(slot);
    }
    return seen;
  }

  function make(): TurnClient {
    const env = simEnv(new SimWorld(1), nobleCrypto);
    const client = new TurnClient({ env, path: UDP, accessToken });
    client.allocate(0);
    return client;
  }
  const allocated: StunAttribute[] = [
    ['XOR-RELAYED-ADDRESS', RELAYED],
    ['LIFETIME', 600],
    ['XOR-MAPPED-ADDRESS', CLIENT],
  ];

  it('answers the challenge with the token, signed with the session key', () => {
    const client = make();
    const seen = converse(client, (message) => (message.has('ACCESS-TOKEN') ? allocated : challenge(401, 'n1')));
    expect(seen).toHaveLength(2);
    const request = seen[1]!;
    expect(request.get('USERNAME')).toBe('kid-1');
    expect(request.get('ACCESS-TOKEN')).toEqual(accessToken.token);
    expect(request.get('NONCE')).toEqual(utf8('n1'));
    expect(verifyIntegrity(request, key, 'sha-1')).toBe(true);
    expect(client.pollEvent()).toMatchObject({ type: 'allocated' });
  });

  it('sends the token in Allocate and Refresh only, and takes a new nonce', () => {
    const client = make();
    converse(client, (message) => (message.has('ACCESS-TOKEN') ? allocated : challenge(401, 'n1')));
    client.createPermission(PEER, 2);
    const fresh = (message: StunMessage) => message.get('NONCE')?.[1] === utf8('n2')[1];
    const seen = converse(client, (message) => (fresh(message) ? [] : challenge(438, 'n2')));
    expect(seen.map((message) => message.has('ACCESS-TOKEN'))).toEqual([false, false]);
    client.close(3);
    expect(converse(client, () => [['LIFETIME', 0]])[0]!.has('ACCESS-TOKEN')).toBe(true);
    expect(client.state).toBe('closed');
  });

  it('a server that does not ask for a token does not get it, and a refused token is final', () => {
    const plain = make();
    converse(plain, () => challenge(401, 'n1').slice(0, 3));
    expect(plain.pollEvent()).toMatchObject({ type: 'failed', reason: 'wrong-credentials' });
    const expired = make();
    expect(converse(expired, () => challenge(401, 'n1'))).toHaveLength(2);
    expect(expired.pollEvent()).toMatchObject({ type: 'failed', reason: 'wrong-credentials' });
  });

  it('one kind of credential is needed', () => {
    const env = simEnv(new SimWorld(1), nobleCrypto);
    expect(() => new TurnClient({ env, path: UDP })).toThrow('user name and a password, or an access token');
  });
});

describe('TCP relays (RFC 6062)', () => {
  function tcp() {
    const all = setUp({ path: TCP, relayTransport: 'tcp' });
    all.server.answer = ({ method }) =>
      method === STUN_METHODS.Connect ? { success: [['CONNECTION-ID', 77]] } : undefined;
    all.run(1000, (now) => all.client.allocate(now));
    expect(all.server.seen[1]!.message.get('REQUESTED-TRANSPORT')).toBe(6);
    all.events.length = 0;
    return all;
  }

  it('connects to a peer', () => {
    const { client, run, events } = tcp();
    run(1000, (now) => client.connect(PEER, now));
    expect(events.at(-1)).toEqual({ type: 'connection', peer: PEER, connectionId: 77, incoming: false });
  });

  it.each([446, 447, 403] as const)('%i is reported', (code) => {
    const { client, run, server, events } = tcp();
    server.answer = ({ method }) => (method === STUN_METHODS.Connect ? failWith(code) : undefined);
    run(1000, (now) => client.connect(PEER, now));
    expect(events.at(-1)).toEqual({ type: 'connect-failed', peer: PEER, error: stunError(code) });
    expect(client.state).toBe('allocated');
  });

  it('announces what a permitted peer opened, and nobody else', () => {
    const { client, run, server, events, serverDriver } = tcp();
    run(100, (now) => client.createPermission(PEER, now));
    const attempt = (ip: string, ...more: StunAttribute[]) => {
      const attributes: StunAttribute[] = [['XOR-PEER-ADDRESS', { ip, port: 5 }], ...more];
      const { ConnectionAttempt: method } = STUN_METHODS;
      server.inject(encodeStun({ messageClass: 'indication', method, transactionId: new Uint8Array(12), attributes }));
      serverDriver.drain();
    };
    events.length = 0;
    attempt(PEER.ip, ['CONNECTION-ID', 5]);
    attempt('192.0.2.66', ['CONNECTION-ID', 6]);
    attempt(PEER.ip);
    run(100);
    expect(events).toEqual([{ type: 'connection', peer: { ip: PEER.ip, port: 5 }, connectionId: 5, incoming: true }]);
    expect(client.drops.toJSON()).toEqual({ 'unknown-peer': 1, missing: 1 });
  });

  it.each([
    [{ path: UDP }, 'TCP or TLS'],
    [{ path: TCP, evenPort: 'even' }, 'even or reserved'],
    [{ path: TCP, dontFragment: true }, 'even or reserved'],
    [{ path: TCP, reservationToken: new Uint8Array(8) }, 'even or reserved'],
  ] as const)('%j is refused', (options, message) => {
    expect(() => setUp({ relayTransport: 'tcp', ...options })).toThrow(message);
    expect(() => setUp({}).client.connect(PEER, 0)).toThrow('not a TCP relay');
  });
});

describe('the data connection (RFC 6062 §4.3)', () => {
  const DATA: FiveTuple = { protocol: 'tcp', local: { ip: CLIENT.ip, port: 40_001 }, remote: SERVER };

  function open() {
    const all = setUp({ path: TCP, relayTransport: 'tcp' });
    all.run(1000, (now) => all.client.allocate(now));
    const auth = new LongTermServer({ env: all.env, realm: 'example.org', findUser });
    const connection = all.client.createDataConnection(77, DATA, 0);
    return { ...all, auth, connection };
  }

  function poll(connection: TurnDataConnection): Uint8Array | undefined {
    const slot = createTransmitSlot<FiveTuple>(2000);
    if (!connection.pollTransmit(slot)) return undefined;
    expect(slot.path).toBe(DATA);
    return slot.buffer.slice(slot.offset, slot.offset + slot.length);
  }

  /** The server's answer to what the connection has sent. */
  function answer(auth: LongTermServer, connection: TurnDataConnection): Uint8Array {
    const request = decodeStun(poll(connection)!);
    expect(request.method).toBe(STUN_METHODS.ConnectionBind);
    expect(request.get('CONNECTION-ID')).toBe(77);
    const user = auth.authenticate(request, DATA.local);
    const w = new StunWriter(
      new ByteWriter(new Uint8Array(500)),
      user.type === 'authenticated' ? 'success' : 'error',
      request.method,
      request.transactionId,
    );
    if (user.type === 'rejected') for (const [name, value] of user.attributes) w.add(name, value);
    else w.addIntegrity(user.key, user.algorithm);
    return w.written();
  }

  it('binds with the credentials of the control connection, through a nonce of its own, and is then transparent', () => {
    const { auth, connection } = open();
    expect(connection.send(utf8('early'))).toBe(true);
    connection.handleInput(answer(auth, connection), DATA, 1); // 438
    const last = answer(auth, connection);
    // Cut anywhere, with the peer's first bytes behind it.
    connection.handleInput(last.subarray(0, 7), DATA, 2);
    connection.handleInput(Uint8Array.of(...last.subarray(7), 1, 2, 3), DATA, 3);
    expect(connection.pollEvent()).toEqual({ type: 'bound' });
    expect(connection.pollEvent()).toEqual({ type: 'data', bytes: Uint8Array.of(1, 2, 3) });
    expect(bytesToHex(poll(connection)!)).toBe(bytesToHex(utf8('early')));
    connection.handleInput(Uint8Array.of(0x40, 0, 0), DATA, 4); // looks like ChannelData, and is not
    expect(connection.pollEvent()).toEqual({ type: 'data', bytes: Uint8Array.of(0x40, 0, 0) });
    expect(connection.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('fails after Ti, and on a rejection, garbage, or an answer that is not signed', () => {
    const silent = open().connection;
    silent.handleTimeout(39_499);
    expect(silent.pollEvent()).toBeUndefined();
    silent.handleTimeout(39_500);
    expect(silent.pollEvent()).toMatchObject({ type: 'failed', reason: 'timeout' });
    expect(() => silent.send(new Uint8Array(1))).toThrow('has failed');
    silent.handleInput(new Uint8Array(5), DATA, 40_000);
    expect(silent.drops.toJSON()).toEqual({ closed: 1 });

    const respond = (
      connection: TurnDataConnection,
      attributes: StunAttribute[],
      messageClass: 'success' | 'error',
    ) => {
      const { transactionId, method } = decodeStun(poll(connection)!);
      connection.handleInput(encodeStun({ messageClass, method, transactionId, attributes }), DATA, 1);
      return connection.pollEvent();
    };
    const error = stunError(400);
    expect(respond(open().connection, [['ERROR-CODE', error]], 'error')).toEqual({
      type: 'failed',
      reason: 'rejected',
      error,
    });
    expect(respond(open().connection, [], 'success')).toMatchObject({ type: 'failed', reason: 'bad-response' });
    expect(respond(open().connection, [], 'error')).toMatchObject({ type: 'failed', reason: 'bad-response' });
    for (const garbage of [new Uint8Array(20).fill(0x16), utf8('HTTP/1.1 400 Bad Request\r\n\r\n')]) {
      const { connection } = open();
      connection.handleInput(garbage, DATA, 1);
      expect(connection.pollEvent()).toMatchObject({ type: 'failed', reason: 'bad-response' });
    }
  });

  it('a heap of messages that answer nothing costs its bytes, and the answer behind it counts', () => {
    const { auth, connection } = open();
    connection.handleInput(answer(auth, connection), DATA, 1); // 438
    const last = answer(auth, connection);
    const other = encodeStun({
      messageClass: 'success',
      method: STUN_METHODS.Binding,
      transactionId: new Uint8Array(12),
    });
    const chunk = concatBytes(...new Array<Uint8Array>(3000).fill(other), last, Uint8Array.of(5));
    const before = process.memoryUsage().arrayBuffers;
    connection.handleInput(chunk, DATA, 2);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000); // it was a hundred
    expect(connection.pollEvent()).toEqual({ type: 'bound' });
    expect(connection.pollEvent()).toEqual({ type: 'data', bytes: Uint8Array.of(5) });
  });

  it('cuts what is longer than a slot, and keeps its order', () => {
    const { auth, connection } = open();
    for (let i = 0; i < 2; i++) connection.handleInput(answer(auth, connection), DATA, 1);
    const long = Uint8Array.from({ length: 10_000 }, (_, i) => i * 3);
    connection.send(long);
    connection.send(Uint8Array.of(9));
    const pieces: Uint8Array[] = [];
    for (let piece = poll(connection); piece !== undefined; piece = poll(connection)) pieces.push(piece);
    expect(concatBytes(...pieces)).toEqual(concatBytes(long, Uint8Array.of(9)));
  });

  it(`keeps ${MAX_DATA_CONNECTION_QUEUE} chunks and says no to more`, () => {
    const { connection } = open();
    for (let i = 0; i < MAX_DATA_CONNECTION_QUEUE; i++) expect(connection.send(new Uint8Array(1))).toBe(true);
    expect(connection.send(new Uint8Array(1))).toBe(false);
  });
});
