import { describe, expect, it } from 'vitest';
import { hexToBytes } from '../../src/core/index.ts';
import { u32 } from '../../src/sctp/wire/tlv.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { connectedPair, pattern } from './helpers.ts';
import { chunksOf, hex32, packet, rawPacket, tagOf } from './packets.ts';

const PACKETS = 2000;

describe('garbage into an established association', () => {
  it.each(seeds(10))(`seed %i: ${PACKETS} random and mutated packets throw nothing, and it still works`, (seed) => {
    const random = new SeededRandom(seed);
    const pair = connectedPair({ seed, b: { interleaving: seed % 2 === 0, receiveWindowBytes: 600_000 } });
    const captured: Uint8Array[] = [];
    pair.a.end.link.onSend = (bytes) => captured.push(bytes.slice());
    for (let i = 0; i < 20; i++) pair.a.send({ streamId: i % 3, bytes: pattern(i * 300 + 1, i), ordered: i % 2 === 0 });
    pair.a.send({ bytes: pattern(5000, 3), maxRetransmits: 0 });
    pair.a.end.driver.mutate((now) => pair.a.core.resetStreams([2], now));
    pair.world.run({ until: pair.world.now + 2000 });
    const before = pair.b.messages.length;
    for (let i = 0; i < PACKETS && pair.b.core.state === 'established'; i++) {
      const kind = random.below(4);
      const victim = random.pick(captured);
      if (kind === 0) pair.b.end.driver.input(random.bytes(random.below(200)), undefined);
      else if (kind === 1) {
        const copy = victim.slice();
        copy[random.below(copy.length)]! ^= 1 << random.below(8);
        pair.b.end.driver.input(copy, undefined); // a wrong checksum, as on the wire
      } else if (kind === 2) {
        // A right checksum around a changed header that cannot be user data of a live message: replayed and truncated.
        const cut = victim.slice(12, 12 + random.below(victim.length - 12));
        pair.b.end.driver.input(rawPacket(random.chance(0.5) ? tagOf(victim) : random.u32(), cut), undefined);
      } else {
        const chunk = random.bytes(4 + random.below(40));
        chunk[0] = random.pick([3, 4, 5, 9, 11, 130, 192, 194, 64, 200, 63]);
        chunk[2] = 0;
        chunk[3] = random.below(chunk.length + 4);
        pair.b.end.driver.input(packet(random.u32(), chunk), undefined);
      }
    }
    expect(pair.b.core.drops.total).toBeGreaterThan(PACKETS / 2);
    expect(pair.b.messages.length).toBe(before);
    pair.a.send({ bytes: pattern(100_000, 9) });
    pair.b.send({ bytes: pattern(100_000, 9) });
    expect(
      pair.world.run({
        until: pair.world.now + 60_000,
        done: () => pair.b.messages.length > before && pair.a.messages.length > 0,
      }),
    ).toBe(true);
    expect(pair.b.core.state).toBe('established');
  });

  it.each(seeds(20, 100))(
    'seed %i: authentic tags and checksums on garbage chunks: no throw, no growth, an orderly end at most',
    (seed) => {
      const random = new SeededRandom(seed);
      const interleaving = seed % 2 === 0;
      const pair = connectedPair({ seed, b: { receiveWindowBytes: 600_000, interleaving } });
      let tag = 0;
      let lastTsn = 0;
      pair.a.end.link.onSend = (bytes) => {
        tag = tagOf(bytes);
        for (const chunk of chunksOf(bytes)) {
          if (chunk.type === 0 || chunk.type === 64) lastTsn = u32(chunk.bytes, 4);
        }
      };
      pair.a.send({ bytes: pattern(100, 1) });
      pair.world.run({ until: pair.world.now + 1000 });
      for (let i = 0; i < 3000; i++) {
        const chunk = random.bytes(4 + random.below(60));
        chunk[0] = random.pick([0, 64, 3, 4, 5, 9, 130, 192, 194, 132, 11, 12, 13]);
        chunk[2] = 0;
        chunk[3] = chunk.length;
        // Half of them around the live TSNs and streams, where more than the first check is reached.
        if (chunk.length >= 16 && random.chance(0.5)) {
          chunk.set(hexToBytes(hex32(lastTsn + random.below(40) - 5)), 4);
          if (chunk[0] === 0 || chunk[0] === 64) chunk.set([0, random.below(3), 0, random.below(4)], 8);
        }
        pair.b.end.driver.input(packet(tag, chunk), undefined);
        pair.b.end.driver.wake();
        expect(pair.b.core.stats().receiveWindowBytes).toBeGreaterThanOrEqual(0);
      }
      pair.world.run({ until: pair.world.now + 60_000 });
      expect(['established', 'closed']).toContain(pair.b.core.state);
    },
  );
});
