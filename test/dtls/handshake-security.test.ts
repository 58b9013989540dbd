import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../src/core/index.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import { CookieJar } from '../../src/dtls/index.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/messages/index.ts';
import { MAX_HANDSHAKE_MESSAGE_BYTES } from '../../src/dtls/reassembly.ts';
import { SeededRandom } from '../sim/index.ts';
import {
  authenticRecord,
  eventsOf,
  failureOf,
  handshake,
  makePair,
  openPair,
  type Pair,
  PLAIN_ENV,
  plainMessage,
  rewriteMessages,
  toServer,
} from './harness.ts';

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

  it('a client that has proved its address is told what is wrong with its hello; before that its extensions are not read', () => {
    const toServer = rewriteMessages(1, (body) => concatBytes(body, new Uint8Array(1)));
    const pair = handshake(makePair({ server: { cookieExchange: true }, toServer }));
    expect(failureOf(pair.a)).toMatchObject({ by: 'remote', alert: 'decode_error' });
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

  it('a hello with as many cipher suites as a handshake message holds needs no more stack than another', () => {
    const jar = new CookieJar(PLAIN_ENV);
    const plain = {
      version: 0xfefd,
      random: new Uint8Array(32),
      sessionId: new Uint8Array(0),
      cookie: new Uint8Array(0),
    };
    const cipherSuites = Array.from({ length: (MAX_HANDSHAKE_MESSAGE_BYTES - 42) >> 1 }, (_, i) => i);
    const hello = { ...plain, cipherSuites, compressionMethods: Uint8Array.of(0), extensions: undefined };
    expect(decodeClientHello(encodeClientHello(hello))).toEqual(hello);
    const deepest = (depth: number): number => {
      try {
        return deepest(depth + 1);
      } catch {
        return depth; // RangeError: no more stack
      }
    };
    const atDepth = (left: number): Uint8Array => (left === 0 ? jar.make(hello, utf8('a'), 0) : atDepth(left - 1));
    expect(atDepth(deepest(0) >> 1)).toHaveLength(32);
  });

  it('before the cookie a fault of our own ends nothing either', () => {
    const sign = (): never => {
      throw new RangeError('the backend has failed');
    };
    const env = { ...PLAIN_ENV, crypto: { ...PLAIN_ENV.crypto, createMac: () => ({ length: 32, sign }) } };
    const { a, b, client, server, world } = makePair({ server: { env, cookieExchange: true } });
    a.driver.mutate((now) => client.start(now));
    world.run({ until: 500 });
    expect([server.state, server.drops.toJSON(), b.events]).toEqual(['new', { 'bad-state': 1 }, []]);
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
