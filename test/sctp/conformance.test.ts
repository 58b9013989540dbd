import { describe, expect, it } from 'vitest';
import type { DropReason } from '../../src/core/index.ts';
import { encodeReConfig, RESULT } from '../../src/sctp/wire/re-config.ts';
import { connectedPair } from './helpers.ts';
import { hex32, packet } from './packets.ts';
import {
  cookieEcho,
  data,
  EXTENSIONS,
  type Heard,
  type InitFields,
  init,
  ScriptedPeer,
  sack,
  TAG,
  TSN,
} from './scripted-peer.ts';

const SACK_FOR_NOTHING = sack(1);
const ABORT = '06000004';
const COOKIE_ACK = '0b000004';
const SHUTDOWN_ACK = '08000004';
const SHUTDOWN_COMPLETE = '0e000004';
const STALE_COOKIE = '0900000c0003000800000001';
const HEARTBEAT = '0400000c0001000801020304';

/** Chunk types with their flags, packet by packet. */
function spoken(heard: readonly Heard[]): string[] {
  return heard.map(({ chunks }) =>
    chunks.map(({ type, bytes }) => `${type}${bytes[1] ? `/${bytes[1]}` : ''}`).join(' '),
  );
}

/** Everything of a chunk behind its header. */
function valueIn(heard: Heard | undefined, index = 0): string {
  return Buffer.from(heard!.chunks[index]!.bytes.subarray(4)).toString('hex');
}

describe('INIT and INIT ACK that no association can come of (RFC 9260 §3.3.2, §3.3.3)', () => {
  it.each<[string, InitFields, DropReason, string | undefined]>([
    ['no outbound streams', { outbound: 0 }, 'bad-value', '00070004'],
    ['no inbound streams', { inbound: 0 }, 'bad-value', '00070004'],
    ['a window of 1,499 bytes', { aRwnd: 1499 }, 'bad-value', '00070004'],
    ['a host name', { more: '000b000861620000' }, 'bad-value', '00050004'],
    ['initiate tag 0', { tag: 0 }, 'bad-value', undefined],
  ])('INIT with %s', (_what, fields, reason, cause) => {
    const peer = new ScriptedPeer();
    const answer = peer.sayAs(0, init(1, fields));
    expect(spoken(answer)).toEqual(cause === undefined ? [] : ['6']);
    if (cause !== undefined) {
      expect(answer[0]!.tag).toBe(TAG);
      expect(valueIn(answer[0])).toBe(cause);
    }
    expect(peer.core.drops.get(reason)).toBe(1);
    expect(peer.core.state).toBe('closed');
  });

  it('a window of 1,500 bytes is enough', () => {
    expect(spoken(new ScriptedPeer().sayAs(0, init(1, { aRwnd: 1500 })))).toEqual(['2']);
  });

  it.each<[string, InitFields, string]>([
    ['no outbound streams', { outbound: 0 }, 'closed'],
    ['no inbound streams', { inbound: 0 }, 'closed'],
    ['initiate tag 0', { tag: 0 }, 'closed'],
    ['a window of 1,499 bytes, which changes no state', { aRwnd: 1499 }, 'cookie-wait'],
  ])('INIT ACK with %s', (_what, fields, state) => {
    const peer = new ScriptedPeer().awaitInitAck();
    const answer = peer.say(init(2, { more: '00070008aabbccdd', ...fields }));
    // Who has no tag gets the one back that it used, and the T bit says so.
    expect(spoken(answer)).toEqual([fields.tag === 0 ? '6/1' : '6']);
    expect(answer[0]!.tag).toBe(fields.tag === 0 ? peer.tag : TAG);
    expect(peer.core.state).toBe(state);
  });

  it('INIT behind another chunk is discarded in silence, with all behind it (RFC 9260 §12.3)', () => {
    const peer = new ScriptedPeer().connect();
    expect(spoken(peer.say(HEARTBEAT, init(1, { tag: 7 }), HEARTBEAT))).toEqual(['5']);
    expect(peer.core.drops.get('bad-order')).toBe(1);
  });

  it('a peer that calls every cookie of its own stale is given up after Max.Init.Retransmits INITs', () => {
    const peer = new ScriptedPeer({ maxInitRetransmissions: 3 }).awaitInitAck();
    let inits = 1;
    while (peer.core.state === 'cookie-wait' && inits < 20) {
      peer.say(init(2, { more: '00070008aabbccdd' }));
      const [again] = peer.say(STALE_COOKIE);
      if (again === undefined) break;
      peer.tag = new DataView(again.chunks[0]!.bytes.buffer, again.chunks[0]!.bytes.byteOffset).getUint32(4);
      inits++;
    }
    expect(inits).toBe(4);
    expect(peer.end()).toMatchObject({ type: 'failed' });
  });
});

describe('packets out of the blue (RFC 9260 §8.4), whatever chunk they begin with', () => {
  it.each<[string, readonly string[], string | undefined]>([
    ['SACK', [SACK_FOR_NOTHING], '6/1'],
    ['an unknown chunk', ['ff000004'], '6/1'],
    ['ERROR', ['0900000c0001000800000000'], '6/1'],
    ['ERROR: stale cookie', [STALE_COOKIE], undefined],
    ['SACK, ERROR: stale cookie', [SACK_FOR_NOTHING, STALE_COOKIE], undefined],
    ['COOKIE ACK', [COOKIE_ACK], undefined],
    ['SACK, COOKIE ACK', [SACK_FOR_NOTHING, COOKIE_ACK], undefined],
    ['SHUTDOWN ACK', [SHUTDOWN_ACK], '14/1'],
    ['SACK, SHUTDOWN ACK', [SACK_FOR_NOTHING, SHUTDOWN_ACK], '14/1'],
    ['SHUTDOWN COMPLETE', [SHUTDOWN_COMPLETE], undefined],
    ['SACK, SHUTDOWN COMPLETE', [SACK_FOR_NOTHING, SHUTDOWN_COMPLETE], undefined],
    ['ABORT', [ABORT], undefined],
    ['SACK, ABORT', [SACK_FOR_NOTHING, ABORT], undefined],
    ['SHUTDOWN ACK, ABORT', [SHUTDOWN_ACK, ABORT], undefined],
    ['INIT ACK', [init(2)], undefined],
  ])('%s', (_what, chunks, expected) => {
    const peer = new ScriptedPeer();
    const answer = peer.sayAs(77, ...chunks);
    expect(spoken(answer)).toEqual(expected === undefined ? [] : [expected]);
    for (const { tag } of answer) expect(tag).toBe(77);
    expect(peer.core.state).toBe('closed');
  });
});

describe('acknowledgements', () => {
  it('the first DATA of an association is acknowledged at once (RFC 9260 §5.1), the next after 200 ms', () => {
    const peer = new ScriptedPeer().connect();
    expect(spoken(peer.say(data(TSN, 'a')))).toEqual(['3']);
    expect(spoken(peer.say(data(TSN + 1, 'b', { ssn: 1 })))).toEqual([]);
    expect(peer.wait(300).map(({ at }) => at - 1000)).toEqual([200]);
  });

  it('DATA behind the COOKIE ECHO is acknowledged behind the COOKIE ACK (RFC 9260 §5.1.5)', () => {
    const peer = new ScriptedPeer();
    const [ack] = peer.sayAs(0, init(1));
    const { bytes } = ack!.chunks[0]!;
    peer.tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    const answer = peer.say(cookieEcho(bytes), data(TSN, 'a'));
    expect(answer.flatMap(({ types }) => types)).toEqual([11, 3]);
    expect(peer.messages()).toEqual(['a']);
  });

  it.each([
    ['the cumulative point', (tsn: number) => sack(tsn)],
    ['a gap ack block', (tsn: number) => sack(tsn - 1, 100_000, [2, 2])],
  ])('a SACK whose %s names what was never sent ends the association (RFC 9260 §12.4)', (_what, make) => {
    const peer = new ScriptedPeer().connect();
    peer.do((core, now) => core.send({ streamId: 0, ppid: 51, bytes: new Uint8Array(9), ordered: true }, now));
    expect(spoken(peer.say(sack(peer.tsn)))).toEqual([]);
    const answer = peer.say(make(peer.tsn + 1));
    expect(spoken(answer)).toEqual(['6']);
    expect(peer.end()).toMatchObject({ type: 'aborted', byPeer: false, cause: 13 });
  });

  it('HEARTBEAT comes back with all that is in it, unchanged (RFC 9260 §8.3)', () => {
    const peer = new ScriptedPeer().connect();
    const value = `0001000901020304050000${'00'}800700060a0b`;
    const answer = peer.say(`0400${(4 + value.length / 2).toString(16).padStart(4, '0')}${value}`);
    expect(spoken(answer)).toEqual(['5']);
    expect(valueIn(answer[0])).toBe(value);
  });
});

describe('a peer without room', () => {
  it('is probed less and less often, and gets the probe again as soon as it has room (RFC 9260 §6.1 A)', () => {
    const peer = new ScriptedPeer().connect({ aRwnd: 1500 });
    const message = { streamId: 0, ppid: 51, bytes: new Uint8Array(1100), ordered: true };
    peer.do((core, now) => core.send(message, now));
    peer.wait(50);
    peer.do((core, now) => core.send(message, now));
    peer.say(sack(peer.tsn, 0)); // the probe goes out with nothing in flight
    const probedAt: number[] = [];
    const from = peer.now;
    while (peer.now - from < 110_000) {
      for (const { at } of peer.wait(10)) {
        probedAt.push(at - from);
        peer.say(sack(peer.tsn, 0));
      }
    }
    expect(probedAt.length).toBeLessThan(12);
    expect(peer.core.stats().rtoMs).toBeGreaterThan(10_000);
    const answer = peer.say(sack(peer.tsn, 100_000));
    expect(spoken(answer)).toEqual([expect.stringMatching(/^0/)]);
    expect(peer.core.stats().rtoMs).toBeLessThan(1000);
    peer.say(sack(peer.tsn + 1, 100_000));
    expect(peer.core.isIdle).toBe(true);
  });
});

describe('SHUTDOWN-SENT (RFC 9260 §9.2)', () => {
  /** The association has asked to shut down and had nothing left to send. */
  function shutDown(): ScriptedPeer {
    const peer = new ScriptedPeer().connect();
    expect(spoken(peer.do((core, now) => core.shutdown(now)))).toEqual(['7']);
    return peer;
  }

  it('a packet with DATA is answered with one SHUTDOWN, and a SACK where that cannot say all', () => {
    const peer = shutDown();
    const answer = peer.say(data(TSN, 'a'), data(TSN + 1, 'b', { ssn: 1 }), data(TSN + 3, 'd', { ssn: 3 }));
    expect(spoken(answer)).toEqual(['7 3']);
    expect(valueIn(answer[0])).toBe(hex32(TSN + 1));
    expect(valueIn(answer[0], 1).slice(0, 8)).toBe(hex32(TSN + 1));
    expect(peer.messages()).toEqual(['a', 'b']);
  });

  it('DATA gives the peer its time again: the count of unanswered SHUTDOWNs starts anew', () => {
    const peer = shutDown();
    for (let i = 0; i < 4; i++) {
      while (peer.wait(1000).length < 1 || peer.core.stats().rtoMs < 30_000);
      expect(peer.core.state).toBe('shutdown-sent');
      peer.say(data(TSN + i, 'x', { ssn: i }));
      for (let n = 0; n < 5; n++) peer.wait(60_000);
    }
    expect(peer.core.state).toBe('shutdown-sent');
    expect(spoken(peer.say(SHUTDOWN_ACK))).toEqual(['14']);
    expect(peer.end()).toEqual({ type: 'closed' });
  });
});

describe('RE-CONFIG (RFC 6525)', () => {
  const two = encodeReConfig([
    { type: 'add-outgoing', requestSeq: TSN, count: 5 },
    { type: 'add-incoming', requestSeq: TSN + 1, count: 5 },
  ]);
  const performed = [TSN, TSN + 1].map((seq) => `0010000c${hex32(seq)}${hex32(RESULT.PERFORMED)}`).join('');

  it('a chunk of two requests that comes again is answered as it was, and not carried out again (§5.2.1)', () => {
    const peer = new ScriptedPeer().connect({ more: EXTENSIONS });
    for (let i = 0; i < 3; i++) {
      const answer = peer.say(two).find(({ types }) => types.includes(130));
      expect(valueIn(answer, answer!.types.indexOf(130))).toBe(performed);
      expect([peer.core.inboundStreams, peer.core.outboundStreams]).toEqual([105, 100]);
    }
  });

  it('of earlier chunks nothing is remembered', () => {
    const peer = new ScriptedPeer().connect({ more: EXTENSIONS });
    const one = (requestSeq: number) => encodeReConfig([{ type: 'add-outgoing', requestSeq, count: 1 }]);
    const result = (answer: readonly Heard[]) => valueIn(answer[0], answer[0]!.types.indexOf(130)).slice(-8);
    expect(result(peer.say(one(TSN)))).toBe(hex32(RESULT.PERFORMED));
    expect(result(peer.say(one(TSN + 1)))).toBe(hex32(RESULT.PERFORMED));
    expect(result(peer.say(one(TSN)))).toBe(hex32(RESULT.BAD_SEQUENCE_NUMBER));
    expect(result(peer.say(one(TSN - 1)))).toBe(hex32(RESULT.BAD_SEQUENCE_NUMBER));
    expect(result(peer.say(one(TSN + 3)))).toBe(hex32(RESULT.BAD_SEQUENCE_NUMBER));
    expect(peer.core.inboundStreams).toBe(102);
  });

  it('a request is answered with a SACK besides (§5.2.1)', () => {
    const peer = new ScriptedPeer().connect({ more: EXTENSIONS });
    expect(peer.say(encodeReConfig([{ type: 'tsn-reset', requestSeq: TSN }])).flatMap(({ types }) => types)).toEqual([
      3, 130,
    ]);
  });

  it('a peer that adds the streams that it was asked for, and says nothing else, has answered (§5.2.6)', () => {
    const peer = new ScriptedPeer().connect({ more: EXTENSIONS });
    expect(spoken(peer.do((core, now) => core.addStreams(0, 3, now)))).toEqual(['130']);
    peer.say(encodeReConfig([{ type: 'add-outgoing', requestSeq: TSN, count: 3 }]));
    expect(peer.core.inboundStreams).toBe(103);
    expect(peer.wait(200_000)).toEqual([]);
    expect(peer.core.isIdle).toBe(true);
  });
});

describe('ordered messages further apart than serial numbers tell (RFC 9260 §1.6, §6.1)', () => {
  it('from us there are never more than 32,768 SSNs of a stream under way', () => {
    const peer = new ScriptedPeer({ pacing: false, congestionControl: 'reno' }).connect({ aRwnd: 4_000_000 });
    const byte = new Uint8Array(1);
    const send = (count: number) =>
      peer.do((core, now) => {
        for (let i = 0; i < count; i++) core.send({ streamId: 0, ppid: 51, bytes: byte, ordered: true }, now);
      });
    send(200_000);
    let next = peer.tsn;
    const highest = () => {
      for (const { chunks } of peer.heard.splice(0))
        for (const { type, bytes } of chunks)
          if (type === 0) next = Math.max(next, new DataView(bytes.buffer, bytes.byteOffset).getUint32(4) + 1);
      return next;
    };
    // All but the second is acknowledged again and again: the window grows as far as it may.
    for (let i = 0; i < 400; i++) {
      peer.wait(1);
      const last = highest() - 1;
      if (last >= peer.tsn + 2) peer.say(sack(peer.tsn, 4_000_000, [2, Math.min(last - peer.tsn, 65_535)]));
    }
    expect(highest() - peer.tsn).toBe(32_768);
    peer.say(sack(highest() - 1, 4_000_000));
    peer.wait(10);
    expect(highest() - peer.tsn).toBeGreaterThan(32_768);
  });

  it.each([40_000, 65_534])(
    'from a peer: a message that comes behind %i later ones is delivered before them',
    (count) => {
      const peer = new ScriptedPeer({ receiveWindowBytes: 8_000_000 }).connect();
      for (let i = 0; i < 3; i++) peer.say(data(TSN + i, 'x', { ssn: i }));
      const first = TSN + 3;
      for (let i = 1; i <= count; i += 50) {
        const chunks: string[] = [];
        for (let n = i; n < i + 50 && n <= count; n++)
          chunks.push(data(first + n, String(n), { ssn: (3 + n) & 0xffff }));
        peer.core.handleInput(packet(peer.tag, ...chunks), undefined, peer.now);
      }
      peer.say(data(first, '0', { ssn: 3 }));
      expect(peer.messages().slice(3)).toEqual(Array.from({ length: count + 1 }, (_, i) => String(i)));
    },
  );

  it('forty thousand messages of a byte in one round trip all arrive, when their first is lost', () => {
    const pair = connectedPair({
      link: { latencyMs: 200 },
      a: { interleaving: false, pacing: false },
      maxSteps: 20_000_000,
    });
    const { world, a, b } = pair;
    let sent = 0;
    let isDue = false;
    a.end.link.dropIf = () => {
      const drops = isDue;
      isDue = false;
      return drops;
    };
    while (sent < 250_000) {
      isDue ||= sent === 160_000;
      for (let i = 0; i < 400; i++) a.send({ bytes: Uint8Array.of(sent++ % 251) });
      world.run({ until: world.now + 1 });
    }
    world.run({ until: world.now + 20_000, done: () => b.messages.length === sent });
    expect(b.messages.length).toBe(sent);
    expect(b.messages.every(({ bytes }, i) => bytes[0] === i % 251)).toBe(true);
    expect(a.core.stats().retransmissions).toBeGreaterThan(0);
  });
});

describe('a fragment that comes later than the I-FORWARD-TSN of its message (RFC 8260 §2.3.1)', () => {
  const interleaving = 'c0000004' + '8008000882c040c2';
  const fragment = (tsn: number, flags: number, mid: number, fsn: number) =>
    `400${flags}0018${hex32(tsn)}00010000${hex32(mid)}${hex32(fsn)}61626364`;

  it.each([
    ['ordered', 0],
    ['unordered', 4],
  ])('%s: is not kept, and does not keep others from being put together', (_kind, u) => {
    const peer = new ScriptedPeer().connect({ more: interleaving });
    const empty = peer.core.stats().receiveWindowBytes;
    peer.say(`c2000010${hex32(TSN)}0001000${u >> 2}${hex32(7)}`); // TSN and message 7, of three fragments, are given up
    peer.say(fragment(TSN + 2, u | 1, 7, 2));
    expect(peer.core.stats().receiveWindowBytes).toBe(empty);
    peer.say(fragment(TSN + 1, u, 7, 1));
    expect(peer.core.stats().receiveWindowBytes).toBe(empty);
    peer.say(fragment(TSN + 3, u | 2, 8, 51), fragment(TSN + 4, u | 1, 8, 1));
    expect(peer.messages()).toEqual(['abcdabcd']);
    // A reset begins anew with message 0.
    peer.say(
      encodeReConfig([{ type: 'outgoing-reset', requestSeq: TSN, responseSeq: 0, lastTsn: TSN + 4, streamIds: [1] }]),
    );
    peer.say(fragment(TSN + 5, u | 2, 0, 51), fragment(TSN + 6, u | 1, 0, 1));
    expect(peer.messages()).toEqual(['abcdabcd', 'abcdabcd']);
  });
});
