import { describe, expect, it } from 'vitest';
import { Driver, type FiveTuple, formatAddress, type SansIo, type TransportAddress } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  BehaviourDiscovery,
  type BehaviourEvent,
  describeBehaviour,
  type FilteringBehaviour,
  type MappingBehaviour,
  StunServer,
} from '../../src/stun/index.ts';
import { type LinkOptions, PERFECT, SimHost, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';

const PRIMARY = { ip: '203.0.113.1', port: 3478 };
const ALTERNATE = { ip: '203.0.113.2', port: 3479 };
const INSIDE = { ip: '10.0.0.2', port: 5000 };
const NAT_IP = '198.51.100.1';

type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** What of a peer's address counts for a NAT. */
function scope(behaviour: Dependence, peer: TransportAddress): string {
  if (behaviour === 'endpoint-independent') return '*';
  return behaviour === 'address-dependent' ? peer.ip : formatAddress(peer);
}

/** Runs `core` on INSIDE behind a NAT of the given kind (RFC 4787 §4.1, §5). */
function behindNat<E>(
  network: SimNetwork,
  core: SansIo<E, FiveTuple>,
  mapping: Dependence,
  filtering: Dependence,
  onEvent: (event: E) => void,
): void {
  const outside = new Map<string, TransportAddress>();
  const opened = new Map<string, Set<string>>();
  const host = new SimHost<FiveTuple>(network.world, (slot) => {
    const peer = slot.path!.remote;
    const key = scope(mapping, peer);
    let address = outside.get(key);
    if (address === undefined) {
      address = { ip: NAT_IP, port: 20_000 + outside.size };
      outside.set(key, address);
      const here = address;
      network.bind(here, (bytes, from) => {
        if (opened.get(formatAddress(here))?.has(scope(filtering, from))) {
          driver.input(bytes, { protocol: 'udp', local: INSIDE, remote: from });
        }
      });
    }
    const name = formatAddress(address);
    opened.set(name, (opened.get(name) ?? new Set()).add(scope(filtering, peer)));
    network.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), address, peer);
  });
  const driver = new Driver(core, host, onEvent);
  host.onWake = () => driver.wake();
  driver.drain();
}

function discover(
  mapping: Dependence,
  filtering: Dependence,
  options: { seed?: number; link?: LinkOptions; alternate?: boolean } = {},
) {
  const world = new SimWorld(options.seed ?? 1);
  const network = new SimNetwork(world, options.link ?? PERFECT);
  const env = simEnv(world, nobleCrypto);
  const discovery = options.alternate === false ? undefined : { primary: PRIMARY, alternate: ALTERNATE };
  const server = new StunServer({ env, ...(discovery === undefined ? {} : { behaviourDiscovery: discovery }) });
  const sockets = [PRIMARY, ALTERNATE, { ...PRIMARY, port: 3479 }, { ...ALTERNATE, port: 3478 }];
  network.attach(server, sockets, () => undefined);
  const client = new BehaviourDiscovery({ env, path: { protocol: 'udp', local: INSIDE, remote: PRIMARY } }, 0);
  const events: BehaviourEvent[] = [];
  behindNat(network, client, mapping, filtering, (event) => events.push(event));
  world.run();
  expect(world.pending).toBe(0);
  return { world, events };
}

const KINDS: Dependence[] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'];

describe('BehaviourDiscovery (RFC 5780 §4.3, §4.4)', () => {
  it.each(KINDS.flatMap((mapping) => KINDS.map((filtering) => [mapping, filtering] as const)))(
    'a NAT with %s mapping and %s filtering is recognised',
    (mapping, filtering) => {
      const { events, world } = discover(mapping, filtering);
      expect(events).toEqual([{ type: 'result', mapped: { ip: NAT_IP, port: 20_000 }, mapping, filtering }]);
      expect(world.now).toBeLessThan(20_000);
    },
  );

  it('without a second address the server can tell only the public address', () => {
    expect(discover('endpoint-independent', 'address-dependent', { alternate: false }).events).toEqual([
      { type: 'result', mapped: { ip: NAT_IP, port: 20_000 }, mapping: 'unknown', filtering: 'unknown' },
    ]);
  });

  it('no answer at all', () => {
    expect(discover('endpoint-independent', 'address-dependent', { link: { latencyMs: 1, loss: 1 } }).events).toEqual([
      { type: 'failed', reason: 'no-udp' },
    ]);
  });

  it('without a NAT there is no mapping, and filtering is still tested', () => {
    const world = new SimWorld(1);
    const network = new SimNetwork(world, PERFECT);
    const env = simEnv(world, nobleCrypto);
    const server = new StunServer({ env, behaviourDiscovery: { primary: PRIMARY, alternate: ALTERNATE } });
    network.attach(
      server,
      [PRIMARY, ALTERNATE, { ...PRIMARY, port: 3479 }, { ...ALTERNATE, port: 3478 }],
      () => undefined,
    );
    const client = new BehaviourDiscovery({ env, path: { protocol: 'udp', local: INSIDE, remote: PRIMARY } }, 0);
    const events: BehaviourEvent[] = [];
    const { driver } = network.attach(client, [INSIDE], (event) => events.push(event));
    driver.drain();
    world.run();
    expect(events).toEqual([{ type: 'result', mapped: INSIDE, mapping: 'none', filtering: 'endpoint-independent' }]);
    driver.input(new Uint8Array(3), { protocol: 'udp', local: INSIDE, remote: PRIMARY });
    expect(client.drops.get('closed')).toBe(1);
  });

  it('a server that ignores CHANGE-REQUEST proves nothing about filtering', () => {
    const world = new SimWorld(1);
    const network = new SimNetwork(world, PERFECT);
    const env = simEnv(world, nobleCrypto);
    const server = new StunServer({ env, behaviourDiscovery: { primary: PRIMARY, alternate: ALTERNATE } });
    const stubborn: SansIo<never, FiveTuple> = {
      handleInput: (bytes, path, now) => server.handleInput(bytes, path, now),
      handleTimeout: () => undefined,
      pollTransmit: (slot) => {
        const more = server.pollTransmit(slot);
        if (more) slot.path = { ...slot.path!, local: PRIMARY };
        return more;
      },
      pollEvent: () => undefined,
      nextTimeout: () => server.nextTimeout(),
    };
    network.attach(stubborn, [PRIMARY, ALTERNATE, { ...ALTERNATE, port: 3478 }], () => undefined);
    const client = new BehaviourDiscovery({ env, path: { protocol: 'udp', local: INSIDE, remote: PRIMARY } }, 0);
    const events: BehaviourEvent[] = [];
    behindNat(network, client, 'endpoint-independent', 'endpoint-independent', (event) => events.push(event));
    world.run();
    expect(events).toMatchObject([{ mapping: 'endpoint-independent', filtering: 'unknown' }]);
  });

  it.each(seeds(60))('seed %i: a bad link never hangs it, and never makes a NAT look more open than it is', (seed) => {
    const link = { latencyMs: 60, jitterMs: 100, loss: 0.2, duplicate: 0.1 };
    const { events } = discover('address-dependent', 'address-and-port-dependent', { seed, link });
    expect(events).toHaveLength(1);
    const event = events[0]!;
    if (event.type === 'result') {
      expect(['address-dependent', 'unknown']).toContain(event.mapping);
      expect(['address-and-port-dependent', 'unknown']).toContain(event.filtering);
    }
  });

  it('says it in words', () => {
    const mapped = { ip: NAT_IP, port: 1 };
    const mappings: MappingBehaviour[] = ['none', ...KINDS, 'unknown'];
    const filterings: FilteringBehaviour[] = [...KINDS, 'unknown'];
    const sentences = mappings.flatMap((mapping) =>
      filterings.flatMap((filtering) => describeBehaviour({ type: 'result', mapped, mapping, filtering })),
    );
    expect(new Set(sentences).size).toBe(9);
    for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z].*\.$/);
  });
});
