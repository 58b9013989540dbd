import { describe, expect, it } from 'vitest';
import { Ring, UsageError } from '../../src/core/index.ts';
import { DataReceiver } from '../../src/sctp/data-receiver.ts';
import type { SctpEvent } from '../../src/sctp/index.ts';
import {
  DEFAULT_MAX_SEND_BUFFER_BYTES,
  DEFAULT_RECEIVE_WINDOW_BYTES,
  HELD_OVERHEAD_BYTES,
  MAX_CONTROL_CHUNKS,
  MAX_DUPLICATES_REPORTED,
  MAX_FORETOLD_MESSAGES,
  MAX_GAP_RUNS,
  MAX_GROWN_RECEIVE_WINDOW_BYTES,
  MAX_OUTSTANDING_CHUNKS,
  MAX_QUEUED_MESSAGES,
  MAX_TSNS_AHEAD,
  RECEIVE_OVERCOMMIT,
} from '../../src/sctp/limits.ts';
import { OutboundStreams } from '../../src/sctp/outbound-streams.ts';
import { Outstanding } from '../../src/sctp/outstanding.ts';
import { ReceivedTsns } from '../../src/sctp/received-tsns.ts';
import { connectedPair, pattern } from './helpers.ts';
import { hex32, packet, tagOf } from './packets.ts';

/** A connected pair whose `b` has little room for what it receives, and the tag that packets to it carry. */
function smallReceiver() {
  const pair = connectedPair({
    a: { initialTsn: 1000, interleaving: false },
    b: { receiveWindowBytes: 50_000, maxMessageSize: 20_000 },
  });
  let tag = 0;
  pair.a.end.link.onSend = (bytes) => {
    tag = tagOf(bytes);
  };
  pair.a.send({ bytes: pattern(1, 1) });
  pair.world.run({ until: 1000 });
  return { pair, tag };
}

describe('bounds', () => {
  it('send buffer: a full one refuses, and takes again when it has drained', () => {
    const pair = connectedPair({ a: { maxSendBufferBytes: 100_000 }, link: { latencyMs: 10, bitsPerSecond: 1e6 } });
    const fill = () => {
      for (let i = 0; i < 1000; i++) pair.a.send({ bytes: pattern(1000, i) });
    };
    expect(fill).toThrow(UsageError);
    expect(pair.a.core.totalBuffered).toBeLessThanOrEqual(100_000);
    expect(pair.a.core.totalBuffered).toBeGreaterThan(98_000);
    pair.world.run({ until: 10_000, done: () => pair.a.core.totalBuffered === 0 });
    pair.a.send({ bytes: pattern(1000, 1) });
  });

  it('send buffer: by default DEFAULT_MAX_SEND_BUFFER_BYTES and MAX_QUEUED_MESSAGES', () => {
    const streams = () =>
      new OutboundStreams('first-come', false, DEFAULT_MAX_SEND_BUFFER_BYTES, new Ring<SctpEvent>());
    const message = (length: number) => ({ streamId: 0, ppid: 53, bytes: new Uint8Array(length), ordered: true });
    const big = streams();
    const eighth = message(DEFAULT_MAX_SEND_BUFFER_BYTES / 8);
    for (let i = 0; i < 8; i++) big.enqueue(eighth, 0);
    expect(() => big.enqueue(message(1), 0)).toThrow(UsageError);
    const many = streams();
    const tiny = message(1);
    for (let i = 0; i < MAX_QUEUED_MESSAGES; i++) many.enqueue(tiny, 0);
    expect(() => many.enqueue(tiny, 0)).toThrow(UsageError);
  });

  it('receive window: begins at DEFAULT_RECEIVE_WINDOW_BYTES and grows to MAX_GROWN_RECEIVE_WINDOW_BYTES, not beyond', () => {
    expect(connectedPair().b.core.stats().receiveWindowBytes).toBe(DEFAULT_RECEIVE_WINDOW_BYTES);
    const extensions = { forwardTsn: false, reConfig: false, interleaving: false, zeroChecksum: false };
    const tags = { localTag: 1, peerTag: 2, localTieTag: 3, peerTieTag: 4, localInitialTsn: 0, peerInitialTsn: 0 };
    const receiver = new DataReceiver({
      tcb: { ...tags, peerRwnd: 1, outboundStreams: 1, inboundStreams: 1, extensions },
      windowBytes: DEFAULT_RECEIVE_WINDOW_BYTES,
      maxWindowBytes: MAX_GROWN_RECEIVE_WINDOW_BYTES,
      maxMessageSize: 1_000_000,
      events: new Ring<SctpEvent>(),
    });
    const bytes = new Uint8Array(1_000_000);
    const chunk = { interleaved: false, flags: 7, tsn: 0, streamId: 0, messageNumber: 0, fragmentNumber: 0, ppid: 53 };
    let largest = 0;
    for (let i = 0; i < 400; i++) {
      receiver.handleData({ ...chunk, tsn: i, userStart: 0, userEnd: bytes.length }, bytes);
      receiver.endOfPacket(100, 2 * i); // 500 MB/s over 100 ms
      largest = Math.max(largest, receiver.windowBytes);
    }
    expect(largest).toBe(MAX_GROWN_RECEIVE_WINDOW_BYTES);
  });

  it('receive window: an application that does not consume stops the sender, and consuming lets it go on', () => {
    const window = { receiveWindowBytes: 100_000, maxMessageSize: 20_000 };
    const pair = connectedPair({ b: window });
    pair.b.end.driver.mutate((now) => pair.b.core.holdReceived(0, true, now));
    for (let i = 0; i < 50; i++) pair.a.send({ bytes: pattern(10_000, i) });
    pair.world.run({ until: 60_000 });
    const stuckAt = pair.b.messages.length;
    expect(stuckAt).toBeGreaterThan(8);
    expect(stuckAt).toBeLessThanOrEqual(20);
    expect(pair.b.core.stats().receiveWindowBytes).toBe(0);
    expect(pair.a.core.state).toBe('established'); // probes of a closed window are not failures (RFC 9260 §6.1 A)
    pair.b.end.onEvent = (event) => {
      if (event.type !== 'message') return;
      pair.b.messages.push(event);
      pair.b.end.driver.mutate((now) => pair.b.core.consume(0, event.bytes.length, now));
    };
    pair.b.end.driver.mutate((now) => pair.b.core.consume(0, stuckAt * 10_000, now));
    expect(pair.world.run({ until: 70_000, done: () => pair.b.messages.length === 50 })).toBe(true);
    pair.b.end.driver.mutate((now) => pair.b.core.holdReceived(0, false, now));
    expect(pair.b.core.stats().receiveWindowBytes).toBeGreaterThanOrEqual(100_000);
  });

  it('receive window: a peer that ignores it is dropped at twice the window, and memory stays there', () => {
    const { pair, tag } = smallReceiver();
    const user = 'ab'.repeat(1000);
    // Ordered messages whose predecessor never comes, at TSNs that leave no gap.
    for (let i = 0; i < 500; i++) {
      const data = `000303f8${hex32(1001 + i)}0000${(i + 2).toString(16).padStart(4, '0')}00000033${user}`;
      pair.b.end.driver.input(packet(tag, data), undefined);
    }
    const accepted = 500 - pair.b.core.drops.get('limit');
    expect(accepted * (1000 + HELD_OVERHEAD_BYTES)).toBeGreaterThan(50_000 * RECEIVE_OVERCOMMIT - 3000);
    expect(accepted * (1000 + HELD_OVERHEAD_BYTES)).toBeLessThan(50_000 * RECEIVE_OVERCOMMIT + 3000);
    expect(pair.b.core.stats().receiveWindowBytes).toBe(0);
    expect(pair.b.core.state).toBe('established');
  });

  it('tiny fragments count with their overhead: they cannot fill memory under a small byte count', () => {
    const { pair, tag } = smallReceiver();
    for (let i = 0; i < 4000; i++)
      pair.b.end.driver.input(packet(tag, `00020011${hex32(1003 + 2 * i)}000000010000003361`), undefined);
    const accepted = 4000 - pair.b.core.drops.get('limit');
    expect(accepted).toBeLessThanOrEqual(50_000 / HELD_OVERHEAD_BYTES);
    expect(accepted).toBeGreaterThan(50_000 / HELD_OVERHEAD_BYTES - 50);
    expect(pair.b.core.state).toBe('established');
  });

  it.each([true, false])(
    'the length of a message makes room for no more than MAX_FORETOLD_MESSAGES that only begin (I-DATA: %s)',
    (interleaving) => {
      const pair = connectedPair({ a: { initialTsn: 1000, interleaving } });
      let tag = 0;
      pair.a.end.link.onSend = (bytes) => {
        tag = tagOf(bytes);
      };
      const long = pattern(262_144, 1);
      pair.a.send({ bytes: long, streamId: 1, ordered: false });
      pair.world.run({ until: 5000 });
      expect(pair.b.messages).toHaveLength(1);
      const dropped = pair.b.core.drops.total;
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < 1000; i++) {
        const tsn = hex32(2000 + 2 * i);
        const chunk = interleaving
          ? `40060015${tsn}00010000${hex32(i + 1)}0000003361`
          : `00060011${tsn}000100000000003361`;
        pair.b.end.driver.input(packet(tag, chunk), undefined);
      }
      const grown = process.memoryUsage().arrayBuffers - before;
      expect(grown).toBeLessThan((MAX_FORETOLD_MESSAGES + 4) * long.length);
      expect(pair.b.core.drops.total).toBe(dropped);
      expect(pair.b.core.stats().receiveWindowBytes).toBe(
        DEFAULT_RECEIVE_WINDOW_BYTES - 1000 * (HELD_OVERHEAD_BYTES + 1),
      );
    },
  );

  it('runs of TSNs: no more than the bound', () => {
    const tsns = new ReceivedTsns(0);
    let accepted = 0;
    for (let i = 0; i < MAX_GAP_RUNS + 100; i++) {
      const verdict = tsns.check(1 + 2 * i);
      if (verdict === 'new') {
        tsns.record(1 + 2 * i);
        accepted++;
      } else expect(verdict).toBe('limit');
    }
    expect(accepted).toBe(MAX_GAP_RUNS);
    expect(tsns.check(2)).toBe('new'); // closes a gap: always welcome
    expect(tsns.check(MAX_TSNS_AHEAD)).toBe('out-of-window');
    expect(new ReceivedTsns(0).check(MAX_TSNS_AHEAD - 1)).toBe('new');
    for (let i = 0; i < 100; i++) tsns.noteDuplicate(i);
    const sack = new Uint8Array(40_000);
    expect(tsns.writeSack(sack, 0, sack.length, 0)).toBe(16 + 4 * (MAX_GAP_RUNS + MAX_DUPLICATES_REPORTED));
  });

  it('a peer that lies about its window gets no more than can be acknowledged', () => {
    const outstanding = new Outstanding();
    for (let i = 0; i < MAX_OUTSTANDING_CHUNKS; i++) {
      expect(outstanding.isFull).toBe(false);
      outstanding.push(undefined, 0, 1, 0, i);
    }
    expect(outstanding.isFull).toBe(true);
  });

  it('control chunks: a flood of requests in one packet is answered up to the bound', () => {
    const pair = connectedPair();
    let tag = 0;
    pair.a.end.link.onSend = (bytes) => {
      tag = tagOf(bytes);
    };
    pair.a.send({ bytes: pattern(1, 1) });
    pair.world.run({ until: 1000 });
    let answers = 0;
    pair.b.end.link.onSend = (bytes) => {
      answers += bytes.length;
    };
    pair.b.end.driver.input(packet(tag, ...new Array<string>(500).fill('0400000c0001000801020304')), undefined);
    expect(pair.b.core.drops.get('limit')).toBe(500 - MAX_CONTROL_CHUNKS);
    expect(answers).toBeLessThan(MAX_CONTROL_CHUNKS * 12 + 100);
  });

  it('megabytes in flight on a long fat path', () => {
    const link = { latencyMs: 400 };
    const pair = connectedPair({
      link,
      a: { pacing: false },
      b: { receiveWindowBytes: 64_000_000 },
      maxSteps: 20_000_000,
    });
    for (let i = 0; i < 120; i++) pair.a.send({ bytes: new Uint8Array(250_000) });
    let peak = 0;
    for (let t = 0; t < 30; t++) {
      pair.world.run({ until: pair.world.now + 400 });
      peak = Math.max(peak, pair.a.core.stats().flightBytes);
    }
    expect(peak).toBeGreaterThan(5_000_000);
    expect(pair.b.messages.length).toBe(120);
    expect(pair.a.core.stats().retransmissions).toBe(0);
  });

  it.each([
    [{ localPort: 0 }, 'localPort'],
    [{ remotePort: 70_000 }, 'remotePort'],
    [{ mtuBytes: 100 }, 'mtuBytes'],
    [{ mtuBytes: 1191, maxMtuBytes: 1000 }, 'maxMtuBytes'],
    [{ outboundStreams: 0 }, 'outboundStreams'],
    [{ inboundStreams: 65_536 }, 'inboundStreams'],
  ])('options out of range are refused: %o', (options, name) => {
    expect(() => connectedPair({ a: options })).toThrow(name);
  });
});
