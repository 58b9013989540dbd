import { describe, expect, it } from 'vitest';
import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import { DataChannels, encodeDcep, PPID } from '../../src/datachannel/index.ts';
import { connectedPair } from '../sctp/helpers.ts';
import { chunksOf, hex32, packet, tagOf } from '../sctp/packets.ts';

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
