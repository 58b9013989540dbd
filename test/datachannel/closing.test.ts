import { describe, expect, it } from 'vitest';
import { encodeDcep, PPID } from '../../src/datachannel/index.ts';
import { seeds } from '../sim/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { type FakeSide, fakePair, step } from './fake-association.ts';

const types = (side: FakeSide) => side.events().map((e) => e.type);

/** Two sides with one open channel (stream 0, handle 1 on both), nothing in flight and all events taken. */
function openPair() {
  const pair = fakePair();
  const handle = pair.a.channels.open({ label: 'x' }, 0);
  pair.up();
  pair.settle();
  pair.a.events();
  pair.b.events();
  return { ...pair, handle };
}

describe('closing (RFC 8831 §6.7, W3C closing procedure)', () => {
  it('sends what is queued, resets both streams, and tells each side in the order of the W3C', () => {
    const { a, b, handle, settle } = openPair();
    a.channels.send(handle, 'last words', 0);
    a.channels.close(handle, 0);
    expect(a.channels.info(handle)?.state).toBe('closing');
    a.channels.close(handle, 0); // does nothing
    settle();
    expect(types(b)).toEqual(['message', 'closing', 'closed']);
    expect(types(a)).toEqual(['buffered-amount-low', 'closed']);
    expect([a.association.resets, b.association.resets]).toEqual([[0], [0]]);
    expect(a.channels.info(handle)).toBeUndefined();
    a.channels.close(handle, 0); // does nothing
    expect([a.channels.totals, b.channels.totals]).toEqual([
      { opened: 1, closed: 1 },
      { opened: 1, closed: 1 },
    ]);
  });

  it('the closed event has the final counters', () => {
    const { a, handle, settle } = openPair();
    a.channels.send(handle, 'abc', 0);
    a.channels.close(handle, 0);
    settle();
    expect(a.events().at(-1)).toMatchObject({
      type: 'closed',
      info: { state: 'closed', messagesSent: 1, bytesSent: 3 },
    });
  });

  it('both sides close at the same time', () => {
    const { a, b, handle, settle } = openPair();
    a.channels.close(handle, 0);
    b.channels.close(1, 0);
    settle();
    expect([types(a), types(b)]).toEqual([['closed'], ['closed']]);
    expect([a.association.resets, b.association.resets]).toEqual([[0], [0]]);
  });

  it('what arrives while closing is dropped and counted', () => {
    const { a, b, handle, settle } = openPair();
    b.channels.send(1, 'too late', 0);
    a.channels.close(handle, 0);
    settle();
    expect(types(a)).toEqual(['closed']);
    expect(a.channels.drops.toJSON()).toEqual({ closed: 1 });
  });

  it('a channel that was never announced closes at once, and its id is free', () => {
    const { a } = fakePair();
    const handle = a.channels.open({}, 0);
    a.channels.close(handle, 0);
    expect(types(a)).toEqual(['id', 'closed']);
    expect(a.association.resets).toEqual([]);
    expect(a.channels.totals).toEqual({ opened: 0, closed: 0 });
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(0);
  });

  it('a channel whose DATA_CHANNEL_OPEN found no room closes at once without a word', () => {
    const { a, up, settle, b } = fakePair();
    a.association.sendBufferBytes = 5;
    const handle = a.channels.open({ label: 'x' }, 0);
    up();
    a.channels.close(handle, 0);
    expect(types(a)).toEqual(['id', 'open', 'closed']);
    a.association.sendBufferBytes = 1_000;
    settle();
    a.channels.handleSctpEvent({ type: 'buffered-amount-low', streamId: 0 }, 0);
    settle();
    expect(types(b)).toEqual([]);
  });

  it('ids are used again, the lowest first', () => {
    const { a, settle } = openPair();
    const second = a.channels.open({}, 0);
    a.channels.open({}, 0);
    a.channels.close(second, 0);
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(6); // stream 2 is not yet reset both ways
    settle();
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(2);
  });

  it('an id can be opened again before our answer has come, and keeps both channels apart', () => {
    const { a, b, settle } = openPair();
    // a closes; b answers the reset, but the answer is slow, and b's own reset overtakes it.
    a.channels.close(1, 0);
    a.association.deliver(0); // a's reset reaches b: outbox of b is [answer, reset]
    expect(b.association.outbox.map((i) => i.kind)).toEqual(['reset-answer', 'reset']);
    b.association.deliver(1);
    a.association.deliver(0); // b has its answer: closed there
    expect(types(b)).toEqual(['closing', 'closed']);
    expect(a.channels.info(1)?.state).toBe('closing');
    // The peer owns no even id; a test of the mechanism lets it open one out of turn on the wire of the other parity.
    const odd = fakeReopen();
    expect(odd).toEqual({ a: ['closed', 'channel', 'open', 'message', 'closing', 'closed'], drops: {} });
    settle();
    expect(types(a)).toEqual(['closed']);
  });

  it('an empty list of streams resets all (RFC 6525 §4.1)', () => {
    const { a, b, settle } = openPair();
    a.channels.open({}, 0);
    settle();
    b.events();
    b.association.event({ type: 'incoming-reset', streamIds: [] });
    expect(types(b)).toEqual(['closing', 'closing']);
    expect(b.association.resets).toEqual([0, 2]);
  });

  it('a refused reset closes the channel here and retires its id', () => {
    const { a, b, handle, settle } = openPair();
    b.association.refuseResets = true;
    a.channels.close(handle, 0);
    settle();
    expect(types(a)).toEqual(['closed']);
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(2);
    expect(() => a.channels.open({ negotiated: true, id: 0 }, 0)).toThrow(
      expect.objectContaining({ code: 'id-in-use' }),
    );
  });

  it('a peer that cannot reset streams has the channel closed here all the same', () => {
    const { a, b, handle } = openPair();
    for (const side of [a, b]) side.association.cannotReset = true;
    a.channels.close(handle, 0);
    expect(types(a)).toEqual(['closed']);
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(2);
    // Nor does refusing what it may not send leave anything behind but the stream.
    b.association.event({ type: 'message', streamId: 8, ppid: PPID.binary, bytes: Uint8Array.of(1), unordered: false });
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-state': 1 });
    expect(types(b)).toEqual([]);
  });

  it('resets of streams that nobody uses are nothing', () => {
    const { a } = openPair();
    a.association.event({ type: 'incoming-reset', streamIds: [8] });
    a.association.event({ type: 'outgoing-reset', streamIds: [0, 8], ok: true });
    expect(types(a)).toEqual([]);
    expect(a.channels.drops.total).toBe(0);
  });
});

/** Stream 1 is b's. b opens, closes, and opens again while a still waits for the answer to its own reset. */
function fakeReopen() {
  const { a, b, up, settle } = fakePair();
  up();
  const first = b.channels.open({}, 0);
  settle();
  a.events();
  b.channels.close(first, 0);
  b.association.deliver(0); // b's reset reaches a; a's outbox: [answer, reset]
  a.association.deliver(0);
  a.association.deliver(0); // a's reset reaches b, which is done with the stream; b's outbox: [answer]
  const second = b.channels.open({}, 0);
  expect(b.channels.info(second)?.id).toBe(1);
  b.channels.send(second, 'new life', 0);
  a.events();
  b.association.deliver(1); // OPEN overtakes the answer
  b.association.deliver(1);
  settle();
  b.channels.close(second, 0);
  settle();
  return { a: types(a), drops: a.channels.drops.toJSON() };
}

describe('the end of the association', () => {
  it('a graceful end closes all channels without an error', () => {
    const { a, handle } = openPair();
    a.association.event({ type: 'closed' });
    expect(a.events()).toMatchObject([{ type: 'closed', handle }]);
    a.association.event({
      type: 'message',
      streamId: 0,
      ppid: PPID.string,
      bytes: new Uint8Array(1),
      unordered: false,
    });
    expect(a.events()).toEqual([]);
    a.channels.close(handle, 0);
  });

  it('an abort tells its cause', () => {
    const { a, handle } = openPair();
    const waiting = a.channels.open({}, 0);
    a.events();
    a.association.event({ type: 'aborted', byPeer: true, cause: 12, message: 'bye' });
    const error = { type: 'error', message: 'bye', detail: 'sctp-failure', sctpCauseCode: 12 };
    expect(a.events()).toMatchObject([
      { ...error, handle },
      { type: 'closed', handle },
      { ...error, handle: waiting },
      { type: 'closed', handle: waiting },
    ]);
  });

  it('a peer that does not answer any more is an error too, also for channels that wait for the association', () => {
    const { a } = fakePair();
    a.channels.open({}, 0);
    a.association.event({ type: 'failed', message: 'no answer' });
    expect(a.events()).toMatchObject([{ type: 'id' }, { type: 'error', message: 'no answer' }, { type: 'closed' }]);
  });

  it('a restart by the peer ends all channels, and new ones open', () => {
    const { a, b, settle } = openPair();
    a.association.event({ type: 'restarted' });
    expect(types(a)).toEqual(['error', 'closed']);
    b.association.event({ type: 'restarted' });
    types(b);
    const handle = a.channels.open({}, 0);
    expect(a.channels.info(handle)?.id).toBe(0);
    settle();
    expect(types(b)).toEqual(['channel', 'open']);
  });
});

describe('random lives', () => {
  it.each(seeds(150))(
    'seed %i: every message once, every channel closed on both sides, every id free again',
    (seed) => {
      const random = new SeededRandom(seed);
      const { a, b, up, settle } = fakePair({}, {});
      const sides = [a, b];
      const sent = new Map<string, string[]>();
      const got = new Map<string, string[]>();
      /** Open handles of a side, by handle; the label travels with the channel and names it on both sides. */
      const live = sides.map(() => new Map<number, string>());
      const ended = sides.map(() => new Map<string, number>());
      const take = () => {
        sides.forEach((side, s) => {
          for (const e of side.events()) {
            if (e.type === 'channel') live[s]!.set(e.handle, e.parameters.label);
            else if (e.type === 'message')
              got.set(`${s}${label(s, e.handle)}`, [...(got.get(`${s}${label(s, e.handle)}`) ?? []), String(e.data)]);
            else if (e.type === 'closed') {
              ended[s]!.set(e.info.label, (ended[s]!.get(e.info.label) ?? 0) + 1);
              live[s]!.delete(e.handle);
            } else expect(e.type).not.toBe('error');
          }
        });
      };
      const label = (s: number, handle: number) => live[s]!.get(handle) ?? '?';
      let created = 0;
      for (let i = 0; i < 120; i++) {
        const s = random.below(2);
        const side = sides[s]!;
        const handles = [...live[s]!.keys()];
        const handle = handles.length > 0 ? random.pick(handles) : undefined;
        if (i === 10) a.channels.setRole('client', 0);
        if (i === 12) b.channels.setRole('server', 0);
        if (i === 15) up();
        switch (random.below(6)) {
          case 0:
            if (live[s]!.size < 4)
              live[s]!.set(
                side.channels.open({ label: `c${created}`, ordered: random.chance(0.5) }, 0),
                `c${created++}`,
              );
            break;
          case 1:
          case 2:
            if (handle !== undefined && side.channels.info(handle)?.state === 'open') {
              side.channels.send(handle, `m${i}`, 0);
              const key = `${1 - s}${label(s, handle)}`;
              sent.set(key, [...(sent.get(key) ?? []), `m${i}`]);
            }
            break;
          case 3:
            if (handle !== undefined && random.chance(0.4)) side.channels.close(handle, 0);
            break;
          default:
            for (let n = random.below(4); n > 0; n--) step(a, b, random);
        }
        take();
      }
      settle(random);
      take();
      sides.forEach((side, s) => {
        for (const handle of live[s]!.keys()) side.channels.close(handle, 0);
      });
      settle(random);
      take();
      for (const [s, side] of sides.entries()) {
        expect(side.channels.handles()).toEqual([]);
        expect([...ended[s]!.values()].every((times) => times === 1)).toBe(true);
        // Where a message is missing, the receiver had begun to close; it then counted the drop.
        let missing = 0;
        for (const [key, messages] of sent) {
          if (!key.startsWith(`${s}`)) continue;
          const arrived = got.get(key) ?? [];
          expect(new Set(arrived).size).toBe(arrived.length);
          expect(messages).toEqual(expect.arrayContaining(arrived));
          missing += messages.length - arrived.length;
        }
        expect(side.channels.drops.toJSON()).toEqual(missing > 0 ? { closed: missing } : {});
        expect(side.channels.open({ negotiated: true, id: 0 }, 0)).toBeGreaterThan(0);
        expect(side.channels.info(side.channels.open({}, 0))?.id).toBe(s === 0 ? 2 : 1);
      }
      // The first sides of all channels saw an end as often as their others.
      expect([...ended[0]!.keys()].sort()).toEqual(
        expect.arrayContaining([...ended[1]!.keys()].filter((l) => got.has(`0${l}`))),
      );
    },
  );

  it('any DCEP or user message on any stream keeps both sides working', () => {
    const random = new SeededRandom(7);
    const { a, b, up, settle } = fakePair();
    up();
    b.association.resetStreams = () => undefined; // its answers are made up below
    for (let i = 0; i < 20_000; i++) {
      const streamId = random.below(30);
      const ppid = random.pick([50, 50, 51, 52, 53, 54, 55, 56, 57, 0]);
      const whole = encodeDcep({
        type: 'open',
        ordered: true,
        maxRetransmits: undefined,
        maxPacketLifeTime: undefined,
        priority: 1,
        label: 'x',
        protocol: '',
      });
      const bytes = random.chance(0.5) ? whole : random.bytes(1 + random.below(20));
      if (random.chance(0.2)) bytes[random.below(bytes.length)] = random.below(256);
      const choice = random.below(8);
      if (choice === 0) b.association.event({ type: 'incoming-reset', streamIds: [streamId] });
      else if (choice === 1)
        b.association.event({ type: 'outgoing-reset', streamIds: [streamId], ok: random.chance(0.5) });
      else b.association.event({ type: 'message', streamId, ppid, bytes, unordered: random.chance(0.3) });
      b.events();
    }
    expect(b.channels.drops.total).toBeGreaterThan(1_000);
    expect(b.channels.handles().length).toBeLessThanOrEqual(30);
    a.association.outbox.splice(0);
    b.association.outbox.splice(0);
    const mine = a.channels.open({ negotiated: true, id: 100 }, 0);
    b.channels.open({ negotiated: true, id: 100 }, 0);
    a.channels.send(mine, 'alive', 0);
    settle();
    expect(b.events().filter((e) => e.type === 'message')).toMatchObject([{ data: 'alive' }]);
  });
});
