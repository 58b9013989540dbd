import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  MAX_EARLY_DATAGRAM_BYTES,
  MAX_EARLY_DATAGRAMS,
  PeerTransport,
  type PeerTransportEvent,
} from '../../src/peer-connection/index.ts';
import { type LinkOptions, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { CERTIFICATES, fingerprintOf, SimPair, type SimPeer, statesOf } from './support.ts';

function messagesOf(peer: SimPeer): (string | Uint8Array)[] {
  return peer.events.flatMap((event) => (event.type === 'message' ? [event.data] : []));
}

function openChannel(pair: SimPair, peer: SimPeer): number {
  // After the introduction of the pair, which is scheduled for the same instant.
  pair.world.run({ until: pair.world.now });
  return peer.driver.mutate((now) => peer.transport.channels.open({ label: 'test' }, now));
}

describe('PeerTransport: the whole path in virtual time', () => {
  it.each(['client', 'server'] as const)('opens, echoes and closes, the offerer being the DTLS %s', (dtlsRole) => {
    const pair = new SimPair(1, { dtlsRole });
    const { a, b } = pair;
    b.onEvent = (event) => {
      if (event.type === 'message') b.driver.mutate((now) => b.transport.channels.send(event.handle, event.data, now));
    };
    const handle = openChannel(pair, a);
    a.onEvent = (event) => {
      if (event.type !== 'open') return;
      a.driver.mutate((now) => {
        a.transport.channels.send(handle, 'hello', now);
        a.transport.channels.send(handle, Uint8Array.of(1, 2, 3), now);
        a.transport.channels.send(handle, '', now);
      });
    };
    expect(pair.world.run({ until: 10_000, done: () => messagesOf(a).length === 3 })).toBe(true);
    expect(messagesOf(a)).toEqual(['hello', Uint8Array.of(1, 2, 3), '']);
    expect(statesOf(a, 'dtls-state')).toEqual(['connecting', 'connected']);
    expect(statesOf(b, 'sctp-state')).toEqual(['connecting', 'connected']);
    const connected = a.events.find((event) => event.type === 'dtls-state' && event.state === 'connected');
    expect(connected).toMatchObject({ remoteFingerprint: fingerprintOf(CERTIFICATES[1]) });

    a.driver.mutate((now) => a.transport.close(now));
    expect(a.events.at(-1)).toEqual({ type: 'transport-closed' });
    expect(a.transport.isClosed).toBe(true);
    pair.world.run({ until: pair.world.now + 1000 });
    expect(statesOf(b, 'sctp-state').at(-1)).toBe('closed');
    expect(statesOf(b, 'dtls-state').at(-1)).toBe('closed');
    expect(b.events.some((event) => event.type === 'closed')).toBe(true);
  });

  it('asks for the certificate of the peer whatever the options say (RFC 8827 §6.5)', () => {
    // As JavaScript may write it: the types leave no room for these.
    const dtls = { mtuBytes: 1200, requestClientCertificate: false, cookieExchange: true };
    const { a, b, world } = new SimPair(1, { dtlsRole: 'server', a: { dtls } });
    expect(world.run({ until: 10_000, done: () => statesOf(b, 'dtls-state').includes('connected') })).toBe(true);
    expect(a.transport.dtls?.peerCertificates).toEqual([CERTIFICATES[1].der]);
  });

  const harsh: LinkOptions = { latencyMs: 20, jitterMs: 200, loss: 0.2, duplicate: 0.1, reorder: 0.1 };
  it.each(seeds(500))('seed %i: 20%% loss, duplication, reordering, 200 ms jitter: 200 messages in order', (seed) => {
    const pair = new SimPair(seed, { link: harsh, dtlsRole: seed % 2 ? 'client' : 'server' });
    const { a, b } = pair;
    const received: string[] = [];
    b.onEvent = (event) => {
      if (event.type === 'message') received.push(String(event.data));
    };
    const handle = openChannel(pair, a);
    a.onEvent = (event) => {
      if (event.type !== 'open') return;
      a.driver.mutate((now) => {
        for (let i = 0; i < 200; i++) a.transport.channels.send(handle, `message ${i}`, now);
      });
    };
    const done = pair.world.run({ until: 600_000, done: () => received.length >= 200 });
    expect(done).toBe(true);
    expect(received).toEqual(Array.from({ length: 200 }, (_, i) => `message ${i}`));
  });
});

describe('PeerTransport: the peer must be who its description says', () => {
  it.each(['client', 'server'] as const)(
    'a wrong fingerprint fails the handshake with bad_certificate (we are %s)',
    (dtlsRole) => {
      const pair = new SimPair(3, { dtlsRole, tellA: { fingerprints: [fingerprintOf(CERTIFICATES[0])] } });
      const handle = openChannel(pair, pair.a);
      pair.world.run({ until: 60_000 });
      const failure = pair.a.events.find((event) => event.type === 'dtls-state' && event.state === 'failed');
      expect(failure).toMatchObject({ failure: { detail: 'fingerprint-failure', sentAlert: 42 } });
      const other = pair.b.events.find((event) => event.type === 'dtls-state' && event.state === 'failed');
      expect(other).toMatchObject({ failure: { detail: 'dtls-failure', receivedAlert: 42 } });
      expect(pair.a.events.some((event) => event.type === 'open')).toBe(false);
      expect(pair.a.events).toContainEqual({ type: 'closed', handle, info: expect.anything() });
      expect(statesOf(pair.b, 'sctp-state')).not.toContain('connected');
    },
  );

  it('leaves the check to the caller who asks for it', () => {
    const pair = new SimPair(4, { tellA: { fingerprints: [], acceptAnyCertificate: true } });
    expect(pair.open()).toBe(true);
    const connected = pair.a.events.find((event) => event.type === 'dtls-state' && event.state === 'connected');
    expect(connected).toMatchObject({ remoteFingerprint: undefined });
    expect(pair.a.transport.dtls?.peerCertificates[0]).toEqual(CERTIFICATES[1].der);
  });
});

describe('PeerTransport: keys wear out', () => {
  it('the bound on a key ends the connection with an alert, and nothing throws out of the loop', () => {
    const pair = new SimPair(7, { a: { dtls: { keyLimits: { maxSealedBlocks: 2000 } } } });
    const { a, b } = pair;
    const handle = openChannel(pair, a);
    expect(pair.open()).toBe(true);
    a.driver.mutate((now) => a.transport.channels.send(handle, new Uint8Array(200_000), now));
    pair.world.run({ until: pair.world.now + 10_000 });
    expect(statesOf(a, 'dtls-state').at(-1)).toBe('failed');
    expect(a.events).toContainEqual({ type: 'closed', handle, info: expect.anything() });
    expect(b.events.some((event) => event.type === 'dtls-state' && event.state === 'failed')).toBe(true);
  });
});

describe('PeerTransport: datagrams before their time', () => {
  it('keeps the first flight of a fast peer until the remote description is there', () => {
    // b knows everything at once and begins DTLS; a learns of b a second later.
    const pair = new SimPair(5, { dtlsRole: 'server', signalingMs: 1000 });
    expect(pair.open()).toBe(true);
  });

  it('keeps a bounded number of them and counts the rest', () => {
    const world = new SimWorld(6);
    const transport = new PeerTransport({
      env: simEnv(world, nodeCrypto),
      certificate: CERTIFICATES[0],
      iceRole: 'controlling',
    });
    const path = { protocol: 'udp', local: { ip: '10.0.0.1', port: 1 }, remote: { ip: '10.0.0.2', port: 2 } } as const;
    transport.handleInput(new Uint8Array(MAX_EARLY_DATAGRAM_BYTES + 1).fill(22), path, 0);
    expect(transport.drops.get('bad-length')).toBe(1);
    for (let i = 0; i < MAX_EARLY_DATAGRAMS + 3; i++) transport.handleInput(Uint8Array.of(22, 254, 253), path, 0);
    expect(transport.drops.get('limit')).toBe(3);
    transport.handleInput(new Uint8Array(0), path, 0);
    transport.handleInput(Uint8Array.of(128, 0), path, 0);
    transport.handleInput(Uint8Array.of(255), path, 0);
    expect(transport.drops.toJSON()).toEqual({
      'bad-length': 1,
      limit: 3,
      'too-short': 1,
      unsupported: 1,
      'bad-type': 1,
    });
    transport.close(0);
    const closing: PeerTransportEvent[] = [];
    transport.pollTransmit({ buffer: new Uint8Array(2000), offset: 128, length: 0, path: undefined }, 0);
    for (let event = transport.pollEvent(); event !== undefined; event = transport.pollEvent()) closing.push(event);
    expect(closing.at(-1)).toEqual({ type: 'transport-closed' });
    transport.handleInput(Uint8Array.of(22), path, 0);
    expect(transport.drops.get('closed')).toBe(1);
  });

  it('drops DTLS from a path that has not passed a connectivity check', () => {
    const pair = new SimPair(7);
    expect(pair.open()).toBe(true);
    const stranger = { protocol: 'udp', local: pair.a.address, remote: { ip: '10.9.9.9', port: 9 } } as const;
    pair.a.driver.input(Uint8Array.of(23, 254, 253, 0, 1), stranger);
    expect(pair.a.transport.drops.get('unknown-path')).toBe(1);
  });
});
