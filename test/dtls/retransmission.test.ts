import { describe, expect, it } from 'vitest';
import { MemorySessionCache } from '../../src/dtls/index.ts';
import {
  CLIENT_CERTIFICATE,
  connectedPair,
  eventsOf,
  exchange,
  handshake,
  makePair,
  type Pair,
  type PairOptions,
  recordsOf,
  SERVER_CERTIFICATE,
} from './harness.ts';

const COOKIE: PairOptions = { server: { cookieExchange: true } };

/** Datagrams of both sides in a handshake that meets neither loss nor a time-out. */
const FEWEST = (() => {
  const pair = connectedPair(COOKIE);
  return { a: pair.a.link.counts.sent, b: pair.b.link.counts.sent };
})();

/** When the client sends each datagram, and whether it carries ClientKeyExchange, which begins its last flight. */
function watchClient(pair: Pair): { readonly at: number; readonly last: boolean; readonly bytes: number }[] {
  const sent: { at: number; last: boolean; bytes: number }[] = [];
  pair.a.link.onSend = (datagram, at) => {
    const last = recordsOf(datagram).some((r) => r[0] === 22 && r[4] === 0 && (r[13] === 16 || r[13] === 11));
    sent.push({ at, last, bytes: datagram.length });
  };
  return sent;
}

describe('the retransmission timer (RFC 6347 §4.2.4.1)', () => {
  const roundTrips = [5, 20, 50, 100, 200, 350, 500];

  it.each(roundTrips)('a clean path of %i ms: nothing is sent twice', (rttMs) => {
    const pair = connectedPair({ ...COOKIE, link: { latencyMs: rttMs / 2 } });
    exchange(pair);
    expect([pair.a.link.counts.sent - 1, pair.b.link.counts.sent - 1]).toEqual([FEWEST.a, FEWEST.b]);
    expect([pair.client.drops.total, pair.server.drops.total]).toEqual([0, 0]);
  });

  it.each(roundTrips)('nor when the timer begins at three round trips of %i ms, as ICE knows them', (rttMs) => {
    const initialRtoMs = Math.max(50, 3 * rttMs);
    const link = { latencyMs: rttMs / 2 };
    const pair = connectedPair({ link, client: { initialRtoMs }, server: { initialRtoMs, cookieExchange: true } });
    expect([pair.a.link.counts.sent, pair.b.link.counts.sent]).toEqual([FEWEST.a, FEWEST.b]);
  });

  it.each(roundTrips)(
    'a lost flight is sent again after 1.5 measured round trips of %i ms, 50 ms at least',
    (rttMs) => {
      const pair = makePair({ ...COOKIE, link: { latencyMs: rttMs / 2 } });
      const sent = watchClient(pair);
      let lost = 0;
      pair.a.link.dropIf = () => sent.at(-1)!.last && lost++ === 0;
      handshake(pair);
      pair.world.run({ until: pair.world.now + 5000 });
      expect([pair.client.state, lost > 0]).toEqual(['connected', true]);
      const [first, again] = sent.filter((d) => d.last);
      expect(again!.at - first!.at).toBeCloseTo(Math.max(50, 1.5 * rttMs), 6);
    },
  );

  it('a HelloVerifyRequest says how far the server is, not how fast it signs: 200 ms more, never above the first value', () => {
    for (const [initialRtoMs, expected] of [
      [1000, 1.5 * 100 + 200],
      [200, 200],
    ] as const) {
      const pair = makePair({ ...COOKIE, link: { latencyMs: 50 }, client: { initialRtoMs } });
      const sent = watchClient(pair);
      pair.a.link.dropIf = (index) => index === 1; // the second ClientHello
      handshake(pair);
      expect(sent[2]!.at - sent[1]!.at).toBeCloseTo(expected, 6);
    }
  });

  it("what answers a flight that was sent twice measures nothing (Karn's rule), and the value at most doubles", () => {
    const pair = makePair({ link: { latencyMs: 100 }, client: { initialRtoMs: 400 } });
    const sent = watchClient(pair);
    let lost = 0;
    pair.a.link.dropIf = (index) => index === 0 || (sent.at(-1)!.last && lost++ === 0);
    handshake(pair);
    pair.world.run({ until: pair.world.now + 5000 });
    expect(pair.client.state).toBe('connected');
    expect(sent[1]!.at - sent[0]!.at).toBeCloseTo(400, 6);
    const [first, again] = sent.filter((d) => d.last);
    expect(again!.at - first!.at).toBeCloseTo(800, 6); // 1.5 times the 600 ms since the first hello would be 900
  });

  it('outgrows a path longer than its first value', () => {
    const pair = makePair({ link: { latencyMs: 750 } });
    const sent = watchClient(pair);
    handshake(pair);
    pair.world.run({ until: pair.world.now + 20_000 });
    expect(pair.client.state).toBe('connected');
    const [hello, helloAgain, ...rest] = sent;
    expect(helloAgain!.at - hello!.at).toBe(1000);
    // The server's second copy asks for the client's once more; the timer itself, now 2 s, does not go off again.
    expect(rest.length).toBe(2);
    expect(rest[1]!.at - rest[0]!.at).toBeLessThan(1500);
  });

  it('a driver that is late does not stretch the schedule, and sends no burst', () => {
    const pair = makePair({ client: { maxRetransmissions: 4 } });
    const sent: number[] = [];
    let now = 0;
    const wake = (at: number): void => {
      now = at;
      pair.client.handleTimeout(now);
      const slot = { buffer: new Uint8Array(2000), offset: 0, length: 0, path: undefined };
      while (pair.client.pollTransmit(slot, now)) sent.push(now);
    };
    pair.client.start(0);
    wake(0);
    expect(pair.client.nextTimeout()).toBe(1000);
    wake(1900); // 900 late
    expect(pair.client.nextTimeout()).toBe(3000);
    wake(9500); // later than the one after it would have been
    expect(pair.client.nextTimeout()).toBe(10_500);
    wake(10_499);
    wake(10_500);
    expect(sent).toEqual([0, 1900, 9500, 10_500]);
  });

  it('a path of no length at all leads to 50 ms and not below', () => {
    const pair = makePair({ link: { latencyMs: 0.01 } });
    const sent = watchClient(pair);
    let lost = 0;
    pair.a.link.dropIf = () => sent.at(-1)!.last && lost++ < 3;
    handshake(pair);
    pair.world.run({ until: pair.world.now + 5000 });
    expect(sent.filter((d) => d.last).map((d, i, all) => Math.round(d.at - (all[i - 1]?.at ?? d.at)))).toEqual([
      0, 50, 100, 200,
    ]);
  });

  it.each(['a', 'b'] as const)('a Finished that comes twice to %s starts no exchange without end', (side) => {
    for (const resumed of [false, true]) {
      const pair = resumed ? resumedPair() : makePair();
      pair[side === 'a' ? 'b' : 'a'].link.options = { latencyMs: 10, duplicate: 1 };
      handshake(pair);
      pair.world.run({ until: pair.world.now + 10_000 });
      expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
      expect(pair.a.link.counts.sent + pair.b.link.counts.sent).toBeLessThan(12);
      exchange(pair);
    }
  });
});

/** A pair that is about to resume a session, so that the client's flight is the last. */
function resumedPair(): Pair {
  const sessionCache = new MemorySessionCache();
  const first = connectedPair({ server: { sessionCache } });
  const session = eventsOf(first.a, 'session')[0]!.session;
  return makePair({ server: { sessionCache }, client: { session } });
}

describe('the path MTU of the handshake (RFC 6347 §4.1.1.1)', () => {
  /** Long flights of both sides. */
  const long: PairOptions = {
    client: { certificate: { ...CLIENT_CERTIFICATE, chain: [new Uint8Array(1500)] } },
    server: { certificate: { ...SERVER_CERTIFICATE, chain: [new Uint8Array(1500)] }, cookieExchange: true },
  };
  const sizes = (pair: Pair): { a: number[]; b: number[] } => {
    const seen = { a: [] as number[], b: [] as number[] };
    for (const side of ['a', 'b'] as const) pair[side].link.onSend = (bytes) => void seen[side].push(bytes.length);
    return seen;
  };

  // MTU of the link, what is left for UDP payload, what is found, and the longest that it may take.
  it.each([
    [1280, 1232, 1200, 100],
    [576, 548, 548, 12_000],
    [300, 272, 256, 40_000],
  ])(
    'a link of %i bytes that drops what is longer without a word: %i is found to carry %i',
    (_mtu, mtuBytes, found, ms) => {
      const pair = makePair({ ...long, link: { latencyMs: 10, mtuBytes } });
      const seen = sizes(pair);
      handshake(pair);
      pair.world.run({ until: pair.world.now + 1000 });
      expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
      expect(pair.world.now).toBeLessThan(ms + 1000);
      for (const side of ['a', 'b'] as const) {
        const carried = seen[side].filter((size) => size <= mtuBytes);
        expect(Math.max(...carried)).toBeLessThanOrEqual(found);
        expect(Math.max(...carried)).toBeGreaterThan(found - 80); // as large as it may be
      }
      expect(pair.a.link.counts.tooBig > 0).toBe(found < 1200);
      exchange(pair);
      expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
    },
  );

  it.each([548, 272, 100])('a system that says so (EMSGSIZE): %i bytes at once, without a time-out', (mtuBytes) => {
    const pair = makePair({ ...long, link: { latencyMs: 10, mtuBytes } });
    const timesOut = { a: 0, b: 0 };
    for (const [side, core] of [
      ['a', pair.client],
      ['b', pair.server],
    ] as const) {
      pair[side].link.onSend = (bytes) => {
        if (bytes.length <= mtuBytes) return;
        timesOut[side]++;
        // As a socket reports it: later, from the event loop.
        pair.world.schedule(pair.world.now + 1, () =>
          pair[side].driver.mutate((now) => core.limitDatagramBytes(mtuBytes, now)),
        );
      };
    }
    handshake(pair);
    pair.world.run({ until: pair.world.now + 50 });
    expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
    expect(pair.world.now).toBeLessThan(300);
    expect(timesOut.a + timesOut.b).toBeGreaterThan(0);
    expect(timesOut.a + timesOut.b).toBeLessThan(12); // one flight each, and no more
  });

  it('a limit below 64 bytes is taken for 64, and a larger one than before raises nothing', () => {
    const pair = makePair({ client: { mtuBytes: 200, alpn: ['a'.repeat(250)] } });
    const seen = sizes(pair);
    pair.client.limitDatagramBytes(1, 0);
    pair.client.limitDatagramBytes(5000, 0);
    pair.a.driver.mutate((now) => pair.client.start(now));
    expect(Math.max(...seen.a)).toBe(64);
  });

  it('a flight of short datagrams was not lost for their length: the next one has its full size', () => {
    const pair = makePair({ client: long.client!, server: { mtuBytes: 300 } });
    const seen = sizes(pair);
    pair.a.link.dropIf = (index) => index < 5;
    handshake(pair);
    expect(pair.client.state).toBe('connected');
    expect(Math.max(...seen.a)).toBeGreaterThan(1100);
  });

  it('after an outage the size comes back when the peer shows that the path carries it', () => {
    // The hello itself is long, so the outage looks like a small MTU.
    const client = { ...long.client, alpn: [0, 1, 2, 3].map((n) => `${n}`.repeat(200)) };
    for (const [serverMtu, restored] of [
      [1200, true],
      [500, false],
    ] as const) {
      const pair = makePair({ client, server: { ...long.server, cookieExchange: false, mtuBytes: serverMtu } });
      const seen = sizes(pair);
      pair.a.link.dropIf = (index) => index < 3;
      handshake(pair);
      expect(pair.client.state).toBe('connected');
      const [, , , ...afterOutage] = seen.a;
      expect(afterOutage[0]).toBeLessThanOrEqual(548);
      expect(Math.max(...afterOutage) > 548).toBe(restored);
    }
  });

  it('a late word about the path from the time after the handshake disturbs nothing', () => {
    const pair = connectedPair(long);
    pair.b.driver.mutate((now) => pair.server.limitDatagramBytes(100, now));
    pair.b.driver.mutate((now) => pair.server.limitDatagramBytes(100, now));
    pair.world.run({ until: pair.world.now + 1000 });
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
    expect(eventsOf(pair.a, 'failed').concat(eventsOf(pair.b, 'failed'))).toEqual([]);
    pair.client.close(pair.world.now);
    pair.client.limitDatagramBytes(64, pair.world.now);
  });
});
