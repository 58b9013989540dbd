import { describe, expect, it } from 'vitest';
import type { FiveTuple } from '../../../src/core/index.ts';
import { decodeStun, type StunMessage } from '../../../src/stun/index.ts';
import { codeOf, PEER, SERVER, TestClient, TestServer, USER } from './harness.ts';

const DATA = Uint8Array.of(1, 2, 3);
const ELSEWHERE = { ip: '198.51.100.200', port: 7 };

/** An allocation that may move, with a channel to the peer. */
function mobile(protocol: FiveTuple['protocol'] = 'udp') {
  const server = new TestServer({ mobility: true });
  const client = new TestClient(server, { protocol });
  const answer = client.allocate([['MOBILITY-TICKET', new Uint8Array(0)]]);
  const relayed = answer.require('XOR-RELAYED-ADDRESS');
  client.bind(0x4000, PEER);
  const home = client.path;
  return { server, client, relayed, home, ticket: Uint8Array.from(answer.require('MOBILITY-TICKET')) };
}

type Mobile = ReturnType<typeof mobile>;

function move({ server, client }: Mobile, ticket: Uint8Array, remote = ELSEWHERE): StunMessage {
  client.path = server.path(SERVER, remote);
  return client.request('Refresh', [['MOBILITY-TICKET', ticket]]);
}

describe('mobility (RFC 8016)', () => {
  it('is 405 where it is switched off, and 400 with a ticket in the Allocate', () => {
    const off = new TestClient(new TestServer());
    expect(codeOf(off.allocate([['MOBILITY-TICKET', new Uint8Array(0)]]))).toBe(405);
    off.allocate();
    expect(codeOf(off.request('Refresh', [['MOBILITY-TICKET', new Uint8Array(32)]]))).toBe(405);
    const on = new TestClient(new TestServer({ mobility: true }));
    expect(codeOf(on.allocate([['MOBILITY-TICKET', new Uint8Array(32)]]))).toBe(400);
    expect(on.allocate().has('MOBILITY-TICKET')).toBe(false);
  });

  it('a retransmitted Allocate gets the same ticket', () => {
    const server = new TestServer({ mobility: true });
    const client = new TestClient(server);
    const first = client.allocate([['MOBILITY-TICKET', new Uint8Array(0)]]);
    const [again] = server.input(client.lastRequest, client.path);
    expect(decodeStun(again!.bytes).require('MOBILITY-TICKET')).toEqual(first.require('MOBILITY-TICKET'));
  });

  it('keeps relayed address, permissions and channels; data moves when the client sends from the new address', () => {
    const m = mobile();
    const { server, client, relayed, home } = m;
    const answer = move(m, m.ticket);
    expect(codeOf(answer)).toBe(0);
    expect(answer.require('MOBILITY-TICKET')).not.toEqual(m.ticket);
    expect(server.fromPeer(relayed, PEER, DATA)[0]!.path).toBe(home);
    expect(server.input(Uint8Array.of(0x40, 0, 0, 1, 9), home)).toHaveLength(1); // the old one still works
    expect(client.channelData(0x4000, DATA)).toHaveLength(1);
    expect(server.fromPeer(relayed, PEER, DATA)[0]!.path).toBe(client.path);
    expect(server.input(Uint8Array.of(0x40, 0, 0, 1, 9), home)).toEqual([]); // and now no longer
    expect(server.events.at(-1)).toMatchObject({ type: 'moved', username: USER, from: home, path: client.path });
    expect(server.core.stats.allocations).toBe(1);
  });

  it('a Send indication counts as arrival too', () => {
    const m = mobile();
    move(m, m.ticket);
    m.client.indicate([
      ['XOR-PEER-ADDRESS', PEER],
      ['DATA', DATA],
    ]);
    expect(m.server.fromPeer(m.relayed, PEER, DATA)[0]!.path).toBe(m.client.path);
  });

  it('answers a retransmission alike, and takes the old ticket for nothing else', () => {
    const m = mobile();
    const answer = move(m, m.ticket);
    const [again] = m.server.input(m.client.lastRequest, m.client.path);
    expect(decodeStun(again!.bytes).require('MOBILITY-TICKET')).toEqual(answer.require('MOBILITY-TICKET'));
    expect(codeOf(move(m, m.ticket, { ip: '198.51.100.201', port: 1 }))).toBe(400);
    const next = Uint8Array.from(answer.require('MOBILITY-TICKET'));
    expect(codeOf(move(m, next, { ip: '198.51.100.202', port: 1 }))).toBe(0);
    expect(m.server.core.stats.allocations).toBe(1);
  });

  it('is 400 from the same address or with a malformed ticket, 437 with an unknown one', () => {
    const m = mobile();
    expect(codeOf(m.client.request('Refresh', [['MOBILITY-TICKET', m.ticket]]))).toBe(400);
    expect(codeOf(move(m, new Uint8Array(5)))).toBe(400);
    expect(codeOf(move(m, new Uint8Array(32)))).toBe(437);
  });

  it('is 441 for another user, who learns nothing by a stolen ticket', () => {
    const server = new TestServer({ mobility: true, findUser: (username) => ({ username, password: 'x' }) });
    const ada = new TestClient(server, { password: 'x' });
    const ticket = Uint8Array.from(ada.allocate([['MOBILITY-TICKET', new Uint8Array(0)]]).require('MOBILITY-TICKET'));
    const eve = new TestClient(server, { username: 'eve', password: 'x', remote: ELSEWHERE });
    expect(codeOf(eve.request('Refresh', [['MOBILITY-TICKET', ticket]]))).toBe(441);
    expect(codeOf(new TestClient(server, { password: 'wrong', remote: ELSEWHERE }).once('Refresh'))).toBe(401);
  });

  it('is 437 onto an address that has an allocation of its own', () => {
    const m = mobile();
    new TestClient(m.server, { remote: ELSEWHERE }).allocate();
    expect(codeOf(move(m, m.ticket))).toBe(437);
  });

  it('survives the end of the old connection', () => {
    const m = mobile('tcp');
    m.server.core.pathClosed(m.home, m.server.now);
    expect(m.server.core.stats.allocations).toBe(1);
    expect(codeOf(move(m, m.ticket))).toBe(0);
    expect(m.client.channelData(0x4000, DATA)).toHaveLength(1);
    expect(m.server.core.stats.allocationsByTransport).toEqual({ udp: 1, tcp: 0, tls: 0, dtls: 0 });
    expect(m.server.fromPeer(m.relayed, PEER, DATA)[0]!.bytes).toHaveLength(7); // no padding any more
  });

  it('goes over at once when the old connection ends after the move', () => {
    const m = mobile('tcp');
    move(m, m.ticket);
    m.server.core.pathClosed(m.home, m.server.now);
    expect(m.server.fromPeer(m.relayed, PEER, DATA)[0]!.path).toBe(m.client.path);
  });

  it('comes to nothing when the new connection ends before the client has said anything there', () => {
    const m = mobile('tcp');
    move(m, m.ticket);
    m.server.core.pathClosed(m.client.path, m.server.now);
    expect(m.server.fromPeer(m.relayed, PEER, DATA)[0]!.path).toBe(m.home);
    expect(m.server.core.stats.allocationsByTransport).toMatchObject({ tcp: 1, udp: 0 });
    m.client.path = m.home;
    expect(m.client.channelData(0x4000, DATA)).toHaveLength(1);
  });

  it('tickets have no zero byte: coturn keeps them as strings', () => {
    expect(Array.from({ length: 50 }, () => mobile().ticket).every((ticket) => !ticket.includes(0))).toBe(true);
  });

  it('tickets end with their allocation', () => {
    const m = mobile();
    m.client.request('Refresh', [['LIFETIME', 0]]);
    expect(codeOf(move(m, m.ticket))).toBe(437);
  });
});
