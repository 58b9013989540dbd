/** What a peer with the right tags may ask for: answers that fit no packet. */
import { describe, expect, it } from 'vitest';
import { concatBytes, hexToBytes } from '../../src/core/index.ts';
import { encodeInit, type InitChunk } from '../../src/sctp/wire/init.ts';
import { connectedPair, makePair, type Pair, pattern } from './helpers.ts';
import { chunksOf, hex32, packet, tagOf } from './packets.ts';

const MTU_BYTES = 1191;
const INIT: InitChunk = {
  initiateTag: 7,
  aRwnd: 100_000,
  outboundStreams: 10,
  inboundStreams: 10,
  initialTsn: 1,
  parameters: {},
};

/** A pair after one message, the tag and TSN of a's next packet, and what b sends from here on. */
function established(options: Parameters<typeof connectedPair>[0] = {}) {
  const pair = connectedPair({ ...options, a: { initialTsn: 1000, ...options.a } });
  let tag = 0;
  pair.a.end.link.onSend = (bytes) => {
    tag = tagOf(bytes);
  };
  pair.a.send({ bytes: pattern(10, 1) });
  pair.world.run({ until: pair.world.now + 1000 });
  return { pair, tag, sent: sentBy(pair) };
}

function sentBy(pair: Pair): Uint8Array[] {
  const sent: Uint8Array[] = [];
  pair.b.end.link.onSend = (bytes) => sent.push(bytes.slice());
  return sent;
}

describe('answers that would fit no packet', () => {
  it.each([512, MTU_BYTES])(
    'INIT: of 4,000 parameters to be reported an INIT ACK reports those that fit into %i bytes',
    (mtuBytes) => {
      const pair = makePair({ b: { mtuBytes } });
      const sent = sentBy(pair);
      const unknown = new Array<string>(4000).fill('c0990004').join('');
      const init = concatBytes(encodeInit(1, INIT), hexToBytes(unknown));
      init.set(hexToBytes(hex32(init.length).slice(4)), 2);
      pair.b.end.driver.input(packet(0, init), undefined);
      expect(sent).toHaveLength(1);
      expect(chunksOf(sent[0]!)[0]!.type).toBe(2);
      expect(sent[0]!.length).toBeLessThanOrEqual(mtuBytes);
      expect(sent[0]!.length).toBeGreaterThan(mtuBytes - 12);
    },
  );

  it('INIT ACK: a cookie that a packet has no room for ends the association; the longest that one has is echoed', () => {
    const answer = (cookieBytes: number) => {
      const pair = makePair();
      const sent = sentBy(pair);
      pair.b.end.driver.mutate((now) => pair.b.core.connect(now));
      const tag = tagOf(chunksOf(sent[0]!)[0]!.bytes); // the initiate tag stands where a packet has its tag
      const ack = encodeInit(2, { ...INIT, parameters: { cookie: new Uint8Array(cookieBytes) } });
      pair.b.end.driver.input(packet(tag, ack), undefined);
      const last = sent.at(-1)!;
      expect(last.length).toBeLessThanOrEqual(MTU_BYTES);
      return { pair, chunk: chunksOf(last)[0]! };
    };
    const longest = ((MTU_BYTES - 12) & ~3) - 4;
    expect(answer(longest).chunk).toMatchObject({ type: 10, bytes: { length: longest + 4 } });
    const { pair, chunk } = answer(longest + 1);
    expect([...chunk.bytes]).toEqual([6, 0, 0, 8, 0, 4, 0, 4]);
    expect(pair.b.end.events.at(-1)).toMatchObject({ type: 'aborted', byPeer: false, cause: 4 });
  });

  it('HEARTBEAT: what is longer than a packet is dropped, and what comes behind it is answered', () => {
    const { pair, tag, sent } = established();
    const heartbeat = (infoBytes: number) => {
      const chunk = new Uint8Array(8 + infoBytes);
      chunk.set([4, 0, chunk.length >>> 8, chunk.length, 0, 1, (infoBytes + 4) >>> 8, infoBytes + 4]);
      return chunk;
    };
    let dropped = 0;
    for (let infoBytes = MTU_BYTES - 40; infoBytes < MTU_BYTES + 200; infoBytes += 4) {
      sent.length = 0;
      pair.b.end.driver.input(packet(tag, heartbeat(infoBytes)), undefined);
      const fits = 12 + ((8 + infoBytes + 3) & ~3) <= MTU_BYTES;
      if (!fits) dropped++;
      expect(sent).toHaveLength(fits ? 1 : 0);
      pair.b.end.driver.input(packet(tag, heartbeat(4)), undefined);
      expect(chunksOf(sent.at(-1)!)[0]).toMatchObject({ type: 5, bytes: { length: 12 } });
    }
    expect(pair.b.core.drops.get('limit')).toBe(dropped);
  });
});
