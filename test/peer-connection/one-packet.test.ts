/** What a peer may put into one SCTP packet that no well-behaved stack does, through a whole transport. */
import { describe, expect, it } from 'vitest';
import { crc32cWithHole } from '../../src/core/index.ts';
import { SimPair, statesOf } from './support.ts';

const CHECKSUM_AT = 8;

/** A pair that is open, and how to make `a` send one packet of its own with `chunks` behind what it would send. */
function openPair() {
  const pair = new SimPair(11);
  expect(pair.open()).toBe(true);
  pair.world.run({ until: pair.world.now + 5000 });
  const { a, b, world } = pair;
  const sendWith = (command: (now: number) => void, chunks: readonly number[]): void => {
    const { dtls, sctp } = a.transport;
    if (dtls === undefined || sctp === undefined) throw new Error('not open');
    command(world.now); // not drained: what it queues is taken here
    const slot = { buffer: new Uint8Array(4096), offset: dtls.recordHeadroom, length: 0, path: undefined };
    expect(sctp.pollTransmit(slot, world.now)).toBe(true);
    slot.buffer.set(chunks, slot.offset + slot.length);
    slot.length += chunks.length;
    const { buffer, offset, length } = slot;
    const checksum = crc32cWithHole(buffer, offset, offset + length, offset + CHECKSUM_AT);
    new DataView(buffer.buffer).setUint32(offset + CHECKSUM_AT, checksum, true);
    dtls.sealInPlace(slot);
    const bytes = slot.buffer.slice(slot.offset, slot.offset + slot.length);
    b.driver.input(bytes, { protocol: 'udp', local: b.address, remote: a.address });
    world.run({ until: world.now + 100 });
  };
  return { pair, sendWith };
}

/** Cause 12, user-initiated abort (RFC 9260 §3.3.10.12), without words. */
const ABORT = [6, 0, 0, 8, 0, 12, 0, 4];

describe('in one packet', () => {
  it('DATA_CHANNEL_OPEN and ABORT: a channel that is announced, and has ended with the association', () => {
    const { pair, sendWith } = openPair();
    const { a, b } = pair;
    sendWith((now) => void a.transport.channels.open({ label: 'short' }, now), ABORT);
    const ofChannel = b.events.filter((event) => 'handle' in event).map((event) => event.type);
    expect(ofChannel).toEqual(['channel', 'open', 'error', 'closed']);
    expect(statesOf(b, 'sctp-state')).toEqual(['connecting', 'connected', 'closed']);
    expect(statesOf(b, 'dtls-state').at(-1)).toBe('connected');
    b.driver.mutate((now) => b.transport.close(now));
    expect(b.transport.isClosed).toBe(true);
  });

  it('DATA_CHANNEL_OPEN and SHUTDOWN', () => {
    const { pair, sendWith } = openPair();
    const { a, b } = pair;
    sendWith((now) => void a.transport.channels.open({ label: 'short' }, now), [7, 0, 0, 8, 0, 0, 0, 0]);
    expect(b.events.filter((event) => 'handle' in event)[0]?.type).toBe('channel');
    b.driver.mutate((now) => b.transport.close(now));
    expect(b.transport.isClosed).toBe(true);
  });

  it('DATA_CHANNEL_OPEN and an unknown chunk that asks to be reported', () => {
    const { pair, sendWith } = openPair();
    const { a, b } = pair;
    sendWith((now) => void a.transport.channels.open({ label: 'odd' }, now), [0x7f, 0, 0, 4]);
    expect(b.events.filter((event) => 'handle' in event).map((event) => event.type)).toEqual(['channel', 'open']);
    expect(statesOf(b, 'sctp-state')).toEqual(['connecting', 'connected']);
  });
});
