import type { Env, SrvRecord } from '../core/index.ts';

/**
 * Puts SRV records into the order in which a client tries them (RFC 2782, as RFC 8489 §8.1 asks): by priority, and among
 * equals by chance in proportion to their weights. A single record whose target is the root says that there is no such
 * service.
 * @returns none when the service is declared absent.
 */
export function orderSrvRecords(records: readonly SrvRecord[], env: Pick<Env, 'random'>): SrvRecord[] {
  if (records.length === 1 && (records[0]?.target === '.' || records[0]?.target === '')) return [];
  const ordered: SrvRecord[] = [];
  const priorities = [...new Set(records.map(({ priority }) => priority))].sort((a, b) => a - b);
  for (const priority of priorities) {
    // RFC 2782: records of weight 0 stand in front, so that they have a small chance beside others.
    const left = records.filter((record) => record.priority === priority).sort((a, b) => a.weight - b.weight);
    while (left.length > 0) ordered.push(...left.splice(pick(left, env), 1));
  }
  return ordered;
}

/** RFC 2782: the first record whose running sum of weights reaches a number drawn from 0 to the sum. */
function pick(records: readonly SrvRecord[], env: Pick<Env, 'random'>): number {
  const sum = records.reduce((total, { weight }) => total + weight, 0);
  const draw = new Uint8Array(4);
  env.random(draw);
  const random = ((draw[0]! << 24) | (draw[1]! << 16) | (draw[2]! << 8) | draw[3]!) >>> 0;
  const threshold = random % (sum + 1);
  let running = 0;
  return records.findIndex(({ weight }) => {
    running += weight;
    return running >= threshold;
  });
}
