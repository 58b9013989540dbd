import { describe, expect, it } from 'vitest';
import { equalBytes, UsageError } from '../../src/core/index.ts';
import { connectBoth, connectedPair, makePair, pattern } from './helpers.ts';

describe('an association over a perfect link', () => {
  it('both sides connect, and both come up once', () => {
    const pair = makePair();
    connectBoth(pair);
    pair.world.run({ until: 1000 });
    const connected = { type: 'connected', inboundStreams: 65_535, outboundStreams: 65_535 };
    expect(pair.a.end.events).toEqual([connected]);
    expect(pair.b.end.events).toEqual([connected]);
    expect(pair.a.core.drops.total + pair.b.core.drops.total).toBe(2); // each side's COOKIE ACK comes when it is up already
    expect(pair.a.core.drops.get('bad-state')).toBe(1);
  });

  it('one side connects, the other only answers', () => {
    const pair = makePair();
    pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
    expect(pair.a.core.state).toBe('cookie-wait');
    pair.world.run({ until: 1000 });
    expect([pair.a.core.state, pair.b.core.state]).toEqual(['established', 'established']);
    expect(pair.a.core.drops.total + pair.b.core.drops.total).toBe(0);
  });

  it.each([1, 3, 1000, 1163, 1164, 16_384, 65_535, 262_144])('carries a message of %i bytes', (length) => {
    const pair = connectedPair();
    for (const ordered of [true, false])
      pair.a.send({ streamId: 7, ppid: 53, bytes: pattern(length, length), ordered });
    pair.world.run({ until: 5000 });
    expect(pair.b.messages.map((m) => [m.streamId, m.ppid, m.unordered, m.bytes.length])).toEqual([
      [7, 53, false, length],
      [7, 53, true, length],
    ]);
    for (const message of pair.b.messages) expect(equalBytes(message.bytes, pattern(length, length))).toBe(true);
    expect(pair.a.core.totalBuffered).toBe(0);
    expect(pair.a.core.stats().flightBytes).toBe(0);
  });

  it('refuses what cannot be sent', () => {
    const pair = makePair();
    const message = { streamId: 0, ppid: 51, bytes: pattern(10, 1), ordered: true };
    expect(() => pair.a.core.send(message, 0)).toThrow(UsageError);
    connectBoth(pair);
    expect(() => pair.a.core.send({ ...message, bytes: new Uint8Array(0) }, 0)).toThrow(UsageError);
    expect(() => pair.a.core.send({ ...message, streamId: 65_535 }, 0)).toThrow(UsageError);
  });

  it('shuts down gracefully, after everything has been delivered', () => {
    const pair = connectedPair();
    for (let i = 0; i < 100; i++) pair.a.send({ bytes: pattern(5000, i) });
    pair.a.end.driver.mutate((now) => pair.a.core.shutdown(now));
    expect(() => pair.a.send({ bytes: pattern(1, 1) })).toThrow(UsageError);
    pair.world.run();
    expect(pair.b.messages.length).toBe(100);
    expect(new Set(pair.a.types())).toEqual(new Set(['connected', 'buffered-amount-low', 'closed']));
    expect(pair.b.types()).toEqual(['connected', 'closed']);
    expect([pair.a.core.state, pair.b.core.state]).toEqual(['closed', 'closed']);
    expect(pair.world.pending).toBe(0);
  });

  it('aborts with a reason that the peer learns', () => {
    const pair = connectedPair();
    pair.a.end.driver.mutate((now) => pair.a.core.abort('enough', now));
    pair.world.run();
    expect(pair.a.end.events.at(-1)).toEqual({ type: 'aborted', byPeer: false, cause: 12, message: 'enough' });
    expect(pair.b.end.events.at(-1)).toEqual({ type: 'aborted', byPeer: true, cause: 12, message: 'enough' });
  });
});
