import { describe, expect, it } from 'vitest';
import { MAX_RECONFIG_RESPONSES, MAX_STREAMS_PER_REQUEST } from '../../src/sctp/limits.ts';
import { decodeReConfig, encodeReConfig, RESULT, type ReConfigParameter } from '../../src/sctp/wire/re-config.ts';
import { seeds } from '../sim/index.ts';
import { connectedPair, type Pair, pattern } from './helpers.ts';
import { chunksOf, hex32, packet, tagOf } from './packets.ts';

const FIRST_TSN = 1000;

/** A pair whose `a` is played by the test from here on: it answers nothing that the test does not say. */
class PlayedPeer {
  readonly pair: Pair;
  readonly heard: ReConfigParameter[] = [];
  #tag = 0;

  constructor() {
    this.pair = connectedPair({ a: { interleaving: false, initialTsn: FIRST_TSN } });
    const { a, b } = this.pair;
    a.end.link.onSend = (bytes) => {
      this.#tag = tagOf(bytes);
    };
    a.send({ streamId: 4, bytes: pattern(10, 1) });
    this.pair.world.run({ until: this.pair.world.now + 1000 });
    b.end.link.onSend = (bytes) => {
      for (const chunk of chunksOf(bytes)) {
        if (chunk.type === 130) this.heard.push(...decodeReConfig(chunk.bytes, 0, chunk.bytes.length));
      }
    };
    b.end.link.dropIf = () => true;
  }

  say(...chunks: readonly (Uint8Array | string)[]): void {
    this.pair.b.end.driver.input(packet(this.#tag, ...chunks), undefined);
  }

  data(tsn: number, streamId: number, ssn: number): string {
    return `00030014${hex32(tsn)}000${streamId}000${ssn}0000003361626364`;
  }

  reset(requestSeq: number, lastTsn: number, ...streamIds: readonly number[]): Uint8Array {
    return encodeReConfig([{ type: 'outgoing-reset', requestSeq, responseSeq: 0, lastTsn, streamIds }]);
  }

  /** Streams that b was told of as reset by the peer, in order. */
  resets(): (readonly number[])[] {
    return this.pair.b.end.events.flatMap((e) => (e.type === 'incoming-reset' ? [e.streamIds] : []));
  }

  answers(): [number, number][] {
    return this.heard.flatMap((p): [number, number][] => (p.type === 'response' ? [[p.responseSeq, p.result]] : []));
  }
}

describe('a reset that comes before its data (RFC 6525 §5.2.2 E2)', () => {
  it('is in progress until it is asked for again when the data is here', () => {
    const peer = new PlayedPeer();
    peer.say(peer.reset(FIRST_TSN, FIRST_TSN + 2, 4));
    expect(peer.answers()).toEqual([[FIRST_TSN, RESULT.IN_PROGRESS]]);
    expect(peer.resets()).toEqual([]);
    peer.say(peer.data(FIRST_TSN + 2, 4, 2));
    expect(peer.resets()).toEqual([]);
    peer.say(peer.reset(FIRST_TSN, FIRST_TSN + 2, 4));
    expect(peer.resets()).toEqual([]);
    peer.say(peer.data(FIRST_TSN + 1, 4, 1));
    expect(peer.pair.b.messages.length).toBe(3);
    for (let i = 0; i < 2; i++) {
      peer.say(peer.reset(FIRST_TSN, FIRST_TSN + 2, 4)); // repeated as it was (RFC 6525 §5.2.7)
      expect(peer.resets()).toEqual([[4]]);
      expect(peer.answers().at(-1)).toEqual([FIRST_TSN, RESULT.PERFORMED]);
    }
  });

  it('and is asked for again under the next number, as by dcSCTP, is not carried out twice', () => {
    const peer = new PlayedPeer();
    peer.say(peer.reset(FIRST_TSN, FIRST_TSN + 1, 4));
    peer.say(peer.data(FIRST_TSN + 1, 4, 1));
    peer.say(peer.reset(FIRST_TSN + 1, FIRST_TSN + 1, 4));
    expect(peer.resets()).toEqual([[4]]);
    expect(peer.answers().at(-1)).toEqual([FIRST_TSN + 1, RESULT.PERFORMED]);
    // The next life of the stream, and its end: a reset of its own.
    peer.say(peer.data(FIRST_TSN + 2, 4, 0));
    peer.say(peer.reset(FIRST_TSN + 2, FIRST_TSN + 2, 4));
    expect(peer.resets()).toEqual([[4], [4]]);
    expect(peer.pair.b.messages.length).toBe(3);
  });

  it('and is asked for again under the next number while it still waits, is carried out once', () => {
    const peer = new PlayedPeer();
    peer.say(peer.reset(FIRST_TSN, FIRST_TSN + 1, 4));
    peer.say(peer.reset(FIRST_TSN + 1, FIRST_TSN + 1, 4));
    expect(peer.answers()).toEqual([0, 1].map((i) => [FIRST_TSN + i, RESULT.IN_PROGRESS]));
    peer.say(peer.data(FIRST_TSN + 1, 4, 1));
    peer.say(peer.reset(FIRST_TSN + 2, FIRST_TSN + 1, 4));
    expect(peer.resets()).toEqual([[4]]);
    expect(peer.answers().at(-1)).toEqual([FIRST_TSN + 2, RESULT.PERFORMED]);
  });

  it('a second reset of a stream, without anything sent between, is one of its own', () => {
    const peer = new PlayedPeer();
    peer.say(peer.reset(FIRST_TSN, FIRST_TSN, 4));
    peer.say(peer.reset(FIRST_TSN + 1, FIRST_TSN, 4));
    expect(peer.resets()).toEqual([[4], [4]]);
  });
});

it('a reset waits until no message of the stream can be skipped any more: FORWARD TSN does not say of which life', () => {
  const pair = connectedPair({ link: { latencyMs: 20 } });
  const story: string[] = [];
  const names = new Map([
    [64, 'I-DATA'],
    [194, 'I-FORWARD-TSN'],
    [130, 'RE-CONFIG'],
  ]);
  let lost = 0;
  pair.a.end.link.dropIf = (_index, bytes) => chunksOf(bytes)[0]!.type === 64 && lost++ === 0;
  pair.a.end.link.onSend = (bytes) => {
    for (const { type } of chunksOf(bytes)) story.push(names.get(type) ?? '');
  };
  pair.a.send({ streamId: 4, bytes: pattern(100, 1), maxRetransmits: 0 });
  const reset = () => pair.a.end.driver.mutate((now) => pair.a.core.resetStreams([4], now));
  reset();
  pair.a.send({ streamId: 4, ppid: 7, bytes: pattern(100, 2) });
  pair.world.run({ until: 20_000, done: () => pair.b.messages.length === 1 });
  expect(story.filter((name) => name !== '')).toEqual(['I-DATA', 'I-FORWARD-TSN', 'RE-CONFIG', 'I-DATA']);
  expect(pair.b.messages[0]?.ppid).toBe(7);
  story.length = 0;
  reset(); // of reliable messages nothing is skipped: it is asked for at once
  expect(story).toEqual(['RE-CONFIG']);
});

describe('bounds of reconfiguration', () => {
  it('answers: no more than MAX_RECONFIG_RESPONSES wait, whatever a packet asks', () => {
    const peer = new PlayedPeer();
    const wrong = Array.from({ length: 50 }, (_, i) => peer.reset(FIRST_TSN + 100 + i, FIRST_TSN, 1));
    peer.say(...wrong);
    expect(peer.answers().length).toBe(MAX_RECONFIG_RESPONSES);
    expect(peer.answers().at(-1)).toEqual([FIRST_TSN + 149, RESULT.BAD_SEQUENCE_NUMBER]);
    expect(peer.pair.b.core.drops.get('limit')).toBe(50 - MAX_RECONFIG_RESPONSES);
    expect(peer.resets()).toEqual([]);
  });

  it('outstanding resets: one request at a time, of at most MAX_STREAMS_PER_REQUEST streams', () => {
    const peer = new PlayedPeer();
    const ids = Array.from({ length: MAX_STREAMS_PER_REQUEST + 1 }, (_, i) => i);
    peer.pair.b.end.driver.mutate((now) => peer.pair.b.core.resetStreams(ids, now));
    const requests = () => peer.heard.flatMap((p) => (p.type === 'outgoing-reset' ? [p] : []));
    expect(requests().map((p) => p.streamIds.length)).toEqual([MAX_STREAMS_PER_REQUEST]);
    const responseSeq = requests()[0]!.requestSeq;
    peer.say(encodeReConfig([{ type: 'response', responseSeq, result: RESULT.PERFORMED }]));
    expect(requests().map((p) => p.streamIds.length)).toEqual([MAX_STREAMS_PER_REQUEST, 1]);
  });

  it('a peer that asks for the same reset over and over gets one, and one more for what was sent meanwhile', () => {
    const peer = new PlayedPeer();
    const { b } = peer.pair;
    let seq = FIRST_TSN;
    const ask = () => {
      for (let i = 0; i < 100; i++)
        peer.say(encodeReConfig([{ type: 'incoming-reset', requestSeq: seq++, streamIds: [7] }]));
    };
    ask();
    b.send({ streamId: 7, bytes: pattern(10, 1) });
    ask();
    b.end.link.dropIf = undefined; // and now the peer is a real one again
    peer.pair.world.run({ until: peer.pair.world.now + 20_000 });
    expect(b.end.events.filter((e) => e.type === 'outgoing-reset').length).toBe(2);
    expect(peer.pair.a.messages.length).toBe(1);
  });

  it('what a peer cannot have is denied: more than 65,536 streams, all streams at once, TSNs anew', () => {
    const peer = new PlayedPeer();
    const count = 0xffff;
    peer.say(encodeReConfig([{ type: 'add-outgoing', requestSeq: FIRST_TSN, count }]));
    peer.say(encodeReConfig([{ type: 'add-incoming', requestSeq: FIRST_TSN + 1, count }]));
    peer.say(encodeReConfig([{ type: 'incoming-reset', requestSeq: FIRST_TSN + 2, streamIds: [] }]));
    peer.say(encodeReConfig([{ type: 'tsn-reset', requestSeq: FIRST_TSN + 3 }]));
    expect(peer.answers().map(([, result]) => result)).toEqual(new Array(4).fill(RESULT.DENIED));
    expect(peer.pair.b.core.inboundStreams).toBe(65_535);
  });
});

describe('shutting down while a reset is under way', () => {
  it.each(seeds(40))('seed %i: what was sent behind it is delivered first, and both sides close', (seed) => {
    const link = { latencyMs: 20, jitterMs: 30, loss: seed % 2 === 0 ? 0 : 0.2 };
    const pair = connectedPair({ seed, link });
    const { world, a, b } = pair;
    const say = (side: typeof a, lives: number) => {
      for (let life = 0; life < lives; life++) {
        side.send({ streamId: 1, bytes: pattern(2000, life) });
        side.end.driver.mutate((now) => side.core.resetStreams([1], now));
      }
      side.send({ streamId: 1, bytes: pattern(2000, lives) });
    };
    say(a, 3);
    if (seed % 3 === 0) say(b, 2);
    a.end.driver.mutate((now) => a.core.shutdown(now));
    if (seed % 4 === 0) b.end.driver.mutate((now) => b.core.shutdown(now));
    world.run({ until: world.now + 300_000 });
    expect([b.messages.length, a.messages.length]).toEqual([4, seed % 3 === 0 ? 3 : 0]);
    expect([a.types().at(-1), b.types().at(-1)]).toEqual(['closed', 'closed']);
  });
});
