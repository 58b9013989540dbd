import { describe, expect, it } from 'vitest';
import { type CryptoBackend, concatBytes } from '../../src/core/index.ts';
import { MAX_HELLO_VERIFY_REQUESTS } from '../../src/dtls/client-handshake.ts';
import { MAX_QUEUED_RECORDS } from '../../src/dtls/connection.ts';
import { MAX_PROVOKED_RETRANSMISSIONS } from '../../src/dtls/flight.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import { TicketKeys } from '../../src/dtls/index.ts';
import { DEFAULT_MAX_RETRANSMISSIONS, DEFAULT_MAX_RTO_MS } from '../../src/dtls/options.ts';
import { HELLO_SEQUENCE_LIMIT, SEQUENCE_LIMIT, writeEpochAndSequence } from '../../src/dtls/record.ts';
import {
  MAX_FAILED_RECORDS,
  MAX_FAILED_RECORDS_CCM,
  MAX_SEALED_BLOCKS_CCM,
  MAX_SEALED_BLOCKS_GCM,
  RecordCipher,
} from '../../src/dtls/record-cipher.ts';
import { MAX_HELD_BYTES, MAX_HELD_RECORDS } from '../../src/dtls/record-layer.ts';
import { RecordWriter } from '../../src/dtls/record-writer.ts';
import { type CipherSuiteName, cipherSuiteByName } from '../../src/dtls/registry.ts';
import { encodeSessionState, MAX_TICKET_STATE_BYTES } from '../../src/dtls/session.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  connectedPair,
  failureOf,
  handshake,
  makePair,
  PLAIN_ENV,
  plainMessage,
  plainRecord,
  recordsOf,
  type Transform,
} from './harness.ts';

describe('bounds of what a peer can make us hold', () => {
  const early = (size: number, n: number): Uint8Array =>
    concatBytes(Uint8Array.of(23, 254, 253, 0, 1, 0, 0, 0, 0, 0, n, size >>> 8, size), new Uint8Array(size));

  it(`MAX_HELD_RECORDS: ${MAX_HELD_RECORDS} records of the next epoch before its keys`, () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    for (let n = 0; n < MAX_HELD_RECORDS; n++) pair.a.driver.input(early(100, n), undefined);
    expect(pair.client.drops.toJSON()).toEqual({});
    pair.a.driver.input(early(100, 99), undefined);
    expect(pair.client.drops.toJSON()).toEqual({ limit: 1 });
  });

  it(`MAX_HELD_BYTES: ${MAX_HELD_BYTES} bytes of them`, () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    const half = MAX_HELD_BYTES / 2 - 13;
    for (const n of [1, 2]) pair.a.driver.input(early(half, n), undefined);
    expect(pair.client.drops.toJSON()).toEqual({});
    pair.a.driver.input(early(0, 3), undefined);
    expect(pair.client.drops.toJSON()).toEqual({ limit: 1 });
  });

  it('a handshake message longer than 65,535 bytes is dropped, not begun', () => {
    const pair = makePair();
    const head = encodeWholeMessage(1, 0, new Uint8Array(1)).slice();
    head.set([1, 0, 0], 1);
    pair.b.driver.input(plainRecord(22, head), undefined);
    expect(pair.server.drops.toJSON()).toEqual({ limit: 1 });
  });

  it(`MAX_HELLO_VERIFY_REQUESTS: ${MAX_HELLO_VERIFY_REQUESTS} cookies are answered, one more is given up`, () => {
    const pair = makePair();
    pair.a.driver.mutate((now) => pair.client.start(now));
    const ask = (seq: number): void =>
      pair.a.driver.input(plainMessage(3, seq, Uint8Array.of(0xfe, 0xff, 1, seq)), undefined);
    for (let seq = 0; seq < MAX_HELLO_VERIFY_REQUESTS; seq++) ask(seq);
    expect(pair.client.state).toBe('connecting');
    ask(MAX_HELLO_VERIFY_REQUESTS);
    expect(failureOf(pair.a)).toMatchObject({ by: 'local', alert: 'unexpected_message' });
  });

  it(`MAX_PROVOKED_RETRANSMISSIONS: a flight is sent ${MAX_PROVOKED_RETRANSMISSIONS} times more on request, not oftener`, () => {
    // The time-out is far away, so that only the forged retransmissions of the ClientHello cause sending.
    const pair = makePair({ server: { initialRtoMs: 500_000 } });
    let hello: Uint8Array | undefined;
    pair.a.link.onSend = (bytes) => {
      hello ??= recordsOf(bytes)[0]?.slice();
    };
    pair.a.link.dropIf = (index) => index > 0;
    pair.a.driver.mutate((now) => pair.client.start(now));
    pair.world.run({ until: 10 });
    const sent = pair.b.link.counts.sent;
    for (let i = 0; i < 3 * MAX_PROVOKED_RETRANSMISSIONS; i++) {
      pair.world.run({ until: pair.world.now + 200 });
      pair.b.driver.input(hello!.slice(), undefined);
    }
    expect(pair.b.link.counts.sent - sent).toBe(MAX_PROVOKED_RETRANSMISSIONS);
  });

  it(`MAX_TICKET_STATE_BYTES: a state of ${MAX_TICKET_STATE_BYTES} bytes has a ticket, a longer one has none`, () => {
    const keys = new TicketKeys(PLAIN_ENV);
    const base = {
      id: new Uint8Array(0),
      masterSecret: new Uint8Array(48),
      cipherSuite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
      createdAtMs: PLAIN_ENV.wallClockMs(),
      lifetimeS: 100,
    } as const;
    const room = MAX_TICKET_STATE_BYTES - encodeSessionState({ ...base, peerCertificates: [new Uint8Array(0)] }).length;
    const ticket = (bytes: number) => keys.seal({ ...base, peerCertificates: [new Uint8Array(bytes)] });
    expect(keys.open(ticket(room)!)?.peerCertificates[0]).toHaveLength(room);
    expect(ticket(room + 1)).toBeUndefined();
  });
});

describe('bounds of our own doing', () => {
  it(`MAX_QUEUED_RECORDS: ${MAX_QUEUED_RECORDS} records may wait for a drain`, () => {
    const pair = connectedPair();
    for (let i = 0; i < MAX_QUEUED_RECORDS; i++) pair.client.send(new Uint8Array(1), 0);
    expect(() => pair.client.send(new Uint8Array(1), 0)).toThrow('too many records are waiting');
  });

  it(`DEFAULT_MAX_RETRANSMISSIONS: a flight is sent ${1 + DEFAULT_MAX_RETRANSMISSIONS} times, then the handshake has failed`, () => {
    const pair = handshake(makePair({ link: { latencyMs: 1, loss: 1 } }));
    expect(pair.a.link.counts.sent).toBe(1 + DEFAULT_MAX_RETRANSMISSIONS);
    expect(failureOf(pair.a)?.by).toBe('timeout');
    expect(pair.world.now).toBe(63_000 + 7 * DEFAULT_MAX_RTO_MS);
  });
});

describe('bounds of key usage', () => {
  /** Ciphers that do nothing, so that the real bounds can be reached by counting alone. */
  const hollow: CryptoBackend = {
    ...nodeCrypto,
    createAead: () => ({ tagLength: 16, seal: () => undefined, open: () => -1 }),
  };
  function cipher(name: CipherSuiteName): RecordCipher {
    const suite = cipherSuiteByName(name)!;
    return new RecordCipher(
      hollow,
      suite,
      { key: new Uint8Array(16), iv: new Uint8Array(suite.fixedIvBytes) },
      new Uint8Array(0),
    );
  }

  it.each([
    ['MAX_SEALED_BLOCKS_GCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', MAX_SEALED_BLOCKS_GCM],
    ['MAX_SEALED_BLOCKS_GCM', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', MAX_SEALED_BLOCKS_GCM],
    ['MAX_SEALED_BLOCKS_CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM', MAX_SEALED_BLOCKS_CCM],
  ] as const)('%s of %s: %i blocks', (_name, suite, bound) => {
    const c = cipher(suite);
    const blocks = 2 ** 27;
    const buffer = new Uint8Array(64);
    let sealed = 0;
    for (let n = 0; !c.sealingExhausted; n++) {
      c.seal(23, 1, n, buffer, 21, (blocks - 1) * 16);
      sealed += blocks;
    }
    expect(sealed).toBeGreaterThanOrEqual(bound);
    expect(sealed - blocks).toBeLessThan(bound);
  });

  it('ChaCha20-Poly1305 has no bound but the sequence numbers', () => {
    const c = cipher('TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256');
    const buffer = new Uint8Array(64);
    for (let n = 0; n < 1000; n++) c.seal(23, 1, n, buffer, 13, 2 ** 31);
    expect(c.sealingExhausted).toBe(false);
  });

  it(`MAX_FAILED_RECORDS_CCM: ${MAX_FAILED_RECORDS_CCM} forgeries under one key`, () => {
    const c = cipher('TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8');
    const buffer = new Uint8Array(0); // too short for a tag: the cheapest forgery
    for (let n = 1; n < MAX_FAILED_RECORDS_CCM; n++) c.open(23, 1, n, buffer, 0, 0);
    expect(c.openingExhausted).toBe(false);
    c.open(23, 1, 0, buffer, 0, 0);
    expect(c.openingExhausted).toBe(true);
    expect(MAX_FAILED_RECORDS).toBe(2 ** 36); // GCM and ChaCha20: the same code, too many to count here
  });

  it('SEQUENCE_LIMIT: the numbers of an epoch end before 2^48, and alerts still have some', () => {
    const writer = new RecordWriter(0, undefined);
    writer.continueFrom(SEQUENCE_LIMIT - 17);
    const buffer = new Uint8Array(64);
    expect(writer.exhausted).toBe(false);
    for (let n = 0; n < 17; n++) writer.write(21, buffer, 13, 2);
    expect(writer.exhausted).toBe(true);
    expect(() => writer.write(21, buffer, 13, 2)).toThrow('every sequence number of this epoch is used');
  });

  it('HELLO_SEQUENCE_LIMIT: a ClientHello whose number leaves too few for the answer is not answered', () => {
    const numbered =
      (sequence: number): Transform =>
      (datagram) => {
        const copy = datagram.slice();
        for (const record of recordsOf(copy)) if (record[4] === 0) writeEpochAndSequence(record, 3, 0, sequence);
        return [copy];
      };
    const within = handshake(makePair({ toServer: numbered(HELLO_SEQUENCE_LIMIT - 1) }));
    expect(within.server.state).toBe('connected');
    for (const sequence of [SEQUENCE_LIMIT - 1, SEQUENCE_LIMIT - 2, HELLO_SEQUENCE_LIMIT]) {
      const { a, client, server, world } = makePair({ toServer: numbered(sequence) });
      a.driver.mutate((now) => client.start(now));
      world.run({ until: 500 });
      expect([server.state, server.drops.toJSON()]).toEqual(['new', { 'out-of-window': 1 }]);
    }
  });

  it('a nonce is never used twice: the cipher refuses a number that does not grow', () => {
    const c = cipher('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256');
    const buffer = new Uint8Array(64);
    c.seal(23, 1, 5, buffer, 21, 1);
    expect(() => c.seal(23, 1, 5, buffer, 21, 1)).toThrow('nonce reuse');
    expect(() => c.seal(23, 1, 4, buffer, 21, 1)).toThrow('nonce reuse');
  });
});
