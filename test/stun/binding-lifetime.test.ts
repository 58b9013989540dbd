import { describe, expect, it } from 'vitest';
import { createTransmitSlot, type FiveTuple, resetTransmitSlot, type TransportAddress } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import {
  BindingLifetime,
  type BindingLifetimeEvent,
  type BindingLifetimeOptions,
  decodeStun,
  describeBindingLifetime,
  encodeStun,
  LIFETIME_STEP_MS,
  MAX_LIFETIME_PROBE_MS,
  StunServer,
} from '../../src/stun/index.ts';
import { type LinkOptions, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { type NatOptions, SimNat, SimSite } from '../sim/nat.ts';

const PRIMARY = { ip: '203.0.113.1', port: 3478 };
const ALTERNATE = { ip: '203.0.113.2', port: 3479 };
const X: TransportAddress = { ip: '10.0.0.2', port: 5000 };
const Y: TransportAddress = { ip: '10.0.0.2', port: 5001 };
const NAT_IP = '198.51.100.1';
const STRICT: NatOptions = { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' };

interface Setting {
  readonly nat?: NatOptions;
  readonly seed?: number;
  readonly link?: LinkOptions;
  /** Whether the server can do behaviour discovery. */
  readonly discovery?: boolean;
  readonly options?: Partial<BindingLifetimeOptions>;
}

function discover({ nat = STRICT, seed = 1, link = { latencyMs: 20 }, discovery = true, options }: Setting) {
  const world = new SimWorld(seed);
  const internet = new SimNetwork(world, link);
  const site = new SimSite(world, ['10.']);
  new SimNat(site, internet, NAT_IP, nat);
  const env = simEnv(world, nodeCrypto);
  const addresses = { primary: PRIMARY, alternate: ALTERNATE };
  const server = new StunServer({ env, ...(discovery && { behaviourDiscovery: addresses }) });
  const sockets = [PRIMARY, ALTERNATE, { ...PRIMARY, port: ALTERNATE.port }, { ...ALTERNATE, port: PRIMARY.port }];
  internet.attach(server, sockets, () => undefined);
  const path: FiveTuple = { protocol: 'udp', local: X, remote: PRIMARY };
  const core = new BindingLifetime({ env, path, ...options });
  const events: BindingLifetimeEvent[] = [];
  const { driver } = site.attach(core, [X, Y], (event) => events.push(event));
  driver.mutate((now) => core.start(Y, now));
  world.run();
  expect(world.pending).toBe(0);
  return { events, world, core };
}

const end = (setting: Setting) => discover(setting).events.at(-1);

describe('BindingLifetime (RFC 5780 §4.6)', () => {
  it('doubles the silence until the binding is gone, and then halves the distance', () => {
    const { events } = discover({ nat: { ...STRICT, timeoutMs: 100_000 } });
    expect(events).toEqual([
      { type: 'probe', silenceMs: 15_000, alive: true },
      { type: 'probe', silenceMs: 30_000, alive: true },
      { type: 'probe', silenceMs: 60_000, alive: true },
      { type: 'probe', silenceMs: 120_000, alive: false },
      { type: 'probe', silenceMs: 90_000, alive: true },
      { type: 'probe', silenceMs: 105_000, alive: false },
      { type: 'result', aliveMs: 90_000, expiredMs: 105_000 },
    ]);
  });

  it.each([20, 30, 45, 64, 120, 180, 299])('finds a lifetime of %i s to within a step', (seconds) => {
    const result = end({ nat: { ...STRICT, timeoutMs: seconds * 1000 } });
    if (result?.type !== 'result' || result.expiredMs === undefined) throw new Error(JSON.stringify(result));
    expect(result.aliveMs).toBeLessThanOrEqual(seconds * 1000);
    expect(result.expiredMs).toBeGreaterThan(seconds * 1000 - 1000); // and two ways of 20 ms
    expect(result.expiredMs - result.aliveMs).toBeLessThanOrEqual(LIFETIME_STEP_MS);
  });

  it('finds one that is shorter than the first step, and one that is longer than the last', () => {
    expect(end({ nat: { ...STRICT, timeoutMs: 5000 } })).toEqual({ type: 'result', aliveMs: 0, expiredMs: 15_000 });
    expect(end({})).toEqual({ type: 'result', aliveMs: MAX_LIFETIME_PROBE_MS, expiredMs: undefined });
  });

  it('is as fine as it is asked to be', () => {
    const result = end({ nat: { ...STRICT, timeoutMs: 7300 }, options: { stepMs: 500, maxMs: 10_000 } });
    expect(result).toEqual({ type: 'result', aliveMs: 7000, expiredMs: 7500 });
  });

  it('takes an answer at the other port for an expired binding: the NAT has given it the same address', () => {
    const env = simEnv(new SimWorld(1), nodeCrypto);
    const core = new BindingLifetime({ env, path: { protocol: 'udp', local: X, remote: PRIMARY } });
    core.start(Y, 0);
    const slot = createTransmitSlot<FiveTuple>(2000);
    const events: BindingLifetimeEvent[] = [];
    for (let now = 0; now < 60_000; now = core.nextTimeout()) {
      core.handleTimeout(now);
      for (resetTransmitSlot(slot); core.pollTransmit(slot); resetTransmitSlot(slot)) {
        const request = decodeStun(slot.buffer.slice(slot.offset, slot.offset + slot.length));
        const probes = request.get('RESPONSE-PORT') === 20_000;
        expect(slot.path).toEqual({ protocol: 'udp', local: probes ? Y : X, remote: PRIMARY });
        const answer = encodeStun({
          messageClass: 'success',
          method: 1,
          transactionId: request.transactionId,
          attributes: [
            ['XOR-MAPPED-ADDRESS', { ip: NAT_IP, port: 20_000 }],
            ['OTHER-ADDRESS', ALTERNATE],
          ],
        });
        const local = probes && now > 0 ? Y : X;
        core.handleInput(answer, { protocol: 'udp', local, remote: PRIMARY }, now);
      }
      for (let event = core.pollEvent(); event !== undefined; event = core.pollEvent()) events.push(event);
    }
    expect(events).toEqual([
      { type: 'probe', silenceMs: 15_000, alive: false },
      { type: 'result', aliveMs: 0, expiredMs: 15_000 },
    ]);
  });

  it('says that there is no NAT, no answer, and a server that cannot', () => {
    expect(end({ discovery: false })).toEqual({ type: 'failed', reason: 'unsupported' });
    expect(end({ link: { latencyMs: 20, loss: 1 } })).toEqual({ type: 'failed', reason: 'no-udp' });
    const world = new SimWorld(1);
    const network = new SimNetwork(world, { latencyMs: 5 });
    const env = simEnv(world, nodeCrypto);
    const server = new StunServer({ env, behaviourDiscovery: { primary: PRIMARY, alternate: ALTERNATE } });
    network.attach(server, [PRIMARY], () => undefined);
    const core = new BindingLifetime({ env, path: { protocol: 'udp', local: X, remote: PRIMARY } });
    const events: BindingLifetimeEvent[] = [];
    network.attach(core, [X, Y], (event) => events.push(event)).driver.mutate((now) => core.start(Y, now));
    world.run();
    expect(events).toEqual([{ type: 'failed', reason: 'no-nat' }]);
    expect(() => core.start(Y, 0)).toThrow('begins once');
    core.handleInput(Uint8Array.of(1), { protocol: 'udp', local: X, remote: PRIMARY }, 0);
    expect(core.drops.get('closed')).toBe(1);
  });

  it.each(seeds(50))('seed %i: loss makes it end early or shorter, never longer, and once', (seed) => {
    const link = { latencyMs: 40, jitterMs: 100, loss: 0.2, duplicate: 0.1 };
    const { events } = discover({ nat: { ...STRICT, timeoutMs: 100_000 }, seed, link });
    expect(events.filter(({ type }) => type !== 'probe')).toHaveLength(1);
    const last = events.at(-1);
    if (last?.type === 'result') expect(last.aliveMs).toBeLessThanOrEqual(100_000);
  });
});

describe('in words', () => {
  it.each([
    [{ type: 'result', aliveMs: 90_000, expiredMs: 105_000 }, /for 90 s, and has forgotten it after 105 s/],
    [{ type: 'result', aliveMs: 0, expiredMs: 15_000 }, /forgets .* for 15 s/],
    [{ type: 'result', aliveMs: 300_000, expiredMs: undefined }, /300 s and more/],
    [{ type: 'failed', reason: 'no-nat' }, /no address translation/],
    [{ type: 'failed', reason: 'no-udp' }, /does not answer/],
    [{ type: 'failed', reason: 'unsupported' }, /cannot tell/],
  ] as const)('%o', (event, words) => {
    expect(describeBindingLifetime(event)).toMatch(words);
  });
});
