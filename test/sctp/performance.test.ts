import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Flow, makeBottleneck } from './shared-link.ts';
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
    [100, 20, 0.05, 0.85],
    [10, 100, 0.1, 0.85],
  ])(
    '%i Mbit/s, %i ms, no loss, a queue of %f BDP: at least %f of the link once it is warm',
    (mbps, rttMs, queue, least) => {
      expect(measureGoodput(path(mbps, rttMs, 0, queue), 'cubic', 3, 5).share).toBeGreaterThan(least);
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
    [10, 20, 1],
    [25, 40, 1],
    [20, 100, 0.3],
    [20, 20, 3],
  ])('%i Mbit/s, %i ms, queue of %f BDP: two flows share within a fifth of each other', (mbps, rttMs, queue) => {
    const { world, forward, back } = makeBottleneck(path(mbps, rttMs, 0, queue), 3);
    const flows = [new Flow(world, forward, back, {}), new Flow(world, forward, back, {})] as const;
    for (const flow of flows) flow.busyStream = 0;
    world.run({ until: 20_000 });
    const before = flows.map((flow) => flow.receivedBytes);
    world.run({ until: 50_000 });
    const [one, two] = flows.map((flow, i) => flow.receivedBytes - before[i]!);
    expect(one! / two!).toBeGreaterThan(0.8);
    expect(one! / two!).toBeLessThan(1.25);
    expect(((one! + two!) * 8) / 30e6).toBeGreaterThan(0.85 * mbps);
  });

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
  const rates = TABLE_FILE === undefined ? [10] : [1, 10, 100, 1000];
  const rtts = TABLE_FILE === undefined ? [20] : [1, 20, 100, 300];
  const losses = TABLE_FILE === undefined ? [0.001] : [0, 0.001, 0.01, 0.05];

  it('is measured as above', { timeout: 3_600_000 }, () => {
    const lines: string[] = [];
    for (const mbps of rates) {
      for (const rttMs of rtts) {
        for (const loss of losses) {
          const seconds = mbps >= 1000 ? 2 : 5;
          const warmUp = Math.min(mbps >= 1000 ? 5 : 10, Math.max(2, Math.ceil(rttMs / 40)));
          const cells = [1, 0.1].flatMap((queue) =>
            (['cubic', 'reno'] as const).map(
              (name) => measureGoodput(path(mbps, rttMs, loss, queue), name, seconds, warmUp).share,
            ),
          );
          const row = [
            `${mbps} Mbit/s`,
            `${rttMs} ms`,
            `${loss * 100} %`,
            ...cells.map((share) => `${Math.round(share * 100)} %`),
          ];
          lines.push(`| ${row.join(' | ')} |`);
          expect(cells[0]).toBeGreaterThan(0.02);
        }
      }
    }
    if (TABLE_FILE !== undefined) writeFileSync(TABLE_FILE, tableText(lines));
  });
});

function tableText(lines: readonly string[]): string {
  return `# SCTP over simulated paths

Goodput of one long transfer as a share of what the link can carry as user data, after a warm-up, in the simulator with
default options (the receive window grows to the path). \`cubic\` is the default controller, \`reno\` is RFC 9260 §7.2. The
queue of the bottleneck is given in bandwidth-delay products, at least 15 kB. Random loss is the same both ways.

Generated by \`PURERTC_SCTP_TABLE=docs/sctp-performance.md npx vitest run test/sctp/performance.test.ts\`.

| link | round trip | loss | cubic, queue 1 | reno, queue 1 | cubic, queue 0.1 | reno, queue 0.1 |
|---|---|---|---|---|---|---|
${lines.join('\n')}
`;
}
