import { describe, expect, it } from 'vitest';
import { MAX_BURST_PACKETS, SACK_ASK_PACKETS, SACK_BATCH_PACKETS } from '../../src/sctp/limits.ts';
import { connectedPair, pattern } from './helpers.ts';
import { chunksOf, packet } from './packets.ts';
import { data, ScriptedPeer, sack, TSN } from './scripted-peer.ts';

const DATA = 0;
const I_DATA = 64;
const SACK = 3;
const IMMEDIATE = 8;

/** A peer that sends batches of packets, each with one DATA chunk. */
class Sender {
  readonly peer = new ScriptedPeer().connect();
  #sent = 0;

  constructor() {
    this.batch(1); // the first DATA of an association is acknowledged at once (RFC 9260 §5.1)
  }

  /** @param asks - whether packet `i` of the batch has the I bit. @returns SACKs that left before the batch was over, and behind it. */
  batch(count: number, asks: (i: number) => boolean = () => false): { within: number; behind: number } {
    const { peer } = this;
    const sacks = () => peer.heard.filter(({ types }) => types.includes(SACK)).length;
    const before = sacks();
    for (let i = 0; i < count; i++) {
      const chunk = data(TSN + this.#sent, 'x', { flags: 3 | (asks(i) ? IMMEDIATE : 0), ssn: this.#sent & 0xffff });
      this.#sent++;
      peer.core.handleInput(packet(peer.tag, chunk), undefined, peer.now);
      peer.drain();
    }
    const within = sacks() - before;
    peer.core.handleTimeout(peer.now); // what is due now, as a driver does behind a batch
    peer.drain();
    return { within, behind: sacks() - before - within };
  }
}

const everySixteenth = (i: number): boolean => i % SACK_ASK_PACKETS === SACK_ASK_PACKETS - 1;

describe('how often a SACK is sent', () => {
  it('every second packet, also within a batch, to a sender that asks for nothing (RFC 9260 §6.2)', () => {
    const sender = new Sender();
    expect(sender.batch(40)).toEqual({ within: 20, behind: 0 });
    expect(sender.batch(MAX_BURST_PACKETS)).toEqual({ within: 2, behind: 0 });
    expect(sender.batch(3)).toEqual({ within: 1, behind: 0 });
  });

  it('once for a batch, and for 16 packets of it, to a sender that asks more than Max.Burst packets apart', () => {
    const sender = new Sender();
    sender.batch(SACK_ASK_PACKETS, everySixteenth);
    expect(sender.batch(8)).toEqual({ within: 0, behind: 1 });
    expect(sender.batch(40)).toEqual({ within: Math.floor(40 / SACK_BATCH_PACKETS), behind: 1 });
    expect(sender.batch(SACK_ASK_PACKETS - 1, (i) => i === 7)).toEqual({ within: 0, behind: 1 });
  });

  it('behind the batch, not later, when the I bit asks (RFC 7053 §5.2)', () => {
    const sender = new Sender();
    expect(sender.batch(1)).toEqual({ within: 0, behind: 0 });
    sender.peer.wait(1000);
    expect(sender.batch(1, () => true)).toEqual({ within: 0, behind: 1 });
  });

  it('every second packet to who asks with each of few packets: its window is small, not its burst large', () => {
    const sender = new Sender();
    sender.batch(MAX_BURST_PACKETS, () => true);
    sender.batch(3 * MAX_BURST_PACKETS, (i) => i % MAX_BURST_PACKETS === 0);
    expect(sender.batch(40)).toEqual({ within: 20, behind: 0 });
  });

  it('every second packet again once a sender asks no more', () => {
    const sender = new Sender();
    sender.batch(SACK_ASK_PACKETS, everySixteenth);
    expect(sender.batch(4 * SACK_ASK_PACKETS).within).toBe(4);
    expect(sender.batch(40)).toEqual({ within: 20, behind: 0 });
  });

  it('a sender limited to four packets for each SACK gets ever more in flight', () => {
    const { peer } = new Sender();
    let sent = 1;
    let burst = MAX_BURST_PACKETS;
    const bursts: number[] = [];
    for (let round = 0; round < 5; round++) {
      const before = peer.heard.length;
      for (let i = 0; i < burst; i++) {
        peer.core.handleInput(packet(peer.tag, data(TSN + sent, 'x', { ssn: sent })), undefined, peer.now);
        sent++;
        peer.drain();
      }
      peer.core.handleTimeout(peer.now);
      peer.drain();
      burst = MAX_BURST_PACKETS * (peer.heard.length - before);
      bursts.push(burst);
    }
    expect(bursts).toEqual([8, 16, 32, 64, 128]);
  });
});

describe('asking for SACKs', () => {
  it('while many packets are in flight each sixteenth has the I bit, so that the peer answers batches', () => {
    const pair = connectedPair({ link: { latencyMs: 10 } });
    let asked = 0;
    let since = 0;
    let longest = 0;
    pair.a.end.link.onSend = (bytes) => {
      const [first] = chunksOf(bytes);
      if (first?.type !== DATA && first?.type !== I_DATA) return;
      since++;
      longest = Math.max(longest, since);
      if ((first.bytes[1]! & IMMEDIATE) === 0) return;
      asked++;
      since = 0;
    };
    let sacks = 0;
    pair.b.end.link.onSend = (bytes) => {
      if (chunksOf(bytes)[0]?.type === SACK) sacks++;
    };
    const before = pair.a.end.link.counts.sent;
    pair.a.send({ bytes: pattern(250_000, 1) });
    expect(pair.world.run({ done: () => pair.b.messages.length === 1 })).toBe(true);
    const packets = pair.a.end.link.counts.sent - before;
    expect(asked).toBeGreaterThan(packets / SACK_ASK_PACKETS / 2);
    expect(longest).toBeLessThanOrEqual(2 * SACK_ASK_PACKETS);
    expect(sacks).toBeLessThan(packets / 4);
  });

  it('a lone message does not ask', () => {
    const peer = new ScriptedPeer().connect();
    for (let i = 0; i < 3 * SACK_ASK_PACKETS; i++) {
      const [sent] = peer.do((core, now) =>
        core.send({ streamId: 0, ppid: 51, ordered: true, bytes: pattern(32, i) }, now),
      );
      expect(sent!.chunks.map(({ type, bytes }) => [type, bytes[1]! & IMMEDIATE])).toEqual([[DATA, 0]]);
      peer.say(sack(peer.tsn + i));
    }
  });
});
