import { describe, expect, it } from 'vitest';
import { type LinkOptions, seeds } from '../sim/index.ts';
import {
  connectedPair,
  exchange,
  handshake,
  makePair,
  type Pair,
  type PairOptions,
  SERVER_CERTIFICATE,
} from './harness.ts';

/** Enough tries for links that lose 40 % in each direction; the defaults are for links that people use. */
const PATIENT = { maxRetransmissions: 200, maxRtoMs: 4000 } as const;
const BAD_LINK: LinkOptions = { latencyMs: 40, jitterMs: 200, loss: 0.4, duplicate: 0.4, reorder: 0.4 };

/** Watches both directions: no protected record number is ever used twice with different bytes. */
function watchNonces(pair: Pair): void {
  for (const end of [pair.a, pair.b]) {
    const seen = new Set<string>();
    end.link.onSend = (datagram) => {
      for (let at = 0; at + 13 <= datagram.length; ) {
        const length = (datagram[at + 11]! << 8) | datagram[at + 12]!;
        const number = [...datagram.subarray(at + 3, at + 11)].join('.');
        // Epoch 0 has no nonce, and RFC 6347 §4.2.1 itself repeats its numbers during the cookie exchange.
        if (datagram[at + 4] !== 0 && seen.has(number)) throw new Error(`epoch and sequence number ${number} twice`);
        seen.add(number);
        at += 13 + length;
      }
    };
  }
}

function expectConnected(pair: Pair): void {
  expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
}

const variants: readonly (readonly [string, Omit<PairOptions, 'seed'>])[] = [
  ['certificates both ways', {}],
  ['with cookies', { server: { cookieExchange: true } }],
  ['in datagrams of 200 bytes', { client: { mtuBytes: 200 }, server: { mtuBytes: 200 } }],
];

describe('DTLS over a bad link', () => {
  describe.each(variants)('%s', (_name, variant) => {
    it.each(seeds(667))('seed %i: 40 % loss, duplication and reordering still end connected', (seed) => {
      const pair = makePair({
        ...variant,
        seed,
        link: BAD_LINK,
        client: { ...PATIENT, ...variant.client },
        server: { ...PATIENT, ...variant.server },
      });
      watchNonces(pair);
      handshake(pair);
      // The side that sent the last flight may be ahead of the other.
      pair.world.run({ until: pair.world.now + 600_000, done: () => pair.client.state === 'connected' });
      expectConnected(pair);
      const sent = pair.a.link.counts.sent + pair.b.link.counts.sent;
      expect(sent).toBeLessThan(400);
    });
  });

  it.each(seeds(40))('seed %i: data sent as soon as each side is connected is delivered, never twice', (seed) => {
    const link = { latencyMs: 20, jitterMs: 100, duplicate: 0.5, reorder: 0.5 };
    const pair = makePair({ seed, link, client: PATIENT, server: PATIENT });
    for (const [end, core, text] of [
      [pair.a, pair.client, 'client speaks'],
      [pair.b, pair.server, 'server speaks'],
    ] as const) {
      const record = end.onEvent;
      end.onEvent = (event) => {
        record?.(event);
        if (event.type === 'connected') core.send(new TextEncoder().encode(text), pair.world.now);
      };
    }
    handshake(pair);
    pair.world.run({ until: pair.world.now + 5000 });
    expect(pair.received).toEqual({ client: ['server speaks'], server: ['client speaks'] });
  });
});

describe('every datagram of the handshake dropped in turn', () => {
  const options: PairOptions = { server: { cookieExchange: true, mtuBytes: 300 }, client: { mtuBytes: 300 } };
  const clean = connectedPair(options);
  const sent = { a: clean.a.link.counts.sent, b: clean.b.link.counts.sent };
  const cases = (['a', 'b'] as const).flatMap((side) =>
    Array.from({ length: sent[side] }, (_, index) => ({ side, index })),
  );

  it('has something to drop', () => {
    expect(sent.a).toBeGreaterThan(3);
    expect(sent.b).toBeGreaterThan(3);
  });

  it.each(cases)('datagram $index of side $side', ({ side, index }) => {
    const pair = makePair(options);
    pair[side].link.dropIf = (i) => i === index;
    handshake(pair);
    pair.world.run({ until: pair.world.now + 10_000 });
    expectConnected(pair);
    expect(pair[side].link.counts.lost).toBe(1);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });

  it.each(cases)('datagram $index of side $side late, twice and after everything else', ({ side, index }) => {
    const pair = makePair(options);
    let kept: Uint8Array | undefined;
    pair[side].link.onSend = (bytes) => {
      if (pair[side].link.counts.sent === index + 1) kept = bytes.slice();
    };
    handshake(pair);
    pair.world.run({ until: pair.world.now + 10_000 });
    const other = side === 'a' ? pair.b : pair.a;
    other.driver.input(kept!.slice(), undefined);
    other.driver.input(kept!.slice(), undefined);
    pair.world.run({ until: pair.world.now + 10_000 });
    expectConnected(pair);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });
});

describe('fragmentation', () => {
  const sizes = Array.from({ length: 137 }, (_, i) => 64 + i);
  it.each(sizes)('handshakes in datagrams of %i bytes, reordered', (mtuBytes) => {
    const mtu = { mtuBytes, ...PATIENT };
    const link: LinkOptions = { latencyMs: 5, jitterMs: 20, duplicate: 0.1, mtuBytes };
    const pair = makePair({ seed: mtuBytes, link, client: mtu, server: mtu });
    handshake(pair);
    pair.world.run({ until: pair.world.now + 60_000 });
    expectConnected(pair);
    expect(pair.a.link.counts.tooBig + pair.b.link.counts.tooBig).toBe(0);
  });

  it('finds a smaller datagram size when the path drops large ones (RFC 6347 §4.1.1.1)', () => {
    const certificate = { ...SERVER_CERTIFICATE, chain: [new Uint8Array(1500)] }; // makes the flight long
    const long = makePair({ link: { latencyMs: 5, mtuBytes: 560 }, server: { certificate } });
    handshake(long);
    expectConnected(long);
    expect(long.b.link.counts.tooBig).toBeGreaterThan(0);
  });
});
