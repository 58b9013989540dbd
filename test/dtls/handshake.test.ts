import { describe, expect, it } from 'vitest';
import { connectedPair, eventsOf, exchange } from './harness.ts';

describe('DTLS handshake', () => {
  it('connects, with certificates both ways, and carries data', () => {
    const pair = connectedPair();
    expect(pair.client.peerCertificates).toHaveLength(1);
    expect(pair.server.peerCertificates).toHaveLength(1);
    exchange(pair);
    expect(pair.received).toEqual({ client: ['from server'], server: ['from client'] });
    expect(pair.client.drops.toJSON()).toEqual({});
    expect(pair.server.drops.toJSON()).toEqual({});
    expect(eventsOf(pair.a, 'connected')).toHaveLength(1);
  });
});
