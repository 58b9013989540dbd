import { describe, expect, it } from 'vitest';
import { equalBytes, type Instant, NEVER, type SansIo, type TransmitSlot } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  decodeStun,
  encodeStun,
  IntegrityKey,
  RetransmissionSchedule,
  RtoEstimator,
  STREAM_SCHEDULE,
  type StunAttribute,
  type StunClass,
  StunTransaction,
  shortTermKey,
} from '../../src/stun/index.ts';
import { connectPair, type LinkOptions, PERFECT, SeededRandom, SimWorld, seeds } from '../sim/index.ts';

const ID = new SeededRandom(1).bytes(12);
const key = new IntegrityKey(nobleCrypto, shortTermKey('secret'));
const request = encodeStun({ messageClass: 'request', method: 1, transactionId: ID });

/** Answers each request with what `answer` makes of it. */
class Responder implements SansIo<never> {
  readonly #answer: (request: Uint8Array) => Uint8Array[];
  readonly #out: Uint8Array[] = [];

  constructor(answer: (request: Uint8Array) => Uint8Array[]) {
    this.#answer = answer;
  }

  handleInput(bytes: Uint8Array): void {
    this.#out.push(...this.#answer(bytes));
  }

  handleTimeout(): void {
    // has no timers
  }

  pollTransmit(slot: TransmitSlot): boolean {
    const next = this.#out.shift();
    if (next === undefined) return false;
    slot.buffer.set(next, slot.offset);
    slot.length = next.length;
    return true;
  }

  pollEvent(): undefined {
    return undefined;
  }

  nextTimeout(): Instant {
    return NEVER;
  }
}

function respond(
  messageClass: StunClass,
  attributes: StunAttribute[] = [],
  signer?: IntegrityKey,
  id = ID,
): Uint8Array {
  return encodeStun({
    messageClass,
    method: 1,
    transactionId: id,
    attributes,
    integrity: signer === undefined ? [] : [{ key: signer, algorithm: 'sha-1' }],
  });
}

function run(transaction: StunTransaction, answer: (n: number) => Uint8Array[], link: LinkOptions = PERFECT, seed = 1) {
  const world = new SimWorld(seed);
  let requests = 0;
  const { a } = connectPair(world, transaction, new Responder(() => answer(requests++)), link);
  const sentAt: Instant[] = [];
  a.link.onSend = (bytes, now) => {
    expect(equalBytes(bytes, request)).toBe(true); // retransmissions are bit-wise identical
    sentAt.push(now);
  };
  a.driver.drain();
  world.run();
  return { world, sentAt, events: a.events };
}

describe('RetransmissionSchedule', () => {
  it('late callers get one send and no burst, and the end does not move', () => {
    const schedule = new RetransmissionSchedule(1000);
    expect(schedule.advance(1499)).toBeUndefined();
    expect(schedule.advance(1000 + 4000)).toBe('send'); // 500, 1500 and 3500 are over
    expect(schedule.sends).toBe(4);
    expect(schedule.dueAt).toBe(1000 + 7500);
    expect(schedule.advance(1000 + 39_499)).toBe('send');
    expect(schedule.advance(1000 + 39_500)).toBe('failed');
    expect(schedule.dueAt).toBe(NEVER);
    expect(schedule.advance(1e9)).toBeUndefined();
  });

  it.each([{ rtoMs: 0 }, { maxSends: 0 }, { finalWaitFactor: -1 }, { rtoMs: Number.NaN }])('refuses %j', (wrong) => {
    expect(() => new RetransmissionSchedule(0, { rtoMs: 500, maxSends: 7, finalWaitFactor: 16, ...wrong })).toThrow(
      expect.objectContaining({ name: 'UsageError' }),
    );
  });
});

describe('RtoEstimator (RFC 8489 §6.2.1, RFC 6298 §2)', () => {
  it('begins at 500 ms and never goes below', () => {
    const rto = new RtoEstimator();
    expect(rto.rtoMs(0)).toBe(500);
    rto.update(20, 0);
    expect(rto.rtoMs(1)).toBe(500);
  });

  it('follows the round trips of a slow path, in fractions of a millisecond', () => {
    const rto = new RtoEstimator();
    rto.update(800, 0); // SRTT 800, RTTVAR 400
    expect(rto.rtoMs(1)).toBe(2400);
    rto.update(600, 10); // RTTVAR 0.75·400 + 0.25·200 = 350, SRTT 0.875·800 + 0.125·600 = 775
    expect(rto.rtoMs(11)).toBe(2175);
    for (let i = 0; i < 100; i++) rto.update(600.5, 20 + i);
    expect(rto.rtoMs(200)).toBeCloseTo(600.5, 1);
  });

  it('is forgotten after ten minutes', () => {
    const rto = new RtoEstimator();
    rto.update(800, 0);
    expect(rto.rtoMs(600_000)).toBe(2400);
    expect(rto.rtoMs(600_001)).toBe(500);
    rto.update(1000, 700_000);
    expect(rto.rtoMs(700_001)).toBe(3000);
  });
});

describe('StunTransaction', () => {
  it('retransmits at the times RFC 8489 §6.2.1 lists, then fails at 39500 ms', () => {
    const { world, sentAt, events } = run(new StunTransaction(request, 0), () => []);
    expect(sentAt).toEqual([0, 500, 1500, 3500, 7500, 15500, 31500]);
    expect(events).toEqual([{ type: 'timeout', sends: 7 }]);
    expect(world.now).toBe(39500);
  });

  it('over TCP it is sent once and fails after Ti (RFC 8489 §6.2.2)', () => {
    const transaction = new StunTransaction(request, 0, { schedule: STREAM_SCHEDULE, reliable: true });
    const { world, sentAt, events } = run(transaction, () => []);
    expect(sentAt).toEqual([0]);
    expect(events).toEqual([{ type: 'timeout', sends: 1 }]);
    expect(world.now).toBe(39500);
  });

  it('the first response ends it; the round trip is measured only without retransmission', () => {
    const first = run(new StunTransaction(request, 0), () => [respond('success')], { latencyMs: 40 });
    expect(first.events).toEqual([expect.objectContaining({ type: 'response', rttMs: 80 })]);
    expect(first.sentAt).toEqual([0]);
    const second = run(new StunTransaction(request, 0), (n) => (n === 1 ? [respond('error')] : []));
    expect(second.events).toEqual([expect.objectContaining({ type: 'response', rttMs: undefined })]);
    expect(second.sentAt).toEqual([0, 500]);
  });

  it('what is not its response is dropped for a reason', () => {
    const transaction = new StunTransaction(request, 0);
    const otherMethod = encodeStun({ messageClass: 'success', method: 3, transactionId: ID });
    const otherId = respond('success', [], undefined, new SeededRandom(2).bytes(12));
    for (const bytes of [request, otherMethod, otherId, Uint8Array.of(1, 2, 3)])
      transaction.handleInput(bytes, undefined, 1);
    expect(transaction.pollEvent()).toBeUndefined();
    transaction.handleInput(respond('success'), undefined, 1);
    transaction.handleInput(respond('success'), undefined, 1);
    expect(transaction.pollEvent()?.type).toBe('response');
    expect(transaction.pollEvent()).toBeUndefined();
    expect(transaction.drops.toJSON()).toEqual({ 'bad-type': 1, 'unknown-transaction': 2, 'too-short': 1, closed: 1 });
  });

  it('responses without the right integrity do not end it; the timeout says that somebody interfered (RFC 8489 §9.1.4)', () => {
    const wrong = new IntegrityKey(nobleCrypto, shortTermKey('wrong'));
    const { sentAt, events } = run(new StunTransaction(request, 0, { key }), (n) => [
      n % 2 === 0 ? respond('success') : respond('error', [['ERROR-CODE', { code: 500, reason: '' }]], wrong),
    ]);
    expect(sentAt).toHaveLength(7);
    expect(events).toEqual([{ type: 'integrity-violated', sends: 7 }]);
  });

  it('over a reliable transport it ends at once then', () => {
    const transaction = new StunTransaction(request, 0, { key, reliable: true, schedule: STREAM_SCHEDULE });
    const { world, events } = run(transaction, () => [respond('success')]);
    expect(events).toEqual([{ type: 'integrity-violated', sends: 1 }]);
    expect(world.now).toBeLessThan(10);
  });

  it.each([401, 438])('an unprotected %i is let through: the server may not have the key', (code) => {
    const error = respond('error', [['ERROR-CODE', { code, reason: '' }]]);
    const { events } = run(new StunTransaction(request, 0, { key }), () => [error]);
    expect(events).toEqual([expect.objectContaining({ type: 'response' })]);
  });

  it('an unprotected 400 is discarded, as if it had never come (RFC 8489 §9.2.5)', () => {
    const error = respond('error', [['ERROR-CODE', { code: 400, reason: '' }]]);
    const { events, sentAt } = run(new StunTransaction(request, 0, { key }), (n) => [
      n === 3 ? respond('success', [], key) : error,
    ]);
    expect(sentAt).toHaveLength(4);
    expect(events).toMatchObject([{ type: 'response', message: { messageClass: 'success' } }]);
  });

  it('a signed response with the algorithm that was not asked for is dropped', () => {
    const transaction = new StunTransaction(request, 0, { key, algorithm: 'sha-256' });
    transaction.handleInput(respond('success', [], key), undefined, 1);
    expect(transaction.drops.get('bad-integrity')).toBe(1);
    expect(transaction.isDone).toBe(false);
  });

  it('the message in the event outlives the datagram', () => {
    const transaction = new StunTransaction(request, 0);
    const datagram = respond('success', [['SOFTWARE', 'x']]);
    transaction.handleInput(datagram, undefined, 1);
    datagram.fill(0);
    const event = transaction.pollEvent();
    expect(event?.type === 'response' && event.message.get('SOFTWARE')).toBe('x');
  });

  it('cancelled, it is silent', () => {
    const transaction = new StunTransaction(request, 0);
    transaction.cancel();
    const { events, sentAt } = run(transaction, () => [respond('success')]);
    expect([events, sentAt]).toEqual([[], []]);
    expect(transaction.nextTimeout()).toBe(NEVER);
  });

  it('only a STUN message can be sent', () => {
    expect(() => new StunTransaction(new Uint8Array(3), 0)).toThrow(expect.objectContaining({ name: 'DecodeError' }));
  });

  it.each(seeds(200))('seed %i: loss, duplication and jitter still end in exactly one event', (seed) => {
    const link = { latencyMs: 80, jitterMs: 200, loss: 0.3, duplicate: 0.1 };
    const { events, world } = run(new StunTransaction(request, 0), () => [respond('success')], link, seed);
    expect(events).toHaveLength(1);
    expect(world.pending).toBe(0);
    expect(decodeStun(request).transactionId).toEqual(ID);
  });
});
