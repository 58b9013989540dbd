import { describe, expect, it } from 'vitest';
import { Driver, type TransmitSlot } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { resolveCookie } from '../../src/sctp/cookie-resolution.ts';
import { SctpAssociation, type SctpEvent } from '../../src/sctp/index.ts';
import type { Tcb } from '../../src/sctp/tcb.ts';
import { PERFECT, SimHost, SimLink, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { connectBoth, connectedPair, makePair, pattern, Replaceable } from './helpers.ts';
import { chunksOf, packet, tagOf } from './packets.ts';

describe('RFC 9260 §5.2.4, table 12', () => {
  const M = 1;
  const X = 2;
  const cookie = (localTag: number, peerTag: number, localTieTag: number, peerTieTag: number): Tcb => ({
    localTag,
    peerTag,
    localTieTag,
    peerTieTag,
    localInitialTsn: 0,
    peerInitialTsn: 0,
    peerRwnd: 0,
    outboundStreams: 1,
    inboundStreams: 1,
    extensions: { forwardTsn: false, reConfig: false, interleaving: false, zeroChecksum: false },
  });
  const existing = { localTag: M, peerTag: M, localTieTag: 5, peerTieTag: 6 };

  it.each([
    ['restart', X, X, 5, 6],
    ['collision', M, X, 0, 0],
    ['collision', M, X, 5, 6],
    ['late', X, M, 0, 0],
    ['duplicate', M, M, 0, 0],
    ['duplicate', M, M, 5, 6],
    ['discard', X, X, 0, 0],
    ['discard', X, X, 5, 7],
    ['discard', X, M, 5, 6],
  ] as const)('%s: local tag %i, peer tag %i, tie-tags %i %i', (expected, local, peer, localTie, peerTie) => {
    expect(resolveCookie(cookie(local, peer, localTie, peerTie), existing)).toBe(expected);
  });

  it('no TCB: establish; a TCB whose peer tag is not known yet: collision', () => {
    const none = { localTag: undefined, peerTag: undefined, localTieTag: undefined, peerTieTag: undefined };
    expect(resolveCookie(cookie(X, X, 0, 0), none)).toBe('establish');
    expect(resolveCookie(cookie(M, X, 0, 0), { ...none, localTag: M })).toBe('collision');
    expect(resolveCookie(cookie(X, X, 0, 0), { ...none, localTag: M })).toBe('discard');
  });
});

describe('the handshake', () => {
  it('retransmits INIT on its timetable and fails after Max.Init.Retransmits', () => {
    const pair = makePair({ link: { latencyMs: 1, loss: 1 } });
    const sentAt: number[] = [];
    pair.a.end.link.onSend = (_bytes, now) => sentAt.push(now);
    pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
    pair.world.run();
    expect(sentAt).toEqual([0, 500, 1500, 3500, 6500, 9500, 12_500, 15_500, 18_500]);
    expect(pair.a.end.events).toEqual([{ type: 'failed', message: 'the peer does not answer the handshake' }]);
    expect(pair.world.now).toBe(21_500);
    expect(pair.a.core.state).toBe('closed');
  });

  it('needs one and a half round trips when both sides connect', () => {
    const pair = makePair({ link: { latencyMs: 50 } });
    connectBoth(pair);
    expect(pair.world.now).toBe(150);
  });

  it.each([0, 1, 2, 3])('any one packet of the first four of a side may be lost (%i)', (lost) => {
    const pair = makePair();
    pair.a.end.link.dropIf = (index) => index === lost;
    connectBoth(pair);
    pair.a.send({ bytes: pattern(10, 1) });
    pair.world.run({ until: pair.world.now + 5000 });
    expect(pair.b.messages.length).toBe(1);
    expect(pair.a.types()).toContain('connected');
  });

  it.each(seeds(100))('seed %i: 40 %% loss and heavy reordering still end in exactly one connection each', (seed) => {
    const link = { latencyMs: 20, jitterMs: 400, loss: 0.4, duplicate: 0.2 };
    const pair = makePair({ seed, link, a: { maxInitRetransmissions: 50 }, b: { maxInitRetransmissions: 50 } });
    connectBoth(pair);
    pair.world.run({ until: pair.world.now + 2000 });
    expect([pair.a.types(), pair.b.types()]).toEqual([['connected'], ['connected']]);
    expect([pair.a.core.state, pair.b.core.state]).toEqual(['established', 'established']);
  });

  it('a cookie older than a minute is refused as stale (RFC 9260 §5.1.5)', () => {
    const pair = makePair();
    let echo: Uint8Array | undefined;
    pair.a.end.link.onSend = (bytes) => {
      if (bytes[12] === 10) echo ??= bytes.slice();
    };
    pair.a.end.link.dropIf = (_index, bytes) => bytes[12] === 10;
    pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
    const answers: number[][] = [];
    pair.b.end.link.onSend = (bytes) => answers.push([...chunksOf(bytes)[0]!.bytes]);
    pair.world.run({ until: 61_000 });
    answers.length = 0;
    pair.b.end.driver.input(echo!, undefined);
    expect(pair.b.core.drops.get('stale')).toBe(1);
    expect(pair.b.core.state).toBe('closed');
    expect(answers[0]!.slice(0, 8)).toEqual([9, 0, 0, 12, 0, 3, 0, 8]); // ERROR: stale cookie
  });

  it('ERROR "stale cookie" in COOKIE-ECHOED sends a new INIT (RFC 9260 §5.2.6)', () => {
    const pair = makePair();
    pair.a.end.link.dropIf = (_index, bytes) => bytes[12] === 10;
    let inits = 0;
    let tag = 0;
    pair.a.end.link.onSend = (bytes) => {
      if (bytes[12] === 1) {
        inits++;
        tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(16);
      }
    };
    pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
    pair.world.run({ until: 100 });
    expect(pair.a.core.state).toBe('cookie-echoed');
    pair.a.end.link.dropIf = undefined;
    pair.a.end.driver.input(packet(tag, '0900000c0003000800000001'), undefined);
    expect(inits).toBe(2);
    pair.world.run({ until: 2000 });
    expect([pair.a.core.state, pair.b.core.state]).toEqual(['established', 'established']);
  });

  it('an INIT costs nothing: a thousand of them leave no state', () => {
    const pair = makePair();
    const init = (tag: string) => packet(0, `01000014${tag}00010000${'00010001'}0000000a`);
    let answers = 0;
    pair.b.end.link.onSend = (bytes) => {
      expect(chunksOf(bytes)[0]!.type).toBe(2);
      answers++;
    };
    for (let i = 1; i <= 1000; i++) pair.b.end.driver.input(init(i.toString(16).padStart(8, '0')), undefined);
    expect(answers).toBe(1000);
    expect(pair.b.core.state).toBe('closed');
    expect(pair.b.core.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });

  it('out-of-the-blue packets are answered as RFC 9260 §8.4 says', () => {
    const pair = makePair();
    const answers: { tag: number; type: number; flags: number }[] = [];
    pair.b.end.link.onSend = (bytes) => answers.push({ tag: tagOf(bytes), type: bytes[12]!, flags: bytes[13]! });
    for (const chunk of ['08000004', '0b000004', '0300001000000000000010000000 0000', '06000004', '0e000004']) {
      pair.b.end.driver.input(packet(77, chunk), undefined);
    }
    expect(answers).toEqual([
      { tag: 77, type: 14, flags: 1 }, // SHUTDOWN ACK: SHUTDOWN COMPLETE with the T bit
      { tag: 77, type: 6, flags: 1 }, // SACK: ABORT with the T bit; COOKIE ACK, ABORT, SHUTDOWN COMPLETE: nothing
    ]);
  });

  it('INIT ACK without a cookie is answered with ABORT "missing mandatory parameter"', () => {
    const pair = makePair();
    let tag = 0;
    const answers: Uint8Array[] = [];
    pair.a.end.link.onSend = (bytes) => {
      if (bytes[12] === 1) tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(16);
      else answers.push(bytes.slice());
    };
    pair.a.end.link.dropIf = () => true;
    pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
    pair.a.end.driver.input(packet(tag, '0200001400000009000100000001000100000005'), undefined);
    expect(pair.a.end.events.at(-1)).toMatchObject({ type: 'aborted', cause: 2 });
    expect([...chunksOf(answers[0]!)[0]!.bytes]).toEqual([6, 0, 0, 14, 0, 2, 0, 10, 0, 0, 0, 1, 0, 7]);
  });
});

describe('a peer that restarts (RFC 9260 §5.2.4.1)', () => {
  it.each(seeds(50))('seed %i: is recognized under loss, streams begin anew, and data flows again', (seed) => {
    const world = new SimWorld(seed);
    const link = seed % 2 === 0 ? PERFECT : { latencyMs: 20, jitterMs: 50, loss: 0.1 };
    const make = () => new SctpAssociation({ env: simEnv(world, nobleCrypto), maxInitRetransmissions: 50 });
    const a = new Replaceable(make());
    const b = new Replaceable(make());
    const events = { a: [] as SctpEvent[], b: [] as SctpEvent[] };
    const links = [new SimLink(world, link), new SimLink(world, link)] as const;
    const bytesOf = (slot: TransmitSlot) => slot.buffer.subarray(slot.offset, slot.offset + slot.length);
    const hostA = new SimHost<void>(world, (slot) => links[0].send(bytesOf(slot), (bytes) => driverB.input(bytes)));
    const hostB = new SimHost<void>(world, (slot) => links[1].send(bytesOf(slot), (bytes) => driverA.input(bytes)));
    const driverA = new Driver<SctpEvent, void>(a, hostA, (event) => events.a.push(event));
    const driverB = new Driver<SctpEvent, void>(b, hostB, (event) => events.b.push(event));
    hostA.onWake = () => driverA.wake();
    hostB.onWake = () => driverB.wake();
    const say = (driver: Driver<SctpEvent, void>, core: SctpAssociation, text: string) =>
      driver.mutate((now) =>
        core.send({ streamId: 3, ppid: 51, bytes: new TextEncoder().encode(text), ordered: true }, now),
      );
    const heard = (list: readonly SctpEvent[]) =>
      list.flatMap((event) => (event.type === 'message' ? [new TextDecoder().decode(event.bytes)] : []));

    driverA.mutate((now) => a.core.connect(now));
    world.run({ until: 60_000, done: () => a.core.state === 'established' && b.core.state === 'established' });
    say(driverA, a.core, 'one');
    say(driverB, b.core, 'two');
    world.run({ until: world.now + 10_000 });
    expect([heard(events.a), heard(events.b)]).toEqual([['two'], ['one']]);

    a.core = make(); // the process died and came back
    driverA.mutate((now) => a.core.connect(now));
    const back = () => a.core.state === 'established' && events.b.some((event) => event.type === 'restarted');
    expect(world.run({ until: world.now + 60_000, done: back })).toBe(true);
    say(driverA, a.core, 'three');
    say(driverB, b.core, 'four');
    world.run({ until: world.now + 20_000 });
    expect([heard(events.a), heard(events.b)]).toEqual([
      ['two', 'four'],
      ['one', 'three'],
    ]);
    expect(events.b.filter((event) => event.type === 'restarted').length).toBe(1);
    expect(b.core.state).toBe('established');
  });

  it('a replayed handshake of the first life changes nothing', () => {
    const pair = makePair();
    const old: Uint8Array[] = [];
    pair.a.end.link.onSend = (bytes) => old.push(bytes.slice());
    connectBoth(pair);
    pair.a.send({ bytes: pattern(10, 1) });
    pair.world.run({ until: 1000 });
    for (const bytes of old) pair.b.end.driver.input(bytes, undefined);
    pair.a.send({ bytes: pattern(10, 2) });
    pair.world.run({ until: 3000 });
    expect(pair.b.types()).toEqual(['connected']);
    expect(pair.b.messages.length).toBe(2);
  });
});

describe('shutting down', () => {
  it.each(seeds(100))('seed %i: graceful under loss from both sides at once or one alone', (seed) => {
    const link = { latencyMs: 20, jitterMs: 60, loss: 0.2, duplicate: 0.1 };
    const pair = connectedPair({ seed, link });
    for (let i = 0; i < 10; i++) pair.a.send({ bytes: pattern(3000, i) });
    pair.a.end.driver.mutate((now) => pair.a.core.shutdown(now));
    if (seed % 2 === 0) {
      pair.b.send({ bytes: pattern(3000, 1) });
      pair.b.end.driver.mutate((now) => pair.b.core.shutdown(now));
    }
    pair.world.run({ until: pair.world.now + 300_000 });
    expect(pair.b.messages.length).toBe(10);
    expect(pair.a.messages.length).toBe(seed % 2 === 0 ? 1 : 0);
    expect([pair.a.core.state, pair.b.core.state]).toEqual(['closed', 'closed']);
    expect(pair.a.types().at(-1)).toBe('closed');
    expect(pair.b.types().at(-1)).toBe('closed');
    expect(pair.world.pending).toBe(0);
  });

  it('is over: later commands say so, and packets are answered with ABORT', () => {
    const pair = connectedPair();
    pair.a.end.driver.mutate((now) => pair.a.core.shutdown(now));
    pair.world.run();
    expect(() => pair.a.core.connect(0)).toThrow('ended');
    expect(() => pair.a.send({ bytes: pattern(1, 1) })).toThrow('over');
    pair.a.core.abort('again', 0);
    pair.a.core.shutdown(0);
    pair.a.end.driver.input(packet(5, '0400000c0001000801020304'), undefined);
    expect(pair.a.core.drops.get('closed')).toBe(1);
  });
});
