import { afterAll, describe, expect, it } from 'vitest';
import { bytesToHex, type FiveTuple, type TransportAddress, utf8 } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import {
  TurnClient,
  type TurnClientEvent,
  type TurnClientOptions,
  TurnServerCore,
  type TurnServerCoreOptions,
} from '../../src/turn/index.ts';
import { type LinkOptions, PERFECT, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { SimTurnServer } from './sim-server.ts';

const SERVER = { ip: '192.0.2.1', port: 3478 };
const RELAY_IP = '192.0.2.2';
const ALICE = { ip: '198.51.100.7', port: 40_000 };
const BOB = { ip: '198.51.100.8', port: 41_000 };
const ECHO = { ip: '203.0.113.9', port: 7 };

/** A server, an echo peer, and as many clients as asked for, all over links of the same kind. */
class World {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly core: TurnServerCore;
  readonly server: SimTurnServer;
  readonly echoed: string[] = [];

  constructor(seed: number, link: LinkOptions, options: Partial<TurnServerCoreOptions> = {}) {
    this.world = new SimWorld(seed);
    this.network = new SimNetwork(this.world, link);
    this.core = new TurnServerCore({
      env: simEnv(this.world, nodeCrypto),
      realm: 'example.org',
      findUser: (username) => ({ username, password: `${username}'s secret` }),
      relayAddresses: [{ ip: RELAY_IP }],
      ...options,
    });
    this.server = new SimTurnServer(this.network, this.core, SERVER);
    this.network.bind(ECHO, (bytes, from, to) => {
      this.echoed.push(bytesToHex(bytes));
      this.network.send(bytes, to, from);
    });
  }

  client(username: string, local: TransportAddress, options: Partial<TurnClientOptions> = {}) {
    const path: FiveTuple = { protocol: 'udp', local, remote: SERVER };
    const env = simEnv(this.world, nodeCrypto);
    const turn = new TurnClient({ env, path, username, password: `${username}'s secret`, ...options });
    const events: TurnClientEvent[] = [];
    const data: { readonly peer: TransportAddress; readonly hex: string }[] = [];
    const { driver } = this.network.attach(turn, [local], (event) => {
      if (event.type === 'data') data.push({ peer: event.peer, hex: bytesToHex(event.bytes) });
      else events.push(event);
    });
    const does = (command: (now: number) => void) => driver.mutate(command);
    return { turn, events, data, does };
  }

  run(ms: number): void {
    this.world.run({ until: this.world.now + ms });
  }
}

describe('client and server', () => {
  it('allocation, permission, channel, data both ways, refresh for an hour, deletion', () => {
    const sim = new World(1, PERFECT);
    const { turn, events, data, does } = sim.client('ada', ALICE);
    does((now) => turn.allocate(now));
    sim.run(100);
    expect(events).toMatchObject([{ type: 'allocated', mapped: ALICE, lifetimeS: 600 }]);
    expect(turn.relayedAddresses[0]?.ip).toBe(RELAY_IP);
    does((now) => turn.send(ECHO, utf8('one'), now)); // Send and Data indications
    sim.run(100);
    does((now) => turn.bindChannel(ECHO, now));
    sim.run(100);
    does((now) => turn.send(ECHO, utf8('two'), now)); // ChannelData
    sim.run(3_600_000);
    does((now) => turn.send(ECHO, utf8('three'), now));
    sim.run(100);
    expect(data.map(({ hex }) => hex)).toEqual(['one', 'two', 'three'].map((text) => bytesToHex(utf8(text))));
    expect(data.every(({ peer }) => peer.port === ECHO.port && peer.ip === ECHO.ip)).toBe(true);
    expect(sim.core.stats.allocations).toBe(1);
    does((now) => turn.close(now));
    sim.run(100);
    expect(events.at(-1)).toEqual({ type: 'closed' });
    expect(sim.server.events.at(-1)).toMatchObject({ type: 'released', reason: 'deleted' });
    expect(sim.server.relays.size).toBe(0);
  });

  it('two clients of one server reach each other through their relayed addresses', () => {
    const sim = new World(1, PERFECT);
    const a = sim.client('ada', ALICE);
    const b = sim.client('bob', BOB);
    a.does((now) => a.turn.allocate(now));
    b.does((now) => b.turn.allocate(now));
    sim.run(100);
    const [ofA, ofB] = [a.turn.relayedAddresses[0]!, b.turn.relayedAddresses[0]!];
    b.does((now) => b.turn.createPermission(ofA, now));
    sim.run(100);
    a.does((now) => a.turn.send(ofB, utf8('ping'), now));
    sim.run(100);
    expect(b.data).toEqual([{ peer: ofA, hex: bytesToHex(utf8('ping')) }]);
    b.does((now) => b.turn.bindChannel(ofA, now));
    sim.run(100);
    b.does((now) => b.turn.send(ofA, utf8('pong'), now));
    sim.run(100);
    expect(a.data).toEqual([{ peer: ofB, hex: bytesToHex(utf8('pong')) }]);
  });

  it('an even port, its neighbour under a token, and a dual allocation without IPv6', () => {
    const sim = new World(1, PERFECT);
    const first = sim.client('ada', ALICE, { evenPort: 'reserve-next' });
    first.does((now) => first.turn.allocate(now));
    sim.run(100);
    const event = first.events[0];
    if (event?.type !== 'allocated' || event.reservationToken === undefined) throw new Error('no token');
    const port = first.turn.relayedAddresses[0]!.port;
    expect(port % 2).toBe(0);
    const second = sim.client('ada', BOB, { reservationToken: event.reservationToken });
    second.does((now) => second.turn.allocate(now));
    sim.run(100);
    expect(second.turn.relayedAddresses).toEqual([{ ip: RELAY_IP, port: port + 1 }]);
    const dual = sim.client('ada', { ip: '198.51.100.9', port: 1 }, { additionalFamily: true });
    dual.does((now) => dual.turn.allocate(now));
    sim.run(100);
    expect(dual.events).toMatchObject([{ type: 'allocated', addressError: { family: 6, code: 440 } }]);
  });

  it('a dual allocation relays both families', () => {
    const sim = new World(1, PERFECT, { relayAddresses: [{ ip: RELAY_IP }, { ip: '2001:db8:1::2' }] });
    const echo6 = { ip: '2001:db8:9::9', port: 7 };
    sim.network.bind(echo6, (bytes, from, to) => sim.network.send(bytes, to, from));
    const { turn, data, does } = sim.client('ada', ALICE, { additionalFamily: true });
    does((now) => turn.allocate(now));
    sim.run(100);
    expect(turn.relayedAddresses.map(({ ip }) => ip)).toEqual([RELAY_IP, '2001:db8:1::2']);
    does((now) => turn.send(ECHO, utf8('4'), now));
    does((now) => turn.bindChannel(echo6, now));
    sim.run(100);
    does((now) => turn.send(echo6, utf8('6'), now));
    sim.run(100);
    expect(data.map(({ peer }) => peer.ip)).toEqual([ECHO.ip, echo6.ip]);
  });

  it('a client that vanishes is forgotten when its lifetime ends', () => {
    const sim = new World(1, PERFECT);
    const { turn, does } = sim.client('ada', ALICE);
    does((now) => turn.allocate(now));
    sim.run(100);
    sim.network.setLink(ALICE.ip, SERVER.ip, { latencyMs: 1, loss: 1 });
    sim.run(599_000);
    expect(sim.core.stats.allocations).toBe(1);
    sim.run(2_000);
    expect(sim.core.stats.allocations).toBe(0);
    expect(sim.server.events.at(-1)).toMatchObject({ type: 'released', reason: 'expired' });
    expect(sim.server.relays.size).toBe(0);
  });

  it('a denied peer is refused, and other peers still work', () => {
    const sim = new World(1, PERFECT);
    const { turn, events, data, does } = sim.client('ada', ALICE);
    does((now) => turn.allocate(now));
    sim.run(100);
    does((now) => turn.send({ ip: '127.0.0.1', port: 22 }, utf8('x'), now));
    does((now) => turn.send({ ip: '10.0.0.1', port: 22 }, utf8('x'), now));
    does((now) => turn.send(ECHO, utf8('y'), now));
    sim.run(100);
    expect(events.filter((event) => event.type === 'permission-failed')).toMatchObject([
      { ip: '127.0.0.1', error: { code: 403 } },
      { ip: '10.0.0.1', error: { code: 403 } },
    ]);
    expect(data).toHaveLength(1);
  });

  // So that no run passes because nothing ever happened in it.
  const reached = { runs: 0, allocated: 0, survived: 0, data: 0 };
  afterAll(() => {
    expect(reached.allocated).toBeGreaterThanOrEqual(0.9 * reached.runs);
    expect(reached.survived).toBeGreaterThanOrEqual(0.9 * reached.runs);
    expect(reached.data).toBeGreaterThanOrEqual(3 * reached.runs);
  });

  it.each(seeds(300))('seed %i: a loss of 0.3, duplication and reordering, from allocation to expiry', (seed) => {
    const link = { latencyMs: 30, jitterMs: 80, loss: 0.3, duplicate: 0.1, reorder: 0.1 };
    const sim = new World(seed, link, { nonceLifetimeMs: 240_000 });
    const { turn, events, data, does } = sim.client('ada', ALICE);
    does((now) => turn.allocate(now));
    sim.run(120_000);
    reached.runs++;
    if (turn.state === 'allocated') reached.allocated++;
    const sent = new Set<string>();
    const say = (text: string) => {
      if (turn.state !== 'allocated') return;
      sent.add(bytesToHex(utf8(text)));
      does((now) => turn.send(ECHO, utf8(text), now));
    };
    for (let i = 0; i < 10; i++) {
      say(`indication ${i}`);
      sim.run(500);
    }
    if (turn.state === 'allocated') does((now) => turn.bindChannel(ECHO, now));
    sim.run(20_000);
    for (let i = 0; i < 10; i++) {
      say(`channel ${i}`);
      sim.run(500);
    }
    sim.run(1_200_000); // two lifetimes: refreshes, permissions, channels and nonces renewed under loss
    for (let i = 0; i < 10; i++) {
      say(`late ${i}`);
      sim.run(500);
    }
    expect(data.every(({ hex }) => sent.has(hex))).toBe(true);
    expect(sim.echoed.every((hex) => sent.has(hex))).toBe(true);
    if (turn.state === 'allocated') reached.survived++;
    if (turn.state === 'allocated') expect(sim.core.stats.allocations).toBe(1);
    reached.data += data.length;
    if (seed % 2 === 0) {
      does((now) => turn.close(now));
    } else {
      sim.network.setLink(ALICE.ip, SERVER.ip, { latencyMs: 1, loss: 1 }); // gone without a word
    }
    sim.run(3_700_000);
    expect(['closed', 'failed']).toContain(turn.state);
    expect(events.filter((event) => event.type === 'closed' || event.type === 'failed')).toHaveLength(1);
    expect(sim.core.stats.allocations).toBe(0);
    expect(sim.server.relays.size).toBe(0);
  });
});
