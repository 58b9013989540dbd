import { describe, expect, it } from 'vitest';
import { type FiveTuple, type Instant, NEVER, type SansIo, type TransmitSlot } from '../../src/core/index.ts';
import { connectPair, type LinkOptions, PERFECT, SeededRandom, SimLink, SimNetwork, SimWorld } from './index.ts';

/** Sends one numbered datagram every 10 ms, and reports each number it receives with its time. */
class Ticker implements SansIo<{ readonly at: Instant; readonly number: number }> {
  readonly #events: { at: Instant; number: number }[] = [];
  readonly #count: number;
  #sent = 0;
  #due: Instant;

  constructor(count: number) {
    this.#count = count;
    this.#due = count > 0 ? 0 : NEVER;
  }

  handleInput(bytes: Uint8Array, _path: undefined, now: Instant): void {
    this.#events.push({ at: now, number: bytes[0]! });
  }

  handleTimeout(): void {
    // pollTransmit looks at the time itself
  }

  pollTransmit(slot: TransmitSlot, now: Instant): boolean {
    if (now < this.#due) return false;
    slot.buffer[slot.offset] = this.#sent++;
    slot.length = 1;
    this.#due = this.#sent < this.#count ? this.#due + 10 : NEVER;
    return true;
  }

  pollEvent(): { readonly at: Instant; readonly number: number } | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#due;
  }
}

function tick(seed: number, link: LinkOptions, count = 100) {
  const world = new SimWorld(seed);
  const { a, b } = connectPair(world, new Ticker(count), new Ticker(0), link);
  a.driver.drain();
  world.run();
  return { world, a, b };
}

describe('the simulator', () => {
  it('a perfect link delivers each datagram once, in order, after its latency', () => {
    const { b, world } = tick(1, PERFECT, 3);
    expect(b.events).toEqual([
      { at: 1, number: 0 },
      { at: 11, number: 1 },
      { at: 21, number: 2 },
    ]);
    expect(world.pending).toBe(0);
  });

  it('one seed gives one history, another seed another', () => {
    const link = { latencyMs: 20, jitterMs: 50, loss: 0.2, duplicate: 0.1, reorder: 0.1 };
    const history = (seed: number) => tick(seed, link).b.events;
    expect(history(7)).toEqual(history(7));
    expect(history(7)).not.toEqual(history(8));
  });

  it('impairments happen about as often as asked, and are counted', () => {
    const { a, b } = tick(3, { latencyMs: 5, jitterMs: 30, loss: 0.3, duplicate: 0.2 }, 250);
    const { sent, lost, duplicated, delivered } = a.link.counts;
    expect(sent).toBe(250);
    expect(lost).toBeGreaterThan(50);
    expect(lost).toBeLessThan(100);
    expect(duplicated).toBeGreaterThan(15);
    expect(delivered).toBe(sent - lost + duplicated);
    const numbers = b.events.map((event) => event.number);
    expect(numbers).not.toEqual([...numbers].sort((x, y) => x - y)); // 30 ms of jitter at 10 ms spacing reorders
  });

  it('a bottleneck spaces datagrams by its rate and drops behind a full queue', () => {
    const world = new SimWorld(1);
    const link = new SimLink(world, { latencyMs: 10, bitsPerSecond: 1_000_000, queueBytes: 3000 });
    const arrivals: Instant[] = [];
    for (let i = 0; i < 10; i++) link.send(new Uint8Array(972), () => arrivals.push(world.now));
    world.run();
    expect(arrivals).toEqual([18, 26, 34]); // (972 + 28) bytes at 1 Mbit/s take 8 ms
    expect(link.counts.queueDrops).toBe(7);
  });

  it('a link drops what exceeds its MTU, and corruption flips one bit of a copy', () => {
    const world = new SimWorld(1);
    const link = new SimLink(world, { latencyMs: 1, mtuBytes: 100, corrupt: 1 });
    const original = new Uint8Array(100);
    let received: Uint8Array | undefined;
    link.send(original, (bytes) => {
      received = bytes;
    });
    link.send(new Uint8Array(101), () => expect.unreachable('over the MTU'));
    world.run();
    expect(link.counts.tooBig).toBe(1);
    expect(original.every((byte) => byte === 0)).toBe(true);
    const set = received!.reduce((bits, byte) => bits + byte.toString(2).replaceAll('0', '').length, 0);
    expect(set).toBe(1);
  });

  it('chosen datagrams can be dropped', () => {
    const world = new SimWorld(1);
    const { a, b } = connectPair(world, new Ticker(4), new Ticker(0), PERFECT);
    a.link.dropIf = (index) => index === 2;
    a.driver.drain();
    world.run();
    expect(b.events.map((event) => event.number)).toEqual([0, 1, 3]);
  });

  it('an endless loop fails with its seed', () => {
    const world = new SimWorld(42, 1000);
    const again = (): void => void world.schedule(world.now, again);
    again();
    expect(() => world.run()).toThrow('seed 42: over 1000 events');
  });

  it('cancelled events do not run, and `until` stops the clock there', () => {
    const world = new SimWorld(1);
    const ran: string[] = [];
    world.schedule(5, () => ran.push('five'));
    world.schedule(6, () => ran.push('six'))();
    world.schedule(50, () => ran.push('fifty'));
    expect(world.run({ until: 20 })).toBe(false);
    expect(ran).toEqual(['five']);
    expect([world.now, world.pending]).toEqual([20, 1]);
    expect(world.run({ done: () => ran.length === 2 })).toBe(true);
    expect(world.now).toBe(50);
  });

  it('routes by address, with a link of its own for each direction, and counts what nobody takes', () => {
    const world = new SimWorld(1);
    const network = new SimNetwork(world, PERFECT);
    network.setLink('10.0.0.1', '10.0.0.2', { latencyMs: 7 });
    const a = { ip: '10.0.0.1', port: 1 };
    const b = { ip: '10.0.0.2', port: 2 };
    const paths: FiveTuple[] = [];
    const core: SansIo<never, FiveTuple> = {
      handleInput: (_bytes, path) => void paths.push(path),
      handleTimeout: () => undefined,
      pollTransmit: () => false,
      pollEvent: () => undefined,
      nextTimeout: () => NEVER,
    };
    const { close } = network.attach(core, [b], () => undefined);
    expect(() => network.bind(b, () => undefined)).toThrow('already bound');
    network.send(Uint8Array.of(1), a, b);
    network.send(Uint8Array.of(2), a, b);
    world.run();
    expect(world.now).toBe(7);
    expect(paths).toEqual([{ protocol: 'udp', local: b, remote: a }, expect.anything()]);
    expect(paths[0]).toBe(paths[1]); // one object a path
    close();
    network.send(Uint8Array.of(3), a, b);
    world.run();
    expect(network.unreachable).toBe(1);
  });
});

describe('SeededRandom', () => {
  it('is uniform enough to trust, and forks are independent', () => {
    const random = new SeededRandom(5);
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) buckets[random.below(10)]!++;
    for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
    const fork = random.fork();
    expect(fork.bytes(8)).not.toEqual(random.bytes(8));
    expect(() => random.pick([])).toThrow('empty');
  });
});
