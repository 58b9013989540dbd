import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import { DataChannels, encodeDcep, PPID } from '../../src/datachannel/index.ts';
import { connectedPair } from '../sctp/helpers.ts';
import { chunksOf, hex32, packet, tagOf } from '../sctp/packets.ts';
import { fakePair, fakeSide } from './fake-association.ts';

const OPEN = encodeDcep({
  type: 'open',
  ordered: true,
  maxRetransmits: undefined,
  maxPacketLifeTime: undefined,
  priority: 256,
  label: 'x',
  protocol: '',
});

/** Channels over a real association, and what its peer needs to make packets by hand. */
function victim() {
  const pair = connectedPair({ a: { interleaving: false }, b: { interleaving: false } });
  const channels = new DataChannels({ association: pair.b.core, role: 'server' });
  channels.handleSctpEvent({ type: 'connected', inboundStreams: 100, outboundStreams: 100 }, pair.world.now);
  const events: string[] = [];
  pair.b.end.onEvent = (event) => {
    channels.handleSctpEvent(event, pair.world.now);
    for (let e = channels.pollEvent(); e !== undefined; e = channels.pollEvent()) events.push(e.type);
  };
  let tag = 0;
  let tsn = 0;
  pair.a.end.link.onSend = (bytes) => {
    tag = tagOf(bytes);
    for (const chunk of chunksOf(bytes)) if (chunk.type === 0) tsn = tagOf(chunk.bytes); // the same place
  };
  pair.a.send({ bytes: OPEN, streamId: 8, ppid: PPID.dcep });
  pair.world.run({ until: pair.world.now + 500 });
  const header = `0003${hex32(16 + OPEN.length).slice(4)}${hex32(tsn + 1)}0000000000000032`;
  return { pair, channels, events, tag, open: concatBytes(hexToBytes(header), OPEN) };
}

describe('an association that ends while its events are on their way', () => {
  it.each([
    ['ABORT', '06000004', ['channel', 'open', 'error', 'closed', 'error', 'closed']],
    ['SHUTDOWN', '0700000800000000', ['channel', 'open']],
  ])('DATA_CHANNEL_OPEN and %s in one packet throw nothing', (_name, end, expected) => {
    const { pair, events, tag, open } = victim();
    expect(events.splice(0)).toEqual(['channel', 'open']);
    pair.b.end.driver.input(packet(tag, open, end), undefined);
    expect(events).toEqual(expected);
    expect(pair.b.core.state).not.toBe('established');
  });

  it('a threshold set then is nothing', () => {
    const { pair, channels } = victim();
    const [handle] = channels.handles();
    pair.b.end.driver.mutate((now) => pair.b.core.shutdown(now));
    channels.setBufferedAmountLowThreshold(handle!, 5);
    expect(channels.bufferedAmount(handle!)).toBe(0);
  });
});

describe('a peer that takes nothing of what we send', () => {
  const ROUNDS = 2000;
  const LABEL_BYTES = 10_000;

  it('opens and closes channels again and again: their ACKs do not pile up behind one that waits for room', () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const { a, b, up, settle } = fakePair();
    up();
    b.association.sendBufferBytes = 0;
    const first = a.channels.open({ label: 'first' }, 0);
    settle();
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < ROUNDS; i++) {
      const handle = a.channels.open({ label: String.fromCharCode(97 + (i % 26)).repeat(LABEL_BYTES) }, 0);
      settle();
      a.channels.close(handle, 0);
      settle();
      a.events();
      b.events();
    }
    collectGarbage();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan((ROUNDS * LABEL_BYTES) / 4);
    expect(b.channels.handles()).toHaveLength(1);
    expect(b.association.sent).toEqual([]);

    // With room again, the one that is still open gets what is its due.
    b.association.sendBufferBytes = Number.POSITIVE_INFINITY;
    a.channels.send(first, 'x', 0);
    settle();
    expect(b.association.sent).toMatchObject([{ streamId: 0, ppid: PPID.dcep }]);
  });
});

describe('a peer that resets all its streams again and again', () => {
  it('pays for it: streams that are reset already cost nothing', () => {
    const { association, channels } = fakeSide({ role: 'server' });
    association.event({ type: 'connected', inboundStreams: 65_535, outboundStreams: 65_535 });
    for (let streamId = 0; streamId < 65_535; streamId++)
      association.event({ type: 'message', streamId, ppid: PPID.string, bytes: Uint8Array.of(1), unordered: false });
    expect(association.resets).toHaveLength(65_535); // of streams without a channel; that they are answered does not come
    const before = process.cpuUsage();
    // The largest packet holds 800 (RFC 6525 §4.1: no stream named is every stream).
    for (let i = 0; i < 2000; i++) association.event({ type: 'incoming-reset', streamIds: [] });
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(500); // it took two seconds and more
    expect(channels.drops.get('bad-state')).toBe(65_535);
  });
});
