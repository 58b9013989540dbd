import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add16,
  add32,
  after16,
  after32,
  atOrAfter32,
  type Deadline,
  DeadlineHeap,
  DropCounters,
  distance32,
  lineTrace,
  NEVER,
  Ring,
  TimerTable,
} from '../../src/core/index.ts';

describe('serial arithmetic (RFC 1982)', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

  it('orders numbers across the wrap', () => {
    expect(after32(0, 0xffff_ffff)).toBe(true);
    expect(after32(0xffff_ffff, 0)).toBe(false);
    expect(after16(2, 0xfffe)).toBe(true);
    expect(add32(0xffff_fffe, 3)).toBe(1);
    expect(add32(1, -2)).toBe(0xffff_ffff);
    expect(add16(0xffff, 1)).toBe(0);
  });

  it('adding up to 2^31 - 1 always moves forward by that distance', () => {
    fc.assert(
      fc.property(u32, fc.integer({ min: 1, max: 0x7fff_ffff }), (a, n) => {
        expect(after32(add32(a, n), a)).toBe(true);
        expect(after32(a, add32(a, n))).toBe(false);
        expect(distance32(add32(a, n), a)).toBe(n);
      }),
    );
  });

  it('is irreflexive, and leaves opposite numbers unordered', () => {
    fc.assert(
      fc.property(u32, (a) => {
        expect(after32(a, a)).toBe(false);
        expect(atOrAfter32(a, a)).toBe(true);
        const opposite = add32(a, 0x8000_0000);
        expect(after32(a, opposite) || after32(opposite, a)).toBe(false);
      }),
    );
  });
});

describe('Ring', () => {
  it('behaves like an array, whatever is pushed and shifted', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(), { nil: undefined }), { maxLength: 200 }), (operations) => {
        const ring = new Ring<number>();
        const model: number[] = [];
        for (const value of operations) {
          if (value === undefined) expect(ring.shift()).toBe(model.shift());
          else {
            expect(ring.push(value)).toBe(true);
            model.push(value);
          }
          expect(ring.length).toBe(model.length);
          expect(ring.peek()).toBe(model[0]);
          expect(ring.at(model.length - 1)).toBe(model.at(-1));
        }
        expect([...ring]).toEqual(model);
      }),
    );
  });

  it('refuses at its bound and keeps what it has', () => {
    const ring = new Ring<string>(2);
    expect([ring.push('a'), ring.push('b'), ring.push('c')]).toEqual([true, true, false]);
    expect([...ring]).toEqual(['a', 'b']);
    ring.clear();
    expect(ring.push('d')).toBe(true);
    expect(ring.at(1)).toBeUndefined();
    expect(ring.at(-1)).toBeUndefined();
  });
});

describe('TimerTable', () => {
  it('fires in order of deadline, each once, and equal deadlines in arming order', () => {
    const timers = new TimerTable<'a' | 'b' | 'c'>();
    timers.arm('a', 30);
    timers.arm('b', 10);
    timers.arm('c', 10);
    expect(timers.next()).toBe(10);
    expect(timers.due(9)).toBeUndefined();
    expect(timers.due(50)).toEqual({ name: 'b', deadline: 10 });
    expect(timers.due(50)).toEqual({ name: 'c', deadline: 10 });
    expect(timers.due(50)).toEqual({ name: 'a', deadline: 30 });
    expect(timers.due(50)).toBeUndefined();
    expect(timers.next()).toBe(NEVER);
  });

  it('moves an armed timer, and forgets a cancelled one', () => {
    const timers = new TimerTable<'a' | 'b'>();
    timers.arm('a', 10);
    timers.arm('a', 20);
    expect(timers.due(10)).toBeUndefined();
    expect(timers.deadline('a')).toBe(20);
    timers.arm('b', 5);
    timers.cancel('b');
    expect(timers.isArmed('b')).toBe(false);
    expect(timers.next()).toBe(20);
    timers.cancelAll();
    expect(timers.due(100)).toBeUndefined();
  });
});

describe('DeadlineHeap', () => {
  const make = (name: string): Deadline & { readonly name: string } => ({ name, at: 0, order: 0, heapIndex: -1 });

  it('gives out what is due, earliest first, equal instants in the order they were set; moving sets anew', () => {
    const heap = new DeadlineHeap<ReturnType<typeof make>>();
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(make) as [ReturnType<typeof make>, ...ReturnType<typeof make>[]];
    for (const item of [a, b!, c!, d!]) heap.set(item, 10);
    heap.set(a, 10);
    heap.set(d!, 5);
    heap.remove(c!);
    heap.remove(c!);
    expect([heap.size, heap.next(), heap.peek()]).toEqual([3, 5, d]);
    expect(heap.takeDue(4)).toBeUndefined();
    expect([heap.takeDue(10), heap.takeDue(10), heap.takeDue(10), heap.takeDue(10)]).toEqual([d, b, a, undefined]);
    heap.set(a, 1);
    heap.set(a, NEVER);
    expect([heap.size, heap.next()]).toEqual([0, NEVER]);
  });

  it('agrees with a sorted list, whatever is set, moved and removed', () => {
    const operation = fc.record({ item: fc.nat(15), at: fc.option(fc.nat(50), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const heap = new DeadlineHeap<ReturnType<typeof make>>();
        const items = Array.from({ length: 16 }, (_, i) => make(`${i}`));
        const model = new Map<string, number>();
        for (const { item, at } of operations) {
          model.delete(`${item}`); // a moved one goes behind its equals: deleted and set again
          if (at === undefined) heap.remove(items[item]!);
          else {
            heap.set(items[item]!, at);
            model.set(`${item}`, at);
          }
          expect(heap.next()).toBe(Math.min(NEVER, ...model.values()));
        }
        const sorted = [...model].sort(([, x], [, y]) => x - y).map(([name]) => name);
        const taken: string[] = [];
        for (let due = heap.takeDue(50); due !== undefined; due = heap.takeDue(50)) taken.push(due.name);
        expect(taken).toEqual(sorted);
      }),
    );
  });
});

describe('drops and traces', () => {
  it('counts by reason and shows only what occurred', () => {
    const drops = new DropCounters();
    drops.count('replayed');
    drops.count('replayed');
    drops.count('too-short');
    expect(drops.get('replayed')).toBe(2);
    expect(drops.get('limit')).toBe(0);
    expect(drops.total).toBe(3);
    expect(JSON.stringify(drops)).toBe('{"replayed":2,"too-short":1}');
  });

  it('a line trace writes one line a report', () => {
    const lines: string[] = [];
    const trace = lineTrace((line) => lines.push(line));
    trace.state('ice', 'new', 'checking', 'first check');
    trace.drop('dtls', 'replayed', 'sequence 5');
    trace.note('sctp', 'hello');
    expect(lines).toEqual(['ice: new -> checking (first check)', 'dtls: dropped, replayed: sequence 5', 'sctp: hello']);
  });
});
