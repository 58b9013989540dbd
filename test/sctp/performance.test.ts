import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Flow, makeBottleneck, share } from './shared-link.ts';
import { measureGoodput, type Path } from './throughput.ts';

/** With PURERTC_SCTP_TABLE=docs/sctp-performance.md the whole table is measured and written there. */
const TABLE_FILE = process.env['PURERTC_SCTP_TABLE'];

function path(mbps: number, rttMs: number, loss = 0, queue = 1): Path {
  return { mbps, rttMs, loss, queue };
}

describe('goodput over simulated paths', () => {
  it.each([
    [1, 50, 1, 0.9],
    [10, 1, 1, 0.9],
    [10, 100, 1, 0.9],
    [100, 20, 1, 0.9],
    [100, 300, 1, 0.9],
    [100, 20, 0.05, 0.9],
    [10, 100, 0.1, 0.9],
    [100, 300, 0.1, 0.9],
  ])(
    '%i Mbit/s, %i ms, no loss, a queue of %f BDP: at least %f of the link once it is warm',
    (mbps, rttMs, queue, least) => {
      expect(measureGoodput(path(mbps, rttMs, 0, queue), 'cubic', 3, 5).share).toBeGreaterThan(least);
    },
  );

  it.each([
    [100, 300],
    [100, 20],
    [10, 100],
  ])(
    '%i Mbit/s, %i ms: slow start does not overrun a queue of 0.1 BDP by more than an eighth of a window',
    (mbps, rttMs) => {
      const start = measureGoodput(path(mbps, rttMs, 0, 0.1), 'cubic', 1, rttMs < 100 ? 1 : 5);
      const windowPackets = (mbps * 125 * rttMs) / 1191;
      expect(start.startDrops).toBeLessThan(Math.max(130, windowPackets / 8));
      expect(start.timeouts).toBe(0);
    },
  );

  it('1 % random loss at 20 ms leaves at least 50 of 100 Mbit/s, where RFC 9260 falls to the Reno formula', () => {
    expect(measureGoodput(path(100, 20, 0.01), 'cubic', 4).mbps).toBeGreaterThan(50);
    expect(measureGoodput(path(100, 20, 0.01), 'reno', 4).mbps).toBeLessThan(15);
  });

  it('5 % random loss is no collapse, at 20 and at 100 ms', () => {
    expect(measureGoodput(path(100, 20, 0.05), 'cubic', 4).mbps).toBeGreaterThan(30);
    expect(measureGoodput(path(100, 100, 0.05), 'cubic', 8).mbps).toBeGreaterThan(10);
  });
});

/** Sends numbered pings on a stream of `flow` every `everyMs` and returns the ways there, sorted. */
function pingTimes(
  flow: Flow,
  world: ReturnType<typeof makeBottleneck>['world'],
  count: number,
  everyMs: number,
): number[] {
  const times: number[] = [];
  const sentAt = new Map<number, number>();
  flow.onMessage = (bytes) => {
    if (bytes.length !== 32) return;
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    times.push(world.now - sentAt.get(number)!);
  };
  const start = world.now;
  for (let i = 0; i < count; i++) {
    world.schedule(start + i * everyMs, () => {
      const bytes = new Uint8Array(32);
      new DataView(bytes.buffer).setUint32(0, i);
      sentAt.set(i, world.now);
      flow.driverA.mutate((now) => flow.a.send({ streamId: 7, ppid: 51, bytes, ordered: true }, now));
    });
  }
  world.run({ until: start + count * everyMs + 3000 });
  expect(times.length).toBe(count);
  return times.sort((x, y) => x - y);
}

describe('latency and fairness on a shared bottleneck', () => {
  it('5 % loss: pings beside a bulk transfer arrive within 3 round trips (p99)', () => {
    const { world, forward, back } = makeBottleneck(path(20, 40, 0.05), 1);
    const flow = new Flow(world, forward, back, {});
    flow.busyStream = 0;
    world.run({ until: 3000 });
    const times = pingTimes(flow, world, 500, 20);
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(3 * 40);
  });

  it.each([
    [10, 20, 1, 0],
    [25, 40, 1, 0.7],
    [50, 40, 1, 0.7],
    [50, 40, 0.3, 0],
    [20, 100, 1, 0.7],
    [20, 20, 3, 0],
  ])(
    '%i Mbit/s, %i ms, queue of %f BDP: two flows, %f s apart, share within a fifth of each other',
    (mbps, rttMs, queue, secondStartsAtS) => {
      const [one, two] = share(path(mbps, rttMs, 0, queue), ['cubic', 'cubic'], {
        fromS: 20,
        untilS: 50,
        secondStartsAtS,
      });
      expect(Math.min(one, two) / Math.max(one, two)).toBeGreaterThan(0.8);
      expect(one + two).toBeGreaterThan(0.85 * mbps);
    },
  );

  it.each([
    [10, 20, 0],
    [25, 40, 0],
    [20, 100, 0.7],
  ])(
    '%i Mbit/s, %i ms, queue of 1 BDP: a flow of RFC 9260’s own kind, %f s later, gets at least half of ours',
    (mbps, rttMs, secondStartsAtS) => {
      const [ours, theirs] = share(path(mbps, rttMs), ['cubic', 'reno'], { fromS: 20, untilS: 50, secondStartsAtS });
      expect(theirs / ours).toBeGreaterThan(0.5);
      expect(theirs / ours).toBeLessThan(2);
    },
  );

  it('a latecomer gets its share within half a minute', () => {
    const { world, forward, back } = makeBottleneck(path(20, 40), 3);
    const first = new Flow(world, forward, back, {});
    first.busyStream = 0;
    world.run({ until: 5000 });
    const second = new Flow(world, forward, back, {});
    second.busyStream = 0;
    world.run({ until: 30_000 });
    const before = [first.receivedBytes, second.receivedBytes] as const;
    world.run({ until: 50_000 });
    const share = (second.receivedBytes - before[1]) / (first.receivedBytes - before[0]);
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThan(1.6);
  });

  it('a low-rate channel is not starved by somebody else’s bulk transfer', () => {
    const { world, forward, back } = makeBottleneck(path(10, 40), 5);
    const quiet = new Flow(world, forward, back, {});
    const bulk = new Flow(world, forward, back, {});
    bulk.busyStream = 0;
    world.run({ until: 3000 });
    const times = pingTimes(quiet, world, 300, 50);
    expect(times[150]).toBeLessThan(20 + 40 + 20); // half a round trip, a full queue, and a little
    expect(times[297]).toBeLessThan(1000);
  });
});

describe('the table in docs/sctp-performance.md', () => {
  const whole = TABLE_FILE !== undefined;
  const rates = whole ? [1, 10, 100, 1000] : [10];
  const rtts = whole ? [1, 20, 100, 300] : [20];
  const losses = whole ? [0, 0.001, 0.01, 0.05] : [0.001];
  const pairs: readonly (readonly [number, number])[] = whole
    ? [
        [10, 20],
        [25, 40],
        [50, 40],
        [20, 100],
      ]
    : [[10, 20]];
  const companions = [
    ['cubic', 0],
    ['cubic', 0.7],
    ['reno', 0],
  ] as const;
  const cell = (value: number) => `${Math.round(value * 100)} %`;

  it('is measured as above', { timeout: 3_600_000 }, () => {
    const goodput: string[] = [];
    for (const mbps of rates) {
      for (const rttMs of rtts) {
        for (const loss of losses) {
          const seconds = mbps >= 1000 ? 1 : 5;
          const warmUp = warmUpSeconds(rttMs);
          const runs = [1, 0.1].flatMap((queue) =>
            (['cubic', 'reno'] as const).map((name) =>
              measureGoodput(path(mbps, rttMs, loss, queue), name, seconds, warmUp, SEED),
            ),
          );
          const cells = runs.map((run, i) =>
            i % 2 === 0 ? `${cell(run.share)} (${cell(run.startShare)})` : cell(run.share),
          );
          goodput.push(`| ${[`${mbps} Mbit/s`, `${rttMs} ms`, `${loss * 100} %`, ...cells].join(' | ')} |`);
          expect(runs[0]!.share).toBeGreaterThan(0.02);
        }
      }
    }
    const shares: string[] = [];
    for (const [mbps, rttMs] of pairs) {
      for (const queue of whole ? [0.3, 1, 3] : [1]) {
        const ratios = companions.map(([name, secondStartsAtS]) => {
          const fromS = settledAfterSeconds(rttMs, queue);
          const when = { fromS, untilS: fromS + 30, secondStartsAtS, seed: SEED };
          const [first, second] = share(path(mbps, rttMs, 0, queue), ['cubic', name], when);
          return (second / first).toFixed(2);
        });
        shares.push(`| ${[`${mbps} Mbit/s`, `${rttMs} ms`, queue, ...ratios].join(' | ')} |`);
      }
    }
    if (TABLE_FILE !== undefined) writeFileSync(TABLE_FILE, tableText(goodput, shares));
  });
});

const SEED = 1;

/** Slow start and one recovery, on links of any rate. */
function warmUpSeconds(rttMs: number): number {
  return Math.max(2, Math.ceil(rttMs / 30));
}

/** Two flows settle by round trips: two hundred, with the queue full. */
function settledAfterSeconds(rttMs: number, queue: number): number {
  return Math.max(20, (200 * rttMs * (1 + queue)) / 1000);
}

function tableText(goodput: readonly string[], shares: readonly string[]): string {
  return `# SCTP over simulated paths

Generated by \`npm run docs:sctp-performance\` (seed ${SEED}): the simulator's virtual time, default options (the receive window
grows to the path). \`cubic\` is the default controller, \`reno\` is RFC 9260 §7.2. Queues are given in bandwidth-delay
products, at least 15 kB. Random loss is the same both ways.

## Goodput

Of one long transfer, as a share of what the link can carry as user data, once it is warm: measured for 5 s (1 s at
1,000 Mbit/s) after 2 s (4 s at 100 ms, 10 s at 300 ms). In brackets: the share of those first seconds, slow start and its losses
included. Ordered delivery moves bytes over the edge of what is measured, hence shares above 100 %.

| link | round trip | loss | cubic, queue 1 | reno, queue 1 | cubic, queue 0.1 | reno, queue 0.1 |
|---|---|---|---|---|---|---|
${goodput.join('\n')}

## Two flows on one bottleneck, no random loss

What the second flow gets of what the first gets in half a minute, once they had 200 round trips with a full queue (and 20 s at
least) to settle; the first is \`cubic\`.

| link | round trip | queue | cubic, at once | cubic, 0.7 s later | reno, at once |
|---|---|---|---|---|---|
${shares.join('\n')}
`;
}
