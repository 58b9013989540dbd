import { describe, expect, it } from 'vitest';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { DataChannels, decodeDcep, PPID } from '../../src/datachannel/index.ts';
import { SctpAssociation, type SctpEvent } from '../../src/sctp/index.ts';
import { connectPair, type LinkOptions, PERFECT, type SimEnd, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { FakeAssociation, fakeSide } from './fake-association.ts';

const LATENCY_MS = 50;

/** One side: channels over a real association. */
class Side {
  readonly association: SctpAssociation;
  readonly channels: DataChannels;
  /** What happened, and when. */
  readonly story: [number, string][] = [];
  #end: SimEnd<SctpEvent> | undefined;
  readonly #world: SimWorld;

  constructor(world: SimWorld, role: 'client' | 'server', earlyData: boolean) {
    this.#world = world;
    this.association = new SctpAssociation({ env: simEnv(world, nobleCrypto), earlyData, maxInitRetransmissions: 50 });
    this.channels = new DataChannels({ association: this.association, role });
  }

  attach(end: SimEnd<SctpEvent>): void {
    this.#end = end;
    end.onEvent = (event) => {
      this.channels.handleSctpEvent(event, this.#world.now);
      this.drain();
    };
  }

  drain(): void {
    for (let e = this.channels.pollEvent(); e !== undefined; e = this.channels.pollEvent())
      this.story.push([this.#world.now, e.type]);
  }

  run<T>(command: (channels: DataChannels, now: number) => T): T {
    const result = this.#end!.driver.mutate((now) => command(this.channels, now));
    this.drain();
    return result;
  }

  connect(): void {
    this.#end!.driver.mutate((now) => this.association.connect(now));
  }

  types(): string[] {
    return this.story.map(([, type]) => type);
  }
}

function sides(seed: number, link: LinkOptions, earlyData: boolean): { world: SimWorld; a: Side; b: Side } {
  const world = new SimWorld(seed);
  const a = new Side(world, 'client', earlyData);
  const b = new Side(world, 'server', earlyData);
  const pair = connectPair(world, a.association, b.association, link);
  a.attach(pair.a);
  b.attach(pair.b);
  return { world, a, b };
}

describe('DATA_CHANNEL_OPEN with the COOKIE ECHO', () => {
  it.each([
    [true, { ours: 200, theirs: 150 }],
    [false, { ours: 200, theirs: 250 }],
  ])('early: %s: the side that opens, and its peer, know the channel after %o ms', (earlyData, { ours, theirs }) => {
    const { world, a, b } = sides(1, { latencyMs: LATENCY_MS }, earlyData);
    a.run((c, now) => c.open({ label: 'x' }, now));
    a.connect();
    world.run({ until: 2000 });
    expect(a.story).toEqual([
      [0, 'id'],
      [ours, 'open'],
    ]);
    expect(b.story).toEqual([
      [theirs, 'channel'],
      [theirs, 'open'],
    ]);
    expect(a.channels.drops.total + b.channels.drops.total).toBe(0);
  });

  it("only for channels that are the side's own to open, in-band, on streams that there will be", () => {
    const { association, channels, events } = fakeSide({ role: 'client' });
    channels.open({ label: 'ours' }, 0);
    channels.open({ label: 'negotiated', negotiated: true, id: 5 }, 0);
    channels.open({ label: 'too high', id: 8 }, 0);
    channels.handleSctpEvent({ type: 'sendable', inboundStreams: 8, outboundStreams: 8 }, 0);
    const opens = () => association.sent.map(({ streamId, bytes }) => [streamId, decodeDcep(bytes)]);
    expect(opens()).toMatchObject([[0, { type: 'open', label: 'ours' }]]);
    expect(events().map((e) => e.type)).toEqual(['id']);
    channels.handleSctpEvent({ type: 'connected', inboundStreams: 8, outboundStreams: 8 }, 0);
    expect(association.sent.length).toBe(1);
    expect(events().map((e) => e.type)).toEqual(['open', 'open', 'error', 'closed']);
    channels.handleSctpEvent(
      { type: 'message', streamId: 0, ppid: PPID.dcep, bytes: Uint8Array.of(2), unordered: false },
      0,
    );
    expect(channels.drops.total).toBe(0);
  });

  it('goes out again on the association that takes the place of the one it left on (RFC 8841 §9.3)', () => {
    const { association, channels, events } = fakeSide({ role: 'client' });
    const streams = { inboundStreams: 8, outboundStreams: 8 };
    const open = channels.open({ label: 'told' }, 0);
    channels.handleSctpEvent({ type: 'sendable', ...streams }, 0);
    const other = new FakeAssociation();
    channels.replaceAssociation(other);
    channels.handleSctpEvent({ type: 'connected', ...streams }, 0);
    expect([association.sent.length, other.sent.length]).toEqual([1, 1]);
    expect(other.sent[0]).toMatchObject({ streamId: 0, ppid: PPID.dcep });
    expect(events().map((e) => e.type)).toEqual(['id', 'open']);
    channels.send(open, 'five.', 0);
    expect(channels.bufferedAmount(open)).toBe(5); // what the first one has in its queue is no business of ours
    // Open ones end without an error, also those that are closing, and their ids are free.
    channels.close(channels.open({ label: 'closing' }, 0), 0);
    channels.replaceAssociation(new FakeAssociation());
    expect(events().map((e) => e.type)).toEqual(['id', 'open', 'closed', 'closed']);
    expect(channels.info(channels.open({ label: 'next' }, 0))?.id).toBe(0);
    expect(channels.totals).toEqual({ opened: 2, closed: 2 });
  });

  it('waits for the association where the send buffer has no room', () => {
    const { association, channels } = fakeSide({ role: 'client' });
    association.sendBufferBytes = 1;
    channels.open({ label: 'ours' }, 0);
    channels.handleSctpEvent({ type: 'sendable', inboundStreams: 8, outboundStreams: 8 }, 0);
    expect(association.sent.length).toBe(0);
    association.sendBufferBytes = Number.POSITIVE_INFINITY;
    channels.handleSctpEvent({ type: 'connected', inboundStreams: 8, outboundStreams: 8 }, 0);
    expect(association.sent.length).toBe(1);
  });

  it.each(seeds(100))(
    'seed %i: closed at any time, also before the association is up, it ends on both sides',
    (seed) => {
      const harsh = { latencyMs: 50, jitterMs: 100, loss: 0.2, duplicate: 0.1, reorder: 0.1 };
      const { world, a, b } = sides(seed, seed % 3 === 0 ? PERFECT : harsh, true);
      const handle = a.run((c, now) => c.open({ label: 'short' }, now));
      a.connect();
      if (seed % 2 === 0) b.connect();
      let lost = false;
      world.schedule(seed * 3, () => {
        a.run((c, now) => c.close(handle, now));
        lost = a.types().includes('closed'); // at once: the peer has never heard of it
      });
      const over = () => a.types().includes('closed') && (lost || b.types().includes('closed'));
      expect(world.run({ until: 120_000, done: () => over() && a.association.state === 'established' })).toBe(true);
      expect(b.types()).toEqual(lost ? [] : ['channel', 'open', 'closing', 'closed']);
      const { opened, closed } = a.channels.totals;
      expect(opened).toBe(closed);
      // The identifier is free again, on both sides.
      const next = a.run((c, now) => c.open({ label: 'next' }, now));
      expect(a.channels.info(next)?.id).toBe(0);
      const count = b.story.length;
      expect(world.run({ until: world.now + 60_000, done: () => b.story.length === count + 2 })).toBe(true);
    },
  );
});
