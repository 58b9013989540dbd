import { describe, expect, it } from 'vitest';
import { decodeStun, STUN_ATTRIBUTES, type StunMessage } from '../../../src/stun/index.ts';
import type { TurnServerCoreOptions, TurnServerEvent } from '../../../src/turn/server/index.ts';
import { MAX_PEER_CONNECTIONS } from '../../../src/turn/server/limits.ts';
import { codeOf, PEER, PEER6, type Sent, TestClient, TestServer } from './harness.ts';

const TCP = [['REQUESTED-TRANSPORT', 6]] as const;

function start(options: Partial<TurnServerCoreOptions> = {}) {
  const server = new TestServer({ tcpRelay: true, ...options });
  const client = new TestClient(server, { protocol: 'tcp' });
  const answer = client.request('Allocate', TCP);
  return { server, client, answer };
}

/** Sends a Connect; its answer comes later. */
function dial({ server, client }: Pick<ReturnType<typeof start>, 'server' | 'client'>, peer = PEER) {
  const sent = client.send('Connect', [['XOR-PEER-ADDRESS', peer]]);
  const event = last(server, 'connect-peer');
  return { sent, connection: event.connection, local: event.local };
}

function last<T extends TurnServerEvent['type']>(server: TestServer, type: T): Extract<TurnServerEvent, { type: T }> {
  const found = server.events.findLast((event): event is Extract<TurnServerEvent, { type: T }> => event.type === type);
  if (found === undefined) throw new Error(`no ${type}`);
  return found;
}

function connected(server: TestServer, connection: number): StunMessage {
  const from = server.sent.length;
  expect(server.core.peerConnected(connection, server.now)).toBe(true);
  server.drain();
  return only(server.sent.slice(from));
}

function only(sent: readonly Sent[]): StunMessage {
  expect(sent).toHaveLength(1);
  return decodeStun(sent[0]!.bytes);
}

/** A second connection of the same client. */
function dataConnection(server: TestServer, port = 41_000, username?: string): TestClient {
  const remote = { ip: '198.51.100.9', port };
  return new TestClient(server, { protocol: 'tcp', remote, ...(username === undefined ? {} : { username }) });
}

describe('TCP relays (RFC 6062)', () => {
  it('are opened over TCP and TLS, where the shell can', () => {
    const { server, answer } = start();
    expect(codeOf(answer)).toBe(0);
    expect(last(server, 'open-relay').transport).toBe('tcp');
    const request = (client: TestClient, ...more: Parameters<TestClient['request']>[1] & object) =>
      codeOf(client.request('Allocate', [...TCP, ...more]));
    expect(request(new TestClient(new TestServer({ tcpRelay: true })))).toBe(400); // over UDP
    const tcp = () => new TestClient(new TestServer({ tcpRelay: true, dontFragment: true }), { protocol: 'tls' });
    expect(request(tcp())).toBe(0);
    expect(request(tcp(), ['EVEN-PORT', false])).toBe(400);
    expect(request(tcp(), ['DONT-FRAGMENT', true])).toBe(400);
    expect(request(tcp(), ['RESERVATION-TOKEN', new Uint8Array(8)])).toBe(400);
    expect(request(new TestClient(new TestServer(), { protocol: 'tcp' }))).toBe(442);
  });

  it('connects to a peer, and joins the connection that brings its number', () => {
    const s = start();
    const { sent, connection, local } = dial(s);
    expect(sent).toEqual([]);
    expect(local).toEqual([...s.server.sockets.values()][0]);
    const answer = connected(s.server, connection);
    expect(answer.require('CONNECTION-ID')).toBe(connection);
    expect(s.client.credentials.verify(answer)).toBe(true);
    const data = dataConnection(s.server);
    expect(codeOf(data.request('ConnectionBind', [['CONNECTION-ID', connection]]))).toBe(0);
    expect(last(s.server, 'bind-connection')).toMatchObject({ connection, path: data.path });
    s.server.advance(31_000); // bound: no clock runs
    expect(s.server.core.stats.peerConnections).toBe(1);
    s.server.core.peerClosed(connection);
    expect(s.server.core.stats.peerConnections).toBe(0);
    expect(s.server.core.peerConnected(connection, s.server.now)).toBe(false);
  });

  it('counts the bytes of joined connections, and says how long to wait where bandwidth is limited', () => {
    const limits = { sessionRate: { perSecond: 1000, burst: 500 }, totalRate: { perSecond: 10_000, burst: 600 } };
    const s = start(limits);
    const { connection } = dial(s);
    connected(s.server, connection);
    const { core } = s.server;
    const now = () => s.server.now;
    expect(core.connectionPassed(connection, 'to-peer', 100, now())).toBe(now()); // not bound: nobody's
    expect(core.stats.traffic.toPeerBytes).toBe(0);
    const data = dataConnection(s.server);
    data.request('ConnectionBind', [['CONNECTION-ID', connection]]);
    expect(core.connectionPassed(connection, 'to-peer', 500, now())).toBe(now());
    expect(core.connectionPassed(connection, 'to-client', 500, now())).toBe(now());
    expect(core.connectionPassed(connection, 'to-peer', 50, now())).toBe(now() + 50); // the session's 1000 a second
    s.server.advance(50);
    expect(core.connectionPassed(connection, 'to-peer', 1, now())).toBe(now() + 1);
    s.server.advance(10_000);
    expect(core.connectionPassed(connection, 'to-peer', 1500, now())).toBe(now() + 1000); // the total has 600 - 1500: 90 ms
    expect(core.stats.traffic).toMatchObject({ toPeerBytes: 2051, toClientBytes: 500, toPeerPackets: 0 });
    s.client.request('Refresh', [['LIFETIME', 0]]);
    expect(last(s.server, 'released').traffic).toMatchObject({ toPeerBytes: 2051, toClientBytes: 500 });
    expect(core.connectionPassed(connection, 'to-peer', 1, now())).toBe(now());
    const other = start({ totalRate: limits.totalRate });
    const joined = dial(other);
    connected(other.server, joined.connection);
    dataConnection(other.server).request('ConnectionBind', [['CONNECTION-ID', joined.connection]]);
    expect(other.server.core.connectionPassed(joined.connection, 'to-client', 1600, 5000)).toBe(5100);
  });

  it('takes the nonce of the control connection, as coturn lets its client do', () => {
    const s = start();
    const { connection } = dial(s);
    connected(s.server, connection);
    const data = dataConnection(s.server);
    data.credentials = s.client.credentials;
    expect(codeOf(data.once('ConnectionBind', [['CONNECTION-ID', connection]]))).toBe(0);
  });

  it('says 447 when the peer cannot be reached, at once or after 30 s', () => {
    const s = start();
    const first = dial(s);
    const from = s.server.sent.length;
    s.server.core.peerClosed(first.connection);
    s.server.drain();
    expect(codeOf(only(s.server.sent.slice(from)))).toBe(447);
    const second = dial(s);
    const again = s.server.sent.length;
    s.server.advance(30_000);
    expect(codeOf(only(s.server.sent.slice(again)))).toBe(447);
    expect(last(s.server, 'close-connection').connection).toBe(second.connection);
  });

  it('closes what is not bound within 30 s', () => {
    const s = start();
    const { connection } = dial(s);
    connected(s.server, connection);
    s.server.advance(29_999);
    expect(s.server.core.stats.peerConnections).toBe(1);
    s.server.advance(1);
    expect(last(s.server, 'close-connection').connection).toBe(connection);
    const data = dataConnection(s.server);
    expect(codeOf(data.request('ConnectionBind', [['CONNECTION-ID', connection]]))).toBe(400);
  });

  it('refuses Connect: 400 without a peer, 403, 437, 443, 446', () => {
    const s = start();
    expect(codeOf(s.client.once('Connect'))).toBe(400);
    expect(codeOf(s.client.once('Connect', [['XOR-PEER-ADDRESS', { ...PEER, port: 0 }]]))).toBe(400);
    expect(codeOf(s.client.once('Connect', [['XOR-PEER-ADDRESS', PEER6]]))).toBe(443);
    for (const ip of ['127.0.0.1', '10.0.0.1', '192.0.2.1']) {
      expect(codeOf(s.client.once('Connect', [['XOR-PEER-ADDRESS', { ip, port: 22 }]]))).toBe(403);
    }
    dial(s);
    expect(codeOf(s.client.once('Connect', [['XOR-PEER-ADDRESS', PEER]]))).toBe(446);
    const udp = dataConnection(s.server);
    expect(codeOf(udp.request('Connect', [['XOR-PEER-ADDRESS', PEER]]))).toBe(437);
    udp.allocate();
    expect(codeOf(udp.once('Connect', [['XOR-PEER-ADDRESS', PEER]]))).toBe(437);
  });

  it('refuses ConnectionBind: 400 for an unknown number, over UDP, or on a control connection; 441 for another user', () => {
    const s = start({ findUser: (username) => ({ username, password: 'lovelace' }) });
    const { connection } = dial(s);
    const bind = (client: TestClient, id = connection) =>
      codeOf(client.request('ConnectionBind', [['CONNECTION-ID', id]]));
    expect(bind(dataConnection(s.server))).toBe(400); // not connected yet
    connected(s.server, connection);
    expect(bind(s.client)).toBe(400);
    expect(bind(new TestClient(s.server, { remote: { ip: '198.51.100.9', port: 1 } }))).toBe(400);
    expect(bind(dataConnection(s.server), connection ^ 1)).toBe(400);
    expect(codeOf(dataConnection(s.server).request('ConnectionBind'))).toBe(400);
    expect(bind(dataConnection(s.server, 41_002, 'eve'))).toBe(441);
    expect(bind(dataConnection(s.server, 41_003))).toBe(0);
    expect(bind(dataConnection(s.server, 41_004))).toBe(400); // once
  });

  it('lets permitted peers in, and tells the client', () => {
    const s = start();
    const local = [...s.server.sockets.values()][0]!;
    expect(s.server.core.peerAccepted(local, PEER, s.server.now)).toBeUndefined();
    expect(s.server.drops('unknown-peer')).toBe(1);
    s.client.permit(PEER);
    const from = s.server.sent.length;
    const connection = s.server.core.peerAccepted(local, PEER, s.server.now);
    s.server.drain();
    const attempt = only(s.server.sent.slice(from));
    expect(attempt.messageClass).toBe('indication');
    expect(attempt.require('CONNECTION-ID')).toBe(connection);
    expect(attempt.require('XOR-PEER-ADDRESS')).toEqual(PEER);
    expect(attempt.attributeTypes).toContain(STUN_ATTRIBUTES['CONNECTION-ID'].type);
    const data = dataConnection(s.server);
    expect(codeOf(data.request('ConnectionBind', [['CONNECTION-ID', connection!]]))).toBe(0);
  });

  it('have no channels and no Send indications', () => {
    const s = start();
    s.client.permit(PEER);
    expect(codeOf(s.client.bind(0x4000, PEER))).toBe(400);
    expect(
      s.client.indicate([
        ['XOR-PEER-ADDRESS', PEER],
        ['DATA', new Uint8Array(1)],
      ]),
    ).toEqual([]);
  });

  it('end with their allocation, which ends with its control connection', () => {
    const s = start();
    const { connection } = dial(s);
    connected(s.server, connection);
    s.server.core.pathClosed(s.client.path, s.server.now);
    s.server.drain();
    expect(last(s.server, 'close-connection').connection).toBe(connection);
    expect(s.server.core.stats).toMatchObject({ peerConnections: 0, relays: 0, allocations: 0 });
  });

  it('are bounded: 508 for the client, closed for peers', () => {
    const s = start();
    s.client.permit(PEER);
    for (let port = 1; port <= MAX_PEER_CONNECTIONS; port++) dial(s, { ...PEER, port });
    expect(codeOf(s.client.once('Connect', [['XOR-PEER-ADDRESS', { ...PEER, port: 999 }]]))).toBe(508);
    const local = [...s.server.sockets.values()][0]!;
    expect(s.server.core.peerAccepted(local, PEER, s.server.now)).toBeUndefined();
    expect(s.server.drops('limit')).toBe(1);
  });
});
