import { describe, expect, it } from 'vitest';
import { connect, isConnected, nominatedPair, twoPeers } from './harness.ts';

describe('two agents on a flat network', () => {
  it('select and nominate the only pair within two round trips of the answer', () => {
    const peers = twoPeers(1);
    connect(peers);
    const { world, a, b } = peers;
    world.run({ until: 1000 });
    expect(a.states).toEqual(['checking', 'connected', 'completed']);
    expect(b.states).toEqual(['checking', 'connected', 'completed']);
    expect(a.selectedKey).toBe('10.0.0.1:5000 10.0.0.2:6000');
    expect(b.selectedKey).toBe('10.0.0.2:6000 10.0.0.1:5000');
    expect([nominatedPair(a), nominatedPair(b)]).toEqual([true, true]);
    expect(a.selectedAt).toBe(20);
    expect(b.selectedAt).toBe(20);
    expect(isConnected(a)).toBe(true);
    a.close();
    b.close();
    expect(world.pending).toBe(0);
  });
});
