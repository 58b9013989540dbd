import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import {
  type DtlsClientOptions,
  type DtlsServerOptions,
  type DtlsSession,
  MemorySessionCache,
  TicketKeys,
} from '../../src/dtls/index.ts';
import { decodeClientHello, encodeClientHello } from '../../src/dtls/messages/index.ts';
import { seeds } from '../sim/index.ts';
import {
  CLIENT_CERTIFICATE,
  connectedPair,
  eventsOf,
  exchange,
  failureOf,
  handshake,
  makePair,
  type PairOptions,
  PLAIN_ENV,
  rewriteMessages,
  SERVER_CERTIFICATE,
} from './harness.ts';

interface Setup {
  readonly client: Partial<DtlsClientOptions>;
  readonly server: Partial<DtlsServerOptions>;
}

const byTicket = (): Setup => ({ client: { tickets: true }, server: { ticketKeys: new TicketKeys(PLAIN_ENV) } });
const byId = (): Setup => ({ client: {}, server: { sessionCache: new MemorySessionCache() } });
const ways = [
  ['ticket', byTicket],
  ['session ID', byId],
] as const;

function firstSession(options: PairOptions): DtlsSession {
  const session = eventsOf(connectedPair(options).a, 'session')[0]?.session;
  if (session === undefined) throw new Error('no session was given');
  return session;
}

it('a ticket that the server did not take is not handed on with the keys of the full handshake', () => {
  const session = firstSession(byTicket());
  const server = { sessionCache: new MemorySessionCache() }; // knows no tickets
  const full = connectedPair({ seed: 2, client: { session }, server });
  expect(full.client.negotiated?.resumed).toBe(false);
  const next = eventsOf(full.a, 'session')[0]?.session;
  expect(next?.ticket).toBeUndefined();
  expect(next?.id).toHaveLength(32);
  const again = connectedPair({ seed: 3, client: { session: next! }, server });
  expect(again.client.negotiated?.resumed).toBe(true);
});

describe.each(ways)('resumption by %s', (_name, setup) => {
  it('is abbreviated, has fresh keys, and carries data', () => {
    const { client, server } = setup();
    const session = firstSession({ client, server });
    const pair = connectedPair({ seed: 2, client: { ...client, session }, server });
    expect([pair.client.negotiated?.resumed, pair.server.negotiated?.resumed]).toEqual([true, true]);
    expect(pair.client.peerCertificates).toEqual([SERVER_CERTIFICATE.der]);
    expect(pair.server.peerCertificates).toEqual([CLIENT_CERTIFICATE.der]);
    expect([pair.a.link.counts.sent, pair.b.link.counts.sent]).toEqual([2, 1]);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
  });

  it('can be done again and again', () => {
    const { client, server } = setup();
    let session = firstSession({ client, server });
    for (let i = 0; i < 3; i++) {
      const pair = connectedPair({ seed: i + 2, client: { ...client, session }, server });
      expect(pair.client.negotiated?.resumed).toBe(true);
      session = eventsOf(pair.a, 'session')[0]?.session ?? session;
    }
  });

  it.each(seeds(100))('seed %i: survives 40 % loss, duplication and reordering', (seed) => {
    const { client, server } = setup();
    const session = firstSession({ client, server });
    const link = { latencyMs: 40, jitterMs: 200, loss: 0.4, duplicate: 0.4, reorder: 0.4 };
    const patient = { maxRetransmissions: 200, maxRtoMs: 4000 };
    const pair = makePair({
      seed,
      link,
      client: { ...client, ...patient, session },
      server: { ...server, ...patient },
    });
    handshake(pair);
    pair.world.run({ until: pair.world.now + 600_000, done: () => pair.server.state === 'connected' });
    expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
    expect(pair.client.negotiated?.resumed).toBe(true);
  });

  it('falls back to a full handshake when the server has forgotten', () => {
    const first = setup();
    const session = firstSession(first);
    const pair = connectedPair({ seed: 2, client: { ...first.client, session }, server: setup().server });
    expect([pair.client.negotiated?.resumed, pair.server.negotiated?.resumed]).toEqual([false, false]);
  });

  it('is not offered when it has expired, or for another name or suite', () => {
    const { client, server } = setup();
    const session = firstSession({ client, server });
    const resumed = (changes: Partial<DtlsSession>, options: Partial<DtlsClientOptions> = {}) =>
      connectedPair({ client: { ...client, ...options, session: { ...session, ...changes } }, server }).client
        .negotiated?.resumed;
    expect(resumed({})).toBe(true);
    expect(resumed({ createdAtMs: session.createdAtMs - 86_500_000 })).toBe(false);
    expect(resumed({ createdAtMs: session.createdAtMs + 1_000_000 })).toBe(false);
    expect(resumed({ serverName: 'other.example' })).toBe(false);
    expect(resumed({}, { cipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] })).toBe(false);
  });

  it('a stolen session without its secret does not connect', () => {
    const { client, server } = setup();
    const session = { ...firstSession({ client, server }), masterSecret: new Uint8Array(48) };
    const few = { maxRetransmissions: 2 };
    const pair = handshake(
      makePair({ seed: 2, client: { ...client, ...few, session }, server: { ...server, ...few } }),
    );
    expect([failureOf(pair.a)?.by, failureOf(pair.b)?.by]).toEqual(['timeout', 'timeout']);
  });

  it('judges the certificates again on both sides', () => {
    const { client, server } = setup();
    const session = firstSession({ client, server });
    const byClient = handshake(
      makePair({ seed: 2, client: { ...client, session, verifyPeer: () => 'certificate_revoked' }, server }),
    );
    expect(failureOf(byClient.a)).toMatchObject({ by: 'local', alert: 'certificate_revoked' });
    const byServer = handshake(
      makePair({
        seed: 2,
        client: { ...client, session },
        server: { ...server, verifyPeer: () => 'certificate_revoked' },
      }),
    );
    expect(failureOf(byServer.b)).toMatchObject({ by: 'local', alert: 'certificate_revoked' });
  });

  it('a session without a client certificate is not taken by a server that requires one', () => {
    const { client, server } = setup();
    const session = firstSession({
      client: { ...client, certificate: [] },
      server: { ...server, requestClientCertificate: false },
    });
    const pair = connectedPair({ seed: 2, client: { ...client, session }, server });
    expect(pair.server.negotiated?.resumed).toBe(false);
    expect(pair.server.peerCertificates).toHaveLength(1);
  });

  it('without extended_master_secret it is refused (RFC 7627 §5.3)', () => {
    const { client, server } = setup();
    const session = firstSession({ client, server });
    const toServer = rewriteMessages(1, (body) => {
      const hello = decodeClientHello(body);
      return encodeClientHello({ ...hello, extensions: hello.extensions!.filter((e) => e.type !== 23) });
    });
    const lenient = { requireExtendedMasterSecret: false };
    const pair = handshake(
      makePair({ seed: 2, client: { ...client, ...lenient, session }, server: { ...server, ...lenient }, toServer }),
    );
    expect(failureOf(pair.b)).toMatchObject({ by: 'local', alert: 'handshake_failure' });
  });

  it('with PSK suites too', () => {
    const { client, server } = setup();
    const psk = { identity: utf8('id'), key: utf8('key') };
    const cipherSuites = ['TLS_PSK_WITH_AES_128_GCM_SHA256'] as const;
    const options = { client: { ...client, psk, cipherSuites }, server: { ...server, psk: () => psk.key } };
    const session = firstSession(options);
    expect(connectedPair({ ...options, client: { ...options.client, session } }).client.negotiated?.resumed).toBe(true);
  });
});

describe('the server side of resumption', () => {
  it('a cache forgets the oldest, and a session whose connection failed (RFC 5246 §7.2.2)', () => {
    const sessionCache = new MemorySessionCache(2);
    for (let seed = 1; seed < 5; seed++) connectedPair({ seed, server: { sessionCache } });
    expect(sessionCache.size).toBe(2);
    const pair = connectedPair({ seed: 9, server: { sessionCache, keyLimits: { maxFailedRecords: 1 } } });
    expect(sessionCache.size).toBe(2);
    pair.b.driver.input(
      Uint8Array.of(23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30, ...new Array<number>(30).fill(0)),
      undefined,
    );
    expect(pair.server.state).toBe('failed');
    expect(sessionCache.size).toBe(1);
  });

  it('who has only read the ID of a session on the wire cannot end the session', () => {
    const { client, server } = byId();
    const session = firstSession({ client, server });
    const few = { maxRetransmissions: 1 };
    const guess = { ...session, masterSecret: new Uint8Array(48) };
    const pair = makePair({ seed: 2, client: { ...few, session: guess }, server: { ...server, ...few } });
    expect(handshake(pair).server.state).toBe('failed');
    expect(connectedPair({ seed: 3, client: { session }, server }).client.negotiated?.resumed).toBe(true);
  });

  it('tickets: a changed byte anywhere, or another key, is not a ticket', () => {
    const keys = new TicketKeys(PLAIN_ENV);
    const session = firstSession({ client: { tickets: true }, server: { ticketKeys: keys } });
    const ticket = session.ticket!;
    expect(keys.open(ticket)?.cipherSuite).toBe(session.cipherSuite);
    for (let at = 0; at < ticket.length; at++) {
      const changed = ticket.slice();
      changed[at]! ^= 1;
      expect(keys.open(changed)).toBeUndefined();
    }
    for (let length = 0; length < ticket.length; length += 7)
      expect(keys.open(ticket.slice(0, length))).toBeUndefined();
    expect(new TicketKeys(PLAIN_ENV).open(ticket)).toBeUndefined();
  });

  it('tickets: keys rotate, the one before still opens, and tickets expire', () => {
    let wallClock = 1_000_000;
    const keys = new TicketKeys({ ...PLAIN_ENV, wallClockMs: () => wallClock }, 100);
    const session: DtlsSession = {
      id: new Uint8Array(0),
      masterSecret: new Uint8Array(48),
      cipherSuite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
      peerCertificates: [],
      createdAtMs: wallClock + 90_000,
      lifetimeS: 100,
    };
    wallClock += 90_000;
    const ticket = keys.seal(session)!;
    wallClock += 20_000; // another key is in use now
    expect(keys.seal({ ...session, createdAtMs: wallClock })!.slice(0, 16)).not.toEqual(ticket.slice(0, 16));
    expect(keys.open(ticket)).toBeDefined();
    wallClock += 81_000;
    expect(keys.open(ticket)).toBeUndefined();
  });

  it('tickets: with more client certificates than fit, the promised ticket is empty and no session is left', () => {
    const certificate = { ...CLIENT_CERTIFICATE, chain: [new Uint8Array(8192).fill(48)] };
    const pair = connectedPair({
      client: { tickets: true, certificate },
      server: { ticketKeys: new TicketKeys(PLAIN_ENV) },
    });
    expect(eventsOf(pair.a, 'session')).toEqual([]);
  });
});
