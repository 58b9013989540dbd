import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, DecodeError, NEVER, type TransmitSlot } from '../../src/core/index.ts';
import { writeHandshakeHeader } from '../../src/dtls/handshake-fragment.ts';
import { MAX_FRAGMENTED_HELLOS } from '../../src/dtls/hello-desk.ts';
import { DtlsServer } from '../../src/dtls/index.ts';
import {
  type ClientHello,
  decodeClientHelloStart,
  decodeHelloVerifyRequest,
  encodeClientHello,
} from '../../src/dtls/messages/index.ts';
import { DEFAULT_MAX_RETRANSMISSIONS } from '../../src/dtls/options.ts';
import { MAX_HANDSHAKE_MESSAGE_BYTES, MAX_UNPROVED_HELLO_BYTES } from '../../src/dtls/reassembly.ts';
import { PERFECT, seeds } from '../sim/index.ts';
import { handshake, makePair, PLAIN_ENV, plainRecord, recordsOf, SERVER_CERTIFICATE } from './harness.ts';
import { at, House, SERVER } from './house.ts';

/** As long as a ClientHello with the key shares of two post-quantum groups. */
const LONG = { alpn: Array.from({ length: 16 }, (_, n) => String.fromCharCode(97 + n).repeat(200)) };

const HELLO: ClientHello = {
  version: 0xfefd,
  random: new Uint8Array(32).fill(7),
  sessionId: new Uint8Array(32).fill(1),
  cookie: new Uint8Array(0),
  cipherSuites: [0xc02b, 0xc02c],
  compressionMethods: Uint8Array.of(0),
  extensions: [{ type: 21, data: new Uint8Array(3000) }],
};

/** One fragment, in one datagram, of a ClientHello. */
function fragment(body: Uint8Array, from: number, to: number, messageSeq = 0): Uint8Array {
  const bytes = new Uint8Array(12 + to - from);
  writeHandshakeHeader(bytes, 0, { type: 1, messageSeq, body }, from, to - from);
  bytes.set(body.subarray(from, to), 12);
  return plainRecord(22, bytes);
}

function newServer(): DtlsServer {
  return new DtlsServer({ env: PLAIN_ENV, certificate: SERVER_CERTIFICATE });
}

/** Gives a datagram to the server, and returns what it answers. */
function tell(server: DtlsServer, datagram: Uint8Array): Uint8Array[] {
  server.handleInput(datagram.slice(), undefined, 0);
  return sent(server);
}

function sent(from: DtlsServer): Uint8Array[] {
  const slot: TransmitSlot<undefined> = { buffer: new Uint8Array(2000), offset: 0, length: 0, path: undefined };
  const datagrams: Uint8Array[] = [];
  while (from.pollTransmit(slot, 0)) datagrams.push(slot.buffer.slice(0, slot.length));
  return datagrams;
}

describe('a ClientHello in fragments before the cookie (RFC 6347 §4.2.1, §4.2.3)', () => {
  it('the first is answered, no longer than it is itself, and nothing of the hello is kept', () => {
    const server = newServer();
    const body = encodeClientHello(HELLO);
    const first = fragment(body, 0, 100);
    const answers = tell(server, first);
    expect(answers.map((datagram) => datagram[13])).toEqual([3]);
    expect(answers[0]!.length).toBeLessThanOrEqual(first.length);
    expect([server.state, server.holdsFragments]).toEqual(['new', false]);
    expect(tell(server, fragment(body, 100, body.length))).toEqual([]);
    expect([server.holdsFragments, server.drops.toJSON()]).toEqual([false, { 'bad-state': 1 }]);
  });

  it('all of them in one datagram are answered once', () => {
    const body = encodeClientHello(HELLO);
    const starts = [100, 200, 300].map((to) => fragment(body, 0, to));
    expect(tell(newServer(), concatBytes(...starts, fragment(body, 300, body.length)))).toHaveLength(1);
  });

  it('with the cookie in it the first one makes the association, which puts the rest together in any order', () => {
    const server = newServer();
    const [answer] = tell(server, fragment(encodeClientHello(HELLO), 0, 100));
    const { cookie } = decodeHelloVerifyRequest(answer!.slice(25));
    const body = encodeClientHello({ ...HELLO, cookie });
    expect(tell(server, fragment(body, 0, 140, 1))).toEqual([]);
    expect([server.state, server.holdsFragments]).toEqual(['connecting', true]);
    expect(server.nextTimeout()).toBe(1000);
    for (let from = body.length - 1; from > 140; from--) {
      expect(tell(server, fragment(body, from, from + 1, 1))).toEqual([]);
    }
    // It lacks extended_master_secret: the whole hello has been read, and the address is known, so it is told why.
    expect(recordsOf(concatBytes(...tell(server, fragment(body, 140, 141, 1)))).map((r) => [...r.slice(13)])).toEqual([
      [2, 40],
    ]);
    expect(server.state).toBe('failed');
  });

  it('an association whose hello never ends comes to its own end', () => {
    const server = newServer();
    const [answer] = tell(server, fragment(encodeClientHello(HELLO), 0, 100));
    const { cookie } = decodeHelloVerifyRequest(answer!.slice(25));
    tell(server, fragment(encodeClientHello({ ...HELLO, cookie }), 0, 140, 1));
    for (let n = 0; n <= DEFAULT_MAX_RETRANSMISSIONS; n++) {
      expect(server.state).toBe('connecting');
      server.handleTimeout(server.nextTimeout());
      expect(sent(server)).toEqual([]);
    }
    expect([server.state, server.nextTimeout(), server.holdsFragments]).toEqual(['failed', NEVER, false]);
  });

  it('a wrong cookie in it is answered with the right one', () => {
    const server = newServer();
    const body = encodeClientHello({ ...HELLO, cookie: new Uint8Array(32) });
    expect(tell(server, fragment(body, 0, 140, 1)).map((datagram) => datagram[13])).toEqual([3]);
    expect([server.state, server.holdsFragments]).toEqual(['new', false]);
  });

  it('too short to be answered it is held, and what it cannot be part of replaces it', () => {
    const server = newServer();
    const body = encodeClientHello(HELLO);
    const other = encodeClientHello({ ...HELLO, cookie: new Uint8Array(9) });
    expect(tell(server, fragment(other, 0, 20))).toEqual([]);
    expect(server.holdsFragments).toBe(true);
    for (const [from, to] of [
      [0, 20],
      [40, body.length],
    ] as const) {
      expect(tell(server, fragment(body, from, to))).toEqual([]);
    }
    expect(tell(server, fragment(body, 20, 40)).map((datagram) => datagram[13])).toEqual([3]);
    expect([server.holdsFragments, server.drops.toJSON()]).toEqual([false, {}]);
  });

  it('what was held before the cookie came is not believed, nor kept', () => {
    const server = newServer();
    const forged = (body: Uint8Array, messageSeq: number): void => {
      const other = body.slice();
      other.set([0xfe, 0xff]); // DTLS 1.0
      expect(tell(server, fragment(other, 0, 20, messageSeq))).toEqual([]);
      expect(server.holdsFragments).toBe(true);
    };
    const first = encodeClientHello(HELLO);
    forged(first, 0);
    const [answer] = tell(server, fragment(first, 0, 100));
    expect(server.holdsFragments).toBe(false);
    const { cookie } = decodeHelloVerifyRequest(answer!.slice(25));
    const second = encodeClientHello({ ...HELLO, cookie });
    forged(second, 1);
    tell(server, fragment(second, 0, 140, 1));
    // It lacks extended_master_secret; of the other version it would be a protocol_version.
    const [alert] = tell(server, fragment(second, 140, second.length, 1));
    expect([...alert!.slice(13)]).toEqual([2, 40]);
  });

  it(`MAX_UNPROVED_HELLO_BYTES: ${MAX_UNPROVED_HELLO_BYTES} bytes are put together for a client without a cookie, no more`, () => {
    const server = newServer();
    tell(server, fragment(new Uint8Array(MAX_UNPROVED_HELLO_BYTES + 1), 0, 20));
    expect([server.holdsFragments, server.drops.toJSON()]).toEqual([false, { limit: 1 }]);
    tell(server, fragment(new Uint8Array(MAX_UNPROVED_HELLO_BYTES), 0, 20));
    expect([server.holdsFragments, server.drops.toJSON()]).toEqual([true, { limit: 1 }]);
    // Where the first fragment is enough nothing is held, and the length does not matter.
    const long = concatBytes(encodeClientHello(HELLO), new Uint8Array(MAX_HANDSHAKE_MESSAGE_BYTES)).subarray(0, 65_535);
    expect(tell(server, fragment(long, 0, 100))).toHaveLength(1);
    expect(server.holdsFragments).toBe(false);
  });

  it('a malformed beginning is dropped', () => {
    const body = encodeClientHello(HELLO);
    body[34] = 33; // session_id longer than there are
    const server = newServer();
    expect(tell(server, fragment(body, 0, 200))).toEqual([]);
    expect([server.state, server.holdsFragments, server.drops.toJSON()]).toEqual(['new', false, { 'bad-length': 1 }]);
  });

  it('the beginning decodes as soon as it is there, whatever follows', () => {
    const opaque = (maxLength: number) => fc.uint8Array({ maxLength });
    const hello = fc.record({ sessionId: opaque(32), cookie: opaque(255), more: fc.uint8Array({ minLength: 1 }) });
    fc.assert(
      fc.property(hello, ({ sessionId, cookie, more }) => {
        const extensions = [{ type: 21, data: more }];
        const body = encodeClientHello({ ...HELLO, sessionId, cookie, extensions });
        const { extensions: _, ...start } = { ...HELLO, sessionId, cookie };
        const end = body.length - 6 - more.length;
        for (let cut = 0; cut < end; cut++) {
          expect(() => decodeClientHelloStart(body.subarray(0, cut))).toThrow(
            expect.objectContaining({ name: DecodeError.name, reason: 'too-short' }),
          );
        }
        for (let cut = end; cut <= body.length; cut++) {
          expect(decodeClientHelloStart(body.subarray(0, cut))).toEqual(start);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('long ClientHellos and a DtlsListener', () => {
  it.each([64, 100, 200, 1200])('in datagrams of %i bytes', (mtuBytes) => {
    const house = new House();
    const guest = house.guest(at(1), { ...LONG, mtuBytes });
    house.run(1000);
    expect(guest.client.state).toBe('connected');
    expect(guest.client.drops.total).toBe(0);
    house.say(guest, 'hello');
    expect(guest.received).toEqual(['hello']);
  });

  it.each(seeds(20))('seed %i: over a bad link', (seed) => {
    const house = new House({}, { latencyMs: 30, jitterMs: 100, loss: 0.2, duplicate: 0.2, reorder: 0.2 }, seed);
    const guests = Array.from({ length: 5 }, (_, n) => house.guest(at(n), { ...LONG, mtuBytes: 600 + 100 * n }));
    house.run(300_000);
    expect(guests.map((guest) => guest.client.state)).toEqual(guests.map(() => 'connected'));
  });

  it('are taken in the middle of a flood of others that nobody completes', () => {
    const house = new House({}, { ...PERFECT, latencyMs: 5, jitterMs: 20 });
    const guest = house.guest(at(0), { ...LONG, mtuBytes: 600 });
    const long = fragment(encodeClientHello(HELLO), 0, 100);
    const short = fragment(encodeClientHello(HELLO), 0, 30);
    for (let n = 0; n < 60; n++) {
      house.run(8);
      for (let m = 1; m <= MAX_FRAGMENTED_HELLOS + 1; m++) {
        const remote = at(1 + ((n * MAX_FRAGMENTED_HELLOS + m) % 2000));
        house.driver.input((m % 2 === 0 ? long : short).slice(), { protocol: 'udp', local: SERVER, remote });
      }
    }
    expect([guest.client.state, house.listener.connectionCount]).toEqual(['connected', 1]);
  });

  it('replace an association of their address, as short ones do (RFC 6347 §4.2.8)', () => {
    const house = new House();
    const first = house.guest(at(1));
    house.run(1000);
    first.leave();
    const second = house.guest(at(1), { ...LONG, mtuBytes: 300 });
    house.run(5000);
    expect([second.client.state, house.listener.connectionCount]).toEqual(['connected', 1]);
    house.say(second, 'again');
    expect(second.received).toEqual(['again']);
  });
});

it('a server without cookies puts a long ClientHello together from wherever it begins', () => {
  const pair = handshake(makePair({ client: { ...LONG, mtuBytes: 300 }, toServer: reversed() }));
  expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
});

/** Holds datagrams back until thirteen are there, and gives them in the opposite order. */
function reversed(): (datagram: Uint8Array) => readonly Uint8Array[] {
  const held: Uint8Array[] = [];
  let done = false;
  return (datagram) => {
    if (done) return [datagram];
    held.unshift(datagram.slice());
    done = held.length === 13;
    return done ? held : [];
  };
}
