import { describe, expect, it } from 'vitest';
import { EMPTY, type FiveTuple, type TransportAddress, utf8 } from '../../../src/core/index.ts';
import { decodeStun, type StunMessage } from '../../../src/stun/index.ts';
import type { TurnServerEvent } from '../../../src/turn/server/index.ts';
import { SeededRandom, seeds } from '../../sim/index.ts';
import { type Attribute, codeOf, PEER, PEER6, RELAY_IP, RELAY_IP6, TestClient, TestServer } from './harness.ts';

/*
 * Clients with credentials that ask for anything in any order, in the middle of which sockets fail to open, connections end, peers
 * come and go, and time passes. Nothing is thrown; and when all of them are gone, nothing of them is left.
 */

const STEPS = 600;
/** As many as the user may have: one that leaks is missed at the end. */
const PORTS = 32;
const OPTIONS = {
  tcpRelay: true,
  mobility: true,
  dontFragment: true,
  reportsIcmp: true,
  minPort: 50_000,
  maxPort: 50_000 + PORTS - 1,
  userQuota: PORTS,
  unauthenticatedRate: { perSecond: 1e9, burst: 1e9 },
} as const;
const METHODS = [
  'Allocate',
  'Allocate',
  'Refresh',
  'CreatePermission',
  'ChannelBind',
  'Connect',
  'ConnectionBind',
] as const;
const PROTOCOLS = ['udp', 'udp', 'tcp', 'tls', 'dtls'] as const;
const WAITS_MS = [0, 0, 1, 1000, 1000, 1000, 31_000, 31_000, 301_000, 3_600_000];

type ConnectPeer = Extract<TurnServerEvent, { type: 'connect-peer' }>;

class Crowd {
  readonly server = new TestServer(OPTIONS);
  readonly #random: SeededRandom;
  #clients: TestClient[] = [];
  #nextPort = 1000;
  #seenEvents = 0;
  readonly #dialled: ConnectPeer[] = [];
  /** What answers have told, to be used in the wrong place. */
  readonly #tokens: Uint8Array[] = [new Uint8Array(8)];
  readonly #tickets: Uint8Array[] = [EMPTY, utf8('0'.repeat(32))];
  readonly #connections: number[] = [0, 0xffff_ffff];
  readonly #relayed: TransportAddress[] = [];

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    for (let i = 0; i < 8; i++) this.#arrive();
  }

  step(): void {
    const random = this.#random;
    const client = random.pick(this.#clients);
    const deed = random.below(20);
    if (deed < 12) this.#ask(client);
    else if (deed === 12) this.#leave(client);
    else if (deed === 13) this.server.advance(random.pick(WAITS_MS));
    else if (deed === 14) this.server.holdRelays = !this.server.holdRelays;
    else if (deed === 15) this.server.answerRelays();
    else if (deed === 16) this.server.refusePort = random.chance(0.5) ? (port) => port % 3 === 0 : () => false;
    else if (deed === 17) while (this.#dialled.length > 0) this.#settleConnection();
    else if (deed === 18) this.#comeFromPeer();
    else this.#sendData(client);
    this.#look();
  }

  /** Everybody goes, and enough time passes. */
  end(): void {
    this.server.holdRelays = false;
    this.server.refusePort = () => false;
    for (const client of [...this.#clients]) this.#leave(client);
    this.server.answerRelays();
    for (let i = 0; i < 3; i++) this.server.advance(3_600_001);
  }

  newClient(protocol: FiveTuple['protocol']): TestClient {
    return new TestClient(this.server, { protocol, remote: { ip: '198.51.100.9', port: this.#nextPort++ } });
  }

  #arrive(): void {
    this.#clients.push(this.newClient(this.#random.pick(PROTOCOLS)));
  }

  /** Of UDP nobody hears that it is over. */
  #leave(client: TestClient): void {
    const { core, now } = this.server;
    if (client.path.protocol !== 'udp') core.pathClosed(client.path, now);
    this.server.drain();
    this.#clients = this.#clients.filter((other) => other !== client);
    this.#arrive();
  }

  #ask(client: TestClient): void {
    const random = this.#random;
    const method = random.pick(METHODS);
    const attributes = random.chance(0.9) ? this.#fitting(method, client) : [];
    if (random.chance(0.2)) attributes.push(this.#attribute());
    const answer = this.#exchange(client, () => client.send(method, attributes));
    if (answer !== undefined && codeOf(answer) === 0) this.#learn(answer);
  }

  /** What such a request needs, and some of what it may have. */
  #fitting(method: (typeof METHODS)[number], client: TestClient): Attribute[] {
    const random = this.#random;
    const overStream = client.path.protocol === 'tcp' || client.path.protocol === 'tls';
    const peer = random.pick([PEER, PEER6, ...this.#relayed.slice(-4)]);
    switch (method) {
      case 'Allocate': {
        if (overStream && random.chance(0.5)) return [['REQUESTED-TRANSPORT', 6]];
        const extra = random.pick<() => Attribute[]>([
          () => [['MOBILITY-TICKET', EMPTY]],
          () => [['EVEN-PORT', true]],
          () => [['RESERVATION-TOKEN', random.pick(this.#tokens.slice(-2))]],
          () => [
            ['ADDITIONAL-ADDRESS-FAMILY', 6],
            ['MOBILITY-TICKET', EMPTY],
          ],
          () => [],
        ])();
        return [['REQUESTED-TRANSPORT', 17], ...extra];
      }
      case 'Refresh':
        if (random.chance(0.5)) return [['MOBILITY-TICKET', random.pick(this.#tickets.slice(-4))]];
        return [['LIFETIME', random.pick([0, 600, 3600])]];
      case 'ChannelBind':
        return [
          ['CHANNEL-NUMBER', 0x4000 + random.below(3)],
          ['XOR-PEER-ADDRESS', peer],
        ];
      case 'ConnectionBind':
        return [['CONNECTION-ID', random.pick(this.#connections.slice(-3))]];
      default:
        return [['XOR-PEER-ADDRESS', peer]];
    }
  }

  #exchange(client: TestClient, send: () => ReturnType<TestClient['send']>): StunMessage | undefined {
    for (let tries = 0; ; tries++) {
      const sent = send().find(({ path }) => path === client.path);
      const answer = sent === undefined ? undefined : decodeStun(sent.bytes);
      if (answer === undefined || answer.messageClass === 'indication' || tries === 2) return undefined;
      const code = codeOf(answer);
      if (code !== 401 && code !== 438) return answer;
      if (client.credentials.handleChallenge(answer, code === 438) !== 'retry') return undefined;
    }
  }

  #attribute(): Attribute {
    const random = this.#random;
    const peers = [PEER, PEER6, { ...PEER, port: 0 }, { ip: RELAY_IP, port: 3478 }, ...this.#relayed.slice(-6)];
    return random.pick<() => Attribute>([
      () => ['LIFETIME', random.pick([0, 1, 600, 0xffff_ffff])],
      () => ['LIFETIME', 0],
      () => ['EVEN-PORT', random.chance(0.7)],
      () => ['RESERVATION-TOKEN', random.pick(this.#tokens.slice(-3))],
      () => ['REQUESTED-ADDRESS-FAMILY', random.chance(0.5) ? 4 : 6],
      () => ['ADDITIONAL-ADDRESS-FAMILY', 6],
      () => ['XOR-PEER-ADDRESS', random.pick(peers)],
      () => ['XOR-PEER-ADDRESS', random.pick(peers)],
      () => ['CHANNEL-NUMBER', random.pick([0x3fff, 0x4000, 0x4001, 0x7fff, 0x8000])],
      () => ['CONNECTION-ID', random.pick(this.#connections.slice(-4))],
      () => ['MOBILITY-TICKET', random.chance(0.5) ? EMPTY : random.pick(this.#tickets.slice(-6))],
    ])();
  }

  #learn(answer: StunMessage): void {
    const [token, ticket, id] = [
      answer.get('RESERVATION-TOKEN'),
      answer.get('MOBILITY-TICKET'),
      answer.get('CONNECTION-ID'),
    ];
    if (token !== undefined) this.#tokens.push(token.slice());
    if (ticket !== undefined) this.#tickets.push(ticket.slice());
    if (id !== undefined) this.#connections.push(id);
    this.#relayed.push(...answer.getAll('XOR-RELAYED-ADDRESS'));
  }

  #look(): void {
    const { events, sent } = this.server;
    for (const event of events.slice(this.#seenEvents)) if (event.type === 'connect-peer') this.#dialled.push(event);
    this.#seenEvents = events.length;
    sent.length = 0;
  }

  /** A connection that was asked for stands, could not be made, or ends. */
  #settleConnection(): void {
    const { core, now } = this.server;
    const dialled = this.#dialled.splice(this.#random.below(Math.max(this.#dialled.length, 1)), 1)[0];
    if (dialled === undefined) return;
    if (this.#random.chance(0.7) && core.peerConnected(dialled.connection, now))
      this.#connections.push(dialled.connection);
    else core.peerClosed(dialled.connection);
    this.server.drain();
  }

  #comeFromPeer(): void {
    const local = [...this.server.sockets.values()].at(this.#random.below(8));
    if (local === undefined) return;
    const peer = local.ip === RELAY_IP6 ? PEER6 : PEER;
    const { core, now } = this.server;
    if (this.#random.chance(0.5)) {
      this.server.input(this.#random.bytes(this.#random.pick([0, 1, 1200, 65_500])), this.server.path(local, peer));
    } else {
      const connection = core.peerAccepted(local, peer, now);
      if (connection !== undefined) this.#connections.push(connection);
      core.handleIcmp(local, peer, { type: 3, code: 4, data: 0xffff_ffff }, now);
      this.server.drain();
    }
  }

  #sendData(client: TestClient): void {
    const data = this.#random.bytes(this.#random.pick([0, 1, 1200, 60_000]));
    if (this.#random.chance(0.5)) client.channelData(this.#random.pick([0x4000, 0x4001, 0x7fff]), data);
    else client.indicate([this.#attribute(), ['XOR-PEER-ADDRESS', PEER], ['DATA', data]]);
  }
}

describe('clients that ask for anything', () => {
  it.each(seeds(20))('seed %i: are answered, and leave nothing behind', (seed) => {
    const crowd = new Crowd(seed);
    for (let n = 0; n < STEPS; n++) crowd.step();
    const { core, sockets } = crowd.server;
    expect(core.stats.allocationsTotal).toBeGreaterThan(3);
    crowd.end();
    expect(core.stats).toMatchObject({
      allocations: 0,
      allocationsByTransport: { udp: 0, tcp: 0, tls: 0, dtls: 0 },
      relays: 0,
      reservations: 0,
      peerConnections: 0,
    });
    expect([sockets.size, core.nextTimeout()]).toEqual([0, Number.POSITIVE_INFINITY]);
    // Each port is free again, and counts on nobody.
    const ports = new Set<number>();
    for (let i = 0; i < PORTS; i++) ports.add(crowd.newClient('udp').allocate().require('XOR-RELAYED-ADDRESS').port);
    expect(ports.size).toBe(PORTS);
  });
});
