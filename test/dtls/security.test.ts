import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { MAX_PLAINTEXT_BYTES } from '../../src/dtls/record.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import {
  connectedPair,
  eventsOf,
  exchange,
  failureOf,
  handshake,
  makePair,
  type Pair,
  plainMessage,
  plainRecord,
  recordsOf,
  type Transform,
  toServer,
} from './harness.ts';

/** The next protected record that the client sends, as bytes; it is not delivered. */
function capture(pair: Pair, text: string): Uint8Array {
  const slot = { buffer: new Uint8Array(2000), offset: 100, length: text.length, path: undefined };
  slot.buffer.set(utf8(text), 100);
  pair.client.sealInPlace(slot);
  return slot.buffer.slice(slot.offset, slot.offset + slot.length);
}

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

  it('a plaintext record of more than 2^14 bytes is none (RFC 5246 §6.2.1)', () => {
    const { b, server } = makePair();
    const fragment = (length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      bytes.set([1, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, (length - 12) >>> 8, (length - 12) & 255]);
      return plainRecord(22, bytes);
    };
    b.driver.input(fragment(MAX_PLAINTEXT_BYTES + 1), undefined);
    expect([server.drops.toJSON(), server.holdsFragments]).toEqual([{ 'bad-length': 1 }, false]);
    b.driver.input(fragment(MAX_PLAINTEXT_BYTES), undefined);
    expect([server.drops.toJSON(), server.holdsFragments]).toEqual([{ 'bad-length': 1 }, true]);
  });

  it.each([0xfeff, 0xfefc, 0xfe00])(
    'a ClientHello in a record of version %i is answered (RFC 5246 appendix E.1)',
    (version) => {
      const changed: Transform = (datagram) => {
        const copy = datagram.slice();
        for (const record of recordsOf(copy)) if (record[13] === 1) record[2] = version & 255;
        return [copy];
      };
      expect(handshake(makePair({ toServer: changed })).server.state).toBe('connected');
    },
  );

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
