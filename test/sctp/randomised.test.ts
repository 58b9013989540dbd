import { describe, expect, it } from 'vitest';
import type { SctpOptions } from '../../src/sctp/index.ts';
import { type LinkOptions, SeededRandom, seeds } from '../sim/index.ts';
import { connectBoth, makePair, type Pair, type Side } from './helpers.ts';

const SEEDS = 5000;
const SEEDS_PER_TEST = 250;

interface Sent {
  readonly streamId: number;
  readonly ordered: boolean;
  readonly reliable: boolean;
  readonly length: number;
}

/** What one side sent, numbered; the number is in the first four bytes. */
interface Ledger {
  readonly sent: Sent[];
}

function randomOptions(random: SeededRandom): Partial<SctpOptions> {
  return {
    interleaving: random.chance(0.5),
    scheduler: random.pick(['first-come', 'round-robin', 'priority', 'weighted-fair']),
    congestionControl: random.pick(['reno', 'cubic']),
    pacing: random.chance(0.5),
    initialTsn: random.chance(0.5) ? 0xffff_ffff - random.below(30) : random.u32(),
    receiveWindowBytes: random.chance(0.3) ? 10_000 : 1_000_000,
    maxMessageSize: 20_000,
    mtuBytes: random.pick([512, 600, 1191]),
    zeroChecksum: random.chance(0.3),
    earlyData: random.chance(0.3),
  };
}

function randomLink(random: SeededRandom): LinkOptions {
  const latencyMs = random.pick([1, 20, 100]);
  return {
    latencyMs,
    jitterMs: random.pick([0, 5, 200]),
    loss: random.pick([0, 0.02, 0.2]),
    duplicate: random.pick([0, 0.1]),
    reorder: random.pick([0, 0.1]),
  };
}

function sendOne(side: Side, ledger: Ledger, random: SeededRandom): void {
  const kind = random.below(6);
  const length = random.chance(0.15) ? 4 + random.below(12_000) : 4 + random.below(500);
  const number = ledger.sent.length;
  const bytes = new Uint8Array(length).fill(number);
  new DataView(bytes.buffer).setUint32(0, number);
  const streamId = random.below(3);
  const ordered = random.chance(0.6);
  ledger.sent.push({ streamId, ordered, reliable: kind < 4, length });
  const limits = kind === 4 ? { maxRetransmits: random.below(3) } : kind === 5 ? { lifetimeMs: random.below(300) } : {};
  side.send({ streamId, ppid: number, bytes, ordered, ...limits });
}

/** @param from - messages before it may be lost: they were under way when a side restarted. */
function check(to: Side, ledger: Ledger, from: number): void {
  const seen = new Set<number>();
  const lastOrdered = new Map<number, number>();
  for (const { bytes, ppid, streamId, unordered } of to.messages) {
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    const sent = ledger.sent[number]!;
    expect([ppid, streamId, unordered, bytes.length]).toEqual([number, sent.streamId, !sent.ordered, sent.length]);
    expect(bytes.subarray(4).every((byte) => byte === (number & 0xff))).toBe(true);
    expect(seen.has(number)).toBe(false);
    seen.add(number);
    if (!sent.ordered) continue;
    expect(number).toBeGreaterThan(lastOrdered.get(streamId) ?? -1);
    lastOrdered.set(streamId, number);
  }
  for (const [number, { reliable }] of ledger.sent.entries())
    if (reliable && number >= from) expect(seen.has(number), `message ${number}`).toBe(true);
}

function quiet(side: Side): boolean {
  const stats = side.core.stats();
  return side.core.totalBuffered === 0 && stats.flightBytes === 0 && side.core.isIdle;
}

function runSeed(seed: number): Pair {
  const random = new SeededRandom(seed);
  const [a, b] = [randomOptions(random), randomOptions(random)];
  // Without a checksum the carrier has to keep the bits right, as DTLS does.
  const corrupt = a.zeroChecksum || b.zeroChecksum ? 0 : random.pick([0, 0.02]);
  const link = { ...randomLink(random), corrupt };
  const back = random.chance(0.5) ? link : { ...randomLink(random), corrupt };
  const pair = makePair({ seed, link, back, a, b });
  const ledgers = { a: { sent: [] } as Ledger, b: { sent: [] } as Ledger };
  sayEarly(pair.a, ledgers.a, random);
  sayEarly(pair.b, ledgers.b, random);
  connectBoth(pair);
  const restarts = random.chance(0.2);
  const from = { a: 0, b: 0 };
  if (restarts) {
    talk(pair, ledgers, random);
    restart(pair, random.pick(['a', 'b']));
    from.a = ledgers.a.sent.length;
    from.b = ledgers.b.sent.length;
  }
  const at = talk(pair, ledgers, random);
  const done = pair.world.run({ until: at + 900_000, done: () => quiet(pair.a) && quiet(pair.b) });
  expect(done).toBe(true);
  check(pair.b, ledgers.a, from.a);
  check(pair.a, ledgers.b, from.b);
  checkEvents(pair, restarts);
  return pair;
}

/** Sends and resets at random times. @returns when the last was. */
function talk(pair: Pair, ledgers: { readonly a: Ledger; readonly b: Ledger }, random: SeededRandom): number {
  let at = pair.world.now;
  for (let i = 0; i < 16; i++) {
    at += random.chance(0.5) ? 0 : random.below(100);
    const from = random.pick(['a', 'b'] as const);
    pair.world.schedule(at, () => {
      const side = pair[from];
      if (random.chance(0.12)) {
        side.end.driver.mutate((now) => side.core.resetStreams([random.below(3)], now));
      } else for (let n = random.below(4); n >= 0; n--) sendOne(side, ledgers[from], random);
    });
  }
  pair.world.run({ until: at });
  return at;
}

/** One side comes back without memory of what is under way, and the other notices (RFC 9260 §5.2.4.1). */
function restart(pair: Pair, who: 'a' | 'b'): void {
  const other = who === 'a' ? pair.b : pair.a;
  pair[who].restart();
  const back = () => pair[who].core.state === 'established' && other.types().includes('restarted');
  expect(pair.world.run({ until: pair.world.now + 120_000, done: back })).toBe(true);
}

/** Some of what a side says, it says before the association is up. */
function sayEarly(side: Side, ledger: Ledger, random: SeededRandom): void {
  const { onEvent } = side.end;
  side.end.onEvent = (event) => {
    onEvent?.(event);
    if (event.type === 'sendable') for (let n = random.below(3); n >= 0; n--) sendOne(side, ledger, random);
  };
}

function checkEvents(pair: Pair, restarted: boolean): void {
  const usual = ['sendable', 'connected', 'buffered-amount-low', 'outgoing-reset', 'incoming-reset'];
  for (const [side, other] of [
    [pair.a, pair.b],
    [pair.b, pair.a],
  ] as const) {
    const count = (s: Side, type: string) => s.types().filter((t) => t === type).length;
    // Across a restart an answer may be lost for ever.
    if (!restarted) expect(count(side, 'outgoing-reset')).toBe(count(other, 'incoming-reset'));
    for (let id = 0; id < 3; id++) expect(side.core.bufferedAmount(id)).toBe(0);
    for (const type of side.types()) expect(restarted ? [...usual, 'restarted'] : usual).toContain(type);
    expect(count(side, 'restarted') + count(other, 'restarted')).toBe(restarted ? 1 : 0);
  }
}

describe('random traffic over random links', () => {
  const batches = seeds(SEEDS / SEEDS_PER_TEST, 0);
  it.each(batches)(`batch %i of ${SEEDS_PER_TEST} seeds`, (batch) => {
    for (let i = 0; i < SEEDS_PER_TEST; i++) {
      const seed = process.env['PURERTC_SEED'] === undefined ? batch * SEEDS_PER_TEST + i + 1 : batch;
      try {
        runSeed(seed);
      } catch (error) {
        throw new Error(`seed ${seed} (rerun with PURERTC_SEED=${seed})`, { cause: error });
      }
    }
  });
});
