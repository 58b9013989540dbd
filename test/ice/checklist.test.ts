import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  candidatePriority,
  canPair,
  type IceCandidate,
  type IceCandidateType,
  isMdnsName,
  isUsableHostAddress,
  type LocalCandidate,
  type RemoteCandidate,
  tcpLocalPreference,
  typePreference,
} from '../../src/ice/candidate.ts';
import { Checklist } from '../../src/ice/checklist.ts';
import { CandidatePair } from '../../src/ice/pair.ts';
import { RequestTable } from '../../src/ice/requests.ts';
import { address } from './harness.ts';
import { udp } from './lone-agent.ts';

let ids = 1;

function candidate(
  ip: string,
  port: number,
  priority: number,
  foundation: string,
  more: Partial<IceCandidate> = {},
): IceCandidate {
  return { foundation, component: 1, protocol: 'udp', priority, address: ip, port, type: 'host', ...more };
}

function local(ip: string, priority = 100, foundation = 'L', more: Partial<IceCandidate> = {}): LocalCandidate {
  const c = candidate(ip, 5000, priority, foundation, more);
  return { candidate: c, base: address(ip, 5000), protocol: c.protocol, prflxPriority: 1, id: ids++ };
}

function remote(ip: string, priority = 100, foundation = 'R', more: Partial<IceCandidate> = {}): RemoteCandidate {
  const port = more.port ?? 6000;
  return { candidate: candidate(ip, port, priority, foundation, more), address: address(ip, port), id: ids++ };
}

function pair(priority: number, foundation: string, port: number): CandidatePair {
  const l = local('10.0.0.1', 1000, 'L');
  return new CandidatePair(ids++, l, remote('10.0.0.2', priority, foundation, { port }), 'controlling');
}

describe('candidate priorities (RFC 8445 §5.1.2.1)', () => {
  it.each<[IceCandidateType, number, number, number]>([
    ['host', 65_535, 1, 2_130_706_431], // RFC 8445 §15.1
    ['host', 65_535, 2, 2_130_706_430],
    ['srflx', 65_535, 1, 1_694_498_815], // RFC 8839 §5.1
    ['prflx', 65_535, 1, 1_862_270_975],
    ['relay', 65_535, 1, 16_777_215],
    ['relay', 0, 256, 0],
  ])('%s with local preference %i, component %i: %i', (type, localPreference, component, priority) => {
    expect(candidatePriority(typePreference(type, 'udp'), localPreference, component)).toBe(priority);
  });

  it('never leaves 31 bits', () => {
    expect(candidatePriority(126, 65_535, 1)).toBeLessThan(2 ** 31);
  });

  it('orders TCP by direction (RFC 6544 §4.2)', () => {
    const order = (type: IceCandidateType) =>
      (['active', 'passive', 'so'] as const).toSorted(
        (a, b) => tcpLocalPreference(type, b, 1) - tcpLocalPreference(type, a, 1),
      );
    expect(order('host')).toEqual(['active', 'passive', 'so']);
    expect(order('srflx')).toEqual(['so', 'active', 'passive']);
    expect(tcpLocalPreference('host', 'active', 0x1fff)).toBeLessThan(65_536);
  });
});

describe('pair priority (RFC 8445 §6.1.2.3)', () => {
  const formula = (g: number, d: number) => {
    const [low, high] = g < d ? [g, d] : [d, g];
    return (1n << 32n) * BigInt(low) + 2n * BigInt(high) + (g > d ? 1n : 0n);
  };
  const bits31 = fc.integer({ min: 1, max: 0x7fff_ffff });

  it('is the formula, from either role, without overflow', () => {
    fc.assert(
      fc.property(bits31, bits31, (ours, theirs) => {
        const p = new CandidatePair(1, local('10.0.0.1', ours), remote('10.0.0.2', theirs), 'controlling');
        expect(p.priority).toBe(formula(ours, theirs));
        p.refresh('controlled');
        expect(p.priority).toBe(formula(theirs, ours));
      }),
    );
  });

  it('compares as the 64-bit number would', () => {
    fc.assert(
      fc.property(bits31, bits31, bits31, bits31, (a, b, c, d) => {
        const p = new CandidatePair(1, local('10.0.0.1', a), remote('10.0.0.2', b), 'controlling');
        const q = new CandidatePair(2, local('10.0.0.1', c), remote('10.0.0.2', d), 'controlling');
        const expected = p.priority > q.priority ? 1 : p.priority < q.priority ? -1 : 0;
        expect(Math.sign(p.comparePriority(q))).toBe(expected);
      }),
    );
  });
});

describe('which candidates pair (RFC 8445 §6.1.2.2, RFC 6544 §6.2)', () => {
  const tcp = (tcpType: 'active' | 'passive' | 'so') => ({ protocol: 'tcp' as const, tcpType });
  it.each<[string, LocalCandidate, RemoteCandidate, boolean]>([
    ['IPv4 with IPv4', local('10.0.0.1'), remote('10.0.0.2'), true],
    ['IPv6 with IPv6', local('fd00::1'), remote('2001:db8::1'), true],
    ['IPv4 not with IPv6', local('10.0.0.1'), remote('fd00::1'), false],
    ['link-local with link-local', local('fe80::1'), remote('fe80::2'), true],
    ['link-local not with global', local('fe80::1'), remote('2001:db8::1'), false],
    ['global not with link-local', local('2001:db8::1'), remote('fe80::2'), false],
    ['other component', local('10.0.0.1'), remote('10.0.0.2', 1, 'R', { component: 2 }), false],
    ['UDP not with TCP', local('10.0.0.1'), remote('10.0.0.2', 1, 'R', tcp('passive')), false],
    ['active with passive', local('10.0.0.1', 1, 'L', tcp('active')), remote('10.0.0.2', 1, 'R', tcp('passive')), true],
    ['passive with active', local('10.0.0.1', 1, 'L', tcp('passive')), remote('10.0.0.2', 1, 'R', tcp('active')), true],
    ['so with so', local('10.0.0.1', 1, 'L', tcp('so')), remote('10.0.0.2', 1, 'R', tcp('so')), true],
    [
      'active not with active',
      local('10.0.0.1', 1, 'L', tcp('active')),
      remote('10.0.0.2', 1, 'R', tcp('active')),
      false,
    ],
    ['so not with passive', local('10.0.0.1', 1, 'L', tcp('so')), remote('10.0.0.2', 1, 'R', tcp('passive')), false],
  ])('%s', (_name, l, r, expected) => {
    expect(canPair(l, r)).toBe(expected);
  });

  it.each([
    ['192.0.2.1', true],
    ['127.0.0.1', true],
    ['2001:db8::1', true],
    ['fe80::1', true],
    ['::1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['::ffff:192.0.2.1', false], // IPv4-mapped
    ['::c000:201', false], // IPv4-compatible
    ['fec0::1', false], // site-local
    ['hello', false],
    ['2001:DB8::1', false], // not canonical
  ])('host address %s: %s (RFC 8445 §5.1.1.1)', (ip, expected) => {
    expect(isUsableHostAddress(ip)).toBe(expected);
  });

  it('tells mDNS names from other names', () => {
    expect(isMdnsName('3f3ea6fd-6d0e-4b1b-9c9f-5f6b2a4a9d6e.local')).toBe(true);
    expect(['host.example', 'local', '.local', 'a..local', 'a.local.'].filter(isMdnsName)).toEqual([]);
  });
});

describe('Checklist', () => {
  it('unfreezes one pair per foundation, the best; success unfreezes the others (RFC 8445 §6.1.2.6, §7.2.5.3.3)', () => {
    const list = new Checklist(100);
    const [a1, a2, b1] = [pair(30, 'A', 1), pair(20, 'A', 2), pair(10, 'B', 3)];
    for (const p of [a1, a2, b1]) list.add(p);
    expect([a1.state, a2.state, b1.state]).toEqual(['waiting', 'frozen', 'waiting']);
    a1.state = 'succeeded';
    list.unfreeze(a1.foundation);
    expect(a2.state).toBe('waiting');
  });

  it('gives a new pair its state by the three rules of RFC 8838 §12', () => {
    const list = new Checklist(100);
    const first = pair(20, 'A', 1);
    list.add(first);
    const higher = pair(30, 'A', 2);
    list.add(higher);
    const lower = pair(10, 'A', 3);
    list.add(lower);
    expect([higher.state, lower.state]).toEqual(['waiting', 'frozen']); // rules 1 and 3
    first.state = 'succeeded';
    const late = pair(5, 'A', 4);
    list.add(late);
    expect(late.state).toBe('waiting'); // rule 2
  });

  it('picks triggered checks first, then by priority, then idle foundations (RFC 8445 §6.1.4.2)', () => {
    const list = new Checklist(100);
    const [a1, a2, b1, b2] = [pair(40, 'A', 1), pair(30, 'A', 2), pair(20, 'B', 3), pair(10, 'B', 4)];
    for (const p of [b2, b1, a2, a1]) list.add(p);
    b2.state = 'frozen';
    a2.state = 'frozen';
    list.trigger(b2);
    const order: number[] = [];
    for (let p = list.next(); p !== undefined; p = list.next()) {
      order.push(p.remote.address.port);
      p.state = 'in-progress';
      if (order.length === 3) expect(list.hasNext).toBe(false); // A's second pair waits for its first
      if (order.length === 3) a1.state = 'failed';
    }
    expect(order).toEqual([4, 1, 3, 2]);
  });

  it('a triggered pair is queued once, and not checked when it has succeeded meanwhile', () => {
    const list = new Checklist(100);
    const a = pair(1, 'A', 1);
    list.add(a);
    list.trigger(a);
    list.trigger(a);
    expect(list.next()).toBe(a);
    a.state = 'in-progress';
    expect(list.next()).toBeUndefined();
    list.trigger(a);
    a.state = 'succeeded';
    expect(list.next()).toBeUndefined();
    expect(list.hasNext).toBe(false);
  });

  it('when full drops a failed pair first, then the lowest unchecked one that is lower (RFC 8838 §10)', () => {
    const list = new Checklist(3);
    const [a, b, c] = [pair(30, 'A', 1), pair(20, 'B', 2), pair(10, 'C', 3)];
    for (const p of [a, b, c]) list.add(p);
    a.state = 'failed';
    expect(list.add(pair(1, 'D', 4))).toBe(true); // in the place of the failed one
    expect(a.removed).toBe(true);
    expect(list.add(pair(25, 'E', 5))).toBe(true); // in the place of port 4
    expect(list.pairs.map((p) => p.remote.address.port)).toEqual([5, 2, 3]);
    c.state = 'in-progress';
    b.state = 'succeeded';
    expect(list.add(pair(2, 'F', 6))).toBe(false);
    expect(list.pairs.length).toBe(3);
  });

  it('takes a path once', () => {
    const list = new Checklist(3);
    expect([list.add(pair(1, 'A', 1)), list.add(pair(2, 'A', 1))]).toEqual([true, false]);
  });

  it('whatever happens: sorted, bounded, consistent with its index, and next agrees with hasNext', () => {
    const operation = fc.tuple(
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 1, max: 50 }),
      fc.constantFrom('A', 'B', 'C'),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const list = new Checklist(10);
        for (const [kind, n, foundation] of operations) {
          const some = list.pairs[n % Math.max(1, list.pairs.length)];
          if (kind <= 1) list.add(pair(n, foundation, n));
          else if (some === undefined) continue;
          else if (kind === 2) list.trigger(some);
          else if (kind === 3) some.state = 'failed';
          else if (kind === 4) {
            some.state = 'succeeded';
            list.unfreeze(some.foundation);
          } else {
            const expected = list.hasNext;
            const next = list.next();
            expect(next !== undefined).toBe(expected);
            if (next !== undefined) next.state = 'in-progress';
          }
          expect(list.pairs.length).toBeLessThanOrEqual(10);
          for (const [i, p] of list.pairs.entries()) {
            expect(list.get(p.key)).toBe(p);
            if (i > 0) expect(list.pairs[i - 1]!.comparePriority(p)).toBeGreaterThanOrEqual(0);
          }
        }
      }),
    );
  });
});

describe('RequestTable', () => {
  const path = udp(address('10.0.0.1', 1), address('10.0.0.2', 2));
  const run = (table: RequestTable<string>, until: number) => {
    const log: [number, string][] = [];
    for (let at = table.next(); at <= until; at = table.next()) {
      for (let due = table.due(at); due !== undefined; due = table.due(at)) {
        log.push([at, due.resend ? `resend ${due.request.context}` : `timeout ${due.request.context}`]);
      }
    }
    return log;
  };

  it('has the timetable of RFC 8489 §6.2.1', () => {
    const table = new RequestTable<string>(10);
    table.start('1', new Uint8Array(1), path, 'a', { rtoMs: 500 }, 0);
    const times = [500, 1500, 3500, 7500, 15_500, 31_500].map((at) => [at, 'resend a']);
    expect(run(table, 1e6)).toEqual([...times, [39_500, 'timeout a']]);
    expect(table.size).toBe(0);
  });

  it('spaces out a larger RTO without outliving the timeout', () => {
    const table = new RequestTable<string>(10);
    table.start('1', new Uint8Array(1), path, 'a', { rtoMs: 2000 }, 0);
    expect(run(table, 1e6)).toEqual([
      [2000, 'resend a'],
      [6000, 'resend a'],
      [14_000, 'resend a'],
      [30_000, 'resend a'],
      [39_500, 'timeout a'],
    ]);
  });

  it('a late driver does not stretch the schedule', () => {
    const table = new RequestTable<string>(10);
    table.start('1', new Uint8Array(1), path, 'a', { rtoMs: 500 }, 0);
    expect(table.due(1400)?.resend).toBe(true);
    expect(table.next()).toBe(1500);
  });

  it('a cancelled request is not repeated but still known until its end', () => {
    const table = new RequestTable<string>(10);
    const request = table.start('1', new Uint8Array(1), path, 'a', { rtoMs: 500 }, 0);
    table.cancel(request!);
    expect(table.get('1')).toBe(request);
    expect(run(table, 1e6)).toEqual([[39_500, 'timeout a']]);
  });

  it('one transmission only waits for its answer (consent checks)', () => {
    const table = new RequestTable<string>(10);
    table.start('1', new Uint8Array(1), path, 'a', { rtoMs: 500, maxSends: 1 }, 0);
    expect(run(table, 1e6)).toEqual([[8000, 'timeout a']]);
  });

  it('is bounded', () => {
    const table = new RequestTable<string>(2);
    const start = (id: string) => table.start(id, new Uint8Array(1), path, id, { rtoMs: 500 }, 0);
    expect([start('1'), start('2'), start('3')].map((r) => r?.id)).toEqual(['1', '2', undefined]);
    table.deleteIf((r) => r.context === '1');
    expect(start('3')?.id).toBe('3');
  });
});
