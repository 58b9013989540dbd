import { describe, expect, it } from 'vitest';
import { TimerQueue } from '../../src/io/timer-queue.ts';
import { SeededRandom, seeds } from '../sim/random.ts';

/** A clock that moves only when told, and the one timer that a queue may use. */
class FakeBackend {
  time = 0;
  arms = 0;
  #pending: { readonly at: number; readonly fire: () => void } | undefined;

  now(): number {
    return this.time;
  }

  arm(delayMs: number, fire: () => void): () => void {
    expect(this.#pending).toBeUndefined(); // one timer, ever
    expect(Number.isInteger(delayMs)).toBe(true);
    this.arms++;
    const entry = { at: this.time + delayMs, fire };
    this.#pending = entry;
    return () => {
      if (this.#pending === entry) this.#pending = undefined;
    };
  }

  get armed(): boolean {
    return this.#pending !== undefined;
  }

  advance(to: number): void {
    while (this.#pending !== undefined && this.#pending.at <= to) {
      const { at, fire } = this.#pending;
      this.#pending = undefined;
      this.time = Math.max(this.time, at);
      fire();
    }
    this.time = to;
  }
}

function setup(): { backend: FakeBackend; queue: TimerQueue; ran: string[]; log: (text: string) => () => void } {
  const backend = new FakeBackend();
  const ran: string[] = [];
  const log = (text: string) => () => void ran.push(`${text}@${backend.time}`);
  return { backend, queue: new TimerQueue(backend), ran, log };
}

describe('TimerQueue', () => {
  it('fires at or after the instant, earliest first, equal instants in the order they were set', () => {
    const { backend, queue, ran, log } = setup();
    queue.set(20, log('c'));
    queue.set(10.4, log('a'));
    queue.set(20, log('d'));
    queue.set(10.4, log('b'));
    expect(ran).toEqual([]);
    backend.advance(100);
    expect(ran).toEqual(['a@11', 'b@11', 'c@20', 'd@20']);
    expect([queue.size, backend.armed]).toEqual([0, false]);
  });

  it('an instant in the past fires in the next turn, not inside the call', () => {
    const { backend, queue, ran, log } = setup();
    backend.advance(50);
    queue.set(10, log('late'));
    expect(ran).toEqual([]);
    backend.advance(50);
    expect(ran).toEqual(['late@50']);
  });

  it('cancelled timers do not fire, and cancelling again or after firing does nothing', () => {
    const { backend, queue, ran, log } = setup();
    const cancelA = queue.set(10, log('a'));
    const cancelB = queue.set(12, log('b'));
    cancelA();
    cancelA();
    backend.advance(20);
    cancelB();
    expect(ran).toEqual(['b@12']);
    expect(queue.size).toBe(0);
  });

  it('a callback may cancel another that is due in the same turn', () => {
    const { backend, queue, ran, log } = setup();
    let cancelSecond = (): void => undefined;
    queue.set(5, () => cancelSecond());
    cancelSecond = queue.set(5, log('second'));
    queue.set(5, log('third'));
    backend.advance(5);
    expect(ran).toEqual(['third@5']);
  });

  it('moving a deadline later again and again touches the runtime timer only when it fires', () => {
    const { backend, queue, ran, log } = setup();
    let cancel = queue.set(100, log('moved'));
    for (let i = 1; i <= 10_000; i++) {
      cancel();
      cancel = queue.set(100 + i / 100, log('moved'));
    }
    expect(backend.arms).toBe(1);
    expect(queue.size).toBe(1);
    backend.advance(1000);
    expect(ran).toEqual(['moved@200']);
  });

  it('a callback that always sets a timer due at once does not loop inside one wake-up', () => {
    const { backend, queue } = setup();
    let runs = 0;
    const again = (): void => {
      if (++runs < 5) queue.set(0, again);
    };
    queue.set(0, again);
    const armsBefore = backend.arms;
    backend.advance(0);
    expect(runs).toBe(5);
    expect(backend.arms - armsBefore).toBe(4); // one turn of the loop each
  });

  it('an exception of one callback reaches the runtime, and the others still run', () => {
    const { backend, queue, ran, log } = setup();
    queue.set(5, () => {
      throw new Error('broken callback');
    });
    queue.set(5, log('same instant'));
    queue.set(9, log('later'));
    expect(() => backend.advance(5)).toThrow('broken callback');
    backend.advance(10);
    expect(ran).toEqual(['same instant@5', 'later@9']);
  });

  it('waits longer than one setTimeout can', () => {
    const { backend, queue, ran, log } = setup();
    queue.set(5_000_000_000, log('far'));
    queue.set(Number.POSITIVE_INFINITY, log('never'));
    backend.advance(4_999_999_999);
    expect(ran).toEqual([]);
    backend.advance(6_000_000_000);
    expect(ran).toEqual(['far@5000000000']);
    expect(queue.size).toBe(0);
  });

  it.each(seeds(30))('seed %i: fires the same as a sorted list', (seed) => {
    const random = new SeededRandom(seed);
    const { backend, queue, ran } = setup();
    const live = new Map<number, { at: number; cancel: () => void }>();
    const expected: { at: number; id: number }[] = [];
    for (let id = 0; id < 500; id++) {
      const at = random.below(1000);
      live.set(id, { at, cancel: queue.set(at, () => void ran.push(`${id}`)) });
      if (random.chance(0.5)) {
        const victim = random.pick([...live.keys()]);
        live.get(victim)?.cancel();
        live.delete(victim);
      }
    }
    for (const [id, { at }] of live) expected.push({ at, id });
    expected.sort((a, b) => a.at - b.at || a.id - b.id);
    backend.advance(1000);
    expect(ran).toEqual(expected.map(({ id }) => `${id}`));
  });
});
