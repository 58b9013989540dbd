/** A peer that passed ICE and DTLS and is nobody's friend: SCTP packets made by hand, sealed with its own keys. */
import { describe, expect, it } from 'vitest';
import { concatBytes, crc32cWithHole, NEVER } from '../../src/core/index.ts';
import { encodeDcep } from '../../src/datachannel/index.ts';
import { type SeededRandom, seeds } from '../sim/index.ts';
import { SimPair } from './support.ts';

const PACKETS = 700;
/** The most that a record with a packet takes: our packets, the record around them. */
const MAX_DATAGRAM_BYTES = 1191 + 37;
const MAX_RECORD_BYTES = 16_384;
/** What `b` may hold: twice the window that nothing here fills, and what the collector has not taken yet. */
const MAX_HELD_BYTES = 50_000_000;
/** The first TSN of `b`. */
const OWN_TSN = 0xffff_fff0;

interface Wire {
  /** The tag of packets to `b`, and the TSN that it expects next. */
  readonly tag: number;
  tsn: number;
  /** The number of the next RE-CONFIG request. */
  request: number;
  /** Of the next message, by stream. */
  readonly mids: Map<number, number>;
}

/** A pair that is open, `b` with data under way, and the way to make `a` say anything. */
function openPair(seed: number) {
  const pair = new SimPair(seed, { b: { sctp: { initialTsn: OWN_TSN } } });
  expect(pair.open()).toBe(true);
  pair.world.run({ until: pair.world.now + 1000 });
  const { a, b, world } = pair;
  const { dtls, sctp } = a.transport;
  if (dtls === undefined || sctp === undefined) throw new Error('not open');
  const path = { protocol: 'udp', local: b.address, remote: a.address } as const;
  // One packet of a's own tells the tag and the TSN.
  a.transport.channels.open({ label: 'x' }, world.now);
  const peek = { buffer: new Uint8Array(4096), offset: dtls.recordHeadroom, length: 0, path: undefined };
  expect(sctp.pollTransmit(peek, world.now)).toBe(true);
  const view = new DataView(peek.buffer.buffer, peek.offset);
  const wire: Wire = { tag: view.getUint32(4), tsn: view.getUint32(16), request: view.getUint32(16), mids: new Map() };
  const inject = (tag: number, chunks: readonly Uint8Array[]): void => {
    const body = concatBytes(...chunks.flatMap((chunk) => [chunk, new Uint8Array(-chunk.length & 3)]));
    const bytes = new Uint8Array(dtls.recordHeadroom + MAX_RECORD_BYTES + 64);
    const packet = concatBytes(new Uint8Array(12), body.subarray(0, MAX_RECORD_BYTES - 12));
    const header = new DataView(packet.buffer);
    header.setUint16(0, 5000);
    header.setUint16(2, 5000);
    header.setUint32(4, tag);
    header.setUint32(8, crc32cWithHole(packet, 0, packet.length, 8), true);
    bytes.set(packet, dtls.recordHeadroom);
    const slot = { buffer: bytes, offset: dtls.recordHeadroom, length: packet.length, path: undefined };
    dtls.sealInPlace(slot);
    b.driver.input(slot.buffer.slice(slot.offset, slot.offset + slot.length), path);
  };
  return { pair, wire, inject };
}

const chunk = (type: number, flags: number, value: Uint8Array): Uint8Array =>
  concatBytes(Uint8Array.of(type, flags, (value.length + 4) >>> 8, value.length + 4), value);
const u16 = (...values: readonly number[]): Uint8Array => Uint8Array.from(values.flatMap((v) => [v >>> 8, v]));
const u32 = (...values: readonly number[]): Uint8Array => u16(...values.flatMap((v) => [v >>> 16, v & 0xffff]));

/** Small, large, or one of the ends. */
const extent = (random: SeededRandom, most: number): number =>
  random.pick([0, 1, most, most - 1, random.below(16), random.below(most + 1)]);
const near = (random: SeededRandom, value: number): number =>
  random.chance(0.8)
    ? (value + random.below(9) - 2) >>> 0
    : random.pick([0, 0xffff_ffff, (value + 0x8000_0000) >>> 0, (value + 65_535) >>> 0]);

/** Parameters or causes of any type and length. */
function tlvs(random: SeededRandom): Uint8Array {
  const length = random.pick([0, 0, 4, 40, 1200, 15_000]);
  const type = random.pick([0xc099, 0x4099, 0x8099, 0x0099, 7, 8, 11, 0x8008, 0xc000]);
  const one = concatBytes(u16(type, 4 + length), new Uint8Array((length + 3) & ~3));
  const count = Math.max(1, Math.min(extent(random, 4000), Math.floor(16_000 / one.length)));
  return concatBytes(...new Array<Uint8Array>(count).fill(one));
}

function userData(random: SeededRandom): { readonly ppid: number; readonly bytes: Uint8Array } {
  const ppid = random.pick([50, 50, 51, 52, 53, 54, 56, 57, 0, 0xffff_ffff]);
  if (ppid !== 50 || random.chance(0.3)) return { ppid, bytes: random.bytes(1 + random.below(60)) };
  const open = encodeDcep({
    type: 'open',
    ordered: random.chance(0.5),
    maxRetransmits: random.chance(0.5) ? extent(random, 0xffff_ffff) : undefined,
    maxPacketLifeTime: undefined,
    priority: extent(random, 0xffff),
    label: 'l'.repeat(extent(random, 12_000)),
    protocol: '\u{1f980}'.repeat(extent(random, 500)),
  });
  if (random.chance(0.3)) open[random.below(Math.min(12, open.length))] = random.pick([0, 0xff]);
  return { ppid, bytes: open };
}

function data(random: SeededRandom, wire: Wire): Uint8Array {
  const { ppid, bytes } = userData(random);
  const flags = random.pick([3, 3, 3, 7, 11, 2, 6]);
  const stream = random.chance(0.7) ? random.below(40) : extent(random, 0xffff);
  const tsn = random.chance(0.9) ? wire.tsn++ : near(random, wire.tsn);
  const next = wire.mids.get(stream) ?? 0;
  const mid = random.chance(0.9) ? next : extent(random, 0xffff_ffff);
  if (mid === next) wire.mids.set(stream, next + 1);
  return chunk(64, flags, concatBytes(u32(tsn), u16(stream, 0), u32(mid, ppid), bytes));
}

function reConfig(random: SeededRandom, wire: Wire): Uint8Array {
  const seq = random.chance(0.8) ? wire.request++ : near(random, wire.request);
  const count = extent(random, 7000);
  const streams = u16(...Array.from({ length: count }, (_, i) => (random.chance(0.5) ? i : extent(random, 0xffff))));
  const value = random.pick([
    concatBytes(u32(seq, seq, near(random, wire.tsn)), streams),
    concatBytes(u32(seq), streams),
    u32(seq),
    u32(seq, random.below(8)),
    concatBytes(u32(seq), u16(extent(random, 0xffff), 0)),
  ]);
  const parameter = concatBytes(u16(random.pick([13, 14, 15, 16, 17, 18]), 4 + value.length), value);
  return chunk(130, 0, parameter);
}

function sack(random: SeededRandom): Uint8Array {
  const own = (OWN_TSN + random.below(60)) >>> 0;
  const blocks = Math.min(extent(random, 4000), 2000);
  const duplicates = Math.min(extent(random, 4000), 2000);
  const gaps = Array.from({ length: blocks }, (_, i) => [2 + 3 * i, 2 + 3 * i + random.below(2)]).flat();
  const window = random.pick([0, 1, 0xffff_ffff, 100_000]);
  const head = concatBytes(u32(near(random, own), window), u16(blocks, duplicates));
  return chunk(3, 0, concatBytes(head, u16(...gaps), u32(...new Array<number>(duplicates).fill(own))));
}

function forwardTsn(random: SeededRandom, wire: Wire): Uint8Array {
  const count = Math.min(extent(random, 2000), 1900);
  const entries = Array.from({ length: count }, () => [
    (extent(random, 0xffff) << 16) | random.below(2),
    random.pick([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]),
  ]);
  const tsn = random.chance(0.7) ? wire.tsn : near(random, wire.tsn);
  if (((tsn - wire.tsn) | 0) >= 0) wire.tsn = (tsn + 1) >>> 0;
  return chunk(194, 0, u32(tsn, ...entries.flat().map((v) => v >>> 0)));
}

/** One packet; INIT stands alone and under tag 0. */
function invent(random: SeededRandom, wire: Wire): { readonly tag: number; readonly chunks: Uint8Array[] } {
  const kind = random.below(13);
  const filler = new Uint8Array(random.pick([0, 4, 1160, 1190, 1300, 9000, 16_000]));
  switch (kind) {
    case 0:
      return {
        tag: 0,
        chunks: [chunk(1, 0, concatBytes(u32(5, extent(random, 0xffff_ffff)), u16(9, 9), u32(1), tlvs(random)))],
      };
    case 1:
      return { tag: wire.tag, chunks: [chunk(2, 0, concatBytes(u32(5, 0), u16(9, 9), u32(1), tlvs(random)))] };
    case 2:
      return { tag: wire.tag, chunks: [chunk(10, 0, filler), chunk(11, 0, new Uint8Array(0))] };
    case 3:
      return { tag: wire.tag, chunks: [chunk(4, 0, concatBytes(u16(1, 4 + filler.length), filler))] };
    case 4:
      return {
        tag: wire.tag,
        chunks: [chunk(random.pick([0x7f, 0xff, 0xbf, 132]), 0, filler), chunk(5, 0, tlvs(random))],
      };
    case 5:
      return {
        tag: wire.tag,
        chunks: [chunk(9, 0, tlvs(random)), chunk(5, 0, concatBytes(u16(1, 12), random.bytes(8)))],
      };
    case 6:
    case 7:
      return { tag: wire.tag, chunks: [reConfig(random, wire)] };
    case 8:
      return { tag: wire.tag, chunks: [sack(random)] };
    case 9:
      return { tag: wire.tag, chunks: [forwardTsn(random, wire), data(random, wire)] };
    default:
      return { tag: wire.tag, chunks: Array.from({ length: 1 + random.below(20) }, () => data(random, wire)) };
  }
}

describe('a peer that is authenticated and hostile', () => {
  it('an INIT whose answer would fit no record, in whole transports', () => {
    const { pair, inject } = openPair(3);
    const { b } = pair;
    const sent: number[] = [];
    pair.tap = (bytes, to) => {
      if (to !== b) sent.push(bytes.length);
    };
    const unknown = concatBytes(...new Array<Uint8Array>(4000).fill(u16(0xc099, 4)));
    inject(0, [chunk(1, 0, concatBytes(u32(5, 10_000), u16(9, 9), u32(1), unknown))]);
    pair.world.run({ until: pair.world.now + 100 });
    expect(sent).toHaveLength(1);
    expect(sent[0]).toBeGreaterThan(1000);
    expect(sent[0]).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
  });

  it('a packet that no record holds, whatever has made it, is lost and counted', () => {
    const { pair } = openPair(5);
    const { driver, transport } = pair.b;
    const { sctp } = transport;
    if (sctp === undefined) throw new Error('not open');
    let more = 1;
    const { pollTransmit } = sctp;
    sctp.pollTransmit = (slot, now) => {
      if (more-- <= 0) return pollTransmit.call(sctp, slot, now);
      slot.length = MAX_RECORD_BYTES + 1;
      return true;
    };
    driver.drain();
    expect(transport.drops.toJSON()).toEqual({ 'bad-length': 1 });
    const handle = driver.mutate((now) => transport.channels.open({ label: 'y' }, now));
    pair.world.run({ until: pair.world.now + 1000 });
    expect(transport.channels.info(handle)?.state).toBe('open');
  });

  it.each(seeds(4))(`seed %i: ${PACKETS} packets with fields at their ends throw nothing and leave nothing`, (seed) => {
    let { pair, wire, inject } = openPair(seed);
    const random = pair.world.random.fork();
    const seen = new Set<string>();
    let largest = 0;
    let peakBytes = 0;
    const before = process.memoryUsage().arrayBuffers;
    const end = (): void => {
      const { driver, transport, events } = pair.b;
      for (const event of events) seen.add(event.type);
      for (const drops of [transport.sctp?.drops, transport.channels.drops])
        for (const reason of Object.keys(drops?.toJSON() ?? {})) seen.add(reason);
      driver.mutate((now) => transport.close(now));
      expect(transport.isClosed).toBe(true);
      expect(transport.nextTimeout()).toBe(NEVER);
    };
    for (let i = 0; i < PACKETS; i++) {
      const { driver, transport } = pair.b;
      if (transport.sctp?.state !== 'established') {
        end(); // it has aborted the association, as it may
        ({ pair, wire, inject } = openPair(seed * PACKETS + i));
        continue;
      }
      pair.tap = (bytes, to) => {
        if (to === pair.a) largest = Math.max(largest, bytes.length);
      };
      for (const handle of transport.channels.handles().slice(0, 3)) {
        if (transport.channels.info(handle)?.state === 'open')
          driver.mutate((now) => transport.channels.send(handle, 'x'.repeat(random.below(3000)), now));
      }
      const { tag, chunks } = invent(random, wire);
      inject(tag, chunks);
      if (random.chance(0.1)) pair.world.run({ until: pair.world.now + random.pick([1, 50, 700]) });
      peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers - before);
    }
    end();
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
    expect(peakBytes).toBeLessThan(MAX_HELD_BYTES);
    for (const sign of ['channel', 'limit', 'out-of-window', 'bad-cookie', 'too-short']) expect(seen).toContain(sign);
  });
});
