import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../src/core/index.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import { CookieJar } from '../../src/dtls/index.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/messages/index.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import {
  authenticRecord,
  connectedPair,
  eventsOf,
  exchange,
  failureOf,
  handshake,
  makePair,
  openPair,
  type Pair,
  PLAIN_ENV,
  plainMessage,
  plainRecord,
  rewriteMessages,
} from './harness.ts';

/** The next protected record that the client sends, as bytes; it is not delivered. */
function capture(pair: Pair, text: string): Uint8Array {
  const slot = { buffer: new Uint8Array(2000), offset: 100, length: text.length, path: undefined };
  slot.buffer.set(utf8(text), 100);
  pair.client.sealInPlace(slot);
  return slot.buffer.slice(slot.offset, slot.offset + slot.length);
}

const toServer = (pair: Pair, bytes: Uint8Array): void => pair.b.driver.input(bytes.slice(), undefined);

/** Whatever was tried, the connection is as it was. */
function expectUnharmed(pair: Pair): void {
  expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
  const before = { client: pair.received.client.length, server: pair.received.server.length };
  exchange(pair);
  expect(pair.received.client.slice(before.client)).toEqual(['from server']);
  expect(pair.received.server.slice(before.server)).toEqual(['from client']);
}

describe('security of records', () => {
  it('replay: a record is taken once', () => {
    const pair = connectedPair();
    const record = capture(pair, 'once');
    for (let i = 0; i < 3; i++) toServer(pair, record);
    expect(pair.received.server).toEqual(['once']);
    expect(pair.server.drops.get('replayed')).toBe(2);
    expectUnharmed(pair);
  });

  it('replay: order does not matter inside the window, and the window has an end', () => {
    const pair = connectedPair();
    const records = Array.from({ length: 300 }, (_, i) => capture(pair, `r${i}`));
    const [oldest, ...rest] = records;
    for (const record of rest.toReversed()) toServer(pair, record);
    toServer(pair, oldest!);
    expect(pair.received.server).toHaveLength(256); // the newest and the 255 before it
    expect(pair.server.drops.toJSON()).toEqual({ 'out-of-window': 44 });
    expectUnharmed(pair);
  });

  it('a forged sequence number does not move the replay window: nothing is committed before authentication', () => {
    const pair = connectedPair();
    const record = capture(pair, 'genuine');
    const forged = record.slice();
    forged.fill(0xff, 5, 11); // sequence number 2^48 - 1
    toServer(pair, forged);
    expect(pair.server.drops.toJSON()).toEqual({ 'decrypt-failed': 1 });
    toServer(pair, record);
    expect(pair.received.server).toEqual(['genuine']);
  });

  it('epoch confusion: a protected record moved to another epoch is nothing', () => {
    const pair = connectedPair();
    const record = capture(pair, 'x');
    for (const epoch of [0, 2, 3, 255]) {
      const moved = record.slice();
      moved[4] = epoch;
      toServer(pair, moved);
    }
    expect(pair.received.server).toEqual([]);
    expect(pair.server.drops.toJSON()).toEqual({ unauthenticated: 1, stale: 3 });
    expectUnharmed(pair);
  });

  it('truncated tag, and every other single byte missing or changed', () => {
    const pair = connectedPair();
    const record = capture(pair, 'text');
    for (let cut = 0; cut < record.length; cut++) toServer(pair, record.subarray(0, cut));
    for (let cut = 13; cut < record.length; cut++) {
      const shorter = record.slice(0, cut); // with a length field that fits
      shorter[12] = cut - 13;
      toServer(pair, shorter);
    }
    for (let at = 0; at < record.length; at++) {
      const changed = record.slice();
      changed[at]! ^= 0x01;
      toServer(pair, changed);
    }
    expect(pair.received.server).toEqual([]);
    toServer(pair, record);
    expect(pair.received.server).toEqual(['text']);
    expectUnharmed(pair);
  });

  it('reused explicit nonce: 5,000 records and both sides, none twice', () => {
    const pair = connectedPair();
    const nonces = new Set<string>();
    for (let i = 0; i < 5000; i++) nonces.add(capture(pair, 'x').subarray(13, 21).join('.'));
    expect(nonces.size).toBe(5000);
  });

  it('forged alert: plaintext alerts change nothing once the peer has proved itself', () => {
    const pair = connectedPair();
    toServer(pair, plainRecord(21, Uint8Array.of(2, 40)));
    toServer(pair, plainRecord(21, Uint8Array.of(1, 0)));
    expect(pair.server.drops.toJSON()).toEqual({ unauthenticated: 2 });
    expect(eventsOf(pair.b, 'alert')).toEqual([]);
    expectUnharmed(pair);
  });

  it('a plaintext fatal alert during the handshake is heard, as the peer may have no keys yet', () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.a.driver.input(plainRecord(21, Uint8Array.of(2, 40)), undefined);
    expect(failureOf(pair.a)).toEqual({
      alert: 'handshake_failure',
      by: 'remote',
      message: 'the peer sent handshake_failure',
    });
  });

  it('an alert before any ClientHello is not heard', () => {
    const pair = makePair();
    toServer(pair, plainRecord(21, Uint8Array.of(2, 40)));
    expect([pair.server.state, pair.server.drops.toJSON()]).toEqual(['new', { 'bad-state': 1 }]);
  });

  it('a plaintext ClientHello after the handshake changes nothing (RFC 6347 §4.2.8)', () => {
    const pair = makePair();
    let hello = new Uint8Array(0);
    pair.a.link.onSend = (bytes) => {
      if (hello.length === 0) hello = bytes.slice();
    };
    handshake(pair);
    const sent = pair.b.link.counts.sent;
    toServer(pair, hello);
    toServer(pair, plainMessage(1, 7, hello.slice(25)));
    expect(pair.b.link.counts.sent).toBe(sent);
    expect(pair.server.drops.toJSON()).toEqual({ unauthenticated: 2 });
    expectUnharmed(pair);
  });

  it('plaintext application data, ChangeCipherSpec and unknown types are dropped, before and after', () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.a.driver.input(plainRecord(23, utf8('data')), undefined);
    pair.a.driver.input(plainRecord(20, Uint8Array.of(2)), undefined);
    pair.a.driver.input(plainRecord(99, utf8('?')), undefined);
    expect(pair.client.drops.toJSON()).toEqual({ 'bad-type': 2, 'bad-value': 1 });
    handshake2(pair);
    toServer(pair, plainRecord(23, utf8('data')));
    toServer(pair, plainRecord(20, Uint8Array.of(1)));
    expect(pair.server.drops.toJSON()).toEqual({ unauthenticated: 2 });
    expectUnharmed(pair);
  });

  function handshake2(pair: Pair): void {
    pair.world.run({ until: 5000, done: () => pair.client.state === 'connected' });
  }

  it('key usage: at the bound of sealing the connection ends with an alert (RFC 8446 §5.5)', () => {
    const pair = connectedPair({ client: { keyLimits: { maxSealedBlocks: 100 } } });
    const send = (): void => pair.a.driver.mutate((now) => pair.client.send(new Uint8Array(160), now));
    expect(() => {
      for (let i = 0; i < 100; i++) send();
    }).toThrow('the key has reached its bound');
    pair.world.run({ until: pair.world.now + 100 });
    expect(failureOf(pair.a)).toMatchObject({ by: 'local', alert: 'internal_error' });
    expect(failureOf(pair.b)).toMatchObject({ by: 'remote', alert: 'internal_error' });
  });

  it('key usage: at the bound of forgeries the connection ends (RFC 9147 §4.5.3)', () => {
    const pair = connectedPair({ server: { keyLimits: { maxFailedRecords: 10 } } });
    const record = capture(pair, 'x');
    record[record.length - 1]! ^= 1;
    for (let i = 0; i < 10; i++) toServer(pair, record);
    expect(pair.server.drops.get('decrypt-failed')).toBe(10);
    expect(failureOf(pair.b)).toMatchObject({ by: 'local', alert: 'bad_record_mac' });
  });
});

describe('security of the handshake', () => {
  it('downgrade: a ServerHello of DTLS 1.0 is refused with protocol_version', () => {
    const toClient = rewriteMessages(2, (body) => body.fill(0xff, 1, 2));
    expect(failureOf(handshake(makePair({ toClient })).a)).toMatchObject({ by: 'local', alert: 'protocol_version' });
  });

  it('downgrade: a client of DTLS 1.0 is refused with protocol_version', () => {
    const toServer = rewriteMessages(1, (body) => body.fill(0xff, 1, 2));
    expect(failureOf(handshake(makePair({ toServer })).b)).toMatchObject({ by: 'local', alert: 'protocol_version' });
  });

  it('downgrade: the mark "DOWNGRD" 00 in the server random is refused, 01 is not the client\'s business (RFC 8446 §4.1.3)', () => {
    const marked = (last: number) =>
      rewriteMessages(2, (body) => {
        body.set([0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, last], 2 + 24);
        return body;
      });
    expect(failureOf(handshake(makePair({ toClient: marked(0) })).a)).toMatchObject({ alert: 'illegal_parameter' });
    // The signature no longer fits the random: so far, and no further, this hello is believed.
    expect(failureOf(handshake(makePair({ toClient: marked(1) })).a)?.message).toContain('ServerKeyExchange');
  });

  it('downgrade: whatever of the hellos is changed on the way, Finished or a signature does not fit', () => {
    const strip = rewriteMessages(1, (body) => {
      const hello = decodeClientHello(body);
      return encodeClientHello({ ...hello, cipherSuites: hello.cipherSuites.slice(-1) });
    });
    const pair = handshake(
      makePair({ toServer: strip, client: { maxRetransmissions: 2 }, server: { maxRetransmissions: 2 } }),
    );
    expect(pair.client.state).toBe('failed');
    expect(pair.server.state).toBe('failed');
  });

  it('triple handshake: without extended_master_secret nobody connects (RFC 7627 §5.2, §5.3)', () => {
    const strip = rewriteMessages(1, (body) => {
      const hello = decodeClientHello(body);
      return encodeClientHello({ ...hello, extensions: hello.extensions!.filter((e) => e.type !== 23) });
    });
    const pair = handshake(makePair({ toServer: strip }));
    expect(failureOf(pair.b)).toMatchObject({
      by: 'local',
      alert: 'handshake_failure',
      message: expect.stringContaining('extended_master_secret'),
    });
    const lenient = handshake(makePair({ toServer: strip, server: { requireExtendedMasterSecret: false } }));
    expect(failureOf(lenient.a)).toMatchObject({
      by: 'local',
      alert: 'handshake_failure',
      message: expect.stringContaining('extended_master_secret'),
    });
  });

  it('cookie theft: a cookie serves only the address and the hello it was made for', () => {
    const cookies = new CookieJar(PLAIN_ENV);
    const tricked = [
      (hello: Uint8Array) => hello,
      (hello: Uint8Array) => encodeClientHello({ ...decodeClientHello(hello), random: new Uint8Array(32) }),
    ];
    for (const [i, change] of tricked.entries()) {
      const victim = makePair({ server: { cookieExchange: true, cookies, clientIdentity: utf8('192.0.2.1:1000') } });
      const hellos: Uint8Array[] = [];
      victim.a.link.onSend = (bytes) => void hellos.push(bytes.slice());
      handshake(victim);
      expect(victim.server.state).toBe('connected');
      const stolen = change(hellos[1]!.slice(25, 13 + ((hellos[1]![11]! << 8) | hellos[1]![12]!)));
      const thief = makePair({
        server: { cookieExchange: true, cookies, clientIdentity: utf8(i === 0 ? '192.0.2.2:1000' : '192.0.2.1:1000') },
      });
      toServer(thief, plainMessage(1, 1, stolen));
      expect(thief.server.state).toBe('new');
    }
  });

  it('cookies expire after two rotations of the secret', () => {
    const jar = new CookieJar(PLAIN_ENV);
    const hello = decodeClientHello(
      concatBytes(Uint8Array.of(0xfe, 0xfd), new Uint8Array(34), Uint8Array.of(0, 2, 0, 1, 1, 0)),
    );
    const cookie = jar.make(hello, utf8('a'), 0);
    const check = (now: number): boolean => jar.check({ ...hello, cookie }, utf8('a'), now);
    expect([check(1), check(59_999), check(60_000), check(119_000), check(121_000)]).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(jar.check({ ...hello, cookie: cookie.slice(1) }, utf8('a'), 1)).toBe(false);
  });

  it('amplification before the cookie: never more bytes out than in, never a state, whatever comes', () => {
    const pair = makePair({ server: { cookieExchange: true } });
    let hello = new Uint8Array(0);
    pair.a.link.onSend = (bytes) => {
      if (hello.length === 0) hello = bytes.slice();
    };
    pair.a.driver.mutate((now) => pair.client.start(now));
    let out = 0;
    pair.b.link.onSend = (bytes) => {
      out += bytes.length;
    };
    const random = new SeededRandom(5);
    for (let i = 0; i < 500; i++) {
      const probe = hello.slice();
      if (i > 0) probe[13 + random.below(probe.length - 13)]! ^= 1 << random.below(8);
      const before = out;
      toServer(pair, probe);
      expect(out - before).toBeLessThanOrEqual(probe.length);
    }
    expect(pair.server.state).toBe('new');
    expect(out).toBeGreaterThan(0);
    expect(pair.server.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('amplification by forged retransmissions is bounded per flight', () => {
    const pair = makePair({ link: { latencyMs: 1, loss: 0 } });
    let hello = new Uint8Array(0);
    pair.a.link.onSend = (bytes) => {
      if (hello.length === 0) hello = bytes.slice();
    };
    pair.a.link.dropIf = (index) => index > 0;
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.world.run({ until: 10 });
    const before = pair.b.link.counts.sent;
    for (let i = 0; i < 1000; i++) toServer(pair, hello);
    expect(pair.b.link.counts.sent - before).toBe(0); // within the gap
    pair.world.run({ until: 150 });
    for (let i = 0; i < 1000; i++) toServer(pair, hello);
    expect(pair.b.link.counts.sent - before).toBe(1);
  });

  it.each([
    ['ClientHello', 'client', 1],
    ['HelloRequest', 'server', 0],
  ] as const)(
    'renegotiation by %s is refused with a warning, and the connection lives on (RFC 5746 §4)',
    (_name, from, type) => {
      const { pair, secrets } = openPair();
      const body =
        type === 0 ? encodeWholeMessage(0, 4, new Uint8Array(0)) : encodeWholeMessage(1, 5, new Uint8Array(40));
      const end = from === 'client' ? pair.b : pair.a;
      end.driver.input(authenticRecord(secrets, from, 22, body, 100), undefined);
      pair.world.run({ until: pair.world.now + 10 });
      const warning = { type: 'alert', level: 'warning', description: 'no_renegotiation' };
      expect(eventsOf(end, 'alert')).toEqual([{ ...warning, direction: 'sent' }]);
      expect(eventsOf(from === 'client' ? pair.a : pair.b, 'alert')).toEqual([{ ...warning, direction: 'received' }]);
      expectUnharmed2(pair, from);
    },
  );

  it('a record full of requests to renegotiate gets one answer', () => {
    const { pair, secrets } = openPair();
    const request = encodeWholeMessage(0, 4, new Uint8Array(0));
    const body = concatBytes(...new Array<Uint8Array>(90).fill(request));
    pair.a.driver.input(authenticRecord(secrets, 'server', 22, body, 100), undefined);
    expect(eventsOf(pair.a, 'alert').length).toBe(1);
  });

  /** The numbers behind the forged record are used up for one side: data the other way, and then alerts, still flow. */
  function expectUnharmed2(pair: Pair, from: 'client' | 'server'): void {
    expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
    const [end, core] = from === 'client' ? ([pair.b, pair.server] as const) : ([pair.a, pair.client] as const);
    end.driver.mutate((now) => core.send(utf8('still here'), now));
    pair.world.run({ until: pair.world.now + 10 });
    expect(from === 'client' ? pair.received.client : pair.received.server).toEqual(['still here']);
  }

  it.each([
    ['a fatal alert ends the connection', Uint8Array.of(2, 20), 'failed'],
    ['a fatal alert of unknown description too', Uint8Array.of(2, 200), 'failed'],
    ['a warning does not', Uint8Array.of(1, 90), 'connected'],
    ['an alert of no level is dropped', Uint8Array.of(3, 20), 'connected'],
    ['an alert that is too long is dropped', Uint8Array.of(2, 20, 0), 'connected'],
    ['an alert that is too short is dropped', Uint8Array.of(2), 'connected'],
  ])('authentic: %s', (_name, body, state) => {
    const { pair, secrets } = openPair();
    pair.b.driver.input(authenticRecord(secrets, 'client', 21, body, 50), undefined);
    expect(pair.server.state).toBe(state);
    expect(pair.server.drops.total).toBe(body.length === 2 && body[0]! < 3 ? 0 : 1);
  });

  it.each([
    ['a record of unknown type', 77, new Uint8Array(4), 'bad-type'],
    ['an empty handshake record', 22, new Uint8Array(0), 'too-short'],
    ['half a handshake header', 22, new Uint8Array(11), 'too-short'],
    ['a fragment that leaves its message', 22, Uint8Array.of(11, 0, 0, 1, 0, 5, 0, 0, 1, 0, 0, 1, 0), 'bad-length'],
    ['a handshake message that is over', 22, encodeWholeMessage(16, 5, new Uint8Array(4)), 'bad-state'],
    ['a record of more than 2^14 bytes', 23, new Uint8Array(16_385), 'bad-length'],
  ] as const)('authentic, but nonsense: %s is dropped', (_name, type, body, reason) => {
    const { pair, secrets } = openPair();
    pair.b.driver.input(authenticRecord(secrets, 'client', type, body, 50), undefined);
    expect(pair.server.drops.toJSON()).toEqual({ [reason]: 1 });
    expect(pair.server.state).toBe('connected');
  });

  it('a Finished in the clear is not taken for one', () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.a.driver.input(plainMessage(20, 0, new Uint8Array(12)), undefined);
    expect(pair.client.drops.toJSON()).toEqual({ unauthenticated: 1 });
    expect(pair.client.state).toBe('connecting');
  });
});

describe('garbage', () => {
  it.each(seeds(20))(
    'seed %i: 500 random and mutated datagrams throw nothing, open nothing, and harm nothing',
    (seed) => {
      const random = new SeededRandom(seed);
      const pair = connectedPair({ seed });
      const record = capture(pair, 'genuine');
      for (let i = 0; i < 500; i++) {
        const datagram = random.chance(0.3) ? random.bytes(random.below(200)) : record.slice();
        // Some of the random ones with a header that fits, so that they get as far as the cipher.
        if (random.chance(0.5)) datagram.set(record.subarray(0, Math.min(13, datagram.length)));
        if (datagram.length > 0) datagram[random.below(datagram.length)]! ^= 1 + random.below(255);
        (random.chance(0.5) ? pair.a : pair.b).driver.input(datagram, undefined);
      }
      expect(pair.received).toEqual({ client: [], server: [] });
      expectUnharmed(pair);
    },
  );

  it.each(seeds(30))('seed %i: garbage of the same kind in the middle of a handshake throws nothing', (seed) => {
    const random = new SeededRandom(seed);
    const mangle = (datagram: Uint8Array): Uint8Array[] => {
      const copies = [datagram];
      for (let n = random.below(4); n > 0; n--) {
        const copy = datagram.slice(0, 1 + random.below(datagram.length));
        for (let m = random.below(6); m > 0; m--) copy[random.below(copy.length)] = random.below(256);
        copies.unshift(copy);
      }
      return copies;
    };
    const pair = makePair({
      seed,
      toClient: mangle,
      toServer: mangle,
      client: { maxRetransmissions: 3 },
      server: { maxRetransmissions: 3 },
    });
    handshake(pair);
    expect(['connected', 'failed', 'closed', 'connecting']).toContain(pair.client.state);
  });
});
