import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { concatBytes, type Driver, hexToBytes } from '../../src/core/index.ts';
import type { DtlsEndpoint, DtlsEvent } from '../../src/dtls/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import gnutls from '../vectors/dtls/gnutls.json' with { type: 'json' };
import openssl from '../vectors/dtls/openssl.json' with { type: 'json' };
import { authenticRecord, connectedPair, makePair, openPair, plainRecord, recordsOf } from './harness.ts';

/**
 * Datagrams in all: PURERTC_FUZZ_RUNS=1000000 is the long run. The seeds are fixed, so that a failure repeats.
 */
const RUNS = Number(process.env['PURERTC_FUZZ_RUNS'] ?? 20_000);
const SEEDS = 8;
/** For the long run on a loaded machine. */
const LONG_MS = 3_600_000;

/** Genuine plaintext records to start from: of our own handshakes, and of those recorded from others. */
const corpus: readonly Uint8Array[] = [...openssl.cases, ...gnutls.cases]
  .flatMap((c) => c.datagrams.map((d) => hexToBytes(d.hex)))
  .concat(ownDatagrams())
  .flatMap(recordsOf);

function ownDatagrams(): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  const pair = makePair({ server: { cookieExchange: true } });
  for (const end of [pair.a, pair.b]) end.link.onSend = (bytes) => void datagrams.push(bytes.slice());
  pair.a.driver.mutate((now) => pair.client.start(now));
  pair.world.run({ until: 1000 });
  return datagrams;
}

/** Where lengths, numbers and types stand in a handshake record: changing these gets further than changing anything. */
const FIELDS = [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24];

function mutate(random: SeededRandom, genuine: Uint8Array): Uint8Array {
  let bytes: Uint8Array = genuine.slice();
  for (let n = random.below(4); n > 0; n--) {
    const at = random.chance(0.5) ? random.pick(FIELDS) : random.below(bytes.length);
    if (at < bytes.length) bytes[at] = random.chance(0.5) ? random.below(256) : bytes[at]! ^ (1 << random.below(8));
  }
  if (random.chance(0.1)) bytes = bytes.slice(0, random.below(bytes.length + 1));
  if (random.chance(0.1)) bytes = concatBytes(bytes, random.bytes(random.below(30)));
  if (random.chance(0.3) && bytes.length >= 25) {
    // Lengths that fit again, so that the change inside is what counts; and a message_seq that may be awaited.
    const record = bytes.length - 13;
    const body = record - 12;
    bytes.set([record >>> 8, record], 11);
    bytes.set([0, body >>> 8, body, 0, random.below(6), 0, 0, 0, 0, body >>> 8, body], 14);
  }
  return bytes;
}

interface Victim {
  readonly core: DtlsEndpoint;
  readonly driver: Driver<DtlsEvent>;
}

/** A client or a server somewhere in its handshake, or behind it. */
function newVictim(random: SeededRandom): Victim {
  const cookieExchange = random.chance(0.3);
  const connected = random.chance(0.2);
  const pair = connected
    ? connectedPair({ seed: random.u32() })
    : makePair({ seed: random.u32(), server: { cookieExchange } });
  if (!connected) {
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.world.run({ until: random.below(6) + 0.5 });
  }
  return random.chance(0.5)
    ? { core: pair.client, driver: pair.a.driver }
    : { core: pair.server, driver: pair.b.driver };
}

const collectGarbage: () => void = (() => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
})();

/** Bytes in use when everything that may go has gone: what native objects held goes in the turns behind a collection. */
async function settledBytes(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) {
    collectGarbage();
    await new Promise(setImmediate);
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** What may come to be after the first quarter: machine code, mostly. In the long run each datagram kept would be more. */
const FLAT_BYTES = 12_000_000;

/** Runs the steps, and expects the memory in use to be flat from the first quarter on. */
async function flat(steps: number, step: (n: number) => void): Promise<void> {
  let early = 0;
  for (let n = 0; n < steps; n++) {
    step(n);
    if (n === steps >>> 2) early = await settledBytes();
  }
  expect((await settledBytes()) - early).toBeLessThan(FLAT_BYTES);
}

describe('fuzzing', () => {
  it.each(seeds(SEEDS))(
    `seed %i: ${RUNS / SEEDS} mutated handshake records throw nothing, connect nobody and leave nothing behind`,
    async (seed) => {
      const random = new SeededRandom(seed);
      let victim = newVictim(random);
      await flat(RUNS / SEEDS, () => {
        const before = victim.core.state;
        const records = [mutate(random, random.pick(corpus))];
        if (random.chance(0.2)) records.push(mutate(random, random.pick(corpus)));
        victim.driver.input(concatBytes(...records), undefined);
        const after = victim.core.state;
        if (before !== after && after === 'connected') throw new Error('a mutated record has completed a handshake');
        if (after === 'failed' || after === 'closed' || random.chance(0.02)) victim = newVictim(random);
      });
    },
    LONG_MS,
  );

  it.each(seeds(SEEDS))(
    `seed %i: ${RUNS / SEEDS} authentic records with mutated content throw nothing and leave nothing behind`,
    async (seed) => {
      const random = new SeededRandom(seed);
      await flat(Math.ceil(RUNS / SEEDS / 100), () => {
        const { pair, secrets } = openPair();
        for (let n = 1; n <= 100 && pair.server.state === 'connected'; n++) {
          const genuine = random.pick(corpus);
          const content = mutate(random, genuine).subarray(13, 1013);
          // Few alerts, as most of them rightly end the connection.
          const type = random.chance(0.05) ? random.below(256) : 22;
          pair.b.driver.input(authenticRecord(secrets, 'client', type, content, n * 1000), undefined);
        }
        expect(['connected', 'failed', 'closed']).toContain(pair.server.state);
      });
    },
    LONG_MS,
  );

  it.each(seeds(2))(
    'seed %i: one connection, and one that waits for its cookie, keep nothing of what they are sent',
    async (seed) => {
      const random = new SeededRandom(seed);
      // Another seed than that of the corpus, whose cookies would be right.
      for (const make of [() => connectedPair(), () => makePair({ seed: 77, server: { cookieExchange: true } })]) {
        const { b, server } = make();
        const { state } = server;
        await flat(RUNS / SEEDS, () => b.driver.input(mutate(random, random.pick(corpus)), undefined));
        expect(server.state).toBe(state);
      }
    },
    LONG_MS,
  );

  it(
    'random bytes behind a valid record header',
    () => {
      const random = new SeededRandom(3);
      for (let n = 0; n < 2000; n++) {
        const { core, driver } = newVictim(random);
        const before = core.state;
        driver.input(plainRecord(random.pick([20, 21, 22, 23, 25]), random.bytes(random.below(300))), undefined);
        if (before !== 'connected') expect(core.state).not.toBe('connected');
        if (n >= 200 && RUNS < 100_000) break;
      }
    },
    LONG_MS,
  );
});
