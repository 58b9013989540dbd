import { describe, expect, it } from 'vitest';
import { type Driver, equalBytes, type FiveTuple, type TransportAddress, UsageError } from '../../src/core/index.ts';
import type { IceCandidate } from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  MAX_RELAY_PATHS,
  MAX_RELAYS,
  MAX_REMEMBERED_PEERS,
  PeerTransport,
  type PeerTransportEvent,
  type PeerTransportOptions,
} from '../../src/peer-connection/index.ts';
import { STUN_METHODS } from '../../src/stun/index.ts';
import { type LinkOptions, PERFECT, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { FakeTurnServer, failWith } from '../turn/fake-server.ts';
import {
  DTLS_SERVER,
  IPS,
  makeRelayWorld,
  RELAY_IP,
  RELAY_IPV6,
  SERVER,
  SimDtlsListener,
  USER,
} from './relay-support.ts';
import { CERTIFICATES, fingerprintOf } from './support.ts';

const TURN_CERTIFICATE = CERTIFICATES[0];

interface RelayedTransport {
  readonly transport: PeerTransport;
  readonly driver: Driver<PeerTransportEvent, FiveTuple>;
  readonly events: PeerTransportEvent[];
  readonly base: TransportAddress;
  readonly received: string[];
}

/** A transport on a machine of its own, with a relay asked for. */
function makeTransport(
  network: SimNetwork,
  index: 0 | 1,
  onCandidate: (candidate: IceCandidate) => void,
  options: Partial<PeerTransportOptions> = {},
): RelayedTransport {
  const transport = new PeerTransport({
    env: simEnv(network.world, nodeCrypto),
    certificate: CERTIFICATES[index],
    iceRole: index === 0 ? 'controlling' : 'controlled',
    ice: { policy: 'relay' },
    ...options,
  });
  const base = { ip: IPS[index], port: 4000 };
  const events: PeerTransportEvent[] = [];
  const received: string[] = [];
  const { driver } = network.attach(transport, [base], (event) => {
    if (event.type === 'candidate') onCandidate(event.candidate);
    if (event.type === 'message' && typeof event.data === 'string') received.push(event.data);
    else events.push(event);
  });
  return { transport, driver, events, base, received };
}

function addRelay({ transport, driver, base }: RelayedTransport, options: object = {}): boolean {
  const path: FiveTuple = { protocol: 'udp', local: base, remote: SERVER };
  return driver.mutate((now) => transport.relays.add({ path, ...USER, url: 'turn:test', ...options }, now));
}

/** How to reach the server over DTLS, trusting its certificate only. */
function overDtls({ base }: RelayedTransport) {
  const path: FiveTuple = { protocol: 'dtls', local: base, remote: DTLS_SERVER };
  const isTrusted = (chain: readonly Uint8Array[]) => equalBytes(chain[0] ?? new Uint8Array(0), TURN_CERTIFICATE.der);
  return {
    path,
    dtls: { verifyPeer: (chain: readonly Uint8Array[]) => (isTrusted(chain) ? undefined : 'unknown_ca') },
  };
}

/** Two transports that may be relayed only, through one server; candidates are signalled without loss. */
function meet(
  seed: number,
  link: LinkOptions,
  protocol: 'udp' | 'dtls' = 'udp',
  options: Partial<PeerTransportOptions> = {},
) {
  const { network, core, server } = makeRelayWorld(seed, link);
  const dtls = new SimDtlsListener(network, server, TURN_CERTIFICATE);
  const { world } = network;
  const signal = (to: 0 | 1) => (candidate: IceCandidate) => {
    world.schedule(world.now + 20, () => {
      const { transport, driver } = sides[to];
      driver.mutate((now) => transport.addRemoteCandidate(candidate, now));
    });
  };
  const sides = [makeTransport(network, 0, signal(1), options), makeTransport(network, 1, signal(0), options)] as const;
  for (const [i, side] of sides.entries()) {
    const other = sides[(1 - i) as 0 | 1];
    addRelay(side, protocol === 'dtls' ? overDtls(side) : {});
    side.driver.mutate((now) => {
      side.transport.endOfLocalCandidates(now);
      side.transport.ice.setRemoteParameters(other.transport.ice.localParameters, now);
      const dtlsRole = i === 0 ? 'client' : 'server';
      side.transport.connect({ dtlsRole, fingerprints: [fingerprintOf(CERTIFICATES[(1 - i) as 0 | 1])] }, now);
    });
  }
  const [a, b] = sides;
  const channel = a.driver.mutate((now) => a.transport.channels.open({ label: 'x' }, now));
  const until = (done: () => boolean) => world.run({ until: world.now + 180_000, done });
  const opened = until(() => a.events.some(({ type }) => type === 'open'));
  return { network, world, core, server, dtls, a, b, channel, opened, until };
}

const of = <T extends PeerTransportEvent['type']>({ events }: RelayedTransport, type: T) =>
  events.filter((event): event is PeerTransportEvent & { readonly type: T } => event.type === type);

describe('two transports with relayed candidates only', () => {
  it('connect, exchange messages over channels, and give their allocations back', () => {
    const { world, core, server, a, b, channel, opened, until } = meet(1, PERFECT);
    expect(opened).toBe(true);
    for (const side of [a, b]) {
      expect(of(side, 'candidate').map(({ candidate }) => [candidate.type, candidate.address])).toEqual([
        ['relay', RELAY_IP],
      ]);
      // RFC 8839 §5.1: who hides behind a relay does not name its own address either.
      expect(of(side, 'candidate')[0]?.candidate).toMatchObject({ relatedAddress: '0.0.0.0', relatedPort: 9 });
      expect(of(side, 'relay-allocated')).toHaveLength(1);
    }
    for (let i = 0; i < 50; i++) a.driver.mutate((now) => a.transport.channels.send(channel, `message ${i}`, now));
    until(() => b.received.length === 50);
    expect(b.received).toEqual(Array.from({ length: 50 }, (_, i) => `message ${i}`));
    expect(core.stats).toMatchObject({ allocations: 2, requestsTotal: { ChannelBind: 2 } });
    for (const { driver, transport } of [a, b]) driver.mutate((now) => transport.close(now));
    world.run({ until: world.now + 1000 });
    expect(core.stats.allocations).toBe(0);
    expect(server.relays.size).toBe(0);
    for (const side of [a, b]) expect(side.events.at(-1)).toEqual({ type: 'transport-closed' });
  });

  it.each(seeds(80))('seed %i: a loss of 0.1, duplication, jitter and reordering on every link', (seed) => {
    const link = { latencyMs: 30, jitterMs: 60, loss: 0.1, duplicate: 0.1, reorder: 0.1 };
    const { a, b, channel, opened, until } = meet(seed, link);
    expect(opened, JSON.stringify([a.transport.ice.connectionState, b.events])).toBe(true);
    for (let i = 0; i < 20; i++) a.driver.mutate((now) => a.transport.channels.send(channel, `message ${i}`, now));
    expect(until(() => b.received.length === 20)).toBe(true);
    expect(b.received).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`));
  });

  it('are not searched for larger packets: the first hop of a relayed path is another one', () => {
    const asked: FiveTuple[] = [];
    const pathMtuBytes = (path: FiveTuple): number => {
      asked.push(path);
      return 65_536;
    };
    const { a, b, world, opened } = meet(1, PERFECT, 'udp', { pathMtuBytes });
    expect(opened).toBe(true);
    world.run({ until: world.now + 30_000 });
    for (const { transport } of [a, b]) expect(transport.sctp?.stats().mtuBytes).toBe(1191);
    expect(asked).toEqual([]);
  });

  it('reach the server over DTLS, and say goodbye to it', () => {
    const { world, core, dtls, a, b, channel, opened, until } = meet(1, PERFECT, 'dtls');
    expect(opened).toBe(true);
    expect(of(a, 'candidate')[0]?.candidate.relayProtocol).toBe('dtls');
    expect(core.stats.allocationsByTransport).toMatchObject({ udp: 0, dtls: 2 });
    a.driver.mutate((now) => a.transport.channels.send(channel, 'in records in records', now));
    until(() => b.received.length === 1);
    expect(b.received).toEqual(['in records in records']);
    for (const { driver, transport } of [a, b]) driver.mutate((now) => transport.close(now));
    world.run({ until: world.now + 1000 });
    expect([core.stats.allocations, dtls.listener.connectionCount]).toEqual([0, 0]);
  });

  it.each(seeds(30))('seed %i: over DTLS, with a loss of 0.1, duplication, jitter and reordering', (seed) => {
    const link = { latencyMs: 30, jitterMs: 60, loss: 0.1, duplicate: 0.1, reorder: 0.1 };
    const { a, b, channel, opened, until } = meet(seed, link, 'dtls');
    expect(opened, JSON.stringify([a.transport.ice.connectionState, b.events])).toBe(true);
    for (let i = 0; i < 20; i++) a.driver.mutate((now) => a.transport.channels.send(channel, `message ${i}`, now));
    expect(until(() => b.received.length === 20)).toBe(true);
  });

  it('over DTLS, what is too long for a record is lost as on any path: a probe for packets of that size finds shorter ones', () => {
    const { a, b, channel, opened, until } = meet(1, PERFECT, 'dtls', { sctp: { maxMtuBytes: 16_384 } });
    expect(opened).toBe(true);
    for (let i = 0; i < 30; i++) a.driver.mutate((now) => a.transport.channels.send(channel, 'x'.repeat(10_000), now));
    expect(until(() => b.received.length === 30 && (a.transport.sctp?.stats().mtuBytes ?? 0) > 16_200)).toBe(true);
    expect(a.transport.sctp?.stats().mtuBytes).toBeLessThan(16_384);
    expect(a.transport.relays.drops.toJSON()).toEqual({ 'bad-length': expect.any(Number) });
  });

  it('a DTLS association that the server ends takes its relay with it', () => {
    const { world, dtls, a, opened } = meet(1, PERFECT, 'dtls');
    expect(opened).toBe(true);
    dtls.closeAll();
    world.run({ until: world.now + 100 });
    expect(of(a, 'relay-failed')).toMatchObject([{ failure: 'disconnected', code: 701 }]);
  });

  it('a server whose certificate is not trusted is not spoken to', () => {
    const { network, core, server } = makeRelayWorld(1, PERFECT);
    new SimDtlsListener(network, server, CERTIFICATES[1]);
    const side = makeTransport(network, 0, () => undefined);
    addRelay(side, overDtls(side));
    network.world.run({ until: 5000 });
    expect(of(side, 'relay-failed')).toMatchObject([{ failure: 'disconnected', code: 701 }]);
    expect(core.stats.requestsTotal).toEqual({});
  });

  it('over IPv6 relays, where the server gives both and the peers want IPv6', () => {
    const { network, core } = makeRelayWorld(1, PERFECT, { relayAddresses: [{ ip: RELAY_IP }, { ip: RELAY_IPV6 }] });
    const side = makeTransport(network, 0, () => undefined);
    addRelay(side, { turn: { additionalFamily: true } });
    network.world.run({ until: 1000 });
    expect(of(side, 'candidate').map(({ candidate }) => candidate.address)).toEqual([RELAY_IP, RELAY_IPV6]);
    expect(core.stats.allocations).toBe(1);
  });

  it('an allocation that is lost takes its candidate with it, and ICE notices', () => {
    const { world, network, a, opened } = meet(1, PERFECT);
    expect(opened).toBe(true);
    network.setLink(SERVER.ip, IPS[0], { latencyMs: 1, loss: 1 }); // nothing comes back from the server any more
    world.run({ until: world.now + 700_000 });
    expect(of(a, 'relay-failed')).toMatchObject([
      { failure: 'timeout', code: 701, reason: 'no answer', relayed: [{ ip: RELAY_IP }], server: { url: 'turn:test' } },
    ]);
    expect(a.transport.ice.connectionState).toBe('failed');
  });
});

/** One transport and a server that does what the test says. */
function withFakeServer(answer: FakeTurnServer['answer'] = () => undefined) {
  const world = new SimWorld(1);
  const network = new SimNetwork(world, { latencyMs: 10 });
  const fake = new FakeTurnServer({ env: simEnv(world, nodeCrypto), realm: 'example.org', findUser: () => USER });
  fake.answer = answer;
  const { driver: serverDriver } = network.attach(fake, [SERVER], () => undefined);
  const side = makeTransport(network, 0, () => undefined);
  const run = (ms: number) => world.run({ until: world.now + ms });
  const permitted = (): (string | undefined)[] =>
    fake.seen
      .filter(({ method, signed }) => method === STUN_METHODS.CreatePermission && signed)
      .map(({ message }) => message.get('XOR-PEER-ADDRESS')?.ip);
  return { world, network, fake, serverDriver, side, run, permitted };
}

function candidate(address: string, port = 1): IceCandidate {
  const common = { foundation: '1', component: 1, protocol: 'udp', priority: 1, type: 'host' } as const;
  return { ...common, address, port };
}

describe('relays', () => {
  it('let in the addresses of the peer: those known before the allocation and those that come later, each once', () => {
    const { side, run, permitted } = withFakeServer();
    const add = (...ips: string[]) => {
      for (const ip of ips) side.driver.mutate((now) => side.transport.addRemoteCandidate(candidate(ip), now));
    };
    addRelay(side);
    add('198.51.100.1', '198.51.100.1', 'x.local', '2001:db8::7');
    run(1000);
    expect(permitted()).toEqual(['198.51.100.1']); // no name, and no family that the relay has no address of
    add('198.51.100.2', '198.51.100.1');
    run(1000);
    expect(permitted()).toEqual(['198.51.100.1', '198.51.100.2']);
  });

  it('do not ask again for a peer that the server refuses', () => {
    const { side, run, permitted, fake } = withFakeServer(({ method }) =>
      method === STUN_METHODS.CreatePermission ? failWith(403) : undefined,
    );
    addRelay(side);
    run(1000);
    side.driver.mutate((now) => side.transport.addRemoteCandidate(candidate('127.0.0.1'), now));
    side.driver.mutate((now) => side.transport.ice.setRemoteParameters({ ufrag: 'abcd', pwd: 'x'.repeat(24) }, now));
    run(10_000);
    expect(permitted()).toEqual(['127.0.0.1']);
    expect(fake.received).toEqual([]);
  });

  it('hold checks back until their permission stands, then send them', () => {
    const { side, run, fake } = withFakeServer();
    addRelay(side);
    run(1000);
    side.driver.mutate((now) => {
      side.transport.ice.setRemoteParameters({ ufrag: 'abcd', pwd: 'x'.repeat(24) }, now);
      side.transport.ice.addRemoteCandidate(candidate('198.51.100.1', 7), now);
    });
    run(1000);
    expect(fake.received.length).toBeGreaterThan(0);
    expect(fake.received[0]).toMatchObject({ peer: { ip: '198.51.100.1', port: 7 }, by: 'send' });
  });

  it(`are ${MAX_RELAYS} at most; one that has failed makes room`, () => {
    const { side, run } = withFakeServer();
    const add = (port: number): boolean =>
      addRelay(side, { path: { protocol: 'udp', local: side.base, remote: { ip: '203.0.113.77', port } } });
    for (let port = 1; port <= MAX_RELAYS; port++) expect(add(port)).toBe(true);
    expect(add(100)).toBe(false);
    run(60_000);
    expect(of(side, 'relay-failed')).toHaveLength(MAX_RELAYS);
    expect(add(100)).toBe(true);
  });

  it(`remember ${MAX_REMEMBERED_PEERS} addresses of the peer for later allocations`, () => {
    const { side, run, permitted } = withFakeServer();
    for (let i = 0; i < MAX_REMEMBERED_PEERS + 5; i++) {
      side.driver.mutate((now) => side.transport.addRemoteCandidate(candidate(`198.51.100.${i + 1}`), now));
    }
    addRelay(side);
    run(60_000);
    expect(new Set(permitted()).size).toBe(MAX_REMEMBERED_PEERS);
  });

  it(`keep ${MAX_RELAY_PATHS} paths, and hand on what comes over more`, () => {
    const { side, run, fake, serverDriver } = withFakeServer();
    addRelay(side);
    side.driver.mutate((now) => side.transport.addRemoteCandidate(candidate('198.51.100.1'), now));
    run(1000);
    const before = side.transport.drops.total;
    for (let port = 1; port <= MAX_RELAY_PATHS + 10; port++) {
      serverDriver.mutate(() => fake.sendFromPeer({ ip: '198.51.100.1', port }, Uint8Array.of(200)));
      run(20);
    }
    expect(side.transport.drops.total - before).toBe(MAX_RELAY_PATHS + 10); // each reached the demultiplexer: no protocol
  });

  it('take no Binding response, which is for ICE, and nothing from strangers', () => {
    const { side, run, network } = withFakeServer();
    addRelay(side);
    run(1000);
    const { total } = side.transport.ice.drops;
    const binding = Uint8Array.of(1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12));
    network.send(binding, SERVER, side.base);
    const channelData = Uint8Array.of(0x40, 0, 0, 1, 200);
    network.send(channelData, { ip: '203.0.113.66', port: 3478 }, side.base);
    run(100);
    expect(side.transport.ice.drops.total - total).toBe(1);
    expect(side.transport.drops.get('unsupported')).toBe(1); // a channel of nobody
  });

  it('refuse names and passwords that OpaqueString does not allow', () => {
    const { side } = withFakeServer();
    expect(() => addRelay(side, { password: '' })).toThrow(UsageError);
  });
});
