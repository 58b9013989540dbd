import { describe, expect, it } from 'vitest';
import type { FiveTuple } from '../../src/core/index.ts';
import { type SeededRandom, seeds } from '../sim/index.ts';
import { SimPair } from './support.ts';

const DATAGRAMS = 100_000;
const PER_SEED = 25_000;

/** Changes a real datagram in one of the ways in which networks and attackers do. */
function mutate(random: SeededRandom, real: Uint8Array): Uint8Array {
  const bytes = real.slice();
  switch (random.below(5)) {
    case 0:
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      return bytes.subarray(0, random.below(bytes.length));
    case 2: {
      const longer = new Uint8Array(bytes.length + 1 + random.below(40));
      random.fill(longer);
      longer.set(bytes);
      return longer;
    }
    case 3: {
      // A field of two bytes at its extremes: lengths, epochs, types.
      const at = random.below(bytes.length - 1);
      bytes[at] = random.pick([0, 0xff]);
      bytes[at + 1] = random.pick([0, 1, 0xff]);
      return bytes;
    }
    default: {
      const start = random.below(bytes.length);
      random.fill(bytes.subarray(start, Math.min(bytes.length, start + 1 + random.below(16))));
      return bytes;
    }
  }
}

/** A datagram that looks like `kind` from outside: right first bytes, then noise. */
function invent(random: SeededRandom): Uint8Array {
  const bytes = random.bytes(random.below(160));
  switch (random.below(4)) {
    case 0: // STUN: type, length, magic cookie
      bytes.set([0, 1, 0, Math.max(0, bytes.length - 20) & 0xfc, 0x21, 0x12, 0xa4, 0x42].slice(0, bytes.length));
      break;
    case 1: // a DTLS record of any type, epoch 0 or 1
      bytes.set([20 + random.below(44), 0xfe, 0xfd, 0, random.below(2)].slice(0, bytes.length));
      break;
    case 2:
      if (bytes.length > 0) bytes[0] = random.below(256);
      break;
    default: // nothing but noise
      break;
  }
  return bytes;
}

describe('garbage into an established peer', () => {
  it.each(seeds(DATAGRAMS / PER_SEED))(
    'seed %i: 25000 random and mutated datagrams throw nothing, open nothing, end nothing',
    (seed) => {
      const pair = new SimPair(seed);
      const { a, b } = pair;
      const random = pair.world.random.fork();
      // Real datagrams of every kind, kept as they pass.
      const real: Uint8Array[] = [];
      pair.tap = (bytes, to) => {
        if (to === b) real.push(bytes.slice());
      };
      pair.world.run({ until: 0 });
      const handle = a.driver.mutate((now) => a.transport.channels.open({ label: 'echo' }, now));
      const received: string[] = [];
      b.onEvent = (event) => {
        if (event.type === 'message')
          b.driver.mutate((now) => b.transport.channels.send(event.handle, event.data, now));
      };
      a.onEvent = (event) => {
        if (event.type === 'message') received.push(String(event.data));
      };
      expect(pair.open()).toBe(true);
      a.driver.mutate((now) => a.transport.channels.send(handle, 'before', now));
      pair.world.run({ until: pair.world.now + 6000, done: () => received.length === 1 });
      expect(received).toEqual(['before']);
      expect(real.some((bytes) => bytes[0]! < 4) && real.some((bytes) => bytes[0] === 22)).toBe(true);

      pair.tap = undefined;
      const eventsBefore = b.events.length;
      const path: FiveTuple = { protocol: 'udp', local: b.address, remote: a.address };
      const elsewhere: FiveTuple = { protocol: 'udp', local: b.address, remote: { ip: '10.6.6.6', port: 666 } };
      for (let i = 0; i < PER_SEED; i++) {
        const bytes = random.chance(0.5) ? mutate(random, random.pick(real)) : invent(random);
        b.driver.input(bytes, random.chance(0.8) ? path : elsewhere);
      }
      expect(b.events.slice(eventsBefore)).toEqual([]);
      expect(b.transport.drops.total).toBeGreaterThan(0);
      expect(b.transport.dtls!.drops.total).toBeGreaterThan(0);
      expect(b.transport.ice.drops.total).toBeGreaterThan(0);

      a.driver.mutate((now) => a.transport.channels.send(handle, 'after', now));
      pair.world.run({ until: pair.world.now + 6000, done: () => received.length === 2 });
      expect(received).toEqual(['before', 'after']);
      expect(b.transport.channels.handles()).toHaveLength(1);
    },
  );
});
