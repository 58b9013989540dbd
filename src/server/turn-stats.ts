import type { TurnMemberStats } from './turn-worker-messages.ts';

/** The figures of all members of a fleet as those of one server. @throws {Error} for none. */
export function sumStats(members: readonly TurnMemberStats[]): TurnMemberStats {
  const [first, ...others] = members;
  if (first === undefined) throw new Error('no figures');
  return others.reduce(add, first);
}

function add(a: TurnMemberStats, b: TurnMemberStats): TurnMemberStats {
  return {
    core: {
      allocations: a.core.allocations + b.core.allocations,
      allocationsByTransport: addEach(a.core.allocationsByTransport, b.core.allocationsByTransport),
      relays: a.core.relays + b.core.relays,
      reservations: a.core.reservations + b.core.reservations,
      peerConnections: a.core.peerConnections + b.core.peerConnections,
      allocationsTotal: a.core.allocationsTotal + b.core.allocationsTotal,
      requestsTotal: addEach(a.core.requestsTotal, b.core.requestsTotal),
      errorsTotal: addEach(a.core.errorsTotal, b.core.errorsTotal),
      bindingRequestsTotal: a.core.bindingRequestsTotal + b.core.bindingRequestsTotal,
      traffic: addEach(a.core.traffic, b.core.traffic),
      draining: a.core.draining || b.core.draining,
    },
    shell: addEach(a.shell, b.shell),
    drops: addEach(a.drops, b.drops),
  };
}

/** Field by field; one that only `b` has is taken as it is. */
function addEach<T extends object>(a: T, b: T): T {
  const sum: Record<string, number> = {};
  for (const counts of [a, b]) {
    const entries: [string, unknown][] = Object.entries(counts);
    for (const [key, value] of entries) if (typeof value === 'number') sum[key] = (sum[key] ?? 0) + value;
  }
  return { ...a, ...sum };
}
